/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - the addresses of a connection string's hosts, one after the other, asked for in a task: a resolver that hangs holds nobody's
 * ctx and no loop.
 */
#include <stdio.h>

#include "dsn.h"
#include "storage_postgres.h"

struct pg_lookup {
	struct pg_conn *conn;          /* NULL: it has given up */
	struct ch_self *self;
	PQconninfoOption *dsn;
	struct ch_str hosts[PG_HOSTS_MAX];
	struct ch_addrs *addrs[PG_HOSTS_MAX]; /* in the task's arena */
	size_t n, i, found, asked;
	char why[PG_WHY_MAX];
};

static void end(struct pg_lookup *lk)
{
	struct pg_conn *conn = lk->conn;

	if (conn) {
		conn->lookup = NULL;
		if (lk->found)
			pg_conn_dial(conn, lk->dsn, lk->addrs);
		else
			pg_conn_failed(conn, "", lk->why);
	}
	pg_dsn_free(lk->dsn);
	free(lk);
}

static int step(struct ch_ctx *c, struct pg_lookup *lk);

static void heard(struct pg_lookup *lk)
{
	const struct ch_addrs *a = lk->addrs[lk->i];

	if (a && !a->error && a->n)
		lk->found++;
	else
		snprintf(lk->why, sizeof(lk->why), "The host %.*s of dsn cannot be found: %s; correct its name, or the resolver.",
		         (int)lk->hosts[lk->i].n, lk->hosts[lk->i].p, a && a->error ? a->error : "it has no address");
	lk->i++;
}

static int on_resolved(struct ch_ctx *c, void *data, int why, void *result)
{
	struct pg_lookup *lk = data;

	(void)result;
	if (why == CH_READY) {
		heard(lk);
		return step(c, lk);
	}
	lk->found = 0;
	snprintf(lk->why, sizeof(lk->why), "The server is about to stop.");
	end(lk);
	return CH_DONE;
}

static int step(struct ch_ctx *c, struct pg_lookup *lk)
{
	for (; lk->i < lk->n && lk->conn; heard(lk)) {
		struct ch_addrs *a;
		ch_ticket ticket;
		char *name;
		int rc;

		while (lk->i < lk->n && !lk->hosts[lk->i].n) { /* an address, or a socket's path */
			lk->i++;
			lk->found++;
		}
		if (lk->i == lk->n)
			break;
		a = ch_alloc(c, sizeof(*a));
		name = ch_dup(c, lk->hosts[lk->i].p, lk->hosts[lk->i].n);
		ticket = a && name ? ch_suspend(c, 0, on_resolved, lk) : 0;
		if (!ticket)
			continue;
		a->size = sizeof(*a);
		lk->addrs[lk->i] = a;
		rc = ch_resolve(lk->self, name, a, ticket);
		if (rc == CH_AGAIN)
			return CH_AGAIN;
		ch_unsuspend(ticket);
		if (rc == CH_ERROR)
			a->error = "the pool that asks for names is full";
	}
	end(lk);
	return CH_DONE;
}

static int begin(struct ch_ctx *c, void *data)
{
	return step(c, data);
}

static void dropped(void *data)
{
	struct pg_lookup *lk = data;

	/* On the house loop, or behind its end. The connection is given up by connect_timeout. */
	if (lk->conn)
		pg_lookup_forget(lk->conn);
	end(lk);
}

bool pg_lookup(struct pg_conn *conn)
{
	struct pg_lookup *lk = calloc(1, sizeof(*lk));

	if (!lk)
		return false;
	lk->conn = conn;
	lk->self = conn->pool->self;
	lk->dsn = pg_dsn_parse(conn->pool->conf->dsn);
	lk->n = lk->dsn ? pg_dsn_hosts(lk->dsn, lk->hosts) : 0;
	for (size_t i = 0; i < lk->n; i++)
		lk->asked += lk->hosts[i].n > 0;
	if (lk->n && !lk->asked) {
		pg_conn_dial(conn, lk->dsn, lk->addrs);
		pg_dsn_free(lk->dsn);
		free(lk);
		return true;
	}
	if (!lk->n || !ch_task(lk->self, conn->pool->loop, 0, begin, lk, dropped)) {
		pg_dsn_free(lk->dsn);
		free(lk);
		return false;
	}
	conn->lookup = lk;
	return true;
}

void pg_lookup_forget(struct pg_conn *conn)
{
	if (conn->lookup)
		conn->lookup->conn = NULL;
	conn->lookup = NULL;
}
