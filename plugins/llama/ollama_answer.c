/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_answer.c - one object of an answer: text, calls of tools, the end of it; and calls in OpenAI's form. */
#include "ollama_answer.h"

static bool bad(const char **why, const char *sentence)
{
	*why = sentence;
	return false;
}

/* The token behind a key; a container is not skipped. */
static bool value_is(struct ch_json *j, struct ch_json_tok *t, int type)
{
	int got = ch_json_next(j, t);

	return got == type || got == CH_JSON_NULL;
}

/* ---- one object ---- */

/* "length" is the same word in both dialects; a loaded or unloaded model is an answer that has ended like any other. */
static const char *finish_reason(const struct ch_json_tok *t)
{
	return ch_json_eq(t, "length") ? "length" : "stop";
}

static bool read_message(struct ch_json *j, struct ollama_piece *out, const char **why)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		if (ch_json_eq(&t, "content")) {
			if (!value_is(j, &t, CH_JSON_STRING))
				return bad(why, "message.content is no text");
			out->text = t.type == CH_JSON_STRING ? t : (struct ch_json_tok){ 0 };
		} else if (ch_json_eq(&t, "tool_calls")) {
			if (!value_is(j, &t, CH_JSON_ARRAY) || ch_json_skip(j, &t))
				return bad(why, "message.tool_calls is no array");
			out->calls =
				t.type == CH_JSON_NULL ? (struct ch_str){ NULL, 0 } : (struct ch_str){ j->p + t.start, t.end - t.start };
		} else {
			ch_json_next(j, &t);
			if (ch_json_skip(j, &t))
				break;
		}
	}
	return true; /* what is no JSON the caller sees by the next token */
}

static bool read_count(struct ch_json *j, int64_t *to, const char **why, const char *sentence)
{
	struct ch_json_tok t;

	if (!value_is(j, &t, CH_JSON_NUMBER))
		return bad(why, sentence);
	return t.type == CH_JSON_NULL || ch_json_int(&t, 0, INT64_MAX, to) || bad(why, sentence);
}

static bool read_member(struct ch_json *j, const struct ch_json_tok *key, struct ollama_piece *out, const char **why)
{
	struct ch_json_tok t;

	if (ch_json_eq(key, "message")) {
		if (!value_is(j, &t, CH_JSON_OBJECT))
			return bad(why, "message is no object");
		return t.type == CH_JSON_NULL || read_message(j, out, why);
	}
	if (ch_json_eq(key, "response")) {
		if (!value_is(j, &t, CH_JSON_STRING))
			return bad(why, "response is no text");
		out->text = t.type == CH_JSON_STRING ? t : (struct ch_json_tok){ 0 };
		return true;
	}
	if (ch_json_eq(key, "done")) {
		if (ch_json_next(j, &t) != CH_JSON_TRUE && t.type != CH_JSON_FALSE)
			return bad(why, "done is neither true nor false");
		out->done = t.type == CH_JSON_TRUE;
		return true;
	}
	if (ch_json_eq(key, "done_reason")) {
		if (!value_is(j, &t, CH_JSON_STRING))
			return bad(why, "done_reason is no text");
		out->finish_reason = finish_reason(&t);
		return true;
	}
	if (ch_json_eq(key, "prompt_eval_count"))
		return read_count(j, &out->tokens_in, why, "prompt_eval_count is no count");
	if (ch_json_eq(key, "eval_count"))
		return read_count(j, &out->tokens_out, why, "eval_count is no count");
	bool error = ch_json_eq(key, "error");

	ch_json_next(j, &t);
	if (ch_json_skip(j, &t))
		return bad(why, "it is no JSON");
	if (error && t.type != CH_JSON_NULL)
		out->error = (struct ch_str){ j->p + t.start, t.end - t.start };
	return true;
}

