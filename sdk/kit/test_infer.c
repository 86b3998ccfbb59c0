/* SPDX-License-Identifier: MIT */
/* ch_infer: CALL hooks, the service, CALL_END hooks; whole and streamed, at once and later, and whatever may come between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inference.h>
#include <chimera/test.h>

static char said[512];

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
	strncat(said, " ", sizeof(said) - strlen(said) - 1);
}

/* ---- the provider ---- */

static enum { AT_ONCE, LATER, REFUSES, BROKEN } provider;

static struct question { /* the newest that waits */
	struct ch_ctx *c;
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	ch_ticket ticket;
	int64_t max_tokens;
} asked;

static int answer(struct ch_inference_result *out)
{
	out->backend = "inf";
	out->model = "m";
	out->text = CH_STR("from the service");
	return CH_OK;
}

static int take(struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket t)
{
	say(sink ? "stream" : "whole");
	asked = (struct question){ .c = c, .out = out, .ticket = t, .max_tokens = args->max_tokens };
	if (sink)
		asked.sink = *sink;
	if (provider == BROKEN)
		return CH_ERROR;
	if (provider == REFUSES) {
		out->code = CH_E_UPSTREAM_BUSY;
		out->detail = "busy";
		return CH_OK;
	}
	out->call = &asked;
	return provider == AT_ONCE ? answer(out) : CH_AGAIN;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket t)
{
	(void)svc;
	return take(c, args, sink, out, t);
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc;
	assert_ptr_equal(c, asked.c);
	assert_ptr_equal(out, asked.out);
	say("go_on");
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc;
	(void)c;
	assert_ptr_equal(out, asked.out);
	say("cancel");
	assert_false(ch_resume(asked.ticket, NULL, NULL)); /* it was told TIMEOUT or GONE: this is the confirmation */
}

static const struct ch_inference_v1 vt = { .size = sizeof(vt), .submit = submit, .go_on = go_on, .cancel = cancel };

/* ---- a hook that looks ---- */

static enum { PASS, FILL, FAIL, WAIT, BOUND } hook;
static ch_ticket hook_ticket;

static int hook_told(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	say("hook.%d", why);
	return CH_OK;
}

static int on_call(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_inference_call *call = ch_inference_call(c);

	(void)self;
	assert_int_equal(call->size, sizeof(*call));
	assert_string_equal(call->svc->id, "inf");
	say("call");
	if (hook == FILL) {
		call->out->text = CH_STR("from the hook");
		return CH_DONE;
	}
	if (hook == FAIL)
		return CH_ERROR;
	if (hook == BOUND)
		call->args.max_tokens = 7;
	if (hook != WAIT)
		return CH_OK;
	hook_ticket = ch_suspend(c, 0, hook_told, NULL);
	return CH_AGAIN;
}

static int on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_inference_call *call = ch_inference_call(c);

	(void)self;
	say("end(%.*s%d)", (int)call->out->text.n, call->out->text.p ? call->out->text.p : "", call->out->code);
	return CH_OK;
}

/* ---- who asks ---- */

static struct { struct ch_inference_call call; struct ch_inference_result out; } ours; /* one request at a time here */
static bool streams, full, with_ticket;
static const struct ch_message message = { .role = CH_STR("user"), .content = CH_STR("hello") };

struct asks_conf { const struct ch_svc *backend; };

static int finish(struct ch_ctx *c)
{
	say("code=%d answered=%d", ours.out.code, ours.call.answered);
	assert_null(ch_call(c));
	ch_infer_go_on(c, &ours.call); /* nothing to go on with */
	return ours.out.code ? ch_refuse(c, ours.out.code, 0, "%s", ours.out.detail)
	                     : ch_respond(c, 200, "text/plain", ours.out.text.p, ours.out.text.n);
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	assert_ptr_equal(data, &ours);
	assert_null(result);
	say("fn.%d", why);
	return why == CH_GONE ? CH_DONE : finish(c);
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	(void)c;
	assert_ptr_equal(arg, &ours);
	say("'%.*s'", (int)d->text.n, d->text.p);
	return full ? CH_AGAIN : CH_OK;
}

