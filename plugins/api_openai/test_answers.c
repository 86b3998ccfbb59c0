/* SPDX-License-Identifier: Apache-2.0 */
/* test_answers.c - the plugin over a backend of the test's own: routes, whole answers, refusals, models. */
#include <chimera/kit/json.h>

#include "api_openai.h"
#include "test_world.h"

#include <chimera/backend.h>

#define CHAT "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"
#define PATH "/v1/chat/completions"
#define PART "{\"type\":\"text\",\"text\":\"a\"}"

/* ---- whole answers ---- */

static void a_whole_answer_goes_out_as_it_came(void **state)
{
	static const char json[] = "{ \"id\": \"x\",\n \"model\": \"gpt-4o-2024\", \"whatever\": [1e2] }";
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, CHAT);

	(void)state;
	assert_false(a->done);
	assert_int_equal(f.args.op, CH_I_CHAT);
	assert_string_equal(f.path, "chat/completions");
	assert_string_equal(f.model, "gpt-4o");
	assert_string_equal(f.backend, "");
	assert_int_equal(f.openai.body.n, strlen(CHAT));
	assert_int_equal(f.sink.size, 0);
	f.give.json = (struct ch_str){ json, strlen(json) };
	f.give.attempts = 2;
	ch_test_advance(t, 250);
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, json);
	assert_string_equal(ch_test_header(a, "content-type"), "application/json");
	assert_string_equal(ch_test_header(a, "x-chimera-backend"), "fake");
	assert_string_equal(ch_test_header(a, "x-chimera-attempts"), "2");
	assert_string_equal(ch_test_header(a, "openai-processing-ms"), "250");
	ch_test_free(t);
}

static void a_large_answer_goes_out_as_it_came(void **state)
{
	const size_t n = 5 << 20; /* more than an arena may hold */
	char *json = malloc(n);
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	memset(json, 'x', n);
	json[0] = json[n - 1] = '"';
	f.rc = CH_OK;
	f.give.json = (struct ch_str){ json, n };
	a = post(t, PATH, CHAT);
	assert_true(a->complete);
	assert_int_equal(a->n, n);
	assert_memory_equal(a->body, json, n);
	assert_string_equal(ch_test_header(a, "content-length"), "5242880");
	assert_string_equal(ch_test_header(a, "x-chimera-backend"), "fake");
	f.give.json.n = (32 << 10) + 1;
	a = post(t, PATH, CHAT);
	assert_int_equal(a->n, (32 << 10) + 1);
	assert_memory_equal(a->body, json, a->n);
	free(json);
	ch_test_free(t);
}

static void a_text_becomes_a_chat_completion(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;
	char id[10] = "";

	(void)state;
	f.rc = CH_OK;
	f.give.text = (struct ch_str)CH_STR("one \"two\"");
	a = post(t, PATH, CHAT);
	assert_int_equal(a->status, 200);
	assert_memory_equal(a->body, "{\"id\":\"chatcmpl-", 16);
	memcpy(id, a->body + 7, 9);
	assert_string_equal(id, "chatcmpl-");
	/* The harness's wall clock: 2026-01-01T00:00:00Z is 1767225600. */
	assert_string_equal(strstr(a->body, ",\"object\""),
		",\"object\":\"chat.completion\",\"created\":1767225600,\"model\":\"m1\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
		"\"assistant\","
		"\"content\":\"one \\\"two\\\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
		"\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5}}");
	assert_null(ch_test_header(a, "x-chimera-attempts"));
	a = post(t, "/v1/completions", "{\"prompt\":\"x\"}");
	assert_memory_equal(a->body, "{\"id\":\"cmpl-", 12);
	assert_int_equal(f.args.op, CH_I_COMPLETION);
	assert_string_equal(f.path, "completions");
	ch_test_free(t);
}

/* Text whose JSON is larger than the arena. */
static void a_long_text_becomes_a_chat_completion(void **state)
{
	const size_t n = 4 << 20;
	char *text = malloc(n);
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	memset(text, '\n', n);
	f.rc = CH_OK;
	f.give.text = (struct ch_str){ text, n };
	a = post(t, PATH, CHAT);
	assert_true(a->complete);
	assert_true(a->n > 2 * n);
	assert_string_equal(a->body + a->n - 17, "total_tokens\":5}}");
	free(text);
	ch_test_free(t);
}

