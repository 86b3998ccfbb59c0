/* SPDX-License-Identifier: MIT */
/*
 * bucket.c - the token bucket.
 *
 * The unit: with count/period reduced to refill/token, a token is `token` units and a microsecond brings `refill` of them, both whole.
 * What is stored is the lack, not the content, so that zeroed memory is a full bucket. All sums stay below 2^63: room and lack of a bucket
 * that was never charged are at most 2^62, and products are watched for overflow, which costs less than dividing first.
 */
#include "chimera/kit/bucket.h"

#define UNITS_MAX ((int64_t)1 << 62)

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

bool ch_bucket_rate_init(struct ch_bucket_rate *r, uint64_t count, int64_t period_us, uint64_t burst)
{
	uint64_t by, token;

	*r = (struct ch_bucket_rate){ .token = 1 };
	if (period_us <= 0 || count > UNITS_MAX || period_us > UNITS_MAX)
		return false;
	by = gcd(count, (uint64_t)period_us);
	token = (uint64_t)period_us / by;
	if (burst > UNITS_MAX / token)
		return false;
	*r = (struct ch_bucket_rate){ (int64_t)(count / by), (int64_t)token, (int64_t)(burst * token) };
	return true;
}

bool ch_bucket_rate_from(struct ch_bucket_rate *r, double per_second, uint64_t burst)
{
	double a_day = per_second * 86400, whole, off, period;
	uint64_t count;

	if (per_second == 0)
		return ch_bucket_rate_init(r, 0, 1, burst);
	/* The comparison is also false for NaN. Up to 2^53 doubles are no coarser than whole numbers. */
	if (!(a_day * 30 * 365.25 >= 1 && per_second <= 0x1p53))
		return ch_bucket_rate_init(r, 0, 0, 0);
	if (a_day < 0x1p49) {
		count = (uint64_t)(a_day + 0.5);
		whole = (double)count;
		off = a_day < whole ? whole - a_day : a_day - whole;
		/* Up to three roundings lie between the number that was written and this one, each of 2^-53 of it at most. */
		if (count && off <= whole * 0x1p-51)
			return ch_bucket_rate_init(r, count, INT64_C(86400) * 1000000, burst);
	}
	if (per_second >= 1000000)
		return ch_bucket_rate_init(r, (uint64_t)per_second, 1000000, burst);
	/* So many tokens that the period, rounded up to a microsecond, has seven digits at least. */
	count = per_second < 1 ? 1 : 1000000;
	period = (double)count * 1000000 / per_second;
	return ch_bucket_rate_init(r, count, (int64_t)period + 1, burst);
}

/* ---- time ---- */

/* Refills the bucket up to now. */
static void refill(struct ch_bucket *b, const struct ch_bucket_rate *r, int64_t now)
{
	uint64_t passed, units;

	if (now < b->at) {
		/* As unsigned numbers, whose difference is right for any two times. */
		if ((uint64_t)b->at - (uint64_t)now > CH_BUCKET_SLACK_US)
			b->at = now;
		return;
	}
	passed = (uint64_t)now - (uint64_t)b->at;
	b->at = now;
	if (__builtin_mul_overflow(passed, (uint64_t)r->refill, &units) || units > (uint64_t)b->missing)
		b->missing = 0;
	else
		b->missing -= (int64_t)units;
}

/* As ch_bucket_take's result; *cost is set if that is not negative. The bucket is refilled. */
static int64_t wait_for(const struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t *cost)
{
	uint64_t units;
	int64_t over;

	if (!r->refill)
		return CH_BUCKET_NEVER;
	if (__builtin_mul_overflow(n, (uint64_t)r->token, &units) || units > (uint64_t)r->room)
		return CH_BUCKET_TOO_MUCH;
	*cost = (int64_t)units;
	over = b->missing - (r->room - *cost);
	return over <= 0 ? 0 : (over - 1) / r->refill + 1;
}

/* A bucket that waits for the time it has seen (see refill) waits so much longer. */
static int64_t with_lag(const struct ch_bucket *b, int64_t wait, int64_t now)
{
	if (wait > 0 && now < b->at && __builtin_add_overflow(wait, b->at - now, &wait))
		wait = INT64_MAX;
	return wait;
}

int64_t ch_bucket_take(struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us)
{
	int64_t cost, wait;

	refill(b, r, now_us);
	wait = wait_for(b, r, n, &cost);
	if (wait == 0)
		b->missing += cost;
	return with_lag(b, wait, now_us);
}

int64_t ch_bucket_wait(const struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us)
{
	struct ch_bucket then = *b;
	int64_t cost, wait;

	refill(&then, r, now_us);
	wait = wait_for(&then, r, n, &cost);
	return with_lag(&then, wait, now_us);
}

uint64_t ch_bucket_tokens(const struct ch_bucket *b, const struct ch_bucket_rate *r, int64_t now_us)
{
	struct ch_bucket then = *b;

	if (!r->refill)
		return 0;
	refill(&then, r, now_us);
	return then.missing >= r->room ? 0 : (uint64_t)((r->room - then.missing) / r->token);
}

void ch_bucket_put_back(struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us)
{
	uint64_t units;

	refill(b, r, now_us);
	if (__builtin_mul_overflow(n, (uint64_t)r->token, &units) || units > (uint64_t)b->missing)
		b->missing = 0;
	else
		b->missing -= (int64_t)units;
}

void ch_bucket_charge(struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us)
{
	uint64_t units;

	refill(b, r, now_us);
	if (__builtin_mul_overflow(n, (uint64_t)r->token, &units) || units > (uint64_t)(INT64_MAX - b->missing))
		b->missing = INT64_MAX;
	else
		b->missing += (int64_t)units;
}

void ch_bucket_carry(struct ch_bucket *b, const struct ch_bucket_rate *from, const struct ch_bucket_rate *to, int64_t now_us)
{
	uint64_t tokens;

	refill(b, from, now_us);
	tokens = (uint64_t)(b->missing / from->token) + (b->missing % from->token != 0);
	b->missing = 0;
	ch_bucket_charge(b, to, tokens, b->at);
}
