/* SPDX-License-Identifier: Apache-2.0 */
/* test_traceparent.c - W3C Trace Context, level 1. The first example is the Recommendation's own (3.2.2.5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "traceparent.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/* Parses a copy without a final NUL, so that a sanitizer sees each byte read too far. */
static bool parse(const char *text, struct traceparent *out)
{
	size_t n = strlen(text);
	char *copy = malloc(n ? n : 1);
	bool ok;

	memcpy(copy, text, n);
	ok = traceparent_parse(copy, n, out);
	free(copy);
	return ok;
}

static void the_standards_example_is_read(void **state)
{
	struct traceparent tp;

	(void)state;
	assert_true(parse(GOOD, &tp));
	assert_string_equal(tp.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_string_equal(tp.parent_id, "00f067aa0ba902b7");
	assert_true(tp.sampled);
}

static void sampled_is_the_lowest_bit_of_the_flags(void **state)
{
	struct traceparent tp;

	(void)state;
	assert_true(parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", &tp));
	assert_false(tp.sampled);
	assert_true(parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe", &tp));
	assert_false(tp.sampled);
	assert_true(parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", &tp));
	assert_true(tp.sampled);
}

static void a_later_version_is_read_by_its_first_55_bytes(void **state)
{
	struct traceparent tp;

	(void)state;
	assert_true(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &tp));
	assert_true(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes", &tp));
	assert_true(parse("fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", &tp));
	assert_string_equal(tp.parent_id, "00f067aa0ba902b7");
}

static void what_the_standard_forbids_is_invalid_and_leaves_out_alone(void **state)
{
	static const char *const bad[] = {
		"",
		"00",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
		GOOD "-",
		GOOD "-more",
		GOOD "," GOOD,
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"0G-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"CC-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
		"00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct traceparent tp = { .trace_id = "as it was", .sampled = true };

		if (parse(bad[i], &tp))
			fail_msg("accepted: %s", bad[i]);
		assert_string_equal(tp.trace_id, "as it was");
	}
}

static void ten_kib_are_invalid(void **state)
{
	char text[10241];
	struct traceparent tp;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	memcpy(text, GOOD, 55);
	assert_false(parse(text, &tp));
}

static void a_nul_inside_is_invalid(void **state)
{
	char text[] = GOOD;
	struct traceparent tp;

	(void)state;
	text[20] = 0;
	assert_false(traceparent_parse(text, 55, &tp));
}

static void formatting_writes_version_00_and_only_the_known_flag(void **state)
{
	char out[TRACEPARENT_LEN + 1];

	(void)state;
	traceparent_format(out, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true);
	assert_string_equal(out, GOOD);
	traceparent_format(out, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", false);
	assert_string_equal(out, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
}

static void tracestate_of_32_members_passes_and_33_do_not(void **state)
{
	char text[200];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 32; i++)
		n = (size_t)(stpcpy(text + n, "a=1,") - text);
	assert_true(tracestate_ok(text, n - 1));
	assert_true(tracestate_ok(text, n)); /* a last empty member counts for nothing */
	memcpy(text + n, "a=1", 3);
	assert_false(tracestate_ok(text, n + 3));
}

static void tracestate_is_dropped_if_too_long_or_no_list_of_members(void **state)
{
	char text[TRACESTATE_MAX + 1];

	(void)state;
	assert_true(tracestate_ok("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", 40));
	assert_false(tracestate_ok("", 0));
	assert_false(tracestate_ok(", ,", 3));
	assert_false(tracestate_ok("rojo", 4));
	assert_false(tracestate_ok("=1", 2));
	assert_false(tracestate_ok("a=1\r\nX: y", 9));
	assert_false(tracestate_ok("a=\xc3\xa9", 4));
	memset(text, 'x', sizeof(text));
	text[1] = '=';
	assert_true(tracestate_ok(text, TRACESTATE_MAX));
	assert_false(tracestate_ok(text, TRACESTATE_MAX + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standards_example_is_read),
		cmocka_unit_test(sampled_is_the_lowest_bit_of_the_flags),
		cmocka_unit_test(a_later_version_is_read_by_its_first_55_bytes),
		cmocka_unit_test(what_the_standard_forbids_is_invalid_and_leaves_out_alone),
		cmocka_unit_test(ten_kib_are_invalid),
		cmocka_unit_test(a_nul_inside_is_invalid),
		cmocka_unit_test(formatting_writes_version_00_and_only_the_known_flag),
		cmocka_unit_test(tracestate_of_32_members_passes_and_33_do_not),
		cmocka_unit_test(tracestate_is_dropped_if_too_long_or_no_list_of_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
