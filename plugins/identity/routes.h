/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - what the handlers of ADMIN routes share. Each starts one data access with job->r and job->ticket, and answers when it is done. */
#ifndef IDENTITY_ROUTES_H
#define IDENTITY_ROUTES_H

#include "fields.h"
#include "identity.h"

#define RETRY_MS 1000

struct id_job { /* in the request's arena */
	struct ch_self *self;
	struct ch_ctx *c;
	const struct id_kind *kind;
	const char *id;
	int64_t limit;
	struct id_result r;
	ch_ticket ticket;
	int (*end)(struct id_job *); /* it went well: answers */
	char secret[CH_KEY_CHARS + 1], prefix[ID_KEY_SHOWN + 1], key_id[32];
	unsigned char sha256[ID_SHA];
	union { struct id_user user; struct id_key key; struct id_token token; } e;
};

/* NULL: refused. id: the route's {id}. */
struct id_job *id_route_begin(struct ch_self *, struct ch_ctx *, const struct id_kind *);
/* Makes j->ticket, for a data access; `end` answers what went well. False: refused. */
bool id_route_wait(struct id_job *, int (*end)(struct id_job *));
/* The query's limit. False: refused. */
bool id_route_limit(struct id_job *);
/* A name in the query, decoded; "" if it is not there. NULL: refused. */
const char *id_route_asked(struct ch_ctx *, const char *name);

/* Answers; all return CH_DONE. */
int id_route_no_memory(struct ch_ctx *);
int id_route_answer(struct id_job *, int status, const struct ch_jw *);
int id_route_row(struct id_job *, int status, const void *row);
int id_route_got(struct id_job *);    /* 200 with the row that was read */
int id_route_gone(struct id_job *);   /* 204 */
int id_route_listed(struct id_job *); /* 200 with {"data": [...], "next": ...} */
/* For ch_keep: a struct ch_str whose bytes are wiped. */
void id_route_wipe(void *);

int id_route_users_list(struct ch_self *, struct ch_ctx *);
int id_route_user_get(struct ch_self *, struct ch_ctx *);
int id_route_user_add(struct ch_self *, struct ch_ctx *);
int id_route_user_set(struct ch_self *, struct ch_ctx *);
int id_route_user_remove(struct ch_self *, struct ch_ctx *);
int id_route_keys_list(struct ch_self *, struct ch_ctx *);
int id_route_key_get(struct ch_self *, struct ch_ctx *);
int id_route_key_add(struct ch_self *, struct ch_ctx *);
int id_route_key_set(struct ch_self *, struct ch_ctx *);
int id_route_key_rotate(struct ch_self *, struct ch_ctx *);
int id_route_key_remove(struct ch_self *, struct ch_ctx *);
int id_route_tokens_list(struct ch_self *, struct ch_ctx *);
int id_route_token_get(struct ch_self *, struct ch_ctx *);
int id_route_token_add(struct ch_self *, struct ch_ctx *);
int id_route_token_revoke(struct ch_self *, struct ch_ctx *);
int id_route_token_remove(struct ch_self *, struct ch_ctx *);

#endif
