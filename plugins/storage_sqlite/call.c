/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - a call between its ctx's loop and the thread that runs it.
 *
 * Two hold it: the loop until the call is answered, the other side from the queue until what it posted has come. The answer is given
 * once, by whoever sets `answered` under the call's lock: the post of a finished call, its deadline, or a cancel. From then on its
 * caller's memory is not touched; a thread that is in the middle of the call finds out at its next sq_enter.
 */
#include <stdlib.h>

#include "sqlite.h"

static void let_go(struct sq_call *call, unsigned n)
{
	if (atomic_fetch_sub(&call->held, n) != n)
		return;
	while (call->words) {
		struct sq_words *w = call->words;

		call->words = w->next;
		free(w);
	}
	free(call->refused);
	free(call->counts);
	free(call->given.p);
	pthread_mutex_destroy(&call->lock);
	free(call);
}

/* ---- the calls of a loop, and its timer ---- */

static void on_timer(void *data);

/* When the loop has to look at the call: its deadline, or before that the end of an injected delay. */
static int64_t wake_of(const struct sq_call *call)
{
	return call->delay && call->delay < call->deadline ? call->delay : call->deadline;
}

static void set_timer(struct sq_loop *l, int64_t at)
{
	int64_t ms = (at - ch_now() + 999) / 1000;

	if (l->at && l->at <= at)
		return;
	l->at = at;
	ch_timer_set(l->timer, ms > 0 ? ms : 0);
}

static void link_call(struct sq_call *call)
{
	struct sq_loop *l = call->loop;

	call->loop_prev = NULL;
	call->loop_next = l->first;
	if (l->first)
		l->first->loop_prev = call;
	l->first = call;
	set_timer(l, wake_of(call));
}

static void unlink_call(struct sq_call *call)
{
	*(call->loop_prev ? &call->loop_prev->loop_next : &call->loop->first) = call->loop_next;
	if (call->loop_next)
		call->loop_next->loop_prev = call->loop_prev;
}

/* ---- answering ---- */

/* Fills the answer in; with error OK it gives the rows, too. */
static void answer(struct sq_call *call, struct sq_error *e)
{
	call->delivering = true;
	if (call->kind == SQ_SQL)
		sq_answer_sql(call, e);
	else
		sq_answer_sink(call, e);
	ch_db_failed(&call->store->errors, e->code);
}

/* On the loop: the answer, and the end of what the loop held. */
static void give(struct sq_call *call, struct sq_error *e)
{
	ch_ticket ticket = call->ticket;

	answer(call, e);
	unlink_call(call);
	let_go(call, 1);
	ch_resume(ticket, NULL, NULL);
}

/* Is it still to be answered? Then by whoever asks. */
static bool claim(struct sq_call *call)
{
	bool ours;

	pthread_mutex_lock(&call->lock);
	ours = !call->answered;
	call->answered = true;
	pthread_mutex_unlock(&call->lock);
	return ours;
}

/*
 * Its end before the thread has told one. May it have happened? Then the answer is that nobody knows. Asked and claimed in one: between the
 * two the writer might begin it.
 */
static void end_early(struct sq_call *call, struct sq_error *e)
{
	bool waits = !call->queued || sq_dequeue(call->store, call), ours, happened;

	pthread_mutex_lock(&call->lock);
	ours = !call->answered;
	call->answered = true;
	happened = call->writes && call->begun && !(call->finished && call->error.code);
	pthread_mutex_unlock(&call->lock);
	if (!ours)
		return;
	if (waits)
		let_go(call, 1); /* what the queue held, or would have */
	else if (happened)
		sq_fail(e, CH_SQL_UNKNOWN, "The write was under way when the call ended: it may have happened.");
	give(call, e);
}

void sq_cancel(struct sq_call *call)
{
	struct sq_error e = { CH_SQL_OK };

	if (call->delivering) {
		call->dropped = true;
		return;
	}
	sq_fail(&e, CH_SQL_CANCELLED, "The call was given up.");
	end_early(call, &e);
}

static void time_out(struct sq_call *call)
{
	struct sq_store *s = call->store;
	struct sq_error e = { CH_SQL_OK };
	bool begun;

	pthread_mutex_lock(&call->lock);
	begun = call->begun;
	pthread_mutex_unlock(&call->lock);
	pthread_mutex_lock(&s->lock);
	if (begun)
		sq_fail(&e, CH_SQL_UNAVAILABLE, "The database did not answer in time: the statement takes too long, or the disk is slow.");
	else if (s->state == SQ_OPENING)
		sq_fail(&e, CH_SQL_UNAVAILABLE, "The database is not open yet: it is being brought up to date, or waits for a lock.");
	else if (call->writes && s->locked_out)
		sq_fail(&e, CH_SQL_CONFLICT, "Another process holds the lock of the database file: end it, or try again.");
	else
		sq_fail(&e, CH_SQL_BUSY, "The database had no time for the call: too many others came before it.");
	pthread_mutex_unlock(&s->lock);
	end_early(call, &e);
}

/* ---- the thread's side ---- */

