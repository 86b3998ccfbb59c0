/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_openai.h - what the plugin's files share: a request on its way.
 *
 *   api_openai.c  options, routes, metrics
 *   call.c        from a body to a question; what all answers have
 *   answer.c      whole answers
 *   stream.c      streams, of our own making or passed on
 *   models.c      GET /v1/models and /v1/models/{id}
 *   pass.c        further routes of OpenAI's, and the 404 of all others
 *   read.h        reading; write.h writing; schema.c for /openapi.json
 *
 * Threads and ownership: a call lives in its ctx's arena and belongs to the ctx's loop; the state is written at start and only read after.
 */
#ifndef API_OPENAI_H
#define API_OPENAI_H

#include <chimera/events.h>
#include <chimera/inference.h>
#include <chimera/json.h>

#include "read.h"
#include "write.h"

#define API_OPS (CH_I_PASS + 1)

/* How a stream ended; the label values of a metric. */
enum api_end { API_DONE, API_BROKEN, API_GONE, API_ENDS };

struct api_conf {
	const struct ch_svc *backend;
	struct ch_list passthrough;
	int64_t ping; /* milliseconds; -1: off */
};

struct api_state {
	unsigned streams[API_OPS][API_ENDS]; /* series by op and end */
};

struct api_call {
	struct ch_self *self;
	struct ch_ctx *c;
	struct ch_inference_call call;
	struct ch_inference_result result;
	struct ch_openai openai;
	struct ch_splice splice;
	struct api_stamp stamp;
	/* Streams. */
	struct ch_events events;
	struct ch_str head; /* what our own chunks begin with; n 0: none was made yet */
	bool framed; /* the backend gives ready-made frames, the last ones among them */
	bool spoke; /* a chunk with the role has left */
};

/* ---- call.c ---- */

/* Handlers' common part: reads the body and asks; path as in struct ch_openai. */
int api_ask(struct ch_self *self, struct ch_ctx *c, int op, const char *path);
/* Gives the answer a name and a time, for those who write one of their own. */
void api_stamp_call(struct api_call *);
/* Notes what answered and what it has cost in the facts, whether or not it comes to an end. */
void api_note(struct api_call *);
/* The header fields that all answers have: who answered, after how many attempts, in what time. */
void api_name(struct api_call *);
/* An error answer, from the result's code; nothing has left yet. CH_DONE. */
int api_failed(struct api_call *);
/* The result has no code yet, and needs one. */
void api_set_code(struct api_call *, enum ch_code code, const char *detail);
extern const char api_no_memory_text[], api_too_late[], api_broken[];

/* ---- answer.c ---- */

/* Text that grows from the stack to the heap. */
struct api_buf {
	struct ch_jw w;
	bool heap;
	char small[4096];
};
void api_buf_init(struct api_buf *);
/* Sends the text as a whole JSON answer with status 200 and frees it; 503 if it has failed. CH_DONE. */
int api_buf_respond(struct ch_ctx *, struct api_buf *);
void api_buf_free(struct api_buf *);

int api_answer(struct api_call *); /* as ch_infer's READY: what the handler returns */
int api_answer_begin(struct api_call *); /* asks for a whole answer: what the handler returns */

/* ---- stream.c ---- */

int api_stream_begin(struct api_call *);

/* ---- models.c, pass.c ---- */

int api_on_models(struct ch_self *, struct ch_ctx *);
int api_on_model(struct ch_self *, struct ch_ctx *);
int api_on_other(struct ch_self *, struct ch_ctx *);
/* Are the names in the option `passthrough` ones that can be passed on? Reports what is wrong. */
bool api_pass_check(struct ch_self *);

/* ---- schema.c: JSON Schema 2020-12 ---- */

extern const char api_chat_request[], api_chat_response[], api_completion_request[], api_completion_response[], api_embeddings_request[],
	api_embeddings_response[], api_models_response[], api_model_response[];

#endif
