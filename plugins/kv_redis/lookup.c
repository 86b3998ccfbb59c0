/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - the address of a host name, asked for in a task: a resolver that hangs holds no loop. */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/net.h>

#include "kv_redis.h"

struct kr_lookup {
	atomic_int owners;                /* the lane, and the task */
	struct kr_lane *lane;             /* NULL: nobody waits any more */
	kr_found *found;
	struct ch_self *self;
	struct ch_addrs *addrs;
	int port;
	char host[KR_HOST_MAX + 1];
};

static void leave(void *data)
{
	struct kr_lookup *lk = data;

	if (atomic_fetch_sub(&lk->owners, 1) == 1)
		free(lk);
}

static void end(struct kr_lookup *lk)
{
	struct kr_lane *lane = lk->lane;
	const struct ch_addrs *a = lk->addrs;

	if (lane) {
		lane->lookup = NULL;
		if (a && !a->error && a->n)
			lk->found(lane, a->v[lane->tries++ % a->n], lk->port, NULL);
		else
			lk->found(lane, NULL, lk->port, a && a->error ? a->error : "it has no address");
		leave(lk);
	}
	leave(lk);
}

static int on_resolved(struct ch_ctx *c, void *data, int why, void *result)
{
	struct kr_lookup *lk = data;

	(void)c, (void)result;
	if (why != CH_READY)
		lk->addrs = NULL;
	end(lk);
	return CH_DONE;
}

static int begin(struct ch_ctx *c, void *data)
{
	struct kr_lookup *lk = data;
	struct ch_addrs *addrs = lk->lane ? ch_alloc(c, sizeof(*addrs)) : NULL;
	ch_ticket ticket = addrs ? ch_suspend(c, 0, on_resolved, lk) : 0;
	int rc;

	if (ticket) {
		addrs->size = sizeof(*addrs);
		lk->addrs = addrs;
		rc = ch_resolve(lk->self, lk->host, addrs, ticket);
		if (rc == CH_AGAIN)
			return CH_AGAIN;
		ch_unsuspend(ticket);
		if (rc == CH_ERROR)
			addrs->error = "the pool that asks for names is full";
	}
	end(lk);
	return CH_DONE;
}

/*
 * dropped, in place of begin: the config is replaced, or memory is out. Perhaps on another thread, so that the lane is not touched:
 * connect_timeout ends its wait.
 */
bool kr_lookup(struct kr_lane *lane, const char *host, int port, kr_found *found)
{
	struct in6_addr numeric;
	struct kr_lookup *lk;

	if (ch_addr_read(host, strlen(host), &numeric)) {
		found(lane, host, port, NULL);
		return true;
	}
	lk = calloc(1, sizeof(*lk));
	if (!lk)
		return false;
	atomic_init(&lk->owners, 2);
	lk->lane = lane;
	lk->self = lane->l->self;
	lk->port = port;
	lk->found = found;
	snprintf(lk->host, sizeof(lk->host), "%s", host);
	lane->lookup = lk;
	if (ch_task(lk->self, lane->l->loop, 0, begin, lk, leave))
		return true;
	lane->lookup = NULL;
	free(lk);
	return false;
}

void kr_lookup_forget(struct kr_lane *lane)
{
	struct kr_lookup *lk = lane->lookup;

	if (!lk)
		return;
	lane->lookup = NULL;
	lk->lane = NULL;
	leave(lk);
}
