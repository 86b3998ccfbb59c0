/* SPDX-License-Identifier: Apache-2.0 */
/*
 * way.h - what the files share that take a question on its way.
 *
 *   next.c      where to go next: which equal, whether it is worth a retry, which fallback, or nowhere
 *   attempt.c   one attempt on one backend: what it is told, its pieces, its end, what is counted of it
 *   verdict.c   what the caller gets in the end, and the line in the log when nobody answered
 *   call.c      the question's states, its tickets and its one end
 *
 * Everything here runs on the ctx's loop.
 */
#ifndef ROUTER_WAY_H
#define ROUTER_WAY_H

#include "balance.h"
#include "router.h"

enum router_where {
	ROUTER_W_GOING,   /* inside of one of our functions */
	ROUTER_W_WAITS,   /* for a place: ticket, waiter */
	ROUTER_W_BACKS_OFF, /* for time: ticket */
	ROUTER_W_ASKS,    /* a backend: ticket, inner */
	ROUTER_W_OVER
};

/* An attempt that failed and let the question go on. In the arena; the first one in its call. */
struct router_failure {
	struct router_failure *next;
	const struct router_entry *entry;
	int code, status;
	int64_t took_us;
	const char *reason;                     /* the backend's, for operators; NULL: none */
};

struct router_call {
	void *mark;                             /* not NULL: how cancel tells it from a call of models.c */
	struct router *r;
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct ch_inference_result *out;        /* the caller's */
	ch_ticket outer;                        /* … to be resumed once it has come to CH_AGAIN */
	bool has_sink, async;                   /* async: submit returned CH_AGAIN */
	bool committed;                         /* a delta went to the caller: this attempt is the answer, however it ends */
	struct ch_inference_sink sink;          /* the caller's */
	struct router_plan plan;
	int64_t now;                            /* ch_now, as of when we were called last, or a backend returned */
	int64_t started;
	int64_t due;                            /* ch_now by which all must be over; 0: no limit */
	int64_t impatient;                      /* … by which the client wants its answer, of a stream the first delta; 0: never */

	/* where it is */
	enum router_where where;
	ch_ticket ticket;                       /* ours, of what we wait for */
	struct router_waiter *waiter;
	const struct router_entry *entry;       /* waits for, asks or has asked last */
	struct router_candidate *equals;        /* of plan.equals, as the last choice saw them */
	bool *tried, *skipped;                  /* of plan.equals: has had an attempt; is out of this choice */
	bool *banned;                           /* by backend->index: not to be asked again in this question */
	size_t fallback;                        /* the next of plan.fallbacks */
	unsigned on_equals;                     /* attempts on equals */
	unsigned waits;                         /* so often has it backed off */
	bool granted, backed_off;               /* before the same is asked again: the budget has granted it; it has waited */

	/* the attempt */
	struct ch_inference_args sent;
	struct ch_inference_result inner;
	uint32_t pass;
	unsigned span, attempts;
	int64_t began;
	int64_t last_delta, gaps_us;            /* gaps_us: between deltas, less what the caller paused */
	uint64_t deltas;
	int64_t upstream_us;                    /* of all attempts */
	int64_t *upstream_sum;                  /* … and of all questions of the ctx */
	bool cut_short;                         /* by the client's patience, or by what the question had waited: it got less than its time */
	int64_t fair_us;                        /* … and this is enough all the same to judge the backend by */
	bool paused;                            /* the client takes no more for now */
	int64_t first_delta;                    /* ch_now; 0: none came yet */
	struct router_failure failure;          /* the first; next to it the others */
	struct router_failure *last;            /* NULL: none has failed */
	struct ch_inference_result failed;      /* of the failure that helps the client most, the latest of equals; code 0: none yet */
	const struct router_entry *failed_entry; /* … whose it was */
};

/* ---- next.c ---- */

enum router_next { ROUTER_N_ASK, ROUTER_N_WAIT, ROUTER_N_BACK_OFF, ROUTER_N_END };

/*
 * Where to go now. ASK: k->entry, with a place and k->pass. WAIT: in the queue of k->entry, by k->waiter, whose ticket is k->ticket.
 * BACK_OFF: for *ms, then ask again where to go. END: nowhere. on_place: the function of the ticket for a place.
 */
enum router_next router_next(struct router_call *k, ch_resumed on_place, int64_t *ms);
/* Why code sends a question on: enum router_reason; -1: it does not, it is the client's own mistake. */
int router_reason(int code);
/* The sooner of two times, where 0 is never. */
int64_t router_sooner(int64_t a, int64_t b);
/* Milliseconds left for whatever comes before the answer, at least 0; -1: no limit. */
int64_t router_left(const struct router_call *k);

/* ---- attempt.c ---- */

/* The question is over, by what its last attempt, or none, has come to: counts it. */
void router_count(const struct router_call *k, enum router_status);
/* Asks k->entry, where it has a place, with a ticket k->ticket. False: *inner is filled already: router_attempt_end comes next. */
bool router_attempt(struct router_call *k, ch_resumed on_answer);
/* It is over and *inner filled: gives the place back and counts it. True: *inner is the answer, or an error that ends the question. */
bool router_attempt_end(struct router_call *k);
/* It has run out of time: the same. */
bool router_attempt_timeout(struct router_call *k);
/* The client left, or whoever asked gave up: the same, but for what it means. */
void router_attempt_cancel(struct router_call *k);

/* ---- verdict.c ---- */

/* The last attempt's *inner is what the caller gets. */
void router_answered(struct router_call *k);
/* Nobody answered: says so in *out and in the log. */
void router_unanswered(struct router_call *k);
/* The caller gave the question up. */
void router_cancelled(struct router_call *k);

#endif
