/* SPDX-License-Identifier: MIT */
/* openai_call.h - one call to an OpenAI server, as the files openai*.c of the kit share it. Private to the kit. */
#ifndef CHIMERA_KIT_OPENAI_CALL_H
#define CHIMERA_KIT_OPENAI_CALL_H

#include <chimera/backend.h>
#include <chimera/kit/sse.h>

#include "openai_frame.h"

struct openai_call {
	struct ch_exchange x;          /* first: the exchange is the call */
	const struct ch_openai_upstream *up;
	const struct ch_inference_args *args;
	struct ch_inference_sink sink; /* delta NULL: the answer is wanted whole */
	char traceparent[56];
	bool events;                   /* an event stream is wanted */
	bool hide_usage;               /* it was asked for by us, not by the client */
	bool done, finished;           /* [DONE] came; a finish_reason did */
	struct ch_sse sse;
	struct ch_heap events_heap, scratch_heap;
	char room[1024];               /* what most events need as scratch memory */
};

/* What is sent: fills k->x.request. False: no memory. */
bool openai_request(struct openai_call *k, const char *model);

/* Usage and finish_reason, as a chunk or an answer told them. */
void openai_note(struct openai_call *k, const struct openai_frame *f);

/* For the `end` of an exchange. */
void openai_on_whole(struct ch_exchange *x, struct ch_str body);      /* chat, completion, embeddings */
void openai_on_passed(struct ch_exchange *x, struct ch_str body);
void openai_on_models(struct ch_exchange *x, struct ch_str body);
void openai_on_unexpected(struct ch_exchange *x, struct ch_str body); /* of no event stream, where one was wanted */

#endif
