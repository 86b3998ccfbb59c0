/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c - HTTP/1.1 over a connection: one send, one recv a message where the network lets it.
 *
 * EV_READ is armed as long as the connection lives, but for the time that a sink has no room, so that a server that closes shows, on idle
 * connections too; EV_WRITE only after EAGAIN. A plain socket is read once each time it is readable. TLS is read until it has no more or
 * the answer is whole: what libcurl has taken from the socket does not show there any more.
 */
#include <errno.h>
#include <strings.h>
#include <sys/uio.h>

#include "http_client.h"
#include "tls.h"

#define ROUNDS 16 /* of reading one TLS connection, before others have their turn */
#define PIECE 65536 /* bytes of a body that one send takes at most */

enum got { GOT_DATA, GOT_NOTHING, GOT_END, GOT_ERROR };

/* ---- bytes ---- */

static enum got receive(struct hc_conn *conn, size_t *n)
{
	ssize_t got;

	if (conn->tls) {
		CURLcode code = curl_easy_recv(conn->job.easy, conn->pool->scratch, HC_SCRATCH, n);

		return code == CURLE_AGAIN ? GOT_NOTHING : code != CURLE_OK ? GOT_ERROR : *n ? GOT_DATA : GOT_END;
	}
	do
		got = recv(conn->fd, conn->pool->scratch, HC_SCRATCH, 0);
	while (got < 0 && errno == EINTR);
	*n = got > 0 ? (size_t)got : 0;
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? GOT_NOTHING : GOT_ERROR;
	return got ? GOT_DATA : GOT_END;
}

