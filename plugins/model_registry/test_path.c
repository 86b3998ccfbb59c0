/* SPDX-License-Identifier: Apache-2.0 */
/* test_path.c - names of models, the files they give, and that no path leads out of the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "path.h"

static char long_text[5000];

static const char *letters(size_t n)
{
	memset(long_text, 'x', n);
	long_text[n] = 0;
	return long_text;
}

static void names_are_1_to_128_of_few_characters(void **state)
{
	static const char *const good[] = { "gemma3:latest", "Qwen/Qwen3-32B", "gpt-4.1", "a", "..", "-", "a_b" };
	static const char *const bad[] = { "", "a b", "a\\b", "a\nb", "\xc3\xa4", "a*", "a%2f", "~" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(registry_is_name(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(registry_is_name(bad[i]));
	assert_true(registry_is_name(letters(128)));
	assert_false(registry_is_name(letters(129)));
}

static void a_name_gives_one_file_in_the_folder_itself(void **state)
{
	static const char *const table[][2] = { { "gemma3:latest", "gemma3_latest" }, { "Qwen/Qwen3-32B", "Qwen_Qwen3-32B" },
		{ "gpt-4.1", "gpt-4.1" }, { "..", "_." }, { ".", "_" }, { "../../etc/passwd", "_._.._etc_passwd" }, { "/etc/passwd", "_etc_passwd" },
		{ ".hidden", "_hidden" }, { "a:b/c:d", "a_b_c_d" } };
	char out[REGISTRY_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		registry_sanitise(out, table[i][0]);
		assert_string_equal(out, table[i][1]);
		assert_null(registry_path_wrong(out));
		assert_null(strchr(out, '/'));
	}
	registry_sanitise(out, letters(128));
	assert_int_equal(strlen(out), 128);
}

static void a_path_that_could_leave_the_folder_is_wrong(void **state)
{
	static const char *const good[] = { "a", "a/b/c.gguf", "..a", "a..", "...", "a/.b", "a b", "\xc3\xa4" };
	static const char *const bad[] = { "", "/", "/a", "..", "../a", "a/..", "a/../b", ".", "./a", "a/.", "a//b", "a/", "a\nb", "a\x7f" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(registry_path_wrong(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(registry_path_wrong(bad[i]));
	assert_null(registry_path_wrong(letters(255)));
	assert_non_null(registry_path_wrong(letters(256)));
	memset(long_text, 'x', sizeof(long_text));
	for (size_t i = 99; i < sizeof(long_text); i += 100)
		long_text[i] = '/';
	long_text[PATH_MAX] = 0;
	assert_non_null(registry_path_wrong(long_text));
}

/* ---- opening ---- */

static char folder[] = "/tmp/chimera-registry-XXXXXX";
static char dir[64];

static void make(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *in(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(dir, sizeof(dir), "%s/models", folder);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(in("models/sub"), 0700), 0);
	make("secret", "secret");
	make("models/a.gguf", "abc");
	make("models/sub/b.gguf", "abcd");
	assert_int_equal(symlink("../secret", in("models/link-out")), 0);
	assert_int_equal(symlink("a.gguf", in("models/link-in")), 0);
	assert_int_equal(symlink("..", in("models/up")), 0);
	assert_int_equal(symlink("sub", in("models/sub-link")), 0);
	assert_int_equal(symlink("nowhere", in("models/dangling")), 0);
	assert_int_equal(mkfifo(in("models/fifo"), 0600), 0);
	assert_int_equal(symlink("models", in("models-link")), 0);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "models-link", "models/fifo", "models/dangling", "models/sub-link", "models/up", "models/link-in",
		"models/link-out", "models/sub/b.gguf", "models/a.gguf", "secret" };

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(in(files[i]));
	rmdir(in("models/sub"));
	rmdir(dir);
	return rmdir(folder);
}

static void assert_opens(const char *root, const char *path, off_t size)
{
	const char *why = "";
	struct stat st;
	int fd = registry_open(root, path, &st, &why);

	assert_true(fd >= 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}

static void assert_shut(const char *root, const char *path, int error, const char *words)
{
	const char *why = "";
	struct stat st;

	assert_int_equal(registry_open(root, path, &st, &why), -1);
	assert_int_equal(errno, error);
	assert_non_null(strstr(why, words));
}

static void files_below_the_folder_are_opened(void **state)
{
	(void)state;
	assert_opens(dir, "a.gguf", 3);
	assert_opens(dir, "sub/b.gguf", 4);
	assert_opens(in("models-link"), "sub/b.gguf", 4); /* the folder itself is the operator's */
}

static void no_link_is_followed_wherever_it_stands(void **state)
{
	(void)state;
	assert_shut(dir, "link-out", ELOOP, "symbolic link");
	assert_shut(dir, "link-in", ELOOP, "symbolic link");
	assert_shut(dir, "dangling", ELOOP, "symbolic link");
	assert_shut(dir, "up/secret", ELOOP, "symbolic link");
	assert_shut(dir, "sub-link/b.gguf", ELOOP, "symbolic link");
}

static void what_is_no_file_is_not_opened(void **state)
{
	(void)state;
	assert_shut(dir, "none", ENOENT, "no such file");
	assert_shut(dir, "none/a", ENOENT, "no such file");
	assert_shut(dir, "sub", EISDIR, "no regular file");
	assert_shut(dir, "fifo", EISDIR, "no regular file"); /* and does not wait for a writer */
	assert_shut(dir, "a.gguf/b", ENOTDIR, "no folder");
	assert_shut(dir, "../secret", EINVAL, "..");
	assert_shut(dir, "sub/../../secret", EINVAL, "..");
	assert_shut(in("none"), "a.gguf", ENOENT, "no such file");
}

static void no_descriptor_stays_open(void **state)
{
	static const char *const paths[] = { "a.gguf", "sub/b.gguf", "link-out", "up/secret", "none/a", "sub", "a.gguf/b" };
	int before = dup(0), after;
	const char *why;
	struct stat st;

	(void)state;
	close(before);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int fd = registry_open(dir, paths[i], &st, &why);
		if (fd >= 0)
			close(fd);
	}
	after = dup(0); /* the lowest that is free */
	close(after);
	assert_int_equal(after, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_1_to_128_of_few_characters),
		cmocka_unit_test(a_name_gives_one_file_in_the_folder_itself),
		cmocka_unit_test(a_path_that_could_leave_the_folder_is_wrong),
		cmocka_unit_test(files_below_the_folder_are_opened),
		cmocka_unit_test(no_link_is_followed_wherever_it_stands),
		cmocka_unit_test(what_is_no_file_is_not_opened),
		cmocka_unit_test(no_descriptor_stays_open),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
