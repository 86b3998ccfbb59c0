/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include "core/log/log.h"
#include "core/plugin/account.h"
#include "core/plugin/gen.h"

#include <chimera/kit/http1.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define ONE_SEND (32u << 10) /* head and body up to this size leave in one contiguous piece */

/* ---- header fields ---- */

static bool core_owned(const char *name, size_t n)
{
	switch (*name | 0x20) { /* which of them it can be */
	case 'c':
		return (n == 10 && !strncasecmp(name, "connection", n)) || (n == 14 && !strncasecmp(name, "content-length", n));
	case 't':
		return n == 17 && !strncasecmp(name, "transfer-encoding", n);
	case 'd':
		return n == 4 && !strncasecmp(name, "date", n);
	default:
		return false;
	}
}

/* Where the field of that name is among those that are set; nheaders: nowhere. */
static uint32_t find(const struct chi_req *r, const char *name, size_t n)
{
	uint32_t i = 0;
	while (i < r->nheaders && (r->headers[i].name_len != n || strncasecmp(r->headers[i].line, name, n)))
		i++;
	return i;
}

static char *put(char *at, const char *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

int chi_resp_header(struct chi_req *r, const char *name, size_t nn, const char *value, size_t vn)
{
	/* The one place where a value could split an answer in two (FAULTS H28). */
	if (r->head_sent || r->pending || !ch_h1_token(name, nn) || !ch_h1_value(value, vn) || core_owned(name, nn))
		return CH_ERROR;
	if (r->answered && nn == 12 && !strncasecmp(name, "content-type", nn)) { /* there is one: ch_respond's */
		char *type = vn ? chi_arena_alloc(&r->ctx->arena, vn + 1) : NULL;
		r->type = type ? memcpy(type, value, vn) : NULL;
		return type || !vn ? CH_OK : CH_ERROR;
	}
	uint64_t length = UINT64_C(1) << nn % 64;
	uint32_t i = r->lengths & length ? find(r, name, nn) : r->nheaders;
	if (!vn) {
		if (i < r->nheaders)
			r->headers[i] = r->headers[--r->nheaders];
		return CH_OK;
	}
	if (!r->headers && !(r->headers = chi_arena_raw(&r->ctx->arena, CHI_HEADERS * sizeof *r->headers)))
		return CH_ERROR;
	char *line = i < CHI_HEADERS ? chi_arena_raw(&r->ctx->arena, nn + vn + 4) : NULL;
	if (!line)
		return CH_ERROR;
	put(put(put(put(line, name, nn), ": ", 2), value, vn), "\r\n", 2);
	r->headers[i] = (struct chi_header){ line, (uint32_t)nn, (uint32_t)vn };
	r->lengths |= length;
	if (i == r->nheaders)
		r->nheaders++;
	return CH_OK;
}

bool chi_resp_header_at(const struct chi_req *r, size_t i, struct ch_str *name, struct ch_str *value)
{
	bool typed = r->type && *r->type;
	if (typed && !i) {
		*name = CH_STR("Content-Type");
		*value = (struct ch_str){ r->type, strlen(r->type) };
		return true;
	}
	i -= typed;
	if (i >= r->nheaders)
		return false;
	const struct chi_header *h = &r->headers[i];
	*name = (struct ch_str){ h->line, h->name_len };
	*value = (struct ch_str){ h->line + h->name_len + 2, h->value_len };
	return true;
}

static char *put_number(char *at, uint64_t v, unsigned base)
{
	char tmp[24];
	size_t n = 0;
	do
		tmp[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	while (n)
		*at++ = tmp[--n];
	return at;
}

const char *chi_resp_date(struct ch_loop *l)
{
	int64_t second = l->now / 1000000;
	if (l->date_at != second || !l->date[0]) {
		static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
		time_t t = (time_t)(chi_wall() / 1000000);
		struct tm tm;
		gmtime_r(&t, &tm);
		snprintf(l->date, sizeof l->date, "Date: %.3s, %02u %.3s %04u %02u:%02u:%02u GMT\r\n", days + 3 * tm.tm_wday,
			tm.tm_mday % 100u, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000u, tm.tm_hour % 100u, tm.tm_min % 100u,
			tm.tm_sec % 100u);
		l->date_at = second;
	}
	return l->date;
}

/* Decides how the body is delimited and whether the connection survives; RFC 9112, sections 6.3 and 9.3. */
static void decide(struct chi_req *r)
{
	struct chi_conn *c = r->conn;
	r->no_body = r->head.method == CH_H1_HEAD || r->status == 204 || r->status == 304;
	r->keep = r->head.keep_alive && !atomic_load_explicit(&r->http->shared->draining, memory_order_relaxed);
	if (c && c->framing != CH_H1_BODY_NONE) {
		/* An unread body: dropped if it is short, else the connection ends. One that waits for "100 Continue" may never come. */
		bool drop_it = c->framing == CH_H1_BODY_CHUNKED || c->body_left <= CHI_DISCARD;
		if (!drop_it || (r->head.expect_continue && !r->continued))
			r->keep = false;
	}
	if (!r->answered && !r->has_length && !r->no_body) {
		r->chunked_out = r->head.minor == 1;
		if (!r->chunked_out)
			r->keep = false; /* HTTP/1.0: the end of the connection is the end of the body */
	}
}

/* The head's bytes at `at`; at least head_room(r) are there. */
static char *put_head(struct chi_req *r, char *at)
{
	const char *text = chi_status_text(r->status);
	at = put(at, "HTTP/1.1 ", 9);
	at = put_number(at, (uint64_t)r->status, 10);
	*at++ = ' ';
	at = put(at, text, strlen(text));
	at = put(at, "\r\n", 2);
	at = put(at, chi_resp_date(r->ctx->loop), CHI_DATE_LEN);
	if (r->type && *r->type) {
		at = put(at, "Content-Type: ", 14);
		at = put(at, r->type, strlen(r->type));
		at = put(at, "\r\n", 2);
	}
	if (r->chunked_out) {
		at = put(at, "Transfer-Encoding: chunked\r\n", 28);
	} else if ((r->answered || r->has_length) && r->status != 204) {
		at = put(at, "Content-Length: ", 16);
		at = put_number(at, r->answered ? r->whole_len : r->length, 10);
		at = put(at, "\r\n", 2);
	}
	if (!r->keep)
		at = put(at, "Connection: close\r\n", 19);
	else if (r->head.minor == 0)
		at = put(at, "Connection: keep-alive\r\n", 24);
	for (uint32_t i = 0; i < r->nheaders; i++) {
		const struct chi_header *h = &r->headers[i];
		at = put(at, h->line, h->name_len + h->value_len + 4);
	}
	return put(at, "\r\n", 2);
}

static size_t head_room(const struct chi_req *r)
{
	size_t n = 256 + (r->type ? strlen(r->type) : 0);
	for (uint32_t i = 0; i < r->nheaders; i++)
		n += r->headers[i].name_len + r->headers[i].value_len + 4;
	return n;
}

/* RESPONSE hooks, once, when the head is about to leave. */
static void run_response_hooks(struct chi_req *r)
{
	struct ch_ctx *c = r->ctx;
	const struct chi_chain *chain = &c->gen->phases[CH_P_RESPONSE];
	const struct chi_hook *hook = c->hook, *end = c->hook_end;
	const struct chi_hook *running = c->running;
	bool busy = c->busy;
	if (!chain->n)
		return;
	if (running)
		chi_account_leave(c, running);
	for (size_t i = 0; i < chain->n; i++) {
		c->hook = &chain->hooks[i];
		chi_ctx_enter(c, c->hook);
		if (c->hook->fn(&c->hook->inst->self, c) != CH_OK)
			chi_account_error(c->hook);
		chi_ctx_leave(c, c->hook);
	}
	c->hook = hook;
	c->hook_end = end;
	c->busy = busy;
	c->running = running;
	if (running)
		chi_account_enter(c, running);
}

static void tap(struct chi_req *r, const void *p, size_t n, bool complete)
{
	const struct chi_gen *g = r->ctx->gen;
	if (r->tapped)
		return; /* its end was told */
	r->tapped = !n;
	for (size_t i = 0; i < g->ntaps; i++)
		g->taps[i].fn(&g->taps[i].inst->self, r->ctx, p, n, complete);
}

/* ---- a whole answer ---- */

int chi_resp_whole(struct chi_req *r, int status, const char *type, const void *body, size_t n)
{
	if (r->begun || r->answered || r->stage >= CHI_S_ANSWERED || status < 200 || status > 599 || (type && !ch_h1_value(type, strlen(type))))
		return CH_ERROR;
	/* Half of the reserve is left for the head. */
	bool fits = n <= CHI_ARENA_LIMIT && r->ctx->arena.used + n + 15 <= CHI_ARENA_LIMIT + CHI_ARENA_RESERVE / 2;
	char *copy = n && fits ? chi_arena_raw(&r->ctx->arena, n) : NULL;
	if (n && !copy) {
		if (!fits)
			return CH_ERROR; /* larger than a ctx may hold: such an answer is streamed */
		r->aborted = true; /* no memory, which is not the plugin's fault: the connection is cut */
		return CH_DONE;
	}
	if (n)
		memcpy(copy, body, n);
	if (type) /* one that a plugin set before it thought better of it */
		chi_resp_header(r, "Content-Type", 12, "", 0);
	r->answered = true;
	r->status = status;
	r->type = type ? chi_text_copy(&r->ctx->arena, type) : NULL;
	r->whole = copy;
	r->whole_len = n;
	return CH_DONE;
}

static void send_whole(struct chi_req *r)
{
	struct chi_conn *c = r->conn;
	size_t body = r->no_body ? 0 : r->whole_len, room = head_room(r);
	bool one = body <= ONE_SEND;
	char *buf = chi_arena_raw(&r->ctx->arena, room + (one ? body : 0));
	if (!buf) {
		chi_conn_lost(c);
		return;
	}
	char *at = put_head(r, buf);
	if (one && body)
		at = put(at, r->whole, body);
	struct iovec v[2] = { { buf, (size_t)(at - buf) }, { (char *)r->whole, body } };
	r->head_sent = true;
	chi_conn_send(c, v, one ? 1 : 2, -1, NULL, NULL);
}

/* ---- a streamed answer ---- */

int chi_resp_length(struct chi_req *r, uint64_t n)
{
	if (r->begun || r->answered)
		return CH_ERROR;
	r->has_length = true;
	r->length = n;
	return CH_OK;
}

/* What one who writes is told when no client is there: that is the end, or it goes on to the taps alone. */
static int left(const struct chi_req *r)
{
	return r->orphan ? CH_OK : CH_DONE;
}

int chi_resp_begin(struct chi_req *r, int status)
{
	if (r->begun || r->answered || r->stage >= CHI_S_ANSWERED || status < 200 || status > 599)
		return CH_ERROR;
	r->begun = true;
	r->status = r->ctx->facts.status = status;
	run_response_hooks(r);
	r->ctx->facts.first_byte = chi_clock();
	if (!r->conn)
		return left(r);
	decide(r);
	r->pending = chi_arena_raw(&r->ctx->arena, head_room(r));
	if (!r->pending) {
		chi_conn_lost(r->conn);
		return left(r);
	}
	r->pending_len = (size_t)(put_head(r, r->pending) - r->pending);
	r->begun_at = r->ctx->loop->now;
	return CH_OK;
}

static void release_copy(void *arg)
{
	free(arg);
}

/* Sends head (if it is still here) and body bytes; chunked framing around them. */
static void stream_out(struct chi_req *r, const void *p, size_t n, ch_fn release, void *arg, bool last)
{
	struct iovec v[4];
	char size[24];
	int k = 0, own = -1;
	if (r->pending) {
		v[k++] = (struct iovec){ r->pending, r->pending_len };
		r->pending = NULL;
		r->head_sent = true;
	}
	if (n && r->chunked_out) {
		char *end = put(put_number(size, n, 16), "\r\n", 2);
		v[k++] = (struct iovec){ size, (size_t)(end - size) };
	}
	if (n) {
		own = k;
		v[k++] = (struct iovec){ (void *)p, n };
	}
	if (r->chunked_out && (n || last)) {
		const char *tail = last ? (n ? "\r\n0\r\n\r\n" : "0\r\n\r\n") : "\r\n";
		v[k++] = (struct iovec){ (void *)tail, strlen(tail) };
	}
	if (k)
		chi_conn_send(r->conn, v, k, own, release, arg);
	else if (release)
		release(arg);
}

static void held_free(struct chi_req *r)
{
	if (r->held && r->held->release)
		r->held->release(r->held->arg);
	free(r->held);
	r->held = NULL;
}

/* The last bytes of a body of known length wait for END. */
static bool hold(struct chi_req *r, const void *p, size_t n, ch_fn release, void *arg)
{
	struct chi_out *o = malloc(sizeof *o + (release ? 0 : n));
	if (!o)
		return false;
	*o = (struct chi_out){ .p = p, .n = n, .release = release, .arg = arg };
	if (!release) {
		o->p = (char *)(o + 1);
		memcpy(o + 1, p, n);
	}
	r->held = o;
	return true;
}

int chi_resp_write(struct chi_req *r, const void *p, size_t n, ch_fn release, void *arg)
{
	if (!r->begun || r->ended || r->aborted || (r->has_length && n > r->length - r->sent)) {
		if (release)
			release(arg);
		return CH_ERROR;
	}
	if (r->conn && r->conn->fin && r->begun_at != r->ctx->loop->now)
		chi_conn_lost(r->conn); /* what was ready in one turn is sent, a stream is not (FAULTS H24) */
	if (!r->conn) {
		if (r->orphan && n) {
			r->sent += n;
			r->ctx->facts.bytes_out += n;
			tap(r, p, n, false);
		}
		if (release)
			release(arg);
		return left(r);
	}
	r->sent += n;
	if (n && !r->no_body) {
		r->ctx->facts.bytes_out += n;
		tap(r, p, n, false);
	}
	if (r->no_body || !n) {
		if (release)
			release(arg);
	} else if (r->has_length && r->sent == r->length) {
		if (!hold(r, p, n, release, arg)) {
			if (release)
				release(arg);
			chi_conn_lost(r->conn);
		}
	} else {
		stream_out(r, p, n, release, arg, false);
	}
	if (!r->conn)
		return left(r);
	if (r->conn->out_bytes > (size_t)r->http->conf->stream_high) {
		r->conn->want_drain = true;
		return CH_AGAIN;
	}
	return CH_OK;
}

int chi_resp_end(struct chi_req *r)
{
	if (!r->begun || r->ended || r->aborted)
		return CH_ERROR;
	if (r->has_length && r->sent != r->length) {
		chi_resp_abort(r); /* a body shorter than was said can only be told by cutting the connection */
		return CH_ERROR;
	}
	r->ended = true;
	return r->conn ? CH_OK : left(r);
}

void chi_resp_abort(struct chi_req *r)
{
	if (!r->ended)
		r->aborted = true;
}

void chi_resp_cut(struct chi_req *r)
{
	if (r->begun)
		tap(r, NULL, 0, false);
}

void chi_resp_drop(struct chi_req *r)
{
	held_free(r);
}

/* ---- the end ---- */

void chi_resp_finish(struct chi_req *r)
{
	struct ch_facts *f = &r->ctx->facts;
	if (r->begun) {
		f->aborted = !r->ended || r->orphan; /* aborted, or a handler that was done without an end */
		tap(r, NULL, 0, r->ended);
		chi_req_end(r);
		return;
	}
	f->status = r->status;
	run_response_hooks(r);
	if (!r->conn && !r->orphan)
		return;
	decide(r);
	f->first_byte = chi_clock();
	if (!r->no_body) {
		f->bytes_out = r->whole_len;
		if (r->whole_len)
			tap(r, r->whole, r->whole_len, false);
	}
	tap(r, NULL, 0, true);
	chi_req_end(r);
}

static void leave_cut(struct chi_req *r)
{
	if (r->pending)
		stream_out(r, NULL, 0, NULL, NULL, false);
	if (r->conn)
		chi_conn_lost(r->conn);
}

static void leave_stream(struct chi_req *r)
{
	if (r->held) {
		struct chi_out o = *r->held;
		o.p = o.release ? o.p : (char *)(r->held + 1);
		struct chi_out *box = r->held;
		r->held = NULL;
		stream_out(r, o.p, o.n, o.release, o.arg, true);
		release_copy(box);
	} else {
		stream_out(r, NULL, 0, NULL, NULL, !r->no_body);
	}
}

void chi_resp_leave(struct chi_req *r)
{
	if (r->begun && !r->ended) {
		leave_cut(r);
		return;
	}
	if (r->begun)
		leave_stream(r);
	else
		send_whole(r);
	if (r->conn)
		chi_conn_next(r->conn, r->keep);
}
