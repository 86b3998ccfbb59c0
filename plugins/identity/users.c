/* SPDX-License-Identifier: Apache-2.0 */
/* users.c - data access: users, with what stats.c has counted for them. */
#include "fields.h"
#include "identity.h"

#define FIELD(name, type, flags, max) { #name, ID_F_##type, offsetof(struct id_user, name), flags, max }

static const struct id_field fields[] = {
	FIELD(id, NAME, ID_F_CREATE | ID_F_REQUIRED | ID_F_COLUMN, 0),
	FIELD(name, TEXT, ID_F_CREATE | ID_F_CHANGE | ID_F_COLUMN, 256),
	FIELD(email, TEXT, ID_F_CREATE | ID_F_CHANGE | ID_F_COLUMN, 254),
	FIELD(role, ROLE, ID_F_CREATE | ID_F_CHANGE | ID_F_COLUMN, 0),
	FIELD(disabled, BOOL, ID_F_CREATE | ID_F_CHANGE | ID_F_COLUMN, 0),
	FIELD(created, TIME, 0, 0),
	FIELD(logins, COUNT, ID_F_COLUMN, 0),
	FIELD(requests, COUNT, ID_F_COLUMN, 0),
	FIELD(last_seen, TIME, ID_F_COLUMN, 0),
};

const struct id_kind id_user_kind = { "user", "users", fields, sizeof(fields) / sizeof(fields[0]), sizeof(struct id_user) };

#define SELECT "SELECT u.id, u.name, u.email, u.role, u.disabled, u.created, s.logins, s.requests, s.last_seen " \
	"FROM users u LEFT JOIN user_stats s ON s.user_id = u.id "

static bool read_row(struct id_call *k, void *to, const struct ch_value *row, size_t n)
{
	struct id_user *u = to;
	const char *role = n > 8 ? id_text(k, &row[3]) : NULL;

	if (!role)
		return false;
	u->id = id_text(k, &row[0]);
	u->name = id_text(k, &row[1]);
	u->email = id_text(k, &row[2]);
	u->role = id_role_of(role);
	u->disabled = ch_v_as_int(&row[4]);
	u->created = ch_v_as_int(&row[5]);
	u->logins = ch_v_as_int(&row[6]);
	u->requests = ch_v_as_int(&row[7]);
	u->last_seen = ch_v_as_int(&row[8]);
	return u->id && u->name && u->email;
}

static struct id_call *begin(struct ch_self *self, struct ch_ctx *c, size_t statements, size_t values, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = id_call(self, c, sizeof(*k), statements, values, out, ticket);

	if (k) {
		k->row = read_row;
		k->row_size = sizeof(struct id_user);
	}
	return k;
}

void id_users_list(struct ch_self *self, struct ch_ctx *c, const char *after, int64_t limit, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 2, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE u.id > $1 ORDER BY u.id LIMIT $2", CH_SQL_ANY, ID_VALUES(ch_v_text(after), ch_v_int(limit)));
	id_run(k, id_end);
}

void id_user_get(struct ch_self *self, struct ch_ctx *c, const char *id, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 1, 1, out, ticket);

	if (!k)
		return;
	id_add(k, SELECT "WHERE u.id = $1", 1, ID_VALUES(ch_v_text(id)));
	id_run(k, id_end);
}

static struct ch_value text_or_null(const char *s)
{
	return ch_v_text(s && *s ? s : NULL);
}

/* It demanded that a row is made, which there was. */
static void on_added(struct id_call *k)
{
	if (k->out->error == ID_NONE)
		k->out->error = ID_EXISTS;
	id_end(k);
}

void id_user_add(struct ch_self *self, struct ch_ctx *c, const struct id_user *u, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 8, out, ticket);

	if (!k)
		return;
	id_add(k,
		"INSERT INTO users (id, name, email, role, disabled, created) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING", 1,
		ID_VALUES(ch_v_text(u->id), ch_v_text(u->name ? u->name : ""), text_or_null(u->email), ch_v_text(id_role_name(u->role)),
			ch_v_bool(u->disabled), ch_v_time(u->created)));
	id_raise(k, true, false); /* keys of this owner may have been there before */
	id_run(k, on_added);
}

void id_user_set(struct ch_self *self, struct ch_ctx *c, const char *id, const struct id_user *u, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 2, 8, out, ticket);
	uint32_t given = u->given;

	if (!k)
		return;
	id_add(k, "UPDATE users SET name = COALESCE($2, name), email = CASE WHEN $3 THEN $4 ELSE email END, role = COALESCE($5, role), "
		"disabled = COALESCE($6, disabled) WHERE id = $1", 1,
		ID_VALUES(ch_v_text(id), ch_v_text(u->name), ch_v_bool(given & 1u << ID_USER_EMAIL), text_or_null(u->email),
			ch_v_text(given & 1u << ID_USER_ROLE ? id_role_name(u->role) : NULL),
			given & 1u << ID_USER_DISABLED ? ch_v_bool(u->disabled) : ch_v_null(CH_V_BOOL)));
	id_raise(k, true, true);
	id_run(k, id_end);
}

void id_user_remove(struct ch_self *self, struct ch_ctx *c, const char *id, struct id_result *out, ch_ticket ticket)
{
	struct id_call *k = begin(self, c, 5, 8, out, ticket);

	if (!k)
		return;
	id_add(k, "DELETE FROM users WHERE id = $1", 1, ID_VALUES(ch_v_text(id)));
	id_add(k, "DELETE FROM api_keys WHERE owner = $1", CH_SQL_ANY, ID_VALUES(ch_v_text(id)));
	id_add(k, "DELETE FROM provider_tokens WHERE user_id = $1", CH_SQL_ANY, ID_VALUES(ch_v_text(id)));
	id_add(k, "DELETE FROM user_stats WHERE user_id = $1", CH_SQL_ANY, ID_VALUES(ch_v_text(id)));
	id_raise(k, true, true);
	id_run(k, id_end);
}
