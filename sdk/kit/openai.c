/* SPDX-License-Identifier: MIT */
/*
 * openai.c - a call to an OpenAI server: an exchange (exchange.c) whose pieces are events. What is sent is made in openai_request.c, whole
 * answers are read in openai_answer.c, and what one event says in openai_frame.c.
 */
#include <strings.h>

#include "openai_call.h"

enum { ODD_ANSWER_MOST = 65536 }; /* bytes of an answer that is only wanted for what it says went wrong */

static struct openai_call *call_of(struct ch_exchange *x)
{
	return (struct openai_call *)x;
}

static int fail(struct openai_call *k, enum ch_code code, const char *detail)
{
	ch_backend_refuse(k->x.out, code, 0, detail);
	return CH_ERROR;
}

/* ---- pieces to the sink ---- */

/* What the exchange's `piece` returns. */
static int deliver(struct openai_call *k, const struct ch_inference_delta *d)
{
	struct ch_inference_result *out = k->x.out;
	int rc;

	ch_exchange_begun(&k->x);
	if (!out->first_delta)
		out->first_delta = ch_now();
	rc = k->sink.delta(k->x.c, k->sink.arg, d);
	return k->x.over ? CH_ERROR : rc == CH_AGAIN ? CH_AGAIN : CH_OK;
}

/* Room for n bytes that live until the next event. NULL: no memory. */
static char *scratch(struct openai_call *k, size_t n)
{
	return n <= sizeof(k->room) ? k->room : ch_heap_grow(&k->scratch_heap, NULL, 0, n);
}

/* The frame as the client is to see it: without the usage that it did not ask for, and on one line. p NULL: no memory. */
static struct ch_str shown(struct openai_call *k, const struct ch_sse_event *ev, const struct openai_frame *f)
{
	size_t cut = k->hide_usage ? f->cut_n : 0, n = ev->data_len - cut;
	bool lines = memchr(ev->data, '\n', ev->data_len);
	char *p;

	if (!cut && !lines)
		return (struct ch_str){ ev->data, n };
	p = scratch(k, ev->data_len);
	if (!p)
		return (struct ch_str){ NULL, 0 };
	memcpy(p, ev->data, cut ? f->cut_at : n);
	if (cut)
		memcpy(p + f->cut_at, ev->data + f->cut_at + cut, n - f->cut_at);
	for (size_t i = 0; lines && i < n; i++)
		if (p[i] == '\n') /* of an event with several data lines: in JSON a blank between tokens, like any other */
			p[i] = ' ';
	return (struct ch_str){ p, n };
}

static int deliver_frame(struct openai_call *k, const struct ch_sse_event *ev, const struct openai_frame *f)
{
	struct ch_inference_delta d = { .size = sizeof(d) };

	if (k->args->openai) {
		d.frame = shown(k, ev, f);
		return d.frame.p ? deliver(k, &d) : fail(k, CH_E_OVERLOADED, NULL);
	}
	d.tool_calls = f->tool_calls;
	if (f->text.type == CH_JSON_STRING)
		d.text = (struct ch_str){ f->text.s, f->text.len };
	if (f->text.escaped) {
		char *p = scratch(k, f->text.len);

		if (!p)
			return fail(k, CH_E_OVERLOADED, NULL);
		d.text = (struct ch_str){ p, ch_json_unescape(&f->text, p) };
	}
	return d.text.n || d.tool_calls.n ? deliver(k, &d) : CH_OK;
}

/* ---- 404 and 405 ---- */

/* What servers say of a route, and not of a model: OpenAI, llama.cpp, Azure, FastAPI. */
static bool is_about_the_route(const char *said)
{
	static const char *const words[] = { "Invalid URL", "File Not Found", "Resource not found", "Not Found", "Method Not Allowed" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strncasecmp(said, words[i], strlen(words[i])))
			return true;
	return false;
}

/* Was it the caller's own key that the server did not like? */
static bool refuses_the_caller(struct ch_exchange *x)
{
	struct ch_inference_result *out = x->out;

	if (out->code != CH_E_UPSTREAM_AUTH || !call_of(x)->up->callers_key)
		return false;
	out->error = (struct ch_str){ NULL, 0 };
	ch_backend_refuse(out, CH_E_FORBIDDEN, 0, ch_print(x->c, "The backend %s refused your own token (HTTP %d): sign in to it anew.", out->backend,
		x->result.status));
	return true;
}

