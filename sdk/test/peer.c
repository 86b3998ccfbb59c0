/* SPDX-License-Identifier: MIT */
#include "sdk/test/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define FIELDS 200

/* An answer as it comes, and where its reader stands. */
struct chi_answer {
	struct ch_test_answer pub; /* first */
	struct chi_answer *next;
	struct chi_peer *peer;
	int method;           /* enum ch_h1_method */
	size_t at;            /* in peer->got: the first byte not read yet */
	char *head;           /* NULL: not here yet; values end with NUL */
	struct ch_h1_head parsed;
	struct ch_h1_field fields[FIELDS];
	struct ch_h1_chunked chunked;
	char *body;
};

/* ---- the server's side of the wire ---- */

static struct chi_peer *peer_at(const struct chi_conn *c)
{
	struct chi_peer *p = chi_test->peers;
	while (p && p->conn != c)
		p = p->next;
	if (!p)
		abort();
	return p;
}

static ssize_t wire_recv(struct chi_conn *c, void *to, size_t n)
{
	struct chi_peer *p = peer_at(c);
	size_t have = p->nsent - p->taken;
	if (p->reset) {
		errno = ECONNRESET;
		return -1;
	}
	if (!have) {
		errno = EAGAIN;
		return p->fin ? 0 : -1;
	}
	n = have < n ? have : n;
	n = p->most_in && p->most_in < n ? p->most_in : n;
	memcpy(to, p->sent + p->taken, n);
	p->taken += n;
	return (ssize_t)n;
}

static ssize_t wire_send(struct chi_conn *c, const struct iovec *v, int n)
{
	struct chi_peer *p = peer_at(c);
	size_t most = p->most_out ? p->most_out : SIZE_MAX, done = 0;
	if (p->reset || p->unread) {
		errno = p->reset ? EPIPE : EAGAIN;
		return -1;
	}
	for (int i = 0; i < n && done < most; i++) {
		size_t part = v[i].iov_len < most - done ? v[i].iov_len : most - done;
		chi_test_append(&p->got, &p->ngot, v[i].iov_base, part);
		done += part;
	}
	return (ssize_t)done;
}

static void wire_finish(struct chi_conn *c)
{
	peer_at(c)->finished = true;
}

static void wire_close(struct chi_conn *c)
{
	struct chi_peer *p = peer_at(c);
	p->finished = true;
	p->conn = NULL;
}

static const struct chi_transport wire = { wire_recv, wire_send, wire_finish, wire_close };

/* ---- the client's side ---- */

void ch_test_peer(struct ch_test *t, const char *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)&t->from;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)&t->from;
	memset(&t->from, 0, sizeof t->from);
	if (inet_pton(AF_INET, address, &four->sin_addr) == 1)
		four->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1)
		six->sin6_family = AF_INET6;
	else
		chi_test_fail("\"%s\" is no address: give a numeric IPv4 or IPv6 one", address);
}

struct chi_peer *chi_peer_new(struct ch_test *t, int cls)
{
	if (!t->gen) {
		chi_test_fail("nothing is started: ch_test_start comes before requests");
		return NULL;
	}
	struct chi_peer *p = chi_test_alloc(sizeof *p);
	p->t = t;
	p->next = t->peers;
	t->peers = p;
	atomic_store(&t->shared.draining, t->server.draining);
	struct ch_loop *old = chi_world_enter(t->worker);
	p->conn = chi_conn_new(t->worker->http, &wire, -1, cls, cls == CHI_L_CONTROL ? NULL : (struct sockaddr *)&t->from, sizeof t->from);
	chi_world_enter(old);
	return p;
}

void chi_peer_send(struct chi_peer *p, const void *bytes, size_t n)
{
	chi_test_append(&p->sent, &p->nsent, bytes, n);
}

