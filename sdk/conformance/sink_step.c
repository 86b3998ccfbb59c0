/* SPDX-License-Identifier: MIT */
/*
 * sink_step.c - the calls of one step of a case of "sink/1", one or several at once. What is handed over is a copy each time, in memory
 * that is given back when the call has ended.
 */
#include <stdlib.h>

#include "sink_run.h"

enum { RETRIES = 200 };
#define CENTURY (INT64_C(36525) * DAY)

struct group {
	struct store_run *run;
	const struct sink_step *s;
	void (*over)(struct store_run *);
	atomic_uint running;
	char tag[48];
	struct sink_call *v;
};

struct sink_call {
	struct store_call k;              /* first */
	struct group *group;
	const struct sink_step *s;
	unsigned number, retries;
	bool again;                       /* RETRY was told: once more */
	struct ch_timer *pause;
	struct ch_sink_batch batch;
	struct ch_sink_find find;
	struct ch_value *values;
	char *tag;                        /* malloc'ed for each call */
	/* FIND: what came. */
	uint64_t rows;
	bool enough;
	int64_t last;                     /* the time of the last row */
};

static struct sink_call *call_of(struct store_call *k)
{
	return (struct sink_call *)(void *)k;
}

static const char *name_of(int outcome)
{
	return outcome == CH_SINK_DONE ? "DONE" : outcome == CH_SINK_RETRY ? "RETRY" : outcome == CH_SINK_REFUSED ? "REFUSED"
		: "an outcome of no name";
}

/* ---- append ---- */

static int64_t days_on(const struct sink_step *s, unsigned number)
{
	return s->day + (s->next_day && number >= s->next_day);
}

static bool fill_batch(struct sink_call *k)
{
	const struct sink_step *s = k->s;
	const struct ch_relation *table = sink_table(s->table);
	unsigned from = s->from + (s->each_its_own ? k->number * s->n : 0);
	size_t columns = table->columns.n;
	struct ch_value *row;

	k->batch = (struct ch_sink_batch){ .size = sizeof(k->batch), .table = table, .again = s->again || k->again,
		.timeout_ms = s->timeout ? s->timeout : s->deadline ? 0 : PATIENCE };
	sink_batch_id(k->k.run, s->batch + (s->each_its_own ? (int)k->number : 0), k->batch.batch_id);
	k->values = row = calloc(s->n * columns + 1, sizeof(*k->values));
	if (!k->values)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->without == ROWS(from + i) || s->without_too == ROWS(from + i))
			continue;
		sink_row(k->k.run, s->table, from + i, k->tag, row);
		row[C_TIME].u.i += days_on(s, from + i) * DAY;
		if (s->odd == ALL_NULL || s->odd_row == ROWS(i) || s->odd_too == ROWS(i))
			sink_make_odd(row, s->odd);
		row += columns;
		k->batch.nrows++;
	}
	k->batch.values = k->values;
	return true;
}

static void judge_refused(struct sink_call *k, const struct ch_sink_result *out)
{
	const struct sink_step *s = k->s;
	const struct ch_table *t = &out->refused;
	struct store_run *r = k->k.run;

	if (!t->n)
		return;
	if (!t->rows || t->row_size < sizeof(struct ch_sink_refusal)) {
		complain(r, "refused is no table");
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct ch_sink_refusal *one = (const void *)((const char *)t->rows + i * t->row_size);

		if (one->row >= k->batch.nrows)
			complain(r, "row %zu was refused, and there were %zu", one->row, k->batch.nrows);
		else if (i && one->row <= (one - 1)->row && t->row_size == sizeof(*one))
			complain(r, "the refused rows are not in order");
		else if (s->odd && s->odd_row && ROWS(one->row) != s->odd_row && ROWS(one->row) != s->odd_too)
			complain(r, "row %zu was refused, and nothing is wrong with it", one->row);
		if (!one->why)
			complain(r, "it is not said why row %zu was refused", one->row);
		else if (s->why && !strstr(one->why, s->why))
			complain(r, "row %zu was refused without the name of its column, %s: %.150s", one->row, s->why, one->why);
		else if (strstr(one->why, k->group->tag) || strstr(one->why, "au lait"))
			complain(r, "what is said of row %zu shows a value: %.150s", one->row, one->why);
	}
}

