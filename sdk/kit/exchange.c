/* SPDX-License-Identifier: MIT */
/*
 * exchange.c - one request to an upstream, on behalf of a call of inference/1.
 *
 * Two tickets are out while it runs: the call's, which is resumed once, by finish(), and our own, which http/1 resumes when it lets go of
 * the connection. After a cancel the caller hears at once and our own ticket comes behind; until then the ctx keeps the memory, and what
 * comes late finds `over` and does nothing.
 */
#include <stdlib.h>

#include "upstream.h"

enum {
	ERROR_MOST = 65536, /* bytes of an error's body that are looked at */
	ARENA_MOST = 32768, /* what is gathered and known to be no longer lies in the arena */
	DRAIN_MS = 250      /* how long an answer that is whole may take to end, so that its connection can serve the next call */
};

enum { NOTHING, DELAY, FIRST, DRAIN, GO_ON }; /* what the timer is for */

/* ---- memory of any size ---- */

static void drop(void *heap)
{
	free(((struct ch_heap *)heap)->p);
}

void *ch_heap_grow(void *heap, void *old, size_t used, size_t want)
{
	struct ch_heap *h = heap;
	char *p;

	(void)old, (void)used;
	if (want <= h->cap)
		return h->p;
	if (!h->cap && !ch_keep(h->c, drop, h))
		return NULL;
	p = realloc(h->p, want);
	h->cap = p ? want : h->cap ? h->cap : 1; /* it is kept now, also if there is nothing in it yet */
	if (p)
		h->p = p;
	return p;
}

/* ---- ends ---- */

static const struct ch_http_v1 *vt(const struct ch_exchange *x)
{
	return x->http->vt;
}

static struct upstream_secrets secrets(const struct ch_exchange *x)
{
	return (struct upstream_secrets){ x->secret, x->secret_fields, x->nsecret_fields };
}

static void arm(struct ch_exchange *x, int what, int64_t ms)
{
	x->waits_for = what;
	if (x->timer)
		ch_timer_set(x->timer, ms);
}

/* The answer or a code is in *out: the caller hears of it. */
static void finish(struct ch_exchange *x)
{
	x->over = true;
	if (x->timer)
		ch_timer_free(x->timer);
	x->timer = NULL;
	x->out->call = NULL;
	ch_resume(x->ticket, NULL, NULL);
}

/* Ends it before http/1 has: that is told, too. */
static void give_up(struct ch_exchange *x, enum ch_code code, const char *detail)
{
	if (!x->out->code)
		ch_backend_refuse(x->out, code, 0, detail);
	finish(x);
	if (!x->ended)
		vt(x)->cancel(x->http, x->c, &x->result);
}

static void complete(struct ch_exchange *x)
{
	x->end(x, x->streamed ? (struct ch_str){ NULL, 0 } : (struct ch_str){ x->body, x->nbody });
	if (!x->over) /* whoever got its last piece may have given it up */
		finish(x);
}

/* ---- what comes ---- */

/* What the head says the body's length is; 0: nothing, or more than is wanted. */
static size_t said_length(const struct ch_exchange *x)
{
	struct ch_str s = ch_http_field(&x->result, "Content-Length");
	size_t n = 0;

	for (size_t i = 0; i < s.n && s.n < 12; i++)
		n = s.p[i] >= '0' && s.p[i] <= '9' ? n * 10 + (size_t)(s.p[i] - '0') : 0;
	return s.n < 12 && n <= x->max_answer ? n : 0;
}

/* False: no memory. */
static bool make_room(struct ch_exchange *x, size_t n)
{
	size_t want = x->nbody + n, length = x->body || x->streamed ? 0 : said_length(x), cap;
	char *more;

	if (want <= x->body_cap)
		return true;
	if (length >= want && length <= ARENA_MOST) {
		x->body = ch_alloc(x->c, length);
		x->body_cap = x->body ? length : 0;
		return x->body;
	}
	cap = length > want ? length : want < 4096 ? 4096 : x->nbody ? want * 2 : want;
	if (x->body && x->body != x->heap.p)
		return false; /* its length was told, and http/1 brings no more than that */
	more = ch_heap_grow(&x->heap, x->body, x->nbody, cap);
	if (more) {
		x->body = more;
		x->body_cap = cap;
	}
	return more;
}

