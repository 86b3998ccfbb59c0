/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c and shape.c: texts that ClickHouse 18.16 wrote, and the form of newer servers as their documentation shows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "errors.h"
#include "shape.h"

static struct click_error read_it(const char *text)
{
	struct click_error e;

	assert_true(click_error_read(text, strlen(text), &e));
	return e;
}

static void the_text_of_18_16_is_read(void **state)
{
	struct click_error e = read_it("Code: 193, e.displayText() = DB::Exception: Wrong password for user chimera, "
		"e.what() = DB::Exception\n");

	(void)state;
	assert_int_equal(e.code, 193);
	assert_int_equal(e.kind, CLICK_AUTH);
	assert_string_equal(e.name, "WRONG_PASSWORD");
	e = read_it("Code: 60, e.displayText() = DB::Exception: Table default.nope doesn't exist., e.what() = DB::Exception\n");
	assert_int_equal(e.kind, CLICK_SCHEMA);
	assert_non_null(strstr(e.advice, "chimeractl migrate up"));
}

static void the_text_of_newer_servers_is_read(void **state)
{
	struct click_error e = read_it("Code: 252. DB::Exception: Too many parts (300). Merges are processing significantly slower "
		"than inserts. (TOO_MANY_PARTS) (version 23.8.1.2992 (official build))");

	(void)state;
	assert_int_equal(e.code, 252);
	assert_int_equal(e.kind, CLICK_BUSY);
	assert_non_null(strstr(e.advice, "batch_rows"));
}

static void the_row_is_taken_from_the_text_for_bad_rows_alone(void **state)
{
	struct click_error e = read_it("Code: 33, e.displayText() = DB::Exception: Cannot read all data. Bytes read: 4. "
		"Bytes expected: 16.: (at row 4)\n, e.what() = DB::Exception\n");

	(void)state;
	assert_int_equal(e.kind, CLICK_ROW);
	assert_int_equal(e.row, 4);
	e = read_it("Code: 72, e.displayText() = DB::Exception: Unexpected symbol 'x', e.what() = DB::Exception");
	assert_int_equal(e.row, 0);
	e = read_it("Code: 241, e.displayText() = DB::Exception: Memory limit: (at row 7), e.what() = DB::Exception");
	assert_int_equal(e.row, 0);
}

static void an_exception_behind_other_bytes_is_found_and_other_text_is_none(void **state)
{
	static const char *const others[] = { "", "Ok.\n", "Code: red", "Code: 12 is a fine code", "<html>502</html>", "Code: " };
	struct click_error e = read_it("\x01\x02rows\nCode: 241, e.displayText() = DB::Exception: Memory limit exceeded");

	(void)state;
	assert_int_equal(e.code, 241);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(click_error_read(others[i], strlen(others[i]), &e));
	e = read_it("Code: 99999, e.displayText() = DB::Exception: whatever");
	assert_int_equal(e.kind, CLICK_OTHER);
	assert_null(e.name);
	assert_non_null(e.advice);
}

static void every_code_of_the_contract_has_its_kind(void **state)
{
	static const struct { int code, kind; } rows[] = { { 252, CLICK_BUSY }, { 241, CLICK_BUSY }, { 159, CLICK_BUSY },
		{ 164, CLICK_FULL }, { 60, CLICK_SCHEMA }, { 81, CLICK_SCHEMA }, { 516, CLICK_AUTH },
		{ 192, CLICK_AUTH }, { 194, CLICK_AUTH }, { 243, CLICK_FULL },
		{ 27, CLICK_ROW }, { 6, CLICK_ROW }, { 72, CLICK_ROW }, { 33, CLICK_ROW }, { 216, CLICK_RUNNING } };
	char text[64] = "Code: 000, DB::Exception";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text[6] = (char)('0' + rows[i].code / 100);
		text[7] = (char)('0' + rows[i].code / 10 % 10);
		text[8] = (char)('0' + rows[i].code % 10);
		assert_int_equal(read_it(text).kind, rows[i].kind);
	}
}

/* ---- the layout ---- */

static const struct ch_column columns[] = { { "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "note", CH_V_TEXT, CH_COLUMN_NULL },
	{ "flag", CH_V_BOOL, 0 } };
static const struct ch_relation relation = { sizeof(relation), "things", CH_TABLE(columns) };

static bool shape(const char *text, struct click_shape *s, char *why)
{
	*why = 0;
	return click_shape_read(&relation, text, strlen(text), s, why, 320);
}

static void a_layout_that_fits_says_what_may_be_null(void **state)
{
	struct click_shape s;
	char why[320];

	(void)state;
	assert_true(shape("row_id\tUUID\ntime\tInt64\nbatch_id\tUUID\nnote\tNullable(String)\nflag\tUInt8\nday\tDate\n", &s, why));
	assert_false(s.nullable[0]);
	assert_true(s.nullable[2]);
	assert_false(s.token);
	assert_true(shape("@insert_deduplication_token\tsetting\nrow_id\tUUID\ntime\tNullable(Int64)\nbatch_id\tUUID\n"
		"note\tLowCardinality(Nullable(String))\nflag\tBool\n", &s, why));
	assert_true(s.nullable[1] && s.nullable[2] && s.token);
}

static void a_layout_that_does_not_fit_is_named(void **state)
{
	struct click_shape s;
	char why[320];

	(void)state;
	assert_false(shape("", &s, why));
	assert_non_null(strstr(why, "no table things"));
	assert_false(shape("row_id\tUUID\ntime\tInt64\nnote\tNullable(String)\nflag\tUInt8\n", &s, why));
	assert_non_null(strstr(why, "no column batch_id"));
	assert_false(shape("row_id\tUUID\ntime\tInt32\nbatch_id\tUUID\nnote\tNullable(String)\nflag\tUInt8\n", &s, why));
	assert_non_null(strstr(why, "is Int32, it should be Int64"));
	assert_false(shape("row_id\tUUID\ntime\tInt64\nbatch_id\tUUID\nnote\tString\nflag\tUInt8\n", &s, why));
	assert_non_null(strstr(why, "takes no nulls"));
	assert_false(shape("row_id\tUUID\ntime\tInt64\nbatch_id\tUUID\nnot\tNullable(String)\nflag\tUInt8\n", &s, why));
	assert_non_null(strstr(why, "no column note"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_of_18_16_is_read),
		cmocka_unit_test(the_text_of_newer_servers_is_read),
		cmocka_unit_test(the_row_is_taken_from_the_text_for_bad_rows_alone),
		cmocka_unit_test(an_exception_behind_other_bytes_is_found_and_other_text_is_none),
		cmocka_unit_test(every_code_of_the_contract_has_its_kind),
		cmocka_unit_test(a_layout_that_fits_says_what_may_be_null),
		cmocka_unit_test(a_layout_that_does_not_fit_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
