/* SPDX-License-Identifier: Apache-2.0 */
/* sql/1 over a real file: values, parameters, batches, errors, cancels, deadlines. */
#include <dlfcn.h>
#include <stdatomic.h>

#include "test_world.h"

#define USERS "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER CHECK (age >= 0), note TEXT);" \
	"CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES users (id)," \
	" later INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED);" \
	"CREATE TABLE vals (id INTEGER PRIMARY KEY, v);"

static void select_one_comes_back(void **state)
{
	(void)state;
	begin(NULL, NULL);
	struct asked *a = sql0("SELECT 1");
	assert_int_equal(a->error, CH_SQL_OK);
	assert_string_equal(a->rows, "1;");
	assert_int_equal(a->counts[0], 1);
	end();
}

static void what_is_written_is_read_by_the_next_call(void **state)
{
	(void)state;
	begin(USERS, NULL);
	struct asked *a = sql("INSERT INTO users (name, age) VALUES ($1, $2)", ch_v_text("ada"), ch_v_int(36));
	assert_int_equal(a->error, CH_SQL_OK);
	assert_int_equal(a->counts[0], 1);
	a = sql("SELECT id, name, age, note FROM users WHERE name = $1", ch_v_text("ada"));
	assert_string_equal(a->rows, "1 'ada' 36 null;");
	assert_string_equal(direct("SELECT count(*) FROM users"), "1");
	assert_true(ch_test_metric(t, "db_queries_total", "insert", "users", NULL) == 1);
	assert_true(ch_test_metric(t, "db_query_duration_seconds", "select", "users", NULL) == 1);
	assert_true(ch_test_metric(t, "chimera_sqlite_commits_total", "storage_sqlite", NULL) == 1);
	end();
}

/* ---- values ---- */

static void values_of_every_type_come_back(void **state)
{
	static const unsigned char id[16] = { 0x01, 0x8f, 0xab, 0xcd, 0xef, 0x12, 0x73, 0x45, 0x86, 0x78, 1, 2, 3, 4, 5, 6 };
	(void)state;
	begin(USERS, NULL);
	const struct { struct ch_value v; const char *want; } rows[] = {
		{ ch_v_int(INT64_MAX), "9223372036854775807;" },
		{ ch_v_int(INT64_MIN), "-9223372036854775808;" },
		{ ch_v_int(-1), "-1;" },
		{ ch_v_real(0.1), "0.10000000000000001;" },
		{ ch_v_real(-1.7976931348623157e308), "-1.7976931348623157e+308;" },
		{ ch_v_bool(true), "1;" },
		{ ch_v_bool(false), "0;" },
		{ ch_v_text(""), "'';" },
		{ ch_v_text("it's \"quoted\" -- ; \\ %s"), "'it's \"quoted\" -- ; \\ %s';" },
		{ ch_v_text("\xf0\x9f\x90\x89 \xc3\xa4"), "'\xf0\x9f\x90\x89 \xc3\xa4';" },
		{ ch_v_text("'); DROP TABLE users; --"), "''); DROP TABLE users; --';" },
		{ ch_v_blob("", 0), "x'';" },
		{ ch_v_blob("\0\xff", 2), "x'00ff';" },
		{ ch_v_time(-62135596800000000), "-62135596800000000;" },
		{ ch_v_time(253402300799999999), "253402300799999999;" },
		{ ch_v_uuid(id), "'018fabcd-ef12-7345-8678-010203040506';" },
		{ ch_v_null(CH_V_INT), "null;" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct asked *a = sql("INSERT INTO vals (v) VALUES ($1) RETURNING v", rows[i].v);
		assert_int_equal(a->error, CH_SQL_OK);
		assert_string_equal(a->rows, rows[i].want);
	}
	assert_string_equal(direct("SELECT count(*) FROM users"), "0");
	end();
}

static void a_megabyte_of_text_comes_back(void **state)
{
	size_t n = 1 << 20;
	char *text = malloc(n);
	(void)state;
	begin(USERS, NULL);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + i % 26);
	struct asked *a = sql("INSERT INTO vals (v) VALUES ($1)", ch_v_bytes(CH_V_TEXT, text, n));
	assert_int_equal(a->error, CH_SQL_OK);
	a = sql("SELECT COUNT(*), MAX(LENGTH(v)) FROM vals WHERE v = $1", ch_v_bytes(CH_V_TEXT, text, n));
	assert_string_equal(a->rows, "1 1048576;");
	free(text);
	end();
}

