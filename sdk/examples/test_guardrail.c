/* SPDX-License-Identifier: MIT */
/*
 * test_guardrail.c - the plugin between a task that asks and a backend that the test plays: it tells what it was asked, and uses up as many
 * tokens as the test says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <chimera/inference.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(guardrail);

static char file[] = "/tmp/test_guardrail.XXXXXX";

/* ---- the backend ---- */

static struct {
	int asked;
	char heard[256]; /* "role: text; role: text; " */
	uint64_t tokens; /* that an answer costs */
} backend;

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
                  struct ch_inference_result *out, ch_ticket ticket)
{
	size_t n = 0;

	(void)svc, (void)c, (void)sink, (void)ticket;
	backend.asked++;
	for (size_t i = 0; i < args->nmessages; i++)
		n += (size_t)snprintf(backend.heard + n, sizeof(backend.heard) - n, "%.*s: %.*s; ", (int)args->messages[i].role.n,
			args->messages[i].role.p, (int)args->messages[i].content.n, args->messages[i].content.p);
	out->text = (struct ch_str)CH_STR("hi");
	out->tokens_in = 1;
	out->tokens_out = backend.tokens - 1;
	return CH_OK;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc, (void)c, (void)out;
}

static const struct ch_inference_v1 inference = { .size = sizeof(inference), .submit = submit, .cancel = cancel };

/* ---- who asks ---- */

static struct {
	const struct ch_svc *svc;
	const char *model, *text;
	/* what came of it: */
	bool over;
	int why, code;
	int64_t retry_after_ms;
	char detail[128];
} q;

static int note(struct ch_ctx *c, struct ch_inference_call *call, int why)
{
	q.over = true;
	q.why = why;
	q.code = call->out->code;
	q.retry_after_ms = call->out->retry_after_ms;
	snprintf(q.detail, sizeof(q.detail), "%s", call->out->detail ? call->out->detail : "");
	return ch_is_http(c) && why == CH_READY ? ch_respond(c, 200, NULL, NULL, 0) : CH_DONE;
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)result;
	return note(c, data, why);
}

static int question(struct ch_ctx *c, void *data)
{
	struct ch_inference_call *call = ch_alloc(c, sizeof(*call));
	struct ch_message *m = ch_alloc(c, sizeof(*m));
	int rc;

	(void)data;
	if (!call || !m || !(call->out = ch_alloc(c, sizeof(*call->out)))) {
		q.over = true;
		return ch_is_http(c) ? ch_refuse(c, CH_E_OVERLOADED, 0, "No memory.") : CH_DONE;
	}
	*m = (struct ch_message){ .role = CH_STR("user"), .content = { q.text, strlen(q.text) } };
	call->size = sizeof(*call);
	call->svc = q.svc;
	call->args = (struct ch_inference_args){
		.size = sizeof(call->args),
		.model = { q.model, strlen(q.model) },
		.messages = m,
		.nmessages = 1,
	};
	call->out->size = sizeof(*call->out);
	call->fn = on_answer;
	call->data = call;
	rc = ch_infer(c, call);
	return rc == CH_AGAIN ? CH_AGAIN : note(c, call, CH_READY);
}

/* The same for a client, who can leave. */
static int on_request(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return question(c, NULL);
}
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/ask", .fn = on_request, .summary = "Ask" } };
static const struct ch_plugin asker = {
	.size = sizeof(asker),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "asker",
	.version = "1",
	.summary = "Asks",
	.routes = CH_TABLE(routes),
};
static const struct ch_plugin *asker_entry(const struct ch_host *host)
{
	(void)host;
	return &asker;
}

/* The answer's code; -1: it waits. */
static int ask(struct ch_test *t, const char *model, const char *text)
{
	q.svc = ch_test_provided(t, "backend", "inference/1");
	q.model = model;
	q.text = text;
	q.over = false;
	q.code = 0;
	*backend.heard = 0;
	assert_true(ch_test_task(t, NULL, 0, question, NULL));
	return q.over ? q.code : -1;
}

static struct ch_test *begin(const char *section)
{
	struct ch_test *t = ch_test_new();

	memset(&backend, 0, sizeof(backend));
	backend.tokens = 10;
	ch_test_plugin(t, CH_TEST_ENTRY(guardrail));
	ch_test_plugin(t, asker_entry);
	ch_test_service(t, "backend", "inference/1", &inference, NULL);
	ch_test_config(t, section);
	assert_true(ch_test_start(t));
	return t;
}

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *with_file(const char *more)
{
	static char ini[256];

	snprintf(ini, sizeof(ini), "[guardrail]\ndeny_file = %s\n%s", file, more);
	return ini;
}

