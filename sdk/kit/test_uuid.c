/* SPDX-License-Identifier: MIT */
/* test_uuid.c - UUIDs of version 7 are those of RFC 9562, in order, and read back from their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chimera/kit/uuid.h"

/* RFC 9562, appendix A.6: 2022-02-22 19:22:22 GMT is 0x017F22E279B0 ms, rand_a is CC3, rand_b 18C4DC0C0C07398F. */
static void the_rfcs_example_comes_out(void **state)
{
	unsigned char id[16];
	char text[CH_UUID_TEXT];

	(void)state;
	ch_uuid7(id, INT64_C(0x017f22e279b0) * 1000 + 999, 0xcc3, UINT64_C(0x18c4dc0c0c07398f));
	ch_uuid_text(id, text);
	assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	assert_int_equal(ch_uuid7_ms(id), INT64_C(1645557742000));
}

/* All other random bits fall away: version and variant stay. */
static void random_bits_never_reach_version_and_variant(void **state)
{
	unsigned char id[16];
	char text[CH_UUID_TEXT];

	(void)state;
	ch_uuid7(id, -1, UINT64_MAX, UINT64_MAX);
	ch_uuid_text(id, text);
	assert_string_equal(text, "00000000-0000-7fff-bfff-ffffffffffff");
	ch_uuid7(id, 0, 0, 0);
	ch_uuid_text(id, text);
	assert_string_equal(text, "00000000-0000-7000-8000-000000000000");
}

static void ids_of_one_caller_grow_within_a_millisecond_and_when_the_clock_steps_back(void **state)
{
	struct ch_uuid7 s = { { 0 } };
	unsigned char before[16], id[16];
	uint64_t r = 1;

	(void)state;
	ch_uuid7_next(&s, before, 1000000, UINT64_MAX, UINT64_MAX);
	for (int i = 0; i < 10000; i++) {
		r = r * UINT64_C(6364136223846793005) + 1;
		ch_uuid7_next(&s, id, i % 3 ? 1000000 : 5000, r, r >> 7);
		assert_true(memcmp(before, id, 16) < 0);
		assert_int_equal(id[6] >> 4, 7);
		assert_int_equal(id[8] >> 6, 2);
		memcpy(before, id, 16);
	}
}

/* rand_b all ones plus a step of 1: rand_b 0, rand_a one more; rand_a at its end too: the millisecond after. */
static void a_full_random_part_carries_into_the_time(void **state)
{
	struct ch_uuid7 s;
	unsigned char id[16];
	char text[CH_UUID_TEXT];

	(void)state;
	assert_true(ch_uuid_parse("00000000-03e8-7abc-bfff-ffffffffffff", 36, s.last));
	ch_uuid7_next(&s, id, 0, 0, 0);
	ch_uuid_text(id, text);
	assert_string_equal(text, "00000000-03e8-7abd-8000-000000000000");
	assert_true(ch_uuid_parse("00000000-03e8-7fff-bfff-ffffffffffff", 36, s.last));
	ch_uuid7_next(&s, id, 0, 0, 0);
	ch_uuid_text(id, text);
	assert_string_equal(text, "00000000-03e9-7000-8000-000000000000");
}

/* RFC 9562, appendix A and section 5.9, 5.10: versions 1, 3, 4, 5, 6, 7, 8, nil and max. */
static void every_text_of_the_rfc_reads_back(void **state)
{
	static const char *const texts[] = {
		"c232ab00-9414-11ec-b3c8-9f6bdeced846", "5df41881-3aed-3515-88a7-2f4a814cf09e", "919108f7-52d1-4320-9bac-f847db4148a8",
		"2ed6657d-e927-568b-95e1-2665a8aea6a2", "1ec9414c-232a-6b00-b3c8-9f6bdeced846", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
		"2489e9ad-2ee2-8e00-8ec9-32d5f69181c0", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
	};
	unsigned char id[16];
	char text[CH_UUID_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(ch_uuid_parse(texts[i], 36, id));
		ch_uuid_text(id, text);
		assert_string_equal(text, texts[i]);
	}
	assert_true(ch_uuid_parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 36, id));
	ch_uuid_text(id, text);
	assert_string_equal(text, texts[5]);
}

static void what_is_no_text_of_one_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "017f22e279b07cc398c4dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e2-79b0-7cc3-98c4dc0c0c07-398f", "017f22e2 79b0-7cc3-98c4-dc0c0c07398f",
		"{17f22e2-79b0-7cc3-98c4-dc0c0c07398}", "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
	};
	unsigned char id[16], before[16];

	(void)state;
	memset(before, 0xa5, 16);
	memcpy(id, before, 16);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(ch_uuid_parse(texts[i], strlen(texts[i]), id));
	assert_memory_equal(id, before, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_example_comes_out),
		cmocka_unit_test(random_bits_never_reach_version_and_variant),
		cmocka_unit_test(ids_of_one_caller_grow_within_a_millisecond_and_when_the_clock_steps_back),
		cmocka_unit_test(a_full_random_part_carries_into_the_time),
		cmocka_unit_test(every_text_of_the_rfc_reads_back),
		cmocka_unit_test(what_is_no_text_of_one_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
