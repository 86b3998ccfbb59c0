/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - one request to an upstream by http/1, on behalf of a call of inference/1: what does not depend on the protocol. It waits by a
 * ticket of its own and resumes the call's exactly once; it gathers a whole answer, or hands a stream on in pieces with pause and cancel;
 * it keeps the time to the first piece; it says what a failure means. All on the ctx's loop, in the ctx's memory.
 */
#ifndef LLAMA_EXCHANGE_H
#define LLAMA_EXCHANGE_H

#include <chimera/backend.h>

#include "heap.h"

struct exchange {
	/* The caller's, filled before exchange_begin. */
	const struct ch_svc *http;
	struct ch_ctx *c;
	struct ch_inference_result *out;
	ch_ticket ticket;             /* the call's */
	struct ch_http_args request;  /* with its timeouts (ch_backend_timeouts) */
	const char *secret;           /* taken out of texts */
	bool streamed;
	/*
	 * Streamed: the bytes of a 2xx's body from *used on; it moves *used. CH_OK: all were taken; CH_AGAIN: no more until exchange_go_on;
	 * CH_DONE: the answer is whole, what still comes is not looked at; CH_ERROR: *out has a code.
	 */
	int (*piece)(struct exchange *, const char *p, size_t n, size_t *used);
	/* The whole 2xx's body (streamed: n 0) came. Fills *out, with a code if it is no answer. */
	void (*end)(struct exchange *, struct ch_str body);
	/* *out has the code that ch_upstream_failed gave; may be made more precise. NULL: it stays. */
	void (*failed)(struct exchange *, struct ch_str body);

	/* Its own. */
	struct ch_http_result result;
	struct ch_timer *timer;
	int waits_for;                /* what the timer is for */
	struct heap *body;            /* a whole answer, the body of an error, or what a paused stream still holds */
	size_t body_n, body_at;
	bool paused, went_on, whole;
	bool ended;                   /* http/1 is not at work for it (any more) */
	bool over;                    /* the call has been told */
	bool fault;                   /* the seam says: fail */
};

/* As submit of inference/1: CH_OK, *out has a code; CH_AGAIN, the ticket will be resumed. out->call is the struct exchange meanwhile. */
int exchange_begin(struct exchange *x);

/* The first piece of a stream came: its time is kept. */
void exchange_begun(struct exchange *x);

/* As go_on and cancel of inference/1. */
void exchange_go_on(struct ch_inference_result *out);
void exchange_cancel(struct ch_inference_result *out);

#endif
