/* SPDX-License-Identifier: Apache-2.0 */
/* test_store.c - what is forgotten and when, how much memory keys take, and clocks that step. */
#include "test_ops.h"

static struct km_store *begin(size_t max)
{
	struct km_store *s = km_store_new(max, a_secret, START);

	assert_non_null(s);
	return s;
}

/* What is used is what the table, the entries and what belongs to them take: all is counted down to nothing again. */
static void end(struct km_store *s)
{
	for (unsigned i = 0; i < KM_SHARDS; i++)
		while (s->shards[i].oldest)
			km_remove(s, &s->shards[i], s->shards[i].oldest);
	assert_int_equal(s->used, s->table);
	km_store_drop(s);
}

/* ---- forgetting ---- */

static void what_was_used_least_recently_is_forgotten(void **state)
{
	struct km_store *s = begin(1 << 20);
	int64_t now = START;
	char key[16];

	(void)state;
	for (int i = 0; i < 12; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(put(s, now += 10, key, 118000, 0), 0);
		assert_int_equal(size_of(s, now += 10, "0"), 118000); /* in use all the time */
		assert_true(s->used <= s->max);
	}
	/* Eight are there, each in 29 pages: of 1 MiB the table takes 64 KiB, and a ninth does not fit. */
	for (int i = 1; i < 12; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(size_of(s, now, key), i < 5 ? -1 : 118000);
	}
	assert_int_equal(gone_of(s, KM_FULL), 4);
	end(s);
}

static void the_order_of_use_holds_inside_a_shard(void **state)
{
	struct km_store *s = begin(1 << 20);
	char keys[8][16];

	(void)state;
	keys_of_a_shard(keys, 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(put(s, START + i, keys[i], 118000, 0), 0);
	assert_int_equal(size_of(s, START + 8, keys[0]), 118000);
	assert_int_equal(size_of(s, START + 9, keys[2]), 118000);
	assert_int_equal(put(s, START + 10, "another", 220000, 0), 0); /* where two were: those used least recently */
	for (int i = 0; i < 8; i++)
		assert_int_equal(size_of(s, START + 11, keys[i]), i == 1 || i == 3 ? -1 : 118000);
	end(s);
}

static void it_is_full_only_if_nothing_may_be_forgotten(void **state)
{
	struct km_store *s = begin(1 << 20);

	(void)state;
	assert_int_equal(put(s, START, "a", 10, 0), 0);
	assert_int_equal(put(s, START, "b", 500000, 0), 0);
	assert_int_equal(put(s, START, "a", 1 << 20, 0), CH_KV_FULL); /* it would not fit alone */
	assert_int_equal(size_of(s, START, "a"), 10);
	assert_int_equal(size_of(s, START, "b"), 500000);
	assert_int_equal(put(s, START, "a", 900000, 0), 0);
	assert_int_equal(size_of(s, START, "a"), 900000);
	assert_int_equal(size_of(s, START, "b"), -1);
	end(s);
}

static void what_an_operation_is_about_is_not_forgotten_for_it(void **state)
{
	struct km_store *s = begin(1 << 18);
	struct ch_kv_bucket b = { .key = text("door"), .kind = CH_KV_HOLDERS, .burst = 1 << 20, .hold_ms = 3600000 };
	struct ch_kv_take_args a = { sizeof(a), { &b, 1, sizeof(b) }, 0 };
	struct ch_kv_level level;
	struct km_told told;
	char name[16];
	int error = 0;
	int64_t n;

	(void)state;
	assert_int_equal(put(s, START, "a", 100000, 0), 0);
	for (n = 0; !error; n++) {
		assert_true(n < 10000);
		b.holder = (struct ch_str){ name, (size_t)snprintf(name, sizeof(name), "%d", (int)n) };
		error = km_take(s, &a, false, START, &level, &told);
		if (!error)
			assert_int_equal(level.left, b.burst - n - 1); /* none of those inside was forgotten */
	}
	/* 24 bytes each, in doubling rooms: 2^12 fit into 256 KiB beside the value, 2^13 without it, and 2^14 do not. */
	assert_int_equal(error, CH_KV_FULL);
	assert_int_equal(n, (1 << 13) + 1);
	assert_int_equal(size_of(s, START, "a"), -1);
	end(s);
}

/* FAULTS R3: ten million would take the same memory; here it is a table of 1 MiB and 200,000. */
static void new_keys_without_end_stay_within_the_bound(void **state)
{
	struct km_store *s = begin(1 << 20);
	char key[100];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		/* As long as a limiter's: its identifier is a SHA-256 in hex. */
		snprintf(key, sizeof(key), "rate_limit:%064d:anonymous", i);
		assert_int_equal(take_of(s, START + i, slow(key, 10, 1)), 9);
		assert_true(s->used <= s->max);
	}
	assert_true(items_of(s) >= (1 << 20) / 128); /* at most 128 bytes each, with their share of the table */
	assert_true(s->max - s->used < 16384);
	end(s);
}

