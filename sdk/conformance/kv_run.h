/* SPDX-License-Identifier: MIT */
/*
 * kv_run.h - a run over the cases of the conformance suite of "kv/1". Everything on the loop of the run, but for what kv_race.c does
 * elsewhere.
 */
#ifndef CONFORM_KV_RUN_H
#define CONFORM_KV_RUN_H

#include "kv_cases.h"
#include "tap.h"

struct conform_conf {
	const struct ch_svc *target;
	int64_t slack;
};

struct kv_run {
	struct ch_self *self;
	struct ch_loop *loop;
	struct tap tap;
	ch_ticket ticket;                 /* of the request that gets the report */
	const char *filter;
	struct ch_timer *timer;           /* of PAUSE */
	bool gone;                        /* nobody reads the report any more, or the server stops */
	bool broken;                      /* a ticket was never resumed: the provider may still hold what was given to it */
	uint64_t id;                      /* keys begin with it: another run over the same store, and another try of a case, has others */

	/* the case that runs now */
	size_t next;                      /* number of the next one: first the tables' cases, then the races */
	const struct kv_case *c;
	unsigned tries;                   /* from 1 */
	int64_t began;                    /* ch_now: this try */
	int64_t paused;                   /* milliseconds that it waited on purpose, to the end of the last pause */
	unsigned step;                    /* from 1 */
	uint64_t versions[STEPS + 1];     /* by step: what it told; 0: nothing */
	bool failed;
	size_t noted;
	char notes[4096];
};

static inline const struct conform_conf *conf_of(const struct kv_run *r)
{
	return r->self->conf;
}

static inline const struct ch_kv_v1 *kv_of(const struct kv_run *r)
{
	return conf_of(r)->target->vt;
}

/* How long an operation may take before its ticket is given up. */
#define PATIENCE 10000

/* The case has failed: a line of notes that says why, with the number of the step. */
CH_PRINTF_(2, 3) void complain(struct kv_run *r, const char *fmt, ...);

/* kv_step.c: makes the operation of the current step and judges it; kv_step_over follows. */
void kv_step(struct kv_run *r);
void kv_step_over(struct kv_run *r);

/* kv_race.c: one of the races; kv_race_over follows on the run's loop. False: there are no more. */
bool kv_race(struct kv_run *r, size_t number, bool (*chosen)(const struct kv_run *, const char *name));
void kv_race_over(struct kv_run *r, const char *name);

/* A key of the current case: the run's and the case's number, then `name`. Returns its length. */
size_t kv_key(const struct kv_run *r, const char *name, size_t n, char *out, size_t cap);

#endif
