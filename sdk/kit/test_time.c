/* SPDX-License-Identifier: MIT */
/* Moments as text. The numbers are those of `date -u -d TEXT +%s`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kit/time.h>

#define S INT64_C(1000000)

static const struct { const char *text; int64_t us; } moments[] = {
	{ "1970-01-01T00:00:00Z", 0 }, { "1969-12-31T23:59:59Z", -S }, { "2000-02-29T12:34:56Z", 951827696 * S },
	{ "2026-11-21T15:40:00Z", 1795275600 * S }, { "2100-03-01T00:00:00Z", 4107542400 * S }, { "0001-01-01T00:00:00Z",
	-62135596800 * S },
	{ "9999-12-31T23:59:59.999999Z", 253402300799 * S + 999999 }, { "2026-11-21T15:40:00.000001Z", 1795275600 * S + 1 },
};

static void moments_are_written_and_read_back(void **state)
{
	char out[CH_TIME_CHARS];
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		assert_string_equal(ch_time_text(moments[i].us, out), moments[i].text);
		assert_true(ch_time_read(moments[i].text, strlen(moments[i].text), 0, &us));
		assert_true(us == moments[i].us);
	}
	assert_string_equal(ch_time_text(INT64_MAX, out), "-");
	assert_string_equal(ch_time_text(INT64_MIN, out), "-");
}

static void other_forms_are_read_too(void **state)
{
	static const struct { const char *text; int64_t us; } rows[] = {
		{ "2026-11-21", 1795219200 * S }, { "2026-11-21 15:40:00z", 1795275600 * S }, { "2026-11-21T16:40:00+01:00",
			1795275600 * S },
		{ "2026-11-21T10:10:00.5-05:30", 1795275600 * S + 500000 }, { "30d", 1000 + 2592000 * S }, { "12h", 1000 + 43200 * S },
		{ "5m", 1000 + 300 * S }, { "1s", 1000 + S },
	};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(ch_time_read(rows[i].text, strlen(rows[i].text), 1000, &us));
		if (us != rows[i].us)
			fail_msg("%s is %lld", rows[i].text, (long long)us);
	}
}

static void what_is_no_moment_is_refused(void **state)
{
	static const char *const rows[] = { "", "x", "0d", "d", "1w", "1", "-1d", "99999999d", "2026-13-01", "2026-02-29", "2100-02-29",
		"2026-00-10",
		"2026-01-00", "0000-01-01", "2026-1-1", "2026-11-21T24:00:00Z", "2026-11-21T15:60:00Z", "2026-11-21T15:40:60Z",
		"2026-11-21T15:40Z",
		"2026-11-21T15:40:00", "2026-11-21T15:40:00.Z", "2026-11-21T15:40:00Zx", "2026-11-21T15:40:00+24:00", "2026-11-21T" };
	int64_t us;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ch_time_read(rows[i], strlen(rows[i]), 0, &us))
			fail_msg("\"%s\" is read", rows[i]);
	assert_false(ch_time_read("1d\0", 3, 0, &us));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moments_are_written_and_read_back),
		cmocka_unit_test(other_forms_are_read_too),
		cmocka_unit_test(what_is_no_moment_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
