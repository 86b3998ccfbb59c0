/* SPDX-License-Identifier: Apache-2.0 */
/* test_threads.c - many threads over one store: what is atomic comes out exactly, and ThreadSanitizer finds nothing. */
#include <time.h>

#include "test_ops.h"

enum { THREADS = 4, ROUNDS = 20000 };

static struct {
	struct km_store *s;
	atomic_uint passed, refused, wrong;
	void (*work)(unsigned thread);
} all;

static int64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec / 1000;
}

static void *run_work(void *number)
{
	all.work((unsigned)(uintptr_t)number);
	return NULL;
}

/* Runs work(0) … work(THREADS - 1) over a new store, which stays. */
static void run(size_t max, void (*work)(unsigned thread))
{
	pthread_t threads[THREADS];

	all.s = km_store_new(max, a_secret, clock_now());
	assert_non_null(all.s);
	all.passed = all.refused = all.wrong = 0;
	all.work = work;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_work, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(all.wrong, 0);
}

static void end(void)
{
	for (unsigned i = 0; i < KM_SHARDS; i++)
		while (all.s->shards[i].oldest)
			km_remove(all.s, &all.s->shards[i], all.s->shards[i].oldest);
	assert_int_equal(all.s->used, all.s->table);
	km_store_drop(all.s);
}

static void take_buckets(struct ch_kv_bucket *v, size_t n, bool settles)
{
	struct ch_kv_take_args a = { sizeof(a), { v, n, sizeof(*v) }, 0 };
	struct ch_kv_level levels[CH_KV_BUCKETS_MAX];
	struct km_told told;

	if (km_take(all.s, &a, settles, clock_now(), levels, &told))
		all.wrong++;
	else if (!settles)
		*(told.done ? &all.passed : &all.refused) += 1;
}

/* ---- one limit ---- */

static void take_one(unsigned thread)
{
	(void)thread;
	for (int i = 0; i < ROUNDS; i++) {
		struct ch_kv_bucket b = slow("a", 12345, 1);

		take_buckets(&b, 1, false);
	}
}

static void exactly_the_limit_passes(void **state)
{
	(void)state;
	run(1 << 20, take_one);
	assert_int_equal(all.passed, 12345);
	assert_int_equal(all.refused, THREADS * ROUNDS - 12345);
	end();
}

/* ---- several limits, in any order ---- */

static const char *const names[] = { "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7" };

static void take_three(unsigned thread)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned a = (i * 5 + thread) % 8;
		struct ch_kv_bucket v[3] = { slow("sum", 30000, 1), slow(names[a], 1 << 20, 1),
			slow(names[(a + 1 + i % 7) % 8], 1 << 20, 1) };
		struct ch_kv_bucket first = v[i % 3];

		v[i % 3] = v[0];
		v[0] = first;
		take_buckets(v, 3, false);
	}
}

static void all_buckets_of_a_take_are_taken_or_none(void **state)
{
	int64_t taken = 0;

	(void)state;
	run(1 << 20, take_three);
	assert_int_equal(all.passed, 30000);
	for (int i = 0; i < 8; i++)
		taken += (1 << 20) - take_of(all.s, clock_now(), slow(names[i], 1 << 20, 0));
	assert_int_equal(taken, 2 * 30000);
	end();
}

/* ---- places ---- */

static atomic_int inside;

static void come_and_go(unsigned thread)
{
	char name[32];

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		struct ch_kv_bucket b = { .key = text("door"), .kind = CH_KV_HOLDERS, .burst = 3, .hold_ms = 3600000,
			.holder = { name, (size_t)snprintf(name, sizeof(name), "%u.%u", thread, i) } };
		struct ch_kv_take_args a = { sizeof(a), { &b, 1, sizeof(b) }, 0 };
		struct ch_kv_level level;
		struct km_told told;

		if (km_take(all.s, &a, false, clock_now(), &level, &told))
			all.wrong++;
		if (!told.done)
			continue;
		if (atomic_fetch_add(&inside, 1) >= 3)
			all.wrong++;
		atomic_fetch_sub(&inside, 1);
		take_buckets(&b, 1, true);
	}
}

static void never_more_are_inside_than_may(void **state)
{
	(void)state;
	run(1 << 20, come_and_go);
	assert_int_equal(items_of(all.s), 0);
	end();
}

/* ---- values ---- */

static void claim(unsigned thread)
{
	char key[16];

	for (int i = 0; i < ROUNDS; i++) {
		struct ch_kv_args a = args_of(key);
		struct km_told told;

		snprintf(key, sizeof(key), "%d", i);
		a.key.n = strlen(key);
		a.value = (struct ch_str){ (const char *)&thread, sizeof(thread) };
		a.when = CH_KV_IF_ABSENT;
		a.ttl_ms = 600000;
		if (km_set(all.s, &a, clock_now(), &told))
			all.wrong++;
		*(told.done ? &all.passed : &all.refused) += 1;
		if (!told.done && (!told.value || told.value->n != sizeof(thread)))
			all.wrong++;
		if (told.value)
			km_blob_drop(told.value);
	}
}

static void one_of_all_who_claim_gets_it(void **state)
{
	(void)state;
	run(64 << 20, claim);
	assert_int_equal(all.passed, ROUNDS);
	end();
}

/* ---- a store that is full, whose bounds change, and whose keys expire ---- */

static void fill_up(unsigned thread)
{
	char key[32];

	for (int i = 0; i < ROUNDS; i++) {
		size_t n = (size_t)(i * 37 + (int)thread) % 3000;
		struct ch_kv_args a = args_of(key);
		struct km_told told;

		snprintf(key, sizeof(key), "%u", (unsigned)(i * 7919 + (int)thread) % 5000);
		a.key.n = strlen(key);
		if (i % 2 && put(all.s, clock_now(), key, n, i % 3 ? 1 + i % 5 : 0))
			all.wrong++;
		if (km_get(all.s, &a, clock_now(), &told) == 0 && told.value) {
			if (told.value->n && told.value->bytes[told.value->n - 1] != key[0])
				all.wrong++; /* it may have been forgotten meanwhile, and is whole all the same */
			km_blob_drop(told.value);
		}
		if (i % 16 == 0) {
			struct ch_kv_bucket v[2];
			char other[40];

			snprintf(other, sizeof(other), "bucket-%d", i);
			v[0] = slow(other, 5, 1);
			v[1] = slow("bucket", 1 << 20, 1);
			take_buckets(v, 2, false);
		}
		if (all.s->used > 3 << 20)
			all.wrong++;
		if (thread == 0 && i % 2000 == 0)
			km_store_resize(all.s, i / 2000 % 2 ? 1 << 20 : 2 << 20);
	}
}

static void full_changing_and_expiring_at_once(void **state)
{
	(void)state;
	run(2 << 20, fill_up);
	assert_true(all.s->used <= 2 << 20);
	assert_int_equal(take_of(all.s, clock_now(), slow("bucket", 1 << 20, 0)), (1 << 20) - THREADS * ROUNDS / 16);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_the_limit_passes),
		cmocka_unit_test(all_buckets_of_a_take_are_taken_or_none),
		cmocka_unit_test(never_more_are_inside_than_may),
		cmocka_unit_test(one_of_all_who_claim_gets_it),
		cmocka_unit_test(full_changing_and_expiring_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
