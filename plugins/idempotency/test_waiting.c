/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that come while the first one with their key is worked on, in this process (FAULTS I3), and clients that leave meanwhile. */
#include "test_world.h"

#include "idempotency.h"

static double clientless(struct ch_test *t)
{
	return ch_test_metric(t, "chimera_idempotency_clientless", NULL);
}

static void who_comes_meanwhile_waits_and_gets_a_replay(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b[5];

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	for (int i = 0; i < 5; i++)
		b[i] = post(t, KEY, BODY);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_waits_total", NULL), 5);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_in_flight", NULL), 1);
	ch_test_advance(t, 60000); /* here nobody waits too long */
	assert_false(b[0]->done);
	ch_test_on_loop(t, end_late, NULL);
	assert_string_equal(a->body, "{\"work\":1}");
	assert_null(ch_test_header(a, "Idempotent-Replayed"));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(b[i]->status, 200);
		assert_string_equal(b[i]->body, "{\"work\":1}");
		assert_string_equal(ch_test_header(b[i], "Idempotent-Replayed"), "true");
	}
	assert_int_equal(works.calls, 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_held_bytes", NULL), 0);
	ch_test_free(t);
}

static void who_comes_meanwhile_with_another_payload_is_422_at_once(void **state)
{
	struct ch_test *t = world_of("");

	(void)state;
	works.how = LATE;
	post(t, KEY, BODY);
	assert_int_equal(post(t, KEY, "other")->status, 422);
	ch_test_on_loop(t, end_late, NULL);
	ch_test_free(t);
}

/* Whose payload is the right one is known only when the store has said so. */
static void two_payloads_while_the_store_is_asked_are_judged_by_it(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b, *c;

	(void)state;
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	a = post(t, KEY, BODY);
	b = post(t, KEY, "other");
	c = post(t, KEY, BODY);
	assert_false(b->done);
	ch_test_on_loop(t, store_answer, NULL); /* a has claimed it */
	assert_int_equal(a->status, 200);
	assert_int_equal(b->status, 422);
	assert_int_equal(c->status, 200);
	assert_non_null(ch_test_header(c, "Idempotent-Replayed"));
	ch_test_on_loop(t, store_answer, NULL);
	store.late = false;
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void who_waits_behind_work_that_fails_does_it_itself(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b, *c;

	(void)state;
	works.how = LATE;
	works.status = 503;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	c = post(t, KEY, BODY);
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(a->status, 503);
	assert_false(b->done);
	assert_int_equal(works.calls, 2);
	assert_int_equal(store.sets, 1); /* under the claim of the first one */
	works.status = 0;
	ch_test_on_loop(t, end_late, NULL);
	assert_string_equal(b->body, "{\"work\":2}");
	assert_null(ch_test_header(b, "Idempotent-Replayed"));
	assert_string_equal(c->body, "{\"work\":2}");
	assert_string_equal(ch_test_header(c, "Idempotent-Replayed"), "true");
	ch_test_free(t);
}

static void work_whose_client_leaves_is_cancelled_and_its_key_released(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	assert_true(store_record(&r) >= 0);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(works.gone, 1);
	assert_true(store_record(&r) < 0);
	assert_int_equal(clientless(t), 0);
	works.how = WHOLE;
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":2}");
	ch_test_free(t);
}

