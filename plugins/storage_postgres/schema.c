/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c - migrations: a connection of its own, used blocking by one thread (kit/migrate.h has all the rest). It waits in short pieces,
 * so that a server which never answers does not hold up the end of ours.
 */
#include <poll.h>
#include <stdio.h>

#include <chimera/kit/hash.h>

#include "dsn.h"
#include "errors.h"
#include "storage_postgres.h"

#define SLICE 100                  /* ms */
#define STATEMENT_MS 600000        /* an index over a large table takes its time */
#define AGAIN_AFTER 10000000       /* microseconds between two looks while something is wrong */
#define ANEW_AFTER 1000000         /* the same, when the database may be another one now */

struct engine {
	struct ch_self *self;
	PGconn *pg;
};

/* ---- blocking, but not for long ---- */

/* false: the time is over, or the server is about to stop. */
static bool wait_for(struct engine *e, short events, int64_t until)
{
	const struct pg_state *s = e->self->state;
	struct pollfd p = { .fd = PQsocket(e->pg), .events = events };

	while (ch_now() < until && !atomic_load(&s->stopping)) {
		int n = poll(&p, 1, SLICE);

		if (n > 0)
			return true;
	}
	return false;
}

static bool rows(void *arg, const char *sql, ch_migrate_row row, void *row_arg, struct ch_migrate_error *error)
{
	struct engine *e = arg;
	int64_t until = ch_now() + STATEMENT_MS * INT64_C(1000);
	bool ok = true;
	PGresult *r;

	if (!PQsendQuery(e->pg, sql))
		return ch_migrate_fail(error, "the connection to PostgreSQL broke");
	for (;;) {
		while (PQisBusy(e->pg))
			if (!wait_for(e, POLLIN, until) || !PQconsumeInput(e->pg))
				return ch_migrate_fail(error, PQstatus(e->pg) == CONNECTION_OK ? "PostgreSQL did not answer in time" :
				                       "the connection to PostgreSQL broke");
		r = PQgetResult(e->pg);
		if (!r)
			return ok;
		if (ok && PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK) {
			const char *m = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY), *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

			ok = ch_migrate_fail(error, "%s (SQLSTATE %s)", m ? m : "the connection to PostgreSQL broke",
				state ? state : "none");
		}
		for (int i = 0; ok && row && i < PQntuples(r); i++) {
			const char *columns[64];
			int n = PQnfields(r) < 64 ? PQnfields(r) : 64;

			for (int k = 0; k < n; k++)
				columns[k] = PQgetisnull(r, i, k) ? NULL : PQgetvalue(r, i, k);
			if (!row(row_arg, (size_t)n, columns))
				row = NULL;
		}
		PQclear(r);
	}
}

static bool exec(void *arg, const char *sql, struct ch_migrate_error *error)
{
	return rows(arg, sql, NULL, NULL, error);
}

static void sha256(const void *p, size_t n, unsigned char out[32])
{
	ch_sha256(&(struct ch_str){ p, n }, 1, out);
}

/* ---- the connection ---- */

static void no_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

