/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns and paths: which route is found, what its parts hold, and which patterns are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/http/route.h"
#include "core/plugin/gen.h"

static struct chi_inst inst = { .self = { .id = "mine" } }, other = { .self = { .id = "other" } };
static char why[256];

static int on_any(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	(void)c;
	return CH_DONE;
}

static const char *add_as(struct chi_routes *r, struct chi_inst *i, const char *method, const char *pattern)
{
	static struct ch_route rows[256];
	static size_t n;
	struct ch_route *row = &rows[n++ % 256];

	*row = (struct ch_route){ .method = method, .pattern = pattern, .fn = on_any };
	return chi_routes_add(r, i, row, pattern, why, sizeof(why));
}

static const char *add(struct chi_routes *r, const char *method, const char *pattern)
{
	return add_as(r, &inst, method, pattern);
}

/* The pattern that the path finds, "" for none. */
static struct chi_route_match match;
static const char *find(const struct chi_routes *r, const char *path)
{
	chi_routes_find(r, path, strlen(path), &match);
	return match.path ? match.path->pattern : "";
}

static void part_is(size_t i, const char *name, const char *value)
{
	assert_true(i < match.nparams);
	assert_int_equal(match.params[i].name_len, strlen(name));
	assert_memory_equal(match.params[i].name, name, strlen(name));
	assert_int_equal(match.params[i].value.n, strlen(value));
	assert_memory_equal(match.params[i].value.p, value, strlen(value));
}

static void exact_paths_are_found_and_nothing_near_them(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_string_equal(find(r, "/"), "");
	assert_null(add(r, "GET", "/"));
	assert_null(add(r, "GET", "/v1/ask"));
	assert_null(add(r, "GET", "/v1/ask/"));
	assert_string_equal(find(r, "/"), "/");
	assert_string_equal(find(r, "/v1/ask"), "/v1/ask");
	assert_string_equal(find(r, "/v1/ask/"), "/v1/ask/");
	assert_string_equal(find(r, "/v1/as"), "");
	assert_string_equal(find(r, "/v1/askk"), "");
	assert_string_equal(find(r, "/V1/ask"), "");
	assert_string_equal(find(r, "/v1"), "");
	assert_int_equal(match.nparams, 0);
	chi_routes_free(r);
}

static void a_part_takes_one_segment_that_is_not_empty(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/v1/models/{id}"));
	assert_string_equal(find(r, "/v1/models/gpt"), "/v1/models/{id}");
	assert_int_equal(match.nparams, 1);
	part_is(0, "id", "gpt");
	assert_string_equal(find(r, "/v1/models/"), "");
	assert_string_equal(find(r, "/v1/models"), "");
	assert_string_equal(find(r, "/v1/models/a/b"), "");
	assert_string_equal(find(r, "/v1/models/{id}"), "/v1/models/{id}"); /* no magic in what a client sends */
	part_is(0, "id", "{id}");
	chi_routes_free(r);
}

static void parts_in_the_middle_and_several(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/{a}/x/{b}"));
	assert_string_equal(find(r, "/1/x/2"), "/{a}/x/{b}");
	part_is(0, "a", "1");
	part_is(1, "b", "2");
	assert_string_equal(find(r, "/1/y/2"), "");
	assert_string_equal(find(r, "//x/2"), "");
	chi_routes_free(r);
}

static void a_rest_takes_slashes_and_not_nothing(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/files/{path...}"));
	assert_string_equal(find(r, "/files/a/b/c:d"), "/files/{path...}");
	part_is(0, "path", "a/b/c:d");
	assert_string_equal(find(r, "/files/a/"), "/files/{path...}");
	part_is(0, "path", "a/");
	assert_string_equal(find(r, "/files/"), "");
	assert_string_equal(find(r, "/files"), "");
	chi_routes_free(r);
}

static void exact_wins_over_parts_and_longer_beginnings_over_shorter(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/{all...}"));
	assert_null(add(r, "GET", "/v1/{x}"));
	assert_null(add(r, "GET", "/v1/models/{id...}"));
	assert_null(add(r, "GET", "/v1/models"));
	assert_string_equal(find(r, "/v1/models"), "/v1/models");
	assert_string_equal(find(r, "/v1/other"), "/v1/{x}");
	assert_string_equal(find(r, "/v1/models/a/b"), "/v1/models/{id...}");
	assert_string_equal(find(r, "/v1/a/b"), "/{all...}");
	part_is(0, "all", "v1/a/b");
	assert_int_equal(match.nparams, 1); /* nothing is left of patterns that were tried before */
	chi_routes_free(r);
}

