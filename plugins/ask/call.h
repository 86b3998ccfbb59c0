/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - one question on its way: what ask.c and stream.c share. Lives in the ctx's arena; the ctx's loop. */
#ifndef ASK_CALL_H
#define ASK_CALL_H

#include <chimera/events.h>
#include <chimera/inference.h>
#include <chimera/json.h>

#include "answer.h"

#define ASK_CODES (CH_E_MODEL_NOT_FOUND + 1)

struct ask_conf {
	const struct ch_svc *backend;
	int64_t max_messages;
	int64_t ping;                     /* milliseconds; -1: off */
};

/* Series of this instance, made at start. */
struct ask_state {
	unsigned latency;
	unsigned gone;                    /* the client left before the answer was whole */
	unsigned errors[ASK_CODES];       /* by enum ch_code */
};

struct ask_call {
	struct ch_self *self;
	struct ch_ctx *c;
	struct ch_inference_call call;
	struct ch_inference_result result;
	struct ch_events events;          /* of a stream */
};

void ask_count(struct ch_self *self, enum ch_code code);

/* Notes in the facts what answered and what it has cost so far, whether or not it comes to an end. */
void ask_note(struct ask_call *call);

/* Names in the answer's head what answered, and after how many attempts. */
void ask_name(struct ask_call *call);

/* Notes and counts a complete answer, and fills *a but for its text. */
void ask_finish(struct ask_call *call, struct ask_answer *a);

/* The client has left, or is about to. CH_DONE. */
int ask_gone(struct ask_call *call);

/* An error answer; nothing has left yet. detail NULL: no memory. CH_DONE. */
int ask_refuse(struct ask_call *call, enum ch_code code, const char *detail);

/* Starts a streamed answer: what the handler returns. */
int ask_stream(struct ask_call *call);

/* What to say when the ctx's deadline came first. */
extern const char ask_too_late[], ask_broken[];

#endif