static void embeddings_come_in_the_format_asked_for(void **state)
{
	static const float v[] = { 0.5f, -1.0f };
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	f.give.vectors = v;
	f.give.nvectors = 1;
	f.give.dimensions = 2;
	f.give.tokens_out = 0;
	a = post(t, "/v1/embeddings", "{\"model\":\"e\",\"input\":\"x\",\"encoding_format\":\"base64\"}");
	assert_int_equal(f.args.op, CH_I_EMBEDDINGS);
	assert_string_equal(f.path, "embeddings");
	assert_string_equal(a->body,
		"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":\"AAAAPwAAgL8=\"}],\"model\":\"m1\","
		"\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}");
	a = post(t, "/v1/embeddings", "{\"model\":\"e\",\"input\":\"x\"}");
	assert_non_null(strstr(a->body, "\"embedding\":[0.5,-1]}"));
	ch_test_free(t);
}

static void a_hook_that_answers_is_the_answer(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[api_openai]\n[hooked]\n");
	struct ch_test_answer *a;

	(void)state;
	hook_text = (struct ch_str)CH_STR("from the cache");
	a = post(t, PATH, CHAT);
	assert_non_null(strstr(a->body, "\"content\":\"from the cache\""));
	assert_null(ch_test_header(a, "x-chimera-backend")); /* nobody was asked */
	assert_int_equal(f.calls, 0);
	ch_test_free(t);
}

/* ---- refusals ---- */

static void a_backends_code_becomes_the_answer(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	f.give.code = CH_E_UPSTREAM_BUSY;
	f.give.retry_after_ms = 2500;
	f.give.detail = "All places are taken.";
	f.give.attempts = 3;
	a = post(t, PATH, CHAT);
	assert_int_equal(a->status, 503);
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
	assert_string_equal(ch_test_header(a, "retry-after"), "3");
	assert_string_equal(ch_test_header(a, "retry-after-ms"), "2500");
	assert_string_equal(ch_test_header(a, "x-should-retry"), "true");
	assert_string_equal(ch_test_header(a, "x-chimera-backend"), "fake");
	assert_string_equal(ch_test_header(a, "x-chimera-attempts"), "3");
	assert_non_null(strstr(a->body, "\"code\":\"upstream_busy\""));
	assert_non_null(strstr(a->body,
		"\"error\":{\"message\":\"All places are taken.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_busy\"}"));
	ch_test_free(t);
}

static void the_upstreams_own_error_object_is_shown(void **state)
{
	static const char error[] =
		"{\"message\":\"Too "
		"long.\",\"type\":\"invalid_request_error\",\"param\":\"messages\",\"code\":\"context_length_exceeded\"}";
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	f.give.code = CH_E_BAD_REQUEST;
	f.give.detail = "The backend refused.";
	f.give.error = (struct ch_str){ error, strlen(error) };
	a = post(t, PATH, CHAT);
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, error));
	assert_non_null(strstr(a->body, "\"detail\":\"The backend refused.\""));
	ch_test_free(t);
}

static void a_backend_that_fails_is_503_and_never_500(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_ERROR;
	a = post(t, PATH, CHAT);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "\"code\":\"upstream_error\""));
	a = ch_test_request(t, "GET", "/v1/models", NULL, NULL, 0);
	assert_int_equal(a->status, 503);
	ch_test_free(t);
}

