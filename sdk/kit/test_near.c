/* SPDX-License-Identifier: MIT */
/* near.c: distances counted by hand, and which name is offered. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chimera/kit/near.h"

static void edits_are_counted_with_swaps_as_one(void **state)
{
	(void)state;
	assert_int_equal(ch_near_edits("kitten", "sitting"), 3);
	assert_int_equal(ch_near_edits("timeout", "timeuot"), 1);
	assert_int_equal(ch_near_edits("", "abc"), 3);
	assert_int_equal(ch_near_edits("listen", "LISTEN"), 0);
	assert_int_equal(ch_near_edits("same", "same"), 0);
	assert_int_equal(ch_near_edits("ab", "ba"), 1);
}

static void only_names_that_are_near_are_offered(void **state)
{
	struct ch_near n;

	(void)state;
	ch_near_init(&n, "opnai");
	ch_near_offer(&n, "openai");
	ch_near_offer(&n, "otel");
	assert_string_equal(n.best, "openai");
	ch_near_init(&n, "zebra");
	ch_near_offer(&n, "openai");
	assert_string_equal(n.best, "");
}

static void a_name_longer_than_128_bytes_is_near_to_nothing(void **state)
{
	char longest[130];
	struct ch_near n;

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[129] = '\0';
	assert_int_equal(ch_near_edits(longest, longest), UINT_MAX);
	longest[128] = '\0';
	assert_int_equal(ch_near_edits(longest, longest), 0);
	ch_near_init(&n, longest);
	ch_near_offer(&n, longest);
	assert_string_equal(n.best, longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_are_counted_with_swaps_as_one),
		cmocka_unit_test(only_names_that_are_near_are_offered),
		cmocka_unit_test(a_name_longer_than_128_bytes_is_near_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
