/* SPDX-License-Identifier: Apache-2.0 */
/* test_values.c - numbers with their units, quotes, variables, lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/conf/options.h"
#include "core/conf/text.h"
#include "core/conf/value.h"

static char why[768];

static bool read_value(int type, const char *text, struct chi_value *v)
{
	struct ch_option o = { .name = "x", .type = type };

	return chi_value_read(&o, text, v, why, sizeof(why));
}

static void is_int(int type, const char *text, int64_t want)
{
	struct chi_value v;

	if (!read_value(type, text, &v))
		fail_msg("%s: %s", text, why);
	assert_int_equal(v.i, want);
}

static void is_real(int type, const char *text, double want)
{
	struct chi_value v;

	if (!read_value(type, text, &v))
		fail_msg("%s: %s", text, why);
	assert_memory_equal(&v.d, &want, sizeof(want)); /* exactly: both are the nearest double */
}

static void is_wrong(int type, const char *text)
{
	struct chi_value v;

	if (read_value(type, text, &v))
		fail_msg("\"%s\" was taken as type %d", text, type);
	assert_true(*why);
}

static void durations_are_whole_milliseconds_of_a_unit(void **state)
{
	static const char *const wrong[] = { "", "5", "5 s", "s", "-5s", "5S", "5min", "5sec", "1h30m", "1.5ms", "0.0001s", ".5s", "1.s",
		"1..5s", "0x5s", "99999999999999999d", "999999999999999999999s", "off", "5s " };
	size_t i;

	(void)state;
	is_int(CH_T_DURATION, "250ms", 250);
	is_int(CH_T_DURATION, "5s", 5000);
	is_int(CH_T_DURATION, "10m", 600000);
	is_int(CH_T_DURATION, "2h", 7200000);
	is_int(CH_T_DURATION, "1d", 86400000);
	is_int(CH_T_DURATION, "0", 0);
	is_int(CH_T_DURATION, "0s", 0);
	is_int(CH_T_DURATION, "1.5s", 1500);
	is_int(CH_T_DURATION, "0.25h", 900000);
	is_int(CH_T_DURATION, "007s", 7000);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is_wrong(CH_T_DURATION, wrong[i]);
}

static void sizes_count_in_1024(void **state)
{
	static const char *const wrong[] = { "", "k", "1t", "1kb", "1 k", "-1", "1.0001k", "9223372036854775807k", "1e3" };
	size_t i;

	(void)state;
	is_int(CH_T_SIZE, "512", 512);
	is_int(CH_T_SIZE, "64k", 65536);
	is_int(CH_T_SIZE, "10m", 10485760);
	is_int(CH_T_SIZE, "1g", 1073741824);
	is_int(CH_T_SIZE, "1.5k", 1536);
	is_int(CH_T_SIZE, "2K", 2048);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is_wrong(CH_T_SIZE, wrong[i]);
}

