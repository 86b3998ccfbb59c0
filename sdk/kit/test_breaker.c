/* SPDX-License-Identifier: MIT */
/* Unit tests of the circuit breaker. Each is named after the fact it states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "chimera/kit/breaker.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

/* As in example.ini. */
static const struct ch_breaker_conf usual = {
	.failures = 5, .error_rate = 0.5, .min_requests = 20, .window_us = 10 * SECOND, .cooldown_us = 10 * SECOND,
};

/* One whole call; it must be let through. Returns whether the state changed. */
static bool call(struct ch_breaker *b, const struct ch_breaker_conf *c, enum ch_breaker_outcome outcome, int64_t now)
{
	uint32_t pass = ch_breaker_allow(b, c, now);

	assert_true(pass != 0);
	return ch_breaker_report(b, c, pass, outcome, now, 0);
}

static void calls(struct ch_breaker *b, const struct ch_breaker_conf *c, int n, enum ch_breaker_outcome outcome, int64_t now)
{
	while (n--)
		call(b, c, outcome, now);
}

static struct ch_breaker opened(const struct ch_breaker_conf *c, int64_t now)
{
	struct ch_breaker b = { 0 };

	while (b.state == CH_BREAKER_CLOSED)
		call(&b, c, CH_BREAKER_FAILED, now);
	return b;
}

static void is(const struct ch_breaker *b, int state)
{
	assert_string_equal(ch_breaker_state_name(b->state), ch_breaker_state_name(state));
}

/* ---- closed ---- */

static void failures_in_a_row_open_it(void **state)
{
	struct ch_breaker b = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_false(call(&b, &usual, CH_BREAKER_FAILED, i));
	is(&b, CH_BREAKER_CLOSED);
	assert_true(call(&b, &usual, CH_BREAKER_FAILED, 4));
	is(&b, CH_BREAKER_OPEN);
}

static void a_success_begins_the_row_anew(void **state)
{
	struct ch_breaker b = { 0 };

	(void)state;
	calls(&b, &usual, 4, CH_BREAKER_FAILED, 0);
	call(&b, &usual, CH_BREAKER_OK, 0);
	calls(&b, &usual, 4, CH_BREAKER_FAILED, 0);
	is(&b, CH_BREAKER_CLOSED);
	call(&b, &usual, CH_BREAKER_FAILED, 0);
	is(&b, CH_BREAKER_OPEN);
}

static void half_of_the_calls_failing_opens_it_from_the_least_number_on(void **state)
{
	struct ch_breaker b = { 0 };

	(void)state;
	/* 19 calls, each second one failed: too few to judge. */
	for (int i = 0; i < 19; i++)
		call(&b, &usual, i % 2 ? CH_BREAKER_FAILED : CH_BREAKER_OK, i);
	is(&b, CH_BREAKER_CLOSED);
	assert_true(call(&b, &usual, CH_BREAKER_FAILED, 19)); /* the 10th of 20 */
	is(&b, CH_BREAKER_OPEN);
}

static void less_than_the_rate_does_not_open_it(void **state)
{
	struct ch_breaker b = { 0 };

	(void)state;
	/* 49 of 99, 499 of 999, ...: always below one half when a failure is counted. */
	for (int i = 0; i < 1000; i++) {
		call(&b, &usual, CH_BREAKER_OK, i);
		if (i)
			call(&b, &usual, CH_BREAKER_FAILED, i);
	}
	is(&b, CH_BREAKER_CLOSED);
}

static void a_success_never_opens_it(void **state)
{
	struct ch_breaker b = { 0 };
	struct ch_breaker_conf c = usual;

	(void)state;
	c.failures = 0;
	calls(&b, &c, 19, CH_BREAKER_FAILED, 0);
	assert_false(call(&b, &c, CH_BREAKER_OK, 0)); /* 19 of 20 failed */
	is(&b, CH_BREAKER_CLOSED);
	assert_true(call(&b, &c, CH_BREAKER_FAILED, 0));
}

