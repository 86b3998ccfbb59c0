/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/ask over dryrun and over a backend that does what the test says. What leaves is compared byte by byte (WIRE.md, section 2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/backend.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(ask);
CH_TEST_PLUGIN(dryrun);

#define QUESTION "{\"prompt\":\"hello there\"}"
#define STREAM "{\"prompt\":\"hello there\",\"stream\":true}"
#define JSON "Content-Type: application/json"

/* ---- a backend of our own ---- */

struct fake {
	int rc;                /* what a call returns */
	int code;              /* with CH_OK: a refusal */
	int64_t retry_after_ms;
	bool deaf;             /* cancel does not confirm */
	bool routes;           /* it is no backend but a router */
	struct ch_ctx *c;      /* the call that runs */
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	ch_ticket ticket;
	unsigned calls, cancelled, went_on;
	int64_t max_tokens;
	char prompt[64], backend[64];
	size_t asked;          /* bytes of the prompt */
	struct ch_str text;    /* of the answer; n 0: a short one */
};

static void fill(struct fake *f, struct ch_inference_result *out)
{
	out->backend = f->routes ? "other" : "fake";
	out->attempts = f->routes ? 3 : 0;
	out->model = "m1";
	out->finish_reason = "stop";
	out->tokens_in = 2;
	out->tokens_out = 3;
	out->code = f->code;
	out->retry_after_ms = f->retry_after_ms;
	out->detail = "The fake is not well.";
}

static int start_call(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, struct ch_inference_result *out,
                      ch_ticket ticket)
{
	struct fake *f = ch_test_data(svc);

	f->calls++;
	f->c = c;
	f->out = out;
	f->ticket = ticket;
	f->max_tokens = args->max_tokens;
	memcpy(f->backend, args->backend.p ? args->backend.p : "", args->backend.n);
	f->backend[args->backend.n] = 0;
	f->asked = args->messages[0].content.n;
	memcpy(f->prompt, args->messages[0].content.p, f->asked < sizeof(f->prompt) ? f->asked : sizeof(f->prompt) - 1);
	if (f->rc == CH_OK) {
		fill(f, out);
		out->text = f->text.n ? f->text : (struct ch_str)CH_STR("one \"two\" three");
	}
	return f->rc;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
                  struct ch_inference_result *out, ch_ticket ticket)
{
	if (sink)
		((struct fake *)ch_test_data(svc))->sink = *sink;
	return start_call(svc, c, args, out, ticket);
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)c;
	(void)out;
	((struct fake *)ch_test_data(svc))->went_on++;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct fake *f = ch_test_data(svc);

	assert_ptr_equal(c, f->c);
	assert_ptr_equal(out, f->out);
	f->cancelled++;
	if (!f->deaf)
		assert_false(ch_resume(f->ticket, NULL, NULL)); /* too late by definition: it confirms */
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	static const struct ch_backend_conf conf;
	static const struct ch_inference_about backend = { .size = sizeof(backend), .provider = "fake", .conf = &conf };
	static const struct ch_inference_about router = { .size = sizeof(router), .provider = "router" };

	return ((struct fake *)ch_test_data(svc))->routes ? &router : &backend;
}

static const struct ch_inference_v1 vtable = { .size = sizeof(vtable), .submit = submit, .go_on = go_on, .cancel = cancel, .about = about };

/* What the backend does later, on the loop. */
static void answer_text(void *data)
{
	struct fake *f = data;

	fill(f, f->out);
	f->out->text = (struct ch_str)CH_STR("later");
	assert_true(ch_resume(f->ticket, NULL, NULL));
}

static void end_stream(void *data)
{
	struct fake *f = data;

	fill(f, f->out);
	assert_true(ch_resume(f->ticket, NULL, NULL));
}

static void send_delta(void *data)
{
	struct fake *f = data;
	struct ch_inference_delta d = { .size = sizeof(d), .text = CH_STR("one ") };

	assert_int_equal(f->sink.delta(f->c, f->sink.arg, &d), CH_OK);
}

static struct ch_test *begin(struct fake *f, const char *ini)
{
	struct ch_test *t = ch_test_new();

	*f = (struct fake){ .rc = CH_AGAIN };
	ch_test_plugin(t, CH_TEST_ENTRY(ask));
	ch_test_service(t, "fake", "inference/1", &vtable, f);
	ch_test_config(t, ini ? ini : "[ask]\n");
	assert_true(ch_test_start(t));
	return t;
}

