/* SPDX-License-Identifier: MIT */
/*
 * openai.c - a call to an OpenAI server over http/1: its request, its answer piece by piece, its one end.
 *
 * Two tickets are out while it runs: the caller's, which is resumed once, by finish(), and our own, which http/1 resumes when it lets go of
 * the connection. After a cancel the caller hears at once, and our own ticket comes behind; nothing of the call is touched then.
 *
 * What must outlive the call (a large answer) is kept until the ctx goes; all else is let go at its end. The sink may cancel the call whose
 * bytes it looks at: then the buffers go when it has returned.
 */
#include <stdlib.h>
#include <strings.h>

#include "openai_call.h"

/* ---- its end ---- */

static const struct ch_http_v1 *http_of(const struct openai_call *k)
{
	return k->up->http->vt;
}

static void release(struct openai_call *k)
{
	free(k->sse.buf);
	free(k->held);
	if (k->scratch != k->room)
		free(k->scratch);
	k->sse.buf = k->held = NULL;
	k->scratch = k->room;
	k->scratch_cap = sizeof(k->room);
}

/* The answer or the code is in *out: the caller hears of it. */
static void finish(struct openai_call *k)
{
	struct ch_inference_result *out = k->out;

	if (k->ended)
		return;
	k->ended = true;
	out->call = NULL;
	out->estimated = !k->usage;
	if (!k->usage)
		out->tokens_out = k->deltas;
	if (k->timer)
		ch_timer_free(k->timer);
	k->timer = NULL;
	if (!k->inside)
		release(k);
	ch_resume(k->outer, NULL, NULL);
}

static void let_go(struct openai_call *k)
{
	if (k->running)
		http_of(k)->cancel(k->up->http, k->c, &k->http);
}

static int stop(struct openai_call *k, enum ch_code code, const char *detail)
{
	ch_backend_refuse(k->out, code, 0, detail);
	finish(k);
	return CH_DONE;
}

/* ---- pieces to the sink ---- */

/* CH_OK, CH_AGAIN; CH_DONE: the sink has cancelled the call. */
static int deliver(struct openai_call *k, const struct ch_inference_delta *d)
{
	int rc;

	if (!k->out->first_delta) {
		k->out->first_delta = ch_now();
		if (k->timer)
			ch_timer_set(k->timer, -1);
	}
	k->inside = true;
	k->went_on = false;
	rc = k->sink.delta(k->c, k->sink.arg, d);
	k->inside = false;
	if (k->ended)
		return CH_DONE;
	k->paused = rc == CH_AGAIN && !k->went_on;
	return k->paused ? CH_AGAIN : CH_OK;
}

/* Room for n bytes that live until the next event. */
static char *scratch(struct openai_call *k, size_t n)
{
	char *more;

	if (n <= k->scratch_cap)
		return k->scratch;
	more = malloc(n);
	if (!more)
		return NULL;
	if (k->scratch != k->room)
		free(k->scratch);
	k->scratch = more;
	k->scratch_cap = n;
	return more;
}

/* The frame as the client is to see it: without the usage that it did not ask for, and on one line. p NULL: no memory. */
static struct ch_str shown(struct openai_call *k, const struct ch_sse_event *ev, const struct openai_frame *f)
{
	size_t cut = k->hide_usage ? f->cut_n : 0;
	bool lines = memchr(ev->data, '\n', ev->data_len);
	char *p;

	if (!cut && !lines)
		return (struct ch_str){ ev->data, ev->data_len };
	p = scratch(k, ev->data_len);
	if (!p)
		return (struct ch_str){ NULL, 0 };
	memcpy(p, ev->data, cut ? f->cut_at : ev->data_len);
	if (cut)
		memcpy(p + f->cut_at, ev->data + f->cut_at + cut, ev->data_len - f->cut_at - cut);
	for (size_t i = 0; lines && i < ev->data_len - cut; i++)
		if (p[i] == '\n') /* of an event with several data lines: in JSON a blank between tokens, like any other */
			p[i] = ' ';
	return (struct ch_str){ p, ev->data_len - cut };
}

