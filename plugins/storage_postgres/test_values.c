/* SPDX-License-Identifier: Apache-2.0 */
/* test_values.c - values in PostgreSQL's binary format, bytes computed by hand from its documentation and src/backend/utils/adt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <chimera/kit/value.h>
#include <cmocka.h>

#include "values.h"

CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_;

static void is(struct ch_value v, const char *bytes, size_t n)
{
	char room[PG_VALUE_MAX];
	const char *p;

	assert_int_equal(pg_encode(&v, room, &p), n);
	assert_memory_equal(p, bytes, n);
}

static void numbers_are_big_endian(void **state)
{
	(void)state;
	is(ch_v_int(1), "\0\0\0\0\0\0\0\1", 8);
	is(ch_v_int(-2), "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
	is(ch_v_int(INT64_MIN), "\x80\0\0\0\0\0\0\0", 8);
	is(ch_v_real(1), "\x3f\xf0\0\0\0\0\0\0", 8); /* IEEE 754: exponent 1023 */
	is(ch_v_real(-2), "\xc0\0\0\0\0\0\0\0", 8);
	is(ch_v_bool(true), "\1", 1);
	is(ch_v_bool(false), "\0", 1);
}

static void times_count_from_the_year_2000(void **state)
{
	(void)state;
	is(ch_v_time(946684800000000), "\0\0\0\0\0\0\0\0", 8);
	is(ch_v_time(946684800000001), "\0\0\0\0\0\0\0\1", 8);
	is(ch_v_time(946684799999999), "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}

static void bytes_and_ids_are_their_own(void **state)
{
	static const unsigned char id[16] = { 1, 0x90, 0x16, 0x3d, 0x86, 0x90, 0x70, 0xcb, 0x8f, 0x2c, 0x1f, 0x4f, 0x4f, 0x4f, 0x4f, 0xff };

	(void)state;
	is(ch_v_text("a'b"), "a'b", 3);
	is(ch_v_blob("\0\xff", 2), "\0\xff", 2);
	is(ch_v_blob("", 0), "", 0);
	is(ch_v_uuid(id), (const char *)id, 16);
}

static void types_have_the_catalog_s_numbers(void **state)
{
	static const struct { int type; Oid oid, array; } rows[] = { /* src/include/catalog/pg_type.dat */
		{ CH_V_INT, 20, 1016 }, { CH_V_REAL, 701, 1022 }, { CH_V_BOOL, 16, 1000 }, { CH_V_TEXT, 25, 1009 }, { CH_V_BLOB, 17, 1001 },
		{ CH_V_TIME, 1184, 1185 }, { CH_V_UUID, 2950, 2951 }, { 0, 0, 0 }, { 99, 0, 0 }, { -1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(pg_type_of(rows[i].type), rows[i].oid);
		assert_int_equal(pg_array_of(rows[i].type), rows[i].array);
	}
}

static void whole(Oid type, const char *p, size_t n, int want, int64_t i)
{
	struct ch_value v = pg_decode(type, p, n);

	assert_int_equal(v.type, want);
	assert_int_equal(v.null, 0);
	assert_true(v.u.i == i);
}

static void whole_numbers_and_times_are_read(void **state)
{
	(void)state;
	whole(PG_INT8, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8, CH_V_INT, -2);
	whole(PG_INT4, "\xff\xff\xff\xfe", 4, CH_V_INT, -2);
	whole(PG_INT2, "\xff\xfe", 2, CH_V_INT, -2);
	whole(PG_OID, "\xff\xff\xff\xfe", 4, CH_V_INT, 4294967294);
	whole(PG_BOOL, "\1", 1, CH_V_BOOL, 1);
	whole(PG_TIMESTAMPTZ, "\0\0\0\0\0\0\0\1", 8, CH_V_TIME, 946684800000001);
	whole(PG_TIMESTAMPTZ, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8, CH_V_TIME, CH_TIME_MAX); /* "infinity" */
	whole(PG_TIMESTAMP, "\x80\0\0\0\0\0\0\0", 8, CH_V_TIME, CH_TIME_MIN);
	whole(PG_DATE, "\0\0\0\1", 4, CH_V_TIME, 946771200000000);
	whole(PG_DATE, "\x7f\xff\xff\xff", 4, CH_V_TIME, CH_TIME_MAX);
	whole(PG_DATE, "\x80\0\0\0", 4, CH_V_TIME, CH_TIME_MIN);
}

/* ndigits, weight, sign, dscale, then digits of base 10,000: docs, and numeric_send in numeric.c */
static void numeric_is_a_whole_number_where_it_can_be(void **state)
{
	(void)state;
	whole(PG_NUMERIC, "\0\0\0\0\0\0\0\0", 8, CH_V_INT, 0);
	whole(PG_NUMERIC, "\0\1\0\0\0\0\0\2" "\0\3", 10, CH_V_INT, 3);                       /* 3.00 */
	whole(PG_NUMERIC, "\0\1\0\2\0\0\0\0" "\0\1", 10, CH_V_INT, 100000000);               /* 1 * 10,000^2 */
	whole(PG_NUMERIC, "\0\2\0\1\x40\0\0\0" "\0\1\x09\x29", 12, CH_V_INT, -12345);         /* 1, 2345 */
	/* 922 3372 0368 5477 5807 */
	whole(PG_NUMERIC, "\0\5\0\4\0\0\0\0" "\x03\x9a\x0d\x2c\x01\x70\x15\x65\x16\xaf", 18, CH_V_INT, INT64_MAX);
	whole(PG_NUMERIC, "\0\5\0\4\x40\0\0\0" "\x03\x9a\x0d\x2c\x01\x70\x15\x65\x16\xb0", 18, CH_V_INT, INT64_MIN);
}

static void real(Oid type, const char *p, size_t n, double d)
{
	struct ch_value v = pg_decode(type, p, n);

	assert_int_equal(v.type, CH_V_REAL);
	assert_int_equal(v.null, 0);
	assert_true(v.u.d == d);
}

static void the_rest_of_numeric_is_real(void **state)
{
	(void)state;
	real(PG_FLOAT8, "\x3f\xf8\0\0\0\0\0\0", 8, 1.5);
	real(PG_FLOAT4, "\x3f\xc0\0\0", 4, 1.5);
	real(PG_NUMERIC, "\0\3\0\1\0\0\0\3" "\0\1\x09\x29\x18\x6a", 14, 12345.625); /* 1, 2345, 6250 */
	real(PG_NUMERIC, "\0\1\xff\xff\x40\0\0\1" "\x13\x88", 10, -0.5);            /* 5000 * 10,000^-1 */
	real(PG_NUMERIC, "\0\5\0\4\0\0\0\0" "\x03\x9a\x0d\x2c\x01\x70\x15\x65\x16\xb0", 18, 9223372036854775808.0);
	assert_int_equal(pg_decode(PG_NUMERIC, "\0\0\0\0\xc0\0\0\0", 8).null, 1); /* NaN */
	assert_int_equal(pg_decode(PG_NUMERIC, "\0\4\0\0\0\0\0\0\0\1", 10).null, 1); /* cut */
	assert_int_equal(pg_decode(PG_FLOAT8, "\x7f\xf0\0\0\0\0\0\0", 8).null, 1);
}

static void null_is_null_of_its_type(void **state)
{
	static const struct { Oid oid; int type; } rows[] = { { PG_INT4, CH_V_INT }, { PG_FLOAT4, CH_V_REAL }, { PG_BOOL, CH_V_BOOL },
		{ PG_VARCHAR, CH_V_TEXT }, { PG_BYTEA, CH_V_BLOB }, { PG_DATE, CH_V_TIME }, { PG_UUID, CH_V_UUID }, { PG_NUMERIC,
			CH_V_REAL } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ch_value v = pg_decode(rows[i].oid, NULL, 0);

		assert_int_equal(v.type, rows[i].type);
		assert_int_equal(v.null, 1);
	}
}

static void text_is_pointed_to(void **state)
{
	static const char text[] = "abc";
	struct ch_value v = pg_decode(PG_TEXT, text, 3);

	(void)state;
	assert_ptr_equal(v.u.s.p, text);
	assert_int_equal(v.u.s.n, 3);
	assert_int_equal(pg_decode(869, text, 3).type, CH_V_BLOB); /* inet has no name here */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_big_endian), cmocka_unit_test(times_count_from_the_year_2000),
		cmocka_unit_test(bytes_and_ids_are_their_own), cmocka_unit_test(types_have_the_catalog_s_numbers),
		cmocka_unit_test(whole_numbers_and_times_are_read), cmocka_unit_test(numeric_is_a_whole_number_where_it_can_be),
		cmocka_unit_test(the_rest_of_numeric_is_real), cmocka_unit_test(null_is_null_of_its_type),
			cmocka_unit_test(text_is_pointed_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