/* Some of head and body behind the first `at` bytes. < 0: an error; 0: not now. */
static ssize_t transmit(struct hc_conn *conn, const struct hc_request *r, size_t at)
{
	size_t head = at < r->head.n ? r->head.n - at : 0, skip = head ? 0 : at - r->head.n;
	size_t body = r->body.n - skip < PIECE ? r->body.n - skip : PIECE;
	struct iovec v[2] = { { head ? (char *)r->head.p + at : NULL, head }, { body ? (char *)r->body.p + skip : NULL, body } };
	struct msghdr m = { .msg_iov = head ? v : v + 1, .msg_iovlen = head && body ? 2 : 1 };
	ssize_t n;

	if (conn->tls) {
		size_t sent = 0;
		CURLcode code = curl_easy_send(conn->job.easy, m.msg_iov->iov_base, m.msg_iov->iov_len, &sent);

		return code == CURLE_OK ? (ssize_t)sent : code == CURLE_AGAIN ? 0 : -1;
	}
	do
		n = m.msg_iovlen == 2 ? sendmsg(conn->fd, &m, MSG_NOSIGNAL)
		                      : send(conn->fd, m.msg_iov->iov_base, m.msg_iov->iov_len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

static bool unsent(const struct hc_call *call)
{
	return call->sent < call->request.head.n + call->request.body.n;
}

/* ---- the end of an answer, or of the connection ---- */

/* How long a server says it keeps an idle connection ("Keep-Alive: timeout=5"), less a second for the way; 0: it does not say. */
static int64_t keep_alive_ms(const struct ch_h1_head *h, const char *p)
{
	const struct ch_h1_field *f = ch_h1_find(h, p, "Keep-Alive", 10);
	const char *v = f ? p + f->value.off : NULL;
	int64_t s = 0;

	for (size_t i = 0; f && i + 8 < f->value.len; i++) {
		if (strncasecmp(v + i, "timeout=", 8))
			continue;
		for (i += 8; i < f->value.len && v[i] >= '0' && v[i] <= '9' && s < 100000; i++)
			s = s * 10 + (v[i] - '0');
		return s > 1 ? (s - 1) * 1000 : 1;
	}
	return 0;
}

/* The answer is there. extra: bytes lie behind it that nobody asked for. */
static void whole(struct hc_conn *conn, bool extra)
{
	struct hc_call *call = conn->call;
	bool keep = call->reply.head.keep_alive && !extra && !unsent(call);
	int64_t ms = hc_set(conn->pool, HC_KEEPALIVE_TIMEOUT);

	call->conn = NULL;
	conn->call = NULL;
	if (keep)
		hc_conn_park(conn, conn->keep_ms && conn->keep_ms < ms ? conn->keep_ms : ms);
	else
		hc_conn_free(conn);
	hc_call_whole(call);
}

/* May the request be sent again, over a new connection? Once, if a connection that was there turned out to be closed. */
static bool may_repeat(const struct hc_call *call)
{
	return call->out->reused && !call->repeated && !call->out->first_byte && (call->request.idempotent || !call->sent);
}

/* clean: an orderly end, not a reset, and with TLS not a cut. */
static void closed(struct hc_conn *conn, bool clean)
{
	struct hc_call *call = conn->call;
	const char *name = conn->host->name;

	if (may_repeat(call)) {
		call->conn = NULL;
		conn->call = NULL;
		hc_conn_free(conn);
		call->repeated = true;
		ch_add(hc_m(call->pool)->repeated, 1);
		hc_call_phase(call, HC_CONNECTING, call->connect_ms);
		hc_pool_place(call, true);
	} else if (clean && hc_reply_ends_by_close(&call->reply)) {
		whole(conn, false);
	} else if (hc_reply_has_head(&call->reply)) {
		hc_call_fail(call, CH_HTTP_CLOSED, "%s %s the connection in the middle of its answer, behind %llu bytes of the body.", name,
			clean ? "closed" : "cut", (unsigned long long)call->out->body_bytes);
	} else {
		hc_call_fail(call, CH_HTTP_CLOSED, "%s closed the connection%s before it answered.", name,
			call->out->reused ? ", which was an idle one," : "");
	}
}

/* ---- sending ---- */

/* Sends what is left. False: the call is over. */
static bool flush(struct hc_conn *conn)
{
	struct hc_call *call = conn->call;

	while (unsent(call)) {
		ssize_t n = transmit(conn, &call->request, call->sent);

		if (n < 0 && conn->tls) {
			closed(conn, false);
			return false;
		}
		if (n <= 0) { /* not now; or never, but an answer may lie there, and what is wrong shows when it is read */
			conn->mute = n < 0;
			ch_watch_set(conn->watch, n < 0 ? CH_READ : CH_READ | CH_WRITE);
			if (call->phase == HC_SENDING)
				hc_call_phase(call, HC_SENDING, call->first_byte_ms);
			return true;
		}
		call->sent += (size_t)n;
		call->out->sent = true;
	}
	ch_watch_set(conn->watch, CH_READ);
	if (call->phase == HC_SENDING)
		hc_call_phase(call, HC_HEAD, call->first_byte_ms);
	return true;
}

/* ---- receiving ---- */

/* Gives p[0..n) to the call. False: it is over, or wants no more for now. */
static bool feed(struct hc_conn *conn, char *p, size_t n)
{
	struct hc_call *call = conn->call;
	struct hc_reply *r = &call->reply;

	for (;;) {
		switch (hc_reply_next(r, &p, &n)) {
		case HC_R_HEAD:
			conn->keep_ms = keep_alive_ms(&r->head, r->head_p);
			if (!hc_call_head(call))
				return false;
			break;
		case HC_R_DATA:
			if (!hc_call_data(call, r->data, r->data_n))
				return false;
			break;
		case HC_R_END:
			whole(conn, n > 0);
			return false;
		case HC_R_MORE:
			if (call->phase == HC_BODY && !call->paused)
				call->phase_due = conn->pool->now + call->idle_ms * 1000;
			return !call->paused;
		case HC_R_BAD:
			hc_call_bad(call);
			return false;
		}
		if (call->paused) {
			ch_watch_set(conn->watch, unsent(call) && !conn->mute ? CH_WRITE : 0);
			if (n && !hc_reply_hold(r, p, n)) {
				hc_call_no_memory(call);
				return false;
			}
			call->holds = n > 0;
			if (n)
				return false;
		}
	}
}

static void read_on(struct hc_conn *conn)
{
	struct hc_call *call = conn->call;

	for (int i = 0; i < ROUNDS; i++) {
		size_t n = 0;
		enum got got = receive(conn, &n);

		if (got == GOT_NOTHING)
			return;
		if (got != GOT_DATA) {
			closed(conn, got == GOT_END && (!conn->tls || hc_tls_ended(conn->job.easy)));
			return;
		}
		if (!call->out->first_byte)
			call->out->first_byte = conn->pool->now;
		if (!feed(conn, conn->pool->scratch, n) || !conn->tls)
			return;
	}
	hc_pool_again(call);
}

bool hc_conn_is_quiet(struct hc_conn *conn)
{
	size_t n = 0;

	return receive(conn, &n) == GOT_NOTHING; /* TLS has messages of its own, which are no bytes */
}

static void on_event(void *data, int events)
{
	struct hc_conn *conn = data;

	hc_clock(conn->pool);
	if (!conn->call) { /* nobody waits for anything: the server has closed, or said what nobody asked for */
		if (!hc_conn_is_quiet(conn))
			hc_conn_free(conn);
	} else if ((!(events & CH_WRITE) || flush(conn)) && (events & CH_READ)) {
		read_on(conn);
	}
}

bool hc_conn_watch(struct hc_conn *conn)
{
	conn->watch = ch_watch(conn->pool->loop, conn->fd, CH_READ, on_event, conn);
	return conn->watch != NULL;
}

void hc_conn_go_on(struct hc_conn *conn)
{
	struct hc_call *call = conn->call;
	char *p;
	size_t n;

	ch_watch_set(conn->watch, CH_READ | (unsent(call) && !conn->mute ? CH_WRITE : 0));
	if (call->holds) {
		call->holds = false;
		hc_reply_held(&call->reply, &p, &n);
		if (!feed(conn, p, n))
			return;
	}
	if (conn->tls)
		read_on(conn);
}

/* ---- a call on it ---- */

void hc_conn_use(struct hc_conn *conn, struct hc_call *call)
{
	struct ch_http_result *out = call->out;

	call->conn = conn;
	conn->call = call;
	out->reused = conn->used;
	if (conn->used) {
		out->connected = conn->pool->now;
		ch_add(hc_m(conn->pool)->reused, 1);
	}
	conn->used = true;
	conn->keep_ms = 0;
	call->sent = 0;
	call->phase = HC_SENDING;
	call->phase_due = INT64_MAX;
	flush(conn);
}