static int on_get(struct ch_self *self, struct ch_ctx *c)
{
	const struct asks_conf *conf = self->conf;
	ch_ticket other = with_ticket ? ch_suspend(c, 0, on_answer, &ours) : 0;
	int rc;

	memset(&ours, 0, sizeof(ours));
	ours.out.size = sizeof(ours.out);
	ours.call = (struct ch_inference_call){ .size = sizeof(ours.call), .svc = conf->backend,
		.args = { .size = sizeof(ours.call.args), .messages = &message, .nmessages = 1, .max_tokens = 100, .temperature = -1 },
		.out = &ours.out, .timeout_ms = 500, .fn = on_answer, .data = &ours };
	if (streams)
		ours.call.sink = (struct ch_inference_sink){ sizeof(ours.call.sink), on_delta, &ours };
	rc = ch_infer(c, &ours.call);
	say("rc=%d", rc);
	ch_unsuspend(other);
	if (rc == CH_ERROR)
		return ch_refuse(c, CH_E_INTERNAL, 0, "broken");
	return rc == CH_OK ? finish(c) : rc;
}

static const struct ch_hook hooks[] = { { .phase = CH_P_CALL, .fn = on_call }, { .phase = CH_P_CALL_END, .fn = on_call_end } };
static const struct ch_plugin look = { .size = sizeof(look), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "look",
	.version = "0",
	.summary = "Looks", .hooks = CH_TABLE(hooks) };
static const struct ch_option options[] = { CH_OPT(struct asks_conf, backend, SERVICE, .def = "auto", .iface = "inference/1",
	.help = "Whom") };
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_get } };
static const struct ch_plugin asks = { .size = sizeof(asks), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "asks",
	.version = "0",
	.summary = "Asks", .conf_size = sizeof(struct asks_conf), .options = CH_TABLE(options), .routes = CH_TABLE(routes) };

static const struct ch_plugin *look_entry(const struct ch_host *host)
{
	(void)host;
	return &look;
}

static const struct ch_plugin *asks_entry(const struct ch_host *host)
{
	(void)host;
	return &asks;
}

static struct ch_test *begin(int how, int looks)
{
	struct ch_test *t = ch_test_new();

	provider = how;
	hook = looks;
	streams = full = with_ticket = false;
	said[0] = 0;
	ch_test_plugin(t, look_entry);
	ch_test_plugin(t, asks_entry);
	ch_test_service(t, "inf", "inference/1", &vt, NULL);
	ch_test_config(t, "[look]\n[asks]\n");
	assert_true(ch_test_start(t));
	return t;
}

static struct ch_test_answer *get(struct ch_test *t)
{
	return ch_test_request(t, "GET", "/x", NULL, NULL, 0);
}

static void service_answers(void *data)
{
	(void)data;
	if (!asked.sink.delta)
		answer(asked.out);
	asked.out->call = NULL;
	ch_resume(asked.ticket, NULL, NULL);
}

static void hook_goes_on(void *data)
{
	(void)data;
	ch_resume(hook_ticket, NULL, NULL);
}

static void delta(void *text)
{
	struct ch_inference_delta d = { .size = sizeof(d), .text = { text, strlen(text) } };

	say("->%d", asked.sink.delta(asked.c, asked.sink.arg, &d));
}

/* ---- whole answers ---- */

static void an_answer_at_once_is_there_when_ch_infer_returns(void **state)
{
	struct ch_test *t = begin(AT_ONCE, PASS);

	(void)state;
	assert_string_equal(get(t)->body, "from the service");
	assert_string_equal(said, "call whole end(from the service0) rc=0 code=0 answered=0 ");
	ch_test_free(t);
}

