/* SPDX-License-Identifier: Apache-2.0 */
/* The life of instances: check, start, adopt, reload, retire and stop on the boot thread; entering and leaving the loops on theirs. */
#include "core/log/log.h"
#include "core/plugin/build.h"
#include "core/plugin/capability.h"
#include "core/plugin/cron.h"
#include "core/plugin/degraded.h"
#include "core/plugin/host.h"
#include "core/plugin/misuse.h"
#include "core/plugin/thread.h"

#include <stdio.h>

void (*chi_gen_retired)(struct chi_gen *g);
_Thread_local struct chi_checking chi_checking; /* where ch_config_error of the running check goes */

/* The instance to succeed: the same section of the same plugin, of another config. */
static struct chi_inst *predecessor(const struct chi_gen *prev, const struct chi_inst *i)
{
	struct chi_inst *was = prev ? chi_gen_find(prev, i->self.id) : NULL;
	return was && was != i && was->self.plugin == i->self.plugin ? was : NULL;
}

/* The instance that is started now, and the last error that it logged meanwhile; the boot thread's. */
static __thread struct {
	const struct ch_self *self;
	char why[256];
} starting;

void chi_starting_said(const struct ch_self *s, const char *fmt, va_list ap)
{
	va_list copy;
	if (!s || starting.self != s)
		return;
	va_copy(copy, ap);
	vsnprintf(starting.why, sizeof starting.why, fmt, copy);
	va_end(copy);
}

static bool start(struct chi_inst *i, const struct chi_inst *was, char *why, size_t cap)
{
	starting.self = &i->self;
	*starting.why = 0;
	bool ok = !i->self.plugin->start || i->self.plugin->start(&i->self, was ? &was->self : NULL) == CH_OK;
	starting.self = NULL;
	if (!ok)
		snprintf(why, cap, "[%s] did not start%s%s", i->self.id, *starting.why ? ": " : " and does not say why: a bug in the plugin",
		         starting.why);
	return ok;
}

static void check(struct chi_inst *i, struct chi_report *report)
{
	size_t own = chi_report_errors(report);
	if (i->self.plugin->check && i->self.plugin->check(&i->self) != CH_OK && chi_report_errors(report) == own)
		chi_report_add(report, CHI_R_ERROR, i->conf->file, i->conf->line,
			"[%s] refuses its config and does not say why: a bug in the plugin", i->self.id);
}

bool chi_gen_check(struct chi_gen *g, struct chi_report *report)
{
	size_t before = chi_report_errors(report);
	chi_checking = (struct chi_checking){ report, g->conf->server->profile };
	/* Providers before their users, as they start; where they use each other in a circle, in the config's order. */
	bool ordered = g->ninsts && g->order[g->ninsts - 1];
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = ordered ? g->order[k] : g->insts[k];
		if (g->fresh[i->index])
			check(g->fresh[i->index], report);
		else if (!i->started)
			check(i, report);
	}
	chi_checking.report = NULL;
	return chi_report_errors(report) == before;
}

/* It ought to have no thread any more. If it has, what that works with is kept for ever. */
static void look_for_threads(struct chi_inst *i, const char *after)
{
	size_t n = chi_threads_of(&i->self);
	if (!n)
		return;
	i->refs++;
	chi_misuse(i->self.id, NULL, "%s left %zu of its threads: end each and call ch_thread_join; the instance's memory is kept", after,
		n);
}

/* What it told is true no longer. */
static void forget(const struct chi_inst *i)
{
	chi_degraded_forget(i);
	chi_capabilities_forget(i);
}

bool chi_gen_start(struct chi_gen *g, struct chi_gen *prev, void (*step)(const char *name), char *why, size_t cap)
{
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->order[k], *was = predecessor(prev, i);
		char name[80];
		if (i->started)
			continue; /* carried over */
		snprintf(name, sizeof name, "start %s", i->self.id);
		step(name);
		if (!start(i, was, why, cap)) {
			forget(i);
			look_for_threads(i, "its start, which failed,");
			chi_gen_stop(g);
			return false;
		}
		i->started = true;
	}
	return true;
}

