/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instances of the running generation go on in the new one: those whose section and watched files are the same, or differ in RELOAD
 * keys alone where the plugin has `reload`, and whose providers all go on too. So what an instance is bound to never changes while it
 * lives.
 */
#include "core/plugin/build.h"
#include "core/plugin/control.h"

#include <stdlib.h>

static bool same_bindings(const struct chi_inst *now, const struct chi_inst *was, struct chi_inst *const *goes_on)
{
	if (now->nbound != was->nbound)
		return false;
	for (size_t k = 0; k < now->nbound; k++)
		if (goes_on[now->bound[k]->index] != was->bound[k])
			return false;
	return true;
}

static int compare(const struct chi_gen *prev, const struct chi_inst *now)
{
	if (now->conf == &chi_control_inst)
		return CHI_CONF_SAME;
	const struct chi_conf_inst *was = chi_conf_find(prev->conf, now->self.id);
	int c = was ? chi_conf_compare(was, now->conf) : CHI_CONF_CHANGED;
	return c == CHI_CONF_RELOAD && !now->self.plugin->reload ? CHI_CONF_CHANGED : c;
}

void chi_carry(struct chi_build *b, struct chi_gen *prev)
{
	struct chi_gen *g = b->gen;
	struct chi_inst **goes_on = calloc(g->ninsts + 1, sizeof(struct chi_inst *));
	if (!goes_on)
		abort();
	for (size_t k = 0; k < g->ninsts; k++) { /* providers before their users */
		struct chi_inst *now = g->order[k], *was = chi_gen_find(prev, now->self.id);
		if (!was || was->self.plugin != now->self.plugin)
			continue;
		int c = compare(prev, now);
		if (c == CHI_CONF_CHANGED || !same_bindings(now, was, goes_on))
			continue;
		goes_on[now->index] = was;
		if (c == CHI_CONF_RELOAD)
			g->fresh[now->index] = now;
		g->order[k] = was;
	}
	for (size_t k = 0; k < g->ninsts; k++)
		if (goes_on[k]) {
			if (!g->fresh[k])
				chi_inst_free(g->insts[k]);
			g->insts[k] = goes_on[k];
			g->insts[k]->index = (unsigned)k;
		}
	/* What is new was bound to candidates that are gone now. */
	for (size_t k = 0; k < g->ninsts; k++) {
		if (!goes_on[k])
			chi_wire_one(b, g->insts[k]);
		if (g->fresh[k])
			chi_wire_one(b, g->fresh[k]);
	}
	free(goes_on);
}
