/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - what POST /v1/ask answers, as text. Pure functions over the kit's writer: look at w->failed at the end. */
#ifndef ASK_ANSWER_H
#define ASK_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include <chimera/kit/json.h>

#define ASK_PIECE_MAX 512                        /* bytes of text in one frame; longer deltas become several frames */
#define ASK_FRAME_MAX (6 * ASK_PIECE_MAX + 64)   /* room for its JSON if each byte must be escaped */

/* Texts may be NULL: null. */
struct ask_answer {
	const char *backend, *model, *finish_reason, *req_id;
	const char *text;                        /* NULL: none is written */
	size_t ntext;
	uint64_t tokens_in, tokens_out;
	int64_t latency_us;                      /* written as milliseconds */
};

/* One JSON object: a whole answer, or with text NULL what a stream's last frame says of it. */
void ask_write_answer(struct ch_jw *w, const struct ask_answer *a);

/* A piece of text. */
void ask_write_delta(struct ch_jw *w, const char *text, size_t n);

/* How many of the n bytes (n > 0) go into the next frame: at most ASK_PIECE_MAX, and no UTF-8 sequence is cut. */
size_t ask_piece(const char *text, size_t n);

#endif
