/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_request.c - writes the JSON of /api/chat, /api/generate and /api/embed.
 *
 * Texts are the canonical ones. What they do not hold (calls of tools, images) is taken from the message as the client wrote it, byte by byte
 * where both dialects agree. Nothing that the client named is left out in silence: what Ollama has no word for is refused.
 */
#include <chimera/kit/json.h>

#include "heap.h"
#include "ollama_request.h"

#define CALLS 64 /* how many calls of tools are remembered to name the one that a "tool" message answers */

/* A request being written. */
struct request {
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct ch_inference_result *out; /* gets a code if it cannot be done */
	struct ch_jw w;
	size_t i;                        /* the message at hand */
	struct ch_str ids[CALLS], names[CALLS]; /* of calls that were seen, as they stand between their quotes */
	size_t ncalls;
};

/* A member of a message, as it stands in its JSON; n 0: not there, or null. */
struct members {
	struct ch_str content, calls, id, name;
	bool legacy; /* OpenAI's older form of a call: function_call */
};

/* The first reason is the one that is told. */
static bool refuse(struct request *r, const char *detail)
{
	if (!r->out->code)
		ch_backend_refuse(r->out, CH_E_BAD_REQUEST, 0, detail);
	return false;
}

static struct ch_str raw(const struct ch_json *j, const struct ch_json_tok *t)
{
	struct ch_str s = { j->p + t->start, t->end - t->start };

	return t->type == CH_JSON_NULL ? (struct ch_str){ NULL, 0 } : s;
}

static void put(struct request *r, const char *key, struct ch_str json)
{
	ch_jw_key(&r->w, key);
	ch_jw_raw(&r->w, json.p, json.n);
}

/* The decoded text of a JSON string, in memory of the ctx; p NULL: it is none, or no memory, and then there is a code. */
static struct ch_str decode(struct request *r, struct ch_str json)
{
	struct ch_json j;
	struct ch_json_tok t;
	struct heap *h;

	ch_json_init(&j, json.p, json.n, 0, 0);
	if (!json.n || ch_json_next(&j, &t) != CH_JSON_STRING)
		return (struct ch_str){ NULL, 0 };
	if (!t.escaped)
		return (struct ch_str){ t.s, t.len };
	h = heap_new(r->c);
	if (!h || !heap_grow(h, NULL, 0, t.len + 1)) {
		ch_backend_refuse(r->out, CH_E_OVERLOADED, 0, NULL);
		return (struct ch_str){ NULL, 0 };
	}
	return (struct ch_str){ h->p, ch_json_unescape(&t, h->p) };
}

/* ---- calls of tools ---- */

static void remember(struct request *r, struct ch_str id, struct ch_str name)
{
	if (!id.n)
		return;
	r->ids[r->ncalls % CALLS] = id;
	r->names[r->ncalls++ % CALLS] = name;
}

static struct ch_str name_of(const struct request *r, struct ch_str id)
{
	for (size_t k = r->ncalls < CALLS ? r->ncalls : CALLS; id.n && k-- > 0;)
		if (r->ids[k].n == id.n && !memcmp(r->ids[k].p, id.p, id.n))
			return r->names[k];
	return (struct ch_str){ NULL, 0 };
}

/* OpenAI writes the arguments as a text that holds JSON, Ollama as the JSON itself. */
static bool put_arguments(struct request *r, struct ch_str json)
{
	struct ch_str text = decode(r, json);
	struct ch_json j;
	struct ch_json_tok t;

	ch_jw_key(&r->w, "arguments");
	if (json.n && !text.p)
		return refuse(r, ch_print(r->c, "messages[%zu].tool_calls holds arguments that are no text: write them as a string of JSON.", r->i));
	ch_json_init(&j, text.p, text.n, 0, 0);
	if (!text.n) {
		ch_jw_object(&r->w);
		ch_jw_object_end(&r->w);
		return true;
	}
	if (ch_json_next(&j, &t) != CH_JSON_OBJECT || ch_json_skip(&j, &t) || ch_json_next(&j, &t) != CH_JSON_END)
		return refuse(r, ch_print(r->c,
			"messages[%zu].tool_calls holds arguments that are no JSON object; this backend (Ollama) takes nothing else.", r->i));
	ch_jw_raw(&r->w, text.p, text.n);
	return true;
}

