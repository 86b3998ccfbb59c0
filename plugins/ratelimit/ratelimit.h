/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ratelimit.h - what the parts of ratelimit share. Everything that takes a ctx runs on its loop.
 *
 *   identity.c  whose limits hold, and the hash that names him in a store
 *   rules.c     rows of the config: tiers, and rules for endpoints and models
 *   take.c      one decision: a take of all buckets at once, in the store or, if that is away, in the fallback
 *   limit.c     LIMIT: requests and concurrency; END lets the places go
 *   spend.c     CALL and CALL_END: tokens, reserved and settled; spend_stream.c what a stream uses beyond that
 *   leave.c     places that are given back again, because the store may have been away
 *   refuse.c    what a 429 says; headers.c what every answer says
 */
#ifndef RATELIMIT_H
#define RATELIMIT_H

#include <chimera/inference.h>
#include <chimera/kit/hash.h>
#include <stdatomic.h>

#include "limits.h"

/* ---- config ---- */

enum ratelimit_down { DOWN_PASS = 0, DOWN_REFUSE };

struct ratelimit_conf {
	const struct ch_svc *store;
	struct ch_svcs fallback;          /* one at most; what stands empty as a SERVICE means any. The default may be the store: none */
	double fallback_share;
	int on_store_down;                /* enum ratelimit_down */
	const char *default_tier;
	double requests;                  /* of the default tier, if it has no row */
	int64_t assume_output, stream_overshoot;
	int64_t hold;                     /* milliseconds */
};

/* A row: a tier, or, with endpoint or model, a rule. */
struct ratelimit_row_conf {
	double requests, tokens;
	int64_t burst, token_burst, concurrent;
	struct ch_list endpoint, model, tiers;
};

/* ---- rules.c ---- */

#define NAME_LIMIT 64                     /* bytes of a row's name */
#define TIERS_BUILT_IN 4

/* Limits with a name: of a tier, of a row's rule, or, while a request lasts, of a key. */
struct ratelimit_rule {
	struct ch_str name;
	const struct ratelimit_row_conf *row; /* NULL: built in, or a key's own */
	struct ratelimit_spec spec;
	struct ratelimit_limits at[STORES];
	unsigned requests, denials;       /* series, of tiers */
	unsigned spent[3];                /* series, of tiers: enum ratelimit_spent */
};
enum ratelimit_spent { SPENT_RESERVED = 0, SPENT_MORE, SPENT_RETURNED };

struct ratelimit_leaves;

struct ratelimit_state {
	struct ratelimit_rule *tiers, *rules;
	size_t ntiers, nrules;
	const struct ratelimit_rule *standard; /* of the default tier */
	const struct ch_svc *stores[STORES]; /* FALLBACK: NULL if there is none */
	unsigned away[3];                 /* series, by what was done: fallback, pass, refuse */
	struct ratelimit_leaves *leaves;
	_Atomic int64_t down;             /* when the host was last told that the store is away; 0: it is not */
	_Atomic uint64_t told;            /* one bit for each strange tier or unreadable limit that the log knows */
};

/* For check and start: makes all tiers and rules. False: told by ch_config_error (check), or no memory. */
bool ratelimit_rules_make(struct ch_self *, struct ratelimit_state *);
/* For check: the log hears of names of tiers that are nearly known ones. */
void ratelimit_rules_look(struct ch_self *, const struct ratelimit_state *);
void ratelimit_rules_free(struct ratelimit_state *);
/* The tier of that name (NULL: nobody said one); one without limits of its own is the default tier. Never NULL. */
const struct ratelimit_rule *ratelimit_tier(struct ch_self *, struct ch_ctx *, const char *name);
/* The first row's rule for that endpoint, or that model, and tier; NULL: none. */
const struct ratelimit_rule *ratelimit_rule_by_endpoint(const struct ratelimit_state *, const char *endpoint, struct ch_str tier);
const struct ratelimit_rule *ratelimit_rule_by_model(const struct ratelimit_state *, struct ch_str model, struct ch_str tier);
/* True once for a text: what a log need not hear again and again. Different texts may count as one. */
bool ratelimit_news(struct ratelimit_state *, const char *text);

/* ---- a request ---- */

enum ratelimit_whose { WHO_NOBODY = 0, WHO_OWNER, WHO_KEY, WHO_ADDRESS };

struct ratelimit_spend;

/* In the slot of a ctx that is limited: of a request from LIMIT on, of a task from its first question on. */
struct ratelimit_request {
	struct ch_self *self;
	struct ch_ctx *c;
	const struct ratelimit_rule *tier;     /* or the key's own limits */
	const struct ratelimit_rule *endpoint; /* the rule for it; NULL: none */
	int whose;                        /* enum ratelimit_whose */
	struct ch_str who;                /* an id or an address, as facts say it */
	struct ch_str prefix;             /* "rate_limit:HASH:TIER", made when it is first needed */
	struct ratelimit_take *entry;     /* LIMIT's; NULL: nothing limited it there */
	struct ratelimit_take *reserved;  /* of the last question */
	struct ratelimit_spend *spend;    /* of the question that is asked now */
	int64_t unpaid;                   /* prompt of the last one, if it ended without an answer: who leaves pays for it */
	bool degraded;                    /* some decision was the fallback's, or nobody's */
};

