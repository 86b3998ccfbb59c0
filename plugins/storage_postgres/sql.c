/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql.c - sql/1: the statements of a call go out in one piece. What lies between two Syncs is one transaction to PostgreSQL, so a batch
 * needs no BEGIN. Where something that writes demands a row count, or gives rows (which may be more than max_bytes), the answers are
 * looked at before COMMIT is sent (BEGIN … with a Flush in place of the Sync, then COMMIT or ROLLBACK): one round trip more, and the only
 * way that holds for any statement.
 *
 * A call may have happened from the moment that its Sync, or its COMMIT, is sent.
 */
#include <stdio.h>
#include <strings.h>

#include "errors.h"
#include "storage_postgres.h"
#include "values.h"

#define MAX_BYTES ((size_t)8 << 20)
#define ROW_VALUES 64 /* a row of so many columns needs no memory of its own */

/* ---- what is sent ---- */

/* Where the first word stands: behind blanks, comments and brackets. */
static const char *first_word(const char *p)
{
	for (;;) {
		const char *end;

		p += strspn(p, " \t\r\n\f\v(");
		if (!strncmp(p, "--", 2))
			p += strcspn(p, "\n");
		else if (!strncmp(p, "/*", 2) && (end = strstr(p + 2, "*/")))
			p = end + 2;
		else
			return p;
	}
}

static bool begins(const char *text, const char *const *words)
{
	const char *p = first_word(text);
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");

	for (; *words; words++)
		if (strlen(*words) == n && !strncasecmp(p, *words, n))
			return true;
	return false;
}

/* These change nothing; WITH may. */
static bool reads(const char *text)
{
	static const char *const words[] = { "select", "values", NULL };

	return begins(text, words);
}

/* Of the dialect: BEGIN, COMMIT and the like would tear a batch apart. */
static bool allowed(const char *text)
{
	static const char *const words[] = { "select", "insert", "update", "delete", "with", "values", NULL };

	return begins(text, words);
}

void pg_statement_init(struct pg_statement *s, const char *text, int nvalues, const Oid *types, const char *const *values,
	const int *lengths)
{
	uint64_t h = 0xcbf29ce484222325u;

	*s = (struct pg_statement){ .text = text, .n = strlen(text), .want = CH_SQL_ANY, .reads = reads(text), .nvalues = nvalues,
		.types = types, .values = values, .lengths = lengths };
	for (size_t i = 0; i < s->n; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
	for (int i = 0; i < nvalues; i++)
		h = (h ^ types[i]) * 0x100000001b3u;
	s->hash = h;
}

static bool plain(struct pg_conn *conn, int kind, const char *text)
{
	return pg_conn_expect(conn, kind, 0, NULL) && PQsendQueryParams(conn->pg, text, 0, NULL, NULL, NULL, NULL, 1);
}

static bool sync(struct pg_conn *conn)
{
	return pg_conn_expect(conn, PG_OP_SYNC, 0, NULL) && PQpipelineSync(conn->pg);
}

static bool begin(struct pg_call *call, struct pg_conn *conn)
{
	struct pg_sql *q = PG_OF(call, struct pg_sql, call);

	q->left = q->n;
	q->last = ch_now();
	call->sent = false;
	if (q->guarded && !plain(conn, PG_OP_PLAIN, "BEGIN"))
		return false;
	for (size_t i = 0; i < q->n; i++)
		if (!pg_statement_send(conn, call, i, &q->statements[i]))
			return false;
	if (q->guarded)
		return PQsendFlushRequest(conn->pg);
	call->sent = true;
	return sync(conn);
}

/* ---- what is answered ---- */

void pg_call_note(struct pg_call *call, struct pg_conn *conn, size_t at, const PGresult *r)
{
	const struct pg_said said = {
		.state = PQresultErrorField(r, PG_DIAG_SQLSTATE), .message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY),
		.context = PQresultErrorField(r, PG_DIAG_CONTEXT), .table = PQresultErrorField(r, PG_DIAG_TABLE_NAME),
		.column = PQresultErrorField(r, PG_DIAG_COLUMN_NAME), .constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME),
	};
	const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
	bool fatal;

	if (!said.state) { /* libpq's own: the connection; that is told elsewhere */
		conn->doomed = true;
		return;
	}
	if (pg_error_moved(said.state))
		pg_pool_moved(conn->pool);
	fatal = severity && (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC"));
	conn->doomed |= fatal || pg_error_ends(said.state);
	if (call->error)
		return;
	call->fatal = fatal;
	snprintf(call->sqlstate, sizeof(call->sqlstate), "%s", said.state);
	call->row = pg_error_row(&said);
	call->error = pg_error_tell(&said, call->detail, sizeof(call->detail));
	call->at = at;
	if (call->error == CH_SQL_VALUE)
		call->value = pg_error_parameter(&said);
	if (call->error == CH_SQL_CONSTRAINT && (said.constraint || (said.table && said.column)))
		snprintf(call->constraint, sizeof(call->constraint), "%s%s%s", said.constraint ? said.constraint : said.table,
		         said.constraint ? "" : ".", said.constraint ? "" : said.column);
}

