/* SPDX-License-Identifier: MIT */
/* test_header_filter.c - the plugin in a core without a server, see chimera/test.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(header_filter);

#define SCRAPERS "[header_filter.scrapers]\nheader = User-Agent\ncontains = scrapy\n"

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(header_filter));
	ch_test_config(t, ini);
	return t;
}

static void what_a_rule_matches_is_a_403_and_counted(void **state)
{
	struct ch_test *t = begin(SCRAPERS);
	struct ch_test_answer *a;

	(void)state;
	assert_true(ch_test_start(t));
	a = ch_test_request(t, "GET", "/", "User-Agent: Mozilla/5.0 (Scrapy)\n", NULL, 0);
	assert_int_equal(a->status, 403);
	assert_non_null(strstr(a->body, "\"scrapers\\\""));
	assert_int_equal(ch_test_request(t, "GET", "/", "User-Agent: Mozilla/5.0\n", NULL, 0)->status, 404);
	assert_int_equal(ch_test_request(t, "GET", "/", "X-User-Agent: scrapy\n", NULL, 0)->status, 404);
	assert_int_equal(ch_test_request(t, "GET", "/", "User-Agent: scrap\n", NULL, 0)->status, 404);
	assert_true(ch_test_metric(t, "header_filter_matches_total", "scrapers", NULL) == 1);
	ch_test_free(t);
}

static void a_second_field_of_the_name_is_looked_at_too(void **state)
{
	struct ch_test *t = begin(SCRAPERS);

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_request(t, "GET", "/", "User-Agent: nice\nUser-Agent: scrapy\n", NULL, 0)->status, 403);
	ch_test_free(t);
}

static void without_enforce_the_rule_counts_and_is_named(void **state)
{
	struct ch_test *t = begin("[header_filter]\nenforce = no\n" SCRAPERS);
	struct ch_test_answer *a;

	(void)state;
	assert_true(ch_test_start(t));
	a = ch_test_request(t, "GET", "/", "User-Agent: scrapy\n", NULL, 0);
	assert_int_equal(a->status, 404);
	assert_string_equal(ch_test_header(a, "X-Header-Filter"), "scrapers");
	assert_true(ch_test_metric(t, "header_filter_matches_total", "scrapers", NULL) == 1);
	assert_null(ch_test_header(ch_test_request(t, "GET", "/", NULL, NULL, 0), "X-Header-Filter"));
	ch_test_free(t);
}

static void answers_get_fields_and_lose_fields(void **state)
{
	struct ch_test *t = begin("[header_filter.frames]\nheader = X-Frame-Options\nanswer = DENY\n"
				  "[header_filter.quiet]\nheader = Content-Type\n");
	struct ch_test_answer *a;

	(void)state;
	assert_true(ch_test_start(t));
	a = ch_test_request(t, "GET", "/", NULL, NULL, 0);
	assert_string_equal(ch_test_header(a, "X-Frame-Options"), "DENY");
	assert_null(ch_test_header(a, "Content-Type"));
	ch_test_free(t);
}

static void enforce_is_reloaded_into_the_same_instance(void **state)
{
	struct ch_test *t = begin("[header_filter]\nenforce = no\n" SCRAPERS);
	struct ch_self *self;

	(void)state;
	assert_true(ch_test_start(t));
	self = ch_test_self(t, "header_filter");
	ch_test_config(t, "[header_filter]\nenforce = yes\n" SCRAPERS);
	assert_true(ch_test_start(t));
	assert_ptr_equal(ch_test_self(t, "header_filter"), self);
	assert_int_equal(ch_test_request(t, "GET", "/", "User-Agent: scrapy\n", NULL, 0)->status, 403);
	ch_test_free(t);
}

static void another_rule_is_another_instance_and_the_count_goes_on(void **state)
{
	struct ch_test *t = begin(SCRAPERS);
	struct ch_self *self;

	(void)state;
	assert_true(ch_test_start(t));
	self = ch_test_self(t, "header_filter");
	ch_test_request(t, "GET", "/", "User-Agent: scrapy\n", NULL, 0);
	ch_test_config(t, SCRAPERS "[header_filter.curl]\nheader = User-Agent\ncontains = curl\n");
	assert_true(ch_test_start(t));
	assert_ptr_not_equal(ch_test_self(t, "header_filter"), self);
	assert_int_equal(ch_test_request(t, "GET", "/", "User-Agent: curl/8\n", NULL, 0)->status, 403);
	ch_test_request(t, "GET", "/", "User-Agent: scrapy\n", NULL, 0);
	assert_true(ch_test_metric(t, "header_filter_matches_total", "scrapers", NULL) == 2);
	ch_test_free(t);
}

static void a_rule_about_both_is_a_config_error(void **state)
{
	struct ch_test *t = begin("[header_filter.both]\nheader = Via\ncontains = x\nanswer = y\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_string_equal(ch_test_errors(t), "test.ini:4: error: [header_filter.both] answer = y: stands beside `contains`: a rule is "
					       "about requests or about answers; take one of them out\n");
	ch_test_free(t);
}

static void a_rule_without_a_header_is_a_config_error(void **state)
{
	struct ch_test *t = begin("[header_filter.empty]\ncontains = x\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "[header_filter.empty] header"));
	ch_test_free(t);
}

static void without_memory_nothing_breaks(void **state)
{
	struct ch_test *t = begin(SCRAPERS "[header_filter.frames]\nheader = X-Frame-Options\nanswer = DENY\n");
	bool struck = true;

	(void)state;
	assert_true(ch_test_start(t));
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		ch_test_fail_alloc(t, n);
		a = ch_test_request(t, "GET", "/", "User-Agent: scrapy\n", NULL, 0);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		assert_true(!a->status || a->status == 403 || a->status == 503);
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_rule_matches_is_a_403_and_counted),
		cmocka_unit_test(a_second_field_of_the_name_is_looked_at_too),
		cmocka_unit_test(without_enforce_the_rule_counts_and_is_named),
		cmocka_unit_test(answers_get_fields_and_lose_fields),
		cmocka_unit_test(enforce_is_reloaded_into_the_same_instance),
		cmocka_unit_test(another_rule_is_another_instance_and_the_count_goes_on),
		cmocka_unit_test(a_rule_about_both_is_a_config_error),
		cmocka_unit_test(a_rule_without_a_header_is_a_config_error),
		cmocka_unit_test(without_memory_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