/* ---- the tests ---- */

static void a_word_is_refused_and_the_backend_is_not_asked(void **state)
{
	struct ch_test *t = begin("[guardrail]\nwords = launch code, \"p@ss\"\n");

	(void)state;
	assert_int_equal(ask(t, "m", "the launch code please"), CH_E_FORBIDDEN);
	assert_int_equal(ask(t, "m", "p@ss"), CH_E_FORBIDDEN);
	assert_int_equal(backend.asked, 0);
	assert_int_equal(ask(t, "m", "launch"), 0);
	assert_int_equal(backend.asked, 1);
	assert_true(ch_test_metric(t, "guardrail_refused_total", "words", NULL) == 2);
	ch_test_free(t);
}

static void the_policy_stands_before_the_question(void **state)
{
	struct ch_test *t = begin("[guardrail]\npolicy = Be brief.\n");

	(void)state;
	assert_int_equal(ask(t, "m", "hello"), 0);
	assert_string_equal(backend.heard, "system: Be brief.; user: hello; ");
	ch_test_free(t);
}

static void without_a_section_of_its_own_a_model_has_no_budget(void **state)
{
	struct ch_test *t = begin("[guardrail]\n[guardrail.small]\ntokens = 1/h\nburst = 1\n");

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask(t, "large", "hello"), 0);
	assert_int_equal(ask(t, "", "hello"), 0);
	ch_test_free(t);
}

/* 60 a minute is one a second; a bucket of 15 that was charged 10 twice lacks 5 to be empty: in 6 s it holds one. */
static void a_budget_is_charged_with_what_was_used(void **state)
{
	struct ch_test *t = begin("[guardrail.m]\ntokens = 60/min\nburst = 15\n");

	(void)state;
	assert_int_equal(ask(t, "m", "a"), 0);
	assert_int_equal(ask(t, "m", "b"), 0);
	assert_int_equal(ask(t, "m", "c"), CH_E_RATE_LIMITED);
	assert_int_equal(q.retry_after_ms, 6001);
	ch_test_advance(t, 5999);
	assert_int_equal(ask(t, "m", "d"), CH_E_RATE_LIMITED);
	ch_test_advance(t, 1);
	assert_int_equal(ask(t, "m", "e"), 0);
	assert_int_equal(backend.asked, 3);
	assert_true(ch_test_metric(t, "guardrail_refused_total", "budget", NULL) == 2);
	ch_test_free(t);
}

static void a_budget_of_nothing_is_never_passed(void **state)
{
	struct ch_test *t = begin("[guardrail.m]\ntokens = 0/s\n");

	(void)state;
	assert_int_equal(ask(t, "m", "a"), CH_E_RATE_LIMITED);
	assert_int_equal(q.retry_after_ms, 0);
	ch_test_free(t);
}

static void a_reload_does_not_fill_a_budget(void **state)
{
	struct ch_test *t = begin("[guardrail.m]\ntokens = 1/h\nburst = 10\n");

	(void)state;
	assert_int_equal(ask(t, "m", "a"), 0);
	ch_test_config(t, "[guardrail]\nwords = x\n[guardrail.m]\ntokens = 1/h\nburst = 10\n");
	assert_true(ch_test_start(t));
	assert_int_equal(ask(t, "m", "b"), CH_E_RATE_LIMITED);
	ch_test_config(t, "[guardrail.m]\ntokens = 1/h\nburst = 11\n");
	assert_true(ch_test_start(t));
	assert_int_equal(ask(t, "m", "c"), 0); /* it lacks 10 of 11 */
	ch_test_free(t);
}

static void the_file_is_looked_through_while_the_question_waits(void **state)
{
	struct ch_test *t = begin(with_file(""));

	(void)state;
	write_file("secret sauce\n\nrecipe");
	ch_test_offload(t, CH_TEST_MANUAL);
	assert_int_equal(ask(t, "m", "the secret sauce"), -1);
	assert_int_equal(backend.asked, 0);
	ch_test_offload_run(t);
	assert_int_equal(q.code, CH_E_FORBIDDEN);
	assert_int_equal(ask(t, "m", "the sauce"), -1);
	ch_test_offload_run(t);
	assert_int_equal(q.code, 0);
	assert_int_equal(backend.asked, 1);
	ch_test_offload(t, CH_TEST_AUTO);
	assert_int_equal(ask(t, "m", "a recipe"), CH_E_FORBIDDEN);
	ch_test_free(t);
}

