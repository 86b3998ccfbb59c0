/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_suspend.c - a test plugin: every way of waiting.
 *
 *   GET /suspend?timeout=MS          nobody resumes; answers when the time is over
 *   GET /suspend/thread?ms=MS        resumed by a thread of the plugin's own; &times=2: twice
 *   GET /suspend/offload?ms=MS       resumed by the host's pool
 *   GET /suspend/service?ms=MS       asks tsvc/1; MS 0: answered inside the call; &timeout=MS gives up
 *   GET /suspend/task?ms=MS          202, and a background task asks tsvc/1; &timeout=MS is its deadline
 *   GET /suspend/broken?how=again|error|nothing|value   what a hook must not do
 *
 * Threads and ownership: one thread, started at start and joined at stop; it has a list of jobs under a lock. A result is malloc'd and is
 * the resumed function's, or the drop's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "query.h"
#include "tsvc.h"

enum { M_WHY, M_LATE, M_DROPPED, M_TASKS };

struct t_suspend_conf {
	const struct ch_svc *service;
};

struct job {
	struct job *next;
	struct ch_self *self;
	struct timespec due;
	int64_t times;
	ch_ticket ticket;
};

struct t_suspend_state {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *jobs;
	bool stopping;
	unsigned why[CH_GONE + 1], tasks[CH_GONE + 1], late;
};

static unsigned dropped; /* a drop gets its result and nothing else */

static void drop(void *result)
{
	ch_add(dropped, 1);
	free(result);
}

/* ---- the thread ---- */

