/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/degraded.h"
#include "core/plugin/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PING_MS 250
#define NAME_US 500000   /* whoever takes longer is named: within a second, whenever the next look is */
#define STALL_US 1000000 /* a turn that takes longer is a stall */

static pthread_t threads[CHI_MAX_LOOPS];
static struct beat {
	struct chi_msg msg;
	_Atomic int64_t sent;     /* 0: none is out */
	bool told;                /* who holds it up was named */
	unsigned lag_series;
} beats[CHI_MAX_LOOPS];
static struct ch_timer ping_timer;
static unsigned stalled_series;
static const struct ch_metric blocked = { .name = "chimera_loop_blocked_total",
	.kind = CH_COUNTER,
	.labels = { { "plugin", CH_L_HOST, NULL } },
	.help = "Turns of a worker loop that a plugin held up for more than half a second" };
static int64_t watchdog_at, beat_due;
static atomic_uint stalled;

/* ---- heartbeats, on the house loop ---- */

static void on_ping(struct ch_loop *l, struct chi_msg *m)
{
	struct beat *b = (struct beat *)m;
	atomic_store_explicit(&l->lag, chi_clock() - atomic_load(&b->sent), memory_order_relaxed);
	atomic_store(&b->sent, 0);
}

static void name_blocker(struct ch_loop *l, int64_t took)
{
	const char *plugin = atomic_load_explicit(&l->busy_plugin, memory_order_relaxed);
	const char *hook = atomic_load_explicit(&l->busy_hook, memory_order_relaxed);
	char err[200];
	chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = plugin },
		"%s has been blocked for %.1f s by %s%s%s: its requests wait; no hook may block, use ch_offload", l->name, (double)took / 1e6,
		plugin ? plugin : "the core", plugin ? "'s hook " : "", plugin && hook ? hook : "");
	chi_metrics_add(chi_metrics_series(chi_metrics_family(&blocked, err, sizeof err), (const char *const[]){ plugin ? plugin : "other" }), 1);
}

static void look_at(struct ch_loop *l, struct beat *b, int64_t now)
{
	int64_t sent = atomic_load(&b->sent), since = atomic_load_explicit(&l->busy_since, memory_order_relaxed);
	if (sent && now - sent > atomic_load_explicit(&l->lag, memory_order_relaxed))
		atomic_store_explicit(&l->lag, now - sent, memory_order_relaxed);
	chi_metrics_set(b->lag_series, (double)atomic_load_explicit(&l->lag, memory_order_relaxed) / 1e6);
	int64_t took = since ? now - since : 0;
	if (took > NAME_US && !b->told)
		name_blocker(l, took);
	b->told = took > NAME_US;
	atomic_fetch_add(&stalled, took > STALL_US);
	if (!sent) {
		atomic_store(&b->sent, now);
		chi_loop_send(l, &b->msg);
	}
}

void chi_loops_watch_house(void)
{
	static bool told;
	struct ch_loop *house = atomic_load(&chi_daemon.ready) ? chi_around.loops[chi_around.nloops - 1] : NULL;
	int64_t since = house ? atomic_load_explicit(&house->busy_since, memory_order_relaxed) : 0, took = since ? chi_clock() - since : 0;
	if (took > NAME_US && !told)
		name_blocker(house, took);
	told = took > NAME_US;
}

static void on_beat(void *data)
{
	(void)data;
	int64_t now = chi_clock(), interval = chi_watchdog_interval();
	atomic_store(&stalled, 0);
	if (beat_due) { /* the house loop measures itself by how late this timer is */
		struct ch_loop *house = chi_around.loops[chi_around.nloops - 1];
		atomic_store_explicit(&house->lag, now > beat_due ? now - beat_due : 0, memory_order_relaxed);
		chi_metrics_set(beats[house->index].lag_series, (double)house->lag / 1e6);
	}
	for (unsigned i = 0; i + 1 < chi_around.nloops; i++)
		look_at(chi_around.loops[i], &beats[i], now);
	chi_metrics_set(stalled_series, atomic_load(&stalled));
	chi_degraded_tick();
	if (interval && now >= watchdog_at && !atomic_load(&stalled)) {
		watchdog_at = now + interval;
		chi_notify("WATCHDOG=1"); /* not while a worker is stalled: the manager restarts us then */
	}
	int64_t next = interval && interval / 1000 < PING_MS ? interval / 1000 : PING_MS;
	beat_due = now + next * 1000;
	chi_timer_set(&ping_timer, next);
}

unsigned chi_loops_stalled(void)
{
	return atomic_load(&stalled);
}

double chi_loops_lag(void)
{
	int64_t worst = 0;
	for (unsigned i = 0; i + 1 < chi_around.nloops; i++) {
		int64_t lag = atomic_load_explicit(&chi_around.loops[i]->lag, memory_order_relaxed);
		worst = lag > worst ? lag : worst;
	}
	return (double)worst / 1e6;
}

static void beats_init(void)
{
	static const struct ch_metric table[] = {
		{ .name = "chimera_loop_lag_seconds", .kind = CH_GAUGE, .labels = { { "loop", CH_L_CONFIG, NULL } },
		  .help = "How long the loop's last heartbeat waited" },
		{ .name = "chimera_loops_stalled", .kind = CH_GAUGE, .help = "Worker loops that are blocked for more than a second" },
	};
	char err[200];
	const struct chi_family *lag = chi_metrics_family(&table[0], err, sizeof err);
	stalled_series = chi_metrics_series(chi_metrics_family(&table[1], err, sizeof err), NULL);
	for (unsigned i = 0; i < chi_around.nloops; i++) {
		beats[i].msg.fn = on_ping;
		beats[i].lag_series = chi_metrics_series(lag, (const char *const[]){ chi_around.loops[i]->name });
	}
}

