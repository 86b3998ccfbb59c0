/* SPDX-License-Identifier: MIT */
/* Unit tests of backoff, Retry-After and the retry budget. Each is named after the fact it states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/backoff.h"

#define SECOND INT64_C(1000000)

/* splitmix64 */
static uint64_t random_bits(void)
{
	static uint64_t state = 1;
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- backoff ---- */

static void waits_double_up_to_the_cap(void **state)
{
	static const int64_t want[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000 };

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(ch_backoff(100, 5000, i), want[i]);
	assert_int_equal(ch_backoff(100, 1600, 4), 1600);
	assert_int_equal(ch_backoff(100, 1599, 4), 1599);
	assert_int_equal(ch_backoff(100, 50, 0), 50);
}

static void no_attempt_overflows(void **state)
{
	(void)state;
	assert_true(ch_backoff(1, INT64_MAX, 61) == (int64_t)1 << 61);
	assert_true(ch_backoff(1, INT64_MAX, 62) == (int64_t)1 << 62);
	assert_true(ch_backoff(1, INT64_MAX, 63) == INT64_MAX);
	assert_true(ch_backoff(3, INT64_MAX, 62) == INT64_MAX);
	assert_true(ch_backoff(INT64_MAX, INT64_MAX, 1) == INT64_MAX);
	assert_int_equal(ch_backoff(1, 7, UINT32_MAX), 7);
}

static void base_or_cap_of_nothing_is_no_wait(void **state)
{
	(void)state;
	assert_int_equal(ch_backoff(0, 100, 5), 0);
	assert_int_equal(ch_backoff(-1, 100, 5), 0);
	assert_int_equal(ch_backoff(100, 0, 5), 0);
	assert_int_equal(ch_backoff(100, -1, 5), 0);
	assert_int_equal(ch_backoff_full(0, 100, 5, 12345), 0);
	assert_int_equal(ch_backoff_decorrelated(-1, -1, -1, 12345), 0);
	assert_int_equal(ch_backoff_decorrelated(INT64_MIN, 10, INT64_MIN, 12345), 0);
}

static void full_jitter_reaches_every_wait_from_0_and_evenly(void **state)
{
	unsigned int count[401] = { 0 };

	(void)state;
	for (int i = 0; i < 401000; i++) {
		int64_t wait = ch_backoff_full(100, 5000, 2, random_bits());

		assert_true(wait >= 0 && wait <= 400);
		count[wait]++;
	}
	/* Each 1,000 times; the standard deviation is 32. */
	for (int i = 0; i <= 400; i++)
		assert_true(count[i] > 800 && count[i] < 1200);
	assert_true(ch_backoff_full(INT64_MAX, INT64_MAX, 0, UINT64_MAX) <= INT64_MAX);
	assert_true(ch_backoff_full(INT64_MAX, INT64_MAX, 0, INT64_MAX) == INT64_MAX);
}

static void decorrelated_jitter_lies_between_base_and_thrice_the_last(void **state)
{
	bool low = false, high = false;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t wait = ch_backoff_decorrelated(100, 5000, 200, random_bits());

		assert_true(wait >= 100 && wait <= 600);
		low = low || wait == 100;
		high = high || wait == 600;
	}
	assert_true(low && high);
	/* The first. */
	for (int i = 0; i < 1000; i++) {
		int64_t wait = ch_backoff_decorrelated(100, 5000, 0, random_bits());

		assert_true(wait >= 100 && wait <= 300);
	}
	/* Never over the cap, nor over what 64 bits hold. */
	for (int64_t wait = 0, i = 0; i < 1000; i++) {
		wait = ch_backoff_decorrelated(100, 5000, wait, random_bits());
		assert_true(wait >= 100 && wait <= 5000);
	}
	assert_true(ch_backoff_decorrelated(100, 5000, INT64_MAX, UINT64_MAX) <= 5000);
	assert_int_equal(ch_backoff_decorrelated(100, 50, 0, 7), 50);
	assert_true(ch_backoff_decorrelated(INT64_MAX, INT64_MAX, INT64_MAX, 7) == INT64_MAX);
}

