/* SPDX-License-Identifier: Apache-2.0 */
/* tokens.c - data access: what providers of models gave to users. The secrets in here are encrypted before they come and when they go. */
#include "fields.h"
#include "identity.h"

#define FIELD(name, type, flags, max) { #name, ID_F_##type, offsetof(struct id_token, name), flags, max }

static const struct id_field fields[] = {
	FIELD(id, NAME, ID_F_COLUMN, 0),
	FIELD(family, NAME, 0, 0),
	FIELD(user, NAME, ID_F_CREATE | ID_F_REQUIRED | ID_F_COLUMN, 0),
	FIELD(provider, NAME, ID_F_CREATE | ID_F_REQUIRED | ID_F_COLUMN, 0),
	FIELD(access, SECRET, ID_F_CREATE | ID_F_REQUIRED | ID_F_HIDDEN, ID_SECRET_MAX),
	FIELD(refresh, SECRET, ID_F_CREATE | ID_F_HIDDEN, ID_SECRET_MAX),
	FIELD(key_id, TEXT, 0, 16),
	FIELD(expires, TIME, ID_F_CREATE | ID_F_COLUMN, 0),
	FIELD(created, TIME, ID_F_COLUMN, 0),
	FIELD(spent, TIME, ID_F_COLUMN, 0),
	FIELD(revoked, TIME, ID_F_COLUMN, 0),
};

const struct id_kind id_token_kind = { "token", "tokens", fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct id_token) };

#define SELECT "SELECT id, family, user_id, provider, access, refresh, key_id, expires, created, spent, revoked FROM provider_tokens "
#define INSERT "INSERT INTO provider_tokens (id, family, user_id, provider, access, refresh, key_id, expires, created) "

static bool read_row(struct id_call *k, void *to, const struct ch_value *row, size_t n)
{
	struct id_token *t = to;

	if (n < 11)
		return false;
	t->id = id_text(k, &row[0]);
	t->family = id_text(k, &row[1]);
	t->user = id_text(k, &row[2]);
	t->provider = id_text(k, &row[3]);
	t->key_id = id_text(k, &row[6]);
	t->expires = ch_v_as_int(&row[7]);
	t->created = ch_v_as_int(&row[8]);
	t->spent = ch_v_as_int(&row[9]);
	t->revoked = ch_v_as_int(&row[10]);
	return id_bytes(k, &row[4], &t->access) && id_bytes(k, &row[5], &t->refresh) && t->id && t->family && t->user && t->provider &&
		t->key_id;
}

static struct id_call *begin(struct ch_self *self, struct ch_ctx *c, size_t statements, size_t values, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = id_call(self, c, sizeof(*k), statements, values, out, ticket);

	if (k) {
		k->row = read_row;
		k->row_size = sizeof(struct id_token);
	}
	return k;
}

void id_tokens_list(struct ch_self *self, struct ch_ctx *c, const char *after, const char *user, const char *provider, int64_t limit,
	struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 4, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE id > $1 AND ($2 = '' OR user_id = $2) AND ($3 = '' OR provider = $3) ORDER BY id LIMIT $4", CH_SQL_ANY,
		ID_VALUES(ch_v_text(after), ch_v_text(user), ch_v_text(provider), ch_v_int(limit)));
	id_run(k, id_end);
}

void id_token_get(struct ch_self *self, struct ch_ctx *c, const char *id, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 1, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE id = $1", 1, ID_VALUES(ch_v_text(id)));
	id_run(k, id_end);
}

void id_token_current(struct ch_self *self, struct ch_ctx *c, const char *user, const char *provider, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 3, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE user_id = $1 AND provider = $2 AND spent IS NULL AND revoked IS NULL AND (expires IS NULL OR expires > $3) "
		"AND NOT EXISTS (SELECT 1 FROM users WHERE id = $1 AND disabled) ORDER BY created DESC, id DESC LIMIT 1", 1,
		ID_VALUES(ch_v_text(user), ch_v_text(provider), ch_v_time(ch_wall())));
	id_run(k, id_end);
}

static struct ch_value blob_or_null(struct ch_str s)
{
	return ch_v_blob(s.n ? s.p : NULL, s.n);
}

static struct ch_value time_or_null(int64_t us)
{
	return us ? ch_v_time(us) : ch_v_null(CH_V_TIME);
}

#define ROW(t) ch_v_text((t)->id), ch_v_text((t)->family), ch_v_text((t)->user), ch_v_text((t)->provider), blob_or_null((t)->access), \
	blob_or_null((t)->refresh), ch_v_text((t)->key_id), time_or_null((t)->expires), ch_v_time((t)->created)

void id_token_add(struct ch_self *self, struct ch_ctx *c, const struct id_token *t, bool joins, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 11, out, ticket);

	if (!k)
		return;
	if (joins)
		id_add(k,
		INSERT "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE EXISTS (SELECT 1 FROM provider_tokens WHERE family = $2 AND "
			"user_id = $3 AND provider = $4) AND NOT EXISTS (SELECT 1 FROM provider_tokens WHERE family = $2 AND "
			"(revoked IS NOT NULL OR user_id <> $3 OR provider <> $4))", 1, ID_VALUES(ROW(t)));
	else
		id_add(k, INSERT "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", 1, ID_VALUES(ROW(t)));
	id_raise(k, false, true);
	id_run(k, id_end);
}

