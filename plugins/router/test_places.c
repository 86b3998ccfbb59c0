/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of a backend: places and who waits for one, the circuit, balance; and callers who give up, wherever the question is. */
#include "test_way.h"

struct world w;

static double gauge(const char *name, const char *backend)
{
	return ch_test_metric(w.t, name, backend, NULL);
}

static double in_flight(const char *backend)
{
	return gauge("chimera_backend_in_flight", backend);
}

static double waiting(const char *backend)
{
	return gauge("chimera_backend_waiting", backend);
}

static double circuit(const char *backend)
{
	return gauge("chimera_breaker_state", backend);
}

/* ---- places ---- */

static void places_are_handed_out_in_the_order_asked_for(void **state)
{
	struct question *q[4];

	(void)state;
	world_new(1);
	w.b[0].conf.max_in_flight = 1;
	w.b[0].conf.max_waiting = 3;
	SCRIPT(&w.b[0], { .ms = 10 });
	world_start(NULL);
	for (int i = 0; i < 4; i++)
		q[i] = ask(question());
	assert_true(in_flight("a1") == 1);
	assert_true(waiting("a1") == 3);
	ch_test_advance(w.t, 100);
	for (int i = 0; i < 4; i++)
		assert_int_equal(took(q[i]), 10 * (i + 1));
	assert_int_equal(w.b[0].most, 1);
	world_free();
}

static void a_full_queue_is_busy(void **state)
{
	(void)state;
	world_new(1);
	w.b[0].conf.max_in_flight = 1;
	SCRIPT(&w.b[0], { .ms = 10 });
	world_start(NULL);
	ask(question());
	struct question *q = ask(question());
	assert_int_equal(took(q), 0);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_BUSY);
	assert_int_equal(q->a->status, 503);
	assert_string_equal(ch_test_header(q->a, "Retry-After"), "1");
	assert_true(ch_test_logged(w.t, "no answer for model \"m\": a1 not asked (no place)"));
	/* why it failed is counted; how long that took says nothing of the model */
	assert_true(ch_test_metric(w.t, "inference_errors_total", "a1", "upstream_busy", NULL) == 1);
	assert_true(ch_test_metric(w.t, "inference_latency_seconds", "a1", "m", NULL) == 0);
	ch_test_advance(w.t, 10);
	assert_true(ch_test_metric(w.t, "inference_latency_seconds", "a1", "m", NULL) == 1);
	world_free();
}

static void rather_an_equal_with_a_place_than_waiting(void **state)
{
	(void)state;
	world_new(2);
	for (int i = 0; i < 2; i++) {
		w.b[i].conf.max_in_flight = w.b[i].conf.max_waiting = 1;
		SCRIPT(&w.b[i], { .ms = 10 });
	}
	world_start("balance = in_order");
	for (int i = 0; i < 4; i++)
		ask(question());
	ch_test_advance(w.t, 100);
	for (int i = 0; i < 4; i++) {
		assert_string_equal(w.q[i].backend, i % 2 ? "b1" : "a1");
		assert_int_equal(took(&w.q[i]), i < 2 ? 10 : 20);
	}
	world_free();
}

static void where_no_place_is_and_none_may_wait_a_fallback_is_asked(void **state)
{
	(void)state;
	world_new(2);
	w.b[0].conf.max_in_flight = 1;
	SCRIPT(&w.b[0], { .ms = 10 });
	world_start("fallback = b1\n[router.m]\nbackends = a1");
	ask(question());
	assert_string_equal(ask(question())->backend, "b1");
	ch_test_advance(w.t, 10);
	world_free();
}

