/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include "core/plugin/gen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define SLAB 128
#define GATHER (64u << 10) /* bytes of pipelined answers gathered before they are sent */

/* ---- waiting ---- */

static void on_sweep(void *data);

static void arm_sweep(struct chi_http *h)
{
	int64_t at = 0;
	for (int i = 0; i < CHI_W_COUNT; i++) {
		struct chi_waitlist *w = &h->waits[i];
		if (w->first && w->patience >= 0 && (!at || w->first->since + w->patience < at))
			at = w->first->since + w->patience;
	}
	if (!at || (h->sweep_at && h->sweep_at <= at))
		return; /* fires early enough; it looks again then */
	h->sweep_at = at;
	int64_t ms = (at - h->loop->now + 999) / 1000;
	chi_timer_set(&h->sweep, ms > 0 ? ms : 0);
}

static void leave_wait(struct chi_conn *c)
{
	if (c->wait == (uint8_t)CHI_W_NONE)
		return;
	struct chi_waitlist *w = &c->http->waits[c->wait];
	if (c->wait_prev)
		c->wait_prev->wait_next = c->wait_next;
	else
		w->first = c->wait_next;
	if (c->wait_next)
		c->wait_next->wait_prev = c->wait_prev;
	else
		w->last = c->wait_prev;
	c->wait = (uint8_t)CHI_W_NONE;
}

static void set_wait(struct chi_conn *c, enum chi_wait wait)
{
	leave_wait(c);
	if (wait == CHI_W_NONE)
		return;
	struct chi_waitlist *w = &c->http->waits[wait];
	c->since = c->http->loop->now;
	c->wait = (uint8_t)wait;
	c->wait_next = NULL;
	c->wait_prev = w->last;
	if (w->last)
		w->last->wait_next = c;
	else
		w->first = c;
	w->last = c;
	if (w->patience >= 0 && (!c->http->sweep_at || c->since + w->patience < c->http->sweep_at))
		arm_sweep(c->http);
}

/* What a connection waits for follows from what it does. */
static void choose_wait(struct chi_conn *c)
{
	enum chi_wait want = CHI_W_NONE;
	if (c->state == CHI_C_LINGER)
		want = CHI_W_LINGER;
	else if (c->out)
		want = CHI_W_WRITE;
	else if (c->state == CHI_C_HEAD)
		want = c->in_len || !c->served ? CHI_W_HEAD : CHI_W_IDLE;
	else if (c->state == CHI_C_BODY || c->state == CHI_C_DISCARD)
		want = CHI_W_BODY;
	else if (c->fin)
		want = CHI_W_HALF;
	/* A head is bounded from its first byte on; a grace too: these clocks are not set back by progress. */
	if ((enum chi_wait)c->wait == want && (want == CHI_W_HEAD || want == CHI_W_HALF || want == CHI_W_LINGER))
		return;
	set_wait(c, want);
}

/* ---- output ---- */

static ssize_t plain_recv(struct chi_conn *c, void *p, size_t n)
{
	return recv(c->watch.io.fd, p, n, 0);
}

static ssize_t plain_send(struct chi_conn *c, const struct iovec *v, int n)
{
	if (n == 1)
		return send(c->watch.io.fd, v->iov_base, v->iov_len, MSG_NOSIGNAL);
	struct msghdr m = { .msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n };
	return sendmsg(c->watch.io.fd, &m, MSG_NOSIGNAL);
}

static void plain_finish(struct chi_conn *c)
{
	shutdown(c->watch.io.fd, SHUT_WR);
}

static void plain_close(struct chi_conn *c)
{
	close(c->watch.io.fd);
}

const struct chi_transport chi_plain = { plain_recv, plain_send, plain_finish, plain_close };

static void watch_events(struct chi_conn *c)
{
	chi_watch_set(&c->watch, (c->fin || c->paused ? 0 : CH_READ) | (c->out && !c->more ? CH_WRITE : 0));
}

