/* SPDX-License-Identifier: MIT */
/*
 * openai_body.c - the JSON of a request in OpenAI's dialect: the client's own bytes with few changed, or made of the canonical fields.
 */
#include <chimera/backend.h>
#include <chimera/json.h>

/* ---- the client's own bytes ---- */

enum { ARENA_MOST = 32768 }; /* larger bodies lie outside of the arena: one image may be as large as all of that */

/* The heap of a body that may be so large. NULL: no memory. */
static struct ch_heap *heap_for(struct ch_ctx *c)
{
	struct ch_heap *h = ch_alloc(c, sizeof(*h));

	if (h)
		h->c = c;
	return h;
}

enum { CHANGES_MOST = 4 }; /* of ours, beside the splices: the model, stream_options, each replaced or put in */

/* What changes, in order. */
struct changes {
	struct ch_splice own[CHANGES_MOST];
	size_t nown;
};

static void change(struct changes *ch, size_t at, size_t n, struct ch_str with)
{
	size_t i = ch->nown++;

	while (i && ch->own[i - 1].at > at) {
		ch->own[i] = ch->own[i - 1];
		i--;
	}
	ch->own[i] = (struct ch_splice){ at, n, with };
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind the first bracket. */
static size_t inside(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && blank(p[i]))
		i++;
	return i < n ? i + 1 : n;
}

static bool is_spliced(const struct ch_openai *o, size_t at)
{
	for (size_t i = 0; i < o->nsplices; i++)
		if (at >= o->splices[i].at && at < o->splices[i].at + o->splices[i].n)
			return true;
	return false;
}

/*
 * A member that has no value gets one: in place of its null (0: it is not there), unless that goes anyway, or in front of all others.
 * False: no memory.
 */
static bool put_member(struct ch_ctx *c, struct changes *ch, const struct ch_openai *o, size_t null, const char *quoted,
	struct ch_str value)
{
	struct ch_str body = o->body;
	size_t at = inside(body.p, body.n), i = at;
	const char *text;

	if (null && !is_spliced(o, null)) {
		change(ch, null, 4, value);
		return true;
	}
	while (i < body.n && blank(body.p[i]))
		i++;
	text = ch_print(c, "%s:%.*s%s", quoted, (int)value.n, value.p, i < body.n && body.p[i] == '}' ? "" : ",");
	if (text)
		change(ch, at, 0, (struct ch_str){ text, strlen(text) });
	return text;
}

/* The name as JSON. p NULL: no memory. */
static struct ch_str quoted_model(struct ch_ctx *c, const char *model)
{
	struct ch_jw w;

	ch_jw_ctx(&w, c, strlen(model) + 16);
	ch_jw_cstr(&w, model);
	return w.failed ? (struct ch_str){ NULL, 0 } : (struct ch_str){ w.buf, w.len };
}

static bool same_text(struct ch_str json, const char *text)
{
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, json.p, json.n, 0, 0);
	return ch_json_next(&j, &t) == CH_JSON_STRING && ch_json_eq(&t, text);
}

static bool change_model(struct ch_ctx *c, struct changes *ch, const struct ch_inference_args *args, const char *model)
{
	const struct ch_openai *o = args->openai;
	struct ch_str is = { o->body.p + o->model_at, o->model_n }, value;

	if (!model || (is.n && same_text(is, model)))
		return true;
	if (!is.n && args->op == CH_I_PASS)
		return true; /* not every route has one */
	value = quoted_model(c, model);
	if (!value.p)
		return false;
	if (!is.n)
		return put_member(c, ch, o, o->model_at, "\"model\"", value);
	change(ch, o->model_at, o->model_n, value);
	return true;
}

