/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_copy.c - the bytes of binary COPY (PostgreSQL's documentation of COPY, "Binary Format") and of arrays (array_send in
 * arrayfuncs.c). The connection is the test's own: it keeps what is sent, and is as slow as the test likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage_postgres.h"
#include "values.h"

/* ---- a host and a connection of our own ---- */

static int64_t now(void)
{
	return 1;
}

static void count(unsigned series, double v)
{
	(void)series;
	(void)v;
}

static const struct ch_host host = { .size = sizeof(host), .now = now, .add = count, .observe = count };
CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_ = &host;

static char *sent;
static size_t nsent, room, pieces, wakes;
static bool ended, busy_after_each;
static int asked;                  /* results that were taken */
static const char *query;

int PQputCopyData(PGconn *pg, const char *p, int n)
{
	(void)pg;
	if (nsent + (size_t)n > room) {
		room = (nsent + (size_t)n) * 2;
		sent = realloc(sent, room);
		assert_non_null(sent);
	}
	memcpy(sent + nsent, p, (size_t)n);
	nsent += (size_t)n;
	pieces++;
	return 1;
}

int PQputCopyEnd(PGconn *pg, const char *error)
{
	(void)pg;
	assert_null(error);
	ended = true;
	return 1;
}

int PQflush(PGconn *pg)
{
	(void)pg;
	return busy_after_each;
}

int PQsendQuery(PGconn *pg, const char *text)
{
	(void)pg;
	query = text;
	return 1;
}

PGresult *PQgetResult(PGconn *pg)
{
	(void)pg;
	return asked++ % 3 == 2 ? NULL : (PGresult *)&asked;
}

ExecStatusType PQresultStatus(const PGresult *r)
{
	(void)r;
	return asked == 1 ? PGRES_COPY_IN : PGRES_COMMAND_OK;
}

char *PQcmdTuples(PGresult *r)
{
	(void)r;
	return (char *)(uintptr_t)"3";
}

int PQexitPipelineMode(PGconn *pg) { (void)pg; return 1; }
int PQenterPipelineMode(PGconn *pg) { (void)pg; return 1; }
int PQisBusy(PGconn *pg) { (void)pg; return 0; }
ConnStatusType PQstatus(const PGconn *pg) { (void)pg; return CONNECTION_OK; }
void PQclear(PGresult *r) { (void)r; }

static bool done;

void pg_conn_done(struct pg_conn *conn, int error, const char *detail)
{
	(void)conn;
	assert_int_equal(error, 0);
	assert_null(detail);
	done = true;
}

bool pg_conn_flush(struct pg_conn *conn) { (void)conn; return true; }
bool pg_conn_wake(struct pg_conn *conn) { (void)conn; wakes++; return true; }
void pg_call_note(struct pg_call *call, struct pg_conn *conn, size_t at, const PGresult *r) { (void)call; (void)conn; (void)at; (void)r; }
const struct pg_work pg_sql_work;

void pg_statement_init(struct pg_statement *s, const char *text, int nvalues, const Oid *types, const char *const *values,
	const int *lengths)
{
	*s = (struct pg_statement){ .text = text, .n = strlen(text), .nvalues = nvalues, .types = types, .values = values, .lengths = lengths };
}

/* ---- a table ---- */

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "note", CH_V_TEXT, CH_COLUMN_NULL }, { "n", CH_V_INT, 0 },
};
static const struct ch_relation table = { sizeof(table), "rows", CH_TABLE(columns) };
static const unsigned char id[16] = "0123456789abcde";

static struct pg_append *make(const struct ch_value *values, size_t nrows)
{
	struct pg_append *a = calloc(1, sizeof(*a) + PG_COPY_TEXT_MAX);

	assert_non_null(a);
	a->table = &table;
	a->values = values;
	a->nrows = nrows;
	a->ncolumns = 4;
	memset(a->batch_id, 0xbb, 16);
	a->sql.call.work = &pg_copy_work;
	pg_copy_text(&table, a->copy);
	return a;
}

static void run(struct pg_append *a)
{
	char scratch[PG_SCRATCH];
	struct pg_pool pool = { .scratch = scratch };
	struct pg_conn conn = { .pool = &pool };

	nsent = pieces = wakes = 0;
	asked = 0;
	ended = done = false;
	assert_true(pg_copy_work.begin(&a->sql.call, &conn));
	for (int i = 0; i < 100000 && !done; i++)
		assert_true(pg_copy_work.moved(&a->sql.call, &conn));
	assert_true(done && ended);
	assert_int_equal(a->rows, 3);
}

static void the_text_names_every_column(void **state)
{
	struct pg_append *a = make(NULL, 0);

	(void)state;
	assert_string_equal(a->copy, "COPY \"rows\" (\"row_id\", \"time\", \"note\", \"n\", batch_id) FROM STDIN (FORMAT binary)");
	free(a);
}

static void a_row_is_what_the_manual_says(void **state)
{
	struct ch_value row[4] = { ch_v_uuid(id), ch_v_time(946684800000001), ch_v_null(CH_V_TEXT), ch_v_int(-2) };
	struct pg_append *a = make(row, 1);
	static const char want[] =
		"PGCOPY\n\377\r\n\0" "\0\0\0\0" "\0\0\0\0" /* signature, flags, no extension */
		"\0\5"
		"\0\0\0\x10" "0123456789abcde\0"
		"\0\0\0\x08" "\0\0\0\0\0\0\0\1"
		"\xff\xff\xff\xff"
		"\0\0\0\x08" "\xff\xff\xff\xff\xff\xff\xff\xfe"
		"\0\0\0\x10" "\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb\xbb"
		"\xff\xff";

	(void)state;
	run(a);
	assert_string_equal(query, a->copy);
	assert_int_equal(nsent, sizeof(want) - 1);
	assert_memory_equal(sent, want, nsent);
	free(a);
}

