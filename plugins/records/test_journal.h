/* SPDX-License-Identifier: Apache-2.0 */
/* test_journal.h - what the tests of the journal share: a folder of their own, a table, rows that are known by a number. */
#ifndef RECORDS_TEST_JOURNAL_H
#define RECORDS_TEST_JOURNAL_H

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal.h"

#define KIB 1024

static char folder[128];
static char said[1 << 16];                 /* all log lines */

static void hear(void *arg, int level, const char *line)
{
	size_t n = strlen(said);

	(void)arg;
	(void)level;
	snprintf(said + n, sizeof(said) - n, "%s\n", line);
}

static void remove_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char name[512];

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name))
			remove_all(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static inline int new_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "%s/journal.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	said[0] = 0;
	return mkdtemp(folder) ? 0 : -1;
}

/* Where a sync costs nothing, for tests with hundreds of journals. */
static inline int new_quick_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/dev/shm/journal.XXXXXX");
	said[0] = 0;
	return mkdtemp(folder) ? 0 : new_folder(state);
}

static inline int no_folder(void **state)
{
	(void)state;
	remove_all(folder);
	return 0;
}

/* ---- rows ---- */

static const struct ch_column test_columns[] = {
	{ "row_id", CH_V_UUID, 0 },
	{ "at", CH_V_TIME, 0 },
	{ "number", CH_V_INT, 0 },
	{ "share", CH_V_REAL, CH_COLUMN_NULL },
	{ "good", CH_V_BOOL, CH_COLUMN_NULL },
	{ "text", CH_V_TEXT, CH_COLUMN_NULL },
	{ "bytes", CH_V_BLOB, CH_COLUMN_NULL },
};
static const struct ch_relation test_table = { sizeof(test_table), "test_rows", { test_columns, 7, sizeof(test_columns[0]) } };

/* Row `number`, with a text of that many bytes; everything follows from the number. */
static inline int add_row(struct journal *j, uint64_t number, size_t text, struct journal_pos *end)
{
	static __thread char letters[2 << 20];
	unsigned char id[16] = { 0 };
	struct ch_value v[7];

	memcpy(id, &number, 8);
	memset(letters, 'a' + (int)(number % 26), text);
	v[0] = ch_v_uuid(id);
	v[1] = ch_v_time((int64_t)number * 1000 - 5);
	v[2] = ch_v_int((int64_t)number);
	v[3] = ch_v_real((double)number / 4);
	v[4] = number % 2 ? ch_v_bool(true) : ch_v_null(CH_V_BOOL);
	v[5] = ch_v_bytes(CH_V_TEXT, letters, text);
	v[6] = ch_v_blob(id, number % 17 < 16 ? number % 17 : 16);
	return journal_append(j, &test_table, v, end);
}

/* The number of a row, all of whose values are right. */
static inline uint64_t number_of_row(const struct journal_row *row)
{
	const struct ch_value *v = row->values;
	uint64_t number = (uint64_t)v[2].u.i, id;

	assert_string_equal(row->table->name, "test_rows");
	assert_int_equal(row->table->columns.n, 7);
	memcpy(&id, v[0].u.uuid, 8);
	assert_int_equal(id, number);
	assert_int_equal(v[1].u.i, (int64_t)number * 1000 - 5);
	assert_true(v[3].u.d == (double)number / 4);
	assert_int_equal(v[4].null, number % 2 ? 0 : 1);
	for (size_t i = 0; i < v[5].u.s.n; i++)
		assert_int_equal(v[5].u.s.p[i], 'a' + (int)(number % 26));
	assert_int_equal(v[6].u.s.n, number % 17 < 16 ? number % 17 : 16);
	return number;
}

static inline struct journal *open_with(const struct journal_conf *conf)
{
	char err[256] = "";
	struct journal *j = journal_open(conf, err, sizeof(err));

	if (!j)
		fail_msg("%s", err);
	return j;
}

static inline struct journal_conf small_conf(void)
{
	return (struct journal_conf){ .dir = folder, .max_bytes = 1024 * KIB, .segment_bytes = 64 * KIB, .sync_interval_us = 10000,
		.log = hear };
}

static inline struct journal *open_small(void)
{
	struct journal_conf conf = small_conf();

	return open_with(&conf);
}

static inline struct journal_reader *reader_at_start(struct journal *j)
{
	struct journal_reader *r = journal_reader(j, "test", &(struct journal_pos){ 0 });

	assert_non_null(r);
	return r;
}

/* Reads on; the next must be rows first … last. */
static inline void expect_rows(struct journal_reader *r, uint64_t first, uint64_t last)
{
	struct journal_row row;

	for (uint64_t i = first; i <= last; i++) {
		assert_int_equal(journal_next(r, &row), JOURNAL_ROW);
		assert_int_equal(number_of_row(&row), i);
	}
}

static inline void expect_nothing(struct journal_reader *r)
{
	struct journal_row row;

	assert_int_equal(journal_next(r, &row), JOURNAL_NONE);
}

static inline uint64_t expect_loss(struct journal_reader *r, int why)
{
	struct journal_row row;

	assert_int_equal(journal_next(r, &row), JOURNAL_LOST);
	assert_int_equal(row.why, why);
	return row.rows;
}

#endif
