/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of Ollama's whole answers, and of those that say no. Shapes are those of its documentation. */
#include "test_world.h"

/* ---- whole ---- */

static void a_whole_answer_is_text_usage_and_a_reason(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "hi");

	(void)state;
	go(t);
	answer(t, 200,
		"{\"model\":\"llama3.2\",\"created_at\":\"2023-12-12T14:13:43.416799Z\",\"message\":{\"role\":\"assistant\","
		"\"content\":\"Hello!\\nHow are you \\ud83d\\ude42 "
		"today?\"},\"done\":true,\"total_duration\":5191566416,\"load_duration\":2154458,"
		"\"prompt_eval_count\":26,\"prompt_eval_duration\":383809000,\"eval_count\":298,\"eval_duration\":4799921000}");
	assert_int_equal(k->resumed, 1);
	assert_int_equal(k->out.code, 0);
	assert_string_equal(k->text, "Hello!\nHow are you \xf0\x9f\x99\x82 today?");
	assert_string_equal(k->finish, "stop");
	assert_string_equal(k->model, "llama3.2");
	assert_string_equal(k->out.backend, "llama");
	assert_string_equal(k->out.rule, "llama3*");
	assert_int_equal(k->out.tokens_in, 26);
	assert_int_equal(k->out.tokens_out, 298);
	assert_false(k->out.estimated);
	assert_int_equal(k->out.status, 200);
	finish(t);
}

static void calls_of_tools_come_in_openais_form(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "weather?");
	char id[32];

	(void)state;
	go(t);
	answer(t, 200,
		"{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"get_current_weather\","
		"\"arguments\":{\"format\":\"celsius\",\"location\":\"Paris, "
		"FR\"}}},{\"id\":\"call_x7\",\"function\":{\"index\":1,\"name\":\"now\"}}]},"
		"\"done_reason\":\"stop\",\"done\":true}");
	assert_int_equal(k->out.code, 0);
	assert_string_equal(k->finish, "tool_calls");
	assert_int_equal(strncmp(k->calls, "[{\"id\":\"call_", 13), 0);
	assert_int_equal(strspn(k->calls + 13, "0123456789abcdef"), 16);
	snprintf(id, sizeof(id), "%.21s", k->calls + 8);
	assert_string_equal(k->calls + 29, "\",\"type\":\"function\",\"function\":{\"name\":\"get_current_weather\","
		"\"arguments\":\"{\\\"format\\\":\\\"celsius\\\",\\\"location\\\":\\\"Paris, FR\\\"}\"}},"
		"{\"id\":\"call_x7\",\"type\":\"function\",\"function\":{\"name\":\"now\",\"arguments\":\"{}\"}}]");
	finish(t);
}

static void what_is_no_answer_is_upstream_invalid(void **state)
{
	static const char *const bad[] = { "", "nonsense", "[]", "{\"message\":{\"content\":1},\"done\":true}",
		"{\"message\":[],\"done\":true}", "{\"message\":{\"content\":\"x\"},\"done\":false}", "{\"done\":true} {}",
		"{\"done\":true", "{\"message\":{\"content\":\"\xff\"},\"done\":true}",
		"{\"message\":{\"content\":\"x\",\"tool_calls\":[{}]},\"done\":true}", "{\"message\":{\"tool_calls\":7},\"done\":true}",
		"{\"done\":true,\"eval_count\":-1}", "<html>Not here</html>" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ch_test *t = begin(NULL);

		ask(t, CH_I_CHAT, "user", "hi");
		go(t);
		answer(t, 200, bad[i]);
		assert_int_equal(caller.resumed, 1);
		assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
		finish(t);
	}
}

static void an_answer_without_usage_is_estimated(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	answer(t, 200, "{\"message\":{\"content\":\"x\"},\"done\":true}");
	assert_true(caller.out.estimated);
	finish(t);
}

static void nul_in_a_text_is_a_character_like_others(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	answer(t, 200, "{\"message\":{\"content\":\"a\\u0000b\"},\"done\":true}");
	assert_int_equal(caller.out.code, 0);
	assert_int_equal(caller.out.text.n, 3);
	assert_memory_equal(caller.text, "a\0b", 3);
	finish(t);
}

/* ---- statuses ---- */

static void a_model_that_was_not_pulled_is_named_with_what_to_do(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	answer(t, 404, "{\"error\":\"model 'llama3.2' not found\"}");
	assert_int_equal(caller.out.code, CH_E_MODEL_NOT_FOUND);
	assert_int_equal(caller.out.status, 404);
	assert_non_null(strstr(caller.detail, "`ollama pull llama3.2`"));
	finish(t);
}

static void a_404_of_another_server_is_no_missing_model(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	answer(t, 404, "404 page not found");
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
	assert_non_null(strstr(caller.detail, "base_url"));
	finish(t);
}

static void statuses_are_told_as_the_contract_says(void **state)
{
	static const struct {
		int status;
		const char *body;
		int code;
	} cases[] = {
		{ 400, "{\"error\":\"\\\"llama3.2\\\" does not support tools\"}", CH_E_BAD_REQUEST },
		{ 503, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}", CH_E_UPSTREAM_BUSY },
		{ 500, "{\"error\":\"llama runner process has terminated\"}", CH_E_UPSTREAM_ERROR },
		{ 401, "{\"error\":\"unauthorized\"}", CH_E_UPSTREAM_AUTH },
		{ 302, "", CH_E_UPSTREAM_INVALID },
		{ 204, "", CH_E_UPSTREAM_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int streamed = 0; streamed < 2; streamed++) {
			struct ch_test *t = begin(NULL);

			ask(t, CH_I_CHAT, "user", "hi");
			caller.stream = streamed;
			go(t);
			answer(t, cases[i].status, cases[i].body);
			assert_int_equal(caller.resumed, 1);
			assert_int_equal(caller.out.code, cases[i].code);
			assert_int_equal(caller.deltas, 0);
			finish(t);
		}
}

static void the_reason_of_a_refusal_reaches_the_client(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	answer(t, 400, "{\"error\":\"registry.ollama.ai/library/llama3.2 does not support tools\"}");
	assert_non_null(strstr(caller.detail, "does not support tools"));
	finish(t);
}

static void a_server_that_cannot_be_reached_is_unavailable(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	net.refuse = CH_HTTP_CONNECT;
	go(t);
	assert_int_equal(caller.rc, CH_OK);
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_UNAVAILABLE);
	finish(t);
}

static void a_key_that_an_error_repeats_is_taken_out(void **state)
{
	struct ch_test *t = begin("api_key = secret-key-0123\n");

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	answer(t, 400, "{\"error\":\"bad thing with secret-key-0123 in it\"}");
	assert_null(strstr(caller.detail, "secret-key-0123"));
	assert_null(strstr(caller.error, "secret-key-0123"));
	finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_is_text_usage_and_a_reason),
		cmocka_unit_test(calls_of_tools_come_in_openais_form),
		cmocka_unit_test(what_is_no_answer_is_upstream_invalid),
		cmocka_unit_test(an_answer_without_usage_is_estimated),
		cmocka_unit_test(a_model_that_was_not_pulled_is_named_with_what_to_do),
		cmocka_unit_test(a_404_of_another_server_is_no_missing_model),
		cmocka_unit_test(statuses_are_told_as_the_contract_says),
		cmocka_unit_test(the_reason_of_a_refusal_reaches_the_client),
		cmocka_unit_test(a_server_that_cannot_be_reached_is_unavailable),
		cmocka_unit_test(a_key_that_an_error_repeats_is_taken_out),
		cmocka_unit_test(nul_in_a_text_is_a_character_like_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