void id_token_replace(struct ch_self *self, struct ch_ctx *c, const char *old, const struct id_token *fresh, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 3, 13, out, ticket);

	if (!k)
		return;
	id_add(k, "UPDATE provider_tokens SET spent = $2 WHERE id = $1 AND spent IS NULL AND revoked IS NULL", 1,
		ID_VALUES(ch_v_text(old), ch_v_time(fresh->created)));
	id_add(k, INSERT "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", 1, ID_VALUES(ROW(fresh)));
	id_raise(k, false, true);
	id_run(k, id_end);
}

/* count is of the first statement. */
static void on_counted(struct id_call *k)
{
	k->out->count = !k->r.error && k->r.counts ? k->r.counts[0] : 0;
	id_end(k);
}

void id_tokens_revoke(struct ch_self *self, struct ch_ctx *c, const char *user, const char *provider, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 5, out, ticket);

	if (!k)
		return;
	id_add(k, "UPDATE provider_tokens SET revoked = $3 WHERE user_id = $1 AND provider = $2 AND revoked IS NULL", CH_SQL_ANY,
		ID_VALUES(ch_v_text(user), ch_v_text(provider), ch_v_time(ch_wall())));
	id_raise(k, false, true);
	id_run(k, on_counted);
}

void id_family_revoke(struct ch_self *self, struct ch_ctx *c, const char *family, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 4, out, ticket);

	if (!k)
		return;
	id_add(k, "UPDATE provider_tokens SET revoked = $2 WHERE family = $1 AND revoked IS NULL", CH_SQL_ANY,
		ID_VALUES(ch_v_text(family), ch_v_time(ch_wall())));
	id_raise(k, false, true);
	id_run(k, on_counted);
}

void id_token_remove(struct ch_self *self, struct ch_ctx *c, const char *id, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 3, out, ticket);

	if (!k)
		return;
	id_add(k, "DELETE FROM provider_tokens WHERE id = $1", 1, ID_VALUES(ch_v_text(id)));
	id_raise(k, false, true);
	id_run(k, id_end);
}

void id_tokens_expire(struct ch_self *self, struct ch_ctx *c, int64_t most, struct id_result *out, ch_ticket ticket)
{
	const struct identity_conf *conf = self->conf;
	struct id_call *k = begin(self, c, 1, 3, out, ticket);

	if (!k)
		return;
	/* One that can be refreshed is worth keeping beyond its expiry; one that is spent or revoked shows whoever uses it again. */
	id_add(k, "DELETE FROM provider_tokens WHERE id IN (SELECT id FROM provider_tokens WHERE (refresh IS NULL AND expires < $1) OR "
		"expires < $2 OR spent < $2 OR revoked < $2 ORDER BY id LIMIT $3)", CH_SQL_ANY,
		ID_VALUES(ch_v_time(ch_wall()), ch_v_time(ch_wall() - conf->token_keep * 1000), ch_v_int(most)));
	id_run(k, on_counted);
}

void id_tokens_old(struct ch_self *self, struct ch_ctx *c, const char *after, int64_t limit, struct id_result *out, ch_ticket ticket)
{
	const struct identity_state *s = self->state;
	struct id_call *k = begin(self, c, 1, 3, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE id > $1 AND key_id <> $2 ORDER BY id LIMIT $3", CH_SQL_ANY,
		ID_VALUES(ch_v_text(after), ch_v_text(id_ring_first(s->ring)), ch_v_int(limit)));
	id_run(k, id_end);
}

static bool read_use(struct id_call *k, void *to, const struct ch_value *row, size_t n)
{
	struct id_key_use *use = to;

	use->key_id = n > 1 ? id_text(k, &row[0]) : NULL;
	use->tokens = n > 1 ? ch_v_as_int(&row[1]) : 0;
	return use->key_id;
}

void id_tokens_keys(struct ch_self *self, struct ch_ctx *c, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = id_call(self, c, sizeof(*k), 1, 0, out, ticket);

	if (!k)
		return;
	k->row = read_use;
	k->row_size = sizeof(struct id_key_use);
	id_add(k, "SELECT key_id, COUNT(*) FROM provider_tokens WHERE spent IS NULL AND revoked IS NULL GROUP BY key_id ORDER BY key_id",
		CH_SQL_ANY, NULL, 0);
	id_run(k, id_end);
}

void id_tokens_rekey(struct ch_self *self, struct ch_ctx *c, const struct id_token *v, const char *const *was, size_t n,
	struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = begin(self, c, n, n * 5, out, ticket);

	if (!k)
		return;
	for (size_t i = 0; i < n; i++)
		id_add(k, "UPDATE provider_tokens SET access = $2, refresh = $3, key_id = $4 WHERE id = $1 AND key_id = $5", CH_SQL_ANY,
			ID_VALUES(ch_v_text(v[i].id), blob_or_null(v[i].access), blob_or_null(v[i].refresh), ch_v_text(v[i].key_id),
				ch_v_text(was[i])));
	id_run(k, id_end);
}
