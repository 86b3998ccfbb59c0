/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - the body of POST /v1/ask, read strictly in one pass.
 *
 * A member that is not known is refused, because a mistyped `max_token` would silently cost money; so is a member that comes twice. `null`
 * stands for "not given".
 */
#ifndef ASK_REQUEST_H
#define ASK_REQUEST_H

#include <chimera/inference.h>

#define ASK_TOKENS_MAX 200000       /* JSON tokens of a body */
#define ASK_MODEL_MAX 128
#define ASK_BACKEND_MAX 64
#define ASK_MAX_TOKENS 2147483647
#define ASK_TEMPERATURE 2.0

struct ask_request {
	struct ch_message *messages;        /* a prompt is one message of the user; text lies in the body or in the arena */
	size_t nmessages;
	struct ch_str model;                /* n 0: not given */
	struct ch_str backend;              /* the same */
	int64_t max_tokens;                 /* 0: not given */
	double temperature;                 /* -1: not given */
	bool stream;
};

/* What is wrong, for ch_refuse_param; text in the arena or static. */
struct ask_fault {
	enum ch_code code;
	const char *param;                  /* "messages[2].role"; NULL: the body as a whole */
	const char *detail;
};

/*
 * Reads `body`, which must live as long as the ctx, into *out. Allocates in the ctx's arena only for messages and for text that holds
 * escapes; a large one lies beside it and goes with the ctx. Returns true, or false with *fault filled.
 */
bool ask_read(struct ch_ctx *c, struct ch_str body, size_t max_messages, struct ask_request *out, struct ask_fault *fault);

/* JSON Schema 2020-12 of body and answer. */
extern const char ask_request_schema[], ask_response_schema[];

#endif
