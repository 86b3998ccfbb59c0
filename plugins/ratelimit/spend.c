/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spend.c - CALL and CALL_END: model tokens. What a question may need is reserved before it is asked, of the tier, of the endpoint's rule
 * and of the model's, in one take; what it needed is settled when that is known: the rest comes back, or more is charged.
 *
 * On the CALL chain and not on a route, so that work without a client (jobs) pays as well.
 */
#include "spend.h"

/* Roles and what stands around a message. */
#define MESSAGE_TOKENS 4

/* ---- guesses ---- */

static int64_t prompt_of(const struct ch_inference_args *a)
{
	int64_t tokens = 0;

	if (a->op == CH_I_PASS)
		return a->openai ? ratelimit_guess(a->openai->body.n) : 0;
	for (size_t i = 0; i < a->nmessages; i++)
		tokens += ratelimit_guess(a->messages[i].content.n) + (a->op == CH_I_CHAT ? MESSAGE_TOKENS : 0);
	if (a->openai)
		tokens += ratelimit_guess(a->openai->tools_n) + ratelimit_guess(a->openai->format_n);
	return tokens;
}

/* Most that may be said: what the client asks for, else what the config assumes; nothing where no text is made. */
static int64_t answer_of(const struct ratelimit_conf *conf, const struct ch_inference_args *a)
{
	int64_t most = a->max_tokens > 0 ? a->max_tokens : conf->assume_output;

	if (a->op != CH_I_CHAT && a->op != CH_I_COMPLETION)
		return 0;
	if (a->op == CH_I_COMPLETION && a->nmessages > 1 && __builtin_mul_overflow(most, (int64_t)a->nmessages, &most))
		return CH_KV_COUNT_MAX;
	return most > CH_KV_COUNT_MAX / 2 ? CH_KV_COUNT_MAX / 2 : most;
}

/*
 * What is reserved for the answer. One whose length only we assume must not make it too much for a bucket: then it is what the smallest one can
 * hold, and the rest is charged while it is said.
 */
static void cut_answer(struct ratelimit_spend *s, const struct ratelimit_rule *rule)
{
	int64_t burst = rule && rule->at[STORE].tokens.limited ? rule->at[STORE].tokens.burst : INT64_MAX;

	if (s->call->args.max_tokens <= 0 && s->prompt <= burst && s->answer > burst - s->prompt)
		s->answer = burst - s->prompt;
}

/* ---- CALL ---- */

static void count(const struct ratelimit_request *rq, int what, int64_t tokens)
{
	if (tokens > 0)
		ch_add(rq->tier->spent[what], (double)tokens);
}

static bool limits_tokens(const struct ratelimit_take *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->parts[i].unit == TOKENS)
			return true;
	return false;
}

static int on_decided(struct ratelimit_take *t)
{
	struct ratelimit_spend *s = t->rq->spend;
	struct ch_inference_result *out = s->call->out;

	if (t->passes) {
		if (limits_tokens(t) && t->at != NOWHERE) {
			count(t->rq, SPENT_RESERVED, s->prompt + s->answer);
			ratelimit_stream_watch(s);
		}
		return CH_OK;
	}
	struct ratelimit_no no = ratelimit_no(t);

	out->code = no.code;
	out->retry_after_ms = no.retry_after_ms;
	out->detail = no.detail;
	out->type = no.type;
	out->more = no.more;
	return CH_DONE;
}

static int no_memory(struct ch_inference_call *call)
{
	call->out->code = CH_E_OVERLOADED;
	call->out->detail = "No memory is left for this request; try again.";
	return CH_DONE;
}

/*
 * A request is limited here if LIMIT saw it: not on the control socket and the operator's routes. A task works for whoever its facts
 * name; one that works for nobody is the server's own.
 */
static struct ratelimit_request *request_of(struct ch_self *self, struct ch_ctx *c, bool *limited)
{
	struct ratelimit_request *rq = *ch_slot(self, c);
	const struct ch_facts *f = ch_facts(c);

	*limited = rq || (!ch_is_http(c) && ((f->owner && *f->owner) || (f->key && *f->key)));
	return rq || !*limited ? rq : ratelimit_request_new(self, c);
}

/* By the name that the client gave. Who gives none has the standard model, which is known by its answers. */
static const struct ratelimit_rule *rule_of(const struct ratelimit_request *rq, const struct ch_inference_args *a)
{
	const struct ratelimit_state *state = rq->self->state;
	struct ch_str model = a->model.n ? a->model : ratelimit_standard_model(rq->self, rq->c);

	return state->nrules ? ratelimit_rule_by_model(state, model, rq->tier->name) : NULL;
}

static bool has_tokens(const struct ratelimit_rule *rule)
{
	return rule && rule->at[STORE].tokens.limited;
}

