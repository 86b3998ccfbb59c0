/* SPDX-License-Identifier: MIT */
/* value.c: what goes to a database and what does not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chimera/kit/value.h"

#define UTF8(lit) ch_utf8(lit, sizeof(lit) - 1)

static void text_is_utf8_without_nul(void **state)
{
	(void)state;
	assert_true(UTF8(""));
	assert_true(UTF8("a longer text than eight bytes, with 'quotes' and \\"));
	assert_true(UTF8("gr\xc3\xbc\xc3\x9f dich \xf0\x9f\xa6\x84")); /* two bytes, four bytes */
	assert_false(UTF8("nul\0inside"));
	assert_false(UTF8("12345678\0"));
	assert_false(UTF8("\xff"));
	assert_false(UTF8("cut \xf0\x9f\xa6"));
	assert_false(UTF8("\xc0\xaf"));           /* overlong */
	assert_false(UTF8("\xed\xa0\x80"));       /* a surrogate */
	assert_false(UTF8("\xf4\x90\x80\x80"));   /* above U+10FFFF */
}

static void each_place_of_a_word_is_looked_at(void **state)
{
	char s[24];

	(void)state;
	for (size_t at = 0; at < sizeof(s); at++) {
		memset(s, 'x', sizeof(s));
		s[at] = 0;
		assert_false(ch_utf8(s, sizeof(s)));
		s[at] = '\x80';
		assert_false(ch_utf8(s, sizeof(s)));
		s[at] = '\x7f';
		assert_true(ch_utf8(s, sizeof(s)));
	}
}

static void a_value_must_be_of_its_columns_type_and_within_its_bounds(void **state)
{
	struct ch_value v;

	(void)state;
	v = ch_v_int(INT64_MIN);
	assert_null(ch_value_fault(&v, CH_V_INT));
	assert_string_equal(ch_value_fault(&v, CH_V_TIME), "is of another type than its column");
	v = ch_v_null(CH_V_TEXT);
	assert_null(ch_value_fault(&v, CH_V_TEXT));
	v = ch_v_real(-1e308);
	assert_null(ch_value_fault(&v, CH_V_REAL));
	v = ch_v_real(NAN);
	assert_non_null(ch_value_fault(&v, CH_V_REAL));
	v = ch_v_real(INFINITY);
	assert_non_null(ch_value_fault(&v, CH_V_REAL));
	v = ch_v_of(CH_V_BOOL, 2);
	assert_non_null(ch_value_fault(&v, CH_V_BOOL));
	v = ch_v_time(CH_TIME_MAX);
	assert_null(ch_value_fault(&v, CH_V_TIME));
	v = ch_v_time(CH_TIME_MAX + 1);
	assert_non_null(ch_value_fault(&v, CH_V_TIME));
	v = ch_v_time(CH_TIME_MIN - 1);
	assert_non_null(ch_value_fault(&v, CH_V_TIME));
	v = ch_v_blob("\0\xff", 2);
	assert_null(ch_value_fault(&v, CH_V_BLOB));
	v = ch_v_bytes(CH_V_TEXT, "\0\xff", 2);
	assert_non_null(ch_value_fault(&v, CH_V_TEXT));
	v = ch_v_null(99);
	assert_non_null(ch_value_fault(&v, CH_V_TEXT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_utf8_without_nul),
		cmocka_unit_test(each_place_of_a_word_is_looked_at),
		cmocka_unit_test(a_value_must_be_of_its_columns_type_and_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
