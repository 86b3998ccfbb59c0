/* SPDX-License-Identifier: MIT */
/* kv_store.c - see kv_store.h. */
#include <stdlib.h>
#include <string.h>

#include "kv_store.h"

struct kv_store *kv_store_new(size_t max, uint64_t seed)
{
	struct kv_store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	for (s->nchains = 1024; s->nchains < max / 256; s->nchains *= 2)
		;
	s->chains = calloc(s->nchains, sizeof(struct kv_entry *));
	if (!s->chains) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	s->users = 1;
	s->max = max;
	s->seed = seed;
	s->versions = seed >> 1; /* somewhere: another store's versions are not ours */
	return s;
}

void kv_store_free(struct kv_store *s)
{
	while (s->oldest)
		kv_drop(s, s->oldest);
	pthread_mutex_destroy(&s->lock);
	free(s->chains);
	free(s);
}

/* FNV-1a behind a secret seed. Where keys come from strangers, a server of its own would take SipHash. */
static struct kv_entry **chain_of(struct kv_store *s, const char *key, size_t n)
{
	uint64_t h = s->seed ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)key[i]) * 0x100000001b3u;
	return &s->chains[(h ^ h >> 32) & (s->nchains - 1)];
}

static void leave_order(struct kv_store *s, struct kv_entry *e)
{
	*(e->newer ? &e->newer->older : &s->newest) = e->older;
	*(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void be_newest(struct kv_store *s, struct kv_entry *e)
{
	e->newer = NULL;
	e->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = e;
	s->newest = e;
}

void kv_drop(struct kv_store *s, struct kv_entry *e)
{
	struct kv_entry **at = chain_of(s, e->bytes, e->nkey);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	leave_order(s, e);
	s->used -= e->size;
	if (e->kind == KV_HOLDERS)
		free(e->holders);
	free(e);
}

struct kv_entry *kv_find(struct kv_store *s, const char *key, size_t n, int64_t now)
{
	struct kv_entry *e = *chain_of(s, key, n);

	while (e && (e->nkey != n || memcmp(e->bytes, key, n)))
		e = e->chain;
	if (e && e->expires && e->expires <= now) {
		kv_drop(s, e);
		return NULL;
	}
	if (e) {
		leave_order(s, e);
		be_newest(s, e);
	}
	return e;
}

/* Makes room for so many bytes more. False: what is left may not go. */
static bool make_room(struct kv_store *s, size_t more)
{
	struct kv_entry *e = s->oldest;

	if (more > s->max)
		return false;
	while (s->used > s->max - more) {
		struct kv_entry *newer;

		while (e && e->pinned)
			e = e->newer;
		if (!e)
			return false;
		newer = e->newer;
		kv_drop(s, e);
		s->forgotten++;
		e = newer;
	}
	return true;
}

struct kv_entry *kv_put(struct kv_store *s, const char *key, size_t n, int kind, size_t nvalue, int64_t now)
{
	struct kv_entry *was = kv_find(s, key, n, now), **at, *e;
	size_t size = sizeof(*e) + n + nvalue, gain = was ? was->size : 0;
	bool fits;

	if (was)
		was->pinned = true;
	fits = make_room(s, size > gain ? size - gain : 0);
	if (was)
		was->pinned = false;
	e = fits ? calloc(1, size) : NULL;
	if (!e)
		return NULL;
	if (was)
		kv_drop(s, was);
	e->kind = kind;
	e->size = size;
	e->nkey = n;
	e->nvalue = nvalue;
	memcpy(e->bytes, key, n);
	at = chain_of(s, key, n);
	e->chain = *at;
	*at = e;
	be_newest(s, e);
	s->used += size;
	return e;
}

bool kv_more_holders(struct kv_store *s, struct kv_entry *e)
{
	size_t room = e->room ? e->room * 2 : 4, more = (room - e->room) * sizeof(*e->holders);
	bool pinned = e->pinned, fits;
	struct kv_holder *v;

	if (e->nholders < e->room)
		return true;
	e->pinned = true;
	fits = make_room(s, more);
	e->pinned = pinned;
	v = fits ? realloc(e->holders, room * sizeof(*v)) : NULL;
	if (!v)
		return false;
	e->holders = v;
	e->room = room;
	e->size += more;
	s->used += more;
	return true;
}
