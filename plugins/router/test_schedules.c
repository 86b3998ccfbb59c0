/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many random schedules: backends that answer, fail, hang and stream as they like, callers that leave, time out, pause and give up, limits
 * and circuits, disabling and reloads in between. Whatever happens, the invariants hold: world_free checks that each question ended once,
 * each ticket was resumed once, and no place, gauge, timer or ctx is left; the scripted backend, that no question is asked twice at once or
 * behind its first delta. SCHEDULES=n for more of them, SEED=n for one alone.
 */
#include "test_way.h"

struct world w;

static uint64_t state_;

static unsigned pick(unsigned n)
{
	state_ ^= state_ << 13;
	state_ ^= state_ >> 7;
	state_ ^= state_ << 17;
	return (unsigned)((state_ >> 11) % n);
}

static struct step random_step(void)
{
	static const int codes[] = { CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_RATE_LIMITED, CH_E_UPSTREAM_BUSY, CH_E_UPSTREAM_ERROR,
		CH_E_UPSTREAM_INVALID, CH_E_UPSTREAM_TIMEOUT, CH_E_UPSTREAM_AUTH, CH_E_BAD_REQUEST, CH_E_OVERLOADED };
	struct step s = { .ms = pick(3) ? pick(60) : 0 };

	if (pick(2))
		s.code = codes[pick(sizeof(codes) / sizeof(codes[0]))];
	if (pick(3) == 0)
		s.deltas = pick(4);
	s.hangs = pick(8) == 0;
	s.broken = pick(20) == 0;
	if (s.code && pick(4) == 0)
		s.retry_after_ms = pick(3) ? pick(3000) : 120000;
	return s;
}

enum { RETRIES = 2, FALLBACKS = 2 };

static void make_world(char *ini, size_t n)
{
	static const char *const balances[] = { "weighted", "least_in_flight", "ewma", "in_order" };

	world_new(BACKENDS);
	for (unsigned i = 0; i < BACKENDS; i++) {
		struct backend *b = &w.b[i];
		b->conf.max_in_flight = pick(3) ? 1 + pick(3) : 0;
		b->conf.max_waiting = pick(3);
		b->conf.weight = 1 + pick(5);
		b->conf.timeout = pick(4) ? 0 : 30 + pick(100);
		b->nsteps = STEPS;
		for (unsigned k = 0; k < STEPS; k++)
			b->script[k] = pick(3) ? random_step() : (struct step){ .ms = pick(40) };
	}
	snprintf(ini, n,
		"retries = %d\nbalance = %s\ntimeout = %ums\nbudget = %ums\n"
		"breaker_failures = %u\nbreaker_cooldown = %ums\nbreaker_slow = %ums\n"
		"[router.m]\nbackends = a1, b1%s\nfallback = c1, d1",
		RETRIES, balances[pick(4)], 50 + pick(400), 100 + pick(1000), pick(8), 20 + pick(300), pick(3) ? 0 : 20 + pick(40),
		pick(2) ? "/other" : "");
}

static void any_cancel(void *data)
{
	struct question *q = data;
	if (!q->ended)
		give_up(q);
}

static void any_go_on(void *data)
{
	struct question *q = data;
	q->pauses = false;
	if (!q->ended)
		go_on(q);
}

static void ask_any(void)
{
	struct question *q = question();

	q->streams = pick(2);
	q->pauses = pick(6) == 0;
	q->cancels = pick(12) == 0;
	q->ticket_ms = pick(5) ? 0 : 1 + pick(200);
	q->deadline_ms = pick(8) ? 0 : 1 + pick(300);
	q->args.budget_ms = pick(6) ? 0 : 1 + pick(300);
	q->args.retry = pick(6) == 0;
	ask(q);
}

static void act(const char *ini)
{
	static const char *const verbs[] = { "disable", "enable", "reset" };
	struct question *any = w.n ? &w.q[pick(w.n)] : NULL;
	const char *text;

	switch (pick(12)) {
	case 0:
		if (any)
			ch_test_leave(any->a);
		break;
	case 1:
		if (any && any->c && !any->ended)
			ch_test_on_loop(w.t, any_cancel, any);
		break;
	case 2:
	case 3:
		if (any && any->c && !any->ended)
			ch_test_on_loop(w.t, any_go_on, any);
		break;
	case 4:
		if (pick(4) == 0)
			ch_test_command(w.t, &text, "router", "backends", verbs[pick(3)], w.b[pick(BACKENDS)].id, NULL);
		break;
	case 5:
		if (pick(10) == 0) {
			char other[2048];
			snprintf(other, sizeof(other), "connect_timeout = %us\n%s", 1 + pick(50), ini);
			world_start(other);
		}
		break;
	default:
		if (w.n < QUESTIONS)
			ask_any();
	}
	ch_test_advance(w.t, pick(3) ? pick(30) : 0);
}

static void run(uint64_t seed)
{
	char ini[1024];

	state_ = seed * 0x9e3779b97f4a7c15u | 1;
	make_world(ini, sizeof(ini));
	world_start(ini);
	while (w.n < QUESTIONS)
		act(ini);
	for (unsigned i = 0; i < w.n; i++) /* whoever is paused goes on */
		if (!w.q[i].ended)
			ch_test_on_loop(w.t, any_go_on, &w.q[i]);
	ch_test_advance(w.t, 5000);
	for (unsigned i = 0; i < w.n; i++) {
		const struct question *q = &w.q[i];
		assert_in_range(q->attempts, 0, 1 + RETRIES + FALLBACKS);
		assert_int_equal(q->attempts, q->out.attempts);
	}
	world_free();
}

static uint64_t seed_now;

static void say_seed(void)
{
	if (seed_now)
		fprintf(stderr, "test_schedules: it was SEED=%llu\n", (unsigned long long)seed_now);
}

/* The harness's own judgement. */
static void on_failure(const char *sentence)
{
	fail_msg("%s", sentence);
}

static void whatever_happens_the_invariants_hold(void **state)
{
	const char *one = getenv("SEED"), *many = getenv("SCHEDULES");
	uint64_t n = many ? strtoull(many, NULL, 10) : 150;

	(void)state;
	ch_test_on_failure(on_failure);
	for (uint64_t i = 1; i <= (one ? 1 : n); i++) {
		seed_now = one ? strtoull(one, NULL, 10) : i;
		run(seed_now);
	}
	seed_now = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whatever_happens_the_invariants_hold) };
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	say_seed();
	return rc;
}