static void failures_leave_the_window_with_their_time(void **state)
{
	struct ch_breaker b = { 0 };
	struct ch_breaker_conf c = usual;

	(void)state;
	c.failures = 0;
	calls(&b, &c, 15, CH_BREAKER_FAILED, 100 * SECOND);
	calls(&b, &c, 4, CH_BREAKER_OK, 108 * SECOND);
	/* 10 s after the first ones they are forgotten: of 5 calls 1 failed. */
	assert_false(call(&b, &c, CH_BREAKER_FAILED, 110 * SECOND));
	is(&b, CH_BREAKER_CLOSED);
	assert_int_equal(b.window.calls, 5);
	assert_int_equal(b.window.failed, 1);
}

static void failures_stay_for_nine_tenths_of_the_window_at_least(void **state)
{
	struct ch_breaker b = { 0 };
	struct ch_breaker_conf c = usual;

	(void)state;
	c.failures = 0;
	/* In the last microsecond of a tenth. */
	call(&b, &c, CH_BREAKER_OK, 100 * SECOND);
	calls(&b, &c, 18, CH_BREAKER_FAILED, 101 * SECOND - 1);
	assert_true(call(&b, &c, CH_BREAKER_FAILED, 110 * SECOND - 1));
	is(&b, CH_BREAKER_OPEN);
}

static void the_window_is_always_the_sum_of_its_tenths(void **state)
{
	struct ch_breaker b = { 0 };
	struct ch_breaker_conf c = { .error_rate = 1, .min_requests = 1000000, .window_us = 1000 };
	uint32_t at[2000] = { 0 };

	(void)state;
	/* A call each 37 us; tenths begin at multiples of 100 us behind the first call. */
	for (int64_t now = 0; now < 70000; now += 37) {
		uint32_t sum = 0;

		call(&b, &c, now % 3 ? CH_BREAKER_OK : CH_BREAKER_FAILED, now);
		at[now / 100]++;
		for (int64_t i = now / 100 - 9; i <= now / 100; i++)
			sum += i >= 0 ? at[i] : 0;
		assert_int_equal(b.window.calls, sum);
	}
}

static void slow_calls_fail_only_where_a_threshold_is_set(void **state)
{
	struct ch_breaker b = { 0 };
	struct ch_breaker_conf c = usual;

	(void)state;
	calls(&b, &c, 100, CH_BREAKER_SLOW, 0);
	is(&b, CH_BREAKER_CLOSED);
	assert_int_equal(ch_breaker_judge(&c, true, INT64_MAX), CH_BREAKER_OK);
	assert_int_equal(ch_breaker_judge(&c, false, 0), CH_BREAKER_FAILED);
	c.slow_us = 2 * SECOND;
	assert_int_equal(ch_breaker_judge(&c, true, 2 * SECOND), CH_BREAKER_OK);
	assert_int_equal(ch_breaker_judge(&c, true, 2 * SECOND + 1), CH_BREAKER_SLOW);
	assert_int_equal(ch_breaker_judge(&c, false, 2 * SECOND + 1), CH_BREAKER_FAILED);
	calls(&b, &c, 5, CH_BREAKER_SLOW, 0);
	is(&b, CH_BREAKER_OPEN);
}

static void a_cancelled_call_is_not_counted(void **state)
{
	struct ch_breaker b = { 0 };

	(void)state;
	calls(&b, &usual, 4, CH_BREAKER_FAILED, 0);
	for (int i = 0; i < 100; i++)
		ch_breaker_cancelled(&b, ch_breaker_allow(&b, &usual, 0));
	is(&b, CH_BREAKER_CLOSED);
	assert_int_equal(b.window.calls, 4);
	call(&b, &usual, CH_BREAKER_FAILED, 0); /* the row was not broken */
	is(&b, CH_BREAKER_OPEN);
}

static void without_settings_it_never_opens(void **state)
{
	static const struct ch_breaker_conf none = { 0 }, nonsense = { .error_rate = NAN, .cooldown_us = -1 };
	struct ch_breaker b = { 0 };

	(void)state;
	calls(&b, &none, 10000, CH_BREAKER_FAILED, 0);
	calls(&b, &nonsense, 10000, CH_BREAKER_FAILED, 0);
	is(&b, CH_BREAKER_CLOSED);
}

/* ---- open ---- */

