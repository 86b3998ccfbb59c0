/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part.h - one bucket of a take or settle: how it stands, and what it comes to, in a copy. Its shard is locked all the time.
 */
#ifndef KV_MEMORY_PART_H
#define KV_MEMORY_PART_H

#include "ops.h"

struct km_part {
	const struct ch_kv_bucket *b;
	struct km_id id;
	struct km_shard *h;
	struct km_entry *e;               /* NULL: there is none; one that is over stands there to be used again */
	bool limit_of_0;
	bool changed, kept;               /* what came of it: something; and there is something to be remembered */
	/* TOKENS */
	bool carried;                     /* the numbers are others than last time */
	struct ch_bucket bucket;
	struct ch_bucket_rate rate;
	int64_t full_us;                  /* until it is full */
	struct km_rate *shared, *fresh_rate;
	/* HOLDERS */
	struct km_id holder;
	struct km_holder *own, *grown;
	uint32_t inside, room;
	int64_t first, last;              /* when the first and the last one leave by themselves, without `own` */
	/* to be used if there is no entry */
	struct km_entry *fresh;
};

/* Finds the bucket and brings the copy up to now and to the numbers of the args. An enum ch_kv_error. */
int km_part_look(struct km_store *s, struct km_part *p, int64_t now);
/* Has it what is asked of it? */
bool km_part_passes(const struct km_part *p);
/* It happens: the copy is what comes of it, and the level that behind it. */
void km_part_change(struct km_part *p, bool settles, struct ch_kv_level *l);
/* It was refused: the level is as it was found. A bucket flows by its new numbers from now on all the same. */
void km_part_leave(struct km_part *p, struct ch_kv_level *l);

#endif