static void a_forgotten_bucket_is_full_and_no_more(void **state)
{
	struct km_store *s = begin(1 << 20);
	char key[16];

	(void)state;
	assert_int_equal(take_of(s, START, slow("a", 10, 10)), 0);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		take_of(s, START + 1, slow(key, 10, 1));
	}
	assert_int_equal(take_of(s, START + 2, slow("a", 10, 11)), -1);
	assert_int_equal(take_of(s, START + 2, slow("a", 10, 10)), 0);
	assert_int_equal(take_of(s, START + 2, slow("a", 10, 1)), -1);
	end(s);
}

static void a_bucket_in_use_is_not_forgotten(void **state)
{
	struct km_store *s = begin(1 << 20);
	int64_t now = START, passed = 0;
	char key[16];

	(void)state;
	for (int i = 0; i < 50000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		take_of(s, ++now, slow(key, 10, 1));
		if (i % 100 == 0)
			passed += take_of(s, ++now, slow("a", 100, 1)) >= 0;
	}
	assert_int_equal(passed, 100);
	end(s);
}

/* ---- time ---- */

static void what_has_expired_gives_its_memory_back(void **state)
{
	struct km_store *s = begin(8 << 20);
	char key[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(put(s, START, key, 100, 1000 + i), 0);
	}
	sweep_all(s, START + SECOND - 1);
	assert_int_equal(items_of(s), 1000);
	sweep_all(s, START + 3 * SECOND);
	assert_int_equal(items_of(s), 0);
	assert_int_equal(s->used, s->table);
	assert_int_equal(gone_of(s, KM_EXPIRED), 1000);
	end(s);
}

static void a_shorter_ttl_counts_from_when_it_is_set(void **state)
{
	struct km_store *s = begin(1 << 20);

	(void)state;
	assert_int_equal(put(s, START, "a", 10, 3600000), 0);
	assert_int_equal(put(s, START, "b", 10, 0), 0);
	assert_int_equal(put(s, START, "a", 10, 1000), 0);
	assert_int_equal(put(s, START, "b", 10, 1000), 0);
	sweep_all(s, START + 3 * SECOND);
	assert_int_equal(items_of(s), 0);
	end(s);
}

static void new_buckets_sweep_out_those_that_are_full(void **state)
{
	struct km_store *s = begin(8 << 20);
	char key[16];

	(void)state;
	for (int i = 0; i < 50000; i++) { /* one a millisecond, full again after one second */
		struct ch_kv_bucket b = { .key = { key, (size_t)snprintf(key, sizeof(key), "%d", i) }, .burst = 5, .count = 1,
			.period_ms = 1000, .cost = 1 };

		assert_int_equal(take_of(s, START + i * 1000, b), 4);
	}
	assert_true(items_of(s) < 1600);
	end(s);
}

static void new_keys_sweep_out_the_old_ones(void **state)
{
	struct km_store *s = begin(8 << 20);
	char key[16];

	(void)state;
	for (int i = 0; i < 100000; i++) { /* one a millisecond, each for a second: nobody else sweeps */
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(put(s, START + i * 1000, key, 10, 1000), 0);
	}
	assert_true(items_of(s) < 1600);
	assert_int_equal(gone_of(s, KM_FULL), 0);
	end(s);
}

