/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of stores, and of addresses that have failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache.h"
#include "failures.h"

static void hash_of(unsigned n, unsigned char out[CH_SHA256])
{
	struct ch_str s = { (const char *)&n, sizeof(n) };

	ch_sha256(&s, 1, out);
}

static const struct ch_key a_key = { .size = sizeof(a_key), .id = "id", .owner = "owner", .tier = "", .models = "m", .routes = "",
	.backends = "", .networks = "", .limits = "", .role = CH_ROLE_USER };

static void an_answer_holds_for_its_store_revision_and_time(void **state)
{
	struct auth_cache *c = auth_cache_new(100);
	unsigned char h[CH_SHA256];
	const struct ch_key *k = NULL;

	(void)state;
	hash_of(1, h);
	auth_cache_put(c, h, 0, 7, 1000, &a_key);
	assert_int_equal(auth_cache_get(c, h, 0, 7, 999, &k), AUTH_C_FOUND);
	assert_ptr_not_equal(k, &a_key);
	assert_string_equal(k->owner, "owner");
	assert_string_equal(k->models, "m");
	assert_int_equal(k->role, CH_ROLE_USER);
	assert_int_equal(auth_cache_get(c, h, 0, 8, 999, &k), AUTH_C_MISS);
	assert_int_equal(auth_cache_get(c, h, 0, 7, 1000, &k), AUTH_C_MISS);
	assert_int_equal(auth_cache_get(c, h, 1, 7, 999, &k), AUTH_C_MISS);
	auth_cache_put(c, h, 0, 8, 2000, NULL); /* it was removed */
	assert_int_equal(auth_cache_get(c, h, 0, 8, 999, &k), AUTH_C_ABSENT);
	assert_int_equal(auth_cache_get(c, h, 0, 7, 999, &k), AUTH_C_MISS);
	auth_cache_put(c, h, 0, 9, 2000, &a_key);
	assert_int_equal(auth_cache_get(c, h, 0, 9, 999, &k), AUTH_C_FOUND);
	auth_cache_free(c);
}

static void keys_that_nobody_knows_drive_out_none_that_somebody_does(void **state)
{
	struct auth_cache *c = auth_cache_new(64);
	unsigned char h[CH_SHA256];
	const struct ch_key *k;
	unsigned absent = 0;

	(void)state;
	hash_of(0, h);
	auth_cache_put(c, h, 0, 1, 1000, &a_key);
	for (unsigned i = 1; i <= 10000; i++) {
		hash_of(i, h);
		auth_cache_put(c, h, 0, 1, 1000, NULL);
	}
	for (unsigned i = 1; i <= 10000; i++) {
		hash_of(i, h);
		absent += auth_cache_get(c, h, 0, 1, 0, &k) == AUTH_C_ABSENT;
	}
	assert_int_equal(absent, 64);
	hash_of(0, h);
	assert_int_equal(auth_cache_get(c, h, 0, 1, 0, &k), AUTH_C_FOUND);
	auth_cache_free(c);
}

#define SECOND INT64_C(1000000)

static void an_address_may_fail_so_often(void **state)
{
	struct auth_failures *f = auth_failures_new(20.0 / 60, 5, 1);
	int64_t now = 1000 * SECOND;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(auth_failures_wait(f, "10.0.0.1", now), 0);
		auth_failures_add(f, "10.0.0.1", now);
	}
	assert_int_equal(auth_failures_wait(f, "10.0.0.1", now), 3 * SECOND); /* 20/min is one in three seconds */
	assert_int_equal(auth_failures_wait(f, "10.0.0.2", now), 0);
	assert_int_equal(auth_failures_wait(f, "10.0.0.1", now + 3 * SECOND), 0);
	auth_failures_free(f);
}

static void of_ipv6_a_network_of_64_bits_is_one(void **state)
{
	struct auth_failures *f = auth_failures_new(1.0 / 60, 1, 1);

	(void)state;
	auth_failures_add(f, "2001:db8:1:2:3::4", SECOND);
	assert_true(auth_failures_wait(f, "2001:db8:1:2:ffff::", SECOND) > 0);
	assert_int_equal(auth_failures_wait(f, "2001:db8:1:3::", SECOND), 0);
	auth_failures_add(f, "10.0.0.1", SECOND);
	assert_true(auth_failures_wait(f, "::ffff:10.0.0.1", SECOND) > 0);
	assert_int_equal(auth_failures_wait(f, "10.0.0.2", SECOND), 0);
	auth_failures_add(f, "unix", SECOND); /* what is no address is one, too */
	assert_true(auth_failures_wait(f, NULL, SECOND) > 0);
	auth_failures_free(f);
}

/* More addresses than there are places: whoever goes on failing stays in the table. */
static void a_flood_of_addresses_does_not_free_who_fails_most(void **state)
{
	struct auth_failures *f = auth_failures_new(1.0 / 3600, 20, 7);
	char address[32];

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		auth_failures_add(f, "192.0.2.1", SECOND);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		auth_failures_add(f, address, SECOND);
	}
	assert_true(auth_failures_wait(f, "192.0.2.1", SECOND) > 0);
	auth_failures_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_holds_for_its_store_revision_and_time),
		cmocka_unit_test(keys_that_nobody_knows_drive_out_none_that_somebody_does),
		cmocka_unit_test(an_address_may_fail_so_often),
		cmocka_unit_test(of_ipv6_a_network_of_64_bits_is_one),
		cmocka_unit_test(a_flood_of_addresses_does_not_free_who_fails_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
