/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/bucket.h - a token bucket with exact fractional refill. Since 0.2.
 *
 * It holds at most `burst` tokens and refills by `count` a period, continuously. All is integer arithmetic in a unit in which both a token
 * and a microsecond of refill are whole numbers, so nothing is rounded and nothing drifts: over any stretch of t microseconds a bucket
 * admits at most burst + count * t / period tokens, exactly, and no less than that, less one, if it is asked all the time and so is never
 * full (a full bucket drops what refills it).
 *
 * Pure functions: no allocation, no global state, no clock. Times are microseconds of any one clock, best a monotonic one. Not thread-safe:
 * one bucket is used by one loop, or under the caller's lock. The rate may be shared by any number of buckets and threads, it is only read.
 *
 *   struct ch_bucket_rate rate;
 *   struct ch_bucket bucket = { 0 };                         // full
 *
 *   if (!ch_bucket_rate_init(&rate, 100, 60 * 1000000, 20))       // 100/min, burst 20
 *           return config_error();
 *
 *   int64_t wait = ch_bucket_take(&bucket, &rate, 1, ch_now());
 *   if (wait == 0)
 *           return serve();
 *   if (wait < 0)
 *           return refuse_for_ever();                        // a limit of 0, or a cost over the burst
 *   return refuse(retry_after_s = (wait + 999999) / 1000000);
 *
 * The clock. A step forward, however far, fills the bucket and no more. A step back of up to CH_BUCKET_SLACK_US is taken for two readers
 * of one clock that overtook each other: the bucket waits for the time that it has seen. A longer one is a new clock: the bucket keeps
 * what it holds and refills from there on; it neither gets a refund nor is anyone locked out.
 */
#ifndef CHIMERA_KIT_BUCKET_H
#define CHIMERA_KIT_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_BUCKET_SLACK_US 1000000

/* Why no wait helps: what ch_bucket_take and ch_bucket_wait return in place of one. */
enum {
	CH_BUCKET_NEVER = -1,    /* the limit is 0 */
	CH_BUCKET_TOO_MUCH = -2  /* the cost is over the burst: a smaller one would pass */
};

/* What a bucket refills by and holds, in its own unit. Set by the functions below; read it as you like. */
struct ch_bucket_rate {
	int64_t refill; /* units a microsecond; 0: a limit of 0 */
	int64_t token;  /* units that one token is; at least 1 */
	int64_t room;   /* units that a full bucket holds: burst * token */
};

/* All zero bytes are a full bucket. 16 bytes. */
struct ch_bucket {
	int64_t missing; /* units that it lacks to be full; more than `room` after ch_bucket_charge */
	int64_t at;      /* the time up to which it is refilled */
};

/*
 * `count` tokens every period_us microseconds, at most `burst` at once. count 0 means never; burst 0 makes every cost too much. Rates below
 * one a second are as exact as others. Returns false, and a limit of 0, if period_us is not above 0 or the numbers are too large: burst
 * times the reduced period and each of them may be 2^62 at most (100/min: a token is 600,000 units, so bursts up to 7 * 10^12).
 */
bool ch_bucket_rate_init(struct ch_bucket_rate *r, uint64_t count, int64_t period_us, uint64_t burst);

/*
 * The same from tokens a second, as CH_T_RATE gives it. What was a whole number a second, minute, hour or day before it became a double is
 * that again, exactly, up to 10^9 a second; anything else is rounded down by less than a millionth of itself. False also for NaN,
 * infinities, what is below 0, above 2^53 or comes to less than one token in 30 years (0 itself is fine).
 */
bool ch_bucket_rate_from(struct ch_bucket_rate *r, double per_second, uint64_t burst);

/*
 * Takes n tokens if they are there. Returns 0: taken. Above 0: none was taken; after so many microseconds n are there, and not one earlier,
 * if nobody else takes any (INT64_MAX: that or more). CH_BUCKET_NEVER, CH_BUCKET_TOO_MUCH: see above; the limit of 0 is told before the
 * other. n 0 waits for nothing but the end of a debt.
 */
int64_t ch_bucket_take(struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us);

/* What ch_bucket_take would return, without taking. n = the burst tells when the bucket is full. */
int64_t ch_bucket_wait(const struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us);

/* The whole tokens that are there now: 0 to burst; 0 for a limit of 0. */
uint64_t ch_bucket_tokens(const struct ch_bucket *b, const struct ch_bucket_rate *r, int64_t now_us);

/* Puts n tokens back that were taken and not used. The bucket is never more than full. */
void ch_bucket_put_back(struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us);

/*
 * Takes n tokens whether they are there or not: a cost that is known only when the work is done. What is not there is a debt, which refill
 * pays first; until then nothing can be taken. It ends at 2^63 - 1 units.
 */
void ch_bucket_charge(struct ch_bucket *b, const struct ch_bucket_rate *r, uint64_t n, int64_t now_us);

/*
 * Carries a bucket over to another rate (a reload). What it lacks stays the same number of tokens, a fraction counts as a whole one; a
 * larger burst is there at once, a smaller one cuts.
 */
void ch_bucket_carry(struct ch_bucket *b, const struct ch_bucket_rate *from, const struct ch_bucket_rate *to, int64_t now_us);

#ifdef __cplusplus
}
#endif
#endif
