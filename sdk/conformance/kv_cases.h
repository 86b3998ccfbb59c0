/* SPDX-License-Identifier: MIT */
/*
 * kv_cases.h - a case of the conformance suite of "kv/1": operations one after the other, with what each must come to. What is left out is
 * not looked at, but for the rules that hold for every operation (see kv.c). Each case has keys of its own.
 */
#ifndef CONFORM_KV_CASES_H
#define CONFORM_KV_CASES_H

#include <chimera/kv.h>

enum kv_op { END = 0, GET, SET, DEL, ADD, TAKE, SETTLE, WAIT };
enum { YES = 1, NO = -1 };
enum { BOGUS = -1 };                      /* a version that was never told */
#define NOTHING SIZE_MAX
enum { LIMITS = 3, STEPS = 16 };
#define HOUR INT64_C(3600000)

struct limit {
	/* What is asked for; see struct ch_kv_bucket. */
	struct ch_str key;
	int kind;
	int64_t burst, count, period, cost;
	struct ch_str holder;
	int64_t hold;
	/* What must come of it. */
	int passes;                       /* YES, NO */
	int64_t left;                     /* looked at together with `passes`, unless … */
	bool any_left;
	int64_t wait_least, wait_most;    /* wait_most CH_KV_NEVER: that */
	int64_t full_least, full_most;
};

struct step {
	int op;                           /* enum kv_op; WAIT: ttl milliseconds */
	/* What is asked for. */
	struct ch_str key;
	int64_t key_bytes;                /* in place of key: so many; -1: an empty key */
	struct ch_str value;
	int64_t value_bytes;              /* in place of value: so many of a pattern */
	int when;
	int version;                      /* of the step of that number, from 1; BOGUS */
	int64_t ttl, delta;
	struct limit limits[LIMITS];      /* until one that nothing is said of */
	size_t repeat;                    /* the first of them so often, with keys of their own; NOTHING: none at all */
	bool nobody;                      /* with ticket 0; nothing comes of it */
	bool cancel;                      /* given up at once, if it has not happened already */
	/* What must come of it. */
	int error;                        /* enum ch_kv_error; with one, nothing of the rest is looked at */
	int done;                         /* YES, NO */
	struct ch_str found;              /* the value that stands there, and a version with it; p NULL: not looked at */
	int64_t found_bytes;              /* the same, so many of the pattern */
	bool nothing;                     /* nothing stands there: version 0, no value */
	int same;                         /* the version of the step of that number stands there */
	int64_t number;                   /* ADD */
	int64_t ttl_least, ttl_most;      /* 0, 0: not looked at; -1, 0: it does not expire */
};

struct kv_case {
	const char *name;                 /* group/case */
	struct step steps[STEPS];         /* until END */
};
extern const struct kv_case kv_cases[];
extern const size_t kv_ncases;

#endif
