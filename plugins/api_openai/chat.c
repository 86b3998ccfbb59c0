/* SPDX-License-Identifier: Apache-2.0 */
/* chat.c - `messages` of a chat. */
#include "reader.h"

enum { ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_TOOL, ROLE_FUNCTION, ROLES };

static const struct ch_str roles[ROLES] = {
	[ROLE_USER] = CH_STR("user"),
	[ROLE_ASSISTANT] = CH_STR("assistant"),
	[ROLE_SYSTEM] = CH_STR("system"),
	[ROLE_DEVELOPER] = CH_STR("developer"),
	[ROLE_TOOL] = CH_STR("tool"),
	[ROLE_FUNCTION] = CH_STR("function"),
};

/* Members of a message, as bits. */
enum { M_ROLE = 1, M_CONTENT = 2, M_TOOL_CALLS = 4, M_FUNCTION_CALL = 8 };

/* ---- content ---- */

struct text {                       /* of a part */
	struct ch_json_tok tok;
	struct text *next;
};

struct content {
	size_t message;
	struct text first, *last;   /* the texts, in order; last NULL: none yet */
	size_t n;                   /* bytes of all together as they came, and the line ends between them */
};

static bool add_text(struct reader *r, struct content *k, const struct ch_json_tok *tok)
{
	struct text *t = k->last ? ch_alloc(r->c, sizeof(*t)) : &k->first;

	if (!t)
		return api_no_memory(r);
	t->tok = *tok;
	t->next = NULL;
	if (k->last)
		k->last->next = t;
	k->last = t;
	k->n += tok->len + 1;
	return true;
}

/* The texts of several parts become one, with line ends between them. */
static bool join(struct reader *r, struct content *k, struct ch_str *out)
{
	char *at;

	if (!k->last)
		return true;
	if (k->last == &k->first)
		return api_text(r, &k->first.tok, out);
	at = api_room(r, k->n);
	if (!at)
		return api_no_memory(r);
	out->p = at;
	for (const struct text *t = &k->first; t; t = t->next) {
		at += ch_json_unescape(&t->tok, at);
		if (t->next)
			*at++ = '\n';
	}
	out->n = (size_t)(at - out->p);
	return true;
}

static bool bad_part(struct reader *r, const struct content *k, size_t i, const char *member, const char *what)
{
	const char *path = api_path(r, "messages", "messages[%zu].content[%zu]%s%s", k->message, i, *member ? "." : "", member);

	return api_refuse(r, path, "`%s` must be %s.", path, what);
}

/* The part whose '{' is at hand. What is no text is not looked into: only a backend of the same dialect will get it. */
static bool read_part(struct reader *r, struct content *k, size_t i)
{
	struct ch_json_tok text = { .type = CH_JSON_NULL };
	bool typed = false, is_text = false;

	for (;;) {
		bool type, body;

		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_OBJECT_END)
			break;
		type = API_IS(r, "type");
		body = API_IS(r, "text") || API_IS(r, "refusal");
		if (!api_next(r))
			return false;
		if (type) {
			if (r->tok.type != CH_JSON_STRING || typed)
				return bad_part(r, k, i, "type", "a string, and be there once");
			typed = true;
			is_text = API_IS(r, "text") || API_IS(r, "refusal");
		} else if (body && r->tok.type == CH_JSON_STRING) {
			if (text.type == CH_JSON_STRING)
				return bad_part(r, k, i, "text", "there once");
			text = r->tok;
		} else if (!api_skip(r)) {
			return false;
		}
	}
	if (!typed)
		return bad_part(r, k, i, "type", "a string: text, image_url, input_audio or file");
	if (!is_text) {
		r->out->args.needs |= CH_I_IMAGES;
		return true;
	}
	return text.type == CH_JSON_STRING ? add_text(r, k, &text) : bad_part(r, k, i, "text", "a string");
}

