/* SPDX-License-Identifier: MIT */
/* test_events.c - streams to a client: heads, frames, pings between frames alone, one end of three. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/events.h>
#include <chimera/test.h>

/* ---- a plugin that streams what the test says ---- */

static struct {
	struct ch_ctx *c;
	struct ch_events e;
	ch_ticket ticket;
	unsigned gone, went_on;
} one;
static int64_t ping_ms;

static int on_told(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	one.gone += why == CH_GONE;
	return CH_DONE;
}

static void on_go_on(void *data)
{
	assert_ptr_equal(data, &one);
	one.went_on++;
}

static int on_get(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	memset(&one, 0, sizeof(one));
	one.c = c;
	ch_events_init(&one.e, c, ping_ms, on_go_on, &one);
	one.ticket = ch_suspend(c, 0, on_told, NULL);
	return CH_AGAIN;
}

static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_get } };
static const struct ch_plugin streams = { .size = sizeof(streams),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "streams",
	.version = "0",
	.summary = "Streams",
	.routes = CH_TABLE(routes) };

CH_PLUGIN(streams, streams)

/* ---- steps, on the loop ---- */

static const char *text;
static int rc;

static void begin_as(void *type)
{
	assert_true(ch_events_begin(&one.e, type));
	assert_false(ch_events_begin(&one.e, type)); /* once */
}

static void frame(void *data)
{
	(void)data;
	rc = ch_events_frame(&one.e, text, strlen(text));
}

static void bytes(void *data)
{
	(void)data;
	rc = ch_events_write(&one.e, text, strlen(text), NULL, NULL);
}

static void lose(void *data)
{
	(void)data;
	rc = ch_events_lost(&one.e);
}

static void over(int end)
{
	assert_int_equal(end, CH_DONE);
	ch_resume(one.ticket, NULL, NULL);
}

static void done(void *data)
{
	(void)data;
	over(ch_events_done(&one.e));
	assert_int_equal(ch_events_done(&one.e), CH_DONE); /* again: nothing */
}

static void finish(void *data)
{
	(void)data;
	over(ch_events_end(&one.e));
}

static void fail_with(void *error)
{
	over(ch_events_fail(&one.e, CH_E_UPSTREAM_INVALID, "Not \"good\".", (struct ch_str){ error, error ? strlen(error) : 0 }));
}

static struct ch_test *t;

static struct ch_test_answer *start(const char *ini, int64_t ms)
{
	t = ch_test_new();
	ch_test_sweep_off(t); /* what a request waits for is a step of the test */
	ping_ms = ms;
	ch_test_plugin(t, CH_TEST_ENTRY(streams));
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return ch_test_request(t, "GET", "/x", NULL, NULL, 0);
}

static void say(ch_fn fn, const char *what)
{
	text = what;
	ch_test_on_loop(t, fn, NULL);
}

/* ---- facts ---- */

static void a_stream_is_a_head_then_frames_then_done(void **state)
{
	struct ch_test_answer *a = start("[streams]\n", 0);

	(void)state;
	ch_test_on_loop(t, begin_as, NULL);
	assert_int_equal(a->status, 0); /* it leaves with the first bytes */
	say(frame, "{\"a\":1}");
	assert_int_equal(rc, CH_OK);
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "content-type"), "text/event-stream");
	assert_string_equal(ch_test_header(a, "cache-control"), "no-cache");
	assert_string_equal(ch_test_header(a, "x-accel-buffering"), "no");
	say(frame, "{\n\r\n}");
	ch_test_on_loop(t, done, NULL);
	assert_true(a->complete);
	assert_string_equal(a->body, "data: {\"a\":1}\n\ndata: {   }\n\ndata: [DONE]\n\n");
	ch_test_free(t);
}

static void a_failure_is_one_error_frame(void **state)
{
	struct ch_test_answer *a = start("[streams]\n", 0);

	(void)state;
	ch_test_on_loop(t, begin_as, NULL);
	say(frame, "1");
	ch_test_on_loop(t, fail_with, NULL);
	assert_true(a->complete);
	assert_string_equal(a->body,
		"data: 1\n\ndata: {\"error\":{\"message\":\"Not \\\"good\\\".\",\"type\":\"server_error\",\"param\":null,"
		"\"code\":\"upstream_invalid\"}}\n\n");
	a = ch_test_request(t, "GET", "/x", NULL, NULL, 0);
	ch_test_on_loop(t, begin_as, NULL);
	ch_test_on_loop(t, fail_with, (void *)"{\"message\":\"own\"}");
	assert_string_equal(a->body, "data: {\"error\":{\"message\":\"own\"}}\n\n");
	ch_test_free(t);
}

static void a_failure_that_no_frame_can_tell_cuts_the_connection(void **state)
{
	static const struct {
		const char *type, *bytes;
	} rows[] = { { NULL, "data: 1\n" }, { NULL, "data: 1\n\nx" }, { "application/json", "{}\n\n" } };
	struct ch_test_answer *a = start("[streams]\n", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (i)
			a = ch_test_request(t, "GET", "/x", NULL, NULL, 0);
		ch_test_on_loop(t, begin_as, (void *)rows[i].type);
		say(bytes, rows[i].bytes);
		ch_test_on_loop(t, fail_with, NULL);
		assert_true(a->done && !a->complete);
		assert_null(strstr(a->body, "error"));
	}
	ch_test_free(t);
}