static struct ch_test_answer *post(struct ch_test *t, const char *body)
{
	return ch_test_request(t, "POST", "/v1/ask", JSON, body, strlen(body));
}

/* ---- whole answers ---- */

static void an_answer_at_once_is_one_json_object(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	a = post(t, "{\"prompt\":\"hello\",\"max_tokens\":7}");
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "content-type"), "application/json");
	assert_string_equal(ch_test_header(a, "x-chimera-backend"), "fake");
	assert_string_equal(a->body,
		"{\"backend\":\"fake\",\"model\":\"m1\",\"answer\":\"one \\\"two\\\" three\",\"finish_reason\":\"stop\","
		"\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5},\"latency_ms\":0.000,\"req_id\":null}");
	assert_int_equal(f.max_tokens, 7);
	assert_string_equal(f.prompt, "hello");
	assert_true(ch_test_metric(t, "ask_latency_ms", "fake", NULL) == 1);
	assert_true(ch_test_metric(t, "ask_errors_total", NULL) == 0);
	ch_test_free(t);
}

/* 5 MiB of quotes, twice as many escaped: more than a ctx may have. */
static void a_large_answer_is_whole(void **state)
{
	const size_t n = 5 << 20;
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;
	char *text = malloc(n);

	(void)state;
	assert_non_null(text);
	memset(text, '"', n);
	f.rc = CH_OK;
	f.text = (struct ch_str){ text, n };
	a = post(t, QUESTION);
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_true(a->n > 2 * n);
	assert_memory_equal(a->body + strlen("{\"backend\":\"fake\",\"model\":\"m1\",\"answer\":"), "\"\\\"\\\"", 5);
	assert_int_equal(a->body[a->n - 1], '}');
	ch_test_free(t);
	free(text);
}

/* A text of 5 MiB with one escape, which must be decoded. */
static void a_large_question_arrives_whole(void **state)
{
	const size_t n = 5 << 20;
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	char *body = malloc(n + 64);
	size_t len;

	(void)state;
	assert_non_null(body);
	memcpy(body, "{\"prompt\":\"a\\n", 14);
	memset(body + 14, 'b', n);
	memcpy(body + 14 + n, "\"}", 3);
	len = 14 + n + 2;
	f.rc = CH_OK;
	assert_int_equal(ch_test_request(t, "POST", "/v1/ask", JSON, body, len)->status, 200);
	assert_int_equal(f.asked, n + 2);
	assert_memory_equal(f.prompt, "a\nbbb", 5);
	ch_test_free(t);
	free(body);
}

static void over_a_router_the_backend_that_answered_and_the_attempts_are_named(void **state)
{
	static const char *const bodies[] = { "{\"prompt\":\"hello\",\"backend\":\"other\"}",
		"{\"prompt\":\"hello\",\"backend\":\"other\",\"stream\":true}" };
	struct fake f;
	struct ch_test *t = begin(&f, NULL);

	(void)state;
	f.routes = true;
	f.rc = CH_OK;
	for (size_t i = 0; i < 2; i++) {
		struct ch_test_answer *a = post(t, bodies[i]);

		assert_int_equal(a->status, 200);
		assert_string_equal(f.backend, "other");
		assert_string_equal(ch_test_header(a, "x-chimera-backend"), "other");
		assert_string_equal(ch_test_header(a, "x-chimera-attempts"), "3");
		assert_non_null(strstr(a->body, "{\"backend\":\"other\",\"model\":\"m1\","));
	}
	ch_test_free(t);
}

static void without_a_router_no_other_backend_can_be_asked(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	a = post(t, "{\"prompt\":\"hello\",\"backend\":\"other\"}");
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, "\"param\":\"backend\""));
	assert_int_equal(f.calls, 0);
	a = post(t, "{\"prompt\":\"hello\",\"backend\":\"fake\"}");
	assert_int_equal(a->status, 200);
	assert_null(ch_test_header(a, "x-chimera-attempts"));
	ch_test_free(t);
}

/* Between two frames, as long as nothing comes. */
static void a_silent_stream_is_pinged(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[ask]\nping = 10s\n");
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	ch_test_on_loop(t, send_delta, &f);
	ch_test_advance(t, 9999);
	assert_string_equal(a->body, "data: {\"delta\":\"one \"}\n\n");
	ch_test_advance(t, 1);
	assert_string_equal(a->body, "data: {\"delta\":\"one \"}\n\n: ping\n\n");
	ch_test_on_loop(t, end_stream, &f);
	assert_true(a->complete);
	ch_test_free(t);
}

