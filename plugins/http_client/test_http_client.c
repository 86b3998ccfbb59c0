/* SPDX-License-Identifier: Apache-2.0 */
/* test_http_client.c - http/1 over the harness: bytes, time limits to the millisecond, the pool, no memory. */
#include "test_world.h"

#define OK3 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"

/* ---- requests and answers ---- */

static void a_request_is_laid_out_byte_by_byte(void **state)
{
	struct fixture *f = begin("");
	struct call k;
	char want[512];

	(void)state;
	prepare(f, &k, "POST", "?a=b");
	k.fields[0] = (struct ch_http_field){ CH_STR("Content-Type"), CH_STR("text/x") };
	k.fields[1] = (struct ch_http_field){ CH_STR("x-empty"), CH_STR("") };
	k.args.fields = k.fields;
	k.args.nfields = 2;
	k.args.body = (struct ch_str)CH_STR("body");
	call(&k);
	assert_int_equal(k.rc, CH_AGAIN);
	accept_one(f);
	snprintf(want, sizeof(want), "POST /?a=b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept-Encoding: identity\r\n"
		"Content-Type: text/x\r\nx-empty: \r\nContent-Length: 4\r\n\r\nbody", f->port);
	receive(f, strlen(want));
	assert_string_equal(f->text, want);
	answer(f, OK3);
	ended(&k, CH_HTTP_OK);
	assert_string_equal(k.body, "abc");
	assert_true(k.sent && !k.reused);
	end(f);
}

static void a_body_too_long_for_one_piece_follows_its_head(void **state)
{
	struct fixture *f = begin("");
	struct call k;
	char *body = malloc(40000);

	(void)state;
	memset(body, 'x', 40000);
	prepare(f, &k, "PUT", "/");
	k.args.body = (struct ch_str){ body, 40000 };
	call(&k);
	accept_one(f);
	receive(f, 40000 + 60);
	assert_non_null(strstr(f->text, "\r\nContent-Length: 40000\r\n\r\nxxx"));
	assert_int_equal(f->text[f->n - 1], 'x');
	answer(f, OK3);
	ended(&k, CH_HTTP_OK);
	free(body);
	end(f);
}

static void a_connection_serves_the_next_call(void **state)
{
	struct fixture *f = begin("");
	struct call k;

	(void)state;
	for (int i = 0; i < 3; i++) {
		get(f, &k);
		answer(f, OK3);
		ended(&k, CH_HTTP_OK);
		assert_int_equal(k.reused, i > 0);
	}
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_connects_total", "ok", NULL), 1);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_idle_connections", NULL), 1);
	end(f);
}

static void wrong_args_are_told_at_once(void **state)
{
	struct fixture *f = begin("");
	struct call k;

	(void)state;
	prepare(f, &k, "GET", "/#x");
	call(&k);
	assert_int_equal(k.rc, CH_OK);
	assert_int_equal(k.error, CH_HTTP_BAD_REQUEST);
	assert_string_equal(k.detail, "The URL cannot be asked for: it has a fragment (#).");
	prepare(f, &k, "GET", "/");
	k.fields[0] = (struct ch_http_field){ CH_STR("te"), CH_STR("trailers") };
	k.args.fields = k.fields;
	k.args.nfields = 1;
	call(&k);
	assert_int_equal(k.rc, CH_OK);
	assert_int_equal(k.error, CH_HTTP_BAD_REQUEST);
	assert_string_equal(k.detail, "The field te is the client's own: leave it out.");
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_requests_total", "bad_request", NULL), 2);
	end(f);
}

/* ---- time ---- */

static void the_first_byte_has_its_time_to_the_millisecond(void **state)
{
	struct fixture *f = begin("first_byte_timeout = 60s\n");
	struct call k;

	(void)state;
	get(f, &k);
	ch_test_advance(f->t, 59999);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&k, CH_HTTP_TIMEOUT_FIRST_BYTE);
	assert_non_null(strstr(k.detail, "did not answer within 60000 ms"));
	hear_close(f);
	end(f);
}

static void each_byte_gives_the_body_new_time(void **state)
{
	struct fixture *f = begin("idle_timeout = 5s\n");
	struct call k;

	(void)state;
	get(f, &k);
	answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		ch_test_advance(f->t, 4999);
		assert_int_equal(k.resumed, 0);
		answer(f, "x");
	}
	ch_test_advance(f->t, 4999);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&k, CH_HTTP_TIMEOUT_IDLE);
	assert_int_equal(k.status, 200);
	end(f);
}

static void the_whole_call_has_its_time(void **state)
{
	struct fixture *f = begin("total_timeout = 10s\nidle_timeout = 9s\n");
	struct call k;

	(void)state;
	get(f, &k);
	answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
	ch_test_advance(f->t, 8000);
	answer(f, "b");
	ch_test_advance(f->t, 1999);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&k, CH_HTTP_TIMEOUT_TOTAL);
	end(f);
}

