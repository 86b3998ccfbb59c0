/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abandon.c - a statement that nobody waits for is cancelled, by a connection of libpq's own to the server, which blocks: in the pool of threads,
 * and for a few at once only, since a server that answers nobody would hold them all. What is not told ends by the server's statement_timeout.
 */
#include "storage_postgres.h"

#define AT_ONCE 2

struct abandon {
	struct pg_pool *pool;
	struct ch_self *self;
	PGcancel *cancel;
};

static void *tell(void *data)
{
	char why[256];

	PQcancel(data, why, sizeof(why));
	return data;
}

static void told(void *data)
{
	PQfreeCancel(data);
}

static int on_told(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	if (why == CH_READY)
		told(result);
	return CH_DONE;
}

/* The place is given back when the thread has taken it up: the pool may go before it has ended. */
static int begin(struct ch_ctx *c, void *data)
{
	struct abandon *a = data;
	ch_ticket ticket = ch_suspend(c, 0, on_told, NULL);
	PGcancel *cancel = a->cancel;
	bool taken = ticket && ch_offload(a->self, tell, cancel, ticket, told);

	free(a);
	if (taken)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	told(cancel);
	return CH_DONE;
}

static void dropped(void *data)
{
	struct abandon *a = data;

	told(a->cancel);
	free(a);
}

void pg_abandon(struct pg_pool *p, PGconn *pg)
{
	int64_t now = ch_now();
	struct abandon *a;

	if (now - p->abandoned_at > 1000000) {
		p->abandoned_at = now;
		p->abandoned = 0;
	}
	if (p->abandoned++ >= AT_ONCE)
		return;
	a = malloc(sizeof(*a));
	if (!a)
		return;
	*a = (struct abandon){ .pool = p, .self = p->self, .cancel = PQgetCancel(pg) };
	if (a->cancel && ch_task(p->self, p->loop, 0, begin, a, dropped))
		return;
	PQfreeCancel(a->cancel);
	free(a);
}
