/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_memory.c - the plugin over the harness. What every provider of kv/1 must do is told by its conformance suite; the others are
 * about what is this one's own: metrics, reloads, the seam, no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kv.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(kv_memory);
CH_TEST_PLUGIN(conform_kv);

/* ---- a plugin that fills the seam ---- */

static struct ch_fault fault;

static bool strike(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self, (void)c;
	out->delay_ms = fault.delay_ms;
	out->fail = fault.fail;
	return fault.delay_ms || fault.fail;
}

static const struct ch_seam seams[] = { { .seam = CH_S_KV, .fn = strike } };
static const struct ch_plugin striker = {
	.size = sizeof(striker), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "striker", .version = "0",
	.summary = "Faults", .seams = CH_TABLE(seams),
};

static const struct ch_plugin *striker_entry(const struct ch_host *host)
{
	(void)host;
	return &striker;
}

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	fault = (struct ch_fault){ 0 };
	ch_test_plugin(t, CH_TEST_ENTRY(kv_memory));
	ch_test_plugin(t, CH_TEST_ENTRY(conform_kv));
	ch_test_plugin(t, striker_entry);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

/* ---- one operation, with a ticket ---- */

enum which { GET, SET, ADD, TAKE };

static struct {
	const struct ch_svc *svc;
	enum which which;
	char key[600];
	size_t n;                         /* SET */
	bool with_ticket;
	struct ch_ctx *c;
	struct ch_kv_result *out;
	int rc, error;
	bool over, done;
	int64_t number, left;
	size_t found;
} op;

static void note(void)
{
	op.over = true;
	op.error = op.out->error;
	op.done = op.out->done;
	op.number = op.out->number;
	op.found = op.out->value.n;
	for (size_t i = 0; i < op.found; i++)
		assert_int_equal(op.out->value.p[i], 'v');
	if (ch_kv_level_at(op.out, 0))
		op.left = ch_kv_level_at(op.out, 0)->left;
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	assert_null(result);
	if (why != CH_READY)
		((const struct ch_kv_v1 *)op.svc->vt)->cancel(op.svc, c, op.out);
	note();
	return CH_DONE;
}

static int call(struct ch_ctx *c, struct ch_kv_result *out, ch_ticket t)
{
	static char value[1 << 20];
	const struct ch_kv_v1 *kv = op.svc->vt;
	struct ch_kv_args a = { .size = sizeof(a), .key = { op.key, strlen(op.key) }, .value = { value, op.n }, .delta = 1 };
	struct ch_kv_bucket b[1] = { { .key = { op.key, strlen(op.key) }, .burst = 10, .count = 1, .period_ms = 3600000, .cost = 1 } };
	struct ch_kv_take_args take = { sizeof(take), CH_TABLE(b), 0 };

	memset(value, 'v', sizeof(value));
	switch (op.which) {
	case GET: return kv->get(op.svc, c, &a, out, t);
	case SET: return kv->set(op.svc, c, &a, out, t);
	case ADD: return kv->add(op.svc, c, &a, out, t);
	case TAKE: return kv->take(op.svc, c, &take, out, t);
	}
	return CH_ERROR;
}

