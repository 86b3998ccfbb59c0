/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c - rows by binary COPY, the fastest way into a table: encoded in pieces as the socket takes them, so that a batch needs no memory
 * of its own. libpq knows no COPY inside of a pipeline, so the connection leaves it for that long.
 *
 * A row that is there already ends the COPY; so does a column of another type than ours (binary COPY casts nothing). Then, and when a
 * batch is sent again, the same rows go as one INSERT from arrays that passes over what is there.
 */
#include <stdio.h>

#include "storage_postgres.h"
#include "values.h"

#define PIECES 8                   /* of PG_SCRATCH bytes at a time: then others have their turn */
#define STATEMENT_MOST ((size_t)256 << 20)

enum { ASKED, SENDING, WAITING };

/* ---- texts ---- */

static size_t names(char *text, size_t n, const struct ch_relation *t, const char *before)
{
	for (size_t i = 0; i < t->columns.n; i++)
		n += (size_t)sprintf(text + n, "%s%s\"%s\"", i ? ", " : "", before, ch_column_at(t, i)->name);
	return n;
}

void pg_copy_text(const struct ch_relation *t, char *text)
{
	size_t n = (size_t)sprintf(text, "COPY \"%s\" (", t->name);

	n = names(text, n, t, "");
	sprintf(text + n, ", batch_id) FROM STDIN (FORMAT binary)");
}

static void insert_text(const struct ch_relation *t, char *text)
{
	size_t n = (size_t)sprintf(text, "INSERT INTO \"%s\" (", t->name), columns = t->columns.n;

	n = names(text, n, t, "");
	n += (size_t)sprintf(text + n, ", batch_id) SELECT ");
	n = names(text, n, t, "r.");
	n += (size_t)sprintf(text + n, ", $%zu FROM unnest(", columns + 1);
	for (size_t i = 0; i < columns; i++)
		n += (size_t)sprintf(text + n, "%s$%zu", i ? ", " : "", i + 1);
	n += (size_t)sprintf(text + n, ") AS r(");
	n = names(text, n, t, "");
	sprintf(text + n, ") ON CONFLICT (row_id) DO NOTHING");
}

/* ---- COPY ---- */

static bool put(struct pg_conn *conn, const char *p, size_t n)
{
	return !n || PQputCopyData(conn->pg, p, (int)n) > 0;
}

/* As many rows as fit into the scratch; what is large goes past it. false: the connection is lost. */
static bool piece(struct pg_append *a, struct pg_conn *conn)
{
	char *scratch = conn->pool->scratch, *at = scratch, *end = scratch + PG_SCRATCH;
	const struct ch_value *v = a->values + a->row * a->ncolumns + a->column;

	for (; a->row < a->nrows; a->row++) {
		if (!a->column) {
			if (end - at < 128) /* the first column must follow, or the count would be written twice */
				break;
			at = pg_put16(at, (uint16_t)(a->ncolumns + 1));
		}
		for (; a->column < a->ncolumns; a->column++, v++) {
			const char *p = NULL;
			char room[PG_VALUE_MAX];
			size_t n = v->null ? 0 : pg_encode(v, room, &p);

			if (end - at < 64)
				return put(conn, scratch, (size_t)(at - scratch));
			at = pg_put32(at, v->null ? UINT32_MAX : (uint32_t)n);
			if ((size_t)(end - at) >= n + 64) {
				if (n)
					memcpy(at, p, n);
				at += n;
				continue;
			}
			if (!put(conn, scratch, (size_t)(at - scratch)) || !put(conn, p, n))
				return false;
			at = scratch;
		}
		at = pg_put32(at, 16);
		memcpy(at, a->batch_id, 16);
		at += 16;
		a->column = 0;
	}
	return put(conn, scratch, (size_t)(at - scratch));
}

static bool send_rows(struct pg_append *a, struct pg_conn *conn)
{
	static const char trailer[2] = { (char)0xff, (char)0xff };

	for (int i = 0; i < PIECES && a->row < a->nrows; i++) {
		int rc;

		if (!piece(a, conn))
			return false;
		rc = PQflush(conn->pg);
		if (rc)
			return rc > 0 && pg_conn_flush(conn);
	}
	if (a->row < a->nrows)
		return pg_conn_wake(conn);
	a->phase = WAITING;
	a->sql.call.sent = true;
	return put(conn, trailer, sizeof(trailer)) && PQputCopyEnd(conn->pg, NULL) > 0 && pg_conn_flush(conn);
}

static bool began(struct pg_append *a, struct pg_conn *conn)
{
	static const char header[19] = "PGCOPY\n\377\r\n";

	a->phase = SENDING;
	a->row = a->column = 0;
	return put(conn, header, sizeof(header)) && send_rows(a, conn);
}