static void out_free(struct chi_out *o)
{
	if (o->release)
		o->release(o->arg);
	free(o);
}

static void out_clear(struct chi_conn *c)
{
	while (c->out) {
		struct chi_out *o = c->out;
		c->out = o->next;
		out_free(o);
	}
	c->out_tail = &c->out;
	c->out_bytes = 0;
}

/* Queues one part; a copy unless someone releases it. */
static bool out_put(struct chi_conn *c, const char *p, size_t n, ch_fn release, void *arg)
{
	struct chi_out *o = malloc(sizeof *o + (release ? 0 : n));
	if (!o)
		return false;
	*o = (struct chi_out){ .p = p, .n = n, .release = release, .arg = arg };
	if (!release) {
		o->p = (char *)(o + 1);
		memcpy(o + 1, p, n);
	}
	*c->out_tail = o;
	c->out_tail = &o->next;
	c->out_bytes += n;
	return true;
}

void chi_conn_send(struct chi_conn *c, const struct iovec *v, int n, int own, ch_fn release, void *arg)
{
	size_t total = 0, sent = 0;
	for (int i = 0; i < n; i++)
		total += v[i].iov_len;
	bool gather = c->more && c->out_bytes + total < GATHER;
	if (!c->out && !gather) {
		ssize_t k;
		do
			k = c->transport->send(c, v, n);
		while (k < 0 && errno == EINTR);
		if (k < 0 && errno != EAGAIN) {
			chi_conn_lost(c);
			if (release)
				release(arg);
			return;
		}
		sent = k > 0 ? (size_t)k : 0;
		if (sent == total) {
			if (release)
				release(arg);
			return;
		}
	}
	for (int i = 0; i < n; i++) {
		size_t len = v[i].iov_len, skip = sent < len ? sent : len;
		sent -= skip;
		if (len == skip)
			continue;
		if (!out_put(c, (const char *)v[i].iov_base + skip, len - skip, i == own ? release : NULL, arg)) {
			chi_conn_lost(c);
			if (release)
				release(arg);
			return;
		}
		if (i == own)
			release = NULL; /* the queue's now */
	}
	if (!gather)
		watch_events(c);
	choose_wait(c);
	if (release)
		release(arg);
}

static void begin_linger(struct chi_conn *c)
{
	c->transport->finish(c);
	c->state = CHI_C_LINGER;
	c->drop = CHI_DISCARD;
	c->in_len = 0;
	c->paused = false;
	if (c->fin) {
		chi_conn_lost(c);
		return;
	}
	watch_events(c);
	choose_wait(c);
}

/* After every event: what to watch, what to wait for, and whether it is over. */
static void settle(struct chi_conn *c)
{
	if (c->dead || c->consuming)
		return;
	if (!c->out && c->closing && c->state != CHI_C_LINGER) {
		begin_linger(c);
		return;
	}
	size_t low = (size_t)c->http->conf->stream_low;
	if (c->state == CHI_C_HEAD && c->in_len && c->paused && c->out_bytes <= low) {
		c->paused = false;
		chi_conn_bytes(c, NULL, 0); /* pipelined requests that waited for the client to read */
		return;
	}
	if (c->fin && c->state == CHI_C_HEAD && !c->out) {
		chi_conn_lost(c); /* all is answered and nothing more will come */
		return;
	}
	watch_events(c);
	choose_wait(c);
}

