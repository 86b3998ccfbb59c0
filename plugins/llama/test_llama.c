/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin around its two dialects: config, models, probes, faults on purpose, no memory. */
#include "test_world.h"

/* ---- config ---- */

static void a_config_that_cannot_work_is_refused_by_name(void **state)
{
	static const char *const cases[][2] = {
		{ "models =\n", "models" },
		{ "models = a\nbase_url = 127.0.0.1:11434\n", "base_url" },
		{ "models = a\nbase_url = http://\n", "base_url" },
		{ "models = a\nbase_url = http://127.0.0.1:11434/v1\n", "base_url" },
		{ "models = a\nbase_url = http://127.0.0.1:11434/api/\n", "base_url" },
		{ "models = a\nbase_url = http://me:pass@127.0.0.1\n", "base_url" },
		{ "models = a\nbase_url = http://127.0.0.1/?x\n", "base_url" },
		{ "models = a\nkeep_alive = soon\n", "keep_alive" },
		{ "models = a\nkeep_alive = 5x\n", "keep_alive" },
		{ "models = a\nkeep_alive = -1\n", "keep_alive" },
		{ "models = a\ndialect = openai\nnum_ctx = 4096\n", "num_ctx" },
		{ "models = a\ndialect = openai\nkeep_alive = 5m\n", "keep_alive" },
		{ "models = a\ndialect = grpc\n", "dialect" },
		{ "models = a\napi_key = a b\n", "api_key" },
		{ "models = a\napi_key = abc\nextra_headers = authorization: Basic x\n", "extra_headers" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ch_test *t = ch_test_new();
		char ini[256];

		snprintf(ini, sizeof(ini), "[llama]\n%s", cases[i][0]);
		ch_test_plugin(t, CH_TEST_ENTRY(llama));
		ch_test_service(t, "net", "http/1", &net_vt, NULL);
		ch_test_config(t, ini);
		assert_false(ch_test_start(t));
		if (!strstr(ch_test_errors(t), cases[i][1]))
			fail_msg("%s%s", cases[i][0], ch_test_errors(t));
		ch_test_free(t);
	}
}

static void what_it_can_do_depends_on_the_dialect(void **state)
{
	struct ch_test *t = begin(NULL);
	const struct ch_inference_about *about;

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	about = vt_of(&caller)->about(caller.svc);
	assert_string_equal(about->provider, "ollama");
	assert_int_equal(about->can, CH_I_TOOLS | CH_I_IMAGES | CH_I_FORMAT);
	assert_false(about->ops & 1u << CH_I_PASS);
	assert_false(about->made_up);
	assert_string_equal(about->conf->models.v[0].p, "llama3*");
	finish(t);
	t = begin("dialect = openai\n");
	ask(t, CH_I_CHAT, "user", "hi");
	about = vt_of(&caller)->about(caller.svc);
	assert_string_equal(about->provider, "openai");
	assert_true(about->can & CH_I_LOGPROBS && about->ops & 1u << CH_I_PASS);
	finish(t);
}

/* ---- models, probes ---- */

static void models_are_those_that_ollama_has_and_the_config_serves(void **state)
{
	struct ch_test *t = begin(NULL);
	struct caller *k = ask(t, CH_I_MODELS, "", "");

	(void)state;
	k->args.nmessages = 0;
	go(t);
	assert_string_equal(net.method, "GET");
	assert_string_equal(net.url, "http://127.0.0.1:11434/api/tags");
	answer(t, 200,
		"{\"models\":[{\"name\":\"codellama:13b\",\"modified_at\":\"2023-11-04T14:56:49.277302595-07:00\",\"size\":7365960935,"
		"\"details\":{\"families\":null}},{\"name\":\"llama3:latest\",\"modified_at\":\"2023-12-07T09:32:18.757212583-08:00\"},"
		"{\"name\":\"all-minilm:latest\"}]}");
	assert_int_equal(k->out.code, 0);
	assert_int_equal(k->out.nmodels, 2);
	assert_string_equal(k->ids[0], "llama3:latest");
	assert_int_equal(k->models[0].created, 1701970338); /* date -u -d 2023-12-07T17:32:18Z +%s */
	assert_string_equal(k->ids[1], "all-minilm"); /* the name that the config knows */
	assert_int_equal(k->models[1].created, 0);
	finish(t);
}

static void an_ollama_without_models_has_an_empty_list(void **state)
{
	static const char *const empty[] = { "{\"models\":[]}", "{\"models\":null}" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ch_test *t = begin(NULL);

		ask(t, CH_I_MODELS, "", "");
		go(t);
		answer(t, 200, empty[i]);
		assert_int_equal(caller.out.code, 0);
		assert_int_equal(caller.out.nmodels, 0);
		finish(t);
	}
}

static void a_list_of_models_that_is_none_is_no_answer(void **state)
{
	static const char *const bad[] = { "{}", "[]", "{\"models\":{}}", "{\"models\":[1]}", "{\"models\":[{}]}",
		"{\"models\":[{\"name\":\"a\"}]", "{\"models\":[{\"name\":\"\"}]}" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ch_test *t = begin(NULL);

		ask(t, CH_I_MODELS, "", "");
		go(t);
		answer(t, 200, bad[i]);
		assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
		finish(t);
	}
}

static void a_probe_asks_for_the_version(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	ask(t, CH_I_PROBE, "", "");
	go(t);
	assert_string_equal(net.method, "GET");
	assert_string_equal(net.url, "http://127.0.0.1:11434/api/version");
	answer(t, 200, "{\"version\":\"0.5.1\"}");
	assert_int_equal(caller.out.code, 0);
	ask(t, CH_I_PROBE, "", "");
	go(t);
	answer(t, 200, "<html>It works!</html>");
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_INVALID);
	finish(t);
}

