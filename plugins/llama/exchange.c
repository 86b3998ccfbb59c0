/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.c - see exchange.h. finish() is the only end: it stops the timer and resumes the call's ticket. Until http/1 has confirmed its own
 * ticket the ctx keeps the memory, so what comes late finds `over` and does nothing.
 */
#include "exchange.h"

#define ERROR_MOST 65536 /* bytes of an error's body that are looked at */
#define DRAIN_MS 250     /* how long an answer that is whole may take to end, so that its connection can be kept */

enum { NOTHING, DELAY, FIRST, DRAIN, GO_ON }; /* what the timer is for */

static const struct ch_http_v1 *vt(const struct exchange *x)
{
	return x->http->vt;
}

static void arm(struct exchange *x, int what, int64_t ms)
{
	x->waits_for = what;
	if (x->timer)
		ch_timer_set(x->timer, ms);
}

static void finish(struct exchange *x)
{
	x->over = true;
	ch_timer_free(x->timer);
	x->timer = NULL;
	x->out->call = NULL;
	ch_resume(x->ticket, NULL, NULL);
}

/* Ends it before http/1 has: that is told, too. */
static void give_up(struct exchange *x, enum ch_code code, const char *detail)
{
	if (!x->out->code)
		ch_backend_refuse(x->out, code, 0, detail);
	finish(x);
	if (!x->ended)
		vt(x)->cancel(x->http, x->c, &x->result);
}

static void complete(struct exchange *x)
{
	struct ch_str body = { x->body && !x->streamed ? x->body->p : NULL, x->streamed ? 0 : x->body_n };

	x->end(x, body);
	if (!x->over) /* whoever got its last piece may have given it up */
		finish(x);
}

/* ---- what comes ---- */

/* Appends to x->body. False: no memory. */
static bool gather(struct exchange *x, const char *p, size_t n)
{
	size_t want = x->body ? x->body->cap : 0;

	if (!x->body)
		x->body = heap_new(x->c);
	if (!x->body)
		return false;
	while (want < x->body_n + n)
		want = want ? want * 2 : 4096;
	if (!heap_grow(x->body, x->body->p, x->body_n, want))
		return false;
	memcpy(x->body->p + x->body_n, p, n);
	x->body_n += n;
	return true;
}

/* Hands bytes to the protocol. What http/1's sink returns. */
static int hand_on(struct exchange *x, const char *p, size_t n, size_t *used)
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

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct exchange *x = arg;
	size_t used;
	int rc;

	(void)c;
	if (x->over)
		return CH_DONE;
	if (x->whole)
		return CH_OK;
	if (x->result.status / 100 != 2) {
		if (x->body_n + n > ERROR_MOST)
			return CH_DONE;
		return gather(x, p, n) ? CH_OK : CH_DONE;
	}
	if (x->streamed) {
		rc = hand_on(x, p, n, &used);
		if (rc != CH_AGAIN || used == n)
			return rc;
		p += used;
		n -= used;
	} else {
		rc = CH_OK;
	}
	if (gather(x, p, n))
		return rc;
	ch_backend_refuse(x->out, CH_E_OVERLOADED, 0, NULL);
	return CH_DONE;
}

static int on_ended(struct ch_ctx *c, void *data, int why, void *result)
{
	struct exchange *x = data;
	bool good = x->result.status / 100 == 2 && !x->result.error;

	(void)result;
	if (x->over)
		return CH_AGAIN; /* the call's ticket has been resumed */
	if (why == CH_TIMEOUT)
		give_up(x, CH_E_UPSTREAM_TIMEOUT, "The backend did not answer within the time that the request had.");
	else if (why == CH_GONE)
		give_up(x, CH_E_UPSTREAM_ERROR, "The client left before the answer was whole.");
	if (why != CH_READY)
		return CH_AGAIN;
	x->ended = true;
	x->out->status = x->result.status;
	if (x->out->code) {
		finish(x);
	} else if (x->whole || (good && !x->paused)) {
		complete(x);
	} else if (!good) {
		struct ch_str body = { x->body ? x->body->p : NULL, x->result.status / 100 == 2 ? 0 : x->body_n };

		ch_upstream_failed(c, &x->result, body, x->secret, x->out);
		if (x->failed)
			x->failed(x, body);
		finish(x);
	}
	return CH_AGAIN;
}

