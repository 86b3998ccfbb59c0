/* SPDX-License-Identifier: MIT */
/* migrate_split.c: statements of files, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "migrate_parts.h"

/* "LINE:text|LINE:text", or "what@LINE" where something is not closed. */
static const char *split(const char *engine, const char *sql)
{
	static char out[2000];
	struct migrate_statement st;
	struct migrate_split s;
	const char *what = NULL;
	size_t n = 0;
	int rc;

	*out = '\0';
	migrate_split_init(&s, engine, sql, strlen(sql));
	while ((rc = migrate_split_next(&s, &st, &what)) > 0)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%u:%.*s", n ? "|" : "", st.line, (int)st.n, st.p);
	if (rc < 0)
		snprintf(out + n, sizeof(out) - n, "%s%s@%u", n ? "|" : "", what, s.line);
	return out;
}

static const char *const engines[] = { "sqlite", "postgresql", "clickhouse" };

/* The same in each engine. */
static void all(const char *sql, const char *expected)
{
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(split(engines[i], sql), expected);
}

static void semicolons_end_statements_and_the_last_needs_none(void **state)
{
	(void)state;
	all("", "");
	all(" \n\t", "");
	all(";;\n;", "");
	all("SELECT 1", "1:SELECT 1");
	all("SELECT 1;", "1:SELECT 1");
	all("a;b;\n\nc\n", "1:a|1:b|3:c");
	all("\n\na\n b ;\r\n c;", "3:a\n b|5:c");
	all("\xef\xbb\xbf" "a;", "1:a");
}

static void what_is_quoted_hides_semicolons(void **state)
{
	(void)state;
	all("SELECT 'a;b', 'it''s;', \"x;y\"; b", "1:SELECT 'a;b', 'it''s;', \"x;y\"|1:b");
	all("SELECT '\n;';\nb", "1:SELECT '\n;'|3:b");
	assert_string_equal(split("sqlite", "SELECT [a;b], `c;d`; e"), "1:SELECT [a;b], `c;d`|1:e");
	assert_string_equal(split("clickhouse", "SELECT `c;d`, x[1]; e"), "1:SELECT `c;d`, x[1]|1:e");
	assert_string_equal(split("postgresql", "SELECT x[1]; e"), "1:SELECT x[1]|1:e");
}

static void a_backslash_escapes_where_the_engine_has_it_so(void **state)
{
	(void)state;
	assert_string_equal(split("clickhouse", "SELECT 'a\\';b'; c"), "1:SELECT 'a\\';b'|1:c");
	assert_string_equal(split("sqlite", "SELECT 'a\\';b"), "1:SELECT 'a\\'|1:b");
	assert_string_equal(split("postgresql", "SELECT 'a\\';b"), "1:SELECT 'a\\'|1:b");
	assert_string_equal(split("postgresql", "SELECT E'a\\';b', e'\\\\'; c"), "1:SELECT E'a\\';b', e'\\\\'|1:c");
	assert_string_equal(split("postgresql", "SELECT somee'\\'; c"), "1:SELECT somee'\\'|1:c");
}

static void comments_are_no_statements_and_hide_what_is_in_them(void **state)
{
	(void)state;
	all("-- a; 'b\n/* c; \" */ d; -- e;", "2:d");
	all("a -- it's;\n, b; c", "1:a -- it's;\n, b|2:c");
	all("-- only\n;/* this */", "");
	all("a - -b; c/d", "1:a - -b|1:c/d");
	/* In PostgreSQL alone they nest. */
	assert_string_equal(split("postgresql", "/* a /* b */ ; */ c; d"), "1:c|1:d");
	assert_string_equal(split("sqlite", "/* a /* b */ c; d"), "1:c|1:d");
}

static void dollar_quotes_are_text_in_postgresql(void **state)
{
	(void)state;
	assert_string_equal(split("postgresql", "SELECT $$a;'b$$; c"), "1:SELECT $$a;'b$$|1:c");
	assert_string_equal(split("postgresql", "DO $x$ BEGIN a; $$;$$ END $x$; c"), "1:DO $x$ BEGIN a; $$;$$ END $x$|1:c");
	assert_string_equal(split("postgresql", "SELECT $1, a$b$; c"), "1:SELECT $1, a$b$|1:c");
	assert_string_equal(split("sqlite", "SELECT $a; $a"), "1:SELECT $a|1:$a");
}

