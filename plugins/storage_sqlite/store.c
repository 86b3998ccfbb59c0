/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the store: its threads, its two queues, and what is told of its state. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sqlite.h"

/* ---- queues ---- */

static struct sq_queue *queue_of(struct sq_store *s, const struct sq_call *call)
{
	return call->writes ? &s->writes : &s->reads;
}

void sq_say(struct sq_store *s)
{
	ch_db_gauges_say(&s->gauges, s->running, s->open > s->running ? s->open - s->running : 0, (int64_t)(s->writes.n + s->reads.n));
}

bool sq_enqueue(struct sq_store *s, struct sq_call *call, struct sq_error *e)
{
	struct sq_queue *q = queue_of(s, call);
	bool good = true;

	pthread_mutex_lock(&s->lock);
	if (s->state == SQ_DOWN) {
		good = sq_fail(e, s->why_code, "%s", s->why);
	} else if (s->writes.n + s->reads.n >= (size_t)s->conf->max_waiting) {
		good = sq_fail(e, CH_SQL_BUSY, "%lld calls wait for the database already (max_waiting): try again later.",
			(long long)s->conf->max_waiting);
	} else {
		call->place = SQ_WAITING;
		call->since = ch_now();
		call->next = NULL;
		call->prev = q->last;
		*(q->last ? &q->last->next : &q->first) = call;
		q->last = call;
		q->n++;
		sq_say(s);
		pthread_cond_signal(&q->wake);
		if (s->lazy)
			pthread_cond_signal(&s->writes.wake);
	}
	pthread_mutex_unlock(&s->lock);
	return good;
}

/* Under the lock. */
static void take_out(struct sq_store *s, struct sq_call *call)
{
	struct sq_queue *q = queue_of(s, call);

	*(call->prev ? &call->prev->next : &q->first) = call->next;
	*(call->next ? &call->next->prev : &q->last) = call->prev;
	q->n--;
}

bool sq_dequeue(struct sq_store *s, struct sq_call *call)
{
	bool waits;

	pthread_mutex_lock(&s->lock);
	waits = call->place == SQ_WAITING;
	if (waits) {
		take_out(s, call);
		call->place = SQ_NOWHERE;
		sq_say(s);
	}
	pthread_mutex_unlock(&s->lock);
	return waits;
}

struct sq_call *sq_take(struct sq_store *s, struct sq_queue *q)
{
	struct sq_call *call = q->first;

	if (!call)
		return NULL;
	take_out(s, call);
	call->place = SQ_TAKEN;
	call->next = NULL;
	s->running++;
	sq_say(s);
	return call;
}

void sq_done(struct sq_store *s, struct sq_call *call)
{
	pthread_mutex_lock(&s->lock);
	s->running--;
	sq_say(s);
	pthread_mutex_unlock(&s->lock);
	sq_finish(call);
}

void sq_wait(struct sq_store *s, struct sq_queue *q, int64_t ms)
{
	struct timespec until;

	if (ms < 0) {
		pthread_cond_wait(&q->wake, &s->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&q->wake, &s->lock, &until);
}

void sq_fail_waiting(struct sq_store *s, struct sq_queue *q, const struct sq_error *e, int64_t before)
{
	struct sq_call *call, *failed = NULL;

	pthread_mutex_lock(&s->lock);
	while (q->first && q->first->since <= before) {
		call = sq_take(s, q);
		call->next = failed;
		failed = call;
	}
	pthread_mutex_unlock(&s->lock);
	while (failed) {
		call = failed;
		failed = call->next;
		call->error = *e;
		sq_done(s, call);
	}
}

/* ---- state ---- */

void sq_set_state(struct sq_store *s, int state, int code, const char *why)
{
	pthread_mutex_lock(&s->lock);
	s->state = state;
	s->why_code = code == CH_SQL_CONFLICT || code == CH_SQL_FULL ? code : CH_SQL_UNAVAILABLE;
	snprintf(s->why, sizeof(s->why), "%s", why);
	pthread_cond_broadcast(&s->reads.wake);
	pthread_mutex_unlock(&s->lock);
	ch_degraded(s->self, "database", state != SQ_UP, "%s", why);
}

void sq_set_full(struct sq_store *s, bool full, const char *why)
{
	bool was;

	pthread_mutex_lock(&s->lock);
	was = s->full;
	s->full = full;
	snprintf(s->full_why, sizeof(s->full_why), "%s", why);
	pthread_mutex_unlock(&s->lock);
	if (full || was)
		ch_degraded(s->self, "disk", full, "%s", why);
}

/* ---- life ---- */

static bool init_queue(struct sq_queue *q)
{
	pthread_condattr_t attr;
	bool good;

	if (pthread_condattr_init(&attr))
		return false;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	good = !pthread_cond_init(&q->wake, &attr);
	pthread_condattr_destroy(&attr);
	return good;
}

static void end_threads(struct sq_store *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->ending, true);
	pthread_cond_broadcast(&s->reads.wake);
	pthread_mutex_unlock(&s->lock);
	for (int64_t i = 0; s->readers && i < s->conf->readers && s->readers[i]; i++)
		ch_thread_join(s->readers[i]);
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_broadcast(&s->writes.wake);
	pthread_mutex_unlock(&s->lock);
	if (s->writer) /* the last one: it leaves a file without a log */
		ch_thread_join(s->writer);
}

void sq_store_stop(struct sq_store *s)
{
	end_threads(s);
	pthread_mutex_lock(&s->lock);
	ch_db_gauges_say(&s->gauges, 0, 0, 0);
	pthread_mutex_unlock(&s->lock);
	free(s->readers);
	pthread_cond_destroy(&s->writes.wake);
	pthread_cond_destroy(&s->reads.wake);
	pthread_mutex_destroy(&s->lock);
}

bool sq_store_start(struct sq_store *s, struct ch_self *self)
{
	const char *const id[] = { self->id };
	bool good;

	s->self = self;
	s->conf = self->conf;
	if (pthread_mutex_init(&s->lock, NULL) || !init_queue(&s->writes) || !init_queue(&s->reads))
		return false;
	s->commits = ch_series(self, SQ_COMMITS, id);
	s->commit_seconds = ch_series(self, SQ_COMMIT_SECONDS, id);
	s->wal_bytes = ch_series(self, SQ_WAL_BYTES, id);
	ch_db_gauges_init(self, &s->gauges);
	ch_db_errors_init(self, &s->errors);
	snprintf(s->why, sizeof(s->why), "The database is being opened.");
	s->lazy = !ch_loop_at(1); /* a server has workers beside its house loop */
	s->readers = calloc((size_t)s->conf->readers, sizeof(struct ch_thread *));
	good = s->readers != NULL;
	s->writer = good ? ch_thread(self, "sqlite writer", sq_writer, s) : NULL;
	good = good && s->writer;
	for (int64_t i = 0; good && i < s->conf->readers; i++)
		good = (s->readers[i] = ch_thread(self, "sqlite reader", sq_reader, s)) != NULL;
	if (!good)
		sq_store_stop(s);
	return good;
}
