/* SPDX-License-Identifier: Apache-2.0 */
/* test_words.c - an answer is a function of its digest, is readable, and is counted by one rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "words.h"

/* `words` words into out, with a NUL. */
static size_t text(char *out, uint64_t digest, unsigned words)
{
	struct dryrun_words w;
	size_t n = 0;

	dryrun_words_init(&w, digest);
	while (words--) {
		size_t len = dryrun_word(&w, out + n);

		assert_true(len <= DRYRUN_WORD_MAX);
		n += len;
	}
	out[n] = 0;
	return n;
}

static void the_answer_names_itself_and_its_digest(void **state)
{
	char out[64];

	(void)state;
	text(out, 0x0123456789abcdef, 2);
	assert_string_equal(out, "dryrun: 01234567");
}

/* splitmix64 seeded with 0 gives e220a8397b1dcdaf first (Vigna's reference output). */
static void the_first_made_up_word_follows_from_the_generators_first_number(void **state)
{
	char out[64];

	(void)state;
	text(out, 0, 3);
	/*
	 * r = e220a8397b1dcdaf. Bit 0 is 1: three syllables. r >> 1 = 7110541cbd8ee6d7. Lowest 12 bits 6d7: consonant 7 'l', vowel 0x6d =
	 * 109, 109 % 5 = 4 'u'. Then 8ee: 14 'v', 0x8e = 142, 2 'i'. Then cbd: 13 't', 0xcb = 203, 3 'o'.
	 */
	assert_string_equal(out, "dryrun: 00000000 luvito");
}

static void the_same_digest_gives_the_same_text_and_another_another(void **state)
{
	char a[1000], b[1000], c[1000];

	(void)state;
	text(a, 42, 50);
	text(b, 42, 50);
	text(c, 43, 50);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
}

static void counting_the_answer_gives_the_words_made(void **state)
{
	char out[20000];

	(void)state;
	for (unsigned words = 0; words < 1000; words += 37) {
		size_t n = text(out, words, words);

		assert_int_equal(dryrun_count(out, n), words);
		assert_int_equal(strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789: "), n);
	}
}

static void a_token_is_a_run_of_bytes_other_than_blanks(void **state)
{
	(void)state;
	assert_int_equal(dryrun_count("", 0), 0);
	assert_int_equal(dryrun_count(" \t\r\n", 4), 0);
	assert_int_equal(dryrun_count("one", 3), 1);
	assert_int_equal(dryrun_count("  one,two\tthree\n", 16), 2);
	assert_int_equal(dryrun_count("a\0b c", 5), 2);
}

static void the_mix_depends_on_each_byte_on_their_number_and_on_the_seed(void **state)
{
	char text_[24];
	uint64_t whole;

	(void)state;
	memset(text_, 'a', sizeof(text_));
	whole = dryrun_mix(1, text_, 21);
	for (size_t i = 0; i < 21; i++) {
		text_[i] = 'b';
		assert_true(dryrun_mix(1, text_, 21) != whole);
		text_[i] = 'a';
	}
	assert_true(dryrun_mix(1, text_, 20) != whole);
	assert_true(dryrun_mix(2, text_, 21) != whole);
	assert_true(dryrun_mix(1, "\0", 1) != dryrun_mix(1, "\0\0", 2));
	assert_true(dryrun_mix(dryrun_mix(1, "ab", 2), "c", 1) != dryrun_mix(dryrun_mix(1, "a", 1), "bc", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_names_itself_and_its_digest),
		cmocka_unit_test(the_first_made_up_word_follows_from_the_generators_first_number),
		cmocka_unit_test(the_same_digest_gives_the_same_text_and_another_another),
		cmocka_unit_test(counting_the_answer_gives_the_words_made),
		cmocka_unit_test(a_token_is_a_run_of_bytes_other_than_blanks),
		cmocka_unit_test(the_mix_depends_on_each_byte_on_their_number_and_on_the_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
