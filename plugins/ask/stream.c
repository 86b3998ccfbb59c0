/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - the answer as server-sent events.
 *
 * The head leaves with the first piece of text, so that a failure before it is a plain refusal with its own status. After it a stream ends
 * in exactly one way: the last frame and [DONE], or one error frame.
 */
#include "call.h"

static bool begin(struct ask_call *call)
{
	struct ch_ctx *c = call->c;

	ask_name(call);
	ch_header_set(c, "Content-Type", "text/event-stream");
	ch_header_set(c, "Cache-Control", "no-cache");
	ch_header_set(c, "X-Accel-Buffering", "no");
	call->begun = ch_begin(c, 200) == CH_OK;
	return call->begun;
}

/* The backend's next piece of text. If the client has gone nothing more is asked for: the ticket is about to say so. */
static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct ask_call *call = arg;
	const char *text = d->text.p;
	size_t n = d->text.n;
	char frame[ASK_FRAME_MAX];
	int rc = CH_OK;

	if (n && !call->begun && !begin(call))
		return CH_AGAIN;
	while (n) {
		size_t len = ask_piece(text, n);
		struct ch_jw w;

		ch_jw_init(&w, frame, sizeof(frame));
		ask_write_delta(&w, text, len);
		rc = ch_write(c, w.buf, w.len, NULL, NULL);
		if (rc != CH_OK && rc != CH_AGAIN)
			return CH_AGAIN;
		text += len;
		n -= len;
	}
	call->paused = rc == CH_AGAIN;
	return rc;
}

static void on_writable(void *data)
{
	struct ask_call *call = data;

	if (!call->paused)
		return;
	call->paused = false;
	ch_infer_go_on(call->c, &call->call);
}

/* The last frames and the end. */
static int end(struct ask_call *call, struct ch_jw *w)
{
	ch_on_writable(call->c, NULL, NULL);
	if (w->failed) {
		ch_abort(call->c);
		return CH_DONE;
	}
	ch_write(call->c, w->buf, w->len, NULL, NULL);
	ch_end(call->c);
	return CH_DONE;
}

static int broken(struct ask_call *call, enum ch_code code, const char *detail)
{
	const struct ch_code_info *info = ch_code_info(code);
	struct ch_jw w;

	if (!call->begun)
		return ask_refuse(call, code, detail);
	if (!detail)
		detail = ask_broken;
	ask_note(call);
	ask_count(call->self, code);
	ch_jw_ctx(&w, call->c, 256 + strlen(detail));
	ask_write_error(&w, detail, info->type, info->name);
	return end(call, &w);
}

static int finished(struct ask_call *call)
{
	struct ask_answer a;
	struct ch_jw w;

	if (call->result.code)
		return broken(call, call->result.code, call->result.detail);
	if (!call->begun && !begin(call))
		return ask_gone(call);
	if (call->call.answered && call->result.text.n) /* by a hook, in one piece */
		on_delta(call->c, call, &(struct ch_inference_delta){ .size = sizeof(struct ch_inference_delta), .text = call->result.text });
	ask_finish(call, &a);
	ch_jw_ctx(&w, call->c, 512);
	ask_write_end(&w, &a);
	return end(call, &w);
}

static int on_streamed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ask_call *call = data;

	(void)result;
	if (why == CH_READY)
		return finished(call);
	(void)c;
	if (why == CH_TIMEOUT)
		return broken(call, CH_E_UPSTREAM_TIMEOUT, ask_too_late);
	return ask_gone(call);
}

int ask_stream(struct ask_call *call)
{
	call->call.sink = (struct ch_inference_sink){ .size = sizeof(call->call.sink), .delta = on_delta, .arg = call };
	call->call.fn = on_streamed;
	ch_on_writable(call->c, on_writable, call);
	int rc = ch_infer(call->c, &call->call);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	return rc == CH_OK ? finished(call) : broken(call, CH_E_UPSTREAM_ERROR, ask_broken);
}
