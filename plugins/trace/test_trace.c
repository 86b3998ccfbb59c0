/* SPDX-License-Identifier: Apache-2.0 */
/* The hook in a running core: what comes in, what goes out, what is trusted of whom (W3C Trace Context; FAULTS P15). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(trace);

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

/* A plugin that shows the facts. */
static char seen_id[64], seen_trace[33], seen_parent[17], seen_state[64];
static bool seen_sampled;

static int on_look(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);

	(void)self;
	strcpy(seen_id, f->req_id ? f->req_id : "");
	strcpy(seen_trace, f->trace_id);
	strcpy(seen_parent, f->parent_id);
	strcpy(seen_state, f->tracestate ? f->tracestate : "");
	seen_sampled = f->sampled;
	return ch_respond(c, 200, "text/plain", "x", 1);
}

static unsigned span;
static ch_ticket ticket;

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	ch_unsuspend(ticket); /* nobody else has it */
	ch_span_end(c, span, why == CH_TIMEOUT);
	return ch_respond(c, 200, "text/plain", "x", 1);
}

static int on_timed(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	span = ch_span_begin(c, "cache, look-up");
	ch_span_begin(c, "open");
	ticket = ch_suspend(c, 20, on_waited, NULL);
	return ticket ? CH_AGAIN : CH_ERROR;
}

static const struct ch_route routes[] = { { .method = "GET", .pattern = "/look", .fn = on_look },
	{ .method = "GET", .pattern = "/timed", .fn = on_timed } };
static const struct ch_plugin look = { .size = sizeof(look), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "look",
	.version = "0", .summary = "Shows facts", .routes = CH_TABLE(routes) };

static const struct ch_plugin *look_entry(const struct ch_host *host)
{
	(void)host;
	return &look;
}

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(trace));
	ch_test_plugin(t, look_entry);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

#define ALWAYS "[trace]\ntrust_incoming = always\n[look]\n"

static void a_request_gets_an_id_and_a_trace(void **state)
{
	struct ch_test *t = begin("[trace]\n[look]\n");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/look", NULL, NULL, 0);
	const char *id = ch_test_header(a, "x-request-id"), *parent = ch_test_header(a, "traceparent");

	(void)state;
	/* UUIDv7 (RFC 9562): 2026-01-01T00:00:00Z is 1767225600000 ms, 0x019b76daa800 */
	assert_int_equal(strlen(id), 36);
	assert_memory_equal(id, "019b76da-a800-7", 15);
	assert_non_null(strchr("89ab", id[19]));
	assert_string_equal(seen_id, id);
	/* 00-TRACE-SPAN-01 */
	assert_int_equal(strlen(parent), 55);
	assert_memory_equal(parent, "00-", 3);
	assert_memory_equal(parent + 3, seen_trace, 32);
	assert_string_equal(parent + 52, "-01");
	assert_string_equal(seen_parent, "");
	assert_true(seen_sampled);
	ch_test_free(t);
}

static void two_requests_share_nothing(void **state)
{
	struct ch_test *t = begin("[trace]\n[look]\n");
	char id[64], trace[33];

	(void)state;
	ch_test_request(t, "GET", "/look", NULL, NULL, 0);
	strcpy(id, seen_id);
	strcpy(trace, seen_trace);
	ch_test_request(t, "GET", "/look", NULL, NULL, 0);
	assert_string_not_equal(id, seen_id);
	assert_string_not_equal(trace, seen_trace);
	ch_test_free(t);
}

static void a_trusted_trace_is_joined(void **state)
{
	struct ch_test *t = begin(ALWAYS);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/look",
		"traceparent: 00-" TRACE "-" SPAN "-00\ntracestate: vendor=1\nX-Request-Id: mine-1", NULL, 0);

	(void)state;
	assert_string_equal(ch_test_header(a, "x-request-id"), "mine-1");
	assert_string_equal(seen_trace, TRACE);
	assert_string_equal(seen_parent, SPAN);
	assert_string_equal(seen_state, "vendor=1");
	assert_false(seen_sampled);
	assert_memory_equal(ch_test_header(a, "traceparent"), "00-" TRACE "-", 36);
	assert_string_equal(ch_test_header(a, "traceparent") + 52, "-00");
	assert_null(strstr(ch_test_header(a, "traceparent"), SPAN)); /* a span of our own */
	ch_test_free(t);
}

static void by_default_only_trusted_proxies_are_believed(void **state)
{
	struct ch_test *t = begin("[server]\ntrusted_proxies = 10.0.0.0/8\n[trace]\n[look]\n");

	(void)state;
	ch_test_request(t, "GET", "/look", "traceparent: 00-" TRACE "-" SPAN "-01\nX-Request-Id: mine", NULL, 0);
	assert_string_not_equal(seen_trace, TRACE);
	assert_string_not_equal(seen_id, "mine");
	ch_test_peer(t, "10.1.2.3");
	ch_test_request(t, "GET", "/look", "traceparent: 00-" TRACE "-" SPAN "-01\nX-Request-Id: mine", NULL, 0);
	assert_string_equal(seen_trace, TRACE);
	assert_string_equal(seen_id, "mine");
	ch_test_free(t);
}

