/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that another process works on, or did until it died (FAULTS I3, I5): what it leaves in the store is put there by the test. */
#include "test_world.h"

#define ALIVE "idempotency:alive:" "6f746865722d70726f636573732d3031"
static const unsigned char other[IDEM_PROCESS + 1] = "other-process-01";

static bool alive = true;

static void other_lives(void)
{
	if (alive)
		put((struct ch_str)CH_STR(ALIVE), (struct ch_str)CH_STR("1"), 6000);
}

/* The other process has claimed what `post(KEY, BODY)` asks for: made of the claim that this one makes. */
static struct ch_test *claimed_elsewhere(const char *options, const char *body)
{
	struct ch_test *t = world_of(options);
	unsigned char claim[IDEM_CLAIM_SIZE], print[CH_SHA256];
	struct ch_test_answer *a;
	struct idem_record r;
	int i;

	works.how = LATE;
	a = post(t, KEY, body);
	i = store_record(&r);
	assert_true(i >= 0);
	memcpy(print, r.print, sizeof(print));
	char key[200];
	strcpy(key, store.v[i].key);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(works.gone, 1);
	memset(&works, 0, sizeof(works));
	idem_record_claim(claim, print, other, 77);
	put((struct ch_str){ key, strlen(key) }, (struct ch_str){ (char *)claim, sizeof(claim) }, 300000);
	other_lives();
	return t;
}

/* So long passes that the other one says it lives. */
static void advance(struct ch_test *t, int64_t ms)
{
	for (; ms > 0; ms -= 500) {
		other_lives();
		ch_test_advance(t, ms < 500 ? ms : 500);
	}
}

static bool marked(void)
{
	for (int i = 0; i < KEYS; i++)
		if (store.v[i].value && strstr(store.v[i].key, ":wanted") && store.v[i].expires > ch_now())
			return true;
	return false;
}

/* The other one has answered. */
static void answer_elsewhere(void)
{
	unsigned char b[128];
	struct idem_record r;
	char key[200];
	int i = store_record(&r);
	size_t n = IDEM_ANSWER_HEAD;

	assert_true(i >= 0);
	idem_record_answer(b, r.print, 201, false, 1);
	idem_record_field(b + n, 6, 5);
	memcpy(b + n + 6, "X-Work\0there", 13);
	n += 6 + 13;
	memcpy(b + n, "done", 4);
	strcpy(key, store.v[i].key);
	put((struct ch_str){ key, strlen(key) }, (struct ch_str){ (char *)b, n + 4 }, 300000);
}

static void who_waits_for_another_process_gets_its_answer(void **state)
{
	struct ch_test *t = claimed_elsewhere("", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY), *b = post(t, KEY, BODY);

	(void)state;
	assert_false(a->done);
	advance(t, 5000);
	assert_false(a->done);
	assert_true(marked());
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_waits_total", NULL), 2);
	answer_elsewhere();
	advance(t, 1500);
	assert_int_equal(a->status, 201);
	assert_string_equal(a->body, "done");
	assert_string_equal(ch_test_header(a, "X-Work"), "there");
	assert_string_equal(ch_test_header(a, "Idempotent-Replayed"), "true");
	assert_int_equal(b->status, 201);
	assert_string_equal(b->body, "done");
	assert_int_equal(works.calls, 0);
	ch_test_free(t);
}

static void it_waits_no_longer_than_wait_timeout(void **state)
{
	struct ch_test *t = claimed_elsewhere("wait_timeout = 4s\n", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY), *b;

	(void)state;
	advance(t, 1000);
	b = post(t, KEY, BODY);
	advance(t, 2500);
	assert_false(a->done);
	advance(t, 1000);
	assert_int_equal(a->status, 409);
	assert_non_null(strstr(a->body, "\"code\":\"idempotency_in_progress\""));
	assert_string_equal(ch_test_header(a, "Retry-After"), "2");
	assert_false(b->done);
	advance(t, 1000);
	assert_int_equal(b->status, 409);
	assert_true(marked());
	advance(t, 4500); /* the client is expected again */
	assert_true(marked());
	assert_int_equal(works.calls, 0);
	ch_test_free(t);
}

