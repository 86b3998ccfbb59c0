/* SPDX-License-Identifier: Apache-2.0 */
/* test_errors.c - SQLSTATEs by PostgreSQL's appendix A, and what people are told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <chimera/sql.h>
#include <cmocka.h>

#include "errors.h"

CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_;

static void states_have_their_meaning(void **state)
{
	static const struct { const char *state; int error; } rows[] = {
		{ "23505", CH_SQL_CONSTRAINT }, { "23503", CH_SQL_CONSTRAINT }, { "23502", CH_SQL_CONSTRAINT }, { "23514",
			CH_SQL_CONSTRAINT },
		{ "23P01", CH_SQL_CONSTRAINT }, { "40001", CH_SQL_CONFLICT }, { "40P01", CH_SQL_CONFLICT }, { "55P03", CH_SQL_CONFLICT },
		{ "42P01", CH_SQL_SCHEMA }, { "42703", CH_SQL_SCHEMA }, { "42601", CH_SQL_BAD_REQUEST }, { "42883", CH_SQL_BAD_REQUEST },
		{ "53100", CH_SQL_FULL }, { "53200", CH_SQL_FULL }, { "25006", CH_SQL_FULL }, { "53300", CH_SQL_BUSY },
		{ "22003", CH_SQL_VALUE }, { "22021", CH_SQL_VALUE }, { "54000", CH_SQL_VALUE }, { "57014", CH_SQL_UNAVAILABLE },
		{ "57P01", CH_SQL_UNAVAILABLE }, { "57P02", CH_SQL_UNAVAILABLE }, { "57P03", CH_SQL_UNAVAILABLE }, { "08006",
			CH_SQL_UNAVAILABLE },
		{ "28P01", CH_SQL_UNAVAILABLE }, { "25P03", CH_SQL_UNAVAILABLE }, { "42501", CH_SQL_UNAVAILABLE }, { "XX000",
			CH_SQL_UNAVAILABLE },
		{ "40003", CH_SQL_UNKNOWN }, { "", CH_SQL_UNAVAILABLE }, { NULL, CH_SQL_UNAVAILABLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(pg_error_of(rows[i].state), rows[i].error);
}

static void connections_end_where_the_server_says_so(void **state)
{
	(void)state;
	assert_true(pg_error_ends("57P01") && pg_error_ends("57P02") && pg_error_ends("57P03") && pg_error_ends("25006") &&
		pg_error_ends("08006"));
	assert_false(pg_error_ends("57014") || pg_error_ends("23505") || pg_error_ends("40001") || pg_error_ends("42P01") ||
		pg_error_ends(""));
	assert_true(pg_error_moved("25006"));
	assert_false(pg_error_moved("57P01"));
}

static void a_sentence_has_names_and_no_values(void **state)
{
	struct pg_said said = { .state = "23505", .message = "duplicate key value (42) violates unique constraint", .table = "users",
		.constraint = "users_email_key" };
	char text[400];

	(void)state;
	assert_int_equal(pg_error_tell(&said, text, sizeof(text)), CH_SQL_CONSTRAINT);
	assert_non_null(strstr(text, "users_email_key"));
	assert_non_null(strstr(text, "users"));
	assert_null(strstr(text, "42)"));
	said = (struct pg_said){ .state = "22P02", .message = "invalid input syntax for type integer: \"hunter2\"" };
	pg_error_tell(&said, text, sizeof(text));
	assert_null(strstr(text, "hunter2"));
	said = (struct pg_said){ .state = "42P01", .message = "relation \"users\" does not exist" };
	assert_int_equal(pg_error_tell(&said, text, sizeof(text)), CH_SQL_SCHEMA);
	assert_non_null(strstr(text, "chimeractl schema status"));
}

static void copy_names_its_row_in_any_language(void **state)
{
	static const struct { const char *context; size_t row; } rows[] = {
		{ "COPY rows, line 3, column n", 3 }, { "COPY rows, line 12", 12 }, { "COPY t2, Zeile 100, Spalte v1", 100 },
			{ "COPY rows, 行 7", 7 },
		{ "PL/pgSQL function f() line 2 at RAISE\nCOPY rows, line 5", 5 }, { "COPY rows", 0 }, { "SQL statement, 5", 0 }, { NULL,
			0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pg_said said = { .context = rows[i].context };

		assert_int_equal(pg_error_row(&said), rows[i].row);
	}
}

static void a_parameter_is_found_in_the_context(void **state)
{
	struct pg_said said = { .context = "unnamed portal parameter $2" };

	(void)state;
	assert_int_equal(pg_error_parameter(&said), 2);
	said.context = NULL;
	assert_int_equal(pg_error_parameter(&said), 0);
}

static void connecting_fails_in_one_sentence_that_says_what_to_do(void **state)
{
	static const struct { const char *said, *state, *words; } rows[] = {
		{ "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password authentication failed for user \"u\"\n"
		  "LOCATION:  auth_failed, auth.c:326\n", "28P01", "correct password" },
		{ "connection to server at \"h\" failed: FATAL:  28000: no pg_hba.conf entry for host \"1.2.3.4\"\n", "28000",
			"pg_hba.conf" },
		{ "connection to server at \"h\" failed: FATAL:  3D000: database \"d\" does not exist\n", "3D000", "createdb -O u d" },
		{ "connection to server at \"h\" failed: SCHWERWIEGEND:  53300: tut mir leid, schon zu viele Verbindungen\n", "53300",
			"max_connections" },
		{ "connection to server at \"h\" failed: FATAL:  57P03: the database system is starting up\n", "57P03", "is not ready" },
		{ "connection to server at \"h\", port 5432 failed: Connection refused\n\tIs the server running?\n", "",
			"start PostgreSQL" },
		{ "connection to server at \"h\" failed: fe_sendauth: no password supplied\n", "", "set password" },
		{ "connection to server at \"h\" failed: SSL error: certificate verify failed\n", "SSL", "tls_ca" },
		{ "timeout expired", "", "cannot be reached: timeout expired" },
		{ "connection to server at \"h\", port 5432 failed: ", "", "cannot be reached: it did not answer in time." },
	};
	char st[6], text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pg_error_connect(rows[i].said, "h:5432", "u", "d", st, text, sizeof(text));
		assert_string_equal(st, rows[i].state);
		if (!strstr(text, rows[i].words))
			fail_msg("%s: %s", rows[i].words, text);
		assert_null(strchr(text, '\n'));
		assert_int_equal(text[strlen(text) - 1], '.');
	}
}

static void what_only_people_can_mend_is_waited_for_longer(void **state)
{
	(void)state;
	assert_true(pg_error_slow("28P01") && pg_error_slow("3D000") && pg_error_slow("53300") && pg_error_slow("SSL"));
	assert_false(pg_error_slow("57P03") || pg_error_slow(""));
}

static void secrets_are_blotted_out(void **state)
{
	char a[] = "user x has hunter2, hunter2 and hunter", b[] = "abab", c[] = "all";

	(void)state;
	pg_scrub(a, "hunter2");
	assert_string_equal(a, "user x has ***, *** and hunter");
	pg_scrub(b, "ab");
	assert_string_equal(b, "****");
	pg_scrub(c, "");
	pg_scrub(c, NULL);
	assert_string_equal(c, "all");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_have_their_meaning), cmocka_unit_test(connections_end_where_the_server_says_so),
		cmocka_unit_test(a_sentence_has_names_and_no_values), cmocka_unit_test(copy_names_its_row_in_any_language),
		cmocka_unit_test(a_parameter_is_found_in_the_context),
			cmocka_unit_test(connecting_fails_in_one_sentence_that_says_what_to_do),
		cmocka_unit_test(what_only_people_can_mend_is_waited_for_longer), cmocka_unit_test(secrets_are_blotted_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
