/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - a call: its command, its time, its end. */
#include <stdlib.h>
#include <string.h>

#include "kv_redis.h"

/* ---- the command ---- */

static bool room_for(struct kr_call *call, size_t more)
{
	size_t cap = call->cap;
	char *text;

	if (call->no_memory)
		return false;
	if (cap - call->n > more) /* a byte is left for kr_lane_give */
		return true;
	while (cap - call->n <= more)
		cap *= 2;
	text = call->text == call->room ? malloc(cap) : realloc(call->text, cap);
	if (!text) {
		call->no_memory = true;
		return false;
	}
	if (call->text == call->room)
		memcpy(text, call->room, call->n);
	call->l->bytes += cap - call->cap;
	call->text = text;
	call->cap = cap;
	return true;
}

static void put(struct kr_call *call, const char *p, size_t n)
{
	if (n)
		memcpy(call->text + call->n, p, n);
	call->n += n;
}

/* A sign, a length and the end of a line: 24 bytes at most. */
static void put_head(struct kr_call *call, char sign, size_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	call->text[call->n++] = sign;
	put(call, digits + n, sizeof(digits) - n);
	put(call, "\r\n", 2);
}

void kr_word_of_two(struct kr_call *call, struct ch_str a, struct ch_str b)
{
	if (!room_for(call, a.n + b.n + 26))
		return;
	put_head(call, '$', a.n + b.n);
	put(call, a.p, a.n);
	put(call, b.p, b.n);
	put(call, "\r\n", 2);
}

void kr_word(struct kr_call *call, const char *p, size_t n)
{
	kr_word_of_two(call, (struct ch_str){ p, n }, (struct ch_str){ NULL, 0 });
}

void kr_word_number(struct kr_call *call, int64_t v)
{
	uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
	char text[24];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (v < 0)
		text[--at] = '-';
	kr_word(call, text + at, sizeof(text) - at);
}

void kr_upload(struct kr_call *call, struct ch_str prefix, struct ch_str there, struct ch_str head, struct ch_str value)
{
	put_head(call, '*', 5);
	kr_word(call, "SET", 3);
	kr_word_of_two(call, prefix, there);
	kr_word_of_two(call, head, value);
	kr_word(call, "PX", 2);
	kr_word(call, "60000", 5);
	call->upload = call->n;
}

void kr_command(struct kr_call *call, int script, int nkeys, int nargs)
{
	call->script = script;
	call->nwords = 3 + nkeys + nargs;
	if (!room_for(call, 26))
		return;
	put_head(call, '*', (size_t)call->nwords);
	kr_word(call, "EVALSHA", 7);
	kr_word(call, kr_scripts[script].sha, 40);
	call->words = call->n;
	kr_word_number(call, nkeys);
}

/* ---- time ---- */

static void set_timer(struct kr_loop *l, int64_t at, int64_t now)
{
	l->timer_at = at;
	ch_timer_set(l->timer, at > now ? (at - now + 999) / 1000 : 0);
}

/* Most calls have the same timeout, so that the last one is the latest. */
static void link_due(struct kr_call *call)
{
	struct kr_loop *l = call->l;
	struct kr_link *at = l->due.prev;

	while (at != &l->due && KR_OF(at, struct kr_call, due)->deadline > call->deadline)
		at = at->prev;
	kr_link_behind(&call->due, at);
	if (call->deadline < l->timer_at)
		set_timer(l, call->deadline, ch_now());
}

static void move_due(struct kr_call *call, int64_t deadline)
{
	kr_unlink(&call->due);
	call->deadline = deadline < call->limit ? deadline : call->limit;
	link_due(call);
}

/* An injected delay, if there was one, is over. */
static enum kr_trouble go(struct kr_call *call)
{
	call->wakes = 0;
	return call->struck ? KR_FAULT : kr_lane_take(call->lane, call);
}

static void call_due(struct kr_call *call, int64_t now)
{
	enum kr_trouble t;

	if (call->wakes && call->wakes <= now) {
		move_due(call, call->patience);
		t = go(call);
		if (t)
			kr_call_fail(call, t, NULL);
		return;
	}
	kr_call_fail(call, call->deadline < call->limit ? KR_TIMEOUT : KR_CANCELLED, NULL); /* the ctx's own end says nothing about Redis */
}

void kr_calls_due(void *data)
{
	struct kr_loop *l = data;
	int64_t now = ch_now();

	l->timer_at = INT64_MAX;
	while (kr_linked(&l->due)) {
		struct kr_call *call = KR_OF(l->due.next, struct kr_call, due);

		if (call->deadline > now) {
			set_timer(l, call->deadline, now);
			break;
		}
		call_due(call, now);
	}
}

/* ---- the end ---- */

static const char *const ops[] = { "get", "set", "del", "add", "take", "settle" };

void kr_call_free(struct kr_call *call)
{
	struct kr_loop *l = call->l;

	l->bytes -= call->cap;
	l->ncalls--;
	if (call->text != call->room)
		free(call->text);
	if (l->nfree < KR_FREE_MAX && l->self) {
		kr_link_behind(&call->link, &l->free);
		l->nfree++;
	} else {
		free(call);
	}
}

