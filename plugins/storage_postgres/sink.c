/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - sink/1 over tables whose primary key is row_id: a row that comes twice is passed over. append.c's ways are in copy.c; find and
 * expire are statements.
 */
#include <stdio.h>

#include "errors.h"
#include "storage_postgres.h"
#include "values.h"

#define LIKED_ROWS 10000
#define LIKED_BYTES ((size_t)8 << 20)
#define LIKED_AGE 500              /* ms */
#define EXPIRED_AT_ONCE 10000
#define REFUSED_TOLD 1000          /* rows of a batch that are named at most: the others come back with the next one */

/* ---- what came of it ---- */

static const char *keep(struct ch_ctx *c, const char *text)
{
	const char *copy = *text ? ch_dup(c, text, strlen(text)) : NULL;

	return copy ? copy : "PostgreSQL could not take it, and no memory is left to say why.";
}

static int later(struct ch_sink_result *out, const char *why)
{
	out->outcome = CH_SINK_RETRY;
	out->detail = why;
	return CH_OK;
}

/* What was given up and has happened all the same: the caller wants no answer any more, and may send it again. */
static bool given_up(const struct pg_call *call, struct ch_sink_result *out)
{
	if (call->cancelled && !call->error)
		later(out, "The call was given up.");
	return call->cancelled && !call->error;
}

static void again_later(struct ch_sink_result *out, const struct pg_call *call)
{
	out->outcome = CH_SINK_RETRY;
	out->detail = keep(call->c, call->detail);
	out->retry_ms = call->retry_ms > 0 ? call->retry_ms : 0;
}

/* Its rows are the reason, and will be for ever. */
static bool refused(int error)
{
	return error == CH_SQL_VALUE || error == CH_SQL_CONSTRAINT;
}

static void answer_append(struct pg_call *call)
{
	struct pg_append *a = PG_OF(call, struct pg_append, sql.call);
	struct ch_sink_result *out = a->out;

	out->call = NULL;
	if (given_up(call, out))
		return;
	if (!call->error) {
		out->outcome = CH_SINK_DONE;
		out->rows = call->work == &pg_copy_work ? a->rows : a->statement.count;
		return;
	}
	if (!refused(call->error)) {
		again_later(out, call);
		return;
	}
	out->outcome = CH_SINK_REFUSED;
	out->detail = keep(call->c, call->detail);
	if (call->row > 0 && call->row <= a->nrows) {
		struct ch_sink_refusal *one = ch_alloc(call->c, sizeof(*one));

		if (!one)
			return;
		*one = (struct ch_sink_refusal){ call->row - 1, out->detail };
		out->refused = (struct ch_table){ one, 1, sizeof(*one) };
	}
}

/* ---- append ---- */

static bool fine_table(const struct ch_relation *t)
{
	return t && t->columns.n >= 2 && t->columns.n <= 64 && strlen(t->name) <= 63 && ch_column_at(t, 0)->type == CH_V_UUID &&
	       ch_column_at(t, 1)->type == CH_V_TIME;
}

/* Rows that PostgreSQL would not take, found before it is asked. false: there are some, and *out says which. */
static bool fine_rows(struct ch_ctx *c, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	size_t columns = b->table->columns.n, n = 0;
	struct ch_sink_refusal *list = NULL;

	for (size_t i = 0; i < b->nrows && n < REFUSED_TOLD; i++) {
		const struct ch_value *row = b->values + i * columns;
		const char *why = NULL;
		size_t k;

		for (k = 0; k < columns && !why; k++)
			why = pg_value_fault(&row[k], ch_column_at(b->table, k)->type);
		if (!why)
			continue;
		if (!list)
			list = ch_alloc(c, REFUSED_TOLD * sizeof(*list));
		if (!list)
			break;
		list[n].row = i;
		list[n].why = ch_print(c, "The value of %s %s.", ch_column_at(b->table, k - 1)->name, why);
		if (!list[n++].why)
			list[n - 1].why = why;
	}
	if (!n)
		return true;
	out->outcome = CH_SINK_REFUSED;
	out->detail = list[0].why;
	out->refused = (struct ch_table){ list, n, sizeof(*list) };
	return false;
}

static int append(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_batch *b, struct ch_sink_result *out, ch_ticket ticket)
{
	struct pg_append *a;

	if (!fine_table(b->table) || b->nrows > CH_SINK_ROWS_MAX)
		return CH_ERROR;
	out->outcome = CH_SINK_DONE;
	if (!b->nrows || !fine_rows(c, b, out))
		return CH_OK;
	a = calloc(1, sizeof(*a) + (b->again ? 0 : PG_COPY_TEXT_MAX));
	if (!a)
		return later(out, "No memory is left for the batch.");
	a->out = out;
	a->table = b->table;
	a->values = b->values;
	a->ncolumns = b->table->columns.n;
	a->nrows = b->nrows;
	memcpy(a->batch_id, b->batch_id, sizeof(a->batch_id));
	a->sql.call.answer = answer_append;
	a->sql.call.dispose = pg_sql_dispose;
	a->sql.max_bytes = LIKED_BYTES;
	pg_call_init(&a->sql.call, svc, c, ticket, b->timeout_ms);
	if (b->again) {
		a->sql.call.work = &pg_sql_work;
		if (!pg_append_again(a)) {
			pg_call_put(&a->sql.call);
			out->outcome = CH_SINK_REFUSED;
			out->detail = "The batch is more than one message to PostgreSQL holds; halve it.";
			return CH_OK;
		}
	} else {
		a->sql.call.work = &pg_copy_work;
		pg_copy_text(b->table, a->copy);
		ch_db_series(svc->self, "insert", b->table->name, &a->series);
	}
	out->call = &a->sql.call;
	if (pg_call_send(&a->sql.call) == CH_AGAIN)
		return CH_AGAIN;
	out->call = NULL;
	return later(out, "No memory is left for the batch.");
}

