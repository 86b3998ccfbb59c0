/* SPDX-License-Identifier: Apache-2.0 */
/* A question's way: attempts, retries, fallbacks, and what the client gets. Time: test_times.c; waiting and leaving: test_places.c. */
#include "test_way.h"

struct world w;

static int status_of(const struct question *q)
{
	return q->a->status;
}

static double metric(const char *name, const char *first, const char *second)
{
	return ch_test_metric(w.t, name, first, second, NULL);
}

/* ---- one attempt ---- */

static void an_answer_at_once_leaves_the_ticket_untouched(void **state)
{
	(void)state;
	world_new(1);
	world_start(NULL);
	struct question *q = ask(question());
	assert_int_equal(q->rc, CH_OK);
	assert_int_equal(q->out.code, 0);
	assert_string_equal(q->backend, "a1");
	assert_string_equal(q->model, "real");
	assert_string_equal(q->out.rule, "m");
	assert_string_equal(w.b[0].model, "m");
	assert_string_equal(w.b[0].last.rule, "m");
	assert_int_equal(q->out.attempts, 1);
	assert_int_equal(status_of(q), 200);
	world_free();
}

static void an_answer_later_resumes_the_ticket_once(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 40 });
	world_start(NULL);
	struct question *q = ask(question());
	assert_int_equal(q->rc, CH_AGAIN);
	assert_int_equal(q->ended, 0);
	assert_true(ch_test_metric(w.t, "chimera_backend_in_flight", "a1", NULL) == 1);
	ch_test_advance(w.t, 40);
	assert_int_equal(took(q), 40);
	assert_int_equal(q->why, CH_READY);
	assert_int_equal(q->out.text.n, strlen("an answer"));
	world_free();
}

static void deltas_go_to_the_sink_and_the_backend_is_named_before_the_first(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 10, .deltas = 3 });
	world_start(NULL);
	struct question *q = ask(stream(question()));
	ch_test_advance(w.t, 10);
	assert_int_equal(q->deltas, 1);
	assert_string_equal(q->seen_backend, "a1");
	assert_int_equal(q->out.first_delta, q->asked + 10000);
	ch_test_advance(w.t, 100);
	assert_int_equal(q->deltas, 3);
	assert_int_equal(q->out.code, 0);
	assert_int_equal(q->out.first_delta, q->asked + 10000);
	assert_int_equal(took(q), 40);
	assert_int_equal(ch_test_metric_sum(w.t, "chimera_time_to_first_token_seconds", "a1", "m", NULL) * 1e6 + 0.5, 10000);
	assert_int_equal(ch_test_metric_sum(w.t, "chimera_time_between_tokens_seconds", "a1", "m", NULL) * 1e6 + 0.5, 10000);
	world_free();
}

static void each_operation_goes_the_same_way(void **state)
{
	(void)state;
	world_new(1);
	world_start(NULL);
	for (int op = CH_I_CHAT; op <= CH_I_PASS; op++) {
		struct question *q = question();
		q->args.op = op;
		ask(q);
		assert_int_equal(q->out.code, 0);
		assert_int_equal(w.b[0].last.op, op);
	}
	world_free();
}

static void a_broken_backend_is_an_upstream_error(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .broken = true });
	world_start("retries = 0");
	struct question *q = ask(question());
	assert_int_equal(q->out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(status_of(q), 503);
	world_free();
}

/* ---- once more ---- */

static void a_failure_is_retried_after_100_and_200_ms_with_jitter(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR, .status = 500 }, { .code = CH_E_UPSTREAM_INVALID }, { 0 });
	world_start("retries = 2");
	struct question *q = ask(question());
	ch_test_advance(w.t, 49);
	assert_int_equal(q->attempts, 1);
	ch_test_advance(w.t, 51);
	assert_int_equal(q->attempts, 2);
	ch_test_advance(w.t, 200);
	assert_int_equal(q->out.code, 0);
	assert_int_equal(q->out.attempts, 3);
	assert_in_range(took(q), 150, 300);
	assert_true(metric("chimera_retries_total", "a1", "5xx") == 2);
	assert_true(metric("inference_errors_total", "a1", "upstream_error") == 1);
	assert_true(metric("inference_errors_total", "a1", "upstream_invalid") == 1);
	assert_true(ch_test_metric(w.t, "inference_requests_total", "a1", "m", "ok", NULL) == 1);
	assert_true(ch_test_metric(w.t, "llm_requests_total", "scripted", "m", "error", NULL) == 2);
	world_free();
}

