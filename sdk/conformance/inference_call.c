/* SPDX-License-Identifier: MIT */
/* inference_call.c - makes a call of the provider, does meanwhile what its row says, and watches what the provider does. */
#include <stdlib.h>

#include "inference_run.h"

enum {
	PATIENCE = 30000, /* milliseconds until a ticket is given up: the provider's own timeouts may hold in cases that say none */
	HOLD = 50,        /* a pause */
	WHILE = 50        /* until a cancel that comes later */
};

/* ---- its end ---- */

static void tell_run(void *data)
{
	struct call *k = data;

	call_over(k->run, k);
}

static void leave(struct call *k)
{
	ch_post(k->run->loop, tell_run, k);
}

static int finish(struct call *k)
{
	k->over = true;
	ch_timer_free(k->timer);
	k->timer = NULL;
	k->c = NULL;
	k->out = NULL;
	if (!k->watching)
		leave(k);
	return CH_DONE;
}

/* Two turns behind a cancel: that in which it was called is over, and so is the one in which the resume is delivered. */
static void on_turn_over(void *data)
{
	struct call *k = data;

	k->watching = false;
	if (k->over)
		leave(k);
	else
		complain(k, "expected that the ticket is resumed within the turn of the loop in which the call is cancelled");
}

static void on_next_turn(void *data)
{
	ch_turn_end(((struct call *)data)->loop, on_turn_over, data);
}

static void on_turn_end(void *data)
{
	if (!ch_post(((struct call *)data)->loop, on_next_turn, data))
		on_turn_over(data);
}

/* Always twice: it is idempotent. */
static void cancel(struct call *k)
{
	const struct ch_svc *svc = conf_of(k->run)->target;
	bool was_inside = k->inside;

	k->inside = true;
	inference_of(k->run)->cancel(svc, k->c, k->out);
	inference_of(k->run)->cancel(svc, k->c, k->out);
	k->inside = was_inside;
}

static void cancel_now(struct call *k)
{
	k->cancelled = k->watching = true;
	ch_turn_end(k->loop, on_turn_end, k);
	cancel(k);
}

static void go_on(struct call *k)
{
	const struct ch_svc *svc = conf_of(k->run)->target;

	k->paused = false;
	k->inside = true;
	inference_of(k->run)->go_on(svc, k->c, k->out);
	inference_of(k->run)->go_on(svc, k->c, k->out); /* it goes on already, or waits for the loop to do so */
	k->inside = false;
}

static void on_timer(void *data)
{
	struct call *k = data;

	if (k->over || k->cancelled)
		return;
	if (k->row->cancel)
		cancel_now(k);
	else if (k->paused)
		go_on(k);
}

/* Behind its end neither does anything. */
static void too_late(struct call *k)
{
	struct ch_inference_result before = *k->out;

	cancel(k);
	k->inside = true;
	inference_of(k->run)->go_on(conf_of(k->run)->target, k->c, k->out);
	k->inside = false;
	if (memcmp(&before, k->out, sizeof(before)))
		complain(k, "cancel or go_on behind the end of the call changed *out");
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	k->took = ch_now() - k->began;
	if (k->inside)
		complain(k, "the ticket was resumed inside a call");
	if (c != k->c || result)
		complain(k, "the ticket was resumed with a result that is not NULL");
	k->over = true;
	if (why == CH_READY) {
		judge(k, CH_AGAIN);
		too_late(k);
		return finish(k);
	}
	k->gone = why == CH_GONE;
	if (why == CH_TIMEOUT && !k->row->deadline) {
		complain(k, "the ticket was not resumed within %lld ms", (long long)(k->took / 1000));
		k->broken = true;
	}
	k->cancelled = true;
	cancel(k); /* makes the provider confirm: the ctx lives until then */
	if (why == CH_TIMEOUT && k->row->deadline)
		judge(k, CH_AGAIN);
	return finish(k);
}

/* ---- its sink ---- */

/* May the sink be called now? */
static bool may(struct call *k, const struct ch_ctx *c)
{
	if (k->inside)
		complain(k, "the sink was called inside submit, go_on or cancel");
	else if (k->over)
		complain(k, "the sink was called after the ticket was resumed, or submit returned CH_OK");
	else if (k->cancelled)
		complain(k, "the sink was called after the call was cancelled");
	else if (k->paused)
		complain(k, "the sink was called between AGAIN and go_on");
	else if (c != k->c)
		complain(k, "the sink was called for another ctx");
	else
		return true;
	return false;
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct call *k = arg;
	const struct row *w = k->row;

	if (!may(k, c))
		return CH_OK;
	k->deltas++;
	judge_delta(k, d);
	if (w->cancel == IN_SINK) {
		cancel_now(k);
		return CH_OK;
	}
	if (!w->pause || (k->pauses && w->pause != EACH))
		return CH_OK;
	k->paused = true;
	if (!w->deadline)
		ch_timer_set(k->timer, k->pauses++ ? 0 : HOLD);
	return CH_AGAIN;
}

/* ---- its beginning ---- */

static int begin(struct ch_ctx *c, void *data)
{
	struct call *k = data;
	const struct row *w = k->row;
	struct ch_inference_sink sink = { .size = sizeof(sink), .delta = on_delta, .arg = k };
	int rc;

	k->c = c;
	k->began = ch_now();
	if (w->deadline)
		ch_deadline_set(c, k->began + w->deadline * 1000);
	k->out = ch_alloc(c, sizeof(*k->out));
	k->timer = ch_timer(k->loop, on_timer, k);
	k->ticket = ch_suspend(c, w->deadline ? 0 : PATIENCE + conf_of(k->run)->slack, on_resumed, k);
	if (!k->out || !k->timer || !k->ticket) {
		complain(k, "there is no memory for the call");
		ch_unsuspend(k->ticket);
		return finish(k);
	}
	k->out->size = sizeof(*k->out);
	k->inside = true;
	rc = inference_of(k->run)->submit(conf_of(k->run)->target, c, &k->args, w->sink ? &sink : NULL, k->out, k->ticket);
	k->inside = false;
	memset(&sink, 0xdd, sizeof(sink)); /* it is copied */
	if (rc == CH_AGAIN) {
		if (w->cancel == AT_ONCE)
			cancel_now(k);
		else if (w->cancel == LATER)
			ch_timer_set(k->timer, WHILE);
		return CH_AGAIN;
	}
	k->took = ch_now() - k->began;
	k->over = true;
	ch_unsuspend(k->ticket);
	judge(k, rc);
	too_late(k);
	return finish(k);
}

static void dropped(void *data)
{
	struct call *k = data;

	k->gone = true; /* the config has been replaced, or the server stops */
	finish(k);
}

bool call_make(struct run *r, struct ch_loop *loop)
{
	struct call *k = calloc(1, sizeof(*k));

	if (!k)
		return false;
	*k = (struct call){ .older = r->calls, .run = r, .row = r->row, .loop = loop };
	r->calls = k;
	return fill_args(k) && ch_task(r->self, loop, 0, begin, k, dropped);
}
