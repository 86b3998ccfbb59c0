/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - take and settle. All shards of a call are locked, its buckets are looked at and changed in copies (part.c), and when it is
 * clear that it happens and that there is room for it, the copies are written back: so it is all or nothing, and a refusal leaves no
 * trace.
 */
#include <stdlib.h>
#include <string.h>

#include "part.h"

struct km_call {
	struct km_store *s;
	bool settles;
	size_t n, hand;
	uint32_t shards;
	struct km_part parts[CH_KV_BUCKETS_MAX];
	struct km_id ids[CH_KV_BUCKETS_MAX];
	struct ch_kv_bucket copies[CH_KV_BUCKETS_MAX]; /* of rows of another size */
};

enum { FIRST_ROOM = 4 };

/* ---- what is asked ---- */

/* All but how the numbers of a rate fit together; see rate_of. */
static const char *bucket_fault(const struct ch_kv_bucket *b, bool settles)
{
	if (!b->key.n || b->key.n > CH_KV_KEY_MAX || b->burst < 0 || b->burst > CH_KV_COUNT_MAX)
		return "A bucket's key has 1 to 512 bytes, and its burst is 2^40 at most.";
	if (b->kind == CH_KV_HOLDERS)
		return b->holder.n && b->holder.n <= CH_KV_HOLDER_MAX && b->hold_ms > 0 && b->hold_ms <= CH_KV_MS_MAX ? NULL :
			"A holder's name has 1 to 64 bytes, and holds for 366 days at most.";
	if (b->kind != CH_KV_TOKENS || b->count < 0 || b->count > CH_KV_COUNT_MAX || b->period_ms < 1 || b->period_ms > CH_KV_MS_MAX)
		return "A bucket is of a kind that there is not, or flows by no period or too much.";
	if (b->cost > CH_KV_COUNT_MAX || b->cost < (settles ? -CH_KV_COUNT_MAX : 0))
		return "A cost is 2^40 at most, and below 0 only for settle.";
	return NULL;
}

/* The row, of whatever size it was compiled with. */
static const struct ch_kv_bucket *row(struct km_call *c, const struct ch_table *t, size_t i)
{
	const char *at = (const char *)t->rows + i * t->row_size;

	if (t->row_size >= sizeof(c->copies[i]))
		return (const struct ch_kv_bucket *)at;
	memset(&c->copies[i], 0, sizeof(c->copies[i]));
	memcpy(&c->copies[i], at, t->row_size);
	return &c->copies[i];
}

static const char *read_call(struct km_call *c, const struct ch_kv_take_args *a)
{
	const char *fault;

	c->n = a->buckets.n;
	if (!c->n || c->n > CH_KV_BUCKETS_MAX)
		return "There are 1 to 16 buckets.";
	for (size_t i = 0; i < c->n; i++) {
		const struct ch_kv_bucket *b = row(c, &a->buckets, i);
		struct km_part *p = &c->parts[i];

		fault = bucket_fault(b, c->settles);
		if (fault)
			return fault;
		p->b = b;
		p->id = c->ids[i] = km_ident(c->s->secret, b->key.p, b->key.n);
		p->h = &c->s->shards[km_shard_of(p->id)];
		p->limit_of_0 = !b->burst || (b->kind == CH_KV_TOKENS && !b->count);
		if (b->kind == CH_KV_HOLDERS)
			p->holder = km_ident(c->s->secret, b->holder.p, b->holder.n);
		c->shards |= UINT32_C(1) << km_shard_of(p->id);
		for (size_t k = 0; k < i; k++)
			if (km_same(c->ids[k], p->id))
				return "Two buckets have the same key.";
	}
	return NULL;
}

/* ---- remembering it ---- */

static bool grows(const struct km_call *c, const struct km_part *p)
{
	return p->b->kind == CH_KV_HOLDERS && !c->settles && !p->own && p->inside == p->room;
}

static uint32_t room_of(const struct km_part *p)
{
	return p->room ? p->room * 2 : FIRST_ROOM;
}

/* Bytes that a part needs more. */
static size_t need_of(const struct km_call *c, const struct km_part *p)
{
	size_t need = 0;

	if (!p->kept)
		return 0;
	if (!p->e)
		need += km_cost(sizeof(struct km_entry));
	if (p->b->kind == CH_KV_TOKENS && !p->shared)
		need += km_cost(sizeof(struct km_rate));
	if (grows(c, p))
		need += km_cost(room_of(p) * sizeof(struct km_holder)) - (p->room ? km_cost(p->room * sizeof(struct km_holder)) : 0);
	return need;
}

static bool prepare(const struct km_call *c, struct km_part *p)
{
	p->fresh = NULL;
	p->fresh_rate = NULL;
	p->grown = NULL;
	if (!p->kept)
		return true;
	if (!p->e)
		p->fresh = calloc(1, sizeof(*p->fresh));
	if (p->b->kind == CH_KV_TOKENS && !p->shared)
		p->fresh_rate = calloc(1, sizeof(*p->fresh_rate));
	if (grows(c, p))
		p->grown = malloc(room_of(p) * sizeof(*p->grown));
	return (p->e || p->fresh) && (p->shared || p->fresh_rate || p->b->kind == CH_KV_HOLDERS) && (p->grown || !grows(c, p));
}

static void give_up(struct km_part *p)
{
	free(p->fresh);
	free(p->fresh_rate);
	free(p->grown);
}