static void after_the_last_retry_the_client_gets_the_code_and_the_log_one_line(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR, .status = 500 });
	world_start("retries = 2");
	struct question *q = ask(question());
	ch_test_advance(w.t, 300);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(q->attempts, 3);
	assert_int_equal(status_of(q), 503);
	assert_string_equal(ch_test_header(q->a, "Retry-After"), "1");
	assert_true(ch_test_logged(w.t, "WARN  router: no answer for model \"m\": a1 upstream_error (500) 3 times"));
	assert_true(ch_test_metric(w.t, "inference_requests_total", "a1", "m", "error", NULL) == 1);
	world_free();
}

static void another_equal_is_asked_at_once(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_UNAVAILABLE });
	world_start("balance = in_order");
	struct question *q = ask(question());
	assert_int_equal(took(q), 0);
	assert_string_equal(q->backend, "b1");
	assert_int_equal(q->out.attempts, 2);
	assert_true(metric("chimera_retries_total", "a1", "connect") == 1);
	world_free();
}

static void when_all_equals_have_failed_they_are_asked_again_after_a_while(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR }, { 0 });
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_ERROR });
	world_start("balance = in_order\nretries = 2");
	struct question *q = ask(question());
	assert_int_equal(q->attempts, 2);
	ch_test_advance(w.t, 100);
	assert_string_equal(q->backend, "a1");
	assert_in_range(took(q), 50, 100);
	world_free();
}

static void only_what_retry_on_names_is_retried(void **state)
{
	static const struct { const char *option; int code; unsigned attempts; } rows[] = {
		{ "connect", CH_E_UPSTREAM_UNAVAILABLE, 2 }, { "connect", CH_E_UPSTREAM_ERROR, 1 },
		{ "connect", CH_E_UPSTREAM_RATE_LIMITED, 1 },
		{ "429", CH_E_UPSTREAM_RATE_LIMITED, 2 }, { "429", CH_E_UPSTREAM_BUSY, 2 }, { "429", CH_E_UPSTREAM_ERROR, 1 },
		{ "5xx", CH_E_UPSTREAM_ERROR, 2 }, { "5xx", CH_E_UPSTREAM_INVALID, 2 }, { "5xx", CH_E_UPSTREAM_UNAVAILABLE, 1 },
		{ "none", CH_E_UPSTREAM_ERROR, 1 }, { "connect, 429, 5xx", CH_E_UPSTREAM_TIMEOUT, 1 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char ini[64];

		world_new(1);
		w.b[0].script[0] = (struct step){ .code = rows[i].code };
		snprintf(ini, sizeof(ini), "retries = 1\nretry_on = %s", rows[i].option);
		world_start(ini);
		struct question *q = ask(question());
		ch_test_advance(w.t, 100);
		assert_int_equal(q->out.code, rows[i].code);
		assert_int_equal(q->attempts, rows[i].attempts);
		world_free();
	}
}

static void a_client_that_retries_itself_gets_no_retry_on_the_same_backend(void **state)
{
	(void)state;
	world_new(3);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR });
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_ERROR });
	world_start("backends = a1, b1\nbalance = in_order\nretries = 5");
	struct question *q = question();
	q->args.retry = 1;
	ask(q);
	assert_int_equal(took(q), 0);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(w.b[0].calls, 1);
	assert_int_equal(w.b[1].calls, 1);
	world_free();
}

static void another_equal_costs_no_retry_of_the_budget(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .ms = 100, .code = CH_E_UPSTREAM_TIMEOUT });
	world_start("balance = in_order\nretry_budget = 0%");
	for (int i = 0; i < 50; i++)
		ask(question());
	ch_test_advance(w.t, 100);
	for (int i = 0; i < 50; i++)
		assert_string_equal(w.q[i].backend, "b1");
	world_free();
}