/*
 * Whoever waits hears of it. The call is gone, unless its command still lies with hiredis. Nothing comes behind it: what is told to the
 * lane may end its connection and all other calls.
 */
static void end(struct kr_call *call, enum kr_trouble t, int error, const char *detail)
{
	struct kr_loop *l = call->l;
	struct kr_lane *lane = call->lane;
	struct ch_kv_result *out = call->out;
	uint32_t pass = call->pass;

	kr_unlink(&call->due);
	if (t)
		ch_add(l->series.errors[t], 1);
	ch_add(l->series.calls, -1);
	ch_observe(l->series.latency[call->op], (double)(ch_now() - call->began) * 1e-6);
	if (l->self)
		atomic_fetch_sub(&kr_state_of(l)->calls, 1);
	if (out) {
		out->error = error;
		out->detail = error ? detail : NULL;
		out->call = NULL;
		if (!call->inside)
			ch_resume(call->ticket, NULL, NULL);
	} else if (error && l->self) {
		ch_log(l->self, NULL, CH_DEBUG, "A %s that nobody waits for failed: %s", ops[call->op], detail);
	}
	call->out = NULL;
	if (!call->sent) {
		kr_unlink(&call->link);
		kr_call_free(call);
	}
	kr_lane_report(lane, pass, t);
}

/* What only looks did not happen, whatever became of it; nor did what was never sent. */
static int error_of(const struct kr_call *call, enum kr_trouble t, bool sent)
{
	bool harmless = !sent || call->op == KR_GET || call->bare;
	int error = kr_troubles[t].error;

	if (error == CH_KV_UNKNOWN && harmless)
		return CH_KV_UNAVAILABLE;
	return error == CH_KV_CANCELLED && !harmless ? CH_KV_UNKNOWN : error;
}

/* Why its lane is down, so that whoever tells people of it names the cause; a copy, as the lane's own text changes. */
static const char *why_down(const struct kr_call *call)
{
	const struct kr_lane *lane = call->lane;
	const char *why = lane && lane->told && call->ctx ? ch_dup(call->ctx, lane->why, strlen(lane->why)) : NULL;

	return why ? why : kr_troubles[KR_DOWN].detail;
}

void kr_call_fail(struct kr_call *call, enum kr_trouble t, const char *detail)
{
	if (!detail)
		detail = t == KR_DOWN ? why_down(call) : kr_troubles[t].detail;
	end(call, t, error_of(call, t, call->sent), detail);
}

/* A call that lay with hiredis does so no more. True: somebody waits for its end. */
static bool taken_back(struct kr_call *call)
{
	call->sent = false;
	if (kr_linked(&call->due))
		return true;
	kr_call_free(call);
	return false;
}

void kr_call_lost(struct kr_call *call, bool written)
{
	if (taken_back(call))
		end(call, KR_LOST, error_of(call, KR_LOST, written), kr_troubles[KR_LOST].detail);
}

/* ---- the answer ---- */

/* What stands there, for whoever waits; `fetched`: the value came beside it. */
static enum kr_trouble tell_value(struct kr_call *call, const char *p, size_t n, const redisReply *fetched)
{
	struct kr_value v;
	char *copy;

	if (!kr_value_read(p, n, &v))
		return KR_GARBAGE;
	if (fetched && (fetched->type != REDIS_REPLY_STRING || fetched->len < KR_VALUE_HEAD || fetched->len > KR_VALUE_HEAD + CH_KV_VALUE_MAX))
		return KR_GARBAGE;
	if (fetched)
		v.value = (struct ch_str){ fetched->str + KR_VALUE_HEAD, fetched->len - KR_VALUE_HEAD };
	if (!call->out || !v.version)
		return KR_FINE;
	copy = ch_dup(call->ctx, v.value.p, v.value.n);
	if (!copy)
		return KR_MEMORY;
	call->out->version = v.version;
	call->out->ttl_ms = v.ttl_ms;
	call->out->value = (struct ch_str){ copy, v.value.n };
	return KR_FINE;
}

static enum kr_trouble tell(struct kr_call *call, const char *p, size_t n, const redisReply *fetched)
{
	struct ch_kv_result *out = call->out;
	int64_t number, ttl;
	bool done = *p == '1';

	if (call->op == KR_ADD) {
		if (!done || !kr_counter_read(p + 1, n - 1, &number, &ttl))
			return KR_GARBAGE;
		if (out) {
			out->done = true;
			out->number = number;
			out->ttl_ms = ttl;
		}
		return KR_FINE;
	}
	if (call->op == KR_TAKE || call->op == KR_SETTLE) {
		struct ch_kv_level thrown[CH_KV_BUCKETS_MAX], *levels = out ? call->levels : thrown;

		if (!kr_levels_read(p + 1, n - 1, levels, call->nlevels))
			return KR_GARBAGE;
		if (out) {
			out->done = done;
			out->levels = (struct ch_table){ levels, call->nlevels, sizeof(*levels) };
		}
		return KR_FINE;
	}
	if (call->op == KR_GET && done)
		ch_add(call->l->series.hits, 1);
	else if (call->op == KR_GET)
		ch_add(call->l->series.misses, 1);
	if (call->op == KR_SET && done && n == 1 && out) {
		out->version = call->version;
		out->ttl_ms = call->ttl_ms;
	}
	if (out)
		out->done = done;
	return tell_value(call, p + 1, n - 1, fetched);
}

