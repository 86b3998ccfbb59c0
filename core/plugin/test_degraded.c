/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ch_degraded: one line and one step of the gauge for each change, 2 s of patience before a recovery is believed, and who is forgotten
 * when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inspect.h>
#include <chimera/test.h>

static struct ch_self *newest;

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	newest = self;
	return CH_OK;
}

struct dep_conf { int64_t n; };
static const struct ch_option options[] = { CH_OPT(struct dep_conf, n, INT, .help = "What changes") };
static ch_ticket held;

static int heard(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", "ok", 2) : CH_DONE;
}

static int on_x(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	held = ch_suspend(c, 0, heard, NULL);
	return CH_AGAIN;
}

static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_x } };
static const struct ch_plugin dep = { .size = sizeof(dep), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "dep",
	.version = "0",
	.summary = "Has a dependency", .conf_size = sizeof(struct dep_conf), .options = CH_TABLE(options), .routes = CH_TABLE(routes),
	.start = start };

static const struct ch_plugin *dep_entry(const struct ch_host *host)
{
	(void)host;
	return &dep;
}

static struct ch_test *begin(void)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, dep_entry);
	ch_test_config(t, "[log]\nlevel = info\n[dep]\n");
	assert_true(ch_test_start(t));
	return t;
}

static unsigned times(struct ch_test *t, const char *text)
{
	unsigned n = 0;

	for (const char *p = ch_test_log(t); (p = strstr(p, text)); p++)
		n++;
	return n;
}

struct seen { unsigned n; struct ch_degradation last; char what[256], why[256], instance[64]; };

static void see(void *data, const struct ch_degradation *d)
{
	struct seen *s = data;

	s->n++;
	s->last = *d;
	snprintf(s->what, sizeof(s->what), "%s", d->what);
	snprintf(s->why, sizeof(s->why), "%s", d->why);
	snprintf(s->instance, sizeof(s->instance), "%s", d->instance);
}

static struct seen walk(void)
{
	struct seen s = { 0 };

	ch_degraded_walk(see, &s);
	return s;
}

static bool down(struct ch_test *t)
{
	bool by_walk = walk().n && walk().last.down;

	assert_int_equal(by_walk, ch_test_metric(t, "chimera_degraded", "dep", NULL) == 1);
	return by_walk;
}

static void down_counts_at_once_and_is_said_once(void **state)
{
	struct ch_test *t = begin();
	int64_t at;

	(void)state;
	assert_int_equal(walk().n, 0);
	at = ch_now();
	ch_degraded(newest, "kv", true, "cannot reach %s", "10.0.0.1:6379");
	assert_true(down(t));
	assert_string_equal(walk().instance, "dep");
	assert_string_equal(walk().what, "kv");
	assert_string_equal(walk().why, "cannot reach 10.0.0.1:6379");
	assert_int_equal(walk().last.since, at);
	assert_int_equal(walk().last.size, sizeof(struct ch_degradation));
	for (int i = 0; i < 100; i++) {
		ch_test_advance(t, 10);
		ch_degraded(newest, "kv", true, "still not (%d)", i);
	}
	assert_int_equal(times(t, "WARN  dep: kv is degraded now: cannot reach 10.0.0.1:6379"), 1);
	assert_int_equal(times(t, "degraded"), 1);
	assert_int_equal(walk().n, 1);
	assert_int_equal(walk().last.since, at);
	assert_string_equal(walk().why, "still not (99)"); /* the newest reason is shown */
	ch_test_free(t);
}

static void a_recovery_is_believed_after_two_seconds(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	ch_degraded(newest, "kv", false, "connected");
	ch_test_advance(t, 1999);
	assert_true(down(t));
	ch_test_advance(t, 1);
	assert_false(down(t));
	assert_int_equal(walk().n, 1); /* ever told of */
	assert_int_equal(times(t, "INFO  dep: kv works again: connected"), 1);
	ch_test_free(t);
}

static void trouble_in_between_begins_the_wait_anew(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	for (int i = 0; i < 20; i++) { /* flaps, each second */
		ch_degraded(newest, "kv", false, "up");
		ch_test_advance(t, 1000);
		ch_degraded(newest, "kv", true, "down");
	}
	assert_true(down(t));
	assert_int_equal(times(t, "works again"), 0);
	assert_int_equal(times(t, "is degraded"), 1);
	ch_degraded(newest, "kv", false, "up");
	ch_test_advance(t, 1999);
	assert_true(down(t));
	ch_degraded(newest, "kv", false, "up"); /* said again: no new wait */
	ch_test_advance(t, 1);
	assert_false(down(t));
	ch_test_free(t);
}

