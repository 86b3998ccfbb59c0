/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - the harness around the plugin: behind it a sql/1 over a real SQLite in memory, which answers at the end of the turn,
 * or as the
 * test says; in front of it calls of keys/1 and tokens/1 that are waited for.
 */
#ifndef IDENTITY_TEST_WORLD_H
#define IDENTITY_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include <chimera/test.h>

#include "identity.h"

CH_TEST_PLUGIN(identity);

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=" /* base64, and another key */

static struct ch_test *t;

/* ---- sql/1 over a database in memory ---- */

static struct store {
	sqlite3 *db;
	int fails; /* enum ch_sql_error: all calls end so and do nothing; … */
	int times; /* … so often; 0: always */
	bool lies; /* with fails: it happens all the same */
	bool hangs;
	bool holds;            /* the next call alone waits for release() */
	const char *meanwhile; /* what another server does just before our next batch of several statements */
	struct sql_call *held;
	int calls, cancels;
} store;

struct sql_call {
	struct ch_ctx *c;
	const struct ch_sql_args *args;
	struct ch_sql_result *out;
	ch_ticket ticket;
	struct ch_value *rows[1024];
	size_t columns[1024], of[1024], n;
	bool no_memory;
};

static void sql_end(struct sql_call *k, int error, const char *detail)
{
	k->out->error = error;
	k->out->detail = detail;
	k->out->call = NULL;
	ch_resume(k->ticket, NULL, NULL);
}

static void bind_values(sqlite3_stmt *st, const struct ch_sql_statement *s)
{
	for (size_t i = 0; i < s->nvalues; i++) {
		const struct ch_value *v = &s->values[i];
		char name[24];
		int at;

		snprintf(name, sizeof(name), "$%zu", i + 1);
		at = sqlite3_bind_parameter_index(st, name);
		assert_int_not_equal(at, 0); /* a value that no statement names is a mistake */
		if (v->null)
			sqlite3_bind_null(st, at);
		else if (v->type == CH_V_TEXT)
			sqlite3_bind_text(st, at, v->u.s.p, (int)v->u.s.n, SQLITE_TRANSIENT);
		else if (v->type == CH_V_BLOB)
			sqlite3_bind_blob(st, at, v->u.s.p, (int)v->u.s.n, SQLITE_TRANSIENT);
		else
			sqlite3_bind_int64(st, at, v->u.i);
	}
}

static void take_row(struct sql_call *k, sqlite3_stmt *st, size_t of)
{
	int n = sqlite3_column_count(st);
	struct ch_value *v = ch_alloc(k->c, (size_t)n * sizeof(*v));

	k->no_memory = k->no_memory || !v || k->n == 1024;
	if (k->no_memory)
		return;
	for (int i = 0; i < n; i++) {
		int type = sqlite3_column_type(st, i);

		if (type == SQLITE_INTEGER)
			v[i] = ch_v_int(sqlite3_column_int64(st, i));
		else if (type == SQLITE_NULL)
			v[i] = ch_v_null(CH_V_TEXT);
		else
			v[i] = ch_v_bytes(type == SQLITE_TEXT ? CH_V_TEXT : CH_V_BLOB, ch_dup(k->c, sqlite3_column_blob(st, i),
				(size_t)sqlite3_column_bytes(st, i)), (size_t)sqlite3_column_bytes(st, i));
	}
	for (int i = 0; i < n; i++)
		k->no_memory = k->no_memory || (v[i].null && sqlite3_column_type(st, i) != SQLITE_NULL && sqlite3_column_bytes(st, i));
	k->rows[k->n] = v;
	k->columns[k->n] = (size_t)n;
	k->of[k->n++] = of;
}

/* enum ch_sql_error */
static int run_one(struct sql_call *k, const struct ch_sql_statement *s, size_t of, uint64_t *count)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(store.db, s->text, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", s->text, sqlite3_errmsg(store.db));
	assert_int_equal(sqlite3_bind_parameter_count(st), s->nvalues);
	bind_values(st, s);
	*count = 0;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		take_row(k, st, of);
		++*count;
	}
	if (rc != SQLITE_DONE)
		fail_msg("%s: %s", s->text, sqlite3_errmsg(store.db));
	if (!sqlite3_column_count(st))
		*count = (uint64_t)sqlite3_changes(store.db);
	sqlite3_finalize(st);
	return s->want >= 0 && *count != (uint64_t)s->want ? CH_SQL_COUNT : CH_SQL_OK;
}