static void what_a_database_cannot_hold_is_refused_by_its_number(void **state)
{
	(void)state;
	begin(USERS, NULL);
	const struct ch_value bad[] = {
		ch_v_bytes(CH_V_TEXT, "a\0b", 3), ch_v_text("\xff"), ch_v_text("\xed\xa0\x80"), ch_v_text("\xc0\x80"), ch_v_real(1.0 / 0.0),
		ch_v_real(0.0 / 0.0), ch_v_time(-62135596800000001), ch_v_time(253402300800000000), ch_v_of(CH_V_BOOL, 2),
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct asked *a = sql("INSERT INTO users (age, name) VALUES ($1, $2)", ch_v_int(1), bad[i]);
		assert_int_equal(a->error, CH_SQL_VALUE);
		assert_int_equal(a->value, 2);
		assert_non_null(strstr(a->detail, "$2"));
	}
	assert_string_equal(direct("SELECT count(*) FROM users"), "0");
	end();
}

static void parameters_repeat_and_come_in_any_order(void **state)
{
	(void)state;
	begin(USERS, NULL);
	struct asked *a = sql("SELECT $3, $1, $3, $2", ch_v_int(1), ch_v_text("two"), ch_v_int(3));
	assert_string_equal(a->rows, "3 1 3 'two';");
	a = sql("SELECT $1, $3", ch_v_int(1));
	assert_int_equal(a->error, CH_SQL_BAD_REQUEST);
	assert_non_null(strstr(a->detail, "needs 3 values, and has 1"));
	static const char *const wrong[] = { "SELECT ?", "SELECT ?1", "SELECT :a", "SELECT @a", "SELECT $a", "SELECT $0",
		"SELECT $100", "SELECT $01",
		"SELECT $1::INT" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		a = sql(wrong[i], ch_v_int(1));
		assert_int_equal(a->error, CH_SQL_BAD_REQUEST);
	}
	end();
}

static void text_is_compared_by_bytes(void **state)
{
	(void)state;
	begin(USERS, NULL);
	assert_string_equal(sql0("SELECT 'a' LIKE 'A', 'abc' LIKE 'a%', 'a' = 'A', 7 / 2")->rows, "0 1 0 3;");
	end();
}

/* ---- statements that are not allowed ---- */

static void only_the_four_kinds_of_statements_are_allowed(void **state)
{
	(void)state;
	begin(USERS, NULL);
	static const char *const wrong[] = { "DROP TABLE users", "CREATE TABLE x (a)", "PRAGMA synchronous=OFF", "ATTACH 'x' AS y",
		"BEGIN", "COMMIT",
		"VACUUM", "SAVEPOINT s", "ALTER TABLE users ADD x", "", "SELECT 1; SELECT 2", "SELEC 1", "SELECT \"nope\"\"", "WITH" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct asked *a = sql0(wrong[i]);
		assert_int_equal(a->error, CH_SQL_BAD_REQUEST);
		assert_true(strlen(a->detail) > 10);
	}
	assert_int_equal(sql0("SELECT 1 ; ")->error, CH_SQL_OK);
	assert_string_equal(direct("SELECT count(*) FROM users"), "0");
	end();
}

static void what_the_schema_has_not_is_said(void **state)
{
	(void)state;
	begin(USERS, NULL);
	assert_int_equal(sql0("SELECT 1 FROM nowhere")->error, CH_SQL_SCHEMA);
	assert_int_equal(sql0("SELECT missing FROM users")->error, CH_SQL_SCHEMA);
	assert_int_equal(sql0("SELECT \"missing\" FROM users")->error, CH_SQL_SCHEMA);
	struct asked *a = sql0("INSERT INTO users (missing) VALUES (1)");
	assert_int_equal(a->error, CH_SQL_SCHEMA);
	assert_non_null(strstr(a->detail, "missing"));
	end();
}

