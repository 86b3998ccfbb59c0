/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, connections, order, methods: RFC 9110, RFC 9112; FAULTS H14-H28. The parser has its own tests; here is what the core
 * does with what it says. Bodies: test_body.c, clocks: test_times.c.
 */
#include "core/http/test_show.h"

/* ---- an answer ---- */

static void an_answer_byte_by_byte(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, GET("/hello"));
	static const char expected[] =
		"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

	(void)state;
	assert_int_equal(p->ngot, strlen(expected));
	assert_memory_equal(p->got, expected, p->ngot);
	ch_test_free(t);
}

static void the_date_moves_with_the_clock(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	ch_test_advance(t, 86400000 + 3661000);
	assert_string_equal(ch_test_header(ch_test_request(t, "GET", "/hello", NULL, NULL, 0), "date"), "Fri, 02 Jan 2026 01:01:01 GMT");
	ch_test_free(t);
}

/* RFC 9110, 6.6.1: a server with a clock sends Date in all 2xx, 3xx and 4xx. */
static void every_answer_has_a_date(void **state)
{
	struct ch_test *t = begin();
	static const char *const requests[] = { GET("/hello"), GET("/none"), "BAD\r\n\r\n", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.1\r\nExpect: tea\r\n" HOST "\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		assert_string_equal(ch_test_header(one(t, requests[i]), "date"), "Thu, 01 Jan 2026 00:00:00 GMT");
	ch_test_free(t);
}

static void a_stream_is_chunked(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, GET("/stream"));
	struct ch_test_answer *a = chi_peer_answer(p, "GET");
	static const char body[] = "3\r\none\r\n14\r\ntwenty bytes of text\r\n0\r\n\r\n"; /* 0x14 is 20 */

	(void)state;
	assert_string_equal(ch_test_header(a, "transfer-encoding"), "chunked");
	assert_null(ch_test_header(a, "content-length"));
	assert_string_equal(a->body, "onetwenty bytes of text");
	assert_memory_equal(p->got + p->ngot - strlen(body), body, strlen(body));
	assert_false(p->finished);
	ch_test_free(t);
}

static void a_stream_of_known_length_is_not(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = one(t, GET("/sized"));

	(void)state;
	assert_string_equal(ch_test_header(a, "content-length"), "6");
	assert_null(ch_test_header(a, "transfer-encoding"));
	assert_string_equal(a->body, "abcdef");
	ch_test_free(t);
}

static void a_body_shorter_than_was_said_is_cut(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, GET("/short"));
	struct ch_test_answer *a = chi_peer_answer(p, "GET");

	(void)state;
	assert_true(p->finished);
	assert_false(a->complete);
	ch_test_free(t);
}

static void http_1_0_streams_end_with_the_connection(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	struct ch_test_answer *a = chi_peer_answer(p, "GET");

	(void)state;
	assert_null(ch_test_header(a, "transfer-encoding"));
	assert_string_equal(ch_test_header(a, "connection"), "close");
	assert_string_equal(a->body, "onetwenty bytes of text");
	assert_true(p->finished);
	ch_test_free(t);
}

static void head_is_get_without_the_body(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "HEAD /hello HTTP/1.1\r\n" HOST "\r\nHEAD /stream HTTP/1.1\r\n" HOST "\r\n" GET("/hello"));
	struct ch_test_answer *a = chi_peer_answer(p, "HEAD"), *b = chi_peer_answer(p, "HEAD"), *c = chi_peer_answer(p, "GET");

	(void)state;
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "content-length"), "5");
	assert_int_equal(b->status, 200);
	assert_string_equal(c->body, "hello"); /* so nothing stood between */
	ch_test_free(t);
}

/* ---- keeping and closing ---- */

static void http_1_1_stays_open_unless_told(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, GET("/hello"));

	(void)state;
	assert_null(ch_test_header(chi_peer_answer(p, "GET"), "connection"));
	assert_false(p->finished);
	more(p, "GET /hello HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
	assert_string_equal(ch_test_header(chi_peer_answer(p, "GET"), "connection"), "close");
	assert_true(p->finished);
	ch_test_free(t);
}

static void http_1_0_closes_unless_told(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "GET /hello HTTP/1.0\r\n\r\n");

	(void)state;
	assert_string_equal(ch_test_header(chi_peer_answer(p, "GET"), "connection"), "close");
	assert_true(p->finished);
	p = raw(t, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	assert_string_equal(ch_test_header(chi_peer_answer(p, "GET"), "connection"), "keep-alive");
	assert_false(p->finished);
	ch_test_free(t);
}

