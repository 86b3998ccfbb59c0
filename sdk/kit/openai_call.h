/* SPDX-License-Identifier: MIT */
/* openai_call.h - one call to an OpenAI server, as the files openai*.c of the kit share it. Private to the kit. */
#ifndef CHIMERA_KIT_OPENAI_CALL_H
#define CHIMERA_KIT_OPENAI_CALL_H

#include <chimera/kit/sse.h>

#include "openai_frame.h"
#include "upstream.h"

enum {
	OPENAI_ERROR_MOST = 65536, /* bytes read of an answer that is only wanted for what it says went wrong */
	OPENAI_ARENA_MOST = 32768, /* a whole answer up to this size lies in the ctx's own memory */
	OPENAI_END_MS = 250        /* how long the end of a stream's body may take behind its [DONE] */
};

/* What is done with the bytes of an answer's body. */
enum openai_taking { OPENAI_NOTHING = 0, OPENAI_WHOLE, OPENAI_EVENTS, OPENAI_BYTES };

/* What the call's one timer is set for. */
enum openai_due { OPENAI_FIRST_DUE = 0, OPENAI_FAULT_DUE, OPENAI_HELD_DUE, OPENAI_END_DUE };

struct openai_call {
	const struct ch_openai_upstream *up;
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct ch_inference_sink sink; /* delta NULL: the answer is wanted whole */
	struct ch_inference_result *out;
	ch_ticket outer, inner;        /* the caller's; the one that http/1 holds */
	struct upstream_secrets secrets;

	struct ch_http_args request;
	struct ch_http_result http;
	char traceparent[56];

	struct ch_timer *timer;        /* of streams, and for a fault's delay; else NULL */
	int due;                       /* enum openai_due */
	int taking;                    /* enum openai_taking */
	bool streams;                  /* the answer comes piece by piece, as it is made */
	bool hide_usage;               /* it was asked for by us, not by the client */
	bool running;                  /* http/1 has our ticket */
	bool ended;                    /* the caller has heard */
	bool inside;                   /* the sink runs */
	bool went_on, paused;
	bool done, finished;           /* [DONE] came; a finish_reason did */
	bool usage;                    /* a usage came */
	bool fault;                    /* fail when the timer fires */
	bool overflow, no_memory;      /* the whole answer is larger than it may be; than there is memory for */
	uint64_t deltas;               /* pieces with text: a guess at the tokens */

	char *body;                    /* OPENAI_WHOLE: what came; in the ctx's memory, or from malloc and kept with the ctx */
	size_t nbody, cap, most;
	bool kept;

	struct ch_sse sse;
	char *held;                    /* what was not yet looked at when the sink said AGAIN */
	size_t nheld;
	char *scratch;                 /* `room`, or from malloc */
	size_t scratch_cap;
	char room[1024];
};

/* A call with its request, not begun. NULL: *out has a code. */
struct openai_call *openai_call_new(const struct ch_openai_upstream *up, struct ch_ctx *, const struct ch_inference_args *,
                                    const struct ch_inference_sink *, struct ch_inference_result *out);

/* Before any bytes come. */
void openai_events_init(struct openai_call *k);

/* Bytes of a whole answer. False: overflow or no_memory is set. */
bool openai_gather(struct openai_call *k, const char *p, size_t n);

/* Usage and finish_reason, as a chunk or an answer told them. */
void openai_note(struct openai_call *k, const struct openai_frame *f);

/* MODELS: the list in k->body becomes out->models. */
void openai_models(struct openai_call *k);

/* A whole answer, or what came of one, when http/1 has ended: fills *out. */
void openai_judge(struct openai_call *k);

#endif
