/* SPDX-License-Identifier: Apache-2.0 */
/* A store that is away, forgets, or holds what is not ours (FAULTS I8). */
#include "test_world.h"

static void forget_all(void)
{
	for (int i = 0; i < KEYS; i++) {
		free(store.v[i].value);
		store.v[i].value = NULL;
	}
}

static void new_keys_pass_while_the_store_is_away_and_are_remembered_here(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;
	struct idem_record r;

	(void)state;
	store.error = CH_KV_UNAVAILABLE;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	assert_string_equal(a->body, "{\"work\":1}");
	assert_null(ch_test_header(a, "Idempotent-Replayed"));
	assert_string_equal(b->body, "{\"work\":1}");
	assert_non_null(ch_test_header(b, "Idempotent-Replayed"));
	assert_int_equal(works.calls, 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_unwritten", NULL), 1);
	assert_true(ch_test_metric(t, "chimera_idempotency_store_errors_total", "claim", NULL) > 0);
	store.error = 0;
	ch_test_advance(t, 4100);
	assert_true(store_record(&r) >= 0); /* told as soon as it can be */
	assert_int_equal(r.kind, IDEM_ANSWER);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_unwritten", NULL), 0);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_held_bytes", NULL), 0);
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	ch_test_free(t);
}

static void new_keys_are_503_if_that_is_wanted(void **state)
{
	struct ch_test *t = world_of("on_store_down = refuse\n");
	struct ch_test_answer *a;

	(void)state;
	store.error = CH_KV_UNAVAILABLE;
	a = post(t, KEY, BODY);
	assert_int_equal(a->status, 503);
	assert_non_null(ch_test_header(a, "Retry-After"));
	assert_int_equal(post(t, NULL, BODY)->status, 200); /* without a key nobody asks the store */
	store.error = 0;
	assert_int_equal(post(t, KEY, BODY)->status, 200);
	assert_int_equal(works.calls, 2);
	assert_int_equal(conflicts(t, "store_down"), 1);
	ch_test_free(t);
}

