/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/build.h"

#include "core/http/http.h"
#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/account.h"
#include "core/plugin/host.h"
#include "core/plugin/control.h"
#include "core/plugin/openapi.h"

#include <stdio.h>
#include <stdlib.h>

void (*chi_gen_retired)(struct chi_gen *g);

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

void chi_build_keep(struct chi_build *b, void *p)
{
	void **v = realloc(b->gen->kept, (b->gen->nkept + 1) * sizeof *v);
	if (!v)
		abort();
	b->gen->kept = v;
	v[b->gen->nkept++] = p;
}

struct chi_inst *chi_gen_find(const struct chi_gen *g, const char *id)
{
	for (size_t k = 0; k < g->ninsts; k++)
		if (!strcmp(g->insts[k]->self.id, id))
			return g->insts[k];
	return NULL;
}

static bool make_inst(struct chi_build *b, struct chi_conf_inst *conf, size_t index)
{
	const struct ch_plugin *p = conf->plugin;
	struct chi_inst *i = calloc(1, sizeof *i);
	if (!i)
		return false;
	b->gen->insts[index] = i;
	i->index = (unsigned)index;
	i->conf = conf;
	i->gen = b->gen;
	i->provides = calloc(p->provides.n + 1, sizeof *i->provides);
	i->families = calloc(p->metrics.n + 1, sizeof *i->families);
	i->self = (struct ch_self){ .size = sizeof i->self, .id = conf->id, .conf = conf->conf, .state = calloc(1, p->state_size + 1),
	                            .rows = conf->rows, .nrows = conf->nrows, .plugin = p };
	for (size_t k = 0; k < p->provides.n; k++) {
		const struct ch_provide *row = chi_row(&p->provides, k);
		i->provides[k] = (struct ch_svc){ .size = sizeof(struct ch_svc), .vt = row->vt, .self = &i->self, .id = conf->id };
	}
	i->task = (struct chi_hook){ .fn = chi_task_call, .inst = i, .phase = "task" };
	chi_account_init(&i->task);
	for (size_t k = 0; k < p->metrics.n; k++) {
		char err[256];
		i->families[k] = chi_metrics_family(chi_row(&p->metrics, k), err, sizeof err);
		if (!i->families[k])
			chi_build_error(b, i, NULL, NULL, "its metric %zu is refused: %s", k, err);
	}
	i->used = p->hooks.n || p->taps.n || p->routes.n || p->checks.n || !p->provides.n;
	return true;
}

static void add_routes(struct chi_build *b, struct chi_inst *i)
{
	const struct ch_table *t = &i->self.plugin->routes;
	for (size_t k = 0; k < t->n; k++) {
		const struct ch_route *row = chi_row(t, k);
		const char *pattern = row->pattern_option ? chi_conf_text(i->conf, row->pattern_option) : row->pattern;
		char buf[256];
		const char *why = chi_routes_add(b->gen->routes, i, row, pattern, buf, sizeof buf);
		i->needed = i->needed || row->cls == CH_PUBLIC;
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
		if (chi_net_parse(list->v[k].p, list->v[k].n, &b->gen->trusted[b->gen->ntrusted]))
			b->gen->ntrusted++; /* the config has refused what does not parse */
}

struct chi_gen *chi_gen_build(struct chi_conf *conf, struct chi_report *report)
{
	size_t before = chi_report_errors(report);
	struct chi_gen *g = aligned_alloc(64, (sizeof *g + 63) & ~(size_t)63);
	if (!g)
		return NULL;
	memset(g, 0, sizeof *g);
	size_t builtin = 1; /* the core's own routes come as an instance like any other */
	struct chi_build b = { .gen = g, .report = report };
	g->conf = conf;
	g->insts = calloc(conf->ninsts + builtin, sizeof *g->insts);
	g->routes = chi_routes_new();
	if (!g->insts || !g->routes)
		abort();
	for (size_t k = 0; k < conf->ninsts; k++, g->ninsts++)
		if (!make_inst(&b, conf->insts[k], k))
			abort();
	if (!make_inst(&b, &chi_control_inst, g->ninsts++))
		abort();
	b.edges = calloc(g->ninsts * g->ninsts + 1, sizeof *b.edges);
	b.order = g->order = calloc(g->ninsts + 1, sizeof *g->order);
	if (!b.edges || !b.order)
		abort();
	for (size_t k = 0; k < g->ninsts; k++) {
		add_routes(&b, g->insts[k]);
		add_taps(&b, g->insts[k]);
	}
	trust(&b);
	chi_wire(&b);
	chi_order_hooks(&b);
	name_routes(g);
	free(b.edges);
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
		free(g->insts[k]->provides);
		free(g->insts[k]->families);
		free(g->insts[k]->self.state);
		free(g->insts[k]);
	}
	for (int p = 0; p <= CH_P_END; p++)
		free(g->phases[p].hooks);
	for (size_t k = 0; k < g->nkept; k++)
		free(g->kept[k]);
	free(g->kept);
	free(g->trusted);
	free(g->taps);
	free(g->order);
	free(g->insts);
	chi_routes_free(g->routes);
	chi_conf_free(g->conf);
	free(g);
}