static void retries_stay_within_their_budget(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 1\nretry_budget = 10%\nbreaker_failures = 0\nbreaker_error_rate = 0%");
	for (int i = 0; i < 50; i++) {
		ask(question());
		ch_test_advance(w.t, 100);
	}
	/* 10 are in the bank at first, and each question brings a tenth: what R questions are granted is 10 + R / 10. */
	assert_in_range(w.b[0].calls, 50 + 10, 50 + 10 + 5);
	world_free();
}

static void a_retry_that_is_not_made_costs_nothing(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 1\nretry_budget = 0%\nbreaker_failures = 0\nbreaker_error_rate = 0%");
	for (int i = 0; i < 20; i++) {
		struct question *q = ask(question());
		ch_test_leave(q->a); /* while it backs off */
		ch_test_advance(w.t, 0);
		assert_int_equal(q->ended, 1);
	}
	struct question *q = ask(question());
	ch_test_advance(w.t, 100);
	assert_int_equal(q->attempts, 2);
	world_free();
}

static void retry_after_is_honoured_as_long_as_it_is_bearable(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_RATE_LIMITED, .status = 429, .retry_after_ms = 2000 }, { 0 },
		{ .code = CH_E_UPSTREAM_RATE_LIMITED, .status = 429, .retry_after_ms = 120000 });
	world_start(NULL);
	struct question *q = ask(question());
	ch_test_advance(w.t, 1999);
	assert_int_equal(q->attempts, 1);
	ch_test_advance(w.t, 1);
	assert_int_equal(q->out.code, 0);
	q = ask(question());
	assert_int_equal(q->attempts, 1);
	assert_int_equal(took(q), 0);
	assert_int_equal(status_of(q), 429);
	assert_string_equal(ch_test_header(q->a, "Retry-After"), "120");
	world_free();
}

/* ---- what is not retried ---- */

static void the_clients_own_mistakes_come_back_as_they_are(void **state)
{
	static const struct { int code, status; } rows[] = {
		{ CH_E_BAD_REQUEST, 400 }, { CH_E_NOT_FOUND, 404 }, { CH_E_TOO_LARGE, 413 }, { CH_E_UNSUPPORTED_MEDIA, 415 },
		{ CH_E_UNPROCESSABLE, 422 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_new(2);
		w.b[0].script[0] = w.b[1].script[0] =
			(struct step){ .code = rows[i].code, .status = rows[i].status, .error = "{\"message\":\"no\"}" };
		world_start("fallback = b1\nbreaker_failures = 1\nbackends = a1, b1\n[router.m]\nbackends = a1");
		for (int k = 0; k < 3; k++) {
			struct question *q = ask(question());
			assert_int_equal(q->out.code, rows[i].code);
			assert_int_equal(q->out.status, rows[i].status);
			assert_string_equal(q->error, "{\"message\":\"no\"}");
			assert_int_equal(status_of(q), rows[i].status);
			assert_null(ch_test_header(q->a, "Retry-After"));
		}
		assert_int_equal(w.b[0].calls, 3);
		assert_int_equal(w.b[1].calls, 0);
		assert_false(ch_test_logged(w.t, "no answer"));
		world_free();
	}
}

static void a_timeout_is_not_repeated_on_the_same_backend(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .hangs = true });
	world_start("timeout = 3s");
	struct question *q = ask(question());
	ch_test_advance(w.t, 2999);
	assert_int_equal(q->ended, 0);
	ch_test_advance(w.t, 10000);
	assert_int_equal(took(q), 3000);
	assert_int_equal(q->attempts, 1);
	assert_int_equal(w.b[0].cancelled, 1);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
	assert_int_equal(status_of(q), 503);
	assert_true(ch_test_logged(w.t, "no answer for model \"m\": a1 upstream_timeout after 3.0 s"));
	world_free();
}

static void after_a_timeout_another_equal_is_asked(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .ms = 20, .code = CH_E_UPSTREAM_TIMEOUT });
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_ERROR }, { 0 });
	world_start("balance = in_order\nretries = 2");
	struct question *q = ask(question());
	ch_test_advance(w.t, 200);
	assert_string_equal(q->backend, "b1");
	assert_int_equal(w.b[0].calls, 1);
	assert_int_equal(w.b[1].calls, 2); /* the second time after a while: a is out of it */
	assert_in_range(took(q), 70, 120);
	assert_true(metric("chimera_retries_total", "a1", "timeout") == 1);
	world_free();
}