static void waiting_ends_with_the_budget(void **state)
{
	(void)state;
	world_new(1);
	w.b[0].conf.max_in_flight = w.b[0].conf.max_waiting = 1;
	SCRIPT(&w.b[0], { .ms = 1000 });
	world_start(NULL);
	ask(question());
	struct question *q = question();
	q->args.budget_ms = 50;
	ask(q);
	ch_test_advance(w.t, 60);
	assert_int_equal(took(q), 50);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_BUSY);
	assert_true(waiting("a1") == 0);
	ch_test_advance(w.t, 1000);
	assert_int_equal(w.b[0].calls, 1);
	world_free();
}

static void who_left_while_waiting_gets_no_place(void **state)
{
	struct question *q[4];

	(void)state;
	world_new(1);
	w.b[0].conf.max_in_flight = 1;
	w.b[0].conf.max_waiting = 3;
	SCRIPT(&w.b[0], { .ms = 10 });
	world_start(NULL);
	for (int i = 0; i < 4; i++)
		q[i] = ask(question());
	ch_test_leave(q[1]->a);
	ch_test_leave(q[2]->a);
	ch_test_advance(w.t, 0);
	assert_true(waiting("a1") == 1);
	ch_test_advance(w.t, 100);
	assert_int_equal(q[1]->why, CH_GONE);
	assert_int_equal(took(q[3]), 20);
	assert_int_equal(w.b[0].calls, 2);
	world_free();
}

static void leave_both(void *data)
{
	struct question **q = data;
	/* The first frees its place, which goes to the second; that one gives up before it hears of it. */
	give_up(q[0]);
	give_up(q[1]);
}

static void a_place_that_comes_too_late_goes_to_the_next(void **state)
{
	struct question *q[3];

	(void)state;
	world_new(1);
	w.b[0].conf.max_in_flight = 1;
	w.b[0].conf.max_waiting = 2;
	SCRIPT(&w.b[0], { .ms = 10 });
	world_start(NULL);
	for (int i = 0; i < 3; i++)
		q[i] = ask(question());
	ch_test_on_loop(w.t, leave_both, q);
	assert_int_equal(q[0]->ended + q[1]->ended, 2);
	assert_true(in_flight("a1") == 1);
	ch_test_advance(w.t, 10);
	assert_int_equal(q[2]->out.code, 0);
	assert_int_equal(w.b[0].calls, 2);
	world_free();
}

/* ---- who gives up, and where ---- */

enum place { ASKING, STREAMING, PAUSED, WAITING, BACKING_OFF, PLACES };

static void check_left(struct question *q, enum place place, int why)
{
	assert_int_equal(q->ended, 1);
	assert_int_equal(q->why, why);
	assert_true(q->out.code != 0);
	if (place == WAITING) {
		assert_int_equal(w.b[0].cancelled, 0);
		assert_true(waiting("a1") == 0);
		ch_test_leave(w.q[0].a);
		ch_test_advance(w.t, 0);
	} else if (place != BACKING_OFF) {
		assert_int_equal(w.b[0].cancelled, 1);
	}
	assert_true(in_flight("a1") == 0);
	assert_true(circuit("a1") == 0); /* that somebody left says nothing of the backend */
	assert_true(ch_test_metric(w.t, "inference_requests_total", "a1", "m", "cancelled", NULL) == (place == WAITING ? 2 : 1));
	unsigned calls = w.b[0].calls;
	ch_test_advance(w.t, 1000);
	assert_int_equal(w.b[0].calls, calls);
}

/* A question that, once it is asked, comes to that place within 3 ms. */
static struct question *bring(enum place place)
{
	world_new(1);
	w.b[0].conf.max_in_flight = w.b[0].conf.max_waiting = 1;
	SCRIPT(&w.b[0], { .hangs = true });
	if (place == STREAMING || place == PAUSED)
		SCRIPT(&w.b[0], { .ms = 1, .deltas = 5, .hangs = true });
	if (place == BACKING_OFF)
		SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_RATE_LIMITED }, { 0 });
	world_start("breaker_failures = 1");
	if (place == WAITING)
		ask(question());
	struct question *q = question();
	q->streams = place == STREAMING || place == PAUSED;
	q->pauses = place == PAUSED;
	return q;
}

