/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - limits as numbers: from what a config or a key says ("100/min", a burst) to what a bucket of kv/1 is told. Pure functions, any
 * thread.
 */
#ifndef RATELIMIT_LIMITS_H
#define RATELIMIT_LIMITS_H

#include <chimera/kv.h>

/* Which numbers: those of the store, or the smaller ones of the fallback. */
enum ratelimit_at { STORE = 0, FALLBACK, STORES, NOWHERE = STORES };

enum ratelimit_unit { REQUESTS = 0, TOKENS, CONCURRENT };

#define NO_LIMIT (-1)

/* What somebody wrote down. */
struct ratelimit_spec {
	double requests, tokens;          /* a second; NO_LIMIT: unlimited */
	int64_t burst, token_burst;       /* 0: what flows in within a minute, and 1 at least */
	int64_t concurrent;               /* NO_LIMIT: any number */
};

/* A token bucket as kv/1 takes it. A limit of 0 has burst and count 0. */
struct ratelimit_shape {
	bool limited;
	int64_t burst, count, period_ms;
	int64_t window_s;                 /* from empty to full, seconds, rounded up; 0: never */
};

struct ratelimit_limits {
	struct ratelimit_shape requests, tokens;
	int64_t concurrent;               /* NO_LIMIT: any number */
};

/*
 * The limits that a spec comes to, in the store and, of each `share`, in the fallback: never less there than one at once, unless it is a
 * limit of 0. NULL: fine; else the key of the spec whose numbers are too large, or whose rate is too slow, for a bucket.
 */
const char *ratelimit_limits_make(const struct ratelimit_spec *, double share, struct ratelimit_limits at[STORES]);

/*
 * A key's own limits: "requests=100/min burst=20 tokens=1000/min token_burst=2000 concurrent=5", in any order, by blanks. What it does not
 * name stays as it stands in *spec; a rate without its burst has the burst of a minute. False: it cannot be read; *spec is as it was.
 */
bool ratelimit_spec_read(const char *text, struct ratelimit_spec *spec);

/* "1000 a minute", for people: the unit in which it is a whole number. Returns its length, below 40. */
size_t ratelimit_rate_text(const struct ratelimit_shape *, char out[40]);

#endif