/* ---- find ---- */

static bool fill_find(struct sink_call *k)
{
	const struct sink_step *s = k->s;
	size_t column = s->by_row_id ? C_ROW_ID : s->column ? (size_t)s->column : C_TAG;
	unsigned char id[16];

	sink_row_id(k->k.run, s->from, id);
	k->find = (struct ch_sink_find){ .size = sizeof(k->find), .table = sink_table(s->table), .column = column,
		.limit = s->limit ? s->limit : 1000, .timeout_ms = s->timeout ? s->timeout : s->deadline ? 0 : PATIENCE, .arg = k };
	k->find.value = ch_column_at(k->find.table, column)->type == CH_V_UUID ? ch_v_uuid(id) : ch_v_text(s->text ? s->text : k->tag);
	return true;
}

static void judge_row(struct sink_call *k, const struct ch_value *row)
{
	const struct sink_step *s = k->s;
	struct store_run *r = k->k.run;
	struct ch_value want[COLUMNS];
	unsigned number;
	char a[100], b[100];

	if (!sink_row_number(r, &row[C_ROW_ID], &number)) {
		complain(r, "row %llu has a row_id that was never appended", (unsigned long long)k->rows + 1);
		return;
	}
	if (s->newest && (int64_t)number != s->newest - 1 - (int64_t)k->rows)
		complain(r, "expected row %lld in place %llu, found row %u", (long long)(s->newest - 1 - (int64_t)k->rows),
			(unsigned long long)k->rows + 1, number);
	sink_row(r, s->table, number, k->tag, want);
	if (s->odd)
		sink_make_odd(want, s->odd);
	/* Its day is not known here. */
	want[C_TIME].u.i += (ch_v_as_int(&row[C_TIME]) + 100 * CENTURY - want[C_TIME].u.i) / DAY * DAY - 100 * CENTURY;
	for (size_t i = 0; i < k->find.table->columns.n; i++)
		if (!store_same(&want[i], &row[i])) {
			store_show(&want[i], a, sizeof(a));
			store_show(&row[i], b, sizeof(b));
			complain(r, "expected %s in column %s of row %u, found %s", a, ch_column_at(k->find.table, i)->name, number, b);
		}
}

static int on_row(struct ch_ctx *c, void *arg, const struct ch_value *row)
{
	struct sink_call *k = arg;
	struct store_run *r = k->k.run;
	int64_t time = ch_v_as_int(&row[C_TIME]);

	if (!store_here(&k->k))
		complain(r, "a row was given on another thread than that of the ctx's loop");
	if (c != k->k.c)
		complain(r, "a row was given with another ctx");
	if (k->k.inside)
		complain(r, "a row was given inside a call");
	if (k->k.answered)
		complain(r, "a row was given after the ticket was resumed");
	if (k->k.cancelled)
		complain(r, "a row was given after the cancel");
	if (k->enough)
		complain(r, "a row was given after DONE");
	if (k->rows && time > k->last)
		complain(r, "row %llu is newer than the one before", (unsigned long long)k->rows + 1);
	if (k->rows == k->find.limit)
		complain(r, "more rows than the limit of %zu were given", k->find.limit);
	judge_row(k, row);
	k->last = time;
	k->rows++;
	k->enough = k->s->stop && k->rows >= k->s->stop;
	return k->enough ? CH_DONE : CH_OK;
}