static void a_draining_server_closes(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, GET("/hello"));

	(void)state;
	chi_peer_answer(p, "GET");
	ch_test_server(t)->draining = true;
	more(p, GET("/hello"));
	assert_string_equal(ch_test_header(chi_peer_answer(p, "GET"), "connection"), "close");
	assert_true(p->finished);
	ch_test_free(t);
}

/* After its last answer the server reads on for a second, so that no reset destroys the answer (RFC 9112, 9.6). */
static void a_closing_connection_lingers(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "GET /hello HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n" GET("/hello"));

	(void)state;
	assert_true(p->finished);
	assert_non_null(p->conn);
	more(p, "still talking");
	assert_int_equal(p->taken, p->nsent);
	ch_test_advance(t, 999);
	assert_non_null(p->conn);
	ch_test_advance(t, 1);
	assert_null(p->conn);
	chi_peer_answer(p, "GET");
	assert_int_equal(p->read_at, p->ngot); /* one answer, no more */
	ch_test_free(t);
}

static void a_lingering_connection_drops_64_kib_at_most(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "GET /hello HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
	static char flood[65536];

	(void)state;
	memset(flood, 'x', sizeof(flood));
	chi_peer_send(p, flood, sizeof(flood));
	run(t);
	assert_non_null(p->conn);
	chi_peer_send(p, flood, 1);
	run(t);
	assert_null(p->conn);
	ch_test_free(t);
}

/* ---- pipelining ---- */

#define PIPELINE GET("/hello") "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc" GET("/stream") GET("/none") \
	"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: 1\r\n\r\n" GET("/sized")

static void check_pipeline(struct chi_peer *p)
{
	assert_string_equal(chi_peer_answer(p, "GET")->body, "hello");
	assert_string_equal(chi_peer_answer(p, "POST")->body, "abc");
	assert_string_equal(chi_peer_answer(p, "GET")->body, "onetwenty bytes of text");
	assert_int_equal(chi_peer_answer(p, "GET")->status, 404);
	assert_string_equal(chi_peer_answer(p, "POST")->body, "def");
	assert_string_equal(chi_peer_answer(p, "GET")->body, "abcdef");
	assert_int_equal(p->read_at, p->ngot);
	assert_false(p->finished);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	check_pipeline(raw(t, PIPELINE));
	ch_test_free(t);
}

static void pipelined_requests_split_at_every_byte(void **state)
{
	static const char all[] = PIPELINE;
	struct ch_test *t = begin();

	(void)state;
	for (size_t cut = 1; cut < strlen(all); cut++) {
		struct chi_peer *p = raw_n(t, all, cut);

		more(p, all + cut);
		check_pipeline(p);
		p->reset = true;
	}
	ch_test_free(t);
}

static void pipelined_requests_byte_by_byte_both_ways(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	(void)state;
	p->most_in = p->most_out = 1;
	more(p, PIPELINE);
	check_pipeline(p);
	ch_test_free(t);
}

static void a_thousand_pipelined_requests(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	(void)state;
	for (int i = 0; i < 1000; i++)
		chi_peer_send(p, GET("/hello"), strlen(GET("/hello")));
	run(t);
	for (int i = 0; i < 1000; i++)
		assert_string_equal(chi_peer_answer(p, "GET")->body, "hello");
	assert_int_equal(p->read_at, p->ngot);
	ch_test_free(t);
}

static void what_is_behind_a_suspended_request_waits(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, GET("/wait") GET("/hello"));

	(void)state;
	assert_int_equal(p->ngot, 0);
	ch_test_on_loop(t, resume, NULL);
	assert_string_equal(chi_peer_answer(p, "GET")->body, "late");
	assert_string_equal(chi_peer_answer(p, "GET")->body, "hello");
	ch_test_free(t);
}

/* A client that sends and does not read: the server holds stream_high of answers, one read and no more. */
static void a_client_that_does_not_read_is_not_read_either(void **state)
{
	struct ch_test *t = begin_with("stream_high = 16k\nstream_low = 4k");
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	(void)state;
	p->unread = true;
	for (int i = 0; i < 50000; i++)
		chi_peer_send(p, GET("/hello"), strlen(GET("/hello")));
	run(t);
	assert_true(p->taken < 300000); /* of 1.75 MB */
	assert_true(p->conn->out_bytes < 200000);
	p->unread = false;
	run(t);
	for (int i = 0; i < 50000; i++)
		assert_true(chi_peer_answer(p, "GET")->complete);
	ch_test_free(t);
}

