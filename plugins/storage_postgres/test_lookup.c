/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lookup.c - which of a connection string's hosts are asked for, and what is left when the task is dropped. The host is the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dsn.h"
#include "storage_postgres.h"

static ch_task_fn task_fn;
static ch_fn task_drop;
static void *task_data;
static char asked[200];            /* names, each with a comma behind it */
static char arena[8192];
static size_t arena_used, dialed, failed;
static char hostaddr[300];

static bool task(struct ch_self *self, struct ch_loop *l, int64_t ms, ch_task_fn fn, void *data, ch_fn drop)
{
	(void)self;
	(void)l;
	(void)ms;
	task_fn = fn;
	task_data = data;
	task_drop = drop;
	return true;
}

static void *alloc(struct ch_ctx *c, size_t n)
{
	void *p = arena + arena_used;

	(void)c;
	arena_used += (n + 15) & ~(size_t)15;
	assert_true(arena_used <= sizeof(arena));
	return memset(p, 0, n);
}

static ch_ticket suspend(struct ch_ctx *c, int64_t ms, ch_resumed fn, void *data)
{
	(void)c;
	(void)ms;
	(void)fn;
	(void)data;
	return 1;
}

static void unsuspend(ch_ticket t) { (void)t; }

static int resolve(struct ch_self *self, const char *name, struct ch_addrs *out, ch_ticket t)
{
	size_t n = strlen(asked);

	(void)self;
	(void)t;
	snprintf(asked + n, sizeof(asked) - n, "%s,", name);
	out->n = 1;
	strcpy(out->v[0], "192.0.2.7");
	return CH_OK;
}

static const struct ch_host host = { .size = sizeof(host), .task = task, .alloc = alloc, .suspend = suspend, .unsuspend = unsuspend,
	.resolve = resolve };
CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_ = &host;

void pg_conn_dial(struct pg_conn *conn, PQconninfoOption *dsn, struct ch_addrs *const *addrs)
{
	struct pg_dial d = { .password = "" };
	struct pg_params p;

	(void)conn;
	assert_true(pg_dsn_params(&p, dsn, &d, addrs));
	snprintf(hostaddr, sizeof(hostaddr), "%s", p.hostaddr);
	pg_params_free(&p);
	dialed++;
}

void pg_conn_failed(struct pg_conn *conn, const char *state, const char *why)
{
	(void)conn;
	(void)state;
	(void)why;
	failed++;
}

static struct pg_conf conf;
static struct pg_pool pool = { .conf = &conf };

static struct pg_conn begin(const char *dsn)
{
	conf.dsn = dsn;
	*asked = *hostaddr = 0;
	arena_used = dialed = failed = 0;
	return (struct pg_conn){ .pool = &pool };
}

static void only_names_are_asked_for_wherever_they_stand(void **state)
{
	static const struct { const char *dsn, *asked, *hostaddr; } rows[] = {
		{ "host=10.0.0.1,10.0.0.2,db dbname=x", "db,", "10.0.0.1,10.0.0.2,192.0.2.7" },
		{ "host=db,10.0.0.1,10.0.0.2 dbname=x", "db,", "192.0.2.7,10.0.0.1,10.0.0.2" },
		{ "host=a,10.0.0.1,b dbname=x", "a,b,", "192.0.2.7,10.0.0.1,192.0.2.7" },
		{ "host=10.0.0.1,::1,a,10.0.0.2,/run,b dbname=x", "a,b,", "10.0.0.1,::1,192.0.2.7,10.0.0.2,,192.0.2.7" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pg_conn conn = begin(rows[i].dsn);

		assert_true(pg_lookup(&conn));
		assert_int_equal(task_fn(NULL, task_data), CH_DONE);
		assert_string_equal(asked, rows[i].asked);
		assert_int_equal(dialed, 1);
		assert_int_equal(failed, 0);
		assert_string_equal(hostaddr, rows[i].hostaddr);
		assert_null(conn.lookup);
	}
}

static void a_dropped_lookup_is_not_known_to_its_connection_any_more(void **state)
{
	struct pg_conn conn = begin("host=db dbname=x");

	(void)state;
	assert_true(pg_lookup(&conn));
	assert_non_null(conn.lookup);
	task_drop(task_data);
	assert_null(conn.lookup);
	pg_lookup_forget(&conn); /* as when it is closed */
	assert_int_equal(dialed + failed, 0);
}

static void a_lookup_outlives_its_connection(void **state)
{
	struct pg_conn conn = begin("host=db dbname=x");

	(void)state;
	assert_true(pg_lookup(&conn));
	pg_lookup_forget(&conn);
	assert_int_equal(task_fn(NULL, task_data), CH_DONE);
	assert_int_equal(dialed + failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_names_are_asked_for_wherever_they_stand),
		cmocka_unit_test(a_dropped_lookup_is_not_known_to_its_connection_any_more),
		cmocka_unit_test(a_lookup_outlives_its_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
