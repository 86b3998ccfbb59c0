/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a stream, however it was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ndjson.h"

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	(void)used;
	return arg ? NULL : realloc(old, want);
}

/* Feeds text in pieces of `piece` bytes; the lines come back joined, each in <>. The last return code is the result. */
static enum ndjson_rc split(const char *text, size_t n, size_t piece, size_t max_line, char *out)
{
	struct ndjson s = { .grow = grow, .max_line = max_line };
	struct ndjson_line line;
	enum ndjson_rc rc = NDJSON_MORE;
	size_t used;

	*out = 0;
	for (size_t at = 0; at < n && rc >= 0;) {
		size_t take = n - at < piece ? n - at : piece;

		rc = ndjson_next(&s, text + at, take, &used, &line);
		assert_true(used <= take);
		at += used;
		if (rc == NDJSON_LINE)
			sprintf(out + strlen(out), "<%.*s>", (int)line.n, line.p);
		else if (rc == NDJSON_MORE)
			assert_int_equal(used, take);
	}
	if (rc >= 0) {
		rc = ndjson_end(&s, &line);
		if (rc == NDJSON_LINE)
			sprintf(out + strlen(out), "<%.*s>", (int)line.n, line.p);
	}
	free(s.buf);
	return rc;
}

static void a_line_is_told_wherever_the_stream_is_cut(void **state)
{
	static const char text[] = "{\"a\":1}\n\n{\"b\":2}\r\n\r\n[]\nlast";
	char out[128];

	(void)state;
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		assert_int_equal(split(text, sizeof(text) - 1, piece, 100, out), NDJSON_LINE);
		assert_string_equal(out, "<{\"a\":1}><{\"b\":2}><[]><last>");
	}
}

static void a_stream_that_ends_with_a_line_end_has_nothing_left(void **state)
{
	char out[32];

	(void)state;
	assert_int_equal(split("1\n2\n", 4, 4, 100, out), NDJSON_MORE);
	assert_string_equal(out, "<1><2>");
	assert_int_equal(split("1\n\r", 3, 1, 100, out), NDJSON_MORE);
	assert_string_equal(out, "<1>");
	assert_int_equal(split("", 0, 1, 100, out), NDJSON_MORE);
}

static void a_carriage_return_inside_of_a_line_stays(void **state)
{
	char out[32];

	(void)state;
	for (size_t piece = 1; piece <= 5; piece++) {
		assert_int_equal(split("a\rb\n", 4, piece, 100, out), NDJSON_MORE);
		assert_string_equal(out, "<a\rb>");
	}
}

static void exactly_the_longest_line_passes_and_one_byte_more_does_not(void **state)
{
	char out[64];

	(void)state;
	for (size_t piece = 1; piece <= 12; piece++) {
		assert_int_equal(split("12345678\n1\n", 11, piece, 8, out), NDJSON_MORE);
		assert_string_equal(out, "<12345678><1>");
		assert_int_equal(split("12345678\r\n", 10, piece, 8, out), NDJSON_MORE);
		assert_string_equal(out, "<12345678>");
		assert_int_equal(split("12345678", 8, piece, 8, out), NDJSON_LINE);
		assert_int_equal(split("1\n123456789\n", 12, piece, 8, out), NDJSON_TOO_LONG);
		assert_string_equal(out, "<1>");
		assert_int_equal(split("123456789", 9, piece, 8, out), NDJSON_TOO_LONG);
	}
}

static void a_line_without_an_end_takes_no_more_than_twice_the_longest(void **state)
{
	struct ndjson s = { .grow = grow, .max_line = 10000 };
	struct ndjson_line line;
	enum ndjson_rc rc = NDJSON_MORE;
	size_t used, fed = 0;

	(void)state;
	while (rc == NDJSON_MORE) {
		rc = ndjson_next(&s, "xxxxxxx", 7, &used, &line);
		fed += 7;
	}
	assert_int_equal(rc, NDJSON_TOO_LONG);
	assert_true(fed > 10000 && fed <= 10008);
	assert_true(s.cap <= 20000);
	free(s.buf);
}

static void a_line_is_too_long_as_soon_as_that_is_certain(void **state)
{
	struct ndjson s = { .grow = grow, .max_line = 8 };
	struct ndjson_line line;
	size_t used, fed = 0;

	(void)state;
	while (ndjson_next(&s, "x", 1, &used, &line) == NDJSON_MORE)
		fed++;
	assert_int_equal(fed, 9); /* the ninth might have been the \r of its end */
	free(s.buf);
}

static void a_whole_line_is_told_where_it_lies_and_costs_no_memory(void **state)
{
	static const char text[] = "{\"a\":1}\n";
	struct ndjson s = { .grow = grow, .arg = &s, .max_line = 100 };
	struct ndjson_line line;
	size_t used;

	(void)state;
	assert_int_equal(ndjson_next(&s, text, 8, &used, &line), NDJSON_LINE);
	assert_ptr_equal(line.p, text);
	assert_int_equal(used, 8);
	assert_int_equal(ndjson_next(&s, text, 3, &used, &line), NDJSON_NO_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_told_wherever_the_stream_is_cut),
		cmocka_unit_test(a_stream_that_ends_with_a_line_end_has_nothing_left),
		cmocka_unit_test(a_carriage_return_inside_of_a_line_stays),
		cmocka_unit_test(exactly_the_longest_line_passes_and_one_byte_more_does_not),
		cmocka_unit_test(a_line_without_an_end_takes_no_more_than_twice_the_longest),
		cmocka_unit_test(a_line_is_too_long_as_soon_as_that_is_certain),
		cmocka_unit_test(a_whole_line_is_told_where_it_lies_and_costs_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
