/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.h - a harness with the plugin over a real file in a folder of its own; calls that are waited for; SQL past the plugin. */
#ifndef SQLITE_TEST_WORLD_H
#define SQLITE_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <chimera/test.h>

#include "sqlite.h"

CH_TEST_PLUGIN(storage_sqlite);

static struct ch_test *t;
static char folder[64], file[128];

/* ---- the file, past the plugin ---- */

/* Runs statements; the first column of the last row, as text, in static memory; "" without rows. */
__attribute__((unused)) static const char *direct(const char *sql)
{
	static char text[4096];
	sqlite3 *db;
	sqlite3_stmt *st;
	const char *rest = sql;

	text[0] = 0;
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	while (*rest) {
		int rc = sqlite3_prepare_v2(db, rest, -1, &st, &rest);

		if (rc != SQLITE_OK)
			fail_msg("%s: %s", sql, sqlite3_errmsg(db));
		while (st && (rc = sqlite3_step(st)) == SQLITE_ROW)
			snprintf(text, sizeof(text), "%s", sqlite3_column_text(st, 0) ? (const char *)sqlite3_column_text(st, 0) : "NULL");
		if (st && rc != SQLITE_DONE)
			fail_msg("%s: %s", sql, sqlite3_errmsg(db));
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
	return text;
}

/* ---- life ---- */

__attribute__((unused)) static void turn(void)
{
	ch_test_advance(t, 0);
	sched_yield();
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Turns until the condition holds, for two minutes of real time. */
#define WAIT_FOR(condition) \
	do { \
		double until_ = seconds() + 120; \
		while (!(condition)) { \
			turn(); \
			if (seconds() > until_) \
				fail_msg("waited in vain for " #condition); \
		} \
	} while (0)

__attribute__((unused)) static void make_folder(void)
{
	strcpy(folder, "/tmp/sqlite-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/test.db", folder);
}

/* A harness over the folder as it is. `more`: lines of the section. */
static void begin_again(const char *more)
{
	char ini[1024];

	t = ch_test_new();
	ch_test_sweep_off(t); /* its threads do not live in copies of the process */
	ch_test_plugin(t, CH_TEST_ENTRY(storage_sqlite));
	snprintf(ini, sizeof(ini), "[storage_sqlite]\npath = %s\n%s%s", file, more && strstr(more, "migrate =") ? "" : "migrate = off\n",
		more ? more : "");
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
}

/* The same over a folder of its own; its file has what `schema` makes (NULL: there is none). */
__attribute__((unused)) static void begin(const char *schema, const char *more)
{
	make_folder();
	if (schema)
		direct(schema);
	begin_again(more);
}

__attribute__((unused)) static void end(void)
{
	char command[100];

	ch_test_free(t);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

/* ---- calls ---- */

struct asked {
	/* what is asked */
	const struct ch_sql_statement *statements;
	size_t n, max_bytes, limit;       /* limit: so many rows are enough; 0: all */
	int64_t timeout_ms;
	const struct ch_sink_batch *batch;
	const struct ch_sink_find *find;
	const struct ch_relation *expire;
	int64_t before;
	bool cancel_in_row;
	/* what came of it */
	struct ch_ctx *ctx;
	struct ch_sql_result sql;
	struct ch_sink_result sink;
	bool done, called;                /* called: the provider said AGAIN */
	int error, outcome;
	char detail[400], constraint[200], rows[65536];
	size_t at, value, nrows, refused[10], nrefused;
	uint64_t counts[8], new_rows;
	char why[10][200];
};

static void add(struct asked *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct asked *a, const char *fmt, ...)
{
	size_t n = strlen(a->rows);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->rows + n, sizeof(a->rows) - n, fmt, ap);
	va_end(ap);
}

/* "1 2.5 'text' x'00ff' null;" a row. */
static void note(struct asked *a, const struct ch_value *row, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct ch_value *v = &row[i];

		add(a, "%s", i ? " " : "");
		if (v->null)
			add(a, "null");
		else if (v->type == CH_V_REAL)
			add(a, "%.17g", v->u.d);
		else if (v->type == CH_V_TEXT)
			add(a, "'%.*s'", (int)v->u.s.n, v->u.s.p);
		else if (v->type == CH_V_BLOB || v->type == CH_V_UUID) {
			const unsigned char *p = v->type == CH_V_UUID ? v->u.uuid : (const unsigned char *)v->u.s.p;
			size_t len = v->type == CH_V_UUID ? 16 : v->u.s.n;

			add(a, "x'");
			for (size_t k = 0; k < len; k++)
				add(a, "%02x", p[k]);
			add(a, "'");
		} else {
			add(a, "%lld", (long long)v->u.i);
		}
	}
	add(a, ";");
	a->nrows++;
}

static const struct ch_svc *service(const char *iface)
{
	return ch_test_provided(t, "storage_sqlite", iface);
}

static void give_up(struct asked *a)
{
	if (a->statements)
		((const struct ch_sql_v1 *)service("sql/1")->vt)->cancel(service("sql/1"), a->ctx, &a->sql);
	else
		((const struct ch_sink_v1 *)service("sink/1")->vt)->cancel(service("sink/1"), a->ctx, &a->sink);
}

static int on_sql_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct asked *a = arg;

	(void)c;
	if (statement && !strstr(a->rows, "|"))
		add(a, "|");
	note(a, row, n);
	if (a->cancel_in_row)
		give_up(a);
	return a->limit && a->nrows == a->limit ? CH_DONE : CH_OK;
}

static int on_sink_row(struct ch_ctx *c, void *arg, const struct ch_value *row)
{
	struct asked *a = arg;

	(void)c;
	note(a, row, a->find->table->columns.n);
	return CH_OK;
}

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct asked *a = data;

	(void)c;
	assert_null(result);
	assert_int_equal(why, CH_READY);
	assert_false(a->done);
	a->done = true;
	a->error = a->sql.error;
	a->outcome = a->sink.outcome;
	a->at = a->sql.at;
	a->value = a->sql.value;
	a->new_rows = a->sink.rows;
	assert_null(a->sql.call);
	assert_null(a->sink.call);
	snprintf(a->constraint, sizeof(a->constraint), "%s", a->sql.constraint ? a->sql.constraint : "");
	snprintf(a->detail, sizeof(a->detail), "%s", a->sql.detail ? a->sql.detail : a->sink.detail ? a->sink.detail : "");
	for (size_t i = 0; i < a->n && i < 8 && a->sql.counts; i++)
		a->counts[i] = a->sql.counts[i];
	a->nrefused = a->sink.refused.n;
	for (size_t i = 0; i < a->nrefused && i < 10; i++) {
		const struct ch_sink_refusal *r = (const struct ch_sink_refusal *)a->sink.refused.rows + i;

		a->refused[i] = r->row;
		snprintf(a->why[i], sizeof(a->why[i]), "%s", r->why);
	}
	return CH_DONE;
}