/* One element of tool_calls; j stands behind its '{'. */
static bool put_call(struct request *r, struct ch_json *j)
{
	struct ch_json_tok t;
	struct ch_str id = { NULL, 0 }, name = id, arguments = id;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool is_id = ch_json_eq(&t, "id"), is_function = ch_json_eq(&t, "function");

		if (ch_json_next(j, &t) == CH_JSON_OBJECT && is_function) {
			while (ch_json_next(j, &t) == CH_JSON_KEY) {
				struct ch_str *to = ch_json_eq(&t, "name") ? &name : ch_json_eq(&t, "arguments") ? &arguments : NULL;

				ch_json_next(j, &t);
				if (ch_json_skip(j, &t))
					return false;
				if (to)
					*to = raw(j, &t);
			}
			continue;
		}
		if (ch_json_skip(j, &t))
			return false;
		if (is_id)
			id = raw(j, &t);
	}
	if (!name.n)
		return refuse(r, ch_print(r->c, "messages[%zu].tool_calls holds a call that names no function.", r->i));
	remember(r, id, name);
	ch_jw_object(&r->w);
	if (id.n)
		put(r, "id", id);
	ch_jw_key(&r->w, "function");
	ch_jw_object(&r->w);
	put(r, "name", name);
	if (!put_arguments(r, arguments))
		return false;
	ch_jw_object_end(&r->w);
	ch_jw_object_end(&r->w);
	return true;
}

static bool put_calls(struct request *r, struct ch_str json)
{
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, json.p, json.n, 0, 0);
	if (ch_json_next(&j, &t) != CH_JSON_ARRAY)
		return refuse(r, ch_print(r->c, "messages[%zu].tool_calls is no array.", r->i));
	ch_jw_key(&r->w, "tool_calls");
	ch_jw_array(&r->w);
	while (ch_json_next(&j, &t) == CH_JSON_OBJECT)
		if (!put_call(r, &j))
			return false;
	if (t.type != CH_JSON_ARRAY_END)
		return refuse(r, ch_print(r->c, "messages[%zu].tool_calls holds something that is no object.", r->i));
	ch_jw_array_end(&r->w);
	return true;
}

/* ---- images ---- */

/* The base64 of "data:image/png;base64,…". Nothing else is taken: what a client names is never fetched. */
static bool put_image(struct request *r, struct ch_str url)
{
	struct ch_str text = decode(r, url);
	const char *comma = text.n > 5 && !strncasecmp(text.p, "data:", 5) ? memchr(text.p, ',', text.n) : NULL;
	size_t head = comma ? (size_t)(comma - text.p) : 0;

	if (head < 12 || strncasecmp(comma - 7, ";base64", 7))
		return refuse(r, ch_print(r->c,
			"messages[%zu].content holds an image that is not in the request itself: this backend fetches nothing, send it as a "
			"data: URL with base64.", r->i));
	ch_jw_string(&r->w, comma + 1, text.n - head - 1);
	return true;
}

/* A part of a content; j stands behind its '{'. Fills *url if it is an image. */
static bool read_part(struct request *r, struct ch_json *j, struct ch_str *url)
{
	struct ch_json_tok t;
	bool text = false, image = false;

	*url = (struct ch_str){ NULL, 0 };
	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool is_type = ch_json_eq(&t, "type"), is_image = ch_json_eq(&t, "image_url");

		if (ch_json_next(j, &t) == CH_JSON_OBJECT && is_image) {
			while (ch_json_next(j, &t) == CH_JSON_KEY) {
				bool is_url = ch_json_eq(&t, "url");

				ch_json_next(j, &t);
				if (ch_json_skip(j, &t))
					return false;
				if (is_url)
					*url = raw(j, &t);
			}
			continue;
		}
		if (is_type) {
			text = ch_json_eq(&t, "text") || ch_json_eq(&t, "refusal");
			image = ch_json_eq(&t, "image_url");
		}
		if (ch_json_skip(j, &t))
			return false;
		if (is_image)
			*url = raw(j, &t);
	}
	if (!text && !image)
		return refuse(r, ch_print(r->c,
			"messages[%zu].content holds a part that is neither text nor image_url; this backend (Ollama) takes no other.", r->i));
	if (text)
		*url = (struct ch_str){ NULL, 0 };
	else if (!url->n)
		return refuse(r, ch_print(r->c, "messages[%zu].content holds an image without a url.", r->i));
	return true;
}