static int deliver_frame(struct openai_call *k, const struct ch_sse_event *ev, const struct openai_frame *f)
{
	struct ch_inference_delta d = { .size = sizeof(d) };

	if (k->args->openai) {
		d.frame = shown(k, ev, f);
		return d.frame.p ? deliver(k, &d) : stop(k, CH_E_OVERLOADED, NULL);
	}
	d.tool_calls = f->tool_calls;
	if (f->text.type == CH_JSON_STRING)
		d.text = (struct ch_str){ f->text.s, f->text.len };
	if (f->text.escaped) {
		char *p = scratch(k, f->text.len);

		if (!p)
			return stop(k, CH_E_OVERLOADED, NULL);
		d.text = (struct ch_str){ p, ch_json_unescape(&f->text, p) };
	}
	return d.text.n || d.tool_calls.n ? deliver(k, &d) : CH_OK;
}

/* ---- events ---- */

static bool is_done(const struct ch_sse_event *ev)
{
	return ev->data_len >= 6 && !memcmp(ev->data, "[DONE]", 6);
}

static int on_event(struct openai_call *k, const struct ch_sse_event *ev)
{
	struct openai_frame f;

	if (!ev->data || k->done)
		return CH_OK;
	if (is_done(ev)) {
		/* The end of the body comes with it, as a rule: then the connection can serve the next call. It is not waited for long. */
		k->done = true;
		k->due = OPENAI_END_DUE;
		ch_timer_set(k->timer, OPENAI_END_MS);
		return CH_OK;
	}
	if (!openai_frame_read(ev->data, ev->data_len, &f))
		return stop(k, CH_E_UPSTREAM_INVALID, ch_print(k->c, "The backend sent an event that %s.", f.why));
	if (f.error.n || (ev->name_len == 5 && !memcmp(ev->name, "error", 5))) {
		upstream_said(k->c, f.error.n ? f.error : (struct ch_str){ ev->data, ev->data_len }, &k->secrets, k->out);
		finish(k);
		return CH_DONE;
	}
	openai_note(k, &f);
	if (f.usage && !f.nchoices && k->hide_usage)
		return CH_OK;
	k->deltas += f.text.type == CH_JSON_STRING && f.text.len;
	return deliver_frame(k, ev, &f);
}

/* The bytes behind an event whose delta the sink took as its last for now. */
static bool hold(struct openai_call *k, const char *p, size_t n)
{
	if (k->held) { /* they are part of what was held */
		memmove(k->held, p, n);
	} else if (n) {
		k->held = malloc(n);
		if (!k->held)
			return false;
		memcpy(k->held, p, n);
	}
	k->nheld = n;
	return true;
}

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	(void)arg, (void)used;
	return realloc(old, want);
}

void openai_events_init(struct openai_call *k)
{
	ch_sse_init(&k->sse, NULL, 0, 0);
	k->sse.grow = grow;
}

/* CH_OK: all taken; CH_AGAIN: paused, the rest is held; CH_DONE: the call has ended. */
static int feed(struct openai_call *k, const char *p, size_t n)
{
	struct ch_sse_event ev;
	enum ch_sse_rc rc;
	size_t used;

	while ((rc = ch_sse_next(&k->sse, p, n, &used, &ev)) == CH_SSE_EVENT) {
		int then = on_event(k, &ev);

		p += used;
		n -= used;
		if (then == CH_AGAIN && !hold(k, p, n))
			then = stop(k, CH_E_OVERLOADED, NULL);
		if (then != CH_OK)
			return then;
	}
	if (rc == CH_SSE_MORE)
		return CH_OK;
	if (k->sse.fault == CH_SSE_NO_MEMORY)
		return stop(k, CH_E_OVERLOADED, NULL);
	return stop(k, CH_E_UPSTREAM_INVALID, "The backend sent an event of more than 1 MiB.");
}

