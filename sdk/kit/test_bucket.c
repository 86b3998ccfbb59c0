/* SPDX-License-Identifier: MIT */
/* Unit tests of the token bucket. Each is named after the fact it states; the numbers are worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "chimera/kit/bucket.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

static struct ch_bucket_rate rate(uint64_t count, int64_t period, uint64_t burst)
{
	struct ch_bucket_rate r;

	assert_true(ch_bucket_rate_init(&r, count, period, burst));
	return r;
}

/* How many single tokens are there at this moment. */
static uint64_t drain(struct ch_bucket *b, const struct ch_bucket_rate *r, int64_t now)
{
	uint64_t n = 0;

	while (ch_bucket_take(b, r, 1, now) == 0)
		n++;
	return n;
}

/* ---- rates ---- */

static void a_bucket_is_16_bytes(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct ch_bucket), 16);
}

static void a_rate_is_reduced(void **state)
{
	struct ch_bucket_rate r = rate(100, MINUTE, 20);

	(void)state;
	/* 100 in 60,000,000 us is 1 in 600,000. */
	assert_int_equal(r.refill, 1);
	assert_int_equal(r.token, 600000);
	assert_int_equal(r.room, 20 * 600000);
	r = rate(7, 3 * SECOND, 1);
	assert_int_equal(r.refill, 7);
	assert_int_equal(r.token, 3000000);
}

static void numbers_that_are_too_large_are_refused_and_never_admit(void **state)
{
	struct ch_bucket_rate r;
	struct ch_bucket b = { 0 };
	const uint64_t most = (uint64_t)1 << 62;

	(void)state;
	assert_true(ch_bucket_rate_init(&r, 1, 1, most));
	assert_false(ch_bucket_rate_init(&r, 1, 1, most + 1));
	assert_int_equal(ch_bucket_take(&b, &r, 1, 0), CH_BUCKET_NEVER);
	assert_true(ch_bucket_rate_init(&r, most, 1, 1));
	assert_false(ch_bucket_rate_init(&r, most + 1, 1, 1));
	assert_true(ch_bucket_rate_init(&r, 1, (int64_t)most, 1));
	assert_false(ch_bucket_rate_init(&r, 1, (int64_t)most, 2));
	assert_false(ch_bucket_rate_init(&r, 1, (int64_t)most + 1, 1));
	assert_false(ch_bucket_rate_init(&r, 1, 0, 1));
	assert_false(ch_bucket_rate_init(&r, 1, -1, 1));
	assert_int_equal(ch_bucket_take(&b, &r, 0, 0), CH_BUCKET_NEVER);
}

static void from(double per_second, int64_t refill, int64_t token)
{
	struct ch_bucket_rate r;

	if (!ch_bucket_rate_from(&r, per_second, 3))
		fail_msg("%.17g is refused", per_second);
	if (r.refill != refill || r.token != token || r.room != 3 * token)
		fail_msg("%.17g: %lld units of %lld", per_second, (long long)r.refill, (long long)r.token);
}

static void whole_numbers_a_unit_come_back_from_a_double(void **state)
{
	(void)state;
	from(0, 0, 1);
	from(1, 1, 1000000);
	from(1000, 1, 1000);
	from(3000000, 3, 1);
	from(100 / 60.0, 1, 600000);
	from(5000 / 60.0, 1, 12000);
	from(200000 / 60.0, 1, 300);
	from(7 / 60.0, 7, 60000000);
	from(5 / 3600.0, 1, 720000000);
	from(7 / 3600.0, 7, 3600000000);
	from(1 / 86400.0, 1, 86400000000);
	from(0.1, 1, 10000000);
	from(0.1 / 60, 1, 600000000);
	from(1.5 / 60, 1, 40000000);
	from(9007199254740992.0, 9007199254740992 >> 6, 1000000 >> 6);
	from(1e9, 1000, 1);
	from(59999999999 / 60.0, 59999999999, 60000000);
	/* Every whole number up to some hundred thousand, by the minute and by the hour. */
	for (int64_t n = 1; n < 200000; n++) {
		struct ch_bucket_rate r;

		assert_true(ch_bucket_rate_from(&r, (double)n / 60, 1));
		assert_true(r.refill * 60000000 == n * r.token);
		assert_true(ch_bucket_rate_from(&r, (double)n / 3600, 1));
		assert_true(r.refill * 3600000000 == n * r.token);
	}
}

