/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of stores: who is asked, when, by whom, and what is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_door.h"

enum { NOW = CH_OK, LATER = CH_AGAIN, BROKEN = CH_ERROR };

#define QUESTIONS 64

struct question { struct ch_keys_result *out; ch_ticket ticket; bool open; };
struct store {
	int rc;                           /* what find returns */
	int error;                        /* enum ch_keys_error, of what is not `known` */
	const char *known;                /* the one key that it knows; NULL: none */
	struct ch_key key;
	uint64_t revision;
	unsigned asked, cancelled;
	struct question questions[QUESTIONS]; /* LATER: those that wait */
};

static struct store a, b;

static void fill(const struct store *s, const unsigned char *sha256, struct ch_keys_result *out)
{
	unsigned char known[CH_SHA256];
	struct ch_str text = { s->known, s->known ? strlen(s->known) : 0 };

	ch_sha256(&text, 1, known);
	out->revision = s->revision;
	out->error = s->error;
	if (s->error == CH_KEYS_UNKNOWN && s->known && (!sha256 || !memcmp(known, sha256, CH_SHA256))) {
		out->error = CH_KEYS_OK;
		out->key = s->key;
	}
	out->detail = out->error == CH_KEYS_UNAVAILABLE ? "The fake store is away." : NULL;
}

static int find(const struct ch_svc *svc, struct ch_ctx *c, const unsigned char sha256[32], struct ch_keys_result *out, ch_ticket ticket)
{
	struct store *s = ch_test_data(svc);

	(void)c;
	if (s->rc == LATER) {
		assert_true(s->asked < QUESTIONS);
		s->questions[s->asked] = (struct question){ out, ticket, true };
		out->call = &s->questions[s->asked];
	} else if (s->rc == NOW) {
		fill(s, sha256, out);
	}
	s->asked++;
	return s->rc;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_keys_result *out)
{
	struct question *q = out->call;

	(void)c;
	if (!q || !q->open)
		return;
	((struct store *)ch_test_data(svc))->cancelled++;
	q->open = false;
	ch_resume(q->ticket, NULL, NULL);
}

static uint64_t revision(const struct ch_svc *svc)
{
	return ((struct store *)ch_test_data(svc))->revision;
}

static const struct ch_keys_v1 vt = { sizeof(vt), find, cancel, revision };

/* On the loop: the oldest open question is answered as the store is now. */
static void answer(void *data)
{
	struct store *s = data;

	for (unsigned i = 0; i < s->asked; i++)
		if (s->questions[i].open) {
			s->questions[i].open = false;
			fill(s, NULL, s->questions[i].out);
			ch_resume(s->questions[i].ticket, NULL, NULL);
			return;
		}
	fail_msg("nothing is asked");
}

static struct ch_test *begin(const char *lines)
{
	struct ch_test *t = door_begin(lines);

	a = (struct store){ .error = CH_KEYS_UNKNOWN, .revision = 1, .key = { .size = sizeof(a.key), .id = "id", .owner = "ann", .tier = "premium",
		.role = CH_ROLE_USER, .models = "", .routes = "", .backends = "", .networks = "", .limits = "" } };
	b = a;
	b.key.id = "b";
	ch_test_service(t, "ka", "keys/1", &vt, &a);
	ch_test_service(t, "kb", "keys/1", &vt, &b);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

#define FREELY "failures = unlimited\n"

static void a_key_of_a_tier_that_there_is_not_is_told_once_a_minute(void **state)
{
	static const char line[] = "key id of ka ranks below all tiers: its tier is 'premum', did you mean premium?: there are anonymous, api_key, "
		"premium, admin ([auth] tiers)";
	struct ch_test *t = begin(FREELY "stores = ka\n");
	const char *first;

	(void)state;
	a.known = "key";
	assert_string_equal(door_body(t, "/in", "x-api-key: key\n"), "id ann premium 1 -");
	assert_false(ch_test_logged(t, "ranks below all tiers"));
	a.key.tier = "premum";
	for (unsigned i = 0; i < 3; i++) {
		a.revision++; /* so that it is asked again */
		assert_string_equal(door_body(t, "/in", "x-api-key: key\n"), "id ann premum 1 -");
	}
	first = strstr(ch_test_log(t), line);
	assert_non_null(first);
	assert_null(strstr(first + 1, line));
	ch_test_advance(t, 60000);
	a.revision++;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	first = strstr(ch_test_log(t), line);
	assert_non_null(strstr(first + 1, line));
	ch_test_free(t);
}

static void a_store_is_asked_once_as_long_as_nothing_changes(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\n");

	(void)state;
	a.known = "key";
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(door_body(t, "/in", "x-api-key: key\n"), "id ann premium 1 -");
	assert_int_equal(a.asked, 1);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_cache_hits_total", NULL), 4);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_cache_misses_total", NULL), 1);
	a.key.disabled = true; /* revoked */
	a.revision++;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401);
	assert_int_equal(a.asked, 2);
	a.key.disabled = false;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401); /* nobody has said that anything changed … */
	ch_test_advance(t, 5000);
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200); /* … but cache_ttl is over */
	assert_int_equal(a.asked, 3);
	ch_test_free(t);
}

