/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent to Ollama: names and shapes are those of its documentation (docs/api.md of ollama/ollama). */
#include "test_world.h"

static void a_chat_is_posted_to_api_chat(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_CHAT, "user", "why is the \"sky\" blue?");
	go(t);
	assert_int_equal(net.calls, 1);
	assert_string_equal(net.method, "POST");
	assert_string_equal(net.url, "http://127.0.0.1:11434/api/chat");
	assert_non_null(strstr(net.fields, "Content-Type: application/json\n"));
	assert_null(strstr(net.fields, "Authorization"));
	assert_string_equal(net.body,
		"{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"user\",\"content\":\"why is the \\\"sky\\\" blue?\"}],"
		"\"stream\":false,\"options\":{}}");
	answer(t, 200, "{\"message\":{\"content\":\"x\"},\"done\":true}");
	assert_int_equal(caller.resumed, 1);
	finish(t);
}

static void canonical_fields_become_options(void **state)
{
	static const struct ch_str stop[] = { CH_STR("\n"), CH_STR("user:") };
	struct ch_test *t = begin("num_ctx = 8192\nkeep_alive = 10m\n");
	struct caller *k = ask(t, CH_I_CHAT, "user", "hi");

	(void)state;
	k->args.max_tokens = 100;
	k->args.temperature = 0;
	k->args.top_p = 0.9;
	k->args.seed = 42;
	k->args.has_seed = true;
	k->args.stop = stop;
	k->args.nstop = 2;
	k->stream = true;
	go(t);
	assert_string_equal(net.body, "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,"
				      "\"options\":{\"num_ctx\":8192,\"num_predict\":100,\"temperature\":0,\"top_p\":0.9,\"seed\":42,"
				      "\"stop\":[\"\\n\",\"user:\"]},"
				      "\"keep_alive\":\"10m\"}");
	finish(t);
}

static void keep_alive_can_be_a_number_or_for_ever(void **state)
{
	static const char *const cases[][2] = { { "forever", "\"keep_alive\":-1}" }, { "0", "\"keep_alive\":0}" },
		{ "1h30m", "\"keep_alive\":\"1h30m\"}" } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char ini[64];
		struct ch_test *t;

		snprintf(ini, sizeof(ini), "keep_alive = %s\n", cases[i][0]);
		t = begin(ini);
		ask(t, CH_I_CHAT, "user", "hi");
		go(t);
		assert_non_null(strstr(net.body, cases[i][1]));
		finish(t);
	}
}

static void a_completion_is_posted_to_api_generate(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_COMPLETION, "", "Once upon");

	(void)state;
	go(t);
	assert_string_equal(net.url, "http://127.0.0.1:11434/api/generate");
	assert_string_equal(net.body, "{\"model\":\"llama3.2\",\"prompt\":\"Once upon\",\"stream\":false,\"options\":{}}");
	answer(t, 200, "{\"model\":\"llama3.2\",\"response\":\" a time\",\"done\":true,\"done_reason\":\"length\","
		"\"prompt_eval_count\":26,\"eval_count\":259}");
	assert_int_equal(k->out.code, 0);
	assert_string_equal(k->text, " a time");
	assert_string_equal(k->finish, "length");
	assert_int_equal(k->out.tokens_in, 26);
	assert_int_equal(k->out.tokens_out, 259);
	finish(t);
}

static void several_prompts_are_refused(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_COMPLETION, "", "one");

	(void)state;
	k->messages[1] = k->messages[0];
	k->args.nmessages = 2;
	go(t);
	assert_int_equal(k->rc, CH_OK);
	assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
	assert_int_equal(net.calls, 0);
	finish(t);
}