static void other_rates_are_less_than_a_millionth_too_low(void **state)
{
	static const double rates[] = { 3.14159265358979, 1 / 7.0, 1e-6 / 3, 1.0000001, 0.99999999, 999999.7, 1234567.89, 1e9 + 0.5, 2e-9 };
	struct ch_bucket_rate r;

	(void)state;
	for (unsigned int i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		double got;

		assert_true(ch_bucket_rate_from(&r, rates[i], 1));
		got = (double)r.refill / (double)r.token * 1e6;
		if (got > rates[i] * (1 + 1e-15) || got < rates[i] * (1 - 1e-6))
			fail_msg("%.17g became %.17g", rates[i], got);
	}
}

static void rates_without_sense_are_refused(void **state)
{
	static const double rates[] = { -1, -1e-300, 1e-10, 1e300, 1e16, NAN, INFINITY, -INFINITY };
	struct ch_bucket_rate r;

	(void)state;
	for (unsigned int i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		assert_false(ch_bucket_rate_from(&r, rates[i], 1));
		assert_int_equal(r.refill, 0);
	}
}

/* ---- taking ---- */

static void a_new_bucket_is_full_at_any_time(void **state)
{
	static const int64_t times[] = { 0, 1, SECOND, YEAR * 50, INT64_MAX, -1, INT64_MIN };
	struct ch_bucket_rate r = rate(100, MINUTE, 20);

	(void)state;
	for (unsigned int i = 0; i < sizeof(times) / sizeof(*times); i++) {
		struct ch_bucket b = { 0 };

		assert_int_equal(ch_bucket_tokens(&b, &r, times[i]), 20);
		assert_int_equal(drain(&b, &r, times[i]), 20);
	}
}

static void a_refused_cost_takes_nothing_and_says_when(void **state)
{
	struct ch_bucket_rate r = rate(100, MINUTE, 20);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(ch_bucket_take(&b, &r, 18, 0), 0);
	/* 2 are there; a token is 600,000 us. */
	assert_int_equal(ch_bucket_take(&b, &r, 5, 0), 3 * 600000);
	assert_int_equal(ch_bucket_take(&b, &r, 5, 600000), 2 * 600000);
	assert_int_equal(ch_bucket_tokens(&b, &r, 600000), 3);
	assert_int_equal(ch_bucket_take(&b, &r, 5, 3 * 600000 - 1), 1);
	assert_int_equal(ch_bucket_take(&b, &r, 5, 3 * 600000), 0);
	assert_int_equal(ch_bucket_tokens(&b, &r, 3 * 600000), 0);
}

static void looking_takes_nothing(void **state)
{
	struct ch_bucket_rate r = rate(1, SECOND, 2);
	struct ch_bucket b = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(ch_bucket_wait(&b, &r, 2, 0), 0);
	assert_int_equal(ch_bucket_take(&b, &r, 2, 0), 0);
	assert_int_equal(ch_bucket_wait(&b, &r, 1, 0), SECOND);
	assert_int_equal(ch_bucket_wait(&b, &r, 2, 500000), 1500000); /* until it is full */
	assert_int_equal(ch_bucket_tokens(&b, &r, 999999), 0);
	assert_int_equal(ch_bucket_tokens(&b, &r, 1000000), 1);
	assert_int_equal(b.at, 0);
}

