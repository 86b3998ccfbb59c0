/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch.c - watched files: which they are, and what is a change of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/conf/test_load.h"

struct web_conf { const char *pass, *ca_file, *plain; struct ch_list names; };
struct web_row { const char *cert; };
static const struct ch_option web_options[] = {
	CH_OPT(struct web_conf, pass, STR, .flags = CH_O_SECRET),
	CH_OPT(struct web_conf, ca_file, PATH, .flags = CH_O_WATCH),
	CH_OPT(struct web_conf, plain, PATH),
	CH_OPT(struct web_conf, names, LIST),
};
static const struct ch_option web_rows[] = { CH_OPT(struct web_row, cert, PATH, .flags = CH_O_WATCH) };
static const struct ch_plugin web = { .size = sizeof(web),
	.name = "web",
	.conf_size = sizeof(struct web_conf),
	.row_conf_size = sizeof(struct web_row),
	.options = CH_TABLE(web_options),
	.row_options = CH_TABLE(web_rows) };
static struct ch_plugin other;            /* a plugin of one test */

static int setup(void **state)
{
	if (begin(state))
		return -1;
	t.plugins[0] = &web;
	t.plugins[1] = &other;
	return 0;
}

/* Nothing has changed, however often one asks. */
static void fresh(void)
{
	assert_null(chi_conf_stale(t.conf));
	assert_null(chi_conf_stale(t.conf));
}

/* This file has changed; that is told once. */
static void stale(const char *name)
{
	const char *path = chi_conf_stale(t.conf);

	assert_non_null(path);
	assert_string_equal(path, *name == '*' ? name : path_of(name));
	fresh();
}

/* Loads again what is in main.ini: what the reload would do with [web]. */
static int again(void)
{
	struct chi_conf *was = t.conf;
	int verdict;

	t.conf = NULL;
	load_file(path_of("main.ini"));
	if (!t.conf)
		fail_msg("%s", t.said);
	verdict = chi_conf_compare(chi_conf_find(was, "web"), chi_conf_find(t.conf, "web"));
	chi_conf_free(was);
	fresh();
	return verdict;
}

/* ---- which files ---- */

static void files_of_at_and_of_watched_paths_are_watched_and_no_others(void **state)
{
	static const char *const watched[] = { "pass", "names", "on", "ca", "cert" };
	size_t i;

	(void)state;
	write_file("plain", "one");
	write_file("inc.ini", "");
	for (i = 0; i < 5; i++)
		write_file(watched[i], i == 2 ? "yes" : "one");
	load_clean("[server]\ninclude = inc.ini\n[web]\npass = @pass\nnames = @names\nenabled = @on\nca_file = ca\nplain = plain\n"
		   "[web.r]\ncert = cert\n");
	fresh();
	write_file("plain", "two, more");
	write_file("inc.ini", "; more");
	write_file("main.ini", "; more");
	fresh();
	for (i = 0; i < 5; i++) {
		write_file(watched[i], "two, more");
		stale(watched[i]);
	}
	assert_true(chi_conf_watches(t.conf));
	load_clean("[web]\nca_file =\npass = @@pass\nplain = plain\n"); /* none at all */
	assert_false(chi_conf_watches(t.conf));
	write_file("pass", "three");
	fresh();
}

static void only_a_path_can_be_watched(void **state)
{
	static struct ch_option one[] = { { .name = "x", .type = CH_T_DATA, .flags = CH_O_WATCH } };

	(void)state;
	other = (struct ch_plugin){ .size = sizeof(other), .name = "other", .conf_size = sizeof(char *), .options = CH_TABLE(one) };
	load_wrong("[other]\n", "main.ini:1: error: the plugin other describes its option number 1 (x) wrongly");
	one[0].type = CH_T_PATH;
	load_clean("[other]\n");
}

/* ---- what is a change ---- */

static void a_change_is_told_once(void **state)
{
	int i;

	(void)state;
	write_file("ca", "one");
	load_clean("[web]\nca_file = ca\n");
	fresh();
	for (i = 0; i < 100; i++) { /* of one size, as fast as it goes */
		write_file("ca", i % 2 ? "one" : "two");
		stale("ca");
	}
	assert_int_equal(again(), CHI_CONF_SAME); /* the last was "one" */
	write_file("ca", "two");
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	load_clean("[web]\nca_file = /etc/passwd\n"); /* a file that is not young */
	fresh();
}

static void a_change_that_leaves_all_times_as_they_were_shows_while_they_are_young(void **state)
{
	int fd = open(path_of("pass"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *p;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "one", 3), 3);
	p = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	*p = 'O'; /* from now on the page is written without a word to the file's times */
	load_clean("[web]\npass = @pass\nca_file = pass\n");
	fresh();
	*p = 'o';
	stale("pass");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	munmap(p, 3);
	close(fd);
}

