/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show.c - `chimeractl records show REQ_ID`: that request's rows, in the journal and at every sink.
 *
 * Threads and ownership: on the house loop; the journal is read in the pool, by a reader of its own.
 */
#include <stdlib.h>

#include "records.h"

#define ROWS_MAX 100

struct showing { /* in the command */
	struct ch_self *self;
	struct ch_ctx *c;
	struct ch_str req_id;
	struct journal_pos from;          /* in the journal */
	struct ch_jw waiting;             /* its rows as text, from the heap */
	size_t found;
	size_t sink, table;
	bool titled;                      /* the sink and table that are asked now were named */
	struct ch_sink_find find;
	struct ch_sink_result result;
};

/* ---- a row as text ---- */

/* A database has fewer types than we. */
static struct ch_value typed(struct ch_value v, int type)
{
	if (v.type == CH_V_INT && (type == CH_V_TIME || type == CH_V_BOOL))
		v.type = type;
	return v;
}

/* "  name   value" a line; what is null is left out. */
static void write_row(struct ch_jw *w, const struct ch_relation *table, const struct ch_value *row)
{
	static const char blanks[] = "                    ";

	for (size_t i = 0; i < table->columns.n; i++) {
		const struct ch_column *column = ch_column_at(table, i);
		struct ch_value v = typed(row[i], column->type);
		size_t n = strlen(column->name);

		if (v.null)
			continue;
		ch_jw_raw(w, "  ", 2);
		ch_jw_raw(w, column->name, n);
		ch_jw_raw(w, blanks, n < 18 ? 18 - n : 1);
		letter_value(w, &v);
		ch_jw_raw(w, "\n", 1);
	}
}

/* The column named req_id; 0: the table has none. */
static size_t column_of(const struct ch_relation *table)
{
	for (size_t i = 2; i < table->columns.n; i++)
		if (!strcmp(ch_column_at(table, i)->name, "req_id") && ch_column_at(table, i)->type == CH_V_TEXT)
			return i;
	return 0;
}

/* ---- in the journal ---- */

/* What no sink has any more to get need not be read. */
static struct journal_pos least(const struct records *state)
{
	struct journal_pos pos = { 0, 0, 0 };

	for (size_t i = 0; i < state->nsinks; i++) {
		const struct journal_pos *p = &state->sinks[i].shipper->data.passed;

		if (!i || journal_pos_cmp(p, &pos) < 0)
			pos = *p;
	}
	return pos;
}

static void *scan(void *data)
{
	struct showing *w = data;
	const struct records *state = w->self->state;
	struct journal_reader *reader = journal_reader(state->ledger->journal, "show", &w->from);
	struct journal_row row;
	int found;

	while (reader && w->found < ROWS_MAX && (found = journal_next(reader, &row)) != JOURNAL_NONE) {
		size_t column = found == JOURNAL_ROW ? column_of(row.table) : 0;
		struct ch_str s = column ? ch_v_as_text(&row.values[column]) : (struct ch_str){ NULL, 0 };

		if (found == JOURNAL_ROW && s.n == w->req_id.n && s.p && !memcmp(s.p, w->req_id.p, s.n)) {
			w->found++;
			write_row(&w->waiting, row.table, row.values);
			ch_jw_raw(&w->waiting, "\n", 1);
		}
		journal_passed(reader, &row.next);
	}
	if (reader)
		journal_reader_free(reader);
	return NULL;
}

/* ---- at the sinks ---- */

static int on_row(struct ch_ctx *c, void *arg, const struct ch_value *row)
{
	struct showing *w = arg;
	struct ch_jw out;

	if (!w->titled)
		ch_out(c, "%s at %s:\n", w->find.table->name, ((const struct records *)w->self->state)->sinks[w->sink].svc->id);
	w->titled = true;
	w->found++;
	ch_jw_init(&out, NULL, 0);
	out.grow = ch_jw_heap;
	write_row(&out, w->find.table, row);
	if (!out.failed && out.len)
		ch_out(c, "%.*s\n", (int)out.len, out.buf);
	free(out.buf);
	return CH_OK;
}

static int go(struct showing *w);

static void look(struct showing *w)
{
	const struct ch_svc *svc = ((const struct records *)w->self->state)->sinks[w->sink].svc;

	if (w->result.outcome != CH_SINK_DONE)
		ch_out(w->c, "%s cannot be asked now: %s\n", svc->id, w->result.detail ? w->result.detail : "it does not say why");
	w->table++;
}

static int on_found(struct ch_ctx *c, void *data, int why, void *result)
{
	struct showing *w = data;
	const struct ch_svc *svc = ((const struct records *)w->self->state)->sinks[w->sink].svc;

	(void)result;
	if (why != CH_READY) {
		((const struct ch_sink_v1 *)svc->vt)->cancel(svc, c, &w->result);
		return CH_DONE;
	}
	look(w);
	return go(w);
}

static int go(struct showing *w)
{
	const struct records *state = w->self->state;

	for (; w->sink < state->nsinks; w->sink++, w->table = 0) {
		const struct ch_svc *svc = state->sinks[w->sink].svc;
		const struct ch_relation *table;

		while ((table = tables_at(state->ledger->tables, w->table))) {
			size_t column = column_of(table);
			ch_ticket ticket = column ? ch_suspend(w->c, 0, on_found, w) : 0;
			int rc;

			if (!column) {
				w->table++;
				continue;
			}
			w->find = (struct ch_sink_find){ .size = sizeof(w->find), .table = table, .column = column, .limit = ROWS_MAX,
				.value = ch_v_bytes(CH_V_TEXT, w->req_id.p, w->req_id.n), .row = on_row, .arg = w };
			w->result = (struct ch_sink_result){ .size = sizeof(w->result) };
			w->titled = false;
			rc = ticket ? ((const struct ch_sink_v1 *)svc->vt)->find(svc, w->c, &w->find, &w->result, ticket) : CH_ERROR;
			if (rc == CH_AGAIN)
				return CH_AGAIN;
			ch_unsuspend(ticket);
			look(w);
		}
	}
	if (!w->found)
		return ch_refuse(w->c, CH_E_NOT_FOUND, 0, "no row of a request \"%.128s\" is in the journal or at a sink that can be asked",
			w->req_id.p);
	return CH_DONE;
}

/* ---- the command ---- */

static void free_text(void *data)
{
	free(((struct showing *)data)->waiting.buf);
}

static int on_scanned(struct ch_ctx *c, void *data, int why, void *result)
{
	struct showing *w = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (w->waiting.len && !w->waiting.failed)
		ch_out(c, "in the journal, not at every sink yet:\n%.*s", (int)w->waiting.len, w->waiting.buf);
	return go(w);
}

int records_show(struct ch_self *self, struct ch_ctx *c, const char *req_id)
{
	struct showing *w = ch_alloc(c, sizeof(*w));
	ch_ticket ticket;

	if (!w || !ch_keep(c, free_text, w))
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this command now");
	w->self = self;
	w->c = c;
	w->req_id = (struct ch_str){ req_id, strlen(req_id) };
	w->from = least(self->state);
	ch_jw_init(&w->waiting, NULL, 0);
	w->waiting.grow = ch_jw_heap;
	ticket = ch_suspend(c, 0, on_scanned, w);
	if (ticket && ch_offload(self, scan, w, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool of threads takes no more work now: try again");
}