/* ---- begin ---- */

static int ask(struct exchange *x)
{
	const struct ch_http_sink sink = { .size = sizeof(sink), .data = on_data, .arg = x };
	ch_ticket own;
	int rc;

	x->result = (struct ch_http_result){ .size = sizeof(x->result) };
	x->ended = false;
	own = ch_suspend(x->c, 0, on_ended, x);
	if (!own) {
		x->ended = true;
		return ch_backend_refuse(x->out, CH_E_OVERLOADED, 0, NULL);
	}
	rc = vt(x)->request(x->http, x->c, &x->request, &sink, &x->result, own);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(own);
	x->ended = true;
	if (rc != CH_OK)
		return ch_backend_refuse(x->out, CH_E_UPSTREAM_ERROR, 0, "This server's HTTP client is broken; see its log.");
	ch_upstream_failed(x->c, &x->result, (struct ch_str){ NULL, 0 }, x->secret, x->out);
	return CH_OK;
}

static int fail(struct exchange *x)
{
	return ch_backend_refuse(x->out, CH_E_UPSTREAM_ERROR, 0, "The backend failed on purpose (a fault was injected).");
}

static int start(struct exchange *x)
{
	if (x->fault)
		return fail(x);
	if (x->streamed)
		arm(x, FIRST, x->request.first_byte_timeout_ms);
	else
		x->waits_for = NOTHING;
	return ask(x);
}

static void go_on(struct exchange *x)
{
	size_t used;
	int rc;

	x->waits_for = NOTHING;
	if (x->body_at < x->body_n) {
		rc = hand_on(x, x->body->p + x->body_at, x->body_n - x->body_at, &used);
		if (x->over)
			return;
		x->body_at += used;
		if (rc == CH_AGAIN)
			return;
		x->body_at = x->body_n = 0;
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
	struct exchange *x = data;

	switch (x->waits_for) {
	case DELAY:
		if (start(x) != CH_AGAIN)
			finish(x);
		break;
	case FIRST:
		give_up(x, CH_E_UPSTREAM_TIMEOUT, ch_print(x->c, "The backend sent nothing of its answer within %lld ms.",
			(long long)x->request.first_byte_timeout_ms));
		break;
	case DRAIN:
		complete(x);
		if (!x->ended)
			vt(x)->cancel(x->http, x->c, &x->result);
		break;
	case GO_ON:
		go_on(x);
		break;
	}
}

int exchange_begin(struct exchange *x)
{
	struct ch_fault f = { .size = sizeof(f) };
	bool struck = ch_fault(x->c, CH_S_VENDOR, &f);
	int rc;

	x->fault = struck && f.fail;
	if (x->fault && f.delay_ms <= 0)
		return fail(x);
	if (x->streamed || (struck && f.delay_ms > 0)) {
		x->timer = ch_timer(ch_loop(x->c), on_timer, x);
		if (!x->timer)
			return ch_backend_refuse(x->out, CH_E_OVERLOADED, 0, NULL);
	}
	x->out->call = x;
	if (struck && f.delay_ms > 0) {
		arm(x, DELAY, f.delay_ms);
		x->ended = true; /* nothing was asked yet */
		return CH_AGAIN;
	}
	rc = start(x);
	if (rc != CH_AGAIN) {
		x->out->call = NULL;
		ch_timer_free(x->timer);
	}
	return rc;
}

void exchange_begun(struct exchange *x)
{
	if (x->waits_for != FIRST)
		return;
	arm(x, NOTHING, -1);
}

void exchange_go_on(struct ch_inference_result *out)
{
	struct exchange *x = out->call;

	if (!x)
		return;
	x->went_on = true;
	if (!x->paused)
		return;
	x->paused = false;
	if (x->body_n || x->ended)
		arm(x, GO_ON, 0); /* nothing is called back inside a call */
	else
		vt(x)->go_on(x->http, x->c, &x->result);
}

void exchange_cancel(struct ch_inference_result *out)
{
	struct exchange *x = out->call;

	if (x && !x->over)
		give_up(x, CH_E_UPSTREAM_ERROR, "The question was given up.");
}
