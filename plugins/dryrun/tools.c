/* SPDX-License-Identifier: Apache-2.0 */
/* tools.c - see tools.h. What is read was checked to be valid JSON by whoever filled args.openai; of another shape it is passed over. */
#include <stdio.h>

#include <chimera/json.h>

#include "dryrun.h"
#include "tools.h"
#include "words.h"

/* A JSON value: its bytes and its first token. */
struct value {
	struct ch_str json;
	struct ch_json_tok tok;
};

/* ---- reading ---- */

/* The next value of an object or array that is being walked; *key: its name's token. False past the last. */
static bool walk(struct ch_json *j, struct ch_str whole, struct ch_json_tok *key, struct value *v)
{
	int type = ch_json_next(j, &v->tok);

	if (type == CH_JSON_KEY) {
		*key = v->tok;
		type = ch_json_next(j, &v->tok);
	}
	if (type == CH_JSON_ERROR || type == CH_JSON_END || type == CH_JSON_OBJECT_END || type == CH_JSON_ARRAY_END)
		return false;
	if (ch_json_skip(j, &v->tok) < 0)
		return false;
	v->json = (struct ch_str){ whole.p + v->tok.start, v->tok.end - v->tok.start };
	return true;
}

/* Steps into an object or array; false: it is something else. */
static bool enter(struct ch_json *j, struct ch_str whole, int type)
{
	struct ch_json_tok tok;

	ch_json_init(j, whole.p, whole.n, 0, 0);
	return whole.n && ch_json_next(j, &tok) == type;
}

static bool member(struct ch_str object, const char *name, struct value *out)
{
	struct ch_json_tok key;
	struct ch_json j;

	if (!enter(&j, object, CH_JSON_OBJECT))
		return false;
	while (walk(&j, object, &key, out))
		if (ch_json_eq(&key, name))
			return true;
	return false;
}

static bool text(struct ch_ctx *c, const struct ch_json_tok *tok, struct ch_str *out)
{
	char *p = ch_alloc(c, tok->len + 1);

	if (!p)
		return false;
	*out = (struct ch_str){ p, ch_json_unescape(tok, p) };
	return true;
}

bool dryrun_wants_schema(const struct ch_inference_args *args)
{
	const struct ch_openai *o = args->openai;
	struct value type;

	if (!(args->needs & CH_I_FORMAT) || !o || !o->format_n)
		return false;
	return !member((struct ch_str){ o->body.p + o->format_at, o->format_n }, "type", &type) || !ch_json_eq(&type.tok, "json_object");
}

/* ---- arguments ---- */

static void put_value(struct ch_jw *w, struct ch_str schema, uint64_t random)
{
	struct value type, v;
	struct ch_json_tok key;
	struct ch_json j;
	char word[DRYRUN_WORD_MAX];

	if (member(schema, "enum", &v) && enter(&j, v.json, CH_JSON_ARRAY)) {
		struct ch_str all = v.json;

		if (walk(&j, all, &key, &v)) {
			ch_jw_raw(w, v.json.p, v.json.n);
			return;
		}
	}
	if (!member(schema, "type", &type))
		type.tok = (struct ch_json_tok){ .type = CH_JSON_NULL };
	if (ch_json_eq(&type.tok, "integer") || ch_json_eq(&type.tok, "number"))
		ch_jw_uint(w, random % 100);
	else if (ch_json_eq(&type.tok, "boolean"))
		ch_jw_bool(w, random & 1);
	else if (ch_json_eq(&type.tok, "array"))
		ch_jw_raw(w, "[]", 2);
	else if (ch_json_eq(&type.tok, "object"))
		ch_jw_raw(w, "{}", 2);
	else
		ch_jw_string(w, word, dryrun_pseudo_word(word, random));
}

