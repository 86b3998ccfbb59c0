/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_message.c - messages, with calls of tools and images.
 *
 * Texts are the canonical ones. What they do not hold is taken from the message as the client wrote it, byte by byte where both dialects
 * agree. Nothing that the client named is left out in silence: what Ollama has no word for is refused.
 */
#include <strings.h>

#include "ollama_message.h"

/* A member of a message, as it stands in its JSON; n 0: not there, or null. */
struct members {
	struct ch_str content, calls, id, name;
	bool legacy; /* OpenAI's older form of a call: function_call */
};

/* What stands behind the message's name. */
static bool refuse_message(struct request *r, const char *what)
{
	return refuse(r, ch_print(r->c, "messages[%zu]%s", r->i, what));
}

/* The decoded text of a JSON string, until the next one; p NULL: it is none, or no memory, and then there is a code. */
static struct ch_str decode(struct request *r, struct ch_str json)
{
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, json.p, json.n, 0, 0);
	if (!json.n || ch_json_next(&j, &t) != CH_JSON_STRING)
		return (struct ch_str){ NULL, 0 };
	if (!t.escaped)
		return (struct ch_str){ t.s, t.len };
	if (!ch_heap_grow(r->text, NULL, 0, t.len)) {
		ch_backend_refuse(r->out, CH_E_OVERLOADED, 0, NULL);
		return (struct ch_str){ NULL, 0 };
	}
	return (struct ch_str){ r->text->p, ch_json_unescape(&t, r->text->p) };
}

/* ---- calls of tools ---- */

static void remember(struct request *r, struct ch_str id, struct ch_str name)
{
	if (!id.n)
		return;
	r->ids[r->ncalls % OLLAMA_CALLS] = id;
	r->names[r->ncalls++ % OLLAMA_CALLS] = name;
}

static struct ch_str name_of(const struct request *r, struct ch_str id)
{
	for (size_t k = r->ncalls < OLLAMA_CALLS ? r->ncalls : OLLAMA_CALLS; id.n && k-- > 0;)
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
		return refuse_message(r, ".tool_calls holds arguments that are no text: write them as a string of JSON.");
	ch_json_init(&j, text.p, text.n, 0, 0);
	if (!text.n) {
		ch_jw_object(&r->w);
		ch_jw_object_end(&r->w);
		return true;
	}
	if (ch_json_next(&j, &t) != CH_JSON_OBJECT || ch_json_skip(&j, &t) || ch_json_next(&j, &t) != CH_JSON_END)
		return refuse_message(r, ".tool_calls holds arguments that are no JSON object; this backend (Ollama) takes nothing else.");
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
		return refuse_message(r, ".tool_calls holds a call that names no function.");
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
		return refuse_message(r, ".tool_calls is no array.");
	ch_jw_key(&r->w, "tool_calls");
	ch_jw_array(&r->w);
	while (ch_json_next(&j, &t) == CH_JSON_OBJECT)
		if (!put_call(r, &j))
			return false;
	if (t.type != CH_JSON_ARRAY_END)
		return refuse_message(r, ".tool_calls holds something that is no object.");
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
		return refuse_message(r,
			".content holds an image that is elsewhere: this backend fetches nothing, send it as a data: URL with base64.");
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
		return refuse_message(r, ".content holds a part that is neither text nor image_url; this backend (Ollama) takes no other.");
	if (text)
		*url = (struct ch_str){ NULL, 0 };
	else if (!url->n)
		return refuse_message(r, ".content holds an image without a url.");
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
		return refuse_message(r,
			" has OpenAI's older form of a function's call, which this backend (Ollama) does not know: use tool_calls.");
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

bool ollama_put_messages(struct request *r)
{
	ch_jw_key(&r->w, "messages");
	ch_jw_array(&r->w);
	for (r->i = 0; r->i < r->args->nmessages; r->i++)
		if (!put_message(r, &r->args->messages[r->i]))
			return false;
	ch_jw_array_end(&r->w);
	return true;
}
