/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis and the scripts answer is read as it is, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reply.h"

static void an_error_is_known_by_its_first_word(void **state)
{
	static const struct { const char *text; enum kr_trouble is; } rows[] = {
		{ "NOSCRIPT No matching script. Please use EVAL.", KR_NOSCRIPT },
		{ "WRONGTYPE Operation against a key holding the wrong kind of value", KR_WRONG_KIND },
		{ "OOM command not allowed when used memory > 'maxmemory'.", KR_FULL },
		{ "OOM command not allowed when used memory > 'maxmemory'. script: 45b3, on @user_script:7.", KR_FULL },
		{ "READONLY You can't write against a read only replica.", KR_READONLY },
		{ "LOADING Redis is loading the dataset in memory", KR_LOADING },
		{ "BUSY Redis is busy running a script.", KR_BUSY },
		{ "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", KR_MASTERDOWN },
		{ "MOVED 3999 127.0.0.1:6381", KR_CLUSTER },
		{ "CROSSSLOT Keys in request don't hash to the same slot", KR_CLUSTER },
		{ "NOAUTH Authentication required.", KR_AUTH },
		{ "WRONGPASS invalid username-password pair or user is disabled.", KR_AUTH },
		{ "NOPERM this user has no permissions to run the 'evalsha' command", KR_DENIED },
		{ "MISCONF Redis is configured to save RDB snapshots", KR_REFUSED },
		{ "NOREPLICAS Not enough good replicas to write.", KR_REFUSED },
		{ "EXECABORT Transaction discarded because of previous errors.", KR_DENIED },
		{ "OOMPH", KR_SCRIPT }, { "oom", KR_SCRIPT }, { "", KR_SCRIPT }, { "ERR unknown command", KR_SCRIPT },
		/* As Redis 6 says what stopped a script. */
		{ "ERR Error running script (call to f_4f2b): @user_script:12: -OOM command not allowed when used memory > 'maxmemory'.", KR_FULL },
		{ "ERR Error running script (call to f_4f2b): @user_script:12: READONLY You can't write", KR_READONLY },
		{ "ERR Error running script (call to f_4f2b): @user_script:12: @user_script: 12: attempt to index", KR_SCRIPT },
		{ "ERR Error running script @user_script:", KR_SCRIPT }, { "@user_script: -", KR_SCRIPT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(kr_error_read(rows[i].text, strlen(rows[i].text)), rows[i].is);
}

static void every_trouble_has_a_reason_and_a_sentence(void **state)
{
	(void)state;
	for (int i = 1; i < KR_TROUBLES; i++) {
		assert_true(kr_troubles[i].reason && *kr_troubles[i].reason && kr_troubles[i].error != CH_KV_OK);
		assert_true(kr_troubles[i].detail || i == KR_BAD_REQUEST);
		assert_true(kr_troubles[i].fails || !kr_troubles[i].ends); /* what ends a connection counts against the server */
	}
}

static void a_mark_is_one_that_a_script_says(void **state)
{
	enum kr_trouble t;

	(void)state;
	assert_int_equal(kr_mark_read("1", 1, &t), '1');
	assert_int_equal(kr_mark_read("0ff", 3, &t), '0');
	assert_int_equal(kr_mark_read("B1ff", 4, &t), 'B');
	assert_int_equal(t, KR_FINE);
	assert_int_equal(kr_mark_read("K", 1, &t), 0);
	assert_int_equal(t, KR_WRONG_KIND);
	assert_int_equal(kr_mark_read("R", 1, &t), 0);
	assert_int_equal(t, KR_RANGE);
	assert_int_equal(kr_mark_read("F", 1, &t), 0);
	assert_int_equal(t, KR_FULL);
	assert_int_equal(kr_mark_read("Kx", 2, &t), 0);
	assert_int_equal(t, KR_GARBAGE);
	assert_int_equal(kr_mark_read("", 0, &t), 0);
	assert_int_equal(t, KR_GARBAGE);
	assert_int_equal(kr_mark_read("2", 1, &t), 0);
	assert_int_equal(t, KR_GARBAGE);
}

static bool value(const char *text, struct kr_value *v)
{
	return kr_value_read(text, strlen(text), v);
}

static void a_value_comes_with_version_and_ttl(void **state)
{
	struct kr_value v;

	(void)state;
	assert_true(value("0123456789abcdef31622400000:a:b", &v));
	assert_true(v.version == 0x0123456789abcdef && v.ttl_ms == CH_KV_MS_MAX && v.value.n == 3 && !memcmp(v.value.p, "a:b", 3));
	assert_true(value("ffffffffffffffff0:", &v) && v.version == UINT64_MAX && v.ttl_ms == 0 && v.value.n == 0);
	assert_true(value("", &v) && v.version == 0 && v.value.n == 0);
	assert_false(value("0000000000000000" "1:x", &v)); /* no version */
	assert_false(value("0123456789abcde", &v));
	assert_false(value("0123456789ABCDEF" "1:x", &v));
	assert_false(value("0123456789abcdef", &v));
	assert_false(value("0123456789abcdef" ":x", &v));
	assert_false(value("0123456789abcdef" "-1:x", &v));
	assert_false(value("0123456789abcdef" "31622400001:x", &v));
	assert_false(value("0123456789abcdef" "1x", &v));
}

static void a_counter_comes_with_its_ttl(void **state)
{
	int64_t n, ttl;

	(void)state;
	assert_true(kr_counter_read("-9007199254740992:0", 19, &n, &ttl) && n == -CH_KV_NUMBER_MAX && ttl == 0);
	assert_true(kr_counter_read("42:7", 4, &n, &ttl) && n == 42 && ttl == 7);
	assert_false(kr_counter_read("9007199254740993:0", 18, &n, &ttl));
	assert_false(kr_counter_read("42", 2, &n, &ttl));
	assert_false(kr_counter_read("42:", 3, &n, &ttl));
	assert_false(kr_counter_read("42:7 ", 5, &n, &ttl));
	assert_false(kr_counter_read("-:7", 3, &n, &ttl));
	assert_false(kr_counter_read("1234567890123456789:0", 21, &n, &ttl));
}

static bool levels(const char *text, struct ch_kv_level *v, size_t n)
{
	return kr_levels_read(text, strlen(text), v, n);
}

static void levels_are_as_many_as_were_asked_for(void **state)
{
	struct ch_kv_level v[2];

	(void)state;
	assert_true(levels("1 9 0 400 0 0 -1 0", v, 2));
	assert_true(v[0].passes && v[0].left == 9 && v[0].wait_ms == 0 && v[0].full_ms == 400);
	assert_true(!v[1].passes && v[1].wait_ms == CH_KV_NEVER);
	assert_false(levels("1 9 0 400", v, 2));
	assert_false(levels("1 9 0 400 0 0 -1 0", v, 1));
	assert_false(levels("2 9 0 400", v, 1));
	assert_false(levels("1 -9 0 400", v, 1));
	assert_false(levels("1 9 -2 400", v, 1));
	assert_false(levels("1 9 0 -1", v, 1));
	assert_false(levels("1 9 0", v, 1));
	assert_false(levels("1  9 0 4", v, 1));
	assert_false(levels("", v, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_known_by_its_first_word),
		cmocka_unit_test(every_trouble_has_a_reason_and_a_sentence),
		cmocka_unit_test(a_mark_is_one_that_a_script_says),
		cmocka_unit_test(a_value_comes_with_version_and_ttl),
		cmocka_unit_test(a_counter_comes_with_its_ttl),
		cmocka_unit_test(levels_are_as_many_as_were_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