static void open_lets_nothing_through_until_the_cooldown_is_over(void **state)
{
	struct ch_breaker b = opened(&usual, 50 * SECOND);

	(void)state;
	assert_int_equal(ch_breaker_allow(&b, &usual, 50 * SECOND), 0);
	assert_int_equal(ch_breaker_wait(&b, &usual, 50 * SECOND), 10 * SECOND);
	assert_int_equal(ch_breaker_allow(&b, &usual, 60 * SECOND - 1), 0);
	assert_int_equal(ch_breaker_wait(&b, &usual, 60 * SECOND - 1), 1);
	is(&b, CH_BREAKER_OPEN);
	assert_int_equal(ch_breaker_wait(&b, &usual, 60 * SECOND), 0);
	assert_true(ch_breaker_allow(&b, &usual, 60 * SECOND) != 0);
	is(&b, CH_BREAKER_HALF_OPEN);
}

static void calls_that_began_before_do_not_matter_afterwards(void **state)
{
	struct ch_breaker b = { 0 };
	uint32_t before, probe;

	(void)state;
	before = ch_breaker_allow(&b, &usual, 0);
	calls(&b, &usual, 5, CH_BREAKER_FAILED, 0);
	/* open */
	assert_false(ch_breaker_report(&b, &usual, before, CH_BREAKER_OK, 1, 0));
	is(&b, CH_BREAKER_OPEN);
	/* half open: neither a success nor a failure of old counts, nor does giving it back free a place */
	probe = ch_breaker_allow(&b, &usual, 10 * SECOND);
	assert_false(ch_breaker_report(&b, &usual, before, CH_BREAKER_OK, 10 * SECOND, 0));
	assert_false(ch_breaker_report(&b, &usual, before, CH_BREAKER_FAILED, 10 * SECOND, 0));
	ch_breaker_cancelled(&b, before);
	is(&b, CH_BREAKER_HALF_OPEN);
	assert_int_equal(ch_breaker_allow(&b, &usual, 10 * SECOND), 0);
	/* closed again */
	assert_true(ch_breaker_report(&b, &usual, probe, CH_BREAKER_OK, 11 * SECOND, 0));
	for (int i = 0; i < 100; i++)
		assert_false(ch_breaker_report(&b, &usual, before, CH_BREAKER_FAILED, 11 * SECOND, 0));
	is(&b, CH_BREAKER_CLOSED);
	assert_false(ch_breaker_report(&b, &usual, 0, CH_BREAKER_FAILED, 11 * SECOND, 0));
	assert_int_equal(b.window.calls, 0);
}

static void no_cooldown_probes_at_once(void **state)
{
	struct ch_breaker_conf c = { .failures = 1 };
	struct ch_breaker b = opened(&c, 7);

	(void)state;
	assert_int_equal(ch_breaker_wait(&b, &c, 7), 0);
	assert_true(call(&b, &c, CH_BREAKER_OK, 7));
	is(&b, CH_BREAKER_CLOSED);
}

/* ---- half open ---- */

static void one_probe_decides(void **state)
{
	struct ch_breaker b = opened(&usual, 0);
	uint32_t probe = ch_breaker_allow(&b, &usual, 10 * SECOND);

	(void)state;
	assert_true(probe != 0);
	assert_int_equal(ch_breaker_allow(&b, &usual, 10 * SECOND), 0);
	assert_int_equal(ch_breaker_allow(&b, &usual, 1000 * SECOND), 0);
	assert_int_equal(ch_breaker_wait(&b, &usual, 1000 * SECOND), -1);
	assert_true(ch_breaker_report(&b, &usual, probe, CH_BREAKER_FAILED, 1000 * SECOND, 0));
	is(&b, CH_BREAKER_OPEN);
	assert_int_equal(ch_breaker_wait(&b, &usual, 1000 * SECOND), 10 * SECOND); /* anew, from the failure on */
	probe = ch_breaker_allow(&b, &usual, 1010 * SECOND);
	assert_true(ch_breaker_report(&b, &usual, probe, CH_BREAKER_OK, 1011 * SECOND, 0));
	is(&b, CH_BREAKER_CLOSED);
	/* And nothing is left of what was before. */
	calls(&b, &usual, 4, CH_BREAKER_FAILED, 1011 * SECOND);
	is(&b, CH_BREAKER_CLOSED);
}

