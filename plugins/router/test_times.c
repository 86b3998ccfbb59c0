/* SPDX-License-Identifier: Apache-2.0 */
/* How long a question may take, what is counted of it, and where memory runs out. */
#include "test_way.h"

struct world w;

/* ---- times ---- */

static void the_budget_bounds_attempts_and_all_of_them_together(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .ms = 300, .code = CH_E_UPSTREAM_ERROR });
	SCRIPT(&w.b[1], { .hangs = true });
	world_start("balance = in_order\ntimeout = 400ms\nbudget = 500ms\nretries = 9");
	struct question *q = ask(question());
	ch_test_advance(w.t, 5000);
	assert_int_equal(took(q), 500);
	assert_int_equal(q->attempts, 2);
	assert_int_equal(w.b[1].last.timeout_ms, 200);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
	world_free();
}

static void the_clients_own_patience_is_never_outlived(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .hangs = true });
	world_start("timeout = 1s");
	struct question *q = question();
	q->args.budget_ms = 70;
	ask(q);
	ch_test_advance(w.t, 5000);
	assert_int_equal(took(q), 70);
	q = question();
	q->deadline_ms = 60;
	ask(q);
	ch_test_advance(w.t, 5000);
	assert_int_equal(took(q), 60);
	world_free();
}

static void patience_ends_with_the_first_delta_of_a_stream(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 40, .deltas = 5 });
	world_start("first_token_timeout = 1s\ntimeout = 1m\nbudget = 2m");
	struct question *q = stream(question());
	q->args.budget_ms = 70;
	ask(q);
	assert_int_equal(w.b[0].last.first_token_timeout_ms, 70);
	assert_int_equal(w.b[0].last.timeout_ms, 60000);
	ch_test_advance(w.t, 5000);
	assert_int_equal(q->out.code, 0);
	assert_int_equal(took(q), 240);
	world_free();
}

static void an_impatient_client_opens_no_circuit(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .hangs = true });
	world_start("timeout = 1m\nbreaker_failures = 1");
	struct question *q = question();
	q->args.budget_ms = 5;
	ask(q);
	ch_test_advance(w.t, 1000);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 0);
	q = question();
	q->args.budget_ms = 30000; /* which is long enough to blame the backend */
	ask(q);
	ch_test_advance(w.t, 30000);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 1);
	world_free();
}

/* Whoever waits long for a place, or behind a backend that hangs, has little time left: that says nothing of who is asked then. */
static void what_waiting_left_of_the_budget_opens_no_circuit(void **state)
{
	(void)state;
	world_new(1);
	w.b[0].conf.max_in_flight = 1;
	w.b[0].conf.max_waiting = 9;
	SCRIPT(&w.b[0], { .ms = 2000 });
	world_start("budget = 3s\nbreaker_failures = 1\nretries = 0");
	ask(question());
	struct question *q = ask(question());
	ch_test_advance(w.t, 10000);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
	assert_int_equal(q->attempts, 1);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 0);
	world_free();

	world_new(2);
	SCRIPT(&w.b[0], { .hangs = true });
	SCRIPT(&w.b[1], { .ms = 2000 });
	world_start("timeout = 2500ms\nbudget = 3s\nbreaker_failures = 1\nretries = 0\n[router.m]\nbackends = a1\nfallback = b1");
	q = ask(question());
	ch_test_advance(w.t, 10000);
	assert_int_equal(q->attempts, 2);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 1);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "b1", NULL) == 0);
	world_free();

	world_new(1); /* the budget is all that bounds it, and it had all of that */
	SCRIPT(&w.b[0], { .hangs = true });
	world_start("budget = 3s\nbreaker_failures = 1\nretries = 0");
	ask(question());
	ch_test_advance(w.t, 10000);
	assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == 1);
	world_free();
}

static void a_stream_under_way_that_runs_out_of_time_opens_no_circuit(void **state)
{
	static const struct { struct step step; bool pauses; int opens; } rows[] = {
		{ { .ms = 100, .deltas = 60 }, false, 0 },
		{ { .ms = 100, .deltas = 60 }, true, 0 },
		{ { .ms = 100, .deltas = 3, .hangs = true }, false, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_new(1);
		w.b[0].script[0] = rows[i].step;
		world_start("timeout = 5s\nidle_timeout = 2s\nbreaker_failures = 1");
		struct question *q = stream(question());
		q->pauses = rows[i].pauses;
		ask(q);
		ch_test_advance(w.t, 10000);
		assert_int_equal(q->out.code, CH_E_UPSTREAM_TIMEOUT);
		assert_int_equal(took(q), 5000);
		assert_true(ch_test_metric(w.t, "chimera_breaker_state", "a1", NULL) == rows[i].opens);
		world_free();
	}
}

static void a_retry_that_would_outlive_the_budget_is_not_waited_for(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR });
	world_start("budget = 40ms");
	struct question *q = ask(question());
	assert_int_equal(took(q), 0);
	assert_int_equal(q->attempts, 1);
	world_free();
}