static int call_it(struct ch_ctx *c, void *data)
{
	struct asked *a = data;
	ch_ticket ticket = ch_suspend(c, 0, on_over, a);
	const struct ch_svc *svc = service(a->statements ? "sql/1" : "sink/1");
	int rc;

	assert_true(ticket != 0);
	a->ctx = c;
	a->sql.size = sizeof(a->sql);
	a->sink.size = sizeof(a->sink);
	if (a->statements) {
		struct ch_sql_args args = { .size = sizeof(args), .statements = CH_SQL(a->statements, a->n), .timeout_ms = a->timeout_ms,
			.max_bytes = a->max_bytes, .row = on_sql_row, .arg = a };

		rc = ((const struct ch_sql_v1 *)svc->vt)->run(svc, c, &args, &a->sql, ticket);
	} else {
		const struct ch_sink_v1 *vt = svc->vt;

		rc = a->batch ? vt->append(svc, c, a->batch, &a->sink, ticket) : a->find ? vt->find(svc, c, a->find, &a->sink, ticket) :
			vt->expire(svc, c, a->expire, a->before, &a->sink, ticket);
	}
	assert_true(rc == CH_OK || rc == CH_AGAIN);
	a->called = rc == CH_AGAIN;
	if (rc == CH_AGAIN)
		return rc;
	ch_unsuspend(ticket);
	return on_over(c, a, CH_READY, NULL);
}

/* Begins; WAIT_FOR(a->done) ends it. */
__attribute__((unused)) static void ask(struct asked *a)
{
	if (a->find) /* its own, with our function */
		((struct ch_sink_find *)(uintptr_t)a->find)->row = on_sink_row, ((struct ch_sink_find *)(uintptr_t)a->find)->arg = a;
	assert_true(ch_test_task(t, NULL, 0, call_it, a));
}

/* One statement, waited for; static memory. */
__attribute__((unused)) static struct asked *sql_n(const char *text, const struct ch_value *values, size_t n)
{
	static struct asked a;
	static struct ch_sql_statement s;

	memset(&a, 0, sizeof(a));
	s = (struct ch_sql_statement){ text, values, n, CH_SQL_ANY };
	a.statements = &s;
	a.n = 1;
	ask(&a);
	WAIT_FOR(a.done);
	return &a;
}
#define VALUES(...) (const struct ch_value[]){ __VA_ARGS__ }, sizeof((const struct ch_value[]){ __VA_ARGS__ }) / sizeof(struct ch_value)
#define sql(text, ...) sql_n(text, VALUES(__VA_ARGS__))
#define sql0(text) sql_n(text, NULL, 0)

#endif