bool sq_enter(struct sq_call *call)
{
	pthread_mutex_lock(&call->lock);
	if (call->answered) {
		pthread_mutex_unlock(&call->lock);
		return false;
	}
	call->begun = true;
	return true;
}

void sq_leave(struct sq_call *call)
{
	pthread_mutex_unlock(&call->lock);
}

static void on_finished(void *data)
{
	struct sq_call *call = data;

	if (claim(call))
		give(call, &call->error);
	let_go(call, 1);
}

/* There is no memory to tell the loop: the answer is given from here, and the loop finds the call when its timer fires. */
static void answer_from_here(struct sq_call *call)
{
	ch_ticket ticket = call->ticket;

	if (claim(call)) {
		if (call->kind == SQ_SQL) {
			call->sql.out->error = call->writes ? CH_SQL_UNKNOWN : CH_SQL_UNAVAILABLE;
			call->sql.out->detail = "The server has no memory for the answer.";
		} else {
			struct ch_sink_result *out = call->kind == SQ_APPEND ? call->append.out :
				call->kind == SQ_FIND ? call->find.out : call->expire.out;

			out->outcome = CH_SINK_RETRY;
			out->detail = "The server has no memory for the answer.";
		}
		ch_resume(ticket, NULL, NULL);
	}
	let_go(call, 1);
}

void sq_finish(struct sq_call *call)
{
	struct ch_loop *loop = NULL;

	pthread_mutex_lock(&call->lock);
	call->finished = true;
	if (!call->answered) /* else the instance may have left the loop already */
		loop = call->loop->loop;
	pthread_mutex_unlock(&call->lock);
	if (!loop)
		let_go(call, 1);
	else if (!ch_post(loop, on_finished, call))
		answer_from_here(call);
}

/* ---- a loop's timer ---- */

static bool enqueue(struct sq_call *call, struct sq_error *e)
{
	call->queued = true;
	if (sq_enqueue(call->store, call, e))
		return true;
	call->queued = false;
	return false;
}

/* The delay of an injected fault is over. */
static void launch(struct sq_call *call)
{
	struct sq_error e = { CH_SQL_OK };

	call->delay = 0;
	if (call->fault)
		sq_fail(&e, CH_SQL_UNAVAILABLE, "The storage does not work: a fault was injected.");
	else if (enqueue(call, &e))
		return;
	end_early(call, &e);
}

static void on_timer(void *data)
{
	struct sq_loop *l = data;
	struct sq_call *call, *next;
	int64_t now = ch_now();

	l->at = 0;
	for (call = l->first; call; call = next) {
		next = call->loop_next;
		if (atomic_load(&call->answered)) {
			unlink_call(call);
			let_go(call, 1);
		} else if (call->deadline <= now) {
			time_out(call);
		} else if (call->delay && call->delay <= now) {
			launch(call);
		}
	}
	for (call = l->first; call; call = call->loop_next)
		set_timer(l, wake_of(call));
}

bool sq_loop_start(struct sq_loop *l, struct sq_store *s, struct ch_loop *loop)
{
	l->store = s;
	l->loop = loop;
	l->timer = ch_timer(loop, on_timer, l);
	return l->timer != NULL;
}

void sq_loop_stop(struct sq_loop *l)
{
	while (l->first) { /* only what a thread has answered in our place is left: it has no ctx any more */
		struct sq_call *call = l->first;

		unlink_call(call);
		let_go(call, 1);
	}
	ch_timer_free(l->timer);
}

/* ---- a new one ---- */

struct sq_call *sq_call_new(struct ch_self *self, struct ch_ctx *ctx, int kind, int64_t timeout_ms, ch_ticket ticket)
{
	struct sq_loop *l = *ch_loop_state(self, ch_loop(ctx));
	struct sq_store *s = self->state;
	struct sq_call *call = l ? calloc(1, sizeof(*call)) : NULL;
	int64_t deadline = ch_deadline(ctx);

	if (!call)
		return NULL;
	call->store = s;
	call->kind = kind;
	call->writes = kind == SQ_APPEND || kind == SQ_EXPIRE;
	pthread_mutex_init(&call->lock, NULL);
	atomic_init(&call->held, 2);
	call->loop = l;
	call->ctx = ctx;
	call->ticket = ticket;
	call->deadline = ch_now() + (timeout_ms > 0 && timeout_ms < INT64_MAX / 2000 ? timeout_ms : s->conf->timeout) * 1000;
	if (deadline && deadline < call->deadline)
		call->deadline = deadline;
	return call;
}

int sq_submit(struct sq_call *call)
{
	struct ch_fault f = { .size = sizeof(f) };
	struct sq_error e = { CH_SQL_OK };

	if (ch_fault(call->ctx, CH_S_STORAGE, &f)) {
		call->fault = f.fail;
		if (f.delay_ms > 0)
			call->delay = ch_now() + f.delay_ms * 1000;
	}
	if (call->fault && !call->delay)
		sq_fail(&e, CH_SQL_UNAVAILABLE, "The storage does not work: a fault was injected.");
	else if (call->delay || enqueue(call, &e)) {
		link_call(call);
		return CH_AGAIN;
	}
	answer(call, &e);
	let_go(call, 2);
	return CH_OK;
}