static size_t size_of(const PGresult *r)
{
	size_t n = 0;
	int rows = PQntuples(r), columns = PQnfields(r);

	for (int i = 0; i < rows; i++)
		for (int k = 0; k < columns; k++)
			n += (size_t)PQgetlength(r, i, k);
	return n;
}

static void executed(struct pg_sql *q, const struct pg_op *op, PGresult *r)
{
	struct pg_statement *s = &q->statements[op->statement];
	bool tuples = PQresultStatus(r) == PGRES_TUPLES_OK;
	int64_t now = ch_now();

	if (op->prepared)
		ch_db_ran(&op->prepared->series, now - q->last);
	q->last = now;
	s->count = tuples ? (uint64_t)PQntuples(r) : strtoull(PQcmdTuples(r), NULL, 10);
	if (s->want >= 0 && s->count != (uint64_t)s->want && !q->call.error) {
		q->call.error = CH_SQL_COUNT;
		q->call.at = op->statement;
		snprintf(q->call.detail, sizeof(q->call.detail), "Statement %zu changed or returned %llu rows where %lld were demanded.",
		         op->statement, (unsigned long long)s->count, (long long)s->want);
	}
	if (!tuples || !q->row) {
		PQclear(r);
		return;
	}
	q->bytes += size_of(r);
	if (q->bytes > q->max_bytes && !q->call.error && (q->guarded || q->call.reads)) {
		q->call.error = CH_SQL_TOO_LARGE;
		q->call.at = op->statement;
		snprintf(q->call.detail, sizeof(q->call.detail), "The result is larger than the %zu bytes of max_bytes.", q->max_bytes);
	}
	s->rows = r;
}

/* All counts of a guarded batch are known. */
static bool decide(struct pg_sql *q, struct pg_conn *conn)
{
	if (q->call.fatal)
		return true;
	if (!q->call.error) {
		q->call.sent = true;
		return plain(conn, PG_OP_COMMIT, "COMMIT") && sync(conn) && pg_conn_flush(conn);
	}
	/* Behind an error PostgreSQL passes over everything up to a Sync. */
	return sync(conn) && plain(conn, PG_OP_PLAIN, "ROLLBACK") && sync(conn) && pg_conn_flush(conn);
}

static void result(struct pg_call *call, struct pg_conn *conn, const struct pg_op *op, PGresult *r)
{
	struct pg_sql *q = PG_OF(call, struct pg_sql, call);
	ExecStatusType status = r ? PQresultStatus(r) : PGRES_EMPTY_QUERY;

	if (r && op->kind == PG_OP_PREPARE && status == PGRES_COMMAND_OK)
		op->prepared->ready = true;
	if (status == PGRES_FATAL_ERROR)
		pg_call_note(call, conn, op->statement, r);
	if (r && op->kind == PG_OP_EXECUTE && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)) {
		executed(q, op, r);
		return;
	}
	/* COMMIT in a transaction that has failed is answered by "ROLLBACK", without an error. */
	if (r && op->kind == PG_OP_COMMIT && status == PGRES_COMMAND_OK && strcmp(PQcmdStatus(r), "COMMIT") && !call->error) {
		call->error = CH_SQL_CONFLICT;
		snprintf(call->detail, sizeof(call->detail), "PostgreSQL rolled the transaction back; try again.");
	}
	PQclear(r);
	if (!r && op->kind == PG_OP_EXECUTE && !--q->left && q->guarded && !decide(q, conn))
		conn->doomed = true; /* the connection's end tells the call */
	if (status == PGRES_PIPELINE_SYNC && !conn->nops)
		pg_conn_done(conn, call->error, NULL);
}