static void thirds_of_a_token_do_not_drift(void **state)
{
	struct ch_bucket_rate r = rate(3, 7 * SECOND, 2); /* a token each 2,333,333 1/3 us; with a burst of 1 it would be full each time */
	struct ch_bucket b = { 0 };
	int64_t now = 0;

	(void)state;
	assert_int_equal(drain(&b, &r, 0), 2);
	/* 3,000,000 tokens as soon as each is there: the last one comes after exactly 7,000,000 seconds. */
	for (int i = 1; i <= 3000000; i++) {
		int64_t wait = ch_bucket_take(&b, &r, 1, now);

		assert_true(wait == 2333333 || wait == 2333334);
		now += wait;
		assert_true(now == (i * 7 * SECOND + 2) / 3);
		assert_true(ch_bucket_take(&b, &r, 1, now) == 0);
	}
	assert_true(now == 7000000 * SECOND);
}

static void asked_at_every_microsecond_it_admits_burst_and_rate_exactly(void **state)
{
	struct ch_bucket_rate r = rate(17, 1000, 5);
	struct ch_bucket b = { 0 };
	uint64_t admitted = 0;

	(void)state;
	for (int64_t now = 0; now <= 100000; now++) {
		admitted += drain(&b, &r, now);
		assert_true(admitted == 5 + (uint64_t)(17 * now) / 1000);
	}
}

static void sixty_four_callers_share_one_burst(void **state)
{
	struct ch_bucket_rate r = rate(1000, MINUTE, 100);
	struct ch_bucket b = { 0 };
	uint64_t admitted = 0;

	(void)state;
	/* 64 connections, each with a request every 10 ms, for 30 s: 100 + 1000/min * 30 s = 600. */
	for (int64_t now = 0; now <= 30 * SECOND; now += 10000)
		for (int i = 0; i < 64; i++)
			admitted += ch_bucket_take(&b, &r, 1, now) == 0;
	assert_int_equal(admitted, 600);
}

static void one_a_day_is_one_a_day(void **state)
{
	struct ch_bucket_rate r = rate(1, DAY, 1);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(ch_bucket_take(&b, &r, 1, 5), 0);
	assert_true(ch_bucket_take(&b, &r, 1, 5) == DAY);
	assert_int_equal(ch_bucket_take(&b, &r, 1, 5 + DAY - 1), 1);
	assert_int_equal(ch_bucket_take(&b, &r, 1, 5 + DAY), 0);
	assert_true(ch_bucket_take(&b, &r, 1, 5 + DAY) == DAY);
}

static void several_tokens_a_microsecond(void **state)
{
	struct ch_bucket_rate r = rate(2500000, SECOND, 10); /* 2.5 a microsecond */
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(drain(&b, &r, 0), 10);
	assert_int_equal(ch_bucket_wait(&b, &r, 3, 0), 2);
	assert_int_equal(drain(&b, &r, 1), 2);
	assert_int_equal(drain(&b, &r, 2), 3);
	assert_int_equal(drain(&b, &r, 1000), 10);
}

static void a_limit_of_0_is_never(void **state)
{
	struct ch_bucket_rate r = rate(0, MINUTE, 10);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(ch_bucket_take(&b, &r, 1, 0), CH_BUCKET_NEVER);
	assert_int_equal(ch_bucket_take(&b, &r, 11, YEAR), CH_BUCKET_NEVER);
	assert_int_equal(ch_bucket_take(&b, &r, 0, YEAR), CH_BUCKET_NEVER);
	assert_int_equal(ch_bucket_wait(&b, &r, 1, YEAR), CH_BUCKET_NEVER);
	assert_int_equal(ch_bucket_tokens(&b, &r, YEAR), 0);
}

static void a_cost_over_the_burst_is_told_apart(void **state)
{
	struct ch_bucket_rate r = rate(1, SECOND, 10);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(ch_bucket_take(&b, &r, 11, 0), CH_BUCKET_TOO_MUCH);
	assert_int_equal(ch_bucket_take(&b, &r, UINT64_MAX, 0), CH_BUCKET_TOO_MUCH);
	assert_int_equal(ch_bucket_wait(&b, &r, 11, YEAR), CH_BUCKET_TOO_MUCH);
	assert_int_equal(ch_bucket_take(&b, &r, 10, 0), 0);
	assert_int_equal(ch_bucket_take(&b, &r, 0, 0), 0);
	r = rate(1, SECOND, 0);
	assert_int_equal(ch_bucket_take(&b, &r, 1, 0), CH_BUCKET_TOO_MUCH);
}

