/* SPDX-License-Identifier: Apache-2.0 */
/* test_wheel.c - each entry comes out of the wheel once, not before its time, and at most two ticks (2 * 131 ms) behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wheel.h"

#define TICK (INT64_C(1) << 17)
#define SECOND INT64_C(1000000)
#define DAY (INT64_C(86400) * SECOND)

static struct km_wheel *wheel_at(int64_t now)
{
	struct km_wheel *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	km_wheel_start(w, now);
	return w;
}

static struct km_entry *next(struct km_wheel *w, int64_t now)
{
	size_t steps = 0;

	return km_wheel_next(w, now, &steps, SIZE_MAX);
}

static void it_comes_out_when_its_time_is_over(void **state)
{
	static const int64_t after[] = { 1, TICK - 1, TICK, 63 * TICK, 64 * TICK, 65 * TICK, 4095 * TICK, 4096 * TICK, 262144 * TICK,
		SECOND, 60 * SECOND, 3600 * SECOND, DAY, 25 * DAY, 26 * DAY, 100 * DAY, 366 * DAY };
	static const int64_t starts[] = { 0, 1, TICK - 1, 63 * TICK + 5, 4095 * TICK, 1000 * SECOND, 999 * DAY };

	(void)state;
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++)
		for (size_t k = 0; k < sizeof(starts) / sizeof(starts[0]); k++) {
			struct km_wheel *w = wheel_at(starts[k]);
			struct km_entry e = { .expires = starts[k] + after[i] };

			km_wheel_add(w, &e);
			assert_null(next(w, e.expires - 1));
			assert_ptr_equal(next(w, e.expires + 2 * TICK), &e);
			assert_null(next(w, e.expires + 1000 * DAY));
			free(w);
		}
}

static void many_come_out_once_each_and_in_time(void **state)
{
	enum { N = 20000 };
	struct km_wheel *w = wheel_at(7 * SECOND);
	struct km_entry *v = calloc(N, sizeof(*v)), *e;
	int64_t now = 7 * SECOND;
	size_t out = 0;

	(void)state;
	assert_non_null(v);
	srandom(1);
	for (size_t i = 0; i < N; i++) {
		int64_t most = i % 3 == 0 ? 10 * SECOND : i % 3 == 1 ? 3600 * SECOND : 60 * DAY;

		v[i].expires = now + 1 + ((int64_t)random() * 4096 + random() % 4096) % most;
		km_wheel_add(w, &v[i]);
	}
	for (int step = 0; out < N; step++) {
		int64_t before = now;

		assert_true(step < 200000);
		now += step < 200 ? 50000 : step < 2000 ? 3 * SECOND : 1800 * SECOND;
		while ((e = next(w, now))) {
			assert_true(e->expires <= now);
			assert_true(e->expires + 2 * TICK > before);
			assert_null(e->at);
			e->expires = INT64_MAX; /* seen */
			out++;
		}
	}
	assert_null(next(w, now + 1000 * DAY));
	free(v);
	free(w);
}

static void what_was_taken_out_does_not_come(void **state)
{
	struct km_wheel *w = wheel_at(0);
	struct km_entry v[3] = { { .expires = SECOND }, { .expires = SECOND }, { .expires = SECOND } }, never = { .expires = 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		km_wheel_add(w, &v[i]);
	km_wheel_add(w, &never);
	km_wheel_take_out(&v[1]);
	km_wheel_take_out(&v[1]); /* twice is fine */
	km_wheel_take_out(&never);
	assert_ptr_not_equal(next(w, 2 * SECOND), &v[1]);
	assert_ptr_not_equal(next(w, 2 * SECOND), &v[1]);
	assert_null(next(w, 1000 * DAY));
	free(w);
}

static void what_is_put_back_comes_again(void **state)
{
	struct km_wheel *w = wheel_at(0);
	struct km_entry e = { .expires = SECOND };

	(void)state;
	km_wheel_add(w, &e);
	assert_ptr_equal(next(w, 2 * SECOND), &e);
	e.expires = 5 * SECOND; /* it was prolonged meanwhile */
	km_wheel_add(w, &e);
	assert_null(next(w, 4 * SECOND));
	assert_ptr_equal(next(w, 6 * SECOND), &e);
	e.expires = SECOND; /* long over */
	km_wheel_add(w, &e);
	assert_ptr_equal(next(w, 7 * SECOND), &e);
	free(w);
}

static void work_is_done_in_portions(void **state)
{
	enum { N = 1000 };
	struct km_wheel *w = wheel_at(0);
	struct km_entry *v = calloc(N, sizeof(*v));
	size_t out = 0, turns = 0;

	(void)state;
	assert_non_null(v);
	for (size_t i = 0; i < N; i++) {
		v[i].expires = 20 * SECOND; /* two steps each: down a level, and out */
		km_wheel_add(w, &v[i]);
	}
	for (size_t steps = 10; steps == 10; turns++) {
		steps = 0;
		while (km_wheel_next(w, 30 * SECOND, &steps, 10))
			out++;
		assert_true(steps <= 10);
	}
	assert_int_equal(out, N);
	assert_true(turns >= N / 10);
	free(v);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_out_when_its_time_is_over),
		cmocka_unit_test(many_come_out_once_each_and_in_time),
		cmocka_unit_test(what_was_taken_out_does_not_come),
		cmocka_unit_test(what_is_put_back_comes_again),
		cmocka_unit_test(work_is_done_in_portions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
