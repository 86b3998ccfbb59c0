/* SPDX-License-Identifier: MIT */
/*
 * test_skeleton.c - the plugin in a core without a server: see chimera/test.h. `chimera-plugin test` runs this with sanitizers and tries
 * every request once more for each allocation that could fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(skeleton);

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(skeleton));
	ch_test_config(t, ini);
	return t;
}

static int get(struct ch_test *t, const char *path)
{
	return ch_test_request(t, "GET", path, NULL, NULL, 0)->status;
}

static void denied_paths_are_a_403_and_counted(void **state)
{
	struct ch_test *t = begin("[skeleton]\ndeny = /internal, /debug\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(get(t, "/debug"), 403);
	assert_int_equal(get(t, "/internal/a?b"), 403);
	assert_int_equal(get(t, "/x/../debug/y"), 403);
	assert_true(ch_test_metric(t, "skeleton_denied_total", NULL) == 3);
	ch_test_free(t);
}

static void other_paths_pass(void **state)
{
	struct ch_test *t = begin("[skeleton]\ndeny = /debug\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(get(t, "/debugger"), 404); /* nobody's: this plugin has no routes */
	assert_int_equal(get(t, "/"), 404);
	assert_true(ch_test_metric(t, "skeleton_denied_total", NULL) == 0);
	ch_test_free(t);
}

static void every_answer_bears_the_mark(void **state)
{
	struct ch_test *t = begin("[skeleton]\ndeny = /debug\nmark = berlin-2\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(ch_test_header(ch_test_request(t, "GET", "/nowhere", NULL, NULL, 0), "x-served-by"), "berlin-2");
	assert_string_equal(ch_test_header(ch_test_request(t, "GET", "/debug", NULL, NULL, 0), "x-served-by"), "berlin-2");
	ch_test_free(t);
}

static void without_a_mark_there_is_no_header(void **state)
{
	struct ch_test *t = begin("[skeleton]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_null(ch_test_header(ch_test_request(t, "GET", "/", NULL, NULL, 0), "x-served-by"));
	ch_test_free(t);
}

static void a_denied_path_begins_with_a_slash(void **state)
{
	struct ch_test *t = begin("[skeleton]\ndeny = /a, b\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_string_equal(ch_test_errors(t),
		"test.ini:2: error: [skeleton] deny = /a, b: 'b' begins with no /: write paths, such as /internal\n");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(denied_paths_are_a_403_and_counted),
		cmocka_unit_test(other_paths_pass),
		cmocka_unit_test(every_answer_bears_the_mark),
		cmocka_unit_test(without_a_mark_there_is_no_header),
		cmocka_unit_test(a_denied_path_begins_with_a_slash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
