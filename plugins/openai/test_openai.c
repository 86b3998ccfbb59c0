/* SPDX-License-Identifier: Apache-2.0 */
/* test_openai.c - the openai backend: what it sends, and what whole answers and lists become. */
#include "test_world.h"

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
		{ "{\"messages\":[],\"\\u006dodel\":null}", "{\"messages\":[],\"\\u006dodel\":\"m\"}" },
		{ "{\"messages\":[\"\\\"model\\\"\"]}", "{\"model\":\"m\",\"messages\":[\"\\\"model\\\"\"]}" },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		body(rows[i].from);
		const char *null = strstr(rows[i].from, "null"); /* as the reader tells it, who knows escaped names */

		me.openai.model_n = 0;
		me.openai.model_at = null ? (size_t)(null - rows[i].from) : 0;
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

/* 5 MiB, as a picture has: more than the arena holds. */
static void a_large_body_can_be_changed_and_written(void **state)
{
	static const char front[] = "{\"messages\":[\"", back[] = "\"]}";
	const size_t n = 5 << 20;
	char *text = malloc(sizeof(front) + n + sizeof(back));
	struct ch_message large = { CH_STR("user"), { NULL, 0 }, { NULL, 0 } };

	(void)state;
	begin();
	memcpy(text, front, sizeof(front));
	memset(text + sizeof(front) - 1, 'x', n);
	memcpy(text + sizeof(front) - 1 + n, back, sizeof(back));
	body(text);
	ask();
	assert_int_equal(me.rc, CH_AGAIN);
	assert_int_equal(up.args.body.n, strlen(text) + strlen("\"model\":\"m\","));
	answered(ANSWER);
	over(0);
	me.args.openai = NULL;
	large.content = (struct ch_str){ text + sizeof(front) - 1, n };
	me.args.messages = &large;
	ask();
	assert_int_equal(up.args.body.n, n + strlen("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}"));
	answered(ANSWER);
	over(0);
	finish();
	free(text);
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
	assert_string_equal(up.body,
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"max_completion_tokens\":5}");
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
	static const char *const texts[] = { "{\"data\":[]}", "{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,2]}]}",
		"{\"data\":[{\"embedding\":[]}]}",
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
	ch_test_sweep_off(me.t); /* in its copies nobody would play the upstream of what the clock begins */
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
		cmocka_unit_test(a_large_body_can_be_changed_and_written),
		cmocka_unit_test(canonical_fields_are_written_as_a_request),
		cmocka_unit_test(max_tokens_goes_by_the_servers_name),
		cmocka_unit_test(tool_calls_are_read_out_for_who_has_no_json),
		cmocka_unit_test(a_trace_goes_on_under_a_span_of_its_own),
		cmocka_unit_test(extra_fields_a_query_and_the_organization_go_along),
		cmocka_unit_test(no_name_of_a_model_is_part_of_the_url),
		cmocka_unit_test(an_unlisted_model_is_not_asked_for),
		cmocka_unit_test(what_a_router_has_found_out_is_not_looked_up_again),
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