/* ---- giving back and owing ---- */

static void tokens_put_back_are_there_and_never_more_than_the_burst(void **state)
{
	struct ch_bucket_rate r = rate(1, SECOND, 10);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(ch_bucket_take(&b, &r, 10, 0), 0);
	ch_bucket_put_back(&b, &r, 4, 0);
	assert_int_equal(ch_bucket_tokens(&b, &r, 0), 4);
	/* At 8 s 12 would be there. */
	ch_bucket_put_back(&b, &r, 6, 8 * SECOND);
	assert_int_equal(drain(&b, &r, 8 * SECOND), 10);
	ch_bucket_put_back(&b, &r, UINT64_MAX, 8 * SECOND);
	assert_int_equal(drain(&b, &r, 8 * SECOND), 10);
}

static void a_charge_beyond_what_is_there_is_a_debt(void **state)
{
	struct ch_bucket_rate r = rate(1, SECOND, 10);
	struct ch_bucket b = { 0 };

	(void)state;
	ch_bucket_charge(&b, &r, 25, 0);
	assert_int_equal(ch_bucket_tokens(&b, &r, 0), 0);
	assert_int_equal(ch_bucket_take(&b, &r, 1, 0), 16 * SECOND);
	assert_int_equal(ch_bucket_take(&b, &r, 10, 0), 25 * SECOND);
	assert_int_equal(ch_bucket_take(&b, &r, 0, 0), 15 * SECOND);
	assert_int_equal(ch_bucket_take(&b, &r, 1, 16 * SECOND - 1), 1);
	assert_int_equal(ch_bucket_take(&b, &r, 1, 16 * SECOND), 0);
	ch_bucket_charge(&b, &r, UINT64_MAX, 16 * SECOND);
	ch_bucket_charge(&b, &r, UINT64_MAX, 16 * SECOND);
	assert_true(b.missing == INT64_MAX);
	assert_true(ch_bucket_take(&b, &r, 1, 15 * SECOND) > YEAR); /* no overflow with the lag either */
	ch_bucket_put_back(&b, &r, UINT64_MAX, 16 * SECOND);
	assert_int_equal(drain(&b, &r, 16 * SECOND), 10);
}

/* ---- the clock ---- */

static void a_jump_forward_fills_the_bucket_and_no_more(void **state)
{
	struct ch_bucket_rate r = rate(100, MINUTE, 20);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(drain(&b, &r, 0), 20);
	assert_int_equal(drain(&b, &r, YEAR), 20);
	assert_int_equal(drain(&b, &r, INT64_MAX), 20);
	/* And back to where the clock was: no lock-out, no refund. */
	assert_int_equal(drain(&b, &r, YEAR + 1), 0);
	assert_int_equal(ch_bucket_take(&b, &r, 1, YEAR + 1), 600000);
	assert_int_equal(drain(&b, &r, YEAR + 1 + 600000), 1);
}

static void a_jump_back_gives_no_refund_and_locks_nobody_out(void **state)
{
	struct ch_bucket_rate r = rate(100, MINUTE, 20);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(drain(&b, &r, 2 * HOUR), 20);
	assert_int_equal(drain(&b, &r, HOUR), 0);
	assert_int_equal(ch_bucket_wait(&b, &r, 1, HOUR), 600000);
	assert_int_equal(drain(&b, &r, HOUR + 600000), 1);
	assert_int_equal(drain(&b, &r, INT64_MIN), 0);
	assert_int_equal(drain(&b, &r, INT64_MIN + 600000), 1);
	assert_int_equal(drain(&b, &r, INT64_MAX), 20); /* the largest difference there is */
}

