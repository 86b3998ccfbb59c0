/* SPDX-License-Identifier: Apache-2.0 */
/* The order of hooks inside a phase: bands, then after and before, then config order. */
#include "core/plugin/account.h"
#include "core/plugin/build.h"

#include <stdlib.h>

struct item {
	const struct ch_hook *row;
	struct chi_inst *inst;
	bool placed;
};

static const char *const names[] = { NULL, "headers", "auth", "limit", "body", "content", "response", "end", "call", "call_end" };

const char *chi_phase_name(int phase)
{
	return names[phase];
}

/* Is `name` a member of the comma-separated list? */
static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);
	while (list && *list) {
		list += strspn(list, ", ");
		size_t len = strcspn(list, ", ");
		if (len == n && !memcmp(list, name, n))
			return true;
		list += len;
	}
	return false;
}

/* Must x come before y? */
static bool precedes(const struct item *x, const struct item *y)
{
	return listed(x->row->before, y->inst->self.plugin->name) || listed(y->row->after, x->inst->self.plugin->name);
}

static bool free_to_go(const struct item *v, size_t n, size_t at)
{
	for (size_t k = 0; k < n; k++)
		if (!v[k].placed && k != at && v[k].row->phase == v[at].row->phase && v[k].row->band == v[at].row->band &&
			precedes(&v[k], &v[at]))
			return false;
	return true;
}

static void place_band(struct chi_build *b, struct item *v, size_t n, int phase, int band)
{
	struct chi_chain *chain = &b->gen->phases[phase];
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < n && !moved; i++) {
			if (v[i].placed || v[i].row->phase != phase || v[i].row->band != band || !free_to_go(v, n, i))
				continue;
			struct chi_hook *h = &chain->hooks[chain->n++];
			*h = (struct chi_hook){ .fn = v[i].row->fn, .inst = v[i].inst, .phase = names[phase], .budget = v[i].row->budget_us };
			chi_account_init(h);
			v[i].placed = moved = true;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!v[i].placed && v[i].row->phase == phase && v[i].row->band == band) {
			chi_build_error(b, v[i].inst, NULL, NULL,
				"its %s hook must run both before and after others (see `after` and `before` of the plugins "
				"in this phase): this is a bug in one of them",
				names[phase]);
			v[i].placed = true;
		}
}

void chi_order_hooks(struct chi_build *b)
{
	struct chi_gen *g = b->gen;
	size_t n = 0;
	for (size_t k = 0; k < g->ninsts; k++)
		n += g->insts[k]->self.plugin->hooks.n;
	struct item *v = calloc(n + 1, sizeof *v);
	for (int p = CH_P_HEADERS; p <= CH_P_CALL_END; p++)
		g->phases[p].hooks = calloc(n + 1, sizeof *g->phases[p].hooks);
	n = 0;
	for (size_t k = 0; v && k < g->ninsts; k++) {
		const struct ch_table *t = &g->insts[k]->self.plugin->hooks;
		for (size_t r = 0; r < t->n; r++) {
			const struct ch_hook *row = chi_row(t, r);
			if (row->phase < CH_P_HEADERS || row->phase > CH_P_CALL_END || !row->fn || row->band < CH_EARLY || row->band > CH_LATE)
				chi_build_error(b, g->insts[k], NULL, NULL,
					"its hook %zu has phase %d, band %d or no function: this is a bug in the plugin", r, row->phase,
					row->band);
			else
				v[n++] = (struct item){ row, g->insts[k], false };
		}
	}
	for (int p = CH_P_HEADERS; p <= CH_P_CALL_END && v; p++)
		for (int band = CH_EARLY; band <= CH_LATE; band++)
			place_band(b, v, n, p, band);
	free(v);
}