static void a_constraint_is_named(void **state)
{
	(void)state;
	begin(USERS "INSERT INTO users (id, name) VALUES (1, 'ada');", NULL);
	struct asked *a = sql("INSERT INTO users (name) VALUES ($1)", ch_v_text("ada"));
	assert_int_equal(a->error, CH_SQL_CONSTRAINT);
	assert_string_equal(a->constraint, "users.name");
	a = sql("INSERT INTO users (name) VALUES ($1)", ch_v_null(CH_V_TEXT));
	assert_string_equal(a->constraint, "users.name");
	a = sql("INSERT INTO users (name, age) VALUES ($1, $2)", ch_v_text("b"), ch_v_int(-1));
	assert_int_equal(a->error, CH_SQL_CONSTRAINT);
	a = sql("INSERT INTO pets (owner) VALUES ($1)", ch_v_int(77));
	assert_int_equal(a->error, CH_SQL_CONSTRAINT);
	assert_string_equal(a->constraint, "");
	assert_true(ch_test_metric(t, "chimera_db_errors_total", "storage_sqlite", "constraint", NULL) == 4);
	end();
}

/* ---- batches ---- */

static struct asked batch(const struct ch_sql_statement *s, size_t n)
{
	struct asked a = { .statements = s, .n = n };

	ask(&a);
	WAIT_FOR(a.done);
	return a;
}

static void a_batch_is_all_or_nothing(void **state)
{
	const struct ch_value ada = ch_v_text("ada");
	const struct ch_sql_statement s[] = { { "INSERT INTO users (name) VALUES ($1)", &ada, 1, 1 },
		{ "UPDATE users SET age = 5", NULL, 0, 2 } };
	const struct ch_sql_statement good[] = { s[0], { "UPDATE users SET age = 5", NULL, 0, 1 },
		{ "SELECT name FROM users", NULL, 0, 1 } };
	(void)state;
	begin(USERS, NULL);
	struct asked a = batch(s, 2);
	assert_int_equal(a.error, CH_SQL_COUNT);
	assert_int_equal(a.at, 1);
	assert_string_equal(direct("SELECT count(*) FROM users"), "0");
	a = batch(good, 3);
	assert_int_equal(a.error, CH_SQL_OK);
	assert_int_equal(a.counts[1], 1);
	assert_string_equal(a.rows, "|'ada';");
	assert_string_equal(direct("SELECT age FROM users"), "5");
	end();
}

static void of_a_group_only_the_call_that_fails_is_undone(void **state)
{
	struct ch_value name[9];
	struct ch_sql_statement s[9];
	const struct ch_sql_statement two[] = { { "INSERT INTO users (name) VALUES ('x')", NULL, 0, 1 },
		{ "DELETE FROM users WHERE name = '-'", NULL, 0, 1 } };
	struct asked *a = calloc(9, sizeof(*a));
	(void)state;
	begin(USERS, NULL);
	/* The file is locked, so that they wait and become one group. */
	sqlite3 *db;
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	char text[9][2] = { "a", "b", "c", "a", "d", "e", "b", "f", "g" };
	for (int i = 0; i < 9; i++) {
		name[i] = ch_v_text(text[i]);
		s[i] = (struct ch_sql_statement){ "INSERT INTO users (name) VALUES ($1)", &name[i], 1, CH_SQL_ANY };
		a[i] = (struct asked){ .statements = &s[i], .n = 1 };
		if (i == 4)
			a[i] = (struct asked){ .statements = two, .n = 2 };
		ask(&a[i]);
	}
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	for (int i = 0; i < 9; i++)
		WAIT_FOR(a[i].done);
	for (int i = 0; i < 9; i++)
		assert_int_equal(a[i].error, i == 3 || i == 6 ? CH_SQL_CONSTRAINT : i == 4 ? CH_SQL_COUNT : CH_SQL_OK);
	assert_string_equal(direct("SELECT group_concat(name, '') FROM users"), "abcefg");
	assert_true(ch_test_metric(t, "chimera_sqlite_commits_total", NULL) == 1);
	free(a);
	end();
}

