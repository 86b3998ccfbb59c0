/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - shards, their table and their order of use, and the bound of all. See store.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wheel.h"

enum { A_KEY = 128 }; /* bytes that an entry takes with its share of the table, for the table's size */

/* ---- life ---- */

static size_t heads_for(size_t max)
{
	size_t n = 16;

	while (n * KM_SHARDS * A_KEY < max)
		n *= 2;
	return n;
}

static size_t heads_cost(size_t heads)
{
	return heads * KM_SHARDS * sizeof(struct km_entry *);
}

struct km_store *km_store_new(size_t max, const uint64_t secret[2], int64_t now)
{
	struct km_store *s = aligned_alloc(64, sizeof(*s));
	size_t heads = heads_for(max);
	struct km_entry **all = calloc(heads * KM_SHARDS, sizeof(struct km_entry *)); /* untouched, large ones take no memory */

	if (!s || !all) {
		free(s);
		free(all);
		return NULL;
	}
	memset(s, 0, sizeof(*s));
	s->users = 1;
	s->max = max;
	s->used = s->table = heads_cost(heads);
	s->all_heads = all;
	s->secret[0] = secret[0];
	s->secret[1] = secret[1];
	pthread_mutex_init(&s->making_room, NULL);
	for (unsigned i = 0; i < KM_SHARDS; i++) {
		struct km_shard *h = &s->shards[i];

		pthread_mutex_init(&h->lock, NULL);
		h->heads = all + i * heads;
		h->mask = heads - 1;
		h->oldest_used = INT64_MAX;
		h->now = now;
		h->version = (secret[0] >> 2) / KM_SHARDS * KM_SHARDS + i; /* another store's versions, and another shard's, are not ours */
		km_wheel_start(&h->wheel, now);
	}
	return s;
}

void km_store_drop(struct km_store *s)
{
	if (atomic_fetch_sub(&s->users, 1) > 1)
		return;
	for (unsigned i = 0; i < KM_SHARDS; i++) {
		struct km_shard *h = &s->shards[i];

		while (h->oldest)
			km_remove(s, h, h->oldest);
		pthread_mutex_destroy(&h->lock);
	}
	pthread_mutex_destroy(&s->making_room);
	free(s->all_heads);
	free(s);
}

void km_lock(struct km_store *s, uint32_t mask)
{
	for (; mask; mask &= mask - 1)
		pthread_mutex_lock(&s->shards[__builtin_ctz(mask)].lock);
}

void km_unlock(struct km_store *s, uint32_t mask)
{
	for (; mask; mask &= mask - 1)
		pthread_mutex_unlock(&s->shards[__builtin_ctz(mask)].lock);
}

int64_t km_time(struct km_shard *h, int64_t now)
{
	int64_t t = now + h->ahead;

	if (t >= h->now)
		return h->now = t;
	/* Within the slack it was read before somebody else's; beyond, the clock was set back, and goes on from what was reached. */
	if (h->now - t > CH_BUCKET_SLACK_US)
		h->ahead += h->now - t;
	return h->now;
}

/* ---- the table ---- */

static struct km_entry **place(const struct km_shard *h, struct km_id id)
{
	return &h->heads[id.lo & h->mask];
}

struct km_entry *km_seek(const struct km_shard *h, struct km_id id)
{
	struct km_entry *e = *place(h, id);

	while (e && !km_same(e->id, id))
		e = e->chain;
	return e;
}

/* Other heads, shard by shard. Without memory the old ones stay, and chains are longer. */
static void change_heads(struct km_store *s, size_t heads)
{
	struct km_entry **all = calloc(heads * KM_SHARDS, sizeof(struct km_entry *));

	if (!all)
		return;
	for (unsigned i = 0; i < KM_SHARDS; i++) {
		struct km_shard *h = &s->shards[i];

		pthread_mutex_lock(&h->lock);
		h->heads = all + i * heads;
		h->mask = heads - 1;
		for (struct km_entry *e = h->oldest; e; e = e->newer) {
			struct km_entry **at = place(h, e->id);

			e->chain = *at;
			*at = e;
		}
		pthread_mutex_unlock(&h->lock);
	}
	free(s->all_heads);
	s->all_heads = all;
	atomic_fetch_add(&s->used, heads_cost(heads) - atomic_exchange(&s->table, heads_cost(heads)));
}

/* ---- the order of use ---- */

static void publish(struct km_shard *h)
{
	atomic_store_explicit(&h->oldest_used, h->oldest ? h->oldest->used : INT64_MAX, memory_order_relaxed);
}

