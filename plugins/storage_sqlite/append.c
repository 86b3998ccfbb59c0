/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - what sink/1 does on a connection: rows into a table by one prepared statement, rows found, rows taken away.
 *
 * Rows are copied before they are bound, some at a time: the call may be answered, and its memory gone, while SQLite still writes. They go
 * in by a statement of many rows, in which SQLite finds its way into table and indexes once; that saves a third of the work of a row.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sqlite.h"

#define COLUMNS_MAX 64
#define ROWS_MAX 64                       /* of a statement; SQLite's own limit of variables is far above that, as a rule */
#define LARGE ((size_t)256 << 10)         /* bytes of rows that go in one by one: so many are not copied in one go */
#define TEXT_MAX (COLUMNS_MAX * (63 + 4) + ROWS_MAX * (COLUMNS_MAX * 2 + 8) + 400)

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

/* Parameter 1 is the batch's id; the rows' values follow, row by row. */
static void insert_text(struct text *t, const struct ch_relation *r, size_t rows)
{
	const char *row;
	size_t n;

	t->n = 0;
	put(t, "INSERT INTO \"%s\" (\"batch_id\", ", r->name);
	put_columns(t, r);
	put(t, ") VALUES (?1");
	row = t->p + t->n - 3;
	for (size_t k = 0; k < r->columns.n; k++)
		put(t, ",?");
	put(t, ")");
	n = (size_t)(t->p + t->n - row);
	for (size_t i = 1; i < rows; i++)
		put(t, ",%.*s", (int)n, row);
	/* Another unique index, one of the operator's own, refuses the row by its name: passed over, the row would be lost unsaid. */
	put(t, " ON CONFLICT (\"%s\") DO NOTHING", ch_column_at(r, 0)->name);
}

/* ---- append ---- */

static void refuse(struct sq_call *call, size_t row, const char *text)
{
	struct sq_words *w = call->words;

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
	size_t nrows, columns, uuids;      /* of the batch; of the table, and how many of them are UUIDs */
	size_t many;                       /* rows of a statement of many */
	struct sq_statement *st_one, *st_many; /* the latter NULL: the batch is too small for it */
	struct { int type; unsigned flags; char name[64]; } column[COLUMNS_MAX];
	char batch_id[SQ_UUID_TEXT];
	const struct ch_value *values;     /* rows in the scratch, … */
	char *uuid_text;                   /* … with room for the texts of their UUIDs behind them */
};

enum taken { NOT_TAKEN, TOO_LARGE, TAKEN };

/* n rows go into the scratch, unless they are too many bytes for one go. NOT_TAKEN: the call's error, or it is answered. */
static enum taken take_rows(struct appending *a, size_t first, size_t n)
{
	const struct ch_value *rows;
	struct ch_value *v;
	size_t size;

	if (!sq_enter(a->call)) {
		sq_fail(&a->call->error, CH_SQL_CANCELLED, "The call was given up.");
		return NOT_TAKEN;
	}
	rows = a->call->append.batch.values + first * a->columns;
	size = sq_values_size(rows, n * a->columns);
	if (n > 1 && size > LARGE) {
		sq_leave(a->call);
		return TOO_LARGE;
	}
	size += n * a->columns * sizeof(*v);
	v = (struct ch_value *)(void *)sq_scratch(a->c, size + n * a->uuids * SQ_UUID_TEXT);
	if (v) {
		sq_values_copy(rows, n * a->columns, v);
		a->values = v;
		a->uuid_text = (char *)v + size;
	} else {
		sq_fail_db(&a->call->error, NULL, SQLITE_NOMEM);
	}
	sq_leave(a->call);
	return v ? TAKEN : NOT_TAKEN;
}

/* Row i of those in the scratch. False: *e says why not. */
static bool bind_row(struct appending *a, struct sq_statement *st, size_t i, struct sq_error *e)
{
	const struct ch_value *v = a->values + i * a->columns;
	int at = (int)(i * a->columns) + 2;

	for (size_t k = 0; k < a->columns; k++) {
		const char *name = a->column[k].name, *why = ch_value_fault(&v[k], a->column[k].type);
		int rc;

		if (!why && v[k].null && !(a->column[k].flags & CH_COLUMN_NULL))
			why = "is null";
		if (why)
			return sq_fail(e, CH_SQL_VALUE, "The value of %s %s.", name, why);
		rc = sq_bind(st->st, at + (int)k, &v[k], a->uuid_text);
		if (v[k].type == CH_V_UUID)
			a->uuid_text += SQ_UUID_TEXT;
		if (rc == SQLITE_TOOBIG)
			return sq_fail(e, CH_SQL_VALUE, "The value of %s is larger than the database takes.", name);
		if (rc != SQLITE_OK)
			return sq_fail_db(e, a->c->db, rc);
	}
	return true;
}

