/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c - sixteen parts with a lock each; in a part a hash table with chains, and two lists in the order of use: of rows, and of what is
 * known not to be there. The hash is the key's own bytes, which are a hash already.
 */
#include <pthread.h>
#include <stdlib.h>

#include "cache.h"

enum { PARTS = 16 };

struct entry {
	struct entry *chain, *newer, *older;
	unsigned char key[32];
	uint64_t epoch;
	bool absent;
	int64_t number[ID_PACK_NUMBERS];
	uint32_t length[ID_PACK_TEXTS];
	size_t n;     /* of bytes */
	char bytes[];
};

struct list { struct entry *newest, *oldest; size_t n, most; };

struct part {
	pthread_mutex_t lock;
	struct list lists[2]; /* by `absent` */
	struct entry **buckets;
	size_t mask;
};

struct id_cache {
	struct part parts[PARTS];
};

/* ---- lists and chains ---- */

static uint64_t number_of(const unsigned char key[32])
{
	uint64_t n;

	memcpy(&n, key, sizeof(n));
	return n;
}

static struct part *part_of(struct id_cache *cache, const unsigned char key[32])
{
	return &cache->parts[key[31] % PARTS];
}

static struct entry **place_of(struct part *p, const unsigned char key[32])
{
	struct entry **at = &p->buckets[number_of(key) & p->mask];

	while (*at && memcmp((*at)->key, key, 32))
		at = &(*at)->chain;
	return at;
}

static void unlist(struct part *p, struct entry *e)
{
	struct list *l = &p->lists[e->absent];

	*(e->newer ? &e->newer->older : &l->newest) = e->older;
	*(e->older ? &e->older->newer : &l->oldest) = e->newer;
	l->n--;
}

static void list_newest(struct part *p, struct entry *e)
{
	struct list *l = &p->lists[e->absent];

	e->newer = NULL;
	e->older = l->newest;
	*(l->newest ? &l->newest->newer : &l->oldest) = e;
	l->newest = e;
	l->n++;
}

static void drop(struct part *p, struct entry *e)
{
	*place_of(p, e->key) = e->chain;
	unlist(p, e);
	free(e);
}

/* ---- life ---- */

void id_cache_free(struct id_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < PARTS; i++) {
		struct part *p = &cache->parts[i];

		for (size_t k = 0; k < 2; k++)
			while (p->lists[k].oldest)
				drop(p, p->lists[k].oldest);
		free(p->buckets);
		pthread_mutex_destroy(&p->lock);
	}
	free(cache);
}

struct id_cache *id_cache_new(size_t most)
{
	struct id_cache *cache = calloc(1, sizeof(*cache));
	size_t each = most / PARTS + 1, buckets = 1;
	bool ok = cache;

	while (buckets < each)
		buckets *= 2;
	for (size_t i = 0; cache && i < PARTS; i++) {
		struct part *p = &cache->parts[i];

		pthread_mutex_init(&p->lock, NULL);
		p->lists[false].most = each;
		p->lists[true].most = each / 4 + 1;
		p->mask = buckets - 1;
		p->buckets = calloc(buckets, sizeof(*p->buckets));
		ok = ok && p->buckets;
	}
	if (ok)
		return cache;
	id_cache_free(cache);
	return NULL;
}

/* ---- use ---- */

static bool copy_out(struct ch_ctx *c, const struct entry *e, struct id_pack *out)
{
	char *p = ch_alloc(c, e->n + 1);

	if (!p)
		return false;
	memcpy(p, e->bytes, e->n);
	memcpy(out->number, e->number, sizeof(e->number));
	for (size_t i = 0; i < ID_PACK_TEXTS; i++) {
		out->text[i] = (struct ch_str){ p, e->length[i] };
		p += e->length[i] + 1;
	}
	return true;
}

enum id_cached id_cache_get(struct id_cache *cache, struct ch_ctx *c, const unsigned char key[32], uint64_t epoch, struct id_pack *out)
{
	struct part *p = part_of(cache, key);
	enum id_cached rc = ID_MISS;
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = *place_of(p, key);
	if (e && e->epoch != epoch)
		drop(p, e);
	else if (e) {
		unlist(p, e);
		list_newest(p, e);
		rc = e->absent ? ID_ABSENT : copy_out(c, e, out) ? ID_FOUND : ID_MISS;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static struct entry *make(const unsigned char key[32], uint64_t epoch, const struct id_pack *row)
{
	size_t n = 0;
	struct entry *e;
	char *p;

	for (size_t i = 0; row && i < ID_PACK_TEXTS; i++)
		n += row->text[i].n + 1;
	e = calloc(1, sizeof(*e) + n);
	if (!e)
		return NULL;
	memcpy(e->key, key, 32);
	e->epoch = epoch;
	e->absent = !row;
	e->n = n;
	if (!row)
		return e;
	p = e->bytes;
	memcpy(e->number, row->number, sizeof(e->number));
	for (size_t i = 0; i < ID_PACK_TEXTS; i++) {
		e->length[i] = (uint32_t)row->text[i].n;
		if (row->text[i].n)
			memcpy(p, row->text[i].p, row->text[i].n);
		p += row->text[i].n + 1;
	}
	return e;
}

unsigned id_cache_put(struct id_cache *cache, const unsigned char key[32], uint64_t epoch, const struct id_pack *row)
{
	struct part *p = part_of(cache, key);
	struct entry *e = make(key, epoch, row), *was;
	struct list *l = &p->lists[!row];
	unsigned driven = 0;

	if (!e)
		return 0;
	pthread_mutex_lock(&p->lock);
	was = *place_of(p, key);
	if (was)
		drop(p, was);
	for (; l->n >= l->most; driven++)
		drop(p, l->oldest);
	struct entry **at = &p->buckets[number_of(key) & p->mask];
	e->chain = *at;
	*at = e;
	list_newest(p, e);
	pthread_mutex_unlock(&p->lock);
	return driven;
}

void id_cache_sweep(struct id_cache *cache, uint64_t epoch, int64_t now)
{
	for (size_t i = 0; i < PARTS; i++) {
		struct part *p = &cache->parts[i];

		pthread_mutex_lock(&p->lock);
		for (size_t k = 0; k < 2; k++)
			for (struct entry *e = p->lists[k].oldest, *next; e; e = next) {
				next = e->newer;
				if (e->epoch != epoch || (!e->absent && e->number[0] && e->number[0] < now))
					drop(p, e);
			}
		pthread_mutex_unlock(&p->lock);
	}
}

size_t id_cache_entries(struct id_cache *cache)
{
	size_t n = 0;

	for (size_t i = 0; i < PARTS; i++) {
		pthread_mutex_lock(&cache->parts[i].lock);
		n += cache->parts[i].lists[0].n + cache->parts[i].lists[1].n;
		pthread_mutex_unlock(&cache->parts[i].lock);
	}
	return n;
}
