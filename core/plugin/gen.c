/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/build.h"

#include "core/http/http.h"
#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/account.h"
#include "core/plugin/command.h"
#include "core/plugin/cron.h"
#include "core/plugin/host.h"
#include "core/plugin/control.h"
#include "core/plugin/openapi.h"

#include <stdio.h>
#include <stdlib.h>


/* ---- building ---- */

void chi_build_error(const struct chi_build *b, const struct chi_inst *i, const char *row, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	chi_conf_problem(i->conf, row, key, b->report, CHI_R_ERROR, fmt, ap);
	va_end(ap);
}

void chi_build_warn(const struct chi_build *b, const struct chi_inst *i, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	chi_conf_problem(i->conf, NULL, NULL, b->report, CHI_R_WARNING, fmt, ap);
	va_end(ap);
}

void chi_inst_keep(struct chi_inst *i, void *p)
{
	void **v = realloc(i->kept, (i->nkept + 1) * sizeof *v);
	if (!v)
		abort();
	i->kept = v;
	v[i->nkept++] = p;
}

struct chi_inst *chi_gen_find(const struct chi_gen *g, const char *id)
{
	for (size_t k = 0; k < g->ninsts; k++)
		if (!strcmp(g->insts[k]->self.id, id))
			return g->insts[k];
	return NULL;
}

bool chi_gen_has(const struct chi_gen *g, const struct chi_inst *i)
{
	for (size_t k = 0; k < g->ninsts; k++)
		if (g->insts[k] == i)
			return true;
	return false;
}

struct chi_gen *chi_gen_of(const struct ch_loop *l, const struct chi_inst *i)
{
	struct chi_gen *g = l->gens;
	while (g && !chi_gen_has(g, i))
		g = g->loops[l->index].next;
	return g;
}

bool chi_gen_needed(const struct chi_gen *g, const struct chi_inst *i)
{
	for (size_t k = 0; k < g->ninsts; k++)
		if (g->insts[k] == i)
			return g->needed[k];
	return false;
}

int64_t chi_gen_checks_interval(const struct chi_gen *g)
{
	int64_t ms = 0;
	for (size_t k = 0; k < g->ninsts; k++)
		if (g->insts[k]->checks_interval > 0)
			ms = g->insts[k]->checks_interval;
	return ms;
}

/* Slots of a ctx: each living instance has one of its own, so that a carried one is found at the same place in every generation. */
static bool *slots;
static size_t nslots;

static unsigned take_slot(void)
{
	size_t at = 0;
	while (at < nslots && slots[at])
		at++;
	if (at == nslots) {
		bool *v = realloc(slots, nslots + 64);
		if (!v)
			abort();
		memset(v + nslots, 0, 64);
		slots = v;
		nslots += 64;
	}
	slots[at] = true;
	return (unsigned)at;
}

static void give_slot(unsigned at)
{
	slots[at] = false;
	for (size_t k = 0; k < nslots; k++)
		if (slots[k])
			return;
	free(slots);
	slots = NULL;
	nslots = 0;
}

struct chi_inst *chi_inst_new(struct chi_build *b, struct chi_conf_inst *conf)
{
	const struct ch_plugin *p = conf->plugin;
	struct chi_inst *i = calloc(1, sizeof *i);
	if (!i)
		abort();
	i->slot = take_slot();
	i->conf = conf;
	i->home = b->gen->conf;
	chi_conf_hold(i->home);
	i->born = b->gen;
	i->provides = calloc(p->provides.n + 1, sizeof *i->provides);
	i->families = calloc(p->metrics.n + 1, sizeof *i->families);
	i->self = (struct ch_self){ .size = sizeof i->self, .id = conf->id, .conf = conf->conf, .state = calloc(1, p->state_size + 1),
	                            .rows = conf->rows, .nrows = conf->nrows, .plugin = p };
	if (!i->provides || !i->families || !i->self.state)
		abort();
	for (size_t k = 0; k < p->provides.n; k++) {
		const struct ch_provide *row = chi_row(&p->provides, k);
		i->provides[k] = (struct ch_svc){ .size = sizeof(struct ch_svc), .vt = row->vt, .self = &i->self, .id = i->self.id };
	}
	i->task = (struct chi_hook){ .fn = chi_task_call, .inst = i, .phase = "task" };
	chi_account_init(&i->task);
	for (size_t k = 0; k < p->metrics.n; k++) {
		char err[256];
		i->families[k] = chi_metrics_family(chi_row(&p->metrics, k), err, sizeof err);
		if (!i->families[k])
			chi_build_error(b, i, NULL, NULL, "its metric %zu is refused: %s", k, err);
	}
	chi_crons_new(b, i);
	chi_commands_check(b, i);
	return i;
}

