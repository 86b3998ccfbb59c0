/* SPDX-License-Identifier: Apache-2.0 */
/* Limits as numbers, and durations as text; what is expected was counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "limits.h"
#include "text.h"

static struct ratelimit_limits at[STORES];

static const char *make(double requests, int64_t burst, double share)
{
	struct ratelimit_spec spec = { requests, NO_LIMIT, burst, 0, NO_LIMIT };

	return ratelimit_limits_make(&spec, share, at);
}

static void is_shape(const struct ratelimit_shape *s, int64_t burst, int64_t count, int64_t period_ms, int64_t window_s)
{
	assert_true(s->limited);
	assert_int_equal(s->burst, burst);
	assert_int_equal(s->count, count);
	assert_int_equal(s->period_ms, period_ms);
	assert_int_equal(s->window_s, window_s);
}

static void a_rate_becomes_whole_numbers(void **state)
{
	(void)state;
	assert_null(make(100.0 / 60, 20, 1)); /* one each 600 ms; 20 of them in 12 s */
	is_shape(&at[STORE].requests, 20, 1, 600, 12);
	assert_null(make(5000.0 / 60, 500, 1)); /* 250 in 3 s; 500 in 6 s */
	is_shape(&at[STORE].requests, 500, 1, 12, 6);
	assert_null(make(100.0 / 60, 7, 1)); /* 4.2 s */
	assert_int_equal(at[STORE].requests.window_s, 5);
	assert_null(make(3000, 9000, 1));
	is_shape(&at[STORE].requests, 9000, 3, 1, 3);
}

static void without_a_burst_it_is_what_a_minute_brings(void **state)
{
	(void)state;
	assert_null(make(1000.0 / 60, 0, 1));
	assert_int_equal(at[STORE].requests.burst, 1000);
	assert_null(make(1.0 / 60, 0, 1));
	assert_int_equal(at[STORE].requests.burst, 1);
	assert_null(make(90.0 / 3600, 0, 1)); /* 1.5 */
	assert_int_equal(at[STORE].requests.burst, 2);
	assert_null(make(1.0 / 3600, 0, 1));
	is_shape(&at[STORE].requests, 1, 1, 3600000, 3600);
}

static void a_limit_of_0_holds_nothing(void **state)
{
	(void)state;
	assert_null(make(0, 0, 0.5));
	for (int i = 0; i < STORES; i++) {
		assert_true(at[i].requests.limited);
		assert_int_equal(at[i].requests.burst, 0);
		assert_int_equal(at[i].requests.count, 0);
		assert_true(at[i].requests.period_ms >= 1);
	}
	assert_null(make(NO_LIMIT, 0, 0.5));
	assert_false(at[STORE].requests.limited);
	assert_false(at[FALLBACK].requests.limited);
}

static void the_fallback_has_a_share_and_never_nothing(void **state)
{
	struct ratelimit_spec places = { NO_LIMIT, NO_LIMIT, 0, 0, 5 };

	(void)state;
	assert_null(make(100.0 / 60, 20, 0.5));
	is_shape(&at[FALLBACK].requests, 10, 1, 1200, 12);
	assert_null(make(1.0 / 3600, 1, 0.01));
	assert_int_equal(at[FALLBACK].requests.burst, 1);
	assert_true(at[FALLBACK].requests.count > 0);
	assert_null(ratelimit_limits_make(&places, 0.5, at));
	assert_int_equal(at[FALLBACK].concurrent, 2);
	places.concurrent = 1;
	assert_null(ratelimit_limits_make(&places, 0.5, at));
	assert_int_equal(at[FALLBACK].concurrent, 1);
	places.concurrent = 0;
	assert_null(ratelimit_limits_make(&places, 0.5, at));
	assert_int_equal(at[FALLBACK].concurrent, 0);
}

/* A share of 1/3 of a rate in millions a minute is no round number; it must not be refused, nor be more than the share. */
static void an_odd_share_of_a_large_rate_is_a_little_less(void **state)
{
	struct ratelimit_spec spec = { NO_LIMIT, 1000000.0 / 60, 0, 100000000, NO_LIMIT };
	const struct ratelimit_shape *s = &at[FALLBACK].tokens;
	double rate;

	(void)state;
	assert_null(ratelimit_limits_make(&spec, 1.0 / 3, at));
	rate = (double)s->count * 1000 / (double)s->period_ms;
	assert_true(rate <= 1000000.0 / 180 && rate >= 1000000.0 / 180 - 1);
	assert_true(s->burst <= (INT64_C(1) << 52) / s->period_ms);
}