static void judge_find(struct sink_call *k, const struct ch_sink_result *out)
{
	const struct sink_step *s = k->s;

	if (out->rows != k->rows)
		complain(k->k.run, "rows is %llu, and %llu were given", (unsigned long long)out->rows, (unsigned long long)k->rows);
	if (s->least && (int64_t)k->rows < s->least - 1)
		complain(k->k.run, "expected at least %lld rows, found %llu", (long long)s->least - 1, (unsigned long long)k->rows);
}

/* ---- all ---- */

static void judge_all(struct sink_call *k, const struct ch_sink_result *out)
{
	struct store_run *r = k->k.run;

	if (out->outcome < CH_SINK_DONE || out->outcome > CH_SINK_REFUSED || (out->outcome == CH_SINK_REFUSED && k->s->op != APPEND))
		complain(r, "outcome is %d, which is none", out->outcome);
	if ((out->outcome != CH_SINK_DONE) != (out->detail != NULL))
		complain(r, out->detail ? "there is a detail with DONE" : "there is no detail with %s", name_of(out->outcome));
	if (out->detail && (strstr(out->detail, k->group->tag) || strstr(out->detail, "au lait")))
		complain(r, "the detail shows a value: %.200s", out->detail);
	if (out->outcome != CH_SINK_REFUSED && out->refused.n)
		complain(r, "there are refused rows with %s", name_of(out->outcome));
	if (out->retry_ms < 0 || (out->outcome != CH_SINK_RETRY && out->retry_ms))
		complain(r, "retry_ms is %lld with %s", (long long)out->retry_ms, name_of(out->outcome));
	if (out->outcome != CH_SINK_DONE && k->rows)
		complain(r, "rows were given, and the call ended with %s", name_of(out->outcome));
	if (k->k.cancelled && out->outcome != CH_SINK_RETRY)
		complain(r, "expected RETRY after a cancel, found %s", name_of(out->outcome));
}

static void judge(struct store_call *call, int rc)
{
	struct sink_call *k = call_of(call);
	const struct sink_step *s = k->s;
	const struct ch_sink_result *out = call->out;
	int want = s->outcome ? s->outcome : CH_SINK_DONE;

	if (!call->run->step)
		snprintf(own_of(call->run)->missing, sizeof(own_of(call->run)->missing), "%s%.300s", out->outcome == CH_SINK_DONE ? ""
			: "The provider says RETRY: ", out->outcome != CH_SINK_DONE && out->detail ? out->detail : "");
	judge_all(k, out);
	if (rc == CH_OK && k->rows)
		complain(call->run, "rows were given, and the call returned CH_OK");
	k->again = s->patient && k->retries < RETRIES && !store_given_up(call->run)
		&& (out->outcome == CH_SINK_RETRY || (s->op == EXPIRE && out->rows));
	if (k->again || (s->cancel > CANCEL_BEFORE && !call->cancelled)) /* it ended within the call, and there was nothing to give up */
		return;
	if (out->outcome != want) {
		if (!(s->also & 1u << (unsigned)(out->outcome & 31)))
			complain(call->run, "expected %s, found %s: %.250s", name_of(want), name_of(out->outcome),
				out->detail ? out->detail : "no detail");
		return;
	}
	if (out->outcome == CH_SINK_REFUSED)
		judge_refused(k, out);
	if (s->rows && out->rows != (uint64_t)s->rows - 1)
		complain(call->run, "expected that rows is %lld, found %llu", (long long)s->rows - 1, (unsigned long long)out->rows);
	if (s->op == FIND && out->outcome == CH_SINK_DONE)
		judge_find(k, out);
}

static int ask(struct store_call *call)
{
	struct sink_call *k = call_of(call);
	const struct ch_svc *svc = conf_of(call->run)->target;
	const struct ch_sink_v1 *sink = sink_of(call->run);
	int64_t before = FIRST_DAY + k->s->day * DAY + k->s->plus * 1000;

	switch (k->s->op) {
	case APPEND:
		return sink->append(svc, call->c, &k->batch, call->out, call->ticket);
	case FIND:
		k->find.row = on_row;
		return sink->find(svc, call->c, &k->find, call->out, call->ticket);
	default:
		return sink->expire(svc, call->c, sink_table(k->s->table), before, call->out, call->ticket);
	}
}

