/* SPDX-License-Identifier: MIT */
/* inference_judge.c - what came of a call, beside what should. */
#include <math.h>
#include <stdio.h>

#include <chimera/kit/json.h>

#include "inference_run.h"

enum { EARLY = 10 }; /* milliseconds that a timeout may come before its time: clocks of loops are coarse */
#define ALL_OPS ((1u << (CH_I_PROBE + 1)) - 2)
#define ALL_NEEDS (CH_I_OTHER * 2 - 1)

/* ---- complaints ---- */

CH_PRINTF_(4, 0) static size_t note(char *notes, size_t noted, size_t room, const char *fmt, va_list ap)
{
	char text[300];

	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	if (room - noted < sizeof(text) + 4)
		return noted; /* enough was said */
	return noted + (size_t)snprintf(notes + noted, room - noted, "# %s\n", text);
}

void complain(struct call *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	k->noted = note(k->notes, k->noted, sizeof(k->notes), fmt, ap);
	va_end(ap);
}

void complain_run(struct run *r, const char *fmt, ...)
{
	va_list ap;

	r->failed = true;
	va_start(ap, fmt);
	r->noted = note(r->notes, r->noted, sizeof(r->notes), fmt, ap);
	va_end(ap);
}

/* ---- text ---- */

/* Whole UTF-8? A JSON string of it would be valid: the scanner looks at every sequence. */
static bool whole_utf8(struct ch_str s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

		if (!n || s.n - i < n)
			return false;
		for (size_t j = 1; j < n; j++)
			if (((unsigned char)s.p[i + j] & 0xc0) != 0x80)
				return false;
		if ((c == 0xe0 && (unsigned char)s.p[i + 1] < 0xa0) || (c == 0xed && (unsigned char)s.p[i + 1] > 0x9f) ||
			(c == 0xf0 && (unsigned char)s.p[i + 1] < 0x90) || (c == 0xf4 && (unsigned char)s.p[i + 1] > 0x8f))
			return false;
		i += n;
	}
	return true;
}

/* Is it one JSON value of that type? */
static bool is_json(struct ch_str s, int type)
{
	struct ch_json_tok tok;
	struct ch_json j;

	if (!ch_json_valid(s.p, s.n, 0, 0, NULL, NULL))
		return false;
	ch_json_init(&j, s.p, s.n, 0, 0);
	return ch_json_next(&j, &tok) == type;
}

/* The type of an object's member; CH_JSON_END: it has none of that name. */
static int member_type(struct ch_str object, const char *name)
{
	struct ch_json_tok tok;
	struct ch_json j;

	ch_json_init(&j, object.p, object.n, 0, 0);
	ch_json_next(&j, &tok);
	while (ch_json_next(&j, &tok) == CH_JSON_KEY) {
		bool found = ch_json_eq(&tok, name);
		int type = ch_json_next(&j, &tok);

		if (found)
			return type;
		if (ch_json_skip(&j, &tok) < 0)
			break;
	}
	return CH_JSON_END;
}

/* ---- deltas ---- */

static void judge_frame(struct call *k, struct ch_str frame)
{
	k->frames++;
	if (!k->row->openai) {
		complain(k, "a delta has a frame in OpenAI's dialect, and the request had no args.openai");
		return;
	}
	if (!is_json(frame, CH_JSON_OBJECT)) {
		complain(k, "a frame is no JSON object: %.*s", (int)(frame.n < 120 ? frame.n : 120), frame.p);
		return;
	}
	if (member_type(frame, "usage") != CH_JSON_OBJECT)
		return;
	k->usages++;
	if (!k->row->usage)
		complain(k, "a frame tells the usage, and the client did not ask for it");
}

