/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for secrets: zeroed, out of dumps and forks, wiped before it goes back to the system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/plugin/secret.h"

/* What the kernel says of the mapping that holds p: its VmFlags, two letters each. */
static const char *flags_of(const void *p)
{
	static char line[512];
	bool here = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)p && (uintptr_t)p < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			break;
	}
	fclose(f);
	return line;
}

static bool zero(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void it_is_zeroed_and_aligned_for_anything(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4080, 4081, 65536, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned char *p = chi_secret_alloc(sizes[i]);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_true(zero(p, sizes[i]));
		memset(p, 0xaa, sizes[i]);
		chi_secret_free(p);
	}
	chi_secret_free(NULL);
}

static void two_secrets_do_not_touch(void **state)
{
	char *a = chi_secret_alloc(32), *b = chi_secret_alloc(32);

	(void)state;
	strcpy(a, "one");
	strcpy(b, "two");
	chi_secret_free(a);
	assert_string_equal(b, "two");
	chi_secret_free(b);
}

static void it_is_kept_out_of_dumps_and_of_swap(void **state)
{
	char *p = chi_secret_alloc(100);
	const char *flags = flags_of(p);

	(void)state;
	if (!strstr(flags, "VmFlags"))
		skip(); /* a kernel without them */
	assert_non_null(strstr(flags, " dd")); /* do not dump */
	chi_secret_free(p);
}

static void a_child_process_does_not_get_it(void **state)
{
	char *p = chi_secret_alloc(100);
	int status;
	pid_t child;

	(void)state;
	strcpy(p, "hush");
	if (!strstr(flags_of(p), " wf"))
		skip(); /* wipe on fork: Linux 4.14 */
	child = fork();
	if (!child)
		_exit(zero((const unsigned char *)p, 100) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_string_equal(p, "hush");
	chi_secret_free(p);
}

/* This program's munmap: the last look at what is given back. */
static const unsigned char *watched;
static bool was_zero;

int munmap(void *p, size_t n)
{
	if (watched && (const unsigned char *)p <= watched && watched < (const unsigned char *)p + n) {
		was_zero = zero(p, n);
		watched = NULL;
	}
	return (int)syscall(SYS_munmap, p, n);
}

static void it_is_wiped_before_it_goes(void **state)
{
	unsigned char *p = chi_secret_alloc(5000);

	(void)state;
	memset(p, 0x5a, 5000);
	watched = p;
	was_zero = false;
	chi_secret_free(p);
	assert_null(watched); /* it was given back … */
	assert_true(was_zero); /* … and all of it was zero by then */
}

static void what_cannot_be_had_is_null(void **state)
{
	(void)state;
	assert_null(chi_secret_alloc(SIZE_MAX));
	assert_null(chi_secret_alloc(SIZE_MAX / 2 - 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_zeroed_and_aligned_for_anything),
		cmocka_unit_test(two_secrets_do_not_touch),
		cmocka_unit_test(it_is_kept_out_of_dumps_and_of_swap),
		cmocka_unit_test(a_child_process_does_not_get_it),
		cmocka_unit_test(it_is_wiped_before_it_goes),
		cmocka_unit_test(what_cannot_be_had_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
