/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part.c - how a bucket stands. Its arithmetic is the kit's, in exact integers. Levels are read from the bucket itself (what it lacks),
 * once it is refilled: the kit's functions would refill it for each question anew.
 */
#include "part.h"

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static bool rate_of(const struct ch_kv_bucket *b, struct ch_bucket_rate *r)
{
	int64_t units;

	return !__builtin_mul_overflow(b->burst, b->period_ms / gcd(b->period_ms, b->count), &units) && units <= INT64_C(1) << 52 &&
		ch_bucket_rate_init(r, (uint64_t)b->count, b->period_ms * 1000, (uint64_t)b->burst);
}

static bool look_at_tokens(struct km_part *p, const struct km_entry *live)
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
static void look_at_holders(struct km_part *p, struct km_entry *e)
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
int km_part_look(struct km_store *s, struct km_part *p, int64_t now)
{
	struct km_entry *e, *live;

	km_time(p->h, now);
	e = km_seek(p->h, p->id);
	live = e && !km_expired(p->h, e) ? e : NULL;
	if (live && e->kind != p->b->kind)
		return CH_KV_WRONG_KIND;
	if (e && e->kind != p->b->kind) {
		km_remove(s, p->h, e);
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
static int64_t nth_leaves(const struct km_part *p, uint32_t n)
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

bool km_part_passes(const struct km_part *p)
{
	if (p->limit_of_0)
		return false;
	if (p->b->kind == CH_KV_HOLDERS)
		return p->own || p->inside < p->b->burst;
	return p->b->cost <= p->b->burst && p->bucket.missing <= p->rate.room - p->b->cost * p->rate.token;
}

/* Of what a bucket lacks now. */
static void level_of_tokens(struct km_part *p, struct ch_kv_level *l)
{
	p->full_us = p->bucket.missing ? (p->bucket.missing - 1) / p->rate.refill + 1 : 0;
	l->left = p->bucket.missing >= p->rate.room ? 0 : (p->rate.room - p->bucket.missing) / p->rate.token;
	l->full_ms = km_ms(p->full_us);
}

static void level_of_holders(const struct km_part *p, int64_t inside, int64_t last, struct ch_kv_level *l)
{
	l->left = inside < p->b->burst ? p->b->burst - inside : 0;
	l->full_ms = km_ms(last - p->h->now);
}

/* As it was found. */
static void level_found(struct km_part *p, struct ch_kv_level *l)
{
	*l = (struct ch_kv_level){ .passes = km_part_passes(p), .wait_ms = CH_KV_NEVER };
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

static void change_tokens(struct km_part *p, struct ch_kv_level *l)
{
	int64_t cost = p->b->cost;

	if (cost > 0)
		ch_bucket_charge(&p->bucket, &p->rate, (uint64_t)cost, p->h->now); /* take: it is there */
	else if (cost < 0)
		ch_bucket_put_back(&p->bucket, &p->rate, (uint64_t)-cost, p->h->now);
	p->kept = p->bucket.missing;
	level_of_tokens(p, l);
}

static void change_holders(struct km_part *p, bool settles, struct ch_kv_level *l)
{
	int64_t until = p->h->now + p->b->hold_ms * 1000;
	int64_t inside = (int64_t)p->inside - (p->own != NULL) + !settles;

	if (!settles && until > p->last)
		p->last = until;
	p->kept = inside;
	level_of_holders(p, inside, p->last, l);
}

void km_part_change(struct km_part *p, bool settles, struct ch_kv_level *l)
{
	*l = (struct ch_kv_level){ .passes = true };
	p->kept = false;
	p->changed = !p->limit_of_0;
	if (p->limit_of_0)
		return;
	if (p->b->kind == CH_KV_TOKENS)
		change_tokens(p, l);
	else
		change_holders(p, settles, l);
}

/* It was refused. A bucket flows by its new numbers from now on all the same. */
void km_part_leave(struct km_part *p, struct ch_kv_level *l)
{
	level_found(p, l);
	p->changed = p->b->kind == CH_KV_TOKENS && p->carried;
	p->kept = p->changed && p->bucket.missing;
}