void chi_conn_writable(struct chi_conn *c)
{
	while (c->out) {
		struct iovec v[16];
		int n = 0;
		for (struct chi_out *o = c->out; o && n < 16; o = o->next)
			v[n++] = (struct iovec){ (char *)o->p, o->n };
		ssize_t k = c->transport->send(c, v, n);
		if (k < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN) {
				chi_conn_lost(c);
				return;
			}
			break;
		}
		c->out_bytes -= (size_t)k;
		while (k > 0 && c->out) {
			struct chi_out *o = c->out;
			size_t part = (size_t)k < o->n ? (size_t)k : o->n;
			o->p += part;
			o->n -= part;
			k -= (ssize_t)part;
			if (o->n)
				break;
			c->out = o->next;
			if (!c->out)
				c->out_tail = &c->out;
			out_free(o);
		}
		if (c->dead)
			return; /* by what a release did */
		choose_wait(c); /* progress */
	}
	settle(c);
	if (!c->dead && c->want_drain && c->out_bytes <= (size_t)c->http->conf->stream_low) {
		c->want_drain = false;
		if (c->req && c->req->on_writable)
			c->req->on_writable(c->req->on_writable_data);
	}
}

/* ---- the end ---- */

static void conn_free(struct chi_conn *c)
{
	struct chi_http *h = c->http;
	*c->self = c->next;
	if (c->next)
		c->next->self = c->self;
	h->nconns--;
	c->next = h->free;
	h->free = c;
}

void chi_conn_lost(struct chi_conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	chi_watch_set(&c->watch, 0);
	leave_wait(c);
	struct chi_req *r = c->req;
	c->req = NULL;
	if (r) { /* before anything is released: what that writes goes nowhere */
		r->paused = c->want_drain;
		r->conn = NULL;
	}
	c->transport->close(c);
	out_clear(c);
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_cap = 0;
	atomic_fetch_sub_explicit(&c->http->shared->connections, 1, memory_order_relaxed);
	if (c->counted)
		chi_perip_remove(&c->addr);
	chi_stats_conn(-1);
	if (r)
		chi_req_gone(r);
	if (!c->consuming)
		conn_free(c);
}

void chi_conn_next(struct chi_conn *c, bool keep)
{
	bool whole = c->framing == CH_H1_BODY_NONE;
	c->req = NULL;
	c->served = true;
	c->want_drain = false;
	if (!keep) {
		c->closing = true;
		c->state = CHI_C_BUSY; /* takes no more requests */
		if (!c->out)
			begin_linger(c);
		else
			watch_events(c);
		return;
	}
	if (!whole) {
		c->state = CHI_C_DISCARD;
		c->drop = CHI_DISCARD;
	} else {
		c->state = CHI_C_HEAD;
	}
	if (c->consuming)
		return; /* goes on below us */
	if (c->in_len)
		chi_conn_bytes(c, NULL, 0);
	else
		settle(c);
}

/* ---- input ---- */

static bool in_put(struct chi_conn *c, const char *p, size_t n)
{
	if (c->in_len + n > c->in_cap) {
		size_t cap = c->in_cap ? c->in_cap : 1024;
		while (cap < c->in_len + n)
			cap *= 2;
		char *v = realloc(c->in, cap);
		if (!v)
			return false;
		c->in = v;
		c->in_cap = (uint32_t)cap;
	}
	memcpy(c->in + c->in_len, p, n);
	c->in_len += (uint32_t)n;
	return true;
}

#define SLOW_AFTER 5000000 /* microseconds of a body after which … */
#define SLOW_RATE 256      /* … it must have come at this many bytes a second */

