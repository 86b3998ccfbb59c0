/* SPDX-License-Identifier: MIT */
/*
 * inference_run.h - one call of the provider under test, and the run it belongs to.
 *
 * Each call has a ctx of its own, a task, as it would have in a plugin that uses the provider; everything about it happens on that ctx's
 * loop, everything about the run on the run's. A `struct call` outlives its ctx, so that what comes too late is seen, and goes with the
 * run.
 */
#ifndef CONFORM_INFERENCE_RUN_H
#define CONFORM_INFERENCE_RUN_H

#include "inference_cases.h"
#include "tap.h"

struct conform_conf {
	const struct ch_svc *target;
	const char *model, *embedding_model, *unknown_model, *hanging_model, *breaking_model;
	int64_t slack;
};

struct run;

struct call {
	struct call *older;
	struct run *run;
	const struct row *row;
	struct ch_loop *loop;

	struct ch_ctx *c;
	struct ch_inference_args args;    /* with all it points to it lives as long as the run, and so as the ctx */
	struct ch_openai openai;
	struct ch_splice splice;
	char *body;                       /* malloc */
	struct ch_message *messages;      /* malloc */
	struct ch_inference_result *out;  /* in the ctx, as long as the call runs */
	ch_ticket ticket;
	struct ch_timer *timer;           /* of go_on and of cancels that come later */
	int64_t began, took;              /* microseconds */
	unsigned deltas, pauses, frames, usages;
	bool inside;                      /* a function of the provider */
	bool paused, cancelled;
	bool over;                        /* resumed, or never to be */
	bool watching;                    /* whether a cancel is over within its turn */
	bool broken, gone;                /* for the run */
	size_t noted;                     /* lines that say why the case has failed */
	char notes[800];
};

struct run {
	struct ch_self *self;
	struct ch_loop *loop;
	struct tap tap;
	ch_ticket ticket;                 /* of the request that gets the report */
	const char *filter;
	struct call *calls;
	bool gone;                        /* nobody reads the report any more, or the server stops */
	bool broken;                      /* a ticket was never resumed: the provider may still hold what was given to it */

	/* the case that runs now */
	size_t next;
	const struct row *row;
	unsigned running, round;
	size_t memory;                    /* in use behind the first round */
	bool failed;
	size_t noted;
	char notes[4096];
};

static inline const struct conform_conf *conf_of(const struct run *r)
{
	return r->self->conf;
}

static inline const struct ch_inference_v1 *inference_of(const struct run *r)
{
	return conf_of(r)->target->vt;
}

static inline const struct ch_inference_about *about_of(const struct run *r)
{
	return inference_of(r)->about(conf_of(r)->target);
}

/* The op that a row asks for. */
static inline int op_of(const struct row *w)
{
	return w->op ? w->op : CH_I_CHAT;
}

/* The model that a row asks for; "": none. */
const char *model_of(const struct run *r, const struct row *w);

/* inference_call.c: makes a call of the run's row on that loop; call_over follows on the run's loop. False: no memory. */
bool call_make(struct run *r, struct ch_loop *loop);
void call_over(struct run *r, struct call *k);

/* inference_ask.c: what the row asks for, into k->args. False: no memory. */
bool fill_args(struct call *k);

/* The case has failed: a line that says why. Of a call on the call's loop, of the run on the run's. */
CH_PRINTF_(2, 3) void complain(struct call *k, const char *fmt, ...);
CH_PRINTF_(2, 3) void complain_run(struct run *r, const char *fmt, ...);

/* inference_judge.c, while the ctx is there: a delta; what came of a call (rc: what submit returned); what the provider says of itself. */
void judge_delta(struct call *k, const struct ch_inference_delta *d);
void judge(struct call *k, int rc);
void judge_about(struct run *r);

#endif