static void embeddings_are_posted_to_api_embed_and_come_back_as_floats(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_EMBEDDINGS, "", "Why is the sky blue?");

	(void)state;
	k->messages[1] = (struct ch_message){ .content = CH_STR("Why is the grass green?") };
	k->args.nmessages = 2;
	k->args.model = str("all-minilm");
	go(t);
	assert_string_equal(net.url, "http://127.0.0.1:11434/api/embed");
	assert_string_equal(net.body,
		"{\"model\":\"all-minilm\",\"input\":[\"Why is the sky blue?\",\"Why is the grass green?\"],\"options\":{}}");
	answer(t, 200,
		"{\"model\":\"all-minilm\",\"embeddings\":[[0.5,-0.25,1e-3],[1,2,3]],\"total_duration\":14143917,\"prompt_eval_count\":8}");
	assert_int_equal(k->out.code, 0);
	assert_int_equal(k->out.nvectors, 2);
	assert_int_equal(k->out.dimensions, 3);
	assert_true(k->vectors[0] == 0.5f && k->vectors[1] == -0.25f && k->vectors[2] == 1e-3f && k->vectors[5] == 3);
	assert_int_equal(k->out.tokens_in, 8);
	assert_false(k->out.estimated);
	finish(t);
}

static void a_list_of_vectors_that_does_not_fit_is_no_answer(void **state)
{
	static const char *const answers[] = { "{\"embeddings\":[]}", "{\"embeddings\":[[1],[2]]}", "{\"embeddings\":[[]]}",
		"{\"embeddings\":[[1e99]]}", "{\"embeddings\":[[\"1\"]]}", "{}", "{\"embeddings\":[[1]]", "[[1]]", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct ch_test *t = begin(NULL);

		ask(t, CH_I_EMBEDDINGS, "", "x");
		go(t);
		answer(t, 200, answers[i]);
		assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
		finish(t);
	}
}

static void an_error_in_place_of_vectors_is_told(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_EMBEDDINGS, "", "x");
	go(t);
	answer(t, 200, "{\"error\":\"the model does not embed\"}");
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_ERROR);
	assert_non_null(strstr(caller.detail, "does not embed"));
	finish(t);
}

static void vectors_of_different_lengths_are_no_answer(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_EMBEDDINGS, "", "x");
	caller.messages[1] = caller.messages[0];
	caller.args.nmessages = 2;
	go(t);
	answer(t, 200, "{\"embeddings\":[[1,2],[3]]}");
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
	finish(t);
}

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"get_current_weather\",\"parameters\":{\"type\":\"object\"}}}]"

static void tools_go_through_as_they_came(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "weather?");

	(void)state;
	say_openai(k, "{\"tools\":" TOOLS ",\"tool_choice\":\"auto\"}", TOOLS, NULL);
	go(t);
	assert_non_null(strstr(net.body, "\"tools\":" TOOLS ","));
	finish(t);
}

static void tool_choice_none_leaves_the_tools_out(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "weather?");

	(void)state;
	say_openai(k, "{\"tools\":" TOOLS ",\"tool_choice\":\"none\"}", TOOLS, NULL);
	go(t);
	assert_null(strstr(net.body, "tools"));
	finish(t);
}

static void what_ollama_has_no_word_for_is_refused(void **state)
{
	static const char *const bodies[] = {
		"{\"tools\":" TOOLS ",\"tool_choice\":\"required\"}",
		"{\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"x\"}},\"tools\":" TOOLS "}",
		"{\"tools\":" TOOLS ",\"functions\":[]}",
		"{\"tools\":" TOOLS ",\"function_call\":\"auto\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "user", "weather?");

		say_openai(k, bodies[i], TOOLS, NULL);
		go(t);
		assert_int_equal(k->rc, CH_OK);
		assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
		assert_non_null(strstr(k->detail, "Ollama"));
		assert_int_equal(net.calls, 0);
		finish(t);
	}
}

static void needs_that_it_cannot_meet_are_refused(void **state)
{
	static const unsigned needs[] = { CH_I_LOGPROBS, CH_I_MANY, CH_I_OTHER };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "user", "hi");

		k->args.needs = needs[i];
		go(t);
		assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
		assert_int_equal(net.calls, 0);
		finish(t);
	}
}

