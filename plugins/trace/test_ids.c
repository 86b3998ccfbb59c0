/* SPDX-License-Identifier: Apache-2.0 */
/* test_ids.c - request ids and UUID version 7 (RFC 9562). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ids.h"

/* RFC 9562, appendix A.6: unix_ts_ms 0x017F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F. */
static void uuid7_is_the_rfcs_test_vector(void **state)
{
	char out[UUID_LEN + 1];

	(void)state;
	uuid7(out, 0x017F22E279B0, 0xCC3, UINT64_C(0x18C4DC0C0C07398F) << 2);
	assert_string_equal(out, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void version_and_variant_survive_any_random_bits(void **state)
{
	char out[UUID_LEN + 1];

	(void)state;
	uuid7(out, 0, UINT64_MAX, UINT64_MAX);
	assert_string_equal(out, "00000000-0000-7fff-bfff-ffffffffffff");
	uuid7(out, 0xffffffffffff, 0, 0);
	assert_string_equal(out, "ffffffff-ffff-7000-8000-000000000000");
}

static void later_ids_sort_behind_earlier_ones(void **state)
{
	char a[UUID_LEN + 1], b[UUID_LEN + 1];

	(void)state;
	uuid7(a, 1700000000000, UINT64_MAX, UINT64_MAX);
	uuid7(b, 1700000000001, 0, 0);
	assert_true(strcmp(a, b) < 0);
}

static void hex64_writes_sixteen_lower_digits(void **state)
{
	char out[17] = "";

	(void)state;
	hex64(out, 0x00f067aa0ba902b7);
	assert_string_equal(out, "00f067aa0ba902b7");
}

static void request_ids_of_the_allowed_bytes_pass(void **state)
{
	const char all[] = "ABCXYZabcxyz0189._:/+=@-";
	char longest[129];

	(void)state;
	assert_true(req_id_ok(all, sizeof(all) - 1));
	memset(longest, 'a', sizeof(longest));
	assert_true(req_id_ok(longest, 1));
	assert_true(req_id_ok(longest, 128));
	assert_false(req_id_ok(longest, 129));
	assert_false(req_id_ok(longest, 0));
}

static void every_other_byte_is_refused(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[3] = { 'a', (char)c, 'b' };
		bool allowed = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("._:/+=@-", c));

		if (req_id_ok(text, 3) != allowed)
			fail_msg("byte 0x%02x", c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuid7_is_the_rfcs_test_vector),
		cmocka_unit_test(version_and_variant_survive_any_random_bits),
		cmocka_unit_test(later_ids_sort_behind_earlier_ones),
		cmocka_unit_test(hex64_writes_sixteen_lower_digits),
		cmocka_unit_test(request_ids_of_the_allowed_bytes_pass),
		cmocka_unit_test(every_other_byte_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
