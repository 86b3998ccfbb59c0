/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement.c - statements that a connection has prepared, known by text and types. Past PG_PREPARED_MAX the one that was not used for
 * longest is given back; a batch with more statements than that sends the rest unprepared.
 */
#include <stdio.h>

#include "storage_postgres.h"
#include "values.h"

static bool same(const struct pg_prepared *p, const struct pg_statement *s)
{
	return p->hash == s->hash && p->n == s->n && p->nvalues == s->nvalues && !memcmp(p->text, s->text, s->n) &&
	       (!s->nvalues || !memcmp(p->types, s->types, (size_t)s->nvalues * sizeof(Oid)));
}

static struct pg_prepared *find(struct pg_conn *conn, const struct pg_statement *s)
{
	struct pg_prepared *p = conn->buckets[s->hash % PG_PREPARED_MAX];

	while (p && !same(p, s))
		p = p->next;
	return p;
}

static void forget(struct pg_conn *conn, struct pg_prepared *p)
{
	struct pg_prepared **at = &conn->buckets[p->hash % PG_PREPARED_MAX];

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	pg_unlink(&p->link);
	conn->nprepared--;
	free(p->types);
	free(p);
}

/* Room for one more; false: none, or the connection is lost (which shows later). */
static bool make_room(struct pg_conn *conn, const struct pg_call *call)
{
	struct pg_prepared *oldest = PG_OF(conn->prepared.prev, struct pg_prepared, link);
	char text[64];

	if (conn->nprepared < PG_PREPARED_MAX)
		return true;
	if (oldest->used == call->began || !oldest->ready)
		return false;
	snprintf(text, sizeof(text), "DEALLOCATE %s", oldest->name);
	if (!pg_conn_expect(conn, PG_OP_PLAIN, 0, NULL) || !PQsendQueryParams(conn->pg, text, 0, NULL, NULL, NULL, NULL, 1))
		return false;
	forget(conn, oldest);
	return true;
}

static struct pg_prepared *add(struct pg_conn *conn, const struct pg_statement *s)
{
	struct pg_prepared *p = calloc(1, sizeof(*p) + s->n + 1), **at = &conn->buckets[s->hash % PG_PREPARED_MAX];

	if (!p)
		return NULL;
	p->types = malloc((size_t)s->nvalues * sizeof(Oid) + 1);
	if (!p->types) {
		free(p);
		return NULL;
	}
	if (s->nvalues)
		memcpy(p->types, s->types, (size_t)s->nvalues * sizeof(Oid));
	memcpy(p->text, s->text, s->n);
	p->n = s->n;
	p->nvalues = s->nvalues;
	p->hash = s->hash;
	snprintf(p->name, sizeof(p->name), "c%llu", (unsigned long long)++conn->names);
	ch_db_statement_init(conn->pool->self, p->text, p->n, &p->series);
	p->next = *at;
	*at = p;
	pg_link_first(&conn->prepared, &p->link);
	conn->nprepared++;
	return p;
}

bool pg_statement_send(struct pg_conn *conn, struct pg_call *call, size_t i, const struct pg_statement *s)
{
	struct pg_prepared *p = find(conn, s);
	int formats[CH_SQL_VALUES_MAX + 1];

	for (int k = 0; k < s->nvalues; k++)
		formats[k] = 1;
	if (!p && make_room(conn, call)) {
		p = add(conn, s);
		if (!p || !pg_conn_expect(conn, PG_OP_PREPARE, i, p) || !PQsendPrepare(conn->pg, p->name, p->text, s->nvalues, p->types))
			return false;
	}
	if (!pg_conn_expect(conn, PG_OP_EXECUTE, i, p))
		return false;
	if (!p)
		return PQsendQueryParams(conn->pg, s->text, s->nvalues, s->types, s->values, s->lengths, formats, 1);
	p->used = call->began;
	pg_unlink(&p->link);
	pg_link_first(&conn->prepared, &p->link);
	return PQsendQueryPrepared(conn->pg, p->name, s->nvalues, s->values, s->lengths, formats, 1);
}

void pg_statement_settle(struct pg_conn *conn)
{
	for (struct pg_link *l = conn->prepared.next, *after; l != &conn->prepared; l = after) {
		struct pg_prepared *p = PG_OF(l, struct pg_prepared, link);

		after = l->next;
		if (p->ready)
			return; /* what is new stands first */
		forget(conn, p);
	}
}

void pg_statement_forget_all(struct pg_conn *conn)
{
	while (pg_linked(&conn->prepared))
		forget(conn, PG_OF(conn->prepared.next, struct pg_prepared, link));
}
