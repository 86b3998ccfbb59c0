/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks and the life of who begins them: before the loops have the instance, while it is replaced, when it stops, and when it never
 * starts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

static char said[512];

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
	strncat(said, " ", sizeof(said) - strlen(said) - 1);
}

/* ---- a plugin that begins a task wherever it is told to ---- */

static const char *where;           /* "start", "adopt", … */
static struct chi_gen *task_gen;    /* of the task that ran last */
static struct ch_loop *task_loop;
static struct ch_self *newest, *oldest;
static ch_ticket held;              /* GET /hold waits for it */

static int on_task(struct ch_ctx *c, void *data)
{
	say("task(%s)", (const char *)data);
	task_gen = c->gen;
	task_loop = ch_loop(c);
	assert_false(ch_is_http(c));
	return CH_DONE;
}

static void on_drop(void *data)
{
	say("drop(%s)", (const char *)data);
}

static void now(struct ch_self *self, const char *place)
{
	if (where && !strcmp(where, place))
		assert_true(ch_task(self, NULL, 0, on_task, (void *)place, on_drop));
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	say("start");
	now(self, "start");
	if (!newest)
		oldest = self;
	newest = self;
	return where && !strcmp(where, "fails") ? CH_ERROR : CH_OK;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	assert_ptr_equal(prev, oldest);
	now(self, "adopt");
	now(prev, "adopt of the old one");
}

static void retire(struct ch_self *self)
{
	say("retire");
	now(self, "retire");
}

static void stop(struct ch_self *self)
{
	say("stop");
	now(self, "stop");
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	say("loop%u", ch_loop_index(l));
	if (!ch_loop_index(l))
		now(self, "loop_start");
	return CH_OK;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	if (!ch_loop_index(l))
		now(self, "loop_stop");
}

static int heard(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", "ok", 2) : CH_DONE;
}

static int on_hold(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	held = ch_suspend(c, 0, heard, NULL);
	return CH_AGAIN;
}

struct early_conf { int64_t n; };
static const struct ch_option options[] = { CH_OPT(struct early_conf, n, INT, .help = "What changes") };
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/hold", .fn = on_hold } };
static const struct ch_plugin early = { .size = sizeof(early), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "early",
	.version = "0", .summary = "Begins tasks", .conf_size = sizeof(struct early_conf), .options = CH_TABLE(options),
	.routes = CH_TABLE(routes), .start = start, .adopt = adopt, .retire = retire, .stop = stop, .loop_start = loop_start,
	.loop_stop = loop_stop };

static const struct ch_plugin *early_entry(const struct ch_host *host)
{
	(void)host;
	return &early;
}

static bool fails; /* the other plugin, which starts after it */

static int other_start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	if (fails)
		ch_log(self, NULL, CH_ERR, "not today");
	return fails ? CH_ERROR : CH_OK;
}

static const struct ch_plugin other = { .size = sizeof(other), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "other",
	.version = "0", .summary = "May fail", .conf_size = sizeof(struct early_conf), .options = CH_TABLE(options), .start = other_start };

static const struct ch_plugin *other_entry(const struct ch_host *host)
{
	(void)host;
	return &other;
}

static struct ch_test *begin(const char *place)
{
	struct ch_test *t = ch_test_new();

	said[0] = 0;
	where = place;
	fails = false;
	newest = oldest = NULL;
	task_gen = NULL;
	task_loop = NULL;
	ch_test_plugin(t, early_entry);
	ch_test_plugin(t, other_entry);
	return t;
}

static bool run(struct ch_test *t, const char *ini)
{
	ch_test_config(t, ini);
	return ch_test_start(t);
}

static void resume(void *data)
{
	(void)data;
	ch_resume(held, NULL, NULL);
}

/* ---- before the loops have it ---- */

static void a_task_begun_in_start_runs_when_the_loops_have_the_instance(void **state)
{
	struct ch_test *t = begin("start");

	(void)state;
	assert_true(run(t, "[early]\n[other]\n"));
	assert_string_equal(said, "start loop0 loop1 task(start) ");
	assert_ptr_equal(task_gen, t->gen);
	assert_ptr_equal(task_loop, t->house);
	where = NULL;
	ch_test_free(t);
}

static void a_task_begun_in_loop_start_runs_when_all_loops_have_the_instance(void **state)
{
	struct ch_test *t = begin("loop_start");

	(void)state;
	assert_true(run(t, "[early]\n"));
	assert_string_equal(said, "start loop0 loop1 task(loop_start) ");
	ch_test_free(t);
}

static void a_task_begun_in_a_start_that_fails_is_dropped(void **state)
{
	struct ch_test *t = begin("start");

	(void)state;
	fails = true;
	assert_false(run(t, "[early]\n[other]\n"));
	assert_string_equal(said, "start stop drop(start) ");
	where = NULL;
	ch_test_free(t);
}

static void a_start_that_fails_itself_is_not_stopped(void **state)
{
	struct ch_test *t = begin("fails");

	(void)state;
	assert_false(run(t, "[early]\n"));
	assert_string_equal(said, "start ");
	ch_test_free(t);
}