static void house_begins(void *data)
{
	struct ch_loop *house = data;
	chi_timer_init(&ping_timer, house, on_beat, NULL);
	chi_timer_set(&ping_timer, 0);
	chi_checks_start(house);
}

/* ---- threads ---- */

static void *run(void *arg)
{
	struct ch_loop *l = arg;
	char name[16];
	snprintf(name, sizeof name, "%.15s", l->name);
	pthread_setname_np(pthread_self(), name);
	chi_loop_run(l);
	return NULL;
}

bool chi_loops_start(const struct chi_conf *conf, char *why, size_t cap)
{
	unsigned n = conf->server->workers > 0 ? (unsigned)conf->server->workers : chi_cores();
	chi_daemon.nworkers = n;
	for (unsigned i = 0; i <= n; i++) {
		char name[16];
		snprintf(name, sizeof name, i < n ? "worker-%u" : "house", i % 100);
		struct ch_loop *l = chi_loop_new(i, name);
		if (!l || !chi_slots_new(l) || !chi_http_new(l, &chi_daemon.shared)) {
			snprintf(why, cap, "no memory for loop %s", name);
			return false;
		}
		chi_around.loops[chi_around.nloops++] = l;
	}
	beats_init();
	chi_loop_post(chi_around.loops[n], house_begins, chi_around.loops[n]);
	for (unsigned i = 0; i <= n; i++) {
		int rc = pthread_create(&threads[i], NULL, run, chi_around.loops[i]);
		if (rc) {
			snprintf(why, cap, "no thread for %s: %s", chi_around.loops[i]->name, strerror(rc));
			return false;
		}
	}
	return true;
}

/* ---- the same thing on every loop, and wait ---- */

struct everywhere {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned left;
	void (*fn)(struct ch_loop *, void *);
	void *arg;
};

struct errand {
	struct everywhere *e;
	struct ch_loop *loop;
};

static void on_errand(void *data)
{
	struct errand *r = data;
	struct everywhere *e = r->e;
	e->fn(r->loop, e->arg);
	pthread_mutex_lock(&e->lock);
	if (--e->left == 0)
		pthread_cond_signal(&e->done);
	pthread_mutex_unlock(&e->lock);
}

static void everywhere(void (*fn)(struct ch_loop *, void *), void *arg)
{
	struct everywhere e = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .left = chi_around.nloops, .fn = fn, .arg = arg
	};
	struct errand v[CHI_MAX_LOOPS];
	for (unsigned i = 0; i < chi_around.nloops; i++) {
		v[i] = (struct errand){ &e, chi_around.loops[i] };
		if (!chi_loop_post(chi_around.loops[i], on_errand, &v[i]))
			abort();
	}
	pthread_mutex_lock(&e.lock);
	while (e.left)
		pthread_cond_wait(&e.done, &e.lock);
	pthread_mutex_unlock(&e.lock);
	pthread_mutex_destroy(&e.lock);
	pthread_cond_destroy(&e.done);
}

static void enter(struct ch_loop *l, void *arg)
{
	struct chi_gen *g = arg;
	chi_http_configure(l->http, g);
	if (l->index + 1 == chi_around.nloops)
		chi_checks_generation(g); /* before the old one may go */
	chi_gen_enter(l, g);
}

void chi_loops_enter(struct chi_gen *g)
{
	atomic_store(&g->loops_left, chi_around.nloops);
	everywhere(enter, g);
}

static void nothing(struct ch_loop *l, void *arg)
{
	(void)l;
	(void)arg;
}

void chi_loops_flush(void)
{
	everywhere(nothing, NULL);
}

struct new_listener {
	int fd, cls;
	unsigned loop;
	bool is_unix, inherited, ok;
};

static void listen_here(struct ch_loop *l, void *arg)
{
	struct new_listener *n = arg;
	if (l->index == n->loop)
		n->ok = chi_http_listen(l->http, n->fd, n->cls, n->is_unix, n->inherited);
}

bool chi_loops_add_listener(int fd, unsigned loop, int cls, bool is_unix, bool inherited)
{
	struct new_listener n = { fd, cls, loop, is_unix, inherited, false };
	everywhere(listen_here, &n);
	return n.ok;
}

static void stop_listening(struct ch_loop *l, void *arg)
{
	(void)arg;
	if (l->index + 1 == chi_around.nloops)
		return; /* probes and the control socket answer to the end */
	chi_http_close_listeners(l->http);
	chi_http_close_idle(l->http);
}

void chi_loops_listen_stop(void)
{
	everywhere(stop_listening, NULL);
}

size_t chi_loops_busy(void)
{
	size_t n = 0;
	for (unsigned i = 0; i + 1 < chi_around.nloops; i++)
		n += atomic_load(&((struct chi_http *)chi_around.loops[i]->http)->nconns);
	return n;
}

static void close_all(struct ch_loop *l, void *arg)
{
	(void)arg;
	chi_http_close_listeners(l->http);
	chi_http_close_all(l->http);
	chi_tasks_gone(l);
	if (l->index + 1 == chi_around.nloops) {
		chi_timer_set(&ping_timer, -1);
		chi_checks_stop();
	}
}

static void let_go(struct ch_loop *l, void *arg)
{
	(void)arg;
	chi_gen_leave(l);
}

void chi_loops_empty(void)
{
	everywhere(close_all, NULL);
	everywhere(let_go, NULL); /* a turn later: requests that lost their client have heard so */
}

void chi_loops_stop(void)
{
	for (unsigned i = 0; i < chi_around.nloops; i++)
		chi_loop_stop(chi_around.loops[i]);
	for (unsigned i = 0; i < chi_around.nloops; i++)
		pthread_join(threads[i], NULL);
}
