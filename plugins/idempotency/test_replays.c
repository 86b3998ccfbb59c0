/* SPDX-License-Identifier: Apache-2.0 */
/* What is answered again, how, and what is not (FAULTS I1, I2, I4, I6, I7). */
#include "test_world.h"

static void same_answer(const struct ch_test_answer *a, const struct ch_test_answer *b)
{
	static const char *const names[] = { "Content-Type", "X-Work", NULL };

	assert_int_equal(a->status, b->status);
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->body, b->body, a->n);
	for (size_t i = 0; names[i]; i++)
		assert_string_equal(ch_test_header(a, names[i]), ch_test_header(b, names[i]));
	assert_null(ch_test_header(a, "Idempotent-Replayed"));
	assert_string_equal(ch_test_header(b, "Idempotent-Replayed"), "true");
}

static void a_repeated_request_gets_the_same_answer_and_works_once(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a = post(t, KEY, BODY), *b = post(t, KEY, BODY);

	(void)state;
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "{\"work\":1}");
	same_answer(a, b);
	assert_int_equal(works.calls, 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_hits_total", NULL), 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_first_total", NULL), 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_in_flight", NULL), 0);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_held_bytes", NULL), 0);
	ch_test_free(t);
}

static void a_replay_has_the_handlers_fields_and_its_own_of_the_request(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *b;
	struct idem_record r;
	const char *name, *value;
	size_t at = 0;
	unsigned n = 0;

	(void)state;
	post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	assert_true(store_record(&r) >= 0);
	while (idem_record_next(&r, &at, &name, &value)) {
		n++;
		assert_true(!strcmp(name, "Content-Type") || !strcmp(name, "X-Work"));
	}
	assert_int_equal(n, 2);
	assert_string_equal(ch_test_header(b, "X-Trace"), "of this request");
	assert_string_equal(ch_test_header(b, "X-Added"), "as it leaves");
	assert_null(ch_test_header(b, "X-Request-Id"));
	assert_null(ch_test_header(b, "x-ratelimit-remaining-tokens"));
	ch_test_free(t);
}

static void a_stream_is_replayed_as_a_stream(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;

	(void)state;
	works.how = STREAM;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	assert_string_equal(a->body, "data: one\n\ndata: [DONE]\n\n");
	same_answer(a, b);
	assert_string_equal(ch_test_header(b, "Transfer-Encoding"), "chunked");
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void a_large_answer_is_replayed_whole(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a, *b;

	(void)state;
	works.bytes = 300000;
	a = post(t, KEY, BODY);
	b = post(t, KEY, BODY);
	assert_int_equal(a->n, 300000);
	same_answer(a, b);
	assert_string_equal(ch_test_header(b, "Content-Length"), "300000");
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void quoted_and_bare_are_one_key(void **state)
{
	struct ch_test *t = world_of("");

	(void)state;
	post(t, KEY, BODY);
	assert_non_null(ch_test_header(post(t, "idempotency-key: \"k1\"\n", BODY), "Idempotent-Replayed"));
	assert_int_equal(works.calls, 1);
	ch_test_free(t);
}

static void another_payload_is_422(void **state)
{
	struct ch_test *t = world_of("");
	struct ch_test_answer *a;

	(void)state;
	post(t, KEY, BODY);
	a = post(t, KEY, "{\"n\":2}");
	assert_int_equal(a->status, 422);
	assert_non_null(strstr(a->body, "\"code\":\"idempotency_key_reused\""));
	assert_null(ch_test_header(a, "Idempotent-Replayed"));
	assert_int_equal(ch_test_request(t, "POST", "/work?q=1", KEY, BODY, strlen(BODY))->status, 422);
	assert_int_equal(post(t, KEY "Content-Type: text/plain\n", BODY)->status, 422);
	assert_int_equal(works.calls, 1);
	assert_int_equal(conflicts(t, "reused"), 3);
	assert_int_equal(post(t, KEY, BODY)->status, 200); /* the first one's answer is there still */
	ch_test_free(t);
}

static void another_path_key_or_client_is_another_request(void **state)
{
	struct ch_test *t = world_of("");

	(void)state;
	post(t, KEY, BODY);
	assert_string_equal(ch_test_request(t, "POST", "/work/7", KEY, BODY, strlen(BODY))->body, "{\"work\":2}");
	assert_string_equal(post(t, "Idempotency-Key: k2\n", BODY)->body, "{\"work\":3}");
	ch_test_peer(t, "192.0.2.7");
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":4}");
	ch_test_peer(t, "127.0.0.1");
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":1}");
	ch_test_free(t);
}

