/* SPDX-License-Identifier: Apache-2.0 */
/* test_openai.c - the openai backend: what it sends, and what whole answers, lists and failures become. Streams: test_stream.c. */
#include "test_world.h"

#define CHAT "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define ANSWER "{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello \\\"you\\\"\"}," \
	"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}\n"

static void answered(const char *text)
{
	head(200, "application/json");
	data(text);
	if (up.open)
		end(CH_HTTP_OK);
}

/* ---- what is sent ---- */

static void the_clients_bytes_go_on_as_they_came(void **state)
{
	(void)state;
	begin();
	body("{ \"model\":\"m\",\t\"x\":[1.50,\"\\u00e9\"],\"messages\":[] }\n");
	ask();
	assert_string_equal(up.method, "POST");
	assert_string_equal(up.url, "http://up.test/v1/chat/completions");
	assert_string_equal(up.fields, "Authorization: Bearer canary-key-4711\nContent-Type: application/json\nAccept: application/json\n");
	assert_string_equal(up.body, me.openai.body.p);
	assert_ptr_equal(up.args.body.p, me.openai.body.p); /* not even copied */
	answered(ANSWER);
	over(0);
	assert_string_equal(me.json, ANSWER);
	assert_int_equal(me.tokens_in, 9);
	assert_int_equal(me.tokens_out, 12);
	assert_false(me.estimated);
	assert_string_equal(me.finish, "stop");
	assert_string_equal(me.model, "m");
	assert_int_equal(me.status, 200);
	finish();
}

static void a_model_that_differs_is_replaced_and_splices_are_made(void **state)
{
	static const char text[] = "{\"backend\":\"openai\",\"model\":\"gpt-x\",\"messages\":[],\"chimera\":{\"a\":1}}";
	struct ch_splice splices[] = { { 1, 19, { NULL, 0 } }, { 49, 18, { NULL, 0 } } };

	(void)state;
	begin();
	body(text);
	me.openai.splices = splices;
	me.openai.nsplices = 2;
	me.args.model = (struct ch_str)CH_STR("gpt-\"4");
	ask();
	assert_string_equal(up.body, "{\"model\":\"gpt-\\\"4\",\"messages\":[]}");
	answered(ANSWER);
	over(0);
	finish();
}

static void a_request_without_a_model_gets_the_default(void **state)
{
	static const struct { const char *from, *to; } rows[] = {
		{ "{\"messages\":[]}", "{\"model\":\"m\",\"messages\":[]}" },
		{ " { \"messages\":[]}", " {\"model\":\"m\", \"messages\":[]}" },
		{ "{\"messages\":[],\"model\":null}", "{\"messages\":[],\"model\":\"m\"}" },
		{ "{\"messages\":[\"\\\"model\\\"\"]}", "{\"model\":\"m\",\"messages\":[\"\\\"model\\\"\"]}" },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		body(rows[i].from);
		me.openai.model_n = me.openai.model_at = 0;
		ask();
		assert_string_equal(up.body, rows[i].to);
		answered(ANSWER);
		over(0);
	}
	finish();
}

static void a_null_that_goes_anyway_is_not_replaced_too(void **state)
{
	static const char text[] = "{\"messages\":[],\"model\":null}";
	struct ch_splice splice = { 14, 13, { NULL, 0 } };

	(void)state;
	begin();
	body(text);
	me.openai.splices = &splice;
	me.openai.nsplices = 1;
	ask();
	assert_string_equal(up.body, "{\"model\":\"m\",\"messages\":[]}");
	answered(ANSWER);
	finish();
}