static void on_pass_failed(struct ch_exchange *x, struct ch_str body)
{
	(void)body;
	refuses_the_caller(x);
}

/*
 * The routes we ask for are there on each server of this protocol. So a 404 is about the model, if it says anything; else we ask the wrong
 * place, which no client can mend.
 */
static void on_failed(struct ch_exchange *x, struct ch_str body)
{
	const struct openai_call *k = call_of(x);
	struct ch_inference_result *out = x->out;
	int status = x->result.status;
	struct openai_frame f;

	if (refuses_the_caller(x))
		return;
	if (out->code == CH_E_NOT_FOUND && openai_frame_read(body.p, body.n, &f) && f.error.n && !is_about_the_route(out->detail)) {
		out->code = k->args->op == CH_I_MODELS || k->args->op == CH_I_PROBE ? CH_E_UPSTREAM_INVALID : CH_E_MODEL_NOT_FOUND;
	} else if (out->code == CH_E_NOT_FOUND || status == 405) {
		out->error = (struct ch_str){ NULL, 0 };
		ch_backend_refuse(out, CH_E_UPSTREAM_INVALID, 0,
			ch_print(x->c, "The backend %s answered HTTP %d, as no server of this protocol does: its operator must look at base_url.",
				out->backend, status));
		out->reason = ch_print(x->c, "%.*s answered HTTP %d: look at base_url, which is what stands before /chat/completions and as a "
			"rule ends in /v1", (int)x->request.url.n, x->request.url.p, status);
	}
}

/* ---- events ---- */

static bool is_done(const struct ch_sse_event *ev)
{
	return ev->data_len >= 6 && !memcmp(ev->data, "[DONE]", 6);
}

static bool is_error(const struct ch_sse_event *ev)
{
	return ev->name_len == 5 && !memcmp(ev->name, "error", 5);
}

static int on_event(struct openai_call *k, const struct ch_sse_event *ev)
{
	struct ch_inference_result *out = k->x.out;
	struct openai_frame f;

	if (!ev->data)
		return CH_OK;
	k->done = is_done(ev);
	if (k->done)
		return CH_DONE;
	if (!openai_frame_read(ev->data, ev->data_len, &f))
		return fail(k, CH_E_UPSTREAM_INVALID, ch_print(k->x.c, "The backend sent an event that %s.", f.why));
	if (f.error.n || is_error(ev)) {
		ch_exchange_said(&k->x, f.error.n ? f.error : (struct ch_str){ ev->data, ev->data_len });
		return CH_ERROR;
	}
	openai_note(k, &f);
	if (f.usage && !f.nchoices && k->hide_usage)
		return CH_OK;
	if (out->estimated && f.text.type == CH_JSON_STRING && f.text.len)
		out->tokens_out++; /* as good a guess as any, until we are told */
	return deliver_frame(k, ev, &f);
}

static int on_events(struct ch_exchange *x, const char *p, size_t n, size_t *used)
{
	struct openai_call *k = call_of(x);
	struct ch_sse_event ev;
	enum ch_sse_rc rc;
	size_t took;

	while ((rc = ch_sse_next(&k->sse, p + *used, n - *used, &took, &ev)) == CH_SSE_EVENT) {
		int then = on_event(k, &ev);

		*used += took;
		if (then != CH_OK)
			return then;
	}
	*used = n;
	if (rc == CH_SSE_MORE)
		return CH_OK;
	if (k->sse.fault == CH_SSE_NO_MEMORY)
		return fail(k, CH_E_OVERLOADED, NULL);
	return fail(k, CH_E_UPSTREAM_INVALID, "The backend sent an event of more than 1 MiB.");
}

/*
 * The stream is over: was the answer whole? It was if the model said that it had finished: some servers leave [DONE] out, or are cut behind
 * that. Of several answers only [DONE] tells. [DONE] alone is none: a server that broke off may send it too.
 */
static bool is_whole(struct openai_call *k)
{
	struct ch_sse_event ev;

	if (!k->done && ch_sse_end(&k->sse, &ev) && ev.data)
		k->done = is_done(&ev); /* all of it but the empty line behind it */
	return k->finished && (k->done || !(k->args->needs & CH_I_MANY));
}

static void on_events_end(struct ch_exchange *x, struct ch_str body)
{
	struct openai_call *k = call_of(x);

	(void)body;
	if (!is_whole(k))
		fail(k, CH_E_UPSTREAM_ERROR, k->done ? "The backend ended its stream without a finish_reason: the answer is not whole."
			: "The backend's stream ended before its [DONE]: the answer is not whole.");
}