static void so_many_probes_at_once_and_so_many_successes(void **state)
{
	struct ch_breaker_conf c = { .failures = 1, .cooldown_us = SECOND, .probes = 3, .successes = 4 };
	struct ch_breaker b = opened(&c, 0);
	uint32_t probes[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true((probes[i] = ch_breaker_allow(&b, &c, SECOND)) != 0);
	assert_int_equal(ch_breaker_allow(&b, &c, SECOND), 0);
	for (int i = 0; i < 3; i++)
		assert_false(ch_breaker_report(&b, &c, probes[i], CH_BREAKER_OK, SECOND, 0));
	is(&b, CH_BREAKER_HALF_OPEN);
	assert_true(call(&b, &c, CH_BREAKER_OK, SECOND));
	is(&b, CH_BREAKER_CLOSED);
}

static void a_probe_that_is_slow_failed(void **state)
{
	struct ch_breaker_conf c = { .failures = 1, .cooldown_us = SECOND, .slow_us = 1 };
	struct ch_breaker b = opened(&c, 0);

	(void)state;
	assert_true(call(&b, &c, CH_BREAKER_SLOW, SECOND));
	is(&b, CH_BREAKER_OPEN);
}

static void a_cancelled_probe_gives_its_place_back(void **state)
{
	struct ch_breaker b = opened(&usual, 0);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint32_t probe = ch_breaker_allow(&b, &usual, 10 * SECOND);

		assert_true(probe != 0);
		assert_int_equal(ch_breaker_allow(&b, &usual, 10 * SECOND), 0);
		ch_breaker_cancelled(&b, probe);
		assert_int_equal(ch_breaker_wait(&b, &usual, 10 * SECOND), 0);
		is(&b, CH_BREAKER_HALF_OPEN);
	}
	assert_true(call(&b, &usual, CH_BREAKER_OK, 10 * SECOND));
	is(&b, CH_BREAKER_CLOSED);
}

static void the_first_failure_opens_it_whatever_the_other_probes_say(void **state)
{
	struct ch_breaker_conf c = { .failures = 1, .cooldown_us = SECOND, .probes = 2, .successes = 2 };
	struct ch_breaker b = opened(&c, 0);
	uint32_t one = ch_breaker_allow(&b, &c, SECOND), two = ch_breaker_allow(&b, &c, SECOND);

	(void)state;
	assert_true(ch_breaker_report(&b, &c, one, CH_BREAKER_FAILED, SECOND, 0));
	assert_false(ch_breaker_report(&b, &c, two, CH_BREAKER_OK, SECOND, 0));
	is(&b, CH_BREAKER_OPEN);
}

static void a_probe_that_is_silent_for_too_long_is_given_up(void **state)
{
	struct ch_breaker_conf c = usual;
	struct ch_breaker b = opened(&c, 0);
	uint32_t lost, next;

	(void)state;
	c.probe_us = 30 * SECOND;
	lost = ch_breaker_allow(&b, &c, 10 * SECOND);
	assert_int_equal(ch_breaker_allow(&b, &c, 40 * SECOND - 1), 0);
	assert_int_equal(ch_breaker_wait(&b, &c, 40 * SECOND - 1), 1);
	next = ch_breaker_allow(&b, &c, 40 * SECOND);
	assert_true(next != 0 && next != lost);
	assert_int_equal(ch_breaker_allow(&b, &c, 40 * SECOND), 0);
	/* It is alive after all: nobody waits for it any more. */
	assert_false(ch_breaker_report(&b, &c, lost, CH_BREAKER_FAILED, 41 * SECOND, 0));
	assert_true(ch_breaker_report(&b, &c, next, CH_BREAKER_OK, 41 * SECOND, 0));
	is(&b, CH_BREAKER_CLOSED);
}

static void the_last_probe_counts_for_silence(void **state)
{
	struct ch_breaker_conf c = { .failures = 1, .probes = 2, .probe_us = 100 };
	struct ch_breaker b = opened(&c, 0);

	(void)state;
	assert_true(ch_breaker_allow(&b, &c, 0) != 0);
	assert_true(ch_breaker_allow(&b, &c, 60) != 0);
	assert_int_equal(ch_breaker_allow(&b, &c, 159), 0);
	assert_true(ch_breaker_allow(&b, &c, 160) != 0);
}

