/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - LIMIT and END: how many requests, and how many at a time. One take for all of it: one round trip, all or nothing. */
#include "ratelimit.h"

static int on_decided(struct ratelimit_take *t)
{
	if (t->passes)
		return CH_OK;
	return ratelimit_refuse(t);
}

/*
 * Only what is for clients is limited. Probes and documents (OPEN) ask nobody; who may use OPS and ADMIN routes is the operator, whom no
 * quota may keep out.
 */
int ratelimit_on_limit(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_route *route = ch_route(c);
	struct ratelimit_request *rq;
	struct ratelimit_take *t;

	if (!route || route->cls != CH_PUBLIC)
		return CH_OK;
	rq = ratelimit_request_new(self, c);
	t = rq ? ratelimit_take_new(rq, on_decided) : NULL;
	if (!t)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "No memory is left for this request; try again.");
	ch_add(rq->tier->requests, 1);
	ratelimit_take_add(t, rq->tier, REQUESTS, 1);
	ratelimit_take_add(t, rq->tier, CONCURRENT, 0);
	ratelimit_take_add(t, rq->endpoint, REQUESTS, 1);
	ratelimit_take_add(t, rq->endpoint, CONCURRENT, 0);
	if (!t->n)
		return CH_OK;
	rq->entry = t;
	return ratelimit_take_decide(t);
}

int ratelimit_on_end(struct ch_self *self, struct ch_ctx *c)
{
	struct ratelimit_request *rq = *ch_slot(self, c);

	if (rq)
		ratelimit_spend_left(rq);
	if (rq && rq->entry)
		ratelimit_take_leave(rq->entry);
	return CH_OK;
}
