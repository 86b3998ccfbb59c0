/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - see request.h. */
#include <stdlib.h>

#include <chimera/kit/json.h>

#include "request.h"

/* Members of the body, as bits and as indices into `members`. */
enum { M_PROMPT, M_MESSAGES, M_MODEL, M_BACKEND, M_MAX_TOKENS, M_TEMPERATURE, M_STREAM, M_COUNT };
static const char *const members[M_COUNT] = { "prompt", "messages", "model", "backend", "max_tokens", "temperature", "stream" };
enum { MM_ROLE, MM_CONTENT, MM_COUNT };
static const char *const message_members[MM_COUNT] = { "role", "content" };

#define ALLOWED "prompt, messages, model, backend, max_tokens, temperature, stream"
#define IN_ARENA ((size_t)64 << 10) /* bytes of a text that the ctx's arena holds */
#define SHOWN_MAX 64 /* bytes of a client's own text that are repeated to it */

static const struct ch_str roles[] = { CH_STR("user"), CH_STR("assistant"), CH_STR("system"), CH_STR("developer"), CH_STR("tool") };

struct reader {
	struct ch_ctx *c;
	struct ch_json j;
	struct ch_json_tok tok; /* the token at hand */
	size_t max_messages;
	struct ask_request *out;
	struct ask_fault *fault;
};

/* ---- refusing: all of these return false ---- */

CH_PRINTF_(3, 4) static bool refuse(struct reader *r, const char *param, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->fault->code = CH_E_BAD_REQUEST;
	r->fault->param = param;
	r->fault->detail = ch_vprint(r->c, fmt, ap);
	va_end(ap);
	if (!r->fault->detail)
		r->fault->detail = "The body is not as it should be, and no memory is left to say how.";
	return false;
}

static bool no_memory(struct reader *r)
{
	r->fault->code = CH_E_TOO_LARGE;
	r->fault->param = NULL;
	r->fault->detail = "The body needs more memory than one request may have; send a shorter one.";
	return false;
}

static bool bad_json(struct reader *r)
{
	return refuse(r, NULL, "The body cannot be read as JSON: %s, at byte %zu; send one object with %s.", r->j.error, r->j.pos, ALLOWED);
}

static const char *member_path(struct reader *r, size_t message, int member)
{
	const char *path = ch_print(r->c, "messages[%zu].%s", message, message_members[member]);

	return path ? path : "messages";
}

/* The member's name as it came, cut. It is valid UTF-8, and the answer's writer escapes it. */
static bool unknown_member(struct reader *r, const struct ch_json_tok *key, const char *in, const char *allowed)
{
	size_t n = key->len;

	if (n > SHOWN_MAX)
		for (n = SHOWN_MAX; n && ((unsigned char)key->s[n] & 0xc0) == 0x80; n--)
			;
	const char *name = ch_dup(r->c, key->s, n);

	return refuse(r, name, "There is no member \"%s\" in %s; allowed are: %s.", name ? name : "", in, allowed);
}

/* ---- tokens ---- */

/* The next token into r->tok; false after an error, which is refused. */
static bool next(struct reader *r)
{
	return ch_json_next(&r->j, &r->tok) != CH_JSON_ERROR || bad_json(r);
}

/* Which of `names` is the key at hand; n if none. Sets the bit in *seen and refuses a second one (-1). */
static int which(struct reader *r, const char *const *names, int n, unsigned *seen, const char *in)
{
	for (int i = 0; i < n; i++) {
		if (!ch_json_eq(&r->tok, names[i]))
			continue;
		if (*seen & 1u << i) {
			refuse(r, names[i], "The member \"%s\" stands twice in %s; send it once.", names[i], in);
			return -1;
		}
		*seen |= 1u << i;
		return i;
	}
	return n;
}

/* Memory that goes with the ctx: what is large would not fit into its arena. NULL: none. */
static char *large(struct ch_ctx *c, size_t n)
{
	char *p;

	if (n <= IN_ARENA)
		return ch_alloc(c, n);
	p = malloc(n);
	if (p && ch_keep(c, free, p))
		return p;
	free(p);
	return NULL;
}

