/* SPDX-License-Identifier: Apache-2.0 */
/* When a task by the clock is due: crontab(5) in UTC, worked out on a calendar. 2026-01-01 is a Thursday. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/plugin/schedule.h"

#define SECOND INT64_C(1000000)

static int64_t at(const char *when)
{
	struct tm tm = { 0 };

	assert_int_equal(sscanf(when, "%d-%d-%d %d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min), 5);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t)timegm(&tm) * SECOND;
}

static const char *shown(int64_t wall)
{
	static char text[64];
	time_t t = (time_t)(wall / SECOND);
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M", gmtime_r(&t, &tm));
	return wall ? text : "never";
}

static struct chi_schedule parsed(const char *line)
{
	struct chi_schedule s;
	char why[256] = "";

	if (!chi_schedule_parse(&s, line, why, sizeof(why)))
		fail_msg("\"%s\" %s", line, why);
	return s;
}

static void next_is(const char *line, const char *now, const char *expected)
{
	struct chi_schedule s = parsed(line);
	const char *got = shown(chi_schedule_next(&s, at(now)));

	if (strcmp(got, expected))
		fail_msg("\"%s\" after %s is due at %s, not at %s", line, now, got, expected);
}

static void a_minute_is_due_after_it_has_begun_never_in_it(void **state)
{
	struct chi_schedule s = parsed("* * * * *");

	(void)state;
	assert_int_equal(chi_schedule_next(&s, at("2026-01-01 00:00")), at("2026-01-01 00:01"));
	assert_int_equal(chi_schedule_next(&s, at("2026-01-01 00:00") + 1), at("2026-01-01 00:01"));
	assert_int_equal(chi_schedule_next(&s, at("2026-01-01 00:01") - 1), at("2026-01-01 00:01"));
	assert_int_equal(at("2026-01-01 00:00"), INT64_C(1767225600) * SECOND);
	next_is("30 3 * * *", "2026-01-01 03:29", "2026-01-01 03:30");
	next_is("30 3 * * *", "2026-01-01 03:30", "2026-01-02 03:30");
}

static void ranges_lists_and_steps(void **state)
{
	(void)state;
	next_is("*/15 * * * *", "2026-01-01 00:00", "2026-01-01 00:15");
	next_is("*/15 * * * *", "2026-01-01 00:45", "2026-01-01 01:00");
	next_is("*/40 * * * *", "2026-01-01 00:40", "2026-01-01 01:00"); /* a step begins anew each hour */
	next_is("5-10/2 * * * *", "2026-01-01 00:05", "2026-01-01 00:07");
	next_is("5-10/2 * * * *", "2026-01-01 00:09", "2026-01-01 01:05");
	next_is("7-7 * * * *", "2026-01-01 00:00", "2026-01-01 00:07");
	next_is("59,1,30 * * * *", "2026-01-01 00:30", "2026-01-01 00:59");
	next_is("1-3,20-30/10,59 * * * *", "2026-01-01 00:20", "2026-01-01 00:30");
	next_is("0 */6 * * *", "2026-01-01 18:00", "2026-01-02 00:00");
	next_is("0 9-17/4 * * *", "2026-01-01 13:00", "2026-01-01 17:00");
	next_is("0 0 1 */5 *", "2026-01-01 00:00", "2026-06-01 00:00"); /* 1, 6, 11 */
	next_is("0 0 1 */5 *", "2026-11-01 00:00", "2027-01-01 00:00");
	next_is("  15\t\t2  *  *  *  ", "2026-01-01 00:00", "2026-01-01 02:15");
	next_is("00 02 01 01 *", "2026-01-01 02:00", "2027-01-01 02:00"); /* zeros in front are decimal */
	next_is("08 09 * * *", "2026-01-01 00:00", "2026-01-01 09:08");
}

static void months_and_years_turn(void **state)
{
	(void)state;
	next_is("0 0 1 1 *", "2026-12-31 23:59", "2027-01-01 00:00");
	next_is("59 23 31 12 *", "2026-01-01 00:00", "2026-12-31 23:59");
	next_is("0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00");
	next_is("0 0 31 * *", "2026-03-31 00:00", "2026-05-31 00:00");
	next_is("0 12 30 * *", "2026-01-30 12:00", "2026-03-30 12:00");
	next_is("0 0 * 3 *", "2026-03-31 00:00", "2027-03-01 00:00");
}

