/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abandon.c - the server's process that runs a statement which nobody waits for is ended by another connection of the pool: libpq's own
 * PQcancel blocks, and a server that takes connections and answers none would hold its thread for ever; and a cancel that comes before
 * the statement has begun is lost. Only a few at once; what is not told ends by the server's statement_timeout.
 */
#include "storage_postgres.h"
#include "values.h"

#define AT_ONCE 16
#define PATIENCE 5000000 /* microseconds: behind it the place counts as free */

struct abandon {
	struct pg_sql sql;
	struct pg_statement statement;
	char pid[4];
	const char *value;
	int length;
	Oid type;
};

static void ignore(struct pg_call *call)
{
	call->pool->abandoned--;
}

void pg_abandon(struct pg_pool *p, int pid)
{
	struct abandon *a = p->abandoned < AT_ONCE ? calloc(1, sizeof(*a)) : NULL;
	struct pg_call *call = a ? &a->sql.call : NULL;

	if (!a)
		return;
	p->abandoned++;
	pg_put32(a->pid, (uint32_t)pid);
	a->value = a->pid;
	a->length = 4;
	a->type = PG_INT4;
	pg_statement_init(&a->statement, "SELECT pg_terminate_backend($1)", 1, &a->type, &a->value, &a->length);
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
