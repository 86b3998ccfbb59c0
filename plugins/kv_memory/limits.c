/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - take and settle. All shards of a call are locked, its buckets are looked at and changed in copies, and when it is clear that it
 * happens and that there is room for it, the copies are written back: so it is all or nothing, and a refusal leaves no trace.
 *
 * A bucket's arithmetic is the kit's, in exact integers. Its levels are read from the bucket itself (what it lacks), once it is refilled:
 * the kit's functions would refill it for each question anew.
 */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

struct part {
	const struct ch_kv_bucket *b;
	struct km_id id;
	struct km_shard *h;
	struct km_entry *e;               /* NULL: there is none; one that is over stands there to be used again */
	bool limit_of_0;
	bool changed, kept;               /* what came of it: something; and there is something to be remembered */
	/* TOKENS */
	bool carried;                     /* the numbers are others than last time */
	struct ch_bucket bucket;
	struct ch_bucket_rate rate;
	int64_t full_us;                  /* until it is full */
	struct km_rate *shared, *fresh_rate;
	/* HOLDERS */
	struct km_id holder;
	struct km_holder *own, *grown;
	uint32_t inside, room;
	int64_t first, last;              /* when the first and the last one leave by themselves, without `own` */
	/* to be used if there is no entry */
	struct km_entry *fresh;
};

struct call {
	struct km_store *s;
	bool settles;
	size_t n, hand;
	uint32_t shards;
	struct part parts[CH_KV_BUCKETS_MAX];
	struct km_id ids[CH_KV_BUCKETS_MAX];
	struct ch_kv_bucket copies[CH_KV_BUCKETS_MAX]; /* of rows of another size */
};

enum { FIRST_ROOM = 4 };

/* ---- what is asked ---- */

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

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

static bool rate_of(const struct ch_kv_bucket *b, struct ch_bucket_rate *r)
{
	int64_t units;

	return !__builtin_mul_overflow(b->burst, b->period_ms / gcd(b->period_ms, b->count), &units) && units <= INT64_C(1) << 52 &&
		ch_bucket_rate_init(r, (uint64_t)b->count, b->period_ms * 1000, (uint64_t)b->burst);
}

/* The row, of whatever size it was compiled with. */
static const struct ch_kv_bucket *row(struct call *c, const struct ch_table *t, size_t i)
{
	const char *at = (const char *)t->rows + i * t->row_size;

	if (t->row_size >= sizeof(c->copies[i]))
		return (const struct ch_kv_bucket *)at;
	memset(&c->copies[i], 0, sizeof(c->copies[i]));
	memcpy(&c->copies[i], at, t->row_size);
	return &c->copies[i];
}