static void a_client_that_leaves_frees_everything_in_the_same_turn(void **state)
{
	(void)state;
	for (int place = 0; place < PLACES; place++) {
		struct question *q = bring(place);
		ask(q);
		ch_test_advance(w.t, 3);
		assert_int_equal(q->ended, 0);
		assert_int_equal(q->deltas, place == STREAMING ? 3 : place == PAUSED ? 1 : 0);
		ch_test_leave(q->a);
		ch_test_advance(w.t, 0);
		check_left(q, place, CH_GONE);
		world_free();
	}
}

static void a_caller_that_waits_no_longer_frees_everything(void **state)
{
	(void)state;
	for (int place = 0; place < PLACES; place++) {
		struct question *q = bring(place);
		q->ticket_ms = 20;
		ask(q);
		ch_test_advance(w.t, 20);
		assert_int_equal(took(q), 20);
		check_left(q, place, CH_TIMEOUT);
		world_free();
	}
}

static void cancel_resumes_the_ticket_wherever_the_question_is(void **state)
{
	(void)state;
	for (int place = 0; place < PLACES; place++) {
		struct question *q = bring(place);
		ask(q);
		ch_test_advance(w.t, 3);
		ch_test_on_loop(w.t, give_up, q);
		check_left(q, place, CH_READY);
		world_free();
	}
}

static void a_sink_may_give_up(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 1, .deltas = 3 });
	world_start(NULL);
	struct question *q = stream(question());
	q->cancels = true;
	ask(q);
	ch_test_advance(w.t, 10);
	assert_int_equal(q->deltas, 1);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(w.b[0].cancelled, 1);
	world_free();
}

static void a_paused_answer_goes_on_when_told(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 10, .deltas = 2 });
	world_start(NULL);
	struct question *q = stream(question());
	q->pauses = true;
	ask(q);
	ch_test_advance(w.t, 1000);
	assert_int_equal(q->deltas, 1);
	q->pauses = false;
	ch_test_on_loop(w.t, go_on, q);
	ch_test_advance(w.t, 1000);
	assert_int_equal(q->deltas, 2);
	assert_int_equal(q->out.code, 0);
	/* What the client paused is not the backend's: 10 ms between two pieces. */
	assert_int_equal(ch_test_metric_sum(w.t, "chimera_time_between_tokens_seconds", NULL) * 1e6 + 0.5, 10000);
	world_free();
}

/* ---- the circuit ---- */

static void failures_in_a_row_open_the_circuit_and_a_probe_closes_it(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR }, { .code = CH_E_UPSTREAM_INVALID }, { .code = CH_E_UPSTREAM_UNAVAILABLE },
		{ .code = CH_E_UPSTREAM_ERROR }, { .ms = 5 });
	world_start("retries = 0\nbreaker_failures = 3\nbreaker_cooldown = 10s");
	for (int i = 0; i < 3; i++)
		assert_true(ask(question())->out.code != CH_E_UPSTREAM_UNAVAILABLE || i == 2);
	assert_true(circuit("a1") == 1);
	assert_true(ch_test_logged(w.t, "a1 is degraded now: its circuit is open: too many failures or slow answers (last: upstream_un"));
	ch_test_advance(w.t, 4000);
	struct question *q = ask(question());
	assert_int_equal(q->attempts, 0);
	assert_int_equal(q->out.code, CH_E_UPSTREAM_UNAVAILABLE);
	assert_in_range(atoi(ch_test_header(q->a, "Retry-After")), 6, 7); /* 10 s, and a tenth of them at random, less 4 */
	assert_true(ch_test_logged(w.t, "no answer for model \"m\": a1 not asked (circuit open)"));
	ch_test_advance(w.t, 7000);
	ask(question()); /* a probe that fails */
	assert_int_equal(w.b[0].calls, 4);
	assert_true(circuit("a1") == 1);
	ch_test_advance(w.t, 11000);
	struct question *probe = ask(question());
	assert_true(circuit("a1") == 2);
	assert_int_equal(ask(question())->attempts, 0); /* one probe at a time */
	ch_test_advance(w.t, 5);
	assert_int_equal(probe->out.code, 0);
	assert_true(circuit("a1") == 0);
	ch_test_advance(w.t, 5000);
	assert_true(ch_test_logged(w.t, "a1 works again"));
	world_free();
}

