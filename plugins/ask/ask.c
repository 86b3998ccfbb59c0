/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c - POST /v1/ask, the house's own contract: one question to one backend, answered whole or as server-sent events.
 *
 * Threads and ownership: everything on the request's loop; a call lives in the ctx's arena. The state is written at start and only read
 * after.
 */
#include <stdio.h>
#include <stdlib.h>

#include "call.h"
#include "request.h"

#define IN_ARENA ((size_t)32 << 10) /* up to here an answer is made in the ctx's memory, and copied as it leaves */

const char ask_too_late[] = "The backend did not finish before the request's deadline; ask for fewer tokens, or try again later.";
const char ask_broken[] = "The backend failed on its side; try again, and tell the operator if it stays so.";
static const char no_memory[] = "No memory is left for this request; send a shorter one or try again.";

enum { M_LATENCY, M_ERRORS };

/* What a backend or a client can get wrong here; everything else counts as "other". */
static const enum ch_code counted[] = {
	CH_E_BAD_REQUEST, CH_E_TOO_LARGE, CH_E_UNSUPPORTED_MEDIA, CH_E_MODEL_NOT_FOUND, CH_E_RATE_LIMITED, CH_E_OVERLOADED,
	CH_E_UNAVAILABLE, CH_E_UPSTREAM_AUTH, CH_E_UPSTREAM_RATE_LIMITED, CH_E_UPSTREAM_ERROR, CH_E_UPSTREAM_INVALID, CH_E_UPSTREAM_TIMEOUT,
	CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_BUSY,
};

void ask_count(struct ch_self *self, enum ch_code code)
{
	const struct ask_state *state = self->state;

	ch_add(state->errors[code > 0 && code < ASK_CODES ? code : 0], 1);
}

/* What the provider says of itself. */
static const struct ch_inference_about *about(const struct ask_call *call)
{
	return ((const struct ch_inference_v1 *)call->call.svc->vt)->about(call->call.svc);
}

void ask_note(struct ask_call *call)
{
	struct ch_facts *f = ch_facts(call->c);

	f->backend = call->result.backend;
	if (!f->backend && (!call->result.code || about(call)->conf)) /* of a router's refusals it says itself who was asked */
		f->backend = call->call.svc->id;
	f->model = call->result.model;
	f->tokens_in = call->result.tokens_in;
	f->tokens_out = call->result.tokens_out;
}

void ask_name(struct ask_call *call)
{
	char attempts[16];

	ask_note(call);
	if (ch_facts(call->c)->backend)
		ch_header_set(call->c, "X-Chimera-Backend", ch_facts(call->c)->backend);
	if (!call->result.attempts)
		return;
	snprintf(attempts, sizeof(attempts), "%u", call->result.attempts);
	ch_header_set(call->c, "X-Chimera-Attempts", attempts);
}

void ask_finish(struct ask_call *call, struct ask_answer *a)
{
	const struct ask_state *state = call->self->state;
	const struct ch_inference_result *r = &call->result;
	const struct ch_facts *f = ch_facts(call->c);

	ask_note(call);
	*a = (struct ask_answer){
		.backend = f->backend,
		.model = f->model,
		.finish_reason = r->finish_reason,
		.req_id = f->req_id,
		.tokens_in = r->tokens_in,
		.tokens_out = r->tokens_out,
		.latency_us = ch_now() - f->started,
	};
	ch_observe(state->latency, (double)a->latency_us / 1000);
}

int ask_gone(struct ask_call *call)
{
	const struct ask_state *state = call->self->state;

	ask_note(call);
	ch_add(state->gone, 1);
	return CH_DONE;
}

int ask_refuse(struct ask_call *call, enum ch_code code, const char *detail)
{
	int64_t retry = call->result.retry_after_ms;

	if (!retry && ch_code_info(code)->status == 503)
		retry = 1000;
	ask_name(call);
	ask_count(call->self, code);
	return ch_refuse_as(call->c, &(struct ch_refusal){
		.size = sizeof(struct ch_refusal),
		.code = code,
		.retry_after_ms = retry,
		.detail = detail ? detail : no_memory,
		.type = call->result.type,
		.more = call->result.more,
	});
}

/*
 * Sends what the writer holds in memory from malloc, from where it lies. The last byte goes by itself: the core keeps the end of a body of known
 * length until END has run, in a copy.
 */
