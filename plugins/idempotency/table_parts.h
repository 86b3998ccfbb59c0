/* SPDX-License-Identifier: Apache-2.0 */
/* table_parts.h - what table.c and lead.c share. All functions: under the lock of the entry's shard. */
#ifndef IDEM_TABLE_PARTS_H
#define IDEM_TABLE_PARTS_H

#include "table.h"

#define IDEM_SHARDS 16u
#define IDEM_CHAINS 16384u
#define IDEM_SEEN_MAX (262144u / IDEM_SHARDS) /* of a shard: beyond it the one that was seen first is forgotten */

struct idem_list {                        /* newest last */
	struct idem_entry *first, *last;
	size_t n;
};

struct idem_shard {
	pthread_mutex_t lock;
	struct idem_list working, seen;   /* all but SEEN; SEEN */
	struct idem_entry *chains[IDEM_CHAINS];
};

struct idem_table {
	atomic_uint refs;
	atomic_int busy;
	unsigned char process[IDEM_PROCESS];
	struct idem_queue unwritten;
	struct idem_shard shards[IDEM_SHARDS];
};

static inline struct idem_shard *idem_shard_of(struct idem_table *t, const unsigned char *scope)
{
	return &t->shards[scope[0] % IDEM_SHARDS];
}

/* One reference less; the last one frees it. */
void idem_unref(struct idem_entry *e);
/* Takes it out of the table, and the table's reference with it. */
void idem_drop(struct idem_shard *s, struct idem_entry *e);
/* Into the list of those seen, for whom there is room. */
void idem_see(struct idem_shard *s, struct idem_entry *e, int64_t now);
/*
 * Until when we may be sure that the store has what it said it has until then. Its clock is another one: who believes a moment too long
 * takes an answer that has expired for one that was lost.
 */
int64_t idem_surely(int64_t expires, int64_t now);
/* Takes the first waiter out, with that verdict, and puts it at *at; where the next one goes. */
struct idem_waiter **idem_pop(struct idem_entry *e, struct idem_waiter **at, int verdict);
/* Does it come with the leader's payload? */
bool idem_same_print(const struct idem_entry *e, const struct idem_waiter *w);

#endif