/* The value of `content`, which is not null. */
static bool read_content(struct reader *r, size_t message, struct ch_str *out)
{
	struct content k = { .message = message };

	if (r->tok.type == CH_JSON_STRING)
		return api_text(r, &r->tok, out);
	if (r->tok.type != CH_JSON_ARRAY) {
		const char *path = api_path(r, "messages", "messages[%zu].content", message);

		return api_refuse(r, path, "`%s` must be a string or an array of parts.", path);
	}
	for (size_t i = 0;; i++) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return i ? join(r, &k, out) : bad_part(r, &k, 0, "", "there: an array of parts holds at least one");
		if (r->tok.type != CH_JSON_OBJECT)
			return bad_part(r, &k, i, "", "an object with `type`");
		if (!read_part(r, &k, i))
			return false;
	}
}

/* ---- messages ---- */

static bool bad_member(struct reader *r, size_t i, const char *member, const char *what)
{
	const char *path = api_path(r, "messages", "messages[%zu].%s", i, member);

	return api_refuse(r, path, "`%s` %s.", path, what);
}

static bool read_role(struct reader *r, size_t i, struct ch_str *out)
{
	for (size_t k = 0; r->tok.type == CH_JSON_STRING && k < ROLES; k++) {
		if (api_is(r, roles[k].p, roles[k].n)) {
			*out = roles[k];
			return true;
		}
	}
	return bad_member(r, i, "role", "must be one of system, developer, user, assistant, tool, function");
}

static int member(const struct reader *r)
{
	return API_IS(r, "role")            ? M_ROLE
	       : API_IS(r, "content")       ? M_CONTENT
	       : API_IS(r, "tool_calls")    ? M_TOOL_CALLS
	       : API_IS(r, "function_call") ? M_FUNCTION_CALL
	                                    : 0;
}

static const char *name_of(int m)
{
	return m == M_ROLE ? "role" : m == M_CONTENT ? "content" : m == M_TOOL_CALLS ? "tool_calls" : "function_call";
}

/* The value of a member of a message. */
static bool read_member(struct reader *r, size_t i, struct ch_message *m, int which)
{
	switch (which) {
	case M_ROLE:
		return read_role(r, i, &m->role);
	case M_CONTENT:
		return read_content(r, i, &m->content);
	case M_TOOL_CALLS:
		if (r->tok.type != CH_JSON_ARRAY)
			return bad_member(r, i, "tool_calls", "must be an array");
		if (!api_skip(r))
			return false;
		r->out->args.needs |= api_empty(r) ? 0 : CH_I_TOOLS;
		return true;
	case M_FUNCTION_CALL:
		r->out->args.needs |= CH_I_TOOLS;
		return api_skip(r);
	default:
		return api_skip(r);
	}
}

/* The message whose '{' is at hand. */
static bool read_message(struct reader *r, size_t i)
{
	struct ch_message *m = api_message(r, "messages");
	size_t start = r->tok.start;
	int seen = 0, given = 0;

	if (!m)
		return false;
	for (;;) {
		int which;

		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_OBJECT_END)
			break;
		which = member(r);
		if (seen & which)
			return bad_member(r, i, name_of(which), "stands twice in the message; send it once");
		seen |= which;
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_NULL)
			continue;
		given |= which;
		if (!read_member(r, i, m, which))
			return false;
	}
	m->json = (struct ch_str){ r->body.p + start, r->tok.end - start };
	if (!(given & M_ROLE))
		return bad_member(r, i, "role", "is missing; send one of system, developer, user, assistant, tool, function");
	if (m->role.p == roles[ROLE_TOOL].p || m->role.p == roles[ROLE_FUNCTION].p)
		r->out->args.needs |= CH_I_TOOLS;
	/* What an assistant said may have been calls, a refusal or audio alone. */
	if (!(given & M_CONTENT) && m->role.p != roles[ROLE_ASSISTANT].p)
		return bad_member(r, i, "content", "is missing; send a string or an array of parts");
	return true;
}

bool api_messages(struct reader *r, const char *name)
{
	if (r->tok.type != CH_JSON_ARRAY)
		return api_refuse(r, name, "`messages` must be an array of objects with `role` and `content`.");
	for (size_t i = 0;; i++) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return i > 0 || api_refuse(r, name, "`messages` is empty; at least one message is needed.");
		if (r->tok.type != CH_JSON_OBJECT)
			return api_refuse(
				r, api_path(r, name, "messages[%zu]", i), "A message must be an object with `role` and `content`.");
		if (!read_message(r, i))
			return false;
	}
}