static void a_touched_file_is_stale_once_and_then_the_same(void **state)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };

	(void)state;
	write_file("ca", "one");
	write_file("pass", "one");
	load_clean("[web]\nca_file = ca\npass = @pass\n");
	assert_int_equal(utimensat(AT_FDCWD, path_of("ca"), long_ago, 0), 0);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_SAME);
	assert_int_equal(utimensat(AT_FDCWD, path_of("pass"), long_ago, 0), 0);
	stale("pass");
	assert_int_equal(again(), CHI_CONF_SAME);
}

static void a_file_that_vanished_is_a_change_and_so_is_its_return(void **state)
{
	(void)state;
	write_file("ca", "one");
	write_file("pass", "one");
	load_clean("[web]\nca_file = ca\npass = @pass\n");
	assert_int_equal(remove(path_of("ca")), 0);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED); /* its plugin says what it thinks of that */
	write_file("ca", "one");
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	assert_int_equal(remove(path_of("pass")), 0);
	stale("pass"); /* a reload fails now, and is not tried again before the file is back */
	write_file("pass", "one");
	stale("pass");
	assert_int_equal(again(), CHI_CONF_SAME);
}

static void a_missing_file_is_watched_for(void **state)
{
	(void)state;
	load_clean("[web]\nca_file = no/ca\n");
	fresh();
	assert_int_equal(mkdir(path_of("no"), 0700), 0);
	fresh();
	write_file("no/ca", "one");
	stale("no/ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
}

static void a_half_written_file_is_one_change_and_the_rest_of_it_the_next(void **state)
{
	FILE *f;

	(void)state;
	write_file("ca", "old");
	load_clean("[web]\nca_file = ca\npass = @ca\n");
	f = fopen(path_of("ca"), "w");
	assert_non_null(f);
	fputs("ne", f);
	fflush(f);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	assert_string_equal(chi_conf_text(chi_conf_find(t.conf, "web"), "pass"), "ne");
	fputs("w", f);
	fclose(f);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	assert_string_equal(chi_conf_text(chi_conf_find(t.conf, "web"), "pass"), "new");
}

/* A volume of Kubernetes: files are links through ..data, which is put over to another folder at once. */
static void a_swapped_link_to_the_folder_shows(void **state)
{
	const struct timespec when[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };

	(void)state;
	assert_int_equal(mkdir(path_of("v1"), 0700) || mkdir(path_of("v2"), 0700) || mkdir(path_of("v3"), 0700), 0);
	write_file("v1/key", "one");
	write_file("v2/key", "two");
	write_file("v3/key", "two");
	assert_int_equal(utimensat(AT_FDCWD, path_of("v1/key"), when, 0) || utimensat(AT_FDCWD, path_of("v2/key"), when, 0), 0);
	assert_int_equal(symlink("v1", path_of("..data")) || symlink("..data/key", path_of("key")), 0);
	load_clean("[web]\npass = @key\nca_file = key\n");
	fresh();
	assert_int_equal(symlink("v2", path_of("..tmp")) || rename(path_of("..tmp"), path_of("..data")), 0);
	stale("key");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	assert_string_equal(chi_conf_text(chi_conf_find(t.conf, "web"), "pass"), "two");
	assert_int_equal(symlink("v3", path_of("..tmp")) || rename(path_of("..tmp"), path_of("..data")), 0);
	stale("key");
	assert_int_equal(again(), CHI_CONF_SAME); /* the same bytes in another file */
	assert_int_equal(remove(path_of("..data")), 0);
	stale("key"); /* a link to nothing */
}

static void a_file_put_in_place_of_another_shows(void **state)
{
	(void)state;
	write_file("ca", "one");
	write_file("new", "two");
	load_clean("[web]\nca_file = ca\n");
	assert_int_equal(rename(path_of("new"), path_of("ca")), 0);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
}

static void of_several_changes_the_first_is_told_and_all_count(void **state)
{
	(void)state;
	write_file("a", "one");
	write_file("b", "one");
	write_file("c", "one");
	load_clean("[web]\nca_file = a\npass = @b\n[web:x]\nca_file = c\n");
	write_file("c", "two!");
	write_file("a", "two!");
	write_file("b", "two!");
	assert_string_equal(chi_conf_stale(t.conf), path_of("b")); /* the order of the option table */
	fresh();
}

static void a_hidden_path_is_not_told(void **state)
{
	char text[300];

	(void)state;
	write_file("where", path_of("ca"));
	write_file("ca", "one");
	load_clean("[web]\nca_file = @where\n");
	write_file("ca", "two!");
	stale("***");
	write_file("ca2", "two!");
	snprintf(text, sizeof(text), "%s", path_of("ca2"));
	write_file("where", text);
	stale("where");
	assert_int_equal(again(), CHI_CONF_CHANGED);
}

static void a_very_large_file_goes_by_its_signature(void **state)
{
	(void)state;
	write_file("ca", "");
	assert_int_equal(truncate(path_of("ca"), (64 << 20) + 100000), 0); /* a hole: nothing is read of it */
	load_clean("[web]\nca_file = ca\n");
	fresh();
	assert_int_equal(again(), CHI_CONF_SAME);
	assert_int_equal(truncate(path_of("ca"), (64 << 20) + 200000), 0);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
	assert_int_equal(truncate(path_of("ca"), 1), 0);
	stale("ca");
	assert_int_equal(again(), CHI_CONF_CHANGED);
}

/* ---- what cannot be read ---- */

/* Somebody to whom 0600 of another means no. False: this machine does not let us become one. */
static bool become_nobody(void)
{
	if (geteuid())
		return true; /* our own files of mode 0 are out of reach already */
	return !chmod(t.dir, 0755) && !seteuid(65534);
}

static void become_ourselves(void)
{
	if (geteuid() != getuid())
		assert_int_equal(seteuid(getuid()), 0);
}

static void an_unreadable_file_fails_an_at_but_not_a_watched_path(void **state)
{
	static const char at[] = "[web]\npass = @ca\n", path[] = "[web]\nca_file = ca\n";
	const char *changed;

	(void)state;
	write_n("ca", "one", 3, 0);
	write_n("at.ini", at, strlen(at), 0644);
	write_n("main.ini", path, strlen(path), 0644);
	if (!become_nobody())
		skip();
	load_file(path_of("at.ini"));
	assert_null(t.conf);
	said("[web] pass = ***: names the file ");
	said("which cannot be read (Permission denied)");
	load_file(path_of("main.ini"));
	assert_non_null(t.conf);
	assert_string_equal(t.said, "");
	assert_null(chi_conf_stale(t.conf));
	become_ourselves();
	assert_int_equal(chmod(path_of("ca"), 0644), 0); /* that is a change of the file */
	changed = chi_conf_stale(t.conf);
	assert_true(changed && !strcmp(changed, path_of("ca")));
	assert_int_equal(again(), CHI_CONF_CHANGED);
}

/* Nothing below may wait for a writer: the alarm ends the program if it does. */
static int fifo_with_a_byte(const char *name)
{
	int fd;

	alarm(60);
	assert_int_equal(mkfifo(path_of(name), 0600), 0);
	fd = open(path_of(name), O_RDWR | O_CLOEXEC | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	return fd;
}

static void still_has_its_byte(int fd)
{
	char c = 0;

	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, 'x');
	close(fd);
	alarm(0);
}

static void a_pipe_is_refused_by_at_and_not_read(void **state)
{
	int fd;

	(void)state;
	fd = fifo_with_a_byte("fifo");
	load_wrong("[web]\npass = @fifo\n", "main.ini:2: error: [web] pass = ***: names the file ");
	said("/fifo, which cannot be read (not a regular file)");
	still_has_its_byte(fd);
	alarm(60); /* and with nobody at its other end */
	load_wrong("[web]\npass = @fifo\n", "not a regular file");
	alarm(0);
}

static void a_watched_path_that_is_no_file_is_left_alone_with_a_warning(void **state)
{
	int fd;

	(void)state;
	fd = fifo_with_a_byte("fifo");
	load("[web]\nca_file = fifo\n");
	assert_non_null(t.conf);
	said("main.ini:2: warning: [web] ca_file = ");
	said("/fifo: is no regular file, so a change of it is not seen");
	still_has_its_byte(fd);
	assert_int_equal(remove(path_of("fifo")), 0);
	fresh(); /* not watched, as it said */
	load("[web]\nca_file = .\n");
	assert_non_null(t.conf);
	said("is no regular file");
}

static void a_pipe_in_place_of_a_watched_file_is_a_change_that_is_not_read(void **state)
{
	int fd;

	(void)state;
	write_file("ca", "one");
	load_clean("[web]\nca_file = ca\n");
	assert_int_equal(remove(path_of("ca")), 0);
	fd = fifo_with_a_byte("ca");
	stale("ca");
	still_has_its_byte(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, end)
	static const struct CMUnitTest tests[] = {
		T(files_of_at_and_of_watched_paths_are_watched_and_no_others),
		T(only_a_path_can_be_watched),
		T(a_change_is_told_once),
		T(a_change_that_leaves_all_times_as_they_were_shows_while_they_are_young),
		T(a_touched_file_is_stale_once_and_then_the_same),
		T(a_file_that_vanished_is_a_change_and_so_is_its_return),
		T(a_missing_file_is_watched_for),
		T(a_half_written_file_is_one_change_and_the_rest_of_it_the_next),
		T(a_swapped_link_to_the_folder_shows),
		T(a_file_put_in_place_of_another_shows),
		T(of_several_changes_the_first_is_told_and_all_count),
		T(a_hidden_path_is_not_told),
		T(a_very_large_file_goes_by_its_signature),
		T(an_unreadable_file_fails_an_at_but_not_a_watched_path),
		T(a_pipe_is_refused_by_at_and_not_read),
		T(a_watched_path_that_is_no_file_is_left_alone_with_a_warning),
		T(a_pipe_in_place_of_a_watched_file_is_a_change_that_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