static void the_share_of_failures_opens_the_circuit(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { 0 }, { .code = CH_E_UPSTREAM_ERROR }, { 0 }, { .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 0\nbreaker_error_rate = 50%\nbreaker_min_requests = 4");
	for (int i = 0; i < 3; i++)
		ask(question());
	assert_true(circuit("a1") == 0);
	ask(question());
	assert_true(circuit("a1") == 1);
	world_free();
}

static void being_busy_is_no_failure(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_RATE_LIMITED }, { .code = CH_E_UPSTREAM_BUSY });
	world_start("retries = 0\nbreaker_failures = 1\nbreaker_min_requests = 1");
	for (int i = 0; i < 5; i++)
		ask(question());
	assert_true(circuit("a1") == 0);
	assert_int_equal(w.b[0].calls, 5);
	world_free();
}

static void timeouts_open_the_circuit_and_the_healthy_one_serves(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .hangs = true });
	world_start("balance = in_order\ntimeout = 1s\nbreaker_failures = 5");
	for (int i = 0; i < 5; i++)
		ask(question());
	ch_test_advance(w.t, 1000);
	assert_true(circuit("a1") == 1);
	for (int i = 0; i < 5; i++)
		assert_string_equal(w.q[i].backend, "b1");
	struct question *q = ask(question());
	assert_int_equal(took(q), 0);
	assert_string_equal(q->backend, "b1");
	world_free();
}

static void slowness_opens_the_circuit_and_a_stream_is_judged_by_its_first_delta(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .ms = 90, .deltas = 20 }, { .ms = 110 });
	world_start("breaker_slow = 100ms\nbreaker_failures = 1");
	ask(stream(question()));
	ch_test_advance(w.t, 5000);
	assert_true(circuit("a1") == 0);
	struct question *q = ask(question());
	ch_test_advance(w.t, 110);
	assert_int_equal(q->out.code, 0);
	assert_true(circuit("a1") == 1);
	world_free();
}

static void the_first_delta_of_a_probe_closes_the_circuit(void **state)
{
	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR }, { .ms = 10, .deltas = 2, .hangs = true });
	world_start("retries = 0\nbreaker_failures = 1\nbreaker_cooldown = 1s");
	ask(question());
	ch_test_advance(w.t, 1100);
	struct question *q = ask(stream(question()));
	ch_test_advance(w.t, 9);
	assert_true(circuit("a1") == 2);
	ch_test_advance(w.t, 1);
	assert_true(circuit("a1") == 0);
	ch_test_advance(w.t, 20);
	ch_test_leave(q->a);
	ch_test_advance(w.t, 0);
	assert_true(circuit("a1") == 0);
	world_free();
}

