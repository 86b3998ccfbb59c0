/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/backoff.h - when to try again, and whether: exponential backoff with jitter, Retry-After, a budget of retries. Since 0.2.
 *
 * Pure functions: no allocation, no global state, no clock and no random numbers of their own: both are handed in. All times are
 * microseconds. Any thread; a struct ch_retry_budget belongs to one loop, or to whoever holds the caller's lock.
 *
 *   struct ch_retry_budget budget;
 *   ch_retry_budget_init(&budget, 0.10, 10);                          // once: 10 % of the traffic, and 10 in the bank
 *
 *   ch_retry_budget_request(&budget);                                 // each request, not its retries
 *   for (unsigned int attempt = 0;; attempt++) {
 *           if (try(&answer) || attempt == retries || !ch_retry_budget_take(&budget))
 *                   break;
 *           int64_t wait = -1;
 *           if (answer.retry_after)                                   // at most 20 s, whatever the server says
 *                   wait = ch_retry_after(answer.retry_after, answer.retry_after_len, ch_wall(), 0, 20000000);
 *           if (wait < 0)                                             // 0 to 0.5, 1, 2, 4, 8, 8 … s
 *                   wait = ch_backoff_full(500000, 8000000, attempt, random_bits());
 *           wait_for(wait);
 *   }
 */
#ifndef CHIMERA_KIT_BACKOFF_H
#define CHIMERA_KIT_BACKOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- backoff ---- */

/*
 * base * 2^attempt, at most cap; attempt 0 is the first wait. No jitter: for one caller alone, and for those who make their own. Never
 * overflows; a base or cap below 0 counts as 0.
 */
int64_t ch_backoff(int64_t base_us, int64_t cap_us, unsigned int attempt);

/*
 * Full jitter: anything from 0 to ch_backoff, each microsecond as likely as the others. What many callers of one server should use: it
 * spreads them most. `random`: 64 random bits, fresh ones for each call.
 */
int64_t ch_backoff_full(int64_t base_us, int64_t cap_us, unsigned int attempt, uint64_t random);

/*
 * Decorrelated jitter: anything from base to three times the wait before, at most cap. For callers that must not come back at once.
 * before_us is what the call before returned, 0 for the first; what is below base counts as base.
 */
int64_t ch_backoff_decorrelated(int64_t base_us, int64_t cap_us, int64_t before_us, uint64_t random);

/* ---- what the server said ---- */

/*
 * Reads the value of a Retry-After field (RFC 9110, section 10.2.3), without blanks around it: seconds, a decimal fraction allowed as some
 * servers send one, or an HTTP-date in any of its three forms (section 5.6.7), which is compared with wall_us (microseconds since 1970).
 * Returns the wait from min_us to max_us: what is less becomes min_us, a date in the past too; what is more max_us, be it as long as a line
 * can hold. Returns -1, to be taken as if the field were not there, for anything else: a sign, an exponent, an empty value, a date that
 * does not exist. The name of the weekday must be one, but is not compared with the date. 0 <= min_us <= max_us.
 */
int64_t ch_retry_after(const char *value, size_t n, int64_t wall_us, int64_t min_us, int64_t max_us);

/* The same of a retry-after-ms field, which OpenAI's servers send and which goes before the other: milliseconds, no dates. */
int64_t ch_retry_after_ms(const char *value, size_t n, int64_t min_us, int64_t max_us);

/* ---- budget ---- */

/*
 * How many retries are allowed: a share of the requests, so that a server which fails is not given a multiple of its load. Over any
 * stretch in which R requests came at most `bank` + share * R retries are granted, exactly. The bank is full at first, so that a quiet
 * process may retry too; a bank of 0 is one of 1 that is empty at first. A budget on each loop keeps the share of the whole, and the banks
 * add up.
 */
struct ch_retry_budget {
	uint64_t share; /* what a request brings, in millionths of a retry */
	uint64_t most;  /* what the bank holds at most, likewise */
	uint64_t left;
};

/* share: 0 (only what is in the bank, and never more) to 1; rounded to a millionth. Zeroed memory is a budget that grants nothing. */
void ch_retry_budget_init(struct ch_retry_budget *b, double share, uint32_t bank);
/* A request came. Not for its retries. */
void ch_retry_budget_request(struct ch_retry_budget *b);
/* May one retry be made? True: it counts as made. */
bool ch_retry_budget_take(struct ch_retry_budget *b);
/* A retry that was granted is not made after all. */
void ch_retry_budget_put_back(struct ch_retry_budget *b);

#ifdef __cplusplus
}
#endif
#endif
