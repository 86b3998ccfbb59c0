/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream.c - the openai backend's streams: usage asked for and hidden, frames byte by byte, pauses, and every way to break. */
#include "test_world.h"

#define ASK "{\"model\":\"m\",\"messages\":[],\"stream\":true}"
#define ASK_USAGE "{\"model\":\"m\",\"messages\":[],\"stream\":true,\"stream_options\":{\"include_usage\":true}}"

#define ROLE "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]"
#define WORD "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\\u00e9 \xe2\x82\xac\"},\"finish_reason\":null}]"
#define STOP "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]"
#define NONE ",\"usage\":null}"
#define USED "{\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}"

#define EVENT(json) "data: " json "\n\n"
#define STREAM EVENT(ROLE NONE) EVENT(WORD NONE) EVENT(STOP NONE) EVENT(USED) EVENT("[DONE]")

static void stream(void)
{
	body(ASK);
	ask();
	head(200, "text/event-stream; charset=utf-8");
}

static void all_is_well(void)
{
	over(0);
	assert_string_equal(me.frames, ROLE "}\n" WORD "}\n" STOP "}\n");
	assert_int_equal(me.tokens_in, 7);
	assert_int_equal(me.tokens_out, 3);
	assert_false(me.estimated);
	assert_string_equal(me.finish, "stop");
}

/* ---- usage ---- */

static void usage_is_asked_for_and_hidden_from_who_did_not_ask(void **state)
{
	(void)state;
	begin();
	stream();
	assert_string_equal(up.body, "{\"stream_options\":{\"include_usage\":true},\"model\":\"m\",\"messages\":[],\"stream\":true}");
	assert_non_null(strstr(up.fields, "Accept: text/event-stream\n"));
	data(STREAM);
	end(0);
	all_is_well();
	finish();
}

static void who_asked_for_usage_gets_the_stream_as_it_is(void **state)
{
	(void)state;
	begin();
	body(ASK_USAGE);
	ask();
	assert_ptr_equal(up.args.body.p, me.openai.body.p);
	head(200, "text/event-stream");
	data(STREAM);
	end(0);
	over(0);
	assert_string_equal(me.frames, ROLE NONE "\n" WORD NONE "\n" STOP NONE "\n" USED "\n");
	assert_int_equal(me.tokens_out, 3);
	finish();
}

static void stream_options_of_the_clients_keep_what_they_say(void **state)
{
	static const struct { const char *from, *to; } rows[] = {
		{ "{\"include_obfuscation\":false}", "{\"include_usage\":true,\"include_obfuscation\":false}" },
		{ "{}", "{\"include_usage\":true}" },
		{ "{\"a\":{\"include_usage\":false},\"include_usage\":false,\"b\":1}",
			"{\"a\":{\"include_usage\":false},\"include_usage\":true,\"b\":1}" },
		{ "null", "{\"include_usage\":true}" },
		{ "{\"include_usage\":false,\"include_usage\":null}", "{\"include_usage\":true,\"include_usage\":true}" },
		{ "7", "7" },
	};
	char from[256], to[256];

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(from, sizeof(from), "{\"model\":\"gpt-1\",\"stream_options\":%s,\"messages\":[],\"stream\":true}", rows[i].from);
		snprintf(to, sizeof(to), "{\"model\":\"gpt-22\",\"stream_options\":%s,\"messages\":[],\"stream\":true}", rows[i].to);
		body(from);
		me.args.model = (struct ch_str)CH_STR("gpt-22");
		ask();
		assert_string_equal(up.body, to);
		head(200, "text/event-stream");
		data(STREAM);
		end(0);
		all_is_well();
	}
	finish();
}

static void an_upstream_that_refuses_stream_options_can_be_spared(void **state)
{
	(void)state;
	begin_with(BASE "inject_usage = no\n");
	stream();
	assert_string_equal(up.body, ASK);
	data(EVENT(ROLE "}") EVENT(WORD "}") EVENT(WORD "}") EVENT(STOP "}") EVENT("[DONE]"));
	end(0);
	over(0);
	assert_true(me.estimated);
	assert_int_equal(me.tokens_out, 2); /* pieces with text */
	finish();
}

