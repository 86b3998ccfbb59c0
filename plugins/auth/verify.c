/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - a table with two places to look for each hash, and no branch that depends on what is there. */
#include <stdatomic.h>
#include <stdlib.h>

#include "verify.h"

#define SLOTS 4 /* of a bucket */
#define MOVES 256 /* so many keys are moved on before the table is made larger */

struct bucket {
	unsigned char sha256[SLOTS][CH_SHA256];
	int64_t expires[SLOTS]; /* what is judged lies here, so that no other line of memory tells by its temperature who was found */
	uint32_t at[SLOTS]; /* into keys; 0: the place is free, and its hash is of no key */
	uint32_t disabled[SLOTS];
};
struct found {
	int64_t expires;
	uint32_t at, disabled; /* at 0: nothing was found, and the others are 0 too */
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

/* By the same instructions, whether it is there or not. */
static void find_in(const struct bucket *b, const unsigned char *sha256, struct found *f)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t mask = -(uint64_t)ch_same_bytes(b->sha256[i], sha256, CH_SHA256);

		__asm__ volatile("" : "+r"(mask)); /* or a compiler may branch on what it is */
		f->expires |= (int64_t)(mask & (uint64_t)b->expires[i]);
		f->at |= (uint32_t)mask & b->at[i];
		f->disabled |= (uint32_t)mask & b->disabled[i];
	}
}

static struct found find(const struct auth_table *t, const unsigned char *sha256)
{
	struct found f = { 0 };
	uint32_t one = first(sha256, t->mask), two = second(sha256, t->mask);

	find_in(&t->buckets[one], sha256, &f);
	find_in(&t->buckets[two], sha256, &f); /* the same one in the smallest table: no harm */
	return f;
}

const struct ch_key *auth_find(const struct auth_table *t, const unsigned char sha256[CH_SHA256])
{
	struct found f = find(t, sha256);

	return f.at ? &t->keys[f.at] : NULL;
}

/* ---- judging ---- */

static int judge(uint32_t missing, uint32_t disabled, int64_t expires, int64_t now)
{
	static const unsigned char outcomes[8] = { AUTH_GOOD, AUTH_UNKNOWN, AUTH_DISABLED, AUTH_UNKNOWN, AUTH_EXPIRED, AUTH_UNKNOWN,
		AUTH_DISABLED, AUTH_UNKNOWN };
	uint32_t expired = (uint32_t)(expires != 0) & (uint32_t)(now >= expires);

	return outcomes[missing | disabled << 1 | expired << 2];
}

int auth_judge(const struct ch_key *key, int64_t now)
{
	return judge(0, key->disabled, key->expires, now);
}

int auth_verify(const struct auth_table *t, struct ch_str shown, int64_t now, unsigned char sha256[CH_SHA256], const struct ch_key **key)
{
	struct found f;

	ch_sha256(&shown, 1, sha256);
	f = find(t, sha256);
	*key = &t->keys[f.at];
	return judge(!f.at, f.disabled, f.expires, now);
}

/* ---- making ---- */

/* A key as it lies in a place. */
struct placed {
	unsigned char sha256[CH_SHA256];
	int64_t expires;
	uint32_t at, disabled;
};

static struct placed take(struct bucket *b, unsigned i)
{
	struct placed p = { .expires = b->expires[i], .at = b->at[i], .disabled = b->disabled[i] };

	memcpy(p.sha256, b->sha256[i], CH_SHA256);
	return p;
}

static void lay(struct bucket *b, unsigned i, const struct placed *p)
{
	memcpy(b->sha256[i], p->sha256, CH_SHA256);
	b->expires[i] = p->expires;
	b->at[i] = p->at;
	b->disabled[i] = p->disabled;
}

static bool put_in(struct bucket *b, const struct placed *p)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (!b->at[i]) {
			lay(b, i, p);
			return true;
		}
	return false;
}

/* Where both places are full, another key moves on to its own other place, and so on. False: the table is too small. */
static bool put(struct auth_table *t, struct placed p)
{
	uint32_t where = first(p.sha256, t->mask);

	if (put_in(&t->buckets[where], &p) || put_in(&t->buckets[second(p.sha256, t->mask)], &p))
		return true;
	for (unsigned i = 0; i < MOVES; i++) {
		struct bucket *b = &t->buckets[where];
		struct placed moved = take(b, i % SLOTS);
		uint32_t one = first(moved.sha256, t->mask);

		lay(b, i % SLOTS, &p);
		p = moved;
		where = where == one ? second(p.sha256, t->mask) : one;
		if (put_in(&t->buckets[where], &p))
			return true;
	}
	return false;
}

static struct placed placed(const struct auth_entry *e, size_t at)
{
	struct placed p = { .expires = e->key.expires, .at = (uint32_t)at, .disabled = e->key.disabled };

	memcpy(p.sha256, e->sha256, CH_SHA256);
	return p;
}

/* Fills the buckets with all entries. False: there are too few. */
static bool fill(struct auth_table *t, const struct auth_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!auth_find(t, v[i].sha256) && !put(t, placed(&v[i], i + 1)))
			return false;
	return true;
}

static bool make(struct auth_table *t, const struct auth_entry *v, size_t n)
{
	size_t buckets = 1;

	while (buckets * SLOTS < 2 * n)
		buckets *= 2;
	for (; buckets <= 16 * (n + 64); buckets *= 2) { /* no hashes of keys want more */
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
