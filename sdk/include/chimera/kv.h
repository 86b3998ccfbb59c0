/* SPDX-License-Identifier: MIT */
/*
 * chimera/kv.h - the service "kv/1": what requests, loops and servers share for a while: values that expire, counters, limits. Form 0.2.
 * Since 0.2.
 *
 * Called on the ctx's loop, answered on the same loop. Nothing is called back inside a call. A provider in memory answers at once (CH_OK);
 * one over a network says CH_AGAIN and needs one round trip for each operation.
 *
 * Atomic. Operations on a key happen one after the other, whoever asks for them, and take is one operation on all of its keys. Two that are
 * out at the same time may happen in either order.
 *
 * Keys. One space of names for all users of a store, so begin yours with your plugin's name. A key is a value, a counter, or a bucket of
 * one kind, as it was made, until it is gone (a bucket: when it is full, or nobody is inside); an operation for something else is
 * CH_KV_WRONG_KIND and changes nothing.
 *
 * Time is the store's own, and the same for all of its users; nobody else's clock is asked, so what goes in and out are durations, not
 * moments. When that clock steps forward, buckets are full and TTLs are over; when it steps back nobody gets anything twice and nobody is
 * locked out.
 *
 * What may be lost. Past its TTL nothing is seen again. A store that is full may forget more than that, what was used least recently first:
 * then get finds nothing, a counter begins anew and a bucket is full. So it is no database.
 */
#ifndef CHIMERA_KV_H
#define CHIMERA_KV_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sizes that every provider takes, and none takes more of; a larger one is CH_KV_BAD_REQUEST. */
#define CH_KV_KEY_MAX 512
#define CH_KV_VALUE_MAX ((size_t)2 << 20)
#define CH_KV_HOLDER_MAX 64
#define CH_KV_BUCKETS_MAX 16              /* of one take */
#define CH_KV_MS_MAX INT64_C(31622400000) /* TTLs, periods and holds: 366 days */
#define CH_KV_COUNT_MAX (INT64_C(1) << 40) /* counts, bursts and costs */
#define CH_KV_NUMBER_MAX (INT64_C(1) << 53) /* counters, in both directions: what a double holds exactly */

enum ch_kv_error {                        /* only ever appended to */
	CH_KV_OK = 0,
	CH_KV_BAD_REQUEST,                /* the args are wrong: a bug of the caller */
	CH_KV_WRONG_KIND,
	CH_KV_RANGE,                      /* a counter would pass CH_KV_NUMBER_MAX; it stays as it was */
	CH_KV_FULL,                       /* no room, and nothing that may be forgotten; what stood there stands there still */
	CH_KV_NO_MEMORY,                  /* of the ctx, for what it would have told; nothing was changed */
	CH_KV_UNAVAILABLE,                /* the store cannot be reached, is too slow, or makes no sense: it did not happen */
	CH_KV_UNKNOWN,                    /* the same behind the point of no return: it may have happened, or may happen yet */
	CH_KV_CANCELLED                   /* given up in time: it did not happen */
};

enum ch_kv_when { CH_KV_ALWAYS = 0, CH_KV_IF_ABSENT, CH_KV_IF_VERSION };

/* What get, set, del and add are about. Needed during the call only, with all it points to. */
struct ch_kv_args {
	size_t size;
	struct ch_str key;                /* 1 to CH_KV_KEY_MAX bytes of any kind */
	struct ch_str value;              /* set: 0 to CH_KV_VALUE_MAX bytes of any kind */
	int when;                         /* set, del: enum ch_kv_when; del knows no IF_ABSENT */
	uint64_t version;                 /* IF_VERSION: the one that a result told, not 0 */
	int64_t ttl_ms;                   /* set: the value's; add: that of a counter which it makes, not prolonged later. 0: none */
	int64_t delta;                    /* add: what is added; 0 looks, and makes no counter */
	int64_t timeout_ms;               /* 0: the provider's own; the ctx's deadline holds beside it */
};

/*
 * One limit that take decides about.
 *
 * TOKENS: a bucket of `burst` tokens, full when it is made, into which `count` tokens flow each period_ms, evenly. In any stretch t it
 * admits burst + count * t / period_ms tokens at most, exactly. What take takes and settle gives back are `cost` tokens. count or burst 0:
 * a limit of 0, which never passes. From an option of type CH_T_RATE: ch_bucket_rate_from (kit/bucket.h), count = refill * 1000,
 * period_ms = token.
 *
 * HOLDERS: at most `burst` at once, each known by a name of its own, each gone by itself after hold_ms: how many may be inside at a time,
 * also when a server dies that would have let them out. Who takes again before that holds on, and takes no second place.
 *
 * With other numbers than last time a bucket keeps what it lacks, in tokens, a fraction counting as a whole one; a larger burst is there at
 * once. From then on the new numbers hold, also if it does not pass.
 */
