/* SPDX-License-Identifier: Apache-2.0 */
/* retry.c - the budget of retries that all loops share. A question only counts itself, without a lock; a retry settles what came. */
#include "router.h"

#include <stdlib.h>

#define BANK 10 /* retries that a quiet process may make */

struct router_retry *router_retry_new(double share)
{
	struct router_retry *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	atomic_init(&r->refs, 1);
	ch_retry_budget_init(&r->budget, share, BANK);
	return r;
}

struct router_retry *router_retry_hold(struct router_retry *r, double share)
{
	struct ch_retry_budget fresh;
	ch_retry_budget_init(&fresh, share, BANK);
	pthread_mutex_lock(&r->lock);
	r->budget.share = fresh.share;
	pthread_mutex_unlock(&r->lock);
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void router_retry_put(struct router_retry *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void router_retry_request(struct router_retry *r)
{
	atomic_fetch_add_explicit(&r->requests, 1, memory_order_relaxed);
}

bool router_retry_take(struct router_retry *r)
{
	pthread_mutex_lock(&r->lock);
	uint64_t n = atomic_exchange_explicit(&r->requests, 0, memory_order_relaxed);
	struct ch_retry_budget *b = &r->budget;
	for (; n && b->share && b->left < b->most; n--)
		ch_retry_budget_request(b);
	bool may = ch_retry_budget_take(b);
	pthread_mutex_unlock(&r->lock);
	return may;
}

void router_retry_put_back(struct router_retry *r)
{
	pthread_mutex_lock(&r->lock);
	ch_retry_budget_put_back(&r->budget);
	pthread_mutex_unlock(&r->lock);
}