static bool put_arguments(struct ch_ctx *c, struct ch_str parameters, uint64_t random, struct ch_str *out)
{
	struct value properties, v;
	struct ch_json_tok key;
	struct ch_json j;
	struct ch_jw w;

	ch_jw_ctx(&w, c, 256);
	ch_jw_object(&w);
	if (member(parameters, "properties", &properties) && enter(&j, properties.json, CH_JSON_OBJECT)) {
		while (walk(&j, properties.json, &key, &v)) {
			struct ch_str name;

			if (!text(c, &key, &name))
				return false;
			if (memchr(name.p, 0, name.n))
				continue; /* the writer cannot say it */
			ch_jw_key(&w, name.p);
			put_value(&w, v.json, dryrun_next(&random));
		}
	}
	ch_jw_object_end(&w);
	*out = (struct ch_str){ w.buf, w.len };
	return !w.failed;
}

/* ---- choosing ---- */

/* What tool_choice says. */
enum choice { AUTO, NONE, ANY, NAMED };

static enum choice choice_of(const struct ch_openai *o, struct value *name)
{
	struct value v, function;

	if (!member(o->body, "tool_choice", &v) || ch_json_eq(&v.tok, "auto"))
		return AUTO;
	if (ch_json_eq(&v.tok, "none"))
		return NONE;
	if (ch_json_eq(&v.tok, "required"))
		return ANY;
	return member(v.json, "function", &function) && member(function.json, "name", name) ? NAMED : AUTO;
}

static const struct ch_message *last_of_user(const struct ch_inference_args *args)
{
	for (size_t i = args->nmessages; i--;)
		if (args->messages[i].role.n == 4 && !memcmp(args->messages[i].role.p, "user", 4))
			return &args->messages[i];
	return NULL;
}

static bool ends_in_a_result(const struct ch_inference_args *args)
{
	struct ch_str role = args->messages[args->nmessages - 1].role;

	return role.n == 4 && !memcmp(role.p, "tool", 4);
}

static bool same_text(struct ch_ctx *c, const struct value *v, struct ch_str name)
{
	struct ch_str other;

	return v->tok.type == CH_JSON_STRING && text(c, &v->tok, &other) && other.n == name.n && !memcmp(other.p, name.p, name.n);
}

static bool named_in(const struct ch_message *m, struct ch_str name)
{
	return m && m->content.n >= name.n && memmem(m->content.p, m->content.n, name.p, name.n);
}

bool dryrun_tool_choose(struct ch_ctx *c, const struct ch_inference_args *args, int when, uint64_t digest, struct dryrun_tool *out)
{
	const struct ch_openai *o = args->openai;
	struct value tool, function, v, wanted;
	struct ch_json_tok key;
	enum choice choice;
	struct ch_str all;
	struct ch_json j;

	*out = (struct dryrun_tool){ .name = { NULL, 0 } };
	if (!o || !o->tools_n || args->op != CH_I_CHAT)
		return true;
	choice = choice_of(o, &wanted);
	if (choice == NONE || (choice == AUTO && (when == DRYRUN_TOOLS_NEVER || ends_in_a_result(args))))
		return true;
	all = (struct ch_str){ o->body.p + o->tools_at, o->tools_n };
	if (!enter(&j, all, CH_JSON_ARRAY))
		return true;
	while (walk(&j, all, &key, &tool)) {
		struct ch_str name;

		if (!member(tool.json, "function", &function) || !member(function.json, "name", &v) || v.tok.type != CH_JSON_STRING || !v.tok.len)
			continue;
		if (!text(c, &v.tok, &name))
			return false;
		if (choice == NAMED ? !same_text(c, &wanted, name) : choice == AUTO && when == DRYRUN_TOOLS_NAMED && !named_in(last_of_user(args), name))
			continue;
		snprintf(out->id, sizeof(out->id), "call_%016llx", (unsigned long long)digest);
		if (!put_arguments(c, member(function.json, "parameters", &v) ? v.json : (struct ch_str){ NULL, 0 }, digest, &out->arguments))
			return false;
		out->name = name;
		return true;
	}
	return true;
}
