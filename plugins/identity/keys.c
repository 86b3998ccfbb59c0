/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c - data access: API keys. What a client shows is nowhere in the database, only its SHA-256 and its first characters. */
#include <chimera/kit/near.h>

#include "fields.h"
#include "identity.h"

#define FIELD(name, type, flags, max) { #name, ID_F_##type, offsetof(struct id_key, name), flags, max }
#define GIVEN (ID_F_CREATE | ID_F_CHANGE)

enum { OWNER = 2, TIER, ROLE, LIMITS, MODELS, ROUTES, BACKENDS, NETWORKS, EXPIRES, DISABLED, CREATED, NOTE };

static const struct id_field fields[] = {
	FIELD(id, NAME, ID_F_COLUMN, 0),
	FIELD(prefix, TEXT, ID_F_COLUMN, 8),
	FIELD(owner, NAME, GIVEN | ID_F_REQUIRED | ID_F_COLUMN, 0),
	FIELD(tier, TEXT, GIVEN | ID_F_COLUMN, 64),
	FIELD(role, ROLE, GIVEN | ID_F_COLUMN, 0),
	FIELD(limits, TEXT, GIVEN, 1024),
	FIELD(models, TEXT, GIVEN, 4096),
	FIELD(routes, TEXT, GIVEN, 4096),
	FIELD(backends, TEXT, GIVEN, 4096),
	FIELD(networks, TEXT, GIVEN, 4096),
	FIELD(expires, TIME, GIVEN | ID_F_COLUMN, 0),
	FIELD(disabled, BOOL, GIVEN | ID_F_COLUMN, 0),
	FIELD(created, TIME, 0, 0),
	FIELD(note, TEXT, GIVEN | ID_F_COLUMN, 1024),
	FIELD(any_owner, BOOL, GIVEN | ID_F_HIDDEN, 0),
};

const struct id_kind id_key_kind = { "key", "keys", fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct id_key) };

#define SELECT "SELECT k.id, k.prefix, k.owner, k.tier, k.role, k.limits, k.models, k.routes, k.backends, k.networks, k.expires, k.disabled, " \
	"k.created, k.note, u.disabled FROM api_keys k LEFT JOIN users u ON u.id = k.owner "

/* ---- rows ---- */

static bool read_row(struct id_call *k, void *to, const struct ch_value *row, size_t n)
{
	struct id_key *key = to;
	const char *role = n > 14 ? id_text(k, &row[ROLE]) : NULL;

	if (!role)
		return false;
	key->id = id_text(k, &row[0]);
	key->prefix = id_text(k, &row[1]);
	key->owner = id_text(k, &row[OWNER]);
	key->tier = id_text(k, &row[TIER]);
	key->role = id_role_of(role);
	key->limits = id_text(k, &row[LIMITS]);
	key->models = id_text(k, &row[MODELS]);
	key->routes = id_text(k, &row[ROUTES]);
	key->backends = id_text(k, &row[BACKENDS]);
	key->networks = id_text(k, &row[NETWORKS]);
	key->expires = ch_v_as_int(&row[EXPIRES]);
	key->disabled = ch_v_as_int(&row[DISABLED]);
	key->created = ch_v_as_int(&row[CREATED]);
	key->note = id_text(k, &row[NOTE]);
	key->owner_disabled = ch_v_as_int(&row[14]);
	return key->id && key->prefix && key->owner && key->tier && key->limits && key->models && key->routes && key->backends &&
		key->networks && key->note;
}

static struct id_call *begin(struct ch_self *self, struct ch_ctx *c, size_t statements, size_t values, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = id_call(self, c, sizeof(*k), statements, values, out, ticket);

	if (k) {
		k->row = read_row;
		k->row_size = sizeof(struct id_key);
	}
	return k;
}

