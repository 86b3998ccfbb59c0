/* SPDX-License-Identifier: MIT */
/* openai_answer.c - a whole answer of an OpenAI server: gathered, scanned once, told. */
#include <stdlib.h>

#include "openai_call.h"

/* ---- memory of the ctx, of any size ---- */

static void free_body(void *data)
{
	free(((struct openai_call *)data)->body);
}

/* Memory that lives as long as the ctx. NULL: none. */
static void *lasting(struct ch_ctx *c, size_t n)
{
	void *p;

	if (n <= OPENAI_ARENA_MOST)
		return ch_alloc(c, n);
	p = malloc(n);
	if (p && !ch_keep(c, free, p)) {
		free(p);
		return NULL;
	}
	return p;
}

/* ---- gathering ---- */

/* What the head says the body's length is; 0: nothing. */
static size_t said_length(const struct openai_call *k)
{
	struct ch_str s = ch_http_field(&k->http, "Content-Length");
	size_t n = 0;

	for (size_t i = 0; i < s.n && s.n < 12; i++)
		n = s.p[i] >= '0' && s.p[i] <= '9' ? n * 10 + (size_t)(s.p[i] - '0') : 0;
	return s.n < 12 && n <= k->most ? n : 0;
}

static bool begin_body(struct openai_call *k, size_t n)
{
	size_t length = said_length(k);

	if (length >= n && length <= OPENAI_ARENA_MOST) {
		k->body = ch_alloc(k->c, length);
		k->cap = length;
		return k->body;
	}
	k->cap = length > n ? length : n < 4096 ? 8192 : n * 2;
	k->body = malloc(k->cap);
	if (k->body && !ch_keep(k->c, free_body, k)) {
		free(k->body);
		k->body = NULL;
	}
	k->kept = k->body;
	return k->body;
}

static bool make_room(struct openai_call *k, size_t n)
{
	size_t want = k->nbody + n, cap = k->cap * 2 > want ? k->cap * 2 : want;
	char *more;

	if (want <= k->cap)
		return true;
	more = k->kept ? realloc(k->body, cap) : NULL; /* what has no keeper had its length told, and no more comes */
	if (more) {
		k->body = more;
		k->cap = cap;
	}
	return more;
}

bool openai_gather(struct openai_call *k, const char *p, size_t n)
{
	k->overflow = n > k->most - k->nbody;
	if (k->overflow)
		return false;
	k->no_memory = (!k->body && !begin_body(k, n)) || !make_room(k, n);
	if (k->no_memory)
		return false;
	memcpy(k->body + k->nbody, p, n);
	k->nbody += n;
	return true;
}

/* ---- reading ---- */

void openai_note(struct openai_call *k, const struct openai_frame *f)
{
	static const char *const reasons[] = { "stop", "length", "tool_calls", "content_filter", "function_call" };

	if (f->usage) {
		k->usage = true;
		k->out->tokens_in = f->tokens_in;
		k->out->tokens_out = f->tokens_out;
	}
	k->finished |= f->finished;
	if (f->finish.type != CH_JSON_STRING || k->out->finish_reason)
		return;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (ch_json_eq(&f->finish, reasons[i]))
			k->out->finish_reason = reasons[i];
	if (!k->out->finish_reason && f->finish.len < 64 && !f->finish.escaped)
		k->out->finish_reason = ch_dup(k->c, f->finish.s, f->finish.len);
}

static void invalid(struct openai_call *k, const char *why)
{
	ch_backend_refuse(k->out, CH_E_UPSTREAM_INVALID, 0, ch_print(k->c, "The backend's answer %s.", why));
}

static void keep_text(struct openai_call *k, const struct openai_frame *f)
{
	char *p;

	k->out->tool_calls = f->tool_calls;
	if (f->text.type != CH_JSON_STRING)
		return;
	k->out->text = (struct ch_str){ f->text.s, f->text.len };
	if (!f->text.escaped)
		return;
	p = lasting(k->c, f->text.len);
	if (!p) {
		ch_backend_refuse(k->out, CH_E_OVERLOADED, 0, NULL);
		return;
	}
	k->out->text = (struct ch_str){ p, ch_json_unescape(&f->text, p) };
}

static void keep_vectors(struct openai_call *k)
{
	struct ch_inference_result *out = k->out;
	const char *why;
	float *v = openai_vectors(k->body, k->nbody, &out->nvectors, &out->dimensions, &why);

	if (!v) {
		invalid(k, why);
	} else if (!ch_keep(k->c, free, v)) {
		free(v);
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	} else {
		out->vectors = v;
	}
}

static void read_embeddings(struct openai_call *k, const struct openai_frame *f)
{
	bool as_wanted = k->args->base64 ? !f->floats : !f->base64;

	if (!f->vectors)
		invalid(k, "has no embeddings");
	else if (k->args->openai && as_wanted)
		k->out->json = (struct ch_str){ k->body, k->nbody };
	else
		keep_vectors(k);
}

static void read_whole(struct openai_call *k)
{
	struct openai_frame f;

	if (!openai_frame_read(k->body, k->nbody, &f)) {
		invalid(k, f.why);
		return;
	}
	if (f.error.n) {
		upstream_said(k->c, f.error, &k->secrets, k->out);
		return;
	}
	openai_note(k, &f);
	if (k->args->op == CH_I_EMBEDDINGS)
		read_embeddings(k, &f);
	else if (!f.nchoices)
		invalid(k, "has no choices");
	else if (k->args->openai)
		k->out->json = (struct ch_str){ k->body, k->nbody };
	else
		keep_text(k, &f);
}

/* Of a route that is not known here: as it came; if it says a usage, that is noted. */
static void read_passed(struct openai_call *k)
{
	struct openai_frame f;

	k->out->json = (struct ch_str){ k->body, k->nbody };
	if (openai_frame_read(k->body, k->nbody, &f))
		openai_note(k, &f);
}

/* An event stream was wanted, and something else came with a good status. */
static void read_unexpected(struct openai_call *k)
{
	struct openai_frame f;

	if (openai_frame_read(k->body, k->nbody, &f) && f.error.n)
		upstream_said(k->c, f.error, &k->secrets, k->out);
	else
		invalid(k, "is no event stream, though one was asked for");
}

void openai_judge(struct openai_call *k)
{
	const struct ch_http_result *r = &k->http;
	bool good = r->status >= 200 && r->status < 300;

	if (k->args->op == CH_I_PROBE && good)
		return;
	if (good && (k->overflow || k->no_memory)) {
		if (k->overflow)
			invalid(k, "is larger than allowed (max_answer)");
		else
			ch_backend_refuse(k->out, CH_E_OVERLOADED, 0, NULL);
		return;
	}
	if (!good || r->error) {
		upstream_failed(k->c, r, (struct ch_str){ k->body, k->nbody }, &k->secrets, k->out);
		return;
	}
	if (k->taking == OPENAI_BYTES)
		return;
	if (k->sink.delta)
		read_unexpected(k);
	else if (k->args->op == CH_I_PASS)
		read_passed(k);
	else if (k->args->op == CH_I_MODELS)
		openai_models(k);
	else
		read_whole(k);
}