static void the_29th_of_february_comes_in_leap_years(void **state)
{
	(void)state;
	next_is("0 0 29 2 *", "2026-03-01 00:00", "2028-02-29 00:00");
	next_is("0 0 29 2 *", "2028-02-29 00:00", "2032-02-29 00:00");
	next_is("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"); /* 2100 is none */
	next_is("0 0 29 2 *", "1999-03-01 00:00", "2000-02-29 00:00"); /* 2000 is one */
	next_is("0 0 28 2 *", "2028-02-28 00:00", "2029-02-28 00:00");
	next_is("0 0 * 2 *", "2028-02-28 00:00", "2028-02-29 00:00");
	next_is("0 0 * 2 *", "2027-02-28 00:00", "2028-02-01 00:00");
}

static void a_day_that_does_not_exist_never_comes(void **state)
{
	struct chi_schedule s;

	(void)state;
	next_is("0 0 30 2 *", "2026-01-01 00:00", "never");
	next_is("0 0 31 4,6,9,11 *", "2026-01-01 00:00", "never");
	s = parsed("");
	assert_int_equal(chi_schedule_next(&s, at("2026-01-01 00:00")), 0);
	s = parsed("   ");
	assert_int_equal(s.every_ms, 0);
	assert_int_equal(chi_schedule_next(&s, at("2026-01-01 00:00")), 0);
}

static void days_of_the_week_begin_and_end_with_sunday(void **state)
{
	(void)state;
	next_is("0 0 * * 0", "2026-01-01 00:00", "2026-01-04 00:00");
	next_is("0 0 * * 7", "2026-01-01 00:00", "2026-01-04 00:00");
	next_is("0 0 * * 5-7", "2026-01-01 00:00", "2026-01-02 00:00");
	next_is("0 0 * * 5-7", "2026-01-02 00:00", "2026-01-03 00:00");
	next_is("0 0 * * 5-7", "2026-01-03 00:00", "2026-01-04 00:00");
	next_is("0 0 * * 5-7", "2026-01-04 00:00", "2026-01-09 00:00");
	next_is("30 3 * * 1-5", "2026-01-02 03:30", "2026-01-05 03:30"); /* from Friday to Monday */
	next_is("0 0 * * 4", "2026-01-01 00:00", "2026-01-08 00:00");
}

static void if_both_days_are_restricted_either_makes_it_due(void **state)
{
	(void)state;
	next_is("0 0 13 * 5", "2026-01-01 00:00", "2026-01-02 00:00"); /* a Friday */
	next_is("0 0 13 * 5", "2026-01-09 00:00", "2026-01-13 00:00"); /* a 13th, Tuesday */
	next_is("0 0 13 * 5", "2026-01-13 00:00", "2026-01-16 00:00");
	next_is("0 0 13 2 5", "2026-01-16 00:00", "2026-02-06 00:00"); /* the month holds for both */
	next_is("0 0 13 * *", "2026-01-01 00:00", "2026-01-13 00:00");
	next_is("0 0 * * 5", "2026-01-02 00:00", "2026-01-09 00:00");
	next_is("0 0 1-31 * 5", "2026-01-01 00:00", "2026-01-02 00:00"); /* every day by the first field alone */
	next_is("0 0 1-31 * 5", "2026-01-02 00:00", "2026-01-03 00:00");
	next_is("0 0 */2 * 5", "2026-01-01 00:00", "2026-01-09 00:00"); /* begins with *: both must fit, as in crontab */
	next_is("0 0 13 * */2", "2026-01-01 00:00", "2026-01-13 00:00"); /* Sun Tue Thu Sat, and the 13th: a Tuesday */
	next_is("0 0 13 * */2", "2026-01-13 00:00", "2026-06-13 00:00"); /* the next 13th on one of these days: a Saturday */
}

static void summer_time_changes_nothing(void **state)
{
	(void)state;
	setenv("TZ", "Europe/Berlin", 1); /* on 2026-03-29 its clocks have no 02:30, on 2026-10-25 they have it twice */
	tzset();
	next_is("30 2 * * *", "2026-03-28 02:30", "2026-03-29 02:30");
	next_is("30 2 * * *", "2026-03-29 02:30", "2026-03-30 02:30");
	next_is("30 1 * * *", "2026-10-25 01:30", "2026-10-26 01:30");
	next_is("0 0 * * *", "2026-10-24 23:30", "2026-10-25 00:00");
	unsetenv("TZ");
	tzset();
}

