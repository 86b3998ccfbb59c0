/* SPDX-License-Identifier: Apache-2.0 */
/* test_ops.h - operations over a store in one line, for its tests. */
#ifndef KV_MEMORY_TEST_OPS_H
#define KV_MEMORY_TEST_OPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define START (1000 * SECOND)

static const uint64_t a_secret[2] = { 0x243f6a8885a308d3, 0x13198a2e03707344 };

static inline struct ch_str text(const char *p)
{
	return (struct ch_str){ p, strlen(p) };
}

static inline struct ch_kv_args args_of(const char *key)
{
	return (struct ch_kv_args){ .size = sizeof(struct ch_kv_args), .key = text(key) };
}

/* Sets n bytes; an enum ch_kv_error. */
static inline int put(struct km_store *s, int64_t now, const char *key, size_t n, int64_t ttl_ms)
{
	struct ch_kv_args a = args_of(key);
	char *bytes = malloc(n + 1);
	struct km_told told;
	int error;

	assert_non_null(bytes);
	memset(bytes, key[0], n);
	a.value = (struct ch_str){ bytes, n };
	a.ttl_ms = ttl_ms;
	error = km_set(s, &a, now, &told);
	free(bytes);
	return error;
}

/* How many bytes stand there; -1: nothing. */
static inline int64_t size_of(struct km_store *s, int64_t now, const char *key)
{
	struct ch_kv_args a = args_of(key);
	struct km_told told;
	int64_t n;

	assert_int_equal(km_get(s, &a, now, &told), 0);
	n = told.value ? (int64_t)told.value->n : -1;
	if (told.value)
		km_blob_drop(told.value);
	return n;
}

static inline struct ch_kv_bucket slow(const char *key, int64_t burst, int64_t cost)
{
	return (struct ch_kv_bucket){ .key = text(key), .burst = burst, .count = 1, .period_ms = 3600000, .cost = cost };
}

/* What is left behind a take of that bucket; -1: it was refused. */
static inline int64_t take_of(struct km_store *s, int64_t now, struct ch_kv_bucket b)
{
	struct ch_kv_take_args a = { sizeof(a), { &b, 1, sizeof(b) }, 0 };
	struct ch_kv_level level;
	struct km_told told;

	assert_int_equal(km_take(s, &a, false, now, &level, &told), 0);
	return told.done ? level.left : -1;
}

/* n keys that lie in one shard. */
static inline void keys_of_a_shard(char keys[][16], size_t n)
{
	for (size_t i = 0, found = 0; found < n; i++) {
		snprintf(keys[found], 16, "k%zu", i);
		found += km_shard_of(km_ident(a_secret, keys[found], strlen(keys[found]))) == 7;
	}
}

static inline size_t items_of(struct km_store *s)
{
	size_t n = 0;

	for (unsigned i = 0; i < KM_SHARDS; i++)
		n += s->shards[i].items;
	return n;
}

static inline uint64_t gone_of(struct km_store *s, enum km_reason reason)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < KM_SHARDS; i++)
		n += s->shards[i].gone[reason];
	return n;
}

static inline void sweep_all(struct km_store *s, int64_t now)
{
	for (unsigned i = 0; i < KM_SHARDS; i++) {
		km_time(&s->shards[i], now);
		km_sweep(s, &s->shards[i], SIZE_MAX);
	}
}

#endif