static void a_constraint_at_the_commit_undoes_its_own_call_alone(void **state)
{
	const struct ch_sql_statement s[] = { { "INSERT INTO users (name) VALUES ('a')", NULL, 0, 1 },
		{ "INSERT INTO pets (owner, later) VALUES (1, 99)", NULL, 0, 1 }, { "INSERT INTO users (name) VALUES ('b')", NULL, 0, 1 } };
	struct asked *a = calloc(3, sizeof(*a));
	sqlite3 *db;
	(void)state;
	begin(USERS "INSERT INTO users VALUES (1, 'one', 1, NULL);", NULL);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 3; i++) {
		a[i] = (struct asked){ .statements = &s[i], .n = 1 };
		ask(&a[i]);
	}
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(db);
	for (int i = 0; i < 3; i++) {
		WAIT_FOR(a[i].done);
		assert_int_equal(a[i].error, i == 1 ? CH_SQL_CONSTRAINT : CH_SQL_OK);
	}
	assert_string_equal(direct("SELECT count(*) FROM users"), "3");
	assert_string_equal(direct("SELECT count(*) FROM pets"), "0");
	free(a);
	end();
}

static void with_may_read_or_write(void **state)
{
	(void)state;
	begin(USERS, NULL);
	assert_string_equal(sql0("WITH x AS (SELECT 4 AS a) SELECT a FROM x")->rows, "4;");
	struct asked *a = sql("WITH x AS (SELECT $1 AS a) INSERT INTO users (name) SELECT a FROM x RETURNING name", ch_v_text("ada"));
	assert_int_equal(a->error, CH_SQL_OK);
	assert_string_equal(a->rows, "'ada';");
	assert_string_equal(direct("SELECT name FROM users"), "ada");
	end();
}

/* ---- rows ---- */

#define THOUSAND "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "

static void rows_are_given_until_it_is_enough(void **state)
{
	const struct ch_sql_statement s = { THOUSAND "SELECT i FROM n", NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &s, .n = 1, .limit = 3 };
	(void)state;
	begin(USERS, NULL);
	ask(&a);
	WAIT_FOR(a.done);
	assert_int_equal(a.error, CH_SQL_OK);
	assert_string_equal(a.rows, "1;2;3;");
	assert_int_equal(a.counts[0], 1000);
	end();
}

static void a_result_over_max_bytes_is_too_large_and_undoes_its_writes(void **state)
{
	const struct ch_sql_statement s = { THOUSAND "SELECT i, 'some text that takes room' FROM n", NULL, 0, CH_SQL_ANY };
	const struct ch_sql_statement w = { THOUSAND "INSERT INTO vals (v) SELECT i FROM n RETURNING v", NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &s, .n = 1, .max_bytes = 4096 }, b = { .statements = &w, .n = 1, .max_bytes = 4096 };
	(void)state;
	begin(USERS, NULL);
	ask(&a);
	ask(&b);
	WAIT_FOR(a.done && b.done);
	assert_int_equal(a.error, CH_SQL_TOO_LARGE);
	assert_int_equal(a.nrows, 0);
	assert_int_equal(b.error, CH_SQL_TOO_LARGE);
	assert_string_equal(direct("SELECT count(*) FROM vals"), "0");
	end();
}

static void a_cancel_inside_a_row_ends_the_rows(void **state)
{
	const struct ch_sql_statement s = { THOUSAND "SELECT i FROM n", NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &s, .n = 1, .cancel_in_row = true };
	(void)state;
	begin(USERS, NULL);
	ask(&a);
	WAIT_FOR(a.done);
	assert_int_equal(a.error, CH_SQL_CANCELLED);
	assert_int_equal(a.nrows, 1);
	end();
}

