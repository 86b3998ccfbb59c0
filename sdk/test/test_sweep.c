/* SPDX-License-Identifier: MIT */
/*
 * test_sweep.c - with CH_TEST_SWEEP a test that passes fails if its plugin cannot do without memory; and commands in the harness. Each
 * judged test is a process of its own: a failed sweep aborts.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <chimera/test.h>

/* ---- a plugin that does what the test says ---- */

static int (*handler)(struct ch_self *, struct ch_ctx *);
static unsigned calls;

static int on_x(struct ch_self *self, struct ch_ctx *c)
{
	calls++;
	return handler(self, c);
}

static int on_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	(void)self;
	*(char *)ch_alloc(c, 1) = 1;
	out->health = CH_HEALTHY;
	return CH_OK;
}

static int on_say(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	if (!strcmp(argv[0], "nothing"))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "Say something.");
	if (!strcmp(argv[0], "broken"))
		return CH_ERROR;
	for (size_t i = 0; i < argc; i++)
		ch_out(c, "%s\n", argv[i]);
	return CH_OK;
}

static ch_ticket ticket;

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	ch_unsuspend(ticket);
	return CH_DONE;
}

static int on_wait(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	(void)argv;
	ticket = ch_suspend(c, 5000, on_resumed, NULL);
	return ticket ? CH_AGAIN : CH_DONE;
}

static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_x } };
static const struct ch_check checks[] = { { .name = "c", .fn = on_check } };
static const struct ch_command commands[] = {
	{ .name = "say", .modes = CH_LIVE, .args = "WORD [WORD]", .min_args = 1, .max_args = 2, .summary = "Says", .fn = on_say },
	{ .name = "wait", .modes = CH_LIVE, .summary = "Waits", .fn = on_wait },
};
static const struct ch_plugin poor = {
	.size = sizeof(poor),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "poor",
	.version = "0",
	.summary = "Poor",
	.routes = CH_TABLE(routes),
	.checks = CH_TABLE(checks),
	.commands = CH_TABLE(commands),
};

static const struct ch_plugin *poor_entry(const struct ch_host *host)
{
	(void)host;
	return &poor;
}

static struct ch_test *begin(int (*fn)(struct ch_self *, struct ch_ctx *))
{
	struct ch_test *t = ch_test_new();

	handler = fn;
	calls = 0;
	ch_test_plugin(t, poor_entry);
	ch_test_config(t, "[poor]\n");
	assert_true(ch_test_start(t));
	return t;
}

static int answer(struct ch_self *self, struct ch_ctx *c)
{
	char *p = ch_alloc(c, 100);

	(void)self;
	if (!p)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "No memory.");
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

