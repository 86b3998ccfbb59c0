/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a backend among threads: four loops, each with many questions, ask for places, wait, are told, time out, die with a place
 * on its way to them, and hand on, while a fifth thread disables, enables, resets and settles. Tickets are a model of the core's: one word,
 * moved by compare-and-swap. At no time are there more holders than places; at the end nothing is left and nobody waits for ever. The
 * host's functions are of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "backend.h"

enum { THREADS = 4, QUESTIONS = 16, HELD = 20000, PLACES = 5, ROOM = 20 };
#define PATIENCE_US 20000000
enum { FREE, ARMED, READY, SPENT, CONFIRMED };
enum { IN_FLIGHT_SERIES, WAITING_SERIES, BREAKER_SERIES, SERIES };

/* ---- the host ---- */

static struct router_backend b;
static atomic_int tickets[THREADS * QUESTIONS + 1], sums[SERIES], holders, held, most, told_late;
static _Thread_local uint64_t random_state = 1;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static uint64_t any(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 11;
}

static bool resume(ch_ticket t, void *result, ch_fn drop)
{
	int state = ARMED;
	if (any() % 16 == 0) /* a chance for the one who waits to give up just now */
		for (int i = 0; i < 10 && atomic_load(&tickets[t]) == ARMED; i++)
			sched_yield();
	if (atomic_compare_exchange_strong(&tickets[t], &state, READY))
		return true;
	if (state != SPENT)
		abort(); /* twice, or after it was taken back */
	atomic_fetch_add(&told_late, 1);
	drop(result);
	atomic_store(&tickets[t], CONFIRMED); /* from here on its memory may go */
	return false;
}

static void add(unsigned series, double v)
{
	atomic_fetch_add(&sums[series], (int)v);
}

static void set(unsigned series, double v)
{
	atomic_store(&sums[series], (int)v);
}

static void degraded(struct ch_self *self, const char *what, bool down, const char *fmt, va_list ap)
{
	(void)self;
	(void)what;
	(void)down;
	(void)fmt;
	(void)ap;
}

static const struct ch_code_info *code_info(int code)
{
	static const struct ch_code_info row = { .size = sizeof(row), .name = "code" };
	(void)code;
	return &row;
}

static const struct ch_host host = {
	.size = sizeof(host), .now = now, .random = any, .resume = resume, .add = add, .set = set, .vdegraded = degraded,
	.code_info = code_info,
};
const struct ch_host *ch_host_ = &host;

/* ---- one loop ---- */

struct question {
	bool patient; /* waits until it is told */
	enum { IDLE, WAITS, HOLDS, DYING } where; /* DYING: timed out with a place on its way: its memory stays until that is handed back */
	ch_ticket ticket;
	struct router_waiter *w;
	uint32_t pass;
};

static void hold(struct question *q, uint32_t pass)
{
	q->where = HOLDS;
	q->pass = pass;
	atomic_fetch_add(&held, 1);
	int n = atomic_fetch_add(&holders, 1) + 1;
	for (int before = atomic_load(&most); n > before && !atomic_compare_exchange_weak(&most, &before, n);)
		;
}

static void forget(struct question *q)
{
	free(q->w);
	q->w = NULL;
	q->where = IDLE;
	atomic_store(&tickets[q->ticket], FREE);
}

static void enter(struct question *q)
{
	uint32_t pass = 0;
	enum router_entered how = router_backend_enter(&b, NULL, now(), &pass);

	if (how == ROUTER_FULL && any() % 4) {
		q->w = calloc(1, sizeof(*q->w));
		q->w->ticket = q->ticket;
		atomic_store(&tickets[q->ticket], ARMED);
		q->where = WAITS;
		how = router_backend_enter(&b, q->w, now(), &pass);
		if (how != ROUTER_WAITS)
			forget(q);
	}
	if (how == ROUTER_IN)
		hold(q, pass);
}

/* Its ticket was resumed. */
static void told(struct question *q)
{
	uint32_t pass = q->w->pass;
	bool dead = any() % 8 == 0; /* the ctx has ended meanwhile: the result is dropped */

	if (dead)
		router_waiter_drop(q->w);
	forget(q);
	if (pass && !dead)
		hold(q, pass);
}

static void time_out(struct question *q)
{
	int state = ARMED;
	if (!atomic_compare_exchange_strong(&tickets[q->ticket], &state, SPENT))
		return; /* it was resumed just now */
	if (router_backend_unwait(q->w))
		forget(q);
	else
		q->where = DYING;
}

