/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as lines of dlq.jsonl, and back. Each test is named after the fact it states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "letter.h"

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "i", CH_V_INT, 0 }, { "d", CH_V_REAL, 0 },
	{ "b", CH_V_BOOL, 0 },      { "s", CH_V_TEXT, 0 },    { "x", CH_V_BLOB, 0 }, { "none", CH_V_TEXT, CH_COLUMN_NULL },
};
static const struct ch_relation table = { sizeof(table), "things", CH_TABLE(columns) };
static const unsigned char id[16] = { 0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f };

static char *line(const struct ch_value *row, size_t *n)
{
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	letter_write(&w, 1767225600000001, "pg", &table, row, "too \"large\"");
	assert_false(w.failed);
	*n = w.len;
	return w.buf;
}

static void fill(struct ch_value *row, int64_t i, double d, const char *s, size_t ns)
{
	row[0] = ch_v_uuid(id);
	row[1] = ch_v_time(i % 1000000000000000);
	row[2] = ch_v_int(i);
	row[3] = ch_v_real(d);
	row[4] = ch_v_bool(true);
	row[5] = ch_v_bytes(CH_V_TEXT, s, ns);
	row[6] = ch_v_blob("\0\xFF\x10", 3);
	row[7] = ch_v_null(CH_V_TEXT);
}

static void a_letter_is_one_line_of_json(void **state)
{
	struct ch_value row[8];
	size_t n;
	char *p;

	(void)state;
	fill(row, -5, 0.1, "a\nb", 3);
	p = line(row, &n);
	assert_string_equal((p = realloc(p, n + 1), p[n] = 0, p),
		"{\"time\":\"2026-01-01T00:00:00.000001Z\",\"sink\":\"pg\",\"table\":\"things\","
		"\"row_id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"reason\":\"too \\\"large\\\"\",\"types\":\"utirbsxs\","
		"\"payload\":{\"row_id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"time\":\"1969-12-31T23:59:59.999995Z\","
		"\"i\":-5,\"d\":0.1,\"b\":true,\"s\":\"a\\nb\",\"x\":\"00ff10\",\"none\":null}}\n");
	free(p);
}

static void every_value_comes_back_as_it_was(void **state)
{
	static const int64_t ints[] = { 0, -1, INT64_MAX, INT64_MIN, 1234567890123456789 };
	static const double reals[] = { 0, -0.1, 1e308, 5e-324, 1.0 / 3 };
	static const char text[] = "quotes \" \\ \xF0\x9F\x98\x80 \x01 end";
	struct ch_value row[8];

	(void)state;
	for (size_t k = 0; k < 5; k++) {
		struct letter l;
		struct letter_row *r;
		size_t n;
		char *p;

		fill(row, ints[k], reals[k], text, sizeof(text) - 1);
		p = line(row, &n);
		assert_true(letter_read(p, n - 1, &l));
		assert_memory_equal(l.row_id, id, 16);
		assert_false(l.replayed);
		r = letter_row(&l);
		assert_non_null(r);
		assert_string_equal(r->table.name, "things");
		assert_int_equal(r->table.columns.n, 8);
		for (size_t i = 0; i < 8; i++) {
			assert_string_equal(ch_column_at(&r->table, i)->name, columns[i].name);
			assert_int_equal(ch_column_at(&r->table, i)->type, columns[i].type);
			assert_int_equal(r->values[i].type, row[i].type);
			assert_int_equal(r->values[i].null, row[i].null);
		}
		assert_memory_equal(r->values[0].u.uuid, id, 16);
		assert_int_equal(r->values[1].u.i, row[1].u.i);
		assert_int_equal(r->values[2].u.i, ints[k]);
		assert_memory_equal(&r->values[3].u.d, &reals[k], sizeof(double));
		assert_int_equal(r->values[4].u.i, 1);
		assert_int_equal(r->values[5].u.s.n, sizeof(text) - 1);
		assert_memory_equal(r->values[5].u.s.p, text, sizeof(text) - 1);
		assert_int_equal(r->values[6].u.s.n, 3);
		assert_memory_equal(r->values[6].u.s.p, "\0\xFF\x10", 3);
		free(r);
		free(p);
	}
}

/* By hand: 2000-02-29 is day 11016; 0001-01-01 is day -719162; 9999-12-31 is day 2932896. */
static void times_are_those_of_the_gregorian_calendar(void **state)
{
	static const struct { int64_t us; const char *text; } want[] = {
		{ 0, "1970-01-01T00:00:00.000000Z" },
		{ INT64_C(11016) * 86400000000, "2000-02-29T00:00:00.000000Z" },
		{ INT64_C(-719162) * 86400000000, "0001-01-01T00:00:00.000000Z" },
		{ INT64_C(2932897) * 86400000000 - 1, "9999-12-31T23:59:59.999999Z" },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char text[LETTER_TIME];
		int64_t us;

		assert_string_equal(letter_time(text, want[i].us), want[i].text);
		assert_true(letter_time_read((struct ch_str){ text, strlen(text) }, &us));
		assert_int_equal(us, want[i].us);
	}
}

static void a_damaged_line_is_none(void **state)
{
	struct ch_value row[8];
	struct letter l;
	size_t n;
	char *p;

	(void)state;
	fill(row, 1, 1, "s", 1);
	p = line(row, &n);
	for (size_t cut = 0; cut < n - 1; cut++)
		assert_false(letter_read(p, cut, &l));
	assert_true(letter_read(p, n - 1, &l));
	free(p);
}

static void a_mark_names_its_row_and_sink(void **state)
{
	struct letter l;
	struct ch_jw w;
	char buf[256];

	(void)state;
	ch_jw_init(&w, buf, sizeof(buf));
	letter_write_mark(&w, 0, "pg", id);
	assert_true(letter_read(buf, w.len - 1, &l));
	assert_true(l.replayed);
	assert_memory_equal(l.row_id, id, 16);
	assert_memory_equal(l.sink.p, "pg", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_letter_is_one_line_of_json),
		cmocka_unit_test(every_value_comes_back_as_it_was),
		cmocka_unit_test(times_are_those_of_the_gregorian_calendar),
		cmocka_unit_test(a_damaged_line_is_none),
		cmocka_unit_test(a_mark_names_its_row_and_sink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
