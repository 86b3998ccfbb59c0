/* SPDX-License-Identifier: Apache-2.0 */
/* route_users.c - /admin/users. */
#include "routes.h"

int id_route_users_list(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_user_kind);
	const char *after = j && id_route_limit(j) ? id_route_asked(c, "after") : NULL;

	if (!after || !id_route_wait(j, id_route_listed))
		return CH_DONE;
	id_users_list(self, c, after, j->limit, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_user_get(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_user_kind);

	if (!j || !id_route_wait(j, id_route_got))
		return CH_DONE;
	id_user_get(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

/* A change went well: what is there now is the answer. */
static int show_user(struct id_job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	if (!id_route_wait(j, id_route_got))
		return CH_DONE;
	id_user_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_added(struct id_job *j)
{
	return id_route_row(j, 201, &j->e.user);
}

int id_route_user_add(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_user_kind);

	if (!j || id_read_json(c, j->kind, false, &j->e.user) != CH_OK || !id_route_wait(j, user_added))
		return CH_DONE;
	if (!(j->e.user.given & 1u << ID_USER_ROLE))
		j->e.user.role = CH_ROLE_USER;
	j->id = j->e.user.id;
	j->e.user.created = ch_wall();
	id_user_add(self, c, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_user_set(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_user_kind);

	if (!j || id_read_json(c, j->kind, true, &j->e.user) != CH_OK || !id_route_wait(j, show_user))
		return CH_DONE;
	id_user_set(self, c, j->id, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

int id_route_user_remove(struct ch_self *self, struct ch_ctx *c)
{
	struct id_job *j = id_route_begin(self, c, &id_user_kind);

	if (!j || !id_route_wait(j, id_route_gone))
		return CH_DONE;
	id_user_remove(self, c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}