static void leave_order(struct km_shard *h, struct km_entry *e)
{
	*(e->newer ? &e->newer->older : &h->newest) = e->older;
	*(e->older ? &e->older->newer : &h->oldest) = e->newer;
}

static void be_newest(struct km_shard *h, struct km_entry *e)
{
	e->used = h->now;
	e->newer = NULL;
	e->older = h->newest;
	*(h->newest ? &h->newest->newer : &h->oldest) = e;
	h->newest = e;
}

void km_touch(struct km_shard *h, struct km_entry *e)
{
	bool first = h->oldest == e;

	if (h->newest == e) {
		e->used = h->now;
	} else {
		leave_order(h, e);
		be_newest(h, e);
	}
	if (first)
		publish(h);
}

/* ---- entries ---- */

static bool is_bucket(const struct km_entry *e)
{
	return e->kind < KM_VALUE;
}

struct km_entry *km_find(struct km_store *s, struct km_shard *h, struct km_id id)
{
	struct km_entry *e = km_seek(h, id);

	if (e && km_expired(h, e)) {
		km_remove(s, h, e);
		return NULL;
	}
	if (e)
		km_touch(h, e);
	return e;
}

void km_insert(struct km_shard *h, struct km_entry *e)
{
	struct km_entry **at = place(h, e->id);

	e->chain = *at;
	*at = e;
	be_newest(h, e);
	if (h->oldest == e)
		publish(h);
	km_wheel_add(&h->wheel, e);
	h->items++;
	h->buckets += is_bucket(e);
}

void km_expires(struct km_shard *h, struct km_entry *e, int64_t when)
{
	bool later = e->at && when >= e->expires; /* the wheel looks at it early, and moves it on */

	e->expires = when;
	if (later)
		return;
	km_wheel_take_out(e);
	km_wheel_add(&h->wheel, e);
}

/* What belongs to it goes; how much that was. */
static size_t empty(struct km_store *s, struct km_shard *h, struct km_entry *e)
{
	size_t cost = 0;

	if (e->kind == KM_TOKENS && e->rate) {
		km_rate_leave(s, h, e->rate);
	} else if (e->kind == KM_HOLDERS) {
		cost = e->room ? km_cost(e->room * sizeof(*e->holders)) : 0;
		free(e->holders);
	} else if (e->kind == KM_VALUE) {
		cost = km_blob_cost(e->blob->n);
		km_blob_drop(e->blob);
	}
	return cost;
}

void km_remove(struct km_store *s, struct km_shard *h, struct km_entry *e)
{
	struct km_entry **at = place(h, e->id);
	bool first = h->oldest == e;

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	leave_order(h, e);
	if (first)
		publish(h);
	km_wheel_take_out(e);
	km_give_back(s, km_cost(sizeof(*e)) + empty(s, h, e));
	h->items--;
	h->buckets -= is_bucket(e);
	free(e);
}

size_t km_sweep(struct km_store *s, struct km_shard *h, size_t most)
{
	size_t steps = 0;
	struct km_entry *e;

	while ((e = km_wheel_next(&h->wheel, h->now, &steps, most))) {
		if (km_expired(h, e)) {
			h->gone[KM_EXPIRED] += !is_bucket(e); /* a bucket that is full has lost nothing */
			km_remove(s, h, e);
		} else {
			km_wheel_add(&h->wheel, e);
		}
	}
	return steps;
}

/* ---- room ---- */

static bool spared(const struct km_entry *e, const struct km_id *spare, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (km_same(e->id, spare[i]))
			return true;
	return false;
}

/* Forgets what was used before `until` in a shard, as long as more than `goal` is used. False: nothing is left there that may go. */
static bool forget_in(struct km_store *s, struct km_shard *h, int64_t until, size_t goal, const struct km_id *spare, size_t n)
{
	struct km_entry *e = h->oldest, *newer;

	for (; e && atomic_load(&s->used) > goal; e = newer) {
		newer = e->newer;
		if (spared(e, spare, n)) {
			until = INT64_MAX; /* it was the oldest of all, and hides how old the others here are */
			continue;
		}
		if (e->used > until)
			return true;
		h->gone[km_expired(h, e) ? KM_EXPIRED : KM_FULL]++;
		km_remove(s, h, e);
	}
	return e != NULL;
}