/* Each part has its rate, new ones included, before one of them lets its old one go, which may be the rate of another part. */
static void get_rate(struct km_call *c, struct km_part *p)
{
	const struct ch_kv_bucket *b = p->b;

	if (!p->kept || b->kind != CH_KV_TOKENS)
		return;
	if (p->fresh_rate)
		p->shared = km_rate_find(p->h, b->burst, b->count, b->period_ms); /* another part may have brought it */
	if (!p->shared) {
		*p->fresh_rate = (struct km_rate){ .burst = b->burst, .count = b->count, .period_ms = b->period_ms, .r = p->rate };
		p->shared = p->fresh_rate;
		p->fresh_rate = NULL;
		c->hand -= km_cost(sizeof(struct km_rate));
	}
	if (!p->e || p->e->rate != p->shared)
		km_rate_use(p->h, p->shared);
}

/* Both return when the entry is over. */
static int64_t commit_tokens(struct km_call *c, struct km_part *p, struct km_entry *e)
{
	if (e->rate != p->shared) {
		if (e->rate)
			km_rate_leave(c->s, p->h, e->rate);
		e->rate = p->shared;
	}
	free(p->fresh_rate);
	e->bucket = p->bucket;
	return p->full_us > INT64_MAX - p->h->now ? INT64_MAX : p->h->now + p->full_us;
}

static int64_t commit_holders(struct km_call *c, struct km_part *p, struct km_entry *e)
{
	if (p->grown) {
		c->hand -= km_cost(room_of(p) * sizeof(*p->grown)) - (p->room ? km_cost(p->room * sizeof(*p->grown)) : 0);
		if (e->inside)
			memcpy(p->grown, e->holders, e->inside * sizeof(*p->grown));
		free(e->holders);
		e->holders = p->grown;
		e->room = room_of(p);
	}
	if (c->settles) {
		if (p->own)
			*p->own = e->holders[--e->inside];
		return p->last;
	}
	if (!p->own)
		p->own = &e->holders[e->inside++];
	*p->own = (struct km_holder){ p->holder, p->h->now + p->b->hold_ms * 1000 };
	return p->last;
}

static void commit(struct km_call *c, struct km_part *p)
{
	struct km_entry *e = p->e ? p->e : p->fresh;
	int64_t until;

	if (!p->changed)
		return;
	if (!p->kept) {
		if (e)
			km_remove(c->s, p->h, e);
		return;
	}
	until = p->b->kind == CH_KV_TOKENS ? commit_tokens(c, p, e) : commit_holders(c, p, e);
	if (p->e) {
		km_expires(p->h, e, until);
		return;
	}
	e->id = p->id;
	e->kind = (uint8_t)p->b->kind;
	e->expires = until;
	c->hand -= km_cost(sizeof(*e));
	km_insert(p->h, e);
}

static void commit_all(struct km_call *c)
{
	for (size_t i = 0; i < c->n; i++)
		get_rate(c, &c->parts[i]);
	for (size_t i = 0; i < c->n; i++)
		commit(c, &c->parts[i]);
	for (size_t i = 0; i < c->n; i++) /* so that what expires goes as fast as new comes */
		if (c->parts[i].fresh)
			km_sweep(c->s, c->parts[i].h, 4);
}

/* ---- the call ---- */

/* A try, with all shards locked. -1: *lack bytes of room are missing, nothing has happened. */
static int attempt(struct km_call *c, int64_t now, struct ch_kv_level *levels, struct km_told *told, size_t *lack)
{
	struct ch_kv_level aside[CH_KV_BUCKETS_MAX];
	size_t need = 0, ready = 0;
	bool pass = true;
	int error = 0;

	if (!levels)
		levels = aside;
	for (size_t i = 0; i < c->n && !error; i++)
		error = km_part_look(c->s, &c->parts[i], now);
	if (error)
		return error == CH_KV_WRONG_KIND ? km_wrong_kind(told) :
			km_fault(told, CH_KV_BAD_REQUEST, "A bucket's burst is too large for its period.");
	for (size_t i = 0; i < c->n && !c->settles; i++)
		pass = pass && km_part_passes(&c->parts[i]);
	for (size_t i = 0; i < c->n; i++) {
		if (pass)
			km_part_change(&c->parts[i], c->settles, &levels[i]);
		else
			km_part_leave(&c->parts[i], &levels[i]);
		need += need_of(c, &c->parts[i]);
	}
	if (need > c->hand) {
		*lack = need - c->hand;
		if (!km_reserve_quick(c->s, *lack))
			return -1;
		c->hand = need;
	}
	while (ready < c->n && prepare(c, &c->parts[ready]))
		ready++;
	if (ready < c->n) {
		for (size_t i = 0; i <= ready; i++)
			give_up(&c->parts[i]);
		return km_full(told);
	}
	commit_all(c);
	told->done = pass;
	return 0;
}

int km_take(struct km_store *s, const struct ch_kv_take_args *a, bool settles, int64_t now, struct ch_kv_level *levels,
	struct km_told *told)
{
	struct km_call c;
	const char *fault;
	size_t lack = 0;
	int error;

	c.s = s;
	c.settles = settles;
	c.hand = 0;
	c.shards = 0;
	fault = read_call(&c, a);
	if (fault)
		return km_fault(told, CH_KV_BAD_REQUEST, fault);
	for (;;) {
		*told = (struct km_told){ 0 };
		km_lock(s, c.shards);
		error = attempt(&c, now, levels, told, &lack);
		km_unlock(s, c.shards);
		if (error >= 0)
			break;
		if (!km_reserve(s, lack, c.ids, c.n)) {
			error = km_full(told);
			break;
		}
		c.hand += lack;
	}
	km_give_back(s, c.hand);
	return error;
}
