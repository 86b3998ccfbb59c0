/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama.c - one call of Ollama's native API: what is asked, and what each piece of the answer means. A call lives in the ctx; all of it
 * happens on the ctx's loop.
 */
#include "ndjson.h"
#include "ollama.h"
#include "ollama_answer.h"
#include "ollama_request.h"

#define LINE_MOST ((size_t)1 << 20) /* bytes of one line of a stream */

struct call {
	struct ch_exchange x;              /* first: its functions get this pointer */
	const struct llama *llama;
	const struct ch_inference_args *args;
	struct ch_inference_sink sink;
	struct ndjson lines;
	struct ch_heap line, text, calls; /* a line that was cut; decoded text; calls in OpenAI's form */
	struct ch_heap list;            /* vectors, models */
	size_t nlist;
	size_t ncalls;                  /* calls of tools so far */
	uint64_t deltas;                /* pieces with text: a guess at the tokens of an answer that is cut */
	uint64_t salt;                  /* of their ids */
	char traceparent[56];
};

/* ---- failures ---- */

static bool invalid(struct call *k, const char *why)
{
	ch_backend_refuse(k->x.out, CH_E_UPSTREAM_INVALID, 0, ch_print(k->x.c, "The backend's answer cannot be read: %s.", why));
	return false;
}

static bool no_memory(struct call *k)
{
	ch_backend_refuse(k->x.out, CH_E_OVERLOADED, 0, NULL);
	return false;
}

/* Ollama says "model 'm' not found"; a 404 that says nothing of the kind is another server's. */
static void on_failed(struct ch_exchange *x, struct ch_str body)
{
	struct ollama_piece piece;
	const char *why;

	if (x->out->code != CH_E_NOT_FOUND)
		return;
	x->out->error = (struct ch_str){ NULL, 0 };
	if (x->out->model && ollama_read(body.p, body.n, &piece, &why) && piece.error.n)
		ch_backend_refuse(x->out, CH_E_MODEL_NOT_FOUND, 0,
			ch_print(x->c, "Ollama behind the backend %s has no model \"%s\": its operator gets it with `ollama pull %s`.",
				x->out->backend, x->out->model, x->out->model));
	else
		ch_backend_refuse(x->out, CH_E_UPSTREAM_INVALID, 0, ch_print(x->c,
			"The backend %s answered HTTP 404, as no Ollama does: its operator must look at base_url.", x->out->backend));
}

/* ---- pieces ---- */

/* Room for n bytes. False: no memory, *out has a code. */
static bool room(struct call *k, struct ch_heap *h, size_t n)
{
	return ch_heap_grow(h, NULL, 0, n) || no_memory(k);
}

/* The decoded text of a piece: in place, or in k->text. */
static bool decode(struct call *k, const struct ch_json_tok *t, struct ch_str *text)
{
	*text = (struct ch_str){ t->s, t->len };
	if (!t->escaped)
		return true;
	if (!room(k, &k->text, t->len))
		return false;
	*text = (struct ch_str){ k->text.p, ch_json_unescape(t, k->text.p) };
	return true;
}

/* The calls of a piece in OpenAI's form, in k->calls. */
static bool convert(struct call *k, struct ch_str calls, bool stream, struct ch_str *to)
{
	struct ch_jw w;

	*to = (struct ch_str){ NULL, 0 };
	if (!calls.n)
		return true;
	if (!room(k, &k->calls, calls.n + 256))
		return false;
	ch_jw_init(&w, k->calls.p, k->calls.cap);
	w.grow = ch_heap_grow;
	w.arg = &k->calls;
	if (!k->salt)
		k->salt = ch_random();
	if (!ollama_write_calls(&w, calls, stream, k->salt, &k->ncalls))
		return invalid(k, "message.tool_calls holds something that is no call of a function");
	if (w.failed)
		return no_memory(k);
	if (w.len > 2) /* more than [] */
		*to = (struct ch_str){ w.buf, w.len };
	return true;
}

/* What a last piece says about the whole. */
static void conclude(struct call *k, const struct ollama_piece *piece)
{
	struct ch_inference_result *out = k->x.out;

	out->finish_reason = k->ncalls ? "tool_calls" : piece->finish_reason;
	out->tokens_in = piece->tokens_in > 0 ? (uint64_t)piece->tokens_in : 0;
	out->tokens_out = piece->tokens_out >= 0 ? (uint64_t)piece->tokens_out : k->deltas;
	out->estimated = piece->tokens_in < 0 || piece->tokens_out < 0;
}

/* Reads an object of an answer. False: *out has a code. */
static bool read_piece(struct call *k, const char *p, size_t n, struct ollama_piece *piece)
{
	const char *why;

	if (!ollama_read(p, n, piece, &why))
		return invalid(k, why);
	if (!piece->error.n)
		return true;
	ch_exchange_said(&k->x, piece->error);
	return false;
}

