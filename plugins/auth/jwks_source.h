/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwks_source.h - where the key set comes from, and how old it may be: a file that was read at the start, or an issuer that is asked by tasks
 * on the house loop, by the clock and whenever a request has a token of a key that is not known.
 *
 *     house loop:  timer -> task -> http/1 -> jwks_read -> the new set for all loops -> who waits is resumed
 *     any loop:    hold (a set), ask (wait for a fetch)
 *
 * What an issuer sends that cannot be used changes nothing; nor does an issuer who is away, until the keys are older than `keep`.
 */
#ifndef AUTH_JWKS_SOURCE_H
#define AUTH_JWKS_SOURCE_H

#include "jwks.h"
#include "jwt.h"

struct jwks_source;

struct jwks_waiter {                      /* the caller's, in its ctx's arena */
	ch_ticket ticket;                 /* resumed when the fetch is over, unless taken back by forget */
	struct jwks_waiter *next, **at;   /* at NULL: it does not wait */
};

/* conf lives as long. NULL: no memory. */
struct jwks_source *jwks_source_new(struct ch_self *, const struct auth_jwt_conf *, int algs);
void jwks_source_free(struct jwks_source *);
/* Takes a set that never gets too old, and the caller's hold on it: that of a file. */
void jwks_source_put(struct jwks_source *, struct jwks *);
/* The keys of another source of the same URL. [any] */
void jwks_source_adopt(struct jwks_source *, struct jwks_source *prev);
/* The house loop's: begins to fetch, and ends it. */
int jwks_source_start(struct jwks_source *, struct ch_loop *);
void jwks_source_stop(struct jwks_source *);

/* Counts the sets; 0: no key is known, or they are too old. [any] */
uint64_t jwks_source_generation(const struct jwks_source *);
/* The set, for jwks_let, and its generation; NULL as above. [any] */
struct jwks *jwks_source_hold(struct jwks_source *, uint64_t *generation);

enum jwks_ask { JWKS_WAIT = 0, JWKS_FRESH, JWKS_AWAY };
/*
 * Somebody has a token of a key that is not in the set. WAIT: a fetch runs now, the waiter's ticket is resumed when it is over; FRESH: the
 * issuer was asked a moment ago, and it answered; AWAY: it was, and it did not. [any]
 */
int jwks_source_ask(struct jwks_source *, struct jwks_waiter *);
/* Did the last fetch bring a set? [any] */
bool jwks_source_answered(struct jwks_source *);
/* True: it waited and does not any more, so its ticket is the caller's; false: the ticket was resumed or is about to be. [any] */
bool jwks_source_forget(struct jwks_source *, struct jwks_waiter *);

/* Seconds for which a Cache-Control says that the answer is fresh, up to a year; 0: not at all; -1: it says nothing. */
int64_t jwks_lifetime(struct ch_str cache_control);

#endif
