/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks run on the house loop, one task each; readers on any thread see the cached results under a mutex. */
#include "core/daemon/daemon.h"

#include "core/log/log.h"
#include "core/plugin/account.h"
#include "core/plugin/build.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define INTERVAL_MS 5000

struct result {
	char name[80];
	const struct ch_check *row;
	struct chi_inst *inst;
	struct chi_hook hook;
	struct ch_ctx *running; /* NULL: it does not run */
	bool needed;
	int health;         /* the last one */
	int64_t at;         /* when it came; 0: never */
	double duration_ms;
	char message[160];
};

struct room { /* behind a check's ctx */
	struct result *r;
	int64_t began;
	struct ch_check_result out;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct result *results;
static size_t nresults;
static struct chi_gen *owner;  /* whose checks these are */
static struct ch_loop *house;
static struct ch_timer timer;
static bool stopped;

static struct room *room_of(struct ch_ctx *c)
{
	return (struct room *)(c + 1);
}

static int call_check(struct ch_self *self, struct ch_ctx *c)
{
	struct room *m = room_of(c);
	return m->r->row->fn(self, c, &m->out);
}

static void keep(struct room *m)
{
	struct result *r = m->r;
	int was = r->health;
	pthread_mutex_lock(&lock);
	bool first = !r->at;
	r->health = m->out.health;
	r->at = chi_clock();
	r->duration_ms = (double)(r->at - m->began) / 1e3;
	snprintf(r->message, sizeof r->message, "%.*s", (int)sizeof r->message - 1, m->out.message);
	pthread_mutex_unlock(&lock);
	if (r->health != was && !(first && r->health == CH_HEALTHY))
		chi_log(r->health == CH_HEALTHY ? CH_INFO : CH_WARN, &(struct chi_log_fields){ .plugin = r->inst->self.id },
			"check %s is %s now%s%s", r->name,
			r->health == CH_HEALTHY    ? "healthy"
			: r->health == CH_DEGRADED ? "degraded"
						   : "unhealthy",
			*r->message ? ": " : "", r->message);
}

static void came(struct ch_ctx *c, int rc)
{
	struct room *m = room_of(c);
	if (rc == CH_ERROR) {
		m->out.health = CH_UNHEALTHY;
		snprintf(m->out.message, sizeof m->out.message, "the check itself failed");
	}
	if (c->gen == owner && !stopped)
		keep(m);
	chi_ctx_end(c);
}

/* Only now nothing of it runs any more: a check that timed out in a pool thread is not begun a second time. */
static void freed(struct ch_ctx *c)
{
	room_of(c)->r->running = NULL;
}

static const struct chi_owner check_owner = { .came = came, .freed = freed };

static void run_one(struct result *r)
{
	struct ch_ctx *c = chi_ctx_new(house, owner, &check_owner, sizeof(struct room));
	if (!c)
		return;
	struct room *m = room_of(c);
	int64_t ms = r->row->timeout_ms ? r->row->timeout_ms : owner->conf->server->startup_check_timeout;
	m->r = r;
	m->began = chi_clock();
	m->out = (struct ch_check_result){ .size = sizeof m->out, .health = CH_UNHEALTHY };
	snprintf(m->out.message, sizeof m->out.message, "no answer within %lld ms", (long long)ms);
	c->deadline = m->began + ms * 1000;
	r->running = c;
	chi_ctx_run_one(c, &r->hook);
}

static void on_time(void *data)
{
	(void)data;
	if (stopped)
		return;
	for (size_t i = 0; i < nresults; i++)
		if (!results[i].running)
			run_one(&results[i]);
	int64_t interval = chi_gen_checks_interval(owner);
	chi_timer_set(&timer, interval > 0 ? interval : INTERVAL_MS);
}

void chi_checks_start(struct ch_loop *l)
{
	house = l;
	chi_timer_init(&timer, l, on_time, NULL);
}

void chi_checks_stop(void)
{
	stopped = true;
	chi_timer_set(&timer, -1);
	for (size_t i = 0; i < nresults; i++) /* one that waits for what hangs would hold the end up until its timeout */
		if (results[i].running)
			chi_ctx_gone(results[i].running);
	pthread_mutex_lock(&lock);
	nresults = 0;
	pthread_mutex_unlock(&lock);
}

void chi_checks_generation(struct chi_gen *g)
{
	size_t n = 0;
	for (size_t k = 0; k < g->ninsts; k++)
		n += g->insts[k]->self.plugin->checks.n;
	struct result *v = calloc(n + 1, sizeof *v);
	if (!v)
		abort(); /* as building a generation does: half a config is worse than a restart */
	n = 0;
	for (size_t k = 0; k < g->ninsts; k++) {
		struct chi_inst *i = g->insts[k];
		for (size_t j = 0; j < i->self.plugin->checks.n; j++) {
			struct result *r = &v[n++];
			r->row = chi_row(&i->self.plugin->checks, j);
			r->inst = i;
			r->needed = g->needed[k];
			r->hook = (struct chi_hook){ .fn = call_check, .inst = i, .phase = "check" };
			chi_account_init(&r->hook);
			snprintf(r->name, sizeof r->name, strcmp(r->row->name, i->self.id) ? "%s.%s" : "%s", i->self.id, r->row->name);
		}
	}
	pthread_mutex_lock(&lock);
	struct result *old = results;
	struct chi_gen *before = owner;
	for (size_t a = 0; a < n; a++) /* what was known stays known until it is asked again */
		for (size_t b = 0; b < nresults; b++)
			if (!strcmp(v[a].name, old[b].name)) {
				v[a].health = old[b].health;
				v[a].at = old[b].at;
				v[a].duration_ms = old[b].duration_ms;
				memcpy(v[a].message, old[b].message, sizeof v[a].message);
			}
	results = v;
	nresults = n;
	owner = g;
	pthread_mutex_unlock(&lock);
	if (before) /* its checks that still run look at their row: it goes with that generation's memory */
		before->checks = old;
	chi_timer_set(&timer, 0);
}

void chi_checks_walk(void (*fn)(void *, const struct ch_check_state *), void *data)
{
	pthread_mutex_lock(&lock);
	int64_t now = chi_clock();
	for (size_t i = 0; i < nresults; i++) {
		const struct result *r = &results[i];
		struct ch_check_state s = { .size = sizeof s,
			.name = r->name,
			.health = r->health,
			.critical = r->row->critical && r->needed,
			.message = r->message,
			.duration_ms = r->duration_ms,
			.age = r->at ? (double)(now - r->at) / 1e6 : -1 };
		fn(data, &s);
	}
	pthread_mutex_unlock(&lock);
}
