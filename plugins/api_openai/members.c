/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members.c - which members of a body are known, what each may be, and what each asks of a backend.
 *
 * CH_I_OTHER is for members of OpenAI's that change the answer and that the canonical fields do not hold: a backend of another dialect
 * would leave them out silently. What only helps the provider (user, metadata, store, service_tier, safety_identifier, prompt_cache_key),
 * parallel_tool_calls, and what is no member of OpenAI's (top_k, …) pass unread.
 */
#include "reader.h"

#define CHAT (1u << CH_I_CHAT)
#define COMPLETION (1u << CH_I_COMPLETION)
#define TEXT (CHAT | COMPLETION)
#define EMBEDDINGS (1u << CH_I_EMBEDDINGS)
#define PASS (1u << CH_I_PASS)
#define ALL (TEXT | EMBEDDINGS | PASS)

static void need(struct reader *r, unsigned what, bool when)
{
	if (when)
		r->out->args.needs |= what;
}

/* A member that a backend of another dialect would leave out; the first is named when it is refused. */
static void need_other(struct reader *r, const char *name, bool when)
{
	need(r, CH_I_OTHER, when);
	if (when && !r->out->args.other)
		r->out->args.other = name;
}

static bool wrong(struct reader *r, const char *name, const char *what)
{
	return api_refuse(r, name, "`%s` must be %s.", name, what);
}

/* ---- of all operations ---- */

/* A key of a fixed table, never a place: whatever it says, it is only compared with names of the config. */
static bool read_name(struct reader *r, const char *name, struct ch_str *out)
{
	bool good = r->tok.type == CH_JSON_STRING;

	if (good && !api_text(r, &r->tok, out))
		return false;
	good = good && out->n && out->n <= API_NAME_MAX;
	for (size_t i = 0; good && i < out->n; i++)
		good = out->p[i] > ' ' && out->p[i] <= '~';
	return good || api_refuse(r, name, "`%s` must be a name of 1 to %d printable ASCII characters without blanks.", name, API_NAME_MAX);
}

static bool read_model(struct reader *r, const char *name)
{
	struct ch_openai *o = &r->out->openai;

	o->model_at = r->tok.start;
	o->model_n = r->tok.end - r->tok.start;
	return read_name(r, name, &r->out->args.model);
}

static bool read_backend(struct reader *r, const char *name)
{
	return read_name(r, name, &r->out->args.backend);
}

static bool read_stream(struct reader *r, const char *name)
{
	return api_bool(r, name, &r->out->openai.stream);
}

static bool read_stream_options(struct reader *r, const char *name)
{
	struct ch_openai *o = &r->out->openai;
	bool seen = false;

	if (r->tok.type != CH_JSON_OBJECT)
		return wrong(r, name, "an object");
	o->stream_options_at = r->tok.start;
	for (;;) {
		bool usage;

		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_OBJECT_END)
			break;
		usage = API_IS(r, "include_usage");
		if (usage && seen)
			return api_twice(r, "stream_options.include_usage");
		seen = seen || usage;
		if (!api_next(r))
			return false;
		if (usage && r->tok.type != CH_JSON_NULL) {
			if (!api_bool(r, "stream_options.include_usage", &r->usage))
				return false;
		} else if (!api_skip(r)) {
			return false;
		}
	}
	o->stream_options_n = r->tok.end - o->stream_options_at;
	return true;
}

/* ---- sampling ---- */

static bool read_max_tokens(struct reader *r, const char *name)
{
	int64_t *max = &r->out->args.max_tokens, was = *max;
	bool zero = r->out->args.op == CH_I_COMPLETION; /* with echo: nothing is made, the prompt is judged */

	if (!api_int(r, name, zero ? 0 : 1, API_INT_MAX, max))
		return false;
	need_other(r, name, !*max);
	if (was && was < *max) /* of max_tokens and max_completion_tokens the less */
		*max = was;
	return true;
}

static bool read_temperature(struct reader *r, const char *name)
{
	return api_double(r, name, 0, 2, &r->out->args.temperature);
}