static void keys_that_are_none_are_400(void **state)
{
	static const char *const bad[] = { "Idempotency-Key:\n", "Idempotency-Key: \"\"\n", "Idempotency-Key: a b\n",
		"Idempotency-Key: \"a\n", "Idempotency-Key: k\303\266\n", KEY KEY };
	struct ch_test *t = world_of("");
	char longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ch_test_answer *a = post(t, bad[i], BODY);

		assert_int_equal(a->status, 400);
		assert_non_null(strstr(a->body, "1 to 255 visible ASCII characters"));
		assert_non_null(strstr(a->body, "\"param\":\"Idempotency-Key\""));
	}
	snprintf(longest, sizeof(longest), "Idempotency-Key: %0255d\n", 7);
	assert_int_equal(post(t, longest, BODY)->status, 200);
	snprintf(longest, sizeof(longest), "Idempotency-Key: %0256d\n", 7);
	assert_int_equal(post(t, longest, BODY)->status, 400);
	assert_int_equal(works.calls, 1);
	assert_int_equal(conflicts(t, "malformed"), 7);
	ch_test_free(t);
}

static void routes_that_are_not_idempotent_and_reads_do_not_look_at_it(void **state)
{
	struct ch_test *t = world_of("");

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ch_test_request(t, "POST", "/plain", KEY, BODY, strlen(BODY))->status, 200);
		assert_int_equal(ch_test_request(t, "GET", "/work", KEY, NULL, 0)->status, 200);
		assert_int_equal(post(t, NULL, BODY)->status, 200);
	}
	assert_int_equal(works.calls, 6);
	assert_int_equal(store.sets, 0);
	ch_test_free(t);
}

static void an_answer_over_the_limit_is_served_and_its_key_stays_spent(void **state)
{
	struct ch_test *t = world_of("max_response_bytes = 1000\nttl = 60s\n");
	struct ch_test_answer *a;
	struct idem_record r;

	(void)state;
	works.bytes = 1001;
	a = post(t, KEY, BODY);
	assert_int_equal(a->status, 200);
	assert_int_equal(a->n, 1001);
	assert_true(store_record(&r) >= 0);
	assert_int_equal(r.kind, IDEM_SPENT);
	for (int i = 0; i < 2; i++) {
		a = post(t, KEY, BODY);
		assert_int_equal(a->status, 409);
		assert_non_null(strstr(a->body, "\"code\":\"idempotency_not_replayable\""));
	}
	assert_int_equal(post(t, KEY, "other")->status, 422);
	assert_int_equal(works.calls, 1);
	works.bytes = 1000;
	assert_int_equal(post(t, "Idempotency-Key: fits\n", BODY)->n, 1000);
	assert_non_null(ch_test_header(post(t, "Idempotency-Key: fits\n", BODY), "Idempotent-Replayed"));
	ch_test_advance(t, 61000);
	assert_int_equal(post(t, KEY, BODY)->status, 200);
	assert_int_equal(works.calls, 3);
	ch_test_free(t);
}

static void what_finds_no_room_in_the_process_is_served_and_spent(void **state)
{
	struct ch_test *t = world_of("max_held_bytes = 64k\n");

	(void)state;
	works.bytes = 70000;
	assert_int_equal(post(t, KEY, BODY)->n, 70000);
	assert_int_equal(post(t, KEY, BODY)->status, 409);
	assert_int_equal(works.calls, 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_results_total", "not_kept", NULL), 1);
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_held_bytes", NULL), 0);
	ch_test_free(t);
}

/* Works twice, and nothing stands in the store behind it. */
static void not_kept(int how, int status, int answered)
{
	struct ch_test *t = world_of("");
	struct idem_record r;

	works.how = how;
	works.status = status;
	for (unsigned i = 1; i <= 2; i++) {
		struct ch_test_answer *a = post(t, KEY, BODY);

		if (answered)
			assert_int_equal(a->status, answered);
		else
			assert_false(a->complete);
		assert_int_equal(works.calls, i);
		assert_true(store_record(&r) < 0);
	}
	assert_int_equal(ch_test_metric(t, "chimera_idempotency_results_total", "released", NULL), 2);
	ch_test_free(t);
}

static void refusals_and_broken_answers_release_the_key(void **state)
{
	(void)state;
	not_kept(REFUSED, 503, 503);
	not_kept(REFUSED, 422, 422); /* ours */
	not_kept(WHOLE, 302, 302);
	not_kept(WHOLE, 404, 404);   /* no backend's */
	not_kept(WHOLE, 500, 500);
	not_kept(UPSTREAM, 401, 401);
	not_kept(UPSTREAM, 403, 403);
	not_kept(UPSTREAM, 408, 408);
	not_kept(UPSTREAM, 409, 409);
	not_kept(UPSTREAM, 429, 429);
	not_kept(UPSTREAM, 503, 503);
	not_kept(BROKEN_STREAM, 0, 200);
	not_kept(ABORTED, 0, 0);
}

static void a_backends_own_refusal_is_kept(void **state)
{
	static const int statuses[] = { 400, 404, 413, 415, 422 };

	(void)state;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		struct ch_test *t = world_of("");
		struct ch_test_answer *a;

		works.how = UPSTREAM;
		works.status = statuses[i];
		a = post(t, KEY, BODY);
		assert_int_equal(a->status, statuses[i]);
		same_answer(a, post(t, KEY, BODY));
		assert_int_equal(works.calls, 1);
		ch_test_free(t);
	}
}

