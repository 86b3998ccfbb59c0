/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - see limits.h. */
#include <string.h>

#include <chimera/kit/bucket.h>
#include <chimera/kit/decimal.h>

#include "limits.h"
#include "text.h"

/* ---- shapes ---- */

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* What flows in within a minute, rounded up. */
static int64_t minute_of(const struct ch_bucket_rate *r)
{
	__int128 n = ((__int128)r->refill * 60000000 + r->token - 1) / r->token;

	return n > CH_KV_COUNT_MAX ? CH_KV_COUNT_MAX : (int64_t)n;
}

/* What kv/1 asks of a bucket. */
static bool fits(const struct ratelimit_shape *s)
{
	return s->count <= CH_KV_COUNT_MAX && s->period_ms <= CH_KV_MS_MAX && s->burst <= CH_KV_COUNT_MAX &&
	       s->burst <= (INT64_C(1) << 52) / s->period_ms;
}

static bool exact(const struct ch_bucket_rate *r, struct ratelimit_shape *s)
{
	int64_t count, by;

	if (__builtin_mul_overflow(r->refill, INT64_C(1000), &count))
		return false;
	by = gcd(count, r->token);
	s->count = count / by;
	s->period_ms = r->token / by;
	return fits(s);
}

/* A share of a rate may be a number of many digits, with which a bucket cannot count: then the next lower one of few. */
static bool rounded(double per_second, struct ratelimit_shape *s)
{
	bool slow = per_second < 1;

	if (per_second > 0x1p40 || per_second * CH_KV_MS_MAX < 1000)
		return false;
	s->count = slow ? 1 : (int64_t)per_second;
	s->period_ms = slow ? (int64_t)(1000 / per_second) + 1 : 1000;
	return fits(s);
}

static bool shape_make(double per_second, int64_t burst, struct ratelimit_shape *s)
{
	struct ch_bucket_rate r;

	*s = (struct ratelimit_shape){ .limited = per_second >= 0, .period_ms = 1000 };
	if (per_second <= 0)
		return true;
	if (!ch_bucket_rate_from(&r, per_second, 1))
		return false;
	s->burst = burst ? burst : minute_of(&r);
	if (!exact(&r, s) && !rounded(per_second, s))
		return false;
	s->window_s = (s->burst * s->period_ms + s->count * 1000 - 1) / (s->count * 1000);
	return true;
}

static int64_t part_of(int64_t n, double share)
{
	int64_t part = (int64_t)((double)n * share);

	return n && part < 1 ? 1 : part;
}

static bool share_make(double per_second, double share, const struct ratelimit_shape *whole, struct ratelimit_shape *s)
{
	return shape_make(per_second > 0 ? per_second * share : per_second, part_of(whole->burst, share), s);
}

const char *ratelimit_limits_make(const struct ratelimit_spec *spec, double share, struct ratelimit_limits at[STORES])
{
	struct ratelimit_limits *store = &at[STORE], *other = &at[FALLBACK];

	if (!shape_make(spec->requests, spec->burst, &store->requests) ||
	    !share_make(spec->requests, share, &store->requests, &other->requests))
		return "requests";
	if (!shape_make(spec->tokens, spec->token_burst, &store->tokens) ||
	    !share_make(spec->tokens, share, &store->tokens, &other->tokens))
		return "tokens";
	store->concurrent = spec->concurrent;
	other->concurrent = spec->concurrent > 0 ? part_of(spec->concurrent, share) : spec->concurrent;
	return NULL;
}

/* ---- a key's own ---- */

static bool read_count(const char *p, size_t n, int64_t *out)
{
	struct ch_decimal d;

	if (!n || ch_decimal_read(p, n, &d) != n || d.point || d.digits > CH_KV_COUNT_MAX)
		return false;
	*out = d.digits;
	return true;
}

static bool is(struct ch_str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

static bool read_one(struct ch_str key, const char *p, size_t n, struct ratelimit_spec *spec)
{
	if (is(key, "requests"))
		return ch_rate_read(p, n, &spec->requests);
	if (is(key, "tokens"))
		return ch_rate_read(p, n, &spec->tokens);
	if (is(key, "burst"))
		return read_count(p, n, &spec->burst) && spec->burst;
	if (is(key, "token_burst"))
		return read_count(p, n, &spec->token_burst) && spec->token_burst;
	if (!is(key, "concurrent"))
		return false;
	if (is((struct ch_str){ p, n }, "unlimited")) {
		spec->concurrent = NO_LIMIT;
		return true;
	}
	return read_count(p, n, &spec->concurrent);
}

bool ratelimit_spec_read(const char *text, struct ratelimit_spec *spec)
{
	struct ratelimit_spec s = *spec;
	bool burst = false, token_burst = false, requests = false, tokens = false;

	while (*(text += strspn(text, " \t"))) {
		size_t n = strcspn(text, " \t");
		const char *eq = memchr(text, '=', n);
		struct ch_str key = { text, eq ? (size_t)(eq - text) : 0 };

		if (!eq || !read_one(key, eq + 1, n - key.n - 1, &s))
			return false;
		requests = requests || is(key, "requests");
		tokens = tokens || is(key, "tokens");
		burst = burst || is(key, "burst");
		token_burst = token_burst || is(key, "token_burst");
		text += n;
	}
	if (requests && !burst)
		s.burst = 0;
	if (tokens && !token_burst)
		s.token_burst = 0;
	*spec = s;
	return true;
}

/* ---- for people ---- */

size_t ratelimit_rate_text(const struct ratelimit_shape *s, char out[40])
{
	static const struct { int64_t ms; const char *name; } units[] = {
		{ 1000, " a second" }, { 60000, " a minute" }, { 3600000, " an hour" }, { 86400000, " a day" }
	};
	__int128 n = s->count;
	char *at = out;
	size_t i = 0;

	/* The first unit in which it is whole, and more than a few; else about so many a minute. */
	while (i < 4 && n * units[i].ms % s->period_ms)
		i++;
	if (i == 0 && s->count * 1000 / s->period_ms < 10)
		i = 1;
	if (i == 4) {
		at = put_text(at, "about ");
		i = 1;
	}
	at = put_number(at, (int64_t)(n * units[i].ms / s->period_ms));
	at = put_text(at, units[i].name);
	*at = '\0';
	return (size_t)(at - out);
}