static void who_waits_for_a_backend_whose_circuit_opens_goes_elsewhere(void **state)
{
	struct question *q[3];

	(void)state;
	world_new(2);
	w.b[0].conf.max_in_flight = 1;
	w.b[0].conf.max_waiting = 2;
	SCRIPT(&w.b[0], { .ms = 10, .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 0\nbreaker_failures = 1\nfallback = b1\n[router.m]\nbackends = a1");
	for (int i = 0; i < 3; i++)
		q[i] = ask(question());
	ch_test_advance(w.t, 10);
	for (int i = 0; i < 3; i++)
		assert_string_equal(q[i]->backend, "b1");
	assert_int_equal(w.b[0].calls, 1);
	world_free();
}

/* ---- commands ---- */

static void a_backend_that_is_disabled_is_not_asked(void **state)
{
	const char *text;

	(void)state;
	world_new(2);
	w.b[0].conf.max_in_flight = w.b[0].conf.max_waiting = 1;
	SCRIPT(&w.b[0], { .ms = 10 });
	world_start("balance = in_order\nfallback = b1\n[router.m]\nbackends = a1");
	struct question *runs = ask(question()), *waits = ask(question());
	assert_int_equal(ch_test_command(w.t, &text, "router", "backends", "disable", "a1", NULL), 0);
	assert_string_equal(waits->backend, "b1");
	assert_string_equal(ask(question())->backend, "b1");
	ch_test_advance(w.t, 10);
	assert_string_equal(runs->backend, "a1");
	assert_int_equal(ch_test_command(w.t, &text, "router", "backends", "enable", "a1", NULL), 0);
	struct question *again = ask(question());
	ch_test_advance(w.t, 10);
	assert_string_equal(again->backend, "a1");
	world_free();
}

static void when_all_are_disabled_nobody_answers(void **state)
{
	const char *text;

	(void)state;
	world_new(1);
	world_start(NULL);
	ch_test_command(w.t, &text, "router", "backends", "disable", "a1", NULL);
	struct question *q = ask(question());
	assert_int_equal(q->out.code, CH_E_UPSTREAM_UNAVAILABLE);
	assert_non_null(ch_test_header(q->a, "Retry-After"));
	assert_true(ch_test_logged(w.t, "a1 not asked (disabled)"));
	assert_string_equal(q->detail, "The backend \"a1\" is switched off; try again later.");
	q = question();
	q->args.op = CH_I_PROBE;
	assert_int_equal(ask(q)->out.code, CH_E_UPSTREAM_UNAVAILABLE);
	ch_test_command(w.t, &text, "router", "backends", "enable", "a1", NULL);
	q = question();
	q->args.op = CH_I_PROBE;
	assert_int_equal(ask(q)->out.code, 0);
	assert_int_equal(w.b[0].calls, 0);
	world_free();
}

static void reset_closes_the_circuit(void **state)
{
	const char *text;

	(void)state;
	world_new(1);
	SCRIPT(&w.b[0], { .code = CH_E_UPSTREAM_ERROR }, { 0 });
	world_start("retries = 0\nbreaker_failures = 1");
	ask(question());
	assert_true(circuit("a1") == 1);
	assert_int_equal(ch_test_command(w.t, &text, "router", "backends", "reset", "a1", NULL), 0);
	assert_true(circuit("a1") == 0);
	assert_int_equal(ask(question())->out.code, 0);
	world_free();
}

/* ---- a reload ---- */

static void a_reload_keeps_circuits_places_and_those_who_wait(void **state)
{
	(void)state;
	world_new(2);
	w.b[0].conf.max_in_flight = w.b[0].conf.max_waiting = 1;
	SCRIPT(&w.b[0], { .ms = 50 });
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 0\nbreaker_failures = 1\n[router.m]\nbackends = a1\n[router.x]\nbackends = b1/x");
	struct question *q = question();
	q->args.model = (struct ch_str)CH_STR("x");
	ask(q);
	assert_true(circuit("b1") == 1);
	struct question *runs = ask(question()), *waits = ask(question());
	ch_test_advance(w.t, 20);
	world_start("retries = 1\nbreaker_failures = 1\n[router.m]\nbackends = a1\n[router.x]\nbackends = b1/x");
	assert_true(circuit("b1") == 1);
	assert_true(in_flight("a1") == 1);
	assert_int_equal(ask(question())->out.code, CH_E_UPSTREAM_BUSY); /* of the new one, which knows of the old one's calls */
	q = question();
	q->args.model = (struct ch_str)CH_STR("x");
	assert_int_equal(ask(q)->out.code, CH_E_UPSTREAM_UNAVAILABLE);
	ch_test_advance(w.t, 100);
	assert_int_equal(took(runs), 50);
	assert_int_equal(took(waits), 100);
	world_free();
}

static void a_backend_that_is_no_more_leaves_no_open_circuit(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[1], { .code = CH_E_UPSTREAM_ERROR });
	world_start("retries = 0\nbreaker_failures = 1\n[router.m]\nbackends = b1");
	ask(question());
	assert_true(circuit("b1") == 1);
	world_start("retries = 1\nbreaker_failures = 1\n[router.m]\nbackends = b1");
	assert_true(circuit("b1") == 1);
	world_start("backends = a1");
	assert_int_equal(ask(question())->out.code, 0);
	assert_true(circuit("b1") == 0);
	world_free();
}

/* ---- balance ---- */

static void the_fewest_in_flight_is_asked(void **state)
{
	(void)state;
	world_new(3);
	for (int i = 0; i < 3; i++)
		SCRIPT(&w.b[i], { .ms = 100 });
	w.b[2].conf.weight = 4;
	world_start("balance = least_in_flight");
	for (int i = 0; i < 12; i++)
		ask(question());
	assert_int_equal(w.b[0].running, 2);
	assert_int_equal(w.b[1].running, 2);
	assert_int_equal(w.b[2].running, 8);
	ch_test_advance(w.t, 100);
	world_free();
}

static void the_fastest_is_asked(void **state)
{
	(void)state;
	world_new(2);
	SCRIPT(&w.b[0], { .ms = 200 });
	SCRIPT(&w.b[1], { .ms = 10 });
	world_start("balance = ewma");
	for (int i = 0; i < 30; i++) {
		ask(question());
		ch_test_advance(w.t, 200);
	}
	assert_in_range(w.b[0].calls, 1, 3);
	world_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_handed_out_in_the_order_asked_for),
		cmocka_unit_test(a_full_queue_is_busy),
		cmocka_unit_test(rather_an_equal_with_a_place_than_waiting),
		cmocka_unit_test(where_no_place_is_and_none_may_wait_a_fallback_is_asked),
		cmocka_unit_test(waiting_ends_with_the_budget),
		cmocka_unit_test(who_left_while_waiting_gets_no_place),
		cmocka_unit_test(a_place_that_comes_too_late_goes_to_the_next),
		cmocka_unit_test(a_client_that_leaves_frees_everything_in_the_same_turn),
		cmocka_unit_test(a_caller_that_waits_no_longer_frees_everything),
		cmocka_unit_test(cancel_resumes_the_ticket_wherever_the_question_is),
		cmocka_unit_test(a_sink_may_give_up),
		cmocka_unit_test(a_paused_answer_goes_on_when_told),
		cmocka_unit_test(failures_in_a_row_open_the_circuit_and_a_probe_closes_it),
		cmocka_unit_test(the_share_of_failures_opens_the_circuit),
		cmocka_unit_test(being_busy_is_no_failure),
		cmocka_unit_test(timeouts_open_the_circuit_and_the_healthy_one_serves),
		cmocka_unit_test(slowness_opens_the_circuit_and_a_stream_is_judged_by_its_first_delta),
		cmocka_unit_test(the_first_delta_of_a_probe_closes_the_circuit),
		cmocka_unit_test(who_waits_for_a_backend_whose_circuit_opens_goes_elsewhere),
		cmocka_unit_test(a_backend_that_is_disabled_is_not_asked),
		cmocka_unit_test(when_all_are_disabled_nobody_answers),
		cmocka_unit_test(reset_closes_the_circuit),
		cmocka_unit_test(a_reload_keeps_circuits_places_and_those_who_wait),
		cmocka_unit_test(a_backend_that_is_no_more_leaves_no_open_circuit),
		cmocka_unit_test(the_fewest_in_flight_is_asked),
		cmocka_unit_test(the_fastest_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