static void what_is_wrong_is_refused_by_name_before_anybody_is_asked(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"x\"}]}");

	(void)state;
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, "\"param\":\"messages[1].role\""));
	assert_non_null(strstr(a->body, "\"error\":{\"message\":"));
	assert_non_null(strstr(a->body, "\"type\":\"invalid_request_error\",\"param\":\"messages[1].role\",\"code\":\"bad_request\"}"));
	a = post_with(t, PATH, "Content-Type: text/xml\n", "<a/>");
	assert_int_equal(a->status, 415);
	a = ch_test_request(t, "POST", PATH, JSON, NULL, 0);
	assert_int_equal(a->status, 400);
	assert_int_equal(f.calls, 0);
	f.rc = CH_OK;
	f.give.text = (struct ch_str)CH_STR("x");
	a = post_with(t, PATH, NULL, CHAT); /* no type at all: curl's users forget it */
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void a_client_that_leaves_is_told_to_the_backend(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, CHAT);

	(void)state;
	ch_test_sweep_off(t); /* it would judge the ticket that is kept back */
	f.deaf = true;
	ch_test_leave(a);
	assert_int_equal(f.cancelled, 1);
	ch_test_advance(t, 60000);
	ch_test_on_loop(t, confirm, &f);
	ch_test_free(t);
}

/* ---- what the client's library says of itself ---- */

static void the_clients_patience_and_retries_are_told(void **state)
{
	static const struct {
		const char *headers;
		int64_t budget;
		unsigned retry;
	} rows[] = {
		{ JSON "x-stainless-read-timeout: 600.0\nx-stainless-retry-count: 2\n", 599000, 2 },
		{ JSON "x-stainless-timeout: 10\n", 9800, 0 },
		{ JSON "x-stainless-read-timeout: 0.5\nx-stainless-timeout: 9\n", 480, 0 },
		{ JSON "x-stainless-read-timeout: 0.03\n", 15, 0 },
		{ JSON "x-stainless-timeout: 0\nx-stainless-retry-count: 1000\n", 0, 100 },
		{ JSON "x-stainless-timeout: NaN\nx-stainless-retry-count: -1\n", 0, 0 },
		{ JSON, 0, 0 },
	};
	struct fake f;
	struct ch_test *t = begin(&f, NULL);

	(void)state;
	f.rc = CH_OK;
	f.give.text = (struct ch_str)CH_STR("x");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(post_with(t, PATH, rows[i].headers, CHAT)->status, 200);
		assert_int_equal(f.args.budget_ms, rows[i].budget);
		assert_int_equal(f.args.retry, rows[i].retry);
	}
	ch_test_free(t);
}

static void the_member_backend_is_told_and_cut_out(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);

	(void)state;
	f.rc = CH_OK;
	f.give.text = (struct ch_str)CH_STR("x");
	post(t, PATH, "{\"backend\":\"vllm\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
	assert_string_equal(f.backend, "vllm");
	assert_int_equal(f.openai.nsplices, 1);
	assert_int_equal(f.calls, 1);
	ch_test_free(t);
}

static void where_there_is_one_backend_no_other_may_be_named(void **state)
{
	static const struct ch_backend_conf conf;
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	char body[128];

	(void)state;
	f.about.conf = &conf; /* it is no router */
	f.rc = CH_OK;
	f.give.text = (struct ch_str)CH_STR("x");
	assert_int_equal(post(t, PATH, "{\"backend\":\"zzz\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}")->status, 400);
	assert_int_equal(f.calls, 0);
	snprintf(body, sizeof(body), "{\"backend\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "fake");
	assert_int_equal(post(t, PATH, body)->status, 200);
	assert_int_equal(f.calls, 1);
	ch_test_free(t);
}

/* ---- models ---- */

static const struct ch_model models[] = {
	{ .id = CH_STR("gpt-4o"), .owned_by = CH_STR("openai"), .created = 1715367049 },
	{ .id = CH_STR("Qwen/Qwen3-32B"), .owned_by = CH_STR("vllm") },
	{ .id = CH_STR("gemma3:latest"), .owned_by = CH_STR("llama") },
};

static void models_are_listed_and_found_whatever_their_names(void **state)
{
	static const char *const targets[] = { "/v1/models/Qwen/Qwen3-32B", "/v1/models/Qwen%2FQwen3-32B" };
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/v1/models", NULL, NULL, 0);

	(void)state;
	assert_false(a->done);
	assert_int_equal(f.args.op, CH_I_MODELS);
	f.give.models = models;
	f.give.nmodels = 3;
	ch_test_on_loop(t, end, &f);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body,
		"{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1715367049,\"owned_by\":\"openai\"},"
		"{\"id\":\"Qwen/Qwen3-32B\",\"object\":\"model\",\"created\":0,\"owned_by\":\"vllm\"},"
		"{\"id\":\"gemma3:latest\",\"object\":\"model\",\"created\":0,\"owned_by\":\"llama\"}]}");
	f.rc = CH_OK;
	for (size_t i = 0; i < 2; i++) {
		a = ch_test_request(t, "GET", targets[i], NULL, NULL, 0);
		assert_string_equal(a->body, "{\"id\":\"Qwen/Qwen3-32B\",\"object\":\"model\",\"created\":0,\"owned_by\":\"vllm\"}");
	}
	a = ch_test_request(t, "GET", "/v1/models/gemma3:latest", NULL, NULL, 0);
	assert_non_null(strstr(a->body, "\"id\":\"gemma3:latest\""));
	a = ch_test_request(t, "GET", "/v1/models/gemma3%3Alatest", NULL, NULL, 0);
	assert_non_null(strstr(a->body, "\"id\":\"gemma3:latest\""));
	ch_test_free(t);
}