void judge_delta(struct call *k, const struct ch_inference_delta *d)
{
	if (d->size < sizeof(*d))
		complain(k, "a delta says that it has %zu bytes, expected %zu", d->size, sizeof(*d));
	if (d->frame.n)
		judge_frame(k, d->frame);
	if (d->text.n && !whole_utf8(d->text))
		complain(k, "the text of delta %u is no whole UTF-8", k->deltas);
	if (!d->frame.n && d->tool_calls.n && !is_json(d->tool_calls, CH_JSON_ARRAY))
		complain(k, "tool_calls of delta %u is no JSON array", k->deltas);
	if (!k->out->backend || !k->out->model)
		complain(k, "there is a delta, and *out does not say yet who answers");
}

/* ---- the end ---- */

static bool is_code(int code)
{
	return code >= CH_E_BAD_REQUEST && code <= CH_E_MODEL_NOT_FOUND;
}

static void judge_refusal(struct call *k)
{
	const struct ch_inference_result *o = k->out;
	struct ch_str detail = { o->detail, o->detail ? strlen(o->detail) : 0 };

	if (!is_code(o->code)) {
		complain(k, "code is %d, which is none of the table", o->code);
		return;
	}
	if (!detail.n || !whole_utf8(detail))
		complain(k, "there is no detail with %s, or it is no UTF-8", ch_code_info((enum ch_code)o->code)->name);
	if (o->retry_after_ms < 0)
		complain(k, "retry_after_ms is below 0");
	if (o->error.n && !is_json(o->error, CH_JSON_OBJECT))
		complain(k, "error is no JSON object");
}

static void judge_text(struct call *k)
{
	const struct ch_inference_result *o = k->out;

	if (!o->finish_reason && !o->json.n)
		complain(k, "finish_reason is NULL");
	if ((!o->tokens_in || !o->tokens_out) && !o->estimated)
		complain(k, "%llu and %llu tokens are no usage, and it is not said to be estimated", (unsigned long long)o->tokens_in,
			(unsigned long long)o->tokens_out);
	if (k->row->sink) {
		if (o->text.n || o->tool_calls.n || o->json.n)
			complain(k, "a streamed answer stands in *out, too");
		if (!k->deltas)
			complain(k, "an answer was streamed without a delta");
		if (k->row->usage && k->frames && !k->usages)
			complain(k, "the client asked for the usage, and no frame tells it");
		return;
	}
	if (!o->text.n && !o->tool_calls.n && !o->json.n)
		complain(k, "there is no answer");
	if (o->text.n && !whole_utf8(o->text))
		complain(k, "the text is no whole UTF-8");
	if (o->tool_calls.n && !is_json(o->tool_calls, CH_JSON_ARRAY))
		complain(k, "tool_calls is no JSON array");
}

static void judge_vectors(struct call *k)
{
	const struct ch_inference_result *o = k->out;

	if (o->json.n)
		return;
	if (o->nvectors != k->args.nmessages || !o->dimensions || !o->vectors) {
		complain(k, "expected %zu vectors, found %zu of %zu numbers", k->args.nmessages, o->nvectors, o->dimensions);
		return;
	}
	for (size_t i = 0; i < o->nvectors * o->dimensions; i++)
		if (!isfinite(o->vectors[i])) {
			complain(k, "number %zu of the vectors is not finite", i);
			return;
		}
}

static void judge_models(struct call *k)
{
	const struct ch_inference_result *o = k->out;

	for (size_t i = 0; i < o->nmodels; i++) {
		const struct ch_model *m = &o->models[i];
		struct ch_str id = m->id;

		if (!whole_utf8(m->owned_by) || m->created < 0 || m->context < 0)
			complain(k, "model %zu has an owner that is no UTF-8, or numbers below 0", i);
		if (!id.n || !whole_utf8(id) || memchr(id.p, '\n', id.n))
			complain(k, "model %zu has no name, or one that is no line of UTF-8", i);
		for (size_t j = 0; j < i; j++)
			if (o->models[j].id.n == id.n && !memcmp(o->models[j].id.p, id.p, id.n))
				complain(k, "model %zu has the name of model %zu", i, j);
	}
}