static void rates_are_per_second(void **state)
{
	static const char *const wrong[] = { "", "100", "100/", "/s", "100/m", "100 /s", "-1/s", "100/s/s", "unlimited" };
	size_t i;

	(void)state;
	is_real(CH_T_RATE, "100/s", 100.0);
	is_real(CH_T_RATE, "100/min", 100.0 / 60);
	is_real(CH_T_RATE, "5/h", 5.0 / 3600);
	is_real(CH_T_RATE, "0.5/s", 0.5);
	is_real(CH_T_RATE, "0", 0.0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is_wrong(CH_T_RATE, wrong[i]);
}

static void shares_are_percent_or_a_fraction_with_a_point(void **state)
{
	static const char *const wrong[] = { "", "5", "1", "101%", "1.01", "-5%", "5 %", "%", "5%%" };
	size_t i;

	(void)state;
	is_real(CH_T_SHARE, "5%", 0.05);
	is_real(CH_T_SHARE, "100%", 1.0);
	is_real(CH_T_SHARE, "0%", 0.0);
	is_real(CH_T_SHARE, "0.1%", 0.001);
	is_real(CH_T_SHARE, "0.05", 0.05);
	is_real(CH_T_SHARE, "1.0", 1.0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is_wrong(CH_T_SHARE, wrong[i]);
}

static void whole_numbers_end_at_64_bits(void **state)
{
	static const char *const wrong[] = { "", "-", "+", "1.0", "1k", " 1", "0x10", "9223372036854775808", "-9223372036854775809",
		"99999999999999999999" };
	size_t i;

	(void)state;
	is_int(CH_T_INT, "0", 0);
	is_int(CH_T_INT, "-17", -17);
	is_int(CH_T_INT, "+17", 17);
	is_int(CH_T_INT, "9223372036854775807", INT64_MAX);
	is_int(CH_T_INT, "-9223372036854775808", INT64_MIN);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is_wrong(CH_T_INT, wrong[i]);
}

static void decimals_are_the_nearest_double(void **state)
{
	static const char *const wrong[] = { "", "-", ".5", "5.", "1e3", "1,5", "nan", "inf", "0x1", "1234567890123456789" };
	size_t i;

	(void)state;
	is_real(CH_T_DOUBLE, "2.00", 2.0);
	is_real(CH_T_DOUBLE, "-0.1", -0.1);
	is_real(CH_T_DOUBLE, "3.14159", 3.14159);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		is_wrong(CH_T_DOUBLE, wrong[i]);
}

static void booleans_have_eight_words(void **state)
{
	static const char *const yes[] = { "yes", "true", "on", "1", "YES", "True" }, *const no[] = { "no", "false", "off", "0", "Off" };
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		assert_int_equal(chi_value_bool(yes[i]), 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(chi_value_bool(no[i]), 0);
	assert_int_equal(chi_value_bool(""), -1);
	assert_int_equal(chi_value_bool("2"), -1);
	assert_int_equal(chi_value_bool("y"), -1);
}

static void off_words_are_minus_one_where_allowed(void **state)
{
	static const char *const words[] = { "off", "unlimited", "none" };
	struct ch_option o = { .name = "x", .type = CH_T_DURATION, .flags = CH_O_OFF, .min = "1s" };
	struct chi_value v;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		o.type = CH_T_DURATION;
		assert_true(chi_value_read(&o, words[i], &v, why, sizeof(why)));
		assert_int_equal(v.i, -1);
		o.type = CH_T_RATE;
		assert_true(chi_value_read(&o, words[i], &v, why, sizeof(why)));
		assert_true(v.d == -1);
	}
}

static void bounds_hold_and_are_told(void **state)
{
	struct ch_option o = { .name = "x", .type = CH_T_DURATION, .min = "1s", .max = "1h" };
	struct chi_value v;

	(void)state;
	assert_true(chi_value_read(&o, "1s", &v, why, sizeof(why)));
	assert_true(chi_value_read(&o, "60m", &v, why, sizeof(why)));
	assert_false(chi_value_read(&o, "999ms", &v, why, sizeof(why)));
	assert_non_null(strstr(why, "from 1s to 1h"));
	assert_false(chi_value_read(&o, "3600001ms", &v, why, sizeof(why)));
	o = (struct ch_option){ .name = "x", .type = CH_T_SHARE, .max = "50%" };
	assert_true(chi_value_read(&o, "50%", &v, why, sizeof(why)));
	assert_false(chi_value_read(&o, "50.1%", &v, why, sizeof(why)));
	assert_non_null(strstr(why, "at most 50%"));
}

static void a_wrong_word_lists_all_words_and_the_nearest(void **state)
{
	static const char *const words[] = { "weighted", "least_in_flight", "ewma", NULL };
	struct ch_option o = { .name = "x", .type = CH_T_ENUM, .values = words };
	struct chi_value v;

	(void)state;
	assert_true(chi_value_read(&o, "ewma", &v, why, sizeof(why)));
	assert_int_equal(v.i, 2);
	assert_false(chi_value_read(&o, "wieghted", &v, why, sizeof(why)));
	assert_non_null(strstr(why, "weighted, least_in_flight, ewma"));
	assert_non_null(strstr(why, "did you mean \"weighted\"?"));
	assert_false(chi_value_read(&o, "zzz", &v, why, sizeof(why)));
	assert_null(strstr(why, "did you mean"));
}

static void a_word_option_with_off_and_on_takes_boolean_words(void **state)
{
	static const char *const both[] = { "off", "on", NULL }, *const one[] = { "all", "off", NULL };
	struct ch_option o = { .name = "x", .type = CH_T_ENUM, .values = both };
	struct chi_value v;

	(void)state;
	assert_true(chi_value_read(&o, "1", &v, why, sizeof(why)));
	assert_int_equal(v.i, 1);
	assert_true(chi_value_read(&o, "false", &v, why, sizeof(why)));
	assert_int_equal(v.i, 0);
	o.values = one;
	assert_false(chi_value_read(&o, "no", &v, why, sizeof(why)));
}

/* ---- texts ---- */

static struct chi_mem mem;
static jmp_buf oom;
static char *const env[] = { "A=1", "EMPTY=", "LIST=x, y", "TRICK=\"q\" ; ${A}", "A_B9=ok", NULL };

static int setup(void **state)
{
	(void)state;
	mem.oom = &oom; /* never used: a test that has no memory may as well crash */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	chi_mem_free(&mem);
	return 0;
}

static const char *expand(const char *s)
{
	const char *w = NULL, *r = chi_text_expand(&mem, s, env, &w);

	assert_true(r || w);
	return r ? r : w;
}

static void variables_expand_and_dollars_double(void **state)
{
	(void)state;
	assert_string_equal(expand("${A}"), "1");
	assert_string_equal(expand("<${A}${A_B9}>"), "<1ok>");
	assert_string_equal(expand("${NO:-d e}"), "d e");
	assert_string_equal(expand("${NO:-}"), "");
	assert_string_equal(expand("${EMPTY:-d}"), "d");
	assert_string_equal(expand("${EMPTY}"), "");
	assert_string_equal(expand("$${A}"), "${A}");
	assert_string_equal(expand("a$$b"), "a$b");
	assert_string_equal(expand("a$b$"), "a$b$");
	assert_string_equal(expand("${TRICK}"), "\"q\" ; ${A}"); /* once, not again */
}

static void an_unset_variable_is_an_error_that_names_it(void **state)
{
	const char *w = NULL;

	(void)state;
	assert_null(chi_text_expand(&mem, "x${NOPE}", env, &w));
	assert_non_null(strstr(w, "NOPE"));
	assert_non_null(strstr(w, "${NOPE:-default}"));
	assert_null(chi_text_expand(&mem, "${A", env, &w));
	assert_null(chi_text_expand(&mem, "${}", env, &w));
	assert_null(chi_text_expand(&mem, "${9A}", env, &w));
	assert_null(chi_text_expand(&mem, "${A:-${B}}", env, &w));
	assert_null(chi_text_expand(&mem, "${A}", NULL, &w));
}

static void quoted_texts_know_four_escapes(void **state)
{
	const char *w = NULL, *s = "\" a;\\\"b\\\\c\\nd\\te \"";

	(void)state;
	assert_string_equal(chi_text_unquote(&mem, s, strlen(s), &w), " a;\"b\\c\nd\te ");
	assert_string_equal(chi_text_unquote(&mem, "\"\"", 2, &w), "");
	assert_null(chi_text_unquote(&mem, "\"\\r\"", 4, &w));
	assert_null(chi_text_unquote(&mem, "\"a\" b", 5, &w));
	assert_null(chi_text_unquote(&mem, "\"a", 2, &w));
}

static void members(const char *s, bool vars, size_t n, const char *const *want)
{
	struct ch_list l;
	const char *w = NULL;
	size_t i;

	assert_true(chi_text_members(&mem, s, vars, env, &l, &w));
	assert_int_equal(l.n, n);
	for (i = 0; i < n; i++) {
		assert_string_equal(l.v[i].p, want[i]);
		assert_int_equal(l.v[i].n, strlen(want[i]));
	}
}

static void lists_split_at_commas_outside_of_quotes(void **state)
{
	const char *w = NULL;
	struct ch_list l;

	(void)state;
	members("gpt-*, o3*", true, 2, (const char *const[]){ "gpt-*", "o3*" });
	members("", true, 0, NULL);
	members(" , ,", true, 0, NULL);
	members("\"a, b\" , c", true, 2, (const char *const[]){ "a, b", "c" });
	members("\"\", \" x \"", true, 2, (const char *const[]){ "", " x " });
	members("${LIST}, z", true, 3, (const char *const[]){ "x", "y", "z" });
	members("\"${LIST}\"", true, 1, (const char *const[]){ "x, y" });
	members("${LIST}", false, 1, (const char *const[]){ "${LIST}" });
	assert_false(chi_text_members(&mem, "\"a\" b, c", true, env, &l, &w));
	assert_false(chi_text_members(&mem, "a, \"b", true, env, &l, &w));
	assert_false(chi_text_members(&mem, "${NOPE}", true, env, &l, &w));
}

static void a_joined_list_splits_into_the_same_members(void **state)
{
	static const char *const hard[] = { "a", "", " b", "c, d", "e\"f", "g\\h", "i\nj\tk", "l ; m", "${A}", "$$", "@n" };
	struct ch_str v[11];
	struct ch_list l = { v, 11 };
	size_t i;

	(void)state;
	for (i = 0; i < 11; i++)
		v[i] = (struct ch_str){ hard[i], strlen(hard[i]) };
	members(chi_text_join(&mem, &l), false, 11, hard);
	/* and as it would stand in a file */
	members(chi_text_written(&mem, chi_text_join(&mem, &l), true), true, 11, hard);
}

static void aliases_carry_unit_and_deprecation_in_any_order(void **state)
{
	const char *p = "LLM_TIMEOUT_MS:ms, OLD:deprecated, OLDER:deprecated:/min,PLAIN";
	struct chi_alias a;

	(void)state;
	assert_true(chi_option_alias(&p, &a));
	assert_memory_equal(a.name.p, "LLM_TIMEOUT_MS", a.name.n);
	assert_memory_equal(a.unit.p, "ms", 2);
	assert_int_equal(a.unit.n, 2);
	assert_false(a.deprecated);
	assert_true(chi_option_alias(&p, &a));
	assert_int_equal(a.name.n, 3);
	assert_int_equal(a.unit.n, 0);
	assert_true(a.deprecated);
	assert_true(chi_option_alias(&p, &a));
	assert_true(a.deprecated);
	assert_memory_equal(a.unit.p, "/min", 4);
	assert_true(chi_option_alias(&p, &a));
	assert_int_equal(a.name.n, 5);
	assert_false(a.deprecated);
	assert_false(chi_option_alias(&p, &a));
}

/* A plugin built with a longer or a shorter struct ch_option. */
static void rows_of_another_size_are_stepped_by_that_size(void **state)
{
	struct longer {
		struct ch_option o;
		const char *more;
	} rows[2] = { { { .name = "a", .help = "A" }, "x" }, { { .name = "b", .help = "B" }, "y" } };
	struct ch_table t = { rows, 2, sizeof(rows[0]) };
	char shorter[2][offsetof(struct ch_option, help)];
	struct ch_option o;

	(void)state;
	o = chi_option_at(&t, 1);
	assert_string_equal(o.name, "b");
	assert_string_equal(o.help, "B");
	memcpy(shorter[0], &rows[0].o, sizeof(shorter[0]));
	memcpy(shorter[1], &rows[1].o, sizeof(shorter[1]));
	t = (struct ch_table){ shorter, 2, sizeof(shorter[0]) };
	o = chi_option_at(&t, 1);
	assert_string_equal(o.name, "b");
	assert_null(o.help);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_whole_milliseconds_of_a_unit),
		cmocka_unit_test(sizes_count_in_1024),
		cmocka_unit_test(rates_are_per_second),
		cmocka_unit_test(shares_are_percent_or_a_fraction_with_a_point),
		cmocka_unit_test(whole_numbers_end_at_64_bits),
		cmocka_unit_test(decimals_are_the_nearest_double),
		cmocka_unit_test(booleans_have_eight_words),
		cmocka_unit_test(off_words_are_minus_one_where_allowed),
		cmocka_unit_test(bounds_hold_and_are_told),
		cmocka_unit_test(a_wrong_word_lists_all_words_and_the_nearest),
		cmocka_unit_test(a_word_option_with_off_and_on_takes_boolean_words),
		cmocka_unit_test(variables_expand_and_dollars_double),
		cmocka_unit_test(an_unset_variable_is_an_error_that_names_it),
		cmocka_unit_test(quoted_texts_know_four_escapes),
		cmocka_unit_test(lists_split_at_commas_outside_of_quotes),
		cmocka_unit_test(a_joined_list_splits_into_the_same_members),
		cmocka_unit_test(aliases_carry_unit_and_deprecation_in_any_order),
		cmocka_unit_test(rows_of_another_size_are_stepped_by_that_size),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
