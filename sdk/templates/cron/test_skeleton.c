/* SPDX-License-Identifier: MIT */
/*
 * test_skeleton.c - the plugin in a core without a server: see chimera/test.h. Its clock moves only when the test moves it, so an hour
 * takes no time, and its pool runs when the test lets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(skeleton);

#define MINUTE 60000

static struct ch_test *started(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(skeleton));
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

static void free_space_is_measured_each_time(void **state)
{
	struct ch_test *t = started("[skeleton]\nwhen = 10m\nleast = 0\n");

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	for (int i = 0; i < 3; i++) {
		ch_test_advance(t, 10 * MINUTE);
		assert_int_equal(ch_test_offload_run(t), 1);
		assert_true(ch_test_metric(t, "skeleton_free_bytes", NULL) > 0);
	}
	assert_false(ch_test_logged(t, "disk"));
	ch_test_free(t);
}

static void too_little_space_is_told(void **state)
{
	struct ch_test *t = started("[skeleton]\nwhen = 10m\nleast = 1000000g\n");

	(void)state;
	ch_test_advance(t, 10 * MINUTE);
	assert_true(ch_test_logged(t, "/ has less free space than `least`"));
	ch_test_free(t);
}

static void a_path_that_is_not_there_is_told(void **state)
{
	struct ch_test *t = started("[skeleton]\nwhen = 10m\npath = /nowhere-at-all\n");

	(void)state;
	ch_test_advance(t, 10 * MINUTE);
	assert_true(ch_test_logged(t, "/nowhere-at-all No such file or directory"));
	ch_test_free(t);
}

static void a_file_system_that_hangs_is_told(void **state)
{
	struct ch_test *t = started("[skeleton]\nwhen = 10m\n");

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	ch_test_advance(t, 10 * MINUTE + 10000);
	assert_true(ch_test_logged(t, "/ did not answer in time"));
	ch_test_free(t);
}

static void a_full_pool_is_no_harm(void **state)
{
	struct ch_test *t = started("[skeleton]\nwhen = 10m\nleast = 0\n");

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	ch_test_advance(t, 10 * MINUTE);
	ch_test_offload(t, CH_TEST_AUTO);
	ch_test_advance(t, 10 * MINUTE);
	assert_true(ch_test_metric(t, "skeleton_free_bytes", NULL) > 0);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_space_is_measured_each_time),
		cmocka_unit_test(too_little_space_is_told),
		cmocka_unit_test(a_path_that_is_not_there_is_told),
		cmocka_unit_test(a_file_system_that_hangs_is_told),
		cmocka_unit_test(a_full_pool_is_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