static void a_wrong_key_rotates_and_is_no_failure_of_the_backend(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_AUTH, .status = 401 });
	world_start("balance = in_order\nbreaker_failures = 1");
	for (int i = 0; i < 3; i++)
		assert_string_equal(ask(question())->backend, "b1");
	assert_int_equal(w.b[0].calls, 3);
	assert_true(metric("inference_errors_total", "a1", "upstream_auth") == 3);
	assert_true(metric("chimera_retries_total", "a1", "auth") == 3);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 0);
	world_free();
}

static void a_wrong_key_is_what_the_client_hears_only_if_there_is_nothing_else(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_BUSY }, { .code = CH_E_UPSTREAM_AUTH });
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_AUTH });
	world_start("balance = in_order\nretries = 1");
	struct question *q = ask(question());
	assert_int_equal(q->attempts, 2);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_BUSY);
	q = ask(question());
	assert_int_equal(q->attempts, 2);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_AUTH);
	assert_null(ch_test_header(q->a, "Retry-After")); /* to come again does not help */
	world_free();
}

/* WIRE 1: a client that comes too fast is told so, whatever else failed. */
static void the_client_hears_the_failure_that_helps_it_most(void **state)
{
	static const struct { int first, second, told; const char *whose; } rows[] = {
		{ CH_E_UPSTREAM_RATE_LIMITED, CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_RATE_LIMITED, "a1" },
		{ CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_RATE_LIMITED, CH_E_UPSTREAM_RATE_LIMITED, "b1" },
		{ CH_E_UPSTREAM_RATE_LIMITED, CH_E_UPSTREAM_ERROR, CH_E_UPSTREAM_RATE_LIMITED, "a1" },
		{ CH_E_UPSTREAM_ERROR, CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_ERROR, "a1" },
		{ CH_E_UPSTREAM_ERROR, CH_E_UPSTREAM_BUSY, CH_E_UPSTREAM_BUSY, "b1" },
		{ CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_AUTH, CH_E_UPSTREAM_UNAVAILABLE, "a1" },
		{ CH_E_UPSTREAM_AUTH, CH_E_UPSTREAM_AUTH, CH_E_UPSTREAM_AUTH, "b1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_new(2);
		w.b[0].script[0] = (struct step){ .code = rows[i].first };
		w.b[1].script[0] = (struct step){ .code = rows[i].second };
		world_start("retries = 0\n[router.m]\nbackends = a1\nfallback = b1");
		struct question *q = ask(question());
		assert_int_equal(q->attempts, 2);
		assert_int_equal(q->out.code, rows[i].told);
		assert_string_equal(q->backend, rows[i].whose);
		world_free();
	}
}

static void behind_the_first_delta_there_is_no_other_attempt(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .ms = 5, .deltas = 1, .code = CH_E_UPSTREAM_ERROR });
	world_start("balance = in_order\nfallback = b1\nbreaker_failures = 1");
	struct question *q = ask(stream(question()));
	ch_test_advance(w.t, 1000);
	assert_int_equal(q->deltas, 1);
	assert_int_equal(q->attempts, 1);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_ERROR);
	assert_string_equal(q->backend, "a1");
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 1); /* but it counts */
	assert_true(ch_test_logged(w.t, "WARN  router: a broken answer for model \"m\": a1 upstream_error"));
	world_free();
}

static void a_stream_that_fails_before_its_first_delta_is_retried(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 5, .code = CH_E_UPSTREAM_ERROR }, { .ms = 5, .deltas = 2 });
	world_start(NULL);
	struct question *q = ask(stream(question()));
	ch_test_advance(w.t, 1000);
	assert_int_equal(q->deltas, 2);
	assert_int_equal(q->attempts, 2);
	assert_int_equal(q->out.code, 0);
	world_free();
}

/* ---- fallbacks ---- */

