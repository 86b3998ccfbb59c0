/* SPDX-License-Identifier: Apache-2.0 */
/* A url names a place, a database and who we are; one that does not is refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "url.h"

const struct ch_host *ch_host_;

static struct kr_url u;
static struct ch_str user, password;

static bool reads(const char *text)
{
	return !kr_url_read(text, &u, &user, &password);
}

static bool is(struct ch_str s, const char *text)
{
	return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static void a_place_has_a_host_a_port_and_a_database(void **state)
{
	(void)state;
	assert_true(reads("redis://h"));
	assert_string_equal(u.host, "h");
	assert_true(u.port == 6379 && u.database == 0 && !user.n && !password.n && !*u.path);
	assert_true(reads("redis://redis.example:7000/12") && u.port == 7000 && u.database == 12);
	assert_string_equal(u.host, "redis.example");
	assert_true(reads("redis://[2001:db8::1]:7000/") && u.port == 7000 && u.database == 0);
	assert_string_equal(u.host, "2001:db8::1");
	assert_true(reads("redis://[::1]") && u.port == 6379);
}

static void a_socket_has_a_path(void **state)
{
	(void)state;
	assert_true(reads("unix:///run/redis/redis.sock") && !*u.host && u.database == 0);
	assert_string_equal(u.path, "/run/redis/redis.sock");
	assert_true(reads("unix:///a?db=3") && u.database == 3);
	assert_string_equal(u.path, "/a");
	assert_false(reads("unix://a"));
	assert_false(reads("unix:///"));
	assert_false(reads("unix:///a?x=3"));
	assert_false(reads("unix:///a?db="));
	assert_false(reads("unix:///0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456"));
}

static void user_and_password_stand_before_the_last_at(void **state)
{
	const char *p;

	(void)state;
	assert_true(reads("redis://:p@h") && !user.n && is(password, "p"));
	assert_true(reads("redis://u:p:q@x@h:1/2") && is(user, "u") && is(password, "p:q@x"));
	assert_string_equal(u.host, "h");
	assert_true(reads("redis://u:a%2Fb%25@h") && is(password, "a%2Fb%25"));
	p = password.p + 1;
	assert_int_equal(kr_url_byte(&p, password.p + password.n), '/');
	assert_int_equal(*p, 'b');
	assert_true(reads("redis://:a/b@h") && is(password, "a/b"));
	assert_false(reads("redis://u@h"));
	assert_false(reads("redis://:%@h"));
	assert_false(reads("redis://:%4@h"));
	assert_false(reads("redis://:%zz@h"));
	assert_false(reads("redis://:%00@h"));
}

static void what_is_wrong_is_said_and_nothing_secret_with_it(void **state)
{
	static const char *const wrong[] = {
		"", "h", "http://h", "rediss://:hunter2@h", "redis://", "redis://:hunter2@", "redis://:hunter2@h:0", "redis://:hunter2@h:65536",
		"redis://:hunter2@h:1x", "redis://:hunter2@h:", "redis://:hunter2@h/x", "redis://:hunter2@h/1/2", "redis://:hunter2@h/-1",
		"redis://:hunter2@h/100000", "redis://:hunter2@h?a", "redis://:hunter2@h#a", "redis://:hunter2@[::1", "redis://:hunter2@[::1]x",
		"redis://:hunter2@::1", "redis://:hunter2@a b", "redis://hunter2@h", "redis://:hunter2%@h",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *why = kr_url_read(wrong[i], &u, &user, &password);

		assert_non_null(why);
		assert_null(strstr(why, "hunter2"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_has_a_host_a_port_and_a_database),
		cmocka_unit_test(a_socket_has_a_path),
		cmocka_unit_test(user_and_password_stand_before_the_last_at),
		cmocka_unit_test(what_is_wrong_is_said_and_nothing_secret_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