/* Unframes body bytes: for the request, or for nobody. Returns how many were used; 0 only after the connection died. */
static size_t take_body(struct chi_conn *c, const char *p, size_t n)
{
	bool wanted = c->state == CHI_C_BODY;
	size_t used, len;
	const char *data;
	enum ch_h1_rc rc;
	if (c->framing == CH_H1_BODY_LENGTH) {
		used = len = n < c->body_left ? n : (size_t)c->body_left;
		data = p;
		c->body_left -= len;
		rc = c->body_left ? CH_H1_MORE : CH_H1_DONE;
	} else {
		rc = ch_h1_chunked_next(&c->chunked, p, n, &used, &data, &len);
	}
	if (!wanted) {
		if (rc == CH_H1_ERROR || used > c->drop) {
			chi_conn_lost(c);
			return 0;
		}
		c->drop -= (uint32_t)used;
	}
	if (rc == CH_H1_DONE)
		c->framing = CH_H1_BODY_NONE;
	if (rc == CH_H1_DONE && !wanted) {
		c->state = CHI_C_HEAD;
		return used;
	}
	if (!wanted)
		return used;
	if (rc == CH_H1_ERROR) {
		chi_req_data_bad(c->req, c->chunked.error);
		return n;
	}
	c->body_got += len;
	if (len)
		chi_req_data(c->req, data, len);
	if (c->dead || c->state != CHI_C_BODY)
		return c->closing ? n : used; /* too much, and refused */
	if (rc == CH_H1_DONE) {
		c->state = CHI_C_BUSY;
		leave_wait(c);
		chi_req_data_end(c->req);
		return used;
	}
	int64_t took = c->http->loop->now - c->body_since;
	if (took > SLOW_AFTER && c->body_got < (uint64_t)(took / 1000000) * SLOW_RATE) {
		leave_wait(c);
		chi_req_timeout(c->req);
	}
	return used;
}

static size_t parse_head(struct chi_conn *c, const char *p, size_t n)
{
	struct chi_http *h = c->http;
	struct ch_h1_head head = { .fields = h->fields, .fields_cap = h->limits.max_fields };
	switch (ch_h1_parse_request(&head, &h->limits, p, n)) {
	case CH_H1_MORE:
		return 0;
	case CH_H1_DONE:
		c->state = CHI_C_BUSY;
		leave_wait(c);
		c->framing = head.body;
		c->body_left = head.content_length;
		if (head.body == CH_H1_BODY_LENGTH && !head.content_length)
			c->framing = CH_H1_BODY_NONE;
		if (c->framing == CH_H1_BODY_CHUNKED)
			memset(&c->chunked, 0, sizeof c->chunked);
		c->more = n > head.head_len && c->framing == CH_H1_BODY_NONE;
		chi_req_start(c, &head, p);
		return head.head_len;
	default:
		c->state = CHI_C_BUSY;
		c->more = false;
		chi_req_reject(c, head.status, head.error);
		return n;
	}
}

/* Uses what it can of p[0..n); the rest stays for later. */
static size_t consume(struct chi_conn *c, const char *p, size_t n)
{
	size_t at = 0;
	size_t high = (size_t)c->http->conf->stream_high;
	while (at < n && !c->dead) {
		size_t used = 0;
		switch ((enum chi_conn_state)c->state) {
		case CHI_C_HEAD:
			if (c->out_bytes > high)
				return at; /* the client does not read its answers: take no more requests */
			used = parse_head(c, p + at, n - at);
			if (!used && c->state == CHI_C_HEAD)
				return at;
			break;
		case CHI_C_BODY:
		case CHI_C_DISCARD:
			used = take_body(c, p + at, n - at);
			break;
		case CHI_C_BUSY:
			return c->closing ? n : at;
		case CHI_C_LINGER:
			if (n - at > c->drop)
				chi_conn_lost(c);
			else
				c->drop -= (uint32_t)(n - at);
			return n;
		}
		at += used;
	}
	return at;
}

void chi_conn_bytes(struct chi_conn *c, const char *p, size_t n)
{
	if (c->in_len || !p) {
		if (n && !in_put(c, p, n)) {
			chi_conn_lost(c);
			return;
		}
		p = c->in;
		n = c->in_len;
	}
	bool own = p == c->in && p;
	c->consuming = true;
	size_t used = consume(c, p, n);
	c->consuming = false;
	c->more = false;
	if (c->dead) {
		conn_free(c);
		return;
	}
	size_t rest = n - used;
	if (own && rest)
		memmove(c->in, c->in + used, rest);
	if (own)
		c->in_len = (uint32_t)rest;
	if (!own && rest && !in_put(c, p + used, rest)) {
		chi_conn_lost(c);
		return;
	}
	if (!rest && c->in) { /* an idle connection owns no buffer */
		free(c->in);
		c->in = NULL;
		c->in_len = c->in_cap = 0;
	}
	c->paused = (c->state == CHI_C_BUSY && c->in_len >= CHI_SCRATCH) ||
	            (c->state == CHI_C_HEAD && c->out_bytes > (size_t)c->http->conf->stream_high);
	if (c->out)
		chi_conn_writable(c); /* gathered answers */
	else
		settle(c);
}

