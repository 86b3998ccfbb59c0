/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - see call.h. */
#include <stdlib.h>

#include <chimera/kit/backoff.h>

#include "call.h"

static const char no_memory[] = "No memory is left for this call to ClickHouse; it is tried again.";

/*
 * A server that hangs costs each caller its timeout; behind three of them callers hear so at once, and one in two seconds looks whether it
 * is back. That is the least that heals within two seconds.
 */
static const struct ch_breaker_conf breaker_conf = { .failures = 3, .cooldown_us = 250000, .cooldown_max_us = 2000000, .jitter = 0.2,
	.probe_us = 60000000 };

/* Under the lock. */
static struct click_table *table_of(struct click *k, const char *name)
{
	for (size_t i = 0; i < k->ntables; i++)
		if (!strcmp(k->tables[i].name, name))
			return &k->tables[i];
	return NULL;
}

/* ---- the end ---- */

/* When to come again: what the breaker says, else a backoff by how often it has failed in a row. */
static int64_t retry_ms(struct click *k)
{
	unsigned in_a_row;
	int64_t us;

	pthread_mutex_lock(&k->lock);
	us = ch_breaker_wait(&k->breaker, &breaker_conf, ch_now());
	in_a_row = k->breaker.in_a_row;
	pthread_mutex_unlock(&k->lock);
	return us > 0 ? us / 1000 + 1 : 50 + ch_backoff_full(100000, 1000000, in_a_row, ch_random()) / 1000;
}

static int db_error(int kind)
{
	switch (kind) {
	case CLICK_FINE: return CH_SQL_OK;
	case CLICK_AWAY: case CLICK_AUTH: case CLICK_RUNNING: return CH_SQL_UNAVAILABLE;
	case CLICK_UNKNOWN: return CH_SQL_UNKNOWN;
	case CLICK_BUSY: return CH_SQL_BUSY;
	case CLICK_FULL: return CH_SQL_FULL;
	case CLICK_SCHEMA: return CH_SQL_SCHEMA;
	case CLICK_ROW: return CH_SQL_VALUE;
	case CLICK_CANCELLED: return CH_SQL_CANCELLED;
	default: return CH_SQL_UNAVAILABLE;
	}
}

void click_call_unpass(struct click_call *call)
{
	pthread_mutex_lock(&call->k->lock);
	ch_breaker_cancelled(&call->k->breaker, call->pass);
	pthread_mutex_unlock(&call->k->lock);
	call->pass = 0;
}

/*
 * Two things can be degraded: the server, and a table, by its name. A table that is not there says nothing about the others.
 */
static void judge(struct click_call *call, enum click_blame blame, const char *detail)
{
	bool schema = blame == CLICK_B_UNFIT && call->q.error.kind == CLICK_SCHEMA;
	struct click *k = call->k;
	struct click_table *t;

	if (blame == CLICK_B_NONE) {
		click_call_unpass(call);
		return;
	}
	pthread_mutex_lock(&k->lock);
	ch_breaker_report(&k->breaker, &breaker_conf, call->pass, blame == CLICK_B_ILL ? CH_BREAKER_FAILED : CH_BREAKER_OK, ch_now(),
		(uint32_t)ch_random());
	t = table_of(k, call->table->name);
	pthread_mutex_unlock(&k->lock);
	if (!schema)
		ch_degraded(k->self, "server", blame != CLICK_B_WELL, "%s", blame == CLICK_B_WELL ? "ClickHouse answers" : detail);
	if (t && (schema || blame == CLICK_B_WELL)) /* tables never move and never go */
		ch_degraded(k->self, t->name, schema, "%s", schema ? detail : "its layout fits");
}

void click_call_over(struct click_call *call, int outcome, const char *detail, enum click_blame blame)
{
	struct ch_sink_result *out = call->out;

	call->over = true;
	out->outcome = outcome;
	out->detail = outcome == CH_SINK_DONE ? NULL : detail ? detail : no_memory;
	out->call = NULL;
	if (call->pass)
		judge(call, blame, out->detail);
	if (outcome == CH_SINK_RETRY && !out->retry_ms)
		out->retry_ms = retry_ms(call->k);
	if (call->clean)
		call->clean(call);
	click_query_free(&call->q);
	if (call->async)
		ch_resume(call->outer, NULL, NULL);
}