static void an_answer_that_takes_time_tells_how_long(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, QUESTION);

	(void)state;
	assert_false(a->done);
	ch_test_advance(t, 250);
	assert_false(a->done);
	ch_test_on_loop(t, answer_text, &f);
	assert_int_equal(a->status, 200);
	assert_non_null(strstr(a->body, "\"answer\":\"later\""));
	assert_non_null(strstr(a->body, "\"latency_ms\":250.000"));
	assert_true(ch_test_metric_sum(t, "ask_latency_ms", "fake", NULL) == 250);
	ch_test_free(t);
}

static void a_backends_code_becomes_the_answer(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	f.code = CH_E_UPSTREAM_BUSY;
	f.retry_after_ms = 2500;
	a = post(t, QUESTION);
	assert_int_equal(a->status, 503);
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
	assert_string_equal(ch_test_header(a, "retry-after"), "3"); /* whole seconds, never early */
	assert_string_equal(ch_test_header(a, "retry-after-ms"), "2500");
	assert_string_equal(ch_test_header(a, "x-should-retry"), "true");
	assert_non_null(strstr(a->body, "\"code\":\"upstream_busy\""));
	assert_non_null(strstr(a->body, "\"detail\":\"The fake is not well.\""));
	assert_true(ch_test_metric(t, "ask_errors_total", "fake", "upstream_busy", NULL) == 1);
	assert_true(ch_test_metric(t, "ask_latency_ms", "fake", NULL) == 0);
	ch_test_free(t);
}

static void a_backend_that_fails_is_503_and_never_500(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_ERROR;
	a = post(t, QUESTION);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "\"code\":\"upstream_error\""));
	assert_non_null(ch_test_header(a, "retry-after"));
	a = post(t, STREAM);
	assert_int_equal(a->status, 503);
	ch_test_free(t);
}

static void a_client_that_leaves_is_told_to_the_backend(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, QUESTION);

	(void)state;
	ch_test_leave(a);
	assert_int_equal(f.cancelled, 1);
	assert_true(ch_test_metric(t, "ask_errors_total", "fake", "gone", NULL) == 1);
	assert_true(ch_test_metric(t, "http_requests_total", "POST", "/v1/ask", "499", NULL) == 1);
	assert_true(ch_test_metric(t, "http_requests_in_progress", NULL) == 0);
	ch_test_free(t);
}

/* The ctx must live until the backend confirms, as late as that may be. */
static void confirm(void *data)
{
	struct fake *f = data;

	fill(f, f->out); /* its memory is still there */
	assert_false(ch_resume(f->ticket, NULL, NULL));
}

static void a_backend_may_confirm_the_cancel_later(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, QUESTION);

	(void)state;
	f.deaf = true;
	ch_test_leave(a);
	assert_int_equal(f.cancelled, 1);
	ch_test_advance(t, 60000);
	ch_test_on_loop(t, confirm, &f);
	ch_test_free(t);
}

/* ---- streams ---- */

#define END                                                                                                                                \
	"data: {\"backend\":\"fake\",\"model\":\"m1\",\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,"  \
	"\"total_tokens\":5},\"latency_ms\":0.000,\"req_id\":null}\n\ndata: [DONE]\n\n"

static void a_stream_is_deltas_then_the_facts_then_done(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	assert_int_equal(a->status, 0); /* the head waits for the first delta */
	ch_test_on_loop(t, send_delta, &f);
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "content-type"), "text/event-stream");
	assert_string_equal(ch_test_header(a, "cache-control"), "no-cache");
	assert_string_equal(ch_test_header(a, "x-accel-buffering"), "no");
	assert_string_equal(a->body, "data: {\"delta\":\"one \"}\n\n");
	ch_test_on_loop(t, send_delta, &f);
	assert_false(a->done);
	ch_test_on_loop(t, end_stream, &f);
	assert_true(a->complete);
	assert_string_equal(a->body, "data: {\"delta\":\"one \"}\n\ndata: {\"delta\":\"one \"}\n\n" END);
	ch_test_free(t);
}

static void a_stream_refused_at_once_is_a_plain_refusal(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.rc = CH_OK;
	f.code = CH_E_MODEL_NOT_FOUND;
	a = post(t, STREAM);
	assert_int_equal(a->status, 404);
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
	assert_non_null(strstr(a->body, "\"code\":\"model_not_found\""));
	ch_test_free(t);
}