/* ---- methods and routes ---- */

static void other_methods_are_405_with_allow(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a;

	(void)state;
	a = one(t, "DELETE /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a->status, 405);
	assert_string_equal(ch_test_header(a, "allow"), "GET, HEAD, OPTIONS");
	a = one(t, GET("/echo"));
	assert_int_equal(a->status, 405);
	assert_string_equal(ch_test_header(a, "allow"), "POST, OPTIONS");
	a = one(t, "TRACE /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a->status, 405);
	assert_non_null(ch_test_header(a, "allow"));
	a = one(t, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
	assert_int_equal(a->status, 405);
	assert_non_null(ch_test_header(a, "allow"));
	ch_test_free(t);
}

static void unknown_methods_are_501(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	assert_int_equal(one(t, "BREW /hello HTTP/1.1\r\n" HOST "\r\n")->status, 501);
	assert_int_equal(one(t, "get /hello HTTP/1.1\r\n" HOST "\r\n")->status, 501);
	ch_test_free(t);
}

static void options_tells_the_methods(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = one(t, "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n");

	(void)state;
	assert_int_equal(a->status, 204);
	assert_true(a->complete);
	assert_string_equal(ch_test_header(a, "allow"), "GET, HEAD, OPTIONS");
	assert_null(ch_test_header(a, "content-length")); /* RFC 9110, 8.6: none in a 204 */
	a = one(t, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a->status, 204);
	assert_non_null(strstr(ch_test_header(a, "allow"), "POST"));
	assert_int_equal(one(t, "OPTIONS /none HTTP/1.1\r\n" HOST "\r\n")->status, 404);
	ch_test_free(t);
}

static void unknown_paths_are_404_of_the_one_shape(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = one(t, GET("/none"));

	(void)state;
	assert_int_equal(a->status, 404);
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
	assert_non_null(strstr(a->body, "\"title\":\"Not Found\",\"status\":404,"));
	assert_non_null(strstr(a->body, "\"code\":\"not_found\""));
	assert_true(ch_test_metric(t, "http_requests_total", "GET", "none", "404", NULL) == 1);
	ch_test_free(t);
}

static void paths_are_normalised_once(void **state)
{
	struct ch_test *t = begin();

	(void)state;
	assert_int_equal(one(t, GET("/a/../hello"))->status, 200);
	assert_int_equal(one(t, GET("/%2e%2e//hello"))->status, 200);
	assert_int_equal(one(t, GET("/%68ello?x=1"))->status, 200);
	assert_int_equal(one(t, GET("/%2568ello"))->status, 404); /* never decoded twice */
	assert_int_equal(one(t, "GET http://a/hello HTTP/1.1\r\n" HOST "\r\n")->status, 200);
	refused(t, GET("/hello%00"), strlen(GET("/hello%00")), 400);
	ch_test_free(t);
}

static void routes_for_operators_are_403_to_strangers(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p;

	(void)state;
	assert_int_equal(one(t, GET("/ops"))->status, 200); /* from loopback */
	assert_int_equal(one(t, "GET /ops HTTP/1.1\r\nForwarded: for=1.2.3.4\r\n" HOST "\r\n")->status, 403);
	assert_int_equal(one(t, GET("/admin"))->status, 403);
	ch_test_peer(t, "198.51.100.7");
	assert_int_equal(one(t, GET("/ops"))->status, 403);
	p = chi_peer_new(t, CHI_L_STATUS);
	more(p, GET("/ops") "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx");
	assert_int_equal(chi_peer_answer(p, "GET")->status, 200);
	assert_int_equal(chi_peer_answer(p, "POST")->status, 405); /* read-only */
	p = chi_peer_new(t, CHI_L_CONTROL);
	more(p, GET("/admin"));
	assert_int_equal(chi_peer_answer(p, "GET")->status, 200);
	ch_test_free(t);
}

static void an_admin_key_opens_what_is_for_admins_and_the_admin_listener_wants_one_always(void **state)
{
	static const char *const as_admin = "GET /admin HTTP/1.1\r\nX-Who: admin\r\n" HOST "\r\n";
	struct ch_test *t = begin();
	struct chi_peer *p;

	(void)state;
	assert_int_equal(one(t, as_admin)->status, 200);
	p = chi_peer_new(t, CHI_L_ADMIN);
	more(p, GET("/hello"));
	assert_int_equal(chi_peer_answer(p, "GET")->status, 403);
	p = chi_peer_new(t, CHI_L_ADMIN);
	more(p, as_admin);
	assert_int_equal(chi_peer_answer(p, "GET")->status, 200);
	ch_test_peer(t, "198.51.100.7");
	assert_int_equal(one(t, "GET /ops HTTP/1.1\r\nX-Who: admin\r\n" HOST "\r\n")->status, 200);
	ch_test_free(t);
}

/* ---- what is refused before it is a request ---- */

static void garbage_is_400_and_one_log_line_a_second(void **state)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	struct ch_test *t = begin();
	unsigned lines = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		refused(t, hello, sizeof(hello) - 1, 400);
	for (const char *p = ch_test_log(t); (p = strstr(p, "refused: ")); p++)
		lines++;
	assert_int_equal(lines, 1);
	assert_true(ch_test_metric(t, "chimera_http_rejected_total", "bad_request", NULL) == 20);
	ch_test_advance(t, 1000);
	refused(t, hello, sizeof(hello) - 1, 400);
	ch_test_free(t);
}

static void limits_have_their_statuses(void **state)
{
	struct ch_test *t = begin();
	static char text[80000];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	refused(t, text, 8300, 414);
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	refused(t, text, 17000, 431);
	refused(t, "GET / HTTP/3.0\r\n" HOST "\r\n", strlen("GET / HTTP/3.0\r\n" HOST "\r\n"), 505);
	refused(t, "GET / HTTP/1.1\r\nExpect: tea\r\n" HOST "\r\n", strlen("GET / HTTP/1.1\r\nExpect: tea\r\n" HOST "\r\n"), 417);
	refused(t, "GET / HTTP/1.1\r\n\r\n", 18, 400);
	ch_test_free(t);
}

static void what_follows_a_bad_request_is_never_a_request(void **state)
{
	static const char bytes[] =
		"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET("/hello");
	struct ch_test *t = begin();

	(void)state;
	refused(t, bytes, strlen(bytes), 400);
	assert_true(ch_test_metric(t, "http_requests_total", NULL) == 0);
	ch_test_free(t);
}

/* ---- header fields ---- */

static void values_that_would_split_an_answer_are_refused(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = one(t, GET("/headers")); /* the handler asserts */

	(void)state;
	ch_test_expect_misuse(t); /* it answers twice */
	assert_string_equal(ch_test_header(a, "x-one"), "b\tc");
	assert_null(ch_test_header(a, "x-two"));
	assert_null(ch_test_header(a, "x-bad"));
	assert_null(ch_test_header(a, "set-cookie"));
	assert_string_equal(a->body, "x");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_byte_by_byte),
		cmocka_unit_test(the_date_moves_with_the_clock),
		cmocka_unit_test(every_answer_has_a_date),
		cmocka_unit_test(a_stream_is_chunked),
		cmocka_unit_test(a_stream_of_known_length_is_not),
		cmocka_unit_test(a_body_shorter_than_was_said_is_cut),
		cmocka_unit_test(http_1_0_streams_end_with_the_connection),
		cmocka_unit_test(head_is_get_without_the_body),
		cmocka_unit_test(http_1_1_stays_open_unless_told),
		cmocka_unit_test(http_1_0_closes_unless_told),
		cmocka_unit_test(a_draining_server_closes),
		cmocka_unit_test(a_closing_connection_lingers),
		cmocka_unit_test(a_lingering_connection_drops_64_kib_at_most),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(pipelined_requests_split_at_every_byte),
		cmocka_unit_test(pipelined_requests_byte_by_byte_both_ways),
		cmocka_unit_test(a_thousand_pipelined_requests),
		cmocka_unit_test(what_is_behind_a_suspended_request_waits),
		cmocka_unit_test(a_client_that_does_not_read_is_not_read_either),
		cmocka_unit_test(other_methods_are_405_with_allow),
		cmocka_unit_test(unknown_methods_are_501),
		cmocka_unit_test(options_tells_the_methods),
		cmocka_unit_test(unknown_paths_are_404_of_the_one_shape),
		cmocka_unit_test(paths_are_normalised_once),
		cmocka_unit_test(routes_for_operators_are_403_to_strangers),
		cmocka_unit_test(an_admin_key_opens_what_is_for_admins_and_the_admin_listener_wants_one_always),
		cmocka_unit_test(garbage_is_400_and_one_log_line_a_second),
		cmocka_unit_test(limits_have_their_statuses),
		cmocka_unit_test(what_follows_a_bad_request_is_never_a_request),
		cmocka_unit_test(values_that_would_split_an_answer_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
