/* SPDX-License-Identifier: Apache-2.0 */
/* sink/1 over a real file: rows that are there once, rows refused by their number, rows found and taken away. */
#include "test_world.h"

#define TABLE "CREATE TABLE things (row_id TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL, name TEXT NOT NULL, cost REAL, good INTEGER," \
	" raw BLOB, batch_id TEXT NOT NULL, CONSTRAINT fine CHECK (name <> 'never')) STRICT;"

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 }, { "at", CH_V_TIME, 0 }, { "name", CH_V_TEXT, 0 }, { "cost", CH_V_REAL, CH_COLUMN_NULL },
	{ "good", CH_V_BOOL, CH_COLUMN_NULL }, { "raw", CH_V_BLOB, CH_COLUMN_NULL },
};
#define NCOLUMNS 6
static const struct ch_relation things = { .size = sizeof(things), .name = "things", .columns = CH_TABLE(columns) };
static const struct ch_relation nowhere = { .size = sizeof(nowhere), .name = "nowhere", .columns = CH_TABLE(columns) };
static const struct ch_relation keyless = { .size = sizeof(keyless), .name = "keyless", .columns = CH_TABLE(columns) };

static struct ch_value rows[20000 * NCOLUMNS];

/* n rows: ids 018f…00000000 + first + i, times from 1,000,000 on, a second apart. */
static void make_rows(size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ch_value *v = rows + i * NCOLUMNS;
		unsigned char id[16] = { 0x01, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, (unsigned char)((first + i) >> 24),
			(unsigned char)((first + i) >> 16), (unsigned char)((first + i) >> 8), (unsigned char)(first + i) };

		v[0] = ch_v_uuid(id);
		v[1] = ch_v_time((int64_t)(1 + first + i) * 1000000);
		v[2] = ch_v_text("a thing");
		v[3] = ch_v_real(0.25);
		v[4] = ch_v_bool(true);
		v[5] = ch_v_null(CH_V_BLOB);
	}
}

static struct asked *append_n(const struct ch_relation *table, size_t n, unsigned char batch)
{
	static struct asked a;
	static struct ch_sink_batch b;

	b = (struct ch_sink_batch){ .size = sizeof(b), .table = table, .batch_id = { batch }, .values = rows, .nrows = n };
	a = (struct asked){ .batch = &b };
	ask(&a);
	WAIT_FOR(a.done);
	return &a;
}

static void rows_are_there_with_their_batch(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 3);
	rows[5] = ch_v_blob("\0\xff", 2);
	rows[NCOLUMNS + 3] = ch_v_null(CH_V_REAL);
	rows[NCOLUMNS + 4] = ch_v_bool(false);
	struct asked *a = append_n(&things, 3, 0xab);
	assert_int_equal(a->outcome, CH_SINK_DONE);
	assert_int_equal(a->new_rows, 3);
	assert_string_equal(direct("SELECT group_concat(row_id || ' ' || at || ' ' || name || ' ' || ifnull(cost, '-') || ' ' || good "
		"|| ' ' ||"
		" ifnull(hex(raw), '-') || ' ' || batch_id, char(10)) FROM things ORDER BY at"),
		"018f0000-0000-7000-8000-000000000000 1000000 a thing 0.25 1 00FF ab000000-0000-0000-0000-000000000000\n"
		"018f0000-0000-7000-8000-000000000001 2000000 a thing - 0  ab000000-0000-0000-0000-000000000000\n"
		"018f0000-0000-7000-8000-000000000002 3000000 a thing 0.25 1  ab000000-0000-0000-0000-000000000000");
	end();
}

static void a_batch_that_comes_twice_is_there_once(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 100);
	assert_int_equal(append_n(&things, 60, 1)->new_rows, 60);
	struct asked *a = append_n(&things, 100, 1);
	assert_int_equal(a->outcome, CH_SINK_DONE);
	assert_int_equal(a->new_rows, 40);
	assert_string_equal(direct("SELECT count(*) FROM things"), "100");
	assert_int_equal(append_n(&things, 0, 2)->outcome, CH_SINK_DONE);
	end();
}

