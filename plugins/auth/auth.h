/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.h - what the files of this plugin share.
 *
 *   auth.c       options, metrics, life                    hook.c      AUTH: from a request's headers to its facts
 *   shown.c      what a client shows, and where            search.c    a key that is not known here: tokens, then the stores
 *   verify.c     the keys that are known here              cache.c     what stores have said, for a while
 *   keys_file.c  the keys file's text                      failures.c  failed attempts, by address
 *   lines.c      its lines                                 allow.c     what a key may be used for; CALL and CALL_END
 *   file.c       the file itself: read, watched, changed   service.c   keys/1 over the file
 *   edit.c       a change of its text                      command.c   chimeractl keys
 *   jwt*.c jwks*.c   tokens
 */
#ifndef AUTH_H
#define AUTH_H

#include <pthread.h>
#include <stdatomic.h>

#include <chimera/keys.h>

#include "jwt.h"
#include "verify.h"

#define AUTH_CONFIG_KEY "api_key" /* the id of the config's own key; no section of a keys file is called that */

struct auth_conf {
	bool anonymous;
	const char *api_key, *keys_file;
	struct ch_svcs stores;            /* keys/1 */
	struct ch_list tiers;             /* the least one first */
	double failures;                  /* a second; -1: no limit */
	int64_t failures_burst;
	int64_t store_timeout, cache_ttl; /* milliseconds */
	int64_t cache_keys;               /* of the process */
	struct auth_jwt_conf jwt;
};

/* What became of a request: the values of the label `outcome`, in this order. The first ones are those of enum auth_outcome. */
enum auth_result {
	AUTH_R_OK = AUTH_GOOD, AUTH_R_UNKNOWN = AUTH_UNKNOWN, AUTH_R_DISABLED = AUTH_DISABLED, AUTH_R_EXPIRED = AUTH_EXPIRED,
	AUTH_R_ANONYMOUS, AUTH_R_MISSING, AUTH_R_MALFORMED, AUTH_R_FORBIDDEN, AUTH_R_LIMITED, AUTH_R_UNAVAILABLE, AUTH_RESULTS
};
enum auth_method { AUTH_M_NONE, AUTH_M_KEY, AUTH_M_JWT, AUTH_METHODS };

struct auth_file;
struct auth_cache;
struct auth_failures;
struct auth_search;

struct auth {                             /* an instance's state */
	const struct auth_conf *conf;
	pthread_mutex_t lock;             /* of table */
	struct auth_table *table;         /* the newest */
	_Atomic uint64_t revision;        /* of table: loops see by it that theirs is an older one */
	struct auth_file *file;           /* NULL: there is none */
	struct auth_failures *failures;   /* NULL: not limited */
	struct auth_jwt *jwt;
	_Atomic int64_t tier_told;        /* ch_now when the log last told of a store's tier that there is not; 0: never */
	unsigned results[AUTH_METHODS][AUTH_RESULTS], hits, misses, keys, file_errors;
};

struct auth_loop {                        /* an instance's state on a loop */
	struct auth_table *table;
	uint64_t revision;
	struct auth_cache *cache;         /* NULL: no stores */
	struct auth_search *searches;     /* those that ask a store now, and may be joined */
};

/* auth.c: a new table in place of the one before, which goes when its last reader has let it go; ours no more. [any] */
void auth_publish(struct ch_self *, struct auth_table *);
/* [loop] The loop's state with the newest table. */
struct auth_loop *auth_loop(struct ch_self *, struct ch_loop *);
static inline void auth_count(const struct auth *a, enum auth_method m, enum auth_result r)
{
	ch_add(a->results[m][r], 1);
}

/* hook.c */
int auth_on_request(struct ch_self *, struct ch_ctx *);
/* The key is good: the facts, and what it may not do. Copies what it needs. Returns what a hook returns. */
int auth_grant(struct ch_self *, struct ch_ctx *, enum auth_method, const struct ch_key *);
/* A key that is none, for any reason: 401, the same for all. */
int auth_refuse_wrong(struct ch_self *, struct ch_ctx *, enum auth_method, enum auth_result);

/* search.c: a key that is not good by what is known here, which said `local` of it; tokens, then stores. As a hook. */
int auth_search(struct ch_self *, struct ch_ctx *, struct ch_str shown, bool bearer, const unsigned char sha256[CH_SHA256], int local);

/* allow.c */
/* May this key be used from there, for this route? 0, or enum ch_code with *why. */
int auth_allowed(const struct auth_conf *, struct ch_ctx *, const struct ch_key *, const char **why);
/* Is that tier `least` or one behind it? No tier is, if `least` is none of the option's: a mistake must not open a route. */
bool auth_is_tier(const struct auth_conf *, const char *tier, const char *least);
/* What a key's CALLs may use. False: no memory. */
bool auth_restrict(struct ch_self *, struct ch_ctx *, const char *models, const char *backends);
int auth_on_call(struct ch_self *, struct ch_ctx *);
int auth_on_call_end(struct ch_self *, struct ch_ctx *);

/* service.c, command.c */
extern const struct ch_keys_v1 auth_keys_service;
int auth_command(struct ch_self *, struct ch_ctx *, size_t argc, const char *const *argv);

#endif
