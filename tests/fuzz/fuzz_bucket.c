/* SPDX-License-Identifier: MIT */
/*
 * Token buckets. The input is a rate, then calls. With numbers of a sane size a slow bucket that keeps its content as an exact fraction is
 * asked the same and must agree, and no stretch of time may admit more than burst + rate * time. With numbers of any size the answers
 * must fit each other.
 */
#include <stdbool.h>

#include "chimera/kit/bucket.h"
#include "fuzz.h"

#define STEPS 200

struct input {
	const uint8_t *p;
	size_t n;
};

/* The next `bytes` of the input as a number; zeros behind its end. */
static uint64_t number(struct input *in, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes && in->n; i++) {
		v |= (uint64_t)*in->p++ << 8 * i;
		in->n--;
	}
	return v;
}

/* ---- any numbers ---- */

/* What is told about one moment fits together. */
static void check_moment(const struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now)
{
	uint64_t there = ch_bucket_tokens(b, r, now);
	int64_t wait = ch_bucket_wait(b, r, n, now), later;
	struct ch_bucket copy = *b;

	FUZZ_CHECK(b->missing >= 0);
	FUZZ_CHECK(ch_bucket_take(&copy, r, n, now) == wait && wait >= CH_BUCKET_TOO_MUCH);
	if (wait == 0)
		FUZZ_CHECK(n <= there && ch_bucket_tokens(&copy, r, now) == there - n);
	else
		FUZZ_CHECK(ch_bucket_tokens(&copy, r, now) == there && (n > there || !n || wait == CH_BUCKET_NEVER));
	FUZZ_CHECK(!r->refill || ch_bucket_wait(b, r, there, now) == 0 || !there);
	if (wait > 0 && wait < INT64_MAX && !__builtin_add_overflow(now, wait, &later)) {
		FUZZ_CHECK(ch_bucket_wait(&copy, r, n, later) == 0);
		FUZZ_CHECK(wait == 1 || ch_bucket_wait(&copy, r, n, later - 1) == 1);
	}
	if (r->refill)
		FUZZ_CHECK((ch_bucket_wait(b, r, (uint64_t)(r->room / r->token) + 1, now)) == CH_BUCKET_TOO_MUCH);
}

static void any_numbers(struct input in)
{
	struct ch_bucket b = { 0 };
	struct ch_bucket_rate r, other;

	if (number(&in, 1) & 1) {
		uint64_t bits = number(&in, 8);
		double per_second;

		memcpy(&per_second, &bits, sizeof(bits));
		if (ch_bucket_rate_from(&r, per_second, number(&in, 4)))
			FUZZ_CHECK((double)r.refill / (double)r.token * 1e6 <= per_second * (1 + 1e-15) &&
				   (double)r.refill / (double)r.token * 1e6 >= per_second * (1 - 1.1e-6));
		else
			FUZZ_CHECK(r.refill == 0);
	} else {
		uint64_t count = number(&in, 8);
		int64_t period = (int64_t)number(&in, 8);

		ch_bucket_rate_init(&r, count, period, number(&in, 8));
	}
	FUZZ_CHECK(r.refill >= 0 && r.token >= 1 && r.room >= 0 && r.room % r.token == 0);
	for (int i = 0; in.n && i < STEPS; i++) {
		uint64_t what = number(&in, 1), n = number(&in, what & 8 ? 8 : 1);
		int64_t now = (int64_t)number(&in, 8);

		check_moment(&b, &r, n, now);
		switch (what & 3) {
		case 0:
			ch_bucket_take(&b, &r, n, now);
			break;
		case 1:
			ch_bucket_put_back(&b, &r, n, now);
			break;
		case 2:
			ch_bucket_charge(&b, &r, n, now);
			break;
		default:
			if (ch_bucket_rate_init(&other, 1 + number(&in, 2), 1 + (int64_t)number(&in, 5), number(&in, 2))) {
				uint64_t before = ch_bucket_tokens(&b, &r, now), lost = (uint64_t)(r.room / r.token) - before;

				ch_bucket_carry(&b, &r, &other, now);
				/* What was used is not forgotten. */
				FUZZ_CHECK(!r.refill || ch_bucket_tokens(&b, &other, now) <=
					   (lost < (uint64_t)(other.room / other.token) ? (uint64_t)(other.room / other.token) - lost : 0));
				r = other;
			}
		}
		check_moment(&b, &r, n, now);
	}
}