static void a_timeout_is_the_rows_else_the_backends_else_the_routers(void **state)
{
	static const struct { const char *ini; int64_t backend, args, expected; } rows[] = {
		{ "timeout = 9s", 0, 0, 9000 }, { "timeout = 9s", 10000, 0, 10000 },
		{ "timeout = 9s\n[router.m]\ntimeout = 8s", 10000, 0, 8000 },
		{ "timeout = 9s", 0, 700, 700 }, { "timeout = 9s", 0, 70000, 9000 }, { "timeout = 9s\nbudget = 5s", 0, 0, 5000 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_new(1);
		w.b[0].conf.timeout = rows[i].backend;
		world_start(rows[i].ini);
		struct question *q = question();
		q->args.timeout_ms = rows[i].args;
		ask(q);
		assert_int_equal(w.b[0].last.timeout_ms, rows[i].expected);
		world_free();
	}
}

static void the_other_times_are_the_backends_else_the_routers(void **state)
{
	(void)state;
	world_new(1);
	w.b[0].conf.idle_timeout = 77;
	world_start("connect_timeout = 1s\nfirst_token_timeout = 2s\nidle_timeout = 3s");
	ask(question());
	assert_int_equal(w.b[0].last.connect_timeout_ms, 1000);
	assert_int_equal(w.b[0].last.first_token_timeout_ms, 2000);
	assert_int_equal(w.b[0].last.idle_timeout_ms, 77);
	world_free();
}

/* ---- what is counted ---- */

static void tokens_and_their_price_are_counted(void **state)
{
	(void)state;
	world_new(1);
	world_start("[router.m]\nbackends = a1\nprice_in = 2000000\nprice_out = 500000");
	ask(question());
	assert_true(ch_test_metric(w.t, "llm_tokens_used_total", "scripted", "m", "prompt", NULL) == 3);
	assert_true(ch_test_metric(w.t, "llm_tokens_used_total", "scripted", "m", "completion", NULL) == 2);
	assert_true(ch_test_metric(w.t, "chimera_cost_total", "a1", "m", NULL) == 3 * 2 + 2 * 0.5);
	world_free();
}

static void the_gateways_own_time_is_all_but_the_attempts(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 300, .code = CH_E_UPSTREAM_ERROR }, { .ms = 400 });
	world_start(NULL);
	struct question *q = ask(question());
	ch_test_advance(w.t, 5000);
	assert_true(ch_test_metric(w.t, "chimera_gateway_overhead_seconds", NULL) == 1);
	assert_int_equal(ch_test_metric_sum(w.t, "chimera_gateway_overhead_seconds", NULL) * 1e3 + 0.5, took(q) - 300 - 400);
	world_free();
}

/* Wherever memory runs out: one end, no crash, nothing left. */
static void without_memory_a_question_still_ends(void **state)
{
	(void)state;
	for (int scene = 0; scene < 3; scene++) {
		bool struck = true;
		for (unsigned long n = 1; struck; n++) {
			world_new(2);
			SCRIPT(&w.b[0], { .ms = 10, .code = CH_E_UPSTREAM_ERROR }, { .code = CH_E_UPSTREAM_ERROR },
				{ .ms = 10, .deltas = 2 });
			SCRIPT(&w.b[1], { .ms = 10, .code = CH_E_UPSTREAM_ERROR });
			if (scene == 2) /* the second question waits */
				w.b[0].conf.max_in_flight = w.b[0].conf.max_waiting = 1;
			world_start(scene == 1 ? "backends = a1, b1\n[router.m]\nbackends = a1\nfallback = b1" : "backends = a1");
			struct question *first = question(), *q = stream(question());
			if (scene == 2)
				ask(first);
			ch_test_fail_alloc(w.t, n);
			ask(q);
			ch_test_advance(w.t, 2000);
			struck = ch_test_fail_alloc(w.t, 0);
			if (!q->asked)
				q->a = NULL; /* it did not come that far */
			world_free();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_budget_bounds_attempts_and_all_of_them_together),
		cmocka_unit_test(the_clients_own_patience_is_never_outlived),
		cmocka_unit_test(patience_ends_with_the_first_delta_of_a_stream),
		cmocka_unit_test(an_impatient_client_opens_no_circuit),
		cmocka_unit_test(what_waiting_left_of_the_budget_opens_no_circuit),
		cmocka_unit_test(a_stream_under_way_that_runs_out_of_time_opens_no_circuit),
		cmocka_unit_test(a_retry_that_would_outlive_the_budget_is_not_waited_for),
		cmocka_unit_test(a_timeout_is_the_rows_else_the_backends_else_the_routers),
		cmocka_unit_test(the_other_times_are_the_backends_else_the_routers),
		cmocka_unit_test(tokens_and_their_price_are_counted),
		cmocka_unit_test(the_gateways_own_time_is_all_but_the_attempts),
		cmocka_unit_test(without_memory_a_question_still_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
