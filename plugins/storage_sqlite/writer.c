/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.c - the one thread that writes: it opens the file, and opens it again when it must, commits what waits in groups, moves the log
 * into the file behind the answers.
 *
 * A group is what waits when the lock of the file is had: one transaction, each call in a savepoint of its own, one fsync for all of them.
 * Until then a call may leave the queue; nobody gets an answer before COMMIT has returned.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sqlite.h"

#define GROUP_CALLS 256
#define GROUP_ROWS 20000
#define WAIT_MIN 100                      /* milliseconds between two tries to open the file, doubled each time */
#define WAIT_MAX 5000
#define PROBE 1000                        /* milliseconds between two tries to write while that fails */
#define GOOD_US 10000000                  /* open so long: the next trouble is a new one */

struct writer {
	struct sq_store *s;
	struct sq_conn c;
	struct sq_call *group[GROUP_CALLS];
	size_t n;
	struct sq_error dead;             /* what ended the transaction of the whole group; code OK: nothing */
	bool doubtful;                    /* an fsync has failed: nothing is answered before the log is in the file */
	bool busy;                        /* the lock was not had the last time */
	int64_t wait, opened;
};

/* ---- opening and closing ---- */

/* Behind a failed fsync nobody knows what the disk has of the log: all of it is moved into the file, for which fsync has to be good. */
static bool move_log(struct writer *w, struct sq_error *e)
{
	int rc, left = 0, moved = 0;

	if (!w->doubtful)
		return true;
	rc = sqlite3_wal_checkpoint_v2(w->c.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &left, &moved);
	if (rc != SQLITE_OK) {
		sq_fail_db(e, w->c.db, rc);
		return false;
	}
	w->doubtful = false;
	return true;
}

static bool open_all(struct writer *w)
{
	struct sq_store *s = w->s;
	struct sq_error e = { CH_SQL_OK };

	if (!sq_open(s, &w->c, SQ_OPEN_WRITER, &e) || !move_log(w, &e) || !sq_schema_ensure(s, &e)) {
		sq_close(&w->c, true);
		ch_log(s->self, NULL, CH_DEBUG, "%s: %s", s->conf->path, e.text);
		sq_set_state(s, SQ_DOWN, e.code, e.text);
		sq_fail_waiting(s, &s->writes, &e, INT64_MAX);
		sq_fail_waiting(s, &s->reads, &e, INT64_MAX);
		return false;
	}
	pthread_mutex_lock(&s->lock);
	s->epoch++;
	s->broken = false;
	pthread_mutex_unlock(&s->lock);
	w->opened = ch_now();
	sq_set_state(s, SQ_UP, CH_SQL_OK, "The database is open.");
	return true;
}