/* ---- cancel, deadlines, limits ---- */

/* Does a thread run it? */
static bool is_begun(const struct asked *a)
{
	struct sq_call *call = a->sql.call;
	bool begun;

	pthread_mutex_lock(&call->lock);
	begun = call->begun;
	pthread_mutex_unlock(&call->lock);
	return begun;
}

#define FOR_EVER "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"

static void a_read_that_runs_is_cancelled_at_once_and_its_reader_goes_on(void **state)
{
	const struct ch_sql_statement s = { FOR_EVER, NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &s, .n = 1 };
	(void)state;
	begin(USERS, "readers = 1\n");
	ask(&a);
	WAIT_FOR(is_begun(&a));
	give_up(&a);
	turn();
	assert_true(a.done);
	assert_int_equal(a.error, CH_SQL_CANCELLED);
	assert_string_equal(sql0("SELECT 1")->rows, "1;");
	WAIT_FOR(ch_test_metric(t, "db_connections_active", NULL) == 0);
	end();
}

static void what_is_slow_ends_with_its_timeout(void **state)
{
	const struct ch_sql_statement s = { FOR_EVER, NULL, 0, CH_SQL_ANY }, one = { "SELECT 1", NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &s, .n = 1, .timeout_ms = 300 }, b = { .statements = &one, .n = 1, .timeout_ms = 200 };
	(void)state;
	begin(USERS, "readers = 1\n");
	ask(&a);
	WAIT_FOR(is_begun(&a));
	ask(&b);
	ch_test_advance(t, 199);
	assert_false(b.done);
	ch_test_advance(t, 1);
	assert_true(b.done);
	assert_int_equal(b.error, CH_SQL_BUSY);
	assert_false(a.done);
	ch_test_advance(t, 100);
	assert_true(a.done);
	assert_int_equal(a.error, CH_SQL_UNAVAILABLE);
	end();
}

static bool is_locked_out(struct sq_store *store)
{
	pthread_mutex_lock(&store->lock);
	bool out = store->locked_out;
	pthread_mutex_unlock(&store->lock);
	return out;
}

static void a_write_waits_for_a_locked_file_and_is_undone_by_its_cancel(void **state)
{
	const struct ch_sql_statement s = { "INSERT INTO users (name) VALUES ('a')", NULL, 0, 1 };
	struct asked a = { .statements = &s, .n = 1 }, b = { .statements = &s, .n = 1, .timeout_ms = 100 };
	sqlite3 *db;
	(void)state;
	begin(USERS, NULL);
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ask(&a);
	ask(&b);
	WAIT_FOR(is_locked_out(ch_test_self(t, "storage_sqlite")->state));
	assert_string_equal(sql0("SELECT 1")->rows, "1;"); /* reading goes on */
	ch_test_advance(t, 100);
	assert_true(b.done);
	assert_int_equal(b.error, CH_SQL_CONFLICT);
	give_up(&a);
	turn();
	assert_true(a.done);
	assert_int_equal(a.error, CH_SQL_CANCELLED);
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(db);
	assert_int_equal(sql0("INSERT INTO users (name) VALUES ('b')")->error, CH_SQL_OK);
	assert_string_equal(direct("SELECT group_concat(name, '') FROM users"), "b");
	end();
}

/* While it is armed, the loop's thread comes late to every lock: what may happen between two of them does. */
static atomic_bool late;
static _Atomic(pthread_t) loop_thread;

int pthread_mutex_lock(pthread_mutex_t *lock)
{
	static _Atomic(uintptr_t) found;
	const struct timespec ms = { .tv_nsec = 1000000 };

	if (!found)
		found = (uintptr_t)dlsym(RTLD_NEXT, "pthread_mutex_lock");
	int (*real)(pthread_mutex_t *) = (int (*)(pthread_mutex_t *))found;
	if (late && pthread_equal(pthread_self(), loop_thread))
		nanosleep(&ms, NULL);
	return real(lock);
}

