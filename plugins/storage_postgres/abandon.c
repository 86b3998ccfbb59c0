/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abandon.c - the server's process that runs a statement which nobody waits for is ended by another connection of the pool: libpq's own
 * PQcancel blocks, and a server that takes connections and answers none would hold its thread for ever; and a cancel that comes before
 * the statement has begun is lost. Only a few at once; what is not told ends by the server's statement_timeout.
 *
 * The other connection may lead to another server by now (several hosts, a failover), where the same number is somebody else's: so the
 * process must have begun when the abandoned one did, too.
 */
#include "storage_postgres.h"
#include "values.h"

#define AT_ONCE 16
#define PATIENCE 5000000 /* microseconds: behind it the place counts as free */

struct abandon {
	struct pg_sql sql;
	struct pg_statement statement;
	char pid[4], session[8];
	const char *values[2];
	int lengths[2];
};

static void ignore(struct pg_call *call)
{
	call->pool->abandoned--;
}

void pg_abandon(struct pg_pool *p, int pid, const char session[8])
{
	static const Oid types[2] = { PG_INT4, PG_TIMESTAMPTZ };
	struct abandon *a = p->abandoned < AT_ONCE ? calloc(1, sizeof(*a)) : NULL;
	struct pg_call *call = a ? &a->sql.call : NULL;

	if (!a)
		return;
	p->abandoned++;
	pg_put32(a->pid, (uint32_t)pid);
	memcpy(a->session, session, sizeof(a->session));
	a->values[0] = a->pid;
	a->values[1] = a->session;
	a->lengths[0] = sizeof(a->pid);
	a->lengths[1] = sizeof(a->session);
	pg_statement_init(&a->statement, "SELECT pg_terminate_backend($1) FROM pg_stat_get_activity($1) WHERE backend_start = $2", 2, types,
		a->values, a->lengths);
	a->sql.statements = &a->statement;
	a->sql.n = 1;
	a->sql.max_bytes = 1024;
	atomic_init(&call->refs, 1);
	call->self = p->self;
	call->loop = p->loop;
	call->pool = p;
	call->answer = ignore;
	call->dispose = pg_sql_dispose;
	call->work = &pg_sql_work;
	call->reads = true;
	call->began = ch_now();
	call->until = call->began + PATIENCE;
	pg_link_init(&call->link);
	pg_pool_submit(p, call);
}