static void a_file_that_cannot_be_read_lets_nothing_through(void **state)
{
	struct ch_test *t = begin("[guardrail]\ndeny_file = /nowhere/denied\n");

	(void)state;
	assert_int_equal(ask(t, "m", "hello"), CH_E_UNAVAILABLE);
	assert_int_equal(q.retry_after_ms, 1000);
	assert_int_equal(backend.asked, 0);
	assert_true(ch_test_metric(t, "chimera_degraded", "guardrail", NULL) == 1);
	ch_test_free(t);
}

static void a_file_that_takes_too_long_lets_nothing_through(void **state)
{
	struct ch_test *t = begin(with_file("deny_timeout = 500ms\n"));

	(void)state;
	write_file("x\n");
	ch_test_offload(t, CH_TEST_MANUAL);
	assert_int_equal(ask(t, "m", "hello"), -1);
	ch_test_advance(t, 499);
	assert_false(q.over);
	ch_test_advance(t, 1);
	assert_int_equal(q.code, CH_E_UNAVAILABLE);
	assert_int_equal(backend.asked, 0);
	assert_int_equal(ch_test_offload_run(t), 1);
	ch_test_free(t);
}

static void a_full_pool_lets_nothing_through(void **state)
{
	struct ch_test *t = begin(with_file(""));

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	assert_int_equal(ask(t, "m", "hello"), CH_E_OVERLOADED);
	assert_int_equal(backend.asked, 0);
	ch_test_free(t);
}

static void who_leaves_while_it_waits_asks_nobody(void **state)
{
	struct ch_test *t = begin(with_file("[asker]\n"));
	struct ch_test_answer *a;

	(void)state;
	write_file("x\n");
	ch_test_offload(t, CH_TEST_MANUAL);
	q.svc = ch_test_provided(t, "backend", "inference/1");
	q.over = false;
	a = ch_test_request(t, "GET", "/ask", NULL, NULL, 0);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_true(q.over);
	assert_int_equal(q.why, CH_GONE);
	assert_int_equal(ch_test_offload_run(t), 1);
	assert_int_equal(backend.asked, 0);
	assert_true(ch_test_metric(t, "guardrail_refused_total", NULL) == 0);
	ch_test_free(t);
}

static void a_budget_that_no_bucket_can_keep_is_a_config_error(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(guardrail));
	ch_test_config(t, "[guardrail.m]\ntokens = 1/h\nburst = 1000000000000\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "is no rate that can be kept with this burst"));
	ch_test_free(t);
}

static void without_memory_nothing_breaks(void **state)
{
	struct ch_test *t = begin(with_file("policy = Be brief.\n"));
	bool struck = true;

	(void)state;
	write_file("x\n");
	for (unsigned long n = 1; struck; n++) {
		int code;

		ch_test_fail_alloc(t, n);
		code = ask(t, "m", "hello");
		struck = ch_test_fail_alloc(t, 0);
		assert_true(!q.over || !code || code == CH_E_OVERLOADED || code == CH_E_INTERNAL);
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_word_is_refused_and_the_backend_is_not_asked),
		cmocka_unit_test(the_policy_stands_before_the_question),
		cmocka_unit_test(without_a_section_of_its_own_a_model_has_no_budget),
		cmocka_unit_test(a_budget_is_charged_with_what_was_used),
		cmocka_unit_test(a_budget_of_nothing_is_never_passed),
		cmocka_unit_test(a_reload_does_not_fill_a_budget),
		cmocka_unit_test(the_file_is_looked_through_while_the_question_waits),
		cmocka_unit_test(a_file_that_cannot_be_read_lets_nothing_through),
		cmocka_unit_test(a_file_that_takes_too_long_lets_nothing_through),
		cmocka_unit_test(a_full_pool_lets_nothing_through),
		cmocka_unit_test(who_leaves_while_it_waits_asks_nobody),
		cmocka_unit_test(a_budget_that_no_bucket_can_keep_is_a_config_error),
		cmocka_unit_test(without_memory_nothing_breaks),
	};
	int failed, fd = mkstemp(file);

	if (fd < 0)
		return 99;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(file);
	return failed;
}