static void direct(const char *sql)
{
	char *error = NULL;

	if (sqlite3_exec(store.db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
}

static int run_all(struct sql_call *k)
{
	const struct ch_table *all = &k->args->statements;
	uint64_t *counts = ch_alloc(k->c, all->n * sizeof(*counts));
	int error = CH_SQL_OK;

	if (!counts)
		return CH_SQL_NO_MEMORY;
	if (store.meanwhile && all->n > 1) {
		direct(store.meanwhile);
		store.meanwhile = NULL;
	}
	direct("BEGIN");
	for (size_t i = 0; i < all->n && !error; i++) {
		error = run_one(k, (const struct ch_sql_statement *)all->rows + i, i, &counts[i]);
		k->out->at = i;
	}
	if (!error && k->no_memory)
		error = CH_SQL_NO_MEMORY;
	direct(error ? "ROLLBACK" : "COMMIT");
	k->out->counts = error ? NULL : counts;
	return error;
}

static void on_turn(void *data)
{
	struct sql_call *k = data;
	int error;

	if (!k->out->call)
		return; /* cancelled */
	if (store.fails) {
		error = store.fails;
		if (store.lies)
			run_all(k);
		if (store.times && !--store.times)
			store.fails = 0;
		sql_end(k, error, "the database is not there");
		return;
	}
	error = run_all(k);
	for (size_t i = 0; !error && k->args->row && i < k->n; i++)
		if (k->args->row(k->c, k->args->arg, k->of[i], k->rows[i], k->columns[i]) != CH_OK)
			break;
	sql_end(k, error, error ? "so it is" : NULL);
}

static int sql_run(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sql_args *args, struct ch_sql_result *out, ch_ticket ticket)
{
	struct sql_call *k = ch_alloc(c, sizeof(*k));

	(void)svc;
	store.calls++;
	assert_int_equal(args->size, sizeof(*args));
	assert_int_equal(out->size, sizeof(*out));
	assert_true(args->statements.n >= 1 && args->statements.n <= CH_SQL_STATEMENTS_MAX);
	if (!k) {
		out->error = CH_SQL_NO_MEMORY;
		out->detail = "no memory";
		return CH_OK;
	}
	k->c = c;
	k->args = args;
	k->out = out;
	k->ticket = ticket;
	out->call = k;
	if (store.holds)
		store.held = k;
	else if (!store.hangs)
		ch_turn_end(ch_loop(c), on_turn, k);
	store.holds = false;
	return CH_AGAIN;
}

static void sql_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sql_result *out)
{
	(void)svc, (void)c;
	store.cancels++;
	if (out->call)
		sql_end(out->call, CH_SQL_CANCELLED, "it was cancelled");
}

static void sql_about(const struct ch_svc *svc, struct ch_sql_about *out)
{
	(void)svc;
	out->engine = "sqlite";
	out->up = true;
}

static const struct ch_sql_v1 sql = { sizeof(sql), sql_run, sql_cancel, sql_about };

static void on_release(void *data)
{
	(void)data;
	on_turn(store.held);
}

__attribute__((unused)) static void release(void)
{
	ch_test_on_loop(t, on_release, NULL);
}

/* The first column of the first row; "" without rows. */
__attribute__((unused)) static const char *value_of(const char *query)
{
	static char text[512];
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(store.db, query, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", query, sqlite3_errmsg(store.db));
	text[0] = 0;
	if (sqlite3_step(st) == SQLITE_ROW)
		snprintf(text, sizeof(text), "%s", sqlite3_column_text(st, 0) ? (const char *)sqlite3_column_text(st, 0) : "NULL");
	sqlite3_finalize(st);
	return text;
}

/* ---- life ---- */

static void migrate(const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[1024], text[16384];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/migrations/sqlite/%s", srcdir ? srcdir : ".", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s cannot be read: is the variable srcdir the source folder?", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	direct(text);
}

static void begin_with(const char *more)
{
	char ini[2048];

	memset(&store, 0, sizeof(store));
	assert_int_equal(sqlite3_open(":memory:", &store.db), SQLITE_OK);
	migrate("0002_identity.up.sql");
	t = ch_test_new();
	ch_test_plugin(t, CH_TEST_ENTRY(identity));
	ch_test_service(t, "store", "sql/1", &sql, NULL);
	snprintf(ini, sizeof(ini), "[identity]\n%s", more);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	ch_test_advance(t, 0); /* the first poll */
}

__attribute__((unused)) static void begin(void)
{
	begin_with("encryption_key = " KEY_A "\n");
}

static void finish(void)
{
	ch_test_free(t);
	sqlite3_close(store.db);
}

/* As another server would: past this process. */
__attribute__((unused)) static void elsewhere(const char *change)
{
	direct(change);
	direct("UPDATE identity_revision SET keys = keys + 1, tokens = tokens + 1");
}

#endif
