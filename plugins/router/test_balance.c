/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several equals is next, and how fast one is thought to be. Expected values are calculated by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balance.h"
#include "router.h"

const struct ch_host *ch_host_;

static void weights_are_kept_exactly(void **state)
{
	const struct router_candidate v[] = { { .weight = 1 }, { .weight = 7, .out = true }, { .weight = 3 }, { .weight = 6 } };
	unsigned n[4] = { 0 };

	(void)state;
	for (uint64_t random = 0; random < 1000; random++)
		n[router_choose(ROUTER_WEIGHTED, v, 4, random)]++;
	assert_int_equal(n[0], 100);
	assert_int_equal(n[1], 0);
	assert_int_equal(n[2], 300);
	assert_int_equal(n[3], 600);
}

static void in_order_takes_the_first_that_is_there(void **state)
{
	const struct router_candidate v[] = { { .weight = 1, .out = true }, { .weight = 1 }, { .weight = 9 } };

	(void)state;
	assert_int_equal(router_choose(ROUTER_IN_ORDER, v, 3, 5), 1);
}

static void least_in_flight_counts_by_weight(void **state)
{
	const struct router_candidate v[] = {
		{ .weight = 1, .in_flight = 2 }, { .weight = 4, .in_flight = 7 }, { .weight = 2, .in_flight = 5 },
	};

	(void)state;
	assert_int_equal(router_choose(ROUTER_LEAST_IN_FLIGHT, v, 3, 0), 1); /* 2, 1.75, 2.5 */
}

static void among_the_same_nobody_is_preferred(void **state)
{
	const struct router_candidate v[] = {
		{ .weight = 1, .in_flight = 1 }, { .weight = 1 }, { .weight = 1 }, { .weight = 1, .out = true },
		{ .weight = 1 }, { .weight = 3, .in_flight = 1 }, { .weight = 1 },
	};
	unsigned n[7] = { 0 };

	(void)state;
	for (uint64_t random = 0; random < 400; random++)
		n[router_choose(ROUTER_LEAST_IN_FLIGHT, v, 7, random)]++;
	for (int i = 0; i < 7; i++)
		assert_int_equal(n[i], v[i].in_flight || v[i].out ? 0 : 100);
}

static void ewma_weighs_time_by_what_is_in_flight(void **state)
{
	const struct router_candidate v[] = {
		{ .weight = 1, .latency = 100, .in_flight = 3 }, { .weight = 1, .latency = 300 },
		{ .weight = 2, .latency = 350, .in_flight = 1 },
	};

	(void)state;
	assert_int_equal(router_choose(ROUTER_EWMA, v, 3, 0), 1); /* 400, 300, 350 */
	assert_int_equal(router_choose(ROUTER_EWMA, v, 1, 0), 0);
}

static void what_was_never_measured_gets_one_call(void **state)
{
	struct router_candidate v[] = { { .weight = 1, .latency = 100 }, { .weight = 1 } };

	(void)state;
	assert_int_equal(router_choose(ROUTER_EWMA, v, 2, 0), 1);
	v[1].in_flight = 1;
	assert_int_equal(router_choose(ROUTER_EWMA, v, 2, 0), 0);
	v[0].in_flight = 1000;
	assert_int_equal(router_choose(ROUTER_EWMA, v, 2, 0), 0);
}

static void nobody_is_chosen_of_nobody(void **state)
{
	const struct router_candidate v[] = { { .weight = 1, .out = true }, { .weight = 1, .out = true } };

	(void)state;
	for (int balance = ROUTER_WEIGHTED; balance <= ROUTER_IN_ORDER; balance++) {
		assert_int_equal(router_choose(balance, v, 2, 3), 2);
		assert_int_equal(router_choose(balance, v, 0, 3), 0);
	}
}

static void latency_follows_a_peak_at_once_and_comes_down_slowly(void **state)
{
	(void)state;
	assert_int_equal(router_latency_add(0, 0, 500), 500);
	assert_int_equal(router_latency_add(500, 1, 2000), 2000);
	assert_int_equal(router_latency_add(2000, 10000000, 1000), 1500); /* 10 s: half of the way */
	assert_int_equal(router_latency_add(2000, 0, 1000), 2000);
	assert_int_equal(router_latency_add(2000, -5, 1000), 2000);       /* a clock read by two threads */
	assert_int_equal(router_latency_add(0, 0, 0), 1);                 /* 0 is never measured */
}

static void latency_fades_when_nothing_is_measured(void **state)
{
	(void)state;
	assert_int_equal(router_latency_now(3000, 0), 3000);
	assert_int_equal(router_latency_now(3000, 10000000), 1500);
	assert_int_equal(router_latency_now(3000, 20000000), 1000);
	assert_int_equal(router_latency_now(1, INT64_MAX / 2), 1);
	assert_int_equal(router_latency_now(0, 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_are_kept_exactly),
		cmocka_unit_test(in_order_takes_the_first_that_is_there),
		cmocka_unit_test(least_in_flight_counts_by_weight),
		cmocka_unit_test(among_the_same_nobody_is_preferred),
		cmocka_unit_test(ewma_weighs_time_by_what_is_in_flight),
		cmocka_unit_test(what_was_never_measured_gets_one_call),
		cmocka_unit_test(nobody_is_chosen_of_nobody),
		cmocka_unit_test(latency_follows_a_peak_at_once_and_comes_down_slowly),
		cmocka_unit_test(latency_fades_when_nothing_is_measured),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