static void rows_that_cannot_be_are_refused_by_number_and_nothing_is_there(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 10);
	rows[1 * NCOLUMNS + 2] = ch_v_text("a\xff");
	rows[3 * NCOLUMNS + 2] = ch_v_text("never");
	rows[4 * NCOLUMNS + 3] = ch_v_real(1.0 / 0.0);
	rows[5 * NCOLUMNS + 2] = ch_v_null(CH_V_TEXT);
	rows[6 * NCOLUMNS + 2] = ch_v_bytes(CH_V_TEXT, "a\0b", 3);
	rows[7 * NCOLUMNS + 2] = ch_v_int(7);
	rows[9 * NCOLUMNS + 1] = ch_v_time(INT64_MAX);
	struct asked *a = append_n(&things, 10, 1);
	assert_int_equal(a->outcome, CH_SINK_REFUSED);
	assert_int_equal(a->nrefused, 7);
	const size_t want[] = { 1, 3, 4, 5, 6, 7, 9 };
	const char *const names[] = { "name", "fine", "cost", "name", "name", "name", "at" };
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(a->refused[i], want[i]);
		assert_non_null(strstr(a->why[i], names[i]));
		assert_null(strstr(a->why[i], "never"));
	}
	assert_string_equal(direct("SELECT count(*) FROM things"), "0");
	make_rows(0, 10);
	assert_int_equal(append_n(&things, 10, 1)->new_rows, 10);
	end();
}

/* More rows than a statement takes: all of them arrive once, wherever those that were there already stand among them. */
static void rows_of_many_statements_are_there_once(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(50, 20);
	assert_int_equal(append_n(&things, 20, 1)->new_rows, 20);
	make_rows(0, 203);
	memcpy(rows + 100 * NCOLUMNS, rows + 99 * NCOLUMNS, NCOLUMNS * sizeof(rows[0]));
	struct asked *a = append_n(&things, 203, 2);
	assert_int_equal(a->outcome, CH_SINK_DONE);
	assert_int_equal(a->new_rows, 182);
	assert_string_equal(direct("SELECT count(*) || ' ' || count(DISTINCT row_id) || ' ' || sum(at / 1000000) || ' ' ||"
		" sum(batch_id = '02000000-0000-0000-0000-000000000000') FROM things"), "202 202 20605 182"); /* 1 + … + 203, less 101 */
	end();
}

/* Those in the same statement are not refused with it, and each is named in its order. */
static void of_many_rows_those_alone_that_cannot_be_are_refused(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 203);
	rows[40 * NCOLUMNS + 2] = ch_v_text("never");
	rows[41 * NCOLUMNS + 2] = ch_v_text("\xff");
	rows[63 * NCOLUMNS + 2] = ch_v_text("never");
	rows[202 * NCOLUMNS + 2] = ch_v_text("never");
	struct asked *a = append_n(&things, 203, 1);
	assert_int_equal(a->outcome, CH_SINK_REFUSED);
	assert_int_equal(a->nrefused, 4);
	const size_t want[] = { 40, 41, 63, 202 };
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(a->refused[i], want[i]);
	assert_string_equal(direct("SELECT count(*) FROM things"), "0");
	end();
}

static void large_rows_are_whole(void **state)
{
	static char text[300000];

	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 70);
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < 70; i += 10)
		rows[i * NCOLUMNS + 2] = ch_v_bytes(CH_V_TEXT, text, sizeof(text) - i);
	assert_int_equal(append_n(&things, 70, 1)->new_rows, 70);
	/* 7 * 300000 - 210 + 63 * 7 */
	assert_string_equal(direct("SELECT count(*) || ' ' || sum(length(name)) FROM things"), "70 2100231");
	end();
}

/* Behind a rollback each further row would be kept by itself, in no transaction. */
static void a_trigger_that_rolls_back_ends_the_batch(void **state)
{
	(void)state;
	begin(TABLE "CREATE TRIGGER undo BEFORE INSERT ON things WHEN new.name = 'undo' BEGIN SELECT RAISE(ROLLBACK, 'no'); END;", NULL);
	make_rows(0, 203);
	rows[40 * NCOLUMNS + 2] = ch_v_text("undo");
	assert_int_equal(append_n(&things, 203, 1)->outcome, CH_SINK_RETRY);
	assert_string_equal(direct("SELECT count(*) FROM things"), "0");
	end();
}

