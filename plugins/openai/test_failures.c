/* SPDX-License-Identifier: Apache-2.0 */
/* test_failures.c - the openai backend: what an upstream's failures become, and calls that are given up. Streams: test_stream.c. */
#include "test_world.h"

struct failure { int status; const char *body; int code; const char *error, *detail; };

static void an_upstreams_status_becomes_the_clients(void **state)
{
	static const struct failure rows[] = {
		{ 400,
			"{\"error\":{\"message\":\"bad temperature\",\"type\":\"invalid_request_error\",\"param\":\"temperature\",\"code\":null}}",
			CH_E_BAD_REQUEST,
			"{\"message\":\"bad temperature\",\"type\":\"invalid_request_error\",\"param\":\"temperature\",\"code\":null}",
			"bad temperature" },
		{ 400, "<html>", CH_E_BAD_REQUEST, "", "The backend refused the request (HTTP 400) and did not say why." },
		{ 404, "{\"error\":\"no such m\"}", CH_E_MODEL_NOT_FOUND,
			"{\"message\":\"no such m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}", "no such m" },
		{ 404, "{\"object\":\"error\",\"message\":\"The model `m` does not exist.\",\"type\":\"NotFoundError\",\"code\":404}",
			CH_E_MODEL_NOT_FOUND, "{\"object\":\"error\",\"message\":\"The model `m` does not exist.\",\"type\":\"NotFoundError\","
			"\"code\":404}", "The model `m` does not exist." },
		{ 404, "{\"detail\":\"Not Found\"}", CH_E_UPSTREAM_INVALID, "", "The backend openai answered HTTP 404, as no server of this "
			"protocol does: its operator must look at base_url." },
		{ 404, "{\"error\":{\"message\":\"Invalid URL (POST /chat/completions)\",\"type\":\"invalid_request_error\"}}",
			CH_E_UPSTREAM_INVALID, "", NULL },
		{ 404, "", CH_E_UPSTREAM_INVALID, "", NULL },
		{ 405, "{\"detail\":\"Method Not Allowed\"}", CH_E_UPSTREAM_INVALID, "", NULL },
		{ 404, "{\"error\":{\"message\":\"no m\",\"code\":\"model_not_found\"}}", CH_E_MODEL_NOT_FOUND,
			"{\"message\":\"no m\",\"code\":\"model_not_found\"}", "no m" },
		{ 413, "", CH_E_TOO_LARGE, "", NULL },
		{ 415, "", CH_E_UNSUPPORTED_MEDIA, "", NULL },
		{ 422, "{\"detail\":\"n must be 1\"}", CH_E_UNPROCESSABLE, "{\"detail\":\"n must be 1\"}", "n must be 1" },
		{ 401, "{\"error\":{\"message\":\"Incorrect API key provided: canary-key-4711\"}}", CH_E_UPSTREAM_AUTH, "",
			"The backend refused this server's own credentials (HTTP 401): its operator must look at them." },
		{ 402, "", CH_E_UPSTREAM_AUTH, "", NULL },
		{ 403, "", CH_E_UPSTREAM_AUTH, "", NULL },
		{ 408, "", CH_E_UPSTREAM_TIMEOUT, "", NULL },
		{ 429, "{\"error\":{\"message\":\"slow down\"}}", CH_E_UPSTREAM_RATE_LIMITED, "",
			"The backend answered with HTTP 429: slow down" },
		{ 500, "{\"error\":{\"message\":\"key sk-proj-abcdefghijklmnop and canary\\u002dkey-4711\"}}", CH_E_UPSTREAM_ERROR, "",
			"The backend answered with HTTP 500: key *** and ***" },
		{ 502, "\xff", CH_E_UPSTREAM_ERROR, "", "The backend answered with HTTP 502." },
		{ 503, "{\"error\":\"server busy, please try again.\"}", CH_E_UPSTREAM_BUSY, "", NULL },
		{ 503, "{\"error\":\"down\"}", CH_E_UPSTREAM_ERROR, "", NULL },
		{ 302, "", CH_E_UPSTREAM_INVALID, "", NULL },
		{ 409, "", CH_E_UPSTREAM_ERROR, "", NULL },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		body(CHAT);
		ask();
		head(rows[i].status, "text/plain");
		if (rows[i].body[0])
			data(rows[i].body);
		end(0);
		over(rows[i].code);
		assert_int_equal(me.status, rows[i].status);
		assert_string_equal(me.error, rows[i].error);
		if (rows[i].detail)
			assert_string_equal(me.detail, rows[i].detail);
		assert_true(strlen(me.detail) > 10 || rows[i].detail);
		assert_string_equal(me.json, "");
	}
	finish();
}