static void that_a_key_is_not_there_is_remembered_too(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\n");

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401);
	assert_int_equal(a.asked, 1);
	a.known = "key"; /* it is made */
	a.revision++;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	ch_test_free(t);
}

static void a_remembered_key_ends_with_its_time(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\ncache_ttl = 1h\n");

	(void)state;
	a.known = "key";
	a.key.expires = INT64_C(1767225610000000); /* ten seconds from the harness's now */
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	ch_test_wall(t, 9999);
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	ch_test_wall(t, 1);
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401);
	assert_int_equal(a.asked, 1);
	ch_test_free(t);
}

static void a_store_that_is_away_is_503_and_never_401(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka, kb\napi_key = the-key-of-the-config-itself\n");
	struct ch_test_answer *x;

	(void)state;
	a.error = CH_KEYS_UNAVAILABLE;
	x = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
	assert_int_equal(x->status, 503);
	assert_string_equal(ch_test_header(x, "Retry-After"), "1");
	assert_null(ch_test_header(x, "WWW-Authenticate"));
	assert_int_equal(b.asked, 1);
	b.known = "key2";
	assert_int_equal(door_status(t, "/in", "x-api-key: key2\n"), 200); /* another source knows it */
	assert_int_equal(door_status(t, "/in", "x-api-key: the-key-of-the-config-itself\n"), 200);
	a.rc = BROKEN;
	assert_int_equal(door_status(t, "/in", "x-api-key: key3\n"), 503);
	a.rc = NOW;
	a.error = CH_KEYS_UNKNOWN;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "unavailable", NULL), 2);
	ch_test_free(t);
}

static void a_key_that_the_file_has_off_is_off_whatever_a_store_says(void **state)
{
	char lines[256];
	struct ch_test *t;

	(void)state;
	door_write(door_section("x", "key", "disabled = yes\n"));
	snprintf(lines, sizeof(lines), FREELY "stores = ka\nkeys_file = %s\n", door_file);
	t = begin(lines);
	ch_test_sweep_off(t); /* as in door_with_file */
	a.known = "key";
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401);
	assert_int_equal(a.asked, 1); /* the same work as for a key that nobody knows */
	a.error = CH_KEYS_UNAVAILABLE;
	a.revision++;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401);
	ch_test_free(t);
}

/* ---- waiting ---- */

static void requests_of_one_key_wait_for_one_question(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\n");
	struct ch_test_answer *x[10];

	(void)state;
	a.rc = LATER;
	for (unsigned i = 0; i < 10; i++)
		x[i] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
	assert_int_equal(a.asked, 1);
	ch_test_request(t, "GET", "/in", "x-api-key: other\n", NULL, 0);
	assert_int_equal(a.asked, 2);
	a.known = "key";
	ch_test_on_loop(t, answer, &a);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(x[i]->status, 200);
	assert_int_equal(a.asked, 2);
	ch_test_free(t);
}

static void if_the_first_leaves_another_asks(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\n");
	struct ch_test_answer *x[4];

	(void)state;
	a.rc = LATER;
	for (unsigned i = 0; i < 4; i++)
		x[i] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
	ch_test_leave(x[2]); /* one that has joined */
	ch_test_leave(x[0]);
	ch_test_advance(t, 0);
	assert_int_equal(a.cancelled, 1);
	assert_int_equal(a.asked, 2);
	a.known = "key";
	ch_test_on_loop(t, answer, &a);
	assert_int_equal(x[1]->status, 200);
	assert_int_equal(x[3]->status, 200);
	assert_int_equal(a.asked, 2);
	ch_test_free(t);
}