static void never_means_never(void **state)
{
	struct ch_test *t = begin("[server]\ntrusted_proxies = 127.0.0.1\n[trace]\ntrust_incoming = never\n[look]\n");

	(void)state;
	ch_test_request(t, "GET", "/look", "traceparent: 00-" TRACE "-" SPAN "-01", NULL, 0);
	assert_string_not_equal(seen_trace, TRACE);
	ch_test_free(t);
}

/* A bad traceparent begins a new trace, and its tracestate goes with it. */
static void what_is_no_traceparent_begins_a_new_trace(void **state)
{
	static const char *const bad[] = {
		"traceparent: 00-00000000000000000000000000000000-" SPAN "-01\ntracestate: a=1",
		"traceparent: 00-" TRACE "-0000000000000000-01\ntracestate: a=1",
		"traceparent: ff-" TRACE "-" SPAN "-01\ntracestate: a=1",
		"traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01\ntracestate: a=1",
		"traceparent: 00-" TRACE "-" SPAN "-01\ntraceparent: 00-" TRACE "-" SPAN "-01\ntracestate: a=1",
		"tracestate: a=1",
	};
	struct ch_test *t = begin(ALWAYS);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ch_test_answer *a = ch_test_request(t, "GET", "/look", bad[i], NULL, 0);

		assert_int_equal(a->status, 200);
		assert_string_not_equal(seen_trace, TRACE);
		assert_int_equal(strlen(seen_trace), 32);
		assert_string_equal(seen_parent, "");
		assert_string_equal(seen_state, "");
	}
	ch_test_free(t);
}

static void a_traceparent_of_10_kib_is_dropped(void **state)
{
	struct ch_test *t = begin(ALWAYS);
	static char field[11000];

	(void)state;
	memset(field, 'a', sizeof(field) - 1);
	memcpy(field, "traceparent: 00-", 16);
	assert_int_equal(ch_test_request(t, "GET", "/look", field, NULL, 0)->status, 200);
	assert_string_equal(seen_parent, "");
	ch_test_free(t);
}

static void errors_carry_the_id_too(void **state)
{
	struct ch_test *t = begin("[log]\naccess = all\n" ALWAYS);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/nowhere", "X-Request-Id: r7", NULL, 0);

	(void)state;
	assert_int_equal(a->status, 404);
	assert_string_equal(ch_test_header(a, "x-request-id"), "r7");
	assert_non_null(strstr(a->body, "\"req_id\":\"r7\""));
	assert_true(ch_test_logged(t, "req_id=r7"));
	ch_test_free(t);
}

static void without_memory_a_request_goes_on_without_an_id(void **state)
{
	struct ch_test *t = begin("[trace]\n[look]\n");
	bool struck = true;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		ch_test_fail_alloc(t, n);
		a = ch_test_request(t, "GET", "/look", NULL, NULL, 0);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		if (a->status && a->status != 200 && a->status != 503)
			fail_msg("%s %lu", a->body, n);
	}
	ch_test_free(t);
}

/* W3C Server Timing, section 3: metric-name is a token, dur is in milliseconds. */
static void spans_that_have_ended_are_told_by_server_timing(void **state)
{
	static const char *const configs[] = { "[trace]\n[look]\n", "[trace]\nserver_timing = no\n[look]\n" };

	(void)state;
	for (int quiet = 0; quiet < 2; quiet++) {
		struct ch_test *t = begin(configs[quiet]);
		struct ch_test_answer *a = ch_test_request(t, "GET", "/timed", NULL, NULL, 0);

		ch_test_advance(t, 20);
		assert_int_equal(a->status, 200);
		if (quiet)
			assert_null(ch_test_header(a, "Server-Timing"));
		else
			assert_string_equal(ch_test_header(a, "Server-Timing"), "cache--look-up;dur=20.000");
		ch_test_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_gets_an_id_and_a_trace),
		cmocka_unit_test(two_requests_share_nothing),
		cmocka_unit_test(a_trusted_trace_is_joined),
		cmocka_unit_test(by_default_only_trusted_proxies_are_believed),
		cmocka_unit_test(never_means_never),
		cmocka_unit_test(what_is_no_traceparent_begins_a_new_trace),
		cmocka_unit_test(a_traceparent_of_10_kib_is_dropped),
		cmocka_unit_test(errors_carry_the_id_too),
		cmocka_unit_test(spans_that_have_ended_are_told_by_server_timing),
		cmocka_unit_test(without_memory_a_request_goes_on_without_an_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