enum ch_kv_kind { CH_KV_TOKENS = 0, CH_KV_HOLDERS };
struct ch_kv_bucket {
	struct ch_str key;                /* no two of a take are equal */
	int kind;                         /* enum ch_kv_kind */
	int64_t burst;                    /* 0 to CH_KV_COUNT_MAX */
	int64_t count;                    /* TOKENS: 0 to CH_KV_COUNT_MAX, and … */
	int64_t period_ms;                /* … 1 to CH_KV_MS_MAX, and burst * period_ms / gcd(count, period_ms) <= 2^52 */
	int64_t cost;                     /* TOKENS: 0 to CH_KV_COUNT_MAX; 0 passes if there is no debt. settle: below 0, too */
	struct ch_str holder;             /* HOLDERS: 1 to CH_KV_HOLDER_MAX bytes of any kind, the request's id for instance */
	int64_t hold_ms;                  /* HOLDERS: 1 to CH_KV_MS_MAX */
};
struct ch_kv_take_args {                  /* needed during the call only, with all it points to */
	size_t size;
	struct ch_table buckets;          /* CH_TABLE of struct ch_kv_bucket: 1 to CH_KV_BUCKETS_MAX */
	int64_t timeout_ms;
};

/* How a bucket stands: behind the take if all was taken, else as it was found. */
struct ch_kv_level {
	bool passes;                      /* this one has what was asked of it; settle: true */
	int64_t left;                     /* whole tokens, or free places */
	int64_t wait_ms;                  /* until it passes, rounded up, if nobody else takes any; HOLDERS: at the latest. 0: it does */
	int64_t full_ms;                  /* the same until it is full; HOLDERS: until nobody is inside. A limit of 0: 0 */
};
#define CH_KV_NEVER (-1)                  /* wait_ms where no wait helps: a limit of 0, a cost over the burst */

/*
 * What came of it. The caller's memory in the ctx's arena, all zero but `size` when the call is made; what it points to belongs to the ctx.
 */
struct ch_kv_result {
	size_t size;
	int error;                        /* enum ch_kv_error; with one, of the rest only `detail` holds */
	const char *detail;               /* with error: a sentence for people, without keys, values and secrets */
	bool done;                        /* get: it is there; set: stored; del: it was there; add; take: all was taken; settle */
	/*
	 * get, and a set or del that was refused by `when`: what stands there. A version is never 0, and a key never has the same one
	 * twice. 0: nothing stands there. A set that was done tells the version and TTL of what it has set.
	 */
	uint64_t version;
	struct ch_str value;
	int64_t ttl_ms;                   /* what is left of it, at least 1; 0: it does not expire. add: the counter's */
	int64_t number;                   /* add: the counter, after it */
	struct ch_table levels;           /* take and settle: struct ch_kv_level for each bucket, in order; see ch_kv_level_at */
	void *call;                       /* the provider's own, as long as the call runs: how cancel finds it */
};

/*
 * All operations: CH_OK: *out is filled now and the ticket is untouched. CH_AGAIN: *out will be filled and the ticket resumed (result
 * NULL), exactly once, within the timeout. CH_ERROR: the provider is broken. Nothing is tried twice that may have happened.
 *
 * With ticket 0 nobody waits: out is NULL, the answer is CH_OK, and what goes wrong is the provider's to tell. For set, del, add and settle
 * in hooks that cannot suspend (END, CALL_END).
 */
struct ch_kv_v1 {
	size_t size;
	int (*get)(const struct ch_svc *, struct ch_ctx *, const struct ch_kv_args *, struct ch_kv_result *out, ch_ticket);
	int (*set)(const struct ch_svc *, struct ch_ctx *, const struct ch_kv_args *, struct ch_kv_result *out, ch_ticket);
	/* Whatever kind the key is of; IF_VERSION: values. */
	int (*del)(const struct ch_svc *, struct ch_ctx *, const struct ch_kv_args *, struct ch_kv_result *out, ch_ticket);
	int (*add)(const struct ch_svc *, struct ch_ctx *, const struct ch_kv_args *, struct ch_kv_result *out, ch_ticket);
	/* All or nothing: if one bucket does not pass, none is touched. */
	int (*take)(const struct ch_svc *, struct ch_ctx *, const struct ch_kv_take_args *, struct ch_kv_result *out, ch_ticket);
	/*
	 * Afterwards, when the real cost is known. TOKENS: cost > 0: so much more was used: it is charged, be it there or not; a debt is
	 * paid by what flows in first, and what no double holds is forgiven. cost < 0: so much is given back, up to full. HOLDERS: this one
	 * has left; if it is not there, nothing. Always done, each bucket for itself.
	 */
	int (*settle)(const struct ch_svc *, struct ch_ctx *, const struct ch_kv_take_args *, struct ch_kv_result *out, ch_ticket);
	/*
	 * Gives up the call that fills *out: CH_KV_CANCELLED, or CH_KV_UNKNOWN; the ticket is resumed within this turn of the loop.
	 * Idempotent; nothing when the call has ended.
	 */
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_kv_result *out);
};

/* The level of the i-th bucket of a take or settle; NULL past the last. */
static inline const struct ch_kv_level *ch_kv_level_at(const struct ch_kv_result *out, size_t i)
{
	const void *row = (const char *)out->levels.rows + i * out->levels.row_size;
	return i < out->levels.n ? (const struct ch_kv_level *)row : NULL;
}

#ifdef __cplusplus
}
#endif
#endif