static void a_call_may_have_times_of_its_own(void **state)
{
	struct fixture *f = begin("");
	struct call k;

	(void)state;
	prepare(f, &k, "GET", "/");
	k.args.first_byte_timeout_ms = 70;
	call(&k);
	accept_one(f);
	receive(f, 10);
	ch_test_advance(f->t, 69);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&k, CH_HTTP_TIMEOUT_FIRST_BYTE);
	end(f);
}

static void time_stands_still_while_the_sink_has_no_room(void **state)
{
	struct fixture *f = begin("idle_timeout = 5s\ntotal_timeout = 1h\n");
	struct call k;

	(void)state;
	prepare(f, &k, "GET", "/");
	k.with_sink = k.pause_head = true;
	call(&k);
	accept_one(f);
	receive(f, 10);
	answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
	assert_int_equal(k.heads, 1);
	assert_int_equal(k.pieces, 0);
	ch_test_advance(f->t, 600000);
	assert_int_equal(k.resumed, 0);
	ch_test_on_loop(f->t, go_on_now, &k);
	assert_string_equal(k.got, "abc");
	ch_test_advance(f->t, 4999);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&k, CH_HTTP_TIMEOUT_IDLE);
	end(f);
}

static void an_end_waits_for_go_on_too_but_its_connection_does_not(void **state)
{
	struct fixture *f = begin("");
	struct call k, other;

	(void)state;
	prepare(f, &k, "GET", "/");
	k.with_sink = k.pause_data = true;
	call(&k);
	accept_one(f);
	receive(f, 10);
	answer(f, OK3);
	assert_string_equal(k.got, "abc");
	assert_int_equal(k.resumed, 0);
	get(f, &other);
	answer(f, OK3);
	ended(&other, CH_HTTP_OK);
	assert_true(other.reused);
	ch_test_on_loop(f->t, go_on_now, &k);
	ended(&k, CH_HTTP_OK);
	end(f);
}

static void idle_connections_have_their_time(void **state)
{
	struct fixture *f = begin("keepalive_timeout = 60s\n");
	struct call k;

	(void)state;
	get(f, &k);
	answer(f, OK3);
	ch_test_advance(f->t, 59999);
	assert_true(is_open(f));
	ch_test_advance(f->t, 1);
	hear_close(f);
	get(f, &k);
	answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=9\r\n\r\n");
	ch_test_advance(f->t, 3999);
	assert_true(is_open(f));
	ch_test_advance(f->t, 1);
	hear_close(f);
	end(f);
}

static void a_call_without_a_place_waits_and_its_time_runs(void **state)
{
	struct fixture *f = begin("max_connections_per_host = 1\nconnect_timeout = 2s\n");
	struct call a, b, c;

	(void)state;
	get(f, &a);
	prepare(f, &b, "GET", "/b");
	call(&b);
	ch_test_advance(f->t, 1000);
	prepare(f, &c, "GET", "/c");
	call(&c);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_waiting", NULL), 2);
	ch_test_advance(f->t, 999);
	assert_int_equal(b.resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&b, CH_HTTP_TIMEOUT_CONNECT);
	assert_false(b.sent);
	answer(f, OK3);
	ended(&a, CH_HTTP_OK);
	receive(f, 10);
	assert_memory_equal(f->text, "GET /c ", 7);
	answer(f, OK3);
	ended(&c, CH_HTTP_OK);
	assert_true(c.reused);
	end(f);
}

/* ---- names ---- */

static void a_name_is_asked_for_in_the_pool(void **state)
{
	struct fixture *f = begin("connect_timeout = 3s\n");
	struct call k[3];

	(void)state;
	ch_test_offload(f->t, CH_TEST_MANUAL);
	for (int i = 0; i < 3; i++) {
		prepare(f, &k[i], "GET", "/");
		snprintf(k[i].url, sizeof(k[i].url), "http://localhost:%u/", f->port);
		k[i].args.url.n = strlen(k[i].url);
		call(&k[i]);
	}
	ch_test_on_loop(f->t, cancel_now, &k[1]);
	ended(&k[1], CH_HTTP_CANCELLED);
	assert_int_equal((int)ch_test_offload_run(f->t), 1); /* one question for all three */
	for (int i = 0; i < 2; i++) {
		accept_one(f);
		receive(f, 10);
		answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
		hear_close(f);
	}
	ended(&k[0], CH_HTTP_OK);
	ended(&k[2], CH_HTTP_OK);
	ch_test_advance(f->t, 60000);
	prepare(f, &k[0], "GET", "/");
	snprintf(k[0].url, sizeof(k[0].url), "http://localhost:%u/", f->port);
	k[0].args.url.n = strlen(k[0].url);
	call(&k[0]);
	ch_test_advance(f->t, 2999);
	assert_int_equal(k[0].resumed, 0);
	ch_test_advance(f->t, 1);
	ended(&k[0], CH_HTTP_TIMEOUT_CONNECT);
	ch_test_offload_run(f->t); /* too late: nobody waits */
	end(f);
}