static void a_stream_that_fails_before_its_first_delta_is_a_plain_refusal(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	f.code = CH_E_UPSTREAM_TIMEOUT;
	ch_test_on_loop(t, end_stream, &f);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "\"code\":\"upstream_timeout\""));
	assert_non_null(ch_test_header(a, "retry-after"));
	ch_test_free(t);
}

static void a_stream_that_fails_after_its_first_delta_ends_with_an_error_and_no_done(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	ch_test_on_loop(t, send_delta, &f);
	f.code = CH_E_UPSTREAM_ERROR;
	ch_test_on_loop(t, end_stream, &f);
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body,
		"data: {\"delta\":\"one \"}\n\ndata: {\"error\":{\"message\":\"The fake is not well.\",\"type\":\"server_error\","
		"\"param\":null,\"code\":\"upstream_error\"}}\n\n");
	assert_true(ch_test_metric(t, "ask_errors_total", "fake", "upstream_error", NULL) == 1);
	ch_test_free(t);
}

static void a_client_that_leaves_a_stream_is_told_to_the_backend(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	ch_test_on_loop(t, send_delta, &f);
	ch_test_leave(a);
	assert_int_equal(f.cancelled, 1);
	assert_false(a->complete);
	assert_true(ch_test_metric(t, "ask_errors_total", "fake", "gone", NULL) == 1);
	ch_test_free(t);
}

/* FIN while an answer streams is gone at once (FAULTS H24). */
static void a_half_close_during_a_stream_is_gone(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	ch_test_on_loop(t, send_delta, &f);
	ch_test_half_close(a);
	assert_int_equal(f.cancelled, 1);
	ch_test_free(t);
}

/* Deltas until the sink says AGAIN; how many bytes of text that took. */
static size_t pumped;
static int pumped_rc;
static void pump(void *data)
{
	struct fake *f = data;
	struct ch_inference_delta d = { .size = sizeof(d),
		.text = CH_STR("0123456789012345678901234567890123456789012345678901234567890123") };

	for (pumped_rc = CH_OK; pumped_rc == CH_OK && pumped < 1 << 20; pumped += 64)
		pumped_rc = f->sink.delta(f->c, f->sink.arg, &d);
}

static void a_client_that_does_not_read_holds_the_backend_back(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[server]\nstream_high = 16k\nstream_low = 4k\n[ask]\n");
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	pumped = 0;
	ch_test_unread(a, true);
	ch_test_on_loop(t, pump, &f);
	assert_int_equal(pumped_rc, CH_AGAIN);
	assert_true(pumped > 8 << 10 && pumped <= 16 << 10); /* with its frames the text is over 16 KiB; a frame has 64 + 20 bytes */
	assert_int_equal(f.went_on, 0);
	assert_int_equal(a->status, 0);
	ch_test_unread(a, false);
	assert_int_equal(f.went_on, 1);
	ch_test_on_loop(t, end_stream, &f);
	assert_true(a->complete);
	ch_test_free(t);
}

/* A client that stays away is cut after write_timeout, and the backend hears it. */
static void a_client_that_never_reads_again_is_cut(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[server]\nstream_high = 16k\nstream_low = 4k\nwrite_timeout = 30s\n[ask]\n");
	struct ch_test_answer *a = post(t, STREAM);

	(void)state;
	pumped = 0;
	ch_test_unread(a, true);
	ch_test_on_loop(t, pump, &f);
	ch_test_advance(t, 29999);
	assert_int_equal(f.cancelled, 0);
	ch_test_advance(t, 1);
	assert_int_equal(f.cancelled, 1);
	assert_true(a->closed);
	ch_test_free(t);
}

/* ---- bad requests: the reader's own test knows them all ---- */

static void what_is_no_question_is_refused_by_name(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, "{\"prompt\":\"x\",\"max_token\":3}");

	(void)state;
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, "\"param\":\"max_token\""));
	a = ch_test_request(t, "POST", "/v1/ask", "Content-Type: text/xml", "<a/>", 4);
	assert_int_equal(a->status, 415);
	a = ch_test_request(t, "POST", "/v1/ask", JSON, NULL, 0);
	assert_int_equal(a->status, 400);
	a = ch_test_request(t, "GET", "/v1/ask", NULL, NULL, 0);
	assert_int_equal(a->status, 405);
	assert_string_equal(ch_test_header(a, "allow"), "POST, OPTIONS");
	assert_int_equal(f.calls, 0);
	ch_test_free(t);
}

