/* SPDX-License-Identifier: MIT */
/*
 * A step of a test once more for each allocation that could fail, in copies of the process: so each begins where the test stands, and the
 * test goes on as if nothing had been. See ch_test_sweep_off in chimera/test.h.
 */
#include "sdk/test/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 86400000000 /* microseconds that a step may take to be over */

/* Exit codes of a copy, which nobody else has: nothing was left to fail; something did, and it ended well. */
enum { CALM = 100, STRUCK = 101 };

static unsigned long steps, failures;

static void tell(void)
{
	if (steps)
		fprintf(stderr, "ch_test: %lu steps were tried again, with %lu failing allocations\n", steps, failures);
}

static bool wanted(const struct ch_test *t)
{
	const char *on = getenv("CH_TEST_SWEEP");
	return on && *on && !t->sweep_off && !t->misuse_expected && chi_test_fails_hard() && !chi_world_failing() && !t->running &&
	       !chi_loop_here();
}

void ch_test_sweep_off(struct ch_test *t)
{
	t->sweep_off = true;
}

/* What the step began may wait for time or for the pool. */
static void let_time_pass(struct ch_test *t)
{
	int64_t until = chi_clock() + PATIENCE, next;
	if (t->pool == CH_TEST_MANUAL)
		ch_test_offload(t, CH_TEST_AUTO);
	for (unsigned left = 1000; left && chi_test_busy(t) && (next = chi_world_next()) >= 0 && next <= until; left--) {
		chi_world_move(next);
		chi_test_run(t);
	}
}

static void copy(struct ch_test *t, void (*step)(struct ch_test *, void *), void *arg, unsigned long n)
{
	/* cmocka catches these, and would go on to the next test: here nobody shall. */
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGABRT };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_DFL);
	setenv("CMOCKA_TEST_ABORT", "1", 1); /* its asserts, too */
	t->sweep_off = true;
	chi_world_fail_alloc(n);
	step(t, arg);
	let_time_pass(t);
	bool struck = chi_world_fail_alloc(0);
	ch_test_free(t);
	_exit(struck ? STRUCK : CALM);
}

/* The exit code of the copy whose n-th allocation fails; -1: it was killed by a signal, or there is none. */
static int in_copy(struct ch_test *t, void (*step)(struct ch_test *, void *), void *arg, unsigned long n)
{
	int status;
	pid_t pid = fork();
	if (!pid)
		copy(t, step, arg, n);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void chi_sweep(struct ch_test *t, void (*step)(struct ch_test *t, void *arg), void *arg, const char *fmt, ...)
{
	char what[256];
	va_list ap;
	if (!wanted(t))
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (!steps++)
		atexit(tell);
	for (unsigned long n = 1;; n += 1 + n / 64, failures++) {
		int rc = in_copy(t, step, arg, n);
		if (rc == CALM)
			return;
		if (rc != STRUCK) {
			chi_test_fail("%s does not end well when allocation %lu of it fails (see above): what gives NULL or 0 without memory must be "
				      "answered, and what was taken before must be given back",
				what, n);
			return;
		}
	}
}