/* ---- against the slow bucket ---- */

/* Its content is `level` parts of which `period` make a token; a microsecond brings `count` parts. */
struct slow {
	int64_t count, period, burst;
	int64_t level, at;
};

static void slow_refill(struct slow *s, int64_t now)
{
	if (now >= s->at) {
		s->level += (now - s->at) * s->count; /* at most 2^40 * 2^16 */
		if (s->level > s->burst * s->period)
			s->level = s->burst * s->period;
		s->at = now;
	} else if (s->at - now > CH_BUCKET_SLACK_US) {
		s->at = now;
	}
}

static int64_t slow_take(struct slow *s, int64_t n, int64_t now)
{
	int64_t lacks;

	slow_refill(s, now);
	if (!s->count)
		return CH_BUCKET_NEVER;
	if (n > s->burst)
		return CH_BUCKET_TOO_MUCH;
	lacks = n * s->period - s->level;
	if (lacks > 0)
		return (lacks + s->count - 1) / s->count + (s->at - now);
	s->level -= n * s->period;
	return 0;
}

struct admitted {
	int64_t at, n;
};

/* Of no stretch too many: from each admission to the last one. */
static void check_stretches(const struct slow *s, const struct admitted *all, int last)
{
	int64_t sum = 0;

	for (int i = last; i >= 0; i--) {
		sum += all[i].n;
		FUZZ_CHECK(sum * s->period <= s->burst * s->period + s->count * (all[last].at - all[i].at));
	}
}

static void sane_numbers(struct input in)
{
	struct slow s = { .count = (int64_t)number(&in, 2), .period = 1 + (int64_t)number(&in, 4), .burst = (int64_t)number(&in, 1) };
	struct admitted all[STEPS];
	struct ch_bucket_rate r;
	struct ch_bucket b = { 0 };
	int64_t now = 0;
	bool counts = true; /* nothing was given back, and the clock was not replaced */

	s.level = s.burst * s.period;
	FUZZ_CHECK(ch_bucket_rate_init(&r, (uint64_t)s.count, s.period, (uint64_t)s.burst));
	for (int i = 0; in.n && i < STEPS; i++) {
		uint64_t what = number(&in, 1);
		int64_t n = (int64_t)number(&in, 1);

		switch (what & 7) { /* how the clock goes on */
		case 0:
			break;
		case 1:
		case 2:
			now += (int64_t)number(&in, 1);
			break;
		case 3:
			now += (int64_t)number(&in, 3);
			break;
		case 4:
			now += (int64_t)number(&in, 5);
			break;
		case 5: { /* to the microsecond at which n are there, or one before */
			int64_t wait = ch_bucket_wait(&b, &r, (uint64_t)n, now);

			if (wait > 0 && wait < (int64_t)1 << 40)
				now += wait - (int64_t)(what >> 3 & 1);
			break;
		}
		case 6:
			now -= (int64_t)number(&in, 2);
			break;
		default:
			if (what & 8)
				now -= (int64_t)number(&in, 4);
		}
		all[i] = (struct admitted){ s.at, 0 };
		switch (what >> 4 & 7) {
		case 0: /* gives back */
			slow_refill(&s, now);
			s.level += n * s.period;
			if (s.level > s.burst * s.period)
				s.level = s.burst * s.period;
			ch_bucket_put_back(&b, &r, (uint64_t)n, now);
			counts = false;
			break;
		case 1:
			slow_refill(&s, now);
			s.level -= n * s.period;
			ch_bucket_charge(&b, &r, (uint64_t)n, now);
			break;
		default: {
			int64_t got = ch_bucket_take(&b, &r, (uint64_t)n, now);

			FUZZ_CHECK(got == slow_take(&s, n, now));
			all[i].n = got == 0 ? n : 0;
		}
		}
		FUZZ_CHECK(ch_bucket_tokens(&b, &r, now) == (s.count && s.level > 0 ? (uint64_t)(s.level / s.period) : 0));
		if (s.at < all[i].at)
			counts = false;
		/* A reader who is late has no time of its own: what it took counts at the time that the bucket had seen. */
		all[i].at = s.at;
		if (counts)
			check_stretches(&s, all, i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] & 1)
		any_numbers((struct input){ data + 1, size - 1 });
	else if (size)
		sane_numbers((struct input){ data + 1, size - 1 });
	return 0;
}