static bool put_images(struct request *r, struct ch_str content)
{
	struct ch_json j;
	struct ch_json_tok t;
	bool any = false;

	ch_json_init(&j, content.p, content.n, 0, 0);
	if (ch_json_next(&j, &t) != CH_JSON_ARRAY)
		return true;
	while (ch_json_next(&j, &t) == CH_JSON_OBJECT) {
		struct ch_str url;

		if (!read_part(r, &j, &url))
			return false;
		if (!url.n)
			continue;
		if (!any) {
			ch_jw_key(&r->w, "images");
			ch_jw_array(&r->w);
		}
		any = true;
		if (!put_image(r, url))
			return false;
	}
	if (any)
		ch_jw_array_end(&r->w);
	return true;
}

/* ---- messages ---- */

static struct members read_members(struct ch_str json)
{
	struct members m = { 0 };
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, json.p, json.n, 0, 0);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		bool legacy = ch_json_eq(&t, "function_call");
		struct ch_str *to = ch_json_eq(&t, "content") ? &m.content : ch_json_eq(&t, "tool_calls") ? &m.calls
			: ch_json_eq(&t, "tool_call_id") ? &m.id : ch_json_eq(&t, "name") ? &m.name : NULL;

		ch_json_next(&j, &t);
		if (ch_json_skip(&j, &t))
			break;
		if (to)
			*to = raw(&j, &t);
		m.legacy |= legacy && t.type != CH_JSON_NULL;
	}
	return m;
}

static bool put_message(struct request *r, const struct ch_message *m)
{
	bool more = m->json.n && r->args->needs & (CH_I_TOOLS | CH_I_IMAGES), tool = m->role.n == 4 && !memcmp(m->role.p, "tool", 4);
	struct members k = more ? read_members(m->json) : (struct members){ 0 };

	if (k.legacy || (m->role.n == 8 && !memcmp(m->role.p, "function", 8)))
		return refuse(r, ch_print(r->c,
			"messages[%zu] has OpenAI's older form of a function's call, which this backend (Ollama) does not know: use tool_calls.", r->i));
	ch_jw_object(&r->w);
	ch_jw_key(&r->w, "role");
	/* OpenAI's newer name for the same; models' templates know "system" alone. */
	if (m->role.n == 9 && !memcmp(m->role.p, "developer", 9))
		ch_jw_cstr(&r->w, "system");
	else
		ch_jw_string(&r->w, m->role.p, m->role.n);
	ch_jw_key(&r->w, "content");
	ch_jw_string(&r->w, m->content.p, m->content.n);
	if (k.content.n && !put_images(r, k.content))
		return false;
	if (k.calls.n && !put_calls(r, k.calls))
		return false;
	if (tool && k.id.n) {
		struct ch_str name = k.name.n ? k.name : name_of(r, k.id);

		put(r, "tool_call_id", k.id);
		if (name.n)
			put(r, "tool_name", name);
	}
	ch_jw_object_end(&r->w);
	return true;
}

static bool put_messages(struct request *r)
{
	ch_jw_key(&r->w, "messages");
	ch_jw_array(&r->w);
	for (r->i = 0; r->i < r->args->nmessages; r->i++)
		if (!put_message(r, &r->args->messages[r->i]))
			return false;
	ch_jw_array_end(&r->w);
	return true;
}

/* ---- what stands beside them ---- */

/* tool_choice and the older `functions` have no place among the canonical fields. *tools false: the client wants none called. */
static bool look_at_tools(struct request *r, bool *tools)
{
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, r->args->openai->body.p, r->args->openai->body.n, 0, 0);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		bool older = ch_json_eq(&t, "functions") || ch_json_eq(&t, "function_call"), choice = ch_json_eq(&t, "tool_choice");

		ch_json_next(&j, &t);
		if (older && t.type != CH_JSON_NULL)
			return refuse(r, "functions is OpenAI's older form of tools, which this backend (Ollama) does not know: use tools.");
		if (choice && ch_json_eq(&t, "none"))
			*tools = false;
		else if (choice && t.type != CH_JSON_NULL && !ch_json_eq(&t, "auto"))
			return refuse(r, "tool_choice can only be \"auto\" or \"none\" on this backend: Ollama cannot be made to call a tool.");
		if (ch_json_skip(&j, &t))
			break;
	}
	return true;
}