static void canonical_fields_are_written_as_a_request(void **state)
{
	static const struct ch_message two[] = { { CH_STR("system"), CH_STR("be \"kind\""), { NULL, 0 } },
		{ CH_STR("user"), { NULL, 0 }, CH_STR("{\"role\":\"user\",\"content\":[]}") } };
	static const struct ch_str stop[] = { CH_STR("END") };

	(void)state;
	begin();
	me.args.messages = two;
	me.args.nmessages = 2;
	me.args.max_tokens = 5;
	me.args.temperature = 0.5;
	me.args.has_seed = true;
	me.args.seed = -3;
	me.args.stop = stop;
	me.args.nstop = 1;
	ask();
	assert_string_equal(up.body, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be \\\"kind\\\"\"},"
		"{\"role\":\"user\",\"content\":[]}],\"max_tokens\":5,\"temperature\":0.5,\"seed\":-3,\"stop\":[\"END\"]}");
	answered(ANSWER);
	over(0);
	assert_string_equal(me.json, "");
	assert_string_equal(me.answer, "Hello \"you\"");
	finish();
}

static void max_tokens_goes_by_the_servers_name(void **state)
{
	(void)state;
	begin_with(BASE "max_tokens_as = max_completion_tokens\n");
	me.args.max_tokens = 5;
	ask();
	assert_string_equal(up.body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"max_completion_tokens\":5}");
	answered(ANSWER);
	me.args.op = CH_I_COMPLETION;
	ask();
	assert_string_equal(up.url, "http://up.test/v1/completions");
	assert_string_equal(up.body, "{\"model\":\"m\",\"prompt\":\"hello\",\"max_tokens\":5}");
	answered("{\"choices\":[{\"text\":\"you\",\"finish_reason\":\"length\"}]}");
	over(0);
	assert_string_equal(me.answer, "you");
	finish();
}

static void tool_calls_are_read_out_for_who_has_no_json(void **state)
{
	(void)state;
	begin();
	ask();
	answered("{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"c\"}]},\"finish_reason\":\"tool_calls\"}]}");
	over(0);
	assert_string_equal(me.answer, "");
	assert_string_equal(me.tools, "[{\"id\":\"c\"}]");
	assert_string_equal(me.finish, "tool_calls");
	assert_true(me.estimated);
	finish();
}

