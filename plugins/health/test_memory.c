/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory.c - the files of Linux as they are in containers, under systemd and on plain machines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"

static char root[] = "/tmp/test_memory.XXXXXX";

/* Writes root/path, making the folders above it. */
static void put(const char *path, const char *text)
{
	char file[512];
	FILE *f;

	snprintf(file, sizeof(file), "%s%s", root, path);
	for (char *p = strchr(file + strlen(root) + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		mkdir(file, 0700);
		*p = '/';
	}
	f = fopen(file, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root + strlen(root) - 6, "XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[600];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void version_2_has_one_line(void **state)
{
	char path[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_path("0::/system.slice/chimera.service\n", path), 2);
	assert_string_equal(path, "/system.slice/chimera.service");
	assert_int_equal(cgroup_path("0::/", path), 2);
	assert_string_equal(path, "/");
}

static void the_memory_controller_of_version_1_counts_in_a_hybrid(void **state)
{
	char path[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_path("12:cpu,cpuacct:/a\n0::/z\n5:hugetlb,memory:/docker/b\n1:name=systemd:/c\n", path), 1);
	assert_string_equal(path, "/docker/b");
	assert_int_equal(cgroup_path("5:memory:/b\n0::/z\n", path), 1);
	assert_string_equal(path, "/b");
}

static void a_path_out_of_the_namespace_is_the_root(void **state)
{
	char path[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_path("0::/../../other\n", path), 2);
	assert_string_equal(path, "/");
}

static void text_without_memory_or_version_2_names_no_group(void **state)
{
	char path[CGROUP_PATH_MAX];

	(void)state;
	assert_int_equal(cgroup_path("", path), 0);
	assert_int_equal(cgroup_path("no colons\n3:only one\n1:name=systemd:/x\n4:memoryx:/y\n", path), 0);
}

static void max_is_no_number(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(memory_number("8589934592\n", &v));
	assert_int_equal(v, 8589934592);
	assert_false(memory_number("max\n", &v));
	assert_false(memory_number("", &v));
	assert_false(memory_number("-1", &v));
	assert_false(memory_number("99999999999999999999", &v));
}

static void a_field_is_found_by_its_whole_name_at_a_lines_start(void **state)
{
	const char text[] = "anon 1\ntotal_inactive_file 2\ninactive_file_x 3\ninactive_file 4096\n";
	uint64_t v = 0;

	(void)state;
	assert_true(memory_field(text, "inactive_file", &v));
	assert_int_equal(v, 4096);
	assert_true(memory_field(text, "anon", &v));
	assert_int_equal(v, 1);
	assert_false(memory_field(text, "active_file", &v));
	assert_false(memory_field("", "anon", &v));
}

static void the_machines_use_is_what_is_not_available(void **state)
{
	struct memory_use u;

	(void)state;
	assert_true(memory_of_machine("MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    4000 kB\n", &u));
	assert_int_equal(u.limit, 16000 * 1024);
	assert_int_equal(u.used, 12000 * 1024);
	assert_false(memory_of_machine("MemTotal:       16000 kB\n", &u));
	assert_false(memory_of_machine("MemTotal: 0 kB\nMemAvailable: 0 kB\n", &u));
}

static void inactive_file_pages_of_the_group_are_not_used(void **state)
{
	struct memory_use u;

	(void)state;
	put("/proc/self/cgroup", "0::/app\n");
	put("/sys/fs/cgroup/app/memory.max", "1000\n");
	put("/sys/fs/cgroup/app/memory.current", "900\n");
	put("/sys/fs/cgroup/app/memory.stat", "anon 500\ninactive_file 300\n");
	assert_true(memory_read(root, &u));
	assert_string_equal(u.of, "cgroup");
	assert_int_equal(u.used, 600);
	assert_int_equal(u.limit, 1000);
}

static void the_tightest_limit_above_counts(void **state)
{
	struct memory_use u;

	(void)state;
	put("/proc/self/cgroup", "0::/slice/app\n");
	put("/sys/fs/cgroup/slice/app/memory.max", "1000\n");
	put("/sys/fs/cgroup/slice/app/memory.current", "100\n");
	put("/sys/fs/cgroup/slice/memory.max", "2000\n");
	put("/sys/fs/cgroup/slice/memory.current", "1800\n");
	assert_true(memory_read(root, &u));
	assert_int_equal(u.used, 1800);
	assert_int_equal(u.limit, 2000);
}

static void a_container_sees_its_limit_at_the_root(void **state)
{
	struct memory_use u;

	(void)state;
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/memory.max", "4096\n");
	put("/sys/fs/cgroup/memory.current", "1024\n");
	assert_true(memory_read(root, &u));
	assert_int_equal(u.used, 1024);
	assert_int_equal(u.limit, 4096);
}

static void version_1_uses_its_own_names(void **state)
{
	struct memory_use u;

	(void)state;
	put("/proc/self/cgroup", "5:memory:/d\n");
	put("/sys/fs/cgroup/memory/d/memory.limit_in_bytes", "2048\n");
	put("/sys/fs/cgroup/memory/d/memory.usage_in_bytes", "1024\n");
	put("/sys/fs/cgroup/memory/d/memory.stat", "inactive_file 1\ntotal_inactive_file 24\n");
	assert_true(memory_read(root, &u));
	assert_int_equal(u.used, 1000);
	assert_int_equal(u.limit, 2048);
}

static void without_a_limit_the_machine_counts(void **state)
{
	struct memory_use u;

	(void)state;
	put("/proc/self/cgroup", "0::/app\n");
	put("/sys/fs/cgroup/app/memory.max", "max\n");
	put("/sys/fs/cgroup/app/memory.current", "900\n");
	assert_false(memory_read(root, &u));
	put("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 25 kB\n");
	assert_true(memory_read(root, &u));
	assert_string_equal(u.of, "machine");
	assert_int_equal(u.used, 75 * 1024);
	put("/proc/self/cgroup", "5:memory:/d\n");
	put("/sys/fs/cgroup/memory/d/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/d/memory.usage_in_bytes", "1024\n");
	assert_true(memory_read(root, &u));
	assert_string_equal(u.of, "machine");
}

#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_2_has_one_line),
		cmocka_unit_test(the_memory_controller_of_version_1_counts_in_a_hybrid),
		cmocka_unit_test(a_path_out_of_the_namespace_is_the_root),
		cmocka_unit_test(text_without_memory_or_version_2_names_no_group),
		cmocka_unit_test(max_is_no_number),
		cmocka_unit_test(a_field_is_found_by_its_whole_name_at_a_lines_start),
		cmocka_unit_test(the_machines_use_is_what_is_not_available),
		IN_ROOT(inactive_file_pages_of_the_group_are_not_used),
		IN_ROOT(the_tightest_limit_above_counts),
		IN_ROOT(a_container_sees_its_limit_at_the_root),
		IN_ROOT(version_1_uses_its_own_names),
		IN_ROOT(without_a_limit_the_machine_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
