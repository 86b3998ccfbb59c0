/* SPDX-License-Identifier: MIT */
/* test_greeting.c - the pure part. Tests are named after the fact they state; what is expected is written out, not computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "greeting.h"

static char buf[512];

static const char *greeting(const char *words, const char *name, long long times)
{
	struct ch_jw w;

	ch_jw_init(&w, buf, sizeof(buf) - 1);
	greeting_write(&w, words, name, strlen(name), times);
	assert_false(w.failed);
	buf[w.len] = 0;
	return buf;
}

static void names_are_letters_digits_and_two_marks(void **state)
{
	(void)state;
	assert_true(greeting_name_ok("Ada_L-1815", 10));
	assert_false(greeting_name_ok("", 0));
	assert_false(greeting_name_ok("a b", 3));
	assert_false(greeting_name_ok("a\0b", 3));
	assert_false(greeting_name_ok("a@", 2));
	assert_false(greeting_name_ok("\xc3\xa4", 2));
}

static void a_name_has_at_most_64_bytes(void **state)
{
	char name[65];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(greeting_name_ok(name, 64));
	assert_false(greeting_name_ok(name, 65));
}

static void a_greeting_is_one_json_object(void **state)
{
	(void)state;
	assert_string_equal(greeting("Hello", "ada", 3), "{\"greeting\":\"Hello, ada\",\"times\":3}");
}

static void quotes_in_the_words_are_escaped(void **state)
{
	(void)state;
	assert_string_equal(greeting("\"Hi\"", "ada", 1), "{\"greeting\":\"\\\"Hi\\\", ada\",\"times\":1}");
}

static void words_are_cut_at_256_bytes(void **state)
{
	char words[300];

	(void)state;
	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = 0;
	assert_int_equal(strlen(greeting(words, "ada", 1)), strlen("{\"greeting\":\", ada\",\"times\":1}") + 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_letters_digits_and_two_marks),
		cmocka_unit_test(a_name_has_at_most_64_bytes),
		cmocka_unit_test(a_greeting_is_one_json_object),
		cmocka_unit_test(quotes_in_the_words_are_escaped),
		cmocka_unit_test(words_are_cut_at_256_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