static bool put_tools(struct request *r)
{
	const struct ch_openai *o = r->args->openai;
	bool tools = true;

	if (!o || !(r->args->needs & CH_I_TOOLS))
		return true;
	if (!look_at_tools(r, &tools))
		return false;
	if (tools && o->tools_n)
		put(r, "tools", (struct ch_str){ o->body.p + o->tools_at, o->tools_n });
	return true;
}

/* The schema inside of {"type":"json_schema","json_schema":{"schema":…}}; j stands behind json_schema's '{'. */
static struct ch_str read_schema(struct ch_json *j)
{
	struct ch_str schema = { NULL, 0 };
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool is_schema = ch_json_eq(&t, "schema");

		ch_json_next(j, &t);
		if (ch_json_skip(j, &t))
			break;
		if (is_schema)
			schema = raw(j, &t);
	}
	return schema;
}

static bool put_format(struct request *r)
{
	const struct ch_openai *o = r->args->openai;
	struct ch_str schema = { NULL, 0 };
	struct ch_json j;
	struct ch_json_tok t;
	bool text = false, object = false, by_schema = false;

	if (!o || !o->format_n)
		return true;
	ch_json_init(&j, o->body.p + o->format_at, o->format_n, 0, 0);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		bool is_type = ch_json_eq(&t, "type"), is_schema = ch_json_eq(&t, "json_schema");

		if (ch_json_next(&j, &t) == CH_JSON_OBJECT && is_schema) {
			schema = read_schema(&j);
			continue;
		}
		if (is_type) {
			text = ch_json_eq(&t, "text");
			object = ch_json_eq(&t, "json_object");
			by_schema = ch_json_eq(&t, "json_schema");
		}
		if (ch_json_skip(&j, &t))
			break;
	}
	if (object) {
		ch_jw_key(&r->w, "format");
		ch_jw_cstr(&r->w, "json");
	} else if (by_schema && schema.n) {
		put(r, "format", schema);
	} else if (!text) {
		return refuse(r, "response_format must be {\"type\": \"text\"}, {\"type\": \"json_object\"} or {\"type\": \"json_schema\", "
			"\"json_schema\": {\"schema\": …}} on this backend (Ollama).");
	}
	return true;
}

static void put_options(struct request *r, const struct llama_conf *conf)
{
	const struct ch_inference_args *a = r->args;

	ch_jw_key(&r->w, "options");
	ch_jw_object(&r->w);
	if (conf->num_ctx) {
		ch_jw_key(&r->w, "num_ctx");
		ch_jw_int(&r->w, conf->num_ctx);
	}
	if (a->op == CH_I_EMBEDDINGS) {
		ch_jw_object_end(&r->w);
		return;
	}
	if (a->max_tokens) {
		ch_jw_key(&r->w, "num_predict");
		ch_jw_int(&r->w, a->max_tokens);
	}
	if (a->temperature >= 0) {
		ch_jw_key(&r->w, "temperature");
		ch_jw_double(&r->w, a->temperature);
	}
	if (a->top_p >= 0) {
		ch_jw_key(&r->w, "top_p");
		ch_jw_double(&r->w, a->top_p);
	}
	if (a->has_seed) {
		ch_jw_key(&r->w, "seed");
		ch_jw_int(&r->w, a->seed);
	}
	if (a->nstop) {
		ch_jw_key(&r->w, "stop");
		ch_jw_array(&r->w);
		for (size_t i = 0; i < a->nstop; i++)
			ch_jw_string(&r->w, a->stop[i].p, a->stop[i].n);
		ch_jw_array_end(&r->w);
	}
	ch_jw_object_end(&r->w);
}