static struct timespec after(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

static bool before(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

static void complete(struct job *j)
{
	struct t_suspend_state *state = j->self->state;

	for (int64_t i = 0; i < j->times; i++)
		if (!ch_resume(j->ticket, strdup("from a thread"), drop))
			ch_add(state->late, 1);
	free(j);
}

static void *run(void *arg)
{
	struct t_suspend_state *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping || s->jobs) {
		struct timespec now = after(0);
		struct job *j = s->jobs;

		if (!j) {
			pthread_cond_wait(&s->wake, &s->lock);
		} else if (before(now, j->due)) {
			pthread_cond_timedwait(&s->wake, &s->lock, &j->due);
		} else {
			s->jobs = j->next;
			pthread_mutex_unlock(&s->lock);
			complete(j);
			pthread_mutex_lock(&s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static bool add_job(struct ch_self *self, int64_t ms, int64_t times, ch_ticket ticket)
{
	struct t_suspend_state *s = self->state;
	struct job *j = calloc(1, sizeof(*j)), **at;

	if (!j)
		return false;
	*j = (struct job){ .self = self, .due = after(ms), .times = times, .ticket = ticket };
	pthread_mutex_lock(&s->lock);
	for (at = &s->jobs; *at && before((*at)->due, j->due);)
		at = &(*at)->next;
	j->next = *at;
	*at = j;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* ---- waiting ---- */

struct wait {
	struct ch_self *self;
	ch_ticket ticket;
	bool mine;               /* nobody else holds the ticket */
	int64_t ms;
	struct tsvc_result result;
	bool asked;              /* tsvc/1 */
};

static int answer(struct ch_ctx *c, const char *text)
{
	return ch_respond(c, 200, "text/plain", text, strlen(text));
}

static const struct tsvc_v1 *vt(const struct wait *w)
{
	const struct t_suspend_conf *conf = w->self->conf;

	return conf->service->vt;
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;
	struct t_suspend_state *state = w->self->state;
	int rc = CH_DONE;

	ch_add(state->why[why], 1);
	if (w->mine && why != CH_READY)
		ch_unsuspend(w->ticket);
	if (why == CH_TIMEOUT)
		rc = answer(c, "timeout");
	else if (why == CH_READY)
		rc = answer(c, result ? result : "nothing");
	free(result);
	return rc;
}

static struct wait *begin(struct ch_self *self, struct ch_ctx *c, ch_resumed fn)
{
	struct wait *w = ch_alloc(c, sizeof(*w));

	if (!w)
		return NULL;
	w->self = self;
	w->ms = query_int(c, "ms", 0);
	w->ticket = ch_suspend(c, query_int(c, "timeout", 0), fn, w);
	return w->ticket ? w : NULL;
}

static int get_timeout(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *w = begin(self, c, on_resumed);

	if (!w)
		return CH_ERROR;
	w->mine = true;
	return CH_AGAIN;
}

static int get_thread(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *w = begin(self, c, on_resumed);

	if (!w)
		return CH_ERROR;
	if (add_job(self, w->ms, query_int(c, "times", 1), w->ticket))
		return CH_AGAIN;
	ch_unsuspend(w->ticket);
	return CH_ERROR;
}

static void *work(void *data)
{
	const struct wait *w = data;
	struct timespec left = { w->ms / 1000, w->ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
	return strdup("from the pool");
}

static int get_offload(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *w = begin(self, c, on_resumed);

	if (!w)
		return CH_ERROR;
	if (ch_offload(self, work, w, w->ticket, drop))
		return CH_AGAIN;
	ch_unsuspend(w->ticket);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool's queue is full; try again");
}

/* ---- the service ---- */

static int tell_number(struct ch_ctx *c, const struct wait *w)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)w->result.number);
	return answer(c, text);
}

static int on_service(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;
	struct t_suspend_state *state = w->self->state;
	const struct t_suspend_conf *conf = w->self->conf;

	(void)result;
	ch_add((ch_is_http(c) ? state->why : state->tasks)[why], 1);
	if (why != CH_READY)
		vt(w)->cancel(conf->service, c, &w->result);
	if (!ch_is_http(c) || why == CH_GONE)
		return CH_DONE;
	return why == CH_READY ? tell_number(c, w) : answer(c, "timeout");
}

/* Asks for twice 21. CH_OK: answered inside the call. */
static int ask(struct ch_ctx *c, struct wait *w)
{
	const struct t_suspend_conf *conf = w->self->conf;
	int rc;

	w->result.size = sizeof(w->result);
	rc = vt(w)->twice(conf->service, c, 21, w->ms, &w->result, w->ticket);
	if (rc != CH_AGAIN)
		ch_unsuspend(w->ticket);
	return rc;
}

static int get_service(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_suspend_conf *conf = self->conf;
	struct wait *w;
	int rc;

	if (!conf->service)
		return ch_refuse(c, CH_E_UNAVAILABLE, 1000, "no tsvc/1 is enabled: add [t_service]");
	w = begin(self, c, on_service);
	if (!w)
		return CH_ERROR;
	rc = ask(c, w);
	return rc == CH_OK ? tell_number(c, w) : rc;
}

static int on_task(struct ch_ctx *c, void *data)
{
	const struct wait *order = data;
	struct wait *w = ch_alloc(c, sizeof(*w));
	struct t_suspend_state *state = order->self->state;
	int rc;

	*w = *order;
	free(data);
	w->ticket = ch_suspend(c, 0, on_service, w);
	rc = ask(c, w);
	if (rc == CH_OK && w->result.number == 42)
		ch_add(state->tasks[CH_READY], 1);
	return rc == CH_OK ? CH_DONE : rc;
}

static int get_task(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *order = calloc(1, sizeof(*order));

	if (!order)
		return CH_ERROR;
	order->self = self;
	order->ms = query_int(c, "ms", 0);
	if (!ch_task(self, query_int(c, "here", 0) ? ch_loop(c) : NULL, query_int(c, "timeout", 0), on_task, order, free)) {
		free(order);
		return CH_ERROR;
	}
	return ch_respond(c, 202, "text/plain", "begun", 5);
}

/* ---- promises broken ---- */

static int get_broken(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return query_is(c, "how", "again") ? CH_AGAIN : query_is(c, "how", "error") ? CH_ERROR : query_is(c, "how", "value") ? 503 : CH_OK;
}

/* ---- life ---- */

static const char *const whys[] = { "none", "ready", "timeout", "gone", NULL };

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_suspend_state *s = self->state;
	pthread_condattr_t attr;

	(void)prev;
	for (int i = CH_READY; i <= CH_GONE; i++) {
		s->why[i] = ch_series(self, M_WHY, &whys[i]);
		s->tasks[i] = ch_series(self, M_TASKS, &whys[i]);
	}
	s->late = ch_series(self, M_LATE, NULL);
	dropped = ch_series(self, M_DROPPED, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	return pthread_create(&s->thread, NULL, run, s) ? CH_ERROR : CH_OK;
}

static void stop(struct ch_self *self)
{
	struct t_suspend_state *s = self->state;

	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_suspend_conf, service, SERVICE, .def = "auto", .iface = "tsvc/1", .help = "The service that is asked"),
};

#define BY_WHY .kind = CH_COUNTER, .labels = { { "why", CH_L_FIXED, whys } }

static const struct ch_metric metrics[] = {
	[M_WHY] = { .name = "t_suspend_resumed_total", BY_WHY, .help = "Requests resumed." },
	[M_LATE] = { .name = "t_suspend_late_total", .kind = CH_COUNTER, .help = "Resumes that came too late." },
	[M_DROPPED] = { .name = "t_suspend_dropped_total", .kind = CH_COUNTER, .help = "Results dropped." },
	[M_TASKS] = { .name = "t_suspend_tasks_total", BY_WHY, .help = "Tasks resumed." },
};

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/suspend", .fn = get_timeout, .summary = "Waits" },
	{ .method = "GET", .pattern = "/suspend/thread", .fn = get_thread, .summary = "Waits for a thread" },
	{ .method = "GET", .pattern = "/suspend/offload", .fn = get_offload, .summary = "Waits for the pool" },
	{ .method = "GET", .pattern = "/suspend/service", .fn = get_service, .summary = "Waits for a service" },
	{ .method = "GET", .pattern = "/suspend/task", .fn = get_task, .summary = "Starts a task" },
	{ .method = "GET", .pattern = "/suspend/broken", .fn = get_broken, .summary = "Breaks the rules" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_suspend",
	.version = "0.1",
	.summary = "Test: waiting",
	.conf_size = sizeof(struct t_suspend_conf),
	.state_size = sizeof(struct t_suspend_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = start,
	.stop = stop,
};

CH_PLUGIN(t_suspend, plugin)
