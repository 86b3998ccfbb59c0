/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - what the files of this plugin share: its options, its state, the entities, and the data accesses to them.
 *
 *   identity.c        options, tables, life              store.c        a batch to sql/1
 *   users.c keys.c tokens.c stats.c                      data access, one entity each
 *   cache.c           rows that were found, by a hash    keeper.c       the revision, and flushes, by the clock
 *   keys_service.c tokens_service.c                      keys/1 and tokens/1
 *   unread.c          tokens whose key is not here
 *   crypt.c           AES-256-GCM and its keys           cleanup.c      old tokens go, rows of old keys are encrypted anew
 *   fields.c          entities as JSON and as words      routes.c route_*.c command*.c  what the operator asks for
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <pthread.h>
#include <stdatomic.h>

#include <chimera/keys.h>
#include <chimera/kit/key.h>
#include <chimera/tokens.h>

#include "cache.h"
#include "crypt.h"
#include "store.h"

#define ID_NAME_MAX 128      /* bytes of an id, as tokens.h has it for users and providers */
#define ID_SECRET_MAX 16384  /* bytes of a provider's token */
#define ID_SHA 32

struct identity_conf {
	const struct ch_svc *store;
	const char *encryption_key;
	struct ch_list encryption_keys_old;
	int64_t revision_interval, key_cache_grace, flush_interval, login_gap, token_keep, store_timeout; /* milliseconds */
	int64_t cache_keys, cache_tokens;
	const char *cleanup;
};

struct id_counts; /* count.c */
#define ID_UNREAD 160 /* bytes of a sentence of unread.c, as a check's message has */

struct identity_state {
	/* The epochs: numbers of this process that change whenever the database's revision is seen to differ. */
	_Atomic uint64_t key_epoch, token_epoch;
	_Atomic int64_t seen; /* ch_now when the last poll that went well was sent; at first: of the start */
	atomic_bool away;     /* the last poll failed */
	pthread_mutex_t lock; /* of revision */
	int64_t revision[2];  /* the database's, of keys and tokens; -1: not known yet */

	struct id_counts *pending;

	struct id_cache *keys, *tokens;
	struct id_ring *ring; /* NULL: there is no encryption_key */
	struct ch_timer *tick;/* house loop, as is … */
	int64_t flushed;      /* … ch_now of the last flush */
	atomic_bool keeps;    /* the keeper's task is out */
	atomic_int drain;     /* keeper.c: how far the last flush is */
	unsigned hits[2], misses[2], evictions[2], entries[2]; /* series; keys, tokens */
	char unread[ID_UNREAD]; /* unread.c: what the check says; of the lock */
	bool looked;          /* house loop: unread tokens have been looked for */
	unsigned age, cleaned, rekeyed, store_errors[2], uncounted;
};

enum { ID_KEYS, ID_TOKENS };

/* ---- entities. Texts belong to the ctx; "" and 0 where there is nothing ---- */

struct id_user {
	uint32_t given;      /* bits of the fields that a request named, by their row in the table of fields */
	const char *id, *name, *email;
	int64_t role, disabled, created;
	int64_t logins, requests, last_seen;
};

struct id_key {
	uint32_t given;
	const char *id, *prefix, *owner, *tier, *limits, *models, *routes, *backends, *networks, *note;
	int64_t role, expires, disabled, created;
	int64_t owner_disabled;
	int64_t any_owner;   /* of a request: the owner need not be a user */
};

struct id_token {
	uint32_t given;
	const char *id, *family, *user, *provider, *key_id;
	struct ch_str access, refresh; /* encrypted; of a request: plain */
	int64_t expires, created, spent, revoked;
};

/* Bits of `given`: the rows of the tables of fields. */
enum { ID_USER_EMAIL = 2, ID_USER_ROLE, ID_USER_DISABLED };
enum { ID_KEY_ROLE = 4, ID_KEY_EXPIRES = 10, ID_KEY_DISABLED };

/* ---- users.c ---- */