static void the_body_of_a_trigger_belongs_to_it(void **state)
{
	(void)state;
	assert_string_equal(
		split("sqlite",
			"CREATE TRIGGER t AFTER INSERT ON a BEGIN\n UPDATE b SET c = CASE WHEN 1 THEN 2 END;\n DELETE FROM d;\nEND;\ne"),
		"1:CREATE TRIGGER t AFTER INSERT ON a BEGIN\n UPDATE b SET c = CASE WHEN 1 THEN 2 END;\n DELETE FROM d;\nEND|5:e");
	assert_string_equal(split("sqlite", "create temp trigger t begin \"end\"; 'end;'; end; e"),
		"1:create temp trigger t begin \"end\"; 'end;'; end|1:e");
	assert_string_equal(split("postgresql", "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; e"),
		"1:CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END|1:e");
	assert_string_equal(split("postgresql", "CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f(); e"),
		"1:CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()|1:e");
	/* No body where none can be. */
	all("CREATE TABLE begin_end (a); b", "1:CREATE TABLE begin_end (a)|1:b");
	all("SELECT CASE WHEN 1 THEN 2 END; b", "1:SELECT CASE WHEN 1 THEN 2 END|1:b");
	all("INSERT INTO t (begin) VALUES (1); b", "1:INSERT INTO t (begin) VALUES (1)|1:b");
}

static void what_is_never_closed_is_told_with_its_line(void **state)
{
	(void)state;
	all("a;\n'b;\nc", "1:a|the quoted text@2");
	all("a;\n\"b;\nc", "1:a|the quoted name@2");
	all("a;\n\n/* b", "1:a|the comment@3");
	assert_string_equal(split("postgresql", "a;\n$x$ $$ $X$"), "1:a|the text in dollar quotes@2");
	assert_string_equal(split("sqlite", "CREATE TRIGGER t\nBEGIN a; b;"), "the body@2");
}

static void a_message_shows_the_first_line_and_cuts_no_character(void **state)
{
	struct migrate_statement st = { .p = "CREATE TABLE t (\r\n a)", .n = 21, .line = 1 };
	char text[100];

	(void)state;
	assert_int_equal(migrate_statement_head(&st), 16);
	memset(text, 'x', 79);
	memcpy(text + 79, "\xf0\x9f\xa6\x81 and more", 13);
	st = (struct migrate_statement){ .p = text, .n = 92, .line = 1 };
	assert_int_equal(migrate_statement_head(&st), 79);
}

static void words_of_transactions_are_known(void **state)
{
	static const char *const words[] = { "BEGIN", "begin immediate", "COMMIT;", "rollback to x", "End", "START TRANSACTION",
		"savepoint a", "RELEASE a" };
	static const char *const others[] = { "SELECT 1", "beginning", "commit_log", "ENDS", "-- begin" };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_true(migrate_statement_transacts(&(struct migrate_statement){ .p = words[i], .n = strlen(words[i]) }));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(migrate_statement_transacts(&(struct migrate_statement){ .p = others[i], .n = strlen(others[i]) }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(semicolons_end_statements_and_the_last_needs_none),
		cmocka_unit_test(what_is_quoted_hides_semicolons),
		cmocka_unit_test(a_backslash_escapes_where_the_engine_has_it_so),
		cmocka_unit_test(comments_are_no_statements_and_hide_what_is_in_them),
		cmocka_unit_test(dollar_quotes_are_text_in_postgresql),
		cmocka_unit_test(the_body_of_a_trigger_belongs_to_it),
		cmocka_unit_test(what_is_never_closed_is_told_with_its_line),
		cmocka_unit_test(a_message_shows_the_first_line_and_cuts_no_character),
		cmocka_unit_test(words_of_transactions_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
