/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new config for the running server: whole or not at all. Asked for by SIGHUP, by `chimeractl reload` over the control socket, which
 * waits for the report, or by a watched file that has changed. However often it is asked for meanwhile, it runs once.
 */
#include "core/daemon/daemon.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/control.h"
#include "core/plugin/host.h"

#include <chimera/kit/json.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

static unsigned failed_now, ok_total, failed_total, loaded_at, tried_at, hash, buffered;

static void set_buffered(void *arg)
{
	(void)arg;
	chi_metrics_set(buffered, (double)atomic_load_explicit(&chi_daemon.shared.buffered, memory_order_relaxed));
}

static unsigned gauge(const char *name, const char *help)
{
	const struct ch_metric m = { .name = name, .kind = CH_GAUGE, .help = help };
	char err[200];
	return chi_metrics_series(chi_metrics_family(&m, err, sizeof err), NULL);
}

void chi_reload_init(void)
{
	static const char *const results[] = { "ok", "failed", NULL };
	static const struct ch_metric total = { .name = "chimera_config_reloads_total",
		.kind = CH_COUNTER,
		.labels = { { "result", CH_L_FIXED, results } },
		.help = "Reloads, by result" };
	char err[200];
	const struct chi_family *f = chi_metrics_family(&total, err, sizeof err);
	ok_total = chi_metrics_series(f, &results[0]);
	failed_total = chi_metrics_series(f, &results[1]);
	failed_now = gauge("chimera_config_reload_failed", "1 when the last reload was refused and the old config goes on");
	loaded_at = gauge("chimera_config_loaded_timestamp_seconds", "When the running config was loaded");
	tried_at = gauge("chimera_config_last_reload_timestamp_seconds", "When a reload was last tried; 0: never");
	hash = gauge("chimera_config_hash", "A number for the running config: equal configs have equal numbers on every machine");
	buffered = gauge("chimera_http_buffered_bytes", "Request bodies held now; see max_buffered_bytes");
	chi_metrics_collector(set_buffered, NULL);
}

void chi_reload_taken(const struct chi_conf *conf)
{
	chi_metrics_set(loaded_at, (double)chi_wall() / 1e6);
	chi_metrics_set(hash, (double)(chi_conf_hash(conf) >> 12)); /* 52 bits: a double holds them exactly */
}

void chi_report_log(const struct chi_report *r)
{
	char line[2048];
	for (const struct chi_problem *p = chi_report_first(r); p; p = p->next) {
		chi_report_format(p, line, sizeof line);
		chi_log(p->level == CHI_R_ERROR ? CH_ERR : p->level == CHI_R_WARNING ? CH_WARN : CH_INFO, NULL, "%s", line);
	}
}

/* ---- those who wait for the report ---- */

