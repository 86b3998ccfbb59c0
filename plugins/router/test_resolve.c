/* SPDX-License-Identifier: Apache-2.0 */
/* Which backends a question may go to, and what a client reads when there is none: table.c and resolve.c, against docs/routing.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test_fakes.h"

/*
 * openai   what begins with gpt- or o3, and text-embedding-3-small   default gpt-4o-mini
 * vllm     what begins with Qwen/                                     default Qwen/Qwen3-32B
 * azure    gpt-4o, gpt-4.1                                            no default
 * llama    what begins with gemma3 or Qwen/                           default gemma3
 * plain    what begins with a-                                        no default, no tools, no embeddings
 */
static struct fake fakes[5];

static struct ch_test *begin(const char *ini)
{
	fake_is(&fakes[0], "openai", "gpt-*,o3*,text-embedding-3-small", "gpt-4o-mini");
	fake_is(&fakes[1], "vllm", "Qwen/*", "Qwen/Qwen3-32B");
	fake_is(&fakes[2], "azure", "gpt-4o,gpt-4.1", "");
	fake_is(&fakes[3], "llama", "gemma3*,Qwen/*", "gemma3");
	fake_is(&fakes[4], "plain", "a-*", "");
	fakes[4].about.can = 0;
	fakes[4].about.ops = 1u << CH_I_CHAT;
	return fakes_start(fakes, 5, ini);
}

static void end(struct ch_test *t)
{
	fakes_stop(t, fakes, 5);
}

static const char *ask_for(struct ch_test *t, int op, unsigned needs, const char *model, const char *backend);

static void what_is_no_operation_is_refused(void **state)
{
	static const int ops[] = { -2, 0, 32, 33, INT32_MIN, INT32_MAX };
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		assert_memory_equal(ask_for(t, ops[i], 0, "gpt-5", ""), "501 ", 4);
	end(t);
}

/* What came of a question: "azure/gpt-4o[gpt-4o] | openai/gpt-4o[gpt-*]", equals and fallbacks with their rules, or "404 sentence". */
struct asked {
	struct ch_inference_args args;
	struct router *r;
	struct router_plan plan;
	int code;
	char text[1024];
};

static void write_entries(char *out, size_t cap, const struct router_entry *e, size_t n)
{
	size_t at = strlen(out);

	for (size_t i = 0; i < n && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%s%s/%s[%s]", at && out[at - 1] != ' ' ? " " : "", e[i].backend->id, e[i].model,
			e[i].rule->name);
}

static int resolve(struct ch_ctx *c, void *data)
{
	struct asked *a = data;
	struct ch_inference_result out = { .size = sizeof(out) };

	*a->text = '\0';
	a->code = 0;
	if (!router_resolve(a->r, c, &a->args, &a->plan, &out)) {
		a->code = out.code;
		snprintf(a->text, sizeof(a->text), "%d %s", ch_code_info((enum ch_code)out.code)->status, out.detail);
		return CH_DONE;
	}
	write_entries(a->text, sizeof(a->text), a->plan.equals, a->plan.nequals);
	if (a->plan.nfallbacks)
		strcat(a->text, " | ");
	write_entries(a->text, sizeof(a->text), a->plan.fallbacks, a->plan.nfallbacks);
	return CH_DONE;
}

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, s ? strlen(s) : 0 };
}

static struct asked last;

static const char *ask_for(struct ch_test *t, int op, unsigned needs, const char *model, const char *backend)
{
	last = (struct asked){ .args = { .size = sizeof(last.args), .op = op, .needs = needs } };
	last.args.model = str(model);
	last.args.backend = str(backend);
	last.r = ch_test_self(t, "router")->state;
	assert_true(ch_test_task(t, "router", 0, resolve, &last));
	return last.text;
}

static const char *ask(struct ch_test *t, const char *model)
{
	return ask_for(t, CH_I_CHAT, 0, model, NULL);
}

/* ---- who lists the model ---- */

static void a_name_goes_to_whoever_lists_it(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "gpt-5"), "openai/gpt-5[gpt-*]");
	assert_string_equal(ask(t, "o3"), "openai/o3[o3*]"); /* the star stands for nothing, too */
	assert_string_equal(ask(t, "gemma3:latest"), "llama/gemma3:latest[gemma3*]");
	end(t);
}