/* Nothing was done: what stands there is too long for a script. The call is made once more over the big lane, and the value comes along. */
static enum kr_trouble go_big(struct kr_call *call)
{
	struct kr_loop *l = call->l;

	kr_lane_report(call->lane, call->pass, KR_FINE);
	call->pass = 0;
	call->lane = &l->lanes[1];
	call->fetches = true;
	move_due(call, ch_now() + kr_conf_of(l)->value_timeout * 1000);
	return kr_lane_take(call->lane, call);
}

void kr_call_answered(struct kr_call *call, const redisReply *r)
{
	struct kr_lane *lane = call->lane;
	const redisReply *fetched = NULL;
	enum kr_trouble t = KR_GARBAGE;
	char mark = 0;

	if (call->fetches && r->type == REDIS_REPLY_ARRAY && r->elements == 2) {
		fetched = r->element[1];
		r = r->element[0];
	}
	if (r->type == REDIS_REPLY_ERROR)
		t = kr_error_read(r->str, r->len);
	else if (r->type == REDIS_REPLY_STRING && call->fetches == (fetched != NULL))
		mark = kr_mark_read(r->str, r->len, &t);
	if (t == KR_FULL && call->uploaded)
		t = call->uploaded;
	if (taken_back(call)) {
		if (t == KR_NOSCRIPT && !call->again) {
			call->again = true;
			lane->loaded[call->script] = false;
			t = kr_lane_again(lane, call);
			if (!t)
				return;
		} else if (mark == 'B' && !fetched) {
			t = go_big(call);
			if (!t)
				return;
		} else if (mark == 'B') {
			t = r->len > 1 ? tell(call, r->str + 1, r->len - 1, fetched) : KR_GARBAGE;
		} else if (mark) {
			t = tell(call, r->str, r->len, NULL);
		}
		end(call, t, error_of(call, t, true), kr_troubles[t].detail);
	}
	if (kr_troubles[t].ends)
		kr_lane_fall(lane, t, "%s", kr_troubles[t].detail);
}

/* ---- the begin ---- */

struct kr_call *kr_call_new(struct kr_loop *l, int op)
{
	struct kr_call *call;

	if (l->ncalls >= KR_CALLS_MAX || l->bytes >= KR_BYTES_MAX)
		return NULL;
	if (l->nfree) {
		call = KR_OF(l->free.next, struct kr_call, link);
		kr_unlink(&call->link);
		l->nfree--;
	} else {
		call = malloc(sizeof(*call));
		if (!call)
			return NULL;
	}
	memset(call, 0, offsetof(struct kr_call, room));
	call->l = l;
	call->op = op;
	call->text = call->room;
	call->cap = sizeof(call->room);
	kr_link_init(&call->link);
	kr_link_init(&call->due);
	l->ncalls++;
	l->bytes += call->cap;
	return call;
}

int kr_call_begin(struct kr_call *call, struct ch_ctx *ctx, struct ch_kv_result *out, ch_ticket ticket, int64_t timeout_ms, bool big)
{
	struct kr_loop *l = call->l;
	int64_t own = ticket ? ch_deadline(ctx) : 0;
	struct ch_fault fault = { .size = sizeof(fault) };
	enum kr_trouble t;

	ch_add(l->series.calls, 1);
	if (l->self)
		atomic_fetch_add(&kr_state_of(l)->calls, 1);
	call->began = ch_now();
	call->limit = own ? own : INT64_MAX;
	call->patience = call->began + timeout_ms * 1000;
	call->lane = &l->lanes[big];
	if (ticket) {
		call->ctx = ctx;
		call->out = out;
		call->ticket = ticket;
		out->call = call;
	}
	if (ch_fault(ctx, CH_S_KV, &fault)) {
		call->struck = fault.fail;
		call->wakes = fault.delay_ms > 0 ? call->began + fault.delay_ms * 1000 : 0;
	}
	call->inside = true;
	move_due(call, call->wakes && call->wakes < call->patience ? call->wakes : call->patience);
	t = call->no_memory ? KR_MEMORY : call->wakes ? KR_FINE : go(call);
	if (t) {
		kr_call_fail(call, t, NULL); /* and is gone */
		return CH_OK;
	}
	call->inside = false;
	return ticket ? CH_AGAIN : CH_OK;
}

int kr_refuse(struct ch_self *self, struct ch_kv_result *out, enum kr_trouble t, const char *detail)
{
	struct kr_state *s = self->state;

	ch_add(s->series.errors[t], 1);
	if (out) {
		out->error = kr_troubles[t].error;
		out->detail = detail ? detail : kr_troubles[t].detail;
	}
	return CH_OK;
}