static void states_have_names(void **state)
{
	(void)state;
	assert_string_equal(ch_breaker_state_name(CH_BREAKER_CLOSED), "closed");
	assert_string_equal(ch_breaker_state_name(CH_BREAKER_OPEN), "open");
	assert_string_equal(ch_breaker_state_name(CH_BREAKER_HALF_OPEN), "half-open");
}

/* ---- cooldown ---- */

static int64_t fail_probe(struct ch_breaker *b, const struct ch_breaker_conf *c, int64_t now, uint32_t random)
{
	uint32_t pass = ch_breaker_allow(b, c, now);

	assert_true(pass != 0);
	assert_true(ch_breaker_report(b, c, pass, CH_BREAKER_FAILED, now, random));
	return ch_breaker_wait(b, c, now);
}

static void the_cooldown_doubles_up_to_its_most_and_begins_anew_when_closed(void **state)
{
	struct ch_breaker_conf c = { .failures = 1, .cooldown_us = 10, .cooldown_max_us = 60 };
	struct ch_breaker b = { 0 };
	static const int64_t want[] = { 10, 20, 40, 60, 60, 60 };

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_int_equal(fail_probe(&b, &c, i * 100, 0), want[i]);
	for (int i = 6; i < 200; i++)
		assert_int_equal(fail_probe(&b, &c, i * 100, 0), 60);
	call(&b, &c, CH_BREAKER_OK, HOUR);
	is(&b, CH_BREAKER_CLOSED);
	assert_int_equal(fail_probe(&b, &c, HOUR, 0), 10);
	/* Without a most it stays. */
	c.cooldown_max_us = 0;
	for (int i = 1; i < 10; i++)
		assert_int_equal(fail_probe(&b, &c, HOUR + i * 100, 0), 10);
}

static void jitter_only_lengthens_and_by_its_share(void **state)
{
	struct ch_breaker_conf c = { .failures = 1, .cooldown_us = 1000, .jitter = 0.2 };
	struct ch_breaker b = { 0 };

	(void)state;
	assert_int_equal(fail_probe(&b, &c, 0, 0), 1000);
	assert_int_equal(fail_probe(&b, &c, 10000, 0x80000000u), 1100);
	assert_int_equal(fail_probe(&b, &c, 20000, 0xffffffffu), 1199);
	c.jitter = 7; /* as 1 */
	assert_int_equal(fail_probe(&b, &c, 30000, 0x80000000u), 1500);
	c.jitter = NAN;
	assert_int_equal(fail_probe(&b, &c, 40000, 0x80000000u), 1000);
	c.jitter = 1;
	c.cooldown_us = INT64_MAX;
	assert_true(fail_probe(&b, &c, 50000, 0xffffffffu) == INT64_MAX);
}

/* ---- the clock and others ---- */

static void a_clock_that_steps_back_locks_nobody_out(void **state)
{
	struct ch_breaker b = opened(&usual, HOUR);
	struct ch_breaker_conf c = usual;
	uint32_t probe;

	(void)state;
	/* Open: the cooldown begins anew, once. */
	assert_int_equal(ch_breaker_allow(&b, &usual, 0), 0);
	assert_int_equal(ch_breaker_wait(&b, &usual, 0), 10 * SECOND);
	probe = ch_breaker_allow(&b, &usual, 10 * SECOND);
	assert_true(probe != 0);
	/* Half open, with a lost probe. */
	c.probe_us = SECOND;
	assert_int_equal(ch_breaker_allow(&b, &c, INT64_MIN), 0);
	assert_true(ch_breaker_allow(&b, &c, INT64_MIN + SECOND) != 0);
	/* Closed: the window goes on from there. */
	b = (struct ch_breaker){ 0 };
	c.failures = 0;
	calls(&b, &c, 10, CH_BREAKER_FAILED, HOUR);
	call(&b, &c, CH_BREAKER_OK, 0);
	calls(&b, &c, 3, CH_BREAKER_OK, 10 * SECOND);
	assert_int_equal(b.window.calls, 3);
}

static void a_clock_that_leaps_ahead_forgets_and_probes(void **state)
{
	struct ch_breaker b = { 0 };

	(void)state;
	calls(&b, &usual, 4, CH_BREAKER_FAILED, INT64_MIN);
	call(&b, &usual, CH_BREAKER_OK, INT64_MAX);
	assert_int_equal(b.window.calls, 1);
	b = opened(&usual, INT64_MIN);
	assert_true(ch_breaker_allow(&b, &usual, INT64_MAX) != 0);
}