/* A row that another unique index speaks against is not one that is there already. */
static void an_index_of_the_operators_own_refuses_a_row_by_name(void **state)
{
	(void)state;
	begin(TABLE "CREATE UNIQUE INDEX only_one ON things(name);", NULL);
	make_rows(0, 2);
	struct asked *a = append_n(&things, 2, 1);
	assert_int_equal(a->outcome, CH_SINK_REFUSED);
	assert_int_equal(a->nrefused, 1);
	assert_int_equal(a->refused[0], 1);
	assert_non_null(strstr(a->why[0], "things.name"));
	assert_string_equal(direct("SELECT count(*) FROM things"), "0");
	assert_int_equal(append_n(&things, 1, 1)->outcome, CH_SINK_DONE);
	a = append_n(&things, 1, 1);
	assert_int_equal(a->outcome, CH_SINK_DONE);
	assert_int_equal(a->new_rows, 0);
	end();
}

static void very_many_wrong_rows_are_named_up_to_a_bound(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 20000);
	for (size_t i = 0; i < 20000; i++)
		rows[i * NCOLUMNS + 2] = ch_v_text("\xff");
	struct asked *a = append_n(&things, 20000, 1);
	assert_int_equal(a->outcome, CH_SINK_REFUSED);
	assert_int_equal(a->nrefused, SQ_REFUSALS_MAX);
	end();
}

static void a_missing_table_is_to_be_tried_again_and_says_what_to_do(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 1);
	struct asked *a = append_n(&nowhere, 1, 1);
	assert_int_equal(a->outcome, CH_SINK_RETRY);
	assert_non_null(strstr(a->detail, "no such table: nowhere"));
	assert_non_null(strstr(a->detail, "migration"));
	direct("CREATE TABLE nowhere AS SELECT * FROM things; CREATE UNIQUE INDEX key ON nowhere(row_id)");
	assert_int_equal(append_n(&nowhere, 1, 1)->outcome, CH_SINK_DONE);
	/* Nor does one without the key do: rows that come twice would be there twice. */
	direct("CREATE TABLE keyless AS SELECT * FROM things");
	a = append_n(&keyless, 1, 1);
	assert_int_equal(a->outcome, CH_SINK_RETRY);
	assert_non_null(strstr(a->detail, "UNIQUE constraint"));
	end();
}

static struct asked *find(size_t column, struct ch_value value, size_t limit)
{
	static struct asked a;
	static struct ch_sink_find f;

	f = (struct ch_sink_find){ .size = sizeof(f), .table = &things, .column = column, .value = value, .limit = limit };
	a = (struct asked){ .find = &f };
	ask(&a);
	WAIT_FOR(a.done);
	return &a;
}

static void rows_are_found_newest_first_in_their_own_types(void **state)
{
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 5);
	rows[3 * NCOLUMNS + 2] = ch_v_text("another");
	rows[4 * NCOLUMNS + 5] = ch_v_blob("\1\2", 2);
	rows[2 * NCOLUMNS + 3] = ch_v_real(3);
	append_n(&things, 5, 1);
	struct asked *a = find(2, ch_v_text("a thing"), 2);
	assert_int_equal(a->outcome, CH_SINK_DONE);
	assert_int_equal(a->new_rows, 2);
	assert_string_equal(a->rows, "x'018f0000000070008000000000000004' 5000000 'a thing' 0.25 1 x'0102';"
		"x'018f0000000070008000000000000002' 3000000 'a thing' 3 1 null;");
	a = find(0, rows[3 * NCOLUMNS], 10);
	assert_string_equal(a->rows, "x'018f0000000070008000000000000003' 4000000 'another' 0.25 1 null;");
	a = find(2, ch_v_text("' OR 1=1 --"), 10);
	assert_int_equal(a->outcome, CH_SINK_DONE);
	assert_int_equal(a->nrows, 0);
	end();
}

