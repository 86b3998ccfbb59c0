/* SPDX-License-Identifier: MIT */
/*
 * sql_step.c - one call of a case of "sql/1". What is handed over is a copy each time, in memory that is given back when the call has
 * ended: a provider that knows a statement by its address, or looks at something later, is found out.
 */
#include <stdlib.h>

#include "sql_run.h"

struct step_call {
	struct store_call k;              /* first */
	const struct sql_step *s;
	void (*over)(struct store_run *);
	struct sql_seen seen;
	struct ch_sql_statement *statements;
	struct ch_value *values;
	char *bytes;
	size_t n, used;
};

static struct step_call *call_of(struct store_call *k)
{
	return (struct step_call *)(void *)k;
}

/* ---- what is asked for ---- */

static const char *copy(struct step_call *k, const char *p, size_t n)
{
	char *to = k->bytes + k->used;

	memcpy(to, p, n);
	to[n] = 0;
	k->used += n + 1;
	return to;
}

static void say(struct step_call *k, struct ch_sql_statement *to, const struct sql_say *from, size_t number)
{
	struct ch_value *v = k->values + SQL_VALUES * (size_t)(to - k->statements);

	*to = (struct ch_sql_statement){ .text = copy(k, from->text, strlen(from->text)), .values = v, .nvalues = sql_count_values(from->v),
		.want = from->want ? from->want - 1 : CH_SQL_ANY };
	memcpy(v, from->v, to->nvalues * sizeof(*v));
	for (size_t i = 0; i < to->nvalues; i++)
		if ((v[i].type == CH_V_TEXT || v[i].type == CH_V_BLOB) && !v[i].null)
			v[i].u.s.p = copy(k, v[i].u.s.p, v[i].u.s.n);
	if (to->nvalues)
		v[0].u.i += (int64_t)number;
}

static size_t bytes_of(const struct sql_say *s)
{
	size_t n = strlen(s->text) + 1;

	for (size_t i = 0; i < sql_count_values(s->v); i++)
		if (s->v[i].type == CH_V_TEXT || s->v[i].type == CH_V_BLOB)
			n += (s->v[i].null ? 0 : s->v[i].u.s.n) + 1;
	return n;
}

static void make_odd(struct step_call *k)
{
	struct ch_sql_statement *first = k->statements;
	size_t n = k->s->odd == LONG_TEXT ? CH_SQL_TEXT_MAX + 1 : CH_SQL_TEXT_MAX;
	char *text;

	switch (k->s->odd) {
	case NO_STATEMENTS:
		k->n = 0;
		break;
	case NO_TEXT:
		first->text = NULL;
		break;
	case PADDED_TEXT:
	case LONG_TEXT:
		text = k->bytes + k->used;
		memset(text, ' ', n);
		memcpy(text, first->text, strlen(first->text));
		text[n] = 0;
		first->text = text;
		break;
	case MANY_VALUES:
	case TOO_MANY_VALUES:
		first->nvalues = CH_SQL_VALUES_MAX + (k->s->odd == TOO_MANY_VALUES);
		for (size_t i = 1; i < first->nvalues; i++)
			k->values[i] = k->values[0];
		break;
	case BAD_TYPE:
		k->values[0].type = 99;
		break;
	}
}

static bool fill(struct step_call *k)
{
	const struct sql_step *s = k->s;
	size_t copies = s->copies ? s->copies : 1, bytes = CH_SQL_TEXT_MAX + 2;

	for (size_t i = 0; i < SQL_STATEMENTS && s->say[i].text; i++)
		k->n++;
	for (size_t i = 0; i < k->n; i++)
		bytes += bytes_of(&s->say[i]) * (i ? 1 : copies);
	k->statements = calloc(k->n + copies, sizeof(*k->statements));
	k->values = calloc((k->n + copies) * SQL_VALUES + CH_SQL_VALUES_MAX + 1, sizeof(*k->values));
	k->bytes = malloc(bytes);
	if (!k->statements || !k->values || !k->bytes)
		return false;
	for (size_t i = 0; k->n && i < copies; i++)
		say(k, &k->statements[i], &s->say[0], i);
	for (size_t i = 1; i < k->n; i++)
		say(k, &k->statements[i], &s->say[i], 0);
	if (s->copies)
		k->n = copies;
	make_odd(k);
	return true;
}

/* ---- the call ---- */

static int on_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct step_call *k = arg;
	struct store_run *r = k->k.run;

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
	sql_judge_row(r, k->s, &k->seen, statement, row, n);
	k->seen.enough = k->s->stop && k->seen.rows >= k->s->stop;
	return k->seen.enough ? CH_DONE : CH_OK;
}

static int ask(struct store_call *call)
{
	struct step_call *k = call_of(call);
	const struct sql_step *s = k->s;
	struct ch_sql_args args = { .size = sizeof(args), .statements = CH_SQL(k->statements, k->n), .timeout_ms = s->timeout,
		.max_bytes = s->max_bytes, .row = s->uncounted ? NULL : on_row, .arg = k };
	struct ch_sql_args *kept = ch_alloc(call->c, sizeof(args)); /* whether they must live longer than the call is not said */

	if (!kept)
		return CH_ERROR;
	*kept = args;
	if (!s->timeout && !s->deadline)
		kept->timeout_ms = PATIENCE;
	return sql_of(call->run)->run(conf_of(call->run)->target, call->c, kept, call->out, call->ticket);
}

static void give_up(struct store_call *call)
{
	sql_of(call->run)->cancel(conf_of(call->run)->target, call->c, call->out);
}

static void judge(struct store_call *call, int rc)
{
	struct step_call *k = call_of(call);
	const struct ch_sql_result *out = call->out;
	struct sql_own *own = own_of(call->run);

	own->error = out->error;
	snprintf(own->detail, sizeof(own->detail), "The provider says %s: %.300s", sql_error_name(out->error),
		out->detail ? out->detail : "nothing");
	sql_judge_all(call->run, out, k->statements, k->n, &k->seen);
	if (rc == CH_OK && !out->error && k->seen.rows)
		complain(call->run, "rows were given, and the call returned CH_OK");
	if (k->s->cancel > CANCEL_BEFORE && !call->cancelled && !out->error) {
		own->error = CH_SQL_UNKNOWN; /* it ended within the call, and there was nothing to give up */
		return;
	}
	sql_judge(call->run, k->s, out, &k->seen);
}

static void over(struct store_call *call)
{
	struct step_call *k = call_of(call);
	struct store_run *r = call->run;
	void (*next)(struct store_run *) = k->over;

	if (!call->lost) {
		free(k->statements);
		free(k->values);
		free(k->bytes);
		free(k);
	}
	next(r);
}

void sql_step(struct store_run *r, const struct sql_step *s, void (*next)(struct store_run *))
{
	struct step_call *k = calloc(1, sizeof(*k));

	own_of(r)->error = CH_SQL_UNKNOWN; /* if the deadline comes before the answer */
	if (!k) {
		complain(r, "there is no memory for the call");
		atomic_store(&r->gone, true);
		next(r);
		return;
	}
	*k = (struct step_call){ .s = s, .over = next, .k = { .run = r, .loop = r->loop, .out_size = sizeof(struct ch_sql_result),
		.limit = s->timeout ? s->timeout : PATIENCE, .deadline = s->deadline, .cancel = s->cancel, .cancel_ms = 100, .ask = ask,
		.give_up = give_up, .judge = judge, .over = over } };
	if (fill(k)) {
		store_call(&k->k);
		return;
	}
	complain(r, "there is no memory for the call");
	over(&k->k);
}
