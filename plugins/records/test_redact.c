/* SPDX-License-Identifier: Apache-2.0 */
/* Texts before they are kept. Each test is named after the fact it states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "redact.h"

#define MOST 64

static struct redact_rules rules;
static unsigned failed;

static void rule(const char *pattern, const char *with)
{
	char why[256];

	rules.v = realloc(rules.v, (rules.n + 1) * sizeof(*rules.v));
	assert_null(redact_compile(pattern, &rules.v[rules.n].code, why, sizeof(why)));
	rules.v[rules.n].with = with;
	rules.v[rules.n++].nwith = strlen(with);
}

static int forget(void **state)
{
	(void)state;
	while (rules.n)
		redact_free(rules.v[--rules.n].code);
	free(rules.v);
	rules.v = NULL;
	failed = 0;
	return 0;
}

static void becomes_n(const char *from, size_t n, const char *want)
{
	struct redact_room *room = redact_room_new(MOST);
	struct ch_str got = redact(room, &rules, (struct ch_str){ from, n }, false, &failed);

	if (got.n != strlen(want) || memcmp(got.p, want, got.n))
		fail_msg("\"%s\" became \"%.*s\", not \"%s\"", from, (int)got.n, got.p, want);
	redact_room_free(room);
}

static void becomes(const char *from, const char *want)
{
	becomes_n(from, strlen(from), want);
}

static void plain_text_stays(void **state)
{
	(void)state;
	becomes("", "");
	becomes("hello \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80", "hello \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80");
}

/* Each byte that begins no character is one U+FFFD, as the kit's JSON writer does it. */
static void invalid_bytes_are_replaced(void **state)
{
	(void)state;
	becomes("a\xFF" "b", "a\xEF\xBF\xBD" "b");
	becomes("\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD");
	becomes("\xED\xA0\x80!", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!");
	becomes("\xF4\x90\x80\x80!", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!");
	becomes("\x80", "\xEF\xBF\xBD");
}

static void nul_bytes_are_removed(void **state)
{
	(void)state;
	becomes_n("a\0b\0", 4, "ab");
}

static void a_character_that_the_end_has_cut_is_left_out(void **state)
{
	(void)state;
	becomes("ab\xE2\x82", "ab");
	becomes("ab\xF0\x9F\x98", "ab");
	becomes("ab\xC3", "ab");
}

static void what_is_too_long_is_cut_before_a_character(void **state)
{
	char text[200], want[65];

	(void)state;
	memset(text, 'x', 100);
	text[100] = 0;
	memset(want, 'x', 64);
	want[64] = 0;
	becomes(text, want);
	memcpy(text + 62, "\xE2\x82\xAC", 3); /* bytes 62 to 64: the last does not fit */
	want[62] = 0;
	becomes(text, want);
}

static void rules_apply_in_order(void **state)
{
	(void)state;
	rule("sk-[a-z]+", "KEY");
	rule("KEY", "[redacted]");
	becomes("my sk-abc and sk-d.", "my [redacted] and [redacted].");
}

static void a_replacement_is_not_looked_at_by_its_own_rule(void **state)
{
	(void)state;
	rule("a", "aa");
	becomes("banana", "baanaanaa");
}

static void a_secret_across_the_cut_is_gone_whole(void **state)
{
	char text[100], want[65];

	(void)state;
	rule("sk-[a-z]{10}", "#");
	memset(text, '.', 58);
	strcpy(text + 58, "sk-abcdefghij tail");
	memset(want, '.', 58);
	strcpy(want + 58, "#");
	becomes(text, want);
}

static void text_behind_the_cut_does_not_move_up(void **state)
{
	char text[200];

	(void)state;
	rule("x+", "");
	memset(text, 'x', 60);
	strcpy(text + 60, "1234567890");
	becomes(text, "1234"); /* bytes 60 to 63 */
}

static void what_grows_is_cut_again(void **state)
{
	char text[65], want[65];

	(void)state;
	rule("a", "[redacted]");
	memset(text, 'a', 64);
	text[64] = 0;
	for (int i = 0; i < 64; i++)
		want[i] = "[redacted]"[i % 10];
	want[64] = 0;
	becomes(text, want);
}

static void a_pattern_knows_characters(void **state)
{
	(void)state;
	rule("^.$", "one");
	becomes("\xE2\x82\xAC", "one");
}

static void a_pattern_that_needs_too_many_steps_takes_the_text_away(void **state)
{
	(void)state;
	rule("(x+x+)+[yz]", "[gone]");
	becomes("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[gone]");
	assert_int_equal(failed, 1);
}

static void a_wrong_pattern_is_told_with_its_place(void **state)
{
	char why[256];

	(void)state;
	assert_string_equal(redact_compile("a(b", NULL, why, sizeof(why)),
		"\"a(b\" is no pattern of PCRE2: missing closing parenthesis, at offset 3: \"a(b<HERE>\"");
	assert_string_equal(redact_compile("a**b[", NULL, why, sizeof(why)),
		"\"a**b[\" is no pattern of PCRE2: quantifier does not follow a repeatable item, at offset 2: \"a*<HERE>*b[\"");
	assert_non_null(strstr(redact_compile("x*", NULL, why, sizeof(why)), "finds the empty text"));
	assert_null(redact_compile("a+", NULL, why, sizeof(why)));
}

#define T(name) cmocka_unit_test_teardown(name, forget)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(plain_text_stays),
		T(invalid_bytes_are_replaced),
		T(nul_bytes_are_removed),
		T(a_character_that_the_end_has_cut_is_left_out),
		T(what_is_too_long_is_cut_before_a_character),
		T(rules_apply_in_order),
		T(a_replacement_is_not_looked_at_by_its_own_rule),
		T(a_secret_across_the_cut_is_gone_whole),
		T(text_behind_the_cut_does_not_move_up),
		T(what_grows_is_cut_again),
		T(a_pattern_knows_characters),
		T(a_pattern_that_needs_too_many_steps_takes_the_text_away),
		T(a_wrong_pattern_is_told_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
