/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_postgres.c - "sql/1" and "sink/1" on PostgreSQL: options, metrics, life, health. storage_postgres.h tells where the rest is.
 *
 * Threads and ownership: see storage_postgres.h.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "dsn.h"
#include "storage_postgres.h"

enum { M_CONNECTS = CH_DB_METRICS_N + CH_MIGRATE_METRICS_N };
enum { SLOW = 1000 };              /* ms: a ping that takes longer is degraded */

const char *const pg_tls_modes[] = { "dsn", "disable", "prefer", "require", "verify-ca", "verify-full", NULL };

/* ---- health ---- */

struct probe {
	const struct ch_svc *svc;
	struct ch_svc own;
	struct ch_sql_statement statement;
	struct ch_sql_args args;
	struct ch_sql_result out;
	struct ch_check_result *result;
	int64_t began;
};

static void judge(struct probe *p, const char *error)
{
	struct ch_self *self = p->own.self;
	struct pg_state *s = self->state;
	int64_t ms = (ch_now() - p->began) / 1000;
	char text[sizeof(p->result->message)];
	struct ch_migrate_status status;

	if (error) {
		p->result->health = CH_UNHEALTHY;
		snprintf(p->result->message, sizeof(p->result->message), "%s", error);
		return;
	}
	pg_schema_look(self, false);
	pthread_mutex_lock(&s->lock);
	status = s->status;
	pthread_mutex_unlock(&s->lock);
	p->result->health = ch_migrate_health(&status, text, sizeof(text));
	if (p->result->health == CH_HEALTHY && ms > SLOW) {
		p->result->health = CH_DEGRADED;
		snprintf(p->result->message, sizeof(p->result->message), "SELECT 1 took %lld ms", (long long)ms);
	} else {
		snprintf(p->result->message, sizeof(p->result->message), "SELECT 1 took %lld ms%s%.100s", (long long)ms,
			*text ? "; " : "", text);
	}
}

static int on_probed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct probe *p = data;

	(void)result;
	if (why == CH_READY) {
		judge(p, p->out.error ? p->out.detail : NULL);
		return CH_OK;
	}
	pg_sql_vt.cancel(&p->own, c, &p->out);
	judge(p, "PostgreSQL did not answer SELECT 1 in time");
	return CH_OK;
}

static int check_health(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct probe *p = ch_alloc(c, sizeof(*p));
	ch_ticket ticket = p ? ch_suspend(c, 0, on_probed, p) : 0;
	int rc;

	if (!ticket)
		return CH_ERROR;
	*p = (struct probe){ .own = { .size = sizeof(p->own), .vt = &pg_sql_vt, .self = self, .id = self->id },
		.statement = { .text = "SELECT 1", .want = 1 }, .out = { .size = sizeof(p->out) }, .result = out, .began = ch_now() };
	p->args = (struct ch_sql_args){ .size = sizeof(p->args), .statements = CH_SQL(&p->statement, 1) };
	rc = pg_sql_vt.run(&p->own, c, &p->args, &p->out, ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	judge(p, p->out.error ? p->out.detail : NULL);
	return rc;
}

/* ---- commands ---- */

static int migrate(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return ch_migrate_command(self, c, argc, argv, &pg_migrate);
}

static int schema(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return ch_schema_command(self, c, argc, argv, &pg_migrate);
}

/* ---- life ---- */

static int check(struct ch_self *self)
{
	const struct pg_conf *conf = self->conf;
	const char *fault = pg_dsn_fault(conf->dsn);

	if (fault)
		ch_config_error(self, NULL, "dsn", "%s", fault);
	if (*conf->tls_ca && access(conf->tls_ca, R_OK)) {
		ch_config_error(self, NULL, "tls_ca", "%s cannot be read: %s; name a PEM file, or leave the key out", conf->tls_ca,
			strerror(errno));
		fault = conf->tls_ca;
	}
	return fault ? CH_ERROR : CH_OK;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	static const char *const results[] = { "failed", "ok" };
	struct pg_state *s = self->state;

	(void)prev;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->end, NULL);
	pg_link_init(&s->early);
	pg_link_init(&s->unsaid);
	for (struct ch_loop *l; (l = ch_loop_at(s->loops)); s->loops++)
		s->house = l;
	ch_db_errors_init(self, &s->errors);
	for (int i = 0; i < 2; i++)
		s->connects[i] = ch_series(self, M_CONNECTS, &results[i]);
	atomic_store(&s->usable, true);
	return CH_OK;
}

static void say_again(void *data)
{
	pg_calls_say(data);
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct pg_state *s = self->state;
	struct pg_pool *p;

	if (l != s->house)
		return CH_OK;
	s->again = ch_timer(l, say_again, s);
	*ch_loop_state(self, l) = p = s->again ? pg_pool_new(self, l) : NULL;
	s->stopped = !p;
	while (pg_linked(&s->early)) {
		struct pg_call *call = PG_OF(s->early.next, struct pg_call, link);

		pg_unlink(&call->link);
		if (p)
			pg_call_arrive(call, p);
		else
			pg_call_end(call, CH_SQL_UNAVAILABLE, "No memory is left for a pool of connections.");
	}
	return p ? CH_OK : CH_ERROR;
}

