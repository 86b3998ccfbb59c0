/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests: pieces, limits, framing errors, the budget, Expect, and those that nobody wants. */
#include "core/http/test_show.h"

/* ---- bodies ---- */

static void bodies_come_in_any_pieces(void **state)
{
	static char body[200000];
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n");
	struct ch_test_answer *a;

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)('a' + i % 23);
	for (size_t at = 0; at < sizeof(body); at += 1000) {
		chi_peer_send(p, body + at, 1000);
		run(t);
	}
	a = chi_peer_answer(p, "POST");
	assert_int_equal(a->n, sizeof(body));
	assert_memory_equal(a->body, body, sizeof(body));
	ch_test_free(t);
}

static void a_body_over_the_limit_is_413_before_it_is_read(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = one(t, "POST /small HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n");

	(void)state;
	assert_int_equal(a->status, 413);
	assert_int_equal(one(t, "POST /small HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789")->status, 200);
	a = one(t, "POST /small HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n");
	assert_int_equal(a->status, 413);
	assert_string_equal(ch_test_header(a, "connection"), "close");
	a = one(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n");
	assert_int_equal(a->status, 413);
	ch_test_free(t);
}

static void bad_chunks_are_400_and_the_end(void **state)
{
	static const char *const bodies[] = { "x\r\n", "3\r\nabcd\r\n", "-1\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "11111111111111111\r\n",
		"3\nabc\n0\n\n" };
	struct ch_test *t = begin();
	char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		int n = snprintf(bytes, sizeof(bytes), "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s", bodies[i]);

		refused(t, bytes, (size_t)n, 400);
	}
	assert_int_equal(echoes, 0);
	ch_test_free(t);
}

/* The process's budget for bodies: max_buffered_bytes. */
static void bodies_over_the_budget_are_503(void **state)
{
	struct ch_test *t = begin_with("max_body_bytes = 1m\nmax_buffered_bytes = 1m");
	static char half[600000];
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 700000\r\n\r\n");
	struct ch_test_answer *a;

	(void)state;
	memset(half, 'x', sizeof(half));
	chi_peer_send(p, half, sizeof(half));
	run(t);
	a = ch_test_request(t, "POST", "/echo", NULL, half, sizeof(half));
	assert_int_equal(a->status, 503);
	assert_non_null(ch_test_header(a, "retry-after"));
	chi_peer_send(p, half, 100000);
	run(t);
	assert_int_equal(chi_peer_answer(p, "POST")->n, 700000);
	p->reset = true;
	run(t);
	a = ch_test_request(t, "POST", "/echo", NULL, half, sizeof(half)); /* and what was counted is given back */
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void a_body_that_nobody_wants_is_dropped_and_the_connection_kept(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p =
		raw(t, "GET /hello HTTP/1.1\r\n" HOST "Content-Length: 31\r\n\r\nGET /none HTTP/1.1\r\nHost: b\r\n\r\n" GET("/sized"));

	(void)state;
	assert_string_equal(chi_peer_answer(p, "GET")->body, "hello");
	assert_string_equal(chi_peer_answer(p, "GET")->body, "abcdef");
	assert_int_equal(p->read_at, p->ngot);
	ch_test_free(t);
}

static void a_long_body_that_nobody_wants_ends_the_connection(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "GET /hello HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n");
	struct ch_test_answer *a = chi_peer_answer(p, "GET");

	(void)state;
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "connection"), "close");
	assert_true(p->finished);
	ch_test_free(t);
}

/* ---- Expect ---- */

static void a_body_that_will_be_read_is_asked_for(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	struct ch_test_answer *a;

	(void)state;
	assert_int_equal(p->ngot, 25);
	assert_memory_equal(p->got, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	more(p, "abc");
	a = chi_peer_answer(p, "POST");
	assert_true(a->continued);
	assert_string_equal(a->body, "abc");
	ch_test_free(t);
}

static void a_body_that_will_not_be_read_is_not(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = one(t, "POST /none HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");

	(void)state;
	assert_int_equal(a->status, 404);
	assert_false(a->continued);
	assert_string_equal(ch_test_header(a, "connection"), "close"); /* whether the body still comes, nobody knows */
	a = one(t, "POST /small HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 300\r\n\r\n");
	assert_int_equal(a->status, 413);
	assert_false(a->continued);
	ch_test_free(t);
}

/* ---- without memory ---- */

/* FAULTS P2: whichever allocation fails, the answer is whole, or a 503, or the connection is cut; and nothing is left. */
static void whichever_allocation_fails_it_is_a_503_or_a_cut(void **state)
{
	static char large[70000];
	static const struct { const char *path, *headers; const void *body; size_t n; } requests[] = {
		{ "/hello", NULL, NULL, 0 }, { "/stream", NULL, NULL, 0 }, { "/sized", NULL, NULL, 0 }, { "/none", NULL, NULL, 0 },
		{ "/small", NULL, "0123456789", 10 }, { "/echo", NULL, large, sizeof(large) },
		{ "/echo", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n", 13 }, { "/small", NULL, large, 11 },
	};
	struct ch_test *t = begin();

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		bool struck = true;

		for (unsigned long n = 1; struck; n++) {
			struct ch_test_answer *a;

			ch_test_fail_alloc(t, n);
			a = ch_test_request(t, requests[i].body ? "POST" : "GET", requests[i].path, requests[i].headers, requests[i].body,
				requests[i].n);
			struck = ch_test_fail_alloc(t, 0);
			assert_true(a->done);
			if (struck && a->status >= 500 && a->status != 503)
				fail_msg("%s, allocation %lu: %s", requests[i].path, n, a->body);
			if (!struck)
				assert_true(a->status == 200 || a->status == 404 || a->status == 413);
		}
	}
	assert_true(ch_test_metric(t, "http_requests_in_progress", NULL) == 0);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_come_in_any_pieces),
		cmocka_unit_test(a_body_over_the_limit_is_413_before_it_is_read),
		cmocka_unit_test(bad_chunks_are_400_and_the_end),
		cmocka_unit_test(bodies_over_the_budget_are_503),
		cmocka_unit_test(a_body_that_nobody_wants_is_dropped_and_the_connection_kept),
		cmocka_unit_test(a_long_body_that_nobody_wants_ends_the_connection),
		cmocka_unit_test(a_body_that_will_be_read_is_asked_for),
		cmocka_unit_test(a_body_that_will_not_be_read_is_not),
		cmocka_unit_test(whichever_allocation_fails_it_is_a_503_or_a_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