const struct pg_work pg_sql_work = { .begin = begin, .result = result };

/* ---- on the ctx's loop ---- */

void pg_sql_dispose(struct pg_call *call)
{
	struct pg_sql *q = PG_OF(call, struct pg_sql, call);

	for (size_t i = 0; i < q->n; i++)
		PQclear(q->statements[i].rows);
	free(q->memory);
}

static bool give(struct pg_sql *q, size_t at, const PGresult *r, struct ch_value *row, int columns)
{
	int rows = PQntuples(r), rc = CH_OK;

	for (int i = 0; i < rows && rc == CH_OK; i++) {
		for (int k = 0; k < columns; k++)
			row[k] = pg_decode(PQftype(r, k), PQgetisnull(r, i, k) ? NULL : PQgetvalue(r, i, k), (size_t)PQgetlength(r, i, k));
		rc = q->row(q->call.c, q->arg, at, row, (size_t)columns);
	}
	return rc == CH_OK;
}

void pg_sql_rows(struct pg_sql *q)
{
	struct ch_value some[ROW_VALUES];
	bool on = true;

	for (size_t i = 0; i < q->n && on; i++) {
		const PGresult *r = q->statements[i].rows;
		int columns = r ? PQnfields(r) : 0;
		struct ch_value *row = columns > ROW_VALUES ? malloc((size_t)columns * sizeof(*row)) : some;

		if (r && row)
			on = give(q, i, r, row, columns);
		if (row != some)
			free(row);
	}
}

static const char *keep(struct ch_ctx *c, const char *text)
{
	const char *copy = *text ? ch_dup(c, text, strlen(text)) : NULL;

	return copy ? copy : "PostgreSQL could not do it, and no memory is left to say why.";
}

static void answer(struct pg_call *call)
{
	struct pg_sql *q = PG_OF(call, struct pg_sql, call);
	struct ch_sql_result *out = q->out;

	out->call = NULL;
	out->error = call->error;
	if (call->cancelled && !call->error) { /* its end and the cancel crossed: no row was given, and a write may have happened */
		out->error = call->reads ? CH_SQL_CANCELLED : CH_SQL_UNKNOWN;
		out->detail = "The call was given up.";
		return;
	}
	if (call->error) {
		out->detail = keep(call->c, call->detail);
		out->at = call->at;
		out->value = call->value;
		if (*call->constraint)
			out->constraint = ch_dup(call->c, call->constraint, strlen(call->constraint));
		return;
	}
	for (size_t i = 0; i < q->n; i++)
		q->counts[i] = q->statements[i].count;
	out->counts = q->counts;
	if (q->row && !call->cancelled)
		pg_sql_rows(q);
}

/* An answer at once. */
static int no(struct ch_sql_result *out, int error, size_t at, const char *detail)
{
	out->error = error;
	out->at = at;
	out->detail = detail ? detail : "The call is not as chimera/sql.h wants it, and no memory is left to say why.";
	return CH_OK;
}

static const struct ch_sql_statement *statement_at(const struct ch_sql_args *args, size_t i)
{
	return (const struct ch_sql_statement *)(const void *)((const char *)args->statements.rows + i * args->statements.row_size);
}

/* 0: they are fine, and *values is how many there are; else the answer stands in *out. */
static bool fine(struct ch_ctx *c, const struct ch_sql_args *args, struct ch_sql_result *out, size_t *values)
{
	size_t n = args->statements.n;

	if (!n || n > CH_SQL_STATEMENTS_MAX) {
		no(out, CH_SQL_BAD_REQUEST, 0, ch_print(c, "A batch has 1 to %d statements, not %zu.", CH_SQL_STATEMENTS_MAX, n));
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const struct ch_sql_statement *s = statement_at(args, i);

		if (!s->text || !*s->text || strlen(s->text) > CH_SQL_TEXT_MAX || s->nvalues > CH_SQL_VALUES_MAX || s->want < CH_SQL_ANY) {
			no(out, CH_SQL_BAD_REQUEST, i, ch_print(c, "Statement %zu has no text or too much of it, or more than %d values.", i,
			                                       CH_SQL_VALUES_MAX));
			return false;
		}
		if (!allowed(s->text)) {
			no(out, CH_SQL_BAD_REQUEST, i, ch_print(c, "Statement %zu is none of SELECT, INSERT, UPDATE, DELETE and WITH.", i));
			return false;
		}
		for (size_t k = 0; k < s->nvalues; k++) {
			const char *why = pg_value_fault(&s->values[k], s->values[k].type);

			if (!why)
				continue;
			no(out, CH_SQL_VALUE, i, ch_print(c, "Value $%zu of statement %zu %s.", k + 1, i, why));
			out->value = k + 1;
			return false;
		}
		*values += s->nvalues;
	}
	return true;
}

