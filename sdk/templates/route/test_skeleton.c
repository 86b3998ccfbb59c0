/* SPDX-License-Identifier: MIT */
/*
 * test_skeleton.c - the whole plugin, in a core without a server: see chimera/test.h. `chimera-plugin test` runs this with sanitizers and
 * tries every request once more for each allocation that could fail.
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

static void who_is_configured_is_greeted_and_counted(void **state)
{
	struct ch_test *t = begin("[skeleton]\nwords = Good morning\n[skeleton.ada]\n");
	struct ch_test_answer *a;

	(void)state;
	assert_true(ch_test_start(t));
	a = ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "{\"greeting\":\"Good morning, ada\",\"times\":1}");
	assert_string_equal(ch_test_header(a, "content-type"), "application/json");
	a = ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0);
	assert_string_equal(a->body, "{\"greeting\":\"Good morning, ada\",\"times\":2}");
	assert_true(ch_test_metric(t, "skeleton_greetings_total", "ada", NULL) == 2);
	ch_test_free(t);
}

static void a_limit_is_a_429(void **state)
{
	struct ch_test *t = begin("[skeleton.ada]\nlimit = 1\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0)->status, 200);
	assert_int_equal(ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0)->status, 429);
	ch_test_free(t);
}

static void counts_go_on_over_a_reload(void **state)
{
	struct ch_test *t = begin("[skeleton]\n[skeleton.ada]\n[skeleton.bob]\n");

	(void)state;
	assert_true(ch_test_start(t));
	ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0);
	ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0);
	ch_test_request(t, "GET", "/v1/skeleton/bob", NULL, NULL, 0);
	ch_test_config(t, "[skeleton]\nwords = Good evening\n[skeleton.cleo]\n[skeleton.ada]\n");
	assert_true(ch_test_start(t));
	assert_string_equal(ch_test_request(t, "GET", "/v1/skeleton/ada", NULL, NULL, 0)->body,
		"{\"greeting\":\"Good evening, ada\",\"times\":3}");
	assert_string_equal(ch_test_request(t, "GET", "/v1/skeleton/cleo", NULL, NULL, 0)->body,
		"{\"greeting\":\"Good evening, cleo\",\"times\":1}");
	assert_int_equal(ch_test_request(t, "GET", "/v1/skeleton/bob", NULL, NULL, 0)->status, 404);
	ch_test_free(t);
}

static void strangers_and_bad_names_are_refused(void **state)
{
	struct ch_test *t = begin("[skeleton]\n");
	struct ch_test_answer *a;

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_request(t, "GET", "/v1/skeleton/bob", NULL, NULL, 0)->status, 404);
	a = ch_test_request(t, "GET", "/v1/skeleton/a%20b", NULL, NULL, 0);
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, "\"param\":\"name\""));
	ch_test_free(t);
}

static void without_rows_the_check_is_degraded(void **state)
{
	struct ch_test *t = begin("[skeleton]\n");
	struct ch_check_result r;

	(void)state;
	assert_true(ch_test_start(t));
	assert_true(ch_test_check(t, "skeleton.rows", &r));
	assert_int_equal(r.health, CH_DEGRADED);
	assert_string_equal(r.message, "there is nobody to greet: add a section [skeleton.NAME]");
	ch_test_free(t);
}

static void a_row_without_a_usable_name_is_a_config_error(void **state)
{
	struct ch_test *t = begin("[skeleton]\n[skeleton.a b]\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_string_equal(ch_test_errors(t), "test.ini:2: error: [skeleton.a b]: a row's name has 1 to 64 letters, digits, _ and -\n");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_configured_is_greeted_and_counted),
		cmocka_unit_test(a_limit_is_a_429),
		cmocka_unit_test(counts_go_on_over_a_reload),
		cmocka_unit_test(strangers_and_bad_names_are_refused),
		cmocka_unit_test(without_rows_the_check_is_degraded),
		cmocka_unit_test(a_row_without_a_usable_name_is_a_config_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