static void an_answer_later_comes_by_fn_after_call_end(void **state)
{
	struct ch_test *t = begin(LATER, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_false(a->done);
	ch_test_on_loop(t, service_answers, NULL);
	assert_string_equal(a->body, "from the service");
	assert_string_equal(said, "call whole rc=2 end(from the service0) fn.1 code=0 answered=0 ");
	ch_test_free(t);
}

static void a_hook_may_change_the_question(void **state)
{
	struct ch_test *t = begin(AT_ONCE, BOUND);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(asked.max_tokens, 7);
	ch_test_free(t);
}

static void a_hook_may_answer_and_the_service_is_not_asked(void **state)
{
	struct ch_test *t = begin(AT_ONCE, FILL);

	(void)state;
	assert_string_equal(get(t)->body, "from the hook");
	assert_string_equal(said, "call end(from the hook0) rc=0 code=0 answered=1 ");
	ch_test_free(t);
}

static void a_hook_may_wait_before_the_service_is_asked(void **state)
{
	static const int hows[] = { AT_ONCE, LATER };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ch_test *t = begin(hows[i], WAIT);
		struct ch_test_answer *a = get(t);

		assert_string_equal(said, "call rc=2 ");
		ch_test_on_loop(t, hook_goes_on, NULL);
		if (hows[i] == LATER)
			ch_test_on_loop(t, service_answers, NULL);
		assert_string_equal(a->body, "from the service");
		assert_string_equal(said, "call rc=2 hook.1 whole end(from the service0) fn.1 code=0 answered=0 ");
		ch_test_free(t);
	}
}

static void a_refusal_is_a_code_and_the_end_sees_it(void **state)
{
	struct ch_test *t = begin(REFUSES, PASS);
	char expected[128];

	(void)state;
	assert_int_equal(get(t)->status, ch_code_info(CH_E_UPSTREAM_BUSY)->status);
	snprintf(expected, sizeof(expected), "call whole end(%d) rc=0 code=%d answered=0 ", CH_E_UPSTREAM_BUSY, CH_E_UPSTREAM_BUSY);
	assert_string_equal(said, expected);
	ch_test_free(t);
}

static void a_broken_service_and_a_broken_hook_are_codes_too(void **state)
{
	struct ch_test *t = begin(BROKEN, PASS);
	char expected[128];

	(void)state;
	get(t);
	snprintf(expected, sizeof(expected), "call whole end(%d) rc=0 code=%d answered=0 ", CH_E_UPSTREAM_ERROR, CH_E_UPSTREAM_ERROR);
	assert_string_equal(said, expected);
	ch_test_free(t);
	t = begin(AT_ONCE, FAIL);
	ch_test_expect_misuse(t);
	assert_int_equal(get(t)->status, 500);
	snprintf(expected, sizeof(expected), "call end(%d) rc=0 code=%d answered=0 ", CH_E_INTERNAL, CH_E_INTERNAL);
	assert_string_equal(said, expected);
	ch_test_free(t);
}

static void the_timeout_cancels_and_is_a_code(void **state)
{
	struct ch_test *t = begin(LATER, PASS);
	struct ch_test_answer *a = get(t);
	char expected[128];

	(void)state;
	ch_test_advance(t, 499);
	assert_false(a->done);
	ch_test_advance(t, 1);
	assert_int_equal(a->status, ch_code_info(CH_E_UPSTREAM_TIMEOUT)->status);
	snprintf(expected, sizeof(expected), "call whole rc=2 cancel end(%d) fn.2 code=%d answered=0 ", CH_E_UPSTREAM_TIMEOUT,
		CH_E_UPSTREAM_TIMEOUT);
	assert_string_equal(said, expected);
	ch_test_free(t);
}

static void a_client_that_leaves_cancels_and_the_end_comes_once(void **state)
{
	struct ch_test *t = begin(LATER, PASS);
	char expected[128];

	(void)state;
	ch_test_leave(get(t));
	snprintf(expected, sizeof(expected), "call whole rc=2 cancel end(%d) fn.3 ", CH_E_UPSTREAM_ERROR);
	assert_string_equal(said, expected);
	ch_test_free(t);
}

static void a_client_that_leaves_while_a_hook_waits_is_never_asked_for(void **state)
{
	struct ch_test *t = begin(LATER, WAIT);
	char expected[128];

	(void)state;
	ch_test_leave(get(t));
	snprintf(expected, sizeof(expected), "call rc=2 hook.3 end(%d) fn.3 ", CH_E_UPSTREAM_ERROR);
	assert_string_equal(said, expected);
	ch_test_on_loop(t, hook_goes_on, NULL);
	ch_test_free(t);
}

static void with_another_ticket_out_nothing_is_asked(void **state)
{
	struct ch_test *t = begin(AT_ONCE, PASS);

	(void)state;
	ch_test_expect_misuse(t);
	with_ticket = true;
	assert_int_equal(get(t)->status, 500);
	assert_string_equal(said, "rc=-1 "); /* no CALL hook, so no end either */
	ch_test_free(t);
}