/* One line of a stream. CH_OK, CH_AGAIN: no more for now; CH_DONE: it was the last; CH_ERROR: *out has a code. */
static int take_line(struct call *k, const struct ndjson_line *line)
{
	struct ch_inference_delta delta = { .size = sizeof(delta) };
	struct ch_inference_result *out = k->x.out;
	struct ollama_piece piece;
	int rc = CH_OK;

	if (!read_piece(k, line->p, line->n, &piece) || !decode(k, &piece.text, &delta.text) ||
		!convert(k, piece.calls, true, &delta.tool_calls))
		return CH_ERROR;
	ch_exchange_begun(&k->x); /* a line of a model that thinks counts, too: it is at work */
	if (piece.done)
		conclude(k, &piece);
	if (delta.text.n || delta.tool_calls.n) {
		if (!piece.done) {
			out->tokens_out = ++k->deltas;
			out->estimated = true;
		}
		if (!out->first_delta)
			out->first_delta = ch_now();
		rc = k->sink.delta(k->x.c, k->sink.arg, &delta);
	}
	return piece.done ? CH_DONE : rc == CH_AGAIN ? CH_AGAIN : CH_OK;
}

static int on_piece(struct ch_exchange *x, const char *p, size_t n, size_t *used)
{
	struct call *k = (struct call *)x;
	struct ndjson_line line;
	size_t at;

	for (;;) {
		enum ndjson_rc rc = ndjson_next(&k->lines, p + *used, n - *used, &at, &line);
		int went;

		*used += at;
		switch (rc) {
		case NDJSON_MORE:
			return CH_OK;
		case NDJSON_TOO_LONG:
			invalid(k, "a line of its stream has more than 1 MiB");
			return CH_ERROR;
		case NDJSON_NO_MEMORY:
			no_memory(k);
			return CH_ERROR;
		case NDJSON_LINE:
			went = take_line(k, &line);
			if (went != CH_OK || x->over)
				return went;
		}
	}
}

/* Of all that is no failure only a 200 brings an answer. */
static int on_head(struct ch_exchange *x)
{
	if (x->result.status == 200)
		return CH_OK;
	ch_backend_refuse(x->out, CH_E_UPSTREAM_INVALID, 0,
		ch_print(x->c, "The backend answered with HTTP %d, which is no answer to this request.", x->result.status));
	return CH_ERROR;
}

/* ---- whole answers ---- */

static void on_stream_end(struct ch_exchange *x, struct ch_str body)
{
	struct call *k = (struct call *)x;
	struct ndjson_line line;

	(void)body;
	if (x->whole)
		return;
	if (ndjson_end(&k->lines, &line) == NDJSON_LINE) {
		int rc = take_line(k, &line);

		if (rc == CH_DONE || rc == CH_ERROR || x->over)
			return;
	}
	ch_backend_refuse(
		x->out, CH_E_UPSTREAM_ERROR, 0, "The backend's stream ended before it said that it is done: the answer is not whole.");
}

static void on_answer(struct ch_exchange *x, struct ch_str body)
{
	struct call *k = (struct call *)x;
	struct ch_inference_result *out = x->out;
	struct ollama_piece piece;

	if (!read_piece(k, body.p, body.n, &piece) || !decode(k, &piece.text, &out->text) ||
		!convert(k, piece.calls, false, &out->tool_calls))
		return;
	if (piece.done)
		conclude(k, &piece);
	else
		invalid(k, "it does not say that it is done");
}

/* Room for one more element of `size` bytes in k->list. NULL: no memory. */
static void *next_of_list(struct call *k, size_t size)
{
	size_t need = (k->nlist + 1) * size, cap = k->list.cap;

	if (need > cap && !room(k, &k->list, cap ? cap * 2 : 64 * size))
		return NULL;
	return k->list.p + k->nlist++ * size;
}

static bool put_float(void *arg, float v)
{
	float *to = next_of_list(arg, sizeof(v));

	if (to)
		*to = v;
	return to;
}

static void on_vectors(struct ch_exchange *x, struct ch_str body)
{
	struct call *k = (struct call *)x;
	struct ch_inference_result *out = x->out;
	struct ollama_piece piece;
	const char *why;
	size_t n, dimensions;
	int64_t tokens;

	if (ollama_read_vectors(body.p, body.n, put_float, k, &n, &dimensions, &tokens, &why) && n == k->args->nmessages) {
		out->vectors = (const float *)(const void *)k->list.p;
		out->nvectors = n;
		out->dimensions = dimensions;
		out->tokens_in = tokens > 0 ? (uint64_t)tokens : 0;
		out->estimated = tokens < 0;
	} else if (!out->code && read_piece(k, body.p, body.n, &piece)) { /* it is no error either */
		invalid(k, why ? why : "it holds not as many vectors as there were inputs");
	}
}

/* ---- models ---- */

enum { MODELS_MOST = 2000 };

static const char latest[] = ":latest"; /* what Ollama adds to a name without a tag */

/* The name that the config knows this model by; n 0: it does not serve it. */
static struct ch_str served_as(const struct call *k, struct ch_str name)
{
	size_t n = sizeof(latest) - 1;

