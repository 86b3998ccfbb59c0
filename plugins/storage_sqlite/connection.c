/* SPDX-License-Identifier: Apache-2.0 */
/* connection.c - a connection to the file: opened with all that is asked of it, closed, and its own statements. Threads only. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sqlite.h"

#define STEPS 2000                        /* of SQLite's machine between two looks whether the answer is still wanted */
#define SCRATCH_KEPT ((size_t)256 << 10)

/* ---- waiting for a lock ---- */

static int64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A call that is answered already, by its deadline or a cancel, need not be run to its end. */
static int unwanted(void *data)
{
	const struct sq_conn *c = data;

	return c->call && atomic_load(&c->call->answered);
}

/* Another process has the file: 1 to 50 ms later it is tried again, until busy_timeout, the end of the server, or of who asked. */
static int on_busy(void *data, int times)
{
	struct sq_conn *c = data;
	int64_t now = clock_us();

	if (!times) {
		c->busy_since = now;
		if (c->writes) {
			pthread_mutex_lock(&c->store->lock);
			c->store->locked_out = true;
			pthread_mutex_unlock(&c->store->lock);
		}
	}
	if (atomic_load(&c->store->ending) || now - c->busy_since >= c->store->conf->busy_timeout * 1000 || unwanted(c))
		return 0;
	usleep(times < 5 ? 1000u << times : 50000);
	return 1;
}

/* ---- what a statement may do ---- */

static int allowed(void *data, int action, const char *a, const char *b, const char *database, const char *trigger)
{
	const struct sq_conn *c = data;

	(void)a;
	(void)b;
	(void)database;
	(void)trigger;
	switch (action) {
	case SQLITE_SELECT: case SQLITE_READ: case SQLITE_INSERT: case SQLITE_UPDATE: case SQLITE_DELETE:
	case SQLITE_FUNCTION: case SQLITE_RECURSIVE:
		return SQLITE_OK;
	default:
		return c->owner ? SQLITE_OK : SQLITE_DENY;
	}
}

static int on_commit(void *data, sqlite3 *db, const char *name, int frames)
{
	struct sq_conn *c = data;

	(void)db;
	(void)name;
	c->frames = frames;
	return SQLITE_OK;
}

/* ---- opening ---- */

/* The folders above the file, those that are missing with the mode 0700. */
static bool make_folders(const char *path, struct sq_error *e)
{
	char folder[4096];
	size_t n = strlen(path);

	if (n >= sizeof(folder))
		return sq_fail(e, CH_SQL_UNAVAILABLE, "The path of the database is longer than %zu bytes.", sizeof(folder) - 1);
	for (size_t i = 1; i < n; i++) {
		if (path[i] != '/')
			continue;
		memcpy(folder, path, i);
		folder[i] = 0;
		if (mkdir(folder, 0700) && errno != EEXIST && access(folder, F_OK))
			return sq_fail(e, errno == ENOSPC ? CH_SQL_FULL : CH_SQL_UNAVAILABLE, "The folder %.150s cannot be made: %s.",
				folder, strerror(errno));
	}
	return true;
}

/*
 * SQLite would make it for all to read; its log and index get the mode of the file. A file that is there is left alone, not even opened:
 * closing it would take this process' locks of it away.
 */
static bool make_file(const char *path, struct sq_error *e)
{
	char log[4096 + 5];
	struct stat file, of_log;
	int fd;

	snprintf(log, sizeof(log), "%s-wal", path);
	if ((stat(path, &file) || !file.st_size) && !stat(log, &of_log) && of_log.st_size) /* SQLite would delete it */
		return sq_fail(e, CH_SQL_UNAVAILABLE, "The database file is gone, but its log %.150s is there: put the file back, or "
			"move the log away.",
			log);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	if (errno == EEXIST)
		return true;
	return sq_fail(e, errno == ENOSPC || errno == EROFS ? CH_SQL_FULL : CH_SQL_UNAVAILABLE, "The database file %.150s cannot be "
		"made: %s.", path,
		strerror(errno));
}