static void a_model_that_is_not_there_is_404_with_the_nearest_name(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	f.give.models = models;
	f.give.nmodels = 3;
	a = ch_test_request(t, "GET", "/v1/models/gpt-40", NULL, NULL, 0);
	assert_int_equal(a->status, 404);
	assert_non_null(strstr(a->body, "\"code\":\"model_not_found\""));
	assert_non_null(strstr(a->body, "did you mean \\\"gpt-4o\\\"?"));
	a = ch_test_request(t, "GET", "/v1/models/nothing-like-it", NULL, NULL, 0);
	assert_int_equal(a->status, 404);
	assert_null(strstr(a->body, "did you mean"));
	ch_test_free(t);
}

static void a_backend_that_has_no_list_is_501(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.about.ops = 1u << CH_I_CHAT;
	a = ch_test_request(t, "GET", "/v1/models", NULL, NULL, 0);
	assert_int_equal(a->status, 501);
	assert_non_null(strstr(a->body, "put a [router] before it"));
	assert_int_equal(f.calls, 0);
	ch_test_free(t);
}

static void who_asks_for_models_and_leaves_is_told_to_the_backend(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/v1/models", NULL, NULL, 0);

	(void)state;
	ch_test_leave(a);
	assert_int_equal(f.cancelled, 1);
	ch_test_free(t);
}

/* ---- other routes ---- */

static void other_routes_are_404_and_say_which_there_are(void **state)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		a = ch_test_request(t, methods[i], "/v1/images/generations", JSON, "{}", i == 0 ? 0 : 2);
		assert_int_equal(a->status, 404);
		assert_non_null(strstr(a->body, "There is no /v1/images/generations here."));
		assert_non_null(strstr(a->body, "POST /v1/chat/completions"));
		assert_non_null(strstr(a->body, "POST /v1/responses, POST /v1/audio/speech;"));
		assert_non_null(strstr(a->body, "\"error\":{"));
	}
	a = ch_test_request(t, "GET", PATH, NULL, NULL, 0);
	assert_int_equal(a->status, 405);
	assert_string_equal(ch_test_header(a, "allow"), "POST, OPTIONS");
	assert_non_null(strstr(a->body, "\"error\":{"));
	a = ch_test_request(t, "GET", "/v1/responses", NULL, NULL, 0);
	assert_int_equal(a->status, 405);
	assert_string_equal(ch_test_header(a, "allow"), "POST, OPTIONS");
	a = post(t, "/v1/responses/", "{}");
	assert_int_equal(a->status, 404);
	a = post(t, "/v1/responses/resp_1/cancel", "{}");
	assert_int_equal(a->status, 404);
	a = ch_test_request(t, "GET", "/v1/models/", NULL, NULL, 0);
	assert_int_equal(a->status, 404);
	assert_int_equal(f.calls, 0);
	ch_test_free(t);
}

