/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.h - the body of a request in OpenAI's dialect, read strictly in one pass: without a tree, without a copy of what can be pointed to.
 *
 * Members that are known are checked and must not come twice; `null` stands for "not given". Members that are not known pass: a backend of
 * the same dialect gets the client's own bytes. The member `backend` is chimera's own and is spliced out of them.
 *
 *   reader.c    tokens, texts and refusals
 *   members.c   the table of members, and the body as a whole
 *   chat.c      messages
 *   inputs.c    prompts, inputs of embeddings, stop
 */
#ifndef API_OPENAI_READ_H
#define API_OPENAI_READ_H

#include <chimera/inference.h>
#include <chimera/kit/json.h>

#define API_JSON_TOKENS 200000      /* of a body */
#define API_JSON_DEPTH 64
#define API_NAME_MAX 128            /* bytes of a model's or backend's name */
#define API_MESSAGES_MAX 16384      /* messages, prompts or inputs of a request */
#define API_STOP_MAX 64
#define API_INT_MAX 2147483647
#define API_CHOICES_MAX 128

/* A request that was read. Lives in the ctx; args and openai point into it and into the body. */
struct api_request {
	struct ch_inference_args args;
	struct ch_openai openai;
	struct ch_splice splice;    /* the member backend */
};

/* What is wrong, for ch_refuse_param; text in the arena or static. */
struct api_fault {
	enum ch_code code;
	const char *param;          /* "messages[2].role"; NULL: the body as a whole */
	const char *detail;
};

/*
 * Reads `body`, which must live as long as the ctx, for an op of enum ch_inference_op (CHAT, COMPLETION, EMBEDDINGS, PASS) into *out, which
 * is zeroed. Sets all of args that a body can say, and out->openai but for its path; what points into *out must be set anew if it is moved.
 * Returns true, or false with *fault.
 */
bool api_read(struct ch_ctx *c, int op, struct ch_str body, struct api_request *out, struct api_fault *fault);

/* A number of seconds as the clients' headers have it ("600", "2.5") in milliseconds; 0: it is none. */
int64_t api_seconds(struct ch_str text);

#endif
