/* SPDX-License-Identifier: MIT */
/* The metrics of adapters: names in statements, and families that several plugins share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kit/db.h>
#include <chimera/test.h>

static void names(const char *text, const char *operation, const char *table)
{
	char o[8], t[64];

	ch_db_names(text, strlen(text), o, t);
	assert_string_equal(o, operation);
	assert_string_equal(t, table);
}

static void a_statement_has_an_operation_and_a_first_table(void **state)
{
	(void)state;
	names("SELECT a, b FROM users WHERE id = $1", "select", "users");
	names("insert into Users (a) values ($1) on conflict (a) do update set a = excluded.a", "insert", "users");
	names("UPDATE users SET a = $1", "update", "users");
	names("UPDATE ONLY users SET a = $1", "update", "users");
	names("UPDATE OR IGNORE users SET a = $1", "update", "users");
	names("DELETE FROM main.users WHERE id = $1", "delete", "users");
	names("  WITH x AS (SELECT 1 FROM a) SELECT * FROM b", "with", "a");
	names("SELECT * FROM (SELECT 1 FROM inner_one) AS o", "select", "inner_one");
	names("SELECT 1", "select", "none");
	names("VACUUM", "other", "none");
	names("", "other", "none");
}

static void texts_comments_and_quoted_names_are_no_words_of_it(void **state)
{
	(void)state;
	names("SELECT ' FROM x ', '''' || ' INTO y' FROM z", "select", "z");
	names("-- DELETE FROM x\nSELECT 1 /* FROM y */ FROM z", "select", "z");
	names("SELECT \"from\", \"\" FROM \"My \"\"Table\"", "select", "My \"\"Table");
	names("SELECT \"a\".\"into\" FROM s.\"Odd\"", "select", "Odd");
	names("SELECT fromage, into_it FROM cheese", "select", "cheese");
	names("SELECT 'it never ends FROM x", "select", "none");
	names("SELECT 1 /* nor does this FROM x", "select", "none");
	names("SELECT \"", "select", "none");
	names("SELECT 1 FROM", "select", "none");
	names("INSERT INTO", "insert", "none");
}

static void a_long_name_is_cut_at_63_bytes(void **state)
{
	char text[200] = "SELECT 1 FROM ", want[64];

	(void)state;
	memset(text + 14, 'x', 100);
	memset(want, 'x', 63);
	want[63] = 0;
	names(text, "select", want);
}

/* ---- two plugins that declare them ---- */

static const struct ch_metric metrics[] = { CH_DB_METRICS };
static const struct ch_plugin first = { .size = sizeof(first), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "first",
	.version = "0", .summary = "Measures", .metrics = CH_TABLE(metrics) };
static const struct ch_plugin second = { .size = sizeof(second), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "second",
	.version = "0", .summary = "Measures too", .metrics = CH_TABLE(metrics) };

static const struct ch_plugin *first_entry(const struct ch_host *host)
{
	(void)host;
	return &first;
}
static const struct ch_plugin *second_entry(const struct ch_host *host)
{
	(void)host;
	return &second;
}

static struct ch_test *begin(void)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, first_entry);
	ch_test_plugin(t, second_entry);
	ch_test_config(t, "[first]\n[second]\n");
	assert_true(ch_test_start(t));
	return t;
}

static void statements_of_two_plugins_count_in_one_family(void **state)
{
	struct ch_test *t = begin();
	struct ch_db_statement a, b;

	(void)state;
	ch_db_statement_init(ch_test_self(t, "first"), "SELECT 1 FROM users", 19, &a);
	ch_db_series(ch_test_self(t, "second"), "select", "users", &b);
	assert_int_equal(a.queries, b.queries);
	ch_db_ran(&a, 2000);
	ch_db_ran(&b, 500000);
	assert_true(ch_test_metric(t, "db_queries_total", "select", "users", NULL) == 2);
	assert_true(ch_test_metric(t, "db_query_duration_seconds", "select", "users", NULL) == 2);
	assert_true(ch_test_metric_sum(t, "db_query_duration_seconds", "select", "users", NULL) == 0.502);
	ch_test_free(t);
}

static void connections_of_instances_add_up_and_end_at_zero(void **state)
{
	struct ch_test *t = begin();
	struct ch_db_gauges a, b, heir;

	(void)state;
	ch_db_gauges_init(ch_test_self(t, "first"), &a);
	ch_db_gauges_init(ch_test_self(t, "first"), &heir);
	ch_db_gauges_init(ch_test_self(t, "second"), &b);
	ch_db_gauges_say(&a, 2, 1, 5);
	ch_db_gauges_say(&b, 3, 0, 0);
	ch_db_gauges_say(&heir, 1, 0, 0);
	assert_true(ch_test_metric(t, "db_connections_active", NULL) == 6);
	assert_true(ch_test_metric(t, "chimera_db_connections", "first", "in_use", NULL) == 3);
	assert_true(ch_test_metric(t, "chimera_db_connections", "first", "waiting", NULL) == 5);
	ch_db_gauges_say(&a, 0, 0, 0);
	ch_db_gauges_say(&b, 0, 0, 0);
	ch_db_gauges_say(&heir, 0, 0, 0);
	assert_true(ch_test_metric(t, "db_connections_active", NULL) == 0);
	assert_true(ch_test_metric(t, "chimera_db_connections", "first", "waiting", NULL) == 0);
	ch_test_free(t);
}

static void errors_have_the_names_of_the_contract(void **state)
{
	struct ch_test *t = begin();
	struct ch_db_errors e;

	(void)state;
	assert_string_equal(ch_db_error_name(CH_SQL_OK), "ok");
	assert_string_equal(ch_db_error_name(CH_SQL_BAD_REQUEST), "bad_request");
	assert_string_equal(ch_db_error_name(CH_SQL_CONFLICT), "conflict");
	assert_string_equal(ch_db_error_name(CH_SQL_CANCELLED), "cancelled");
	assert_string_equal(ch_db_error_name(99), "other");
	ch_db_errors_init(ch_test_self(t, "first"), &e);
	ch_db_failed(&e, CH_SQL_OK);
	ch_db_failed(&e, CH_SQL_BUSY);
	ch_db_failed(&e, 99);
	assert_true(ch_test_metric(t, "chimera_db_errors_total", NULL) == 1);
	assert_true(ch_test_metric(t, "chimera_db_errors_total", "first", "busy", NULL) == 1);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_statement_has_an_operation_and_a_first_table),
		cmocka_unit_test(texts_comments_and_quoted_names_are_no_words_of_it),
		cmocka_unit_test(a_long_name_is_cut_at_63_bytes),
		cmocka_unit_test(statements_of_two_plugins_count_in_one_family),
		cmocka_unit_test(connections_of_instances_add_up_and_end_at_zero),
		cmocka_unit_test(errors_have_the_names_of_the_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
