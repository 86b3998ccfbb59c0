/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expire.c - whole days that are over are dropped as partitions, which takes no time however many rows they have. Only where the table is
 * partitioned by days as ours are: another partition may hold more than its name says.
 */
#include <stdlib.h>

#include "call.h"

enum { DAYS_MAX = 64 };                   /* a call; the next takes the others */

struct expire {
	struct click_call call;
	int64_t before;
	struct { long day; uint64_t rows; } days[DAYS_MAX];
	size_t n, at;
};

static int on_dropped(struct click_query *q);

static void drop_next(struct expire *e)
{
	struct click_text sql = { .c = e->call.c };

	if (e->at == e->n) {
		click_call_over(&e->call, CH_SINK_DONE, NULL, CLICK_B_WELL);
		return;
	}
	click_sql_drop(&sql, e->call.table->name, e->days[e->at].day);
	e->call.q.done = on_dropped;
	click_query_write(&e->call.q, &sql);
}

static int on_dropped(struct click_query *q)
{
	struct expire *e = q->arg;

	ch_db_ran(&e->call.series, q->took);
	if (q->error.kind) {
		click_call_failed(&e->call);
		return CH_AGAIN;
	}
	e->call.out->rows += e->days[e->at++].rows;
	drop_next(e);
	return CH_AGAIN;
}

/* The lines of click_sql_days. False: it is another kind of table. */
static bool read_days(struct expire *e, const char *p, const char *end)
{
	bool by_days = false;

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p)), *tab = memchr(p, '\t', (size_t)(end - p));

		if (!eol || !tab || tab > eol)
			return false;
		if (*p == '@') {
			by_days = tab[1] == '1';
		} else if (e->n < DAYS_MAX) {
			e->days[e->n].day = strtol(p, NULL, 10);
			e->days[e->n++].rows = strtoull(tab + 1, NULL, 10);
		}
		p = eol + 1;
	}
	return by_days;
}

static int on_days(struct click_query *q)
{
	struct expire *e = q->arg;

	if (q->error.kind)
		click_call_failed(&e->call);
	else if (read_days(e, q->text, q->text + q->n))
		drop_next(e);
	else
		click_call_over(&e->call, CH_SINK_RETRY,
			ch_print(e->call.c, "The table %s is not partitioned by toYYYYMMDD(…), so its old rows must be taken away by hand.",
				e->call.table->name), CLICK_B_WELL);
	return CH_AGAIN;
}

static void start(struct click_call *call)
{
	struct expire *e = (struct expire *)call;
	struct click_text sql = { .c = call->c };

	click_sql_days(&sql, call->table->name, click_day(e->before));
	call->q.done = on_days;
	click_query_read(&call->q, &sql);
}

int click_expire(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_relation *r, int64_t before, struct ch_sink_result *out,
	ch_ticket outer)
{
	struct expire *e;

	if (r->columns.n < 2 || r->columns.n > CLICK_COLUMNS_MAX) {
		out->outcome = CH_SINK_DONE;
		return CH_OK;
	}
	e = click_call_new(sizeof(*e), svc, c, r, 0, out, outer);
	if (!e)
		return CH_OK;
	e->call.op = CLICK_EXPIRE;
	e->call.steps = start;
	e->before = before;
	return click_call_begin(&e->call);
}