void chi_inst_free(struct chi_inst *i)
{
	chi_tasks_drop(i);
	chi_crons_free(i);
	give_slot(i->slot);
	for (size_t k = 0; k < i->nkept; k++)
		free(i->kept[k]);
	free(i->kept);
	free(i->bound);
	free(i->provides);
	free(i->families);
	free(i->self.state);
	chi_conf_free(i->home);
	free(i);
}

bool chi_build_reloadable(const struct chi_inst *i, const char *option)
{
	for (size_t k = 0; option && k < i->self.plugin->options.n; k++) {
		const struct ch_option *o = chi_row(&i->self.plugin->options, k);
		if (!strcmp(o->name, option))
			return o->flags & CH_O_RELOAD;
	}
	return false;
}

static void add_routes(struct chi_build *b, struct chi_inst *i)
{
	const struct ch_table *t = &i->self.plugin->routes;
	for (size_t k = 0; k < t->n; k++) {
		const struct ch_route *row = chi_row(t, k);
		const char *pattern = row->pattern_option ? chi_conf_text(i->conf, row->pattern_option) : row->pattern;
		char buf[256];
		const char *why = chi_build_reloadable(i, row->pattern_option)
		                          ? "the key of its pattern is read at the start alone, so it cannot be CH_O_RELOAD: a bug in the plugin"
		                  : (row->cls < CH_PUBLIC || row->cls > CH_OPEN) && i->conf != &chi_control_inst
		                          ? "its class is none of CH_PUBLIC, CH_OPS, CH_ADMIN, CH_OPEN"
		                          : chi_routes_add(b->gen->routes, i, row, pattern, buf, sizeof buf);
		b->gen->needed[i->index] = b->gen->needed[i->index] || row->cls == CH_PUBLIC;
		if (why)
			chi_build_error(b, i, NULL, row->pattern_option, "its route %s %s is refused: %s", row->method ? row->method : "",
			                pattern ? pattern : "", why);
	}
}

static void add_taps(struct chi_build *b, struct chi_inst *i)
{
	struct chi_gen *g = b->gen;
	for (size_t k = 0; k < i->self.plugin->taps.n; k++) {
		const struct ch_tap *row = chi_row(&i->self.plugin->taps, k);
		struct chi_tap *v = realloc(g->taps, (g->ntaps + 1) * sizeof *v);
		if (!v)
			abort();
		g->taps = v;
		v[g->ntaps++] = (struct chi_tap){ row->fn, i };
	}
}

static void name_routes(struct chi_gen *g)
{
	for (size_t k = 0; k < chi_routes_count(g->routes); k++) {
		const struct chi_path *p = chi_routes_at(g->routes, k);
		for (int m = 0; m < CHI_METHODS; m++)
			if (p->methods[m] && p->methods[m]->def->method && chi_method_number(p->methods[m]->def->method) == m)
				chi_stats_route(p->methods[m]);
	}
}

static void trust(struct chi_build *b)
{
	const struct ch_list *list = &b->gen->conf->server->trusted_proxies;
	b->gen->trusted = calloc(list->n + 1, sizeof *b->gen->trusted);
	for (size_t k = 0; b->gen->trusted && k < list->n; k++)
		if (ch_net_read(list->v[k].p, list->v[k].n, &b->gen->trusted[b->gen->ntrusted]))
			b->gen->ntrusted++; /* the config has refused what does not parse */
}

static void add_seams(struct chi_build *b, struct chi_inst *i)
{
	for (size_t k = 0; k < i->self.plugin->seams.n; k++) {
		const struct ch_seam *row = chi_row(&i->self.plugin->seams, k);
		if (row->seam < 0 || row->seam >= CH_SEAMS || !row->fn)
			chi_build_error(b, i, NULL, NULL, "its seam %zu has number %d or no function: this is a bug in the plugin", k, row->seam);
		else if (b->gen->seams[row->seam].fn)
			chi_build_error(b, i, NULL, NULL, "[%s] fills the same seam: switch one of them off",
			                b->gen->seams[row->seam].inst->self.id);
		else {
			b->gen->seams[row->seam].fn = row->fn;
			b->gen->seams[row->seam].inst = i;
		}
	}
}

