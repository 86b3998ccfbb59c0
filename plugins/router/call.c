/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - a question's way: its states, its tickets, its one end.
 *
 * The caller's ticket is the outer one. Whatever the question waits for (a place, time, a backend) has a ticket of ours; at most one of
 * them is out. over() is the only end: it resumes the outer ticket. A function of one of our tickets that comes when all is over finds that
 * out by k->where; the memory is the ctx's and still there.
 */
#include "call.h"

#include "way.h"

/* ---- the way ---- */

static int on_answer(struct ch_ctx *c, void *data, int why, void *result);
static int on_place(struct ch_ctx *c, void *data, int why, void *result);
static int on_time(struct ch_ctx *c, void *data, int why, void *result);

static void over(struct router_call *k, enum router_status status)
{
	k->where = ROUTER_W_OVER;
	k->out->call = NULL;
	router_count(k, status);
	if (k->granted)
		router_retry_put_back(k->r->retry);
	if (k->async)
		ch_resume(k->outer, NULL, NULL);
}

static void answered(struct router_call *k)
{
	router_answered(k);
	over(k, k->out->code ? ROUTER_FAILED : ROUTER_DONE);
}

static void unanswered(struct router_call *k)
{
	router_unanswered(k);
	over(k, ROUTER_FAILED);
}

static void cancelled(struct router_call *k)
{
	router_cancelled(k);
	over(k, ROUTER_CANCELLED);
}

/* k->entry, where it has a place. False: it has failed at once. */
static bool ask(struct router_call *k)
{
	k->where = ROUTER_W_ASKS;
	if (router_attempt(k, on_answer))
		return true;
	k->where = ROUTER_W_GOING;
	if (!router_attempt_end(k))
		return false;
	answered(k);
	return true;
}

static bool back_off(struct router_call *k, int64_t ms)
{
	k->ticket = ch_suspend(k->c, ms > 0 ? ms : 1, on_time, k);
	if (k->ticket)
		k->where = ROUTER_W_BACKS_OFF;
	return k->ticket != 0;
}

/* On, until it waits for something or is over. */
static void go(struct router_call *k)
{
	k->where = ROUTER_W_GOING;
	while (k->where == ROUTER_W_GOING) {
		int64_t ms = 0;
		switch (router_next(k, on_place, &ms)) {
		case ROUTER_N_ASK:
			ask(k);
			break;
		case ROUTER_N_WAIT:
			k->where = ROUTER_W_WAITS;
			break;
		case ROUTER_N_BACK_OFF:
			if (!back_off(k, ms))
				unanswered(k);
			break;
		default:
			unanswered(k);
		}
	}
}

/* ---- our tickets ---- */

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct router_call *k = data;
	bool ended;

	(void)c;
	(void)result;
	if (k->where != ROUTER_W_ASKS)
		return CH_AGAIN;
	k->now = ch_now();
	k->where = ROUTER_W_GOING;
	if (why == CH_GONE) {
		router_attempt_cancel(k);
		cancelled(k);
		return CH_AGAIN;
	}
	ended = why == CH_READY ? router_attempt_end(k) : router_attempt_timeout(k);
	if (ended)
		answered(k);
	else
		go(k);
	return CH_AGAIN;
}

/* Takes our place in the queue back; what hands places out may have come first: then the place comes back by the ticket's drop. */
static void unwait(struct router_call *k)
{
	if (router_backend_unwait(k->waiter))
		ch_unsuspend(k->ticket);
	k->waiter = NULL;
	k->ticket = 0;
}

static int on_place(struct ch_ctx *c, void *data, int why, void *result)
{
	struct router_call *k = data;
	struct router_waiter *w = result;

	(void)c;
	if (k->where != ROUTER_W_WAITS) {
		if (why == CH_READY)
			router_waiter_drop(w);
		return CH_AGAIN;
	}
	k->now = ch_now();
	k->where = ROUTER_W_GOING;
	if (why != CH_READY) {
		unwait(k);
		if (why == CH_GONE)
			cancelled(k);
		else
			unanswered(k);
		return CH_AGAIN;
	}
	k->pass = w->pass;
	if (!k->pass || !ask(k))
		go(k);
	return CH_AGAIN;
}

static int on_time(struct ch_ctx *c, void *data, int why, void *result)
{
	struct router_call *k = data;

	(void)c;
	(void)result;
	k->now = ch_now();
	ch_unsuspend(k->ticket);
	k->ticket = 0;
	if (why == CH_GONE)
		cancelled(k);
	else
		go(k);
	return CH_AGAIN;
}