/* All is said. false: the connection is of no use. */
static bool over(struct pg_append *a, struct pg_conn *conn)
{
	struct pg_call *call = &a->sql.call;

	if (!PQenterPipelineMode(conn->pg))
		return false;
	if (!strcmp(call->sqlstate, "23505") || !strcmp(call->sqlstate, "22P03")) {
		if (!pg_append_again(a)) {
			pg_conn_done(conn, CH_SQL_NO_MEMORY, "No memory is left to pass over the rows that are there already.");
			return true;
		}
		call->error = 0;
		call->sent = false;
		call->row = 0;
		*call->detail = *call->constraint = *call->sqlstate = 0;
		call->work = &pg_sql_work;
		return call->work->begin(call, conn) && pg_conn_flush(conn);
	}
	ch_db_ran(&a->series, ch_now() - a->sql.last);
	pg_conn_done(conn, call->error, NULL);
	return true;
}

static bool moved(struct pg_call *call, struct pg_conn *conn)
{
	struct pg_append *a = PG_OF(call, struct pg_append, sql.call);

	if (a->phase == SENDING)
		return send_rows(a, conn);
	if (!pg_conn_flush(conn))
		return false;
	while (!PQisBusy(conn->pg)) {
		PGresult *r = PQgetResult(conn->pg);
		ExecStatusType status = r ? PQresultStatus(r) : PGRES_EMPTY_QUERY;

		if (!r)
			return PQstatus(conn->pg) == CONNECTION_OK && over(a, conn);
		if (status == PGRES_FATAL_ERROR)
			pg_call_note(call, conn, 0, r);
		if (status == PGRES_COMMAND_OK)
			a->rows = strtoull(PQcmdTuples(r), NULL, 10);
		PQclear(r);
		if (status == PGRES_COPY_IN)
			return began(a, conn);
	}
	return true;
}

static bool begin(struct pg_call *call, struct pg_conn *conn)
{
	struct pg_append *a = PG_OF(call, struct pg_append, sql.call);

	a->phase = ASKED;
	a->sql.last = ch_now();
	call->sent = false;
	return PQexitPipelineMode(conn->pg) && PQsendQuery(conn->pg, a->copy);
}

const struct pg_work pg_copy_work = { .begin = begin, .moved = moved };

/* ---- INSERT from arrays ---- */

/* Bytes of one column's array: a head of 20, a length before each element. */
static size_t array_size(const struct pg_append *a, size_t column)
{
	size_t n = 20 + 4 * a->nrows;

	for (size_t i = 0; i < a->nrows; i++) {
		const struct ch_value *v = &a->values[i * a->ncolumns + column];
		const char *p;
		char room[PG_VALUE_MAX];

		n += v->null ? 0 : pg_encode(v, room, &p);
	}
	return n;
}

static char *array(const struct pg_append *a, size_t column, char *at)
{
	char *nulls;

	at = pg_put32(at, 1); /* dimensions */
	nulls = at;
	at = pg_put32(at, 0);
	at = pg_put32(at, pg_type_of(ch_column_at(a->table, column)->type));
	at = pg_put32(at, (uint32_t)a->nrows);
	at = pg_put32(at, 1); /* the first index */
	for (size_t i = 0; i < a->nrows; i++) {
		const struct ch_value *v = &a->values[i * a->ncolumns + column];
		const char *p = NULL;
		char room[PG_VALUE_MAX];
		size_t n = v->null ? 0 : pg_encode(v, room, &p);

		at = pg_put32(at, v->null ? UINT32_MAX : (uint32_t)n);
		if (v->null)
			pg_put32(nulls, 1);
		else if (n)
			memcpy(at, p, n);
		at += n;
	}
	return at;
}

bool pg_append_again(struct pg_append *a)
{
	size_t n = a->ncolumns + 1, bytes = 0;
	struct memory {
		const char *values[CH_SQL_VALUES_MAX];
		int lengths[CH_SQL_VALUES_MAX];
		Oid types[CH_SQL_VALUES_MAX];
		char text[PG_COPY_TEXT_MAX * 3];
		char bytes[];
	} *m;
	char *at;

	for (size_t i = 0; i < a->ncolumns; i++)
		bytes += array_size(a, i);
	m = bytes <= STATEMENT_MOST ? malloc(sizeof(*m) + bytes) : NULL;
	if (!m)
		return false;
	at = m->bytes;
	for (size_t i = 0; i < a->ncolumns; i++) {
		m->values[i] = at;
		at = array(a, i, at);
		m->lengths[i] = (int)(at - m->values[i]);
		m->types[i] = pg_array_of(ch_column_at(a->table, i)->type);
	}
	m->values[n - 1] = (const char *)a->batch_id;
	m->lengths[n - 1] = 16;
	m->types[n - 1] = PG_UUID;
	insert_text(a->table, m->text);
	pg_statement_init(&a->statement, m->text, (int)n, m->types, m->values, m->lengths);
	a->sql.statements = &a->statement;
	a->sql.n = 1;
	a->sql.memory = m;
	return true;
}