static void one_breaker_says_nothing_of_another(void **state)
{
	struct ch_breaker a = opened(&usual, 0), b = { 0 };

	(void)state;
	assert_int_equal(ch_breaker_allow(&a, &usual, 0), 0);
	assert_true(ch_breaker_allow(&b, &usual, 0) != 0);
	is(&b, CH_BREAKER_CLOSED);
}

static void an_upstream_that_fails_half_of_the_time_is_asked_little(void **state)
{
	struct ch_breaker b = { 0 };
	struct ch_breaker_conf c = usual;
	unsigned int asked = 0, refused = 0;

	(void)state;
	c.failures = 0;
	/* Ten minutes, 100 calls a second, failing and succeeding in pairs. */
	for (int64_t now = 0; now < 600 * SECOND; now += SECOND / 100) {
		uint32_t pass = ch_breaker_allow(&b, &c, now);

		if (pass)
			ch_breaker_report(&b, &c, pass, asked++ / 2 % 2 ? CH_BREAKER_OK : CH_BREAKER_FAILED, now, 0);
		else
			refused++;
	}
	/* Each round: the 20 or so calls that show it, then 10 s of nothing: at most 60 rounds of 21 and their probes. */
	assert_true(asked >= 60 && asked <= 60 * 23);
	assert_int_equal(asked + refused, 60000);
}

static void passes_are_never_0_and_survive_the_end_of_the_count(void **state)
{
	struct ch_breaker_conf c = { .failures = 1 };
	struct ch_breaker b = { .epoch = INT32_MAX };

	(void)state;
	assert_true(call(&b, &c, CH_BREAKER_FAILED, 0));
	assert_int_equal(b.epoch, 0);
	assert_true(call(&b, &c, CH_BREAKER_OK, 0));
	is(&b, CH_BREAKER_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_in_a_row_open_it),
		cmocka_unit_test(a_success_begins_the_row_anew),
		cmocka_unit_test(half_of_the_calls_failing_opens_it_from_the_least_number_on),
		cmocka_unit_test(less_than_the_rate_does_not_open_it),
		cmocka_unit_test(a_success_never_opens_it),
		cmocka_unit_test(failures_leave_the_window_with_their_time),
		cmocka_unit_test(failures_stay_for_nine_tenths_of_the_window_at_least),
		cmocka_unit_test(the_window_is_always_the_sum_of_its_tenths),
		cmocka_unit_test(slow_calls_fail_only_where_a_threshold_is_set),
		cmocka_unit_test(a_cancelled_call_is_not_counted),
		cmocka_unit_test(without_settings_it_never_opens),
		cmocka_unit_test(open_lets_nothing_through_until_the_cooldown_is_over),
		cmocka_unit_test(calls_that_began_before_do_not_matter_afterwards),
		cmocka_unit_test(no_cooldown_probes_at_once),
		cmocka_unit_test(one_probe_decides),
		cmocka_unit_test(so_many_probes_at_once_and_so_many_successes),
		cmocka_unit_test(a_probe_that_is_slow_failed),
		cmocka_unit_test(a_cancelled_probe_gives_its_place_back),
		cmocka_unit_test(the_first_failure_opens_it_whatever_the_other_probes_say),
		cmocka_unit_test(a_probe_that_is_silent_for_too_long_is_given_up),
		cmocka_unit_test(the_last_probe_counts_for_silence),
		cmocka_unit_test(states_have_names),
		cmocka_unit_test(the_cooldown_doubles_up_to_its_most_and_begins_anew_when_closed),
		cmocka_unit_test(jitter_only_lengthens_and_by_its_share),
		cmocka_unit_test(a_clock_that_steps_back_locks_nobody_out),
		cmocka_unit_test(a_clock_that_leaps_ahead_forgets_and_probes),
		cmocka_unit_test(one_breaker_says_nothing_of_another),
		cmocka_unit_test(an_upstream_that_fails_half_of_the_time_is_asked_little),
		cmocka_unit_test(passes_are_never_0_and_survive_the_end_of_the_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