static bool read_top_p(struct reader *r, const char *name)
{
	return api_double(r, name, 0, 1, &r->out->args.top_p);
}

static bool read_seed(struct reader *r, const char *name)
{
	r->out->args.has_seed = true;
	return api_int(r, name, INT64_MIN, INT64_MAX, &r->out->args.seed);
}

static bool read_choices(struct reader *r, const char *name)
{
	int64_t n = 0;

	if (!api_int(r, name, 1, API_CHOICES_MAX, &n))
		return false;
	need(r, CH_I_MANY, n > 1);
	return true;
}

static bool read_penalty(struct reader *r, const char *name)
{
	double v = 0;

	if (!api_double(r, name, -2, 2, &v))
		return false;
	need_other(r, name, v != 0);
	return true;
}

static bool read_logit_bias(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_OBJECT)
		return wrong(r, name, "an object of token ids and numbers");
	if (!api_skip(r))
		return false;
	need_other(r, name, !api_empty(r));
	return true;
}

static bool read_logprobs(struct reader *r, const char *name)
{
	bool asked = false;
	int64_t n;

	if (r->out->args.op == CH_I_COMPLETION) {
		asked = true;
		if (!api_int(r, name, 0, API_CHOICES_MAX, &n))
			return false;
	} else if (!api_bool(r, name, &asked)) {
		return false;
	}
	need(r, CH_I_LOGPROBS, asked);
	return true;
}

static bool read_top_logprobs(struct reader *r, const char *name)
{
	int64_t n = 0;

	if (!api_int(r, name, 0, API_CHOICES_MAX, &n))
		return false;
	need(r, CH_I_LOGPROBS, n > 0);
	return true;
}

/* ---- tools, formats, media ---- */

/* An array of objects; true with *any: it holds some. */
static bool read_objects(struct reader *r, const char *name, bool *any)
{
	if (r->tok.type != CH_JSON_ARRAY)
		return wrong(r, name, "an array of objects");
	for (size_t i = 0;; i++) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return true;
		if (r->tok.type != CH_JSON_OBJECT)
			return api_refuse(r, api_path(r, name, "%s[%zu]", name, i), "`%s` must be an array of objects.", name);
		if (!api_skip(r))
			return false;
		*any = true;
	}
}

static bool read_tools(struct reader *r, const char *name)
{
	struct ch_openai *o = &r->out->openai;
	bool any = false;

	o->tools_at = r->tok.start;
	if (!read_objects(r, name, &any))
		return false;
	o->tools_n = r->tok.end - o->tools_at;
	need(r, CH_I_TOOLS, any);
	return true;
}

static bool read_functions(struct reader *r, const char *name)
{
	bool any = false;

	if (!read_objects(r, name, &any))
		return false;
	need(r, CH_I_TOOLS, any);
	return true;
}

/* tool_choice, function_call. What they say is for a backend that knows tools; `auto` and `none` are what each other one does by itself. */
static bool read_tool_choice(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_STRING && r->tok.type != CH_JSON_OBJECT)
		return wrong(r, name, "auto, none, required or an object");
	need(r, CH_I_TOOLS, r->tok.type == CH_JSON_OBJECT || (!API_IS(r, "auto") && !API_IS(r, "none")));
	return api_skip(r);
}

static bool read_format(struct reader *r, const char *name)
{
	struct ch_openai *o = &r->out->openai;
	bool typed = false;

	if (r->tok.type != CH_JSON_OBJECT)
		return wrong(r, name, "an object with `type`");
	o->format_at = r->tok.start;
	for (;;) {
		bool type;

		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_OBJECT_END)
			break;
		type = API_IS(r, "type");
		if (!api_next(r))
			return false;
		if (type) {
			if (r->tok.type != CH_JSON_STRING || typed)
				return wrong(r, "response_format.type", "a string, and be there once");
			typed = true;
			need(r, CH_I_FORMAT, !API_IS(r, "text"));
		} else if (!api_skip(r)) {
			return false;
		}
	}
	o->format_n = r->tok.end - o->format_at;
	return typed || wrong(r, "response_format.type", "there: text, json_object or json_schema");
}