void chi_gen_swap(struct chi_gen *g, struct chi_gen *prev)
{
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->order[k], *was = predecessor(prev, i), **fresh = &g->fresh[i->index];
		if (was && i->self.plugin->adopt)
			i->self.plugin->adopt(&i->self, &was->self);
		if (*fresh) {
			i->self.plugin->reload(&i->self, &(*fresh)->self);
			chi_inst_free(*fresh);
			*fresh = NULL;
		}
	}
}

void chi_gen_swapped(struct chi_gen *g, struct chi_gen *prev)
{
	for (size_t k = 0; k < g->ninsts; k++) {
		g->order[k]->born = NULL;
		chi_tasks_live(g->order[k]);
	}
	chi_capabilities_taken(g);
	for (size_t k = prev ? prev->ninsts : 0; k-- > 0;) {
		struct chi_inst *i = prev->order[k];
		if (i->retired || chi_gen_has(g, i))
			continue;
		atomic_store(&i->retired, true);
		chi_degraded_retire(i);
		if (i->self.plugin->retire)
			i->self.plugin->retire(&i->self);
	}
}

/* Is a task of an instance that goes with g on its way to a loop? */
static bool awaited(const struct chi_gen *g)
{
	for (size_t k = 0; k < g->ninsts; k++)
		if (g->insts[k]->refs == 1 && atomic_load(&g->insts[k]->tasks))
			return true;
	return false;
}

bool chi_gen_stop(struct chi_gen *g)
{
	if (awaited(g))
		return false;
	for (size_t k = g->ninsts; k-- > 0;) {
		struct chi_inst *i = g->order[k];
		if (i->refs > 1 || !i->started)
			continue;
		if (!i->retired && i->self.plugin->retire && atomic_load(&i->live))
			i->self.plugin->retire(&i->self); /* the end of the server: nothing succeeds it */
		if (i->self.plugin->stop)
			i->self.plugin->stop(&i->self);
		forget(i);
		i->started = false;
		look_for_threads(i, "its stop");
	}
	return !awaited(g); /* stop, or a thread that it joined, may have begun one: it is dropped before the instance goes */
}

/* ---- on the loops ---- */

static bool is_house(const struct ch_loop *l)
{
	return l == chi_around.loops[chi_around.nloops - 1];
}

static void leave(struct ch_loop *l, struct chi_gen *g)
{
	for (struct chi_gen **p = &l->gens; *p; p = &(*p)->loops[l->index].next)
		if (*p == g) {
			*p = g->loops[l->index].next;
			break;
		}
	for (size_t k = g->ninsts; k-- > 0;) {
		struct chi_inst *i = g->order[k];
		if (--i->entered[l->index])
			continue; /* a newer generation has it too */
		if (is_house(l))
			chi_crons_stop(i);
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

static void enter(struct ch_loop *l, struct chi_inst *i, struct chi_inst *was)
{
	const struct ch_plugin *p = i->self.plugin;
	if (i->entered[l->index]++)
		return; /* carried over */
	if (p->loop_start && p->loop_start(&i->self, l) != CH_OK)
		chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = i->self.id },
			"loop_start failed on %s: this instance may not work there", l->name);
	else if (was && p->loop_adopt)
		p->loop_adopt(&i->self, &was->self, l);
	if (is_house(l))
		chi_crons_start(i, l);
}

void chi_gen_enter(struct ch_loop *l, struct chi_gen *g)
{
	struct chi_gen *old = l->gen;
	for (size_t k = 0; k < g->ninsts; k++)
		enter(l, g->order[k], predecessor(old, g->order[k]));
	g->loops[l->index].next = l->gens;
	l->gens = g;
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
