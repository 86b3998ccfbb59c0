/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/cron.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 60000 /* a crontab line follows the wall clock, which may jump: no sleep is longer */

struct chi_cron {
	struct chi_inst *inst;
	const struct ch_cron *row;
	struct chi_schedule schedule;
	struct ch_timer timer;
	struct ch_loop *house; /* NULL: stopped */
	bool running;
	int64_t due;           /* crontab lines: wall clock */
	int64_t began;
	unsigned active, completed, seconds;
};

static void metrics(struct chi_cron *c)
{
	static const struct ch_metric table[] = {
		{ .name = "background_tasks_active",
			.kind = CH_GAUGE,
			.labels = { { "task", CH_L_CONFIG, NULL } },
			.help = "Background tasks that run now" },
		{ .name = "background_tasks_completed_total",
			.kind = CH_COUNTER,
			.labels = { { "task", CH_L_CONFIG, NULL } },
			.help = "Background tasks that have ended" },
		{ .name = "background_tasks_duration_seconds",
			.kind = CH_HISTOGRAM,
			.labels = { { "task", CH_L_CONFIG, NULL } },
			.help = "From the begin of a background task to its end" },
	};
	char name[160], err[200];
	const char *const labels[] = { name };
	snprintf(name, sizeof name, "%s.%s", c->inst->self.id, c->row->name);
	c->active = chi_metrics_series(chi_metrics_family(&table[0], err, sizeof err), labels);
	c->completed = chi_metrics_series(chi_metrics_family(&table[1], err, sizeof err), labels);
	c->seconds = chi_metrics_series(chi_metrics_family(&table[2], err, sizeof err), labels);
}

void chi_crons_new(struct chi_build *b, struct chi_inst *i)
{
	const struct ch_table *t = &i->self.plugin->crons;
	i->crons = t->n ? calloc(t->n, sizeof *i->crons) : NULL;
	if (t->n && !i->crons)
		abort();
	for (size_t k = 0; k < t->n; k++) {
		const struct ch_cron *row = chi_row(t, k);
		const char *when = row->when_option ? chi_conf_text(i->conf, row->when_option) : row->when;
		char why[256];
		i->crons[k] = (struct chi_cron){ .inst = i, .row = row };
		if (!row->name || !row->fn || !when)
			chi_build_error(b, i, NULL, NULL, "its task %zu by the clock has no name, function or time: this is a bug in the plugin", k);
		else if (chi_build_reloadable(i, row->when_option))
			chi_build_error(b, i, NULL, row->when_option,
				"its task '%s' reads this key at its start alone, so it cannot be CH_O_RELOAD: this is a bug in the plugin", row->name);
		else if (!chi_schedule_parse(&i->crons[k].schedule, when, why, sizeof why))
			chi_build_error(b, i, NULL, row->when_option, "the time of its task '%s' %s", row->name, why);
		else
			metrics(&i->crons[k]);
	}
}

void chi_crons_free(struct chi_inst *i)
{
	free(i->crons);
}

static void set_timer(struct chi_cron *c)
{
	if (!c->house)
		return;
	if (c->schedule.every_ms) {
		chi_timer_set(&c->timer, c->schedule.every_ms);
		return;
	}
	int64_t now = chi_wall();
	if (!c->due || now - c->due < -INT64_C(86400) * 8 * 366 * 1000000)
		c->due = chi_schedule_next(&c->schedule, now);
	if (!c->due)
		return;
	int64_t ms = (c->due - now) / 1000 + 1;
	chi_timer_set(&c->timer, ms < 1 ? 1 : ms > LOOK_MS ? LOOK_MS : ms);
}

static int call(struct ch_ctx *ctx, void *data)
{
	struct chi_cron *c = data;
	return c->row->fn(&c->inst->self, ctx);
}

static void ended(void *data)
{
	struct chi_cron *c = data;
	c->running = false;
	chi_metrics_add(c->active, -1);
	chi_metrics_add(c->completed, 1);
	chi_metrics_observe(c->seconds, (double)(chi_clock() - c->began) / 1e6);
	set_timer(c);
}

static void dropped(void *data)
{
	struct chi_cron *c = data;
	c->running = false;
	chi_metrics_add(c->active, -1);
	set_timer(c);
}

static void on_time(void *data)
{
	struct chi_cron *c = data;
	struct ch_loop *l = c->house;
	if (!l || c->running || !l->gen || !chi_gen_has(l->gen, c->inst))
		return; /* a newer config has the work now */
	if (!c->schedule.every_ms && chi_wall() < c->due) {
		c->due = 0; /* looked in vain: the clock may have been set */
		set_timer(c);
		return;
	}
	c->due = 0;
	c->running = true;
	c->began = chi_clock();
	chi_metrics_add(c->active, 1);
	if (!chi_task_begin(c->inst, l, c->row->timeout_ms, call, c, dropped, ended))
		dropped(c);
}

void chi_crons_start(struct chi_inst *i, struct ch_loop *house)
{
	for (size_t k = 0; k < i->self.plugin->crons.n; k++) {
		struct chi_cron *c = &i->crons[k];
		c->house = house;
		chi_timer_init(&c->timer, house, on_time, c);
		set_timer(c);
	}
}

void chi_crons_stop(struct chi_inst *i)
{
	for (size_t k = 0; k < i->self.plugin->crons.n; k++)
		if (i->crons[k].house) {
			chi_timer_set(&i->crons[k].timer, -1);
			i->crons[k].house = NULL;
		}
}