static void another_type_is_passed_on_as_it_is(void **state)
{
	struct ch_test_answer *a = start("[streams]\n", 1000);

	(void)state;
	ch_test_on_loop(t, begin_as, (void *)"audio/mpeg");
	say(bytes, "a\n\n");
	ch_test_advance(t, 60000);
	ch_test_on_loop(t, finish, NULL);
	assert_true(a->complete);
	assert_string_equal(a->body, "a\n\n");
	assert_string_equal(ch_test_header(a, "content-type"), "audio/mpeg");
	assert_null(ch_test_header(a, "cache-control"));
	ch_test_free(t);
}

/* Line ends are \n, \r\n and \r; a blank line ends a frame. */
static void pings_stand_between_frames_alone(void **state)
{
	static const struct {
		const char *bytes;
		bool between;
	} rows[] = {
		{ "data: 1\n\n", true },
		{ "data: 1\r\n\r\n", true },
		{ "data: 1\r\r", true },
		{ "data: 1\n\r\n", true },
		{ "data: 1\r\n\n", true },
		{ "data: 1\n", false },
		{ "data: 1\r\n", false },
		{ "data: 1\r", false },
		{ "data: 1", false },
		{ "\n", true },
		{ "x\n", false },
	};
	struct ch_test_answer *a = start("[streams]\n", 1000);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (i)
			a = ch_test_request(t, "GET", "/x", NULL, NULL, 0);
		ch_test_on_loop(t, begin_as, NULL);
		say(bytes, rows[i].bytes);
		ch_test_advance(t, 999);
		assert_null(strstr(a->body, "ping"));
		ch_test_advance(t, 1);
		assert_int_equal(strstr(a->body, ": ping\n\n") != NULL, rows[i].between);
		ch_test_on_loop(t, finish, NULL);
	}
	ch_test_free(t);
}

static void a_line_end_in_two_pieces_is_one(void **state)
{
	struct ch_test_answer *a = start("[streams]\n", 1000);

	(void)state;
	ch_test_on_loop(t, begin_as, NULL);
	say(bytes, "data: 1\r");
	say(bytes, "\n");
	ch_test_advance(t, 5000);
	assert_null(strstr(a->body, "ping"));
	say(bytes, "\r");
	ch_test_advance(t, 1000); /* a blank line: \r\n \r */
	assert_string_equal(a->body, "data: 1\r\n\r: ping\n\n");
	ch_test_on_loop(t, finish, NULL);
	ch_test_free(t);
}

static void a_client_that_does_not_read_pauses_the_stream(void **state)
{
	static char large[20000];
	struct ch_test_answer *a = start("[server]\nstream_high = 16k\nstream_low = 4k\n[streams]\n", 1000);

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	ch_test_on_loop(t, begin_as, NULL);
	ch_test_unread(a, true);
	say(frame, large);
	assert_int_equal(rc, CH_AGAIN);
	assert_true(one.e.paused);
	ch_test_advance(t, 5000);
	assert_int_equal(one.went_on, 0);
	ch_test_unread(a, false);
	assert_int_equal(one.went_on, 1);
	assert_false(one.e.paused);
	assert_null(strstr(a->body, "ping"));
	ch_test_on_loop(t, done, NULL);
	assert_int_equal(a->n, 20000 - 1 + 8 + 14);
	ch_test_free(t);
}

static void a_client_that_is_gone_gets_nothing_more(void **state)
{
	struct ch_test_answer *a = start("[streams]\n", 1000);

	(void)state;
	ch_test_on_loop(t, begin_as, NULL);
	say(frame, "1");
	ch_test_leave(a);
	assert_int_equal(one.gone, 1);
	ch_test_advance(t, 5000);
	say(frame, "2");
	assert_int_equal(rc, CH_AGAIN);
	assert_false(one.e.paused);
	assert_false(ch_resume(one.ticket, NULL, NULL));
	ch_test_free(t);
}

static void a_stream_with_a_hole_is_cut(void **state)
{
	struct ch_test_answer *a = start("[streams]\n", 0);

	(void)state;
	ch_test_on_loop(t, begin_as, NULL);
	say(frame, "1");
	say(lose, NULL);
	assert_int_equal(rc, CH_OK);
	say(frame, "3");
	ch_test_on_loop(t, done, NULL);
	assert_true(a->done && !a->complete);
	assert_string_equal(a->body, "data: 1\n\n");
	ch_test_free(t);
}

static void json_is_json_whatever_its_parameters(void **state)
{
	(void)state;
	assert_true(ch_type_is_json((struct ch_str)CH_STR("application/json")));
	assert_true(ch_type_is_json((struct ch_str)CH_STR("Application/JSON; charset=utf-8")));
	assert_true(ch_type_is_json((struct ch_str)CH_STR("application/json ;x=y")));
	assert_false(ch_type_is_json((struct ch_str)CH_STR("application/jsonp")));
	assert_false(ch_type_is_json((struct ch_str)CH_STR("application/json, text/plain")));
	assert_false(ch_type_is_json((struct ch_str)CH_STR("text/plain")));
	assert_false(ch_type_is_json((struct ch_str)CH_STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_a_head_then_frames_then_done),
		cmocka_unit_test(a_failure_is_one_error_frame),
		cmocka_unit_test(a_failure_that_no_frame_can_tell_cuts_the_connection),
		cmocka_unit_test(another_type_is_passed_on_as_it_is),
		cmocka_unit_test(pings_stand_between_frames_alone),
		cmocka_unit_test(a_line_end_in_two_pieces_is_one),
		cmocka_unit_test(a_client_that_does_not_read_pauses_the_stream),
		cmocka_unit_test(a_client_that_is_gone_gets_nothing_more),
		cmocka_unit_test(a_stream_with_a_hole_is_cut),
		cmocka_unit_test(json_is_json_whatever_its_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
