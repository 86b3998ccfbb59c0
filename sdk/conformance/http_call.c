/* SPDX-License-Identifier: MIT */
/* http_call.c - makes a call of the provider, does meanwhile what its row says, and watches what the provider does. */
#include <stdlib.h>

#include "http_call.h"

enum { BODY_MAX = 8 << 20, PATIENCE = 6000 }; /* milliseconds until a ticket is given up, behind all timeouts of all cases */

/* ---- its end ---- */

/* On to what comes next: it is over, and so is the turn in which it may have been cancelled. */
static void go(struct call *k)
{
	k->next(k->run, k);
}

static int finish(struct call *k)
{
	k->over = true;
	k->status = k->out ? k->out->status : 0;
	ch_timer_free(k->go_on_timer);
	ch_timer_free(k->cancel_timer);
	k->c = NULL;
	k->out = NULL;
	if (!k->watching)
		go(k);
	return CH_DONE;
}

/* The third step behind a cancel: the turn in which it was called is over, and so is the one in which the resume is delivered. */
static void on_turn_over(void *data)
{
	struct call *k = data;

	k->watching = false;
	if (k->over)
		go(k);
	else
		complain(k->run, k, "expected that the ticket is resumed within the turn of the loop in which the call is cancelled");
}

static void on_next_turn(void *data)
{
	ch_turn_end(((struct call *)data)->run->loop, on_turn_over, data);
}

static void on_turn_end(void *data)
{
	struct call *k = data;

	if (!ch_post(k->run->loop, on_next_turn, k))
		on_turn_over(k);
}

static void watch_cancel(struct call *k)
{
	if (!k->cancelled) {
		k->watching = true;
		ch_turn_end(k->run->loop, on_turn_end, k);
	}
	k->cancelled = true;
}

static void cancel(struct call *k)
{
	bool was_inside = k->inside;

	k->inside = true;
	for (int i = 0; i <= k->row->twice; i++)
		http_of(k->run)->cancel(conf_of(k->run)->target, k->c, k->out);
	k->inside = was_inside;
}

static void on_cancel_time(void *data)
{
	watch_cancel(data);
	cancel(data);
}

static void on_go_on_time(void *data)
{
	struct call *k = data;

	if (k->cancelled)
		return;
	k->paused = false;
	k->inside = true;
	http_of(k->run)->go_on(conf_of(k->run)->target, k->c, k->out);
	k->inside = false;
}

/* ---- its sink ---- */

/* What the sink answers in `stage`, as the row says. */
static int act(struct call *k, int stage)
{
	const struct row *w = k->row;

	if (w->cancel == stage)
		on_cancel_time(k);
	if (w->done == stage) {
		watch_cancel(k);
		return CH_DONE;
	}
	if (w->pause == stage && (!k->pauses || w->every)) {
		k->pauses++;
		k->paused = true;
		if (w->go_on)
			ch_timer_set(k->go_on_timer, w->go_on);
		return CH_AGAIN;
	}
	return CH_OK;
}

/* May the sink be called now? */
static bool may(struct call *k, const struct ch_ctx *c, const char *what)
{
	if (k->inside)
		complain(k->run, k, "the sink's %s was called inside request, go_on or cancel", what);
	if (k->over)
		complain(k->run, k, "the sink's %s was called after the ticket was resumed", what);
	else if (k->cancelled)
		complain(k->run, k, "the sink's %s was called after the call was cancelled", what);
	else if (k->paused)
		complain(k->run, k, "the sink's %s was called between AGAIN and go_on", what);
	else if (c != k->c)
		complain(k->run, k, "the sink's %s was called for another ctx", what);
	else
		return true;
	return false;
}

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *out)
{
	struct call *k = arg;

	if (!may(k, c, "head"))
		return CH_OK;
	if (out != k->out || out->status < 200 || !out->version)
		complain(k->run, k, "the sink's head got a result that is not the call's, or that has no final status or no version");
	if (k->heads++)
		complain(k->run, k, "the sink's head was called twice");
	if (k->bytes)
		complain(k->run, k, "the sink's head was called behind data");
	return act(k, IN_HEAD);
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct call *k = arg;

	if (!may(k, c, "data"))
		return CH_OK;
	if (!n)
		complain(k->run, k, "the sink's data was called with nothing");
	if (!k->heads && k->row->sink == SINK)
		complain(k->run, k, "the sink's data was called before its head");
	take(k, p, n);
	return act(k, IN_DATA);
}