bool chi_peers_run(struct ch_test *t)
{
	bool any = false;
	atomic_store(&t->shared.draining, t->server.draining);
	for (struct chi_peer *p = t->peers; p; p = p->next) {
		int ready = (p->taken < p->nsent || p->fin || p->reset ? CH_READ : 0) | (!p->unread || p->reset ? CH_WRITE : 0);
		int events = p->conn ? chi_watch_events(&p->conn->watch) & ready : 0;
		if (!events)
			continue;
		chi_watch_fire(&p->conn->watch, events);
		any = true;
	}
	return any;
}

/* ---- answers ---- */

static const struct ch_h1_limits limits = { 65536, 65536, 1 << 20, FIELDS };

static bool read_head(struct chi_answer *a)
{
	struct chi_peer *p = a->peer;
	while (!a->head) {
		a->parsed = (struct ch_h1_head){ .fields = a->fields, .fields_cap = FIELDS };
		enum ch_h1_rc rc = CH_H1_MORE;
		if (p->ngot > a->at)
			rc = ch_h1_parse_response(&a->parsed, &limits, a->method, p->got + a->at, p->ngot - a->at);
		if (rc == CH_H1_ERROR)
			chi_test_fail("the server's answer is no HTTP: %s", a->parsed.error);
		if (rc != CH_H1_DONE)
			return false;
		const char *at = p->got + a->at;
		a->at += a->parsed.head_len;
		if (a->parsed.status < 200) {
			a->pub.continued = a->pub.continued || a->parsed.status == 100;
			continue;
		}
		a->head = chi_test_alloc(a->parsed.head_len + 1);
		memcpy(a->head, at, a->parsed.head_len);
		for (uint32_t i = 0; i < a->parsed.nfields; i++)
			a->head[a->fields[i].value.off + a->fields[i].value.len] = 0;
		a->pub.status = a->parsed.status;
	}
	return true;
}

static void add_body(struct chi_answer *a, const char *bytes, size_t n)
{
	chi_test_append(&a->body, &a->pub.n, bytes, n);
	a->pub.body = a->body;
}

/* True: the body is whole. */
static bool read_body(struct chi_answer *a)
{
	const struct chi_peer *p = a->peer;
	while (a->at < p->ngot || a->parsed.body != CH_H1_BODY_CHUNKED) {
		const char *bytes = p->got + a->at, *data = bytes;
		size_t have = p->ngot - a->at, used = have, n = have;
		enum ch_h1_rc rc = CH_H1_MORE;
		if (a->parsed.body == CH_H1_BODY_NONE) {
			return true;
		} else if (a->parsed.body == CH_H1_BODY_LENGTH) {
			used = n = a->parsed.content_length - a->pub.n < have ? a->parsed.content_length - a->pub.n : have;
			rc = a->pub.n + n == a->parsed.content_length ? CH_H1_DONE : CH_H1_MORE;
		} else if (a->parsed.body == CH_H1_BODY_CHUNKED) {
			rc = ch_h1_chunked_next(&a->chunked, bytes, have, &used, &data, &n);
		} else if (p->finished) {
			rc = CH_H1_DONE; /* until the end */
		}
		if (rc == CH_H1_ERROR) {
			chi_test_fail("the server's chunks are broken: %s", a->chunked.error);
			return false;
		}
		add_body(a, data, n);
		a->at += used;
		if (rc == CH_H1_DONE)
			return true;
		if (!used)
			return false;
	}
	return false;
}

static void progress(struct chi_answer *a)
{
	struct chi_peer *p = a->peer;
	if (a->pub.done)
		return;
	if (read_head(a) && read_body(a)) {
		a->pub.complete = true;
		p->read_at = a->at;
		if (p->polite)
			p->fin = true;
	}
	a->pub.closed = p->finished;
	a->pub.done = a->pub.complete || p->finished || p->reset;
}

void chi_peers_read(struct ch_test *t)
{
	for (struct chi_answer *a = t->answers; a; a = a->next)
		progress(a);
	for (struct chi_peer *p = t->peers; p; p = p->next)
		p->fin = p->fin || (p->polite && p->finished);
}