/* However the upstream lays its JSON out, the client gets what it would have got without a usage. */
static void a_hidden_usage_leaves_no_trace(void **state)
{
	static const struct { const char *sent, *shown; } rows[] = {
		{ "{\"usage\": null, \"choices\": [{\"delta\": {}}]}", "{\"choices\": [{\"delta\": {}}]}" },
		{ "{\"choices\": [{\"delta\": {}}], \"usage\": null}", "{\"choices\": [{\"delta\": {}}]}" },
		{ "{\"choices\": [{}], \"usage\" : null , \"z\": 1}", "{\"choices\": [{}] , \"z\": 1}" },
		{ "{\"choices\":[{}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}", "{\"choices\":[{}]}" },
		{ "{\"choices\":[],\"prompt_filter_results\":[1],\"usage\":null}", "{\"choices\":[],\"prompt_filter_results\":[1]}" },
		{ "{\"choices\":null,\"usage\":{\"prompt_tokens\":1}}", NULL },
		{ "{\"usage\":{\"prompt_tokens\":1}}", NULL },
		{ "{\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}",
			"{\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}" },
	};
	char text[512], want[512];

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		stream();
		snprintf(text, sizeof(text), "data: %s\n\n" EVENT(STOP "}") "data: [DONE]\n\n", rows[i].sent);
		snprintf(want, sizeof(want), "%s%s" STOP "}\n", rows[i].shown ? rows[i].shown : "", rows[i].shown ? "\n" : "");
		data(text);
		end(0);
		over(0);
		assert_string_equal(me.frames, want);
	}
	finish();
}

/* ---- bytes ---- */

static void the_frames_do_not_depend_on_where_the_bytes_are_cut(void **state)
{
	static const char text[] = STREAM;

	(void)state;
	begin();
	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		stream();
		bytes(text, cut);
		bytes(text + cut, sizeof(text) - 1 - cut);
		end(0);
		all_is_well();
	}
	stream();
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		bytes(text + i, 1);
	end(0);
	all_is_well();
	finish();
}

static void an_event_of_several_lines_is_one_frame_on_one_line(void **state)
{
	(void)state;
	begin();
	stream();
	data("data: {\"choices\":\r\ndata: [{\"finish_reason\":\"stop\"}]}\r\n\r\n: ping\r\n\r\nevent: x\r\ndata: [DONE]\r\n\r\n");
	end(0);
	over(0);
	assert_string_equal(me.frames, "{\"choices\": [{\"finish_reason\":\"stop\"}]}\n");
	finish();
}

static void canonical_deltas_are_text_and_tool_calls(void **state)
{
	(void)state;
	begin();
	me.streams = true;
	ask();
	assert_string_equal(up.body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"stream\":true,"
		"\"stream_options\":{\"include_usage\":true}}");
	head(200, "text/event-stream");
	data(STREAM);
	end(0);
	over(0);
	assert_int_equal(me.deltas, 1);
	assert_string_equal(me.text, "H\xc3\xa9 \xe2\x82\xac");
	ask();
	head(200, "text/event-stream");
	data(EVENT("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]},\"finish_reason\":\"stop\"}]}") EVENT("[DONE]"));
	end(0);
	over(0);
	assert_string_equal(me.tools, "[{\"index\":0}]");
	finish();
}

/* ---- pauses and cancels ---- */

static void go_on_now(void *data)
{
	int before = me.deltas;

	(void)data;
	vt()->go_on(me.svc, me.c, me.out);
	vt()->go_on(me.svc, me.c, me.out);
	assert_int_equal(me.deltas, before); /* not inside the call */
}

static void a_full_sink_gets_no_more_until_go_on_and_loses_nothing(void **state)
{
	(void)state;
	begin();
	me.full = true;
	stream();
	data(STREAM); /* all in one piece */
	assert_int_equal(me.deltas, 1);
	assert_true(up.paused);
	for (int i = 2; i <= 3; i++) {
		ch_test_on_loop(me.t, go_on_now, NULL);
		assert_int_equal(me.deltas, i);
		assert_true(up.paused);
	}
	ch_test_on_loop(me.t, go_on_now, NULL);
	assert_false(up.paused); /* all is told: the upstream goes on */
	assert_int_equal(up.go_ons, 1);
	end(0);
	me.full = false;
	all_is_well();
	finish();
}

static void a_stream_whose_sink_is_full_can_break(void **state)
{
	(void)state;
	begin();
	me.full = true;
	stream();
	data(STREAM);
	end(CH_HTTP_TIMEOUT_TOTAL);
	over(CH_E_UPSTREAM_TIMEOUT);
	assert_int_equal(me.deltas, 1);
	finish();
}

static void a_cancelled_stream_brings_no_more(void **state)
{
	(void)state;
	begin();
	for (int full = 0; full < 2; full++) {
		me.full = full;
		stream();
		data(EVENT(ROLE NONE) EVENT(WORD NONE));
		ch_test_on_loop(me.t, cancel_now, NULL);
		assert_int_equal(me.resumed, 1);
		assert_int_not_equal(me.code, 0);
		assert_int_equal(me.deltas, full ? 1 : 2);
	}
	finish();
}

