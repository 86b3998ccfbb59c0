/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - rows of the database by a SHA-256, for as long as nothing changes there: an entry is good under the epoch that it was read in.
 * For all loops of a process; what was found and what was not have bounds of their own, so that whoever tries keys drives out no good one.
 * [any]
 */
#ifndef IDENTITY_CACHE_H
#define IDENTITY_CACHE_H

#include <chimera/plugin.h>

#define ID_PACK_NUMBERS 5
#define ID_PACK_TEXTS 11

/* A row as it is kept: numbers and texts. Each text has a final NUL that n does not count. */
struct id_pack {
	int64_t number[ID_PACK_NUMBERS];
	struct ch_str text[ID_PACK_TEXTS];
};

struct id_cache;

/* For `most` rows, and a quarter as many that were not found. NULL: no memory. */
struct id_cache *id_cache_new(size_t most);
void id_cache_free(struct id_cache *);

enum id_cached { ID_MISS = 0, ID_FOUND, ID_ABSENT };
/* FOUND: *out is filled, its texts are the ctx's. An entry of another epoch, or one for which the ctx has no memory, is a miss. */
enum id_cached id_cache_get(struct id_cache *, struct ch_ctx *, const unsigned char key[32], uint64_t epoch, struct id_pack *out);
/* row NULL: there is none. How many entries were driven out. No memory: nothing is kept. */
unsigned id_cache_put(struct id_cache *, const unsigned char key[32], uint64_t epoch, const struct id_pack *row);
/* Forgets what is of another epoch, and rows whose number[0] (an expiry; 0: never) is before `now`. */
void id_cache_sweep(struct id_cache *, uint64_t epoch, int64_t now);
size_t id_cache_entries(struct id_cache *);

#endif
