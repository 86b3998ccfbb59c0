/* SPDX-License-Identifier: Apache-2.0 */
/* attempt.c - one attempt on one backend: what it is told, the pieces of its answer, its end, and what is counted of it. */
#include "way.h"

#include <math.h>

#define FAIR_US 30000000 /* an attempt that was cut short says something of the backend if it had this long */

static bool is_equal(const struct router_call *k)
{
	return k->entry >= k->plan.equals && k->entry < k->plan.equals + k->plan.nequals;
}

/* ---- pieces of the answer ---- */

/* From here on the answer is this attempt's: the caller has seen something of it. */
static void first_delta(struct router_call *k, int64_t now)
{
	struct ch_inference_result *out = k->out, *in = &k->inner;

	k->committed = true;
	k->first_delta = now;
	out->backend = k->entry->backend->id;
	out->model = in->model ? in->model : k->entry->model;
	out->rule = k->entry->rule->name;
	out->content_type = in->content_type;
	out->status = in->status;
	out->attempts = k->attempts;
	out->first_delta = in->first_delta ? in->first_delta : now;
	router_backend_first(k->entry->backend, &k->pass, now - k->began, now);
	ch_observe(k->entry->rule->series.first_token, (double)(now - k->started) / 1e6);
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct router_call *k = arg;
	int64_t now = ch_now();

	if (k->where != ROUTER_W_ASKS)
		return CH_OK; /* given up: nobody wants it */
	if (!k->committed)
		first_delta(k, now);
	else
		k->gaps_us += now - k->last_delta;
	k->deltas++;
	k->last_delta = now;
	int rc = k->sink.delta(c, k->sink.arg, d);
	k->paused = rc == CH_AGAIN;
	return rc;
}

/* ---- its end ---- */

static void count_tokens(const struct router_call *k)
{
	const struct ch_inference_result *in = &k->inner;
	const struct router_rule *rule = k->entry->rule;
	double cost = ((double)in->tokens_in * rule->price_in + (double)in->tokens_out * rule->price_out) / 1e6;

	if (in->tokens_in)
		ch_add(rule->series.tokens_in, (double)in->tokens_in);
	if (in->tokens_out)
		ch_add(rule->series.tokens_out, (double)in->tokens_out);
	if (cost > 0)
		ch_add(rule->series.cost, cost);
	if (rule->price_in > 0 || rule->price_out > 0) { /* every attempt that was billed is part of what the request cost */
		struct ch_facts *f = ch_facts(k->c);
		f->cost = isnan(f->cost) ? cost : f->cost + cost;
	}
}

static void count(const struct router_call *k, enum router_status status, int64_t took_us)
{
	const struct router_rule_series *s = &k->entry->rule->series;
	int code = k->inner.code;

	ch_add(s->llm_requests[status], 1);
	if (status == ROUTER_DONE)
		ch_observe(s->llm_duration, (double)took_us / 1e6);
	if (status == ROUTER_FAILED)
		ch_add(k->entry->backend->series.errors[code > 0 && code < ROUTER_CODES ? code : CH_E_INTERNAL], 1);
	if (k->deltas > 1)
		ch_observe(s->between, (double)k->gaps_us / 1e6 / (double)(k->deltas - 1));
	count_tokens(k);
}

void router_count(const struct router_call *k, enum router_status status)
{
	const struct router_rule_series *s = &(k->entry ? k->entry : &k->plan.equals[0])->rule->series;

	ch_add(s->requests[status], 1);
	if (status == ROUTER_FAILED && !k->attempts) /* by no attempt, so nothing else says why */
		ch_add((k->entry ? k->entry : &k->plan.equals[0])->backend->series.errors[k->out->code], 1);
	if (status != ROUTER_CANCELLED && k->attempts)
		ch_observe(s->latency, (double)(k->now - k->started) / 1e6);
}

/*
 * Is it the backend's fault that the time was over? Not if the attempt had less than its own time, as the question had waited, or asked
 * others, or its client has little patience; and not of a stream that was under way, or that the client did not take.
 */