static void a_sink_may_cancel(void **state)
{
	(void)state;
	begin();
	me.cancel_in_sink = true;
	stream();
	data("data: {\"cho");
	data("ices\":[{}],\"usage\":null}\n\n" STREAM);
	assert_int_equal(me.deltas, 1);
	assert_int_equal(me.resumed, 1);
	assert_false(up.open);
	finish();
}

static void a_deadline_ends_a_stream(void **state)
{
	(void)state;
	begin();
	body(ASK);
	ch_test_task(me.t, "openai", 300, make, NULL);
	head(200, "text/event-stream");
	data(EVENT(WORD NONE));
	ch_test_advance(me.t, 300);
	assert_int_equal(me.resumed, 1);
	assert_int_not_equal(me.code, 0);
	assert_false(up.open);
	finish();
}

/* ---- time ---- */

static void the_first_piece_has_its_time_whatever_else_comes(void **state)
{
	(void)state;
	begin_with(BASE "first_token_timeout = 2s\nidle_timeout = 7s\ntimeout = 5m\nconnect_timeout = 1s\n");
	stream();
	assert_int_equal(up.args.connect_timeout_ms, 1000);
	assert_int_equal(up.args.first_byte_timeout_ms, 2000);
	assert_int_equal(up.args.idle_timeout_ms, 7000);
	assert_int_equal(up.args.total_timeout_ms, 300000);
	ch_test_advance(me.t, 1000);
	data(": ping\n\n");
	ch_test_advance(me.t, 999);
	assert_int_equal(me.resumed, 0);
	ch_test_advance(me.t, 1);
	over(CH_E_UPSTREAM_TIMEOUT);
	assert_string_equal(me.detail, "The backend sent nothing of its answer within 2000 ms.");
	stream();
	data(EVENT(WORD NONE));
	ch_test_advance(me.t, 10000);
	assert_int_equal(me.resumed, 0); /* from here on it is the idle time of http/1 */
	assert_true(me.out->first_delta);
	end(CH_HTTP_TIMEOUT_IDLE);
	over(CH_E_UPSTREAM_TIMEOUT);
	finish();
}

static void a_whole_answer_has_the_attempts_time(void **state)
{
	(void)state;
	begin();
	me.args.timeout_ms = 9000;
	me.args.first_token_timeout_ms = 1;
	me.args.idle_timeout_ms = 1;
	ask();
	assert_int_equal(up.args.connect_timeout_ms, CH_BACKEND_CONNECT_MS);
	assert_int_equal(up.args.first_byte_timeout_ms, 9000);
	assert_int_equal(up.args.idle_timeout_ms, 9000);
	assert_int_equal(up.args.total_timeout_ms, 9000);
	end(CH_HTTP_CLOSED);
	finish();
}

static void behind_done_the_end_is_not_waited_for_long(void **state)
{
	(void)state;
	begin();
	stream();
	data(STREAM);
	data("data: {\"error\":\"behind the end nobody looks\"}\n\n");
	ch_test_advance(me.t, 249);
	assert_int_equal(me.resumed, 0);
	ch_test_advance(me.t, 1);
	all_is_well();
	finish();
}

/* ---- how streams break ---- */

static void an_end_before_a_finish_reason_is_a_broken_stream(void **state)
{
	static const char *const texts[] = { EVENT(ROLE NONE) EVENT(WORD NONE), EVENT(ROLE NONE) "data: {\"choices\":", ": ping\n\n",
		EVENT(ROLE NONE) "data: [DON", EVENT(ROLE NONE) EVENT("[DONE]"), EVENT("[DONE]") };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (int reset = 0; reset < 2; reset++) {
			stream();
			data(texts[i]);
			end(reset ? CH_HTTP_CLOSED : 0);
			over(CH_E_UPSTREAM_ERROR);
			assert_int_equal(me.status, 200);
		}
	stream();
	data(EVENT(WORD NONE) EVENT("[DONE]"));
	ch_test_advance(me.t, 250);
	over(CH_E_UPSTREAM_ERROR);
	stream();
	data(EVENT(WORD NONE));
	end(CH_HTTP_INVALID);
	over(CH_E_UPSTREAM_INVALID);
	finish();
}