static bool dial(struct engine *e, int64_t until)
{
	PostgresPollingStatusType s = PGRES_POLLING_WRITING;

	while (s == PGRES_POLLING_WRITING || s == PGRES_POLLING_READING) {
		if (!wait_for(e, s == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
			return false;
		s = PQconnectPoll(e->pg);
	}
	return s == PGRES_POLLING_OK;
}

static bool connect_failed(struct engine *e, PQconninfoOption *dsn, struct ch_migrate_error *error)
{
	const struct pg_conf *conf = e->self->conf;
	const char *said = e->pg ? PQerrorMessage(e->pg) : "no memory is left";
	char where[300] = "", state[6], why[PG_WHY_MAX];

	if (e->pg)
		pg_where(e->pg, where, sizeof(where));
	pg_error_connect(*said ? said : "it did not answer in time", where, e->pg && PQuser(e->pg) ? PQuser(e->pg) : "",
	                 e->pg && PQdb(e->pg) ? PQdb(e->pg) : "", state, why, sizeof(why));
	pg_scrub(why, conf->password);
	pg_scrub(why, pg_dsn_get(dsn, "password"));
	return ch_migrate_fail(error, "%s", why);
}

static void close_engine(struct ch_self *self, struct ch_migrate_engine *engine)
{
	struct engine *e = engine->arg;

	(void)self;
	PQfinish(e->pg);
	free(e);
}

bool pg_schema_open(struct ch_self *self, struct ch_migrate_engine *out, struct ch_migrate_error *error)
{
	static struct ch_addrs *const none[PG_HOSTS_MAX];
	const struct pg_conf *conf = self->conf;
	struct pg_dial d = { .password = conf->password, .sslmode = conf->tls_mode ? pg_tls_modes[conf->tls_mode] : NULL,
		.sslrootcert = conf->tls_ca, .blocking = true };
	struct engine *e = calloc(1, sizeof(*e));
	PQconninfoOption *dsn = pg_dsn_parse(conf->dsn);
	struct pg_params params;
	bool ok = false;

	if (e && dsn && pg_dsn_params(&params, dsn, &d, none)) {
		e->self = self;
		e->pg = PQconnectStartParams(params.keywords, params.values, 0);
		pg_params_free(&params);
		if (e->pg) {
			PQsetErrorVerbosity(e->pg, PQERRORS_VERBOSE);
			PQsetNoticeReceiver(e->pg, no_notice, NULL);
		}
		ok = e->pg && PQstatus(e->pg) != CONNECTION_BAD && dial(e, ch_now() + conf->connect_timeout * 1000);
		if (!ok)
			connect_failed(e, dsn, error);
		/* Not the role's or the database's own limits: a migration takes as long as it takes, but waits for no lock for ever. */
		ok = ok && exec(e, "SET statement_timeout = 0", error) && exec(e, "SET idle_in_transaction_session_timeout = 0", error) &&
		     exec(e, "SET lock_timeout = '60s'", error);
	} else {
		ch_migrate_fail(error, "no memory is left");
	}
	pg_dsn_free(dsn);
	if (!ok) {
		if (e)
			PQfinish(e->pg);
		free(e);
		return false;
	}
	*out = (struct ch_migrate_engine){ .name = "postgresql", .arg = e, .exec = exec, .rows = rows, .sha256 = sha256 };
	return true;
}

/* ---- what is known ---- */

static void changed(struct ch_self *self, const struct ch_migrate_status *status)
{
	struct pg_state *s = self->state;
	char text[160];

	if (!status->known)
		return;
	pthread_mutex_lock(&s->lock);
	s->status = *status;
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->usable, ch_migrate_usable(status));
	ch_migrate_tell(self, CH_DB_METRICS_N, status);
	if (ch_migrate_health(status, text, sizeof(text)) == CH_HEALTHY)
		ch_degraded(self, "schema", false, "%s", text);
	else
		ch_degraded(self, "schema", true, "%s", text);
}

static bool told(void *arg, const char *text)
{
	struct ch_self *self = arg;
	const struct pg_state *s = self->state;

	ch_log(self, NULL, CH_INFO, "migrate: %s", text);
	return !atomic_load(&s->stopping);
}

static void look(void *data)
{
	struct ch_self *self = data;
	const struct pg_conf *conf = self->conf;
	struct pg_state *s = self->state;
	struct ch_migrate_report report = { .arg = self, .line = conf->migrate == CH_MIGRATE_AUTO ? told : NULL };
	struct ch_migrate_error error = { "" };
	struct ch_migrate_status status = { 0 };
	struct ch_migrate_engine e;
	bool ok = pg_schema_open(self, &e, &error);

	if (ok) {
		ok = ch_migrate_ensure(&e, conf->migrations, conf->migrate, &report, &status, &error);
		close_engine(self, &e);
	}
	changed(self, &status);
	if (!ok && !atomic_load(&s->stopping))
		ch_degraded(self, "schema", true, "%s", error.text);
	atomic_store(&s->looking, false);
}

void pg_schema_look(struct ch_self *self, bool anew)
{
	const struct pg_conf *conf = self->conf;
	struct pg_state *s = self->state;
	int64_t now = ch_now(), before = atomic_load(&s->looked), pause = anew ? ANEW_AFTER : AGAIN_AFTER;
	bool good;

	pthread_mutex_lock(&s->lock);
	good = ch_migrate_good(&s->status);
	pthread_mutex_unlock(&s->lock);
	if (conf->migrate == CH_MIGRATE_OFF || (good && !anew) || (before && now - before < pause) || atomic_load(&s->looking))
		return;
	if (s->thread)
		ch_thread_join(s->thread); /* it has ended */
	atomic_store(&s->looked, now);
	atomic_store(&s->looking, true);
	s->thread = ch_thread(self, "pg schema", look, self);
	if (!s->thread)
		atomic_store(&s->looking, false);
}

void pg_schema_stop(struct ch_self *self)
{
	struct pg_state *s = self->state;

	atomic_store(&s->stopping, true);
	if (s->thread)
		ch_thread_join(s->thread);
	s->thread = NULL;
}

static const char *dir(struct ch_self *self)
{
	const struct pg_conf *conf = self->conf;

	return conf->migrations;
}

const struct ch_migrate_adapter pg_migrate = { .engine = "postgresql", .open = pg_schema_open, .close = close_engine, .dir = dir,
	.changed = changed };