static void leave(struct question *q)
{
	enum router_verdict verdict = any() % 40 == 0 ? ROUTER_V_FAILED : any() % 10 == 0 ? ROUTER_V_UNKNOWN : ROUTER_V_OK;

	atomic_fetch_sub(&holders, 1);
	q->where = IDLE;
	if (any() % 4 == 0)
		router_backend_first(&b, &q->pass, 1000, now());
	router_backend_leave(&b, q->pass, verdict, 1 + (int64_t)(any() % 1000), verdict == ROUTER_V_FAILED ? CH_E_UPSTREAM_ERROR : 0,
		now());
}

static void step(struct question *q, bool enough)
{
	switch (q->where) {
	case IDLE:
		if (!enough)
			enter(q);
		break;
	case HOLDS:
		leave(q);
		break;
	case WAITS:
		if (atomic_load(&tickets[q->ticket]) == READY)
			told(q);
		else if (!q->patient && any() % 8 == 0)
			time_out(q);
		break;
	default:
		if (atomic_load(&tickets[q->ticket]) == CONFIRMED)
			forget(q);
	}
}

static void *loop(void *arg)
{
	unsigned index = (unsigned)(uintptr_t)arg;
	struct question q[QUESTIONS] = { { 0 } };
	bool busy = true;

	random_state = index + 1;
	for (unsigned i = 0; i < QUESTIONS; i++) {
		q[i].ticket = 1 + index * QUESTIONS + i;
		q[i].patient = i % 2;
	}
	while (atomic_load(&held) < HELD) {
		for (unsigned n = 0; n < 8; n++)
			step(&q[any() % QUESTIONS], false);
		sched_yield(); /* on few cores, too, they shall meet */
	}
	for (int64_t until = now() + PATIENCE_US; busy;) {
		if (now() > until)
			abort(); /* somebody waits for ever */
		busy = false;
		for (unsigned i = 0; i < QUESTIONS; i++) {
			step(&q[i], true);
			busy |= q[i].where != IDLE;
		}
	}
	return NULL;
}

/* ---- commands and reloads meanwhile ---- */

static const struct ch_breaker_conf breaker = {
	.failures = 3, .error_rate = 0.2, .min_requests = 10, .cooldown_us = 200, .probe_us = 1000,
};

static void *operate(void *arg)
{
	(void)arg;
	random_state = 99;
	while (atomic_load(&held) < HELD) { /* then those who wait have only each other */
		struct timespec pause = { 0, 50000 };
		uint64_t what = any() % 8;

		if (what < 2)
			router_backend_disable(&b, what == 0);
		else if (what == 2)
			router_backend_reset(&b);
		else if (what == 3)
			router_backend_settle(&b, &breaker);
		else if (what > 5)
			router_backend_disable(&b, false);
		(void)router_backend_usable(&b, now());
		nanosleep(&pause, NULL);
	}
	router_backend_disable(&b, false);
	return NULL;
}

static void places_are_neither_lost_nor_doubled_among_threads(void **state)
{
	static const struct ch_backend_conf conf = { .weight = 1, .max_in_flight = PLACES, .max_waiting = ROOM };
	pthread_t threads[THREADS], operator;

	(void)state;
	b = (struct router_backend){ .id = "a1", .conf = &conf, .state = router_state_new("a1"),
		.series = { .breaker = BREAKER_SERIES, .in_flight = IN_FLIGHT_SERIES, .waiting = WAITING_SERIES } };
	assert_non_null(b.state);
	router_backend_settle(&b, &breaker);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, loop, (void *)(uintptr_t)i), 0);
	assert_int_equal(pthread_create(&operator, NULL, operate, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(operator, NULL);
	assert_in_range(atomic_load(&most), 2, PLACES);
	assert_true(atomic_load(&told_late) > 0);
	assert_int_equal(atomic_load(&holders), 0);
	assert_int_equal(atomic_load(&b.state->in_flight), 0);
	assert_int_equal(atomic_load(&b.state->waiting), 0);
	assert_null(b.state->first);
	assert_false(b.state->pumping);
	assert_int_equal(atomic_load(&sums[IN_FLIGHT_SERIES]), 0);
	assert_int_equal(atomic_load(&sums[WAITING_SERIES]), 0);
	assert_int_equal(atomic_load(&sums[BREAKER_SERIES]), atomic_load(&b.state->circuit));
	router_backend_release(&b);
	assert_int_equal(atomic_load(&sums[BREAKER_SERIES]), CH_BREAKER_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(places_are_neither_lost_nor_doubled_among_threads) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