/* What was held, after go_on; then the connection goes on too. */
static void feed_held(struct openai_call *k)
{
	int rc = feed(k, k->held, k->nheld);

	if (rc == CH_OK) {
		free(k->held);
		k->held = NULL;
		k->nheld = 0;
		http_of(k)->go_on(k->up->http, k->c, &k->http);
	} else if (rc == CH_DONE) {
		release(k);
		let_go(k);
	}
}

/* ---- what http/1 brings ---- */

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *r)
{
	struct openai_call *k = arg;
	struct ch_str type = ch_http_field(r, "Content-Type");
	bool good = r->status >= 200 && r->status < 300;

	k->out->status = r->status;
	if (k->args->op == CH_I_PROBE) {
		k->taking = OPENAI_NOTHING;
		return CH_OK;
	}
	k->taking = OPENAI_WHOLE;
	k->most = good && !k->sink.delta ? (size_t)k->up->conf->max_answer : OPENAI_ERROR_MOST;
	if (k->args->op == CH_I_PASS && good) {
		k->out->content_type = ch_dup(c, type.p, type.n);
		if (!k->out->content_type)
			return stop(k, CH_E_OVERLOADED, NULL);
		if (k->sink.delta)
			k->taking = OPENAI_BYTES;
	} else if (k->sink.delta && good && type.n >= 17 && !strncasecmp(type.p, "text/event-stream", 17)) {
		k->taking = OPENAI_EVENTS;
	}
	return CH_OK;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct openai_call *k = arg;
	int rc = CH_OK;

	(void)c;
	switch (k->taking) {
	case OPENAI_EVENTS:
		rc = feed(k, p, n);
		break;
	case OPENAI_BYTES: {
		const struct ch_inference_delta d = { .size = sizeof(d), .frame = { p, n } };

		rc = deliver(k, &d);
		break;
	}
	case OPENAI_WHOLE:
		rc = openai_gather(k, p, n) ? CH_OK : CH_DONE; /* judged when http/1 has let go */
		break;
	default:
		break;
	}
	if (k->ended)
		release(k);
	return rc;
}

/*
 * The stream is over: was the answer whole? It was if the model said that it had finished: some servers leave [DONE] out, or are cut behind
 * that. Of several answers only [DONE] tells. [DONE] alone is none: a server that broke off may send it too.
 */
static void judge_events(struct openai_call *k)
{
	struct ch_sse_event ev;

	if (!k->done && ch_sse_end(&k->sse, &ev) && ev.data && is_done(&ev))
		k->done = true; /* but for the empty line behind it */
	if (k->finished && (k->done || !(k->args->needs & CH_I_MANY)))
		return;
	if (k->http.error && !k->done)
		upstream_failed(k->c, &k->http, (struct ch_str){ NULL, 0 }, &k->secrets, k->out);
	else
		ch_backend_refuse(k->out, CH_E_UPSTREAM_ERROR, 0, k->done ? "The backend ended its stream without a finish_reason: the answer is not whole."
			: "The backend's stream ended before its [DONE]: the answer is not whole.");
}

static int on_http(struct ch_ctx *c, void *data, int why, void *result)
{
	struct openai_call *k = data;

	(void)c, (void)result;
	if (why != CH_READY) {
		let_go(k); /* which confirms our ticket */
		k->running = false;
		if (k->ended)
			return CH_AGAIN;
		if (why == CH_TIMEOUT)
			stop(k, CH_E_UPSTREAM_TIMEOUT, "The backend did not answer within the time that the request had.");
		else
			stop(k, CH_E_UPSTREAM_ERROR, "The client left before the answer was whole.");
		return CH_AGAIN;
	}
	k->running = false;
	if (k->ended)
		return CH_AGAIN;
	if (k->taking == OPENAI_EVENTS)
		judge_events(k);
	else
		openai_judge(k);
	finish(k);
	return CH_AGAIN;
}

/* ---- its beginning ---- */