static int run(struct sq_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int run(struct sq_conn *c, const char *fmt, ...)
{
	char sql[200];
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	c->owner = true;
	rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	c->owner = false;
	return rc;
}

/* PRAGMA journal_mode=WAL answers with the mode that the file then has. */
static int turn_to_wal(struct sq_conn *c, struct sq_error *e)
{
	sqlite3_stmt *st;
	const char *mode;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA journal_mode=WAL", -1, &st, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(st);
	mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	if (mode && strcmp(mode, "wal")) {
		sq_fail(e, CH_SQL_UNAVAILABLE, "The file system cannot share memory between processes, so the database's journal mode "
			"stays \"%.20s\": put "
			"the database on a local disk.", mode);
		rc = SQLITE_PROTOCOL;
	} else if (mode) {
		rc = SQLITE_OK;
	}
	return sqlite3_finalize(st) != SQLITE_OK && rc == SQLITE_OK ? SQLITE_ERROR : rc;
}

static int prepare_own(struct sq_conn *c)
{
	static const char *const texts[SQ_OWN] = { "BEGIN IMMEDIATE", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "RELEASE s",
		"ROLLBACK TO s" };
	int rc = SQLITE_OK;

	c->owner = true;
	for (int i = 0; i < SQ_OWN && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(c->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &c->own[i], NULL);
	c->owner = false;
	return rc;
}

/* What every connection has. Comparing text by bytes is what both engines agree on, so LIKE does that, too. */
static int set_up(struct sq_conn *c, int how, struct sq_error *e)
{
	const struct sq_conf *conf = c->store->conf;
	int rc;

	sqlite3_busy_handler(c->db, on_busy, c);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	rc = run(c, "PRAGMA foreign_keys=ON; PRAGMA case_sensitive_like=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%lld",
		(long long)(conf->cache_size >> 10));
	if (rc == SQLITE_OK && how != SQ_OPEN_READER) {
		rc = turn_to_wal(c, e);
		if (rc == SQLITE_OK)
			rc = run(c, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=%lld", (long long)conf->checkpoint * 4);
	}
	if (rc == SQLITE_OK) /* a look at the file: what is none, or damaged at its front, is found out now */
		rc = run(c, "SELECT count(*) FROM sqlite_schema");
	if (rc != SQLITE_OK || how == SQ_OPEN_PLAIN)
		return rc;
	if (how == SQ_OPEN_WRITER)
		sqlite3_wal_hook(c->db, on_commit, c); /* in place of SQLite's own, which would move the log while answers wait */
	sqlite3_progress_handler(c->db, STEPS, unwanted, c);
	rc = sqlite3_set_authorizer(c->db, allowed, c);
	return rc == SQLITE_OK ? prepare_own(c) : rc;
}

bool sq_open(struct sq_store *s, struct sq_conn *c, int how, struct sq_error *e)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		(how == SQ_OPEN_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	int rc;

	memset(c, 0, sizeof(*c));
	c->store = s;
	c->writes = how == SQ_OPEN_WRITER;
	c->cache.most = (size_t)s->conf->statements;
	if (how != SQ_OPEN_READER && !(make_folders(s->conf->path, e) && make_file(s->conf->path, e)))
		return false;
	e->code = CH_SQL_OK;
	rc = sqlite3_open_v2(s->conf->path, &c->db, flags, NULL);
	if (rc == SQLITE_OK && how != SQ_OPEN_READER && sqlite3_db_readonly(c->db, "main") == 1)
		rc = SQLITE_READONLY;
	if (rc == SQLITE_OK)
		rc = set_up(c, how, e);
	if (rc == SQLITE_OK) {
		pthread_mutex_lock(&s->lock);
		s->open++;
		if (c->writes)
			s->locked_out = false;
		sq_say(s);
		pthread_mutex_unlock(&s->lock);
		return true;
	}
	if (!e->code) {
		sq_fail_db(e, rc == SQLITE_READONLY ? NULL : c->db, rc);
		if (e->code == CH_SQL_UNKNOWN) /* nobody has asked for anything yet */
			e->code = CH_SQL_UNAVAILABLE;
	}
	for (int i = 0; i < SQ_OWN; i++)
		sqlite3_finalize(c->own[i]);
	sqlite3_close(c->db);
	memset(c, 0, sizeof(*c));
	return false;
}

void sq_close(struct sq_conn *c, bool keep_log)
{
	if (!c->db)
		return;
	sq_cache_free(&c->cache);
	for (int i = 0; i < SQ_OWN; i++)
		sqlite3_finalize(c->own[i]);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_log ? 1 : 0, NULL);
	sqlite3_close(c->db);
	free(c->scratch);
	pthread_mutex_lock(&c->store->lock);
	c->store->open--;
	sq_say(c->store);
	pthread_mutex_unlock(&c->store->lock);
	memset(c, 0, sizeof(*c));
}

/* ---- using it ---- */

int sq_own(struct sq_conn *c, int which)
{
	int rc;

	c->owner = true;
	rc = sqlite3_step(c->own[which]);
	sqlite3_reset(c->own[which]);
	c->owner = false;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sq_write_nothing(struct sq_conn *c)
{
	int rc = sq_own(c, SQ_BEGIN);

	if (rc == SQLITE_OK)
		rc = run(c, "PRAGMA user_version=0"); /* written even if it is 0 already, and used by nobody */
	if (rc == SQLITE_OK)
		rc = sq_own(c, SQ_COMMIT);
	if (!sqlite3_get_autocommit(c->db))
		sq_own(c, SQ_ROLLBACK);
	return rc;
}

char *sq_scratch(struct sq_conn *c, size_t n)
{
	char *p;

	if (n <= c->scratch_size && (c->scratch_size <= SCRATCH_KEPT || n > SCRATCH_KEPT))
		return c->scratch;
	if (n < 4096)
		n = 4096;
	p = malloc(n);
	if (!p)
		return NULL;
	free(c->scratch);
	c->scratch = p;
	c->scratch_size = n;
	return p;
}
