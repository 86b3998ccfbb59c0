/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - see answer.h. */
#include <string.h>

#include "answer.h"

void ask_write_answer(struct ch_jw *w, const struct ask_answer *a)
{
	ch_jw_object(w);
	ch_jw_key(w, "backend");
	ch_jw_cstr(w, a->backend);
	ch_jw_key(w, "model");
	ch_jw_cstr(w, a->model);
	if (a->text) {
		ch_jw_key(w, "answer");
		ch_jw_string(w, a->text, a->ntext);
	}
	ch_jw_key(w, "finish_reason");
	ch_jw_cstr(w, a->finish_reason);
	ch_jw_key(w, "usage");
	ch_jw_object(w);
	ch_jw_key(w, "prompt_tokens");
	ch_jw_uint(w, a->tokens_in);
	ch_jw_key(w, "completion_tokens");
	ch_jw_uint(w, a->tokens_out);
	ch_jw_key(w, "total_tokens");
	ch_jw_uint(w, a->tokens_in + a->tokens_out);
	ch_jw_object_end(w);
	ch_jw_key(w, "latency_ms");
	ch_jw_ms(w, a->latency_us > 0 ? a->latency_us : 0);
	ch_jw_key(w, "req_id");
	ch_jw_cstr(w, a->req_id);
	ch_jw_object_end(w);
}

void ask_write_delta(struct ch_jw *w, const char *text, size_t n)
{
	ch_jw_object(w);
	ch_jw_key(w, "delta");
	ch_jw_string(w, text, n);
	ch_jw_object_end(w);
}

size_t ask_piece(const char *text, size_t n)
{
	size_t end = ASK_PIECE_MAX;

	if (n <= ASK_PIECE_MAX)
		return n;
	/* A sequence has at most three bytes behind its first; more are no UTF-8, and may be cut anywhere. */
	while (end > ASK_PIECE_MAX - 3 && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	return end;
}
