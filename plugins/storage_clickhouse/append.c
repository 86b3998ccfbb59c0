/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - a batch into its table, each row once.
 *
 *                again
 *   layout ──┬──────────> does a query of that id run? ── no ──> which rows are there? ──┬──> all: done
 *            │                                                           ^               v some are missing
 *            └────────────────────────────────> encode ──> INSERT        │            encode ──> INSERT ──> done
 *                                                            └──> done   └───────────────────────┘ went with a token
 *
 * The query's id is the batch's, so the server refuses a batch that is still on its way (code 216). A batch that was sent before may run,
 * be there, be there in part (its days are partitions, each written by itself) or be lost: only the server knows, so it is asked. Asked
 * while nothing of that id runs, its answer stays true, but for one case: our first request still lies unread before the server. Then
 * rows come twice, with the same key (time, row_id), and the engine ReplacingMergeTree makes one of them; a newer server's deduplication
 * token drops the second at once. A token speaks of whole inserts, so it goes only with whole batches, and behind a repeated one we ask
 * again.
 */
#include <stdlib.h>

#include "body.h"
#include "call.h"

enum { ROUNDS_MAX = 4 };

struct append {
	struct click_call call;
	struct ch_loop *loop;
	const struct ch_sink_batch *batch;
	struct click_body *body;          /* not in the arena: a pool thread, and the HTTP client, may outlast us by a turn */
	int64_t first, last;              /* the rows' times */
	unsigned rounds;                  /* how often it asked what is there */
	uint64_t added;
	struct click_shape written;       /* the layout that the body was written for … */
	struct click_error doubt;         /* … and what the server said to it */
	const char *doubt_detail;
};

static void ask_present(struct append *a);

/* ---- the end ---- */

static void free_body(void *data)
{
	struct click_body *b = data;

	click_body_free(b);
	free(b);
}

/* The HTTP client may hold the bytes until this turn of the loop is over, when it was told to give up. */
static void drop_body(struct append *a)
{
	if (a->body)
		ch_turn_end(ch_loop(a->call.c), free_body, a->body);
	a->body = NULL;
}

static void clean(struct click_call *call)
{
	drop_body((struct append *)call);
}

static void done(struct append *a)
{
	a->call.out->rows = a->added;
	click_call_over(&a->call, CH_SINK_DONE, NULL, CLICK_B_WELL);
}

/* ---- rows that are refused ---- */

static void refused_by_us(struct append *a)
{
	struct click_call *call = &a->call;
	const struct click_body *b = a->body;
	struct ch_sink_refusal *rows = ch_alloc(call->c, b->nbad * sizeof(*rows));

	if (!rows) {
		click_call_no_memory(call);
		return;
	}
	for (size_t i = 0; i < b->nbad; i++) {
		rows[i].row = b->bad[i].row;
		rows[i].why = ch_print(call->c, "The value of %s %s.", ch_column_at(call->table, b->bad[i].column)->name, b->bad[i].why);
		if (!rows[i].why)
			rows[i].why = "A value is not as its column must be.";
	}
	call->out->refused = (struct ch_table){ rows, b->nbad, sizeof(rows[0]) };
	ch_db_failed(&call->k->errors, CH_SQL_VALUE);
	click_call_over(call, CH_SINK_REFUSED, rows[0].why, CLICK_B_WELL);
}

static void refused_by_server(struct append *a)
{
	struct click_call *call = &a->call;
	const struct click_body *b = a->body;
	size_t row = a->doubt.row;
	struct ch_sink_refusal *one = row && row <= b->rows ? ch_alloc(call->c, sizeof(*one)) : NULL;

	if (one) {
		one->row = b->sent ? b->sent[row - 1] : row - 1;
		one->why = a->doubt_detail;
		call->out->refused = (struct ch_table){ one, 1, sizeof(*one) };
	}
	ch_db_failed(&call->k->errors, CH_SQL_VALUE);
	click_call_over(call, CH_SINK_REFUSED, a->doubt_detail, CLICK_B_WELL);
}

