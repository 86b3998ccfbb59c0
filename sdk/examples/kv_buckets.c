/* SPDX-License-Identifier: MIT */
/*
 * kv_buckets.c - several limits at once, all or nothing. A bucket's arithmetic is the kit's (chimera/kit/bucket.h), in exact integers.
 */
#include <string.h>

#include "kv_table.h"

/* One bucket of a take or settle on its way. */
struct part {
	struct ch_kv_bucket b;
	struct ch_bucket_rate rate;
	struct kv_entry *e; /* NULL: a limit of 0 */
};

static bool no_limit(const struct part *p)
{
	return !p->b.burst || (p->b.kind == CH_KV_TOKENS && !p->b.count);
}

static int64_t gcd(int64_t a, int64_t b)
{
	return b ? gcd(b, a % b) : a;
}

static const char *part_fault(struct part *p, bool settles)
{
	const struct ch_kv_bucket *b = &p->b;
	int64_t units;

	if (!b->key.n || b->key.n > CH_KV_KEY_MAX || b->burst < 0 || b->burst > CH_KV_COUNT_MAX)
		return "A bucket's key has 1 to 512 bytes, and its burst is 2^40 at most.";
	if (b->kind == CH_KV_HOLDERS)
		return b->holder.n && b->holder.n <= CH_KV_HOLDER_MAX && b->hold_ms > 0 && b->hold_ms <= CH_KV_MS_MAX ? NULL :
			"A holder's name has 1 to 64 bytes, and holds for 366 days at most.";
	if (b->kind != CH_KV_TOKENS || b->count < 0 || b->count > CH_KV_COUNT_MAX || b->period_ms < 1 || b->period_ms > CH_KV_MS_MAX)
		return "A bucket is of a kind that there is not, or flows by no period or too much.";
	if (b->cost > CH_KV_COUNT_MAX || b->cost < (settles ? -CH_KV_COUNT_MAX : 0))
		return "A cost is 2^40 at most, and below 0 only for settle.";
	if (__builtin_mul_overflow(b->burst, b->period_ms / gcd(b->period_ms, b->count), &units) || units > INT64_C(1) << 52)
		return "A bucket's burst is too large for its period.";
	return ch_bucket_rate_init(&p->rate, (uint64_t)b->count, b->period_ms * 1000, (uint64_t)b->burst) ? NULL :
		"A bucket's numbers are too large.";
}

/* Reads the table of buckets, of whatever row size it was compiled with. A sentence if it is wrong. */
static const char *read_parts(const struct ch_kv_take_args *a, struct part *parts, bool settles)
{
	const char *fault = NULL;

	if (!a->buckets.n || a->buckets.n > CH_KV_BUCKETS_MAX)
		return "There are 1 to 16 buckets.";
	for (size_t i = 0; i < a->buckets.n && !fault; i++) {
		size_t size = a->buckets.row_size < sizeof(parts->b) ? a->buckets.row_size : sizeof(parts->b);

		parts[i] = (struct part){ .e = NULL };
		memcpy(&parts[i].b, (const char *)a->buckets.rows + i * a->buckets.row_size, size);
		fault = part_fault(&parts[i], settles);
		for (size_t k = 0; k < i && !fault; k++)
			if (parts[k].b.key.n == parts[i].b.key.n && !memcmp(parts[k].b.key.p, parts[i].b.key.p, parts[i].b.key.n))
				fault = "Two buckets have the same key.";
	}
	return fault;
}

static struct kv_holder *find_holder(const struct part *p)
{
	for (size_t i = 0; p->e && i < p->e->nholders; i++)
		if (p->e->holders[i].n == p->b.holder.n && !memcmp(p->e->holders[i].name, p->b.holder.p, p->b.holder.n))
			return &p->e->holders[i];
	return NULL;
}

/* Finds or makes the entry, brings it up to now and to the numbers of the args, and pins it. An error, or 0. */
static int open_part(struct kv_store *s, struct part *p, int64_t now)
{
	struct kv_entry *e = kv_find(s, p->b.key.p, p->b.key.n, now);

	if (e && e->kind != p->b.kind)
		return CH_KV_WRONG_KIND;
	if (no_limit(p))
		return 0;
	if (e && e->kind == KV_TOKENS && memcmp(&e->rate, &p->rate, sizeof(p->rate)))
		ch_bucket_carry(&e->bucket, &e->rate, &p->rate, now);
	if (!e)
		e = kv_put(s, p->b.key.p, p->b.key.n, p->b.kind, 0, now);
	if (!e)
		return CH_KV_FULL;
	p->e = e;
	e->pinned = true;
	if (e->kind == KV_TOKENS) {
		e->rate = p->rate;
		return 0;
	}
	for (size_t i = 0; i < e->nholders;)
		if (e->holders[i].until <= now)
			e->holders[i] = e->holders[--e->nholders];
		else
			i++;
	return kv_more_holders(s, e) ? 0 : CH_KV_FULL;
}

