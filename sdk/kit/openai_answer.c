/* SPDX-License-Identifier: MIT */
/* openai_answer.c - a whole answer of an OpenAI server: scanned once, told as it came or taken apart. */
#include <stdlib.h>

#include "openai_call.h"

static struct openai_call *call_of(struct ch_exchange *x)
{
	return (struct openai_call *)x;
}

static void invalid(struct openai_call *k, const char *why)
{
	ch_backend_refuse(k->x.out, CH_E_UPSTREAM_INVALID, 0, ch_print(k->x.c, "The backend's answer %s.", why));
}

void openai_note(struct openai_call *k, const struct openai_frame *f)
{
	static const char *const reasons[] = { "stop", "length", "tool_calls", "content_filter", "function_call" };
	struct ch_inference_result *out = k->x.out;

	if (f->usage) {
		out->estimated = false;
		out->tokens_in = f->tokens_in;
		out->tokens_out = f->tokens_out;
	}
	k->finished |= f->finished;
	if (f->finish.type != CH_JSON_STRING || out->finish_reason)
		return;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (ch_json_eq(&f->finish, reasons[i]))
			out->finish_reason = reasons[i];
	if (!out->finish_reason && f->finish.len < 64 && !f->finish.escaped)
		out->finish_reason = ch_dup(k->x.c, f->finish.s, f->finish.len);
}

static void keep_text(struct openai_call *k, const struct openai_frame *f)
{
	struct ch_inference_result *out = k->x.out;
	char *p;

	out->tool_calls = f->tool_calls;
	if (f->text.type != CH_JSON_STRING)
		return;
	out->text = (struct ch_str){ f->text.s, f->text.len };
	if (!f->text.escaped)
		return;
	p = f->text.len <= sizeof(k->room) ? k->room : ch_heap_grow(&k->scratch_heap, NULL, 0, f->text.len);
	if (p)
		out->text = (struct ch_str){ p, ch_json_unescape(&f->text, p) };
	else
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
}

static void keep_vectors(struct openai_call *k, struct ch_str body)
{
	struct ch_inference_result *out = k->x.out;
	const char *why;
	float *v = openai_vectors(body.p, body.n, &out->nvectors, &out->dimensions, &why);

	if (!v) {
		invalid(k, why);
	} else if (!ch_keep(k->x.c, free, v)) {
		free(v);
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	} else {
		out->vectors = v;
	}
}

static void take_embeddings(struct openai_call *k, struct ch_str body, const struct openai_frame *f)
{
	bool as_wanted = k->args->base64 ? !f->floats : !f->base64;

	if (!f->vectors)
		invalid(k, "has no embeddings");
	else if (k->args->openai && as_wanted)
		k->x.out->json = body;
	else
		keep_vectors(k, body);
}

void openai_on_whole(struct ch_exchange *x, struct ch_str body)
{
	struct openai_call *k = call_of(x);
	struct openai_frame f;

	if (!openai_frame_read(body.p, body.n, &f)) {
		invalid(k, f.why);
		return;
	}
	if (f.error.n) {
		ch_exchange_said(x, f.error);
		return;
	}
	openai_note(k, &f);
	if (k->args->op == CH_I_EMBEDDINGS)
		take_embeddings(k, body, &f);
	else if (!f.nchoices)
		invalid(k, "has no choices");
	else if (k->args->openai)
		x->out->json = body;
	else
		keep_text(k, &f);
}

/* Of a route that is not known here: as it came; if it says a usage, that is noted. */
void openai_on_passed(struct ch_exchange *x, struct ch_str body)
{
	struct openai_frame f;

	x->out->json = body;
	if (openai_frame_read(body.p, body.n, &f))
		openai_note(call_of(x), &f);
}

void openai_on_unexpected(struct ch_exchange *x, struct ch_str body)
{
	struct openai_frame f;

	if (openai_frame_read(body.p, body.n, &f) && f.error.n)
		ch_exchange_said(x, f.error);
	else
		invalid(call_of(x), "is no event stream, though one was asked for");
}
