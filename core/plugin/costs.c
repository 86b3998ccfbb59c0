/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/costs.h"

#include "core/metrics/metrics.h"
#include "core/plugin/control.h"
#include "core/plugin/host.h"

#include <stdio.h>
#include <stdlib.h>

#define STALL_US 500000 /* as in loops.c: whoever takes longer is named */

struct cost { /* one instance and hook */
	char *id;
	char hook[16];
	double calls, errors, over, seconds, worst;
	uint64_t timed;
};

struct chi_costs {
	struct cost *v;
	size_t n;
	bool failed;
};

static struct cost *cost_of(struct chi_costs *all, const char *id, const char *hook)
{
	for (size_t k = all->n; k-- > 0;)
		if (!strcmp(all->v[k].id, id) && !strcmp(all->v[k].hook, hook))
			return &all->v[k];
	struct cost *v = realloc(all->v, (all->n + 1) * sizeof *v);
	if (v)
		all->v = v;
	char *copy = v ? strdup(id) : NULL;
	if (!copy) {
		all->failed = true;
		return NULL;
	}
	v = &v[all->n++];
	*v = (struct cost){ .id = copy };
	snprintf(v->hook, sizeof v->hook, "%s", hook);
	return v;
}

static void on_sample(void *arg, const struct ch_sample *s)
{
	static const char prefix[] = "chimera_hook_";
	const char *name = s->family->name;
	if (strncmp(name, prefix, sizeof prefix - 1) || !s->family->labels[1].name)
		return;
	name += sizeof prefix - 1;
	struct cost *c = cost_of(arg, s->labels[0], s->labels[1]);
	if (!c)
		return;
	if (!strcmp(name, "calls_total"))
		c->calls = s->value;
	else if (!strcmp(name, "errors_total"))
		c->errors = s->value;
	else if (!strcmp(name, "over_budget_total"))
		c->over = s->value;
	else if (!strcmp(name, "seconds")) {
		c->timed = s->count;
		c->seconds = s->sum;
		for (size_t k = 0; k <= s->nbounds && s->nbounds; k++)
			if (s->counts[k])
				c->worst = s->bounds[k < s->nbounds ? k : s->nbounds - 1];
	}
}

struct chi_costs *chi_costs_take(void)
{
	struct chi_costs *all = calloc(1, sizeof *all);
	if (!all)
		return NULL;
	chi_metrics_walk(on_sample, all);
	if (!all->failed)
		return all;
	chi_costs_free(all);
	return NULL;
}

void chi_costs_free(void *costs)
{
	struct chi_costs *all = costs;
	if (!all)
		return;
	for (size_t k = 0; k < all->n; k++)
		free(all->v[k].id);
	free(all->v);
	free(all);
}

static void number_or_null(struct ch_jw *w, const char *key, bool known, double v)
{
	ch_jw_key(w, key);
	if (known)
		ch_jw_double(w, v);
	else
		ch_jw_null(w);
}

/* Loops that this hook has held up for more than half a second. The name is compared by its address: its instance may be gone by now. */
static void write_stalled(struct ch_jw *w, const struct chi_inst *i, const char *hook)
{
	int64_t now = chi_clock();
	ch_jw_key(w, "stalled");
	ch_jw_array(w);
	for (unsigned k = 0; k < chi_around.nloops; k++) {
		const struct ch_loop *l = chi_around.loops[k];
		int64_t since = atomic_load_explicit(&l->busy_since, memory_order_relaxed);
		const char *phase = atomic_load_explicit(&l->busy_hook, memory_order_relaxed);
		if (since && now - since > STALL_US && atomic_load_explicit(&l->busy_plugin, memory_order_relaxed) == i->self.id && phase &&
		    !strcmp(phase, hook))
			ch_jw_cstr(w, l->name);
	}
	ch_jw_array_end(w);
}

static void write_cost(struct ch_jw *w, const struct cost *c, const struct chi_inst *i)
{
	ch_jw_object(w);
	ch_jw_key(w, "id");
	ch_jw_cstr(w, c->id);
	ch_jw_key(w, "hook");
	ch_jw_cstr(w, c->hook);
	number_or_null(w, "calls", true, c->calls);
	number_or_null(w, "errors", true, c->errors);
	ch_jw_key(w, "timed");
	ch_jw_uint(w, c->timed);
	number_or_null(w, "mean_seconds", c->timed, c->timed ? c->seconds / (double)c->timed : 0);
	number_or_null(w, "worst_seconds", c->timed, c->worst);
	number_or_null(w, "over_budget", true, c->over);
	write_stalled(w, i, c->hook);
	ch_jw_object_end(w);
}

void chi_costs_json(const struct chi_costs *costs, const struct chi_gen *g, struct ch_jw *w)
{
	ch_jw_array(w);
	for (size_t k = 0; k < g->ninsts; k++)
		for (size_t n = 0; n < costs->n; n++)
			if (g->insts[k]->conf != &chi_control_inst && !strcmp(costs->v[n].id, g->insts[k]->self.id))
				write_cost(w, &costs->v[n], g->insts[k]);
	ch_jw_array_end(w);
}