/* ---- checking and starting ---- */

struct chi_checking chi_checking; /* where ch_config_error of the running check goes */

bool chi_gen_check(struct chi_gen *g, struct chi_report *report)
{
	size_t before = chi_report_errors(report);
	chi_checking.report = report;
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->insts[k];
		size_t own = chi_report_errors(report);
		if (i->self.plugin->check && i->self.plugin->check(&i->self) != CH_OK && chi_report_errors(report) == own)
			chi_report_add(report, CHI_R_ERROR, i->conf->file, i->conf->line,
				"[%s] refuses its config and does not say why: a bug in the plugin", i->self.id);
	}
	chi_checking.report = NULL;
	return chi_report_errors(report) == before;
}

bool chi_gen_start(struct chi_gen *g, void (*step)(const char *name), char *why, size_t cap)
{
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->order[k];
		char name[80];
		snprintf(name, sizeof name, "start %s", i->self.id);
		step(name);
		if (i->self.plugin->start && i->self.plugin->start(&i->self) != CH_OK) {
			snprintf(why, cap, "[%s] did not start: see the lines above", i->self.id);
			chi_gen_stop(g);
			return false;
		}
		i->started = true;
	}
	return true;
}

void chi_gen_stop(struct chi_gen *g)
{
	for (size_t k = g->ninsts; k-- > 0;) {
		struct chi_inst *i = g->order[k];
		if (i->started && i->self.plugin->stop)
			i->self.plugin->stop(&i->self);
		i->started = false;
	}
}

/* ---- on the loops ---- */

static void leave(struct ch_loop *l, struct chi_gen *g)
{
	for (size_t k = g->ninsts; k-- > 0;) {
		struct chi_inst *i = g->order[k];
		if (i->self.plugin->loop_stop)
			i->self.plugin->loop_stop(&i->self, l);
	}
	g->loops[l->index].left = true;
	if (atomic_fetch_sub(&g->loops_left, 1) == 1 && chi_gen_retired)
		chi_gen_retired(g);
}

void chi_gen_release(struct ch_loop *l, struct chi_gen *g)
{
	if (--g->loops[l->index].held == 0 && l->gen != g && !g->loops[l->index].left)
		leave(l, g);
}

void chi_gen_enter(struct ch_loop *l, struct chi_gen *g)
{
	struct chi_gen *old = l->gen;
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->order[k];
		if (i->self.plugin->loop_start && i->self.plugin->loop_start(&i->self, l) != CH_OK)
			chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = i->self.id },
				"loop_start failed on %s: this instance may not work there", l->name);
	}
	l->gen = g;
	if (old && !old->loops[l->index].held)
		leave(l, old);
}

void chi_gen_leave(struct ch_loop *l)
{
	struct chi_gen *g = l->gen;
	l->gen = NULL;
	if (g && !g->loops[l->index].held && !g->loops[l->index].left)
		leave(l, g);
}