static bool read_modalities(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_ARRAY)
		return wrong(r, name, "an array of strings");
	for (;;) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return true;
		if (r->tok.type != CH_JSON_STRING)
			return wrong(r, name, "an array of strings");
		need_other(r, name, !API_IS(r, "text"));
	}
}

/* prediction, audio, web_search_options: whatever they hold. */
static bool read_other_object(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_OBJECT)
		return wrong(r, name, "an object");
	need_other(r, name, true);
	return api_skip(r);
}

/* reasoning_effort, verbosity: OpenAI refuses them, too, where a model does not know them. */
static bool read_other_text(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_STRING)
		return wrong(r, name, "a string");
	need_other(r, name, true);
	return true;
}

/* ---- completions, embeddings ---- */

static bool read_suffix(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_STRING)
		return wrong(r, name, "a string");
	need_other(r, name, !api_empty(r));
	return true;
}

static bool read_echo(struct reader *r, const char *name)
{
	bool echo;

	if (!api_bool(r, name, &echo))
		return false;
	need_other(r, name, echo);
	return true;
}

static bool read_encoding(struct reader *r, const char *name)
{
	if (!API_IS(r, "float") && !API_IS(r, "base64"))
		return wrong(r, name, "float or base64");
	r->out->args.base64 = API_IS(r, "base64");
	return true;
}

static bool read_dimensions(struct reader *r, const char *name)
{
	int64_t n;

	need_other(r, name, true);
	return api_int(r, name, 1, API_INT_MAX, &n);
}

/* ---- the table: what most requests have comes first ---- */

struct member {
	const char *name;
	size_t n;
	unsigned ops;
	bool (*read)(struct reader *, const char *name);
};
#define ROW(name, ops, read) { name, sizeof(name) - 1, ops, read }

enum { BACKEND, MODEL, STREAM_OPTIONS };

static const struct member members[] = {
	[BACKEND] = ROW("backend", ALL, read_backend),
	[MODEL] = ROW("model", ALL, read_model),
	[STREAM_OPTIONS] = ROW("stream_options", TEXT, read_stream_options),
	ROW("messages", CHAT, api_messages),
	ROW("stream", TEXT | PASS, read_stream),
	ROW("temperature", TEXT, read_temperature),
	ROW("max_tokens", TEXT, read_max_tokens),
	ROW("max_completion_tokens", CHAT, read_max_tokens),
	ROW("tools", CHAT, read_tools),
	ROW("tool_choice", CHAT, read_tool_choice),
	ROW("response_format", CHAT, read_format),
	ROW("top_p", TEXT, read_top_p),
	ROW("stop", TEXT, api_stop),
	ROW("n", TEXT, read_choices),
	ROW("seed", TEXT, read_seed),
	ROW("presence_penalty", TEXT, read_penalty),
	ROW("frequency_penalty", TEXT, read_penalty),
	ROW("logprobs", TEXT, read_logprobs),
	ROW("top_logprobs", CHAT, read_top_logprobs),
	ROW("logit_bias", TEXT, read_logit_bias),
	ROW("modalities", CHAT, read_modalities),
	ROW("audio", CHAT, read_other_object),
	ROW("prediction", CHAT, read_other_object),
	ROW("web_search_options", CHAT, read_other_object),
	ROW("functions", CHAT, read_functions),
	ROW("function_call", CHAT, read_tool_choice),
	ROW("reasoning_effort", CHAT, read_other_text),
	ROW("verbosity", CHAT, read_other_text),
	ROW("prompt", COMPLETION, api_prompt),
	ROW("best_of", COMPLETION, read_choices),
	ROW("suffix", COMPLETION, read_suffix),
	ROW("echo", COMPLETION, read_echo),
	ROW("input", EMBEDDINGS, api_input),
	ROW("encoding_format", EMBEDDINGS, read_encoding),
	ROW("dimensions", EMBEDDINGS, read_dimensions),
};
#define NMEMBERS (sizeof(members) / sizeof(members[0]))
_Static_assert(NMEMBERS <= 64, "a bit each in struct reader");