static void who_asks_the_wrong_place_is_told_to_look_at_base_url(void **state)
{
	static const int ops[] = { CH_I_CHAT, CH_I_MODELS, CH_I_PROBE };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		body(CHAT);
		me.args.op = ops[i];
		if (ops[i] != CH_I_CHAT)
			me.args.openai = NULL;
		ask();
		head(404, "application/json");
		data("{\"detail\":\"Not Found\"}");
		end(0);
		over(CH_E_UPSTREAM_INVALID);
		assert_non_null(strstr(me.reason, "http://up.test/v1/"));
		assert_non_null(strstr(me.reason, "base_url"));
	}
	finish();
}

static void retry_after_is_clamped_to_what_clients_heed(void **state)
{
	static const struct { const char *name, *value; int64_t ms; } rows[] = { { "Retry-After", "7", 7000 },
		{ "Retry-After", "99999", 120000 }, { "Retry-After", "-5", 0 }, { "Retry-After", "0", 1000 }, { "retry-after-ms", "2500",
			2500 },
		{ "Retry-After", "Thu, 01 Jan 2026 00:00:30 GMT", 30000 }, { "Retry-After", "soon", 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin();
		body(CHAT);
		ask();
		up.head[1] = (struct ch_http_field){ { rows[i].name, strlen(rows[i].name) }, { rows[i].value, strlen(rows[i].value) } };
		head(429, "text/plain");
		end(0);
		over(CH_E_UPSTREAM_RATE_LIMITED);
		assert_int_equal(me.retry_after_ms, rows[i].ms);
		finish();
	}
}

static void who_cannot_mend_it_by_waiting_is_not_told_to_wait(void **state)
{
	static const struct { int status; int64_t ms; } rows[] = { { 400, 0 }, { 401, 0 }, { 403, 0 }, { 404, 0 }, { 405, 0 },
		{ 413, 0 }, { 415, 0 }, { 422, 0 }, { 302, 0 }, { 408, 7000 }, { 429, 7000 }, { 500, 7000 }, { 503, 7000 } };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		body(CHAT);
		ask();
		up.head[1] = (struct ch_http_field){ CH_STR("Retry-After"), CH_STR("7") };
		head(rows[i].status, "text/plain");
		end(0);
		assert_int_not_equal(me.code, 0);
		assert_int_equal(me.retry_after_ms, rows[i].ms);
	}
	finish();
}

static void what_breaks_below_http_has_a_code_too(void **state)
{
	static const struct { int error, code; } rows[] = { { CH_HTTP_BLOCKED, CH_E_UPSTREAM_UNAVAILABLE }, { CH_HTTP_BUSY,
		CH_E_UPSTREAM_BUSY },
		{ CH_HTTP_RESOLVE, CH_E_UPSTREAM_UNAVAILABLE }, { CH_HTTP_CONNECT, CH_E_UPSTREAM_UNAVAILABLE },
		{ CH_HTTP_TLS, CH_E_UPSTREAM_UNAVAILABLE }, { CH_HTTP_TIMEOUT_CONNECT, CH_E_UPSTREAM_UNAVAILABLE },
		{ CH_HTTP_TIMEOUT_FIRST_BYTE, CH_E_UPSTREAM_TIMEOUT }, { CH_HTTP_TIMEOUT_IDLE, CH_E_UPSTREAM_TIMEOUT },
		{ CH_HTTP_TIMEOUT_TOTAL, CH_E_UPSTREAM_TIMEOUT }, { CH_HTTP_CLOSED, CH_E_UPSTREAM_ERROR },
		{ CH_HTTP_INVALID, CH_E_UPSTREAM_INVALID }, { CH_HTTP_TOO_LARGE, CH_E_UPSTREAM_INVALID } };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int at_once = 0; at_once < 2; at_once++) {
			body(CHAT);
			up.refuse = at_once ? rows[i].error : 0;
			ask();
			assert_int_equal(me.rc, at_once ? CH_OK : CH_AGAIN);
			if (!at_once)
				end(rows[i].error);
			over(rows[i].code);
			assert_null(strstr(me.detail, "up.test")); /* where the upstream is, is the operator's business alone */
			assert_string_equal(me.reason, at_once ? "refused by up.test with ***" : "broken off by up.test");
		}
	finish();
}