static void a_key_is_forgotten_after_its_ttl(void **state)
{
	struct ch_test *t = world_of("ttl = 30s\n");

	(void)state;
	post(t, KEY, BODY);
	ch_test_advance(t, 29000);
	assert_non_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	ch_test_advance(t, 1100);
	assert_null(ch_test_header(post(t, KEY, BODY), "Idempotent-Replayed"));
	assert_int_equal(works.calls, 2);
	ch_test_free(t);
}

/* It is not taken for an answer that the store has lost. */
static void an_answer_that_expires_by_the_stores_clock_before_ours_is_made_anew(void **state)
{
	struct ch_test *t = world_of("ttl = 10s\n");

	(void)state;
	store.early = 20;
	post(t, KEY, BODY);
	ch_test_advance(t, 9990);
	assert_string_equal(post(t, KEY, BODY)->body, "{\"work\":2}");
	ch_test_free(t);
}

static void an_allocation_that_fails_makes_no_second_work(void **state)
{
	struct ch_test *t = world_of("");
	unsigned long n = 1;
	bool struck = true;

	(void)state;
	for (; struck; n++) {
		char key[64];
		struct ch_test_answer *a, *b;
		unsigned before = works.calls;

		snprintf(key, sizeof(key), "Idempotency-Key: n%lu\n", n);
		ch_test_fail_alloc(t, n);
		a = post(t, key, BODY);
		struck = ch_test_fail_alloc(t, 0);
		b = post(t, key, BODY);
		assert_true(!a->complete || a->status == 200 || a->status == 503);
		assert_true(b->complete && (b->status == 200 || b->status == 409));
		if (a->complete && a->status == 200) /* what was answered is not done again */
			assert_int_equal(works.calls, before + 1);
		ch_test_advance(t, 3000);
		for (int i = 0; i < KEYS; i++) {
			free(store.v[i].value);
			store.v[i].value = NULL;
		}
	}
	assert_true(n > 5);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_repeated_request_gets_the_same_answer_and_works_once),
		cmocka_unit_test(a_replay_has_the_handlers_fields_and_its_own_of_the_request),
		cmocka_unit_test(a_stream_is_replayed_as_a_stream),
		cmocka_unit_test(a_large_answer_is_replayed_whole),
		cmocka_unit_test(quoted_and_bare_are_one_key),
		cmocka_unit_test(another_payload_is_422),
		cmocka_unit_test(another_path_key_or_client_is_another_request),
		cmocka_unit_test(keys_that_are_none_are_400),
		cmocka_unit_test(routes_that_are_not_idempotent_and_reads_do_not_look_at_it),
		cmocka_unit_test(an_answer_over_the_limit_is_served_and_its_key_stays_spent),
		cmocka_unit_test(what_finds_no_room_in_the_process_is_served_and_spent),
		cmocka_unit_test(refusals_and_broken_answers_release_the_key),
		cmocka_unit_test(a_backends_own_refusal_is_kept),
		cmocka_unit_test(a_key_is_forgotten_after_its_ttl),
		cmocka_unit_test(an_answer_that_expires_by_the_stores_clock_before_ours_is_made_anew),
		cmocka_unit_test(an_allocation_that_fails_makes_no_second_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