static void a_very_name_is_stronger_than_a_pattern(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "gpt-4o"), "azure/gpt-4o[gpt-4o]");
	assert_string_equal(ask(t, "gpt-4o-mini"), "openai/gpt-4o-mini[gpt-4o-mini]"); /* a default_model is listed by its name */
	assert_string_equal(ask(t, "Qwen/Qwen3-32B"), "vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	end(t);
}

static void equal_patterns_share_and_a_longer_one_wins(void **state)
{
	struct ch_test *t;

	(void)state;
	t = begin("[router]\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "Qwen/x"), "vllm/Qwen/x[Qwen/*] llama/Qwen/x[Qwen/*]");
	end(t);
	t = begin("[router]\n");
	fake_forget(&fakes[4]);
	fake_is(&fakes[4], "plain", "*", "");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "Qwen/x"), "vllm/Qwen/x[Qwen/*] llama/Qwen/x[Qwen/*]");
	assert_string_equal(ask(t, "whatever"), "plain/whatever[*]");
	end(t);
}

static void letter_case_counts(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	ask(t, "qwen/x");
	assert_int_equal(last.code, CH_E_MODEL_NOT_FOUND);
	end(t);
}

static void a_model_that_nobody_lists_is_404_with_the_nearest_names(void **state)
{
	struct ch_test *t = begin("[router]\n[router.claude-4]\nbackends = vllm/Claude\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "gemna3"), "404 There is no model \"gemna3\" here; did you mean \"gemma3\"?");
	assert_string_equal(ask(t, "gpt4.1"), "404 There is no model \"gpt4.1\" here; did you mean \"gpt-4.1\" or \"gpt-4o\"?");
	assert_string_equal(ask(t, "claude"), "404 There is no model \"claude\" here; did you mean \"claude-4\"?");
	assert_string_equal(ask(t, "zzzzzzzzzzzz"),
		"404 There is no model \"zzzzzzzzzzzz\" here; GET /v1/models lists those that there are.");
	end(t);
}

static void what_is_no_model_name_is_400_and_not_repeated(void **state)
{
	static const char *const bad[] = { "gpt 4", "gpt-4\r\nHost: b", "\x01", "a\x80", "http://x?y", "gpt-*" };
	char name[130];
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask(t, bad[i]);
		assert_int_equal(last.code, CH_E_BAD_REQUEST);
		assert_null(strstr(last.text, bad[i]));
	}
	memset(name, 'a', sizeof(name));
	name[1] = '-';
	name[129] = '\0';
	ask(t, name);
	assert_int_equal(last.code, CH_E_BAD_REQUEST);
	name[128] = '\0'; /* the longest there is */
	ask(t, name);
	assert_int_equal(last.code, 0);
	end(t);
}

static void a_name_with_a_zero_in_it_is_400(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	last = (struct asked){ .args = { .size = sizeof(last.args), .op = CH_I_CHAT, .model = { "gpt-4o\0x", 8 } } };
	last.r = ch_test_self(t, "router")->state;
	assert_true(ch_test_task(t, "router", 0, resolve, &last));
	assert_int_equal(last.code, CH_E_BAD_REQUEST);
	end(t);
}

/* ---- a model's own row ---- */

static void a_row_says_who_serves_its_model(void **state)
{
	struct ch_test *t = begin("[router]\ntimeout = 10m\nbudget = 20m\n"
				  "[router.gpt-4.1]\nbackends = openai, vllm/Qwen/Qwen3-32B\ntimeout = 3m\n");

	(void)state;
	assert_true(ch_test_start(t));
	/* azure lists it, and is not asked */
	assert_string_equal(ask(t, "gpt-4.1"), "openai/gpt-4.1[gpt-4.1] vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	assert_int_equal(last.plan.timeout_ms, 180000);
	assert_int_equal(last.plan.budget_ms, 1200000);
	assert_int_equal(last.plan.balance, ROUTER_WEIGHTED);
	assert_non_null(last.plan.row);
	ask(t, "gpt-4o");
	assert_null(last.plan.row);
	assert_int_equal(last.plan.timeout_ms, 0);
	end(t);
}

static void the_very_name_of_a_row_goes_before_the_longest_pattern(void **state)
{
	struct ch_test *t = begin("[router]\n[router.gpt-*]\nbudget = 1m\n[router.gpt-4*]\nbudget = 2m\nbalance = in_order\n"
				  "[router.gpt-4o]\nbudget = 3m\n[router.*]\nbudget = 4m\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "gpt-4o"), "azure/gpt-4o[gpt-4o]");
	assert_int_equal(last.plan.budget_ms, 180000);
	assert_string_equal(ask(t, "gpt-4.5"), "openai/gpt-4.5[gpt-*]");
	assert_int_equal(last.plan.budget_ms, 120000);
	assert_int_equal(last.plan.balance, ROUTER_IN_ORDER);
	ask(t, "gpt-5");
	assert_int_equal(last.plan.budget_ms, 60000);
	ask(t, "gemma3");
	assert_int_equal(last.plan.budget_ms, 240000);
	end(t);
}

static void a_row_without_backends_is_served_by_who_lists_it(void **state)
{
	struct ch_test *t = begin("[router]\n[router.gpt-5]\nprice_in = 2\nprice_out = 8\n[router.Qwen/*]\nprice_in = 1\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "gpt-5"), "openai/gpt-5[gpt-5]");
	assert_true(last.plan.equals[0].rule->price_in == 2);
	assert_true(last.plan.equals[0].rule->price_out == 8);
	ask(t, "gpt-4");
	assert_true(last.plan.equals[0].rule->price_in == 0);
	ask(t, "Qwen/x");
	assert_true(last.plan.equals[0].rule->price_in == 1);
	end(t);
}

static void what_answers_is_what_costs(void **state)
{
	struct ch_test *t = begin("[router]\n[router.gpt-4.1]\nbackends = openai, vllm/Qwen/Qwen3-32B, llama/gemma3\nprice_in = 2\n"
				  "[router.Qwen/Qwen3-32B]\nprice_in = 0.5\n");

	(void)state;
	assert_true(ch_test_start(t));
	ask(t, "gpt-4.1");
	assert_int_equal(last.plan.nequals, 3);
	assert_true(last.plan.equals[0].rule->price_in == 2);
	assert_true(last.plan.equals[1].rule->price_in == 0.5);
	assert_true(last.plan.equals[2].rule->price_in == 2);
	end(t);
}

/* ---- no model ---- */

static void without_a_model_the_default_is_asked(void **state)
{
	struct ch_test *t;

	(void)state;
	t = begin("[router]\ndefault = openai\n[router.gpt-4o-mini]\ntimeout = 7s\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, ""), "openai/gpt-4o-mini[gpt-4o-mini]");
	assert_int_equal(last.plan.timeout_ms, 7000);
	end(t);
	t = begin("[router]\ndefault = vllm/Some/Model\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, ""), "vllm/Some/Model[Some/Model]");
	assert_string_equal(ask(t, "gpt-5"), "openai/gpt-5[gpt-*]"); /* and only then */
	ask(t, "nobody-has-this");
	assert_int_equal(last.code, CH_E_MODEL_NOT_FOUND);
	end(t);
}

static void prompt_backend_is_the_default(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	ch_test_env(t, "PROMPT_BACKEND=llama");
	ch_test_env(t, "LLM_TIMEOUT_MS=1500");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, ""), "llama/gemma3[gemma3]");
	assert_int_equal(last.r->conf->timeout, 1500);
	end(t);
}

static void without_a_default_only_the_only_backend_is_one(void **state)
{
	struct ch_test *t;

	(void)state;
	t = begin("[router]\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, ""),
		"400 The request names no model, and no default is set: name one in \"model\" (GET /v1/models lists them), "
		"or have `default` set in [router].");
	end(t);
	t = begin("[router]\nbackends = llama\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, ""), "llama/gemma3[gemma3]");
	end(t);
	t = begin("[router]\nbackends = azure\n"); /* it has no default_model */
	assert_true(ch_test_start(t));
	ask(t, "");
	assert_int_equal(last.code, CH_E_BAD_REQUEST);
	end(t);
}

/* ---- a backend that the request names ---- */

static void a_backend_that_is_named_is_asked_alone(void **state)
{
	struct ch_test *t = begin("[router]\nfallback = llama\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "Qwen/x", "vllm"), "vllm/Qwen/x[Qwen/*]");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-4o", "openai"), "openai/gpt-4o[gpt-*]"); /* azure lists the very name */
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, NULL, "openai"), "openai/gpt-4o-mini[gpt-4o-mini]");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, NULL, "azure"),
		"400 The backend \"azure\" has no default_model: name a model in \"model\".");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-5", "vllm"),
		"404 The backend \"vllm\" serves no model \"gpt-5\": leave \"backend\" out, or name one of its models.");
	end(t);
}

static void a_backend_that_there_is_not_is_400_with_those_that_there_are(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-5", "opnai"),
		"400 \"backend\" names \"opnai\", and there is no such backend; did you mean \"openai\"?");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-5", "169.254.169.254"),
		"400 \"backend\" names \"169.254.169.254\", and there is no such backend; there are: openai, vllm, azure, llama, plain.");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-5", "a\r\nb"),
		"400 \"backend\" holds no backend's name: it has letters, digits, _ and -.");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-5", "open"), /* no beginning is enough */
		"400 \"backend\" names \"open\", and there is no such backend; did you mean \"openai\"?");
	end(t);
}