static void a_reload_that_fails_drops_what_the_new_one_began_and_nothing_else(void **state)
{
	struct ch_test *t = begin("start");

	(void)state;
	assert_true(run(t, "[early]\n"));
	said[0] = 0;
	fails = true;
	assert_false(run(t, "[early]\nn = 1\n[other]\n"));
	assert_string_equal(said, "start stop drop(start) ");
	said[0] = 0;
	where = NULL;
	assert_true(ch_task(oldest, NULL, 0, on_task, "old", on_drop));
	ch_test_advance(t, 0);
	assert_string_equal(said, "task(old) "); /* it goes on as if nothing had been */
	ch_test_free(t);
}

/* ---- while it is replaced ---- */

static void tasks_of_a_carried_instance_belong_to_the_new_config(void **state)
{
	struct ch_test *t = begin(NULL);
	struct chi_gen *first;

	(void)state;
	assert_true(run(t, "[early]\n"));
	first = t->gen;
	assert_true(run(t, "[early]\n[other]\n"));
	assert_ptr_equal(ch_test_self(t, "early"), oldest);
	assert_true(ch_task(oldest, NULL, 0, on_task, "later", on_drop));
	ch_test_advance(t, 0);
	assert_string_equal(said, "start loop0 loop1 task(later) ");
	assert_ptr_equal(task_gen, t->gen);
	assert_ptr_not_equal(t->gen, first);
	ch_test_free(t);
}

static void tasks_begun_in_adopt_and_retire_run_or_are_dropped_and_never_lost(void **state)
{
	static const struct { const char *where, *said; } cases[] = {
		{ "adopt", "start loop0 loop1 retire stop task(adopt) " },
		/* Nothing holds the old one: when the loops take the new config they let go of it. */
		{ "adopt of the old one", "start loop0 loop1 retire drop(adopt of the old one) stop " },
		{ "retire", "start loop0 loop1 retire drop(retire) stop " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ch_test *t = begin(NULL);

		assert_true(run(t, "[early]\n"));
		said[0] = 0;
		where = cases[i].where;
		assert_true(run(t, "[early]\nn = 1\n"));
		where = NULL;
		assert_string_equal(said, cases[i].said);
		ch_test_free(t);
	}
}

static void a_task_of_the_old_one_runs_as_long_as_a_request_holds_it(void **state)
{
	struct ch_test *t = begin(NULL);
	struct ch_test_answer *a;

	(void)state;
	assert_true(run(t, "[early]\n"));
	a = ch_test_request(t, "GET", "/hold", NULL, NULL, 0);
	assert_true(run(t, "[early]\nn = 1\n"));
	assert_ptr_not_equal(newest, oldest);
	said[0] = 0;
	assert_true(ch_task(oldest, t->worker, 0, on_task, "old", on_drop));
	ch_test_advance(t, 0);
	assert_string_equal(said, "task(old) ");
	assert_ptr_not_equal(task_gen, t->gen);
	assert_true(ch_task(oldest, NULL, 0, on_task, "old", on_drop)); /* the house loop holds nothing of it */
	ch_test_advance(t, 0);
	assert_string_equal(said, "task(old) drop(old) ");
	said[0] = 0;
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_string_equal(said, "stop ");
	ch_test_free(t);
}

/* ---- at its end ---- */

static void a_task_begun_in_stop_is_dropped_before_the_instance_goes(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	assert_true(run(t, "[early]\n"));
	said[0] = 0;
	where = "stop";
	assert_true(run(t, "[early]\nn = 1\n"));
	assert_string_equal(said, "start loop0 loop1 retire stop drop(stop) ");
	where = NULL;
	ch_test_free(t);
}

static void a_task_begun_in_loop_stop_is_dropped(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	assert_true(run(t, "[early]\n"));
	said[0] = 0;
	where = "loop_stop";
	assert_true(run(t, "[early]\nn = 1\n"));
	where = NULL;
	assert_non_null(strstr(said, "drop(loop_stop) "));
	assert_null(strstr(said, "task("));
	ch_test_free(t);
}

static void at_the_servers_end_too_nothing_is_lost(void **state)
{
	struct ch_test *t = begin(NULL);

	(void)state;
	assert_true(run(t, "[early]\n"));
	said[0] = 0;
	where = "retire";
	ch_test_free(t);
	assert_non_null(strstr(said, "retire "));
	assert_non_null(strstr(said, "drop(retire) "));
	assert_non_null(strstr(said, "stop "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_begun_in_start_runs_when_the_loops_have_the_instance),
		cmocka_unit_test(a_task_begun_in_loop_start_runs_when_all_loops_have_the_instance),
		cmocka_unit_test(a_task_begun_in_a_start_that_fails_is_dropped),
		cmocka_unit_test(a_start_that_fails_itself_is_not_stopped),
		cmocka_unit_test(a_reload_that_fails_drops_what_the_new_one_began_and_nothing_else),
		cmocka_unit_test(tasks_of_a_carried_instance_belong_to_the_new_config),
		cmocka_unit_test(tasks_begun_in_adopt_and_retire_run_or_are_dropped_and_never_lost),
		cmocka_unit_test(a_task_of_the_old_one_runs_as_long_as_a_request_holds_it),
		cmocka_unit_test(a_task_begun_in_stop_is_dropped_before_the_instance_goes),
		cmocka_unit_test(a_task_begun_in_loop_stop_is_dropped),
		cmocka_unit_test(at_the_servers_end_too_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
