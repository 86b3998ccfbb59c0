/* SPDX-License-Identifier: Apache-2.0 */
/* route_keys.c - /admin/keys. A key's secret is in one answer, the one that makes it. */
#include "routes.h"

int id_route_keys_list(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_key_kind);
	const char *after = j && id_route_limit(j) ? id_route_asked(c, "after") : NULL, *owner = after ? id_route_asked(c, "owner") : NULL;

	if (!owner || !id_route_wait(j, id_route_listed))
		return CH_DONE;
	id_keys_list(self, c, after, owner, j->limit, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_key_get(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_key_kind);

	if (!j || !id_route_wait(j, id_route_got))
		return CH_DONE;
	id_key_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int show_key(struct id_job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	if (!id_route_wait(j, id_route_got))
		return CH_DONE;
	id_key_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static void wipe_secret(void *data)
{
	struct id_job *j = data;

	explicit_bzero(j->secret, sizeof(j->secret));
}

/* The row that was made or changed, with its secret, this once. */
static int tell_secret(struct id_job *j)
{
	struct ch_str *kept = ch_alloc(j->c, sizeof(*kept));
	struct ch_jw w;

	ch_jw_ctx(&w, j->c, 64 << 10); /* one piece: it does not grow, which would leave a copy behind */
	if (!kept || !w.buf)
		return id_route_no_memory(j->c);
	*kept = (struct ch_str){ w.buf, w.cap };
	if (!ch_keep(j->c, id_route_wipe, kept))
		return id_route_no_memory(j->c);
	ch_jw_object(&w);
	ch_jw_key(&w, "key");
	ch_jw_string(&w, j->secret, CH_KEY_CHARS);
	id_write_json(&w, j->kind, &j->e.key);
	ch_jw_object_end(&w);
	return id_route_answer(j, 201, &w);
}

/* False: refused. */
static bool make_secret(struct id_job *j)
{
	if (!ch_keep(j->c, wipe_secret, j) || !ch_key_make(j->secret, j->sha256, j->key_id)) {
		ch_refuse(j->c, CH_E_UNAVAILABLE, RETRY_MS,
			"There is no memory, or the system gives no random bytes now; try again later.");
		return false;
	}
	memcpy(j->prefix, j->secret, ID_KEY_SHOWN);
	return true;
}

int id_route_key_add(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_key_kind);
	struct id_key *key = j ? &j->e.key : NULL;

	if (!j || id_read_json(c, j->kind, false, key) != CH_OK || !make_secret(j) || !id_route_wait(j, tell_secret))
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
static int rotate_read(struct id_job *j)
{
	j->e.key = *(const struct id_key *)j->r.rows;
	j->e.key.prefix = j->prefix;
	j->e.key.given = 1u << ID_KEY_ROLE;
	memset(&j->r, 0, sizeof(j->r));
	if (!make_secret(j) || !id_route_wait(j, tell_secret))
		return CH_DONE;
	id_key_rotate(j->self, j->c, j->id, j->prefix, j->sha256, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_key_rotate(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_key_kind);

	if (!j || !id_route_wait(j, rotate_read))
		return CH_DONE;
	id_key_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_key_set(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_key_kind);

	if (!j || id_read_json(c, j->kind, true, &j->e.key) != CH_OK || !id_route_wait(j, show_key))
		return CH_DONE;
	id_key_set(self, c, j->id, &j->e.key, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_key_remove(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_key_kind);

	if (!j || !id_route_wait(j, id_route_gone))
		return CH_DONE;
	id_key_remove(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}
