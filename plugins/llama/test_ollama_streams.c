/* SPDX-License-Identifier: Apache-2.0 */
/* Ollama's streams: lines however they are cut, ends good and bad, time, pieces held back, calls given up. */
#include "test_world.h"

#define PIECE(word) "{\"model\":\"llama3.2\",\"created_at\":\"2023-08-04T08:52:19.385406455-07:00\",\"message\":{\"role\":\"assistant\"," \
	"\"content\":\"" word "\",\"images\":null},\"done\":false}\n"
#define LAST                                                                                                                               \
	"{\"model\":\"llama3.2\",\"created_at\":\"2023-08-04T19:22:45.499127Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},"    \
	"\"done_reason\":\"stop\",\"done\":true,\"total_duration\":4883583458,\"prompt_eval_count\":26,\"eval_count\":282}\n"

/* A stream that has been asked for and whose head came. */
static struct ch_test *stream(const char *more)
{
	struct ch_test *t = begin(more);

	ask(t, CH_I_CHAT, "user", "why is the sky blue?");
	caller.stream = true;
	go(t);
	assert_int_equal(caller.rc, CH_AGAIN);
	head(t, 200);
	return t;
}

/* ---- lines ---- */

static void a_stream_is_told_line_by_line(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	text(t, PIECE("The"));
	assert_string_equal(caller.text, "The");
	text(t, PIECE(" sky") PIECE(" \\u0069s"));
	assert_string_equal(caller.text, "The sky is");
	assert_int_equal(caller.deltas, 3);
	assert_int_equal(caller.resumed, 0);
	text(t, LAST);
	end(t, 0);
	assert_int_equal(caller.resumed, 1);
	assert_int_equal(caller.out.code, 0);
	assert_string_equal(caller.finish, "stop");
	assert_int_equal(caller.out.tokens_in, 26);
	assert_int_equal(caller.out.tokens_out, 282);
	assert_false(caller.out.estimated);
	assert_true(caller.out.first_delta > 0);
	finish(t);
}

static void a_stream_that_is_cut_anywhere_says_the_same(void **state)
{
	static const char all[] = PIECE("The") PIECE(" s\xc3\xa9y") PIECE(" is \\u00e9") LAST;

	(void)state;
	for (size_t piece = 1; piece <= 64; piece += piece < 8 ? 1 : 19) {
		struct ch_test *t = stream(NULL);

		for (size_t at = 0; at < sizeof(all) - 1; at += piece)
			push(t, 0, all + at, sizeof(all) - 1 - at < piece ? sizeof(all) - 1 - at : piece, false, 0);
		end(t, 0);
		assert_string_equal(caller.text, "The s\xc3\xa9y is \xc3\xa9");
		assert_int_equal(caller.out.code, 0);
		finish(t);
	}
}

static void calls_in_a_stream_are_counted_on(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	text(t, "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]},"
		"\"done\":false}\n");
	text(t, "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":{}}}]},\"done\":"
		"false}\n" LAST);
	end(t, 0);
	assert_string_equal(caller.calls,
		"[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]"
		"[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]");
	assert_string_equal(caller.finish, "tool_calls");
	finish(t);
}

static void what_comes_behind_done_is_not_looked_at(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	text(t, PIECE("a") LAST PIECE("b"));
	text(t, "nonsense\n");
	end(t, CH_HTTP_CLOSED);
	assert_string_equal(caller.text, "a");
	assert_int_equal(caller.out.code, 0);
	finish(t);
}

static void a_stream_that_is_done_and_does_not_end_is_not_waited_for(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	text(t, PIECE("a") LAST);
	assert_int_equal(caller.resumed, 0);
	ch_test_advance(t, 300);
	assert_int_equal(caller.resumed, 1);
	assert_int_equal(caller.out.code, 0);
	assert_int_equal(net.cancels, 1);
	finish(t);
}