/* ---- Retry-After ---- */

/* In memory of its exact size, so that a sanitizer sees a read behind its end. */
static int64_t read_value(const char *s, int64_t wall, int64_t min, int64_t max, bool ms)
{
	size_t n = strlen(s);
	char *p = malloc(n ? n : 1);
	int64_t v;

	assert_non_null(p);
	memcpy(p, s, n);
	v = ms ? ch_retry_after_ms(p, n, min, max) : ch_retry_after(p, n, wall, min, max);
	free(p);
	return v;
}

static void waits(const char *s, int64_t want)
{
	int64_t got = read_value(s, 0, 0, INT64_MAX, false);

	if (got != want)
		fail_msg("\"%s\": %lld, not %lld", s, (long long)got, (long long)want);
}

/* The date is so many seconds behind 1970; read at `now`. */
static void dated(const char *s, int64_t now, int64_t want)
{
	int64_t got = read_value(s, now * SECOND, INT64_MIN, INT64_MAX, false);

	if (got != (want - now) * SECOND)
		fail_msg("\"%s\": %lld, not %lld", s, (long long)(got / SECOND + now), (long long)want);
}

static void seconds_are_read_with_their_fraction(void **state)
{
	(void)state;
	waits("0", 0);
	waits("1", SECOND);
	waits("120", 120 * SECOND);
	waits("0000000000000000000000000000000000000000007", 7 * SECOND);
	waits("1.5", 1500000);
	waits("0.25", 250000);
	waits("3.", 3 * SECOND);
	waits("0.0000019", 1);
	waits("99999", 99999 * SECOND);
}

static void what_is_no_wait_counts_as_not_there(void **state)
{
	static const char *const garbage[] = {
		"", " ", "-1", "+1", "-99999", "1 ", " 1", "1s", "1,5", ".5", ".", "1e3", "0x10", "1.5.1", "1.-5", "inf", "nan", "soon",
		"12 Nov", "\xd9\xa1",
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
		if (read_value(garbage[i], 0, 5, 10, false) != -1)
			fail_msg("accepted: \"%s\"", garbage[i]);
		if (read_value(garbage[i], 0, 5, 10, true) != -1)
			fail_msg("accepted as milliseconds: \"%s\"", garbage[i]);
	}
	assert_int_equal(ch_retry_after("1\0", 2, 0, 0, 10), -1);
	assert_int_equal(ch_retry_after(NULL, 0, 0, 0, 10), -1);
}