int ratelimit_on_call(struct ch_self *self, struct ch_ctx *c)
{
	const struct ratelimit_rule *model;
	struct ch_inference_call *call = ch_inference_call(c);
	struct ratelimit_request *rq;
	struct ratelimit_spend *s;
	struct ratelimit_take *t;
	int64_t cost;
	bool limited;

	if (!call || call->args.op == CH_I_MODELS || call->args.op == CH_I_PROBE)
		return CH_OK;
	rq = request_of(self, c, &limited);
	if (!limited)
		return CH_OK;
	model = rq ? rule_of(rq, &call->args) : NULL;
	if (rq && !model && !has_tokens(rq->tier) && !has_tokens(rq->endpoint))
		return CH_OK;
	t = rq ? ratelimit_take_new(rq, on_decided) : NULL;
	s = t ? ch_alloc(c, sizeof(*s)) : NULL;
	if (!s)
		return no_memory(call);
	*s = (struct ratelimit_spend){ .rq = rq, .call = call, .take = t, .prompt = prompt_of(&call->args) };
	s->answer = answer_of(self->conf, &call->args);
	cut_answer(s, rq->tier);
	cut_answer(s, rq->endpoint);
	cut_answer(s, model);
	cost = s->prompt + s->answer > CH_KV_COUNT_MAX ? CH_KV_COUNT_MAX : s->prompt + s->answer;
	ratelimit_take_add(t, rq->tier, TOKENS, cost);
	ratelimit_take_add(t, rq->endpoint, TOKENS, cost);
	ratelimit_take_add(t, model, TOKENS, cost);
	ratelimit_take_add(t, model, REQUESTS, 1);
	ratelimit_take_add(t, model, CONCURRENT, 0);
	if (!t->n)
		return CH_OK;
	rq->spend = s;
	rq->reserved = t;
	rq->unpaid = 0;
	return ratelimit_take_decide(t);
}

/* ---- CALL_END ---- */

/* What it used. A backend's word counts for more than our guess, but not of an answer that broke off: then whichever is more. */
static int64_t used(const struct ratelimit_spend *s)
{
	const struct ch_inference_result *out = s->call->out;
	uint64_t told = out->tokens_in + out->tokens_out;
	int64_t known = told > (uint64_t)CH_KV_COUNT_MAX ? CH_KV_COUNT_MAX : (int64_t)told;
	int64_t text = ratelimit_guess(out->text.n) + ratelimit_guess(out->tool_calls.n);

	if (s->call->answered) /* by a hook, of a cache for instance: what that says of it */
		return known;
	if (out->code && !s->produced)
		return 0;
	if (out->code)
		return known > s->prompt + s->produced ? known : s->prompt + s->produced;
	return known ? known : s->prompt + (s->produced > text ? s->produced : text);
}

static void settle(struct ratelimit_spend *s)
{
	int64_t need = used(s), reserved = s->prompt + s->answer;
	int64_t charged = s->charged + (s->charging ? s->step : 0); /* one that is out arrives */

	for (size_t i = 0; i < s->take->n; i++)
		if (s->take->parts[i].unit == TOKENS)
			ratelimit_take_settle(s->take, i, need - s->take->parts[i].cost - charged);
	if (!limits_tokens(s->take) || s->take->at == NOWHERE)
		return;
	count(s->rq, SPENT_MORE, need - reserved);
	count(s->rq, SPENT_RETURNED, reserved - need);
}

/* A stream that was cut says why, in place of whatever the backend says of being given up. */
static void explain(struct ratelimit_spend *s)
{
	struct ch_inference_result *out = s->call->out;

	if (!s->cut || !out->code)
		return;
	out->code = CH_E_RATE_LIMITED;
	out->retry_after_ms = 0;
	out->error = (struct ch_str){ NULL, 0 };
	out->detail = "The limit of tokens is used up, and this answer has taken more than was reserved for it: ask for its length by "
		      "max_tokens, or wait for the limit to fill.";
}

int ratelimit_on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	struct ratelimit_request *rq = *ch_slot(self, c);
	struct ratelimit_spend *s = rq ? rq->spend : NULL;
	struct ch_inference_call *call = rq ? ch_inference_call(c) : NULL;

	if (call && !call->args.model.n && call->out->model && !call->answered)
		ratelimit_standard_model_is(self, c, call->out->model);
	if (!s || s->call != call)
		return CH_OK;
	s->ended = true;
	rq->spend = NULL;
	if (s->take->decided && s->take->passes) {
		settle(s);
		rq->unpaid = used(s) ? 0 : s->prompt;
	}
	explain(s);
	ratelimit_take_leave(s->take);
	return CH_OK;
}

/* Whether a question failed or its client left is known only now. The backend has worked for one who left: else all of that were free. */
void ratelimit_spend_left(struct ratelimit_request *rq)
{
	if (!rq->unpaid || ch_facts(rq->c)->status != 499)
		return;
	for (size_t i = 0; i < rq->reserved->n; i++)
		if (rq->reserved->parts[i].unit == TOKENS)
			ratelimit_take_settle(rq->reserved, i, rq->unpaid);
	if (limits_tokens(rq->reserved) && rq->reserved->at != NOWHERE)
		count(rq, SPENT_MORE, rq->unpaid);
}