static void nothing_is_seen_past_its_ttl(void **state)
{
	struct km_store *s = begin(1 << 20);

	(void)state;
	assert_int_equal(put(s, START, "a", 10, 1500), 0);
	assert_int_equal(size_of(s, START + 1500000 - 1, "a"), 10);
	assert_int_equal(size_of(s, START + 1500000, "a"), -1); /* though no tick of the wheel has passed it */
	end(s);
}

static void a_clock_that_steps_forward_ends_ttls_and_fills_buckets(void **state)
{
	struct km_store *s = begin(1 << 20);
	int64_t now = START + 366 * 24 * HOUR;

	(void)state;
	assert_int_equal(put(s, START, "a", 10, 1000), 0);
	assert_int_equal(put(s, START, "b", 10, 0), 0);
	assert_int_equal(take_of(s, START, slow("t", 5, 5)), 0);
	assert_int_equal(size_of(s, now, "a"), -1);
	assert_int_equal(size_of(s, now, "b"), 10);
	assert_int_equal(take_of(s, now, slow("t", 5, 5)), 0);
	assert_int_equal(take_of(s, now, slow("t", 5, 1)), -1);
	end(s);
}

static void a_clock_that_steps_back_gives_nothing_twice_and_locks_nobody_out(void **state)
{
	struct km_store *s = begin(1 << 20);
	struct ch_kv_bucket door = { .key = text("d"), .kind = CH_KV_HOLDERS, .burst = 1, .holder = text("me"), .hold_ms = 1000 };
	int64_t now = START + 10 * HOUR;

	(void)state;
	assert_int_equal(put(s, now, "a", 10, 1000), 0);
	assert_int_equal(take_of(s, now, slow("t", 2, 2)), 0);
	assert_int_equal(take_of(s, now, door), 0);
	now -= HOUR; /* each shard hears of it with its next operation */
	door.holder = text("you");
	assert_int_equal(size_of(s, now, "a"), 10);
	assert_int_equal(take_of(s, now, slow("t", 2, 1)), -1);
	assert_int_equal(take_of(s, now, door), -1);
	assert_int_equal(size_of(s, now + SECOND - 1, "a"), 10);
	assert_int_equal(size_of(s, now + SECOND, "a"), -1); /* its second is over, on a clock that is an hour behind */
	assert_int_equal(take_of(s, now + SECOND, door), 0);
	assert_int_equal(take_of(s, now + HOUR - SECOND, slow("t", 2, 1)), -1);
	assert_int_equal(take_of(s, now + HOUR, slow("t", 2, 1)), 0);
	end(s);
}

/* ---- buckets ---- */

static void a_bucket_that_is_asked_often_refills_all_the_same(void **state)
{
	struct km_store *s = begin(1 << 20);
	struct ch_kv_bucket b = { .key = text("a"), .burst = 5, .count = 1, .period_ms = 1000, .cost = 1 };
	int passed = 0;

	(void)state;
	for (int i = 0; i <= 1000; i++) /* for 10 s, each 10 ms */
		passed += take_of(s, START + i * 10000, b) >= 0;
	assert_int_equal(passed, 5 + 10);
	end(s);
}

static void new_numbers_hold_also_if_they_are_refused_at_first(void **state)
{
	struct km_store *s = begin(1 << 20);
	struct ch_kv_bucket b = slow("a", 10, 10);

	(void)state;
	assert_int_equal(take_of(s, START, b), 0);
	b.count = 3600; /* one a second from now on */
	b.cost = 1;
	assert_int_equal(take_of(s, START, b), -1);
	assert_int_equal(take_of(s, START + SECOND - 1, b), -1);
	assert_int_equal(take_of(s, START + SECOND, b), 0);
	end(s);
}

