/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an error answer carries on a route whose clients speak OpenAI's protocol: the problem (RFC 9457) with OpenAI's `error` object in it
 * (its API reference: message, type, param, code), whoever refuses. And what a ctx keeps until its memory goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

static char gone[8]; /* letters, in the order in which what was kept went */

static void go(void *data)
{
	strncat(gone, data, 1);
}

static int on_plain(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_refuse(c, CH_E_BAD_REQUEST, 0, "Send \"n\".");
}

static int on_param(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_refuse_param(c, CH_E_BAD_REQUEST, "n", "Send \"n\".");
}

static int on_own(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_refusal r = { .size = sizeof(r), .code = CH_E_UPSTREAM_RATE_LIMITED, .retry_after_ms = 1500, .detail = "Wait.",
		.error = CH_STR("{\"message\":\"slow down\",\"code\":7}") };

	(void)self;
	return ch_refuse_as(c, &r);
}

static int on_keep(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	assert_true(ch_keep(c, go, "a"));
	assert_true(ch_keep(c, go, "b"));
	assert_string_equal(gone, "");
	return ch_respond(c, 200, NULL, "kept", 4);
}

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/plain", .fn = on_plain },
	{ .method = "GET", .pattern = "/plain-own", .fn = on_own },
	{ .method = "GET", .pattern = "/v1/refused", .fn = on_plain, .dialect = CH_D_OPENAI },
	{ .method = "GET", .pattern = "/v1/param", .fn = on_param, .dialect = CH_D_OPENAI },
	{ .method = "GET", .pattern = "/v1/own", .fn = on_own, .dialect = CH_D_OPENAI },
	{ .method = "POST", .pattern = "/v1/small", .fn = on_plain, .body = CH_BODY_BUFFER, .max_body = 4, .dialect = CH_D_OPENAI },
	{ .method = "GET", .pattern = "/keep", .fn = on_keep },
};

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "dialects",
	.version = "1",
	.summary = "Refuses",
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(dialects, plugin)
CH_TEST_PLUGIN(dialects);

static struct ch_test *begin(void)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(dialects));
	ch_test_config(t, "[dialects]\n");
	assert_true(ch_test_start(t));
	gone[0] = 0;
	return t;
}

static void says(const char *method, const char *path, const char *body, int status, const char *expected)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = ch_test_request(t, method, path, NULL, body, body ? strlen(body) : 0);

	assert_int_equal(a->status, status);
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
	assert_string_equal(a->body, expected);
	ch_test_free(t);
}

static void a_plain_route_says_the_problem_alone(void **state)
{
	(void)state;
	says("GET", "/plain", NULL, 400,
		"{\"type\":\"urn:chimera:problem:bad_request\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"Send \\\"n\\\".\","
		"\"code\":\"bad_request\"}");
	says("GET", "/plain-own", NULL, 429,
		"{\"type\":\"urn:chimera:problem:upstream_rate_limited\",\"title\":\"Too Many Requests\",\"status\":429,\"detail\":\"Wait.\","
		"\"code\":\"upstream_rate_limited\"}");
}

static void an_openai_route_says_its_error_too(void **state)
{
	(void)state;
	says("GET", "/v1/refused", NULL, 400,
		"{\"type\":\"urn:chimera:problem:bad_request\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"Send \\\"n\\\".\","
		"\"code\":\"bad_request\",\"error\":{\"message\":\"Send \\\"n\\\".\",\"type\":\"invalid_request_error\",\"param\":null,"
		"\"code\":\"bad_request\"}}");
	says("GET", "/v1/param", NULL, 400,
		"{\"type\":\"urn:chimera:problem:bad_request\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"Send \\\"n\\\".\","
		"\"code\":\"bad_request\",\"param\":\"n\",\"error\":{\"message\":\"Send \\\"n\\\".\",\"type\":\"invalid_request_error\","
		"\"param\":\"n\",\"code\":\"bad_request\"}}");
}

static void an_error_object_of_ones_own_is_shown_as_it_is(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = ch_test_request(t, "GET", "/v1/own", NULL, NULL, 0);

	(void)state;
	assert_int_equal(a->status, 429);
	assert_string_equal(ch_test_header(a, "retry-after"), "2");
	assert_string_equal(ch_test_header(a, "retry-after-ms"), "1500");
	assert_string_equal(ch_test_header(a, "x-should-retry"), "true");
	assert_non_null(strstr(a->body, ",\"error\":{\"message\":\"slow down\",\"code\":7}}"));
	ch_test_free(t);
}

static void what_the_core_refuses_there_says_it_too(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *large = ch_test_request(t, "POST", "/v1/small", NULL, "12345", 5);
	struct ch_test_answer *method = ch_test_request(t, "POST", "/v1/param", NULL, "1", 1);

	(void)state;
	assert_int_equal(large->status, 413);
	assert_non_null(strstr(large->body, "\"error\":{\"message\":\""));
	assert_int_equal(method->status, 405);
	assert_non_null(strstr(method->body, "\"code\":\"method_not_allowed\"}}"));
	ch_test_free(t);
}

static void what_a_ctx_keeps_goes_with_its_memory_last_first(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	assert_int_equal(ch_test_request(t, "GET", "/keep", NULL, NULL, 0)->status, 200);
	assert_string_equal(gone, "ba");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_route_says_the_problem_alone),
		cmocka_unit_test(an_openai_route_says_its_error_too),
		cmocka_unit_test(an_error_object_of_ones_own_is_shown_as_it_is),
		cmocka_unit_test(what_the_core_refuses_there_says_it_too),
		cmocka_unit_test(what_a_ctx_keeps_goes_with_its_memory_last_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