static const char *read_call(struct call *c, const struct ch_kv_take_args *a)
{
	const char *fault;

	c->n = a->buckets.n;
	if (!c->n || c->n > CH_KV_BUCKETS_MAX)
		return "There are 1 to 16 buckets.";
	for (size_t i = 0; i < c->n; i++) {
		const struct ch_kv_bucket *b = row(c, &a->buckets, i);
		struct part *p = &c->parts[i];

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

/* ---- how they stand ---- */

static bool look_at_tokens(struct part *p, const struct km_entry *live)
{
	const struct ch_kv_bucket *b = p->b;

	p->bucket = live ? live->bucket : (struct ch_bucket){ .at = p->h->now };
	p->shared = p->e ? p->e->rate : NULL;
	p->carried = false;
	if (p->shared && p->shared->burst == b->burst && p->shared->count == b->count && p->shared->period_ms == b->period_ms) {
		p->rate = p->shared->r;
	} else {
		if (!rate_of(b, &p->rate))
			return false;
		if (p->limit_of_0)
			return true; /* nothing comes of it */
		p->shared = km_rate_find(p->h, b->burst, b->count, b->period_ms);
		p->carried = live;
		if (live)
			ch_bucket_carry(&p->bucket, &live->rate->r, &p->rate, p->h->now);
	}
	if (live)
		ch_bucket_put_back(&p->bucket, &p->rate, 0, p->h->now); /* refills it */
	return true;
}

/* Those whose time is over leave; the others are counted. */
static void look_at_holders(struct part *p, struct km_entry *e)
{
	p->own = NULL;
	p->inside = 0;
	p->room = e ? e->room : 0;
	p->first = INT64_MAX;
	p->last = p->h->now;
	for (uint32_t i = 0; e && i < e->inside;) {
		struct km_holder *holder = &e->holders[i];

		if (holder->until <= p->h->now) {
			*holder = e->holders[--e->inside];
			continue;
		}
		i++;
		if (km_same(holder->id, p->holder)) {
			p->own = holder;
			continue;
		}
		p->first = holder->until < p->first ? holder->until : p->first;
		p->last = holder->until > p->last ? holder->until : p->last;
	}
	p->inside = e ? e->inside : 0;
}

/* An error, or 0. */
static int look(struct call *c, struct part *p, int64_t now)
{
	struct km_entry *e, *live;

	km_time(p->h, now);
	e = km_seek(p->h, p->id);
	live = e && !km_expired(p->h, e) ? e : NULL;
	if (live && e->kind != p->b->kind)
		return CH_KV_WRONG_KIND;
	if (e && e->kind != p->b->kind) {
		km_remove(c->s, p->h, e);
		e = NULL;
	}
	if (e)
		km_touch(p->h, e);
	p->e = e;
	if (p->b->kind == CH_KV_TOKENS)
		return look_at_tokens(p, live) ? 0 : CH_KV_BAD_REQUEST;
	look_at_holders(p, e);
	return 0;
}

/* When the n-th of those inside leaves by itself. */
static int64_t nth_leaves(const struct part *p, uint32_t n)
{
	int64_t low = p->first, high = p->last;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;
		uint32_t left = 0;

		for (uint32_t i = 0; i < p->inside; i++)
			left += p->e->holders[i].until <= middle;
		if (left >= n)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool passes(const struct part *p)
{
	if (p->limit_of_0)
		return false;
	if (p->b->kind == CH_KV_HOLDERS)
		return p->own || p->inside < p->b->burst;
	return p->b->cost <= p->b->burst && p->bucket.missing <= p->rate.room - p->b->cost * p->rate.token;
}

/* Of what a bucket lacks now. */
static void level_of_tokens(struct part *p, struct ch_kv_level *l)
{
	p->full_us = p->bucket.missing ? (p->bucket.missing - 1) / p->rate.refill + 1 : 0;
	l->left = p->bucket.missing >= p->rate.room ? 0 : (p->rate.room - p->bucket.missing) / p->rate.token;
	l->full_ms = km_ms(p->full_us);
}

static void level_of_holders(const struct part *p, int64_t inside, int64_t last, struct ch_kv_level *l)
{
	l->left = inside < p->b->burst ? p->b->burst - inside : 0;
	l->full_ms = km_ms(last - p->h->now);
}

/* As it was found. */
static void level_found(struct part *p, struct ch_kv_level *l)
{
	*l = (struct ch_kv_level){ .passes = passes(p), .wait_ms = CH_KV_NEVER };
	if (p->limit_of_0)
		return;
	if (p->b->kind == CH_KV_TOKENS)
		level_of_tokens(p, l);
	else
		level_of_holders(p, p->inside, p->own && p->own->until > p->last ? p->own->until : p->last, l);
	if (l->passes)
		l->wait_ms = 0;
	else if (p->b->kind == CH_KV_HOLDERS)
		l->wait_ms = km_ms(nth_leaves(p, p->inside - (uint32_t)p->b->burst + 1) - p->h->now);
	else if (p->b->cost <= p->b->burst)
		l->wait_ms = km_ms((p->bucket.missing - (p->rate.room - p->b->cost * p->rate.token) - 1) / p->rate.refill + 1);
}

/* ---- what it comes to: the copies are changed, and the levels are those behind it ---- */

static void change_tokens(struct part *p, struct ch_kv_level *l)
{
	int64_t cost = p->b->cost;

	if (cost > 0)
		ch_bucket_charge(&p->bucket, &p->rate, (uint64_t)cost, p->h->now); /* take: it is there */
	else if (cost < 0)
		ch_bucket_put_back(&p->bucket, &p->rate, (uint64_t)-cost, p->h->now);
	p->kept = p->bucket.missing;
	level_of_tokens(p, l);
}

static void change_holders(const struct call *c, struct part *p, struct ch_kv_level *l)
{
	int64_t until = p->h->now + p->b->hold_ms * 1000;
	int64_t inside = (int64_t)p->inside - (p->own != NULL) + !c->settles;

	if (!c->settles && until > p->last)
		p->last = until;
	p->kept = inside;
	level_of_holders(p, inside, p->last, l);
}

static void change(const struct call *c, struct part *p, struct ch_kv_level *l)
{
	*l = (struct ch_kv_level){ .passes = true };
	p->kept = false;
	p->changed = !p->limit_of_0;
	if (p->limit_of_0)
		return;
	if (p->b->kind == CH_KV_TOKENS)
		change_tokens(p, l);
	else
		change_holders(c, p, l);
}

/* It was refused. A bucket flows by its new numbers from now on all the same. */
static void leave(struct part *p, struct ch_kv_level *l)
{
	level_found(p, l);
	p->changed = p->b->kind == CH_KV_TOKENS && p->carried;
	p->kept = p->changed && p->bucket.missing;
}

/* ---- remembering it ---- */

static bool grows(const struct call *c, const struct part *p)
{
	return p->b->kind == CH_KV_HOLDERS && !c->settles && !p->own && p->inside == p->room;
}

static uint32_t room_of(const struct part *p)
{
	return p->room ? p->room * 2 : FIRST_ROOM;
}

/* Bytes that a part needs more. */
static size_t need_of(const struct call *c, const struct part *p)
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

static bool prepare(const struct call *c, struct part *p)
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

static void give_up(struct part *p)
{
	free(p->fresh);
	free(p->fresh_rate);
	free(p->grown);
}

/* Each part has its rate, new ones included, before one of them lets its old one go, which may be the rate of another part. */
static void get_rate(struct call *c, struct part *p)
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
static int64_t commit_tokens(struct call *c, struct part *p, struct km_entry *e)
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

static int64_t commit_holders(struct call *c, struct part *p, struct km_entry *e)
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

static void commit(struct call *c, struct part *p)
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

static void commit_all(struct call *c)
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
static int attempt(struct call *c, int64_t now, struct ch_kv_level *levels, struct km_told *told, size_t *lack)
{
	struct ch_kv_level aside[CH_KV_BUCKETS_MAX];
	size_t need = 0, ready = 0;
	bool pass = true;
	int error = 0;

	if (!levels)
		levels = aside;
	for (size_t i = 0; i < c->n && !error; i++)
		error = look(c, &c->parts[i], now);
	if (error)
		return error == CH_KV_WRONG_KIND ? km_wrong_kind(told) :
			km_fault(told, CH_KV_BAD_REQUEST, "A bucket's burst is too large for its period.");
	for (size_t i = 0; i < c->n && !c->settles; i++)
		pass = pass && passes(&c->parts[i]);
	for (size_t i = 0; i < c->n; i++) {
		if (pass)
			change(c, &c->parts[i], &levels[i]);
		else
			leave(&c->parts[i], &levels[i]);
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

int km_take(struct km_store *s, const struct ch_kv_take_args *a, bool settles, int64_t now, struct ch_kv_level *levels, struct km_told *told)
{
	struct call c;
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