static void readers_that_overtake_each_other_gain_nothing(void **state)
{
	struct ch_bucket_rate r = rate(1, 1000, 5);
	struct ch_bucket b = { 0 };
	uint64_t admitted = 0;

	(void)state;
	/* Two readers, one of them 700 us behind, for 100 ms: as many as one reader gets. */
	for (int64_t now = 0; now <= 100000; now += 50) {
		admitted += drain(&b, &r, now);
		admitted += drain(&b, &r, now - 700);
	}
	assert_int_equal(admitted, 5 + 100);
	/* The one behind is told the wait on its own clock. */
	assert_int_equal(ch_bucket_wait(&b, &r, 1, 100000), 1000);
	assert_int_equal(ch_bucket_wait(&b, &r, 1, 100000 - 700), 1700);
	assert_int_equal(ch_bucket_wait(&b, &r, 1, 100000 - CH_BUCKET_SLACK_US), 1000 + CH_BUCKET_SLACK_US);
	assert_int_equal(ch_bucket_wait(&b, &r, 1, 100000 - CH_BUCKET_SLACK_US - 1), 1000);
}

/* ---- reload ---- */

static void another_rate_keeps_what_was_used(void **state)
{
	struct ch_bucket_rate slow = rate(1, MINUTE, 10), fast = rate(100, SECOND, 10);
	struct ch_bucket_rate large = rate(1, SECOND, 50), small = rate(1, SECOND, 3);
	struct ch_bucket b = { 0 };

	(void)state;
	assert_int_equal(ch_bucket_take(&b, &slow, 7, 0), 0);
	ch_bucket_carry(&b, &slow, &fast, 0);
	assert_int_equal(ch_bucket_tokens(&b, &fast, 0), 3);
	assert_int_equal(ch_bucket_tokens(&b, &fast, 10000), 4);
	ch_bucket_carry(&b, &fast, &large, 10000);
	assert_int_equal(ch_bucket_tokens(&b, &large, 10000), 44);
	ch_bucket_carry(&b, &large, &small, 10000);
	assert_int_equal(ch_bucket_tokens(&b, &small, 10000), 0);
	assert_int_equal(ch_bucket_wait(&b, &small, 1, 10000), 4 * SECOND);
}

static void a_reload_never_gives_a_token(void **state)
{
	struct ch_bucket_rate a = rate(3, 7, 5), c = rate(5, 3, 5);
	struct ch_bucket b = { 0 };
	uint64_t admitted = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		admitted += drain(&b, i % 2 ? &c : &a, 0);
		ch_bucket_carry(&b, i % 2 ? &c : &a, i % 2 ? &a : &c, 0);
	}
	assert_int_equal(admitted, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_is_16_bytes),
		cmocka_unit_test(a_rate_is_reduced),
		cmocka_unit_test(numbers_that_are_too_large_are_refused_and_never_admit),
		cmocka_unit_test(whole_numbers_a_unit_come_back_from_a_double),
		cmocka_unit_test(other_rates_are_less_than_a_millionth_too_low),
		cmocka_unit_test(rates_without_sense_are_refused),
		cmocka_unit_test(a_new_bucket_is_full_at_any_time),
		cmocka_unit_test(a_refused_cost_takes_nothing_and_says_when),
		cmocka_unit_test(looking_takes_nothing),
		cmocka_unit_test(thirds_of_a_token_do_not_drift),
		cmocka_unit_test(asked_at_every_microsecond_it_admits_burst_and_rate_exactly),
		cmocka_unit_test(sixty_four_callers_share_one_burst),
		cmocka_unit_test(one_a_day_is_one_a_day),
		cmocka_unit_test(several_tokens_a_microsecond),
		cmocka_unit_test(a_limit_of_0_is_never),
		cmocka_unit_test(a_cost_over_the_burst_is_told_apart),
		cmocka_unit_test(tokens_put_back_are_there_and_never_more_than_the_burst),
		cmocka_unit_test(a_charge_beyond_what_is_there_is_a_debt),
		cmocka_unit_test(a_jump_forward_fills_the_bucket_and_no_more),
		cmocka_unit_test(a_jump_back_gives_no_refund_and_locks_nobody_out),
		cmocka_unit_test(readers_that_overtake_each_other_gain_nothing),
		cmocka_unit_test(another_rate_keeps_what_was_used),
		cmocka_unit_test(a_reload_never_gives_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
