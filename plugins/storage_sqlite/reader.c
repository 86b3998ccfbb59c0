/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - a thread that reads beside the writer, on a read-only connection of its own: what is committed, at one moment a call. */
#include "sqlite.h"

/* The file is opened when the first call comes, and anew when the writer has done so. */
static bool be_open(struct sq_store *s, struct sq_conn *c, struct sq_error *e)
{
	uint64_t epoch;

	pthread_mutex_lock(&s->lock);
	epoch = s->epoch;
	pthread_mutex_unlock(&s->lock);
	if (c->db && c->epoch == epoch)
		return true;
	sq_close(c, true);
	if (!sq_open(s, c, SQ_OPEN_READER, e))
		return false;
	c->epoch = epoch;
	return true;
}

/* What is broken for a reader is broken for all: the writer opens the file anew. */
static void tell_writer(struct sq_store *s, const struct sq_error *e)
{
	pthread_mutex_lock(&s->lock);
	s->broken = true;
	s->breakage = *e;
	pthread_cond_signal(&s->writes.wake);
	pthread_mutex_unlock(&s->lock);
}

static void run(struct sq_conn *c, struct sq_call *call)
{
	bool several = call->kind == SQ_SQL && call->sql.args.statements.n > 1;
	int rc = several ? sq_own(c, SQ_BEGIN_READ) : SQLITE_OK;

	if (rc != SQLITE_OK)
		sq_fail_db(&call->error, c->db, rc);
	else if (call->kind == SQ_FIND)
		sq_run_find(c, call);
	else
		sq_run_sql(c, call);
	if (!sqlite3_get_autocommit(c->db))
		sq_own(c, SQ_ROLLBACK);
}

/* It began like one that reads, WITH, and changes something: the writer's. False: it cannot wait there, its error says why. */
static bool hand_over(struct sq_store *s, struct sq_call *call)
{
	call->misplaced = false;
	pthread_mutex_lock(&call->lock);
	call->begun = false;
	call->writes = true;
	pthread_mutex_unlock(&call->lock);
	return sq_enqueue(s, call, &call->error);
}

static void serve(struct sq_store *s, struct sq_conn *c, struct sq_call *call)
{
	if (be_open(s, c, &call->error)) {
		c->call = call;
		run(c, call);
		c->call = NULL;
	}
	if (sq_is_fatal(call->error.rc))
		tell_writer(s, &call->error);
	pthread_mutex_lock(&s->lock);
	s->running--;
	sq_say(s);
	pthread_mutex_unlock(&s->lock);
	if (!call->misplaced || !hand_over(s, call))
		sq_finish(call);
}

void sq_reader(void *data)
{
	struct sq_store *s = data;
	struct sq_conn c = { .db = NULL };
	struct sq_call *call;

	pthread_mutex_lock(&s->lock);
	while (!atomic_load(&s->ending)) {
		call = s->state == SQ_UP ? sq_take(s, &s->reads) : NULL;
		if (!call) {
			sq_wait(s, &s->reads, -1);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		serve(s, &c, call);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	sq_close(&c, true);
}