static void rates_are_shared_and_go_with_their_last_bucket(void **state)
{
	struct km_store *s = begin(1 << 20);
	struct ch_kv_bucket v[4];
	struct ch_kv_take_args a = { sizeof(a), { v, 4, sizeof(v[0]) }, 0 };
	struct ch_kv_level levels[4];
	struct km_told told;
	char keys[4][16];

	(void)state;
	keys_of_a_shard(keys, 4);
	for (int i = 0; i < 4; i++)
		v[i] = slow(keys[i], 1000, 1);
	assert_int_equal(km_take(s, &a, false, START, levels, &told), 0);
	assert_int_equal(s->used - s->table, 4 * 112 + 80); /* one rate for all of them, though each would have brought it */
	for (int round = 1; round < 40; round++) {
		/* Keys swap their numbers: each rate loses its last bucket in the very call in which another one gets it. */
		for (int i = 0; i < 4; i++)
			v[i] = slow(keys[i], 1000 + (i + round) % 4, 1);
		assert_int_equal(km_take(s, &a, false, START, levels, &told), 0);
		assert_true(told.done);
		for (int i = 0; i < 4; i++)
			assert_int_equal(levels[i].left, v[i].burst - round - 1);
		assert_int_equal(s->used - s->table, 4 * (112 + 80));
	}
	end(s);
}

static void with_fewer_places_than_holders_it_is_told_when_one_is_free(void **state)
{
	struct km_store *s = begin(1 << 20);
	struct ch_kv_bucket b = { .key = text("d"), .kind = CH_KV_HOLDERS, .burst = 10 };
	struct ch_kv_take_args a = { sizeof(a), { &b, 1, sizeof(b) }, 0 };
	struct ch_kv_level level;
	struct km_told told;
	char name[4];

	(void)state;
	for (int i = 1; i <= 5; i++) {
		b.holder = (struct ch_str){ name, (size_t)snprintf(name, sizeof(name), "%d", i) };
		b.hold_ms = i * 1000;
		assert_int_equal(take_of(s, START, b), 10 - i);
	}
	b.burst = 2;
	b.holder = text("new");
	assert_int_equal(km_take(s, &a, false, START, &level, &told), 0);
	assert_false(level.passes);
	assert_int_equal(level.left, 0);
	assert_int_equal(level.wait_ms, 4000); /* then one of five is left */
	assert_int_equal(level.full_ms, 5000);
	end(s);
}

/* ---- other bounds ---- */

static void other_bounds_keep_what_fits(void **state)
{
	struct km_store *s = begin(1 << 20);
	char key[16];

	(void)state;
	km_store_resize(s, 32 << 20);
	for (int i = 0; i < 30000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(put(s, START + i, key, 600, 0), 0);
	}
	assert_int_equal(items_of(s), 30000);
	km_store_resize(s, 2 << 20);
	assert_true(s->used <= s->max);
	assert_int_equal(size_of(s, START + 30000, "29999"), 600);
	assert_int_equal(size_of(s, START + 30000, "28000"), 600);
	assert_int_equal(size_of(s, START + 30000, "20000"), -1);
	assert_true(items_of(s) > 2000);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_used_least_recently_is_forgotten),
		cmocka_unit_test(the_order_of_use_holds_inside_a_shard),
		cmocka_unit_test(it_is_full_only_if_nothing_may_be_forgotten),
		cmocka_unit_test(what_an_operation_is_about_is_not_forgotten_for_it),
		cmocka_unit_test(new_keys_without_end_stay_within_the_bound),
		cmocka_unit_test(a_forgotten_bucket_is_full_and_no_more),
		cmocka_unit_test(a_bucket_in_use_is_not_forgotten),
		cmocka_unit_test(what_has_expired_gives_its_memory_back),
		cmocka_unit_test(a_shorter_ttl_counts_from_when_it_is_set),
		cmocka_unit_test(new_buckets_sweep_out_those_that_are_full),
		cmocka_unit_test(new_keys_sweep_out_the_old_ones),
		cmocka_unit_test(nothing_is_seen_past_its_ttl),
		cmocka_unit_test(a_clock_that_steps_forward_ends_ttls_and_fills_buckets),
		cmocka_unit_test(a_clock_that_steps_back_gives_nothing_twice_and_locks_nobody_out),
		cmocka_unit_test(a_bucket_that_is_asked_often_refills_all_the_same),
		cmocka_unit_test(new_numbers_hold_also_if_they_are_refused_at_first),
		cmocka_unit_test(rates_are_shared_and_go_with_their_last_bucket),
		cmocka_unit_test(with_fewer_places_than_holders_it_is_told_when_one_is_free),
		cmocka_unit_test(other_bounds_keep_what_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