static void loop_adopt(struct ch_self *self, struct ch_self *prev, struct ch_loop *l)
{
	struct pg_pool *was = *ch_loop_state(prev, l);

	(void)self;
	if (was)
		pg_pool_retire(was); /* what it has begun it ends; the successor has connections of its own */
}

static void end_pool(void *data)
{
	struct ch_self *self = data;
	struct pg_state *s = self->state;
	void **slot = ch_loop_state(self, s->house);
	struct pg_pool *p = *slot;

	*slot = NULL;
	s->stopped = true;
	if (p)
		pg_pool_free(p);
	ch_timer_free(s->again);
	s->again = NULL;
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	pthread_cond_signal(&s->end);
	pthread_mutex_unlock(&s->lock);
}

/* Each loop leaves when nothing of this generation runs there any more; the pool serves all of them, so it goes with the last. */
static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	struct pg_state *s = self->state;

	if (atomic_fetch_add(&s->left, 1) + 1 < s->loops)
		return;
	if (l == s->house)
		end_pool(self);
	else if (!ch_post(s->house, end_pool, self))
		s->ended = true; /* no memory: it stays as it is, and is never used again */
}

static void stop(struct ch_self *self)
{
	struct pg_state *s = self->state;

	pthread_mutex_lock(&s->lock);
	while (!s->ended && atomic_load(&s->left) == s->loops) /* the house loop is about to */
		pthread_cond_wait(&s->end, &s->lock);
	pthread_mutex_unlock(&s->lock);
	pg_schema_stop(self);
	pthread_cond_destroy(&s->end);
	pthread_mutex_destroy(&s->lock);
}

/* ---- tables ---- */

#define OPT(name, T, ...) CH_OPT(struct pg_conf, name, T, __VA_ARGS__)
#define TIME .min = "10ms", .max = "1d"

static const struct ch_option options[] = {
	OPT(dsn, STR, .flags = CH_O_SECRET, .def = "host=127.0.0.1 dbname=chimera user=chimera", .env = "DATABASE_URL",
		.help = "libpq's connection string, keywords or postgresql://…; several hosts with target_session_attrs find the writing one"),
	OPT(password, STR, .flags = CH_O_SECRET, .help = "The role's password, in place of one in dsn; @FILE keeps it out of the config"),
	OPT(tls_mode, ENUM, .def = "dsn", .values = pg_tls_modes,
		.help = "libpq's sslmode; dsn: what stands there, else prefer. Over networks that are not yours: verify-full"),
	OPT(tls_ca, PATH, .flags = CH_O_WATCH,
		.help = "PEM file of the authorities for verify-ca and verify-full; empty: sslrootcert of dsn"),
	OPT(pool_size, INT, .def = "10", .min = "1", .max = "1000", .help = "Connections of the process that are kept"),
	OPT(max_overflow, INT, .def = "10", .min = "0", .max = "1000",
		.help = "Further ones, made when all are in use and closed when idle"),
	OPT(pool_timeout, DURATION, TIME, .def = "2s", .help = "How long a call waits for a connection; then it fails as busy"),
	OPT(max_waiting, INT, .def = "1000", .min = "1", .max = "1000000",
		.help = "Calls that may wait; further ones fail as busy at once"),
	OPT(connect_timeout, DURATION, TIME, .def = "5s", .help = "Name, connection, TLS and login together"),
	OPT(statement_timeout, DURATION, TIME, .def = "30s", .help = "A statement on the server, and a call's time there as we count it"),
	OPT(idle_timeout, DURATION, TIME, .flags = CH_O_OFF, .def = "10m", .help = "An idle connection is closed behind it"),
	OPT(max_lifetime, DURATION, TIME, .flags = CH_O_OFF, .def = "1h", .help = "A connection is closed behind it, when nobody uses it"),
	OPT(pre_ping, DURATION, .flags = CH_O_OFF, .min = "0ms", .max = "1d", .def = "30s",
		.help = "A connection that was idle for longer is tried by a round trip before it is used"),
	CH_MIGRATE_OPTIONS(struct pg_conf, "check"),
};

static const char *const connect_results[] = { "failed", "ok", NULL };
static const struct ch_metric metrics[] = {
	CH_DB_METRICS,
	CH_MIGRATE_METRICS,
	{ .name = "chimera_postgres_connects_total", .kind = CH_COUNTER, .labels = { { "result", CH_L_FIXED, connect_results } },
		.help = "Attempts to connect to PostgreSQL, by what came of them" },
};

static const struct ch_provide provides[] = {
	{ .iface = "sql/1", .vt = &pg_sql_vt, .rank = 10 },
	{ .iface = "sink/1", .vt = &pg_sink_vt, .rank = 10 },
};
static const struct ch_check checks[] = { { .name = "storage_postgres", .fn = check_health } };
static const struct ch_command commands[] = { CH_MIGRATE_COMMANDS(migrate, schema) };

static const struct ch_plugin storage_postgres = {
	.size = sizeof(storage_postgres),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "storage_postgres",
	.version = "0.1",
	.summary = "PostgreSQL: sql/1 and sink/1 over one pool of connections",
	.conf_size = sizeof(struct pg_conf),
	.state_size = sizeof(struct pg_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.commands = CH_TABLE(commands),
	.check = check,
	.start = start,
	.stop = stop,
	.loop_start = loop_start,
	.loop_adopt = loop_adopt,
	.loop_stop = loop_stop,
};

CH_PLUGIN(storage_postgres, storage_postgres)
