/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys, and the judgement over them. Hashes of known keys are those of `printf %s KEY | sha256sum`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "verify.h"

#define NOW INT64_C(1767225600000000) /* 2026-01-01 */

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

static struct auth_entry entry(const char *key, const char *id, int64_t expires, bool disabled)
{
	struct auth_entry e = { .key = { .id = id, .expires = expires, .disabled = disabled } };
	struct ch_str s = str(key);

	ch_sha256(&s, 1, e.sha256);
	return e;
}

static int shown(const struct auth_table *t, const char *key, const struct ch_key **k)
{
	unsigned char sha256[CH_SHA256];

	return auth_verify(t, str(key), NOW, sha256, k);
}

static void a_key_is_judged_by_what_the_table_says(void **state)
{
	const struct auth_entry v[] = { entry("good", "1", 0, false), entry("later", "2", NOW + 1, false), entry("now", "3", NOW, false),
		entry("off", "4", 0, true), entry("both", "5", 1, true), entry("ancient", "6", -1, false) };
	struct auth_table *t = auth_table_new(v, 6, NULL);
	const struct ch_key *k;

	(void)state;
	assert_int_equal(shown(t, "good", &k), AUTH_GOOD);
	assert_string_equal(k->id, "1");
	assert_int_equal(shown(t, "later", &k), AUTH_GOOD);
	assert_int_equal(shown(t, "now", &k), AUTH_EXPIRED);
	assert_int_equal(shown(t, "off", &k), AUTH_DISABLED);
	assert_int_equal(shown(t, "both", &k), AUTH_DISABLED);
	assert_int_equal(shown(t, "ancient", &k), AUTH_EXPIRED);
	assert_int_equal(shown(t, "", &k), AUTH_UNKNOWN);
	assert_non_null(k);
	assert_int_equal(shown(t, "Good", &k), AUTH_UNKNOWN);
	assert_int_equal(shown(t, "good ", &k), AUTH_UNKNOWN);
	assert_int_equal(auth_judge(&v[2].key, NOW - 1), AUTH_GOOD);
	assert_int_equal(auth_judge(&v[2].key, NOW), AUTH_EXPIRED);
	auth_table_put(t);
}

static void an_empty_table_knows_nobody(void **state)
{
	static const unsigned char zero[CH_SHA256];
	struct auth_table *t = auth_table_new(NULL, 0, NULL);
	const struct ch_key *k;

	(void)state;
	assert_int_equal(shown(t, "anything", &k), AUTH_UNKNOWN);
	assert_null(auth_find(t, zero)); /* which is what an empty place holds */
	assert_int_equal(auth_table_count(t), 0);
	auth_table_put(t);
}

static void the_hash_is_that_of_the_standard(void **state)
{
	struct auth_table *t = auth_table_new(NULL, 0, NULL);
	unsigned char sha256[CH_SHA256];
	char text[2 * CH_SHA256 + 1];
	const struct ch_key *k;

	(void)state;
	auth_verify(t, str("abc"), NOW, sha256, &k);
	ch_hex(sha256, CH_SHA256, text);
	assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-4, example 1 */
	auth_table_put(t);
}

static void all_of_many_keys_are_found_and_no_others(void **state)
{
	enum { MANY = 20000 };
	struct auth_entry *v = calloc(MANY, sizeof(*v));
	char key[32];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "key %zu", i);
		v[i] = entry(key, NULL, (int64_t)i + 1, false);
	}
	for (size_t n = 1; n <= MANY; n = n * 3 + 1) {
		struct auth_table *t = auth_table_new(v, n, NULL);

		assert_int_equal(auth_table_count(t), n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(auth_find(t, v[i].sha256)->expires, (int64_t)i + 1);
		for (size_t i = n; i < n + 1000 && i < MANY; i++)
			assert_null(auth_find(t, v[i].sha256));
		auth_table_put(t);
	}
	free(v);
}

/* Nobody can make such hashes, but a file can hold them: as many keys as two buckets hold, and one more. */
static void hashes_that_want_the_same_places_do_not_break_the_table(void **state)
{
	struct auth_entry v[9] = { 0 };
	struct auth_table *t;

	(void)state;
	for (size_t i = 0; i < 9; i++)
		v[i].sha256[31] = (unsigned char)(i + 1);
	t = auth_table_new(v, 8, NULL);
	assert_non_null(t);
	for (size_t i = 0; i < 8; i++)
		assert_non_null(auth_find(t, v[i].sha256));
	auth_table_put(t);
	assert_null(auth_table_new(v, 9, NULL));
}

static void of_two_with_one_hash_the_first_counts(void **state)
{
	const struct auth_entry v[] = { entry("same", "first", 0, false), entry("same", "second", 0, false) };
	struct auth_table *t = auth_table_new(v, 2, NULL);
	const struct ch_key *k;

	(void)state;
	assert_int_equal(shown(t, "same", &k), AUTH_GOOD);
	assert_string_equal(k->id, "first");
	auth_table_put(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_judged_by_what_the_table_says),
		cmocka_unit_test(an_empty_table_knows_nobody),
		cmocka_unit_test(the_hash_is_that_of_the_standard),
		cmocka_unit_test(all_of_many_keys_are_found_and_no_others),
		cmocka_unit_test(hashes_that_want_the_same_places_do_not_break_the_table),
		cmocka_unit_test(of_two_with_one_hash_the_first_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
