/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ident.h - what a key is known by: 128 bits of SipHash-1-3 under a secret of the store. Keys themselves are not kept.
 *
 * So a limit takes the same memory whatever its key's length, and no key stands in a core dump. Without the secret nobody can choose keys
 * that share a shard or a chain, and two keys of one identity do not come up: among 2^24 keys the odds are 2^-81.
 */
#ifndef KV_MEMORY_IDENT_H
#define KV_MEMORY_IDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct km_id {
	uint64_t lo, hi;
};

struct km_id km_ident(const uint64_t secret[2], const char *p, size_t n);

static inline bool km_same(struct km_id a, struct km_id b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

#endif