/* Appends to the body. False: no memory. */
static bool gather(struct ch_exchange *x, const char *p, size_t n)
{
	if (!make_room(x, n))
		return false;
	memcpy(x->body + x->nbody, p, n);
	x->nbody += n;
	return true;
}

/* Hands bytes to the protocol. What http/1's sink returns. */
static int hand_on(struct ch_exchange *x, const char *p, size_t n, size_t *used)
{
	int rc;

	*used = 0;
	do {
		x->went_on = false;
		rc = x->piece(x, p, n, used);
		if (x->over)
			return CH_DONE; /* given up by whoever got the pieces */
	} while (rc == CH_AGAIN && x->went_on);
	if (rc == CH_DONE) {
		x->whole = true;
		arm(x, DRAIN, DRAIN_MS);
		return CH_OK;
	}
	x->paused = rc == CH_AGAIN;
	return rc == CH_ERROR ? CH_DONE : rc;
}

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *r)
{
	struct ch_exchange *x = arg;

	(void)c;
	if (x->over)
		return CH_DONE;
	x->out->status = r->status;
	return r->status / 100 == 2 && x->head && x->head(x) != CH_OK ? CH_DONE : CH_OK;
}

static int refuse(struct ch_exchange *x, enum ch_code code, const char *detail)
{
	ch_backend_refuse(x->out, code, 0, detail);
	return CH_DONE;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct ch_exchange *x = arg;
	size_t used = 0;
	int rc = CH_OK;

	(void)c;
	if (x->over)
		return CH_DONE;
	if (x->whole)
		return CH_OK;
	if (x->result.status / 100 != 2)
		return n <= ERROR_MOST - x->nbody && gather(x, p, n) ? CH_OK : CH_DONE;
	if (x->streamed) {
		rc = hand_on(x, p, n, &used);
		if (rc != CH_AGAIN || used == n)
			return rc;
	} else if (n > x->max_answer - x->nbody) {
		return refuse(x, CH_E_UPSTREAM_INVALID, "The backend's answer is larger than allowed (max_answer).");
	}
	return gather(x, p + used, n - used) ? rc : refuse(x, CH_E_OVERLOADED, NULL);
}

static void on_failure(struct ch_exchange *x)
{
	struct upstream_secrets s = secrets(x);
	struct ch_str body = { x->body, x->result.status / 100 == 2 ? 0 : x->nbody };

	upstream_failed(x->c, &x->result, body, &s, x->out);
	if (x->failed)
		x->failed(x, body);
	finish(x);
}

static int on_ended(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ch_exchange *x = data;
	bool good = x->result.status / 100 == 2 && !x->result.error;

	(void)c, (void)result;
	if (why != CH_READY && !x->over) {
		if (why == CH_TIMEOUT)
			give_up(x, CH_E_UPSTREAM_TIMEOUT, "The backend did not answer within the time that the request had.");
		else
			give_up(x, CH_E_UPSTREAM_ERROR, "The client left before the answer was whole.");
	}
	if (x->over)
		return CH_AGAIN; /* the call's ticket has been resumed, and our own is confirmed */
	x->ended = true;
	x->out->status = x->result.status;
	if (x->out->code)
		finish(x);
	else if (x->whole || (good && !x->paused))
		complete(x);
	else if (!good)
		on_failure(x);
	return CH_AGAIN;
}

/* ---- begin ---- */

static int ask(struct ch_exchange *x)
{
	const struct ch_http_sink sink = { .size = sizeof(sink), .head = on_head, .data = on_data, .arg = x };
	struct upstream_secrets s = secrets(x);
	ch_ticket own = ch_suspend(x->c, 0, on_ended, x);
	int rc;

	if (!own)
		return ch_backend_refuse(x->out, CH_E_OVERLOADED, 0, NULL);
	x->result.size = sizeof(x->result);
	x->ended = false;
	rc = vt(x)->request(x->http, x->c, &x->request, &sink, &x->result, own);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(own);
	x->ended = true;
	if (rc != CH_OK)
		return ch_backend_refuse(x->out, CH_E_UPSTREAM_ERROR, 0, "This server's HTTP client is broken; see its log.");
	upstream_failed(x->c, &x->result, (struct ch_str){ NULL, 0 }, &s, x->out);
	return CH_OK;
}

static int start(struct ch_exchange *x)
{
	if (x->fault)
		return ch_backend_refuse(x->out, CH_E_UPSTREAM_ERROR, 0, "The backend failed on purpose (a fault was injected).");
	if (x->first_ms > 0)
		arm(x, FIRST, x->first_ms);
	return ask(x);
}