static void who_tells_changes_alone_is_waited_for_too(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	ch_test_advance(t, 60000);
	assert_true(down(t)); /* silence is no recovery */
	ch_degraded(newest, "kv", false, "up");
	ch_test_advance(t, 500);
	assert_true(down(t));
	ch_degraded(newest, "kv", true, "down");
	ch_test_advance(t, 60000);
	assert_true(down(t));
	assert_int_equal(times(t, "works again"), 0);
	ch_test_free(t);
}

static void what_never_was_down_is_not_remembered(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	for (int i = 0; i < 10; i++)
		ch_degraded(newest, "kv", false, "fine");
	ch_test_advance(t, 5000);
	assert_int_equal(walk().n, 0);
	assert_int_equal(times(t, "kv"), 0);
	ch_test_free(t);
}

static void the_gauge_counts_what_is_down(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	ch_degraded(newest, "sql", true, "down");
	assert_true(ch_test_metric(t, "chimera_degraded", "dep", NULL) == 2);
	ch_degraded(newest, "kv", false, "up");
	ch_test_advance(t, 2000);
	assert_true(ch_test_metric(t, "chimera_degraded", "dep", NULL) == 1);
	assert_int_equal(walk().n, 2);
	ch_test_free(t);
}

static void a_long_name_is_one_thing_and_is_cut(void **state)
{
	struct ch_test *t = begin();
	char what[200], why[1000];

	(void)state;
	memset(what, 'w', sizeof(what));
	memset(why, 'y', sizeof(why));
	what[sizeof(what) - 1] = why[sizeof(why) - 1] = 0;
	for (int i = 0; i < 10; i++)
		ch_degraded(newest, what, true, "%s", why);
	assert_int_equal(walk().n, 1);
	assert_true(ch_test_metric(t, "chimera_degraded", "dep", NULL) == 1);
	assert_true(strlen(walk().what) >= 63 && !strncmp(walk().what, what, 63));
	ch_degraded(newest, what, false, "up");
	ch_test_advance(t, 2000);
	assert_true(ch_test_metric(t, "chimera_degraded", "dep", NULL) == 0);
	ch_test_free(t);
}

static void tell_more(void *data, const struct ch_degradation *d)
{
	unsigned *n = data;

	if (++*n < 3)
		ch_degraded(newest, "another", true, "because of %s", d->what);
	assert_int_equal(walk().n, 2);
}

static void who_is_shown_it_may_tell_more(void **state)
{
	struct ch_test *t = begin();
	unsigned n = 0;

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	ch_degraded_walk(tell_more, &n); /* no deadlock, and no endless walk */
	assert_int_equal(n, 1);
	assert_string_equal(walk().what, "another");
	ch_test_free(t);
}

/* ---- over reloads ---- */

static void reload(struct ch_test *t, const char *ini)
{
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
}

static void an_instance_that_is_stopped_is_forgotten(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	reload(t, "[log]\nlevel = info\n");
	assert_int_equal(walk().n, 0);
	assert_true(ch_test_metric(t, "chimera_degraded", "dep", NULL) == 0);
	ch_test_free(t);
}

static void a_carried_instance_keeps_what_it_told(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	reload(t, "[log]\nlevel = debug\n[dep]\n");
	assert_true(down(t));
	ch_test_free(t);
}

static void resume(void *data)
{
	(void)data;
	ch_resume(held, NULL, NULL);
}

static void a_successor_that_told_the_same_goes_on_being_down(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = ch_test_request(t, "GET", "/x", NULL, NULL, 0);

	(void)state;
	ch_degraded(newest, "kv", true, "down");
	reload(t, "[log]\nlevel = info\n[dep]\nn = 1\n");
	assert_true(down(t)); /* the old one still works, and nobody said otherwise */
	ch_degraded(newest, "kv", true, "down for me, too");
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_true(down(t));
	assert_int_equal(times(t, "is degraded"), 1);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(down_counts_at_once_and_is_said_once),
		cmocka_unit_test(a_recovery_is_believed_after_two_seconds),
		cmocka_unit_test(trouble_in_between_begins_the_wait_anew),
		cmocka_unit_test(who_tells_changes_alone_is_waited_for_too),
		cmocka_unit_test(what_never_was_down_is_not_remembered),
		cmocka_unit_test(the_gauge_counts_what_is_down),
		cmocka_unit_test(a_long_name_is_one_thing_and_is_cut),
		cmocka_unit_test(who_is_shown_it_may_tell_more),
		cmocka_unit_test(an_instance_that_is_stopped_is_forgotten),
		cmocka_unit_test(a_carried_instance_keeps_what_it_told),
		cmocka_unit_test(a_successor_that_told_the_same_goes_on_being_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