void id_keys_list(struct ch_self *self, struct ch_ctx *c, const char *after, const char *owner, int64_t limit, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 3, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE k.id > $1 AND ($2 = '' OR k.owner = $2) ORDER BY k.id LIMIT $3", CH_SQL_ANY,
		ID_VALUES(ch_v_text(after), ch_v_text(owner), ch_v_int(limit)));
	id_run(k, id_end);
}

void id_key_get(struct ch_self *self, struct ch_ctx *c, const char *id, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 1, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE k.id = $1", 1, ID_VALUES(ch_v_text(id)));
	id_run(k, id_end);
}

void id_key_find(struct ch_self *self, struct ch_ctx *c, const unsigned char sha256[ID_SHA], struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 1, out, ticket);
	char *copy = k ? ch_dup(c, (const char *)sha256, ID_SHA) : NULL; /* the caller's is the caller's */

	if (!k)
		return;
	k->no_memory = !copy;
	id_add(k, SELECT "WHERE k.sha256 = $1", 1, ID_VALUES(ch_v_blob(copy, ID_SHA)));
	id_run(k, id_end);
}

/* ---- changes ---- */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static struct ch_value time_or_null(int64_t us)
{
	return us ? ch_v_time(us) : ch_v_null(CH_V_TIME);
}

/* ---- the owner of a key that is made or given away ---- */

/* Users whose ids might be the one that was meant: of about its length, with the same beginning or end. */
#define LIKE "SELECT id FROM users WHERE LENGTH(id) BETWEEN $1 AND $2 AND (SUBSTR(id, 1, 1) = $3 OR SUBSTR(id, LENGTH(id), 1) = $4) " \
	"ORDER BY id LIMIT 1000"

struct change {
	struct id_call k;
	const char *owner; /* NULL: is not looked at */
};

static bool read_like(struct id_call *k, void *to, const struct ch_value *row, size_t n)
{
	const char **id = to;

	*id = n ? id_text(k, &row[0]) : NULL;
	return *id;
}

/* The refusal stands; what the nearest users are called may have come or not. */
static void on_like(struct id_call *k)
{
	struct change *g = (struct change *)k;
	const char *const *ids = k->out->rows;
	struct ch_near near;

	ch_near_init(&near, g->owner);
	for (size_t i = 0; i < k->out->n; i++)
		ch_near_offer(&near, ids[i]);
	k->out->error = ID_NO_OWNER;
	k->out->detail = ch_print(k->c, "there is no user %s%s%s%s", g->owner, *near.best ? " (did you mean " : "", near.best,
		*near.best ? "?)" : "");
	if (!k->out->detail)
		k->out->detail = "there is no such user";
	id_end(k);
}

static void look_for_like(struct change *g)
{
	size_t n = strlen(g->owner);

	id_clear(&g->k);
	g->k.row = read_like;
	g->k.row_size = sizeof(const char *);
	id_add(&g->k, LIKE, CH_SQL_ANY, ID_VALUES(ch_v_int((int64_t)n - 3), ch_v_int((int64_t)n + 3), ch_v_text(ch_dup(g->k.c, g->owner, 1)),
		ch_v_text(g->owner + n - 1)));
	id_run(&g->k, on_like);
}

static struct change *begin_change(struct ch_self *self, struct ch_ctx *c, const struct id_key *key, size_t values, struct id_result *out,
	ch_ticket ticket)
{
	struct change *g = id_call(self, c, sizeof(*g), 3, values + 1, out, ticket);

	if (!g || !key->owner || key->any_owner)
		return g;
	g->owner = key->owner;
	/* A change, not a look: so a server that removes this user at this moment comes before us or behind us, and takes the key with it. */
	id_add(&g->k, "UPDATE users SET name = name WHERE id = $1", 1, ID_VALUES(ch_v_text(key->owner)));
	return g;
}

static void on_changed(struct id_call *k)
{
	struct change *g = (struct change *)k;

	if (k->out->error == ID_NONE && g->owner && !k->r.at)
		look_for_like(g);
	else
		id_end(k);
}