static void calls_of_tools_and_their_results_are_told_in_ollamas_form(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "weather?");

	(void)state;
	say_openai(k, "{\"tools\":" TOOLS "}", TOOLS, NULL);
	k->messages[1] = (struct ch_message){ .role = CH_STR("assistant"),
		.json = CH_STR("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
			       "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"get_current_weather\",\"arguments\":\"{"
			       "\\\"city\\\":\\\"Par\\u00eds\\\"}\"}},"
			       "{\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"now\",\"arguments\":\"\"}}]}") };
	k->messages[2] = (struct ch_message){ .role = CH_STR("tool"), .content = CH_STR("11 degrees"),
		.json = CH_STR("{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"11 degrees\"}") };
	k->args.nmessages = 3;
	go(t);
	assert_non_null(strstr(net.body, "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":["
		"{\"id\":\"call_1\",\"function\":{\"name\":\"get_current_weather\",\"arguments\":{\"city\":\"Par\xc3\xads\"}}},"
		"{\"id\":\"call_2\",\"function\":{\"name\":\"now\",\"arguments\":{}}}]},"
		"{\"role\":\"tool\",\"content\":\"11 degrees\",\"tool_call_id\":\"call_1\",\"tool_name\":\"get_current_weather\"}]"));
	finish(t);
}

static void the_older_form_of_a_call_is_refused(void **state)
{
	static const struct ch_message old[] = {
		{ .role = CH_STR("assistant"), .json = CH_STR("{\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}}") },
		{ .role = CH_STR("function"), .json = CH_STR("{\"role\":\"function\",\"name\":\"f\",\"content\":\"1\"}") },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "user", "hi");

		k->messages[0] = old[i];
		k->args.needs = CH_I_TOOLS;
		go(t);
		assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
		assert_non_null(strstr(k->detail, "messages[0]"));
		finish(t);
	}
}

static void arguments_that_are_no_object_are_refused(void **state)
{
	static const char *const bad[] = { "\"[1]\"", "\"{\"", "\"{} {}\"", "{}", "7" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "assistant", "");
		char json[256];

		snprintf(json, sizeof(json), "{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":%s}}]}", bad[i]);
		k->messages[0].json = str(json);
		say_openai(k, "{\"tools\":" TOOLS "}", TOOLS, NULL);
		go(t);
		assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
		assert_non_null(strstr(k->detail, "messages[0].tool_calls"));
		finish(t);
	}
}

static void images_in_the_request_go_along_without_their_data_url(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "what is this?");

	(void)state;
	k->args.needs = CH_I_IMAGES;
	k->messages[0].json = str("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what is this?\"},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgo=\",\"detail\":\"low\"}},"
		"{\"image_url\":{\"url\":\"data:image\\/jpeg;base64,\\/9j\\/\"},\"type\":\"image_url\"}]}");
	go(t);
	assert_non_null(strstr(net.body, "[{\"role\":\"user\",\"content\":\"what is this?\",\"images\":[\"iVBORw0KGgo=\",\"/9j/\"]}]"));
	finish(t);
}

static void an_image_that_is_elsewhere_is_never_fetched(void **state)
{
	static const char *const urls[] = { "http://169.254.169.254/latest", "https://example.org/a.png", "data:image/png,abc",
		"file:///etc/passwd", "", "data:" };

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "user", "");
		char json[256];

		snprintf(json, sizeof(json), "{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s\"}}]}", urls[i]);
		k->messages[0].json = str(json);
		k->args.needs = CH_I_IMAGES;
		go(t);
		assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
		assert_int_equal(net.calls, 0);
		finish(t);
	}
}

static void a_part_that_is_neither_text_nor_image_is_refused(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "");

	(void)state;
	k->args.needs = CH_I_IMAGES;
	k->messages[0].json = str("{\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"aaaa\",\"format\":\"wav\"}}]}");
	go(t);
	assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
	assert_non_null(strstr(k->detail, "messages[0].content"));
	finish(t);
}

