/* SPDX-License-Identifier: MIT */
/*
 * test_skeleton.c - the plugin in a core without a server: see chimera/test.h. `chimera-plugin test` runs this with sanitizers and tries
 * every request and command once more for each allocation that could fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(skeleton);

static struct ch_test *started(void)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(skeleton));
	ch_test_config(t, "[skeleton]\n");
	assert_true(ch_test_start(t));
	return t;
}

static void get(struct ch_test *t, const char *path)
{
	ch_test_request(t, "GET", path, NULL, NULL, 0);
}

static void requests_are_counted_by_class(void **state)
{
	struct ch_test *t = started();
	const char *text;

	(void)state;
	get(t, "/nowhere");
	get(t, "/nowhere");
	assert_int_equal(ch_test_command(t, &text, "skeleton", "show", NULL), 0);
	assert_string_equal(text, "1xx 0\n2xx 0\n3xx 0\n4xx 2\n5xx 0\n");
	ch_test_free(t);
}

static void a_count_can_be_set(void **state)
{
	struct ch_test *t = started();
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "skeleton", "set", "5xx", "7", NULL), 0);
	assert_string_equal(text, "");
	assert_int_equal(ch_test_command(t, &text, "skeleton", "show", NULL), 0);
	assert_string_equal(text, "1xx 0\n2xx 0\n3xx 0\n4xx 0\n5xx 7\n");
	ch_test_free(t);
}

static void what_is_typed_wrongly_is_refused(void **state)
{
	struct ch_test *t = started();
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "skeleton", "set", "6xx", "0", NULL), 1);
	assert_string_equal(text, "\"6xx\" is no class of statuses: write one of 1xx, 2xx, 3xx, 4xx, 5xx.");
	assert_int_equal(ch_test_command(t, &text, "skeleton", "set", "5xx", "few", NULL), 1);
	assert_string_equal(text, "\"few\" is no number: write one from 0 on.");
	ch_test_free(t);
}

static void counts_go_on_over_a_reload(void **state)
{
	struct ch_test *t = started();
	const char *text;

	(void)state;
	get(t, "/a");
	get(t, "/b");
	ch_test_config(t, "[skeleton]\nignore = /a\n");
	assert_true(ch_test_start(t));
	get(t, "/a"); /* ignored now */
	get(t, "/b");
	assert_int_equal(ch_test_command(t, &text, "skeleton", "show", NULL), 0);
	assert_string_equal(text, "1xx 0\n2xx 0\n3xx 0\n4xx 3\n5xx 0\n");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_counted_by_class),
		cmocka_unit_test(a_count_can_be_set),
		cmocka_unit_test(what_is_typed_wrongly_is_refused),
		cmocka_unit_test(counts_go_on_over_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
