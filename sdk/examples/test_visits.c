/* SPDX-License-Identifier: MIT */
/* test_visits.c - the plugin in a core without a server, over files of a folder of the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(visits);

static char folder[] = "/tmp/test_visits.XXXXXX", file[64], beside[80];

/* A second plugin, whose start fails: what has started before it is stopped again. */
static int never_start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	ch_log(self, NULL, CH_ERR, "not today");
	return CH_ERROR;
}
static const struct ch_plugin failing = {
	.size = sizeof(failing),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "failing",
	.version = "1",
	.summary = "Fails",
	.start = never_start,
};
static const struct ch_plugin *failing_entry(const struct ch_host *host)
{
	(void)host;
	return &failing;
}

static void configure(struct ch_test *t, const char *section)
{
	char ini[512];

	snprintf(ini, sizeof(ini), "[server]\nstate_dir = %s\n[visits]\n%s", folder, section);
	ch_test_config(t, ini);
}

static struct ch_test *begin(const char *section)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(visits));
	ch_test_plugin(t, failing_entry);
	configure(t, section);
	ch_test_sweep_off(t); /* its copies of the process would write this file too */
	assert_true(ch_test_start(t));
	return t;
}

static const char *content(void)
{
	static char text[256];
	FILE *f = fopen(file, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = 0;
	if (f)
		fclose(f);
	return f ? text : "absent";
}

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int no_file(void **state)
{
	(void)state;
	unlink(file);
	return 0;
}

static struct ch_test_answer *visit(struct ch_test *t, const char *page)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/visits/%s", page);
	return ch_test_request(t, "POST", path, NULL, NULL, 0);
}

static void a_visit_is_counted(void **state)
{
	struct ch_test *t = begin("pages = home, docs\n");

	(void)state;
	assert_string_equal(visit(t, "home")->body, "{\"page\":\"home\",\"visits\":1}");
	assert_string_equal(visit(t, "home")->body, "{\"page\":\"home\",\"visits\":2}");
	assert_string_equal(visit(t, "docs")->body, "{\"page\":\"docs\",\"visits\":1}");
	assert_int_equal(visit(t, "other")->status, 404);
	ch_test_free(t);
}

static void the_clock_writes_the_file_if_there_is_something_new(void **state)
{
	struct ch_test *t = begin("pages = home\nsave = 30s\n");

	(void)state;
	visit(t, "home");
	assert_string_equal(content(), "absent");
	ch_test_advance(t, 30000);
	assert_string_equal(content(), "home 1\n");
	unlink(file);
	ch_test_advance(t, 60000);
	assert_string_equal(content(), "absent");
	assert_true(ch_test_metric(t, "background_tasks_completed_total", "visits.save", NULL) == 3);
	ch_test_free(t);
}

static void every_so_many_visits_it_is_written_at_once(void **state)
{
	struct ch_test *t = begin("pages = home\nsave_every = 2\n");

	(void)state;
	visit(t, "home");
	assert_string_equal(content(), "absent");
	visit(t, "home");
	assert_string_equal(content(), "home 2\n");
	ch_test_free(t);
}

static void a_restart_goes_on_counting(void **state)
{
	struct ch_test *t;

	(void)state;
	write_file("gone 7\nhome 41\n");
	t = begin("pages = home\n");
	assert_string_equal(visit(t, "home")->body, "{\"page\":\"home\",\"visits\":42}");
	ch_test_free(t); /* writes on its way out, also what is not configured */
	assert_string_equal(content(), "home 42\ngone 7\n");
}

static void a_reload_goes_on_counting(void **state)
{
	struct ch_test *t = begin("pages = home\n");
	struct ch_self *was = ch_test_self(t, "visits");

	(void)state;
	visit(t, "home");
	configure(t, "pages = docs, home\n");
	assert_true(ch_test_start(t));
	assert_ptr_not_equal(ch_test_self(t, "visits"), was);
	assert_string_equal(visit(t, "home")->body, "{\"page\":\"home\",\"visits\":2}");
	assert_string_equal(visit(t, "docs")->body, "{\"page\":\"docs\",\"visits\":1}");
	ch_test_advance(t, 30000);
	assert_string_equal(content(), "docs 1\nhome 2\n");
	ch_test_free(t);
}

static void a_reload_that_is_refused_changes_nothing(void **state)
{
	struct ch_test *t = begin("pages = home\n");

	(void)state;
	visit(t, "home");
	configure(t, "pages = docs, home\n[failing]\n");
	assert_false(ch_test_start(t));
	assert_string_equal(visit(t, "home")->body, "{\"page\":\"home\",\"visits\":2}");
	assert_int_equal(visit(t, "docs")->status, 404);
	ch_test_free(t);
	assert_string_equal(content(), "home 2\n");
}

