/* SPDX-License-Identifier: Apache-2.0 */
/* route_tokens.c - /admin/tokens. Secrets come in and never go out. */
#include "routes.h"

int id_route_tokens_list(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_token_kind);
	const char *after = j && id_route_limit(j) ? id_route_asked(c, "after") : NULL, *user = after ? id_route_asked(c, "user") : NULL;
	const char *provider = user ? id_route_asked(c, "provider") : NULL;

	if (!provider || !id_route_wait(j, id_route_listed))
		return CH_DONE;
	id_tokens_list(self, c, after, user, provider, j->limit, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_token_get(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_token_kind);

	if (!j || !id_route_wait(j, id_route_got))
		return CH_DONE;
	id_token_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int token_added(struct id_job *j)
{
	return id_route_row(j, 201, &j->e.token);
}

int id_route_token_add(struct ch_self *self, struct ch_ctx *c)
{
	const struct identity_state *s = self->state;
	struct id_job *j = id_route_begin(self, c, &id_token_kind);
	const char *wrong;

	if (!j || id_read_json(c, j->kind, false, &j->e.token) != CH_OK)
		return CH_DONE;
	if (!s->ring)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0,
		"This server keeps no tokens: its operator must set encryption_key of [identity].");
	wrong = id_token_seal(self, c, &j->e.token);
	if (wrong)
		return ch_refuse(c, CH_E_UNAVAILABLE, RETRY_MS, "%s", wrong);
	if (!id_route_wait(j, token_added))
		return CH_DONE;
	id_token_add(self, c, &j->e.token, false, &j->r, j->ticket);
	return CH_AGAIN;
}

static int show_token(struct id_job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	if (!id_route_wait(j, id_route_got))
		return CH_DONE;
	id_token_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int revoke_read(struct id_job *j)
{
	const struct id_token *t = j->r.rows;
	const char *family = t->family;

	memset(&j->r, 0, sizeof(j->r));
	if (!id_route_wait(j, show_token))
		return CH_DONE;
	id_family_revoke(j->self, j->c, family, &j->r, j->ticket);
	return CH_AGAIN;
}

/* POST /admin/tokens/{id}/… would not let an id have a slash, so a revocation is a change: {"revoked": true}, of the whole family. */
int id_route_token_revoke(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_token_kind);
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
		return ch_refuse_param(c, CH_E_BAD_REQUEST, "revoked",
		"the body must be {\"revoked\": true}: nothing else of a token can be changed");
	if (!id_route_wait(j, revoke_read))
		return CH_DONE;
	id_token_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_token_remove(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_token_kind);

	if (!j || !id_route_wait(j, id_route_gone))
		return CH_DONE;
	id_token_remove(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}