/* The n rows in the scratch, by one statement: all of them, or none, and *e says why. */
static void put_rows(struct appending *a, size_t n, struct sq_error *e)
{
	struct sq_statement *st = n > 1 ? a->st_many : a->st_one;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (!bind_row(a, st, i, e))
			return;
	rc = sqlite3_step(st->st);
	if (rc != SQLITE_DONE)
		sq_fail_db(e, a->c->db, rc);
	sq_reset(st);
}

static bool goes_on(const struct appending *a)
{
	return !a->call->error.code && a->call->nrefused < SQ_REFUSALS_MAX;
}

/*
 * n rows: all by one statement, or each by its own if they are large, or the database holds something against one of them. Of a row alone
 * that refuses it; all else fails the call.
 */
static void append_rows(struct appending *a, size_t first, size_t n)
{
	struct sq_error e = { CH_SQL_OK };
	enum taken taken = take_rows(a, first, n);

	if (taken == TAKEN)
		put_rows(a, n, &e);
	if (taken == NOT_TAKEN || (taken == TAKEN && !e.code))
		return;
	if (e.code && ((e.code != CH_SQL_CONSTRAINT && e.code != CH_SQL_VALUE) || sqlite3_get_autocommit(a->c->db)))
		a->call->error = e;
	else if (n == 1)
		refuse(a->call, first, e.text);
	else
		for (size_t i = 0; i < n && goes_on(a); i++)
			append_rows(a, first + i, 1);
}

/* What the call says of the table, copied, and the texts of its statements. */
static bool take_table(struct appending *a, struct text *one, struct text *many)
{
	const struct ch_sink_batch *b = &a->call->append.batch;

	if (!sq_enter(a->call))
		return sq_fail(&a->call->error, CH_SQL_CANCELLED, "The call was given up.");
	a->nrows = b->nrows;
	a->columns = b->table->columns.n;
	for (size_t k = 0; k < a->columns; k++) {
		const struct ch_column *col = ch_column_at(b->table, k);

		a->column[k].type = col->type;
		a->column[k].flags = col->flags;
		a->uuids += col->type == CH_V_UUID;
		snprintf(a->column[k].name, sizeof(a->column[k].name), "%s", col->name);
	}
	a->many = (size_t)sqlite3_limit(a->c->db, SQLITE_LIMIT_VARIABLE_NUMBER, -1) > ROWS_MAX * a->columns ? ROWS_MAX : 1;
	insert_text(one, b->table, 1);
	if (a->many > 1 && a->nrows >= a->many)
		insert_text(many, b->table, a->many);
	sq_uuid_text(b->batch_id, a->batch_id);
	sq_leave(a->call);
	return true;
}

/* One of them, with its first parameter bound. NULL: the call's error. */
static struct sq_statement *prepare(struct appending *a, const struct text *t)
{
	struct sq_statement *st = sq_prepare(a->c, t->p, t->n, true, &a->call->error);

	if (st && sqlite3_bind_text(st->st, 1, a->batch_id, SQ_UUID_TEXT, SQLITE_STATIC) != SQLITE_OK) {
		sq_fail_db(&a->call->error, a->c->db, SQLITE_NOMEM);
		return NULL;
	}
	return st;
}

void sq_run_append(struct sq_conn *c, struct sq_call *call)
{
	struct appending a = { .c = c, .call = call };
	sqlite3_int64 before = sqlite3_total_changes64(c->db);
	int64_t began = ch_now();
	struct text one, many = { .n = 0 };

	memset(&call->error, 0, sizeof(call->error));
	call->nrefused = 0;
	if (!take_table(&a, &one, &many))
		return;
	a.st_one = prepare(&a, &one);
	if (a.st_one && many.n)
		a.st_many = prepare(&a, &many);
	for (size_t i = 0, n; i < a.nrows && goes_on(&a); i += n) {
		n = a.st_many && a.nrows - i >= a.many ? a.many : 1;
		append_rows(&a, i, n);
	}
	call->rows = (uint64_t)(sqlite3_total_changes64(c->db) - before);
	if (a.st_one)
		ch_db_ran(&a.st_one->series, ch_now() - began);
}

/* ---- find, expire ---- */

/* One value bound as $1; the rows of a find are kept. */
static void run_one(struct sq_conn *c, struct sq_call *call, const struct text *t, const struct ch_value *v)
{
	struct sq_statement *st = sq_prepare(c, t->p, t->n, false, &call->error);
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