/* The text of the string at hand: in place if it has no escapes. */
static bool text(struct reader *r, struct ch_str *out)
{
	char *copy;

	if (!r->tok.escaped) {
		*out = (struct ch_str){ r->tok.s, r->tok.len };
		return true;
	}
	copy = large(r->c, r->tok.len);
	if (!copy)
		return no_memory(r);
	*out = (struct ch_str){ copy, ch_json_unescape(&r->tok, copy) };
	return true;
}

/* ---- members ---- */

/* One more message at the end of out->messages, whose room doubles: 8, 16, … */
static struct ch_message *add_message(struct reader *r)
{
	struct ask_request *q = r->out;
	size_t n = q->nmessages;

	if (n == 0 || (n >= 8 && !(n & (n - 1)))) {
		struct ch_message *more = ch_alloc(r->c, (n ? 2 * n : 8) * sizeof(*more));

		if (!more) {
			no_memory(r);
			return NULL;
		}
		if (n)
			memcpy(more, q->messages, n * sizeof(*more));
		q->messages = more;
	}
	return &q->messages[q->nmessages++];
}

static bool read_prompt(struct reader *r)
{
	struct ch_message *m;

	if (r->tok.type != CH_JSON_STRING || !r->tok.len)
		return refuse(r, "prompt", "`prompt` must be a string that is not empty.");
	m = add_message(r);
	if (!m)
		return false;
	m->role = roles[0];
	return text(r, &m->content);
}

static bool read_role(struct reader *r, size_t i, struct ch_str *out)
{
	const size_t n = sizeof(roles) / sizeof(roles[0]);

	for (size_t k = 0; r->tok.type == CH_JSON_STRING && k < n; k++) {
		if (ch_json_eq(&r->tok, roles[k].p)) {
			*out = roles[k];
			return true;
		}
	}
	return refuse(r, member_path(r, i, MM_ROLE), "A message's `role` must be one of system, user, assistant, developer, tool.");
}

/* The message whose '{' is at hand. */
static bool read_message(struct reader *r, size_t i)
{
	struct ch_message *m = add_message(r);
	unsigned seen = 0;

	if (!m)
		return false;
	for (;;) {
		int member;

		if (!next(r))
			return false;
		if (r->tok.type == CH_JSON_OBJECT_END)
			break;
		member = which(r, message_members, MM_COUNT, &seen, "a message");
		if (member < 0) {
			r->fault->param = member_path(r, i, r->fault->param == message_members[MM_ROLE] ? MM_ROLE : MM_CONTENT);
			return false;
		}
		if (member == MM_COUNT) {
			const char *path = ch_print(r->c, "messages[%zu]", i);

			unknown_member(r, &r->tok, "a message", "role, content");
			r->fault->param = path ? path : "messages";
			return false;
		}
		if (!next(r))
			return false;
		if (member == MM_ROLE) {
			if (!read_role(r, i, &m->role))
				return false;
		} else {
			if (r->tok.type != CH_JSON_STRING)
				return refuse(r, member_path(r, i, MM_CONTENT), "A message's `content` must be a string.");
			if (!text(r, &m->content))
				return false;
		}
	}
	for (int k = 0; k < MM_COUNT; k++)
		if (!(seen & 1u << k))
			return refuse(
				r, member_path(r, i, k), "A message needs `role` and `content`; `%s` is missing.", message_members[k]);
	return true;
}

