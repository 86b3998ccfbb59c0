/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c - /admin/users, /admin/keys and /admin/tokens. Each handler starts one data access; what came is answered by the entity's table of
 * fields. Routes of class ADMIN: the core lets in whoever holds the control socket or an admin's key.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fields.h"
#include "identity.h"

#define LIMIT 100
#define LIMIT_MAX 1000
#define RETRY_MS 1000

struct job { /* in the request's arena */
	struct ch_self *self;
	struct ch_ctx *c;
	const struct id_kind *kind;
	const char *id;
	int64_t limit;
	struct id_result r;
	ch_ticket ticket;
	int (*end)(struct job *); /* it went well: answers */
	char secret[ID_KEY_CHARS + 1], prefix[5], key_id[32];
	unsigned char sha256[ID_SHA];
	union { struct id_user user; struct id_key key; struct id_token token; } e;
};

/* ---- refusals ---- */

int id_refuse(struct ch_ctx *c, const struct id_result *r, const char *what, const char *id)
{
	struct ch_refusal refusal = { .size = sizeof(refusal), .code = CH_E_UNAVAILABLE, .retry_after_ms = RETRY_MS };

	switch (r->error) {
	case ID_NONE:
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "there is no %s %.128s", what, id);
	case ID_EXISTS:
		return ch_refuse_param(c, CH_E_CONFLICT, "id", "there is a %s %.128s already", what, id);
	case ID_BAD:
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "the database cannot hold a value: %.200s", r->detail);
	case ID_UNSURE:
		refusal.detail = ch_print(c, "Nobody knows whether it was done, look before you try again: %s", r->detail);
		return ch_refuse_as(c, &refusal);
	default:
		refusal.detail = ch_print(c, "The store of users, keys and tokens is away, nothing was done: %s", r->detail);
		return ch_refuse_as(c, &refusal);
	}
}

static int no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, RETRY_MS, "There is no memory for this request now; try again later.");
}

/* ---- waiting ---- */

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;

	(void)result;
	if (why != CH_READY) {
		id_cancel(&j->r);
		return why == CH_GONE ? CH_DONE : ch_refuse(c, CH_E_UNAVAILABLE, RETRY_MS, "The store did not answer in time; try again later.");
	}
	return j->r.error ? id_refuse(c, &j->r, j->kind->what, j->id) : j->end(j);
}

/* NULL: refused. id: the route's {id}. */
static struct job *begin(struct ch_self *self, struct ch_ctx *c, const struct id_kind *kind)
{
	struct ch_str id = ch_param(c, "id");
	struct job *j = ch_alloc(c, sizeof(*j));

	if (j)
		j->id = ch_dup(c, id.p, id.n);
	if (!j || !j->id) {
		no_memory(c);
		return NULL;
	}
	j->self = self;
	j->c = c;
	j->kind = kind;
	if (id.p && !id_is_name(id.p, id.n)) {
		ch_refuse(c, CH_E_NOT_FOUND, 0, "there is no such %s: an id is 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -", kind->what);
		return NULL;
	}
	return j;
}

/* False: refused. */
static bool wait(struct job *j, int (*end)(struct job *))
{
	j->end = end;
	j->ticket = ch_suspend(j->c, 0, on_done, j);
	if (!j->ticket)
		no_memory(j->c);
	return j->ticket;
}

/* ---- answers ---- */

static void wipe(void *data)
{
	struct ch_str *s = data;

	explicit_bzero((char *)(uintptr_t)s->p, s->n);
}

static int answer(struct job *j, int status, const struct ch_jw *w)
{
	if (w->failed)
		return no_memory(j->c);
	return ch_respond(j->c, status, "application/json", w->buf, w->len);
}

static int answer_row(struct job *j, int status, const void *row)
{
	struct ch_jw w;

	ch_jw_ctx(&w, j->c, 1024);
	ch_jw_object(&w);
	id_write_json(&w, j->kind, row);
	ch_jw_object_end(&w);
	return answer(j, status, &w);
}

static int got(struct job *j)
{
	return answer_row(j, 200, j->r.rows);
}

static int gone(struct job *j)
{
	return ch_respond(j->c, 204, NULL, NULL, 0);
}

