/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - what stores have said of keys, by hash and store: a cache of one loop, bounded. What is there and what is not lie apart, so
 * that keys which nobody knows cannot drive out those that somebody does.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include <chimera/keys.h>
#include <chimera/kit/hash.h>

struct auth_cache;

/* Room for about n keys that are there, and as many that are not. NULL: no memory. */
struct auth_cache *auth_cache_new(size_t n);
void auth_cache_free(struct auth_cache *);

enum auth_cached { AUTH_C_MISS, AUTH_C_FOUND, AUTH_C_ABSENT };
/*
 * What that store said when its revision was this one, if it may still be believed. FOUND: *key, not judged, texts good until the next call
 * of auth_cache_put.
 */
enum auth_cached auth_cache_get(struct auth_cache *, const unsigned char sha256[CH_SHA256], size_t store, uint64_t revision, int64_t now,
	const struct ch_key **key);
/* The key that the store had when it was asked last, however long ago and whatever its revision; texts as above. NULL: none is kept. */
const struct ch_key *auth_cache_last(const struct auth_cache *, const unsigned char sha256[CH_SHA256], size_t store);
/* key NULL: there is none. To be believed until then (the clock of `now`). No memory: it is not kept. */
void auth_cache_put(struct auth_cache *, const unsigned char sha256[CH_SHA256], size_t store, uint64_t revision, int64_t until,
	const struct ch_key *key);

#endif