static void a_trace_goes_on_under_a_span_of_its_own(void **state)
{
	const char *p;

	(void)state;
	begin();
	strcpy(me.trace, "0af7651916cd43dd8448eb211c80319c");
	body(CHAT);
	ask();
	p = strstr(up.fields, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-");
	assert_non_null(p);
	p += strlen("traceparent: 00-0af7651916cd43dd8448eb211c80319c-");
	assert_int_equal(strspn(p, "0123456789abcdef"), 16);
	assert_memory_equal(p + 16, "-00\n", 4);
	answered(ANSWER);
	finish();
}

static void extra_fields_a_query_and_the_organization_go_along(void **state)
{
	(void)state;
	begin_with("[openai]\nbase_url = https://x.test/openai/deployments/d///\nquery = api-version=2024-10-21\norganization = org\n"
		"extra_headers = api-key: canary-2, X-Empty:\nmodels = m\ndefault_model = m\n");
	body(CHAT);
	ask();
	assert_string_equal(up.url, "https://x.test/openai/deployments/d/chat/completions?api-version=2024-10-21");
	assert_string_equal(up.fields, "Content-Type: application/json\nAccept: application/json\napi-key: canary-2\nX-Empty: \n"
		"OpenAI-Organization: org\n");
	head(400, "application/json");
	data("{\"error\":{\"message\":\"the key canary-2 is odd\"}}");
	end(0);
	over(CH_E_BAD_REQUEST);
	assert_string_equal(me.error, "{\"message\":\"the key *** is odd\"}");
	finish();
}

static void no_name_of_a_model_is_part_of_the_url(void **state)
{
	static const char *const names[] = { "gpt-http://169.254.169.254/", "gpt-../../x", "gpt-a\r\nHost: b" };

	(void)state;
	begin();
	for (size_t i = 0; i < 3; i++) {
		body(CHAT);
		me.args.model = (struct ch_str){ names[i], strlen(names[i]) };
		up.url[0] = 0;
		ask();
		if (i == 2) {
			assert_int_equal(me.rc, CH_OK);
			assert_int_equal(me.code, CH_E_BAD_REQUEST);
			break;
		}
		assert_string_equal(up.url, "http://up.test/v1/chat/completions");
		assert_null(strstr(up.fields, names[i]));
		answered(ANSWER);
	}
	finish();
}

/* ---- who is served ---- */

static void an_unlisted_model_is_not_asked_for(void **state)
{
	(void)state;
	begin();
	body(CHAT);
	me.args.model = (struct ch_str)CH_STR("other");
	ask();
	assert_int_equal(me.rc, CH_OK);
	assert_int_equal(me.code, CH_E_MODEL_NOT_FOUND);
	assert_string_equal(me.detail, "The backend openai serves no model \"other\"; it serves m, gpt-*.");
	assert_int_equal(up.calls, 0);
	finish();
}

static void what_a_router_has_found_out_is_not_looked_up_again(void **state)
{
	(void)state;
	begin();
	body(CHAT);
	me.args.model = (struct ch_str)CH_STR("unlisted");
	me.args.rule = "un*";
	ask();
	assert_string_equal(up.body, "{\"model\":\"unlisted\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
	answered(ANSWER);
	over(0);
	assert_string_equal(me.model, "unlisted");
	finish();
}

/* ---- failures ---- */

struct failure { int status; const char *body; int code; const char *error, *detail; };

static void an_upstreams_status_becomes_the_clients(void **state)
{
	static const struct failure rows[] = {
		{ 400, "{\"error\":{\"message\":\"bad temperature\",\"type\":\"invalid_request_error\",\"param\":\"temperature\",\"code\":null}}",
			CH_E_BAD_REQUEST,
			"{\"message\":\"bad temperature\",\"type\":\"invalid_request_error\",\"param\":\"temperature\",\"code\":null}",
			"bad temperature" },
		{ 400, "<html>", CH_E_BAD_REQUEST, "", "The backend refused the request (HTTP 400) and did not say why." },
		{ 404, "{\"error\":\"no such route\"}", CH_E_NOT_FOUND,
			"{\"message\":\"no such route\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}", "no such route" },
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
		{ 429, "{\"error\":{\"message\":\"slow down\"}}", CH_E_UPSTREAM_RATE_LIMITED, "", "The backend answered with HTTP 429: slow down" },
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

static void retry_after_is_clamped_to_what_clients_heed(void **state)
{
	static const struct { const char *name, *value; int64_t ms; } rows[] = { { "Retry-After", "7", 7000 },
		{ "Retry-After", "99999", 120000 }, { "Retry-After", "-5", 0 }, { "Retry-After", "0", 1000 }, { "retry-after-ms", "2500", 2500 },
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

static void what_breaks_below_http_has_a_code_too(void **state)
{
	static const struct { int error, code; } rows[] = { { CH_HTTP_BLOCKED, CH_E_UPSTREAM_UNAVAILABLE }, { CH_HTTP_BUSY, CH_E_UPSTREAM_BUSY },
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
	static const char *const texts[] = { "hello", "{\"choices\":[]}", "{\"choices\":[{}]", "[]", "{\"choices\":[{}]}x", "{\"a\":\"\xff\"}", "{}",
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

static void cancel_now(void *data)
{
	(void)data;
	vt()->cancel(me.svc, me.c, me.out);
	vt()->cancel(me.svc, me.c, me.out);
	assert_false(up.open);
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

/* ---- embeddings ---- */

/* 1.0 and -2.5 as little-endian floats: 00 00 80 3f, 00 00 20 c0. */
#define BASE64 "AACAPwAAIMA="

static void embeddings_come_in_the_format_asked_for(void **state)
{
	static const char floats[] = "{\"data\":[{\"index\":0,\"embedding\":[1,-2.5]}],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}";
	static const char text[] = "{\"data\":[{\"index\":0,\"embedding\":\"" BASE64 "\"}]}";

	(void)state;
	begin();
	for (int wants = 0; wants < 2; wants++)
		for (int has = 0; has < 2; has++) {
			body("{\"model\":\"m\",\"input\":\"x\"}");
			me.args.op = CH_I_EMBEDDINGS;
			me.args.base64 = wants;
			me.openai.path = "embeddings";
			ask();
			assert_string_equal(up.url, "http://up.test/v1/embeddings");
			answered(has ? text : floats);
			over(0);
			if (wants == has) {
				assert_string_equal(me.json, has ? text : floats);
				assert_int_equal(me.nvectors, 0);
			} else {
				assert_string_equal(me.json, "");
				assert_int_equal(me.nvectors, 1);
				assert_int_equal(me.dimensions, 2);
				assert_true(me.vector[0] == 1.0f && me.vector[1] == -2.5f);
			}
			assert_int_equal(me.tokens_in, has ? 0 : 3);
		}
	finish();
}

static void embeddings_that_cannot_be_read_are_invalid(void **state)
{
	static const char *const texts[] = { "{\"data\":[]}", "{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,2]}]}", "{\"data\":[{\"embedding\":[]}]}",
		"{\"data\":[{\"embedding\":[\"1\"]}]}", "{\"data\":[{\"embedding\":\"AAA\"}]}", "{\"data\":[{\"embedding\":\"A*AAAA==\"}]}",
		"{\"data\":[{\"embedding\":[1e999]}]}" };

	(void)state;
	begin();
	me.args.op = CH_I_EMBEDDINGS;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ask();
		assert_string_equal(up.body, "{\"model\":\"m\",\"input\":\"hello\",\"encoding_format\":\"float\"}");
		answered(texts[i]);
		over(CH_E_UPSTREAM_INVALID);
	}
	finish();
}

/* ---- the other ops ---- */

static void models_are_listed_and_odd_names_left_out(void **state)
{
	(void)state;
	begin();
	me.args.op = CH_I_MODELS;
	ask();
	assert_string_equal(up.method, "GET");
	assert_string_equal(up.url, "http://up.test/v1/models");
	assert_string_equal(up.body, "");
	answered("{\"object\":\"list\",\"data\":[{\"id\":\"a/b:c\",\"owned_by\":\"o\",\"created\":7,\"max_model_len\":4096},"
		"{\"id\":\"x\\ny\"},{\"id\":\"<b>\"},{\"id\":\"\"},{\"noid\":1},{\"id\":\"z\"}]}");
	over(0);
	assert_string_equal(me.ids, "a/b:c(o,7,4096) z(,0,0) ");
	ask();
	answered("{\"data\":{}}");
	over(CH_E_UPSTREAM_INVALID);
	ask();
	answered("{\"data\":[");
	over(CH_E_UPSTREAM_INVALID);
	finish();
}

static void a_probe_asks_only_whether_it_answers(void **state)
{
	(void)state;
	begin_with(BASE "probe = /health\n");
	me.args.op = CH_I_PROBE;
	ask();
	assert_string_equal(up.url, "http://up.test/v1/health");
	head(204, "text/plain");
	end(0);
	over(0);
	ask();
	head(200, "text/html");
	data("what it says is not looked at");
	end(0);
	over(0);
	ask();
	head(401, "text/html");
	end(0);
	over(CH_E_UPSTREAM_AUTH);
	finish();
}

static void other_routes_are_passed_whole(void **state)
{
	(void)state;
	begin();
	body("{\"model\":\"m\",\"input\":\"x\"}");
	me.args.op = CH_I_PASS;
	me.openai.path = "responses";
	ask();
	assert_string_equal(up.url, "http://up.test/v1/responses");
	answered("{\"error\":null,\"output\":[],\"usage\":{\"input_tokens\":4,\"output_tokens\":5}}");
	over(0);
	assert_string_equal(me.type, "application/json");
	assert_int_equal(me.tokens_in, 4);
	assert_int_equal(me.tokens_out, 5);
	finish();
}

/* ---- faults, memory, config ---- */

/* The default of default_model is OpenAI's: a server with other models must not be asked for it. */
static void the_default_of_default_model_counts_only_among_its_models(void **state)
{
	static const struct { const char *ini, *model; } rows[] = { { "[openai]\n", "gpt-4o-mini" },
		{ "[openai]\nmodels = Qwen/*\n", "" }, { "[openai]\nmodels = gpt-4*\n", "gpt-4o-mini" },
		{ "[openai]\nmodels = Qwen/*\ndefault_model = a\n", "a" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_with(rows[i].ini);
		assert_string_equal(vt()->about(me.svc)->conf->default_model, rows[i].model);
		ask();
		assert_int_equal(me.rc, rows[i].model[0] ? CH_AGAIN : CH_OK);
		if (me.rc == CH_AGAIN)
			answered(ANSWER);
		over(rows[i].model[0] ? 0 : CH_E_BAD_REQUEST);
		finish();
	}
}

static struct ch_fault fault;

static bool strike(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self, (void)c;
	out->delay_ms = fault.delay_ms;
	out->fail = fault.fail;
	return fault.fail || fault.delay_ms;
}

static const struct ch_seam seams[] = { { CH_S_VENDOR, strike } };
static const struct ch_plugin breaker = { .size = sizeof(breaker), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "breaks",
	.version = "0", .summary = "Breaks", .seams = CH_TABLE(seams) };

static const struct ch_plugin *breaks_entry(const struct ch_host *host)
{
	(void)host;
	return &breaker;
}

static void faults_can_be_injected(void **state)
{
	(void)state;
	begin();
	ch_test_plugin(me.t, breaks_entry);
	ch_test_config(me.t, BASE "[breaks]\n");
	assert_true(ch_test_start(me.t));
	me.svc = ch_test_provided(me.t, "openai", "inference/1");
	body(CHAT);
	fault = (struct ch_fault){ .fail = true };
	ask();
	assert_int_equal(me.rc, CH_OK);
	over(CH_E_UPSTREAM_ERROR);
	fault = (struct ch_fault){ .fail = true, .delay_ms = 40 };
	ask();
	ch_test_advance(me.t, 39);
	assert_int_equal(me.resumed, 0);
	ch_test_advance(me.t, 1);
	over(CH_E_UPSTREAM_ERROR);
	assert_int_equal(up.calls, 0);
	fault = (struct ch_fault){ .delay_ms = 40 };
	ask();
	assert_int_equal(up.calls, 0);
	ch_test_advance(me.t, 40);
	assert_int_equal(up.calls, 1);
	answered(ANSWER);
	over(0);
	ask();
	ch_test_on_loop(me.t, cancel_now, NULL);
	over(CH_E_UPSTREAM_ERROR);
	finish();
}

static void without_memory_a_call_has_a_code_and_nothing_is_left(void **state)
{
	bool struck = true;

	(void)state;
	begin();
	for (unsigned long n = 1; struck; n++) {
		body("{\"model\":\"gpt-1\",\"messages\":[]}");
		me.args.model = (struct ch_str)CH_STR("gpt-2");
		me.c = NULL;
		me.rc = CH_OK;
		me.code = -1;
		ch_test_fail_alloc(me.t, n);
		ask();
		if (up.open)
			answered(ANSWER);
		struck = ch_test_fail_alloc(me.t, 0);
		if (me.code == 0) /* a writer asks twice for its buffer */
			assert_string_equal(me.json, ANSWER);
		else if (me.code != -1)
			assert_int_equal(me.code, CH_E_OVERLOADED);
		assert_false(up.open);
	}
	over(0);
	assert_string_equal(me.json, ANSWER);
	finish();
}

static void a_config_that_cannot_work_is_refused(void **state)
{
	static const struct { const char *ini, *said; } rows[] = {
		{ "[openai]\nbase_url = api.openai.com\n", "is no address of a server" },
		{ "[openai]\nbase_url = http://\n", "is no address of a server" },
		{ "[openai]\nbase_url = http://u:p@h/v1\n", "a name or a password before an @" },
		{ "[openai]\nbase_url = http://h/v1?a=b\n", "goes into query" },
		{ "[openai]\nquery = ?a\n", "leave out the ? in front" },
		{ "[openai]\nmodels = a*b\n", "\"a*b\" has a * inside" },
		{ "[openai]\ndefault_model = a*\n", "is a pattern" },
		{ "[openai]\nmodels =\ndefault_model =\n", "it answers for no model" },
		{ "[openai]\nextra_headers = canary\n", "entry 1 is no header field" },
		{ "[openai]\nextra_headers = A: b, Host: canary\n", "Host is set by the backend itself" },
		{ "[openai]\napi_key = a\nextra_headers = Authorization: canary\n", "set one of both" },
		{ "[openai]\napi_key = \"canary a\"\n", "holds a blank" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ch_test *t = ch_test_new();

		ch_test_plugin(t, CH_TEST_ENTRY(openai));
		ch_test_service(t, "http", "http/1", &http, NULL);
		ch_test_config(t, rows[i].ini);
		assert_false(ch_test_start(t));
		if (!strstr(ch_test_errors(t), rows[i].said))
			fail_msg("row %zu: %s", i, ch_test_errors(t));
		assert_null(strstr(ch_test_errors(t), "canary"));
		ch_test_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clients_bytes_go_on_as_they_came),
		cmocka_unit_test(a_model_that_differs_is_replaced_and_splices_are_made),
		cmocka_unit_test(a_request_without_a_model_gets_the_default),
		cmocka_unit_test(a_null_that_goes_anyway_is_not_replaced_too),
		cmocka_unit_test(canonical_fields_are_written_as_a_request),
		cmocka_unit_test(max_tokens_goes_by_the_servers_name),
		cmocka_unit_test(tool_calls_are_read_out_for_who_has_no_json),
		cmocka_unit_test(a_trace_goes_on_under_a_span_of_its_own),
		cmocka_unit_test(extra_fields_a_query_and_the_organization_go_along),
		cmocka_unit_test(no_name_of_a_model_is_part_of_the_url),
		cmocka_unit_test(an_unlisted_model_is_not_asked_for),
		cmocka_unit_test(what_a_router_has_found_out_is_not_looked_up_again),
		cmocka_unit_test(an_upstreams_status_becomes_the_clients),
		cmocka_unit_test(retry_after_is_clamped_to_what_clients_heed),
		cmocka_unit_test(what_breaks_below_http_has_a_code_too),
		cmocka_unit_test(an_answer_that_breaks_off_is_none),
		cmocka_unit_test(what_is_no_answer_is_invalid),
		cmocka_unit_test(an_error_in_a_200_is_an_error),
		cmocka_unit_test(an_answer_over_max_answer_is_invalid_and_one_below_is_whole),
		cmocka_unit_test(a_call_that_is_given_up_ends_at_once_and_lets_go),
		cmocka_unit_test(cancel_is_heard_within_the_turn),
		cmocka_unit_test(embeddings_come_in_the_format_asked_for),
		cmocka_unit_test(embeddings_that_cannot_be_read_are_invalid),
		cmocka_unit_test(models_are_listed_and_odd_names_left_out),
		cmocka_unit_test(a_probe_asks_only_whether_it_answers),
		cmocka_unit_test(other_routes_are_passed_whole),
		cmocka_unit_test(the_default_of_default_model_counts_only_among_its_models),
		cmocka_unit_test(faults_can_be_injected),
		cmocka_unit_test(without_memory_a_call_has_a_code_and_nothing_is_left),
		cmocka_unit_test(a_config_that_cannot_work_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