void chi_conn_fin(struct chi_conn *c)
{
	c->fin = true;
	switch ((enum chi_conn_state)c->state) {
	case CHI_C_BODY:
	case CHI_C_DISCARD:
	case CHI_C_LINGER:
		chi_conn_lost(c);
		return;
	case CHI_C_HEAD: /* what is ready is still sent */
	case CHI_C_BUSY:
		break;
	}
	if ((c->req && c->req->begun) || (c->req && c->http->waits[CHI_W_HALF].patience == 0)) {
		chi_conn_lost(c);
		return;
	}
	settle(c);
}

static void on_event(void *data, int events)
{
	struct chi_conn *c = data;
	if (events & CH_WRITE) {
		chi_conn_writable(c);
		if (c->dead || !(events & CH_READ) || c->fin || c->paused)
			return;
	}
	ssize_t n = c->transport->recv(c, c->http->loop->scratch, CHI_SCRATCH);
	if (n > 0)
		chi_conn_bytes(c, c->http->loop->scratch, (size_t)n);
	else if (n == 0)
		chi_conn_fin(c);
	else if (errno != EAGAIN && errno != EINTR)
		chi_conn_lost(c);
}

void chi_conn_want_body(struct chi_conn *c)
{
	c->state = CHI_C_BODY;
	c->body_got = 0;
	c->body_since = c->http->loop->now;
	choose_wait(c);
	if (!c->consuming && c->in_len)
		chi_conn_bytes(c, NULL, 0);
}

/* ---- time ---- */

static void timed_out(struct chi_conn *c)
{
	switch ((enum chi_wait)c->wait) {
	case CHI_W_HEAD:
		if (c->in_len) {
			leave_wait(c);
			c->in_len = 0;
			c->state = CHI_C_BUSY;
			chi_req_reject(c, 408, "the head of the request did not arrive within header_timeout: send it at once");
			return;
		}
		break;
	case CHI_W_BODY:
		if (c->req) {
			leave_wait(c);
			chi_req_timeout(c->req);
			return;
		}
		break;
	default:
		break;
	}
	chi_conn_lost(c);
}

static void on_sweep(void *data)
{
	struct chi_http *h = data;
	h->sweep_at = 0;
	for (int i = 0; i < CHI_W_COUNT; i++) {
		struct chi_waitlist *w = &h->waits[i];
		while (w->first && w->patience >= 0 && w->first->since + w->patience <= h->loop->now)
			timed_out(w->first);
	}
	arm_sweep(h);
}

/* ---- life ---- */

static struct chi_conn *slab_get(struct chi_http *h)
{
	if (!h->free) {
		char *slab = malloc(16 + SLAB * sizeof(struct chi_conn));
		if (!slab)
			return NULL;
		*(void **)slab = h->slabs;
		h->slabs = slab;
		struct chi_conn *v = (struct chi_conn *)(slab + 16);
		for (int i = SLAB; i-- > 0;) {
			v[i].next = h->free;
			h->free = &v[i];
		}
	}
	struct chi_conn *c = h->free;
	h->free = c->next;
	return c;
}