/* ---- llama.cpp ---- */

static void llama_cpp_is_asked_in_openais_dialect_below_v1(void **state)
{
	static const char *const urls[][2] = { { "", "http://127.0.0.1:8080/v1" }, { "base_url = http://gpu:1/\n", "http://gpu:1/v1" },
		{ "base_url = http://gpu:1/v1/\n", "http://gpu:1/v1" } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char ini[128], url[128];
		struct ch_test *t;

		snprintf(ini, sizeof(ini), "dialect = openai\napi_key = k-123456\n%s", urls[i][0]);
		t = begin(ini);
		ask(t, CH_I_CHAT, "user", "hi");
		go(t);
		snprintf(url, sizeof(url), "%s/chat/completions", urls[i][1]);
		assert_string_equal(net.url, url);
		assert_non_null(strstr(net.body, "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"));
		assert_non_null(strstr(net.fields, "Authorization: Bearer k-123456\n"));
		answer(t, 200, "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],"
			"\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}");
		assert_int_equal(caller.out.code, 0);
		assert_string_equal(caller.text, "Hello");
		finish(t);
	}
}

static void llama_cpp_is_probed_by_its_health(void **state)
{
	struct ch_test *t = begin("dialect = openai\n");

	(void)state;
	ask(t, CH_I_PROBE, "", "");
	go(t);
	assert_string_equal(net.url, "http://127.0.0.1:8080/v1/health");
	answer(t, 503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}");
	assert_int_not_equal(caller.out.code, 0);
	finish(t);
}

static void a_call_of_llama_cpp_can_be_given_up(void **state)
{
	struct ch_test *t = begin("dialect = openai\n");

	(void)state;
	ask(t, CH_I_CHAT, "user", "hi");
	caller.deadline = 1000;
	go(t);
	ch_test_advance(t, 1001);
	assert_int_equal(caller.resumed, 1);
	assert_int_equal(net.cancels, 1);
	finish(t);
}

/* ---- faults on purpose ---- */

static struct ch_fault fault;

static bool strike(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self, (void)c;
	*out = fault;
	return fault.size;
}

static const struct ch_seam seams[] = { { .seam = CH_S_VENDOR, .fn = strike } };
static const struct ch_plugin chaos = { .size = sizeof(chaos), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "tester",
	.version = "0", .summary = "Faults", .seams = CH_TABLE(seams) };

static const struct ch_plugin *chaos_entry(const struct ch_host *host)
{
	(void)host;
	return &chaos;
}

static struct ch_test *begin_faulty(int64_t delay, bool fails)
{
	struct ch_test *t = ch_test_new();

