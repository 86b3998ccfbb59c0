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
	ask_name(call);
	return ch_events_begin(&call->events, NULL);
}

/* The backend's next piece of text. If the client has gone nothing more is asked for: the ticket is about to say so. */
static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct ask_call *call = arg;
	struct ch_str text = d->text;
	char frame[ASK_FRAME_MAX];
	int rc = CH_OK;

	(void)c;
	if (text.n && !call->events.begun && !begin(call))
		return CH_AGAIN;
	while (text.n) {
		size_t n = ask_piece(text.p, text.n);
		struct ch_jw w;

		ch_jw_init(&w, frame, sizeof(frame));
		ask_write_delta(&w, text.p, n);
		rc = ch_events_frame(&call->events, w.buf, w.len);
		text.p += n;
		text.n -= n;
	}
	return rc;
}

static void on_writable(void *data)
{
	struct ask_call *call = data;

	ch_infer_go_on(call->c, &call->call);
}

static int broken(struct ask_call *call, enum ch_code code, const char *detail)
{
	if (!call->events.begun)
		return ask_refuse(call, code, detail);
	ask_note(call);
	ask_count(call->self, code);
	return ch_events_fail(&call->events, code, detail ? detail : ask_broken, (struct ch_str){ NULL, 0 });
}

static int finished(struct ask_call *call)
{
	struct ask_answer a;
	struct ch_jw w;

	if (call->result.code)
		return broken(call, call->result.code, call->result.detail);
	if (!call->events.begun && !begin(call))
		return ask_gone(call);
	if (call->call.answered && call->result.text.n) /* by a hook, in one piece */
		on_delta(call->c, call, &(struct ch_inference_delta){ .size = sizeof(struct ch_inference_delta), .text = call->result.text });
	ask_finish(call, &a);
	ch_jw_ctx(&w, call->c, 512);
	ask_write_answer(&w, &a);
	if (w.failed) {
		ch_events_lost(&call->events);
		return ch_events_end(&call->events);
	}
	ch_events_frame(&call->events, w.buf, w.len);
	return ch_events_done(&call->events);
}

static int on_streamed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ask_call *call = data;

	(void)c;
	(void)result;
	if (why == CH_READY)
		return finished(call);
	if (why == CH_TIMEOUT)
		return broken(call, CH_E_UPSTREAM_TIMEOUT, ask_too_late);
	return ask_gone(call);
}

int ask_stream(struct ask_call *call)
{
	const struct ask_conf *conf = call->self->conf;

	call->call.sink = (struct ch_inference_sink){ .size = sizeof(call->call.sink), .delta = on_delta, .arg = call };
	call->call.fn = on_streamed;
	ch_events_init(&call->events, call->c, conf->ping, on_writable, call);
	int rc = ch_infer(call->c, &call->call);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	return rc == CH_OK ? finished(call) : broken(call, CH_E_UPSTREAM_ERROR, ask_broken);
}
