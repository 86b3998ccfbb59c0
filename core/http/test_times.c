/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and ends of connections: what waits too long, who leaves, who sends no more, who does not read (FAULTS H23, H24). */
#include "core/http/test_show.h"

/* ---- the head ---- */

static void a_head_must_come_within_header_timeout(void **state)
{
	struct ch_test *t = begin_with("header_timeout = 10s");
	struct chi_peer *p = raw(t, "GET /hello HT");

	(void)state;
	ch_test_advance(t, 9000);
	more(p, "TP/1.1"); /* progress sets no clock back */
	ch_test_advance(t, 999);
	assert_false(p->finished);
	ch_test_advance(t, 1);
	assert_true(p->finished);
	assert_int_equal(chi_peer_answer(p, "GET")->status, 408);
	ch_test_free(t);
}

static void who_sends_nothing_is_closed_without_a_word(void **state)
{
	struct ch_test *t = begin_with("header_timeout = 10s");
	struct chi_peer *p = raw(t, "");

	(void)state;
	ch_test_advance(t, 9999);
	assert_non_null(p->conn);
	ch_test_advance(t, 1);
	assert_null(p->conn);
	assert_int_equal(p->ngot, 0);
	ch_test_free(t);
}

static void an_idle_connection_is_closed_after_keepalive_timeout(void **state)
{
	struct ch_test *t = begin_with("keepalive_timeout = 75s");
	struct chi_peer *p = raw(t, GET("/hello"));

	(void)state;
	ch_test_advance(t, 74999);
	assert_non_null(p->conn);
	more(p, GET("/hello")); /* starts anew */
	ch_test_advance(t, 74999);
	assert_non_null(p->conn);
	ch_test_advance(t, 1);
	assert_null(p->conn);
	ch_test_free(t);
}

/* ---- the body ---- */

static void a_body_without_progress_is_408(void **state)
{
	struct ch_test *t = begin_with("body_timeout = 30s");
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
	static char part[16384];
	struct ch_test_answer *a;

	(void)state;
	ch_test_advance(t, 4000);
	chi_peer_send(p, part, sizeof(part)); /* fast enough for the least rate for a minute */
	ch_test_advance(t, 29999);
	assert_false(p->finished);
	ch_test_advance(t, 1);
	a = chi_peer_answer(p, "POST");
	assert_int_equal(a->status, 408);
	assert_string_equal(ch_test_header(a, "connection"), "close");
	assert_int_equal(echoes, 0);
	ch_test_free(t);
}

/* FAULTS H23: at least 256 bytes a second, after 5 s. */
static void a_trickling_body_is_408(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
	int seconds = 0;

	(void)state;
	while (!p->finished && seconds < 60) {
		chi_peer_send(p, "0123456789", 10);
		ch_test_advance(t, 1000);
		seconds++;
	}
	assert_in_range(seconds, 5, 8);
	assert_int_equal(chi_peer_answer(p, "POST")->status, 408);
	ch_test_free(t);
}

static void a_slow_body_above_the_least_rate_is_taken(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 12000\r\n\r\n");
	static char part[300];

	(void)state;
	for (int i = 0; i < 40; i++) {
		chi_peer_send(p, part, sizeof(part));
		ch_test_advance(t, 1000);
	}
	assert_int_equal(chi_peer_answer(p, "POST")->n, 12000);
	ch_test_free(t);
}

/* ---- reading the answer ---- */

static void a_client_that_does_not_read_is_cut_after_write_timeout(void **state)
{
	struct ch_test *t = begin_with("write_timeout = 30s");
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	(void)state;
	p->unread = true;
	more(p, GET("/big"));
	ch_test_advance(t, 29999);
	assert_non_null(p->conn);
	ch_test_advance(t, 1);
	assert_null(p->conn);
	ch_test_free(t);
}

static void progress_in_reading_sets_the_clock_back(void **state)
{
	struct ch_test *t = begin_with("write_timeout = 30s");
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	(void)state;
	p->unread = true;
	more(p, GET("/wait"));
	ch_test_on_loop(t, resume, NULL);
	ch_test_advance(t, 20000);
	assert_non_null(p->conn);
	p->unread = false;
	run(t);
	assert_string_equal(chi_peer_answer(p, "GET")->body, "late");
	ch_test_free(t);
}

/* ---- half-closed ---- */

static void a_half_close_behind_the_request_is_still_answered(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	(void)state;
	p->fin = true;
	more(p, GET("/hello") GET("/sized"));
	assert_string_equal(chi_peer_answer(p, "GET")->body, "hello");
	assert_string_equal(chi_peer_answer(p, "GET")->body, "abcdef");
	assert_null(p->conn); /* and then it is over */
	ch_test_free(t);
}

static void what_is_ready_within_the_grace_is_sent(void **state)
{
	struct ch_test *t = begin_with("half_close_grace = 1s");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/wait", NULL, NULL, 0);

	(void)state;
	ch_test_half_close(a);
	ch_test_advance(t, 999);
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, resume, NULL);
	assert_true(a->complete);
	assert_string_equal(a->body, "late");
	ch_test_free(t);
}

static void after_the_grace_the_client_is_gone(void **state)
{
	struct ch_test *t = begin_with("half_close_grace = 1s");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/wait", NULL, NULL, 0);

	(void)state;
	ch_test_half_close(a);
	ch_test_advance(t, 1000);
	assert_int_equal(heard, CH_GONE);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 0);
	ch_test_free(t);
}