/* Two in one group; the second is given up at a moment near the one at which its turn comes. */
static void a_write_that_was_given_up_in_time_does_not_happen(void **state)
{
	const struct ch_sql_statement slow = { "INSERT INTO users (name) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
		"WHERE x < 30000) SELECT 'slow' || max(x) || random() FROM c", NULL, 0, 1 };
	struct ch_value name;
	const struct ch_sql_statement s = { "INSERT INTO users (name) VALUES ($1)", &name, 1, 1 };
	sqlite3 *db;
	(void)state;
	begin(USERS, NULL);
	loop_thread = pthread_self();
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	for (int i = 0; i < 60; i++) {
		struct asked first = { .statements = &slow, .n = 1 }, second = { .statements = &s, .n = 1 };
		const struct timespec pause = { .tv_nsec = i * 200000L };
		char text[20], query[100];

		snprintf(text, sizeof(text), "v%d", i);
		name = ch_v_text(text);
		assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
		ask(&first);
		ask(&second);
		assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
		nanosleep(&pause, NULL);
		late = true;
		give_up(&second);
		late = false;
		WAIT_FOR(first.done && second.done);
		assert_int_equal(first.error, CH_SQL_OK);
		snprintf(query, sizeof(query), "SELECT count(*) FROM users WHERE name = '%s'", text);
		if (second.error == CH_SQL_CANCELLED)
			assert_string_equal(direct(query), "0");
		else
			assert_int_equal(second.error, CH_SQL_UNKNOWN);
	}
	end();
}

static void only_so_many_may_wait(void **state)
{
	const struct ch_sql_statement s = { FOR_EVER, NULL, 0, CH_SQL_ANY }, one = { "SELECT 1", NULL, 0, CH_SQL_ANY };
	struct asked slow = { .statements = &s, .n = 1 }, a[3] = { { .statements = &one, .n = 1 } };
	(void)state;
	begin(USERS, "readers = 1\nmax_waiting = 2\n");
	ask(&slow);
	WAIT_FOR(is_begun(&slow));
	a[1] = a[2] = a[0];
	for (int i = 0; i < 3; i++)
		ask(&a[i]);
	assert_true(a[2].done && !a[2].called);
	assert_int_equal(a[2].error, CH_SQL_BUSY);
	assert_true(ch_test_metric(t, "chimera_db_connections", "storage_sqlite", "waiting", NULL) == 2);
	give_up(&slow);
	WAIT_FOR(a[0].done && a[1].done);
	assert_int_equal(a[0].error, CH_SQL_OK);
	end();
}

static void a_call_that_is_wrong_is_answered_at_once(void **state)
{
	static char text[CH_SQL_TEXT_MAX + 2];
	struct ch_sql_statement s = { text, NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &s, .n = 1 };
	(void)state;
	begin(USERS, NULL);
	memset(text, ' ', sizeof(text) - 1);
	ask(&a);
	assert_true(a.done && !a.called && a.error == CH_SQL_BAD_REQUEST);
	a = (struct asked){ .statements = &s, .n = 0 };
	ask(&a);
	assert_true(a.done && !a.called && a.error == CH_SQL_BAD_REQUEST);
	s = (struct ch_sql_statement){ "SELECT 1", NULL, 100, CH_SQL_ANY };
	a = (struct asked){ .statements = &s, .n = 1 };
	ask(&a);
	assert_true(a.done && !a.called && a.error == CH_SQL_BAD_REQUEST);
	end();
}

/* ---- injected faults ---- */

static struct ch_fault injected;

static bool inject(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self;
	(void)c;
	out->delay_ms = injected.delay_ms;
	out->fail = injected.fail;
	return true;
}
static const struct ch_seam seams[] = { { CH_S_STORAGE, inject } };
static const struct ch_plugin trouble = { .size = sizeof(trouble), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "trouble",
	.version = "0", .summary = "Injects", .seams = CH_TABLE(seams) };
static const struct ch_plugin *trouble_entry(const struct ch_host *host)
{
	(void)host;
	return &trouble;
}