/* A limit of 0 bytes stands in for a disk that is full. */
static void full_disk(bool full)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = full ? 0 : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_told_once_and_healed(void **state)
{
	struct ch_test *t = begin("pages = home\n");
	const char *told;

	(void)state;
	write_file("home 0\n");
	visit(t, "home");
	full_disk(true);
	ch_test_advance(t, 120000);
	full_disk(false);
	assert_string_equal(content(), "home 0\n");
	assert_int_equal(access(beside, F_OK), -1);
	assert_true(ch_test_metric(t, "chimera_degraded", "visits", NULL) == 1);
	told = strstr(ch_test_log(t), "is degraded now: the counts cannot be written: File too large");
	assert_non_null(told);
	assert_null(strstr(told + 1, "is degraded now"));
	ch_test_advance(t, 30000);
	assert_string_equal(content(), "home 1\n");
	ch_test_advance(t, 3000);
	assert_true(ch_test_metric(t, "chimera_degraded", "visits", NULL) == 0);
	assert_true(ch_test_logged(t, "file works again: the counts are written"));
	ch_test_free(t);
}

static void a_disk_that_does_not_answer_is_told_and_written_to_once(void **state)
{
	struct ch_test *t = begin("pages = home\n");

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	visit(t, "home");
	ch_test_advance(t, 30000);
	ch_test_advance(t, 10000);
	assert_true(ch_test_logged(t, "file is degraded now: the disk does not answer"));
	visit(t, "home");
	ch_test_advance(t, 120000); /* the work that hangs is the only one */
	assert_int_equal(ch_test_offload_run(t), 1);
	assert_string_equal(content(), "home 1\n");
	ch_test_advance(t, 30000);
	assert_int_equal(ch_test_offload_run(t), 1);
	assert_string_equal(content(), "home 2\n");
	ch_test_free(t);
}

static void a_full_pool_is_tried_again(void **state)
{
	struct ch_test *t = begin("pages = home\n");

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	visit(t, "home");
	ch_test_advance(t, 30000);
	assert_string_equal(content(), "absent");
	ch_test_offload(t, CH_TEST_AUTO);
	ch_test_advance(t, 30000);
	assert_string_equal(content(), "home 1\n");
	ch_test_free(t);
}

static void a_file_that_makes_no_sense_is_left_alone(void **state)
{
	static const char *const texts[] = {
		"home\n", "home x\n", "home -1\n", "home 1 \n", "home 99999999999999999999\n", " 1\n", "\n", "home 1\n\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ch_test *t = ch_test_new();

		write_file(texts[i]);
		ch_test_plugin(t, CH_TEST_ENTRY(visits));
		configure(t, "pages = home\n");
		assert_false(ch_test_start(t));
		assert_true(ch_test_logged(t, "visits.txt: line "));
		assert_string_equal(content(), texts[i]);
		ch_test_free(t);
	}
}

static void a_page_of_odd_letters_is_a_config_error(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(visits));
	configure(t, "pages = home, \"a b\"\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "holds \"a b\": a page has lower-case letters, digits, _ and -"));
	ch_test_free(t);
}

static void without_memory_nothing_breaks(void **state)
{
	struct ch_test *t = begin("pages = home\nsave_every = 1\n");
	bool struck = true;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		ch_test_fail_alloc(t, n);
		a = visit(t, "home");
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		assert_true(!a->status || a->status == 200 || a->status == 503);
	}
	struck = true;
	for (unsigned long n = 1; struck; n++) {
		visit(t, "home");
		ch_test_fail_alloc(t, n);
		ch_test_advance(t, 30000);
		struck = ch_test_fail_alloc(t, 0);
	}
	assert_string_not_equal(content(), "absent");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_visit_is_counted, no_file),
		cmocka_unit_test_setup(the_clock_writes_the_file_if_there_is_something_new, no_file),
		cmocka_unit_test_setup(every_so_many_visits_it_is_written_at_once, no_file),
		cmocka_unit_test_setup(a_restart_goes_on_counting, no_file),
		cmocka_unit_test_setup(a_reload_goes_on_counting, no_file),
		cmocka_unit_test_setup(a_reload_that_is_refused_changes_nothing, no_file),
		cmocka_unit_test_setup(a_full_disk_is_told_once_and_healed, no_file),
		cmocka_unit_test_setup(a_disk_that_does_not_answer_is_told_and_written_to_once, no_file),
		cmocka_unit_test_setup(a_full_pool_is_tried_again, no_file),
		cmocka_unit_test_setup(a_file_that_makes_no_sense_is_left_alone, no_file),
		cmocka_unit_test_setup(a_page_of_odd_letters_is_a_config_error, no_file),
		cmocka_unit_test_setup(without_memory_nothing_breaks, no_file),
	};
	int failed;

	if (!mkdtemp(folder))
		return 99;
	snprintf(file, sizeof(file), "%s/visits.txt", folder);
	snprintf(beside, sizeof(beside), "%s.new", file);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(file);
	rmdir(folder);
	return failed;
}