static bool is_to_blame(const struct router_call *k, int64_t took_us)
{
	if (k->committed && took_us / 1000 >= k->sent.timeout_ms * 7 / 8)
		return !k->paused && (k->now - k->last_delta) / 1000 >= k->sent.idle_timeout_ms * 7 / 8;
	return !k->cut_short || took_us >= k->fair_us;
}

/* What the breaker is told. */
static enum router_verdict judge(const struct router_call *k, enum router_status status, int64_t took_us)
{
	if (status != ROUTER_FAILED)
		return status == ROUTER_DONE ? ROUTER_V_OK : ROUTER_V_UNKNOWN;
	switch (router_reason(k->inner.code)) {
	case ROUTER_TIMED_OUT:
		return is_to_blame(k, took_us) ? ROUTER_V_FAILED : ROUTER_V_UNKNOWN;
	case ROUTER_CONNECT:
	case ROUTER_5XX:
		return ROUTER_V_FAILED;
	default:
		return ROUTER_V_UNKNOWN;
	}
}

static void end(struct router_call *k, enum router_status status)
{
	int64_t took = k->now - k->began;
	int code = k->inner.code;
	const char *outcome = status == ROUTER_FAILED ? ch_code_info((enum ch_code)code)->name : router_status_names[status];

	k->ticket = 0;
	k->upstream_us += took;
	if (k->upstream_sum != &k->upstream_us)
		*k->upstream_sum += took;
	router_backend_leave(k->entry->backend, k->pass, judge(k, status, took), k->first_delta ? k->first_delta - k->began : took,
		status == ROUTER_FAILED && router_reason(code) >= 0 ? code : 0, k->now);
	count(k, status, took);
	ch_span_note(k->c, k->span, "outcome", outcome);
	ch_span_end(k->c, k->span, status == ROUTER_DONE);
}

/* How much a failure helps the client: to know that it comes too fast most, that one of our keys is wrong least. */
static int telling(int code)
{
	switch (router_reason(code)) {
	case ROUTER_AUTH:
		return 1;
	case ROUTER_CONNECT:
		return 2;
	case ROUTER_429:
		return code == CH_E_UPSTREAM_RATE_LIMITED ? 4 : 3;
	default:
		return code ? 3 : 0;
	}
}

/* Remembers a failure that another attempt may mend. */
static void failed(struct router_call *k, int reason)
{
	struct router_failure *f = k->last ? ch_alloc(k->c, sizeof(*f)) : &k->failure;
	const struct ch_inference_result *in = &k->inner;

	if (reason == ROUTER_TIMED_OUT || reason == ROUTER_AUTH)
		k->banned[k->entry->backend->index] = true;
	if (telling(in->code) >= telling(k->failed.code)) {
		k->failed = *in;
		k->failed_entry = k->entry;
	}
	if (f && k->last)
		k->last->next = f;
	else if (!f)
		f = k->last; /* no memory: the log will lack one */
	*f = (struct router_failure){ .entry = k->entry, .code = in->code, .status = in->status, .took_us = k->now - k->began,
		.reason = in->reason };
	k->last = f;
}

bool router_attempt_end(struct router_call *k)
{
	int code = k->inner.code, reason = router_reason(code);

	end(k, code ? ROUTER_FAILED : ROUTER_DONE);
	if (!code || reason < 0)
		return true;
	failed(k, reason);
	return k->committed;
}

static void cancel(struct router_call *k)
{
	k->entry->backend->vt->cancel(k->entry->backend->svc, k->c, &k->inner);
}

bool router_attempt_timeout(struct router_call *k)
{
	const char *detail = ch_print(k->c, "%s did not answer within %.1f s.", k->entry->backend->id, (double)(k->now - k->began) / 1e6);

	cancel(k);
	k->inner.code = CH_E_UPSTREAM_TIMEOUT;
	k->inner.detail = detail ? detail : "The backend did not answer in time.";
	k->inner.error = (struct ch_str){ NULL, 0 };
	return router_attempt_end(k);
}

void router_attempt_cancel(struct router_call *k)
{
	cancel(k);
	end(k, ROUTER_CANCELLED);
}

/* ---- its begin ---- */