/* ---- what is provided ---- */

static struct router *router_of(const struct ch_svc *svc)
{
	return svc->self->state;
}

static int refuse(struct ch_inference_result *out, int code, int64_t retry_after_ms, const char *detail)
{
	out->code = code;
	out->retry_after_ms = retry_after_ms;
	out->detail = detail;
	return CH_OK;
}

static int probe(const struct router *r, struct ch_inference_result *out)
{
	int64_t now = ch_now();

	for (size_t i = 0; i < r->nbackends; i++)
		if (router_backend_usable(&r->backends[i], now))
			return CH_OK;
	return refuse(out, CH_E_UPSTREAM_UNAVAILABLE, 1000, "Of all backends none can be asked now.");
}

/* In one piece of the arena: the call, and what it knows of each equal and each backend. NULL: no memory. */
static struct router_call *call_new(struct router *r, struct ch_ctx *c, const struct router_plan *plan)
{
	size_t n = plan->nequals, of_each = sizeof(struct router_candidate) + 2 * sizeof(bool);
	struct router_call *k = ch_alloc(c, sizeof(*k) + n * of_each + r->nbackends * sizeof(bool));

	if (!k)
		return NULL;
	k->equals = (struct router_candidate *)(k + 1);
	k->tried = (bool *)(k->equals + n);
	k->skipped = k->tried + n;
	k->banned = k->skipped + n;
	k->plan = *plan;
	k->mark = k;
	k->r = r;
	k->c = c;
	return k;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
                  struct ch_inference_result *out, ch_ticket ticket)
{
	struct router *r = router_of(svc);
	struct router_plan plan = { 0 };
	int64_t now = ch_now();

	if (args->op == CH_I_MODELS)
		return router_models(r, c, args, out, ticket);
	if (args->op == CH_I_PROBE)
		return probe(r, out);
	if (!router_resolve(r, c, args, &plan, out))
		return CH_OK;
	struct router_call *k = call_new(r, c, &plan);
	int64_t **sum = (int64_t **)ch_slot(r->self, c);
	if (!k)
		return refuse(out, CH_E_OVERLOADED, 1000, "The server has no memory for this question; try again later.");
	if (!*sum)
		*sum = &k->upstream_us;
	k->upstream_sum = *sum;
	k->args = args;
	k->out = out;
	k->outer = ticket;
	k->has_sink = sink != NULL;
	if (sink)
		k->sink = *sink;
	k->now = k->started = now;
	k->impatient = router_sooner(ch_deadline(c), args->budget_ms > 0 ? now + args->budget_ms * 1000 : 0);
	k->due = router_sooner(sink ? ch_deadline(c) : k->impatient, plan.budget_ms > 0 ? now + plan.budget_ms * 1000 : 0);
	out->call = k;
	router_retry_request(r->retry);
	go(k);
	k->async = k->where != ROUTER_W_OVER;
	return k->async ? CH_AGAIN : CH_OK;
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct router_call *k = out->call;

	(void)svc;
	if (!k || !k->mark || k->where != ROUTER_W_ASKS)
		return;
	k->last_delta = ch_now(); /* what the client took is not the backend's */
	k->paused = false;
	k->entry->backend->vt->go_on(k->entry->backend->svc, c, &k->inner);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct router_call *k = out->call;
	enum router_where where;

	if (!k)
		return;
	if (!k->mark) {
		router_models_cancel(router_of(svc), c, out);
		return;
	}
	where = k->where;
	k->now = ch_now();
	k->where = ROUTER_W_GOING;
	if (where == ROUTER_W_ASKS)
		router_attempt_cancel(k);
	else if (where == ROUTER_W_WAITS)
		unwait(k);
	else if (where == ROUTER_W_BACKS_OFF)
		ch_unsuspend(k->ticket);
	cancelled(k);
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	return &router_of(svc)->about;
}

const struct ch_inference_v1 router_inference = { sizeof(router_inference), submit, go_on, cancel, about };

/* ---- at the request's end ---- */

int router_on_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct router *r = self->state;
	const int64_t *upstream_us = *ch_slot(self, c);

	if (upstream_us && ch_is_http(c)) {
		int64_t own = ch_now() - ch_facts(c)->started - *upstream_us;
		ch_observe(r->overhead, own > 0 ? (double)own / 1e6 : 0);
	}
	return CH_OK;
}