/* ---- find, expire ---- */

struct query {
	struct pg_sql sql;
	struct pg_statement statement;
	struct ch_sink_result *out;
	int (*row)(struct ch_ctx *, void *arg, const struct ch_value *row);
	void *arg;
	const char *values[2];
	int lengths[2];
	Oid types[2];
	char room[2][PG_VALUE_MAX];
	char text[PG_COPY_TEXT_MAX];
};

static int one_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct query *q = arg;

	(void)statement;
	(void)n;
	q->out->rows++;
	return q->row(c, q->arg, row);
}

static void answer_query(struct pg_call *call)
{
	struct query *q = PG_OF(call, struct query, sql.call);
	struct ch_sink_result *out = q->out;

	out->call = NULL;
	if (given_up(call, out))
		return;
	if (call->error) {
		again_later(out, call);
		return;
	}
	out->outcome = CH_SINK_DONE;
	if (q->row)
		pg_sql_rows(&q->sql);
	else
		out->rows = q->statement.count;
}

static void value(struct query *q, int i, const struct ch_value *v)
{
	q->types[i] = pg_type_of(v->type);
	q->lengths[i] = (int)pg_encode(v, q->room[i], &q->values[i]);
}

static struct query *query(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sink_result *out, ch_ticket ticket, int64_t timeout_ms)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->out = out;
	q->sql.statements = &q->statement;
	q->sql.n = 1;
	q->sql.max_bytes = (size_t)64 << 20;
	q->sql.call.answer = answer_query;
	q->sql.call.dispose = pg_sql_dispose;
	q->sql.call.work = &pg_sql_work;
	pg_call_init(&q->sql.call, svc, c, ticket, timeout_ms);
	return q;
}

static int ask(struct query *q, int nvalues)
{
	struct ch_sink_result *out = q->out;

	pg_statement_init(&q->statement, q->text, nvalues, q->types, q->values, q->lengths);
	q->sql.call.reads = q->statement.reads;
	out->call = &q->sql.call;
	if (pg_call_send(&q->sql.call) == CH_AGAIN)
		return CH_AGAIN;
	out->call = NULL;
	return later(out, "No memory is left to ask PostgreSQL.");
}

static int find(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_find *f, struct ch_sink_result *out, ch_ticket ticket)
{
	const struct ch_relation *t = f->table;
	struct ch_value limit = ch_v_int((int64_t)f->limit);
	struct query *q;
	size_t n;

	if (!fine_table(t) || f->column >= t->columns.n || f->value.null || !f->limit || f->limit > 1000 || !f->row)
		return CH_ERROR;
	out->outcome = CH_SINK_DONE;
	if (pg_value_fault(&f->value, ch_column_at(t, f->column)->type))
		return CH_OK; /* such a value stands in no row */
	q = query(svc, c, out, ticket, f->timeout_ms);
	if (!q)
		return later(out, "No memory is left to ask PostgreSQL.");
	n = (size_t)sprintf(q->text, "SELECT ");
	for (size_t i = 0; i < t->columns.n; i++)
		n += (size_t)sprintf(q->text + n, "%s\"%s\"", i ? ", " : "", ch_column_at(t, i)->name);
	sprintf(q->text + n, " FROM \"%s\" WHERE \"%s\" = $1 ORDER BY \"%s\" DESC, row_id DESC LIMIT $2", t->name,
	        ch_column_at(t, f->column)->name, ch_column_at(t, 1)->name);
	value(q, 0, &f->value);
	value(q, 1, &limit);
	q->row = f->row;
	q->sql.row = one_row;
	q->sql.arg = q;
	q->arg = f->arg;
	return ask(q, 2);
}

static int expire(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_relation *t, int64_t before, struct ch_sink_result *out,
                  ch_ticket ticket)
{
	struct ch_value at = ch_v_time(before), most = ch_v_int(EXPIRED_AT_ONCE);
	struct query *q;

	if (!fine_table(t))
		return CH_ERROR;
	out->outcome = CH_SINK_DONE;
	if (pg_value_fault(&at, CH_V_TIME))
		return CH_OK;
	q = query(svc, c, out, ticket, 0);
	if (!q)
		return later(out, "No memory is left to ask PostgreSQL.");
	sprintf(q->text, "DELETE FROM \"%s\" WHERE row_id IN (SELECT row_id FROM \"%s\" WHERE \"%s\" < $1 ORDER BY \"%s\" LIMIT $2)",
		t->name,
	        t->name, ch_column_at(t, 1)->name, ch_column_at(t, 1)->name);
	value(q, 0, &at);
	value(q, 1, &most);
	return ask(q, 2);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sink_result *out)
{
	(void)svc;
	(void)c;
	if (out->call)
		pg_call_cancel(out->call);
}

static void about(const struct ch_svc *svc, struct ch_sink_about *out)
{
	(void)svc;
	out->rows = LIKED_ROWS;
	out->bytes = LIKED_BYTES;
	out->age_ms = LIKED_AGE;
}

const struct ch_sink_v1 pg_sink_vt = { .size = sizeof(pg_sink_vt), .append = append, .find = find, .expire = expire, .cancel = cancel,
	.about = about };