static void what_another_process_releases_is_done_here(void **state)
{
	struct ch_test *t = claimed_elsewhere("", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY);
	struct idem_record r;
	int i = store_record(&r);

	(void)state;
	free(store.v[i].value);
	store.v[i].value = NULL;
	advance(t, 1500);
	assert_string_equal(a->body, "{\"work\":1}");
	ch_test_free(t);
}

static void another_payload_than_the_other_processes_is_422(void **state)
{
	struct ch_test *t = claimed_elsewhere("", "other payload");

	(void)state;
	assert_int_equal(post(t, KEY, BODY)->status, 422);
	ch_test_free(t);
}

/* … also behind one that waits for it with the right one. */
static void another_payload_is_422_at_once_while_one_waits_for_the_other_process(void **state)
{
	struct ch_test *t = claimed_elsewhere("", BODY);
	struct ch_test_answer *a, *b, *c;

	(void)state;
	ch_test_sweep_off(t); /* nobody would answer for the store */
	store.late = true;
	a = post(t, KEY, BODY);
	b = post(t, KEY, "other payload");
	c = post(t, KEY, BODY);
	assert_false(b->done); /* whose payload is the right one is not known yet */
	ch_test_on_loop(t, store_answer, NULL);
	assert_int_equal(b->status, 422);
	assert_int_equal(post(t, KEY, "other payload")->status, 422);
	assert_false(a->done);
	store.late = false;
	ch_test_on_loop(t, store_answer, NULL);
	answer_elsewhere();
	advance(t, 1500);
	assert_int_equal(a->status, 201);
	assert_int_equal(c->status, 201);
	ch_test_free(t);
}

static void a_dead_owners_key_is_409_by_default(void **state)
{
	alive = false;
	struct ch_test *t = claimed_elsewhere("", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY);

	(void)state;
	advance(t, 2500);
	assert_false(a->done); /* a store that was away may have forgotten that it lives */
	advance(t, 1500);
	assert_int_equal(a->status, 409);
	assert_non_null(strstr(a->body, "\"code\":\"idempotency_indeterminate\""));
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_owners_lost_total", NULL), 1);
	assert_int_equal(works.calls, 0);
	alive = true;
	ch_test_free(t);
}

static void a_short_patience_does_not_make_an_owner_dead(void **state)
{
	alive = false;
	struct ch_test *t = claimed_elsewhere("wait_timeout = 1s\n", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY), *b;

	(void)state;
	advance(t, 2500);
	assert_false(a->done);
	alive = true;
	advance(t, 1500);
	assert_non_null(strstr(a->body, "\"code\":\"idempotency_in_progress\""));
	alive = false;
	advance(t, 6500);
	b = post(t, KEY, BODY);
	advance(t, 4000);
	assert_non_null(strstr(b->body, "\"code\":\"idempotency_indeterminate\""));
	alive = true;
	ch_test_free(t);
}

static void a_dead_owners_work_is_done_again_if_that_is_wanted(void **state)
{
	alive = false;
	struct ch_test *t = claimed_elsewhere("on_owner_lost = retry\n", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY), *b = post(t, KEY, BODY);

	(void)state;
	advance(t, 4000);
	assert_string_equal(a->body, "{\"work\":1}");
	assert_string_equal(b->body, "{\"work\":1}");
	assert_int_equal(works.calls, 1);
	assert_true(ch_test_logged(t, "on_owner_lost"));
	alive = true;
	ch_test_free(t);
}

static void an_owner_that_is_back_in_time_is_not_dead(void **state)
{
	alive = false;
	struct ch_test *t = claimed_elsewhere("", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY);

	(void)state;
	advance(t, 2000);
	alive = true;
	advance(t, 4000);
	assert_false(a->done);
	answer_elsewhere();
	advance(t, 1500);
	assert_int_equal(a->status, 201);
	ch_test_free(t);
}

