/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of instances: named, deaf to signals, and missed when nobody has joined them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include <chimera/test.h>

static struct ch_thread *thread;
static bool joins, starts;
static atomic_bool end, ended;
static char name[16];
static sigset_t mask;
static atomic_int value; /* written by the thread to its instance's state, too */
static struct ch_self *seen[8]; /* what is kept for good is no leak */
static unsigned nseen;

struct state { int written; };

static void run(void *data)
{
	struct state *s = data;

	pthread_getname_np(pthread_self(), name, sizeof(name));
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	while (!atomic_load(&end))
		sched_yield();
	s->written = 7; /* the instance's memory is there as long as its thread is */
	atomic_store(&value, s->written);
	atomic_store(&ended, true);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	seen[nseen++ % 8] = self;
	thread = ch_thread(self, "a name that is far too long", run, self->state);
	return starts ? CH_OK : CH_ERROR;
}

static void stop(struct ch_self *self)
{
	(void)self;
	if (!joins)
		return;
	atomic_store(&end, true);
	ch_thread_join(thread);
}

static const struct ch_plugin works = { .size = sizeof(works), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "works",
	.version = "0", .summary = "Has a thread", .state_size = sizeof(struct state), .start = start, .stop = stop };

static const struct ch_plugin *works_entry(const struct ch_host *host)
{
	(void)host;
	return &works;
}

static struct ch_test *begin(bool joins_it, bool starts_well)
{
	struct ch_test *t = ch_test_new();

	joins = joins_it;
	starts = starts_well;
	atomic_store(&end, false);
	atomic_store(&ended, false);
	atomic_store(&value, 0);
	ch_test_plugin(t, works_entry);
	ch_test_config(t, "[works]\n");
	return t;
}

/* Its thread, which the plugin has forgotten, ends and is joined after all. */
static void clean_up(void)
{
	atomic_store(&end, true);
	while (!atomic_load(&ended))
		sched_yield();
	assert_int_equal(atomic_load(&value), 7);
	ch_thread_join(thread);
}

static void a_thread_has_a_name_of_15_bytes_and_hears_no_signal(void **state)
{
	struct ch_test *t = begin(true, true);

	(void)state;
	assert_true(ch_test_start(t));
	ch_test_free(t); /* and it was joined: no word of misuse */
	assert_string_equal(name, "a name that is ");
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			assert_int_equal(sigismember(&mask, sig), 1);
	assert_int_equal(atomic_load(&value), 7);
}

static void what_is_not_joined_is_said_and_its_memory_stays(void **state)
{
	struct ch_test *t = begin(false, true);

	(void)state;
	ch_test_expect_misuse(t);
	assert_true(ch_test_start(t));
	ch_test_config(t, "");
	assert_true(ch_test_start(t)); /* the instance is stopped */
	assert_true(ch_test_logged(t, "plugin works: its stop left 1 of its threads"));
	assert_true(ch_test_metric(t, "chimera_misuse_total", "works", NULL) == 1);
	clean_up();
	ch_test_free(t);
}

static void a_start_that_fails_has_to_end_its_threads_itself(void **state)
{
	struct ch_test *t = begin(false, false);

	(void)state;
	ch_test_expect_misuse(t);
	assert_false(ch_test_start(t));
	assert_true(ch_test_logged(t, "plugin works: its start, which failed, left 1 of its threads"));
	clean_up();
	ch_test_free(t);
}

static void join_itself(void *data)
{
	struct ch_thread *const *self = data;

	while (!atomic_load(&end))
		sched_yield();
	ch_thread_join(*self);
	atomic_store(&ended, true);
}

static void a_thread_that_joins_itself_is_told_so_and_goes_on(void **state)
{
	struct ch_test *t = begin(true, true);
	struct ch_thread *own;

	(void)state;
	ch_test_expect_misuse(t);
	assert_true(ch_test_start(t));
	own = ch_thread(ch_test_self(t, "works"), "own", join_itself, &own);
	assert_non_null(own);
	atomic_store(&end, true);
	while (!atomic_load(&ended))
		sched_yield();
	ch_thread_join(own);
	assert_true(ch_test_logged(t, "plugin works: its thread own joined itself"));
	ch_test_free(t);
}

static void nothing_is_joined_in_peace(void **state)
{
	(void)state;
	ch_thread_join(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_has_a_name_of_15_bytes_and_hears_no_signal),
		cmocka_unit_test(what_is_not_joined_is_said_and_its_memory_stays),
		cmocka_unit_test(a_start_that_fails_has_to_end_its_threads_itself),
		cmocka_unit_test(a_thread_that_joins_itself_is_told_so_and_goes_on),
		cmocka_unit_test(nothing_is_joined_in_peace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