static void keys_that_were_answered_are_503_while_the_store_is_away(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;

	(void)state;
	post(t, KEY, BODY);
	store.error = CH_KV_UNAVAILABLE;
	a = post(t, KEY, BODY);
	assert_int_equal(a->status, 503);
	assert_non_null(ch_test_header(a, "Retry-After"));
	store.error = 0;
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_full_store_is_one_that_is_away(void **state)
{
	struct ch_test *t = world_of("on_store_down = refuse\n");

	(void)state;
	store.error = CH_KV_FULL;
	assert_int_equal(post(t, KEY, BODY)->status, 503);
	ch_test_free(t);
}

static void what_the_store_forgot_is_not_done_again(void **state)
{
	struct ch_test *t = world_of("");
	struct idem_record r;

	(void)state;
	post(t, KEY, BODY);
	forget_all();
	for (int i = 0; i < 2; i++) {
		struct ch_test_answer *a = post(t, KEY, BODY);

		assert_int_equal(a->status, 409);
		assert_non_null(strstr(a->body, "\"code\":\"idempotency_not_replayable\""));
	}
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_SPENT); /* other servers hear it, too */
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_key_that_was_answered_is_not_done_again_when_the_store_stalls(void **state)
{
	struct ch_test *t = world_of("");
	struct idem_record r;

	(void)state;
	post(t, KEY, BODY);
	store.error = CH_KV_UNKNOWN; /* perhaps a claim stands there now */
	assert_int_equal(post(t, KEY, BODY)->status, 503);
	assert_int_equal(post(t, KEY, BODY)->status, 503);
	store.error = CH_KV_UNAVAILABLE;
	assert_int_equal(post(t, KEY, BODY)->status, 503);
	assert_int_equal(works.calls, 1);
	store.error = 0;
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	ch_test_advance(t, 2100);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_unwritten", NULL), 0);
	assert_true(store_record(&r) >= 0); /* what was released was no answer */
	assert_int_equal(r.kind, IDEM_ANSWER);
	ch_test_free(t);
}

/* A client comes again with a key that was answered, and leaves before the store has said anything. */
static void leave_while_it_is_asked_again(struct ch_test *t)
{
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	ch_test_leave(post(t, KEY, BODY));
	ch_test_advance(t, 0);
	assert_int_equal(store.cancels, 1);
	store.late = false;
	for (int i = 0; i < 3; i++)
		ch_test_on_loop(t, store_answer, NULL);
	ch_test_advance(t, 2100);
}

static void a_client_that_comes_again_and_leaves_does_not_take_its_answer_along(void **state)
{
	struct ch_test *t = world_of("");

	(void)state;
	post(t, KEY, BODY);
	leave_while_it_is_asked_again(t);
	store.error = CH_KV_UNAVAILABLE;
	assert_int_equal(post(t, KEY, BODY)->status, 503);
	store.error = 0;
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_claim_for_a_key_that_the_store_forgot_is_released_and_the_key_stays_known(void **state)
{
	struct ch_test *t = world_of("");
	struct idem_record r;

	(void)state;
	post(t, KEY, BODY);
	forget_all();
	leave_while_it_is_asked_again(t);
	assert_true(store_record(&r) < 0);
	assert_int_equal(post(t, KEY, BODY)->status, 409);
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void an_answer_that_cannot_be_written_is_served_from_here(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b, *c;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	store.error = CH_KV_UNAVAILABLE;
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(a->status, 200);
	assert_string_equal(b->body, "{\"work\":1}");
	c = post(t, KEY, BODY);
	assert_string_equal(c->body, "{\"work\":1}");
	assert_true(ch_test_metric(t, "chimera_idempotency_held_bytes", NULL) > 0);
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_CLAIM);
	ch_test_advance(t, 10000);
	store.error = 0;
	ch_test_advance(t, 2100);
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_ANSWER);
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_store_that_stays_away_is_given_up_with_the_ttl(void **state)
{
	struct ch_test *t = world_of("ttl = 21s\n"); /* in the midst of the two seconds between two tries to write it */

	(void)state;
	store.error = CH_KV_UNAVAILABLE;
	post(t, KEY, BODY);
	ch_test_advance(t, 20000);
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	ch_test_advance(t, 1100);
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":2}"); /* although the store is still away */
	ch_test_advance(t, 23000);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_unwritten", NULL), 0);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_held_bytes", NULL), 0);
	store.error = 0;
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":3}");
	ch_test_free(t);
}

static int alive_keys(void)
{
	int n = 0;

	for (int i = 0; i < KEYS; i++)
		n += store.v[i].value && !strncmp(store.v[i].key, "idempotency:alive:", 18) && store.v[i].expires > ch_now();
	return n;
}

static void a_process_that_has_much_to_write_says_meanwhile_that_it_lives(void **state)
{
	struct ch_test *t = world_of("");
	char key[64];

	(void)state;
	ch_test_sweep_off(t);
	store.error = CH_KV_UNAVAILABLE;
	for (int i = 0; i < 14; i++) {
		snprintf(key, sizeof(key), "Idempotency-Key: n%d\n", i);
		post(t, key, BODY);
	}
	ch_test_advance(t, 2000);
	store.error = 0;
	store.late = true;
	for (int ms = 0; ms < 60000; ms += 500) { /* each operation takes half a second */
		ch_test_advance(t, 500);
		ch_test_on_loop(t, store_answer, NULL);
		assert_true(alive_keys() || ms < 9000);
	}
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_unwritten", NULL), 0);
	store.late = false;
	ch_test_free(t);
}

static void a_claim_that_cannot_be_released_is_released_later(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	store.error = CH_KV_UNAVAILABLE;
	works.status = 503;
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(a->status, 503);
	assert_true(store_record(&r) >= 0);
	store.error = 0;
	ch_test_advance(t, 2100);
	assert_true(store_record(&r) < 0);
	ch_test_free(t);
}

/* … and before that it is taken over. */
static void a_claim_left_over_by_this_process_is_taken_over(void **state)
{
	struct ch_test *t = world_of("");
	struct idem_record r;

	(void)state;
	works.how = LATE;
	post(t, KEY, BODY);
	store.error = CH_KV_UNAVAILABLE;
	works.status = 503;
	ch_test_on_loop(t, end_late, NULL);
	store.error = 0;
	works.status = 0;
	works.how = WHOLE;
	assert_string_equal(post(t, KEY, "another payload")->body, "{\"work\":2}");
	ch_test_advance(t, 5000);
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_ANSWER);
	ch_test_free(t);
}