struct slot {
	char room[PG_VALUE_MAX];
};

/* One piece of memory: the call, its statements, and of all values pointers, what small ones look like, lengths and types. */
static struct pg_sql *make(const struct ch_sql_args *args, size_t values)
{
	size_t n = args->statements.n;
	size_t each = sizeof(char *) + sizeof(struct slot) + sizeof(int) + sizeof(Oid);
	size_t bytes = sizeof(struct pg_sql) + n * sizeof(struct pg_statement) + values * each;
	struct pg_sql *q = malloc(bytes);
	const char **pointers;
	struct slot *slots;
	int *lengths;
	Oid *types;
	bool wants = false, all_read = true, gives = false;

	if (!q)
		return NULL;
	memset(q, 0, sizeof(*q));
	q->statements = (struct pg_statement *)(q + 1);
	q->n = n;
	pointers = (const char **)(q->statements + n);
	slots = (struct slot *)(pointers + values);
	lengths = (int *)(slots + values);
	types = (Oid *)(lengths + values);
	for (size_t i = 0; i < n; i++) {
		const struct ch_sql_statement *s = statement_at(args, i);

		for (size_t k = 0; k < s->nvalues; k++) {
			const struct ch_value *v = &s->values[k];

			types[k] = pg_type_of(v->type);
			pointers[k] = NULL;
			lengths[k] = v->null ? 0 : (int)pg_encode(v, slots[k].room, &pointers[k]);
		}
		pg_statement_init(&q->statements[i], s->text, (int)s->nvalues, types, pointers, lengths);
		q->statements[i].want = s->want;
		wants |= s->want >= 0;
		all_read &= q->statements[i].reads;
		gives |= q->statements[i].reads || strcasestr(s->text, "returning");
		pointers += s->nvalues;
		slots += s->nvalues;
		lengths += s->nvalues;
		types += s->nvalues;
	}
	q->call.reads = all_read;
	q->guarded = !all_read && (wants || (gives && args->row));
	return q;
}

static int run(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sql_args *args, struct ch_sql_result *out, ch_ticket ticket)
{
	size_t values = 0;
	struct pg_sql *q;
	int rc;

	if (!fine(c, args, out, &values))
		return CH_OK;
	q = make(args, values);
	if (!q)
		return no(out, CH_SQL_NO_MEMORY, 0, "No memory is left for the call.");
	q->counts = ch_alloc(c, q->n * sizeof(*q->counts));
	q->call.dispose = pg_sql_dispose;
	q->call.answer = answer;
	q->call.work = &pg_sql_work;
	pg_call_init(&q->call, svc, c, ticket, args->timeout_ms);
	q->out = out;
	q->row = args->row;
	q->arg = args->arg;
	q->max_bytes = args->max_bytes ? args->max_bytes : MAX_BYTES;
	if (!q->counts) {
		pg_call_put(&q->call);
		return no(out, CH_SQL_NO_MEMORY, 0, "No memory of the request is left for the call.");
	}
	out->call = q;
	rc = pg_call_send(&q->call);
	if (rc != CH_OK)
		return rc;
	out->call = NULL;
	return no(out, CH_SQL_NO_MEMORY, 0, "No memory is left for the call.");
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sql_result *out)
{
	struct pg_sql *q = out->call;

	(void)svc;
	(void)c;
	if (q)
		pg_call_cancel(&q->call);
}

static void about(const struct ch_svc *svc, struct ch_sql_about *out)
{
	const struct pg_state *s = svc->self->state;

	out->engine = "postgresql";
	out->up = atomic_load(&s->up) && atomic_load(&s->usable);
}

const struct ch_sql_v1 pg_sql_vt = { .size = sizeof(pg_sql_vt), .run = run, .cancel = cancel, .about = about };