/* identity.c: a request for this ctx, put into its slot; NULL: no memory. */
struct ratelimit_request *ratelimit_request_new(struct ch_self *, struct ch_ctx *);
/* Makes rq->prefix. False: no memory. */
bool ratelimit_name(struct ratelimit_request *);
/* The model that questions without one have been answered by, as far as this loop knows; n 0: not yet. */
struct ch_str ratelimit_standard_model(struct ch_self *, struct ch_ctx *);
void ratelimit_standard_model_is(struct ch_self *, struct ch_ctx *, const char *model);
int ratelimit_loop_start(struct ch_self *, struct ch_loop *);
void ratelimit_loop_stop(struct ch_self *, struct ch_loop *);

/* ---- take.c ---- */

#define HOLDER_BYTES 16
#define PARTS_MAX 5                       /* most buckets of a decision: of a tier, an endpoint, a model */

/* One bucket of a decision. */
struct ratelimit_part {
	const struct ratelimit_rule *rule;
	int unit;                         /* enum ratelimit_unit */
	int64_t cost;                     /* TOKENS: what was taken, of a bucket that holds less than was asked all of it */
};

struct ratelimit_take {
	struct ratelimit_request *rq;
	size_t n;
	struct ratelimit_part parts[PARTS_MAX];
	struct ch_kv_bucket buckets[PARTS_MAX]; /* in the numbers of `at` */
	int at;                           /* enum ratelimit_at: who decided */
	bool decided, passes;
	bool no_memory;                   /* nobody decided for want of memory: it does not pass */
	bool unsure;                      /* the store may have done it, too, without saying so */
	bool later;                       /* the store does not answer at once: what nobody waits for may fail */
	char holder[HOLDER_BYTES];        /* its name inside HOLDERS buckets: nobody else can know or guess it, and it is used once */
	struct ch_kv_result out[STORES];
	ch_ticket ticket;
	/* What comes next; returns what a hook returns. */
	int (*then)(struct ratelimit_take *);
};

/* An empty decision; NULL: no memory. */
struct ratelimit_take *ratelimit_take_new(struct ratelimit_request *, int (*then)(struct ratelimit_take *));
/* Adds a bucket, if the rule (NULL: none) limits that unit. TOKENS: cost is asked for. */
void ratelimit_take_add(struct ratelimit_take *, const struct ratelimit_rule *, int unit, int64_t cost);
/* Decides, and calls `then`, now or later. Returns what a hook returns. */
int ratelimit_take_decide(struct ratelimit_take *);
/* How a bucket stood; NULL: nobody knows. */
static inline const struct ch_kv_level *ratelimit_level(const struct ratelimit_take *t, size_t i)
{
	return t->decided && t->at != NOWHERE ? ch_kv_level_at(&t->out[t->at], i) : NULL;
}
/* The numbers that held for a part. */
static inline const struct ratelimit_limits *ratelimit_numbers(const struct ratelimit_take *t, size_t i)
{
	return &t->parts[i].rule->at[t->at == FALLBACK ? FALLBACK : STORE];
}
static inline const struct ratelimit_shape *ratelimit_shape_of(const struct ratelimit_take *t, size_t i)
{
	const struct ratelimit_limits *l = ratelimit_numbers(t, i);

	return t->parts[i].unit == TOKENS ? &l->tokens : &l->requests;
}
/* Lets the places go that it took, wherever that was. Nobody waits; a store that may have been away is told again, see leave.c. */
void ratelimit_take_leave(struct ratelimit_take *);
/* Settles the tokens of part i by so many more or, below 0, less. Nobody waits. */
void ratelimit_take_settle(struct ratelimit_take *, size_t i, int64_t more);

/* ---- leave.c ---- */

/* NULL: no memory. A successor of an instance shares its notes: whoever shares them frees them, the last one really. */
struct ratelimit_leaves *ratelimit_leaves_new(void);
struct ratelimit_leaves *ratelimit_leaves_share(struct ratelimit_leaves *);
/* NULL: nothing. */
void ratelimit_leaves_free(struct ratelimit_leaves *);
/* [any] Notes a holder that left the store's bucket (copied). away: the store is known to be away, or not to have said what it did. */
void ratelimit_leaves_note(struct ratelimit_leaves *, const struct ch_kv_bucket *, bool away);
/* The task that gives back again what is noted. */
int ratelimit_on_leaves(struct ch_self *, struct ch_ctx *);

/* ---- hooks ---- */

int ratelimit_on_limit(struct ch_self *, struct ch_ctx *);
int ratelimit_on_call(struct ch_self *, struct ch_ctx *);
int ratelimit_on_call_end(struct ch_self *, struct ch_ctx *);
int ratelimit_on_response(struct ch_self *, struct ch_ctx *);
int ratelimit_on_end(struct ch_self *, struct ch_ctx *);

/* For END: charges the prompt of a question whose client did not wait for its answer. */
void ratelimit_spend_left(struct ratelimit_request *);

/* ---- refuse.c ---- */

/* What a refusal says, in the ctx's memory. */
struct ratelimit_no {
	int code;                         /* enum ch_code */
	int64_t retry_after_ms;           /* 0: no wait helps */
	const char *type, *detail;        /* type NULL: the code's own */
	struct ch_str more;
};
/* Says why a decision was no: of buckets that do not pass, or that nobody decided. Counts it, and sets x-should-retry. */
struct ratelimit_no ratelimit_no(struct ratelimit_take *);
/* Answers a request with it. CH_DONE. */
int ratelimit_refuse(struct ratelimit_take *);
/* "requests", "slow", "slow-tokens": the name of a part's policy. Returns its end; at most NAME_LIMIT + 11 bytes. */
char *ratelimit_policy_name(const struct ratelimit_part *, char *at);

#endif