static void a_full_pool_is_busy(void **state)
{
	struct fixture *f = begin("");
	struct call k;

	(void)state;
	ch_test_offload(f->t, CH_TEST_FULL);
	prepare(f, &k, "GET", "/");
	snprintf(k.url, sizeof(k.url), "http://localhost:%u/", f->port);
	k.args.url.n = strlen(k.url);
	call(&k);
	settle(f);
	ended(&k, CH_HTTP_BUSY);
	assert_non_null(strstr(k.detail, "localhost"));
	end(f);
}

/* ---- giving up, no memory ---- */

static void a_call_can_be_given_up_at_any_time(void **state)
{
	struct fixture *f = begin("");
	struct call k;

	(void)state;
	prepare(f, &k, "GET", "/");
	k.cancel_at_once = true;
	call(&k);
	ended(&k, CH_HTTP_CANCELLED);
	get(f, &k);
	ch_test_on_loop(f->t, cancel_now, &k);
	ended(&k, CH_HTTP_CANCELLED);
	hear_close(f);
	get(f, &k);
	answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
	ch_test_on_loop(f->t, cancel_now, &k);
	ended(&k, CH_HTTP_CANCELLED);
	hear_close(f);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_running", NULL), 0);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_connections", NULL), 0);
	end(f);
}

static void a_task_whose_time_is_over_ends_its_call(void **state)
{
	struct fixture *f = begin("");
	struct call k;

	(void)state;
	prepare(f, &k, "GET", "/");
	assert_true(ch_test_task(f->t, "http_client", 1000, make, &k));
	accept_one(f);
	receive(f, 10);
	ch_test_advance(f->t, 1000);
	assert_int_equal(k.resumed, 1);
	assert_true(k.error == CH_HTTP_TIMEOUT_TOTAL || (k.why == CH_TIMEOUT && k.error == CH_HTTP_CANCELLED));
	hear_close(f);
	end(f);
}

static void without_memory_a_call_fails_and_nothing_is_left(void **state)
{
	struct fixture *f = begin("keepalive_timeout = 1s\n");
	bool struck = true;
	unsigned failed = 0;
	struct call k;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		for (int reused = 0; reused < 2; reused++) { /* a new connection, then that one again */
			prepare(f, &k, "GET", "/");
			k.with_sink = n % 2;
			if (!reused)
				ch_test_fail_alloc(f->t, n);
			assert_true(ch_test_task(f->t, "http_client", 0, make, &k) || !reused);
			for (int i = 0; i < TURNS && !k.resumed && k.rc == CH_AGAIN; i++) {
				ssize_t got;

				turn(f, 1);
				if (f->peer < 0)
					f->peer = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
				got = f->peer < 0 ? -1 : recv(f->peer, f->text, sizeof(f->text), 0);
				if (got > 0)
					answer(f, OK3);
				if (got == 0) { /* of a call that failed */
					close(f->peer);
					f->peer = -1;
				}
				if (i == 20) /* a socket that nobody watches for want of memory */
					ch_test_advance(f->t, 5000);
			}
			if (!reused)
				struck = ch_test_fail_alloc(f->t, 0);
			if (k.c && k.ticket) /* else there was no ctx, or no ticket to be had */
				assert_true(k.resumed == 1 || k.rc == CH_OK || k.rc == CH_ERROR);
			failed += k.error != CH_HTTP_OK;
			if (!struck || reused)
				assert_int_equal(k.error, CH_HTTP_OK);
		}
		ch_test_advance(f->t, 1000);
		if (f->peer >= 0)
			hear_close(f);
		while ((f->peer = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
			close(f->peer); /* of a call that failed */
	}
	assert_true(failed > 5);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_running", NULL), 0);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_http_client_connections", NULL), 0);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_laid_out_byte_by_byte),
		cmocka_unit_test(a_body_too_long_for_one_piece_follows_its_head),
		cmocka_unit_test(a_connection_serves_the_next_call),
		cmocka_unit_test(wrong_args_are_told_at_once),
		cmocka_unit_test(the_first_byte_has_its_time_to_the_millisecond),
		cmocka_unit_test(each_byte_gives_the_body_new_time),
		cmocka_unit_test(the_whole_call_has_its_time),
		cmocka_unit_test(a_call_may_have_times_of_its_own),
		cmocka_unit_test(time_stands_still_while_the_sink_has_no_room),
		cmocka_unit_test(an_end_waits_for_go_on_too_but_its_connection_does_not),
		cmocka_unit_test(idle_connections_have_their_time),
		cmocka_unit_test(a_call_without_a_place_waits_and_its_time_runs),
		cmocka_unit_test(a_name_is_asked_for_in_the_pool),
		cmocka_unit_test(a_full_pool_is_busy),
		cmocka_unit_test(a_call_can_be_given_up_at_any_time),
		cmocka_unit_test(a_task_whose_time_is_over_ends_its_call),
		cmocka_unit_test(without_memory_a_call_fails_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
