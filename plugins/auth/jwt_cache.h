/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt_cache.h - tokens that were found good, by the SHA-256 of the whole token, until they expire. Bounded: a set of four places is full with
 * four, and the one that expires first goes. Any thread.
 */
#ifndef AUTH_JWT_CACHE_H
#define AUTH_JWT_CACHE_H

#include <chimera/kit/hash.h>

#include "jwt_read.h"

struct jwt_cache;

/* For about n tokens, 1 at least. NULL: no memory. */
struct jwt_cache *jwt_cache_new(size_t n);
void jwt_cache_free(struct jwt_cache *);
/* Is it known, under that generation of keys, and not expired at `now` (microseconds since the epoch)? Then *out is filled. */
bool jwt_cache_get(struct jwt_cache *, const unsigned char sha256[CH_SHA256], uint64_t generation, int64_t now, struct jwt_who *out);
/* Is it there, under whatever generation, and not expired? */
bool jwt_cache_knows(struct jwt_cache *, const unsigned char sha256[CH_SHA256], int64_t now);
/* who->tier must live as long as the cache. Nothing is kept if there is no memory. */
void jwt_cache_put(struct jwt_cache *, const unsigned char sha256[CH_SHA256], uint64_t generation, const struct jwt_who *who, int64_t now);

#endif