static void a_grace_of_zero_is_gone_at_once(void **state)
{
	struct ch_test *t = begin_with("half_close_grace = 0s");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/wait", NULL, NULL, 0);

	(void)state;
	ch_test_half_close(a);
	assert_int_equal(heard, CH_GONE);
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

static void a_grace_that_is_off_waits(void **state)
{
	struct ch_test *t = begin_with("half_close_grace = off");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/wait", NULL, NULL, 0);

	(void)state;
	ch_test_half_close(a);
	ch_test_advance(t, 3600000);
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, resume, NULL);
	assert_string_equal(a->body, "late");
	ch_test_free(t);
}

static void a_half_close_inside_a_body_is_gone(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = raw(t, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhalf");

	(void)state;
	p->fin = true;
	run(t);
	assert_null(p->conn);
	assert_int_equal(echoes, 0);
	assert_true(ch_test_metric(t, "http_requests_total", "POST", "/echo", "499", NULL) == 1);
	ch_test_free(t);
}

/* ---- streams and clients that do not read or are gone ---- */

static int rc;
static unsigned released, writable;

static void on_release(void *arg)
{
	assert_string_equal(arg, "mine");
	released++;
}

static void write_kib(void *data)
{
	static char kib[1024];

	(void)data;
	rc = ch_write(streaming, kib, sizeof(kib), on_release, "mine");
}

static void on_writable(void *data)
{
	(void)data;
	writable++;
}

static void ask_for_room(void *data)
{
	(void)data;
	ch_on_writable(streaming, on_writable, NULL);
}

static void end_pump(void *data)
{
	(void)data;
	assert_int_equal(ch_end(streaming), CH_OK);
	ch_resume(ticket, NULL, NULL);
}

static struct ch_test *begin_pump(struct ch_test_answer **a)
{
	struct ch_test *t = begin_with("stream_high = 16k\nstream_low = 4k");

	released = writable = 0;
	*a = ch_test_request(t, "GET", "/pump", NULL, NULL, 0);
	ch_test_on_loop(t, ask_for_room, NULL);
	return t;
}

/* 16 chunks of 1,024 bytes with their framing are over 16 KiB (5 bytes "400\r\n" before, 2 behind), 15 are not. */
static void a_stream_is_held_back_at_stream_high_and_goes_on_at_stream_low(void **state)
{
	struct ch_test_answer *a;
	struct ch_test *t = begin_pump(&a);
	unsigned n = 0;

	(void)state;
	ch_test_unread(a, true);
	for (rc = CH_OK; rc == CH_OK; n++)
		ch_test_on_loop(t, write_kib, NULL);
	assert_int_equal(rc, CH_AGAIN);
	assert_int_equal(n, 16);
	assert_int_equal(writable, 0);
	assert_int_equal(released, 0);
	ch_test_unread(a, false);
	assert_int_equal(writable, 1);
	assert_int_equal(released, 16); /* all bytes are with the client */
	ch_test_on_loop(t, end_pump, NULL);
	assert_true(a->complete);
	assert_int_equal(a->n, 16 * 1024);
	ch_test_free(t);
}

static void bytes_for_a_client_that_is_gone_are_released_and_not_taken(void **state)
{
	struct ch_test_answer *a;
	struct ch_test *t = begin_pump(&a);

	(void)state;
	ch_test_unread(a, true);
	ch_test_on_loop(t, write_kib, NULL);
	assert_int_equal(released, 0);
	ch_test_leave(a);
	assert_int_equal(released, 1);
	assert_int_equal(heard, CH_GONE);
	ch_test_on_loop(t, write_kib, NULL); /* the ctx lives until the ticket is confirmed */
	assert_int_equal(rc, CH_DONE);
	assert_int_equal(released, 2);
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

static void a_half_close_during_a_stream_is_gone_at_once(void **state)
{
	struct ch_test_answer *a;
	struct ch_test *t = begin_pump(&a);

	(void)state;
	ch_test_on_loop(t, write_kib, NULL);
	assert_int_equal(a->status, 200);
	ch_test_half_close(a);
	assert_int_equal(heard, CH_GONE);
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

static void abort_stream(void *data)
{
	(void)data;
	ch_abort(streaming);
	ch_resume(ticket, NULL, NULL);
}

static void an_aborted_stream_is_seen_to_be_incomplete(void **state)
{
	struct ch_test_answer *a;
	struct ch_test *t = begin_pump(&a);

	(void)state;
	ch_test_on_loop(t, write_kib, NULL);
	ch_test_on_loop(t, abort_stream, NULL);
	assert_true(a->done);
	assert_false(a->complete);
	assert_int_equal(a->n, 1024);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_must_come_within_header_timeout),
		cmocka_unit_test(who_sends_nothing_is_closed_without_a_word),
		cmocka_unit_test(an_idle_connection_is_closed_after_keepalive_timeout),
		cmocka_unit_test(a_body_without_progress_is_408),
		cmocka_unit_test(a_trickling_body_is_408),
		cmocka_unit_test(a_slow_body_above_the_least_rate_is_taken),
		cmocka_unit_test(a_client_that_does_not_read_is_cut_after_write_timeout),
		cmocka_unit_test(progress_in_reading_sets_the_clock_back),
		cmocka_unit_test(a_half_close_behind_the_request_is_still_answered),
		cmocka_unit_test(what_is_ready_within_the_grace_is_sent),
		cmocka_unit_test(after_the_grace_the_client_is_gone),
		cmocka_unit_test(a_grace_of_zero_is_gone_at_once),
		cmocka_unit_test(a_grace_that_is_off_waits),
		cmocka_unit_test(a_half_close_inside_a_body_is_gone),
		cmocka_unit_test(a_stream_is_held_back_at_stream_high_and_goes_on_at_stream_low),
		cmocka_unit_test(bytes_for_a_client_that_is_gone_are_released_and_not_taken),
		cmocka_unit_test(a_half_close_during_a_stream_is_gone_at_once),
		cmocka_unit_test(an_aborted_stream_is_seen_to_be_incomplete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