static void a_claim_whose_answer_did_not_come_is_ours_all_the_same(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	/* The work runs on under a claim of which another version stands in the store by now. */
	int i = store_record(&r);
	store.v[i].version = ++store.versions;
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(a->status, 200);
	store_record(&r);
	assert_int_equal(r.kind, IDEM_ANSWER);
	ch_test_free(t);
}

static void what_is_not_ours_stays_and_counts_as_a_failure(void **state)
{
	struct ch_test *t = world_of("on_store_down = refuse\n");
	struct idem_record r;
	char key[200];

	(void)state;
	works.how = LATE;
	post(t, KEY, BODY);
	strcpy(key, store.v[store_record(&r)].key);
	works.status = 503;
	ch_test_on_loop(t, end_late, NULL);
	put((struct ch_str){ key, strlen(key) }, (struct ch_str)CH_STR("garbage\r\nX: y"), 0);
	works.how = WHOLE;
	assert_int_equal(post(t, KEY, BODY)->status, 503);
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_failing_store_fails_all_who_wait_at_once(void **state)
{
	struct ch_test *t = world_of("on_store_down = refuse\n");
	struct ch_test_answer *a, *b, *c;

	(void)state;
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	c = post(t, KEY, BODY);
	store.error = CH_KV_UNAVAILABLE;
	ch_test_on_loop(t, store_answer, NULL);
	store.late = false;
	assert_int_equal(a->status, 503);
	assert_int_equal(b->status, 503);
	assert_int_equal(c->status, 503);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_store_errors_total", "claim", NULL), 1);
	ch_test_free(t);
}

static void the_server_waits_for_what_is_to_be_written_but_not_for_a_store_that_is_away(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_self *self = ch_test_self(t, "idempotency");

	(void)state;
	post(t, KEY, BODY);
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	works.how = LATE;
	post(t, "Idempotency-Key: two\n", BODY);
	ch_test_on_loop(t, store_answer, NULL);
	ch_test_on_loop(t, end_late, NULL);
	assert_false(self->plugin->drained(self));
	ch_test_on_loop(t, store_answer, NULL);
	assert_true(self->plugin->drained(self));
	store.late = false;
	works.how = WHOLE;
	store.error = CH_KV_UNAVAILABLE;
	post(t, "Idempotency-Key: three\n", BODY);
	assert_true(self->plugin->drained(self));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_keys_pass_while_the_store_is_away_and_are_remembered_here),
		cmocka_unit_test(new_keys_are_503_if_that_is_wanted),
		cmocka_unit_test(keys_that_were_answered_are_503_while_the_store_is_away),
		cmocka_unit_test(a_full_store_is_one_that_is_away),
		cmocka_unit_test(what_the_store_forgot_is_not_done_again),
		cmocka_unit_test(a_key_that_was_answered_is_not_done_again_when_the_store_stalls),
		cmocka_unit_test(a_client_that_comes_again_and_leaves_does_not_take_its_answer_along),
		cmocka_unit_test(a_claim_for_a_key_that_the_store_forgot_is_released_and_the_key_stays_known),
		cmocka_unit_test(an_answer_that_cannot_be_written_is_served_from_here),
		cmocka_unit_test(a_store_that_stays_away_is_given_up_with_the_ttl),
		cmocka_unit_test(a_process_that_has_much_to_write_says_meanwhile_that_it_lives),
		cmocka_unit_test(a_claim_that_cannot_be_released_is_released_later),
		cmocka_unit_test(a_claim_left_over_by_this_process_is_taken_over),
		cmocka_unit_test(a_claim_whose_answer_did_not_come_is_ours_all_the_same),
		cmocka_unit_test(what_is_not_ours_stays_and_counts_as_a_failure),
		cmocka_unit_test(a_failing_store_fails_all_who_wait_at_once),
		cmocka_unit_test(the_server_waits_for_what_is_to_be_written_but_not_for_a_store_that_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
