/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - what sink/1 does on a connection: rows into a table by one prepared statement, rows found, rows taken away.
 *
 * A row is copied before it is bound, one at a time: the call may be answered, and its memory gone, while SQLite still writes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sqlite.h"

#define COLUMNS_MAX 64
#define TEXT_MAX (COLUMNS_MAX * (63 + 8) + 400)

/* ---- texts ---- */

struct text { char p[TEXT_MAX]; size_t n; };

CH_PRINTF_(2, 3) static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, sizeof(t->p) - t->n, fmt, ap);
	va_end(ap);
	t->n = t->n + (size_t)n < sizeof(t->p) ? t->n + (size_t)n : sizeof(t->p) - 1;
}

static void put_columns(struct text *t, const struct ch_relation *r)
{
	for (size_t i = 0; i < r->columns.n; i++)
		put(t, "%s\"%s\"", i ? ", " : "", ch_column_at(r, i)->name);
}

static void insert_text(struct text *t, const struct ch_relation *r)
{
	t->n = 0;
	put(t, "INSERT INTO \"%s\" (", r->name);
	put_columns(t, r);
	put(t, ", \"batch_id\") VALUES (");
	for (size_t i = 0; i < r->columns.n; i++)
		put(t, "$%zu, ", i + 1);
	/* Another unique index, one of the operator's own, refuses the row by its name: passed over, the row would be lost unsaid. */
	put(t, "$%zu) ON CONFLICT (\"%s\") DO NOTHING", r->columns.n + 1, ch_column_at(r, 0)->name);
}

/* ---- append ---- */

static void refuse(struct sq_call *call, size_t row, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void refuse(struct sq_call *call, size_t row, const char *fmt, ...)
{
	struct sq_words *w = call->words;
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!call->refused)
		call->refused = malloc(SQ_REFUSALS_MAX * sizeof(*call->refused));
	if (!w || strcmp(w->text, text)) { /* many rows are mostly wrong in the same way */
		w = malloc(sizeof(*w) + strlen(text) + 1);
		if (w) {
			strcpy(w->text, text);
			w->next = call->words;
			call->words = w;
		}
	}
	if (!call->refused || !w) {
		sq_fail_db(&call->error, NULL, SQLITE_NOMEM);
		return;
	}
	call->refused[call->nrefused++] = (struct sq_refused){ row, w->text };
}

struct appending {
	struct sq_conn *c;
	struct sq_call *call;
	struct sq_statement *st;
	size_t columns;
	struct { int type; unsigned flags; char name[64]; } column[COLUMNS_MAX];
	char uuids[COLUMNS_MAX + 1][SQ_UUID_TEXT];
};

/* Row i in the scratch. NULL: the call's error, or it is answered. */
static struct ch_value *take_row(struct appending *a, size_t i)
{
	const struct ch_value *row;
	struct ch_value *v;

	if (!sq_enter(a->call)) {
		sq_fail(&a->call->error, CH_SQL_CANCELLED, "The call was given up.");
		return NULL;
	}
	row = a->call->append.batch.values + i * a->columns;
	v = (struct ch_value *)(void *)sq_scratch(a->c, a->columns * sizeof(*v) + sq_values_size(row, a->columns));
	if (v)
		sq_values_copy(row, a->columns, v);
	else
		sq_fail_db(&a->call->error, NULL, SQLITE_NOMEM);
	sq_leave(a->call);
	return v;
}

/* False: the row is refused, or the call has failed. */
static bool bind_row(struct appending *a, size_t row, const struct ch_value *v)
{
	for (size_t k = 0; k < a->columns; k++) {
		const char *name = a->column[k].name, *why = ch_value_fault(&v[k], a->column[k].type);
		int rc;

		if (!why && v[k].null && !(a->column[k].flags & CH_COLUMN_NULL))
			why = "is null";
		if (why) {
			refuse(a->call, row, "The value of %s %s.", name, why);
			return false;
		}
		rc = sq_bind(a->st->st, (int)k + 1, &v[k], a->uuids[k]);
		if (rc == SQLITE_TOOBIG) {
			refuse(a->call, row, "The value of %s is larger than the database takes.", name);
			return false;
		}
		if (rc != SQLITE_OK)
			return sq_fail_db(&a->call->error, a->c->db, rc);
	}
	return true;
}

/* One row. What the database holds against the row alone refuses it; all else fails the call. */
static void append_row(struct appending *a, size_t i)
{
	struct ch_value *v = take_row(a, i);
	struct sq_error e = { CH_SQL_OK };
	int rc;

	if (!v || !bind_row(a, i, v))
		return;
	rc = sqlite3_step(a->st->st);
	if (rc != SQLITE_DONE)
		sq_fail_db(&e, a->c->db, rc);
	sq_reset(a->st);
	if (e.code == CH_SQL_CONSTRAINT || e.code == CH_SQL_VALUE)
		refuse(a->call, i, "%s", e.text);
	else if (e.code)
		a->call->error = e;
}