static void names_that_cannot_be_passed_on_are_errors_of_the_config(void **state)
{
	static const char *const bad[] = { "/responses", "responses/", "a//b", "../x", "a?b", "Responses", "chat/completions", "models" };
	char ini[100];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fake f = { .rc = CH_AGAIN };
		struct ch_test *t = ch_test_new();

		ch_test_plugin(t, CH_TEST_ENTRY(api_openai));
		ch_test_service(t, "fake", "inference/1", &vtable, &f);
		snprintf(ini, sizeof(ini), "[api_openai]\npassthrough = responses, %s\n", bad[i]);
		ch_test_config(t, ini);
		assert_false(ch_test_start(t));
		assert_non_null(strstr(ch_test_errors(t), "test.ini:2:"));
		assert_non_null(strstr(ch_test_errors(t), bad[i]));
		ch_test_free(t);
	}
}

static void the_schemas_are_json(void **state)
{
	const char *const all[] = { api_chat_request, api_chat_response, api_completion_request, api_completion_response,
		api_embeddings_request, api_embeddings_response, api_models_response, api_model_response };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_true(ch_json_valid(all[i], strlen(all[i]), 0, 0, NULL, NULL));
}

/* ---- without memory ---- */

/* Each answer is whole, or a 503, or the connection was cut; nothing is left behind (ch_test_free). */
static void without_memory_a_question_is_refused(void **state)
{
	static const char *const bodies[] = {
		CHAT,
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":\"a\\nb\"}]}",
		"{\"stop\":[\"a\"],\"messages\":[{\"role\":\"user\",\"content\":[" PART "," PART "]}]}",
	};
	struct fake f;
	struct ch_test *t = begin(&f, NULL);

	(void)state;
	f.give.text = (struct ch_str)CH_STR("x");
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		bool struck = true;

		for (unsigned long n = 1; struck; n++) {
			struct ch_test_answer *a;

			assert_true(n < 200);
			f.ticket = f.cancelled = 0;
			ch_test_fail_alloc(t, n);
			a = post(t, PATH, bodies[i]);
			if (f.ticket && !a->done) {
				if (f.sink.size)
					send_text(t, &f, "x");
				if (!f.cancelled)
					ch_test_on_loop(t, end, &f);
			}
			struck = ch_test_fail_alloc(t, 0);
			assert_true(a->done);
			assert_true(!a->status || a->status == 200 || a->status == 503);
			if (!struck)
				assert_true(a->status == 200 && a->complete);
		}
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_goes_out_as_it_came),
		cmocka_unit_test(a_large_answer_goes_out_as_it_came),
		cmocka_unit_test(a_text_becomes_a_chat_completion),
		cmocka_unit_test(a_long_text_becomes_a_chat_completion),
		cmocka_unit_test(embeddings_come_in_the_format_asked_for),
		cmocka_unit_test(a_hook_that_answers_is_the_answer),
		cmocka_unit_test(a_backends_code_becomes_the_answer),
		cmocka_unit_test(the_upstreams_own_error_object_is_shown),
		cmocka_unit_test(a_backend_that_fails_is_503_and_never_500),
		cmocka_unit_test(what_is_wrong_is_refused_by_name_before_anybody_is_asked),
		cmocka_unit_test(a_client_that_leaves_is_told_to_the_backend),
		cmocka_unit_test(the_clients_patience_and_retries_are_told),
		cmocka_unit_test(the_member_backend_is_told_and_cut_out),
		cmocka_unit_test(where_there_is_one_backend_no_other_may_be_named),
		cmocka_unit_test(models_are_listed_and_found_whatever_their_names),
		cmocka_unit_test(a_model_that_is_not_there_is_404_with_the_nearest_name),
		cmocka_unit_test(a_backend_that_has_no_list_is_501),
		cmocka_unit_test(who_asks_for_models_and_leaves_is_told_to_the_backend),
		cmocka_unit_test(other_routes_are_404_and_say_which_there_are),
		cmocka_unit_test(names_that_cannot_be_passed_on_are_errors_of_the_config),
		cmocka_unit_test(the_schemas_are_json),
		cmocka_unit_test(without_memory_a_question_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
