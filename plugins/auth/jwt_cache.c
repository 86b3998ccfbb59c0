/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_cache.c - sets of four places under one of 64 locks. */
#include <pthread.h>
#include <stdlib.h>

#include "jwt_cache.h"

enum { LOCKS = 64, WAYS = 4 };

struct entry {
	unsigned char hash[CH_SHA256];
	uint64_t generation;
	int64_t expires;
	const char *tier;
	int role;
	size_t owner;                     /* bytes of text, each with its NUL: the owner, then the models */
	size_t models;
	char text[];
};
struct jwt_cache {
	pthread_mutex_t lock[LOCKS];
	size_t nsets;
	struct entry *at[];               /* nsets of WAYS */
};

/* The hash is evenly spread: its first bytes choose the set. */
static size_t set_of(const struct jwt_cache *x, const unsigned char hash[CH_SHA256])
{
	uint64_t h;

	memcpy(&h, hash, sizeof(h));
	return (size_t)(h % x->nsets);
}

struct jwt_cache *jwt_cache_new(size_t n)
{
	size_t nsets = n / WAYS + 1;
	struct jwt_cache *x = calloc(1, sizeof(*x) + nsets * WAYS * sizeof(x->at[0]));

	if (!x)
		return NULL;
	x->nsets = nsets;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&x->lock[i], NULL);
	return x;
}

void jwt_cache_free(struct jwt_cache *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->nsets * WAYS; i++)
		free(x->at[i]);
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&x->lock[i]);
	free(x);
}

static bool is_it(const struct entry *e, const unsigned char hash[CH_SHA256])
{
	return e && ch_same_bytes(e->hash, hash, CH_SHA256);
}

/* Under the set's lock. NULL: it is not there, or has expired. */
static const struct entry *find(const struct jwt_cache *x, size_t set, const unsigned char hash[CH_SHA256], int64_t now)
{
	for (size_t i = 0; i < WAYS; i++)
		if (is_it(x->at[set * WAYS + i], hash))
			return now < x->at[set * WAYS + i]->expires ? x->at[set * WAYS + i] : NULL;
	return NULL;
}

bool jwt_cache_knows(struct jwt_cache *x, const unsigned char hash[CH_SHA256], int64_t now)
{
	size_t set = set_of(x, hash);
	bool there;

	pthread_mutex_lock(&x->lock[set % LOCKS]);
	there = find(x, set, hash, now);
	pthread_mutex_unlock(&x->lock[set % LOCKS]);
	return there;
}

bool jwt_cache_get(struct jwt_cache *x, const unsigned char hash[CH_SHA256], uint64_t generation, int64_t now, struct jwt_who *out)
{
	size_t set = set_of(x, hash);
	const struct entry *e;

	pthread_mutex_lock(&x->lock[set % LOCKS]);
	e = find(x, set, hash, now);
	if (e && e->generation != generation)
		e = NULL;
	if (e) {
		out->tier = e->tier;
		out->role = e->role;
		out->expires = e->expires;
		memcpy(out->owner, e->text, e->owner);
		memcpy(out->models, e->text + e->owner, e->models);
	}
	pthread_mutex_unlock(&x->lock[set % LOCKS]);
	return e;
}

/* The place of that hash, or an empty one, or one that is of no more use, or that of whoever expires first. */
static struct entry **place(struct entry **at, const unsigned char hash[CH_SHA256], uint64_t generation, int64_t now)
{
	struct entry **best = at;
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < WAYS; i++)
		if (is_it(at[i], hash))
			return &at[i];
	for (size_t i = 0; i < WAYS; i++) {
		int64_t worth = !at[i] ? -1 : at[i]->generation != generation || now >= at[i]->expires ? 0 : at[i]->expires;

		if (worth < least) {
			least = worth;
			best = &at[i];
		}
	}
	return best;
}

void jwt_cache_put(struct jwt_cache *x, const unsigned char hash[CH_SHA256], uint64_t generation, const struct jwt_who *who, int64_t now)
{
	size_t set = set_of(x, hash), owner = strlen(who->owner) + 1, models = strlen(who->models) + 1;
	struct entry *e = malloc(sizeof(*e) + owner + models), **at;

	if (!e)
		return;
	*e = (struct entry){ .generation = generation, .expires = who->expires, .tier = who->tier, .role = who->role, .owner = owner,
		.models = models };
	memcpy(e->hash, hash, CH_SHA256);
	memcpy(e->text, who->owner, owner);
	memcpy(e->text + owner, who->models, models);
	pthread_mutex_lock(&x->lock[set % LOCKS]);
	at = place(x->at + set * WAYS, hash, generation, now);
	free(*at);
	*at = e;
	pthread_mutex_unlock(&x->lock[set % LOCKS]);
}