static void a_store_that_goes_away_while_another_process_works_is_503(void **state)
{
	struct ch_test *t = claimed_elsewhere("", BODY);
	struct ch_test_answer *a = post(t, KEY, BODY), *b = post(t, KEY, BODY);

	(void)state;
	advance(t, 1000);
	store.error = CH_KV_UNAVAILABLE;
	ch_test_advance(t, 2000);
	assert_int_equal(a->status, 503); /* although on_store_down = pass: it is known to be worked on */
	assert_int_equal(b->status, 503);
	assert_non_null(ch_test_header(a, "Retry-After"));
	assert_int_equal(works.calls, 0);
	store.error = 0;
	ch_test_free(t);
}

/* ---- the other side: someone waits elsewhere for what is worked on here ---- */

static void mark_it(void)
{
	struct idem_record r;
	int i = store_record(&r);
	char key[200];

	assert_true(i >= 0);
	snprintf(key, sizeof(key), "%.80s:wanted", store.v[i].key);
	put((struct ch_str){ key, strlen(key) }, (struct ch_str)CH_STR("1"), 4000);
}

static void work_goes_on_without_its_client_while_someone_waits_elsewhere(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	mark_it();
	ch_test_leave(a);
	for (int i = 0; i < 10; i++) {
		ch_test_advance(t, 1000);
		assert_int_equal(works.gone, 0);
		mark_it();
	}
	ch_test_on_loop(t, end_late, NULL);
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_ANSWER);
	ch_test_free(t);
}

static void work_ends_when_nobody_waits_elsewhere_any_more(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	mark_it();
	ch_test_leave(a);
	ch_test_advance(t, 3000);
	assert_int_equal(works.gone, 0);
	ch_test_advance(t, 2500);
	assert_int_equal(works.gone, 1);
	assert_true(store_record(&r) < 0);
	ch_test_free(t);
}

static void this_process_says_that_it_lives(void **state)
{
	struct ch_test *t = world_of("");
	bool said = false;

	(void)state;
	for (int s = 0; s < 30; s++) {
		ch_test_advance(t, 1000);
		said = false;
		for (int i = 0; i < KEYS; i++)
			said = said || (store.v[i].value && !strncmp(store.v[i].key, "idempotency:alive:", 18) &&
					store.v[i].expires > ch_now());
		assert_true(said);
	}
	ch_test_free(t);
}

static void a_claim_is_prolonged_while_the_work_lasts(void **state)
{
	struct ch_test *t = world_of("ttl = 30s\n");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.how = LATE;
	a = post(t, KEY, BODY);
	for (int i = 0; i < 60; i++) {
		ch_test_advance(t, 2000);
		assert_true(store_record(&r) >= 0);
		assert_int_equal(r.kind, IDEM_CLAIM);
	}
	ch_test_on_loop(t, end_late, NULL);
	assert_int_equal(a->status, 200);
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_ANSWER);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_for_another_process_gets_its_answer),
		cmocka_unit_test(it_waits_no_longer_than_wait_timeout),
		cmocka_unit_test(what_another_process_releases_is_done_here),
		cmocka_unit_test(another_payload_than_the_other_processes_is_422),
		cmocka_unit_test(another_payload_is_422_at_once_while_one_waits_for_the_other_process),
		cmocka_unit_test(a_dead_owners_key_is_409_by_default),
		cmocka_unit_test(a_short_patience_does_not_make_an_owner_dead),
		cmocka_unit_test(a_dead_owners_work_is_done_again_if_that_is_wanted),
		cmocka_unit_test(an_owner_that_is_back_in_time_is_not_dead),
		cmocka_unit_test(a_store_that_goes_away_while_another_process_works_is_503),
		cmocka_unit_test(work_goes_on_without_its_client_while_someone_waits_elsewhere),
		cmocka_unit_test(work_ends_when_nobody_waits_elsewhere_any_more),
		cmocka_unit_test(this_process_says_that_it_lives),
		cmocka_unit_test(a_claim_is_prolonged_while_the_work_lasts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