	if (ch_backend_rule(&k->llama->conf->backend, name))
		return name;
	if (name.n > n && !memcmp(name.p + name.n - n, latest, n)) {
		name.n -= n;
		if (ch_backend_rule(&k->llama->conf->backend, name))
			return name;
	}
	return (struct ch_str){ NULL, 0 };
}

static bool put_model(void *arg, const struct ollama_model *m)
{
	struct call *k = arg;
	struct ch_str id = served_as(k, (struct ch_str){ m->name.s, m->name.len });
	struct ch_model *to;

	if (m->name.escaped || k->nlist == MODELS_MOST)
		return true; /* no name of a model has anything to escape */
	if (!id.n)
		return true;
	to = next_of_list(k, sizeof(*to));
	if (to)
		*to = (struct ch_model){ .id = id, .owned_by = { k->x.out->backend, strlen(k->x.out->backend) }, .created = m->created };
	return to;
}

static void on_models(struct ch_exchange *x, struct ch_str body)
{
	struct call *k = (struct call *)x;
	const char *why;

	if (!ollama_read_tags(body.p, body.n, put_model, k, &why)) {
		if (why)
			invalid(k, why);
		return;
	}
	x->out->models = (const struct ch_model *)(const void *)k->list.p;
	x->out->nmodels = k->nlist;
}

/* {"version":"0.12.6"}: any object will do, but no error page of another server. */
static void on_version(struct ch_exchange *x, struct ch_str body)
{
	struct call *k = (struct call *)x;
	struct ollama_piece piece;

	read_piece(k, body.p, body.n, &piece);
}

/* ---- the call ---- */

/* Those of the config, and those of the ctx's trace if it has one. */
static bool set_fields(struct call *k)
{
	const struct llama *l = k->llama;
	struct ch_http_field trace[2], *fields;
	size_t n = ch_backend_trace(k->x.c, k->traceparent, trace);

	k->x.request.fields = l->fields;
	k->x.request.nfields = l->nfields;
	if (!n)
		return true;
	fields = ch_alloc(k->x.c, (l->nfields + n) * sizeof(*fields));
	if (!fields)
		return no_memory(k);
	memcpy(fields, l->fields, l->nfields * sizeof(*fields));
	memcpy(fields + l->nfields, trace, n * sizeof(*fields));
	k->x.request.fields = fields;
	k->x.request.nfields += n;
	return true;
}

static bool ask_for(struct call *k, const char *method, const char *path)
{
	struct ch_http_args *r = &k->x.request;
	char *url = ch_print(k->x.c, "%s%s", k->llama->base, path);

	if (!url)
		return no_memory(k);
	r->size = sizeof(*r);
	r->method = (struct ch_str){ method, strlen(method) };
	r->url = (struct ch_str){ url, strlen(url) };
	return set_fields(k);
}

static bool prepare(struct call *k)
{
	struct ch_exchange *x = &k->x;
	int op = k->args->op;

	if (op == CH_I_MODELS || op == CH_I_PROBE) {
		x->end = op == CH_I_MODELS ? on_models : on_version;
		return ask_for(k, "GET", op == CH_I_MODELS ? "/api/tags" : "/api/version");
	}
	x->end = op == CH_I_EMBEDDINGS ? on_vectors : x->streamed ? on_stream_end : on_answer;
	x->request.body = ollama_request(x->c, k->llama->conf, k->args, x->out->model, x->streamed, x->out);
	return x->request.body.p && ask_for(k, "POST", ollama_path(op));
}

int ollama_submit(const struct llama *llama, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	struct call *k;

	if (!ch_backend_accept(svc, c, args, out))
		return CH_OK;
	k = ch_alloc(c, sizeof(*k));
	if (!k)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	k->llama = llama;
	k->args = args;
	k->line.c = k->text.c = k->calls.c = k->list.c = c;
	k->lines.grow = ch_heap_grow;
	k->lines.arg = &k->line;
	k->lines.max_line = LINE_MOST;
	k->x.size = sizeof(k->x);
	k->x.http = llama->conf->http;
	k->x.c = c;
	k->x.out = out;
	k->x.ticket = ticket;
	k->x.secret = llama->conf->api_key;
	k->x.secret_fields = llama->extra;
	k->x.nsecret_fields = llama->openai.nfields;
	k->x.max_answer = (size_t)llama->conf->backend.max_answer;
	k->x.head = on_head;
	k->x.piece = on_piece;
	k->x.failed = on_failed;
	if (sink && (args->op == CH_I_CHAT || args->op == CH_I_COMPLETION)) {
		k->x.streamed = true;
		k->sink = *sink;
	}
	ch_backend_timeouts(args, &llama->conf->backend, k->x.streamed, &k->x.request);
	if (k->x.streamed)
		k->x.first_ms = k->x.request.first_byte_timeout_ms;
	return prepare(k) ? ch_exchange_begin(&k->x) : CH_OK;
}

void ollama_go_on(struct ch_inference_result *out)
{
	ch_exchange_go_on(out);
}

void ollama_cancel(struct ch_inference_result *out)
{
	ch_exchange_cancel(out);
}
