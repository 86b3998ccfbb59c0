/* SPDX-License-Identifier: MIT */
/* Decimals and rates as configs write them; what is expected was counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kit/bucket.h>
#include <chimera/kit/decimal.h>

static void is_rate(const char *text, double per_second)
{
	double got = 77;

	if (!ch_rate_read(text, strlen(text), &got))
		fail_msg("\"%s\" is a rate", text);
	assert_true(got == per_second);
}

static void a_rate_is_so_many_a_second(void **state)
{
	(void)state;
	is_rate("10/s", 10);
	is_rate("100/min", 100.0 / 60);
	is_rate("5/h", 5.0 / 3600);
	is_rate("0.5/s", 0.5);
	is_rate("0", 0);
	is_rate("0/min", 0);
	is_rate("unlimited", -1);
	is_rate("off", -1);
	is_rate("none", -1);
}

static void what_is_no_rate_is_refused(void **state)
{
	static const char *const wrong[] = { "", "100", "/s", "-1/s", "1 /s", "1/s ", "1/d", "1/minute", "1./s", ".5/s", "1e3/s", "1/S",
		"unlimite", "unlimitedx", "1,5/s", "12345678901234567890/s" };
	double got;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		got = 77;
		if (ch_rate_read(wrong[i], strlen(wrong[i]), &got))
			fail_msg("\"%s\" is no rate", wrong[i]);
		assert_true(got == 0);
	}
}

static void no_byte_behind_the_text_is_read(void **state)
{
	double got;

	(void)state;
	assert_true(ch_rate_read("100/minutes", 7, &got));
	assert_true(got == 100.0 / 60);
	assert_false(ch_rate_read("100/min", 5, &got));
	assert_false(ch_rate_read("100/min", 0, &got));
}

static void a_rate_of_a_text_is_exact_in_a_bucket(void **state)
{
	struct ch_bucket_rate r;
	double got;

	(void)state;
	assert_true(ch_rate_read("100/min", 7, &got));
	assert_true(ch_bucket_rate_from(&r, got, 100));
	assert_int_equal(r.token, 600000); /* a token every 0.6 s */
	assert_int_equal(r.refill, 1);
	assert_true(ch_rate_read("1/h", 3, &got));
	assert_true(ch_bucket_rate_from(&r, got, 1));
	assert_int_equal(r.token, INT64_C(3600000000));
	assert_int_equal(r.refill, 1);
}

static void a_decimal_keeps_its_digits(void **state)
{
	struct ch_decimal d;

	(void)state;
	assert_int_equal(ch_decimal_read("12.50x", 6, &d), 5);
	assert_int_equal(d.digits, 1250);
	assert_int_equal(d.places, 2);
	assert_true(d.point);
	assert_true(ch_decimal_real(&d) == 12.5);
	assert_int_equal(ch_decimal_read("007", 3, &d), 3);
	assert_int_equal(d.digits, 7);
	assert_false(d.point);
	assert_int_equal(ch_decimal_read("999999999999999999", 18, &d), 18);
	assert_int_equal(d.digits, INT64_C(999999999999999999));
	assert_int_equal(ch_decimal_read("1234567890123456789", 19, &d), 0);
	assert_int_equal(ch_decimal_read("1.", 2, &d), 0);
	assert_int_equal(ch_decimal_read(".5", 2, &d), 0);
	assert_int_equal(ch_decimal_read("", 0, &d), 0);
	assert_int_equal(ch_decimal_ten(0), 1);
	assert_int_equal(ch_decimal_ten(18), INT64_C(1000000000000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_so_many_a_second),
		cmocka_unit_test(what_is_no_rate_is_refused),
		cmocka_unit_test(no_byte_behind_the_text_is_read),
		cmocka_unit_test(a_rate_of_a_text_is_exact_in_a_bucket),
		cmocka_unit_test(a_decimal_keeps_its_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