static void a_broken_stream_ends_with_one_code(void **state)
{
	static const struct {
		const char *text;
		int error, code;
	} cases[] = {
		{ "", CH_HTTP_OK, CH_E_UPSTREAM_ERROR },                           /* an end without done */
		{ "{\"message\":{\"content\":\"b\"}", CH_HTTP_OK, CH_E_UPSTREAM_INVALID }, /* … in the middle of a line */
		{ "", CH_HTTP_CLOSED, CH_E_UPSTREAM_ERROR },
		{ "", CH_HTTP_TIMEOUT_IDLE, CH_E_UPSTREAM_TIMEOUT },
		{ "", CH_HTTP_INVALID, CH_E_UPSTREAM_INVALID },
		{ "{\"mess\n", 0, CH_E_UPSTREAM_INVALID },
		{ "{\"message\":{\"content\":\"\xc3\"},\"done\":false}\n", 0, CH_E_UPSTREAM_INVALID },
		{ "{\"error\":\"an error was encountered while running the model\"}\n", 0, CH_E_UPSTREAM_ERROR },
		{ "data: {}\n\n", 0, CH_E_UPSTREAM_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ch_test *t = stream(NULL);

		text(t, PIECE("a"));
		text(t, cases[i].text);
		end(t, cases[i].error);
		assert_int_equal(caller.resumed, 1);
		assert_int_equal(caller.deltas, 1);
		assert_string_equal(caller.text, "a");
		assert_int_equal(caller.out.code, cases[i].code);
		assert_true(caller.detail[0]);
		finish(t);
	}
}

static void a_last_line_without_an_end_counts(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	text(t, PIECE("a"));
	push(t, 0, LAST, strlen(LAST) - 1, true, 0);
	assert_int_equal(caller.out.code, 0);
	assert_string_equal(caller.finish, "stop");
	finish(t);
}

static void a_line_of_more_than_a_mebibyte_ends_the_stream(void **state)
{
	static char much[65536];
	struct ch_test *t = stream(NULL);
	int pieces = 0;

	(void)state;
	memset(much, 'x', sizeof(much));
	while (!caller.resumed && pieces < 100) {
		push(t, 0, much, sizeof(much), false, 0);
		pieces++;
	}
	assert_int_equal(pieces, 17);
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
	assert_non_null(strstr(caller.detail, "1 MiB"));
	finish(t);
}

/* ---- time ---- */

static void no_first_piece_in_time_is_a_timeout(void **state)
{
	struct ch_test *t = stream("first_token_timeout = 3s\n");

	(void)state;
	assert_int_equal(net.args.first_byte_timeout_ms, 3000);
	ch_test_advance(t, 2900);
	assert_int_equal(caller.resumed, 0);
	ch_test_advance(t, 200);
	assert_int_equal(caller.resumed, 1);
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_TIMEOUT);
	assert_int_equal(net.cancels, 1);
	finish(t);
}

static void a_model_that_thinks_has_begun(void **state)
{
	struct ch_test *t = stream("first_token_timeout = 3s\n");

	(void)state;
	text(t, "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Hm\"},\"done\":false}\n");
	ch_test_advance(t, 10000);
	assert_int_equal(caller.resumed, 0);
	assert_int_equal(caller.deltas, 0);
	text(t, PIECE("a") LAST);
	end(t, 0);
	assert_int_equal(caller.out.code, 0);
	finish(t);
}

static void a_caller_that_waits_no_longer_lets_go_of_the_server(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	caller.deadline = 1000;
	go(t);
	ch_test_advance(t, 1001);
	assert_int_equal(caller.resumed, 1);
	assert_int_equal(caller.why, CH_TIMEOUT);
	assert_int_equal(net.cancels, 1);
	assert_int_not_equal(caller.out.code, 0);
	finish(t);
}

/* ---- held back, given up ---- */

static void more(void *data)
{
	struct caller *k = data;
	unsigned before = k->deltas;

	vt_of(k)->go_on(k->svc, k->c, k->live);
	assert_int_equal(k->deltas, before); /* nothing is called back inside a call */
}