/* Which member is the key at hand; NMEMBERS: one that passes. */
static size_t which(const struct reader *r)
{
	unsigned op = 1u << r->out->args.op;

	for (size_t i = 0; i < NMEMBERS; i++)
		if ((members[i].n == r->tok.len || r->tok.escaped) && members[i].ops & op && api_is(r, members[i].name, members[i].n))
			return i;
	return NMEMBERS;
}

/* ---- the body ---- */

/*
 * Takes a member out of the body, with one comma: the one before it, or the one behind it where nothing stays before it. Blanks around
 * it stay.
 */
static void cut(struct reader *r, size_t key, size_t end, bool first)
{
	struct api_request *q = r->out;
	size_t at = key;

	if (first) {
		size_t i = end;

		while (i < r->body.n && strchr(" \t\r\n", r->body.p[i]))
			i++;
		end = i < r->body.n && r->body.p[i] == ',' ? i + 1 : end;
	} else {
		while (r->body.p[--at] != ',')
			;
	}
	q->splice = (struct ch_splice){ .at = at, .n = end - at };
	q->openai.splices = &q->splice;
	q->openai.nsplices = 1;
}

/* Whoever puts a model or stream_options into the body puts it in the place of a null. */
static void note_null(struct reader *r, size_t member)
{
	if (member == MODEL)
		r->out->openai.model_at = r->tok.start;
	else if (member == STREAM_OPTIONS)
		r->out->openai.stream_options_at = r->tok.start;
}

/* All members; *kept: how many stay in the body. */
static bool read_members(struct reader *r, size_t *kept)
{
	for (;;) {
		size_t i, key;

		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_OBJECT_END)
			return true;
		i = which(r);
		key = r->tok.start;
		if (i < NMEMBERS) {
			if (r->seen & 1ull << i)
				return api_twice(r, members[i].name);
			r->seen |= 1ull << i;
		}
		if (!api_next(r))
			return false;
		if (i == NMEMBERS ? !api_skip(r) : r->tok.type != CH_JSON_NULL && !members[i].read(r, members[i].name))
			return false;
		if (r->tok.type == CH_JSON_NULL)
			note_null(r, i);
		if (i == BACKEND)
			cut(r, key, r->tok.end, !*kept);
		else
			++*kept;
	}
}

/* What no member says alone. */
static bool whole(struct reader *r, size_t kept)
{
	struct api_request *q = r->out;

	q->openai.usage = q->openai.stream && r->usage;
	if (q->args.op == CH_I_PASS)
		return kept || api_refuse(r, NULL, "Nothing is asked: the body has no member for the backend.");
	if (q->args.nmessages)
		return true;
	const char *name = q->args.op == CH_I_CHAT ? "messages" : q->args.op == CH_I_COMPLETION ? "prompt" : "input";
	return api_refuse(r, name, "`%s` is missing; nothing is asked.", name);
}

bool api_read(struct ch_ctx *c, int op, struct ch_str body, struct api_request *out, struct api_fault *fault)
{
	struct reader r = { .c = c, .body = body, .out = out, .fault = fault };
	size_t kept = 0;

	out->args.size = sizeof(out->args);
	out->args.op = op;
	out->args.temperature = out->args.top_p = -1;
	out->args.openai = &out->openai;
	out->openai.size = sizeof(out->openai);
	out->openai.body = body;
	ch_json_init(&r.j, body.p, body.n, API_JSON_DEPTH, API_JSON_TOKENS);
	if (!body.n)
		return api_refuse(&r, NULL, "The body is empty; send a JSON object.");
	if (!api_next(&r))
		return false;
	if (r.tok.type != CH_JSON_OBJECT)
		return api_refuse(&r, NULL, "The body must be a JSON object.");
	/* The last token is the end: nothing but blanks may follow the object. */
	return read_members(&r, &kept) && api_next(&r) && whole(&r, kept);
}