static void a_store_that_is_slow_is_503_for_all_that_wait(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\nstore_timeout = 500ms\n");
	struct ch_test_answer *x[3];

	(void)state;
	a.rc = LATER;
	for (unsigned i = 0; i < 3; i++)
		x[i] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
	ch_test_advance(t, 499);
	assert_int_equal(x[0]->status, 0);
	ch_test_advance(t, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(x[i]->status, 503);
	assert_int_equal(a.cancelled, 1);
	assert_int_equal(a.asked, 1);
	ch_test_free(t);
}

static void a_store_that_goes_away_meanwhile_is_503_for_all_that_wait(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka\n");
	struct ch_test_answer *x[3];

	(void)state;
	a.rc = LATER;
	for (unsigned i = 0; i < 3; i++)
		x[i] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
	a.error = CH_KEYS_UNAVAILABLE;
	ch_test_on_loop(t, answer, &a);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(x[i]->status, 503);
	assert_int_equal(a.asked, 1);
	ch_test_free(t);
}

static void one_store_after_the_other_is_asked(void **state)
{
	struct ch_test *t = begin(FREELY "stores = ka, kb\n");
	struct ch_test_answer *x[2];

	(void)state;
	a.rc = b.rc = LATER;
	b.known = "key";
	for (unsigned i = 0; i < 2; i++)
		x[i] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
	assert_int_equal(a.asked, 1);
	assert_int_equal(b.asked, 0);
	ch_test_on_loop(t, answer, &a);
	assert_int_equal(b.asked, 1);
	ch_test_on_loop(t, answer, &b);
	assert_int_equal(x[0]->status, 200);
	assert_string_equal(x[1]->body, "b ann premium 1 -");
	ch_test_free(t);
}

/* ---- failed attempts ---- */

static void beyond_the_limit_no_store_is_asked_and_known_keys_pass(void **state)
{
	struct ch_test *t = begin("failures = 20/min\nfailures_burst = 2\nstores = ka\n");

	(void)state;
	a.known = "key";
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong1\n"), 401);
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong2\n"), 401);
	assert_int_equal(a.asked, 3);
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong3\n"), 429);
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong1\n"), 429);
	assert_int_equal(a.asked, 3);
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	a.revision++;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200); /* it was good, so it is worth a question */
	assert_int_equal(a.asked, 4);
	ch_test_peer(t, "192.0.2.9");
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	ch_test_free(t);
}

static void a_neighbour_who_keeps_failing_shuts_out_no_key_that_was_good(void **state)
{
	struct ch_test *t = begin("failures = 1/h\nfailures_burst = 2\nstores = ka, kb\ncache_ttl = 1s\n");

	(void)state;
	b.known = "key";
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 401);
	for (unsigned i = 0; i < 5; i++) {
		ch_test_advance(t, 1500); /* longer than it is remembered */
		assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 429);
		assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 200);
	}
	b.error = CH_KEYS_UNAVAILABLE;
	ch_test_advance(t, 1500);
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 503); /* as for everybody */
	b.error = CH_KEYS_UNKNOWN;
	b.key.disabled = true;
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 401); /* it ends … */
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 429); /* … and is one like any other */
	ch_test_advance(t, 1500);
	assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 429);
	ch_test_free(t);
}

static void a_store_that_is_away_is_nobodys_failure(void **state)
{
	struct ch_test *t = begin("failures = 20/min\nfailures_burst = 1\nstores = ka\n");

	(void)state;
	a.error = CH_KEYS_UNAVAILABLE;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(door_status(t, "/in", "x-api-key: key\n"), 503);
	ch_test_free(t);
}

/* ---- no memory ---- */

static void without_memory_it_is_503_or_cut_and_nothing_is_left(void **state)
{
	bool struck = true;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		struct ch_test *t = begin(FREELY "stores = ka, kb\n");
		struct ch_test_answer *x[2];

		a.rc = LATER;
		b.known = "key";
		ch_test_fail_alloc(t, n);
		x[0] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
		x[1] = ch_test_request(t, "GET", "/in", "x-api-key: key\n", NULL, 0);
		while (a.asked > 0 && a.questions[0].open)
			ch_test_on_loop(t, answer, &a);
		if (a.asked > 1 && a.questions[1].open)
			ch_test_on_loop(t, answer, &a);
		struck = ch_test_fail_alloc(t, 0);
		for (unsigned i = 0; i < 2; i++)
			assert_true(x[i]->status == 200 || x[i]->status == 503 || x[i]->status == 0 || !x[i]->complete);
		ch_test_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_store_is_asked_once_as_long_as_nothing_changes),
		cmocka_unit_test(a_key_of_a_tier_that_there_is_not_is_told_once_a_minute),
		cmocka_unit_test(that_a_key_is_not_there_is_remembered_too),
		cmocka_unit_test(a_remembered_key_ends_with_its_time),
		cmocka_unit_test(a_store_that_is_away_is_503_and_never_401),
		cmocka_unit_test_setup_teardown(a_key_that_the_file_has_off_is_off_whatever_a_store_says, door_setup, door_teardown),
		cmocka_unit_test(requests_of_one_key_wait_for_one_question),
		cmocka_unit_test(if_the_first_leaves_another_asks),
		cmocka_unit_test(a_store_that_is_slow_is_503_for_all_that_wait),
		cmocka_unit_test(a_store_that_goes_away_meanwhile_is_503_for_all_that_wait),
		cmocka_unit_test(one_store_after_the_other_is_asked),
		cmocka_unit_test(beyond_the_limit_no_store_is_asked_and_known_keys_pass),
		cmocka_unit_test(a_neighbour_who_keeps_failing_shuts_out_no_key_that_was_good),
		cmocka_unit_test(a_store_that_is_away_is_nobodys_failure),
		cmocka_unit_test(without_memory_it_is_503_or_cut_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
