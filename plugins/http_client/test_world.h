/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - the harness around http_client, with what it has not: real sockets, whose other end is the test. turn() does what libev
 * does: looks which descriptors are ready, and fires their watches. The clock is the harness's, so limits are judged to the millisecond.
 */
#ifndef HC_TEST_WORLD_H
#define HC_TEST_WORLD_H

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

enum { FDS = 256, TURNS = 5000 };

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

#endif
