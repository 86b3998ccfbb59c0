/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - a table with two places to look for each hash, and no branch that depends on what is there. */
#include <stdatomic.h>
#include <stdlib.h>

#include "verify.h"

#define SLOTS 4 /* of a bucket */
#define MOVES 256 /* so many keys are moved on before the table is made larger */

struct bucket {
	unsigned char sha256[SLOTS][CH_SHA256];
	uint32_t at[SLOTS]; /* into keys; 0: the place is free, and its hash is of no key */
};
struct auth_table {
	atomic_uint refs;
	size_t n;
	uint32_t mask; /* buckets - 1 */
	struct bucket *buckets;
	struct ch_key *keys; /* n + 1: the first one is nobody's */
	void *texts;
};

/* ---- where a hash may lie: its own bits are as good as any hash's ---- */

static uint32_t word(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t first(const unsigned char *sha256, uint32_t mask)
{
	return word(sha256) & mask;
}

/* Never the first one, unless there is only one: else eight keys of one bucket would be the end of any table. */
static uint32_t second(const unsigned char *sha256, uint32_t mask)
{
	return (word(sha256) ^ (word(sha256 + 4) | 1)) & mask;
}

/* ---- finding ---- */

/* 0 or the entry's number, by the same instructions. */
static uint32_t find_in(const struct bucket *b, const unsigned char *sha256)
{
	uint32_t found = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		found |= -(uint32_t)ch_same_bytes(b->sha256[i], sha256, CH_SHA256) & b->at[i];
	return found;
}

static uint32_t find(const struct auth_table *t, const unsigned char *sha256)
{
	return find_in(&t->buckets[first(sha256, t->mask)], sha256) | find_in(&t->buckets[second(sha256, t->mask)], sha256);
}

const struct ch_key *auth_find(const struct auth_table *t, const unsigned char sha256[CH_SHA256])
{
	uint32_t at = find(t, sha256);

	return at ? &t->keys[at] : NULL;
}

/* ---- judging ---- */

static int judge(unsigned missing, const struct ch_key *k, int64_t now)
{
	static const unsigned char outcomes[8] = { AUTH_GOOD, AUTH_UNKNOWN, AUTH_DISABLED, AUTH_UNKNOWN, AUTH_EXPIRED, AUTH_UNKNOWN,
		AUTH_DISABLED, AUTH_UNKNOWN };
	/* 0 is never: as an unsigned number less one it is the last moment of all. */
	unsigned expired = (uint64_t)k->expires - 1 < (uint64_t)now;

	return outcomes[missing | (unsigned)k->disabled << 1 | expired << 2];
}

int auth_judge(const struct ch_key *key, int64_t now)
{
	return judge(0, key, now);
}

int auth_verify(const struct auth_table *t, struct ch_str shown, int64_t now, unsigned char sha256[CH_SHA256], const struct ch_key **key)
{
	uint32_t at;

	ch_sha256(&shown, 1, sha256);
	at = find(t, sha256);
	*key = &t->keys[at];
	return judge(!at, *key, now);
}

/* ---- making ---- */

static bool put_in(struct bucket *b, const unsigned char *sha256, uint32_t at)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (!b->at[i]) {
			memcpy(b->sha256[i], sha256, CH_SHA256);
			b->at[i] = at;
			return true;
		}
	return false;
}

/* Where both places are full, another key moves on to its own other place, and so on. False: the table is too small. */
static bool put(struct auth_table *t, const unsigned char *hash, uint32_t at)
{
	unsigned char sha256[CH_SHA256];
	uint32_t where;

	memcpy(sha256, hash, CH_SHA256);
	where = first(sha256, t->mask);
	if (put_in(&t->buckets[where], sha256, at) || put_in(&t->buckets[second(sha256, t->mask)], sha256, at))
		return true;
	for (unsigned i = 0; i < MOVES; i++) {
		struct bucket *b = &t->buckets[where];
		unsigned char moved[CH_SHA256];
		uint32_t moved_at = b->at[i % SLOTS], one = first(b->sha256[i % SLOTS], t->mask);

		memcpy(moved, b->sha256[i % SLOTS], CH_SHA256);
		memcpy(b->sha256[i % SLOTS], sha256, CH_SHA256);
		b->at[i % SLOTS] = at;
		memcpy(sha256, moved, CH_SHA256);
		at = moved_at;
		where = where == one ? second(sha256, t->mask) : one;
		if (put_in(&t->buckets[where], sha256, at))
			return true;
	}
	return false;
}

/* Fills the buckets with all entries. False: there are too few. */
static bool fill(struct auth_table *t, const struct auth_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!auth_find(t, v[i].sha256) && !put(t, v[i].sha256, (uint32_t)i + 1))
			return false;
	return true;
}

static bool make(struct auth_table *t, const struct auth_entry *v, size_t n)
{
	size_t buckets = 1;

	while (buckets * SLOTS < 2 * n)
		buckets *= 2;
	for (; buckets <= UINT32_MAX / 2; buckets *= 2) {
		t->buckets = calloc(buckets, sizeof(*t->buckets));
		t->mask = (uint32_t)(buckets - 1);
		if (!t->buckets || fill(t, v, n))
			return t->buckets;
		free(t->buckets);
		t->buckets = NULL;
	}
	return false;
}

struct auth_table *auth_table_new(const struct auth_entry *v, size_t n, void *texts)
{
	struct auth_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->refs = 1;
	t->n = n;
	t->keys = calloc(n + 1, sizeof(*t->keys));
	for (size_t i = 0; t->keys && i < n; i++)
		t->keys[i + 1] = v[i].key;
	if (t->keys && make(t, v, n)) {
		t->texts = texts;
		return t;
	}
	free(t->keys);
	free(t);
	return NULL;
}

struct auth_table *auth_table_hold(struct auth_table *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void auth_table_put(struct auth_table *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	free(t->buckets);
	free(t->keys);
	free(t->texts);
	free(t);
}

size_t auth_table_count(const struct auth_table *t)
{
	return t->n;
}