/* It demanded that a row is made, which there was. */
static void on_added(struct id_call *k)
{
	struct change *g = (struct change *)k;

	if (k->out->error == ID_NONE && (!g->owner || k->r.at))
		k->out->error = ID_EXISTS;
	on_changed(k);
}

void id_key_add(struct ch_self *self, struct ch_ctx *c, const struct id_key *key, const unsigned char sha256[ID_SHA], struct id_result *out,
	ch_ticket ticket)
{
	struct change *g = begin_change(self, c, key, 18, out, ticket);

	if (!g)
		return;
	id_add(&g->k,
		"INSERT INTO api_keys (id, sha256, prefix, owner, tier, role, limits, models, routes, backends, networks, expires, disabled, "
		"created, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING", 1,
		ID_VALUES(ch_v_text(key->id), ch_v_blob(sha256, ID_SHA), ch_v_text(key->prefix), ch_v_text(key->owner),
			ch_v_text(or_empty(key->tier)), ch_v_text(id_role_name(key->role)),
			ch_v_text(or_empty(key->limits)), ch_v_text(or_empty(key->models)), ch_v_text(or_empty(key->routes)),
			ch_v_text(or_empty(key->backends)), ch_v_text(or_empty(key->networks)), time_or_null(key->expires),
			ch_v_bool(key->disabled), ch_v_time(key->created), ch_v_text(or_empty(key->note))));
	id_raise(&g->k, true, false);
	id_run(&g->k, on_added);
}

void id_key_set(struct ch_self *self, struct ch_ctx *c, const char *id, const struct id_key *key, struct id_result *out, ch_ticket ticket)
{
	struct change *g = begin_change(self, c, key, 16, out, ticket);
	uint32_t given = key->given;

	if (!g)
		return;
	id_add(&g->k, "UPDATE api_keys SET owner = COALESCE($2, owner), tier = COALESCE($3, tier), role = COALESCE($4, role), "
		"limits = COALESCE($5, limits), models = COALESCE($6, models), routes = COALESCE($7, routes), "
		"backends = COALESCE($8, backends), networks = COALESCE($9, networks), expires = CASE WHEN $10 THEN $11 ELSE expires END, "
		"disabled = COALESCE($12, disabled), note = COALESCE($13, note) WHERE id = $1", 1,
		ID_VALUES(ch_v_text(id), ch_v_text(key->owner), ch_v_text(key->tier),
			ch_v_text(given & 1u << ID_KEY_ROLE ? id_role_name(key->role) : NULL), ch_v_text(key->limits),
			ch_v_text(key->models),
			ch_v_text(key->routes), ch_v_text(key->backends), ch_v_text(key->networks), ch_v_bool(given & 1u << ID_KEY_EXPIRES),
			time_or_null(key->expires), given & 1u << ID_KEY_DISABLED ? ch_v_bool(key->disabled) : ch_v_null(CH_V_BOOL),
			ch_v_text(key->note)));
	id_raise(&g->k, true, false);
	id_run(&g->k, on_changed);
}

void id_key_rotate(struct ch_self *self, struct ch_ctx *c, const char *id, const char *prefix, const unsigned char sha256[ID_SHA],
	struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 5, out, ticket);

	if (!k)
		return;
	id_add(k, "UPDATE api_keys SET sha256 = $2, prefix = $3 WHERE id = $1", 1,
		ID_VALUES(ch_v_text(id), ch_v_blob(sha256, ID_SHA), ch_v_text(prefix)));
	id_raise(k, true, false);
	id_run(k, id_end);
}

void id_key_remove(struct ch_self *self, struct ch_ctx *c, const char *id, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 3, out, ticket);

	if (!k)
		return;
	id_add(k, "DELETE FROM api_keys WHERE id = $1", 1, ID_VALUES(ch_v_text(id)));
	id_raise(k, true, false);
	id_run(k, id_end);
}
