/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spend_stream.c - a stream may say more than was reserved for it, because nobody knows before how long it gets. What it says beyond that
 * is charged while it flows, in steps. One that is stream_overshoot tokens over its reservation while a bucket is in debt is ended: so
 * what a client gets beyond his limit by a stream is bounded by that, one step, and what flows while a store answers.
 */
#include "spend.h"

#define STEPS 8                           /* of which the overshoot is made */

/* Is less than nothing there? Then it takes longer to fill than an empty one. */
static bool in_debt(const struct ratelimit_shape *s, const struct ch_kv_level *level)
{
	return level && !level->left && s->count && level->full_ms > (s->burst * s->period_ms + s->count - 1) / s->count;
}

static bool any_in_debt(const struct ratelimit_spend *s)
{
	size_t k = 0;

	for (size_t i = 0; i < s->take->n; i++) {
		if (s->take->parts[i].unit != TOKENS)
			continue;
		if (in_debt(ratelimit_shape_of(s->take, i), ch_kv_level_at(&s->out, k++)))
			return true;
	}
	return false;
}

static int64_t over(const struct ratelimit_spend *s)
{
	return s->produced - s->answer;
}

/* A charge is done, or not: a store that is away meanwhile is no reason to end a stream. */
static void charged(struct ratelimit_spend *s)
{
	const struct ratelimit_conf *conf = s->rq->self->conf;
	struct ch_inference_call *call = s->call;

	s->charging = false;
	if (s->out.error)
		return;
	s->charged += s->step;
	if (s->ended || s->cut || over(s) <= conf->stream_overshoot || !any_in_debt(s))
		return;
	s->cut = true;
	((const struct ch_inference_v1 *)call->svc->vt)->cancel(call->svc, s->rq->c, call->out);
}

static const struct ch_svc *store_of(const struct ratelimit_spend *s)
{
	const struct ratelimit_state *state = s->rq->self->state;

	return state->stores[s->take->at];
}

static int on_charged(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ratelimit_spend *s = data;
	const struct ch_svc *svc = store_of(s);

	(void)result;
	if (why == CH_READY) {
		charged(s);
	} else {
		((const struct ch_kv_v1 *)svc->vt)->cancel(svc, c, &s->out);
		s->charging = s->out.error != CH_KV_CANCELLED; /* else it did not happen, and CALL_END charges it */
	}
	return CH_AGAIN; /* the question goes on: its own ticket is out */
}

static void charge(struct ratelimit_spend *s)
{
	const struct ch_svc *svc = store_of(s);
	struct ch_kv_take_args args = { .size = sizeof(args), .buckets = { s->buckets, 0, sizeof(s->buckets[0]) } };
	int rc;

	s->step = over(s) - s->charged;
	for (size_t i = 0; i < s->take->n; i++) {
		if (s->take->parts[i].unit != TOKENS)
			continue;
		s->buckets[args.buckets.n] = s->take->buckets[i];
		s->buckets[args.buckets.n++].cost = s->step;
	}
	s->out = (struct ch_kv_result){ .size = sizeof(s->out) };
	s->ticket = ch_suspend(s->rq->c, 0, on_charged, s);
	if (!s->ticket)
		return;
	s->charging = true;
	rc = ((const struct ch_kv_v1 *)svc->vt)->settle(svc, s->rq->c, &args, &s->out, s->ticket);
	if (rc == CH_AGAIN)
		return;
	ch_unsuspend(s->ticket);
	if (rc != CH_OK)
		s->out.error = CH_KV_UNAVAILABLE;
	charged(s);
}

/* A piece without text is a chunk of OpenAI's dialect, which holds a token as a rule. */
static int64_t tokens_of(const struct ch_inference_delta *d)
{
	int64_t tokens = ratelimit_guess(d->text.n) + ratelimit_guess(d->tool_calls.n);

	return tokens || !d->frame.n ? tokens : 1;
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct ratelimit_spend *s = arg;
	const struct ratelimit_conf *conf = s->rq->self->conf;
	int64_t step = conf->stream_overshoot / STEPS + 1;
	int rc;

	if (s->cut)
		return CH_AGAIN;
	s->produced += tokens_of(d);
	rc = s->sink.delta(c, s->sink.arg, d);
	if (!s->charging && over(s) - s->charged >= step)
		charge(s);
	return rc;
}

void ratelimit_stream_watch(struct ratelimit_spend *s)
{
	struct ch_inference_call *call = s->call;

	if (!call->sink.delta)
		return;
	s->sink = call->sink;
	call->sink = (struct ch_inference_sink){ .size = sizeof(call->sink), .delta = on_delta, .arg = s };
}