static int respond_large(struct ask_call *call, struct ch_jw *w)
{
	struct ch_ctx *c = call->c;
	char last;

	if (w->failed) {
		free(w->buf);
		return ask_refuse(call, CH_E_OVERLOADED, no_memory);
	}
	last = w->buf[w->len - 1];
	ch_header_set(c, "Content-Type", "application/json");
	ch_length(c, w->len);
	ch_begin(c, 200);
	ch_write(c, w->buf, w->len - 1, free, w->buf);
	ch_write(c, &last, 1, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

static int answer(struct ask_call *call)
{
	const struct ch_inference_result *r = &call->result;
	struct ask_answer a;
	struct ch_jw w;

	if (r->code)
		return ask_refuse(call, r->code, r->detail);
	ask_name(call);
	ask_finish(call, &a);
	a.text = r->text.n ? r->text.p : "";
	a.ntext = r->text.n;
	if (r->text.n > IN_ARENA) {
		ch_jw_init(&w, NULL, 0);
		w.grow = ch_jw_heap;
		ask_write_answer(&w, &a);
		return respond_large(call, &w);
	}
	ch_jw_ctx(&w, call->c, r->text.n + r->text.n / 8 + 512);
	ask_write_answer(&w, &a);
	if (w.failed)
		return ask_refuse(call, CH_E_OVERLOADED, no_memory);
	return ch_respond(call->c, 200, "application/json", w.buf, w.len);
}

static int on_completed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ask_call *call = data;

	(void)c;
	(void)result;
	if (why == CH_READY)
		return answer(call);
	if (why == CH_TIMEOUT)
		return ask_refuse(call, CH_E_UPSTREAM_TIMEOUT, ask_too_late);
	return ask_gone(call);
}

static int complete(struct ask_call *call)
{
	call->call.fn = on_completed;
	int rc = ch_infer(call->c, &call->call);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	return rc == CH_OK ? answer(call) : ask_refuse(call, CH_E_UPSTREAM_ERROR, ask_broken);
}

static bool same(struct ch_str s, const char *text)
{
	return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static int on_ask(struct ch_self *self, struct ch_ctx *c)
{
	const struct ask_conf *conf = self->conf;
	struct ch_str type = ch_header(c, "Content-Type");
	struct ask_request q;
	struct ask_fault fault;
	struct ask_call *call;

	if (type.n && !ch_type_is_json(type)) {
		ask_count(self, CH_E_UNSUPPORTED_MEDIA);
		return ch_refuse(c, CH_E_UNSUPPORTED_MEDIA, 0, "The body is \"%.*s\"; send application/json.",
			(int)(type.n < 64 ? type.n : 64), type.p);
	}
	if (!ask_read(c, ch_body(c), (size_t)conf->max_messages, &q, &fault)) {
		ask_count(self, fault.code);
		return ch_refuse_param(c, fault.code, fault.param, "%s", fault.detail);
	}
	call = ch_alloc(c, sizeof(*call));
	if (!call) {
		ask_count(self, CH_E_OVERLOADED);
		return ch_refuse(c, CH_E_OVERLOADED, 0, "%s", no_memory);
	}
	call->self = self;
	call->c = c;
	call->call = (struct ch_inference_call){ .size = sizeof(call->call), .svc = conf->backend, .out = &call->result, .data = call };
	call->call.args = (struct ch_inference_args){
		.size = sizeof(call->call.args),
		.op = CH_I_CHAT,
		.model = q.model,
		.backend = q.backend,
		.messages = q.messages,
		.nmessages = q.nmessages,
		.max_tokens = q.max_tokens,
		.temperature = q.temperature,
		.top_p = -1,
	};
	call->result.size = sizeof(call->result);
	/* A router knows whom it may ask; a backend by itself is the only one there is. */
	if (q.backend.n && about(call)->conf && !same(q.backend, conf->backend->id)) {
		ask_count(self, CH_E_BAD_REQUEST);
		return ch_refuse_param(c, CH_E_BAD_REQUEST, "backend", "There is no backend \"%.*s\" to ask here; leave `backend` out, or send %s.",
			(int)q.backend.n, q.backend.p, conf->backend->id);
	}
	return q.stream ? ask_stream(call) : complete(call);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct ask_conf *conf = self->conf;
	struct ask_state *state = self->state;
	const char *labels[] = { conf->backend->id, "other" };
	unsigned other = ch_series(self, M_ERRORS, labels);

	(void)prev;
	state->latency = ch_series(self, M_LATENCY, labels);
	for (size_t i = 0; i < ASK_CODES; i++)
		state->errors[i] = other;
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
		labels[1] = ch_code_info(counted[i])->name;
		state->errors[counted[i]] = ch_series(self, M_ERRORS, labels);
	}
	labels[1] = "gone";
	state->gone = ch_series(self, M_ERRORS, labels);
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct ask_conf, backend, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "inference/1",
		.help = "Who answers: a router, or a backend"),
	CH_OPT(struct ask_conf, ping, DURATION, .def = "15s", .flags = CH_O_OFF, .min = "1s", .max = "1h",
		.help = "Streams: after so much silence a comment is sent, so that clients and proxies hold on; off: none"),
	CH_OPT(struct ask_conf, max_messages, INT, .def = "4096", .min = "1", .max = "32768", .help = "Most messages of one request"),
};

/* Both names and these buckets are what existing deployments know: milliseconds. */
static const double latency_buckets[] = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000 };

static const struct ch_metric metrics[] = {
	[M_LATENCY] = {
		.name = "ask_latency_ms",
		.kind = CH_HISTOGRAM,
		.labels = { { "backend", CH_L_CONFIG, NULL } },
		.buckets = latency_buckets,
		.nbuckets = sizeof(latency_buckets) / sizeof(latency_buckets[0]),
		.help = "Time from a question's first byte to its whole answer, in milliseconds",
	},
	[M_ERRORS] = {
		.name = "ask_errors_total",
		.kind = CH_COUNTER,
		.labels = { { "backend", CH_L_CONFIG, NULL }, { "error_type", CH_L_CONFIG, NULL } },
		.help = "Questions that got no whole answer, by error code; gone: the client left",
	},
};

static const struct ch_route routes[] = {
	{
		.method = "POST",
		.pattern = "/v1/ask",
		.cls = CH_PUBLIC,
		.body = CH_BODY_BUFFER,
		.idempotent = true,
		.ledger = "inference",
		.fn = on_ask,
		.request_schema = ask_request_schema,
		.response_schema = ask_response_schema,
		.summary = "Ask a model",
	},
};

static const struct ch_plugin ask = {
	.size = sizeof(ask),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "ask",
	.version = "0.2",
	.summary = "POST /v1/ask: a question, an answer",
	.conf_size = sizeof(struct ask_conf),
	.state_size = sizeof(struct ask_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(ask, ask)
