/* SPDX-License-Identifier: Apache-2.0 */
/* find.c - rows by a value, newest first, each once; given when all of them are there. */
#include "call.h"

#define FOUND_MAX ((size_t)64 << 20)      /* bytes of an answer */

struct find {
	struct click_call call;
	const struct ch_sink_find *what;
};

/* Hands the rows over; false: the answer is cut. */
static bool give(struct find *f, const char *p, size_t n)
{
	const struct ch_relation *r = f->call.table;
	struct ch_value row[CLICK_COLUMNS_MAX];

	while (n) {
		for (size_t i = 0; i < r->columns.n; i++) {
			size_t used = click_rb_get(p, n, ch_column_at(r, i)->type, f->call.shape.nullable[i], &row[i]);

			if (!used)
				return false;
			p += used;
			n -= used;
		}
		f->call.out->rows++;
		if (f->what->row && f->what->row(f->call.c, f->what->arg, row) != CH_OK)
			break;
	}
	return true;
}

static int on_found(struct click_query *q)
{
	struct find *f = q->arg;

	ch_db_ran(&f->call.series, q->took);
	if (q->error.kind) {
		if (q->error.kind == CLICK_SCHEMA)
			click_call_forget(&f->call);
		click_call_failed(&f->call);
	} else if (give(f, q->text, q->n)) {
		click_call_over(&f->call, CH_SINK_DONE, NULL, CLICK_B_WELL);
	} else {
		click_call_forget(&f->call);
		click_call_over(&f->call, CH_SINK_RETRY, "ClickHouse's rows are cut, or not as the table's columns say.", CLICK_B_ILL);
	}
	return CH_AGAIN;
}

static void start(struct click_call *call)
{
	struct find *f = (struct find *)call;
	struct click_text sql = { .c = call->c };

	click_sql_find(&sql, call->table, f->what->column, &f->what->value, f->what->limit);
	call->q.max = FOUND_MAX;
	call->q.done = on_found;
	click_query_read(&call->q, &sql);
}

int click_find(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_find *what, struct ch_sink_result *out, ch_ticket outer)
{
	const struct ch_relation *r = what->table;
	struct find *f;

	if (r->columns.n < 2 || r->columns.n > CLICK_COLUMNS_MAX || what->column >= r->columns.n || what->value.null ||
		(what->value.type != CH_V_TEXT && what->value.type != CH_V_UUID)) {
		out->outcome = CH_SINK_DONE; /* nothing equals it */
		return CH_OK;
	}
	f = click_call_new(sizeof(*f), svc, c, r, what->timeout_ms, out, outer);
	if (!f)
		return CH_OK;
	f->call.op = CLICK_FIND;
	f->call.steps = start;
	f->what = what;
	return click_call_begin(&f->call);
}