static int do_op(struct ch_ctx *c, void *data)
{
	ch_ticket t = op.with_ticket ? ch_suspend(c, 0, on_resumed, NULL) : 0;

	(void)data;
	op.c = c;
	op.out = ch_alloc(c, sizeof(*op.out));
	if (!op.out || (op.with_ticket && !t)) {
		ch_unsuspend(t);
		return CH_DONE;
	}
	op.out->size = sizeof(*op.out);
	op.rc = call(c, op.out, t);
	if (op.rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	note();
	return CH_DONE;
}

static void run(struct ch_test *t, enum which which, const char *key, size_t n)
{
	bool with_ticket = op.with_ticket;

	memset(&op, 0, sizeof(op));
	op.with_ticket = with_ticket;
	op.svc = ch_test_provided(t, "kv_memory", "kv/1");
	op.which = which;
	op.n = n;
	op.error = op.rc = -1;
	snprintf(op.key, sizeof(op.key), "%s", key);
	ch_test_task(t, NULL, 0, do_op, NULL);
}

/* ---- the contract ---- */

static void it_conforms(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n[conform_kv]\ntarget = kv_memory\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_sweep_off(t); /* the suite judges the provider, and need not do without memory itself */
	a = ch_test_request(t, "POST", "/conform/kv", NULL, "", 0);
	for (int i = 0; i < 100 && !a->done; i++)
		ch_test_advance(t, 1000);
	assert_true(a->complete);
	if (strstr(a->body, "not ok"))
		fail_msg("%s", strstr(a->body, "not ok")); /* the first lines of it are shown */
	assert_non_null(strstr(a->body, "\n# 0 of "));
	ch_test_free(t);
}

/* ---- metrics ---- */

static void hits_bytes_and_items_are_counted(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n");

	(void)state;
	op.with_ticket = false;
	ch_test_advance(t, 1000);
	assert_true(ch_test_metric(t, "cache_items", "kv_memory", NULL) == 0);
	assert_true(ch_test_metric(t, "cache_size_bytes", "kv_memory", NULL) == 4 << 20); /* the table of 64 MiB */
	run(t, SET, "a", 10000);
	run(t, GET, "a", 0);
	run(t, GET, "a", 0);
	run(t, GET, "b", 0);
	run(t, TAKE, "c", 0);
	run(t, GET, "c", 0);
	assert_int_equal(op.error, CH_KV_WRONG_KIND);
	ch_test_advance(t, 1000);
	assert_true(ch_test_metric(t, "cache_hits_total", "kv_memory", NULL) == 2);
	assert_true(ch_test_metric(t, "cache_misses_total", "kv_memory", NULL) == 1);
	assert_true(ch_test_metric(t, "cache_items", "kv_memory", NULL) == 2);
	assert_true(ch_test_metric(t, "rate_limiter_buckets_active", "kv_memory", NULL) == 1); /* the one of the take */
	/* 10,000 bytes with 16 before them and 8 of the allocator's, two entries of 112, a rate of 80. */
	assert_true(ch_test_metric(t, "cache_size_bytes", "kv_memory", NULL) == (4 << 20) + 10032 + 224 + 80);
	assert_true(ch_test_metric(t, "chimera_kv_failures_total", "kv_memory", "wrong_kind", NULL) == 1);
	ch_test_free(t);
}

static void what_expires_where_nobody_asks_is_let_go(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n");

	(void)state;
	run(t, TAKE, "a", 0); /* full again in an hour */
	ch_test_advance(t, 2000);
	assert_true(ch_test_metric(t, "cache_items", "kv_memory", NULL) == 1);
	assert_true(ch_test_metric(t, "rate_limiter_buckets_active", "kv_memory", NULL) == 1);
	ch_test_advance(t, 3600000);
	assert_true(ch_test_metric(t, "cache_items", "kv_memory", NULL) == 0);
	assert_true(ch_test_metric(t, "rate_limiter_buckets_active", "kv_memory", NULL) == 0);
	assert_true(ch_test_metric(t, "chimera_kv_evictions_total", "kv_memory", NULL) == 0); /* a bucket that is full has lost nothing */
	ch_test_free(t);
}

static void what_had_to_go_is_counted(void **state)
{
	struct ch_test *t = begin("[kv_memory]\nmax_bytes = 1m\n");

	(void)state;
	run(t, SET, "a", 600000);
	run(t, SET, "b", 600000);
	assert_true(op.done);
	ch_test_advance(t, 1000);
	assert_true(ch_test_metric(t, "chimera_kv_evictions_total", "kv_memory", "full", NULL) == 1);
	run(t, GET, "a", 0);
	assert_false(op.done);
	run(t, SET, "c", 1 << 20);
	assert_int_equal(op.error, CH_KV_FULL);
	assert_true(ch_test_metric(t, "chimera_kv_failures_total", "kv_memory", "full", NULL) == 1);
	ch_test_free(t);
}

/* ---- reloads ---- */

static void a_reload_forgets_nothing(void **state)
{
	struct ch_test *t = begin("[kv_memory]\nmax_bytes = 1m\n");
	struct ch_self *was = ch_test_self(t, "kv_memory");

	(void)state;
	run(t, SET, "a", 10);
	run(t, ADD, "n", 0);
	run(t, TAKE, "b", 0);
	ch_test_config(t, "[kv_memory]\nmax_bytes = 2m\n");
	assert_true(ch_test_start(t));
	assert_ptr_not_equal(ch_test_self(t, "kv_memory"), was);
	run(t, GET, "a", 0);
	assert_int_equal(op.found, 10);
	run(t, ADD, "n", 0);
	assert_int_equal(op.number, 2);
	run(t, TAKE, "b", 0);
	assert_int_equal(op.left, 8);
	run(t, SET, "large", 1100000 - 100000); /* room that was not there before */
	run(t, GET, "a", 0);
	assert_int_equal(op.found, 10);
	ch_test_free(t);
}

static void a_reload_of_others_leaves_it_alone(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n");
	struct ch_self *was = ch_test_self(t, "kv_memory");

	(void)state;
	run(t, TAKE, "b", 0);
	ch_test_config(t, "[kv_memory]\n[striker]\n");
	assert_true(ch_test_start(t));
	assert_ptr_equal(ch_test_self(t, "kv_memory"), was);
	run(t, TAKE, "b", 0);
	assert_int_equal(op.left, 8);
	ch_test_free(t);
}

static void a_reload_that_is_refused_changes_nothing(void **state)
{
	struct ch_test *t = begin("[kv_memory]\nmax_bytes = 1m\n");

	(void)state;
	run(t, TAKE, "b", 0);
	ch_test_config(t, "[kv_memory]\nmax_bytes = 2m\n[conform_kv]\ntarget = nobody\n");
	assert_false(ch_test_start(t));
	run(t, TAKE, "b", 0);
	assert_int_equal(op.left, 8);
	ch_test_free(t);
}

static void a_reload_to_less_memory_forgets_what_is_too_much(void **state)
{
	struct ch_test *t = begin("[kv_memory]\nmax_bytes = 8m\n");

	(void)state;
	run(t, SET, "old", 600000);
	ch_test_advance(t, 1);
	run(t, SET, "new", 600000);
	ch_test_config(t, "[kv_memory]\nmax_bytes = 1m\n");
	assert_true(ch_test_start(t));
	run(t, GET, "old", 0);
	assert_false(op.done);
	run(t, GET, "new", 0);
	assert_true(op.done);
	ch_test_free(t);
}

static void less_than_a_mebibyte_is_refused(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(kv_memory));
	ch_test_config(t, "[kv_memory]\nmax_bytes = 512k\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "max_bytes"));
	ch_test_free(t);
}

/* ---- the seam ---- */

static void an_injected_fault_is_a_store_that_is_away(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n[striker]\n");

	(void)state;
	op.with_ticket = true;
	fault.fail = true;
	run(t, TAKE, "a", 0);
	assert_int_equal(op.rc, CH_OK);
	assert_int_equal(op.error, CH_KV_UNAVAILABLE);
	run(t, SET, "b", 10);
	assert_int_equal(op.error, CH_KV_UNAVAILABLE);
	fault.fail = false;
	run(t, TAKE, "a", 0);
	assert_int_equal(op.left, 9); /* it did not happen */
	run(t, GET, "b", 0);
	assert_false(op.done);
	assert_true(ch_test_metric(t, "chimera_kv_failures_total", "kv_memory", "unavailable", NULL) == 2);
	ch_test_free(t);
}

static void an_injected_delay_makes_the_answer_late(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n[striker]\n");

	(void)state;
	op.with_ticket = true;
	fault.delay_ms = 700;
	run(t, TAKE, "a", 0);
	assert_int_equal(op.rc, CH_AGAIN);
	ch_test_advance(t, 699);
	assert_false(op.over);
	ch_test_advance(t, 1);
	assert_true(op.over && op.done);
	assert_int_equal(op.left, 9);
	fault.delay_ms = 1001; /* past its timeout */
	run(t, TAKE, "a", 0);
	ch_test_advance(t, 999);
	assert_false(op.over);
	ch_test_advance(t, 1);
	assert_int_equal(op.error, CH_KV_UNAVAILABLE);
	fault.delay_ms = 0;
	run(t, TAKE, "a", 0);
	assert_int_equal(op.left, 8);
	ch_test_free(t);
}

static void cancel_op(void *data)
{
	const struct ch_kv_v1 *kv = op.svc->vt;

	(void)data;
	kv->cancel(op.svc, op.c, op.out);
	kv->cancel(op.svc, op.c, op.out);
}

static void a_late_answer_can_be_given_up(void **state)
{
	struct ch_test *t = begin("[kv_memory]\n[striker]\n");

	(void)state;
	op.with_ticket = true;
	fault.delay_ms = 700;
	run(t, TAKE, "a", 0);
	assert_int_equal(op.rc, CH_AGAIN);
	ch_test_on_loop(t, cancel_op, NULL);
	assert_true(op.over);
	assert_int_equal(op.error, CH_KV_UNKNOWN); /* it has happened */
	fault.fail = true;
	run(t, TAKE, "a", 0);
	ch_test_on_loop(t, cancel_op, NULL);
	assert_int_equal(op.error, CH_KV_CANCELLED);
	ch_test_free(t);
}

/* ---- no memory ---- */

static void without_memory_nothing_breaks(void **state)
{
	static const enum which whiches[] = { SET, GET, ADD, TAKE };
	static const char *const keys[] = { "a", "a", "n", "b" };
	struct ch_test *t = begin("[kv_memory]\n");

	(void)state;
	op.with_ticket = false;
	for (size_t i = 0; i < 4; i++) {
		bool struck = true;

		for (unsigned long n = 1; struck; n++) {
			ch_test_fail_alloc(t, n);
			run(t, whiches[i], keys[i], 100);
			struck = ch_test_fail_alloc(t, 0);
			assert_true(op.error == -1 || op.error == CH_KV_OK || op.error == CH_KV_NO_MEMORY);
		}
	}
	assert_int_equal(op.error, CH_KV_OK);
	assert_int_equal(op.left, 9); /* the takes that had no memory for their answer took nothing */
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_conforms),
		cmocka_unit_test(hits_bytes_and_items_are_counted),
		cmocka_unit_test(what_expires_where_nobody_asks_is_let_go),
		cmocka_unit_test(what_had_to_go_is_counted),
		cmocka_unit_test(a_reload_forgets_nothing),
		cmocka_unit_test(a_reload_of_others_leaves_it_alone),
		cmocka_unit_test(a_reload_that_is_refused_changes_nothing),
		cmocka_unit_test(a_reload_to_less_memory_forgets_what_is_too_much),
		cmocka_unit_test(less_than_a_mebibyte_is_refused),
		cmocka_unit_test(an_injected_fault_is_a_store_that_is_away),
		cmocka_unit_test(an_injected_delay_makes_the_answer_late),
		cmocka_unit_test(a_late_answer_can_be_given_up),
		cmocka_unit_test(without_memory_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