/* What the call says of the table, copied, and the statement for it. */
static bool take_table(struct appending *a, struct text *t, size_t *nrows)
{
	const struct ch_sink_batch *b = &a->call->append.batch;

	if (!sq_enter(a->call))
		return sq_fail(&a->call->error, CH_SQL_CANCELLED, "The call was given up.");
	*nrows = b->nrows;
	a->columns = b->table->columns.n;
	for (size_t k = 0; k < a->columns; k++) {
		const struct ch_column *col = ch_column_at(b->table, k);

		a->column[k].type = col->type;
		a->column[k].flags = col->flags;
		snprintf(a->column[k].name, sizeof(a->column[k].name), "%s", col->name);
	}
	insert_text(t, b->table);
	sq_uuid_text(b->batch_id, a->uuids[a->columns]);
	sq_leave(a->call);
	return true;
}

void sq_run_append(struct sq_conn *c, struct sq_call *call)
{
	struct appending a = { .c = c, .call = call };
	sqlite3_int64 before = sqlite3_total_changes64(c->db);
	int64_t began = ch_now();
	struct text t;
	size_t n = 0;

	memset(&call->error, 0, sizeof(call->error));
	call->nrefused = 0;
	if (!take_table(&a, &t, &n))
		return;
	a.st = sq_prepare(c, t.p, t.n, &call->error);
	if (!a.st)
		return;
	if (sqlite3_bind_text(a.st->st, (int)a.columns + 1, a.uuids[a.columns], SQ_UUID_TEXT, SQLITE_STATIC) != SQLITE_OK)
		sq_fail_db(&call->error, c->db, SQLITE_NOMEM);
	for (size_t i = 0; i < n && !call->error.code && call->nrefused < SQ_REFUSALS_MAX; i++)
		append_row(&a, i);
	call->rows = (uint64_t)(sqlite3_total_changes64(c->db) - before);
	ch_db_ran(&a.st->series, ch_now() - began);
}

/* ---- find, expire ---- */

/* One value bound as $1; the rows of a find are kept. */
static void run_one(struct sq_conn *c, struct sq_call *call, const struct text *t, const struct ch_value *v)
{
	struct sq_statement *st = sq_prepare(c, t->p, t->n, &call->error);
	char uuid[SQ_UUID_TEXT];
	int64_t began = ch_now();
	int rc;

	if (!st)
		return;
	rc = sq_bind(st->st, 1, v, uuid);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st->st)) == SQLITE_ROW) {
		call->rows++;
		rc = sq_rows_add(&call->given, 0, st->st, st->columns) ? SQLITE_OK : SQLITE_NOMEM;
	}
	if (rc != SQLITE_DONE)
		sq_fail_db(&call->error, rc == SQLITE_NOMEM ? NULL : c->db, rc);
	else if (!st->columns)
		call->rows = (uint64_t)sqlite3_changes64(c->db);
	sq_reset(st);
	ch_db_ran(&st->series, ch_now() - began);
}

void sq_run_find(struct sq_conn *c, struct sq_call *call)
{
	const struct ch_relation *r;
	struct ch_value *v;
	struct text t = { .n = 0 };

	memset(&call->error, 0, sizeof(call->error));
	call->rows = 0;
	call->given.n = 0;
	if (!sq_enter(call)) {
		sq_fail(&call->error, CH_SQL_CANCELLED, "The call was given up.");
		return;
	}
	r = call->find.find.table;
	put(&t, "SELECT ");
	put_columns(&t, r);
	put(&t, " FROM \"%s\" WHERE \"%s\" = $1 ORDER BY \"%s\" DESC, \"%s\" DESC LIMIT %zu", r->name,
		ch_column_at(r, call->find.find.column)->name, ch_column_at(r, 1)->name, ch_column_at(r, 0)->name, call->find.find.limit);
	v = (struct ch_value *)(void *)sq_scratch(c, sizeof(*v) + sq_values_size(&call->find.find.value, 1));
	if (v)
		sq_values_copy(&call->find.find.value, 1, v);
	sq_leave(call);
	if (!v) {
		sq_fail_db(&call->error, NULL, SQLITE_NOMEM);
		return;
	}
	run_one(c, call, &t, v);
}

void sq_run_expire(struct sq_conn *c, struct sq_call *call)
{
	const struct ch_relation *r;
	struct ch_value before;
	struct text t = { .n = 0 };

	memset(&call->error, 0, sizeof(call->error));
	call->rows = 0;
	if (!sq_enter(call)) {
		sq_fail(&call->error, CH_SQL_CANCELLED, "The call was given up.");
		return;
	}
	r = call->expire.table;
	before = ch_v_time(call->expire.before);
	put(&t, "DELETE FROM \"%s\" WHERE \"%s\" IN (SELECT \"%s\" FROM \"%s\" WHERE \"%s\" < $1 ORDER BY \"%s\" LIMIT %d)", r->name,
		ch_column_at(r, 0)->name, ch_column_at(r, 0)->name, r->name, ch_column_at(r, 1)->name, ch_column_at(r, 1)->name,
			SQ_APPEND_ROWS);
	sq_leave(call);
	run_one(c, call, &t, &before);
}
