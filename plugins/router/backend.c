/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.c - what all loops share of one backend: the circuit breaker, the places, who waits for one, how fast it is.
 *
 * Places are handed out in the order in which they were asked for. A place that comes free goes to the first who waits, whatever loop he is
 * on: his ticket is resumed outside of the lock with the place already his. If he is gone by then the place comes back by the ticket's
 * drop function, and is handed on. Only one thread hands out at a time (`pumping`); who gives a place back meanwhile leaves it to that one,
 * which looks again, so a thousand who have left cost a loop and no recursion.
 */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

#include "balance.h"

const char *const router_status_names[ROUTER_STATUSES + 1] = { "ok", "error", "cancelled", NULL };
const char *const router_reason_names[ROUTER_REASONS + 1] = { "connect", "429", "5xx", "timeout", "auth", NULL };

/* ---- the circuit; under the lock ---- */

static bool refuses(const struct router_state *s, int64_t now)
{
	return ROUTER_GET(s->disabled) || now < ROUTER_GET(s->refuses_until);
}

/* To people: by the log, when it is another state than what they know. */
static void tell(const struct router_state *s)
{
	int code = ROUTER_GET(s->last_code);

	if (!s->self || s->breaker.state == CH_BREAKER_HALF_OPEN)
		return;
	if (s->breaker.state == CH_BREAKER_CLOSED)
		ch_degraded(s->self, s->id, false, "its circuit is closed, it gets questions again");
	else
		ch_degraded(s->self, s->id, true, "its circuit is open: too many failures or slow answers (last: %s)",
			code ? ch_code_info((enum ch_code)code)->name : "slow");
}

/* Behind whatever may have changed the breaker: shows it to those who do not lock, to the gauge and to people. */
static void show(struct router_state *s, int64_t now)
{
	const struct ch_breaker *b = &s->breaker;
	int64_t wait = ch_breaker_wait(b, &s->breaker_conf, now);

	ROUTER_SET(s->refuses_until, wait < 0 ? INT64_MAX : wait ? now + wait : 0);
	if (b->state == ROUTER_GET(s->circuit))
		return;
	ROUTER_SET(s->circuit, b->state);
	ch_set(s->breaker_series, b->state);
	tell(s);
}

/* ---- places; under the lock ---- */

static bool has_place(const struct router_state *s)
{
	return !s->max_in_flight || ROUTER_GET(s->in_flight) < (uint64_t)s->max_in_flight;
}

static void add(atomic_uint *n, unsigned series, int by)
{
	ROUTER_SET(*n, ROUTER_GET(*n) + (unsigned)by);
	ch_add(series, by);
}

/* A place and the breaker's leave to use it; 0: not now. */
static uint32_t take(struct router_state *s, int64_t now)
{
	uint32_t pass = ch_breaker_allow(&s->breaker, &s->breaker_conf, now);
	if (ROUTER_GET(s->circuit) != CH_BREAKER_CLOSED)
		show(s, now);
	if (pass)
		add(&s->in_flight, s->in_flight_series, 1);
	return pass;
}

static void queue(struct router_state *s, struct router_waiter *w)
{
	w->state = s;
	w->pass = 0;
	w->queued = true;
	w->next = NULL;
	w->prev = s->last;
	if (s->last)
		s->last->next = w;
	else
		s->first = w;
	s->last = w;
	add(&s->waiting, s->waiting_series, 1);
}

static void unqueue(struct router_state *s, struct router_waiter *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		s->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		s->last = w->prev;
	w->queued = false;
	add(&s->waiting, s->waiting_series, -1);
}

/* Hands out what places there are; where none will come, sends those who wait elsewhere. Lets the lock go meanwhile. */
static void pump(struct router_state *s)
{
	if (s->pumping || !s->first)
		return;
	s->pumping = true;
	while (s->first) {
		struct router_waiter *w = s->first;
		int64_t now = ch_now();
		bool refused = refuses(s, now);
		if (!refused && !has_place(s))
			break;
		unqueue(s, w);
		w->pass = refused ? 0 : take(s, now);
		pthread_mutex_unlock(&s->lock);
		ch_resume(w->ticket, w, router_waiter_drop);
		pthread_mutex_lock(&s->lock);
	}
	s->pumping = false;
}