static void waits_are_clamped_to_the_range(void **state)
{
	(void)state;
	assert_int_equal(read_value("0", 0, SECOND, 120 * SECOND, false), SECOND);
	assert_int_equal(read_value("1", 0, SECOND, 120 * SECOND, false), SECOND);
	assert_int_equal(read_value("120", 0, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value("99999", 0, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value("9223372036855", 0, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value("99999999999999999999999999999999", 0, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value("99999999999999999999.99999999", 0, SECOND, 120 * SECOND, false), 120 * SECOND);
	/* The largest number of seconds that fits, and one more: 2^63 - 1 is 9,223,372,036,854,775,807. */
	waits("9223372036854.775807", INT64_MAX);
	waits("9223372036854.775808", INT64_MAX);
	waits("9223372036855", INT64_MAX);
}

static void milliseconds_are_read_too(void **state)
{
	(void)state;
	assert_int_equal(read_value("500", 0, 0, SECOND, true), 500000);
	assert_int_equal(read_value("0.5", 0, 0, SECOND, true), 500);
	assert_int_equal(read_value("2000", 0, 0, SECOND, true), SECOND);
	assert_int_equal(read_value("99999999999999999999", 0, 0, SECOND, true), SECOND);
	assert_int_equal(read_value("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0, SECOND, true), -1);
}

static void the_three_forms_of_a_date_are_one_time(void **state)
{
	const int64_t then = 784111777; /* RFC 9110, section 5.6.7 */

	(void)state;
	dated("Sun, 06 Nov 1994 08:49:37 GMT", 0, then);
	dated("Sunday, 06-Nov-94 08:49:37 GMT", then, then);
	dated("Sun Nov  6 08:49:37 1994", 0, then);
	dated("Sun Nov 16 08:49:37 1994", 0, then + 10 * 86400);
}

static void a_date_waits_for_the_difference_and_one_that_is_past_for_the_least(void **state)
{
	const int64_t then = 784111777 * SECOND;
	static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";

	(void)state;
	assert_int_equal(read_value(date, then - 30 * SECOND, SECOND, 120 * SECOND, false), 30 * SECOND);
	assert_int_equal(read_value(date, then - 30 * SECOND + 1, SECOND, 120 * SECOND, false), 30 * SECOND - 1);
	assert_int_equal(read_value(date, then, SECOND, 120 * SECOND, false), SECOND);
	assert_int_equal(read_value(date, then + 3600 * SECOND, SECOND, 120 * SECOND, false), SECOND);
	assert_int_equal(read_value(date, 0, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value(date, INT64_MIN, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value(date, INT64_MAX, SECOND, 120 * SECOND, false), SECOND);
	assert_int_equal(read_value("Fri, 31 Dec 9999 23:59:59 GMT", INT64_MIN, SECOND, 120 * SECOND, false), 120 * SECOND);
	assert_int_equal(read_value("Sat, 01 Jan 0000 00:00:00 GMT", INT64_MAX, SECOND, 120 * SECOND, false), SECOND);
}

static void days_are_counted_by_the_gregorian_calendar(void **state)
{
	(void)state;
	dated("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0);
	dated("Wed, 31 Dec 1969 23:59:59 GMT", 0, -1);
	dated("Tue, 29 Feb 2000 00:00:00 GMT", 0, 951782400);
	dated("Wed, 01 Mar 2000 00:00:00 GMT", 0, 951868800);
	dated("Thu, 29 Feb 2024 12:00:00 GMT", 0, 1709208000);
	dated("Sun, 28 Feb 2100 00:00:00 GMT", 0, INT64_C(4107456000));
	dated("Mon, 01 Mar 2100 00:00:00 GMT", 0, INT64_C(4107542400));
	dated("Tue, 19 Jan 2038 03:14:08 GMT", 0, INT64_C(2147483648));
	dated("Fri, 31 Dec 9999 23:59:59 GMT", 0, INT64_C(253402300799));
	dated("Sat, 01 Jan 0000 00:00:00 GMT", 0, INT64_C(-62167219200));
	dated("Sat, 31 Dec 2016 23:59:60 GMT", 0, 1483228800); /* a leap second */
}

static void days_and_times_that_do_not_exist_are_garbage(void **state)
{
	static const char *const garbage[] = {
		"Mon, 00 Jan 2024 00:00:00 GMT", "Mon, 32 Jan 2024 00:00:00 GMT", "Mon, 31 Apr 2024 00:00:00 GMT",
		"Mon, 30 Feb 2024 00:00:00 GMT", "Mon, 29 Feb 2023 00:00:00 GMT", "Mon, 29 Feb 2100 00:00:00 GMT",
		"Mon, 01 Jan 2024 24:00:00 GMT", "Mon, 01 Jan 2024 00:60:00 GMT", "Mon, 01 Jan 2024 00:00:61 GMT",
		/* forms that are none */
		"Mon, 1 Jan 2024 00:00:00 GMT", "Mon, 01 jan 2024 00:00:00 GMT", "mon, 01 Jan 2024 00:00:00 GMT",
		"Mon, 01 Jan 2024 00:00:00 UTC", "Mon, 01 Jan 2024 00:00:00 +0000", "Mon, 01 Jan 2024 00:00:00",
		"Mon, 01 Jan 2024 00:00:00 GMT ", "Mon 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 24 00:00:00 GMT",
		"Mon, 01-Jan-24 00:00:00 GMT", "Monday, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 0:00:00 GMT",
		"Mon, 01 Jan -024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00: 0 GMT", "Mon Jan 1 00:00:00 2024",
		"Mon Jan  01 00:00:00 2024", "Mon Jan  1 00:00:00 2024 GMT", "Mon Jan  1 00:00:00 24", "2024-01-01T00:00:00Z",
		"Jan", "Mon", "Monday", "Mon, ",
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(garbage) / sizeof(*garbage); i++)
		if (read_value(garbage[i], 0, 0, SECOND, false) != -1)
			fail_msg("accepted: \"%s\"", garbage[i]);
}

static void a_cut_date_is_garbage_at_every_byte(void **state)
{
	static const char *const dates[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	};
	char part[64];

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		strcpy(part, dates[i]);
		assert_int_equal(read_value(part, 0, 0, SECOND, false), SECOND);
		for (size_t n = strlen(part); n-- > 0;) {
			part[n] = 0;
			assert_int_equal(read_value(part, 0, 0, SECOND, false), -1);
		}
	}
}

static void two_digits_of_a_year_are_at_most_50_years_ahead(void **state)
{
	const int64_t at_2024 = 1704067200, at_2099 = INT64_C(4070908800);

	(void)state;
	dated("Monday, 01-Jan-24 00:00:00 GMT", at_2024, at_2024);
	dated("Monday, 01-Jan-73 00:00:00 GMT", at_2024, INT64_C(3250454400)); /* 2073 */
	dated("Monday, 31-Dec-73 23:59:59 GMT", at_2024, INT64_C(3281990399)); /* 2073 */
	dated("Monday, 01-Jan-74 23:59:59 GMT", at_2024, INT64_C(3282076799)); /* 2074: 50 years to the day */
	dated("Monday, 02-Jan-74 00:00:00 GMT", at_2024, 126316800);           /* 1974 */
	dated("Monday, 01-Feb-74 00:00:00 GMT", at_2024, 128908800);           /* 1974 */
	dated("Monday, 01-Jan-75 00:00:00 GMT", at_2024, 157766400);           /* 1975 */
	dated("Monday, 01-Jan-99 00:00:00 GMT", at_2024, 915148800);           /* 1999 */
	dated("Monday, 01-Jan-00 00:00:00 GMT", at_2024, 946684800);           /* 2000 */
	dated("Monday, 01-Jan-99 00:00:00 GMT", at_2099, at_2099);
	dated("Monday, 01-Jan-00 00:00:00 GMT", at_2099, INT64_C(4102444800)); /* 2100: next year */
	dated("Tuesday, 29-Feb-00 00:00:00 GMT", at_2024, 951782400);
	assert_int_equal(read_value("Monday, 29-Feb-00 00:00:00 GMT", at_2099 * SECOND, 0, SECOND, false), -1); /* 2100 has none */
	assert_int_equal(read_value("Monday, 01-Jan-00 00:00:00 GMT", INT64_MAX, 0, SECOND, false), 0);
	assert_int_equal(read_value("Monday, 01-Jan-00 00:00:00 GMT", INT64_MIN, 0, SECOND, false), SECOND);
}

/* ---- budget ---- */

static void one_retry_for_each_ten_requests(void **state)
{
	struct ch_retry_budget b;
	unsigned int granted = 0;

	(void)state;
	ch_retry_budget_init(&b, 0.1, 0);
	for (unsigned int requests = 1; requests <= 1000000; requests++) {
		ch_retry_budget_request(&b);
		granted += ch_retry_budget_take(&b);
		granted += ch_retry_budget_take(&b);
		assert_true(granted == requests / 10);
	}
}

static void the_bank_is_there_at_first_and_bounds_what_is_saved(void **state)
{
	struct ch_retry_budget b;
	unsigned int granted = 0;

	(void)state;
	ch_retry_budget_init(&b, 0.1, 3);
	while (ch_retry_budget_take(&b))
		granted++;
	assert_int_equal(granted, 3);
	for (int i = 0; i < 1000; i++)
		ch_retry_budget_request(&b);
	for (granted = 0; ch_retry_budget_take(&b);)
		granted++;
	assert_int_equal(granted, 3);
}

static void a_retry_that_is_not_made_goes_back(void **state)
{
	struct ch_retry_budget b;

	(void)state;
	ch_retry_budget_init(&b, 0.5, 1);
	assert_true(ch_retry_budget_take(&b));
	assert_false(ch_retry_budget_take(&b));
	ch_retry_budget_put_back(&b);
	assert_true(ch_retry_budget_take(&b));
	ch_retry_budget_put_back(&b);
	ch_retry_budget_put_back(&b);
	assert_true(ch_retry_budget_take(&b));
	assert_false(ch_retry_budget_take(&b));
	ch_retry_budget_init(&b, 0.5, 3);
	for (int i = 0; i < 3; i++)
		assert_true(ch_retry_budget_take(&b));
	ch_retry_budget_put_back(&b);
	ch_retry_budget_put_back(&b);
	assert_true(ch_retry_budget_take(&b));
	assert_true(ch_retry_budget_take(&b));
	assert_false(ch_retry_budget_take(&b));
}

static void shares_out_of_range_are_the_nearest_in_it(void **state)
{
	static const struct { double share; unsigned int granted; } cases[] = {
		{ 0, 0 }, { -1, 0 }, { NAN, 0 }, { 1, 100 }, { 2, 100 }, { INFINITY, 100 }, { 0.01, 1 }, { 0.25, 25 }, { 4e-7, 0 },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ch_retry_budget b;
		unsigned int granted = 0;

		ch_retry_budget_init(&b, cases[i].share, 0);
		for (int k = 0; k < 100; k++) {
			ch_retry_budget_request(&b);
			granted += ch_retry_budget_take(&b);
		}
		if (granted != cases[i].granted)
			fail_msg("share %g: %u", cases[i].share, granted);
	}
}

static void a_zeroed_budget_grants_nothing(void **state)
{
	struct ch_retry_budget b = { 0 };

	(void)state;
	ch_retry_budget_request(&b);
	assert_false(ch_retry_budget_take(&b));
	ch_retry_budget_put_back(&b);
	assert_false(ch_retry_budget_take(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_double_up_to_the_cap),
		cmocka_unit_test(no_attempt_overflows),
		cmocka_unit_test(base_or_cap_of_nothing_is_no_wait),
		cmocka_unit_test(full_jitter_reaches_every_wait_from_0_and_evenly),
		cmocka_unit_test(decorrelated_jitter_lies_between_base_and_thrice_the_last),
		cmocka_unit_test(seconds_are_read_with_their_fraction),
		cmocka_unit_test(what_is_no_wait_counts_as_not_there),
		cmocka_unit_test(waits_are_clamped_to_the_range),
		cmocka_unit_test(milliseconds_are_read_too),
		cmocka_unit_test(the_three_forms_of_a_date_are_one_time),
		cmocka_unit_test(a_date_waits_for_the_difference_and_one_that_is_past_for_the_least),
		cmocka_unit_test(days_are_counted_by_the_gregorian_calendar),
		cmocka_unit_test(days_and_times_that_do_not_exist_are_garbage),
		cmocka_unit_test(a_cut_date_is_garbage_at_every_byte),
		cmocka_unit_test(two_digits_of_a_year_are_at_most_50_years_ahead),
		cmocka_unit_test(one_retry_for_each_ten_requests),
		cmocka_unit_test(the_bank_is_there_at_first_and_bounds_what_is_saved),
		cmocka_unit_test(a_retry_that_is_not_made_goes_back),
		cmocka_unit_test(shares_out_of_range_are_the_nearest_in_it),
		cmocka_unit_test(a_zeroed_budget_grants_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
