/* SPDX-License-Identifier: MIT */
/* test_migrate.h - what the tests of the migration engine share: a SQLite database as the engine, and a folder of files. */
#ifndef CHIMERA_KIT_TEST_MIGRATE_H
#define CHIMERA_KIT_TEST_MIGRATE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "migrate_parts.h"

/* ---- the engine ---- */

static inline bool lite_rows(void *arg, const char *sql, ch_migrate_row row, void *row_arg, struct ch_migrate_error *error)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(arg, sql, -1, &st, NULL))
		return ch_migrate_fail(error, "%s", sqlite3_errmsg(arg));
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *v[16];
		int n = sqlite3_column_count(st);

		for (int i = 0; i < n && i < 16; i++)
			v[i] = (const char *)sqlite3_column_text(st, i);
		if (row && !row(row_arg, (size_t)n, v))
			break;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		ch_migrate_fail(error, "%s", sqlite3_errmsg(arg));
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static inline bool lite_exec(void *arg, const char *sql, struct ch_migrate_error *error)
{
	return lite_rows(arg, sql, NULL, NULL, error);
}

/* Stands in for a digest: each byte counts, and its place. */
static inline void lite_digest(const void *p, size_t n, unsigned char out[32])
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3u;
	for (size_t i = 0; i < 32; i++)
		out[i] = (unsigned char)(h >> i % 8 * 8);
}

static inline struct ch_migrate_engine lite(sqlite3 *db)
{
	return (struct ch_migrate_engine){ .name = "sqlite", .arg = db, .exec = lite_exec, .rows = lite_rows, .sha256 = lite_digest };
}

/* The first column of the first row, or "": static storage. */
static inline const char *ask(sqlite3 *db, const char *sql)
{
	static char out[500];
	sqlite3_stmt *st;

	*out = '\0';
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
		snprintf(out, sizeof(out), "%s", (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return out;
}

/* ---- the folder ---- */

static char folder[200];

static inline void put(const char *name, const char *text)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		mkdir(path, 0777);
	}
	assert_non_null(f = fopen(path, "w"));
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline void take_away(const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(remove(path), 0);
}

static inline int new_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "%s/migrate-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

static inline int drop_folder(void **state)
{
	char command[260];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

/* Two migrations of chimera's own, and one of a plugin. */
static inline void put_three(void)
{
	put("sqlite/0001_first.up.sql", "-- The first.\nCREATE TABLE a (x INTEGER NOT NULL);\nCREATE INDEX a_x ON a (x);\n");
	put("sqlite/0001_first.down.sql", "DROP TABLE a;\n");
	put("sqlite/0002_second.up.sql", "CREATE TABLE b (y TEXT);\n");
	put("sqlite/0002_second.down.sql", "DROP TABLE b;\n");
	put("sqlite/own/0001_begin.up.sql", "CREATE TABLE own_things (z TEXT);\n");
	put("sqlite/own/0001_begin.down.sql", "DROP TABLE own_things;\n");
	put("sqlite/schema.txt",
		"# What 0002 leaves behind.\ntable a\ncolumn a.x integer not null\nindex a_x on a (x)\ntable b\ncolumn b.y text\n");
}

/* ---- what is reported ---- */

static char said[20000];

static inline bool hear(void *arg, const char *line)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "%s\n", line);
	return true;
}

static const struct ch_migrate_report report = { .line = hear };

#endif
