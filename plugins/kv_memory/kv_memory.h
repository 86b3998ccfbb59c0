/* SPDX-License-Identifier: Apache-2.0 */
/* kv_memory.h - an instance. Several that succeed one another share a store, which counts its users. */
#ifndef KV_MEMORY_H
#define KV_MEMORY_H

#include "ops.h"

struct km_conf {
	int64_t max_bytes;
};

struct km_state {
	struct km_store *store;           /* NULL: a successor that has not adopted yet */
	struct ch_timer *timer;           /* of the house loop */
	unsigned bytes, items, buckets, hits, misses, gone[KM_REASONS], failures[CH_KV_CANCELLED + 1]; /* series */
};

/* fault.c: what the seam does to an operation of that ctx; all zero: nothing. */
struct km_fate {
	bool fails;
	int64_t delay_ms;
};
struct km_fate km_fate(struct ch_ctx *c, int64_t timeout_ms, bool waits);
/* *out, which is filled, is told later: CH_AGAIN; or now, since there is no memory to wait with: CH_OK. */
int km_later(struct ch_ctx *c, struct ch_kv_result *out, ch_ticket t, int64_t delay_ms);
void km_cancel(struct ch_kv_result *out);

#endif
