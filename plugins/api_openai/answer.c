/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - whole answers: as they came from a backend of the same dialect, or made of what it said. */
#include <stdlib.h>

#include "api_openai.h"

#define IN_ONE_PIECE ((size_t)32 << 10) /* up to here head and body leave in one piece, copied */

/* ---- text that grows ---- */

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	struct api_buf *b = arg;
	void *p = realloc(b->heap ? old : NULL, want);

	if (p && !b->heap)
		memcpy(p, old, used);
	b->heap = b->heap || p;
	return p;
}

void api_buf_init(struct api_buf *b)
{
	b->heap = false;
	ch_jw_init(&b->w, b->small, sizeof(b->small));
	b->w.grow = grow;
	b->w.arg = b;
}

void api_buf_free(struct api_buf *b)
{
	if (b->heap)
		free(b->w.buf);
	b->heap = false;
}

int api_buf_respond(struct ch_ctx *c, struct api_buf *b)
{
	if (b->w.failed) {
		api_buf_free(b);
		return ch_refuse(c, CH_E_OVERLOADED, 0, "%s", api_no_memory_text);
	}
	if (!b->heap)
		return ch_respond(c, 200, "application/json", b->w.buf, b->w.len);
	ch_header_set(c, "Content-Type", "application/json");
	ch_length(c, b->w.len);
	ch_begin(c, 200);
	ch_write(c, b->w.buf, b->w.len, free, b->w.buf); /* in place until it is sent, longer than the ctx lives */
	ch_end(c);
	return CH_DONE;
}

/* ---- answers ---- */

/*
 * JSON that belongs to the ctx. What is large is sent from where it lies. The last byte goes by itself: the core keeps the end of a body of
 * known length until END has run, in a copy.
 */
static int respond_json(struct ch_ctx *c, struct ch_str json)
{
	if (json.n <= IN_ONE_PIECE)
		return ch_respond(c, 200, "application/json", json.p, json.n);
	ch_header_set(c, "Content-Type", "application/json");
	ch_length(c, json.n);
	ch_begin(c, 200);
	ch_write(c, json.p, json.n - 1, NULL, NULL);
	ch_write(c, json.p + json.n - 1, 1, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

int api_answer(struct api_call *call)
{
	const struct ch_inference_result *r = &call->result;
	const struct ch_inference_args *a = &call->call.args;
	struct api_buf b;

	if (r->code)
		return api_failed(call);
	api_name(call);
	if (r->json.n)
		return respond_json(call->c, r->json);
	api_buf_init(&b);
	if (a->op == CH_I_EMBEDDINGS) {
		api_write_embeddings(&b.w, r, a->model, a->base64);
	} else {
		api_stamp_call(call);
		api_write_answer(&b.w, &call->stamp, r);
	}
	return api_buf_respond(call->c, &b);
}

static int on_answered(struct ch_ctx *c, void *data, int why, void *result)
{
	struct api_call *call = data;

	(void)c;
	(void)result;
	if (why == CH_GONE) {
		api_note(call);
		return CH_DONE;
	}
	if (why == CH_TIMEOUT)
		api_set_code(call, CH_E_UPSTREAM_TIMEOUT, api_too_late);
	return api_answer(call);
}

int api_answer_begin(struct api_call *call)
{
	call->call.fn = on_answered;
	int rc = ch_infer(call->c, &call->call);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	if (rc != CH_OK)
		api_set_code(call, CH_E_UPSTREAM_ERROR, api_broken);
	return api_answer(call);
}