static void what_no_bucket_holds_is_refused_by_its_key(void **state)
{
	struct ratelimit_spec tokens = { NO_LIMIT, 1e16, 0, 0, NO_LIMIT };

	(void)state;
	assert_string_equal(make(1.0 / 3600 / 24 / 400, 1, 1), "requests"); /* slower than one in 366 days */
	assert_string_equal(make(1.0 / 3600, INT64_C(1) << 40, 1), "requests"); /* 2^40 * 3.6e6 ms is past 2^52 */
	assert_string_equal(ratelimit_limits_make(&tokens, 1, at), "tokens");
}

static void a_keys_own_limits_are_read(void **state)
{
	struct ratelimit_spec s = { 5, NO_LIMIT, 50, 0, NO_LIMIT };

	(void)state;
	assert_true(ratelimit_spec_read("requests=100/min tokens=1000/min burst=20 concurrent=5", &s));
	assert_true(s.requests == 100.0 / 60 && s.tokens == 1000.0 / 60);
	assert_int_equal(s.burst, 20);
	assert_int_equal(s.token_burst, 0);
	assert_int_equal(s.concurrent, 5);
	assert_true(ratelimit_spec_read("  token_burst=7\tconcurrent=unlimited ", &s));
	assert_int_equal(s.token_burst, 7);
	assert_int_equal(s.concurrent, NO_LIMIT);
	assert_true(ratelimit_spec_read("requests=unlimited", &s));
	assert_true(s.requests == NO_LIMIT);
	s.burst = 50;
	assert_true(ratelimit_spec_read("requests=2/s", &s)); /* a rate without its burst: not the tier's */
	assert_int_equal(s.burst, 0);
	assert_true(ratelimit_spec_read("", &s));
	assert_true(s.requests == 2);
}

static void limits_that_cannot_be_read_change_nothing(void **state)
{
	static const char *const wrong[] = { "requests", "requests=", "=1/s", "requests=100", "requests=1/s,burst=2", "rps=1/s", "burst=0",
		"burst=-1", "burst=1.5", "concurrent=many", "tokens=1/s tokens", "burst=99999999999999", "requests = 1/s" };
	const struct ratelimit_spec was = { 5, 6, 50, 60, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ratelimit_spec s = was;

		if (ratelimit_spec_read(wrong[i], &s))
			fail_msg("\"%s\" was read", wrong[i]);
		assert_memory_equal(&s, &was, sizeof(s));
	}
}

static void is_rate(double per_second, const char *text)
{
	char out[40];

	assert_null(make(per_second, 1, 1));
	assert_int_equal(ratelimit_rate_text(&at[STORE].requests, out), strlen(text));
	assert_string_equal(out, text);
}

static void a_rate_is_told_in_the_unit_in_which_it_is_whole(void **state)
{
	(void)state;
	is_rate(1000.0 / 60, "1000 a minute");
	is_rate(1, "60 a minute");
	is_rate(50, "50 a second");
	is_rate(5.0 / 3600, "5 an hour");
	is_rate(1.0 / 86400, "1 a day");
}

static void is_duration(int64_t ms, const char *text)
{
	char out[40];

	*put_duration(out, ms) = '\0';
	assert_string_equal(out, text);
}

/* What Go's time.Duration.String says of these. */
static void a_duration_is_told_as_go_tells_it(void **state)
{
	(void)state;
	is_duration(0, "0s");
	is_duration(12, "12ms");
	is_duration(999, "999ms");
	is_duration(1000, "1s");
	is_duration(1500, "1.5s");
	is_duration(1050, "1.05s");
	is_duration(59999, "59.999s");
	is_duration(60000, "1m0s");
	is_duration(360000, "6m0s");
	is_duration(90250, "1m30.25s");
	is_duration(3600000, "1h0m0s");
	is_duration(86400001, "24h0m0.001s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_becomes_whole_numbers),
		cmocka_unit_test(without_a_burst_it_is_what_a_minute_brings),
		cmocka_unit_test(a_limit_of_0_holds_nothing),
		cmocka_unit_test(the_fallback_has_a_share_and_never_nothing),
		cmocka_unit_test(an_odd_share_of_a_large_rate_is_a_little_less),
		cmocka_unit_test(what_no_bucket_holds_is_refused_by_its_key),
		cmocka_unit_test(a_keys_own_limits_are_read),
		cmocka_unit_test(limits_that_cannot_be_read_change_nothing),
		cmocka_unit_test(a_rate_is_told_in_the_unit_in_which_it_is_whole),
		cmocka_unit_test(a_duration_is_told_as_go_tells_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
