/* SPDX-License-Identifier: Apache-2.0 */
/* test_ini.c - the lines of an INI text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/conf/ini.h"

/* What a text holds, written down as "line[plugin|id|row]", "line{key|raw}", "line!". */
static char told[4096];
static char sentence[256];

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	size_t n = strlen(told);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(told + n, sizeof(told) - n, fmt, ap);
	va_end(ap);
}

static void on_section(void *arg, int line, const struct chi_ini_name *n)
{
	(void)arg;
	note("%d[%.*s|%.*s|%.*s]", line, (int)n->plugin.n, n->plugin.p, (int)n->id.n, n->id.p ? n->id.p : "", (int)n->row.n,
		n->row.p ? n->row.p : "");
}

static void on_key(void *arg, int line, struct ch_str key, struct ch_str raw)
{
	(void)arg;
	note("%d{%.*s|%.*s}", line, (int)key.n, key.p, (int)raw.n, raw.p);
}

static void on_problem(void *arg, int line, const char *text)
{
	(void)arg;
	note("%d!", line);
	snprintf(sentence, sizeof(sentence), "%s", text);
}

static const char *parse_n(const char *text, size_t n)
{
	static const struct chi_ini_ops ops = { on_section, on_key, on_problem };
	char *exact = malloc(n + !n); /* exactly as long as the text: a read behind it is a crash under ASan */

	told[0] = sentence[0] = '\0';
	memcpy(exact, text, n);
	chi_ini_parse(exact, n, &ops, NULL);
	free(exact);
	return told;
}

static const char *parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static void first_colon_or_dot_decides(void **state)
{
	(void)state;
	assert_string_equal(parse("[openai]\n[openai:vllm]\n[ratelimit.premium]\n[openai:vllm.big]\n"),
			    "1[openai||]2[openai|vllm|]3[ratelimit||premium]4[openai|vllm|big]");
	/* a row's name is verbatim: dots, colons, slashes, brackets, blanks */
	assert_string_equal(
		parse("[router.gpt-4.1]\n[model_registry.gemma3:latest]\n[router.Qwen/Qwen3-32B]\n[router.a [x] b]\n[router:m.x.y:z]"),
		"1[router||gpt-4.1]2[model_registry||gemma3:latest]3[router||Qwen/Qwen3-32B]4[router||a [x] b]5[router|m|x.y:z]");
}

static void names_with_missing_parts_are_refused(void **state)
{
	static const char *const wrong[] = { "[]", "[:a]", "[.a]", "[a:]", "[a.]", "[a:.b]", "[a:b.]", "[a:b c]", "[a:b/c]", "[a. b]",
		"[a.b ]", "[a", "[a] b", "[a]]x" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_string_equal(parse(wrong[i]), "1!");
}

static void keys_behind_a_wrong_section_are_skipped_up_to_the_next_one(void **state)
{
	(void)state;
	assert_string_equal(parse("[a:]\nx = 1\ny = 2\n[b]\nz = 3\n"), "1!4[b||]5{z|3}");
}

static void a_key_before_the_first_section_is_an_error(void **state)
{
	(void)state;
	assert_string_equal(parse("x = 1\n[a]\n"), "1!2[a||]");
	assert_non_null(strstr(sentence, "before the first [section]"));
}

static void blanks_around_keys_and_values_are_cut(void **state)
{
	(void)state;
	assert_string_equal(parse("  [a]  \n\t x\t=  1 2\t \ny=3\nz =\n"), "1[a||]2{x|1 2}3{y|3}4{z|}");
	assert_string_equal(parse("[a]\nx = a=b\n"), "1[a||]2{x|a=b}");
}

static void comments_begin_at_line_start_or_behind_a_blank(void **state)
{
	(void)state;
	assert_string_equal(parse("; a\n# b\n  ; c\n[a] ; d [x]\nx = 1 ; e\ny = 1\t# f\nz = a;b#c\nempty = ; g\n"),
			    "4[a||]5{x|1}6{y|1}7{z|a;b#c}8{empty|}");
	/* no blank stands before these */
	assert_string_equal(parse("[a]\nx =;y ;z\n"), "1[a||]2{x|;y}");
}

static void quotes_keep_what_would_be_a_comment(void **state)
{
	(void)state;
	assert_string_equal(parse("[a]\nx = \"a ; b # c\" ; d\n"), "1[a||]2{x|\"a ; b # c\"}");
	assert_string_equal(parse("[a]\nx = a, \"b ; c\" , d ; e\n"), "1[a||]2{x|a, \"b ; c\" , d}");
	assert_string_equal(parse("[a]\nx = \"a\\\" ; b\" ; c\n"), "1[a||]2{x|\"a\\\" ; b\"}");
	/* a quote in the middle of a text is a character */
	assert_string_equal(parse("[a]\nx = 5\" ; inches\n"), "1[a||]2{x|5\"}");
}

static void a_quote_that_opens_a_value_must_be_closed(void **state)
{
	(void)state;
	assert_string_equal(parse("[a]\nx = \"b\ny = 1\n"), "1[a||]2!3{y|1}");
	assert_string_equal(parse("[a]\nx = \"b\\\"\n"), "1[a||]2!");
	assert_string_equal(parse("[a]\nx = \"b\\"), "1[a||]2!");
}

static void lines_that_are_nothing_are_errors_of_their_own(void **state)
{
	(void)state;
	assert_string_equal(parse("[a]\nword\n= 1\nx = 2\n"), "1[a||]2!3!4{x|2}");
}

static void line_ends_may_be_cr_lf_and_the_last_may_lack(void **state)
{
	(void)state;
	assert_string_equal(parse("[a]\r\nx = 1\r\ny = 2"), "1[a||]2{x|1}3{y|2}");
	assert_string_equal(parse(""), "");
	assert_string_equal(parse("\n\r\n"), "");
}

static void another_carriage_return_is_an_error(void **state)
{
	(void)state;
	assert_string_equal(parse("[a]\nx = 1\ry = 2\nz = 3\n"), "1[a||]2!3{z|3}");
}

static void a_bom_is_skipped_at_the_very_start_only(void **state)
{
	(void)state;
	assert_string_equal(parse("\xEF\xBB\xBF[a]\n"), "1[a||]");
	assert_string_equal(parse("[a]\n\xEF\xBB\xBF[b]\n"), "1[a||]2!");
}

static void a_nul_byte_is_an_error_of_its_line(void **state)
{
	(void)state;
	assert_string_equal(parse_n("[a]\nx = 1\0 2\ny = 3\n", 18), "1[a||]2!3{y|3}");
}

/* Unicode 15, table 3-7: what is well-formed. */
static void bytes_that_are_no_utf8_are_an_error_of_their_line(void **state)
{
	static const char *const good[] = { "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80",
		"\xF4\x8F\xBF\xBF" };
	static const char *const bad[] = { "\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82",
		"\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF" };
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(chi_ini_is_utf8(good[i], strlen(good[i])));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[a]\nx = %s\ny = 1\n", bad[i]);
		assert_string_equal(parse(text), "1[a||]2!3{y|1}");
	}
}