static void an_injected_fault_is_a_database_that_is_slow_or_down(void **state)
{
	const struct ch_sql_statement one = { "SELECT 1", NULL, 0, CH_SQL_ANY };
	struct asked a = { .statements = &one, .n = 1 };
	char ini[300];
	(void)state;
	begin(USERS, NULL);
	ch_test_plugin(t, trouble_entry);
	snprintf(ini, sizeof(ini), "[trouble]\n[storage_sqlite]\npath = %s\nmigrate = off\n", file);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	injected.fail = true;
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_UNAVAILABLE);
	injected = (struct ch_fault){ .delay_ms = 700, .fail = true };
	ask(&a);
	ch_test_advance(t, 699);
	assert_false(a.done);
	ch_test_advance(t, 1);
	assert_true(a.done);
	assert_int_equal(a.error, CH_SQL_UNAVAILABLE);
	injected.fail = false;
	a = (struct asked){ .statements = &one, .n = 1 };
	ask(&a);
	ch_test_advance(t, 699);
	assert_false(a.done);
	ch_test_advance(t, 1);
	WAIT_FOR(a.done);
	assert_int_equal(a.error, CH_SQL_OK);
	a = (struct asked){ .statements = &one, .n = 1, .timeout_ms = 500 };
	ask(&a);
	ch_test_advance(t, 500);
	assert_true(a.done);
	assert_int_equal(a.error, CH_SQL_BUSY);
	a = (struct asked){ .statements = &one, .n = 1 };
	ask(&a);
	give_up(&a);
	turn();
	assert_true(a.done);
	assert_int_equal(a.error, CH_SQL_CANCELLED);
	end();
}

static void more_statements_than_are_kept_work_all_the_same(void **state)
{
	char text[40], want[40];
	(void)state;
	begin(USERS, "statements = 10\nreaders = 1\n");
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < 30; i++) {
			snprintf(text, sizeof(text), "SELECT %d", i);
			snprintf(want, sizeof(want), "%d;", i);
			assert_string_equal(sql0(text)->rows, want);
		}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(select_one_comes_back),
		cmocka_unit_test(what_is_written_is_read_by_the_next_call),
		cmocka_unit_test(values_of_every_type_come_back),
		cmocka_unit_test(a_megabyte_of_text_comes_back),
		cmocka_unit_test(what_a_database_cannot_hold_is_refused_by_its_number),
		cmocka_unit_test(parameters_repeat_and_come_in_any_order),
		cmocka_unit_test(text_is_compared_by_bytes),
		cmocka_unit_test(only_the_four_kinds_of_statements_are_allowed),
		cmocka_unit_test(what_the_schema_has_not_is_said),
		cmocka_unit_test(a_constraint_is_named),
		cmocka_unit_test(a_batch_is_all_or_nothing),
		cmocka_unit_test(of_a_group_only_the_call_that_fails_is_undone),
		cmocka_unit_test(a_constraint_at_the_commit_undoes_its_own_call_alone),
		cmocka_unit_test(with_may_read_or_write),
		cmocka_unit_test(rows_are_given_until_it_is_enough),
		cmocka_unit_test(a_result_over_max_bytes_is_too_large_and_undoes_its_writes),
		cmocka_unit_test(a_cancel_inside_a_row_ends_the_rows),
		cmocka_unit_test(a_read_that_runs_is_cancelled_at_once_and_its_reader_goes_on),
		cmocka_unit_test(what_is_slow_ends_with_its_timeout),
		cmocka_unit_test(a_write_waits_for_a_locked_file_and_is_undone_by_its_cancel),
		cmocka_unit_test(a_write_that_was_given_up_in_time_does_not_happen),
		cmocka_unit_test(only_so_many_may_wait),
		cmocka_unit_test(a_call_that_is_wrong_is_answered_at_once),
		cmocka_unit_test(an_injected_fault_is_a_database_that_is_slow_or_down),
		cmocka_unit_test(more_statements_than_are_kept_work_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
