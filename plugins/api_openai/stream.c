/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - answers that come piece by piece.
 *
 * The head leaves with the first piece, so that a failure before it is a plain refusal with its own status. After it a stream ends in
 * exactly one way: the last chunk and [DONE], or one error frame. Frames of a backend of the same dialect go out as they came; of what
 * others say chunks are made here. What is passed on is not looked at at all.
 */
#include <stdlib.h>

#include "api_openai.h"

static void count(struct api_call *call, enum api_end end)
{
	const struct api_state *state = call->self->state;

	ch_add(state->streams[call->call.args.op][end], 1);
}

static bool begin(struct api_call *call)
{
	bool pass = call->call.args.op == CH_I_PASS;
	const char *type = call->result.content_type;

	api_name(call);
	if (pass && call->result.status >= 200 && call->result.status < 300)
		call->events.status = call->result.status;
	return ch_events_begin(&call->events, !pass ? NULL : type ? type : "application/json");
}

/* ---- chunks of our own ---- */

/* What they all begin with: made once, when the model that answers is known. */
static bool make_head(struct api_call *call)
{
	const char *model = call->result.model;
	struct ch_jw w;

	if (call->head.n)
		return true;
	api_stamp_call(call);
	ch_jw_ctx(&w, call->c, 160 + (model ? strlen(model) : 0));
	api_write_head(&w, &call->stamp, model);
	if (!w.failed)
		call->head = (struct ch_str){ w.buf, w.len };
	return !w.failed;
}

/* Frames around what `b` holds, which goes as it is. */
static int send(struct api_call *call, struct api_buf *b)
{
	int rc;

	if (b->w.failed) {
		api_buf_free(b);
		return ch_events_lost(&call->events);
	}
	rc = ch_events_write(&call->events, b->w.buf, b->w.len, b->heap ? free : NULL, b->w.buf);
	b->heap = false;
	return rc;
}

static void open_frame(struct api_buf *b)
{
	api_buf_init(b);
	ch_jw_raw(&b->w, "data: ", 6);
}

static void close_frame(struct api_buf *b)
{
	ch_jw_raw(&b->w, "\n\n", 2);
}

static int send_text(struct api_call *call, struct ch_str text, struct ch_str tool_calls)
{
	struct api_buf b;

	if (!make_head(call))
		return ch_events_lost(&call->events);
	open_frame(&b);
	api_write_delta(&b.w, &call->stamp, call->head, !call->spoke, text, tool_calls);
	close_frame(&b);
	call->spoke = true;
	return send(call, &b);
}

/* The chunk with the reason and, if it was asked for, the one with the usage. */
static void send_finish(struct api_call *call)
{
	struct api_buf b;

	if (!make_head(call)) {
		ch_events_lost(&call->events);
		return;
	}
	open_frame(&b);
	api_write_finish(&b.w, &call->stamp, call->head, !call->spoke, call->result.finish_reason);
	close_frame(&b);
	if (call->stamp.usage) {
		ch_jw_raw(&b.w, "data: ", 6);
		api_write_usage(&b.w, call->head, &call->result);
		close_frame(&b);
	}
	send(call, &b);
}

/* ---- the sink ---- */

/* If the client has gone nothing more is asked for: the ticket is about to say so. */
static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct api_call *call = arg;

	(void)c;
	if (!call->events.begun && !begin(call))
		return CH_AGAIN;
	if (call->call.args.op == CH_I_PASS)
		return ch_events_write(&call->events, d->frame.p, d->frame.n, NULL, NULL);
	if (d->frame.n) {
		call->framed = true;
		return ch_events_frame(&call->events, d->frame.p, d->frame.n);
	}
	if (!d->text.n && !d->tool_calls.n)
		return CH_OK;
	return send_text(call, d->text, d->tool_calls);
}

static void on_writable(void *data)
{
	struct api_call *call = data;

	ch_infer_go_on(call->c, &call->call);
}

/* ---- the end ---- */

static int broken(struct api_call *call)
{
	if (!call->events.begun)
		return api_failed(call);
	api_note(call);
	count(call, API_BROKEN);
	return ch_events_fail(&call->events, call->result.code, call->result.detail, call->result.error);
}

static int finished(struct api_call *call)
{
	bool pass = call->call.args.op == CH_I_PASS;

	if (call->result.code)
		return broken(call);
	if (pass && call->result.json.n && !call->events.begun) /* a hook's, or a provider's that had it whole */
		return api_answer(call);
	if (!call->events.begun && !begin(call)) {
		count(call, API_GONE);
		return CH_DONE;
	}
	if (!pass && call->call.answered && (call->result.text.n || call->result.tool_calls.n)) /* by a hook, in one piece */
		send_text(call, call->result.text, call->result.tool_calls);
	if (!pass && !call->framed)
		send_finish(call);
	api_note(call);
	count(call, API_DONE);
	return pass ? ch_events_end(&call->events) : ch_events_done(&call->events);
}

static int on_streamed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct api_call *call = data;

	(void)c;
	(void)result;
	if (why == CH_GONE) {
		api_note(call);
		count(call, API_GONE);
		return CH_DONE;
	}
	if (why == CH_TIMEOUT)
		api_set_code(call, CH_E_UPSTREAM_TIMEOUT, api_too_late);
	return finished(call);
}

int api_stream_begin(struct api_call *call)
{
	const struct api_conf *conf = call->self->conf;

	ch_events_init(&call->events, call->c, conf->ping, on_writable, call);
	call->call.sink = (struct ch_inference_sink){ .size = sizeof(call->call.sink), .delta = on_delta, .arg = call };
	call->call.fn = on_streamed;
	int rc = ch_infer(call->c, &call->call);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	if (rc != CH_OK)
		api_set_code(call, CH_E_UPSTREAM_ERROR, api_broken);
	return finished(call);
}