/* {"data": […], "next": "the last id" or null} */
static int listed(struct job *j)
{
	const char *last = NULL;
	struct ch_jw w;

	ch_jw_ctx(&w, j->c, 4096);
	ch_jw_object(&w);
	ch_jw_key(&w, "data");
	ch_jw_array(&w);
	for (size_t i = 0; i < j->r.n; i++) {
		const char *row = (const char *)j->r.rows + i * j->kind->size;

		ch_jw_object(&w);
		id_write_json(&w, j->kind, row);
		ch_jw_object_end(&w);
		last = *(const char *const *)(const void *)(row + j->kind->fields[0].offset);
	}
	ch_jw_array_end(&w);
	ch_jw_key(&w, "next");
	ch_jw_cstr(&w, (int64_t)j->r.n == j->limit ? last : NULL);
	ch_jw_object_end(&w);
	return answer(j, 200, &w);
}

/* ---- the query ---- */

static int hex(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* A member of the query, decoded; "" if it is not there. NULL: refused. */
static const char *asked(struct ch_ctx *c, const char *name)
{
	struct ch_str q = ch_query(c);
	size_t n = strlen(name), k = 0;
	const char *p = q.p, *end = q.p + q.n, *stop = p;
	char *out;

	for (; p && p < end; p = stop + 1) {
		stop = memchr(p, '&', (size_t)(end - p));
		stop = stop ? stop : end;
		if ((size_t)(stop - p) > n && !memcmp(p, name, n) && p[n] == '=')
			break;
	}
	if (!p || p >= end)
		return "";
	out = ch_alloc(c, (size_t)(stop - p) + 1);
	if (!out) {
		no_memory(c);
		return NULL;
	}
	for (p += n + 1; p < stop; p++) {
		int high = *p == '%' && stop - p > 2 ? hex(p[1]) : -1, low = high >= 0 ? hex(p[2]) : -1;

		out[k++] = low >= 0 ? (char)(high << 4 | low) : *p;
		p += low >= 0 ? 2 : 0;
	}
	if (id_is_name(out, k))
		return out;
	ch_refuse_param(c, CH_E_BAD_REQUEST, name, "%s must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -", name);
	return NULL;
}

/* False: refused. */
static bool read_limit(struct job *j)
{
	const char *text = asked(j->c, "limit");
	char *end = NULL;

	j->limit = text && *text ? strtol(text, &end, 10) : LIMIT;
	if (text && (!end || (!*end && *text != '-')) && j->limit >= 1 && j->limit <= LIMIT_MAX)
		return true;
	if (text)
		ch_refuse_param(j->c, CH_E_BAD_REQUEST, "limit", "limit must be a number from 1 to %d", LIMIT_MAX);
	return false;
}

/* ---- users ---- */

static int users_list(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_user_kind);
	const char *after = j && read_limit(j) ? asked(c, "after") : NULL;

	if (!after || !wait(j, listed))
		return CH_DONE;
	id_users_list(self, c, after, j->limit, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_get(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_user_kind);

	if (!j || !wait(j, got))
		return CH_DONE;
	id_user_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

/* A change went well: what is there now is the answer. */
static int show_user(struct job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	if (!wait(j, got))
		return CH_DONE;
	id_user_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_added(struct job *j)
{
	return answer_row(j, 201, &j->e.user);
}

static int user_add(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_user_kind);

	if (!j || id_read_json(c, j->kind, false, &j->e.user) != CH_OK || !wait(j, user_added))
		return CH_DONE;
	if (!(j->e.user.given & 1u << ID_USER_ROLE))
		j->e.user.role = CH_ROLE_USER;
	j->id = j->e.user.id;
	j->e.user.created = ch_wall();
	id_user_add(self, c, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_set(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_user_kind);

	if (!j || id_read_json(c, j->kind, true, &j->e.user) != CH_OK || !wait(j, show_user))
		return CH_DONE;
	id_user_set(self, c, j->id, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_remove(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_user_kind);

	if (!j || !wait(j, gone))
		return CH_DONE;
	id_user_remove(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

/* ---- keys ---- */

static int keys_list(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_key_kind);
	const char *after = j && read_limit(j) ? asked(c, "after") : NULL, *owner = after ? asked(c, "owner") : NULL;

	if (!owner || !wait(j, listed))
		return CH_DONE;
	id_keys_list(self, c, after, owner, j->limit, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_get(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_key_kind);

	if (!j || !wait(j, got))
		return CH_DONE;
	id_key_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int show_key(struct job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	if (!wait(j, got))
		return CH_DONE;
	id_key_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static void wipe_secret(void *data)
{
	struct job *j = data;

	explicit_bzero(j->secret, sizeof(j->secret));
}

/* The row that was made or changed, with its secret, this once. */
static int tell_secret(struct job *j)
{
	struct ch_str *kept = ch_alloc(j->c, sizeof(*kept));
	struct ch_jw w;

	ch_jw_ctx(&w, j->c, 64 << 10); /* one piece: it does not grow, which would leave a copy behind */
	if (!kept || !w.buf)
		return no_memory(j->c);
	*kept = (struct ch_str){ w.buf, w.cap };
	if (!ch_keep(j->c, wipe, kept))
		return no_memory(j->c);
	ch_jw_object(&w);
	ch_jw_key(&w, "key");
	ch_jw_string(&w, j->secret, ID_KEY_CHARS);
	id_write_json(&w, j->kind, &j->e.key);
	ch_jw_object_end(&w);
	return answer(j, 201, &w);
}

/* False: refused. */
static bool make_secret(struct job *j)
{
	if (!ch_keep(j->c, wipe_secret, j) || !id_key_make(j->secret, j->sha256, j->key_id)) {
		ch_refuse(j->c, CH_E_UNAVAILABLE, RETRY_MS, "There is no memory, or the system gives no random bytes now; try again later.");
		return false;
	}
	memcpy(j->prefix, j->secret, 4);
	return true;
}

static int key_add(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_key_kind);
	struct id_key *key = j ? &j->e.key : NULL;

	if (!j || id_read_json(c, j->kind, false, key) != CH_OK || !make_secret(j) || !wait(j, tell_secret))
		return CH_DONE;
	j->id = key->id = j->key_id;
	key->prefix = j->prefix;
	key->created = ch_wall();
	if (!(key->given & 1u << ID_KEY_ROLE))
		key->role = CH_ROLE_USER;
	id_key_add(self, c, key, j->sha256, &j->r, j->ticket);
	return CH_AGAIN;
}

/* What the key is like is known: now it gets its secret, and the answer needs the database no more. */
static int rotate_read(struct job *j)
{
	j->e.key = *(const struct id_key *)j->r.rows;
	j->e.key.prefix = j->prefix;
	j->e.key.given = 1u << ID_KEY_ROLE;
	memset(&j->r, 0, sizeof(j->r));
	if (!make_secret(j) || !wait(j, tell_secret))
		return CH_DONE;
	id_key_rotate(j->self, j->c, j->id, j->prefix, j->sha256, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_rotate(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_key_kind);

	if (!j || !wait(j, rotate_read))
		return CH_DONE;
	id_key_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_set(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_key_kind);

	if (!j || id_read_json(c, j->kind, true, &j->e.key) != CH_OK || !wait(j, show_key))
		return CH_DONE;
	id_key_set(self, c, j->id, &j->e.key, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_remove(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_key_kind);

	if (!j || !wait(j, gone))
		return CH_DONE;
	id_key_remove(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

/* ---- tokens ---- */

static int tokens_list(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_token_kind);
	const char *after = j && read_limit(j) ? asked(c, "after") : NULL, *user = after ? asked(c, "user") : NULL;
	const char *provider = user ? asked(c, "provider") : NULL;

	if (!provider || !wait(j, listed))
		return CH_DONE;
	id_tokens_list(self, c, after, user, provider, j->limit, &j->r, j->ticket);
	return CH_AGAIN;
}

static int token_get(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_token_kind);

	if (!j || !wait(j, got))
		return CH_DONE;
	id_token_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int token_added(struct job *j)
{
	return answer_row(j, 201, &j->e.token);
}

static int token_add(struct ch_self *self, struct ch_ctx *c)
{
	const struct identity_state *s = self->state;
	struct job *j = begin(self, c, &id_token_kind);
	const char *wrong;

	if (!j || id_read_json(c, j->kind, false, &j->e.token) != CH_OK)
		return CH_DONE;
	if (!s->ring)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "This server keeps no tokens: its operator must set encryption_key of [identity].");
	wrong = id_token_seal(self, c, &j->e.token);
	if (wrong)
		return ch_refuse(c, CH_E_UNAVAILABLE, RETRY_MS, "%s", wrong);
	if (!wait(j, token_added))
		return CH_DONE;
	id_token_add(self, c, &j->e.token, false, &j->r, j->ticket);
	return CH_AGAIN;
}

static int show_token(struct job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	if (!wait(j, got))
		return CH_DONE;
	id_token_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int revoke_read(struct job *j)
{
	const struct id_token *t = j->r.rows;
	const char *family = t->family;

	memset(&j->r, 0, sizeof(j->r));
	if (!wait(j, show_token))
		return CH_DONE;
	id_family_revoke(j->self, j->c, family, &j->r, j->ticket);
	return CH_AGAIN;
}

/* POST /admin/tokens/{id}/… would not let an id have a slash, so a revocation is a change: {"revoked": true}, of the whole family. */
static int token_revoke(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_token_kind);
	struct ch_str body = ch_body(c);
	struct ch_json json;
	struct ch_json_tok tok;
	bool good;

	if (!j)
		return CH_DONE;
	ch_json_init(&json, body.p, body.n, 1, 0);
	good = ch_json_next(&json, &tok) == CH_JSON_OBJECT && ch_json_next(&json, &tok) == CH_JSON_KEY && ch_json_eq(&tok, "revoked") &&
		ch_json_next(&json, &tok) == CH_JSON_TRUE && ch_json_next(&json, &tok) == CH_JSON_OBJECT_END &&
		ch_json_next(&json, &tok) == CH_JSON_END;
	if (!good)
		return ch_refuse_param(c, CH_E_BAD_REQUEST, "revoked", "the body must be {\"revoked\": true}: nothing else of a token can be changed");
	if (!wait(j, revoke_read))
		return CH_DONE;
	id_token_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int token_remove(struct ch_self *self, struct ch_ctx *c)
{
	struct job *j = begin(self, c, &id_token_kind);

	if (!j || !wait(j, gone))
		return CH_DONE;
	id_token_remove(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

/* ---- the table ---- */

#define S(max) "{\"type\":\"string\",\"maxLength\":" #max "}"
#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._@:/-]{1,128}$\"}"
#define ROLE "{\"type\":\"string\",\"enum\":[\"none\",\"user\",\"admin\"]}"
#define BOOL "{\"type\":\"boolean\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define TIME "{\"type\":[\"string\",\"null\"],\"description\":\"RFC 3339; in requests also how long from now: 30d, 12h\"}"
#define OBJECT(members) "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" members "}}"
#define NEEDS(required, members) "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required "],\"properties\":{" members "}}"
#define PAGE(row) "{\"type\":\"object\",\"properties\":{\"data\":{\"type\":\"array\",\"items\":" row "},\"next\":{\"type\":[\"string\",\"null\"]}}}"

#define USER_GIVEN "\"name\":" S(256) ",\"email\":{\"type\":[\"string\",\"null\"],\"maxLength\":254},\"role\":" ROLE ",\"disabled\":" BOOL
#define USER OBJECT("\"id\":" NAME "," USER_GIVEN ",\"created\":" TIME ",\"logins\":" COUNT ",\"requests\":" COUNT ",\"last_seen\":" TIME)
#define KEY_GIVEN "\"owner\":" NAME ",\"tier\":" S(64) ",\"role\":" ROLE ",\"limits\":" S(1024) ",\"models\":" S(4096) ",\"routes\":" S(4096) \
	",\"backends\":" S(4096) ",\"networks\":" S(4096) ",\"expires\":" TIME ",\"disabled\":" BOOL ",\"note\":" S(1024)
#define KEY_HAS "\"id\":" NAME ",\"prefix\":" S(4) "," KEY_GIVEN ",\"created\":" TIME
#define KEY OBJECT(KEY_HAS)
#define NEW_KEY OBJECT("\"key\":" S(46) "," KEY_HAS)
#define TOKEN OBJECT("\"id\":" NAME ",\"family\":" NAME ",\"user\":" NAME ",\"provider\":" NAME ",\"key_id\":" S(16) ",\"expires\":" TIME \
	",\"created\":" TIME ",\"spent\":" TIME ",\"revoked\":" TIME)

#define ADMIN .cls = CH_ADMIN
#define BODY ADMIN, .body = CH_BODY_BUFFER, .max_body = 256 << 10

const struct ch_route id_routes[ID_ROUTES] = {
	{ .method = "GET", .pattern = "/admin/users", ADMIN, .fn = users_list, .response_schema = PAGE(USER),
		.summary = "Users in the order of their ids; limit, after" },
	{ .method = "POST", .pattern = "/admin/users", BODY, .fn = user_add, .request_schema = NEEDS("\"id\"", "\"id\":" NAME "," USER_GIVEN),
		.response_schema = USER, .summary = "Makes a user" },
	{ .method = "GET", .pattern = "/admin/users/{id...}", ADMIN, .fn = user_get, .response_schema = USER, .summary = "A user" },
	{ .method = "PATCH", .pattern = "/admin/users/{id...}", BODY, .fn = user_set, .request_schema = OBJECT(USER_GIVEN),
		.response_schema = USER, .summary = "Changes the fields that are named; disabled: with all keys" },
	{ .method = "DELETE", .pattern = "/admin/users/{id...}", ADMIN, .fn = user_remove, .summary = "Removes a user with all keys and tokens" },
	{ .method = "GET", .pattern = "/admin/keys", ADMIN, .fn = keys_list, .response_schema = PAGE(KEY),
		.summary = "API keys in the order of their ids; limit, after, owner" },
	{ .method = "POST", .pattern = "/admin/keys", BODY, .fn = key_add, .request_schema = NEEDS("\"owner\"", KEY_GIVEN),
		.response_schema = NEW_KEY, .summary = "Makes a key, which is shown this once" },
	{ .method = "GET", .pattern = "/admin/keys/{id...}", ADMIN, .fn = key_get, .response_schema = KEY, .summary = "A key" },
	{ .method = "PATCH", .pattern = "/admin/keys/{id...}", BODY, .fn = key_set, .request_schema = OBJECT(KEY_GIVEN), .response_schema = KEY,
		.summary = "Changes the fields that are named; disabled: revokes it" },
	{ .method = "POST", .pattern = "/admin/keys/{id...}", ADMIN, .body = CH_BODY_NONE, .fn = key_rotate, .response_schema = NEW_KEY,
		.summary = "Gives the key another secret, which is shown this once" },
	{ .method = "DELETE", .pattern = "/admin/keys/{id...}", ADMIN, .fn = key_remove, .summary = "Removes a key" },
	{ .method = "GET", .pattern = "/admin/tokens", ADMIN, .fn = tokens_list, .response_schema = PAGE(TOKEN),
		.summary = "Provider tokens, without their secrets; limit, after, user, provider" },
	{ .method = "POST", .pattern = "/admin/tokens", BODY, .fn = token_add,
		.request_schema = NEEDS("\"user\",\"provider\",\"access\"", "\"user\":" NAME ",\"provider\":" NAME ",\"access\":" S(16384)
			",\"refresh\":" S(16384) ",\"expires\":" TIME),
		.response_schema = TOKEN, .summary = "Keeps a provider's token for a user: it begins a family" },
	{ .method = "GET", .pattern = "/admin/tokens/{id...}", ADMIN, .fn = token_get, .response_schema = TOKEN,
		.summary = "A provider token, without its secrets" },
	{ .method = "PATCH", .pattern = "/admin/tokens/{id...}", BODY, .fn = token_revoke,
		.request_schema = NEEDS("\"revoked\"", "\"revoked\":{\"const\":true}"), .response_schema = TOKEN,
		.summary = "Revokes the family of a token" },
	{ .method = "DELETE", .pattern = "/admin/tokens/{id...}", ADMIN, .fn = token_remove, .summary = "Removes a provider token" },
};
