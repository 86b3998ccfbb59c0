/* SPDX-License-Identifier: Apache-2.0 */
/* What the dynamic linker read is given back, and is still there for who asks. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/daemon/daemon.h"

/* Where libc begins: its ELF header. */
static uintptr_t libc_base(void)
{
	Dl_info info;

	assert_true(dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &info));
	return (uintptr_t)info.dli_fbase;
}

/* Resident KiB of the mapping that begins there, and of it those that this process alone has written to. */
static void look(uintptr_t base, long *resident, long *written)
{
	static char line[4096];
	bool here = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	assert_non_null(f);
	*resident = *written = -1;
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from == base;
		else if (here && !strncmp(line, "Rss:", 4))
			sscanf(line + 4, "%ld", resident);
		else if (here && !strncmp(line, "Private_Dirty:", 14))
			sscanf(line + 14, "%ld", written);
	}
	fclose(f);
	assert_true(*resident >= 0 && *written >= 0);
}

static void what_the_linker_read_is_resident_no_more_and_reads_as_before(void **state)
{
	uintptr_t base = libc_base();
	unsigned char head[64]; /* of the ELF file */
	long before, after, written;
	void *was, *is;

	(void)state;
	memcpy(head, (const void *)base, sizeof(head));
	was = dlsym(RTLD_DEFAULT, "getpgrp");
	assert_non_null(was);
	look(base, &before, &written);
	assert_int_equal(written, 0);
	chi_link_tables_release();
	look(base, &after, &written);
	/* A function of libc that is bound at its first call, here fopen's at the latest, may have looked a few pages up again. */
	if (after > before / 2)
		fail_msg("%ld KiB of %ld are still resident", after, before);

	assert_memory_equal((const void *)base, head, sizeof(head));
	is = dlsym(RTLD_DEFAULT, "getpgrp");
	assert_ptr_equal(is, was);
}

static void a_library_that_is_loaded_afterwards_finds_what_it_needs(void **state)
{
	void *library;
	const char *(*version)(void);

	(void)state;
	chi_link_tables_release();
	library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
	assert_non_null(library);
	assert_non_null(dlsym(library, "cbrt"));
	*(void **)&version = dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
	assert_non_null(version);
	assert_int_equal(version()[0], '2');
	chi_link_tables_release();
	chi_link_tables_release(); /* twice is once */
	assert_non_null(dlsym(library, "sinh"));
	dlclose(library);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_linker_read_is_resident_no_more_and_reads_as_before),
		cmocka_unit_test(a_library_that_is_loaded_afterwards_finds_what_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