static int on_doubt_present(struct click_query *q)
{
	struct append *a = q->arg;
	struct click_call *call = &a->call;

	if (q->error.kind) {
		click_call_failed(call);
	} else if (q->n / 16 >= a->batch->nrows) {
		ch_log(call->k->self, call->c, CH_WARN, "All rows of a batch are in %s, but ClickHouse reported an error (code %u) behind "
			"it: see whether a materialized view of that table fails.", call->table->name, a->doubt.code);
		a->added = a->body->rows;
		done(a);
	} else if (q->n / 16 > a->body->npresent) {
		call->out->retry_ms = 500;
		click_call_over(call, CH_SINK_RETRY, "ClickHouse took some of the batch's days and reported an error behind them; what is missing "
			"is sent again.", CLICK_B_WELL);
	} else {
		refused_by_server(a);
	}
	return CH_AGAIN;
}

static void on_doubt_shape(struct click_call *call)
{
	struct append *a = (struct append *)call;
	struct click_text sql = { .c = call->c };

	if (memcmp(&a->written, &call->shape, sizeof(a->written))) {
		click_call_over(call, CH_SINK_RETRY, "The table's columns were changed while rows were on their way to it.", CLICK_B_WELL);
		return;
	}
	click_sql_present(&sql, call->table, a->batch->batch_id, a->first, a->last);
	call->q.max = a->batch->nrows * 16 + 4096;
	call->q.done = on_doubt_present;
	click_query_read(&call->q, &sql);
}

/*
 * The server said that it cannot take a row. That is believed only when the table still looks as we thought, and when not all rows are
 * there: a materialized view that stumbles over a row does so behind the table itself. Of several days each is written by itself, so such a
 * view leaves some of them there: then nothing may be called refused, and each new try writes one day more.
 */
static void doubt(struct append *a)
{
	a->doubt = a->call.q.error;
	a->doubt_detail = a->call.q.detail;
	a->written = a->call.shape;
	click_call_shape(&a->call, true, on_doubt_shape);
}

/* ---- sending ---- */

static int on_inserted(struct click_query *q)
{
	struct append *a = q->arg;
	struct click_call *call = &a->call;

	ch_db_ran(&call->series, q->took);
	if (q->error.kind == CLICK_ROW) {
		doubt(a);
	} else if (q->error.kind) {
		if (q->error.kind == CLICK_SCHEMA)
			click_call_forget(call);
		click_call_failed(call);
	} else {
		a->added += a->body->rows;
		if (a->rounds && call->shape.token)
			ask_present(a);
		else
			done(a);
	}
	return CH_AGAIN;
}

static void insert(struct append *a)
{
	struct click_call *call = &a->call;
	const struct click_body *b = a->body;
	struct click_text sql = { .c = call->c }, more = { .c = call->c };
	struct ch_str bytes = { b->p, b->n };
	char id[37];

	click_uuid_text(a->batch->batch_id, id);
	if (call->shape.token && !b->sent)
		click_text_print(&more, "&insert_deduplication_token=%s", id);
	if (call->shape.partitions)
		click_text_print(&more, "&max_partitions_per_insert_block=0");
	if (call->shape.async) /* its answer would come before the rows are there */
		click_text_print(&more, "&async_insert=0");
	click_sql_insert(&sql, call->table);
	sql.failed |= more.failed;
	call->q.done = on_inserted;
	click_query_insert(&call->q, &sql, id, more.p, bytes, b->gzip);
}

/* ---- encoding ---- */

static void on_encoded(struct append *a)
{
	struct click_call *call = &a->call;

	call->cancel = NULL;
	if (call->cancelled)
		click_call_over(call, CH_SINK_RETRY, "The call was given up.", CLICK_B_NONE);
	else if (a->body->failed)
		click_call_no_memory(call);
	else if (a->body->nbad)
		refused_by_us(a);
	else if (!a->body->rows)
		done(a);
	else
		insert(a);
}

static void *work(void *data)
{
	struct append *a = data;

	click_body_make(a->body);
	return a;
}

/* The ctx ended while the thread was at work: only now nobody reads the caller's batch any more. */
static void abandon(void *data)
{
	struct append *a = data;

	free_body(a->body);
	click_call_abandon(&a->call);
}

/* Any thread; the loop may be in click_call_cancel just now, so the end is left to it. Without a loop there is nobody to collide with. */
static void on_too_late(void *result)
{
	struct append *a = result;

	if (!ch_post(a->loop, abandon, a))
		abandon(a);
}

static void stop_encoding(struct click_call *call)
{
	atomic_store(&((struct append *)call)->body->stop, true);
}

