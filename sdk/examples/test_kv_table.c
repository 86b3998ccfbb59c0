/* SPDX-License-Identifier: MIT */
/*
 * test_kv_table.c - what every provider of kv/1 must do is told by its conformance suite, which runs here over the clock of the harness;
 * the other tests are about what is this provider's own: what it forgets, what it keeps over a reload, what it does without memory.
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

CH_TEST_PLUGIN(kv_table);
CH_TEST_PLUGIN(conform_kv);

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(kv_table));
	ch_test_plugin(t, CH_TEST_ENTRY(conform_kv));
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

/* ---- one operation ---- */

static struct {
	const struct ch_svc *svc;
	char key[600];
	size_t value;   /* bytes to set */
	int error;
	bool done;
	int64_t number, left;
	size_t found;
} op;

static struct ch_kv_args args(void)
{
	static char zeros[1 << 20];

	return (struct ch_kv_args){
		.size = sizeof(struct ch_kv_args),
		.key = { op.key, strlen(op.key) },
		.value = { zeros, op.value },
		.delta = 1,
	};
}

static int note(struct ch_kv_result *out, int rc)
{
	assert_int_equal(rc, CH_OK);
	op.error = out->error;
	op.done = out->done;
	op.number = out->number;
	op.found = out->value.n;
	if (ch_kv_level_at(out, 0))
		op.left = ch_kv_level_at(out, 0)->left;
	return CH_DONE;
}

static const struct ch_kv_v1 *kv(void)
{
	return op.svc->vt;
}

static int do_get(struct ch_ctx *c, void *out)
{
	struct ch_kv_args a = args();

	return note(out, kv()->get(op.svc, c, &a, out, 0));
}

static int do_set(struct ch_ctx *c, void *out)
{
	struct ch_kv_args a = args();

	return note(out, kv()->set(op.svc, c, &a, out, 0));
}

static int do_add(struct ch_ctx *c, void *out)
{
	struct ch_kv_args a = args();

	return note(out, kv()->add(op.svc, c, &a, out, 0));
}

static int do_take(struct ch_ctx *c, void *out)
{
	struct ch_kv_bucket b[1] = { { .key = { op.key, strlen(op.key) }, .burst = 10, .count = 1, .period_ms = 3600000, .cost = 1 } };
	struct ch_kv_take_args a = { sizeof(a), CH_TABLE(b), 0 };

	return note(out, kv()->take(op.svc, c, &a, out, 0));
}

/* A ticket is made by whoever may have to wait: this provider never makes anybody wait, and the tests count on it. */
static void run(struct ch_test *t, ch_task_fn fn, const char *key, size_t value)
{
	struct ch_kv_result out = { .size = sizeof(out) };

	op.svc = ch_test_provided(t, "kv_table", "kv/1");
	op.error = -1;
	op.value = value;
	snprintf(op.key, sizeof(op.key), "%s", key);
	assert_true(ch_test_task(t, NULL, 0, fn, &out));
}

/* ---- the tests ---- */

static void it_conforms(void **state)
{
	struct ch_test *t = begin("[kv_table]\n[conform_kv]\ntarget = kv_table\n");
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

static void what_was_used_least_recently_is_forgotten(void **state)
{
	struct ch_test *t = begin("[kv_table]\nmax_bytes = 64k\n");
	char key[16];

	(void)state;
	for (int i = 0; i < 6; i++) {
		snprintf(key, sizeof(key), "%d", i);
		run(t, do_set, key, 12000);
		assert_true(op.done);
		run(t, do_get, "0", 0); /* in use all the time */
		assert_int_equal(op.found, 12000);
	}
	run(t, do_get, "1", 0);
	assert_false(op.done);
	run(t, do_get, "2", 0);
	assert_true(op.done);
	assert_true(ch_test_metric(t, "kv_table_forgotten_total", NULL) == 1);
	assert_true(ch_test_metric(t, "kv_table_bytes", NULL) > 60000);
	assert_true(ch_test_metric(t, "kv_table_bytes", NULL) <= 65536);
	ch_test_free(t);
}

static void what_does_not_fit_leaves_what_is_there(void **state)
{
	struct ch_test *t = begin("[kv_table]\nmax_bytes = 64k\n");

	(void)state;
	run(t, do_set, "a", 10);
	run(t, do_set, "b", 10);
	run(t, do_set, "a", 70000);
	assert_int_equal(op.error, CH_KV_FULL);
	run(t, do_get, "a", 0);
	assert_int_equal(op.found, 10);
	run(t, do_get, "b", 0);
	assert_int_equal(op.found, 10);
	ch_test_free(t);
}

static void a_reload_forgets_nothing(void **state)
{
	struct ch_test *t = begin("[kv_table]\nmax_bytes = 1m\n");
	struct ch_self *was = ch_test_self(t, "kv_table");

	(void)state;
	run(t, do_set, "a", 10);
	run(t, do_add, "n", 0);
	run(t, do_take, "b", 0);
	ch_test_config(t, "[kv_table]\nmax_bytes = 2m\n");
	assert_true(ch_test_start(t));
	assert_ptr_not_equal(ch_test_self(t, "kv_table"), was);
	run(t, do_get, "a", 0);
	assert_int_equal(op.found, 10);
	run(t, do_add, "n", 0);
	assert_int_equal(op.number, 2);
	run(t, do_take, "b", 0);
	assert_int_equal(op.left, 8);
	ch_test_free(t);
}

static void a_reload_to_less_memory_forgets_what_is_too_much(void **state)
{
	struct ch_test *t = begin("[kv_table]\nmax_bytes = 1m\n");

	(void)state;
	run(t, do_set, "old", 50000);
	run(t, do_set, "new", 50000);
	ch_test_config(t, "[kv_table]\nmax_bytes = 64k\n");
	assert_true(ch_test_start(t));
	run(t, do_set, "a", 10);
	run(t, do_get, "old", 0);
	assert_false(op.done);
	run(t, do_get, "new", 0);
	assert_true(op.done);
	ch_test_free(t);
}

static void without_memory_nothing_breaks(void **state)
{
	static const ch_task_fn fns[] = { do_set, do_get, do_add, do_take };
	static const char *const keys[] = { "a", "a", "n", "b" };
	struct ch_test *t = begin("[kv_table]\n");

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		bool struck = true;

		for (unsigned long n = 1; struck; n++) {
			ch_test_fail_alloc(t, n);
			run(t, fns[i], keys[i], 100);
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
		cmocka_unit_test(what_was_used_least_recently_is_forgotten),
		cmocka_unit_test(what_does_not_fit_leaves_what_is_there),
		cmocka_unit_test(a_reload_forgets_nothing),
		cmocka_unit_test(a_reload_to_less_memory_forgets_what_is_too_much),
		cmocka_unit_test(without_memory_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