static struct chi_answer *new_answer(struct chi_peer *p, const char *method)
{
	struct chi_answer *a = chi_test_alloc(sizeof *a);
	int number = chi_method_number(method);
	a->peer = p;
	a->method = number < 0 ? CH_H1_OTHER : number;
	a->at = p->read_at;
	a->pub.body = "";
	a->next = p->t->answers;
	p->t->answers = a;
	return a;
}

struct ch_test_answer *chi_peer_answer(struct chi_peer *p, const char *method)
{
	struct chi_answer *a = new_answer(p, method);
	progress(a);
	return &a->pub;
}

struct chi_peer *chi_peer_of(const struct ch_test_answer *a)
{
	return ((const struct chi_answer *)a)->peer;
}

const char *ch_test_header(const struct ch_test_answer *pub, const char *name)
{
	const struct chi_answer *a = (const struct chi_answer *)pub;
	const struct ch_h1_field *f = a->head ? ch_h1_find(&a->parsed, a->head, name, strlen(name)) : NULL;
	return f ? a->head + f->value.off : NULL;
}

/* ---- requests ---- */

static void send_text(struct chi_peer *p, const char *text)
{
	chi_peer_send(p, text, strlen(text));
}

/* Lines that end with \n or \r\n, or not at all. */
static void send_headers(struct chi_peer *p, const char *lines)
{
	while (*lines) {
		size_t n = strcspn(lines, "\n"), len = n;
		if (len && lines[len - 1] == '\r')
			len--;
		chi_peer_send(p, lines, len);
		send_text(p, "\r\n");
		lines += n + (lines[n] != 0);
	}
}

static bool names(const char *lines, const char *field)
{
	size_t n = strlen(field);
	for (const char *at = lines; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (!strncasecmp(at, field, n) && at[n] == ':')
			return true;
	return false;
}

struct request {
	const char *method, *target, *headers;
	const void *body;
	size_t n;
};

static void request_again(struct ch_test *t, void *arg)
{
	const struct request *r = arg;
	ch_test_request(t, r->method, r->target, r->headers, r->body, r->n);
}

struct ch_test_answer *ch_test_request(
	struct ch_test *t, const char *method, const char *target, const char *headers, const void *body, size_t n)
{
	struct request same = { method, target, headers, body, n };
	if (t->gen)
		chi_sweep(t, request_again, &same, "%s %s", method, target);
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);
	char length[64];
	if (!p)
		return NULL;
	p->polite = true;
	send_text(p, method);
	send_text(p, " ");
	send_text(p, target);
	send_text(p, " HTTP/1.1\r\n");
	if (!headers || !names(headers, "Host"))
		send_text(p, "Host: test\r\n");
	if (headers)
		send_headers(p, headers);
	if (body && (!headers || (!names(headers, "Content-Length") && !names(headers, "Transfer-Encoding")))) {
		snprintf(length, sizeof length, "Content-Length: %zu\r\n", n);
		send_text(p, length);
	}
	send_text(p, "\r\n");
	if (body)
		chi_peer_send(p, body, n);
	struct chi_answer *a = new_answer(p, method);
	chi_test_run(t);
	progress(a); /* also if the core had no room for the connection */
	return &a->pub;
}

void ch_test_leave(struct ch_test_answer *a)
{
	struct chi_peer *p = chi_peer_of(a);
	p->reset = true;
	chi_test_run(p->t);
	chi_peers_read(p->t);
}

void ch_test_half_close(struct ch_test_answer *a)
{
	struct chi_peer *p = chi_peer_of(a);
	p->fin = true;
	chi_test_run(p->t);
}

void ch_test_unread(struct ch_test_answer *a, bool unread)
{
	struct chi_peer *p = chi_peer_of(a);
	p->unread = unread;
	chi_test_run(p->t);
}

void chi_peers_free(struct ch_test *t)
{
	while (t->answers) {
		struct chi_answer *a = t->answers;
		t->answers = a->next;
		free(a->head);
		free(a->body);
		free(a);
	}
	while (t->peers) {
		struct chi_peer *p = t->peers;
		t->peers = p->next;
		free(p->sent);
		free(p->got);
		free(p);
	}
}
