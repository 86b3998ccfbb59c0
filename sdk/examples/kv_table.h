/* SPDX-License-Identifier: MIT */
/* kv_table.h - what kv_table's operations share. On the loop of whoever asks. */
#ifndef KV_TABLE_H
#define KV_TABLE_H

#include <chimera/kv.h>

#include "kv_store.h"

struct table_conf {
	int64_t max_bytes;
};

struct table_state {
	struct kv_store *store;
	unsigned bytes, forgotten; /* series */
};

/* The store, locked; and the end of that: returns rc. */
struct kv_store *kv_lock(const struct ch_svc *svc);
int kv_unlock(const struct ch_svc *svc, int rc);

/* Fills *out, NULL if nobody waits for the answer, and returns what an operation returns. */
int kv_fail(struct ch_kv_result *out, int error, const char *detail);
int kv_bad(struct ch_kv_result *out, const char *detail);
int kv_wrong_kind(struct ch_kv_result *out);
int kv_full(struct ch_kv_result *out);

/* Microseconds as milliseconds, rounded up. */
int64_t kv_ms(int64_t us);

/* kv_buckets.c: take and settle. */
int kv_change(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, bool settles);

#endif