/* A full bucket is no bucket: it goes when it is full. */
static void close_part(struct kv_store *s, struct part *p, int64_t now)
{
	struct kv_entry *e = p->e;

	if (!e)
		return;
	e->pinned = false;
	e->expires = 0;
	if (p->b.kind == CH_KV_TOKENS) {
		int64_t us = ch_bucket_wait(&e->bucket, &e->rate, (uint64_t)p->b.burst, now);

		e->expires = us > INT64_MAX - now ? INT64_MAX : us ? now + us : 0;
	}
	for (size_t i = 0; p->b.kind == CH_KV_HOLDERS && i < e->nholders; i++)
		e->expires = e->holders[i].until > e->expires ? e->holders[i].until : e->expires;
	if (!e->expires)
		kv_drop(s, e);
}

/* When so many of those inside have left by themselves. */
static int64_t when_left(const struct kv_entry *e, size_t many)
{
	for (size_t i = 0; i < e->nholders; i++) {
		size_t before = 0, with = 0;

		for (size_t k = 0; k < e->nholders; k++) {
			before += e->holders[k].until < e->holders[i].until;
			with += e->holders[k].until <= e->holders[i].until;
		}
		if (before < many && many <= with)
			return e->holders[i].until;
	}
	return INT64_MAX;
}

static void level_of(const struct part *p, int64_t now, struct ch_kv_level *l)
{
	const struct kv_entry *e = p->e;
	int64_t us, last = now;

	*l = (struct ch_kv_level){ .wait_ms = CH_KV_NEVER };
	if (!e)
		return;
	if (p->b.kind == CH_KV_TOKENS) {
		us = ch_bucket_wait(&e->bucket, &e->rate, p->b.cost > 0 ? (uint64_t)p->b.cost : 0, now);
		l->passes = !us;
		l->wait_ms = us < 0 ? CH_KV_NEVER : kv_ms(us);
		l->left = (int64_t)ch_bucket_tokens(&e->bucket, &e->rate, now);
		l->full_ms = kv_ms(ch_bucket_wait(&e->bucket, &e->rate, (uint64_t)p->b.burst, now));
		return;
	}
	for (size_t i = 0; i < e->nholders; i++)
		last = e->holders[i].until > last ? e->holders[i].until : last;
	l->left = (int64_t)e->nholders < p->b.burst ? p->b.burst - (int64_t)e->nholders : 0;
	l->passes = l->left || find_holder(p);
	l->wait_ms = l->passes ? 0 : kv_ms(when_left(e, e->nholders - (size_t)p->b.burst + 1) - now);
	l->full_ms = kv_ms(last - now);
}

static void take_part(struct part *p, int64_t now)
{
	struct kv_entry *e = p->e;
	struct kv_holder *h;

	if (p->b.kind == CH_KV_TOKENS) {
		ch_bucket_take(&e->bucket, &e->rate, (uint64_t)p->b.cost, now);
		return;
	}
	h = find_holder(p);
	if (!h) {
		h = &e->holders[e->nholders++];
		h->n = p->b.holder.n;
		memcpy(h->name, p->b.holder.p, h->n);
	}
	h->until = now + p->b.hold_ms * 1000;
}

static void settle_part(struct part *p, int64_t now)
{
	struct kv_entry *e = p->e;
	struct kv_holder *h = p->b.kind == CH_KV_HOLDERS ? find_holder(p) : NULL;

	if (!e)
		return;
	if (h)
		*h = e->holders[--e->nholders];
	else if (p->b.kind == CH_KV_TOKENS && p->b.cost > 0)
		ch_bucket_charge(&e->bucket, &e->rate, (uint64_t)p->b.cost, now);
	else if (p->b.kind == CH_KV_TOKENS)
		ch_bucket_put_back(&e->bucket, &e->rate, (uint64_t)-p->b.cost, now);
}

/* take and settle: all parts are opened, then all are looked at, then all or none are changed. */
int kv_change(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, bool settles)
{
	struct part parts[CH_KV_BUCKETS_MAX];
	const char *fault = read_parts(a, parts, settles);
	struct ch_kv_level *levels = fault || !out ? NULL : ch_alloc(c, a->buckets.n * sizeof(*levels)), level;
	int64_t now = ch_now();
	size_t n = a->buckets.n, opened = 0;
	bool pass = true;
	int error = 0;
	struct kv_store *s;

	if (fault)
		return kv_bad(out, fault);
	if (out && !levels)
		return kv_fail(out, CH_KV_NO_MEMORY, "The request has no memory left for the answer.");
	s = kv_lock(svc);
	while (opened < n && !error)
		error = open_part(s, &parts[opened++], now);
	for (size_t i = 0; i < n && !error && !settles; i++) {
		level_of(&parts[i], now, &level);
		pass = pass && level.passes;
		if (levels)
			levels[i] = level;
	}
	for (size_t i = 0; i < n && !error && pass; i++) {
		if (settles)
			settle_part(&parts[i], now);
		else
			take_part(&parts[i], now);
		level_of(&parts[i], now, &level);
		level.passes = true;
		level.wait_ms = 0;
		if (levels)
			levels[i] = level;
	}
	for (size_t i = 0; i < opened; i++)
		close_part(s, &parts[i], now);
	if (error)
		return kv_unlock(svc, error == CH_KV_FULL ? kv_full(out) : kv_wrong_kind(out));
	if (out) {
		out->done = pass;
		out->levels = (struct ch_table){ levels, n, sizeof(*levels) };
	}
	return kv_unlock(svc, CH_OK);
}
