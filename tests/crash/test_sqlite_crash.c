/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sqlite_crash.c - SQLite with the settings of storage_sqlite (WAL, synchronous=FULL) over power losses: no acknowledged commit is
 * lost, none is there in part, the database is whole; and the harness sees it when synchronous is less.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cmocka.h>

#include "crash.h"

#define FILE_NAME "chimera.sqlite"

static bool run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* ---- the writer ---- */

/* Rows first … last in one transaction; each says which is its last. */
static bool commit(sqlite3 *db, uint64_t first, uint64_t last)
{
	sqlite3_stmt *st;
	bool good = run(db, "BEGIN IMMEDIATE") &&
		sqlite3_prepare_v2(db, "INSERT INTO rows (n, last, filler) VALUES ($1, $2, zeroblob($3))", -1, &st, NULL) == SQLITE_OK;

	for (uint64_t n = first; good && n <= last; n++) {
		sqlite3_bind_int64(st, 1, (sqlite3_int64)n);
		sqlite3_bind_int64(st, 2, (sqlite3_int64)last);
		sqlite3_bind_int64(st, 3, (sqlite3_int64)(n * 37 % 900));
		good = sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK;
	}
	if (good)
		sqlite3_finalize(st);
	return good && run(db, "COMMIT");
}

static int writer(const char *folder, uint64_t seed, const char *synchronous)
{
	char path[512], pragma[128];
	sqlite3 *db;
	uint64_t n = 0;
	bool good;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	snprintf(pragma, sizeof(pragma), "PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=65536",
		 synchronous);
	good = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK &&
		run(db, "PRAGMA journal_mode=WAL") && run(db, pragma) &&
		run(db, "CREATE TABLE rows (n INTEGER PRIMARY KEY, last INTEGER NOT NULL, filler BLOB NOT NULL) STRICT");
	for (int i = 0; good && i < 120; i++) {
		uint64_t last = n + crash_random(&seed) % 8;

		mark(TRACE_TRIES, last + 1);
		good = commit(db, n, last);
		if (!good)
			break;
		n = last + 1;
		mark(TRACE_HAS, n);
		if (crash_random(&seed) % 10 == 0)
			sqlite3_wal_checkpoint_v2(db, NULL, crash_random(&seed) % 3 ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	}
	/* After a sync that failed nothing more is acknowledged on this file. */
	if (!good && !getenv("CRASH_FAIL")) {
		fprintf(stderr, "%s\n", sqlite3_errmsg(db));
		return 1;
	}
	_exit(0); /* closing would make all of it durable */
}

/* ---- the judge ---- */

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;
	int64_t v = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

static bool is_whole(sqlite3 *db)
{
	sqlite3_stmt *st;
	bool whole = false;

	if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		whole = !strcmp((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
	return whole;
}

static bool look(sqlite3 *db, const struct crash_known *known, char *why, size_t n)
{
	int64_t rows;

	if (!is_whole(db)) {
		snprintf(why, n, "integrity_check: %s", sqlite3_errmsg(db));
		return false;
	}
	if (number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'rows'") != 1) {
		snprintf(why, n, "the table is not there, and %" PRIu64 " rows are acknowledged", known->has);
		return !known->has;
	}
	rows = number(db, "SELECT count(*) FROM rows");
	if (rows < (int64_t)known->has || rows > (int64_t)known->tries) {
		snprintf(why, n, "%" PRId64 " rows are there, %" PRIu64 " acknowledged, %" PRIu64 " tried", rows, known->has, known->tries);
		return false;
	}
	if (rows && (number(db, "SELECT max(n) FROM rows") != rows - 1 ||
		     number(db, "SELECT last FROM rows ORDER BY n DESC LIMIT 1") != rows - 1 ||
		     number(db, "SELECT count(*) FROM rows WHERE length(filler) <> n * 37 % 900"))) {
		snprintf(why, n, "the %" PRId64 " rows are not those of whole transactions", rows);
		return false;
	}
	return true;
}

static bool judge(const char *folder, const struct crash_known *known, bool flipped, char *why, size_t n)
{
	char path[512];
	sqlite3 *db;
	bool good;

	(void)flipped;
	snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	if (access(path, F_OK)) {
		snprintf(why, n, "there is no database");
		return !known->has;
	}
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		snprintf(why, n, "%s", sqlite3_errmsg(db));
		good = false;
	} else {
		good = look(db, known, why, n);
	}
	sqlite3_close(db);
	return good;
}

/* ---- the tests ---- */

static void no_acknowledged_commit_is_lost(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct crash_result r = crash_run(&(struct crash_plan){ .word = "FULL", .judge = judge });

		if (r.bad)
			fail_msg("%s", r.first);
		assert_true(r.acknowledged > 200 && r.synced > 100);
	}
}

static void a_failed_sync_acknowledges_nothing(void **state)
{
	uint64_t seed = crash_seed();

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct crash_result r = crash_run(&(struct crash_plan){ .word = "FULL", .judge = judge,
			.fail = 1 + (unsigned)(crash_random(&seed) % 120), .states = getenv("CHIMERA_CRASH_STATES") ? 0 : 30 });

		if (r.bad)
			fail_msg("%s", r.first);
	}
}

static void the_harness_sees_what_less_syncing_loses(void **state)
{
	(void)state;
	assert_true(crash_run(&(struct crash_plan){ .word = "NORMAL", .judge = judge }).bad > 0);
	assert_true(crash_run(&(struct crash_plan){ .word = "OFF", .judge = judge }).bad > 0);
	assert_true(crash_run(&(struct crash_plan){ .word = "FULL", .skip = "file", .judge = judge }).bad > 0);
	assert_true(crash_run(&(struct crash_plan){ .word = "FULL", .skip = "folder", .judge = judge }).bad > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_acknowledged_commit_is_lost),
		cmocka_unit_test(a_failed_sync_acknowledges_nothing),
		cmocka_unit_test(the_harness_sees_what_less_syncing_loses),
	};

	if (argc == 5 && !strcmp(argv[1], "write"))
		return writer(argv[2], strtoull(argv[3], NULL, 10), argv[4]);
	if (!crash_possible())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