static void set_peer(struct chi_conn *c, const struct sockaddr *sa)
{
	if (sa && sa->sa_family == AF_INET) {
		c->addr.s6_addr[10] = c->addr.s6_addr[11] = 0xff;
		memcpy(c->addr.s6_addr + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		c->addr = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	} else {
		c->is_unix = true;
		strcpy(c->peer, "unix");
		return;
	}
	ch_addr_text(&c->addr, c->peer);
}

struct chi_conn *chi_conn_new(struct chi_http *h, const struct chi_transport *t, int fd, int cls, const struct sockaddr *sa, socklen_t len)
{
	(void)len;
	struct chi_conn *c = slab_get(h);
	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->http = h;
	c->transport = t;
	c->cls = (uint8_t)cls;
	c->wait = (uint8_t)CHI_W_NONE;
	c->out_tail = &c->out;
	set_peer(c, sa);
	c->next = h->conns;
	c->self = &h->conns;
	if (h->conns)
		h->conns->self = &c->next;
	h->conns = c;
	h->nconns++;
	atomic_fetch_add_explicit(&h->shared->connections, 1, memory_order_relaxed);
	chi_stats_conn(1);
	chi_watch_init(&c->watch, h->loop, fd, CH_READ, on_event, c);
	choose_wait(c);
	return c;
}

void chi_http_configure(struct chi_http *h, const struct chi_gen *g)
{
	const struct chi_server_conf *s = g->conf->server;
	const int64_t ms[CHI_W_COUNT] = {
		[CHI_W_HEAD] = s->header_timeout, [CHI_W_BODY] = s->body_timeout, [CHI_W_IDLE] = s->keepalive_timeout,
		[CHI_W_WRITE] = s->write_timeout, [CHI_W_HALF] = s->half_close_grace, [CHI_W_LINGER] = CHI_LINGER_MS,
	};
	h->conf = s;
	h->trusted = g->trusted;
	h->ntrusted = g->ntrusted;
	h->access = g->conf->log->access;
	for (int i = 0; i < CHI_W_COUNT; i++)
		h->waits[i].patience = ms[i] < 0 ? -1 : ms[i] * 1000;
	struct ch_h1_field *fields = realloc(h->fields, (size_t)s->max_header_fields * sizeof *fields);
	uint32_t most = fields ? (uint32_t)s->max_header_fields : h->limits.max_fields;
	h->fields = fields ? fields : h->fields;
	h->limits = (struct ch_h1_limits){
		.max_line = (uint32_t)s->max_request_line, .max_field = (uint32_t)s->max_header_field,
		.max_head = (uint32_t)s->max_header_bytes, .max_fields = most,
	};
}

struct chi_http *chi_http_new(struct ch_loop *l, struct chi_http_shared *shared)
{
	struct chi_http *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	h->loop = l;
	h->shared = shared;
	h->spare_fd = -1;
	chi_timer_init(&h->sweep, l, on_sweep, h);
	l->http = h;
	return h;
}

void chi_http_close_idle(struct chi_http *h)
{
	struct chi_conn *next;
	int64_t now = chi_clock();
	for (struct chi_conn *c = h->conns; c; c = next) {
		next = c->next;
		if (now - c->since < CHI_IDLE_GRACE_US)
			continue; /* its request may be on the way */
		if (c->state == CHI_C_HEAD && !c->in_len && !c->out)
			on_event(c, CH_READ); /* a request may lie in the socket: then it is answered, and the answer says close */
		if (!c->dead && c->state == CHI_C_HEAD && !c->in_len && !c->out)
			chi_conn_lost(c);
	}
}

void chi_http_close_all(struct chi_http *h)
{
	h->closed = true;
	while (h->conns) {
		struct chi_conn *c = h->conns;
		chi_conn_lost(c);
	}
	while (h->orphans)
		chi_req_forsake(h->orphans);
}

void chi_http_free(struct chi_http *h)
{
	if (!h)
		return;
	chi_timer_set(&h->sweep, -1);
	while (h->slabs) {
		void *next = *(void **)h->slabs;
		free(h->slabs);
		h->slabs = next;
	}
	if (h->spare_fd >= 0)
		close(h->spare_fd);
	h->loop->http = NULL;
	free(h->fields);
	free(h);
}