static void give_up(struct store_call *call)
{
	sink_of(call->run)->cancel(conf_of(call->run)->target, call->c, call->out);
}

/* ---- one after the other ---- */

static void start(struct sink_call *k)
{
	k->tag = strdup(k->group->tag);
	k->rows = 0;
	k->enough = false;
	if (k->tag && (k->s->op == APPEND ? fill_batch(k) : fill_find(k))) {
		store_call(&k->k);
		return;
	}
	complain(k->k.run, "there is no memory for the call");
	k->k.dropped = true;
	k->k.over(&k->k);
}

static void on_pause_over(void *data)
{
	struct sink_call *k = data;

	ch_timer_free(k->pause);
	start(k);
}

static void group_over(void *data)
{
	struct group *g = data;
	struct store_run *r = g->run;
	void (*next)(struct store_run *) = g->over;

	if (!atomic_load(&r->broken)) {
		free(g->v);
		free(g);
	}
	next(r);
}

static void over(struct store_call *call)
{
	struct sink_call *k = call_of(call);
	struct group *g = k->group;

	if (!call->lost) {
		free(k->values);
		free(k->tag);
		k->values = NULL;
		k->tag = NULL;
	}
	if (k->again && !call->lost && !call->dropped && !store_given_up(call->run)) {
		k->retries++;
		k->pause = ch_timer(call->loop, on_pause_over, k);
		if (k->pause) {
			ch_timer_set(k->pause, 10);
			return;
		}
	}
	if (atomic_fetch_sub(&g->running, 1) == 1 && !ch_post(g->run->loop, group_over, g))
		abort(); /* the run's loop has ended before its work: a bug of the host */
}

static void judge_about(struct store_run *r)
{
	struct ch_sink_about a = { .size = sizeof(a) };

	sink_of(r)->about(conf_of(r)->target, &a);
	if (a.size != sizeof(a))
		complain(r, "about changed the size");
	if (a.rows < 1 || a.rows > CH_SINK_ROWS_MAX)
		complain(r, "about says batches of %zu rows", a.rows);
	if (a.bytes < 1024)
		complain(r, "about says batches of %zu bytes", a.bytes);
	if (a.age_ms < 1 || a.age_ms > 3600000)
		complain(r, "about says batches of an age of %lld ms", (long long)a.age_ms);
}

void sink_step(struct store_run *r, const struct sink_step *s, void (*next)(struct store_run *))
{
	unsigned loops = 0, n = s->calls ? s->calls : 1;
	struct group *g = calloc(1, sizeof(*g));

	while (ch_loop_at(loops))
		loops++;
	if (g)
		g->v = calloc(n, sizeof(*g->v));
	if (!g || !g->v || s->op == ABOUT) {
		if (s->op == ABOUT)
			judge_about(r);
		else
			complain(r, "there is no memory for the calls");
		if (g)
			free(g->v);
		free(g);
		next(r);
		return;
	}
	g->run = r;
	g->s = s;
	g->over = next;
	sink_tag(r, g->tag, sizeof(g->tag));
	atomic_store(&g->running, n);
	for (unsigned i = 0; i < n; i++) {
		struct sink_call *k = &g->v[i];

		*k = (struct sink_call){ .group = g, .s = s, .number = i, .k = { .run = r,
			.loop = s->calls ? ch_loop_at(i % loops) : r->loop, .out_size = sizeof(struct ch_sink_result),
			.limit = s->timeout ? s->timeout : PATIENCE, .deadline = s->deadline, .cancel = s->cancel, .cancel_ms = 5,
			.ask = ask, .give_up = give_up, .judge = judge, .over = over } };
		start(k);
	}
}
