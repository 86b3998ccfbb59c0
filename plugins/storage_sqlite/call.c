/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - a call between its ctx's loop and the thread that runs it.
 *
 * Two hold it: the loop until the call is answered, the other side from the queue until what it posted has come. The answer is given once,
 * by whoever sets `answered` under the call's lock: the post of a finished call, its deadline, or a cancel. From then on its caller's memory
 * is not touched; a thread that is in the middle of the call finds out at its next sq_enter.
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

/* ---- answering ---- */

static void answer(struct sq_call *call)
{
	if (call->kind == SQ_SQL)
		sq_answer_sql(call);
	else
		sq_answer_sink(call);
	ch_db_failed(&call->store->errors, call->error.code);
}

/* The answer is in the call: gives it, on the loop, and lets go of what the loop held. */
static void give(struct sq_call *call)
{
	call->delivering = true;
	answer(call);
	unlink_call(call);
	ch_resume(call->ticket, NULL, NULL);
	let_go(call, 1);
}

/* Is it ours to answer? Then it is answered from now on. */
static bool claim(struct sq_call *call)
{
	bool ours;

	pthread_mutex_lock(&call->lock);
	ours = !call->answered;
	call->answered = true;
	if (ours && call->conn) /* a reader is at it */
		sqlite3_interrupt(call->conn->db);
	pthread_mutex_unlock(&call->lock);
	return ours;
}

static void on_finished(void *data)
{
	struct sq_call *call = data;

	if (claim(call))
		give(call);
	let_go(call, 1);
}

/* The thread's error and rows do not count: the call ends before it is told of them. */
static void end_early(struct sq_call *call, int code, const char *text)
{
	struct sq_error *e = malloc(sizeof(*e)), *own = &call->error;

	(void)e;
	free(e);
	(void)own;
	(void)code;
	(void)text;
}

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
