/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics in a running core: who may ask, what comes, and what if the pool is late, full or the client gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(prometheus);

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(prometheus));
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

static struct ch_test_answer *get(struct ch_test *t, const char *headers)
{
	return ch_test_request(t, "GET", "/metrics", headers, NULL, 0);
}

static void a_scrape_gets_the_text_format_whole(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a = get(t, NULL);
	char length[32];

	(void)state;
	assert_int_equal(a->status, 200);
	assert_true(a->complete);
	assert_string_equal(ch_test_header(a, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(ch_test_header(a, "cache-control"), "no-store");
	assert_string_equal(ch_test_header(a, "vary"), "Accept");
	snprintf(length, sizeof(length), "%zu", a->n);
	assert_string_equal(ch_test_header(a, "content-length"), length);
	assert_non_null(strstr(a->body, "# TYPE active_connections gauge\nactive_connections 1\n"));
	assert_int_equal(a->body[a->n - 1], '\n');
	ch_test_free(t);
}

static void openmetrics_is_given_to_who_asks_for_it(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a = get(t, "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5");

	(void)state;
	assert_string_equal(ch_test_header(a, "content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_string_equal(a->body + a->n - 6, "# EOF\n");
	ch_test_free(t);
}

static void requests_are_in_the_next_scrape(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	double before = ch_test_metric(t, "http_requests_total", "GET", "/metrics", "200", NULL);

	(void)state;
	get(t, NULL);
	get(t, NULL);
	assert_true(ch_test_metric(t, "http_requests_total", "GET", "/metrics", "200", NULL) == before + 2);
	assert_true(ch_test_metric(t, "http_request_duration_seconds", "GET", "/metrics", NULL) == 2);
	ch_test_free(t);
}

static void strangers_may_not_ask(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");

	(void)state;
	ch_test_peer(t, "203.0.113.9");
	assert_int_equal(get(t, NULL)->status, 403);
	ch_test_peer(t, "::1");
	assert_int_equal(get(t, NULL)->status, 200);
	assert_int_equal(get(t, "X-Forwarded-For: 203.0.113.9")->status, 403); /* a proxy on this machine speaks for somebody else */
	ch_test_free(t);
}

static void a_head_request_gets_the_head_alone(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a = ch_test_request(t, "HEAD", "/metrics", NULL, NULL, 0);

	(void)state;
	assert_int_equal(a->status, 200);
	assert_true(a->complete);
	assert_int_equal(a->n, 0);
	assert_true(atoi(ch_test_header(a, "content-length")) > 0);
	ch_test_free(t);
}

static void a_full_pool_is_a_503(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	a = get(t, NULL);
	assert_int_equal(a->status, 503);
	assert_string_equal(ch_test_header(a, "retry-after"), "1");
	ch_test_free(t);
}

/* The page that comes too late is freed: ch_test_free and the sanitizer see to it. */
static void a_pool_that_is_late_is_a_503_after_10_seconds(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	a = get(t, NULL);
	ch_test_advance(t, 9999);
	assert_false(a->done);
	ch_test_advance(t, 1);
	assert_int_equal(a->status, 503);
	assert_int_equal(ch_test_offload_run(t), 1);
	ch_test_free(t);
}

static void a_client_that_leaves_costs_nothing(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	a = get(t, NULL);
	ch_test_leave(a);
	ch_test_offload_run(t);
	assert_true(ch_test_metric(t, "http_requests_in_progress", NULL) == 0);
	ch_test_free(t);
}

/* The page is not copied for a client that reads slowly, and freed when it has gone out or the client is cut. */
static void a_client_that_reads_late_gets_the_same_page(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	struct ch_test_answer *a, *b;

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	a = get(t, NULL);
	b = get(t, NULL);
	ch_test_unread(a, true);
	ch_test_unread(b, true);
	ch_test_offload_run(t);
	assert_int_equal(a->status, 0);
	ch_test_unread(a, false);
	assert_true(a->complete);
	ch_test_leave(b);
	ch_test_free(t);
}

static void the_path_is_an_option(void **state)
{
	struct ch_test *t = begin("[prometheus]\npath = /stats\n");

	(void)state;
	assert_int_equal(get(t, NULL)->status, 404);
	assert_int_equal(ch_test_request(t, "GET", "/stats", NULL, NULL, 0)->status, 200);
	ch_test_free(t);
}

static void a_path_that_is_none_is_a_config_error(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(prometheus));
	ch_test_config(t, "[prometheus]\npath = /{x}\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:2: error: [prometheus] path = /{x}: "));
	ch_test_free(t);
}

static void without_memory_a_scrape_is_refused(void **state)
{
	struct ch_test *t = begin("[prometheus]\n");
	bool struck = true;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		ch_test_fail_alloc(t, n);
		a = get(t, NULL);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		assert_true(!a->status || a->status == 200 || a->status == 503);
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scrape_gets_the_text_format_whole),
		cmocka_unit_test(openmetrics_is_given_to_who_asks_for_it),
		cmocka_unit_test(requests_are_in_the_next_scrape),
		cmocka_unit_test(strangers_may_not_ask),
		cmocka_unit_test(a_head_request_gets_the_head_alone),
		cmocka_unit_test(a_full_pool_is_a_503),
		cmocka_unit_test(a_pool_that_is_late_is_a_503_after_10_seconds),
		cmocka_unit_test(a_client_that_leaves_costs_nothing),
		cmocka_unit_test(a_client_that_reads_late_gets_the_same_page),
		cmocka_unit_test(the_path_is_an_option),
		cmocka_unit_test(a_path_that_is_none_is_a_config_error),
		cmocka_unit_test(without_memory_a_scrape_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