static void go_on(struct ch_exchange *x)
{
	size_t used;
	int rc;

	x->waits_for = NOTHING;
	if (x->body_at < x->nbody) {
		rc = hand_on(x, x->body + x->body_at, x->nbody - x->body_at, &used);
		if (x->over)
			return;
		x->body_at += used;
		if (rc == CH_AGAIN)
			return;
		x->body_at = x->nbody = 0;
		if (rc != CH_OK) {
			give_up(x, CH_E_UPSTREAM_INVALID, NULL);
			return;
		}
	}
	if (x->ended)
		complete(x);
	else
		vt(x)->go_on(x->http, x->c, &x->result);
}

static void on_timer(void *data)
{
	struct ch_exchange *x = data;

	switch (x->waits_for) {
	case DELAY:
		if (start(x) != CH_AGAIN)
			finish(x);
		break;
	case FIRST:
		give_up(x, CH_E_UPSTREAM_TIMEOUT, ch_print(x->c, "The backend sent nothing of its answer within %lld ms.",
			(long long)x->first_ms));
		break;
	case DRAIN:
		complete(x);
		if (!x->ended)
			vt(x)->cancel(x->http, x->c, &x->result);
		break;
	case GO_ON:
		go_on(x);
		break;
	default:
		break;
	}
}

int ch_exchange_begin(struct ch_exchange *x)
{
	struct ch_fault f = { .size = sizeof(f) };
	bool struck = ch_fault(x->c, CH_S_VENDOR, &f), delayed = struck && f.delay_ms > 0;
	int rc;

	x->heap.c = x->c;
	x->fault = struck && f.fail;
	x->ended = true; /* nothing is asked yet */
	if (x->streamed || x->first_ms > 0 || delayed) {
		x->timer = ch_timer(ch_loop(x->c), on_timer, x);
		if (!x->timer)
			return ch_backend_refuse(x->out, CH_E_OVERLOADED, 0, NULL);
	}
	x->out->call = x;
	if (delayed) {
		arm(x, DELAY, f.delay_ms);
		return CH_AGAIN;
	}
	rc = start(x);
	if (rc != CH_AGAIN) {
		x->out->call = NULL;
		if (x->timer)
			ch_timer_free(x->timer);
	}
	return rc;
}

void ch_exchange_begun(struct ch_exchange *x)
{
	if (x->waits_for == FIRST)
		arm(x, NOTHING, -1);
}

void ch_exchange_said(struct ch_exchange *x, struct ch_str error)
{
	struct upstream_secrets s = secrets(x);

	upstream_said(x->c, error, &s, x->out);
}

void ch_exchange_go_on(struct ch_inference_result *out)
{
	struct ch_exchange *x = out->call;

	if (!x)
		return;
	x->went_on = true;
	if (!x->paused)
		return;
	x->paused = false;
	if (x->nbody || x->ended)
		arm(x, GO_ON, 0); /* nothing is called back inside a call */
	else
		vt(x)->go_on(x->http, x->c, &x->result);
}

void ch_exchange_cancel(struct ch_inference_result *out)
{
	struct ch_exchange *x = out->call;

	if (x && !x->over)
		give_up(x, CH_E_UPSTREAM_ERROR, "The question was given up.");
}

/* ---- the trace ---- */

size_t ch_backend_trace(struct ch_ctx *c, char traceparent[56], struct ch_http_field fields[2])
{
	const struct ch_facts *facts = ch_facts(c);
	uint64_t span;
	size_t n = 0;

	if (!facts->trace_id[0])
		return 0;
	do
		span = ch_random();
	while (!span);
	memcpy(traceparent, "00-", 3); /* by hand: printf is a hundredth of what a whole request costs */
	memcpy(traceparent + 3, facts->trace_id, 32);
	traceparent[35] = '-';
	for (int i = 0; i < 16; i++)
		traceparent[36 + i] = "0123456789abcdef"[span >> (60 - 4 * i) & 15];
	memcpy(traceparent + 52, facts->sampled ? "-01" : "-00", 4);
	fields[n++] = (struct ch_http_field){ CH_STR("traceparent"), { traceparent, 55 } };
	if (facts->tracestate && facts->tracestate[0])
		fields[n++] = (struct ch_http_field){ CH_STR("tracestate"), { facts->tracestate, strlen(facts->tracestate) } };
	return n;
}