/* ---- its beginning ---- */

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;
	struct run *r = k->run;
	struct ch_http_result before;

	k->why = why;
	k->took = ch_now() - k->began;
	if (c != k->c || result)
		complain(r, k, "the ticket was resumed with a result that is not NULL");
	if (why == CH_GONE) {
		r->gone = true;
		cancel(k);
		return finish(k);
	}
	if (why == CH_TIMEOUT && !k->row->deadline) {
		complain(r, k, "the ticket was not resumed within %lld ms", (long long)(k->took / 1000));
		r->broken = true;
	}
	judge(k, CH_AGAIN);
	before = *k->out;
	cancel(k); /* behind the end it does nothing; behind TIMEOUT it makes the provider confirm, and the ctx lives until then */
	if (why == CH_READY && (k->out->error != before.error || k->out->detail != before.detail || k->out->status != before.status ||
			k->out->body_bytes != before.body_bytes || k->out->ended != before.ended))
		complain(r, k, "cancel behind the end of the call changed *out");
	return finish(k);
}

/* What the row sends, in memory of the ctx. False: no memory. */
static bool fill(struct call *k, struct ch_http_args *a)
{
	static char zeros[BODY_MAX]; /* never written; for what is too large for a ctx: pages that nobody wrote take no memory */
	const struct row *w = k->row;
	struct ch_http_field *fields = ch_alloc(k->c, sizeof(w->fields));
	const char *word = w->method ? w->method : "GET";
	char *url = ch_dup(k->c, k->url, k->url_len), *method = ch_dup(k->c, word, strlen(word));
	char *body = w->body < 65536 ? ch_alloc(k->c, (size_t)w->body + 1) : NULL;
	int64_t slack = conf_of(k->run)->slack; /* the server, too, may be late */

	if (!fields || !url || !method || (!body && w->body < 65536))
		return false;
	memcpy(fields, w->fields, sizeof(w->fields));
	if (body)
		memset(body, 'x', (size_t)w->body);
	*a = (struct ch_http_args){
		.size = sizeof(*a),
		.method = { method, strlen(method) },
		.url = { url, k->url_len },
		.fields = fields,
		.body = { body ? body : zeros, (size_t)w->body },
		.connect_timeout_ms = w->connect ? w->connect : 2000 + slack,
		.first_byte_timeout_ms = w->first ? w->first : 2000 + slack,
		.idle_timeout_ms = w->idle ? w->idle : 2000 + slack,
		.total_timeout_ms = w->total ? w->total : 4000 + 2 * slack,
		.max_body = w->max_body,
	};
	while (a->nfields < 2 && (fields[a->nfields].name.n || (w->odd_field && !a->nfields)))
		a->nfields++;
	return true;
}

static int begin(struct ch_ctx *c, void *data)
{
	struct call *k = data;
	struct run *r = k->run;
	const struct row *w = k->row;
	struct ch_http_args *args = ch_alloc(c, sizeof(*args));
	struct ch_http_sink sink = { sizeof(sink), w->sink == SINK ? on_head : NULL, on_data, k };
	int rc;

	k->c = c;
	k->out = ch_alloc(c, sizeof(*k->out));
	k->go_on_timer = ch_timer(r->loop, on_go_on_time, k);
	k->cancel_timer = ch_timer(r->loop, on_cancel_time, k);
	k->ticket = ch_suspend(c, w->deadline ? 0 : PATIENCE + 3 * conf_of(r)->slack, on_resumed, k);
	if (!args || !k->out || !k->go_on_timer || !k->cancel_timer || !k->ticket || !fill(k, args)) {
		complain(r, k, "there is no memory for the call");
		ch_unsuspend(k->ticket);
		return finish(k);
	}
	k->out->size = sizeof(*k->out);
	k->began = ch_now();
	if (w->deadline)
		ch_deadline_set(c, k->began + w->deadline * 1000);
	k->inside = true;
	rc = http_of(r)->request(conf_of(r)->target, c, args, w->sink ? &sink : NULL, k->out, k->ticket);
	k->inside = false;
	memset(&sink, 0, sizeof(sink)); /* it is copied */
	if (rc == CH_AGAIN) {
		if (w->cancel == AT_ONCE)
			on_cancel_time(k);
		else if (w->cancel == LATER)
			ch_timer_set(k->cancel_timer, w->after + conf_of(k->run)->slack / 5); /* what is to come before it may be late */
		return CH_AGAIN;
	}
	k->took = ch_now() - k->began;
	ch_unsuspend(k->ticket);
	if (rc != CH_OK)
		complain(r, k, "request returned %d, expected CH_OK or CH_AGAIN", rc);
	else if (!k->out->error)
		complain(r, k, "request returned CH_OK without an error");
	else
		judge(k, CH_OK);
	return finish(k);
}

static void dropped(void *data)
{
	struct call *k = data;

	k->run->gone = true; /* the config has been replaced */
	finish(k);
}

void call_make(struct run *r, const struct row *row, const char *url, size_t len, next_fn next)
{
	struct call *k = r->gone ? NULL : calloc(1, sizeof(*k));

	if (k) {
		*k = (struct call){ .older = r->calls, .run = r, .row = row, .url = malloc(len + 1), .url_len = len, .next = next };
		r->calls = k;
	}
	if (!k || !k->url || (memcpy(k->url, url, len), k->url[len] = 0, !ch_task(r->self, r->loop, 0, begin, k, dropped)))
		next(r, NULL);
}