static void a_sink_that_is_full_gets_no_more_until_it_says_so(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	caller.hold = true;
	text(t, PIECE("a") PIECE("b") PIECE("c"));
	assert_string_equal(caller.text, "a");
	assert_true(net.paused);
	ch_test_advance(t, 100000);
	assert_string_equal(caller.text, "a");
	ch_test_on_loop(t, more, &caller);
	ch_test_advance(t, 1);
	assert_string_equal(caller.text, "ab");
	assert_int_equal(net.go_ons, 0);
	caller.hold = false;
	ch_test_on_loop(t, more, &caller);
	ch_test_advance(t, 1);
	assert_string_equal(caller.text, "abc");
	assert_int_equal(net.go_ons, 1);
	text(t, LAST);
	end(t, 0);
	assert_int_equal(caller.out.code, 0);
	finish(t);
}

static void an_end_that_comes_while_the_sink_is_full_waits_for_it(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	caller.hold = true;
	push(t, 0, PIECE("a") PIECE("b") LAST, strlen(PIECE("a") PIECE("b") LAST), true, 0);
	assert_int_equal(caller.resumed, 0);
	caller.hold = false;
	ch_test_on_loop(t, more, &caller);
	ch_test_advance(t, 1);
	assert_string_equal(caller.text, "ab");
	assert_int_equal(caller.resumed, 1);
	assert_int_equal(caller.out.code, 0);
	assert_int_equal(caller.out.tokens_out, 282);
	finish(t);
}

static void a_sink_may_give_the_call_up(void **state)
{
	struct ch_test *t = stream(NULL);

	(void)state;
	caller.give_up = true;
	text(t, PIECE("a") PIECE("b"));
	assert_int_equal(caller.resumed, 1);
	assert_string_equal(caller.text, "a");
	assert_int_not_equal(caller.out.code, 0);
	assert_int_equal(caller.out.tokens_out, 1);
	assert_true(caller.out.estimated);
	assert_false(net.running);
	finish(t);
}

static void give_up(void *data)
{
	struct caller *k = data;

	vt_of(k)->cancel(k->svc, k->c, k->live);
	vt_of(k)->cancel(k->svc, k->c, k->live);
}

static void a_call_that_is_given_up_lets_go_at_once(void **state)
{
	(void)state;
	for (int paused = 0; paused < 2; paused++) {
		struct ch_test *t = stream(NULL);

		caller.hold = paused;
		text(t, PIECE("a") PIECE("b"));
		ch_test_on_loop(t, give_up, &caller);
		assert_int_equal(caller.resumed, 1);
		assert_int_equal(net.cancels, 1);
		assert_int_not_equal(caller.out.code, 0);
		finish(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_told_line_by_line),
		cmocka_unit_test(a_stream_that_is_cut_anywhere_says_the_same),
		cmocka_unit_test(calls_in_a_stream_are_counted_on),
		cmocka_unit_test(what_comes_behind_done_is_not_looked_at),
		cmocka_unit_test(a_stream_that_is_done_and_does_not_end_is_not_waited_for),
		cmocka_unit_test(a_broken_stream_ends_with_one_code),
		cmocka_unit_test(a_last_line_without_an_end_counts),
		cmocka_unit_test(a_line_of_more_than_a_mebibyte_ends_the_stream),
		cmocka_unit_test(no_first_piece_in_time_is_a_timeout),
		cmocka_unit_test(a_model_that_thinks_has_begun),
		cmocka_unit_test(a_caller_that_waits_no_longer_lets_go_of_the_server),
		cmocka_unit_test(a_sink_that_is_full_gets_no_more_until_it_says_so),
		cmocka_unit_test(an_end_that_comes_while_the_sink_is_full_waits_for_it),
		cmocka_unit_test(a_sink_may_give_the_call_up),
		cmocka_unit_test(a_call_that_is_given_up_lets_go_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