/* include_usage goes into the options that are there; what is beside it stays. */
static void change_options(struct changes *ch, const struct ch_openai *o)
{
	struct ch_str options = { o->body.p + o->stream_options_at, o->stream_options_n };
	struct ch_json j;
	struct ch_json_tok key, t;
	bool any = false, there = false;

	ch_json_init(&j, options.p, options.n, 0, 0);
	if (ch_json_next(&j, &t) != CH_JSON_OBJECT)
		return; /* the upstream will say what is wrong with it */
	while (ch_json_next(&j, &key) == CH_JSON_KEY) {
		any = true;
		ch_json_next(&j, &t);
		if (ch_json_skip(&j, &t))
			return;
		if (!ch_json_eq(&key, "include_usage"))
			continue;
		there = true; /* should it stand there twice, servers differ in which of them counts */
		if (t.type != CH_JSON_TRUE && ch->nown < CHANGES_MOST)
			change(ch, o->stream_options_at + t.start, t.end - t.start, (struct ch_str)CH_STR("true"));
	}
	if (there)
		return;
	change(ch, o->stream_options_at + 1, 0, any ? (struct ch_str)CH_STR("\"include_usage\":true,")
		: (struct ch_str)CH_STR("\"include_usage\":true"));
}

static char *put(char *w, const char *p, size_t n)
{
	if (n)
		memcpy(w, p, n);
	return w + n;
}

/* The body with both lists of changes, each in order, none touching another. */
static struct ch_str spliced(struct ch_ctx *c, const struct ch_openai *o, const struct changes *ch)
{
	size_t n = o->body.n, at = 0, i = 0, k = 0;
	char *out, *w;

	for (size_t x = 0; x < o->nsplices; x++)
		n += o->splices[x].with.n - o->splices[x].n;
	for (size_t x = 0; x < ch->nown; x++)
		n += ch->own[x].with.n - ch->own[x].n;
	if (n > ARENA_MOST) {
		struct ch_heap *h = heap_for(c);

		out = h ? ch_heap_grow(h, NULL, 0, n) : NULL;
	} else {
		out = ch_alloc(c, n + 1);
	}
	w = out;
	if (!out)
		return (struct ch_str){ NULL, 0 };
	while (i < o->nsplices || k < ch->nown) {
		bool own = k < ch->nown && (i == o->nsplices || ch->own[k].at <= o->splices[i].at);
		const struct ch_splice *s = own ? &ch->own[k++] : &o->splices[i++];

		if (s->at < at)
			continue; /* it touches the one before, which nobody may make: the JSON stays what it is */
		w = put(w, o->body.p + at, s->at - at);
		w = put(w, s->with.p, s->with.n);
		at = s->at + s->n;
	}
	w = put(w, o->body.p + at, o->body.n - at);
	return (struct ch_str){ out, (size_t)(w - out) };
}

static struct ch_str forwarded(struct ch_ctx *c, const struct ch_inference_args *args, const char *model, bool usage)
{
	const struct ch_openai *o = args->openai;
	struct changes ch = { .nown = 0 };

	if (!change_model(c, &ch, args, model))
		return (struct ch_str){ NULL, 0 };
	if (usage && o->stream_options_n)
		change_options(&ch, o);
	else if (usage && !put_member(c, &ch, o, o->stream_options_at, "\"stream_options\"", (struct ch_str)CH_STR("{\"include_usage\":true}")))
		return (struct ch_str){ NULL, 0 };
	return ch.nown || o->nsplices ? spliced(c, o, &ch) : o->body;
}

/* ---- of the canonical fields ---- */

static void put_texts(struct ch_jw *w, const struct ch_inference_args *args)
{
	if (args->nmessages != 1)
		ch_jw_array(w);
	for (size_t i = 0; i < args->nmessages; i++) {
		const struct ch_message *m = &args->messages[i];

		if (m->json.n && !m->content.n)
			ch_jw_raw(w, m->json.p, m->json.n); /* token ids */
		else
			ch_jw_string(w, m->content.p, m->content.n);
	}
	if (args->nmessages != 1)
		ch_jw_array_end(w);
}

