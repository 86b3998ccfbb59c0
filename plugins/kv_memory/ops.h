/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h - what kv/1 does, over the store alone: no host, no ctx. Any thread. What they are asked and what they tell is chimera/kv.h's; they
 * return an enum ch_kv_error, and with one *detail is a sentence and nothing else is told. now: a reading of a monotonic clock, us.
 */
#ifndef KV_MEMORY_OPS_H
#define KV_MEMORY_OPS_H

#include <chimera/kv.h>

#include "store.h"

struct km_told {
	const char *detail;
	bool done;
	uint64_t version;
	struct km_blob *value;            /* a reference that is the caller's now; NULL: none */
	int64_t ttl_ms, number;
};

int km_get(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told);
int km_set(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told);
int km_del(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told);
int km_add(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told);
/* take, or settle. levels: as many as buckets, or NULL. */
int km_take(struct km_store *s, const struct ch_kv_take_args *a, bool settles, int64_t now, struct ch_kv_level *levels,
	struct km_told *told);

/* A sentence for those errors that several of them have. */
int km_fault(struct km_told *told, int error, const char *detail);
int km_full(struct km_told *told);
int km_wrong_kind(struct km_told *told);

/* Microseconds as milliseconds, rounded up. */
static inline int64_t km_ms(int64_t us)
{
	return us > INT64_MAX - 999 ? INT64_MAX / 1000 : (us + 999) / 1000;
}

#endif