/* Forgets what was used least recently, wherever it is, until no more than `goal` is used. False: all is gone that may go. */
static bool forget(struct km_store *s, size_t goal, const struct km_id *spare, size_t n)
{
	uint32_t done = 0;

	while (atomic_load(&s->used) > goal) {
		int64_t first = INT64_MAX, second = INT64_MAX;
		unsigned shard = KM_SHARDS;

		for (unsigned i = 0; i < KM_SHARDS; i++) {
			int64_t used = atomic_load_explicit(&s->shards[i].oldest_used, memory_order_relaxed);

			if (done & UINT32_C(1) << i || used >= second)
				continue;
			if (used < first) {
				second = first;
				first = used;
				shard = i;
			} else {
				second = used;
			}
		}
		if (shard == KM_SHARDS)
			return false;
		pthread_mutex_lock(&s->shards[shard].lock);
		if (!forget_in(s, &s->shards[shard], second, goal, spare, n))
			done |= UINT32_C(1) << shard;
		pthread_mutex_unlock(&s->shards[shard].lock);
	}
	return true;
}

bool km_reserve_quick(struct km_store *s, size_t bytes)
{
	if (!bytes || atomic_fetch_add(&s->used, bytes) + bytes <= atomic_load_explicit(&s->max, memory_order_relaxed))
		return true;
	km_give_back(s, bytes);
	return false;
}

bool km_reserve(struct km_store *s, size_t bytes, const struct km_id *spare, size_t n)
{
	size_t max = atomic_load(&s->max), more = max / 256 < 16384 ? max / 256 : 16384; /* so that not each new key has to do this */

	if (bytes + atomic_load(&s->table) > max)
		return bytes == 0;
	pthread_mutex_lock(&s->making_room);
	if (atomic_fetch_add(&s->used, bytes) + bytes > max && !forget(s, max - more, spare, n) && atomic_load(&s->used) > max) {
		km_give_back(s, bytes);
		bytes = SIZE_MAX;
	}
	pthread_mutex_unlock(&s->making_room);
	return bytes != SIZE_MAX;
}

void km_give_back(struct km_store *s, size_t bytes)
{
	if (bytes)
		atomic_fetch_sub(&s->used, bytes);
}

void km_store_resize(struct km_store *s, size_t max)
{
	enum { STEP = 1 << 20 };

	if (heads_cost(heads_for(max)) != atomic_load(&s->table))
		change_heads(s, heads_for(max));
	/* Down by steps, so that nobody who needs room meanwhile has to make all of it. */
	for (size_t used; (used = atomic_load(&s->used)) > max + STEP;) {
		atomic_store(&s->max, used - STEP);
		if (!km_reserve(s, 0, NULL, 0))
			break;
	}
	atomic_store(&s->max, max);
	km_reserve(s, 0, NULL, 0);
}

/* ---- what belongs to entries ---- */

/*
 * Large ones are pages of their own, which go back to the system at once. The allocator would keep them, once a few were freed, and small
 * long-lived ones settle in between. The system has so many mappings for a process and no more: then it is the allocator all the same.
 */
struct km_blob *km_blob_new(const char *p, size_t n)
{
	size_t size = sizeof(struct km_blob) + n;
	void *pages = n >= KM_OWN_PAGES ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
	struct km_blob *b = pages != MAP_FAILED ? pages : malloc(size);

	if (!b)
		return NULL;
	b->users = 1;
	b->own_pages = pages != MAP_FAILED;
	b->n = n;
	if (n)
		memcpy(b->bytes, p, n);
	return b;
}

void km_blob_drop(struct km_blob *b)
{
	if (atomic_fetch_sub_explicit(&b->users, 1, memory_order_acq_rel) > 1)
		return;
	if (b->own_pages)
		munmap(b, sizeof(*b) + b->n);
	else
		free(b);
}

static unsigned rates_of(int64_t burst, int64_t count, int64_t period_ms)
{
	return (unsigned)((uint64_t)(burst * 31 + count * 7 + period_ms) * UINT64_C(0x9e3779b97f4a7c15) >> 60) % KM_RATES;
}

struct km_rate *km_rate_find(const struct km_shard *h, int64_t burst, int64_t count, int64_t period_ms)
{
	struct km_rate *r = h->rates[rates_of(burst, count, period_ms)];

	while (r && (r->burst != burst || r->count != count || r->period_ms != period_ms))
		r = r->next;
	return r;
}

struct km_rate *km_rate_use(struct km_shard *h, struct km_rate *r)
{
	struct km_rate **at = &h->rates[rates_of(r->burst, r->count, r->period_ms)];

	if (!r->users++) {
		r->next = *at;
		*at = r;
	}
	return r;
}

void km_rate_leave(struct km_store *s, struct km_shard *h, struct km_rate *r)
{
	struct km_rate **at = &h->rates[rates_of(r->burst, r->count, r->period_ms)];

	if (--r->users)
		return;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	km_give_back(s, km_cost(sizeof(*r)));
	free(r);
}