/* As submit: CH_OK with *out filled, or CH_AGAIN. */
static int start(struct openai_call *k)
{
	const struct ch_http_sink sink = { .size = sizeof(sink), .head = on_head, .data = on_data, .arg = k };
	int rc;

	k->inner = ch_suspend(k->c, 0, on_http, k);
	if (!k->inner)
		return ch_backend_refuse(k->out, CH_E_OVERLOADED, 0, NULL);
	k->http.size = sizeof(k->http);
	rc = http_of(k)->request(k->up->http, k->c, &k->request, &sink, &k->http, k->inner);
	if (rc == CH_AGAIN) {
		k->running = true;
		if (k->streams) {
			k->due = OPENAI_FIRST_DUE;
			ch_timer_set(k->timer, k->request.first_byte_timeout_ms);
		}
		return CH_AGAIN;
	}
	ch_unsuspend(k->inner);
	if (rc == CH_OK)
		upstream_failed(k->c, &k->http, (struct ch_str){ NULL, 0 }, &k->secrets, k->out);
	else
		ch_backend_refuse(k->out, CH_E_UPSTREAM_ERROR, 0, "This server's HTTP client is broken; see its log.");
	return CH_OK;
}

static int fail_on_purpose(struct openai_call *k)
{
	return ch_backend_refuse(k->out, CH_E_UPSTREAM_ERROR, 0, "The backend failed on purpose (a fault was injected).");
}

static void on_timer(void *data)
{
	struct openai_call *k = data;

	switch (k->due) {
	case OPENAI_FAULT_DUE:
		if (k->fault ? fail_on_purpose(k) == CH_OK : start(k) == CH_OK)
			finish(k);
		break;
	case OPENAI_FIRST_DUE:
		stop(k, CH_E_UPSTREAM_TIMEOUT, ch_print(k->c, "The backend sent nothing of its answer within %lld ms.",
			(long long)k->request.first_byte_timeout_ms));
		let_go(k);
		break;
	case OPENAI_HELD_DUE:
		feed_held(k);
		break;
	case OPENAI_END_DUE:
		judge_events(k);
		finish(k);
		let_go(k);
		break;
	}
}

int ch_openai_submit(const struct ch_openai_upstream *up, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	struct ch_fault fault = { .size = sizeof(fault) };
	struct openai_call *k;
	bool faulty;

	if (!ch_backend_accept(svc, c, args, out))
		return CH_OK;
	k = openai_call_new(up, c, args, sink, out);
	if (!k)
		return CH_OK;
	k->outer = ticket;
	faulty = ch_fault(c, CH_S_VENDOR, &fault);
	k->fault = faulty && fault.fail;
	if (k->fault && fault.delay_ms <= 0)
		return fail_on_purpose(k);
	if (k->streams || (faulty && fault.delay_ms > 0)) {
		k->timer = ch_timer(ch_loop(c), on_timer, k);
		if (!k->timer)
			return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	}
	if (faulty && fault.delay_ms > 0) {
		k->due = OPENAI_FAULT_DUE;
		ch_timer_set(k->timer, fault.delay_ms);
	} else if (start(k) == CH_OK) {
		if (k->timer)
			ch_timer_free(k->timer);
		return CH_OK;
	}
	out->call = k;
	return CH_AGAIN;
}

void ch_openai_go_on(const struct ch_openai_upstream *up, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct openai_call *k = out->call;

	(void)up;
	if (!k)
		return;
	k->went_on = true;
	if (!k->paused)
		return;
	k->paused = false;
	if (k->held) {
		k->due = OPENAI_HELD_DUE;
		ch_timer_set(k->timer, 0);
	} else {
		http_of(k)->go_on(k->up->http, c, &k->http);
	}
}

void ch_openai_cancel(const struct ch_openai_upstream *up, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct openai_call *k = out->call;

	(void)up, (void)c;
	if (!k)
		return;
	stop(k, CH_E_UPSTREAM_ERROR, "The question was given up.");
	let_go(k);
}