static void judge_answer(struct call *k)
{
	const struct ch_inference_result *o = k->out;
	int op = k->args.op;

	if (o->json.n && (!k->row->openai || !is_json(o->json, CH_JSON_OBJECT)))
		complain(k, "json is no object, or the request had no args.openai");
	if (op == CH_I_MODELS) {
		judge_models(k);
		return;
	}
	if (op == CH_I_PROBE)
		return;
	if (!o->backend || !o->model)
		complain(k, "it is not said who has answered, or with which model");
	if (op == CH_I_EMBEDDINGS)
		judge_vectors(k);
	else
		judge_text(k);
}

static void names_of(uint64_t codes, char *out, size_t n)
{
	size_t len = 0;

	*out = 0;
	for (int i = 1; i <= CH_E_MODEL_NOT_FOUND && len < n; i++)
		if (codes & CODE(i))
			len += (size_t)snprintf(out + len, n - len, "%s%s", len ? " or " : "", ch_code_info((enum ch_code)i)->name);
}

static const char *name_of(int code)
{
	return !code ? "an answer" : is_code(code) ? ch_code_info((enum ch_code)code)->name : "no code";
}

/* The row's own part. */
static void judge_row(struct call *k)
{
	const struct row *w = k->row;
	const struct ch_inference_result *o = k->out;
	char wanted[160];

	if (k->cancelled && !o->code)
		complain(k, "expected a code after a cancel, found an answer");
	if (!k->cancelled && w->codes && !(w->codes & CODE(is_code(o->code) ? o->code : 0))) {
		names_of(w->codes, wanted, sizeof(wanted));
		complain(k, "expected %s, found %s%s%s", w->codes == ANY_CODE ? "a code" : wanted, name_of(o->code), o->code ? ": " : "",
			o->code && o->detail ? o->detail : "");
	}
	if (!k->cancelled && !w->codes && o->code)
		complain(k, "expected an answer, found %s: %s", name_of(o->code), o->detail ? o->detail : "");
	if (w->least && (k->took / 1000 < w->least - EARLY || k->took / 1000 > w->least + conf_of(k->run)->slack))
		complain(k, "expected that it takes %lld ms, found %lld", (long long)w->least, (long long)(k->took / 1000));
	if (w->model == UNKNOWN && k->deltas)
		complain(k, "there were deltas before a refusal");
}

void judge(struct call *k, int rc)
{
	const struct ch_inference_result *o = k->out;

	if (rc != CH_OK && rc != CH_AGAIN)
		complain(k, "submit returned %d, expected CH_OK or CH_AGAIN", rc);
	if (rc == CH_OK && k->row->sink && !o->code && !k->deltas && op_of(k->row) != CH_I_MODELS)
		complain(k, "submit returned CH_OK for a stream, so that no delta can come");
	if (o->size != sizeof(*o))
		complain(k, "the result's size was changed");
	if (o->first_delta && (!k->deltas || o->first_delta < k->began || o->first_delta > ch_now()))
		complain(k, "first_delta is no time at which the first delta came");
	if (!o->first_delta && k->deltas)
		complain(k, "there were deltas, and first_delta is 0");
	if (o->code)
		judge_refusal(k);
	else if (rc == CH_OK || rc == CH_AGAIN)
		judge_answer(k);
	judge_row(k);
}

/* ---- about ---- */

void judge_about(struct run *r)
{
	const struct ch_inference_about *a = about_of(r);

	if (!a) {
		complain_run(r, "about returned NULL");
		return;
	}
	if (a != about_of(r))
		complain_run(r, "about returned another address the second time");
	if (a->size < sizeof(*a))
		complain_run(r, "it says that it has %zu bytes, expected %zu", a->size, sizeof(*a));
	if (!a->provider || !*a->provider)
		complain_run(r, "provider is empty");
	if (!a->ops || a->ops & ~ALL_OPS)
		complain_run(r, "ops is 0x%x: none, or bits of no op", a->ops);
	if (a->can & ~ALL_NEEDS)
		complain_run(r, "can is 0x%x: bits of no need", a->can);
}
