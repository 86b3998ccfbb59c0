/* SPDX-License-Identifier: MIT */
/*
 * store_run.h - what the conformance suites of "sql/1" and "sink/1" share: a run over cases, one after the other, and a call to the
 * provider with what holds for every call. A case lives on the run's loop; calls may be made on all loops.
 */
#ifndef CONFORM_STORE_RUN_H
#define CONFORM_STORE_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include <chimera/value.h>

#include "tap.h"

#define PATIENCE INT64_C(15000)           /* milliseconds that a call may take which is not slow on purpose */

/* Both plugins' config. */
struct store_conf {
	const struct ch_svc *target;
	int64_t slack;
};

struct store_run;
/* The cases of a suite. */
struct store_suite {
	size_t n;
	const char *(*name)(size_t i);
	/* Begins the i-th; store_case_over follows, on the run's loop, never inside. */
	void (*begin)(struct store_run *, size_t i);
	/* Before the first case: makes ready what all need; store_prepared follows, on the run's loop. If it fails it is tried again. */
	void (*prepare)(struct store_run *);
};

struct store_run {
	struct ch_self *self;
	struct ch_loop *loop;
	const struct store_suite *suite;
	struct tap tap;
	ch_ticket ticket;                 /* of the request that gets the report */
	const char *filter;
	const char *bail;                 /* why there can be no plan */
	struct ch_timer *timer;           /* between attempts to prepare */
	int64_t ready_by;                 /* ch_now: the last one: a provider may be at its migrations yet */
	atomic_bool gone;                 /* nobody reads the report any more, or the server stops */
	atomic_bool broken;               /* a ticket was never resumed: the provider may still hold what was given to it */
	uint64_t id;                      /* another one in each run */
	size_t next;                      /* the case that runs, from 1 */
	unsigned step;                    /* of it, from 1; 0: none */
	void *own;                        /* the suite's */

	pthread_mutex_t lock;             /* over the rest: calls on other loops complain too */
	_Atomic bool failed;
	size_t noted;
	char notes[8192];
};

/* A route's handler: runs the cases that the query names ("case=a,b") and answers the report. `own`: malloc'ed, the run's from now on. */
int store_conform(struct ch_self *, struct ch_ctx *, const struct store_suite *, void *own);
/* `why`: what is missing yet, or NULL. */
void store_prepared(struct store_run *, const char *why);
void store_case_over(struct store_run *);

/* [any] The case has failed: a line of notes that says why, with the number of the step. */
CH_PRINTF_(2, 3) void complain(struct store_run *, const char *fmt, ...);

static inline const struct store_conf *conf_of(const struct store_run *r)
{
	return r->self->conf;
}
/* The case need not go on. */
static inline bool store_given_up(const struct store_run *r)
{
	return atomic_load(&r->failed) || atomic_load(&r->gone) || atomic_load(&r->broken);
}

/* ---- a call ---- */

enum { CANCEL_NEVER = 0, CANCEL_BEFORE, CANCEL_AT_ONCE, CANCEL_LATER };

/*
 * One call in a task of its own. Fill the first part and hand it to store_call, which tells `over` when the call has ended and all that
 * the provider held is free again; then the struct is yours. All functions are called on the call's loop.
 */
struct store_call {
	struct store_run *run;
	struct ch_loop *loop;
	size_t out_size;
	int64_t limit;                    /* milliseconds that it may take, the slack aside */
	int64_t deadline;                 /* of the ctx, in milliseconds; 0: none */
	int cancel;                       /* when it is given up; BEFORE changes nothing */
	int64_t cancel_ms;                /* CANCEL_LATER: so much later */
	int (*ask)(struct store_call *);
	void (*give_up)(struct store_call *);
	void (*judge)(struct store_call *, int rc); /* what stands in `out`; not called if the deadline came first, or no answer */
	void (*over)(struct store_call *);

	/* As it runs. */
	struct ch_ctx *c;
	void *out;                        /* zero but for its size, which comes first */
	ch_ticket ticket;
	struct ch_timer *timer;           /* of CANCEL_LATER, then of what never comes */
	int64_t began, cancelled;         /* ch_now; 0: not yet */
	bool inside;                      /* a function of the provider is on the stack */
	bool answered;
	bool lost;                        /* the provider still holds it: what was given to it must stay */
	bool dropped;                     /* it never began */
};
void store_call(struct store_call *);
/* Is this the thread of the call's loop? */
bool store_here(const struct store_call *);

/* ---- values: store_value.c ---- */

/* A UUID, its text, or its bytes; false: something else. */
bool store_uuid(const struct ch_value *, unsigned char out[16]);
/* Does the text hold these bytes? */
bool store_holds(const char *text, const char *p, size_t n);
/* Is it the value that was handed over? */
bool store_same(const struct ch_value *want, const struct ch_value *found);
/* For a note. */
void store_show(const struct ch_value *, char *out, size_t cap);


#endif