static size_t plain_row(char *at, const struct ch_value *row)
{
	char *begin = at;

	at = pg_put16(at, 5);
	for (int i = 0; i < 4; i++) {
		char space[PG_VALUE_MAX];
		const char *p;
		size_t n = pg_encode(&row[i], space, &p);

		at = pg_put32(at, (uint32_t)n);
		memcpy(at, p, n);
		at += n;
	}
	at = pg_put32(at, 16);
	memset(at, 0xbb, 16);
	return (size_t)(at + 16 - begin);
}

/* A piece may end at any byte of a row: texts of all lengths move its end past each of them. */
static void rows_are_the_same_wherever_a_piece_ends(void **state)
{
	enum { ROWS = 900, TEXT = 400 };
	static char text[70000], want[ROWS * (TEXT + 100) + 200000];
	struct ch_value *rows = calloc(ROWS * 4, sizeof(*rows));

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t length = 0; length < TEXT; length++) {
		size_t n = 19;
		struct pg_append *a;

		for (size_t i = 0; i < ROWS; i++) {
			size_t own = i == 500 && length % 50 == 0 ? 65300 + length : length; /* some do not fit into a piece at all */

			rows[4 * i] = ch_v_uuid(id);
			rows[4 * i + 1] = ch_v_time((int64_t)i);
			rows[4 * i + 2] = ch_v_bytes(CH_V_TEXT, text, own);
			rows[4 * i + 3] = ch_v_int((int64_t)i);
			n += plain_row(want + n, &rows[4 * i]);
		}
		a = make(rows, ROWS);
		busy_after_each = length % 2;
		run(a);
		assert_int_equal(nsent, n + 2);
		assert_memory_equal(sent + 19, want + 19, n - 19);
		free(a);
	}
	busy_after_each = false;
	free(rows);
}

static void others_have_their_turn_while_much_is_sent(void **state)
{
	enum { ROWS = 30000 };
	struct ch_value *rows = calloc(ROWS * 4, sizeof(*rows));
	struct pg_append *a;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		rows[4 * i] = ch_v_uuid(id);
		rows[4 * i + 1] = ch_v_time(0);
		rows[4 * i + 2] = ch_v_text("some text");
		rows[4 * i + 3] = ch_v_int(0);
	}
	a = make(rows, ROWS);
	run(a);
	assert_true(wakes >= 3 && wakes <= 8); /* 2.4 MB in pieces of 64 KiB, eight at a time */
	free(a);
	free(rows);
}

static void arrays_are_what_the_server_sends_itself(void **state)
{
	struct ch_value rows[8] = { ch_v_uuid(id), ch_v_time(946684800000000), ch_v_text("ab"), ch_v_int(1),
		ch_v_uuid(id), ch_v_time(946684800000001), ch_v_null(CH_V_TEXT), ch_v_int(2) };
	struct pg_append *a = make(rows, 2);
	/* dimensions, has nulls, element's type, length, first index; then a length before each element */
	static const char notes[] = "\0\0\0\1" "\0\0\0\1" "\0\0\0\x19" "\0\0\0\2" "\0\0\0\1" "\0\0\0\2" "ab" "\xff\xff\xff\xff";
	static const char ns[] = "\0\0\0\1" "\0\0\0\0" "\0\0\0\x14" "\0\0\0\2" "\0\0\0\1" "\0\0\0\x08" "\0\0\0\0\0\0\0\1" "\0\0\0\x08"
		"\0\0\0\0\0\0\0\2";

	(void)state;
	assert_true(pg_append_again(a));
	assert_string_equal(a->statement.text,
		"INSERT INTO \"rows\" (\"row_id\", \"time\", \"note\", \"n\", batch_id) SELECT r.\"row_id\", "
		"r.\"time\", r.\"note\", r.\"n\", $5 FROM unnest($1, $2, $3, $4) AS r(\"row_id\", \"time\", \"note\", \"n\") "
		"ON CONFLICT (row_id) DO NOTHING");
	assert_int_equal(a->statement.nvalues, 5);
	assert_int_equal(a->statement.lengths[2], sizeof(notes) - 1);
	assert_memory_equal(a->statement.values[2], notes, sizeof(notes) - 1);
	assert_int_equal(a->statement.lengths[3], sizeof(ns) - 1);
	assert_memory_equal(a->statement.values[3], ns, sizeof(ns) - 1);
	assert_int_equal(a->statement.types[2], 1009);
	assert_int_equal(a->statement.types[4], 2950);
	free(a->sql.memory);
	free(a);
}

static int forget(void **state)
{
	(void)state;
	free(sent);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_names_every_column), cmocka_unit_test(a_row_is_what_the_manual_says),
		cmocka_unit_test(rows_are_the_same_wherever_a_piece_ends), cmocka_unit_test(others_have_their_turn_while_much_is_sent),
		cmocka_unit_test(arrays_are_what_the_server_sends_itself),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