/* Users in the order of their ids, those behind `after`. */
void id_users_list(struct ch_self *, struct ch_ctx *, const char *after, int64_t limit, struct id_result *, ch_ticket);
void id_user_get(struct ch_self *, struct ch_ctx *, const char *id, struct id_result *, ch_ticket);
/* ID_EXISTS: there is one of that id. */
void id_user_add(struct ch_self *, struct ch_ctx *, const struct id_user *, struct id_result *, ch_ticket);
/* Only the fields that are `given`. */
void id_user_set(struct ch_self *, struct ch_ctx *, const char *id, const struct id_user *, struct id_result *, ch_ticket);
/* With all keys, tokens and stats of that user. */
void id_user_remove(struct ch_self *, struct ch_ctx *, const char *id, struct id_result *, ch_ticket);
extern const struct id_kind id_user_kind;

/* ---- keys.c ---- */

/* owner "": of all. */
void id_keys_list(struct ch_self *, struct ch_ctx *, const char *after, const char *owner, int64_t limit, struct id_result *, ch_ticket);
void id_key_get(struct ch_self *, struct ch_ctx *, const char *id, struct id_result *, ch_ticket);
void id_key_find(struct ch_self *, struct ch_ctx *, const unsigned char sha256[ID_SHA], struct id_result *, ch_ticket);
/* ID_NO_OWNER: the owner is no user, and any_owner is not set; detail names the nearest. */
void id_key_add(struct ch_self *, struct ch_ctx *, const struct id_key *, const unsigned char sha256[ID_SHA], struct id_result *,
	ch_ticket);
/* Only the fields that are `given`; the same of a new owner. */
void id_key_set(struct ch_self *, struct ch_ctx *, const char *id, const struct id_key *, struct id_result *, ch_ticket);
/* The key keeps its id and all else, and has another secret from now on. */
void id_key_rotate(struct ch_self *, struct ch_ctx *, const char *id, const char *prefix, const unsigned char sha256[ID_SHA],
	struct id_result *, ch_ticket);
void id_key_remove(struct ch_self *, struct ch_ctx *, const char *id, struct id_result *, ch_ticket);
extern const struct id_kind id_key_kind;

#define ID_KEY_SHOWN 7  /* of them are kept and shown, so that people can tell keys apart */

/* ---- tokens.c ---- */

void id_tokens_list(struct ch_self *, struct ch_ctx *, const char *after, const char *user, const char *provider, int64_t limit,
	struct id_result *, ch_ticket);
void id_token_get(struct ch_self *, struct ch_ctx *, const char *id, struct id_result *, ch_ticket);
/* The newest that can be used now. */
void id_token_current(struct ch_self *, struct ch_ctx *, const char *user, const char *provider, struct id_result *, ch_ticket);
/* joins: its family must be there, of the same user at the same provider, and not revoked; else ID_NONE. */
void id_token_add(struct ch_self *, struct ch_ctx *, const struct id_token *, bool joins, struct id_result *, ch_ticket);
/* `old` is spent and `fresh` takes its place; ID_NONE: it was spent or revoked already. */
void id_token_replace(struct ch_self *, struct ch_ctx *, const char *old, const struct id_token *fresh, struct id_result *, ch_ticket);
/* count: how many there were. */
void id_tokens_revoke(struct ch_self *, struct ch_ctx *, const char *user, const char *provider, struct id_result *, ch_ticket);
void id_family_revoke(struct ch_self *, struct ch_ctx *, const char *family, struct id_result *, ch_ticket);
void id_token_remove(struct ch_self *, struct ch_ctx *, const char *id, struct id_result *, ch_ticket);
/* count: how many of at most `most` have gone. */
void id_tokens_expire(struct ch_self *, struct ch_ctx *, int64_t most, struct id_result *, ch_ticket);
/* Rows that another key than the first has encrypted, those behind `after`. */
void id_tokens_old(struct ch_self *, struct ch_ctx *, const char *after, int64_t limit, struct id_result *, ch_ticket);
/* They have been encrypted anew: those whose key_id is still `was[i]` are written. */
void id_tokens_rekey(struct ch_self *, struct ch_ctx *, const struct id_token *, const char *const *was, size_t n, struct id_result *,
	ch_ticket);