static void on_events_failed(struct ch_exchange *x, struct ch_str body)
{
	struct ch_inference_result *out = x->out;

	if (x->result.status / 100 == 2 && is_whole(call_of(x))) {
		out->code = 0;
		out->detail = NULL;
	} else {
		on_failed(x, body);
	}
}

/* An answer of another type than events says what went wrong, as a rule. */
static int on_events_head(struct ch_exchange *x)
{
	struct ch_str type = ch_http_field(&x->result, "Content-Type");

	if (type.n >= 17 && !strncasecmp(type.p, "text/event-stream", 17))
		return CH_OK;
	x->streamed = false;
	x->max_answer = ODD_ANSWER_MOST;
	x->end = openai_on_unexpected;
	return CH_OK;
}

/* ---- other routes, and probes ---- */

static int on_passed_head(struct ch_exchange *x)
{
	struct ch_str type = ch_http_field(&x->result, "Content-Type");

	x->out->content_type = ch_dup(x->c, type.p, type.n);
	return x->out->content_type ? CH_OK : fail(call_of(x), CH_E_OVERLOADED, NULL);
}

static int on_bytes(struct ch_exchange *x, const char *p, size_t n, size_t *used)
{
	const struct ch_inference_delta d = { .size = sizeof(d), .frame = { p + *used, n - *used } };

	if (!d.frame.n)
		return CH_OK; /* all was taken before the sink took its AGAIN back */
	*used = n;
	return deliver(call_of(x), &d);
}

static int on_nothing(struct ch_exchange *x, const char *p, size_t n, size_t *used)
{
	(void)x, (void)p;
	*used = n;
	return CH_OK;
}

static void on_end(struct ch_exchange *x, struct ch_str body)
{
	(void)x, (void)body;
}

/* ---- the call ---- */

/* How the answer is taken. */
static void choose(struct openai_call *k)
{
	struct ch_exchange *x = &k->x;

	x->streamed = k->sink.delta || k->args->op == CH_I_PROBE;
	x->end = x->streamed ? on_end : openai_on_whole;
	x->failed = k->args->op == CH_I_PASS ? on_pass_failed : on_failed;
	if (k->events) {
		x->head = on_events_head;
		x->piece = on_events;
		x->end = on_events_end;
		x->failed = on_events_failed;
		ch_sse_init(&k->sse, NULL, 0, 0);
		k->sse.grow = ch_heap_grow;
		k->sse.arg = &k->events_heap;
	} else if (k->args->op == CH_I_PASS) {
		x->head = on_passed_head;
		x->piece = on_bytes;
		if (!x->streamed)
			x->end = openai_on_passed;
	} else if (k->args->op == CH_I_MODELS) {
		x->end = openai_on_models;
	} else {
		x->piece = on_nothing;
	}
}

int ch_openai_submit(const struct ch_openai_upstream *up, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	bool spoken = args->op == CH_I_CHAT || args->op == CH_I_COMPLETION, streamed = args->openai && args->openai->stream;
	struct openai_call *k;

	if (!ch_backend_accept(svc, c, args, out))
		return CH_OK;
	if (spoken && args->openai && streamed != (sink != NULL))
		return ch_backend_refuse(out, CH_E_INTERNAL, 0,
			"The request asks for a stream and its answer is wanted whole, or the other way round.");
	k = ch_alloc(c, sizeof(*k));
	if (!k)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	k->up = up;
	k->args = args;
	if (sink)
		k->sink = *sink;
	k->events = sink && spoken;
	k->events_heap.c = k->scratch_heap.c = c;
	k->x.size = sizeof(k->x);
	k->x.http = up->http;
	k->x.c = c;
	k->x.out = out;
	k->x.ticket = ticket;
	k->x.secret = up->api_key;
	k->x.secret_fields = up->fields;
	k->x.nsecret_fields = up->nfields;
	k->x.max_answer = (size_t)up->conf->max_answer;
	out->estimated = true;
	choose(k);
	if (!openai_request(k, out->model))
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	return ch_exchange_begin(&k->x);
}

void ch_openai_go_on(const struct ch_openai_upstream *up, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)up, (void)c;
	ch_exchange_go_on(out);
}

void ch_openai_cancel(const struct ch_openai_upstream *up, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)up, (void)c;
	ch_exchange_cancel(out);
}