static void work_goes_on_without_its_client_while_another_waits(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	ch_test_leave(a);
	ch_test_advance(t, 30000);
	assert_int_equal(works.gone, 0);
	assert_int_equal(clientless(t), 1);
	ch_test_on_loop(t, end_late, NULL);
	assert_string_equal(b->body, "{\"work\":1}");
	assert_non_null(ch_test_header(b, "Idempotent-Replayed"));
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	assert_int_equal(clientless(t), 0);
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void work_ends_when_the_last_one_who_waits_has_left(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	ch_test_leave(b);
	ch_test_advance(t, 1100);
	assert_int_equal(works.gone, 1);
	assert_true(store_record(&r) < 0);
	assert_int_equal(clientless(t), 0);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_in_flight", NULL), 0);
	ch_test_free(t);
}

static void begin_stream(void *unused)
{
	(void)unused;
	works.begun = true;
	ch_header_set(works.c, "Content-Type", "text/event-stream");
	ch_begin(works.c, 200);
	ch_write(works.c, "data: begin\n\n", 13, NULL, NULL);
}

static void a_stream_whose_client_leaves_is_whole_for_who_waits(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	ch_test_on_loop(t, begin_stream, NULL);
	assert_string_equal(a->body, "data: begin\n\n");
	b = post(t, KEY, BODY);
	ch_test_advance(t, 0);
	assert_int_equal(b->n, 0); /* no live tee */
	ch_test_leave(a);
	ch_test_advance(t, 5000);
	ch_test_on_loop(t, end_late, NULL);
	assert_string_equal(b->body, "data: begin\n\ndata: end\n\n");
	assert_string_equal(ch_test_header(b, "Content-Type"), "text/event-stream");
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_stream_that_nobody_waits_for_ends_with_its_client(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	ch_test_on_loop(t, begin_stream, NULL);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(works.gone, 1);
	assert_true(store_record(&r) < 0);
	ch_test_free(t);
}

static void one_who_waits_and_leaves_is_not_waited_for(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b, *c;

	(void)state;
	works.how = LATE;
	works.status = 503;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	c = post(t, KEY, BODY);
	ch_test_leave(b);
	ch_test_advance(t, 0);
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(a->status, 503);
	works.status = 0;
	ch_test_on_loop(t, end_late, NULL);
	assert_string_equal(c->body, "{\"work\":2}");
	assert_int_equal(works.calls, 2);
	ch_test_free(t);
}

/* Their tickets are none that anybody hears of: they have left while they were being resumed. */
static void leads_that_reach_nobody_end_with_the_key_free(int hold, size_t unwritten)
{
	struct ch_test *t = world_of("");
	struct idem_table *table = idem_table_new();
	struct idem_waiter w[3] = { { .print = "p" }, { .print = "p", .ticket = 98 }, { .print = "p", .ticket = 99 } };
	struct idem_waiter again = { .print = "q" };
	unsigned char scope[CH_SHA256] = "scope";

	ch_test_expect_misuse(t); /* those tickets */
	assert_int_equal(idem_table_enter(table, scope, &w[0]), IDEM_LEADS);
	assert_int_equal(idem_table_enter(table, scope, &w[1]), IDEM_WAITS);
	assert_int_equal(idem_table_enter(table, scope, &w[2]), IDEM_WAITS);
	w[0].entry->hold = hold;
	idem_wake(idem_table_run(table, w[0].entry));
	idem_table_abdicate(table, w[0].entry, INT64_MAX);
	assert_int_equal(idem_queue_count(idem_table_unwritten(table)), unwritten);
	assert_int_equal(idem_table_enter(table, scope, &again), IDEM_LEADS);
	assert_int_equal(again.entry->hold, IDEM_NOT_HELD);
	idem_table_abdicate(table, again.entry, INT64_MAX);
	idem_table_unref(table);
	ch_test_free(t);
}

static void a_lead_that_reaches_nobody_is_passed_on(void **state)
{
	(void)state;
	leads_that_reach_nobody_end_with_the_key_free(IDEM_NOT_HELD, 0);
	leads_that_reach_nobody_end_with_the_key_free(IDEM_HELD, 1); /* its claim is to be released */
}

/* A claim that cannot be released yet. */
static void abandon(struct idem_table *table, unsigned n)
{
	struct idem_waiter w = { .print = "p" };
	unsigned char scope[CH_SHA256] = { n & 255, n >> 8 & 255, n >> 16 };

	assert_int_equal(idem_table_enter(table, scope, &w), IDEM_LEADS);
	w.entry->hold = IDEM_UNSURE;
	idem_table_abdicate(table, w.entry, INT64_MAX);
}

static void what_waits_for_a_store_that_is_away_has_a_bound(void **state)
{
	struct ch_test *t = world_of("");
	struct idem_table *table = idem_state(ch_test_self(t, "idempotency"))->table;
	struct idem_queue *unwritten = idem_table_unwritten(table);

	(void)state;
	store.error = CH_KV_UNAVAILABLE;
	for (unsigned n = 0; n < IDEM_UNWRITTEN_MAX - 1; n++)
		abandon(table, n);
	assert_int_equal(idem_queue_count(unwritten), IDEM_UNWRITTEN_MAX - 1);
	assert_int_equal(post(t, KEY, BODY)->status, 200);
	assert_int_equal(idem_queue_count(unwritten), IDEM_UNWRITTEN_MAX);
	assert_int_equal(post(t, "Idempotency-Key: one-more\n", BODY)->status, 503);
	abandon(table, IDEM_UNWRITTEN_MAX);
	assert_int_equal(idem_queue_count(unwritten), IDEM_UNWRITTEN_MAX);
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_client_that_leaves_while_the_store_is_asked_leaves_no_claim(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	a = post(t, KEY, BODY);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(store.cancels, 1);
	store.late = false;
	for (int i = 0; i < 3; i++)
		ch_test_on_loop(t, store_answer, NULL);
	ch_test_advance(t, 2100);
	assert_true(store_record(&r) < 0); /* the claim was made, too late, and released */
	assert_int_equal(works.calls, 0);
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":1}");
	ch_test_free(t);
}

static void who_waits_for_the_store_leads_when_the_first_one_leaves(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;

	(void)state;
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	store.late = false;
	for (int i = 0; i < 3; i++)
		ch_test_on_loop(t, store_answer, NULL);
	assert_string_equal(b->body, "{\"work\":1}");
	assert_null(ch_test_header(b, "Idempotent-Replayed"));
	ch_test_free(t);
}

static void a_reload_keeps_who_works_and_who_waits(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b, *c;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	ch_test_config(t, "[works]\n[idempotency]\nttl = 1m\n");
	assert_true(ch_test_start(t));
	c = post(t, KEY, BODY);
	assert_int_equal(works.calls, 1);
	ch_test_on_loop(t, end_late, NULL);
	assert_string_equal(a->body, "{\"work\":1}");
	assert_string_equal(b->body, "{\"work\":1}");
	assert_string_equal(c->body, "{\"work\":1}");
	works.how = WHOLE;
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void the_server_ends_when_work_without_a_client_has(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_self *self = ch_test_self(t, "idempotency");
	struct ch_test_answer *a, *b;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	assert_true(self->plugin->drained(self));
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_false(self->plugin->drained(self));
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(b->status, 200);
	assert_true(self->plugin->drained(self));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_meanwhile_waits_and_gets_a_replay),
		cmocka_unit_test(who_comes_meanwhile_with_another_payload_is_422_at_once),
		cmocka_unit_test(two_payloads_while_the_store_is_asked_are_judged_by_it),
		cmocka_unit_test(who_waits_behind_work_that_fails_does_it_itself),
		cmocka_unit_test(work_whose_client_leaves_is_cancelled_and_its_key_released),
		cmocka_unit_test(work_goes_on_without_its_client_while_another_waits),
		cmocka_unit_test(work_ends_when_the_last_one_who_waits_has_left),
		cmocka_unit_test(a_stream_whose_client_leaves_is_whole_for_who_waits),
		cmocka_unit_test(a_stream_that_nobody_waits_for_ends_with_its_client),
		cmocka_unit_test(one_who_waits_and_leaves_is_not_waited_for),
		cmocka_unit_test(a_lead_that_reaches_nobody_is_passed_on),
		cmocka_unit_test(what_waits_for_a_store_that_is_away_has_a_bound),
		cmocka_unit_test(a_client_that_leaves_while_the_store_is_asked_leaves_no_claim),
		cmocka_unit_test(who_waits_for_the_store_leads_when_the_first_one_leaves),
		cmocka_unit_test(a_reload_keeps_who_works_and_who_waits),
		cmocka_unit_test(the_server_ends_when_work_without_a_client_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