/* Leaves the instance `only` and what it uses, directly or by others; they come first in the order of starting anyway. */
static void leave_only(struct chi_build *b, const char *only)
{
	struct chi_gen *g = b->gen;
	struct chi_inst *root = chi_gen_find(g, only);
	bool *keep = calloc(g->ninsts + 1, sizeof *keep);
	size_t n = 0, m = 0;
	if (!keep)
		abort();
	if (root)
		keep[root->index] = true;
	else
		chi_report_add(b->report, CHI_R_ERROR, NULL, 0, "no enabled section has the id '%s'", only);
	for (size_t k = g->ninsts; k-- > 0;)
		for (size_t p = 0; keep[g->order[k]->index] && p < g->order[k]->nbound; p++)
			keep[g->order[k]->bound[p]->index] = true;
	for (size_t k = 0; k < g->ninsts; k++)
		if (keep[g->order[k]->index])
			g->order[m++] = g->order[k];
	for (size_t k = 0; k < g->ninsts; k++) {
		if (keep[k])
			g->insts[n++] = g->insts[k];
		else
			chi_inst_free(g->insts[k]);
	}
	for (size_t k = 0; k < n; k++)
		g->insts[k]->index = (unsigned)k;
	g->ninsts = n;
	free(keep);
}

static void make_insts(struct chi_build *b)
{
	struct chi_gen *g = b->gen;
	size_t n = g->conf->ninsts + 1; /* the core's own routes come as an instance like any other */
	g->insts = calloc(n, sizeof(struct chi_inst *));
	g->fresh = calloc(n, sizeof(struct chi_inst *));
	g->order = calloc(n, sizeof(struct chi_inst *));
	g->needed = calloc(n, sizeof *g->needed);
	g->routes = chi_routes_new();
	b->used = calloc(n, sizeof *b->used);
	if (!g->insts || !g->fresh || !g->order || !g->needed || !g->routes || !b->used)
		abort();
	for (size_t k = 0; k < n; k++, g->ninsts++) {
		g->insts[k] = chi_inst_new(b, k + 1 < n ? g->conf->insts[k] : &chi_control_inst);
		g->insts[k]->index = (unsigned)k;
	}
}

static void pack(struct chi_build *b)
{
	struct chi_gen *g = b->gen;
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->insts[k];
		const struct ch_plugin *p = i->self.plugin;
		b->used[k] = p->hooks.n || p->taps.n || p->routes.n || p->checks.n || p->crons.n || p->commands.n || p->seams.n || !p->provides.n;
		g->nslots = i->slot + 1 > g->nslots ? i->slot + 1 : g->nslots;
		add_routes(b, i);
		add_taps(b, i);
		add_seams(b, i);
	}
	chi_order_hooks(b);
	name_routes(g);
}

struct chi_gen *chi_gen_build(struct chi_conf *conf, struct chi_gen *prev, const char *only, struct chi_report *report)
{
	size_t before = chi_report_errors(report);
	struct chi_gen *g = aligned_alloc(64, (sizeof *g + 63) & ~(size_t)63);
	if (!g)
		return NULL;
	memset(g, 0, sizeof *g);
	struct chi_build b = { .gen = g, .report = report };
	g->conf = conf;
	make_insts(&b);
	trust(&b);
	chi_wire(&b);
	bool wired = chi_report_errors(report) == before;
	if (wired && only)
		leave_only(&b, only);
	if (wired && prev)
		chi_carry(&b, prev);
	for (size_t k = 0; k < g->ninsts; k++)
		g->insts[k]->refs++;
	pack(&b);
	if (wired && !only) /* what is bound to nothing may be bound to the name that was mistyped */
		chi_wire_needed(&b);
	free(b.used);
	if (chi_report_errors(report) == before && !chi_openapi_make(g))
		chi_report_add(report, CHI_R_ERROR, NULL, 0, "no memory for /openapi.json");
	if (chi_report_errors(report) == before)
		return g;
	chi_gen_free(g);
	return NULL;
}

void chi_gen_free(struct chi_gen *g)
{
	if (!g)
		return;
	chi_openapi_free(g);
	for (size_t k = 0; k < g->ninsts; k++) {
		if (g->fresh[k])
			chi_inst_free(g->fresh[k]);
		if (--g->insts[k]->refs == 0)
			chi_inst_free(g->insts[k]);
	}
	for (int p = 0; p <= CH_P_CALL_END; p++)
		free(g->phases[p].hooks);
	free(g->checks);
	free(g->needed);
	free(g->fresh);
	free(g->trusted);
	free(g->taps);
	free(g->order);
	free(g->insts);
	chi_routes_free(g->routes);
	chi_conf_free(g->conf);
	free(g);
}
