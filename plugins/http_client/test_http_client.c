/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_client.c - http/1 over the harness: its clock, which only the test moves, so that time limits are judged to the millisecond; real
 * sockets, whose other end is the test too. turn() does what libev does: looks which descriptors are ready, and fires their watches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <chimera/http.h>
#include <chimera/test.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

CH_TEST_PLUGIN(http_client);

enum { FDS = 256, TURNS = 500 };

/* A server with one listening socket, and the harness around the client. */
struct fixture {
	struct ch_test *t;
	const struct ch_svc *svc;
	int listener, peer; /* peer: the connection accepted last; -1: none */
	unsigned port;
	char text[65536];   /* what it has sent */
	size_t n;
};

/* One call, in a task of its own. */
struct call {
	struct fixture *f;
	struct ch_ctx *c;
	struct ch_http_args args;
	struct ch_http_sink sink;
	struct ch_http_field fields[2];
	struct ch_http_result out;
	ch_ticket ticket;
	char url[128], got[4096];
	size_t ngot;
	int rc, why, resumed, heads, pieces;
	bool with_sink, pause_head, pause_data, cancel_at_once;
	int error, status;
	char body[4096], detail[512];
	bool sent, reused;
	int64_t ended;
};

static const struct ch_http_v1 *vt(const struct call *k)
{
	return k->f->svc->vt;
}

/* ---- the world outside ---- */

/* Fires what is ready; false: nothing was. */
static bool turn(struct fixture *f, int wait_ms)
{
	struct pollfd p[FDS];
	int n = 0;
	bool any = false;

	for (int fd = 3; fd < FDS; fd++) {
		int events = ch_test_fd_watched(f->t, fd);

		if (events)
			p[n++] = (struct pollfd){ fd, (short)((events & CH_READ ? POLLIN : 0) | (events & CH_WRITE ? POLLOUT : 0)), 0 };
	}
	if (poll(p, (nfds_t)n, wait_ms) > 0)
		for (int i = 0; i < n; i++) {
			short r = p[i].revents;
			int events = (r & (POLLIN | POLLHUP | POLLERR) ? CH_READ : 0) | (r & (POLLOUT | POLLHUP | POLLERR) ? CH_WRITE : 0);

			events &= ch_test_fd_watched(f->t, p[i].fd);
			if (r && events)
				any |= ch_test_fd_ready(f->t, p[i].fd, events);
		}
	ch_test_advance(f->t, 0);
	return any;
}

static void settle(struct fixture *f)
{
	while (turn(f, 0))
		;
}

/* Until the client has connected once more. */
static void accept_one(struct fixture *f)
{
	for (int i = 0; i < TURNS; i++) {
		turn(f, 1);
		f->peer = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (f->peer >= 0)
			return;
	}
	fail_msg("nobody connects");
}

/* Until the client has sent so many bytes more. */
static void receive(struct fixture *f, size_t n)
{
	f->n = 0;
	for (int i = 0; i < TURNS && f->n < n; i++) {
		ssize_t got = recv(f->peer, f->text + f->n, sizeof(f->text) - f->n - 1, 0);

		if (got > 0)
			f->n += (size_t)got;
		else
			turn(f, 1);
	}
	f->text[f->n] = 0;
	assert_true(f->n >= n);
}

static void answer(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	for (int i = 0; i < TURNS && !turn(f, 1); i++)
		;
	settle(f);
}

/* Until the client has closed. */
static void hear_close(struct fixture *f)
{
	char c;

	for (int i = 0; i < TURNS; i++) {
		ssize_t n = recv(f->peer, &c, 1, 0);

		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			close(f->peer);
			f->peer = -1;
			return;
		}
		turn(f, 1);
	}
	fail_msg("the client does not close");
}

static bool is_open(struct fixture *f)
{
	char c;

	settle(f);
	return recv(f->peer, &c, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

static struct fixture *begin(const char *options)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	char ini[512];

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	f->peer = -1;
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(f->listener, 64), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &n), 0);
	f->port = ntohs(a.sin_port);
	f->t = ch_test_new();
	ch_test_plugin(f->t, CH_TEST_ENTRY(http_client));
	snprintf(ini, sizeof(ini), "[http_client]\n%s", options);
	ch_test_config(f->t, ini);
	if (!ch_test_start(f->t))
		fail_msg("%s", ch_test_errors(f->t));
	f->svc = ch_test_provided(f->t, "http_client", "http/1");
	assert_non_null(f->svc);
	return f;
}

