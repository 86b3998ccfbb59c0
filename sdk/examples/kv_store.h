/* SPDX-License-Identifier: MIT */
/*
 * kv_store.h - the memory of kv_table: entries by key, bounded by bytes, the least recently used goes first. Needs no host.
 *
 * Everything under store->lock, which whoever calls holds. Times are microseconds of one monotonic clock.
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <chimera/kit/bucket.h>

enum kv_kind { KV_TOKENS, KV_HOLDERS, KV_VALUE, KV_COUNTER }; /* the first two as in chimera/kv.h */

struct kv_holder {
	int64_t until;
	size_t n;
	char name[64];
};

struct kv_entry {
	struct kv_entry *chain;           /* others of the same hash */
	struct kv_entry *newer, *older;   /* by the last use */
	int kind;                         /* enum kv_kind */
	bool pinned;                      /* not to be forgotten now */
	int64_t expires;                  /* 0: it does not */
	size_t size;                      /* what it counts for */
	size_t nkey, nvalue;
	union {
		uint64_t version;
		int64_t number;
		struct { struct ch_bucket bucket; struct ch_bucket_rate rate; };
		struct { struct kv_holder *holders; size_t nholders, room; };
	};
	char bytes[];                     /* the key, then the value */
};

struct kv_store {
	pthread_mutex_t lock;
	unsigned users;
	size_t used, max;                 /* bytes; what it takes up at most */
	uint64_t forgotten;               /* entries that had to go */
	uint64_t versions;                /* the last one given */
	uint64_t seed;
	struct kv_entry **chains;
	size_t nchains;                   /* a power of two */
	struct kv_entry *newest, *oldest;
};

/* An empty store with one user. NULL: no memory. seed: random, so that nobody can choose keys of one hash. */
struct kv_store *kv_store_new(size_t max, uint64_t seed);
/* Nobody uses it any more. */
void kv_store_free(struct kv_store *s);

/* The entry of that key, which counts as used now; one that has expired is gone. NULL: none. */
struct kv_entry *kv_find(struct kv_store *s, const char *key, size_t n, int64_t now);
/* A new entry, zeroed but for its key, with room for a value; what stood there is gone. NULL: no room, and it stands there still. */
struct kv_entry *kv_put(struct kv_store *s, const char *key, size_t n, int kind, size_t nvalue, int64_t now);
/* Room for one more holder. False: there is none. */
bool kv_more_holders(struct kv_store *s, struct kv_entry *e);
void kv_drop(struct kv_store *s, struct kv_entry *e);

#endif