static void put_messages(struct ch_jw *w, const struct ch_inference_args *args)
{
	ch_jw_array(w);
	for (size_t i = 0; i < args->nmessages; i++) {
		const struct ch_message *m = &args->messages[i];

		if (m->json.n) {
			ch_jw_raw(w, m->json.p, m->json.n);
			continue;
		}
		ch_jw_object(w);
		ch_jw_key(w, "role");
		ch_jw_string(w, m->role.p, m->role.n);
		ch_jw_key(w, "content");
		ch_jw_string(w, m->content.p, m->content.n);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
}

static void put_sampling(const struct ch_openai_upstream *up, struct ch_jw *w, const struct ch_inference_args *args)
{
	if (args->max_tokens > 0) {
		ch_jw_key(w, up->max_tokens && args->op == CH_I_CHAT ? up->max_tokens : "max_tokens");
		ch_jw_int(w, args->max_tokens);
	}
	if (args->temperature >= 0) {
		ch_jw_key(w, "temperature");
		ch_jw_double(w, args->temperature);
	}
	if (args->top_p >= 0) {
		ch_jw_key(w, "top_p");
		ch_jw_double(w, args->top_p);
	}
	if (args->has_seed) {
		ch_jw_key(w, "seed");
		ch_jw_int(w, args->seed);
	}
	if (args->nstop) {
		ch_jw_key(w, "stop");
		ch_jw_array(w);
		for (size_t i = 0; i < args->nstop; i++)
			ch_jw_string(w, args->stop[i].p, args->stop[i].n);
		ch_jw_array_end(w);
	}
}

static void put_stream(struct ch_jw *w, bool usage)
{
	ch_jw_key(w, "stream");
	ch_jw_bool(w, true);
	if (!usage)
		return;
	ch_jw_key(w, "stream_options");
	ch_jw_object(w);
	ch_jw_key(w, "include_usage");
	ch_jw_bool(w, true);
	ch_jw_object_end(w);
}

static size_t likely_size(const struct ch_inference_args *args)
{
	size_t n = 512;

	for (size_t i = 0; i < args->nmessages; i++)
		n += args->messages[i].json.n + args->messages[i].role.n + args->messages[i].content.n * 9 / 8 + 32;
	return n;
}

static struct ch_str written(const struct ch_openai_upstream *up, struct ch_ctx *c, const struct ch_inference_args *args, const char *model,
	bool stream, bool usage)
{
	struct ch_jw w;

	if (likely_size(args) > ARENA_MOST) {
		ch_jw_init(&w, NULL, 0);
		w.grow = ch_heap_grow;
		w.arg = heap_for(c);
		if (!w.arg || !ch_heap_grow(w.arg, NULL, 0, likely_size(args)))
			return (struct ch_str){ NULL, 0 };
	} else {
		ch_jw_ctx(&w, c, likely_size(args));
	}
	ch_jw_object(&w);
	ch_jw_key(&w, "model");
	ch_jw_cstr(&w, model);
	if (args->op == CH_I_EMBEDDINGS) {
		ch_jw_key(&w, "input");
		put_texts(&w, args);
		ch_jw_key(&w, "encoding_format");
		ch_jw_cstr(&w, args->base64 ? "base64" : "float");
	} else {
		ch_jw_key(&w, args->op == CH_I_COMPLETION ? "prompt" : "messages");
		if (args->op == CH_I_COMPLETION)
			put_texts(&w, args);
		else
			put_messages(&w, args);
		put_sampling(up, &w, args);
		if (stream)
			put_stream(&w, usage);
	}
	ch_jw_object_end(&w);
	return w.failed ? (struct ch_str){ NULL, 0 } : (struct ch_str){ w.buf, w.len };
}

struct ch_str ch_openai_body(const struct ch_openai_upstream *up, struct ch_ctx *c, const struct ch_inference_args *args, const char *model,
	bool stream, bool usage)
{
	return args->openai ? forwarded(c, args, model, stream && usage) : written(up, c, args, model, stream, usage);
}
