/* SPDX-License-Identifier: Apache-2.0 */
/* test_cache.c - rows by a hash: found, known to be absent, of another epoch, driven out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

#include "cache.h"

static void (*body)(struct ch_ctx *);

static int in_ctx(struct ch_ctx *c, void *data)
{
	(void)data;
	body(c);
	return CH_DONE;
}

static void run(void (*fn)(struct ch_ctx *))
{
	struct ch_test *t = ch_test_new();

	body = fn;
	assert_true(ch_test_start(t));
	ch_test_task(t, NULL, 0, in_ctx, NULL);
	ch_test_free(t);
}

static const unsigned char *key_of(unsigned n)
{
	static unsigned char key[32];

	memset(key, 0, sizeof(key));
	memcpy(key, &n, sizeof(n));
	key[31] = 5; /* all in one part */
	return key;
}

static struct id_pack row_of(const char *text, int64_t expires)
{
	return (struct id_pack){ .number = { expires, 7 }, .text = { { text, strlen(text) }, { NULL, 0 }, { "\0b", 2 } } };
}

static void remembers(struct ch_ctx *c)
{
	struct id_cache *cache = id_cache_new(1000);
	struct id_pack row = row_of("alice", 9), out;

	assert_int_equal(id_cache_get(cache, c, key_of(1), 1, &out), ID_MISS);
	id_cache_put(cache, key_of(1), 1, &row);
	id_cache_put(cache, key_of(2), 1, NULL);
	assert_int_equal(id_cache_get(cache, c, key_of(1), 1, &out), ID_FOUND);
	assert_string_equal(out.text[0].p, "alice");
	assert_int_equal(out.text[0].n, 5);
	assert_string_equal(out.text[1].p, "");
	assert_memory_equal(out.text[2].p, "\0b", 3);
	assert_int_equal(out.number[1], 7);
	assert_int_equal(id_cache_get(cache, c, key_of(2), 1, &out), ID_ABSENT);
	assert_int_equal(id_cache_entries(cache), 2);
	id_cache_put(cache, key_of(1), 1, NULL); /* it was removed */
	assert_int_equal(id_cache_get(cache, c, key_of(1), 1, &out), ID_ABSENT);
	assert_int_equal(id_cache_entries(cache), 2);
	id_cache_free(cache);
}

static void epochs(struct ch_ctx *c)
{
	struct id_cache *cache = id_cache_new(1000);
	struct id_pack row = row_of("alice", 0), out;

	id_cache_put(cache, key_of(1), 1, &row);
	id_cache_put(cache, key_of(2), 1, NULL);
	assert_int_equal(id_cache_get(cache, c, key_of(1), 2, &out), ID_MISS);
	assert_int_equal(id_cache_get(cache, c, key_of(2), 2, &out), ID_MISS);
	assert_int_equal(id_cache_get(cache, c, key_of(1), 1, &out), ID_MISS); /* it is forgotten, not only passed over */
	assert_int_equal(id_cache_entries(cache), 0);
	id_cache_free(cache);
}

static void bounds(struct ch_ctx *c)
{
	struct id_cache *cache = id_cache_new(16 * 7); /* 8 rows a part, and 3 absent ones */
	struct id_pack row = row_of("x", 0), out;
	unsigned driven = 0;

	for (unsigned i = 0; i < 8; i++)
		driven += id_cache_put(cache, key_of(i), 1, &row);
	assert_int_equal(driven, 0);
	for (unsigned i = 100; i < 200; i++)
		driven += id_cache_put(cache, key_of(i), 1, NULL);
	assert_int_equal(driven, 97);
	for (unsigned i = 0; i < 8; i++) /* whoever tries keys drives out no good one */
		assert_int_equal(id_cache_get(cache, c, key_of(i), 1, &out), ID_FOUND);
	assert_int_equal(id_cache_get(cache, c, key_of(0), 1, &out), ID_FOUND);
	assert_int_equal(id_cache_put(cache, key_of(8), 1, &row), 1);
	assert_int_equal(id_cache_get(cache, c, key_of(1), 1, &out), ID_MISS); /* the one that was not asked for the longest */
	assert_int_equal(id_cache_get(cache, c, key_of(0), 1, &out), ID_FOUND);
	assert_int_equal(id_cache_entries(cache), 11);
	id_cache_free(cache);
}

static void sweeps(struct ch_ctx *c)
{
	struct id_cache *cache = id_cache_new(1000);
	struct id_pack old = row_of("x", 50), lasting = row_of("y", 0), out;

	id_cache_put(cache, key_of(1), 1, &old);
	id_cache_put(cache, key_of(2), 1, &lasting);
	id_cache_put(cache, key_of(3), 9, &lasting);
	id_cache_put(cache, key_of(4), 1, NULL);
	id_cache_sweep(cache, 1, 51);
	assert_int_equal(id_cache_entries(cache), 2);
	assert_int_equal(id_cache_get(cache, c, key_of(2), 1, &out), ID_FOUND);
	assert_int_equal(id_cache_get(cache, c, key_of(4), 1, &out), ID_ABSENT);
	id_cache_free(cache);
}

static void what_was_found_and_what_was_not_are_remembered(void **state) { (void)state; run(remembers); }
static void an_entry_is_good_under_its_epoch_alone(void **state) { (void)state; run(epochs); }
static void it_is_bounded_and_the_absent_have_a_bound_of_their_own(void **state) { (void)state; run(bounds); }
static void a_sweep_forgets_other_epochs_and_what_has_expired(void **state) { (void)state; run(sweeps); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_found_and_what_was_not_are_remembered),
		cmocka_unit_test(an_entry_is_good_under_its_epoch_alone),
		cmocka_unit_test(it_is_bounded_and_the_absent_have_a_bound_of_their_own),
		cmocka_unit_test(a_sweep_forgets_other_epochs_and_what_has_expired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