static int on_worked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct append *a = data;

	(void)c;
	(void)result;
	if (why == CH_READY) {
		on_encoded(a);
	} else { /* on_too_late, soon */
		click_call_unpass(&a->call);
		stop_encoding(&a->call);
	}
	return CH_AGAIN;
}

static void encode(struct append *a)
{
	struct click_call *call = &a->call;
	ch_ticket ticket;

	a->body->batch = a->batch;
	a->body->shape = call->shape;
	a->body->gzip = call->k->gzip;
	if (click_body_is_large(a->batch) && (ticket = ch_suspend(call->c, 0, on_worked, a))) {
		call->cancel = stop_encoding;
		if (ch_offload(call->k->self, work, a, ticket, on_too_late))
			return;
		ch_unsuspend(ticket); /* the pool is full: then here */
	}
	click_body_make(a->body);
	on_encoded(a);
}

/* ---- what is there ---- */

static struct click_body *new_body(struct append *a)
{
	drop_body(a);
	a->body = calloc(1, sizeof(*a->body));
	return a->body;
}

static int on_present(struct click_query *q)
{
	struct append *a = q->arg;
	struct click_call *call = &a->call;
	size_t n = q->n / 16;

	if (q->error.kind) {
		click_call_failed(call);
	} else if (q->n % 16) {
		click_call_over(call, CH_SINK_RETRY, "ClickHouse's list of the rows that are there is cut.", CLICK_B_ILL);
	} else if (n >= a->batch->nrows) {
		done(a);
	} else if (a->rounds == ROUNDS_MAX) {
		click_call_over(call, CH_SINK_RETRY,
			"ClickHouse took a batch and does not show it: the server may be out of step with its replicas.", CLICK_B_ILL);
	} else if (!new_body(a)) {
		click_call_no_memory(call);
	} else {
		a->body->present = q->text;
		a->body->npresent = n;
		q->text = NULL;
		q->n = q->cap = 0;
		encode(a);
	}
	return CH_AGAIN;
}

static void ask_present(struct append *a)
{
	struct click_call *call = &a->call;
	struct click_text sql = { .c = call->c };

	a->rounds++;
	click_sql_present(&sql, call->table, a->batch->batch_id, a->first, a->last);
	call->q.max = a->batch->nrows * 16 + 4096;
	call->q.done = on_present;
	click_query_read(&call->q, &sql);
}

static int on_running(struct click_query *q)
{
	struct append *a = q->arg;
	struct click_call *call = &a->call;

	if (q->error.kind) {
		click_call_failed(call);
	} else if (!q->n || q->text[0] != '0') {
		call->out->retry_ms = 500;
		click_call_over(call, CH_SINK_RETRY, "ClickHouse still works on this batch; it is asked again.", CLICK_B_WELL);
	} else {
		ask_present(a);
	}
	return CH_AGAIN;
}

/* ---- the beginning ---- */

static void start(struct click_call *call)
{
	struct append *a = (struct append *)call;
	struct click_text sql = { .c = call->c };
	char id[37];

	if (!a->batch->again) {
		if (new_body(a))
			encode(a);
		else
			click_call_no_memory(call);
		return;
	}
	click_uuid_text(a->batch->batch_id, id);
	click_sql_running(&sql, id);
	call->q.done = on_running;
	click_query_read(&call->q, &sql);
}

int click_append(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_batch *batch, struct ch_sink_result *out, ch_ticket outer)
{
	struct append *a;
	size_t n = batch->table->columns.n;

	if (!batch->nrows || n < 2 || n > CLICK_COLUMNS_MAX) {
		out->outcome = batch->nrows ? CH_SINK_RETRY : CH_SINK_DONE;
		out->detail = batch->nrows ? "The table has fewer than 2 or more than 64 columns." : NULL;
		return CH_OK;
	}
	a = click_call_new(sizeof(*a), svc, c, batch->table, batch->timeout_ms, out, outer);
	if (!a)
		return CH_OK;
	a->call.op = CLICK_APPEND;
	a->call.steps = start;
	a->call.clean = clean;
	a->loop = ch_loop(c);
	a->batch = batch;
	a->first = INT64_MAX;
	a->last = INT64_MIN;
	for (size_t i = 0; i < batch->nrows; i++) {
		int64_t t = batch->values[i * n + 1].u.i;

		a->first = t < a->first ? t : a->first;
		a->last = t > a->last ? t : a->last;
	}
	return click_call_begin(&a->call);
}