static void fallbacks_are_asked_one_after_the_other_and_once_each(void **state)
{
	(void)state;
	world_new(3);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR, .status = 500 });
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_ERROR, .status = 502, .reason = "the proxy is down" });
	SCRIPT(&w.b[2], { .code = CH_E_UPSTREAM_RATE_LIMITED, .status = 429, .retry_after_ms = 7000 });
	world_start("retries = 0\nretry_budget = 0%\nfallback = b1, c1\n[router.m]\nbackends = a1");
	struct question *q = ask(question());
	assert_int_equal(took(q), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(w.b[i].calls, 1);
	assert_int_equal(status_of(q), 429); /* the last word */
	assert_string_equal(ch_test_header(q->a, "Retry-After"), "7");
	assert_true(metric("chimera_fallbacks_total", "a1", "b1") == 1);
	assert_true(metric("chimera_fallbacks_total", "b1", "c1") == 1);
	assert_true(ch_test_logged(w.t, "\"m\": a1 upstream_error (500), b1 upstream_error (502): the proxy is down, "
				   "c1 upstream_rate_limited (429)"));
	world_free();
}

static void a_fallback_is_asked_for_its_own_model_and_named_in_the_answer(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 0\nfallback = b1/other\n[router.m]\nbackends = a1");
	struct question *q = ask(question());
	assert_string_equal(q->backend, "b1");
	assert_string_equal(w.b[1].model, "other");
	assert_int_equal(q->out.attempts, 2);
	world_free();
}

static void rather_a_fallback_at_once_than_a_long_wait(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_RATE_LIMITED, .retry_after_ms = 2000 });
	world_start("fallback = b1\n[router.m]\nbackends = a1");
	struct question *q = ask(question());
	assert_int_equal(took(q), 0);
	assert_string_equal(q->backend, "b1");
	world_free();
}

static void what_timed_out_is_no_fallback_either(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_TIMEOUT });
	world_start("fallback = a1/other\n[router.m]\nbackends = a1");
	struct question *q = ask(question());
	assert_int_equal(q->attempts, 1);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
	world_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_at_once_leaves_the_ticket_untouched),
		cmocka_unit_test(an_answer_later_resumes_the_ticket_once),
		cmocka_unit_test(deltas_go_to_the_sink_and_the_backend_is_named_before_the_first),
		cmocka_unit_test(each_operation_goes_the_same_way),
		cmocka_unit_test(a_broken_backend_is_an_upstream_error),
		cmocka_unit_test(a_failure_is_retried_after_100_and_200_ms_with_jitter),
		cmocka_unit_test(after_the_last_retry_the_client_gets_the_code_and_the_log_one_line),
		cmocka_unit_test(another_equal_is_asked_at_once),
		cmocka_unit_test(when_all_equals_have_failed_they_are_asked_again_after_a_while),
		cmocka_unit_test(only_what_retry_on_names_is_retried),
		cmocka_unit_test(a_client_that_retries_itself_gets_no_retry_on_the_same_backend),
		cmocka_unit_test(another_equal_costs_no_retry_of_the_budget),
		cmocka_unit_test(retries_stay_within_their_budget),
		cmocka_unit_test(a_retry_that_is_not_made_costs_nothing),
		cmocka_unit_test(retry_after_is_honoured_as_long_as_it_is_bearable),
		cmocka_unit_test(the_clients_own_mistakes_come_back_as_they_are),
		cmocka_unit_test(a_timeout_is_not_repeated_on_the_same_backend),
		cmocka_unit_test(after_a_timeout_another_equal_is_asked),
		cmocka_unit_test(a_wrong_key_rotates_and_is_no_failure_of_the_backend),
		cmocka_unit_test(a_wrong_key_is_what_the_client_hears_only_if_there_is_nothing_else),
		cmocka_unit_test(the_client_hears_the_failure_that_helps_it_most),
		cmocka_unit_test(behind_the_first_delta_there_is_no_other_attempt),
		cmocka_unit_test(a_stream_that_fails_before_its_first_delta_is_retried),
		cmocka_unit_test(fallbacks_are_asked_one_after_the_other_and_once_each),
		cmocka_unit_test(a_fallback_is_asked_for_its_own_model_and_named_in_the_answer),
		cmocka_unit_test(rather_a_fallback_at_once_than_a_long_wait),
		cmocka_unit_test(what_timed_out_is_no_fallback_either),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