/* A time as Go writes it ("5m", "1h30m"), or a number of seconds; how many bytes of it are good. */
static size_t go_duration(const char *s)
{
	static const char *const units[] = { "ms", "h", "m", "s" };
	size_t n = strspn(s, "0123456789"), all = 0;

	if (n && !s[n])
		return n;
	while (n) {
		size_t u = 0;

		while (u < 4 && strncmp(s + all + n, units[u], strlen(units[u])))
			u++;
		if (u == 4)
			return 0;
		all += n + strlen(units[u]);
		n = strspn(s + all, "0123456789");
	}
	return all;
}

bool ollama_keep_alive_ok(const char *text)
{
	size_t n = strlen(text);

	return !n || !strcmp(text, "forever") || (n <= 16 && go_duration(text) == n);
}

static void put_keep_alive(struct request *r, const char *text)
{
	if (!*text)
		return;
	ch_jw_key(&r->w, "keep_alive");
	if (!strcmp(text, "forever"))
		ch_jw_int(&r->w, -1);
	else if (!text[strspn(text, "0123456789")])
		ch_jw_int(&r->w, strtoll(text, NULL, 10));
	else
		ch_jw_cstr(&r->w, text);
}

/* ---- the whole ---- */

static void put_inputs(struct request *r)
{
	ch_jw_key(&r->w, "input");
	ch_jw_array(&r->w);
	for (size_t i = 0; i < r->args->nmessages; i++)
		ch_jw_string(&r->w, r->args->messages[i].content.p, r->args->messages[i].content.n);
	ch_jw_array_end(&r->w);
}

static bool put_prompt(struct request *r)
{
	if (r->args->nmessages > 1)
		return refuse(r, "prompt holds several texts, and this backend (Ollama) answers one at a time: send a request for each.");
	ch_jw_key(&r->w, "prompt");
	ch_jw_string(&r->w, r->args->messages[0].content.p, r->args->messages[0].content.n);
	return true;
}

/* Enough in most cases, so that the text is written once and not moved. */
static size_t estimate(const struct ch_inference_args *a)
{
	size_t n = 512;

	for (size_t i = 0; i < a->nmessages; i++)
		n += 64 + a->messages[i].content.n + a->messages[i].content.n / 8 +
			(a->needs & (CH_I_TOOLS | CH_I_IMAGES) ? a->messages[i].json.n : 0);
	return n + (a->openai ? a->openai->tools_n + a->openai->format_n : 0);
}

const char *ollama_path(int op)
{
	return op == CH_I_CHAT ? "/api/chat" : op == CH_I_COMPLETION ? "/api/generate" : op == CH_I_EMBEDDINGS ? "/api/embed" : NULL;
}

static bool put_all(struct request *r, const struct llama_conf *conf, const char *model, bool stream)
{
	ch_jw_object(&r->w);
	ch_jw_key(&r->w, "model");
	ch_jw_cstr(&r->w, model);
	if (r->args->op == CH_I_EMBEDDINGS) {
		put_inputs(r);
	} else {
		if (!(r->args->op == CH_I_CHAT ? put_messages(r) : put_prompt(r)) || !put_tools(r) || !put_format(r))
			return false;
		ch_jw_key(&r->w, "stream");
		ch_jw_bool(&r->w, stream);
	}
	put_options(r, conf);
	put_keep_alive(r, conf->keep_alive);
	ch_jw_object_end(&r->w);
	return true;
}

struct ch_str ollama_request(struct ch_ctx *c, const struct llama_conf *conf, const struct ch_inference_args *args, const char *model,
	bool stream, struct ch_inference_result *out)
{
	struct request *r = ch_alloc(c, sizeof(*r));
	struct heap *h = heap_new(c);
	size_t first = estimate(args);

	if (!r || !h || !heap_grow(h, NULL, 0, first)) {
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return (struct ch_str){ NULL, 0 };
	}
	r->c = c;
	r->args = args;
	r->out = out;
	ch_jw_init(&r->w, h->p, h->cap);
	r->w.grow = heap_grow;
	r->w.arg = h;
	if (!put_all(r, conf, model, stream) || r->w.failed) {
		if (!out->code)
			ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return (struct ch_str){ NULL, 0 };
	}
	return (struct ch_str){ r->w.buf, r->w.len };
}
