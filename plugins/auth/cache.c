/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - two arrays of sets of four; the one of a set that was asked for the longest ago makes room. */
#include <stdlib.h>

#include "cache.h"

#define WAYS 4

struct kept {
	unsigned char sha256[CH_SHA256];
	uint64_t revision;
	int64_t until;                    /* 0: free */
	uint64_t used;                    /* by the cache's own count of questions */
	size_t store;
	struct ch_key *key;               /* from malloc, with its texts behind it; NULL: there is none */
};
struct auth_cache {
	size_t sets;                      /* a power of two */
	uint64_t asked;
	struct kept *of[2];               /* absent, found */
};

struct auth_cache *auth_cache_new(size_t n)
{
	struct auth_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	for (c->sets = 1; c->sets * WAYS < n; c->sets *= 2)
		;
	for (size_t i = 0; i < 2; i++)
		c->of[i] = calloc(c->sets * WAYS, sizeof(struct kept)); /* pages are the system's until they are written to */
	if (c->of[0] && c->of[1])
		return c;
	auth_cache_free(c);
	return NULL;
}

void auth_cache_free(struct auth_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->of[1] && i < c->sets * WAYS; i++)
		free(c->of[1][i].key);
	free(c->of[0]);
	free(c->of[1]);
	free(c);
}

static struct kept *set_of(const struct auth_cache *c, size_t which, const unsigned char *sha256)
{
	size_t h;

	memcpy(&h, sha256 + 8, sizeof(h));
	return &c->of[which][(h & (c->sets - 1)) * WAYS];
}

static struct kept *find(const struct auth_cache *c, size_t which, const unsigned char *sha256, size_t store)
{
	struct kept *set = set_of(c, which, sha256);

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].until && set[i].store == store && ch_same_bytes(set[i].sha256, sha256, CH_SHA256))
			return &set[i];
	return NULL;
}

enum auth_cached auth_cache_get(struct auth_cache *c, const unsigned char sha256[CH_SHA256], size_t store, uint64_t revision, int64_t now,
	const struct ch_key **key)
{
	for (size_t which = 2; which-- > 0;) {
		struct kept *k = find(c, which, sha256, store);

		if (!k || k->revision != revision || now >= k->until)
			continue;
		k->used = ++c->asked;
		*key = k->key;
		return which ? AUTH_C_FOUND : AUTH_C_ABSENT;
	}
	return AUTH_C_MISS;
}

const struct ch_key *auth_cache_last(const struct auth_cache *c, const unsigned char sha256[CH_SHA256], size_t store)
{
	const struct kept *k = find(c, 1, sha256, store);

	return k ? k->key : NULL;
}

/* ---- keeping ---- */

#define TEXTS 8

/* The texts of a key, so that one loop copies them all. */
static void texts_of(struct ch_key *k, const char **out[TEXTS])
{
	const char **const all[TEXTS] = { &k->id, &k->owner, &k->tier, &k->models, &k->routes, &k->backends, &k->networks, &k->limits };

	memcpy(out, all, sizeof(all));
}

static struct ch_key *copy(const struct ch_key *from)
{
	struct ch_key k = *from, *to;
	const char **texts[TEXTS];
	size_t n = sizeof(k);
	char *at;

	texts_of(&k, texts);
	for (size_t i = 0; i < TEXTS; i++)
		n += strlen(*texts[i]) + 1;
	to = malloc(n);
	if (!to)
		return NULL;
	at = (char *)(to + 1);
	for (size_t i = 0; i < TEXTS; i++) {
		size_t len = strlen(*texts[i]) + 1;

		*texts[i] = memcpy(at, *texts[i], len);
		at += len;
	}
	*to = k;
	return to;
}

static void forget(struct kept *k)
{
	if (!k)
		return;
	free(k->key);
	*k = (struct kept){ .until = 0 };
}

static struct kept *oldest(struct kept *set)
{
	struct kept *best = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (!set[i].until)
			return &set[i];
		if (set[i].used < best->used)
			best = &set[i];
	}
	return best;
}

void auth_cache_put(struct auth_cache *c, const unsigned char sha256[CH_SHA256], size_t store, uint64_t revision, int64_t until,
	const struct ch_key *key)
{
	struct ch_key *own = key ? copy(key) : NULL;
	struct kept *k;

	forget(find(c, 0, sha256, store));
	forget(find(c, 1, sha256, store));
	if (key && !own)
		return;
	k = oldest(set_of(c, key != NULL, sha256));
	forget(k);
	*k = (struct kept){ .revision = revision, .until = until, .used = ++c->asked, .store = store, .key = own };
	memcpy(k->sha256, sha256, CH_SHA256);
}