bool ollama_read(const char *p, size_t n, struct ollama_piece *out, const char **why)
{
	struct ch_json j;
	struct ch_json_tok t;

	*out = (struct ollama_piece){ .finish_reason = "stop", .tokens_in = -1, .tokens_out = -1 };
	ch_json_init(&j, p, n, 0, 0);
	if (ch_json_next(&j, &t) != CH_JSON_OBJECT)
		return bad(why, t.type == CH_JSON_ERROR ? "it is no JSON" : "it is no object");
	while (ch_json_next(&j, &t) == CH_JSON_KEY)
		if (!read_member(&j, &t, out, why))
			return j.error ? bad(why, "it is no JSON") : false;
	if (t.type != CH_JSON_OBJECT_END || ch_json_next(&j, &t) != CH_JSON_END)
		return bad(why, "it is no JSON");
	return true;
}

/* ---- calls of tools ---- */

/* A call as Ollama writes it; n 0: the member is not there. */
struct call {
	struct ch_str id, name, arguments;
	bool text; /* the arguments are a text already */
};

static bool read_call(struct ch_json *j, struct call *k)
{
	struct ch_json_tok t;

	*k = (struct call){ 0 };
	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool id = ch_json_eq(&t, "id"), function = ch_json_eq(&t, "function");
		int type = ch_json_next(j, &t);

		if (function && type == CH_JSON_OBJECT) {
			while (ch_json_next(j, &t) == CH_JSON_KEY) {
				bool name = ch_json_eq(&t, "name"), arguments = ch_json_eq(&t, "arguments");

				type = ch_json_next(j, &t);
				if (ch_json_skip(j, &t) || (name && type != CH_JSON_STRING))
					return false;
				if (name)
					k->name = (struct ch_str){ j->p + t.start, t.end - t.start };
				if (arguments && type != CH_JSON_NULL) {
					k->arguments = (struct ch_str){ j->p + t.start, t.end - t.start };
					k->text = type == CH_JSON_STRING;
				}
			}
			continue;
		}
		if (ch_json_skip(j, &t))
			return false;
		if (id && type == CH_JSON_STRING && t.len)
			k->id = (struct ch_str){ j->p + t.start, t.end - t.start };
	}
	return t.type == CH_JSON_OBJECT_END && k->name.n > 2;
}

static void put_id(struct ch_jw *w, struct ch_str id, uint64_t salt, size_t number)
{
	static const char hex[] = "0123456789abcdef";
	char made[32] = "call_";
	size_t n = 5;

	if (id.n) {
		ch_jw_raw(w, id.p, id.n);
		return;
	}
	salt += number * 0x9e3779b97f4a7c15u; /* odd: other numbers give other ids */
	for (int shift = 60; shift >= 0; shift -= 4)
		made[n++] = hex[salt >> shift & 15];
	ch_jw_string(w, made, n);
}

static void put_call(struct ch_jw *w, const struct call *k, bool stream, uint64_t salt, size_t number)
{
	ch_jw_object(w);
	if (stream) {
		ch_jw_key(w, "index");
		ch_jw_uint(w, number);
	}
	ch_jw_key(w, "id");
	put_id(w, k->id, salt, number);
	ch_jw_key(w, "type");
	ch_jw_cstr(w, "function");
	ch_jw_key(w, "function");
	ch_jw_object(w);
	ch_jw_key(w, "name");
	ch_jw_raw(w, k->name.p, k->name.n);
	ch_jw_key(w, "arguments");
	if (!k->arguments.n)
		ch_jw_cstr(w, "{}");
	else if (k->text)
		ch_jw_raw(w, k->arguments.p, k->arguments.n);
	else
		ch_jw_string(w, k->arguments.p, k->arguments.n);
	ch_jw_object_end(w);
	ch_jw_object_end(w);
}

bool ollama_write_calls(struct ch_jw *w, struct ch_str calls, bool stream, uint64_t salt, size_t *ncalls)
{
	struct ch_json j;
	struct ch_json_tok t;
	struct call k;

	ch_json_init(&j, calls.p, calls.n, 0, 0);
	if (ch_json_next(&j, &t) != CH_JSON_ARRAY)
		return false;
	ch_jw_array(w);
	while (ch_json_next(&j, &t) == CH_JSON_OBJECT) {
		if (!read_call(&j, &k))
			return false;
		put_call(w, &k, stream, salt, (*ncalls)++);
	}
	ch_jw_array_end(w);
	return t.type == CH_JSON_ARRAY_END;
}