/* LocalAI and others write an empty reason into every chunk. */
static void an_empty_finish_reason_is_no_end(void **state)
{
	static const char *const reasons[] = { "\"\"", "\"null\"" };
	char text[256];

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		for (int whole = 0; whole < 2; whole++) {
			stream();
			snprintf(text, sizeof(text), EVENT("{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":%s}]}"), reasons[i]);
			data(text);
			data(text);
			if (whole)
				data(EVENT(STOP "}"));
			end(CH_HTTP_CLOSED);
			over(whole ? 0 : CH_E_UPSTREAM_ERROR);
			assert_string_equal(me.finish, whole ? "stop" : "");
			assert_int_equal(me.deltas, whole ? 3 : 2);
		}
	finish();
}

static void an_end_behind_the_finish_reason_is_one_with_or_without_done(void **state)
{
	static const char *const texts[] = { EVENT(WORD NONE) EVENT(STOP NONE), EVENT(WORD NONE) EVENT(STOP NONE) "data: [DONE]\n",
		EVENT(WORD NONE) EVENT(STOP NONE) EVENT("[DONE]") };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (int many = 0; many < 2; many++)
			for (int reset = 0; reset < 2; reset++) {
				me.args.needs = many ? CH_I_MANY : 0; /* of several answers one finish_reason says nothing */
				stream();
				data(texts[i]);
				end(reset ? CH_HTTP_CLOSED : 0);
				over(many && !i ? CH_E_UPSTREAM_ERROR : 0);
			}
	finish();
}

static void what_is_broken_off_keeps_its_tokens(void **state)
{
	(void)state;
	begin();
	stream();
	data(EVENT(WORD NONE) EVENT(WORD NONE));
	end(CH_HTTP_CLOSED);
	over(CH_E_UPSTREAM_ERROR);
	assert_true(me.estimated);
	assert_int_equal(me.tokens_out, 2);
	finish();
}

static void an_event_that_cannot_be_read_fails_the_stream(void **state)
{
	static const char *const events[] = { "{", "hello", "[]", "{\"choices\":[{\"delta\":{\"content\":\"a\xff\"}}]}",
		"{\"choices\":42}", "{} {}" };
	char text[256];

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		stream();
		snprintf(text, sizeof(text), "data: %s\n\n", events[i]);
		data(EVENT(WORD NONE));
		data(text);
		over(CH_E_UPSTREAM_INVALID);
		assert_int_equal(me.deltas, 1);
	}
	stream();
	data(EVENT("{\"choices\":[{\"delta\":{\"content\":\"\\u0000\"}}]}") EVENT(STOP "}")); /* valid, if odd */
	end(0);
	over(0);
	finish();
}

static void an_error_in_a_stream_ends_it(void **state)
{
	static const struct { const char *text; int code; } rows[] = {
		{ EVENT("{\"error\":{\"message\":\"boom canary-key-4711\"}}"), CH_E_UPSTREAM_ERROR },
		{ "event: error\ndata: {\"message\":\"boom\"}\n\n", CH_E_UPSTREAM_ERROR },
		{ EVENT("{\"error\":{\"message\":\"x\",\"type\":\"BadRequestError\",\"code\":400}}"), CH_E_BAD_REQUEST },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int late = 0; late < 2; late++) {
			stream();
			if (late)
				data(EVENT(WORD NONE));
			data(rows[i].text);
			over(rows[i].code);
			assert_int_equal(me.deltas, late);
		}
	finish();
}

static void what_is_no_stream_is_read_for_what_it_says(void **state)
{
	(void)state;
	begin();
	body(ASK);
	ask();
	answered("{\"error\":{\"message\":\"slow\",\"code\":\"429\"}}");
	over(CH_E_UPSTREAM_RATE_LIMITED);
	ask();
	answered("{\"choices\":[{\"message\":{\"content\":\"x\"}}]}");
	over(CH_E_UPSTREAM_INVALID);
	ask();
	head(400, "text/event-stream");
	data("{\"error\":{\"message\":\"no\"}}");
	end(0);
	over(CH_E_BAD_REQUEST);
	assert_string_equal(me.error, "{\"message\":\"no\"}");
	assert_int_equal(me.deltas, 0);
	finish();
}

static void an_event_has_at_most_a_mebibyte(void **state)
{
	static char piece[65536];

	(void)state;
	begin();
	memset(piece, 'x', sizeof(piece));
	stream();
	data("data: {\"a\":\"");
	for (int i = 0; i < 17 && up.open; i++)
		bytes(piece, sizeof(piece));
	over(CH_E_UPSTREAM_INVALID);
	finish();
}