static void a_line_may_be_64_kib_long_and_no_byte_longer(void **state)
{
	char *text = malloc(70000);

	(void)state;
	memcpy(text, "[a]\nx = ", 8);
	memset(text + 8, 'v', 65536);
	text[8 + 65532] = '\n'; /* "x = " and 65,532 bytes */
	told[0] = '\0';
	parse_n(text, 8 + 65533);
	assert_non_null(strstr(told, "2{x|vvv"));
	text[8 + 65532] = 'v';
	text[8 + 65533] = '\n';
	assert_string_equal(parse_n(text, 8 + 65534), "1[a||]2!");
	free(text);
}

static void ids_are_letters_digits_underscore_and_hyphen(void **state)
{
	char longest[66];

	(void)state;
	memset(longest, 'a', 65);
	assert_true(chi_ini_is_id("vLLM-2_b", 8));
	assert_true(chi_ini_is_id(longest, 64));
	assert_false(chi_ini_is_id(longest, 65));
	assert_false(chi_ini_is_id("", 0));
	assert_false(chi_ini_is_id("a b", 3));
	assert_false(chi_ini_is_id("a/b", 3));
	assert_false(chi_ini_is_id("\xC3\xA4", 2));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_colon_or_dot_decides),
		cmocka_unit_test(names_with_missing_parts_are_refused),
		cmocka_unit_test(keys_behind_a_wrong_section_are_skipped_up_to_the_next_one),
		cmocka_unit_test(a_key_before_the_first_section_is_an_error),
		cmocka_unit_test(blanks_around_keys_and_values_are_cut),
		cmocka_unit_test(comments_begin_at_line_start_or_behind_a_blank),
		cmocka_unit_test(quotes_keep_what_would_be_a_comment),
		cmocka_unit_test(a_quote_that_opens_a_value_must_be_closed),
		cmocka_unit_test(lines_that_are_nothing_are_errors_of_their_own),
		cmocka_unit_test(line_ends_may_be_cr_lf_and_the_last_may_lack),
		cmocka_unit_test(another_carriage_return_is_an_error),
		cmocka_unit_test(a_bom_is_skipped_at_the_very_start_only),
		cmocka_unit_test(a_nul_byte_is_an_error_of_its_line),
		cmocka_unit_test(bytes_that_are_no_utf8_are_an_error_of_their_line),
		cmocka_unit_test(a_line_may_be_64_kib_long_and_no_byte_longer),
		cmocka_unit_test(ids_are_letters_digits_underscore_and_hyphen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
