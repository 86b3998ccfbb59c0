/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the memory of kv_memory: entries by identity in shards, bounded by bytes, the least recently used goes first. Needs no host.
 *
 * Threads. A shard and its entries are used under the shard's lock. Who needs several shards locks them in the order of their numbers
 * (km_lock). km_reserve takes locks itself, so it is called without any. Everything of the store that is not in a shard is constant or
 * atomic.
 *
 * Time. Microseconds of a clock that whoever calls has read; km_time makes one of it that never goes back, for each shard. What lies below
 * is in that time.
 */
#ifndef KV_MEMORY_STORE_H
#define KV_MEMORY_STORE_H

#include <pthread.h>
#include <stdatomic.h>

#include <chimera/kit/bucket.h>

#include "ident.h"

enum { KM_SHARDS = 32, KM_LEVELS = 4, KM_SLOTS = 64, KM_RATES = 16, KM_OWN_PAGES = 32 << 10 };
enum km_kind { KM_TOKENS, KM_HOLDERS, KM_VALUE, KM_COUNTER }; /* the first two as in chimera/kv.h */
enum km_reason { KM_EXPIRED, KM_FULL, KM_REASONS };           /* why an entry went without being asked to */

/* What limits of the same numbers share. */
struct km_rate {
	struct km_rate *next;
	size_t users;
	int64_t burst, count, period_ms;
	struct ch_bucket_rate r;
};

/* A value's bytes. They may outlive their entry: whoever reads holds a reference. */
struct km_blob {
	atomic_uint users;
	bool own_pages;
	size_t n;
	char bytes[];
};

struct km_holder {
	struct km_id id;
	int64_t until;
};

/* A key's entry: 104 bytes, of any kind. */
struct km_entry {
	struct km_entry *chain;                /* others of the same place in the table */
	struct km_entry *newer, *older;        /* by the last use */
	struct km_entry *next, **at;           /* in the wheel; at NULL: not there, it does not expire */
	uint32_t due;                          /* the wheel's tick that looks at it */
	uint8_t kind;                          /* enum km_kind */
	struct km_id id;
	int64_t used;                          /* when, at last */
	int64_t expires;                       /* 0: it does not. A bucket: when it is full, HOLDERS: when nobody is inside */
	union {
		struct { struct ch_bucket bucket; struct km_rate *rate; };
		struct { struct km_holder *holders; uint32_t inside, room; };
		struct { struct km_blob *blob; uint64_t version; };
		int64_t number;
	};
};

/* When entries expire: 4 levels of 64 slots, a tick of 2^17 us (131 ms) and 64 of the level below. */
struct km_wheel {
	uint32_t tick;                         /* what is due before it has been looked at */
	uint64_t filled[KM_LEVELS];            /* by slot: perhaps there is something in it; 0: surely not */
	struct km_entry *slots[KM_LEVELS][KM_SLOTS];
};

struct km_shard {
	_Alignas(64) pthread_mutex_t lock;
	struct km_entry **heads;
	size_t mask;                           /* heads less one; their number is a power of two */
	struct km_entry *newest, *oldest;
	_Atomic int64_t oldest_used;           /* of `oldest`; INT64_MAX: there is none. Read without the lock */
	int64_t now, ahead;                    /* the latest time; how much it is ahead of the clock, which has stepped back */
	uint64_t version;                      /* the last one given; the next one is KM_SHARDS more */
	size_t items, buckets;                 /* buckets: those of the items that are TOKENS or HOLDERS */
	uint64_t hits, misses, gone[KM_REASONS];
	struct km_rate *rates[KM_RATES];
	struct km_wheel wheel;
};

struct km_store {
	atomic_uint users;
	_Atomic size_t used, max;              /* bytes: the table, entries, what belongs to them */
	_Atomic size_t table;                  /* of these the table's */
	struct km_entry **all_heads;           /* of the shards; whoever makes or resizes the store */
	uint64_t secret[2];
	pthread_mutex_t making_room;
	struct km_shard shards[KM_SHARDS];
};

/* What an allocation of n bytes takes, with the allocator's own. */
static inline size_t km_cost(size_t n)
{
	return (n + 8 + 15) & ~(size_t)15;
}

/* An empty store with one user. NULL: no memory. `secret` is random. */
struct km_store *km_store_new(size_t max, const uint64_t secret[2], int64_t now);
/* One user less; with the last one it goes. */
void km_store_drop(struct km_store *s);
/* Other bounds, while others use the store; one caller at a time. What is too much goes now. */
void km_store_resize(struct km_store *s, size_t max);

/* ---- shards ---- */

static inline unsigned km_shard_of(struct km_id id)
{
	return (unsigned)(id.hi % KM_SHARDS);
}

/* mask: a bit for each shard. */
void km_lock(struct km_store *s, uint32_t mask);
void km_unlock(struct km_store *s, uint32_t mask);
int64_t km_time(struct km_shard *h, int64_t now);

/* ---- room ---- */

/*
 * So many bytes are the caller's, to be used up by entries or given back. Quick, and with shards locked: there must be room. Else the least
 * recently used are forgotten, but for the n that are spared; false: what is left may not go.
 */
bool km_reserve_quick(struct km_store *s, size_t bytes);
bool km_reserve(struct km_store *s, size_t bytes, const struct km_id *spare, size_t n);
void km_give_back(struct km_store *s, size_t bytes);

/* ---- entries; the shard is locked ---- */

/* The entry of that identity, expired or not. NULL: none. */
struct km_entry *km_seek(const struct km_shard *h, struct km_id id);
/* The same; one that has expired goes, another one counts as used now. */
struct km_entry *km_find(struct km_store *s, struct km_shard *h, struct km_id id);
void km_touch(struct km_shard *h, struct km_entry *e);
static inline bool km_expired(const struct km_shard *h, const struct km_entry *e)
{
	return e->expires && e->expires <= h->now;
}
/* Puts an allocated entry with id, kind and expires into the shard, as the newest. Its km_cost is reserved. */
void km_insert(struct km_shard *h, struct km_entry *e);
/* It goes, with what belongs to it, and its bytes are given back. */
void km_remove(struct km_store *s, struct km_shard *h, struct km_entry *e);
/* `expires` has changed. */
void km_expires(struct km_shard *h, struct km_entry *e, int64_t when);
/* Lets at most `most` expired entries go or move on; how many it was. */
size_t km_sweep(struct km_store *s, struct km_shard *h, size_t most);

/* ---- what belongs to entries ---- */

/* NULL: no memory. */
struct km_blob *km_blob_new(const char *p, size_t n);
void km_blob_drop(struct km_blob *b);
static inline size_t km_blob_cost(size_t n)
{
	return n >= KM_OWN_PAGES ? (sizeof(struct km_blob) + n + 4095) & ~(size_t)4095 : km_cost(sizeof(struct km_blob) + n);
}
/* The rate of these numbers, if the shard knows it already. */
struct km_rate *km_rate_find(const struct km_shard *h, int64_t burst, int64_t count, int64_t period_ms);
/* One user more of what was found, or of `fresh`, which is the shard's then. */
struct km_rate *km_rate_use(struct km_shard *h, struct km_rate *r);
/* One user less; the last one frees it and gives its bytes back. */
void km_rate_leave(struct km_store *s, struct km_shard *h, struct km_rate *r);

#endif