static void a_row_with_backends_restricts_what_may_be_named(void **state)
{
	struct ch_test *t = begin("[router]\n[router.gpt-4.1]\nbackends = openai, vllm/Qwen/Qwen3-32B\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-4.1", "vllm"), "vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	assert_string_equal(ask_for(t, CH_I_CHAT, 0, "gpt-4.1", "azure"),
		"400 The model \"gpt-4.1\" is not served by the backend \"azure\": leave \"backend\" out, or name another one.");
	end(t);
}

static void naming_a_backend_can_be_forbidden(void **state)
{
	struct ch_test *t = begin("[router]\nallow_backend_member = no\n");

	(void)state;
	assert_true(ch_test_start(t));
	ask_for(t, CH_I_CHAT, 0, "gpt-5", "openai");
	assert_int_equal(last.code, CH_E_BAD_REQUEST);
	assert_non_null(strstr(last.text, "allow_backend_member"));
	assert_string_equal(ask(t, "gpt-5"), "openai/gpt-5[gpt-*]");
	end(t);
}

/* ---- fallbacks ---- */

static void a_fallback_serves_the_same_model_or_its_own(void **state)
{
	struct ch_test *t = begin("[router]\nfallback = llama, azure, openai, vllm/Qwen/Qwen3-32B, openai\n");

	(void)state;
	assert_true(ch_test_start(t));
	/* llama does not list it: its default; azure has none: skipped; openai lists it, and twice is once */
	assert_string_equal(ask(t, "gpt-4o"),
		"azure/gpt-4o[gpt-4o] | llama/gemma3[gemma3] openai/gpt-4o[gpt-*] vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	/* what is among the equals is no fallback */
	assert_string_equal(ask(t, "Qwen/x"),
		"vllm/Qwen/x[Qwen/*] llama/Qwen/x[Qwen/*] | openai/gpt-4o-mini[gpt-4o-mini] vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	end(t);
}

static void a_fallback_of_a_default_is_of_the_model_that_it_means(void **state)
{
	struct ch_test *t = begin("[router]\ndefault = vllm\nfallback = llama\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, NULL), "vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B] | llama/Qwen/Qwen3-32B[Qwen/*]");
	end(t);
}

static void a_rows_fallback_replaces_the_routers(void **state)
{
	struct ch_test *t = begin("[router]\nfallback = llama\n[router.gpt-5]\nfallback = vllm\n[router.o3]\nfallback = none\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "gpt-5"), "openai/gpt-5[gpt-5] | vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	assert_string_equal(ask(t, "o3"), "openai/o3[o3]");
	assert_string_equal(ask(t, "o3-mini"), "openai/o3-mini[o3*] | llama/gemma3[gemma3]");
	end(t);
}

static void embeddings_fall_back_to_another_model_only_by_their_own_row(void **state)
{
	struct ch_test *t;

	(void)state;
	t = begin("[router]\nfallback = vllm, openai\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask_for(t, CH_I_EMBEDDINGS, 0, "text-embedding-3-small", NULL),
		"openai/text-embedding-3-small[text-embedding-3-small]");
	assert_string_equal(ask_for(t, CH_I_EMBEDDINGS, 0, "gpt-4o", NULL), "azure/gpt-4o[gpt-4o] | openai/gpt-4o[gpt-*]");
	end(t);
	t = begin("[router]\n[router.text-embedding-3-small]\nfallback = vllm/copy-of-it\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ask_for(t, CH_I_EMBEDDINGS, 0, "text-embedding-3-small", NULL),
		"openai/text-embedding-3-small[text-embedding-3-small] | vllm/copy-of-it[copy-of-it]");
	end(t);
}

/* ---- what a backend can do ---- */

static void who_cannot_do_it_is_left_out_if_another_can(void **state)
{
	struct ch_test *t = begin("[router]\n[router.both]\nbackends = plain/a-b, openai/gpt-5\n"
				  "[router.gpt-5]\nfallback = plain/a-b, vllm\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, "both"), "plain/a-b[a-b] openai/gpt-5[gpt-5]");
	assert_string_equal(ask_for(t, CH_I_CHAT, CH_I_TOOLS, "both", NULL), "openai/gpt-5[gpt-5]");
	assert_string_equal(ask_for(t, CH_I_EMBEDDINGS, 0, "both", NULL), "openai/gpt-5[gpt-5]");
	assert_string_equal(ask_for(t, CH_I_CHAT, CH_I_TOOLS, "a-x", NULL), "plain/a-x[a-*]"); /* it says itself what it lacks */
	assert_string_equal(ask_for(t, CH_I_CHAT, CH_I_TOOLS, "gpt-5", NULL), "openai/gpt-5[gpt-5] | vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	end(t);
}

/* ---- mistakes in the config ---- */

static void refused(const char *ini, const char *what)
{
	struct ch_test *t = begin(ini);

	assert_false(ch_test_start(t));
	if (!strstr(ch_test_errors(t), what))
		fail_msg("\"%s\" is not in:\n%s", what, ch_test_errors(t));
	end(t);
}

static void names_of_the_config_are_checked(void **state)
{
	(void)state;
	refused("[router]\ndefault = opnai\n", "there is no backend \"opnai\"; did you mean \"openai\"?");
	refused("[router]\nfallback = vllm, nobody/x\n", "there is no backend \"nobody\"");
	refused("[router]\nfallback = vllm/\n", "behind the first slash stands no model's name");
	refused("[router]\ndefault = azure\n", "\"azure\" has no default_model: write azure/MODEL here");
	refused("[router]\n[router.gpt-4.1]\nbackends = openai, vlm/x\n", "did you mean \"vllm\"?");
	refused("[router]\n[router.gpt 4]\nbackends = openai\n", "is no model's name");
	refused("[router]\nbackends = openai\nfallback = vllm\n", "there is no backend \"vllm\"");
	refused("[router]\nretry_on = connect, timeout\n", "\"timeout\" is nothing to retry: connect, 429 and 5xx are");
	refused("[router]\nbreaker_error_rate = 120%\n", "breaker_error_rate");
}

static void all_mistakes_are_told_at_once(void **state)
{
	struct ch_test *t = begin("[router]\ndefault = nobody\nfallback = none1\nretry_on = 6xx\n[router.x]\nbackends = none2\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:2"));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:3"));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:4"));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:6"));
	end(t);
}

static void made_up_answers_stand_in_for_nobody_in_production(void **state)
{
	static const char *const bad[] = { "[router]\ndefault = llama\n", "[router]\nfallback = llama/x\n",
		"[router]\n[router.gpt-5]\nfallback = llama\n" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ch_test *t = begin(bad[i]);
		char dev[128];

		fakes[3].about.made_up = true;
		assert_false(ch_test_start(t));
		assert_non_null(strstr(ch_test_errors(t), "the answers of \"llama\" are made up"));
		end(t);
		snprintf(dev, sizeof(dev), "[server]\nprofile = dev\n%s", bad[i]);
		t = begin(dev);
		fakes[3].about.made_up = true;
		assert_true(ch_test_start(t));
		end(t);
	}
}

static void the_only_backend_is_no_default_if_its_answers_are_made_up(void **state)
{
	struct ch_test *t = begin("[router]\nbackends = llama, vllm\n");

	(void)state;
	ch_test_server(t)->profile = "prod";
	fakes[3].about.made_up = true;
	assert_true(ch_test_start(t));
	assert_string_equal(ask(t, NULL), "vllm/Qwen/Qwen3-32B[Qwen/Qwen3-32B]");
	assert_string_equal(ask(t, "gemma3"), "llama/gemma3[gemma3]"); /* who names it gets it */
	end(t);
	t = begin("[router]\nbackends = llama\n");
	ch_test_server(t)->profile = "prod";
	fakes[3].about.made_up = true;
	assert_true(ch_test_start(t));
	ask(t, NULL);
	assert_int_equal(last.code, CH_E_BAD_REQUEST);
	end(t);
}

/* A backend's plugin may read its config later than the router's check. */
static void what_a_backend_says_only_at_start_is_checked_then(void **state)
{
	struct ch_test *t = begin("[router]\ndefault = azure\n");

	(void)state;
	fakes[2].about.conf = NULL; /* for ever: then it lists nothing */
	assert_false(ch_test_start(t));
	assert_true(ch_test_logged(t, "\"azure\" has no default_model"));
	end(t);
}

/* ---- without memory ---- */

/* Whichever allocation fails, it is a 503 and nothing else; without a failing one it is what it always is. */
static void without_memory_it_is_refused(void **state)
{
	static const struct { const char *model; int code; } cases[] = {
		{ "gpt-5", 0 }, { "gemna3", CH_E_MODEL_NOT_FOUND }, { "", CH_E_BAD_REQUEST } };
	struct ch_test *t = begin("[router]\nfallback = llama\n");

	(void)state;
	assert_true(ch_test_start(t));
	for (size_t i = 0; i < 3; i++) {
		bool struck = true;

		for (unsigned long n = 1; struck; n++) {
			bool ran;

			assert_true(n < 20);
			last = (struct asked){ .args = { .size = sizeof(last.args), .op = CH_I_CHAT }, .code = -1 };
			last.args.model = str(cases[i].model);
			last.r = ch_test_self(t, "router")->state;
			ch_test_fail_alloc(t, n);
			ran = ch_test_task(t, "router", 0, resolve, &last);
			struck = ch_test_fail_alloc(t, 0);
			if (!struck)
				assert_int_equal(last.code, cases[i].code);
			else if (ran && last.code != -1)
				assert_int_equal(last.code, CH_E_OVERLOADED);
		}
	}
	end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_operation_is_refused),
		cmocka_unit_test(a_name_goes_to_whoever_lists_it),
		cmocka_unit_test(a_very_name_is_stronger_than_a_pattern),
		cmocka_unit_test(equal_patterns_share_and_a_longer_one_wins),
		cmocka_unit_test(letter_case_counts),
		cmocka_unit_test(a_model_that_nobody_lists_is_404_with_the_nearest_names),
		cmocka_unit_test(what_is_no_model_name_is_400_and_not_repeated),
		cmocka_unit_test(a_name_with_a_zero_in_it_is_400),
		cmocka_unit_test(a_row_says_who_serves_its_model),
		cmocka_unit_test(the_very_name_of_a_row_goes_before_the_longest_pattern),
		cmocka_unit_test(a_row_without_backends_is_served_by_who_lists_it),
		cmocka_unit_test(what_answers_is_what_costs),
		cmocka_unit_test(without_a_model_the_default_is_asked),
		cmocka_unit_test(prompt_backend_is_the_default),
		cmocka_unit_test(without_a_default_only_the_only_backend_is_one),
		cmocka_unit_test(a_backend_that_is_named_is_asked_alone),
		cmocka_unit_test(a_backend_that_there_is_not_is_400_with_those_that_there_are),
		cmocka_unit_test(a_row_with_backends_restricts_what_may_be_named),
		cmocka_unit_test(naming_a_backend_can_be_forbidden),
		cmocka_unit_test(a_fallback_serves_the_same_model_or_its_own),
		cmocka_unit_test(a_fallback_of_a_default_is_of_the_model_that_it_means),
		cmocka_unit_test(a_rows_fallback_replaces_the_routers),
		cmocka_unit_test(embeddings_fall_back_to_another_model_only_by_their_own_row),
		cmocka_unit_test(who_cannot_do_it_is_left_out_if_another_can),
		cmocka_unit_test(names_of_the_config_are_checked),
		cmocka_unit_test(all_mistakes_are_told_at_once),
		cmocka_unit_test(made_up_answers_stand_in_for_nobody_in_production),
		cmocka_unit_test(the_only_backend_is_no_default_if_its_answers_are_made_up),
		cmocka_unit_test(what_a_backend_says_only_at_start_is_checked_then),
		cmocka_unit_test(without_memory_it_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
