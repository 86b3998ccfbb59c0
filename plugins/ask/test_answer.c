/* SPDX-License-Identifier: Apache-2.0 */
/* test_answer.c - the answers of POST /v1/ask, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "answer.h"

static char buf[ASK_FRAME_MAX + 1];
static struct ch_jw w;

static void begin(void)
{
	ch_jw_init(&w, buf, ASK_FRAME_MAX);
}

static const char *text(void)
{
	assert_false(w.failed);
	buf[w.len] = 0;
	return buf;
}

static const struct ask_answer whole = {
	.backend = "dryrun",
	.model = "m",
	.finish_reason = "stop",
	.req_id = "r-1",
	.text = "a \"b\"",
	.ntext = 5,
	.tokens_in = 3,
	.tokens_out = 2,
	.latency_us = 1234,
};

static void a_whole_answer_is_one_object(void **state)
{
	(void)state;
	begin();
	ask_write_answer(&w, &whole);
	assert_string_equal(text(),
		"{\"backend\":\"dryrun\",\"model\":\"m\",\"answer\":\"a \\\"b\\\"\",\"finish_reason\":\"stop\","
		"\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5},\"latency_ms\":1.234,\"req_id\":\"r-1\"}");
}

static void what_is_not_known_is_null(void **state)
{
	const struct ask_answer a = { .backend = "b", .text = "", .latency_us = 5 };

	(void)state;
	begin();
	ask_write_answer(&w, &a);
	assert_string_equal(text(),
		"{\"backend\":\"b\",\"model\":null,\"answer\":\"\",\"finish_reason\":null,"
		"\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0},\"latency_ms\":0.005,\"req_id\":null}");
}

static void latency_is_in_milliseconds_with_three_places(void **state)
{
	static const struct { int64_t us; const char *ms;
	} cases[] = {
		{ 0, ":0.000," },
		{ -1, ":0.000," },
		{ 999, ":0.999," },
		{ 1000, ":1.000," },
		{ 1234567, ":1234.567," },
		{ INT64_MAX, ":9223372036854775.807," },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ask_answer a = whole;

		a.latency_us = cases[i].us;
		begin();
		ask_write_answer(&w, &a);
		assert_non_null(strstr(text(), cases[i].ms));
	}
}

static void a_piece_is_one_line(void **state)
{
	(void)state;
	begin();
	ask_write_delta(&w, "line\nnext", 9);
	assert_string_equal(text(), "{\"delta\":\"line\\nnext\"}");
}

static void the_worst_piece_fits_a_frame(void **state)
{
	char worst[ASK_PIECE_MAX];

	(void)state;
	memset(worst, 1, sizeof(worst)); /* each becomes \u0001 */
	begin();
	ask_write_delta(&w, worst, sizeof(worst));
	assert_int_equal(strlen(text()), 6 * ASK_PIECE_MAX + strlen("{\"delta\":\"\"}"));
}

static void without_text_it_is_what_a_streams_end_says(void **state)
{
	struct ask_answer a = whole;

	(void)state;
	a.text = NULL;
	begin();
	ask_write_answer(&w, &a);
	assert_string_equal(text(),
		"{\"backend\":\"dryrun\",\"model\":\"m\",\"finish_reason\":\"stop\","
		"\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5},\"latency_ms\":1.234,\"req_id\":\"r-1\"}");
}

static void long_text_is_cut_between_characters(void **state)
{
	char t[ASK_PIECE_MAX + 4];

	(void)state;
	memset(t, 'a', sizeof(t));
	assert_int_equal(ask_piece(t, 1), 1);
	assert_int_equal(ask_piece(t, ASK_PIECE_MAX), ASK_PIECE_MAX);
	assert_int_equal(ask_piece(t, ASK_PIECE_MAX + 1), ASK_PIECE_MAX);
	memcpy(t + ASK_PIECE_MAX - 3, "\xf0\x9f\x98\x80", 4);
	assert_int_equal(ask_piece(t, sizeof(t)), ASK_PIECE_MAX - 3);
	memcpy(t + ASK_PIECE_MAX - 4, "\xf0\x9f\x98\x80" "a", 5);
	assert_int_equal(ask_piece(t, sizeof(t)), ASK_PIECE_MAX);
	memset(t, 0x80, sizeof(t));
	assert_true(ask_piece(t, sizeof(t)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_is_one_object),
		cmocka_unit_test(what_is_not_known_is_null),
		cmocka_unit_test(latency_is_in_milliseconds_with_three_places),
		cmocka_unit_test(a_piece_is_one_line),
		cmocka_unit_test(the_worst_piece_fits_a_frame),
		cmocka_unit_test(without_text_it_is_what_a_streams_end_says),
		cmocka_unit_test(long_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