static int trust_memory(struct ch_self *self, struct ch_ctx *c)
{
	char *p = ch_alloc(c, 100);

	(void)self;
	*(char *volatile)p = 1;
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

/* The timer is forgotten when there is no memory behind it. */
static int forget_timer(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_timer *timer = ch_timer(ch_loop(c), NULL, NULL);

	(void)self;
	if (!ch_alloc(c, 100))
		return ch_refuse(c, CH_E_OVERLOADED, 0, "No memory.");
	ch_timer_free(timer);
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

static void nothing(void *data)
{
	(void)data;
}

static int on_lost(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_DONE;
}

static int lose_ticket(struct ch_self *self, struct ch_ctx *c)
{
	ch_ticket t = ch_suspend(c, 0, on_lost, NULL);

	(void)self;
	if (!t)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "No memory.");
	if (!ch_post(ch_loop(c), nothing, NULL))
		return CH_AGAIN; /* and nobody will resume it */
	ch_unsuspend(t);
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

/* Answers after a second, and fails then. */
static int late(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)why;
	(void)result;
	ch_unsuspend(ticket);
	return trust_memory(NULL, c);
}

static int wait_first(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ticket = ch_suspend(c, 1000, late, NULL);
	return ticket ? CH_AGAIN : ch_refuse(c, CH_E_OVERLOADED, 0, "No memory.");
}

/* ---- a test in a process of its own ---- */

static char said[8192];

static void get(void)
{
	struct ch_test *t = begin(handler);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/x", NULL, NULL, 0);

	ch_test_advance(t, 1000);
	if (a->status != 200 || calls != 1) /* copies count for themselves */
		_exit(9);
	ch_test_free(t);
}

static void check(void)
{
	struct ch_test *t = begin(answer);
	struct ch_check_result r;

	ch_test_check(t, "poor.c", &r);
	ch_test_free(t);
}

static void get_unswept(void)
{
	struct ch_test *t = begin(handler);

	ch_test_sweep_off(t);
	ch_test_request(t, "GET", "/x", NULL, NULL, 0);
	ch_test_free(t);
}

/* Runs fn with the sweep on; what it says on stderr is in `said`. Its wait status. */
static int sweep(void (*fn)(void))
{
	FILE *f = tmpfile();
	int status;
	size_t n;
	pid_t pid;

	assert_non_null(f);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		dup2(fileno(f), 2);
		setenv("CH_TEST_SWEEP", "1", 1);
		fn();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rewind(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	fclose(f);
	return status;
}

static void fails(void (*fn)(void), const char *first, const char *second)
{
	int status = sweep(fn);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(said, first) || !strstr(said, second))
		fail_msg("status 0x%x, said \"%s\" instead of \"%s\" and \"%s\"", status, said, first, second);
}

static void a_plugin_that_answers_without_memory_passes(void **state)
{
	(void)state;
	handler = answer;
	assert_int_equal(sweep(get), 0);
	assert_non_null(strstr(said, " steps were tried again, with "));
	assert_null(strstr(said, "with 0 failing"));
}

static void memory_that_was_not_there_is_found(void **state)
{
	(void)state;
	handler = trust_memory;
	fails(get, "GET /x does not end well when allocation ", " of it fails");
}

static void what_is_left_behind_is_found(void **state)
{
	(void)state;
	handler = forget_timer;
	fails(get, "1 timers are left after stop", "GET /x does not end well");
	handler = lose_ticket;
	fails(get, "units of work are still suspended", "GET /x does not end well");
}

static void what_comes_later_is_found_too(void **state)
{
	(void)state;
	handler = wait_first;
	fails(get, "GET /x does not end well", "fails");
	assert_null(strstr(said, "suspended"));
}

static void a_check_is_tried_too(void **state)
{
	(void)state;
	fails(check, "check poor.c does not end well", "fails");
}

static void a_test_may_opt_out(void **state)
{
	(void)state;
	handler = trust_memory;
	assert_int_equal(sweep(get_unswept), 0);
	assert_string_equal(said, "");
}

/* ---- commands ---- */

static void a_command_writes_refuses_and_breaks(void **state)
{
	struct ch_test *t = begin(answer);
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "poor", "say", "a", "b", NULL), 0);
	assert_string_equal(text, "a\nb\n");
	assert_int_equal(ch_test_command(t, &text, "poor", "say", "nothing", NULL), 1);
	assert_string_equal(text, "Say something.");
	ch_test_expect_misuse(t);
	assert_int_equal(ch_test_command(t, NULL, "poor", "say", "broken", NULL), 70);
	ch_test_free(t);
}

static void a_command_that_there_is_not_is_named(void **state)
{
	struct ch_test *t = begin(answer);
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "poor", "sag", NULL), 64);
	assert_non_null(strstr(text, "did you mean say?"));
	assert_int_equal(ch_test_command(t, &text, "poor", "say", NULL), 64);
	assert_string_equal(text, "'say' takes WORD [WORD], and none was given");
	ch_test_free(t);
}

static void a_command_that_waits_is_not_over(void **state)
{
	struct ch_test *t = begin(answer);

	(void)state;
	assert_int_equal(ch_test_command(t, NULL, "poor", "wait", NULL), -1);
	ch_test_advance(t, 5000);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plugin_that_answers_without_memory_passes),
		cmocka_unit_test(memory_that_was_not_there_is_found),
		cmocka_unit_test(what_is_left_behind_is_found),
		cmocka_unit_test(what_comes_later_is_found_too),
		cmocka_unit_test(a_check_is_tried_too),
		cmocka_unit_test(a_test_may_opt_out),
		cmocka_unit_test(a_command_writes_refuses_and_breaks),
		cmocka_unit_test(a_command_that_there_is_not_is_named),
		cmocka_unit_test(a_command_that_waits_is_not_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