static void a_duration_is_a_duration(void **state)
{
	(void)state;
	assert_int_equal(parsed("5m").every_ms, 300000);
	assert_int_equal(parsed("1ms").every_ms, 1);
	assert_int_equal(parsed(" 1d").every_ms, 86400000);
	assert_int_equal(parsed("90s").every_ms, 90000);
}

static void refused(const char *text, const char *sentence)
{
	struct chi_schedule s;
	char why[256] = "";

	if (chi_schedule_parse(&s, text, why, sizeof(why)))
		fail_msg("\"%s\" was taken", text);
	if (!strstr(why, sentence))
		fail_msg("\"%s\": \"%s\" is not in \"%s\"", text, sentence, why);
}

static void what_is_wrong_is_said_with_what_is_allowed(void **state)
{
	(void)state;
	refused("60 * * * *",
		"has '60' as minute: allowed are *, numbers from 0 to 59, ranges a-b, lists by comma, steps /n behind * or a range");
	refused("* 24 * * *", "has '24' as hour: allowed are *, numbers from 0 to 23");
	refused("* * 0 * *", "has '0' as day of the month: allowed are *, numbers from 1 to 31");
	refused("* * 32 * *", "has '32' as day of the month");
	refused("* * * 0 *", "has '0' as month: allowed are *, numbers from 1 to 12");
	refused("* * * 13 *", "has '13' as month");
	refused("* * * * 8", "has '8' as day of the week: allowed are *, numbers from 0 to 7");
	refused("* * * * mon", "has 'mon' as day of the week");
	refused("* * * jan *", "has 'jan' as month");
	refused("5-1 * * * *", "has '5-1' as minute");
	refused("0-60 * * * *", "has '0-60' as minute");
	refused("*/0 * * * *", "has '*/0' as minute");
	refused("5/2 * * * *", "has '5/2' as minute");
	refused("*/ * * * *", "has '*/' as minute");
	refused("1-/2 * * * *", "has '1-/2' as minute");
	refused("1,,2 * * * *", "has '1,,2' as minute");
	refused(",1 * * * *", "has ',1' as minute");
	refused("1, * * * *", "has '1,' as minute");
	refused("-1 * * * *", "has '-1' as minute");
	refused("** * * * *", "has '**' as minute");
	refused("1-2-3 * * * *", "has '1-2-3' as minute");
	refused("00000 * * * *", "has '00000' as minute");
	refused("4294967296 * * * *", "has '4294967296' as minute");
	refused("* * * *", "has 4 fields: a duration like 5m, or five fields 'minute hour day month weekday' (UTC)");
	refused("* *", "has 2 fields");
	refused("* * * * * *", "has more than five fields");
	refused("@daily", "is '@daily': a duration of at least 1ms like 30s, 5m or 1d, or five crontab fields");
	refused("0s", "is '0s': a duration of at least 1ms");
	refused("-5m", "is '-5m'");
	refused("5 parsecs", "has 'parsecs' as hour");
}

static void a_long_text_is_cut_in_the_sentence(void **state)
{
	char text[600], why[256];
	struct chi_schedule s;

	(void)state;
	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_false(chi_schedule_parse(&s, text, why, sizeof(why)));
	assert_true(strlen(why) < sizeof(why) - 1);
	text[300] = ' ';
	assert_false(chi_schedule_parse(&s, text, why, sizeof(why)));
	assert_non_null(strstr(why, "as minute: allowed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_minute_is_due_after_it_has_begun_never_in_it),
		cmocka_unit_test(ranges_lists_and_steps),
		cmocka_unit_test(months_and_years_turn),
		cmocka_unit_test(the_29th_of_february_comes_in_leap_years),
		cmocka_unit_test(a_day_that_does_not_exist_never_comes),
		cmocka_unit_test(days_of_the_week_begin_and_end_with_sunday),
		cmocka_unit_test(if_both_days_are_restricted_either_makes_it_due),
		cmocka_unit_test(summer_time_changes_nothing),
		cmocka_unit_test(a_duration_is_a_duration),
		cmocka_unit_test(what_is_wrong_is_said_with_what_is_allowed),
		cmocka_unit_test(a_long_text_is_cut_in_the_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