struct waiter {
	struct waiter *next;
	ch_ticket ticket;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct waiter *waiting; /* for the next reload */
static atomic_bool wanted;

bool chi_reload_ask(ch_ticket t)
{
	struct waiter *w = malloc(sizeof *w);
	if (!w)
		return false;
	w->ticket = t;
	pthread_mutex_lock(&lock);
	w->next = waiting;
	waiting = w;
	pthread_mutex_unlock(&lock);
	atomic_store(&wanted, true);
	if (eventfd_write(chi_daemon.wake, 1)) {
		/* main looks again anyway */
	}
	return true;
}

bool chi_reload_wanted(void)
{
	return atomic_exchange(&wanted, false);
}

static struct waiter *take_waiting(void)
{
	pthread_mutex_lock(&lock);
	struct waiter *w = waiting;
	waiting = NULL;
	pthread_mutex_unlock(&lock);
	return w;
}

/* Each gets a copy of the text, or NULL. */
static void tell(struct waiter *w, const struct ch_jw *text)
{
	while (w) {
		struct waiter *next = w->next;
		char *copy = text && !text->failed ? malloc(text->len + 1) : NULL;
		if (copy) {
			memcpy(copy, text->buf, text->len);
			copy[text->len] = 0;
		}
		ch_resume(w->ticket, copy, free);
		free(w);
		w = next;
	}
}

void chi_reload_never(void)
{
	tell(take_waiting(), NULL);
}

void chi_reload_later(void)
{
	static const char text[] =
		"{\"result\":\"failed\",\"problems\":[\"too many older configs are still alive: streams or tasks that began under them have "
		"not ended. The reload will be done when one has; a restart ends them all\"]}";
	struct ch_jw w = { .buf = (char *)(uintptr_t)text, .len = sizeof text - 1 };
	tell(take_waiting(), &w);
}

/* ---- what is told: the diff, the instances, the problems ---- */

static void text_or_null(struct ch_jw *w, const char *key, const char *text)
{
	ch_jw_key(w, key);
	if (text)
		ch_jw_cstr(w, text);
	else
		ch_jw_null(w);
}

static void write_change(void *arg, const struct chi_conf_change *c)
{
	struct ch_jw *w = arg;
	ch_jw_object(w);
	text_or_null(w, "id", c->id);
	text_or_null(w, "row", c->row);
	text_or_null(w, "key", c->key);
	text_or_null(w, "was", c->was);
	text_or_null(w, "now", c->now);
	text_or_null(w, "note", c->note);
	ch_jw_object_end(w);
}

static void write_inst(struct ch_jw *w, const char *id, const char *action)
{
	ch_jw_object(w);
	ch_jw_key(w, "id");
	ch_jw_cstr(w, id);
	ch_jw_key(w, "action");
	ch_jw_cstr(w, action);
	ch_jw_object_end(w);
}

static void write_insts(struct ch_jw *w, const struct chi_gen *prev, const struct chi_gen *g)
{
	ch_jw_key(w, "instances");
	ch_jw_array(w);
	for (size_t k = 0; k < g->ninsts; k++) {
		const struct chi_inst *i = g->insts[k];
		if (i->conf != &chi_control_inst)
			write_inst(w, i->self.id,
				g->fresh[k]                      ? "reloaded"
				: chi_gen_has(prev, i)           ? "carried"
				: chi_gen_find(prev, i->self.id) ? "replaced"
								 : "added");
	}
	for (size_t k = 0; k < prev->ninsts; k++)
		if (!chi_gen_find(g, prev->insts[k]->self.id))
			write_inst(w, prev->insts[k]->self.id, "removed");
	ch_jw_array_end(w);
}

static void write_problems(struct ch_jw *w, const struct chi_report *r)
{
	char line[2048];
	ch_jw_key(w, "problems");
	ch_jw_array(w);
	for (const struct chi_problem *p = chi_report_first(r); p; p = p->next) {
		chi_report_format(p, line, sizeof line);
		ch_jw_cstr(w, line);
	}
	ch_jw_array_end(w);
}

/* ---- the reload ---- */

struct first_key { /* with CH_O_RESTART: the first that somebody wrote, else the first */
	const struct chi_conf_change *none;
	char id[64], row[64], key[64];
	bool found, written;
};

static void keep_first(void *arg, const struct chi_conf_change *c)
{
	struct first_key *f = arg;
	if (!(c->flags & CH_O_RESTART) || (f->found && (f->written || !c->written)))
		return;
	f->found = true;
	f->written = c->written;
	snprintf(f->id, sizeof f->id, "%s%s%s", c->id, c->row ? "." : "", c->row ? c->row : "");
	snprintf(f->key, sizeof f->key, "%s", c->key);
}

static bool takes_restart(const struct chi_conf *was, const struct chi_conf *now, struct chi_report *report)
{
	struct first_key f = { 0 };
	chi_conf_diff(was, now, keep_first, &f);
	if (f.found)
		chi_report_key(report, CHI_R_ERROR, now->nfiles ? now->files[0] : NULL, 0, f.id, f.key, NULL,
		               "this key was changed and takes a restart: put it back, or restart the server");
	return f.found;
}

static struct chi_gen *fresh_generation(struct chi_report *report)
{
	char why[512];
	struct chi_gen *g = chi_config_build(report);
	if (!g)
		return NULL;
	if (!takes_restart(chi_daemon.gen->conf, g->conf, report)) {
		if (chi_gen_start(g, chi_daemon.gen, chi_step, why, sizeof why))
			return g;
		chi_report_add(report, CHI_R_ERROR, NULL, 0, "%s", why);
		chi_loops_flush(); /* what it has posted looks at its memory */
	}
	chi_gen_free(g);
	return NULL;
}

static void log_change(void *arg, const struct chi_conf_change *c)
{
	(void)arg;
	if (c->key)
		chi_log(CH_INFO, NULL, "config: [%s%s%s] %s: %s -> %s%s%s", c->id, c->row ? "." : "", c->row ? c->row : "", c->key,
			c->was ? c->was : "(not there)", c->now ? c->now : "(not there)", c->note ? ": " : "", c->note ? c->note : "");
	else
		chi_log(CH_INFO, NULL, "config: [%s%s%s] %s", c->id, c->row ? "." : "", c->row ? c->row : "",
			!c->was                     ? "is new"
			: !c->now                   ? "is gone"
			: strcmp(c->was, c->now) ? "belongs to another plugin now"
						    : "stands elsewhere");
}

static void swap(struct chi_gen *g, struct chi_gen *prev)
{
	if (g->conf->log->level != prev->conf->log->level)
		chi_log_level_set(g->conf->log->level);
	chi_conf_diff(prev->conf, g->conf, log_change, NULL);
	chi_step("enter all loops"); /* a blocked one holds this up: the step is named then */
	chi_take(g);
}

void chi_reload(void)
{
	struct waiter *waiters = take_waiting();
	struct chi_report *report = chi_report_new();
	struct chi_gen *prev = chi_daemon.gen, *g = fresh_generation(report);
	struct ch_jw w;
	ch_jw_init(&w, malloc(1024), 1024);
	w.grow = ch_jw_heap;
	chi_step(NULL);
	chi_report_log(report);
	chi_metrics_set(tried_at, (double)chi_wall() / 1e6);
	chi_metrics_set(failed_now, g ? 0 : 1);
	ch_jw_object(&w);
	ch_jw_key(&w, "result");
	ch_jw_cstr(&w, g ? "ok" : "failed");
	if (g) {
		ch_jw_key(&w, "changes");
		ch_jw_array(&w);
		chi_conf_diff(prev->conf, g->conf, write_change, &w);
		ch_jw_array_end(&w);
		write_insts(&w, prev, g);
		swap(g, prev);
		chi_step(NULL);
		chi_log(CH_INFO, NULL, "config reloaded: generation %llu", (unsigned long long)g->id);
	} else {
		chi_log(CH_ERR, NULL, "reload refused: the old config goes on unchanged");
	}
	chi_metrics_add(g ? ok_total : failed_total, 1);
	write_problems(&w, report);
	ch_jw_key(&w, "generation");
	ch_jw_uint(&w, atomic_load(&chi_daemon.generation));
	ch_jw_object_end(&w);
	tell(waiters, &w);
	free(w.buf);
	chi_report_free(report);
}

const char *chi_reload_stale(void)
{
	return chi_conf_stale(chi_daemon.gen->conf);
}