/* The connection is of no use any more. Its log stays as it is: closing moves nothing. */
static void shut(struct writer *w, const struct sq_error *e)
{
	if (e->rc == SQLITE_IOERR_FSYNC || e->rc == SQLITE_IOERR_DIR_FSYNC || e->rc == SQLITE_IOERR_TRUNCATE)
		w->doubtful = true;
	if (ch_now() - w->opened >= GOOD_US)
		w->wait = 0;
	if (e->rc == SQLITE_READONLY_DBMOVED) /* what is committed goes with the file; its log would be in the new one's way */
		sqlite3_wal_checkpoint_v2(w->c.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sq_set_state(w->s, SQ_DOWN, e->code, e->text);
	sq_close(&w->c, true);
}

/* Before the next try: at once the first time, then longer and longer. */
static void wait_to_open(struct writer *w)
{
	struct sq_store *s = w->s;

	if (w->wait) {
		pthread_mutex_lock(&s->lock);
		if (!s->closing)
			sq_wait(s, &s->writes, w->wait);
		pthread_mutex_unlock(&s->lock);
	}
	w->wait = w->wait ? w->wait * 2 < WAIT_MAX ? w->wait * 2 : WAIT_MAX : WAIT_MIN;
}

/* ---- a group ---- */

static bool is_bad(const struct sq_call *call)
{
	return call->error.code || call->nrefused;
}

static void run_call(struct writer *w, struct sq_call *call, bool alone)
{
	struct sq_conn *c = &w->c;
	int rc = alone ? SQLITE_OK : sq_own(c, SQ_SAVE);

	c->call = call;
	if (rc != SQLITE_OK)
		sq_fail_db(&call->error, c->db, rc);
	else if (call->kind == SQ_APPEND)
		sq_run_append(c, call);
	else if (call->kind == SQ_EXPIRE)
		sq_run_expire(c, call);
	else
		sq_run_sql(c, call);
	c->call = NULL;
	if (call->error.code == CH_SQL_UNKNOWN)
		call->error.code = CH_SQL_UNAVAILABLE; /* nothing is committed yet, and will not be */
	if (sqlite3_get_autocommit(c->db)) { /* SQLite has undone all of it */
		if (!call->error.code)
			sq_fail(&call->error, CH_SQL_UNAVAILABLE, "The database has undone the transaction; try again.");
		w->dead = call->error;
		return;
	}
	if (sq_is_fatal(call->error.rc))
		w->dead = call->error;
	if (alone || rc != SQLITE_OK)
		return;
	rc = is_bad(call) ? sq_own(c, SQ_UNDO) : SQLITE_OK;
	if (rc == SQLITE_OK)
		rc = sq_own(c, SQ_RELEASE);
	if (rc != SQLITE_OK)
		sq_fail_db(&w->dead, c->db, rc);
}

/* What went well so far did not happen, or (at the commit) perhaps. */
static void fail_group(struct writer *w, const struct sq_error *e)
{
	for (size_t i = 0; i < w->n; i++)
		if (!is_bad(w->group[i]))
			w->group[i]->error = *e;
}

static void roll_back(struct writer *w)
{
	if (!sqlite3_get_autocommit(w->c.db))
		sq_own(&w->c, SQ_ROLLBACK);
}

/*
 * Commits what went well. False: all are undone for the sake of one: its deadline or cancel interrupted it in the middle of a statement,
 * or a constraint that is looked at only now speaks against it.
 */
static bool commit(struct writer *w)
{
	struct sq_store *s = w->s;
	struct sq_error e = { CH_SQL_OK };
	int64_t began = ch_now();
	size_t good = 0;
	int rc;

	for (size_t i = 0; i < w->n; i++)
		good += !is_bad(w->group[i]);
	if (!good || w->dead.code) {
		roll_back(w);
		if (w->dead.rc == SQLITE_INTERRUPT && w->n > 1)
			return false;
		if (w->dead.code)
			fail_group(w, &w->dead);
		return true;
	}
	rc = sq_own(&w->c, SQ_COMMIT);
	if (rc == SQLITE_OK) {
		ch_add(s->commits, 1);
		ch_observe(s->commit_seconds, (double)(ch_now() - began) / 1e6);
		return true;
	}
	sq_fail_db(&e, w->c.db, rc);
	roll_back(w);
	if ((rc & 0xff) == SQLITE_CONSTRAINT && w->n > 1)
		return false;
	if ((rc & 0xff) == SQLITE_IOERR && e.code != CH_SQL_FULL)
		e.code = CH_SQL_UNKNOWN;
	fail_group(w, &e);
	w->dead = e;
	return true;
}

static void run_group(struct writer *w)
{
	w->dead.code = CH_SQL_OK;
	w->dead.rc = SQLITE_OK;
	for (size_t i = 0; i < w->n; i++) {
		if (w->dead.code && w->dead.rc != SQLITE_INTERRUPT)
			w->group[i]->error = w->dead;
		else if (!w->dead.code)
			run_call(w, w->group[i], w->n == 1);
	}
}

/* Each by itself, in a transaction of its own, to find the one that cannot be. */
static void run_singly(struct writer *w)
{
	struct sq_call *all[GROUP_CALLS];
	size_t n = w->n;

	memcpy(all, w->group, n * sizeof(all[0]));
	for (size_t i = 0; i < n; i++) {
		int rc = sq_own(&w->c, SQ_BEGIN);

		w->group[0] = all[i];
		w->n = 1;
		if (rc == SQLITE_OK) {
			run_group(w);
			commit(w);
		} else {
			sq_fail_db(&all[i]->error, w->c.db, rc);
		}
	}
	memcpy(w->group, all, n * sizeof(all[0]));
	w->n = n;
}

/* The lock is had: whatever waits now comes along, up to so much. */
static void take_group(struct writer *w)
{
	struct sq_store *s = w->s;
	size_t rows = 0;

	w->n = 0;
	pthread_mutex_lock(&s->lock);
	s->locked_out = false;
	while (w->n < GROUP_CALLS && rows < GROUP_ROWS && s->writes.first) {
		struct sq_call *call = sq_take(s, &s->writes);

		rows += call->kind == SQ_APPEND ? call->append.batch.nrows : 0;
		w->group[w->n++] = call;
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- what a group leaves behind ---- */

/* The log is moved into the file where that does not make anybody wait for an answer. */
static void tend_log(struct writer *w)
{
	struct sq_store *s = w->s;
	const int64_t frame = 4096 + 24;
	int rc, left = 0, moved = 0;

	ch_set(s->wal_bytes, (double)w->c.frames * frame);
	if (!w->c.db || w->c.frames * frame < s->conf->checkpoint)
		return;
	/* Readers that never pause would let it grow for ever: from some size on they are waited for. */
	rc = sqlite3_wal_checkpoint_v2(w->c.db, NULL, w->c.frames * frame < s->conf->checkpoint * 16 ? SQLITE_CHECKPOINT_PASSIVE :
		SQLITE_CHECKPOINT_RESTART, &left, &moved);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
		struct sq_error e = { CH_SQL_OK };

		sq_fail_db(&e, w->c.db, rc);
		if (e.code == CH_SQL_FULL)
			sq_set_full(s, true, e.text);
		if (sq_is_fatal(rc))
			shut(w, &e);
	}
}

static void conclude(struct writer *w)
{
	struct sq_error worst = { CH_SQL_OK };
	bool good = false, full = false;

	for (size_t i = 0; i < w->n; i++) {
		const struct sq_error *e = &w->group[i]->error;

		good = good || !is_bad(w->group[i]);
		full = full || e->code == CH_SQL_FULL;
		if (sq_is_fatal(e->rc) || e->code == CH_SQL_FULL)
			worst = *e;
	}
	if (w->dead.code && sq_is_fatal(w->dead.rc))
		worst = w->dead;
	if (sq_is_fatal(worst.rc))
		shut(w, &worst); /* before anybody hears of it: a call that comes back at once finds it down */
	else if (full)
		sq_set_full(w->s, true, worst.text);
	else if (good)
		sq_set_full(w->s, false, "The database can be written again.");
	for (size_t i = 0; i < w->n; i++)
		sq_done(w->s, w->group[i]);
	w->n = 0;
	if (w->c.db)
		tend_log(w);
}

/* ---- the thread ---- */

/* Nobody may move or delete the file: what is written would be gone with it. */
static bool has_moved(struct writer *w)
{
	int moved = 0;

	return sqlite3_file_control(w->c.db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

static void lock_is_had(struct writer *w)
{
	if (w->busy)
		ch_degraded(w->s->self, "lock", false, "The lock of the database file can be had again.");
	w->busy = false;
}

static void serve(struct writer *w)
{
	struct sq_store *s = w->s;
	struct sq_error e = { CH_SQL_OK };
	int rc = has_moved(w) ? SQLITE_READONLY_DBMOVED : sq_own(&w->c, SQ_BEGIN);

	if (rc != SQLITE_OK) {
		bool busy = (rc & 0xff) == SQLITE_BUSY;

		sq_fail_db(&e, rc == SQLITE_READONLY_DBMOVED ? NULL : w->c.db, rc);
		if (busy) {
			w->busy = true;
			ch_degraded(s->self, "lock", true, "%s", e.text);
		}
		if (e.code == CH_SQL_FULL)
			sq_set_full(s, true, e.text);
		if (sq_is_fatal(rc))
			shut(w, &e);
		if (rc != SQLITE_READONLY_DBMOVED) /* nothing is lost yet: they go into the new one */
			sq_fail_waiting(s, &s->writes, &e, busy ? ch_now() - s->conf->busy_timeout * 1000 : INT64_MAX);
		return;
	}
	lock_is_had(w);
	take_group(w);
	run_group(w);
	if (!commit(w))
		run_singly(w);
	conclude(w);
}

/* While the disk is full, or the lock cannot be had, and nothing waits: can it be written again? */
static void probe(struct writer *w)
{
	int rc = sq_write_nothing(&w->c);
	struct sq_error e = { CH_SQL_OK };

	if (rc == SQLITE_OK) {
		sq_set_full(w->s, false, "The database can be written again.");
		lock_is_had(w);
	} else if (sq_is_fatal(rc)) {
		sq_fail_db(&e, w->c.db, rc);
		shut(w, &e);
	}
}

/* Until there is something to do. False: the end. */
static bool wait_for_work(struct writer *w)
{
	struct sq_store *s = w->s;
	bool on, tries = false;

	pthread_mutex_lock(&s->lock);
	while (!s->closing && !s->writes.first && !s->broken && !tries) {
		tries = s->full || w->busy;
		sq_wait(s, &s->writes, tries ? PROBE : -1);
	}
	on = !s->closing || s->writes.first;
	tries = tries && !s->writes.first && !s->broken;
	if (s->broken) {
		struct sq_error e = s->breakage;

		s->broken = false;
		pthread_mutex_unlock(&s->lock);
		shut(w, &e);
		return on;
	}
	pthread_mutex_unlock(&s->lock);
	if (on && tries)
		probe(w);
	return on;
}

/* In a process that runs one command the file is opened when something asks for it: the command may be about its schema. */
static void wait_to_begin(struct sq_store *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->lazy && !s->closing && !s->writes.first && !s->reads.first)
		sq_wait(s, &s->writes, -1);
	pthread_mutex_unlock(&s->lock);
}

static bool is_closing(struct sq_store *s)
{
	bool closing;

	pthread_mutex_lock(&s->lock);
	closing = s->closing;
	pthread_mutex_unlock(&s->lock);
	return closing;
}

void sq_writer(void *data)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct sq_store *s = data;

	if (!w) {
		sq_set_state(s, SQ_DOWN, CH_SQL_UNAVAILABLE, "The server has no memory to open the database.");
		return;
	}
	w->s = s;
	wait_to_begin(s);
	while (!is_closing(s)) {
		if (!w->c.db) {
			wait_to_open(w);
			if (is_closing(s) || !open_all(w))
				continue;
		}
		if (!wait_for_work(w))
			break;
		pthread_mutex_lock(&s->lock);
		bool work = w->c.db && s->writes.first;
		pthread_mutex_unlock(&s->lock);
		if (work)
			serve(w);
	}
	sq_close(&w->c, w->doubtful);
	free(w);
}
