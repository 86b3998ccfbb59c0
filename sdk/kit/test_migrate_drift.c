/* SPDX-License-Identifier: MIT */
/* migrate_drift.c: layouts compared, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "migrate_parts.h"

/* What differs, joined by '|'. */
static const char *drift(const char *expected, const char *found)
{
	struct migrate_lines e, f, d;
	static char out[2000];
	size_t n = 0;

	assert_true(migrate_schema_read(expected, strlen(expected), &e));
	assert_true(migrate_schema_read(found, strlen(found), &f));
	assert_true(migrate_compare(&e, &f, &d));
	*out = '\0';
	for (size_t i = 0; i < d.n; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s", n ? "|" : "", d.v[i]);
	migrate_lines_free(&e);
	migrate_lines_free(&f);
	migrate_lines_free(&d);
	return out;
}

#define T "table t\ncolumn t.a int not null\ncolumn t.b text\nindex t_b on t (b)\n"

static void the_same_layout_in_any_order_has_no_drift(void **state)
{
	(void)state;
	assert_string_equal(drift(T, T), "");
	assert_string_equal(drift(T, "index t_b on t (b)\ntable t\ncolumn t.b text\ncolumn t.a int not null\n"), "");
	assert_string_equal(drift("# a comment\r\n\r\ntable t  \r\n" T, T), "");
	assert_string_equal(drift("", T), "");
}

static void tables_that_are_not_named_are_not_looked_at(void **state)
{
	(void)state;
	assert_string_equal(drift(T, T "table other\ncolumn other.a int\nindex t_other on other (a)\ntrigger x on other"), "");
	/* Nor is one whose name begins with that of ours. */
	assert_string_equal(drift(T, T "table t2\ncolumn t2.a int"), "");
}

static void each_object_is_missing_extra_or_changed(void **state)
{
	(void)state;
	assert_string_equal(drift(T, T "column t.c text\n"), "extra column t.c text");
	assert_string_equal(drift(T, "table t\ncolumn t.a int not null\ncolumn t.b text\n"), "missing index t_b on t (b)");
	assert_string_equal(drift(T, "table t\ncolumn t.a text\ncolumn t.b text\nindex t_b on t (b)"),
		"changed column t.a: expected \"int not null\", found \"text\"");
	assert_string_equal(drift(T, "table t unlogged\ncolumn t.a int not null\ncolumn t.b text\nindex t_b on t (b)"),
		"changed table t: expected \"\", found \"unlogged\"");
	assert_string_equal(drift("table t\nengine t A ORDER BY (a)", "table t\nengine t B ORDER BY (a)"),
		"changed engine t: expected \"A ORDER BY (a)\", found \"B ORDER BY (a)\"");
	assert_string_equal(drift("table t\nkey t (a)", "table t\nkey t (a, b)"), "changed key t: expected \"(a)\", found \"(a, b)\"");
	assert_string_equal(drift("table t", "table t\ntrigger x on t\nconstraint y on t CHECK (1)"),
		"extra constraint y on t CHECK (1)|extra trigger x on t");
}

static void a_column_that_was_renamed_is_missing_and_extra(void **state)
{
	(void)state;
	assert_string_equal(drift(T, "table t\ncolumn t.a int not null\ncolumn t.c text\nindex t_b on t (b)"),
		"missing column t.b text|extra column t.c text");
}

static void a_table_that_is_gone_is_told_once(void **state)
{
	(void)state;
	assert_string_equal(drift(T "table u\n", "table u"), "missing table t");
}

static void what_has_no_name_of_its_own_is_known_by_all_of_its_line(void **state)
{
	(void)state;
	assert_string_equal(drift("table t\nunique t (a)\nunique t (b)", "table t\nunique t (b)\nunique t (c)"),
		"missing unique t (a)|extra unique t (c)");
	assert_string_equal(drift("table t\nreference t (a) to u (b)", "table t"), "missing reference t (a) to u (b)");
}

static void text_is_cut_at_whole_characters(void **state)
{
	struct ch_migrate_error error;
	char text[3000];

	(void)state;
	for (size_t i = 0; i < 2997; i += 3)
		memcpy(text + i, "\xe2\x82\xac", 4);
	assert_false(ch_migrate_fail(&error, "%s", text));
	assert_int_equal(strlen(error.text), 2046); /* 682 characters of 3 bytes in 2,047 */
	assert_int_equal(migrate_whole("abc", 3, 3), 3);
	assert_int_equal(migrate_whole("ab\xc3\xa9", 4, 3), 2);
	assert_int_equal(migrate_whole("\xf0\x9f\xa6\x81", 4, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_layout_in_any_order_has_no_drift),
		cmocka_unit_test(tables_that_are_not_named_are_not_looked_at),
		cmocka_unit_test(each_object_is_missing_extra_or_changed),
		cmocka_unit_test(a_column_that_was_renamed_is_missing_and_extra),
		cmocka_unit_test(a_table_that_is_gone_is_told_once),
		cmocka_unit_test(what_has_no_name_of_its_own_is_known_by_all_of_its_line),
		cmocka_unit_test(text_is_cut_at_whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