static void an_error_page_is_read_only_so_far(void **state)
{
	static char piece[65536];

	(void)state;
	begin();
	memset(piece, 'x', sizeof(piece));
	stream();
	head(500, "text/html");
	for (int i = 0; i < 3 && up.open; i++)
		bytes(piece, sizeof(piece));
	over(CH_E_UPSTREAM_ERROR);
	finish();
}

/* ---- other routes ---- */

static void other_routes_pass_their_bytes(void **state)
{
	(void)state;
	begin();
	for (int streamed = 0; streamed < 2; streamed++) {
		body(streamed ? "{\"model\":\"m\",\"stream\":true}" : "{\"model\":\"m\"}");
		me.args.op = CH_I_PASS;
		me.openai.path = "responses";
		me.streams = true;
		ask();
		assert_string_equal(up.body, me.openai.body.p);
		assert_int_equal(up.args.first_byte_timeout_ms, streamed ? CH_BACKEND_FIRST_TOKEN_MS : CH_BACKEND_TIMEOUT_MS);
		head(201, "text/event-stream");
		data("event: x\n");
		assert_string_equal(me.out->content_type, "text/event-stream");
		data("data: {\"error\":1}");
		end(0);
		over(0);
		assert_string_equal(me.frames, "event: x\n\ndata: {\"error\":1}\n");
		assert_int_equal(me.status, 201);
	}
	me.full = true;
	ask();
	head(200, "x/y");
	data("a");
	assert_true(up.paused);
	ch_test_on_loop(me.t, go_on_now, NULL);
	assert_int_equal(up.go_ons, 1);
	data("b");
	ch_test_on_loop(me.t, cancel_now, NULL);
	assert_string_equal(me.frames, "a\nb\n");
	ask();
	head(404, "application/json");
	data("{\"error\":{\"message\":\"no\"}}");
	end(0);
	over(CH_E_NOT_FOUND);
	finish();
}

static void without_memory_a_stream_has_a_code_and_nothing_is_left(void **state)
{
	bool struck = true;

	(void)state;
	begin();
	for (unsigned long n = 1; struck; n++) {
		me.code = -1;
		me.rc = CH_OK;
		ch_test_fail_alloc(me.t, n);
		body(ASK);
		ask();
		if (up.open)
			head(200, "text/event-stream");
		if (up.open)
			data(STREAM);
		if (up.open)
			end(0);
		struck = ch_test_fail_alloc(me.t, 0);
		assert_true(me.code <= 0 || me.code == CH_E_OVERLOADED);
		if (!me.code)
			all_is_well();
	}
	all_is_well();
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usage_is_asked_for_and_hidden_from_who_did_not_ask),
		cmocka_unit_test(who_asked_for_usage_gets_the_stream_as_it_is),
		cmocka_unit_test(stream_options_of_the_clients_keep_what_they_say),
		cmocka_unit_test(an_upstream_that_refuses_stream_options_can_be_spared),
		cmocka_unit_test(a_hidden_usage_leaves_no_trace),
		cmocka_unit_test(the_frames_do_not_depend_on_where_the_bytes_are_cut),
		cmocka_unit_test(an_event_of_several_lines_is_one_frame_on_one_line),
		cmocka_unit_test(canonical_deltas_are_text_and_tool_calls),
		cmocka_unit_test(a_full_sink_gets_no_more_until_go_on_and_loses_nothing),
		cmocka_unit_test(a_stream_whose_sink_is_full_can_break),
		cmocka_unit_test(a_cancelled_stream_brings_no_more),
		cmocka_unit_test(a_sink_may_cancel),
		cmocka_unit_test(a_deadline_ends_a_stream),
		cmocka_unit_test(the_first_piece_has_its_time_whatever_else_comes),
		cmocka_unit_test(a_whole_answer_has_the_attempts_time),
		cmocka_unit_test(behind_done_the_end_is_not_waited_for_long),
		cmocka_unit_test(an_end_before_a_finish_reason_is_a_broken_stream),
		cmocka_unit_test(an_empty_finish_reason_is_no_end),
		cmocka_unit_test(an_end_behind_the_finish_reason_is_one_with_or_without_done),
		cmocka_unit_test(what_is_broken_off_keeps_its_tokens),
		cmocka_unit_test(an_event_that_cannot_be_read_fails_the_stream),
		cmocka_unit_test(an_error_in_a_stream_ends_it),
		cmocka_unit_test(what_is_no_stream_is_read_for_what_it_says),
		cmocka_unit_test(an_event_has_at_most_a_mebibyte),
		cmocka_unit_test(an_error_page_is_read_only_so_far),
		cmocka_unit_test(other_routes_pass_their_bytes),
		cmocka_unit_test(without_memory_a_stream_has_a_code_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
