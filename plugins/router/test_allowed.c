/* SPDX-License-Identifier: Apache-2.0 */
/* only_models and only_backends: a router asks no other backend, for no other model, and names none that is not allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test_fakes.h"

/*
 * openai   what begins with gpt-, and gpt-4o                          default gpt-4o-mini
 * vllm     what begins with Qwen/                                     default Qwen/Qwen3-32B
 * azure    gpt-4o, gpt-4.1                                            no default
 */
static struct fake fakes[3];

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t;

	fake_is(&fakes[0], "openai", "gpt-*,gpt-4o", "gpt-4o-mini");
	fake_is(&fakes[1], "vllm", "Qwen/*", "Qwen/Qwen3-32B");
	fake_is(&fakes[2], "azure", "gpt-4o,gpt-4.1", "");
	t = fakes_start(fakes, 3, ini);
	assert_true(ch_test_start(t));
	return t;
}

static void end(struct ch_test *t)
{
	fakes_stop(t, fakes, 3);
}

struct asked {
	struct router *r;
	struct ch_inference_args args;
	struct ch_inference_result out;
	struct router_plan plan;
	char text[1024];
};

static void add(struct asked *a, const char *x, const char *y)
{
	size_t n = strlen(a->text);

	snprintf(a->text + n, sizeof(a->text) - n, "%s%s/%s", n ? " " : "", x, y);
}

/* "azure/gpt-4o openai/gpt-4o", the fallbacks last; or "403 sentence". Of CH_I_MODELS: "azure/gpt-4.1": who has what. */
static int resolve(struct ch_ctx *c, void *data)
{
	struct asked *a = data;

	if (a->args.op == CH_I_MODELS) {
		assert_int_equal(router_models(a->r, c, &a->args, &a->out, 0), CH_OK);
		for (size_t i = 0; i < a->out.nmodels; i++)
			add(a, a->out.models[i].owned_by.p, a->out.models[i].id.p);
		return CH_DONE;
	}
	if (!router_resolve(a->r, c, &a->args, &a->plan, &a->out)) {
		snprintf(a->text, sizeof(a->text), "%d %s", ch_code_info((enum ch_code)a->out.code)->status, a->out.detail);
		return CH_DONE;
	}
	for (size_t i = 0; i < a->plan.nequals; i++)
		add(a, a->plan.equals[i].backend->id, a->plan.equals[i].model);
	for (size_t i = 0; i < a->plan.nfallbacks; i++)
		add(a, a->plan.fallbacks[i].backend->id, a->plan.fallbacks[i].model);
	return CH_DONE;
}

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, s ? strlen(s) : 0 };
}

static struct asked last;

static const char *ask(struct ch_test *t, int op, const char *model, const char *backend, const char *models, const char *backends)
{
	last = (struct asked){ .r = ch_test_self(t, "router")->state, .args = { .size = sizeof(last.args), .op = op }, .out = { .size =
		sizeof(last.out) } };
	last.args.model = str(model);
	last.args.backend = str(backend);
	last.args.only_models = str(models);
	last.args.only_backends = str(backends);
	assert_true(ch_test_task(t, "router", 0, resolve, &last));
	return last.text;
}

static void of_the_equals_those_stay_that_are_allowed(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "", "", ""), "openai/gpt-4o azure/gpt-4o");
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "", "", "azure, vllm"), "azure/gpt-4o");
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "", "gpt-*", "a*"), "azure/gpt-4o");
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "", "", "vllm"),
		"403 This key may use none of the backends that serve the model \"gpt-4o\": name another model, or use another key.");
	end(t);
}

static void a_model_that_is_not_allowed_is_403_whether_it_is_there_or_not(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "", "Qwen/*", ""),
		"403 This key may not use the model \"gpt-4o\": GET /v1/models lists those that it may use.");
	assert_string_equal(ask(t, CH_I_CHAT, "nothing", "", "Qwen/*", ""),
		"403 This key may not use the model \"nothing\": GET /v1/models lists those that it may use.");
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4x", "azure", "gpt-4x", ""),
		"404 The backend \"azure\" serves no model \"gpt-4x\": leave \"backend\" out, or name one of its models.");
	end(t);
}

