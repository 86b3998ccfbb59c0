/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - a batch into its table, each row once.
 *
 *                     again                                       ┌────────── some are missing, with a token ─────────┐
 *   the layout ──┬────────────> runs a query of that id? ─ no ─> which rows are there? ─> encode ─> INSERT ─> done <──┴─ all are there
 *                └─────────────────────────────────────────────────────────────────────────^
 *
 * The query's id is the batch's, so the server refuses a batch that is still on its way (code 216). A batch that was sent before may run, be
 * there, be there in part (its days are partitions, each written by itself) or be lost: only the server knows, so it is asked. Asked while
 * nothing of that id runs, its answer stays true, but for one case: our first request still lies unread before the server. Then rows come
 * twice, with the same key (time, row_id), and the engine ReplacingMergeTree makes one of them; a newer server's deduplication token drops
 * the second at once. A token speaks of whole inserts, so it goes only with whole batches, and behind a repeated one we ask again.
 */
#include <stdlib.h>

#include "call.h"

enum { ROUNDS_MAX = 4, INLINE_MAX = 64 << 10 };

static void ask_present(struct click_call *call);
static void encode(struct click_call *call);

static const char given_up[] = "The call was given up.";

/* ---- the end ---- */

static void free_body(void *data)
{
	struct click_body *b = data;

	click_body_free(b);
	free(b);
}

/* The HTTP client may hold the bytes until this turn of the loop is over, when it was told to give up. */
static void clean(struct click_call *call)
{
	if (call->body)
		ch_turn_end(ch_loop(call->c), free_body, call->body);
	call->body = NULL;
}

static void done(struct click_call *call)
{
	call->out->rows = call->added;
	click_call_over(call, CH_SINK_DONE, NULL, CLICK_B_WELL);
}

/* ---- refusals ---- */

static void refused_by_us(struct click_call *call)
{
	const struct click_body *b = call->body;
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

static void refused_by_server(struct click_call *call)
{
	struct ch_sink_refusal *one;
	const struct click_body *b = call->body;
	size_t row = call->q.error.row;

	if (row && row <= b->rows && (one = ch_alloc(call->c, sizeof(*one)))) {
		one->row = b->sent ? b->sent[row - 1] : row - 1;
		one->why = call->q.detail;
		call->out->refused = (struct ch_table){ one, 1, sizeof(*one) };
	}
	ch_db_failed(&call->k->errors, CH_SQL_VALUE);
	click_call_over(call, CH_SINK_REFUSED, call->q.detail, CLICK_B_WELL);
}

/*
 * The server said that it cannot take a row. That is believed only when the table still looks as we thought, and when no row is there: a
 * materialized view that stumbles over a row does so behind the table itself.
 */
struct doubt {
	struct click_error error;
	const char *detail;
};

static int on_doubt_present(struct click_query *q)
{
	struct click_call *call = q->arg;

	if (q->error.kind) {
		click_call_failed(call);
	} else if (q->n / 16 >= call->batch->nrows) {
		ch_log(call->k->self, call->c, CH_WARN, "All rows of a batch are in %s, but ClickHouse reported an error behind it: see whether "
			"a materialized view of that table fails.", call->table->name);
		call->added = call->body->rows;
		done(call);
	} else {
		struct doubt *doubt = *ch_slot(call->k->self, call->c);

		q->error = doubt->error;
		q->detail = doubt->detail;
		refused_by_server(call);
	}
	return CH_AGAIN;
}

static void ask_doubt(struct click_call *call)
{
	struct click_text sql = { .c = call->c };

	click_sql_present(&sql, call->table, call->batch->batch_id, call->first, call->last);
	call->q.done = on_doubt_present;
	click_query_read(&call->q, &sql);
}

static void doubt(struct click_call *call)
{
	struct doubt *d = ch_alloc(call->c, sizeof(*d));

	if (!d) {
		click_call_no_memory(call);
		return;
	}
	d->error = call->q.error;
	d->detail = call->q.detail;
	*ch_slot(call->k->self, call->c) = d;
	click_call_shape(call, true, ask_doubt);
}