	fault = (struct ch_fault){ .size = sizeof(fault), .delay_ms = delay, .fail = fails };
	ch_test_plugin(t, CH_TEST_ENTRY(llama));
	ch_test_plugin(t, chaos_entry);
	ch_test_service(t, "net", "http/1", &net_vt, NULL);
	ch_test_config(t, "[llama]\nmodels = llama3*\n[tester]\n");
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	ask(t, CH_I_CHAT, "user", "hi");
	go(t);
	return t;
}

static void a_fault_fails_at_once_or_after_its_delay(void **state)
{
	struct ch_test *t = begin_faulty(0, true);

	(void)state;
	assert_int_equal(caller.rc, CH_OK);
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(net.calls, 0);
	finish(t);
	t = begin_faulty(500, true);
	assert_int_equal(caller.rc, CH_AGAIN);
	ch_test_advance(t, 400);
	assert_int_equal(caller.resumed, 0);
	ch_test_advance(t, 200);
	assert_int_equal(caller.out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(net.calls, 0);
	finish(t);
}

static void a_fault_can_be_a_delay_alone(void **state)
{
	struct ch_test *t = begin_faulty(500, false);

	(void)state;
	ch_test_sweep_off(t); /* the network of this test answers only when it is told to */
	assert_int_equal(net.calls, 0);
	ch_test_advance(t, 600);
	assert_int_equal(net.calls, 1);
	answer(t, 200, "{\"message\":{\"content\":\"x\"},\"done\":true}");
	assert_string_equal(caller.text, "x");
	finish(t);
}

static void give_up(void *data)
{
	struct caller *k = data;

	vt_of(k)->cancel(k->svc, k->c, k->live);
}

static void a_call_can_be_given_up_during_the_delay(void **state)
{
	struct ch_test *t = begin_faulty(500, false);

	(void)state;
	ch_test_on_loop(t, give_up, &caller);
	assert_int_equal(caller.resumed, 1);
	ch_test_advance(t, 1000);
	assert_int_equal(net.calls, 0);
	finish(t);
}

/* ---- no memory ---- */

static void without_memory_a_call_ends_with_a_code(void **state)
{
	static const char line[] = "{\"message\":{\"content\":\"a\\u0062\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}"
				   "]},\"done\":false}\n";
	bool struck = true;
	unsigned n = 0;

	(void)state;
	for (; struck; n++) {
		struct ch_test *t = begin(NULL);

		ask(t, CH_I_CHAT, "user", "hi");
		caller.stream = true;
		ch_test_fail_alloc(t, n + 1);
		go(t);
		if (net.running) {
			head(t, 200);
			push(t, 0, line, 20, false, 0);
			push(t, 0, line + 20, strlen(line) - 20, false, 0);
			if (net.running)
				push(t, 0, "{\"done\":true}\n", 14, true, 0);
		}
		struck = ch_test_fail_alloc(t, 0);
		assert_true(caller.resumed <= 1);
		if (!struck)
			assert_string_equal(caller.text, "ab");
		else if (caller.resumed || caller.rc == CH_OK)
			assert_true(caller.out.code == CH_E_OVERLOADED || !strcmp(caller.text, "ab"));
		finish(t);
	}
	assert_true(n > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_config_that_cannot_work_is_refused_by_name),
		cmocka_unit_test(what_it_can_do_depends_on_the_dialect),
		cmocka_unit_test(models_are_those_that_ollama_has_and_the_config_serves),
		cmocka_unit_test(an_ollama_without_models_has_an_empty_list),
		cmocka_unit_test(a_list_of_models_that_is_none_is_no_answer),
		cmocka_unit_test(a_probe_asks_for_the_version),
		cmocka_unit_test(llama_cpp_is_asked_in_openais_dialect_below_v1),
		cmocka_unit_test(llama_cpp_is_probed_by_its_health),
		cmocka_unit_test(a_call_of_llama_cpp_can_be_given_up),
		cmocka_unit_test(a_fault_fails_at_once_or_after_its_delay),
		cmocka_unit_test(a_fault_can_be_a_delay_alone),
		cmocka_unit_test(a_call_can_be_given_up_during_the_delay),
		cmocka_unit_test(without_memory_a_call_ends_with_a_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