static void a_backend_that_is_not_allowed_is_403_whether_it_is_there_or_not(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "openai", "", "azure"),
		"403 This key may not use the backend that \"backend\" names: leave \"backend\" out.");
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "other", "", "azure"),
		"403 This key may not use the backend that \"backend\" names: leave \"backend\" out.");
	assert_string_equal(ask(t, CH_I_CHAT, "gpt-4o", "azure", "", "azure"), "azure/gpt-4o");
	end(t);
}

static void a_default_and_a_fallback_must_be_allowed_by_what_is_asked_there(void **state)
{
	struct ch_test *t = begin("[router]\ndefault = openai\nfallback = vllm, azure/gpt-4.1\n");

	(void)state;
	assert_string_equal(ask(t, CH_I_CHAT, "", "", "", ""), "openai/gpt-4o-mini vllm/Qwen/Qwen3-32B azure/gpt-4.1");
	assert_string_equal(ask(t, CH_I_CHAT, "", "", "gpt-*", ""), "openai/gpt-4o-mini azure/gpt-4.1");
	assert_string_equal(ask(t, CH_I_CHAT, "", "", "gpt-4o-mini", ""), "openai/gpt-4o-mini");
	assert_string_equal(ask(t, CH_I_CHAT, "", "", "", "openai, vllm"), "openai/gpt-4o-mini vllm/Qwen/Qwen3-32B");
	assert_memory_equal(ask(t, CH_I_CHAT, "", "", "Qwen/*", ""), "403 This key may not use the model that is asked where none", 58);
	end(t);
}

static void a_name_that_a_row_gives_is_allowed_as_that_name(void **state)
{
	struct ch_test *t = begin("[router]\n[router.fast]\nbackends = vllm/Qwen/Qwen3-8B, azure/gpt-4.1\n");

	(void)state;
	assert_string_equal(ask(t, CH_I_CHAT, "fast", "", "fast", ""), "vllm/Qwen/Qwen3-8B azure/gpt-4.1");
	assert_string_equal(ask(t, CH_I_CHAT, "fast", "", "fast", "azure"), "azure/gpt-4.1");
	end(t);
}

static void near_names_are_allowed_ones(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_non_null(strstr(ask(t, CH_I_CHAT, "zpt-4o", "", "", ""), "did you mean \"gpt-4o\""));
	assert_null(strstr(ask(t, CH_I_CHAT, "zpt-4o", "", "zpt-4o, gpt-4.1", ""), "\"gpt-4o\""));
	assert_null(strstr(ask(t, CH_I_CHAT, "zpt-4o", "", "", "vllm"), "gpt-4o"));
	end(t);
}

static void the_list_has_allowed_models_of_allowed_backends(void **state)
{
	struct ch_test *t = begin("[router]\nmodels_ttl = 1h\n[router.fast]\nbackends = vllm/Qwen/Qwen3-8B, azure/gpt-4.1\n");

	(void)state;
	fakes[0].reports[0] = (struct ch_model){ .id = CH_STR("gpt-5") };
	fakes[0].nreports = 1;
	assert_string_equal(ask(t, CH_I_MODELS, "", "", "", "azure"), "azure/fast azure/gpt-4.1 azure/gpt-4o");
	assert_int_equal(fakes[0].asked, 0); /* whom it may not use, it does not ask either */
	assert_string_equal(ask(t, CH_I_MODELS, "", "", "gpt-5, fast", ""), "vllm/fast openai/gpt-5");
	assert_int_equal(fakes[0].asked, 1);
	assert_string_equal(ask(t, CH_I_MODELS, "", "", "none-of-them", ""), "");
	end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_the_equals_those_stay_that_are_allowed),
		cmocka_unit_test(a_model_that_is_not_allowed_is_403_whether_it_is_there_or_not),
		cmocka_unit_test(a_backend_that_is_not_allowed_is_403_whether_it_is_there_or_not),
		cmocka_unit_test(a_default_and_a_fallback_must_be_allowed_by_what_is_asked_there),
		cmocka_unit_test(a_name_that_a_row_gives_is_allowed_as_that_name),
		cmocka_unit_test(near_names_are_allowed_ones),
		cmocka_unit_test(the_list_has_allowed_models_of_allowed_backends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
