/* SPDX-License-Identifier: Apache-2.0 */
/* buckets.c - the words of take and settle: what is asked for is checked here, and brought into numbers that the script's doubles hold. */
#include <string.h>

#include "kv_redis.h"

#define UNITS_MAX (INT64_C(1) << 52)

/* How a bucket flows: each `unit` microseconds bring `refill` parts, of which a token is `token`. */
struct flow { int64_t refill, token, unit; };

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* By microseconds if a full bucket of them can be counted exactly, else by milliseconds. False: not even so. */
static bool flow_of(const struct ch_kv_bucket *b, struct flow *f)
{
	for (f->unit = 1; f->unit <= 1000; f->unit *= 1000) {
		int64_t period = b->period_ms * (1000 / f->unit), by = gcd(b->count, period), full;

		f->refill = b->count / by;
		f->token = period / by;
		if (!__builtin_mul_overflow(b->burst, f->token, &full) && full <= UNITS_MAX)
			return true;
	}
	return false;
}

static const char *fault_of(const struct ch_kv_bucket *b, bool settles, struct flow *f)
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
	return flow_of(b, f) ? NULL : "A bucket's burst is too large for its period.";
}

const char *kr_buckets(struct kr_call *call, struct ch_str prefix, const struct ch_kv_take_args *args, bool settles)
{
	struct ch_kv_bucket v[CH_KV_BUCKETS_MAX];
	struct flow flows[CH_KV_BUCKETS_MAX];
	size_t n = args->buckets.n, size = args->buckets.row_size;
	int words = 1;

	if (!n || n > CH_KV_BUCKETS_MAX)
		return "There are 1 to 16 buckets.";
	for (size_t i = 0; i < n; i++) {
		const char *fault;

		/* Rows of whatever size they were compiled with. */
		v[i] = (struct ch_kv_bucket){ .cost = 0 };
		memcpy(&v[i], (const char *)args->buckets.rows + i * size, size < sizeof(v[i]) ? size : sizeof(v[i]));
		fault = fault_of(&v[i], settles, &flows[i]);
		if (fault)
			return fault;
		for (size_t k = 0; k < i; k++)
			if (v[k].key.n == v[i].key.n && !memcmp(v[k].key.p, v[i].key.p, v[i].key.n))
				return "Two buckets have the same key.";
		words += v[i].kind == CH_KV_TOKENS ? 6 : 4;
	}
	kr_command(call, KR_S_TAKE, (int)n, words);
	for (size_t i = 0; i < n; i++)
		kr_word_of_two(call, prefix, v[i].key);
	kr_word(call, settles ? "s" : "t", 1);
	for (size_t i = 0; i < n; i++) {
		kr_word(call, v[i].kind == CH_KV_TOKENS ? "t" : "h", 1);
		kr_word_number(call, v[i].burst);
		if (v[i].kind == CH_KV_TOKENS) {
			kr_word_number(call, v[i].cost);
			kr_word_number(call, flows[i].refill);
			kr_word_number(call, flows[i].token);
			kr_word_number(call, flows[i].unit);
		} else {
			kr_word(call, v[i].holder.p, v[i].holder.n);
			kr_word_number(call, v[i].hold_ms * 1000);
		}
	}
	call->nlevels = n;
	return NULL;
}