static bool read_messages(struct reader *r)
{
	if (r->tok.type != CH_JSON_ARRAY)
		return refuse(r, "messages", "`messages` must be an array of objects with `role` and `content`.");
	for (size_t i = 0;; i++) {
		if (!next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return i > 0 || refuse(r, "messages", "`messages` is empty; at least one message is needed.");
		if (i == r->max_messages)
			return refuse(r, "messages", "`messages` holds more than the %zu messages that are allowed.", r->max_messages);
		if (r->tok.type != CH_JSON_OBJECT) {
			const char *path = ch_print(r->c, "messages[%zu]", i);

			return refuse(r, path ? path : "messages", "A message must be an object with `role` and `content`.");
		}
		if (!read_message(r, i))
			return false;
	}
}

/* The name of a model or a backend. */
static bool read_name(struct reader *r, int member, size_t max, struct ch_str *out)
{
	bool ok = r->tok.type == CH_JSON_STRING;

	if (ok && !text(r, out))
		return false;
	ok = ok && out->n && out->n <= max;
	for (size_t i = 0; ok && i < out->n; i++)
		ok = out->p[i] > ' ' && out->p[i] <= '~';
	return ok || refuse(r, members[member], "`%s` must be a name of 1 to %zu printable ASCII characters without blanks.", members[member],
		max);
}

static bool read_value(struct reader *r, int member)
{
	struct ask_request *q = r->out;

	if (r->tok.type == CH_JSON_NULL)
		return true;
	switch (member) {
	case M_PROMPT:
		return read_prompt(r);
	case M_MESSAGES:
		return read_messages(r);
	case M_MODEL:
		return read_name(r, member, ASK_MODEL_MAX, &q->model);
	case M_BACKEND:
		return read_name(r, member, ASK_BACKEND_MAX, &q->backend);
	case M_MAX_TOKENS:
		return ch_json_int(&r->tok, 1, ASK_MAX_TOKENS, &q->max_tokens) ||
		       refuse(r, "max_tokens", "`max_tokens` must be an integer from 1 to %d.", ASK_MAX_TOKENS);
	case M_TEMPERATURE:
		if (!ch_json_double(&r->tok, &q->temperature) || q->temperature < 0 || q->temperature > ASK_TEMPERATURE)
			return refuse(r, "temperature", "`temperature` must be a number from 0 to %g.", ASK_TEMPERATURE);
		return true;
	default:
		if (r->tok.type != CH_JSON_TRUE && r->tok.type != CH_JSON_FALSE)
			return refuse(r, "stream", "`stream` must be true or false.");
		q->stream = r->tok.type == CH_JSON_TRUE;
		return true;
	}
}

bool ask_read(struct ch_ctx *c, struct ch_str body, size_t max_messages, struct ask_request *out, struct ask_fault *fault)
{
	struct reader r = { .c = c, .max_messages = max_messages, .out = out, .fault = fault };
	unsigned seen = 0, given = 0;

	*out = (struct ask_request){ .temperature = -1 };
	ch_json_init(&r.j, body.p, body.n, 0, ASK_TOKENS_MAX);
	if (!body.n)
		return refuse(&r, NULL, "The body is empty; send a JSON object with %s.", ALLOWED);
	if (!next(&r))
		return false;
	if (r.tok.type != CH_JSON_OBJECT)
		return refuse(&r, NULL, "The body must be a JSON object with %s.", ALLOWED);
	for (;;) {
		int member;

		if (!next(&r))
			return false;
		if (r.tok.type == CH_JSON_OBJECT_END)
			break;
		member = which(&r, members, M_COUNT, &seen, "the body");
		if (member < 0)
			return false;
		if (member == M_COUNT)
			return unknown_member(&r, &r.tok, "the body", ALLOWED);
		if (!next(&r))
			return false;
		if (r.tok.type != CH_JSON_NULL)
			given |= 1u << member;
		if ((given & (1u << M_PROMPT | 1u << M_MESSAGES)) == (1u << M_PROMPT | 1u << M_MESSAGES))
			return refuse(&r, members[member], "`prompt` and `messages` exclude each other; send one of them.");
		if (!read_value(&r, member))
			return false;
	}
	if (!next(&r))
		return false;
	if (!out->nmessages)
		return refuse(&r, "prompt", "Nothing is asked: send `prompt` or `messages`.");
	return true;
}
