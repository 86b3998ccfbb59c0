/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - migrations: SQLite for the kit's engine, at start and for the commands, each time on a connection of its own. */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/hash.h>

#include "sqlite.h"

/* ---- the engine ---- */

static bool say(sqlite3 *db, struct ch_migrate_error *error)
{
	return ch_migrate_fail(error, "%s", sqlite3_errmsg(db));
}

static bool run_rows(void *arg, const char *sql, ch_migrate_row row, void *row_arg, struct ch_migrate_error *error)
{
	sqlite3 *db = ((struct sq_conn *)arg)->db;
	const char *columns[64];
	sqlite3_stmt *st;
	bool more = true;
	int rc, n;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return say(db, error);
	n = sqlite3_column_count(st);
	if (n > 64)
		n = 64;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && more) {
		for (int i = 0; i < n; i++)
			columns[i] = (const char *)sqlite3_column_text(st, i);
		more = !row || row(row_arg, (size_t)n, columns);
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		say(db, error);
		sqlite3_finalize(st);
		return false;
	}
	sqlite3_finalize(st);
	return true;
}

static bool run_sql(void *arg, const char *sql, struct ch_migrate_error *error)
{
	return run_rows(arg, sql, NULL, NULL, error);
}

static void digest(const void *p, size_t n, unsigned char out[32])
{
	ch_sha256(&(struct ch_str){ p, n }, 1, out);
}

static struct ch_migrate_engine engine_of(struct sq_conn *c)
{
	return (struct ch_migrate_engine){ .name = "sqlite", .arg = c, .exec = run_sql, .rows = run_rows, .sha256 = digest };
}

/* ---- at start ---- */

static bool log_line(void *arg, const char *text)
{
	struct sq_store *s = arg;

	ch_log(s->self, NULL, CH_INFO, "%s", text);
	return !atomic_load(&s->ending);
}

static void keep(struct sq_store *s, const struct ch_migrate_status *status)
{
	bool good = !status->known || ch_migrate_good(status);
	char text[512];

	pthread_mutex_lock(&s->lock);
	s->schema = *status;
	pthread_mutex_unlock(&s->lock);
	ch_migrate_tell(s->self, CH_DB_METRICS_N, status);
	ch_migrate_health(status, text, sizeof(text));
	ch_degraded(s->self, "schema", !good, "%s", text);
}

bool sq_schema_ensure(struct sq_store *s, struct sq_error *e)
{
	struct ch_migrate_report report = { .arg = s, .line = log_line };
	struct ch_migrate_status status = { .known = false };
	struct ch_migrate_error *error = malloc(sizeof(*error));
	struct sq_conn c;
	bool good;

	if (!error)
		return sq_fail_db(e, NULL, SQLITE_NOMEM);
	good = sq_open(s, &c, SQ_OPEN_PLAIN, e);
	if (good) {
		struct ch_migrate_engine engine = engine_of(&c);

		good = ch_migrate_ensure(&engine, s->conf->migrations, s->conf->migrate, &report, &status, error);
		keep(s, &status);
		if (!good)
			sq_fail(e, CH_SQL_UNAVAILABLE, "The schema of the database cannot be brought up to date: %s", error->text);
		sq_close(&c, true);
	}
	free(error);
	return good;
}

/* ---- while it runs: others may change the file, too ---- */

static void *look(void *data)
{
	struct sq_store *s = data;
	struct ch_migrate_error *error = malloc(sizeof(*error));
	struct ch_migrate_status status;
	struct sq_error e = { CH_SQL_OK };
	struct sq_conn c;

	if (error && sq_open(s, &c, SQ_OPEN_PLAIN, &e)) {
		struct ch_migrate_engine engine = engine_of(&c);

		if (ch_migrate_status(&engine, s->conf->migrations, NULL, &status, error))
			keep(s, &status);
		sq_close(&c, true);
	}
	free(error);
	return NULL;
}

static int on_looked(struct ch_ctx *ctx, void *data, int why, void *result)
{
	(void)ctx;
	(void)data;
	(void)why;
	(void)result;
	return CH_DONE;
}

int sq_schema_look(struct ch_self *self, struct ch_ctx *ctx)
{
	struct sq_store *s = self->state;
	ch_ticket ticket;
	bool up;

	pthread_mutex_lock(&s->lock);
	up = s->state == SQ_UP;
	pthread_mutex_unlock(&s->lock);
	if (!up || s->conf->migrate == CH_MIGRATE_OFF)
		return CH_DONE;
	ticket = ch_suspend(ctx, 0, on_looked, NULL);
	if (ticket && ch_offload(self, look, s, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return CH_DONE;
}

/* ---- commands ---- */

static bool open_for_command(struct ch_self *self, struct ch_migrate_engine *out, struct ch_migrate_error *error)
{
	struct sq_conn *c = malloc(sizeof(*c));
	struct sq_error e = { CH_SQL_OK };

	if (!c)
		return ch_migrate_fail(error, "There is no memory for a connection.");
	if (!sq_open(self->state, c, SQ_OPEN_PLAIN, &e)) {
		free(c);
		return ch_migrate_fail(error, "%s", e.text);
	}
	*out = engine_of(c);
	return true;
}

static void close_of_command(struct ch_self *self, struct ch_migrate_engine *e)
{
	(void)self;
	sq_close(e->arg, true);
	free(e->arg);
}

static const char *folder(struct ch_self *self)
{
	return ((const struct sq_conf *)self->conf)->migrations;
}

static void changed(struct ch_self *self, const struct ch_migrate_status *status)
{
	keep(self->state, status);
}

static const struct ch_migrate_adapter adapter = { .engine = "sqlite", .open = open_for_command, .close = close_of_command, .dir = folder,
	.changed = changed };

int sq_migrate_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv)
{
	return ch_migrate_command(self, ctx, argc, argv, &adapter);
}

int sq_schema_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv)
{
	return ch_schema_command(self, ctx, argc, argv, &adapter);
}
