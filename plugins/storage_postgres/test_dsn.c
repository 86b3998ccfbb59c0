/* SPDX-License-Identifier: Apache-2.0 */
/* test_dsn.c - connection strings by libpq's own grammar: what is refused, which hosts are asked for, what libpq is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dsn.h"

CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_;

static void what_cannot_be_is_refused_without_a_word_of_it(void **state)
{
	static const char *const bad[] = { "dbname", "postgresql://u:s3cret@h:port/%zz", "postgresql://u:s3@cret@h/db", "service=mine",
		"host=1,2,3,4,5,6,7,8,9", "nothing=1" };
	static const char *const good[] = { "", "host=127.0.0.1 dbname=chimera user=chimera",
		"postgresql://u:s3%40cret@h:5432/db?sslmode=require",
		"host=@abstract", "postgres:///db?host=/run/postgresql" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *fault = pg_dsn_fault(bad[i]);

		assert_non_null(fault);
		assert_null(strstr(fault, "cret"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(pg_dsn_fault(good[i]));
}

/* The names among the hosts, by comma. */
static void asks(const char *dsn, size_t places, const char *names)
{
	PQconninfoOption *o = pg_dsn_parse(dsn);
	struct ch_str hosts[PG_HOSTS_MAX];
	char text[256] = "";

	assert_non_null(o);
	assert_int_equal(pg_dsn_hosts(o, hosts), places);
	for (size_t i = 0; i < places; i++) {
		if (i)
			strcat(text, ",");
		strncat(text, hosts[i].n ? hosts[i].p : "", hosts[i].n);
	}
	assert_string_equal(text, names);
	pg_dsn_free(o);
}

static void only_names_are_asked_for(void **state)
{
	(void)state;
	unsetenv("PGHOST");
	asks("host=db.example", 1, "db.example");
	asks("host=127.0.0.1", 1, "");
	asks("host=::1,db,/run/pg,@x,10.0.0.1", 5, ",db,,,");
	asks("host=db hostaddr=10.0.0.1", 1, "");
	asks("", 1, "");
	setenv("PGHOST", "db", 1);
	asks("dbname=x", 1, "db");
	unsetenv("PGHOST");
}

static const char *told(const struct pg_params *p, const char *keyword)
{
	const char *value = NULL;

	for (size_t i = 0; i < p->n; i++) /* the last one holds, as in libpq */
		if (!strcmp(p->keywords[i], keyword))
			value = p->values[i];
	assert_null(p->keywords[p->n]);
	return value;
}

static void a_name_becomes_its_addresses_and_stays_the_name_for_tls(void **state)
{
	PQconninfoOption *o = pg_dsn_parse("host=db,10.0.0.9,gone,/run/pg port=1,2,3,4 dbname=x");
	struct ch_addrs two = { .size = sizeof(two), .n = 2, .v = { "10.0.0.1", "fd00::1" } }, none = { .size = sizeof(none) };
	struct ch_addrs *const addrs[PG_HOSTS_MAX] = { &two, NULL, &none };
	struct pg_dial d = { .password = "" };
	struct pg_params p;

	(void)state;
	assert_true(pg_dsn_params(&p, o, &d, addrs));
	assert_string_equal(told(&p, "host"), "db,db,10.0.0.9,/run/pg");
	assert_string_equal(told(&p, "hostaddr"), "10.0.0.1,fd00::1,10.0.0.9,");
	assert_string_equal(told(&p, "port"), "1,1,2,4");
	assert_string_equal(told(&p, "dbname"), "x");
	pg_params_free(&p);
	pg_dsn_free(o);
}

static void one_port_holds_for_all_hosts(void **state)
{
	PQconninfoOption *o = pg_dsn_parse("host=10.0.0.1,10.0.0.2 port=6432");
	struct ch_addrs *const addrs[PG_HOSTS_MAX] = { NULL };
	struct pg_dial d = { .password = "" };
	struct pg_params p;

	(void)state;
	assert_true(pg_dsn_params(&p, o, &d, addrs));
	assert_string_equal(told(&p, "port"), "6432,6432");
	pg_params_free(&p);
	pg_dsn_free(o);
}

static void options_go_before_the_string_and_defaults_behind_it(void **state)
{
	PQconninfoOption *o = pg_dsn_parse("postgresql://u:old@10.0.0.1/db?sslmode=require&application_name=mine&connect_timeout=99");
	struct ch_addrs *const addrs[PG_HOSTS_MAX] = { NULL };
	struct pg_dial own = { .password = "" }, over = { .password = "new", .sslmode = "verify-full", .sslrootcert = "/ca.pem" };
	struct pg_params p;

	(void)state;
	assert_true(pg_dsn_params(&p, o, &own, addrs));
	assert_string_equal(told(&p, "password"), "old");
	assert_string_equal(told(&p, "sslmode"), "require");
	assert_string_equal(told(&p, "application_name"), "mine");
	assert_string_equal(told(&p, "client_encoding"), "UTF8");
	assert_string_equal(told(&p, "gssencmode"), "disable");
	assert_null(told(&p, "connect_timeout"));
	pg_params_free(&p);
	assert_true(pg_dsn_params(&p, o, &over, addrs));
	assert_string_equal(told(&p, "password"), "new");
	assert_string_equal(told(&p, "sslmode"), "verify-full");
	assert_string_equal(told(&p, "sslrootcert"), "/ca.pem");
	pg_params_free(&p);
	pg_dsn_free(o);
	o = pg_dsn_parse("");
	assert_true(pg_dsn_params(&p, o, &own, addrs));
	assert_string_equal(told(&p, "application_name"), "chimera");
	assert_null(told(&p, "host"));
	pg_params_free(&p);
	pg_dsn_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_is_refused_without_a_word_of_it), cmocka_unit_test(only_names_are_asked_for),
		cmocka_unit_test(a_name_becomes_its_addresses_and_stays_the_name_for_tls), cmocka_unit_test(one_port_holds_for_all_hosts),
		cmocka_unit_test(options_go_before_the_string_and_defaults_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