static void an_answer_that_breaks_off_is_none(void **state)
{
	(void)state;
	begin();
	body(CHAT);
	ask();
	head(200, "application/json");
	data("{\"choices\":[");
	end(CH_HTTP_CLOSED);
	over(CH_E_UPSTREAM_ERROR);
	assert_string_equal(me.json, "");
	finish();
}

static void what_is_no_answer_is_invalid(void **state)
{
	static const char *const texts[] = { "hello", "{\"choices\":[]}", "{\"choices\":[{}]", "[]", "{\"choices\":[{}]}x",
		"{\"a\":\"\xff\"}", "{}",
		"{\"choices\":{}}" };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		body(CHAT);
		ask();
		answered(texts[i]);
		over(CH_E_UPSTREAM_INVALID);
	}
	body(CHAT);
	ask();
	head(200, "application/json");
	end(0);
	over(CH_E_UPSTREAM_INVALID);
	finish();
}

static void an_error_in_a_200_is_an_error(void **state)
{
	static const struct { const char *text; int code; } rows[] = {
		{ "{\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}", CH_E_UPSTREAM_ERROR },
		{ "{\"error\":{\"message\":\"slow\",\"code\":429}}", CH_E_UPSTREAM_RATE_LIMITED },
		{ "{\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}", CH_E_UPSTREAM_RATE_LIMITED },
		{ "{\"error\":\"canary-key-4711 is wrong\"}", CH_E_UPSTREAM_ERROR },
		{ "{\"object\":\"error\",\"message\":\"too long\",\"type\":\"BadRequestError\",\"code\":400}", CH_E_BAD_REQUEST },
		{ "{\"error\":{}}", CH_E_UPSTREAM_ERROR },
		{ "{\"error\":7}", CH_E_UPSTREAM_ERROR },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		body(CHAT);
		ask();
		answered(rows[i].text);
		over(rows[i].code);
		assert_string_equal(me.json, "");
	}
	body(CHAT);
	ask();
	answered("{\"error\":null,\"choices\":[{\"message\":{\"content\":\"x\"}}]}");
	over(0);
	finish();
}

static void an_answer_over_max_answer_is_invalid_and_one_below_is_whole(void **state)
{
	static const char front[] = "{\"choices\":[{\"message\":{\"content\":\"";
	char piece[8192];

	(void)state;
	for (int pieces = 7; pieces <= 8; pieces++) { /* of 8 KiB; max_answer is 64 KiB */
		begin_with(BASE "max_answer = 64k\n");
		body(CHAT);
		ask();
		assert_int_equal(up.args.max_body, 65536);
		head(200, "application/json");
		memset(piece, 'x', sizeof(piece));
		data(front);
		for (int i = 0; i < pieces && up.open; i++)
			bytes(piece, sizeof(piece));
		if (up.open) {
			data("\"}}]}");
			end(0);
		}
		over(pieces == 7 ? 0 : CH_E_UPSTREAM_INVALID);
		if (pieces == 7)
			assert_int_equal(me.njson, strlen(front) + 7 * 8192 + 5);
		finish();
	}
}

static void a_call_that_is_given_up_ends_at_once_and_lets_go(void **state)
{
	(void)state;
	begin();
	body(CHAT);
	ch_test_task(me.t, "openai", 300, make, NULL);
	assert_true(up.open);
	ch_test_advance(me.t, 300); /* the task's deadline */
	assert_int_equal(me.resumed, 1);
	assert_false(up.open);
	assert_int_not_equal(me.code, 0);
	finish();
}

static void cancel_is_heard_within_the_turn(void **state)
{
	(void)state;
	begin();
	body(CHAT);
	ask();
	ch_test_on_loop(me.t, cancel_now, NULL);
	assert_int_equal(me.resumed, 1);
	assert_int_equal(me.why, CH_READY);
	assert_int_not_equal(me.code, 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upstreams_status_becomes_the_clients),
		cmocka_unit_test(who_asks_the_wrong_place_is_told_to_look_at_base_url),
		cmocka_unit_test(retry_after_is_clamped_to_what_clients_heed),
		cmocka_unit_test(who_cannot_mend_it_by_waiting_is_not_told_to_wait),
		cmocka_unit_test(what_breaks_below_http_has_a_code_too),
		cmocka_unit_test(an_answer_that_breaks_off_is_none),
		cmocka_unit_test(what_is_no_answer_is_invalid),
		cmocka_unit_test(an_error_in_a_200_is_an_error),
		cmocka_unit_test(an_answer_over_max_answer_is_invalid_and_one_below_is_whole),
		cmocka_unit_test(a_call_that_is_given_up_ends_at_once_and_lets_go),
		cmocka_unit_test(cancel_is_heard_within_the_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