static void end(struct fixture *f)
{
	ch_test_free(f->t);
	close(f->listener);
	if (f->peer >= 0)
		close(f->peer);
	free(f);
}

/* ---- the caller ---- */

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *out)
{
	struct call *k = arg;

	assert_ptr_equal(c, k->c);
	assert_ptr_equal(out, &k->out);
	k->heads++;
	return k->pause_head ? CH_AGAIN : CH_OK;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct call *k = arg;

	assert_ptr_equal(c, k->c);
	memcpy(k->got + k->ngot, p, n);
	k->ngot += n;
	k->pieces++;
	return k->pause_data ? CH_AGAIN : CH_OK;
}

/* *out dies with the ctx: what the test looks at is copied. */
static void keep(struct call *k)
{
	k->error = k->out.error;
	k->status = k->out.status;
	k->sent = k->out.sent;
	k->reused = k->out.reused;
	k->ended = k->out.ended;
	snprintf(k->body, sizeof(k->body), "%.*s", (int)k->out.body.n, k->out.body.n ? k->out.body.p : "");
	snprintf(k->detail, sizeof(k->detail), "%s", k->out.detail ? k->out.detail : "");
	assert_null(k->out.call);
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	assert_null(result);
	k->resumed++;
	k->why = why;
	if (why != CH_READY)
		vt(k)->cancel(k->f->svc, c, &k->out);
	keep(k);
	vt(k)->cancel(k->f->svc, c, &k->out); /* behind the end it does nothing */
	assert_int_equal(k->error, k->out.error);
	return CH_DONE;
}

static int make(struct ch_ctx *c, void *data)
{
	struct call *k = data;

	k->c = c;
	k->sink = (struct ch_http_sink){ sizeof(k->sink), on_head, on_data, k };
	k->out.size = sizeof(k->out);
	k->ticket = ch_suspend(c, 0, on_end, k);
	if (!k->ticket)
		return CH_DONE;
	k->rc = vt(k)->request(k->f->svc, c, &k->args, k->with_sink ? &k->sink : NULL, &k->out, k->ticket);
	assert_int_equal(k->heads + k->pieces + k->resumed, 0); /* nothing is called back inside the call */
	if (k->rc == CH_AGAIN) {
		if (k->cancel_at_once)
			vt(k)->cancel(k->f->svc, c, &k->out);
		return CH_AGAIN;
	}
	ch_unsuspend(k->ticket);
	keep(k);
	return CH_DONE;
}

static void prepare(struct fixture *f, struct call *k, const char *method, const char *path)
{
	*k = (struct call){ .f = f };
	snprintf(k->url, sizeof(k->url), "http://127.0.0.1:%u%s", f->port, path);
	k->args = (struct ch_http_args){ .size = sizeof(k->args), .method = { method, strlen(method) }, .url = { k->url, strlen(k->url) } };
}

static void call(struct call *k)
{
	assert_true(ch_test_task(k->f->t, "http_client", 0, make, k));
}

static void go_on_now(void *data)
{
	struct call *k = data;
	int pieces = k->pieces, resumed = k->resumed;

	vt(k)->go_on(k->f->svc, k->c, &k->out);
	vt(k)->go_on(k->f->svc, k->c, &k->out);
	assert_int_equal(k->pieces, pieces); /* at the end of the turn, not inside */
	assert_int_equal(k->resumed, resumed);
}

static void cancel_now(void *data)
{
	struct call *k = data;

	vt(k)->cancel(k->f->svc, k->c, &k->out);
	assert_int_equal(k->resumed, 0);
}

/* A call that is at the server now. */
static void get(struct fixture *f, struct call *k)
{
	prepare(f, k, "GET", "/");
	call(k);
	if (f->peer < 0)
		accept_one(f);
	receive(f, 10);
}

static void ended(const struct call *k, int error)
{
	assert_int_equal(k->resumed, 1);
	if (k->error != error)
		fail_msg("error %d, not %d: %s", k->error, error, k->detail);
}

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
	snprintf(want, sizeof(want), "POST /?a=b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept-Encoding: identity\r\nContent-Type: text/x\r\nx-empty: \r\n"
		"Content-Length: 4\r\n\r\nbody", f->port);
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