/* ---- streams ---- */

static void a_stream_brings_its_pieces_and_one_end(void **state)
{
	struct ch_test *t = begin(LATER, PASS);

	(void)state;
	streams = true;
	get(t);
	ch_test_on_loop(t, delta, "one");
	full = true;
	ch_test_on_loop(t, delta, "two");
	full = false;
	ch_test_on_loop(t, service_answers, NULL);
	assert_string_equal(said, "call stream rc=2 'one' ->0 'two' ->2 end(0) fn.1 code=0 answered=0 ");
	ch_test_free(t);
}

static void go_on_now(void *data)
{
	(void)data;
	ch_infer_go_on(asked.c, &ours.call);
}

static void a_sink_that_was_full_lets_it_go_on(void **state)
{
	struct ch_test *t = begin(LATER, WAIT);

	(void)state;
	streams = full = true;
	get(t);
	ch_test_on_loop(t, hook_goes_on, NULL);
	ch_test_on_loop(t, delta, "one");
	ch_test_on_loop(t, go_on_now, NULL);
	ch_test_on_loop(t, service_answers, NULL);
	assert_string_equal(said, "call rc=2 hook.1 stream 'one' ->2 go_on end(0) fn.1 code=0 answered=0 ");
	ch_test_free(t);
}

static void a_client_that_leaves_a_stream_ends_it_once(void **state)
{
	struct ch_test *t = begin(LATER, PASS);
	struct ch_test_answer *a;
	char expected[128];

	(void)state;
	streams = true;
	a = get(t);
	ch_test_on_loop(t, delta, "one");
	ch_test_leave(a);
	snprintf(expected, sizeof(expected), "call stream rc=2 'one' ->0 cancel end(%d) fn.3 ", CH_E_UPSTREAM_ERROR);
	assert_string_equal(said, expected);
	ch_test_free(t);
}

static void a_hook_that_answers_a_stream_leaves_the_text_to_the_asker(void **state)
{
	struct ch_test *t = begin(LATER, FILL);

	(void)state;
	streams = true;
	assert_string_equal(get(t)->body, "from the hook");
	assert_string_equal(said, "call end(from the hook0) rc=0 code=0 answered=1 ");
	ch_test_free(t);
}

static void without_memory_every_question_ends_once(void **state)
{
	struct ch_test *t = begin(LATER, WAIT);
	bool struck = true;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		said[0] = 0;
		asked = (struct question){ 0 };
		ch_test_fail_alloc(t, n);
		a = get(t);
		if (!a->done)
			ch_test_on_loop(t, hook_goes_on, NULL);
		if (!a->done && asked.ticket)
			ch_test_on_loop(t, service_answers, NULL);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		if (strstr(said, "rc="))
			assert_int_equal(!strstr(said, "rc=-1"), strstr(said, "end(") && !strstr(strstr(said, "end(") + 1, "end("));
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_at_once_is_there_when_ch_infer_returns),
		cmocka_unit_test(an_answer_later_comes_by_fn_after_call_end),
		cmocka_unit_test(a_hook_may_change_the_question),
		cmocka_unit_test(a_hook_may_answer_and_the_service_is_not_asked),
		cmocka_unit_test(a_hook_may_wait_before_the_service_is_asked),
		cmocka_unit_test(a_refusal_is_a_code_and_the_end_sees_it),
		cmocka_unit_test(a_broken_service_and_a_broken_hook_are_codes_too),
		cmocka_unit_test(the_timeout_cancels_and_is_a_code),
		cmocka_unit_test(a_client_that_leaves_cancels_and_the_end_comes_once),
		cmocka_unit_test(a_client_that_leaves_while_a_hook_waits_is_never_asked_for),
		cmocka_unit_test(with_another_ticket_out_nothing_is_asked),
		cmocka_unit_test(a_stream_brings_its_pieces_and_one_end),
		cmocka_unit_test(a_sink_that_was_full_lets_it_go_on),
		cmocka_unit_test(a_client_that_leaves_a_stream_ends_it_once),
		cmocka_unit_test(a_hook_that_answers_a_stream_leaves_the_text_to_the_asker),
		cmocka_unit_test(without_memory_every_question_ends_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
