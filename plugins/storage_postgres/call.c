/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - a call's way: made on the ctx's loop, posted to the house loop, and back. The caller's ticket keeps the ctx, and what the
 * caller has given, until the answer. A call has one reference of its own way, and one of each message that says it is given up.
 */
#include <stdarg.h>
#include <stdio.h>

#include "storage_postgres.h"

static struct ch_loop *house(const struct pg_call *call)
{
	return ((const struct pg_state *)call->self->state)->house;
}

void pg_call_put(struct pg_call *call)
{
	if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) > 1)
		return;
	call->dispose(call);
	free(call);
}

/* ---- there ---- */

void pg_call_init(struct pg_call *call, const struct ch_svc *svc, struct ch_ctx *c, ch_ticket ticket, int64_t timeout_ms)
{
	const struct pg_conf *conf = svc->self->conf;
	int64_t deadline = ch_deadline(c);

	atomic_init(&call->refs, 1);
	call->self = svc->self;
	call->loop = ch_loop(c);
	call->c = c;
	call->ticket = ticket;
	call->began = ch_now();
	call->until = call->began + (timeout_ms > 0 ? timeout_ms : conf->pool_timeout + conf->statement_timeout) * 1000;
	if (deadline && deadline < call->until)
		call->until = deadline;
	call->fault.size = sizeof(call->fault);
	call->struck = ch_fault(c, CH_S_STORAGE, &call->fault);
	pg_link_init(&call->link);
}

static void strike(void *data)
{
	struct pg_call *call = data;

	ch_timer_free(call->timer);
	call->timer = NULL;
	if (call->fault.fail)
		pg_call_end(call, CH_SQL_UNAVAILABLE, "PostgreSQL cannot be reached (a fault of the plugin chaos).");
	else
		pg_pool_submit(call->pool, call);
}

void pg_call_arrive(struct pg_call *call, struct pg_pool *p)
{
	call->pool = p;
	if (call->struck && (call->fault.delay_ms > 0 || call->fault.fail)) {
		call->timer = ch_timer(call->pool->loop, strike, call);
		call->state = PG_CALL_DELAYED;
		if (call->timer)
			ch_timer_set(call->timer, call->fault.delay_ms);
		else
			strike(call);
		return;
	}
	pg_pool_submit(call->pool, call);
}

/* After a reload a worker may be at the new instance before the house loop is. */
static void arrive(void *data)
{
	struct pg_call *call = data;
	struct pg_state *s = call->self->state;
	struct pg_pool *p = *ch_loop_state(call->self, house(call));

	if (p)
		pg_call_arrive(call, p);
	else if (s->stopped)
		pg_call_end(call, CH_SQL_UNAVAILABLE, "The server is about to stop.");
	else
		pg_link_last(&s->early, &call->link);
}

int pg_call_send(struct pg_call *call)
{
	if (ch_post(house(call), arrive, call))
		return CH_AGAIN;
	pg_call_put(call);
	return CH_OK;
}

static void give_up(void *data)
{
	struct pg_call *call = data;

	if (call->state == PG_CALL_RUNNING)
		pg_conn_abandon(call->conn, CH_SQL_CANCELLED, "The call was given up.");
	else if (call->state != PG_CALL_ENDED)
		pg_call_end(call, CH_SQL_CANCELLED, "The call was given up.");
	pg_call_put(call);
}

void pg_call_cancel(struct pg_call *call)
{
	if (call->cancelled)
		return;
	call->cancelled = true;
	atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
	if (!ch_post(house(call), give_up, call)) {
		call->cancelled = false; /* it ends by its own time */
		atomic_fetch_sub_explicit(&call->refs, 1, memory_order_relaxed);
	}
}

/* ---- and back ---- */

static void back(void *data)
{
	struct pg_call *call = data;
	ch_ticket ticket = call->ticket;
	const struct pg_state *s = call->self->state;

	ch_db_failed(&s->errors, call->error);
	call->answer(call);
	pg_call_put(call);
	ch_resume(ticket, NULL, NULL);
}

/* Without memory for the message it is tried again and again: the ticket holds its ctx, and with it the instance. */
bool pg_calls_say(struct pg_state *s)
{
	while (pg_linked(&s->unsaid)) {
		struct pg_call *call = PG_OF(s->unsaid.next, struct pg_call, link);

		pg_unlink(&call->link); /* before it is another loop's */
		if (ch_post(call->loop, back, call))
			continue;
		pg_link_first(&s->unsaid, &call->link);
		if (s->again)
			ch_timer_set(s->again, 10);
		return false;
	}
	return true;
}

void pg_call_end(struct pg_call *call, int error, const char *detail)
{
	struct pg_pool *p = call->pool;
	struct pg_state *s = call->self->state;

	if (call->state == PG_CALL_WAITING)
		p->nwaiting--;
	pg_unlink(&call->link);
	ch_timer_free(call->timer);
	call->timer = NULL;
	call->state = PG_CALL_ENDED;
	call->conn = NULL;
	call->error = error;
	if (p && p->retry_at)
		call->retry_ms = (p->retry_at - ch_now()) / 1000;
	if (detail)
		snprintf(call->detail, sizeof(call->detail), "%s", detail);
	if (!call->ticket) { /* the pool's own: nobody waits */
		call->answer(call);
		pg_call_put(call);
	} else {
		pg_link_last(&s->unsaid, &call->link);
		pg_calls_say(s);
	}
}