/* How many tokens that are neither spent nor revoked each key has encrypted: rows of struct id_key_use. */
struct id_key_use { const char *key_id; int64_t tokens; };
void id_tokens_keys(struct ch_self *, struct ch_ctx *, struct id_result *, ch_ticket);
extern const struct id_kind id_token_kind;

/* ---- stats.c, count.c ---- */

struct id_stat {
	const char *owner;
	int64_t requests, first, last; /* microseconds since the epoch */
};
void id_stats_add(struct ch_self *, struct ch_ctx *, const struct id_stat *, size_t n, struct id_result *, ch_ticket);

/* END: counts the request for its owner, in memory of the loop. */
int id_count(struct ch_self *, struct ch_ctx *);
/*
 * All loops' counts go to the database; what cannot be written is kept. Returns what a resumed function returns: CH_AGAIN, and later
 * what `done`
 * returns, or that at once.
 */
int id_flush(struct ch_self *, struct ch_ctx *, int (*done)(void *data), void *data);
int id_count_start(struct ch_self *, struct ch_loop *);
void id_count_stop(struct ch_self *, struct ch_loop *);
bool id_count_new(struct identity_state *);
void id_count_adopt(struct identity_state *, struct identity_state *prev);
void id_count_free(struct identity_state *);

/* ---- keeper.c ---- */

/* [any] What a poll, sent at `asked` (0: it was a change of our own), or a change told of the database's revision. */
void id_revision_seen(struct ch_self *, int64_t keys, int64_t tokens, int64_t asked);
/* [any] Milliseconds since the last poll that went well. */
int64_t id_revision_age(struct ch_self *);
/* House loop: begins to watch the revision. */
int id_keeper_start(struct ch_self *, struct ch_loop *);
void id_keeper_stop(struct ch_self *);
/* [any] As `drained` of struct ch_plugin. */
bool id_keeper_drained(struct ch_self *);
/* [any] A call to the store did not go well. */
void id_store_failed(struct ch_self *, int error);
int id_check(struct ch_self *, struct ch_ctx *, struct ch_check_result *);

/* ---- unread.c ---- */

/* What id_tokens_keys has told: kept for the check, logged when it changes; the sentence, or NULL: all tokens can be read. */
const char *id_unread_judge(struct ch_self *, struct ch_ctx *, const struct id_result *);
/* [any] The sentence of the last look; "": none. */
void id_unread_why(struct ch_self *, char out[ID_UNREAD]);
/* [any] Begins a look, in a task of its own. */
void id_unread_begin(struct ch_self *);

/* ---- the services, cleanup, and what the operator asks for ---- */

extern const struct ch_keys_v1 id_keys_service;
extern const struct ch_tokens_v1 id_tokens_service;

/* Encrypts what a request gave and fills id, family (NULL: a new one), key_id and created. NULL, or what is wrong. */
const char *id_token_seal(struct ch_self *, struct ch_ctx *, struct id_token *);

/* By the clock: all there is to be cleaned up. */
int id_cleanup(struct ch_self *, struct ch_ctx *);
struct id_cleaned {
	struct id_result r;
	uint64_t cleaned, rekeyed;
	const char *unread; /* of the first and the last step: a sentence about tokens that no key which is here opens; NULL: there are none */
	const char *after; /* there may be more rows of old keys, behind this id; NULL: none */
};
/* One step: what is over goes, and a page of rows behind `after` ("": the first) is encrypted anew. */
void id_cleanup_run(struct ch_self *, struct ch_ctx *, const char *after, struct id_cleaned *, ch_ticket);
/* House loop: begins the steps that follow, in tasks of their own. NULL: none follows. */
void id_cleanup_on(struct ch_self *, const char *after);

#define ID_ROUTES 16
extern const struct ch_route id_routes[ID_ROUTES];
extern const struct ch_command id_commands[3];

/* "There is no …", "The store is away …": the answer to what a data access could not do. Returns CH_DONE. */
int id_refuse(struct ch_ctx *, const struct id_result *, const char *what, const char *id);

/* [A-Za-z0-9._@:/-]{1,128}, the names of users, providers and owners. */
bool id_is_name(const char *s, size_t n);

#endif