static void get_answers_head_and_allow_names_what_there_is(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/x"));
	find(r, "/x");
	assert_string_equal(match.path->allow, "GET, HEAD, OPTIONS");
	assert_ptr_equal(match.path->methods[chi_method_number("HEAD")], match.path->methods[chi_method_number("GET")]);
	assert_null(match.path->methods[chi_method_number("POST")]);
	assert_null(add(r, "POST", "/x"));
	assert_null(add(r, "HEAD", "/x")); /* one of its own */
	find(r, "/x");
	assert_string_equal(match.path->allow, "GET, HEAD, POST, OPTIONS");
	assert_ptr_not_equal(match.path->methods[chi_method_number("HEAD")], match.path->methods[chi_method_number("GET")]);
	chi_routes_free(r);
}

static void a_head_of_its_own_may_come_first(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "HEAD", "/x"));
	assert_null(add(r, "GET", "/x"));
	find(r, "/x");
	assert_ptr_not_equal(match.path->methods[chi_method_number("HEAD")], match.path->methods[chi_method_number("GET")]);
	chi_routes_free(r);
}

static void the_same_method_and_pattern_twice_is_refused_by_name(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/x"));
	assert_string_equal(add_as(r, &other, "GET", "/x"), "[mine] has GET /x already: change the path of one of them or switch one off");
	chi_routes_free(r);
}

/* "/{a}" and "/{b}" are the same question: who answered would be chance. */
static void the_same_pattern_with_other_names_is_refused(void **state)
{
	struct chi_routes *r = chi_routes_new();

	(void)state;
	assert_null(add(r, "GET", "/m/{a}"));
	assert_string_equal(add_as(r, &other, "DELETE", "/m/{b}"), "/m/{a} takes the same paths: give their parts the same names");
	assert_null(add_as(r, &other, "DELETE", "/m/{a}"));
	assert_null(add(r, "GET", "/m/{b...}"));
	chi_routes_free(r);
}

static void bad_patterns_are_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = { "x", "", "/a{b}", "/{b}a", "/{}", "/{", "/a}", "/{a/b}", "/{x...}/y", "/{a}{b}",
		"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "/{...}" };
	struct chi_routes *r = chi_routes_new();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!add(r, "GET", bad[i]))
			fail_msg("%s was taken", bad[i]);
	assert_non_null(add(r, "GET", NULL));
	assert_non_null(add(r, NULL, "/a"));
	assert_non_null(add(r, "TRACE", "/a"));
	assert_non_null(add(r, "get", "/a"));
	assert_int_equal(chi_routes_count(r), 0);
	chi_routes_free(r);
}

static void many_routes_are_all_found(void **state)
{
	struct chi_routes *r = chi_routes_new();
	static char patterns[200][32];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(patterns[i], sizeof(patterns[i]), i % 2 ? "/r%d/x" : "/r%d/{id}", i);
		assert_null(add(r, "GET", patterns[i]));
	}
	assert_int_equal(chi_routes_count(r), 200);
	for (int i = 0; i < 200; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/r%d/x", i);
		assert_string_equal(find(r, path), patterns[i]);
	}
	chi_routes_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_paths_are_found_and_nothing_near_them),
		cmocka_unit_test(a_part_takes_one_segment_that_is_not_empty),
		cmocka_unit_test(parts_in_the_middle_and_several),
		cmocka_unit_test(a_rest_takes_slashes_and_not_nothing),
		cmocka_unit_test(exact_wins_over_parts_and_longer_beginnings_over_shorter),
		cmocka_unit_test(get_answers_head_and_allow_names_what_there_is),
		cmocka_unit_test(a_head_of_its_own_may_come_first),
		cmocka_unit_test(the_same_method_and_pattern_twice_is_refused_by_name),
		cmocka_unit_test(the_same_pattern_with_other_names_is_refused),
		cmocka_unit_test(bad_patterns_are_refused_with_a_sentence),
		cmocka_unit_test(many_routes_are_all_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