void click_call_abandon(struct click_call *call)
{
	call->over = true;
	call->out->outcome = CH_SINK_RETRY;
	call->out->detail = "The call was given up.";
	call->out->call = NULL;
	click_query_free(&call->q);
	ch_resume(call->outer, NULL, NULL);
}

void click_call_no_memory(struct click_call *call)
{
	click_call_over(call, CH_SINK_RETRY, no_memory, CLICK_B_NONE);
}

void click_call_failed(struct click_call *call)
{
	const struct click_query *q = &call->q;

	ch_db_failed(&call->k->errors, db_error(q->error.kind));
	switch (q->error.kind) {
	case CLICK_CANCELLED:
		click_call_over(call, CH_SINK_RETRY, q->detail, CLICK_B_NONE);
		break;
	case CLICK_AWAY: case CLICK_UNKNOWN: case CLICK_BUSY:
		click_call_over(call, CH_SINK_RETRY, q->detail, CLICK_B_ILL);
		break;
	case CLICK_RUNNING:
		call->out->retry_ms = 500;
		click_call_over(call, CH_SINK_RETRY, q->detail, CLICK_B_WELL);
		break;
	default:
		call->out->retry_ms = 1000; /* people have to do something */
		click_call_over(call, CH_SINK_RETRY, q->detail, CLICK_B_UNFIT);
	}
}

void click_call_cancel(struct click_call *call)
{
	call->cancelled = true;
	if (call->cancel) {
		call->cancel(call);
		return;
	}
	ch_unsuspend(call->pause);
	call->pause = 0;
	click_query_cancel(&call->q);
	ch_db_failed(&call->k->errors, CH_SQL_CANCELLED);
	/* At once: the ctx may end before a ticket of ours is heard. */
	click_call_over(call, CH_SINK_RETRY, "The call was given up.", CLICK_B_NONE);
}

/* ---- what the table looks like ---- */

/* A place for a table, with its series. NULL: there are more than CLICK_TABLES_MAX, then each call asks anew and nothing is counted. */
static struct click_table *table_make(struct click *k, const char *name)
{
	struct click_table *t = table_of(k, name);

	if (t || k->ntables == CLICK_TABLES_MAX || strlen(name) >= sizeof(t->name))
		return t;
	t = &k->tables[k->ntables++];
	memcpy(t->name, name, strlen(name) + 1);
	ch_db_series(k->self, "insert", name, &t->insert);
	ch_db_series(k->self, "select", name, &t->select);
	ch_db_series(k->self, "delete", name, &t->expire);
	return t;
}

/* What is known, copied. False: ask. */
static bool recall(struct click_call *call, bool anew)
{
	struct click *k = call->k;
	struct click_table *t;
	bool known = false;

	pthread_mutex_lock(&k->lock);
	t = table_make(k, call->table->name);
	if (t) {
		t->known &= !anew;
		known = t->known;
		call->shape = t->shape;
		call->series = call->op == CLICK_APPEND ? t->insert : call->op == CLICK_FIND ? t->select : t->expire;
	}
	pthread_mutex_unlock(&k->lock);
	return known;
}

static void remember(struct click_call *call)
{
	struct click_table *t;

	pthread_mutex_lock(&call->k->lock);
	t = table_of(call->k, call->table->name);
	if (t) {
		t->shape = call->shape;
		t->known = true;
	}
	pthread_mutex_unlock(&call->k->lock);
}

static int on_shape(struct click_query *q)
{
	struct click_call *call = q->arg;
	char why[320];

	if (q->error.kind) {
		click_call_failed(call);
		return CH_AGAIN;
	}
	if (!click_shape_read(call->table, q->text ? q->text : "", q->n, &call->shape, why, sizeof(why))) {
		q->error.kind = CLICK_SCHEMA;
		q->detail = ch_print(call->c, "%s", why);
		click_call_failed(call);
		return CH_AGAIN;
	}
	remember(call);
	call->steps(call);
	return CH_AGAIN;
}