static int64_t first_of(int64_t a, int64_t b, int64_t c)
{
	return a > 0 ? a : b > 0 ? b : c;
}

/* The less of two stretches of time, where 0 is no limit. */
static int64_t shorter(int64_t a, int64_t b)
{
	return a <= 0 || (b > 0 && b < a) ? b : a;
}

/* Milliseconds until then, at least 1; 0: there is no such time. */
static int64_t until(int64_t then, int64_t now)
{
	return !then ? 0 : then - now < 1000 ? 1 : (then - now) / 1000;
}

/* What this backend is asked. Returns the milliseconds that the attempt has; 0: no limit. */
static int64_t fill(struct router_call *k)
{
	const struct ch_inference_args *a = k->args;
	const struct ch_backend_conf *b = k->entry->backend->conf;
	const struct router_conf *r = k->r->conf;
	struct ch_inference_args *s = &k->sent;
	int64_t patience = until(k->impatient, k->began), *patient; /* of a stream it holds until the first delta */
	int64_t whole; /* what a question has that comes straight here */

	*s = *a;
	s->model = (struct ch_str){ k->entry->model, strlen(k->entry->model) };
	s->rule = k->entry->rule->name;
	s->connect_timeout_ms = first_of(a->connect_timeout_ms, b->connect_timeout, r->connect_timeout);
	s->first_token_timeout_ms = first_of(a->first_token_timeout_ms, b->first_token_timeout, r->first_token_timeout);
	s->idle_timeout_ms = first_of(a->idle_timeout_ms, b->idle_timeout, r->idle_timeout);
	s->timeout_ms = shorter(first_of(k->plan.timeout_ms, b->timeout, r->timeout), a->timeout_ms);
	whole = shorter(s->timeout_ms, k->plan.budget_ms);
	k->fair_us = shorter(FAIR_US, (k->has_sink ? shorter(whole, s->first_token_timeout_ms) : whole) * 1000);
	patient = k->has_sink ? &s->first_token_timeout_ms : &s->timeout_ms;
	k->cut_short = patience && shorter(*patient, patience) != *patient;
	*patient = shorter(*patient, patience);
	s->timeout_ms = shorter(s->timeout_ms, until(k->due, k->began));
	k->cut_short |= s->timeout_ms < whole;
	k->paused = false;
	return s->timeout_ms;
}

/* Of an equal after the first, and of a fallback: why it is asked. */
static void count_way(struct router_call *k)
{
	const struct router_entry *from = k->last ? k->last->entry : &k->plan.equals[0];

	if (!is_equal(k)) {
		ch_add(k->r->fallbacks[from->backend->index * k->r->nbackends + k->entry->backend->index], 1);
		return;
	}
	if (k->on_equals++)
		ch_add(from->backend->series.retries[router_reason(k->last->code)], 1);
	k->tried[k->entry - k->plan.equals] = true;
	k->granted = k->backed_off = false;
}

bool router_attempt(struct router_call *k, ch_resumed on_answer)
{
	const struct router_backend *b = k->entry->backend;
	const struct ch_inference_sink sink = { .size = sizeof(sink), .delta = on_delta, .arg = k };

	k->attempts++;
	k->began = k->now;
	k->inner = (struct ch_inference_result){ .size = sizeof(k->inner) };
	count_way(k);
	k->span = ch_span_begin(k->c, "upstream");
	ch_span_note(k->c, k->span, "backend", b->id);
	ch_span_note(k->c, k->span, "model", k->entry->model);
	k->ticket = ch_suspend(k->c, fill(k), on_answer, k);
	if (!k->ticket) {
		k->inner.code = CH_E_OVERLOADED;
		k->inner.detail = "The server has no memory for this question; try again later.";
		return false;
	}
	int rc = b->vt->submit(b->svc, k->c, &k->sent, k->has_sink ? &sink : NULL, &k->inner, k->ticket);
	if (rc == CH_AGAIN)
		return true;
	k->now = ch_now();
	ch_unsuspend(k->ticket);
	if (rc != CH_OK) {
		k->inner.code = CH_E_UPSTREAM_ERROR;
		k->inner.detail = "The backend's plugin is broken; see the server's log.";
	}
	return false;
}
