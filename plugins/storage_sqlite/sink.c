/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - "sink/1": what a call may ask for, and giving its answer. A row that came twice is there once by its primary key. */
#include "sqlite.h"

#define RETRY_DOWN_MS 1000                /* a store that is full, locked or down: so long is nothing better */

static struct ch_sink_result *out_of(struct sq_call *call)
{
	return call->kind == SQ_APPEND ? call->append.out : call->kind == SQ_FIND ? call->find.out : call->expire.out;
}

static int retry(struct ch_sink_result *out, const char *detail)
{
	out->outcome = CH_SINK_RETRY;
	out->detail = detail;
	return CH_OK;
}

/* ---- answers ---- */

static void give_refusals(struct sq_call *call, struct ch_sink_result *out)
{
	struct ch_sink_refusal *v = ch_alloc(call->ctx, call->nrefused * sizeof(*v));
	const char *last = NULL, *why = NULL;

	for (size_t i = 0; v && i < call->nrefused; i++) {
		if (call->refused[i].why != last) {
			last = call->refused[i].why;
			why = ch_dup(call->ctx, last, strlen(last));
		}
		v[i] = (struct ch_sink_refusal){ call->refused[i].row, why ? why : "The row is refused." };
	}
	if (!v) {
		retry(out, "The server has no memory to say which rows are refused.");
		return;
	}
	out->outcome = CH_SINK_REFUSED;
	out->detail = v[0].why;
	out->refused = (struct ch_table){ v, call->nrefused, sizeof(*v) };
}

static void give_rows(struct sq_call *call, struct sq_error *e)
{
	const struct ch_sink_find *f = &call->find.find;
	struct ch_value *row;
	size_t statement, n;

	call->rows = 0;
	while ((row = sq_rows_next(&call->given, &statement, &n))) {
		int rc;

		for (size_t i = 0; i < n; i++)
			sq_value_as(&row[i], ch_column_at(f->table, i)->type);
		call->rows++;
		rc = f->row ? f->row(call->ctx, f->arg, row) : CH_OK;
		if (call->dropped)
			sq_fail(e, CH_SQL_CANCELLED, "The call was given up.");
		if (rc != CH_OK || e->code)
			return;
	}
}

void sq_answer_sink(struct sq_call *call, struct sq_error *e)
{
	struct ch_sink_result *out = out_of(call);

	if (!e->code && call->kind == SQ_FIND)
		give_rows(call, e);
	out->call = NULL;
	if (!e->code && call->nrefused) {
		give_refusals(call, out);
	} else if (!e->code) {
		out->outcome = CH_SINK_DONE;
		out->rows = call->rows;
	} else {
		char *detail = ch_dup(call->ctx, e->text, strlen(e->text));

		retry(out, detail ? detail : "The database call failed, and there is no memory to say why.");
		if (e->code == CH_SQL_FULL || e->code == CH_SQL_UNAVAILABLE || e->code == CH_SQL_SCHEMA)
			out->retry_ms = RETRY_DOWN_MS;
	}
}

/* ---- calls ---- */

static bool is_table(const struct ch_relation *r)
{
	return r && r->columns.n >= 2 && r->columns.n <= 64 && ch_column_at(r, 0)->type == CH_V_UUID &&
		ch_column_at(r, 1)->type == CH_V_TIME;
}

static int submit(struct sq_call *call, struct ch_sink_result *out)
{
	out->call = call;
	return sq_submit(call);
}

static int append(const struct ch_svc *svc, struct ch_ctx *ctx, const struct ch_sink_batch *b, struct ch_sink_result *out, ch_ticket ticket)
{
	struct sq_call *call;

	if (!is_table(b->table) || b->nrows > CH_SINK_ROWS_MAX)
		return CH_ERROR;
	if (!b->nrows) {
		out->outcome = CH_SINK_DONE;
		return CH_OK;
	}
	call = sq_call_new(svc->self, ctx, SQ_APPEND, b->timeout_ms, ticket);
	if (!call)
		return retry(out, "The server has no memory for this call.");
	call->append.batch = *b;
	call->append.out = out;
	return submit(call, out);
}

static int find(const struct ch_svc *svc, struct ch_ctx *ctx, const struct ch_sink_find *f, struct ch_sink_result *out, ch_ticket ticket)
{
	struct sq_call *call;

	if (!is_table(f->table) || f->column >= f->table->columns.n || !f->limit || f->limit > 1000)
		return CH_ERROR;
	call = sq_call_new(svc->self, ctx, SQ_FIND, f->timeout_ms, ticket);
	if (!call)
		return retry(out, "The server has no memory for this call.");
	call->find.find = *f;
	call->find.out = out;
	return submit(call, out);
}

static int expire(const struct ch_svc *svc, struct ch_ctx *ctx, const struct ch_relation *r, int64_t before, struct ch_sink_result *out,
	ch_ticket ticket)
{
	struct sq_call *call;

	if (!is_table(r))
		return CH_ERROR;
	call = sq_call_new(svc->self, ctx, SQ_EXPIRE, 0, ticket);
	if (!call)
		return retry(out, "The server has no memory for this call.");
	call->expire.table = r;
	call->expire.before = before;
	call->expire.out = out;
	return submit(call, out);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *ctx, struct ch_sink_result *out)
{
	(void)svc;
	(void)ctx;
	if (out->call)
		sq_cancel(out->call);
}

static void about(const struct ch_svc *svc, struct ch_sink_about *out)
{
	(void)svc;
	out->rows = SQ_APPEND_ROWS;
	out->bytes = (size_t)8 << 20;
	out->age_ms = 200;
}

const struct ch_sink_v1 sq_sink = { sizeof(sq_sink), append, find, expire, cancel, about };
