/* SPDX-License-Identifier: Apache-2.0 */
/* rowbinary.c: bytes worked out by hand from ClickHouse's description of the format; the id's bytes are what ClickHouse 18.16 wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rowbinary.h"

static const unsigned char id[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static void assert_bytes(struct ch_value v, bool nullable, const char *want, size_t n)
{
	char out[64];

	assert_int_equal(click_rb_size(&v, nullable), n);
	assert_int_equal(click_rb_put(out, &v, nullable) - out, n);
	assert_memory_equal(out, want, n);
}

#define BYTES(v, nullable, lit) assert_bytes(v, nullable, lit, sizeof(lit) - 1)

static void numbers_are_little_endian(void **state)
{
	(void)state;
	BYTES(ch_v_int(1), false, "\x01\0\0\0\0\0\0\0");
	BYTES(ch_v_int(-2), false, "\xfe\xff\xff\xff\xff\xff\xff\xff");
	BYTES(ch_v_time(0x0102030405060708), false, "\x08\x07\x06\x05\x04\x03\x02\x01");
	BYTES(ch_v_real(1.5), false, "\0\0\0\0\0\0\xf8\x3f"); /* sign 0, exponent 0x3ff, mantissa .1 */
	BYTES(ch_v_bool(true), false, "\x01");
	BYTES(ch_v_bool(false), false, "\0");
}

static void a_byte_says_whether_there_is_a_value_where_there_may_be_none(void **state)
{
	(void)state;
	BYTES(ch_v_null(CH_V_INT), true, "\x01");
	BYTES(ch_v_null(CH_V_TEXT), true, "\x01");
	BYTES(ch_v_int(3), true, "\0\x03\0\0\0\0\0\0\0");
	BYTES(ch_v_bool(true), true, "\0\x01");
	BYTES(ch_v_text("hi"), true, "\0\x02hi");
}

static void a_text_has_its_length_before_it_in_groups_of_seven_bits(void **state)
{
	static char big[300];
	struct ch_value v = ch_v_blob(big, sizeof(big));
	char *out = malloc(400), *end;

	(void)state;
	BYTES(ch_v_text(""), false, "\0");
	BYTES(ch_v_blob("\0\xff", 2), false, "\x02\0\xff");
	end = click_rb_put(out, &v, false);
	assert_int_equal(end - out, 302); /* 300 = 2 * 128 + 44 */
	assert_int_equal((unsigned char)out[0], 0xac);
	assert_int_equal((unsigned char)out[1], 0x02);
	free(out);
	assert_int_equal(click_rb_size(&(struct ch_value){ CH_V_TEXT, 0, { .s = { big, 127 } } }, false), 128);
	assert_int_equal(click_rb_size(&(struct ch_value){ CH_V_TEXT, 0, { .s = { big, 128 } } }, false), 130);
}

static void an_id_is_two_numbers(void **state)
{
	(void)state;
	BYTES(ch_v_uuid(id), false, "\x77\x66\x55\x44\x33\x22\x11\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88");
	BYTES(ch_v_uuid(id), true, "\0\x77\x66\x55\x44\x33\x22\x11\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88");
}

static void what_is_written_is_read_back_and_no_shorter_bytes_are(void **state)
{
	const struct ch_value values[] = { ch_v_int(INT64_MIN), ch_v_int(0), ch_v_real(-1e308), ch_v_bool(true),
		ch_v_text("gr\xc3\xbc\xc3\x9f"), ch_v_blob("\0", 1), ch_v_text(""), ch_v_time(253402300799999999), ch_v_uuid(id),
		ch_v_null(CH_V_TEXT), ch_v_null(CH_V_UUID) };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		for (int nullable = values[i].null; nullable <= 1; nullable++) {
			char bytes[64];
			size_t n = (size_t)(click_rb_put(bytes, &values[i], nullable) - bytes);
			struct ch_value v;

			assert_int_equal(click_rb_get(bytes, n, values[i].type, nullable, &v), n);
			assert_int_equal(v.null, values[i].null);
			assert_int_equal(v.type, values[i].type);
			if (v.type == CH_V_TEXT || v.type == CH_V_BLOB) {
				assert_int_equal(v.u.s.n, values[i].u.s.n);
				if (v.u.s.n)
					assert_memory_equal(v.u.s.p, values[i].u.s.p, v.u.s.n);
			} else {
				assert_memory_equal(&v.u, &values[i].u, sizeof(v.u));
			}
			for (size_t cut = 0; cut < n; cut++)
				assert_int_equal(click_rb_get(bytes, cut, values[i].type, nullable, &v), 0);
		}
}

static void a_length_that_cannot_be_is_no_text(void **state)
{
	struct ch_value v;

	(void)state;
	assert_int_equal(click_rb_get("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, CH_V_TEXT, false, &v), 0);
	assert_int_equal(click_rb_get("\xff\xff\xff\xff\xff\xff\xff\xff\x7f" "abc", 12, CH_V_TEXT, false, &v), 0);
	assert_int_equal(click_rb_get("\x05" "abcd", 5, CH_V_TEXT, false, &v), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_little_endian),
		cmocka_unit_test(a_byte_says_whether_there_is_a_value_where_there_may_be_none),
		cmocka_unit_test(a_text_has_its_length_before_it_in_groups_of_seven_bits),
		cmocka_unit_test(an_id_is_two_numbers),
		cmocka_unit_test(what_is_written_is_read_back_and_no_shorter_bytes_are),
		cmocka_unit_test(a_length_that_cannot_be_is_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