void click_call_shape(struct click_call *call, bool anew, void (*then)(struct click_call *))
{
	struct click_text sql = { .c = call->c };

	call->steps = then;
	if (recall(call, anew)) {
		then(call);
		return;
	}
	click_sql_shape(&sql, call->table->name);
	call->q.done = on_shape;
	click_query_read(&call->q, &sql);
}

void click_call_forget(struct click_call *call)
{
	struct click_table *t;

	pthread_mutex_lock(&call->k->lock);
	t = table_of(call->k, call->table->name);
	if (t)
		t->known = false;
	pthread_mutex_unlock(&call->k->lock);
}

/* ---- the beginning ---- */

static void enter(struct click_call *call)
{
	struct click *k = call->k;

	if (call->fault.fail) {
		click_call_over(call, CH_SINK_RETRY,
			ch_print(call->c, "A fault was ordered at the seam storage: %s.", call->fault.kind ? call->fault.kind : "fail"),
			CLICK_B_NONE);
		return;
	}
	pthread_mutex_lock(&k->lock);
	call->pass = ch_breaker_allow(&k->breaker, &breaker_conf, ch_now());
	pthread_mutex_unlock(&k->lock);
	if (!call->pass) {
		click_call_over(call, CH_SINK_RETRY, "ClickHouse has failed several times in a row and is left alone for a moment.",
			CLICK_B_NONE);
		return;
	}
	click_call_shape(call, false, call->steps);
}

static int on_pause(struct ch_ctx *c, void *data, int why, void *result)
{
	struct click_call *call = data;

	(void)c;
	(void)result;
	if (!call->pause)
		return CH_AGAIN;
	ch_unsuspend(call->pause);
	call->pause = 0;
	if (why == CH_GONE)
		click_call_over(call, CH_SINK_RETRY, "The call was given up.", CLICK_B_NONE);
	else
		enter(call);
	return CH_AGAIN;
}

void *click_call_new(size_t size, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_relation *table, int64_t timeout_ms,
	struct ch_sink_result *out, ch_ticket outer)
{
	struct click_call *call = ch_alloc(c, size);
	struct click *k = svc->self->state;

	if (!call) {
		out->outcome = CH_SINK_RETRY;
		out->detail = no_memory;
		return NULL;
	}
	call->k = k;
	call->c = c;
	call->out = out;
	call->outer = outer;
	call->table = table;
	call->q.k = k;
	call->q.c = c;
	call->q.arg = call;
	call->q.due = ch_now() + (timeout_ms > 0 ? timeout_ms : click_conf_of(k)->timeout) * 1000;
	return call;
}

int click_call_begin(struct click_call *call)
{
	call->fault.size = sizeof(call->fault);
	call->out->call = call;
	if (!ch_fault(call->c, CH_S_STORAGE, &call->fault)) {
		enter(call);
	} else if (call->fault.delay_ms > 0) {
		call->pause = ch_suspend(call->c, call->fault.delay_ms, on_pause, call);
		if (!call->pause)
			click_call_no_memory(call);
	} else {
		enter(call);
	}
	call->async = !call->over;
	return call->async ? CH_AGAIN : CH_OK;
}

/* ---- what is provided ---- */

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sink_result *out)
{
	(void)svc;
	(void)c;
	if (out->call)
		click_call_cancel(out->call);
}

static void about(const struct ch_svc *svc, struct ch_sink_about *out)
{
	const struct click_conf *conf = svc->self->conf;

	out->rows = (size_t)conf->batch_rows;
	out->bytes = (size_t)16 << 20;
	out->age_ms = conf->batch_age;
}

const struct ch_sink_v1 click_sink = { sizeof(click_sink), click_append, click_find, click_expire, cancel, about };