static void response_format_becomes_format(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"type\":\"json_object\"}", "\"format\":\"json\"," },
		{ "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":{\"type\":\"object\",\"required\":[\"age\"]},"
		  "\"strict\":true}}",
			"\"format\":{\"type\":\"object\",\"required\":[\"age\"]}," },
		{ "{\"type\":\"text\"}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "user", "hi");
		char body[256];

		snprintf(body, sizeof(body), "{\"response_format\":%s}", cases[i][0]);
		say_openai(k, body, NULL, cases[i][0]);
		go(t);
		if (cases[i][1])
			assert_non_null(strstr(net.body, cases[i][1]));
		else
			assert_null(strstr(net.body, "format"));
		finish(t);
	}
}

static void a_format_that_ollama_does_not_know_is_refused(void **state)
{
	static const char *const bad[] = { "{\"type\":\"grammar\"}", "{\"type\":\"json_schema\"}", "{}" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ch_test *t = begin(NULL);
		struct caller *k = ask(t, CH_I_CHAT, "user", "hi");
		char body[128];

		snprintf(body, sizeof(body), "{\"response_format\":%s}", bad[i]);
		say_openai(k, body, NULL, bad[i]);
		go(t);
		assert_int_equal(k->out.code, CH_E_BAD_REQUEST);
		finish(t);
	}
}

static void a_model_that_is_not_listed_is_not_asked_for(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_CHAT, "user", "hi");

	(void)state;
	k->args.model = str("http://169.254.169.254/");
	go(t);
	assert_int_equal(k->out.code, CH_E_MODEL_NOT_FOUND);
	assert_int_equal(net.calls, 0);
	finish(t);
}

static void a_key_and_further_fields_are_sent_with_each_request(void **state)
{
	struct ch_test *t = begin("api_key = k-123456\nextra_headers = X-Team: blue\nbase_url = https://gpu.example.org:8443/ollama/\n");

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	assert_string_equal(net.url, "https://gpu.example.org:8443/ollama/api/chat");
	assert_non_null(strstr(net.fields, "Authorization: Bearer k-123456\n"));
	assert_non_null(strstr(net.fields, "X-Team: blue\n"));
	finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chat_is_posted_to_api_chat),
		cmocka_unit_test(canonical_fields_become_options),
		cmocka_unit_test(keep_alive_can_be_a_number_or_for_ever),
		cmocka_unit_test(a_completion_is_posted_to_api_generate),
		cmocka_unit_test(several_prompts_are_refused),
		cmocka_unit_test(embeddings_are_posted_to_api_embed_and_come_back_as_floats),
		cmocka_unit_test(a_list_of_vectors_that_does_not_fit_is_no_answer),
		cmocka_unit_test(an_error_in_place_of_vectors_is_told),
		cmocka_unit_test(vectors_of_different_lengths_are_no_answer),
		cmocka_unit_test(tools_go_through_as_they_came),
		cmocka_unit_test(tool_choice_none_leaves_the_tools_out),
		cmocka_unit_test(what_ollama_has_no_word_for_is_refused),
		cmocka_unit_test(needs_that_it_cannot_meet_are_refused),
		cmocka_unit_test(calls_of_tools_and_their_results_are_told_in_ollamas_form),
		cmocka_unit_test(the_older_form_of_a_call_is_refused),
		cmocka_unit_test(arguments_that_are_no_object_are_refused),
		cmocka_unit_test(images_in_the_request_go_along_without_their_data_url),
		cmocka_unit_test(an_image_that_is_elsewhere_is_never_fetched),
		cmocka_unit_test(a_part_that_is_neither_text_nor_image_is_refused),
		cmocka_unit_test(response_format_becomes_format),
		cmocka_unit_test(a_format_that_ollama_does_not_know_is_refused),
		cmocka_unit_test(a_model_that_is_not_listed_is_not_asked_for),
		cmocka_unit_test(a_key_and_further_fields_are_sent_with_each_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