static void old_rows_go_ten_thousand_at_a_time(void **state)
{
	struct asked a = { .expire = &things, .before = 12001 * INT64_C(1000000) };
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 15000);
	append_n(&things, 15000, 1);
	ask(&a);
	WAIT_FOR(a.done);
	assert_int_equal(a.outcome, CH_SINK_DONE);
	assert_int_equal(a.new_rows, 10000);
	a = (struct asked){ .expire = &things, .before = 12001 * INT64_C(1000000) };
	ask(&a);
	WAIT_FOR(a.done);
	assert_int_equal(a.new_rows, 2000);
	assert_string_equal(direct("SELECT min(at) FROM things"), "12001000000");
	end();
}

static void a_batch_given_up_while_it_waits_is_not_there(void **state)
{
	struct ch_sink_batch b = { .size = sizeof(b), .table = &things, .values = rows, .nrows = 5 };
	struct asked a = { .batch = &b };
	sqlite3 *db;
	(void)state;
	begin(TABLE, NULL);
	make_rows(0, 5);
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ask(&a);
	give_up(&a);
	turn();
	assert_true(a.done);
	assert_int_equal(a.outcome, CH_SINK_RETRY);
	sqlite3_close(db);
	assert_int_equal(sql0("INSERT INTO things (row_id, at, name, batch_id) VALUES ('x', 1, 'y', 'z')")->error, CH_SQL_OK);
	assert_string_equal(direct("SELECT count(*) FROM things"), "1");
	end();
}

/* Given up at any moment: all rows or none, and the same batch again makes it all. */
static void a_batch_given_up_at_any_moment_is_whole_or_not_there(void **state)
{
	struct ch_sink_batch b = { .size = sizeof(b), .table = &things, .values = rows, .nrows = 2000 };
	(void)state;
	begin(TABLE, NULL);
	for (int i = 0; i < 40; i++) {
		struct asked a = { .batch = &b };
		double until = seconds() + i * 0.0005;
		char count[30];

		make_rows((size_t)i * 2000, 2000);
		b.values = memcpy(malloc(2000 * NCOLUMNS * sizeof(rows[0])), rows, 2000 * NCOLUMNS * sizeof(rows[0]));
		ask(&a);
		while (seconds() < until && !a.done)
			turn();
		if (!a.done)
			give_up(&a);
		free((void *)(uintptr_t)b.values); /* the memory is the caller's again */
		turn();
		assert_true(a.done);
		make_rows((size_t)i * 2000, 2000);
		struct asked *again = append_n(&things, 2000, 1);
		assert_int_equal(again->outcome, CH_SINK_DONE);
		assert_true(again->new_rows == 0 || again->new_rows == 2000);
		snprintf(count, sizeof(count), "%d", (i + 1) * 2000);
		assert_string_equal(direct("SELECT count(*) FROM things"), count);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_there_with_their_batch),
		cmocka_unit_test(a_batch_that_comes_twice_is_there_once),
		cmocka_unit_test(rows_that_cannot_be_are_refused_by_number_and_nothing_is_there),
		cmocka_unit_test(rows_of_many_statements_are_there_once),
		cmocka_unit_test(of_many_rows_those_alone_that_cannot_be_are_refused),
		cmocka_unit_test(large_rows_are_whole),
		cmocka_unit_test(a_trigger_that_rolls_back_ends_the_batch),
		cmocka_unit_test(an_index_of_the_operators_own_refuses_a_row_by_name),
		cmocka_unit_test(very_many_wrong_rows_are_named_up_to_a_bound),
		cmocka_unit_test(a_missing_table_is_to_be_tried_again_and_says_what_to_do),
		cmocka_unit_test(rows_are_found_newest_first_in_their_own_types),
		cmocka_unit_test(old_rows_go_ten_thousand_at_a_time),
		cmocka_unit_test(a_batch_given_up_while_it_waits_is_not_there),
		cmocka_unit_test(a_batch_given_up_at_any_moment_is_whole_or_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