/* ---- without memory ---- */

/* Each answer is whole, or a 503, or the connection was cut; nothing is left behind (ch_test_free). */
static void without_memory_a_question_is_refused(void **state)
{
	static const char *const bodies[] = { QUESTION, STREAM, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\nb\"}]}" };
	struct fake f;
	struct ch_test *t = begin(&f, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		bool struck = true;

		for (unsigned long n = 1; struck; n++) {
			struct ch_test_answer *a;

			assert_true(n < 200);
			f.ticket = 0;
			ch_test_fail_alloc(t, n);
			a = post(t, bodies[i]);
			if (f.ticket && !a->done)
				ch_test_on_loop(t, i == 1 ? end_stream : answer_text, &f);
			struck = ch_test_fail_alloc(t, 0);
			assert_true(a->done);
			assert_true(!a->status || a->status == 200 || a->status == 413 || a->status == 503);
			if (!struck)
				assert_int_equal(a->status, 200);
		}
	}
	ch_test_free(t);
}

/* ---- over dryrun ---- */

static void ask_over_dryrun_answers_whole_and_streamed_alike(void **state)
{
	struct ch_test *t = ch_test_new();
	struct ch_test_answer *a;
	unsigned frames = 0;

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(ask));
	ch_test_plugin(t, CH_TEST_ENTRY(dryrun));
	ch_test_config(t, "[dryrun]\nlatency = 20ms\nanswer_tokens = 3\n[ask]\n");
	assert_true(ch_test_start(t));
	a = post(t, QUESTION);
	assert_false(a->done);
	ch_test_advance(t, 20);
	assert_int_equal(a->status, 200);
	assert_non_null(strstr(a->body, "{\"backend\":\"dryrun\",\"model\":\"dryrun\",\"answer\":\""));
	assert_non_null(
		strstr(a->body, "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5},\"latency_ms\":20.000"));
	a = post(t, STREAM);
	ch_test_advance(t, 20);
	assert_true(a->complete);
	for (const char *p = a->body; (p = strstr(p, "data: {\"delta\":")); p++)
		frames++;
	assert_int_equal(frames, 3);
	assert_string_equal(a->body + a->n - strlen("data: [DONE]\n\n"), "data: [DONE]\n\n");
	ch_test_free(t);
}

static void without_a_backend_the_config_is_an_error(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(ask));
	ch_test_config(t, "[ask]\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "nothing that is enabled provides inference/1"));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_at_once_is_one_json_object),
		cmocka_unit_test(a_large_answer_is_whole),
		cmocka_unit_test(a_large_question_arrives_whole),
		cmocka_unit_test(over_a_router_the_backend_that_answered_and_the_attempts_are_named),
		cmocka_unit_test(without_a_router_no_other_backend_can_be_asked),
		cmocka_unit_test(a_silent_stream_is_pinged),
		cmocka_unit_test(an_answer_that_takes_time_tells_how_long),
		cmocka_unit_test(a_backends_code_becomes_the_answer),
		cmocka_unit_test(a_backend_that_fails_is_503_and_never_500),
		cmocka_unit_test(a_client_that_leaves_is_told_to_the_backend),
		cmocka_unit_test(a_backend_may_confirm_the_cancel_later),
		cmocka_unit_test(a_stream_is_deltas_then_the_facts_then_done),
		cmocka_unit_test(a_stream_refused_at_once_is_a_plain_refusal),
		cmocka_unit_test(a_stream_that_fails_before_its_first_delta_is_a_plain_refusal),
		cmocka_unit_test(a_stream_that_fails_after_its_first_delta_ends_with_an_error_and_no_done),
		cmocka_unit_test(a_client_that_leaves_a_stream_is_told_to_the_backend),
		cmocka_unit_test(a_half_close_during_a_stream_is_gone),
		cmocka_unit_test(a_client_that_does_not_read_holds_the_backend_back),
		cmocka_unit_test(a_client_that_never_reads_again_is_cut),
		cmocka_unit_test(what_is_no_question_is_refused_by_name),
		cmocka_unit_test(without_memory_a_question_is_refused),
		cmocka_unit_test(ask_over_dryrun_answers_whole_and_streamed_alike),
		cmocka_unit_test(without_a_backend_the_config_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