void router_waiter_drop(void *data)
{
	struct router_waiter *w = data;
	struct router_state *s = w->state;
	if (!w->pass)
		return;
	pthread_mutex_lock(&s->lock);
	ch_breaker_cancelled(&s->breaker, w->pass);
	w->pass = 0;
	add(&s->in_flight, s->in_flight_series, -1);
	show(s, ch_now());
	pump(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- life ---- */

struct router_state *router_state_new(const char *id)
{
	struct router_state *s = calloc(1, sizeof(*s));
	if (!s || !(s->id = strdup(id))) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	atomic_init(&s->refs, 1);
	return s;
}

void router_backend_release(struct router_backend *b)
{
	struct router_state *s = b->state;
	b->state = NULL;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->self == b->self)
		s->self = NULL;
	pthread_mutex_unlock(&s->lock);
	if (atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	if (ROUTER_GET(s->circuit) != CH_BREAKER_CLOSED)
		ch_set(s->breaker_series, CH_BREAKER_CLOSED); /* of a backend that is no more nobody is to be warned */
	pthread_mutex_destroy(&s->lock);
	free(s->id);
	free(s);
}

void router_backend_settle(struct router_backend *b, const struct ch_breaker_conf *conf)
{
	struct router_state *s = b->state;
	pthread_mutex_lock(&s->lock);
	s->self = b->self;
	s->breaker_conf = *conf;
	if (!conf->probe_us)
		s->breaker_conf.probe_us = conf->cooldown_us;
	s->max_in_flight = b->conf->max_in_flight;
	s->max_waiting = b->conf->max_waiting;
	s->breaker_series = b->series.breaker;
	s->in_flight_series = b->series.in_flight;
	s->waiting_series = b->series.waiting;
	show(s, ch_now());
	tell(s); /* what its predecessor has told goes with that one */
	pump(s);
	pthread_mutex_unlock(&s->lock);
}

void router_backend_adopt(struct router_backend *b, const struct router_backend *prev)
{
	router_backend_release(b);
	b->state = prev->state;
	atomic_fetch_add(&b->state->refs, 1);
}

/* ---- commands, health ---- */

void router_backend_disable(struct router_backend *b, bool disabled)
{
	struct router_state *s = b->state;
	pthread_mutex_lock(&s->lock);
	ROUTER_SET(s->disabled, disabled);
	pump(s);
	pthread_mutex_unlock(&s->lock);
}

void router_backend_reset(struct router_backend *b)
{
	struct router_state *s = b->state;
	pthread_mutex_lock(&s->lock);
	/* Another epoch: the passes that are out are none of it. */
	s->breaker = (struct ch_breaker){ .epoch = (s->breaker.epoch + 1) & INT32_MAX, .since = ch_now() };
	ROUTER_SET(s->latency, 0);
	show(s, ch_now());
	pump(s);
	pthread_mutex_unlock(&s->lock);
}

bool router_backend_usable(const struct router_backend *b, int64_t now)
{
	return !refuses(b->state, now);
}

/* ---- a question's way ---- */

enum router_entered router_backend_enter(struct router_backend *b, struct router_waiter *w, int64_t now, uint32_t *pass)
{
	struct router_state *s = b->state;
	enum router_entered how = ROUTER_REFUSED;

	pthread_mutex_lock(&s->lock);
	if (!refuses(s, now)) {
		if (!s->first && has_place(s)) {
			*pass = take(s, now);
			how = *pass ? ROUTER_IN : ROUTER_REFUSED;
		} else if (w && ROUTER_GET(s->waiting) < (uint64_t)s->max_waiting) {
			queue(s, w);
			how = ROUTER_WAITS;
		} else {
			how = ROUTER_FULL;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return how;
}

bool router_backend_unwait(struct router_waiter *w)
{
	struct router_state *s = w->state;
	pthread_mutex_lock(&s->lock);
	bool mine = w->queued;
	if (mine)
		unqueue(s, w);
	pthread_mutex_unlock(&s->lock);
	return mine;
}

static void report(struct router_state *s, uint32_t pass, bool ok, int64_t took_us, int64_t now)
{
	ch_breaker_report(&s->breaker, &s->breaker_conf, pass, ch_breaker_judge(&s->breaker_conf, ok, took_us), now, (uint32_t)ch_random());
}

static void measure(struct router_state *s, bool ok, int64_t took_us, int64_t now)
{
	int64_t avg = ROUTER_GET(s->latency);
	int64_t age = now - ROUTER_GET(s->latency_at);

	if (!ok && took_us < router_latency_now(avg, age))
		return; /* failing fast is not being fast */
	ROUTER_SET(s->latency, router_latency_add(avg, age, took_us));
	ROUTER_SET(s->latency_at, now);
}

void router_backend_first(struct router_backend *b, uint32_t *pass, int64_t took_us, int64_t now)
{
	struct router_state *s = b->state;
	if (ROUTER_GET(s->circuit) == CH_BREAKER_CLOSED)
		return;
	pthread_mutex_lock(&s->lock);
	report(s, *pass, true, took_us, now);
	*pass = s->breaker.state == CH_BREAKER_CLOSED ? ch_breaker_allow(&s->breaker, &s->breaker_conf, now) : 0;
	show(s, now);
	pump(s);
	pthread_mutex_unlock(&s->lock);
}

void router_backend_leave(struct router_backend *b, uint32_t pass, enum router_verdict verdict, int64_t took_us, int code, int64_t now)
{
	struct router_state *s = b->state;
	bool ok = verdict == ROUTER_V_OK;

	pthread_mutex_lock(&s->lock);
	ROUTER_SET(s->calls, ROUTER_GET(s->calls) + 1);
	if (code) {
		ROUTER_SET(s->failures, ROUTER_GET(s->failures) + 1);
		ROUTER_SET(s->last_code, code);
	}
	if (verdict == ROUTER_V_UNKNOWN) {
		ch_breaker_cancelled(&s->breaker, pass);
	} else {
		report(s, pass, ok, took_us, now);
		measure(s, ok, took_us, now);
	}
	if (s->breaker.state != CH_BREAKER_CLOSED || ROUTER_GET(s->circuit) != CH_BREAKER_CLOSED)
		show(s, now);
	add(&s->in_flight, s->in_flight_series, -1);
	pump(s);
	pthread_mutex_unlock(&s->lock);
}
