/* SPDX-License-Identifier: MIT */
/* Unit tests of the JSON scanner and writer. Each is named after the fact it states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/json.h"

#define TEXT(s) (s), sizeof(s) - 1

/* ---- scanner ---- */

/* Every document is scanned in memory of its exact size, so that a sanitizer sees a read behind its end. */
static char *exact(const char *s, size_t n)
{
	char *p = malloc(n ? n : 1);

	assert_non_null(p);
	memcpy(p, s, n);
	return p;
}

static bool valid(const char *s, size_t n)
{
	char *p = exact(s, n);
	const char *error = NULL;
	size_t pos = n + 1;
	bool ok = ch_json_valid(p, n, 0, 0, &pos, &error);

	if (!ok) {
		assert_non_null(error);
		assert_true(pos <= n);
	}
	free(p);
	return ok;
}

/* The document is refused with the fault at `pos` and a message that holds `word`. */
static void refused_at(const char *s, size_t n, size_t pos, const char *word)
{
	char *p = exact(s, n);
	const char *error = NULL;
	size_t at = n + 1;

	if (ch_json_valid(p, n, 0, 0, &at, &error))
		fail_msg("accepted: %.*s", (int)n, s);
	if (at != pos || !strstr(error, word))
		fail_msg("%.*s: \"%s\" at %zu, not \"%s\" at %zu", (int)n, s, error, at, word, pos);
	free(p);
}

static void accepted(const char *s)
{
	if (!valid(s, strlen(s)))
		fail_msg("refused: %s", s);
}

static void refused(const char *s)
{
	if (valid(s, strlen(s)))
		fail_msg("accepted: %s", s);
}

/* The only token of a document that is one scalar. */
static struct ch_json_tok only(const char *s)
{
	struct ch_json j;
	struct ch_json_tok tok, end;

	ch_json_init(&j, s, strlen(s), 0, 0);
	if (ch_json_next(&j, &tok) <= 0 || ch_json_next(&j, &end) != CH_JSON_END)
		fail_msg("no scalar: %s", s);
	return tok;
}

static void tokens_come_in_order_with_their_bytes(void **state)
{
	static const char doc[] = " { \"a\" : [ 1 , -2.5e3, true,false , null, \"x\\n\" ] ,\"b\":{} , \"c\":[]}\r\n\t ";
	static const struct { int type; const char *s; } want[] = {
		{ CH_JSON_OBJECT, "{" }, { CH_JSON_KEY, "a" }, { CH_JSON_ARRAY, "[" }, { CH_JSON_NUMBER, "1" },
		{ CH_JSON_NUMBER, "-2.5e3" }, { CH_JSON_TRUE, "true" }, { CH_JSON_FALSE, "false" }, { CH_JSON_NULL, "null" },
		{ CH_JSON_STRING, "x\\n" }, { CH_JSON_ARRAY_END, "]" }, { CH_JSON_KEY, "b" }, { CH_JSON_OBJECT, "{" },
		{ CH_JSON_OBJECT_END, "}" }, { CH_JSON_KEY, "c" }, { CH_JSON_ARRAY, "[" }, { CH_JSON_ARRAY_END, "]" },
		{ CH_JSON_OBJECT_END, "}" },
	};
	struct ch_json j;
	struct ch_json_tok tok;

	(void)state;
	ch_json_init(&j, TEXT(doc), 0, 0);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		size_t quotes = want[i].type == CH_JSON_KEY || want[i].type == CH_JSON_STRING ? 1 : 0;

		assert_int_equal(ch_json_next(&j, &tok), want[i].type);
		assert_int_equal(tok.type, want[i].type);
		assert_int_equal(tok.len, strlen(want[i].s));
		assert_memory_equal(tok.s, want[i].s, tok.len);
		assert_ptr_equal(tok.s, doc + tok.start + quotes);
		assert_int_equal(tok.end - tok.start, tok.len + 2 * quotes);
		assert_int_equal(tok.escaped, want[i].s[0] == 'x');
	}
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_END);
	assert_int_equal(j.pos, sizeof(doc) - 1);
}

static void end_and_error_are_final(void **state)
{
	struct ch_json j;
	struct ch_json_tok tok;

	(void)state;
	ch_json_init(&j, TEXT("1"), 0, 0);
	ch_json_next(&j, &tok);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ch_json_next(&j, &tok), CH_JSON_END);
	ch_json_init(&j, TEXT("[1 2]"), 0, 0);
	ch_json_next(&j, &tok);
	ch_json_next(&j, &tok);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ch_json_next(&j, &tok), CH_JSON_ERROR);
		assert_int_equal(j.pos, 3);
		assert_int_equal(tok.start, 3);
		assert_non_null(strstr(j.error, "comma"));
	}
}

static void any_value_may_be_the_document(void **state)
{
	(void)state;
	accepted("{}");
	accepted("[]");
	accepted("\"\"");
	accepted("0");
	accepted(" true ");
	accepted("false");
	accepted("null");
}

static void an_empty_document_is_refused(void **state)
{
	(void)state;
	assert_false(ch_json_valid(NULL, 0, 0, 0, NULL, NULL));
	refused_at(TEXT(""), 0, "too early");
	refused_at(TEXT(" \t\r\n"), 4, "too early");
}

static void a_cut_document_is_refused_at_every_byte(void **state)
{
	static const char doc[] = "{\"k\\u00e9\":[1.5e+3,true,false,null,"
		"{\"\":\"\\ud83d\\ude00 \xe6\x97\xa5 \xf0\x9f\x98\x80\"}],\"z\":\"0123456789abcdef\"}";

	(void)state;
	assert_true(valid(TEXT(doc)));
	for (size_t n = 0; n < sizeof(doc) - 1; n++)
		assert_false(valid(doc, n));
}

static void hundred_thousand_brackets_end_at_depth_65(void **state)
{
	size_t n = 100000;
	char *p = malloc(n);

	(void)state;
	assert_non_null(p);
	memset(p, '[', n);
	refused_at(p, n, 64, "nested deeper");
	for (size_t i = 0; i + 5 <= n; i += 5)
		memcpy(p + i, "{\"\":[", 5);
	refused_at(p, n, 32 * 5, "nested deeper");
	free(p);
}

static void depth_64_is_accepted_and_keeps_the_kinds_apart(void **state)
{
	char doc[1024];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 32; i++)
		n += (size_t)sprintf(doc + n, "[{\"a\":");
	n += (size_t)sprintf(doc + n, "1");
	for (int i = 0; i < 32; i++)
		n += (size_t)sprintf(doc + n, "}]");
	assert_true(valid(doc, n));
	doc[n - 1] = '}';
	refused_at(doc, n, n - 1, "']'");
}

static void the_depth_limit_is_the_callers(void **state)
{
	(void)state;
	assert_true(ch_json_valid(TEXT("[[[]],[[]]]"), 3, 0, NULL, NULL));
	assert_false(ch_json_valid(TEXT("[[[]],[[]]]"), 2, 0, NULL, NULL));
	assert_true(ch_json_valid(TEXT("1"), 1, 0, NULL, NULL));
	assert_false(ch_json_valid(TEXT("[[]]"), 1, 0, NULL, NULL));
	assert_true(ch_json_valid(TEXT("[[]]"), 1000, 0, NULL, NULL));
}

static void more_tokens_than_allowed_are_refused(void **state)
{
	const char *error;
	size_t pos;

	(void)state;
	assert_true(ch_json_valid(TEXT("[1,2,{\"a\":3}]"), 0, 8, NULL, NULL));
	assert_false(ch_json_valid(TEXT("[1,2,{\"a\":3}]"), 0, 7, &pos, &error));
	assert_int_equal(pos, 12);
	assert_non_null(strstr(error, "tokens"));
}

static void a_million_elements_end_at_the_limit(void **state)
{
	size_t n = 3000000, pos;
	char *p = malloc(n);

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < n; i += 3)
		memcpy(p + i, "{},", 3);
	p[0] = '[';
	p[1] = '0';
	assert_false(ch_json_valid(p, n, 0, 200000, &pos, NULL));
	assert_true(pos < 300010);
	free(p);
}

static void invalid_utf8_is_refused(void **state)
{
	static const char *const bad[] = {
		"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xe6\x97", "\xe6\x97(",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98", "\xf0\x9f\x98(", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff",
	};
	char doc[128];

	(void)state;
	/* In front of the sequence 0 to 33 plain bytes: at each place in a block of 16. */
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		for (int fill = 0; fill < 34; fill++) {
			int n = sprintf(doc, "[\"%.*s%s\"]", fill, "abcdefghijklmnopqrstuvwxyz0123456789", bad[i]);

			refused_at(doc, (size_t)n, (size_t)fill + 2, "UTF-8");
			n = sprintf(doc, "{\"%.*s%s\":1}", fill, "abcdefghijklmnopqrstuvwxyz0123456789", bad[i]);
			refused_at(doc, (size_t)n, (size_t)fill + 2, "UTF-8");
		}
	}
	/* Cut by the end of the document. */
	refused("\"\xc3");
	refused("\"\xe6\x97");
	refused("\"\xf0\x9f\x98");
}

static void valid_utf8_is_accepted_at_every_place(void **state)
{
	static const char *const good[] = {
		"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\x7f",
	};
	char doc[128];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		for (int fill = 0; fill < 34; fill++) {
			sprintf(doc, "[\"%.*s%s%s!\"]", fill, "abcdefghijklmnopqrstuvwxyz0123456789", good[i], good[i]);
			accepted(doc);
		}
}

static void a_control_character_is_refused_at_every_place(void **state)
{
	char doc[64];

	(void)state;
	for (int c = 0; c < 0x20; c++)
		for (int fill = 0; fill < 20; fill++) {
			int n = sprintf(doc, "\"%.*s?mnopqrstuvwxyz\"", fill, "abcdefghijklmnopqrstuvwxyz");

			doc[1 + fill] = (char)c;
			refused_at(doc, (size_t)n, (size_t)fill + 1, "control");
		}
}

static void a_byte_order_mark_is_refused(void **state)
{
	(void)state;
	refused_at(TEXT("\xef\xbb\xbf{}"), 0, "byte order mark");
	refused_at(TEXT("\xff\xfe[\0]\0"), 0, "no JSON value");
	refused_at(TEXT("\xef\xbb"), 0, "no JSON value");
	accepted("\"\xef\xbb\xbf\"");
}

static void lone_surrogate_is_refused(void **state)
{
	(void)state;
	refused_at(TEXT("\"\\ud800\""), 1, "surrogate");
	refused_at(TEXT("\"a\\uDFFF\""), 2, "surrogate");
	refused_at(TEXT("\"\\udbff\\n\""), 1, "surrogate");
	refused_at(TEXT("\"\\ud800\\ud800\""), 1, "surrogate");
	refused_at(TEXT("\"\\ud800\\u0041\""), 1, "surrogate");
	refused_at(TEXT("\"\\ud800abcdef\""), 1, "surrogate");
	refused_at(TEXT("\"\\udc00\\udc00\""), 1, "surrogate");
	refused_at(TEXT("\"\\ud83d\\ude00\\ude00\""), 13, "surrogate");
	refused_at(TEXT("{\"\\udc00\":1}"), 2, "surrogate");
	refused_at(TEXT("\"\\ud800\\ud"), 10, "too early");
	refused_at(TEXT("\"\\ud800\\udx00\""), 10, "hexadecimal");
	accepted("\"\\ud800\\udc00\\uDBFF\\uDFFF\\ud7ff\\ue000\"");
}

static void an_unknown_escape_is_refused(void **state)
{
	(void)state;
	accepted("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0aF9\"");
	refused_at(TEXT("\"\\a\""), 2, "escape");
	refused_at(TEXT("\"\\U0041\""), 2, "escape");
	refused_at(TEXT("\"\\\0\""), 2, "escape");
	refused_at(TEXT("\"\\u00g1\""), 5, "hexadecimal");
	refused_at(TEXT("\"\\u 041\""), 3, "hexadecimal");
	refused_at(TEXT("\"\\u-041\""), 3, "hexadecimal");
	refused_at(TEXT("\"\\u004"), 6, "too early");
	refused_at(TEXT("\"\\u004\""), 6, "hexadecimal");
	refused_at(TEXT("\"\\"), 2, "too early");
	refused_at(TEXT("\"\\\""), 3, "too early");
}

static void words_must_be_exact(void **state)
{
	(void)state;
	refused("NaN");
	refused("[NaN]");
	refused("Infinity");
	refused("-Infinity");
	refused("[-NaN]");
	refused("nan");
	refused("tru");
	refused("truE");
	refused("True");
	refused("truex");
	refused("nul");
	refused("fals");
	refused("[nulll]");
	refused("'a'");
	refused("// x\n1");
	refused("undefined");
}

static void trailing_bytes_are_refused(void **state)
{
	(void)state;
	refused_at(TEXT("{}x"), 2, "behind the end");
	refused_at(TEXT("{} {}"), 3, "behind the end");
	refused_at(TEXT("1,"), 1, "behind the end");
	refused_at(TEXT("[]]"), 2, "behind the end");
	refused_at(TEXT("null\0"), 4, "behind the end");
	refused_at(TEXT("\"\"\""), 2, "behind the end");
	accepted("{}\n\n \t\r");
	refused("{}\v");
	refused("\f{}");
	refused("{}\xc2\xa0");
}

static void commas_colons_and_brackets_must_fit(void **state)
{
	(void)state;
	refused_at(TEXT("[1,]"), 3, "missing");
	refused_at(TEXT("[,1]"), 1, "missing");
	refused_at(TEXT("[1,,2]"), 3, "missing");
	refused_at(TEXT("[1 2]"), 3, "comma");
	refused_at(TEXT("[1}"), 2, "']'");
	refused_at(TEXT("{\"a\":1]"), 6, "'}'");
	refused_at(TEXT("{\"a\":1,}"), 7, "name");
	refused_at(TEXT("{,}"), 1, "name");
	refused_at(TEXT("{1:2}"), 1, "name");
	refused_at(TEXT("{a:2}"), 1, "name");
	refused_at(TEXT("{\"a\"}"), 4, "colon");
	refused_at(TEXT("{\"a\" 1}"), 5, "colon");
	refused_at(TEXT("{\"a\"::1}"), 5, "no JSON value");
	refused_at(TEXT("{\"a\":}"), 5, "missing");
	refused_at(TEXT("[\"a\":1]"), 4, "comma");
	refused_at(TEXT("]"), 0, "missing");
	refused_at(TEXT("{\"a\":1 \"b\":2}"), 7, "comma");
}

static void number_forms_are_those_of_the_rfc(void **state)
{
	static const char *const good[] = {
		"0", "-0", "-0.0", "0e0", "0E+0", "0.0e-0", "10", "-1", "1.0", "1e3", "1E3", "1e+3", "1e-3", "1.25e10", "9007199254740993", "1e999",
		"-1e999", "1e-999", "1e99999999999999999999999999", "123456789012345678901234567890", "0e01",
	};
	static const char *const bad[] = {
		"-", "+1", "01", "-01", "00", "1.", ".5", "-.5", "1.e3", "1e", "1e+", "1e-", "1e1.5", "1e1e1", "0x10", "1_000", "1,0", "--1", "-+1",
		"1.2.3", "- 1", "1e 3", "1f", "\xef\xbc\x91",
	};
	char doc[128];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		accepted(good[i]);
		sprintf(doc, "[%s]", good[i]);
		accepted(doc);
		sprintf(doc, "{\"a\":%s ,\"b\":%s}", good[i], good[i]);
		accepted(doc);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		refused(bad[i]);
		if (strcmp(bad[i], "1,0")) {
			sprintf(doc, "[%s]", bad[i]);
			refused(doc);
		}
	}
	refused_at(TEXT("[01]"), 2, "leading zero");
	refused_at(TEXT("[1.]"), 3, "digit");
	refused_at(TEXT("-"), 1, "too early");
}

static void skip_ends_behind_the_value(void **state)
{
	static const char doc[] = "{\"a\":[1,{\"b\":[[]]},2] ,\"c\":\"x\",\"d\":{}}";
	struct ch_json j;
	struct ch_json_tok tok;

	(void)state;
	ch_json_init(&j, TEXT(doc), 0, 0);
	ch_json_next(&j, &tok);
	ch_json_next(&j, &tok);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_ARRAY);
	assert_int_equal(ch_json_skip(&j, &tok), 0);
	assert_int_equal(tok.end - tok.start, strlen("[1,{\"b\":[[]]},2]"));
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_KEY);
	assert_true(ch_json_eq(&tok, "c"));
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_STRING);
	assert_int_equal(ch_json_skip(&j, &tok), 0);
	assert_memory_equal(doc + tok.start, "\"x\"", 3);
	assert_int_equal(tok.end - tok.start, 3);
	ch_json_next(&j, &tok);
	ch_json_next(&j, &tok);
	assert_int_equal(ch_json_skip(&j, &tok), 0);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_OBJECT_END);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_END);

	ch_json_init(&j, TEXT(doc), 0, 0);
	ch_json_next(&j, &tok);
	assert_int_equal(ch_json_skip(&j, &tok), 0);
	assert_int_equal(tok.end, sizeof(doc) - 1);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_END);
}

static void skip_reports_an_error_inside(void **state)
{
	struct ch_json j;
	struct ch_json_tok tok;

	(void)state;
	ch_json_init(&j, TEXT("[[1,2,]"), 0, 0);
	ch_json_next(&j, &tok);
	assert_int_equal(ch_json_skip(&j, &tok), -1);
	assert_int_equal(j.pos, 6);
	ch_json_next(&j, &tok);
	assert_int_equal(tok.type, CH_JSON_ERROR);
	assert_int_equal(ch_json_skip(&j, &tok), -1);
}

static void names_compare_with_their_escapes_decoded(void **state)
{
	struct ch_json_tok tok = only("\"mod\\u0065l\"");

	(void)state;
	assert_true(ch_json_eq(&tok, "model"));
	assert_false(ch_json_eq(&tok, "mode"));
	assert_false(ch_json_eq(&tok, "models"));
	assert_false(ch_json_eq(&tok, "mod\\u0065l"));
	tok = only("\"model\"");
	assert_true(ch_json_eq(&tok, "model"));
	assert_false(ch_json_eq(&tok, "mode"));
	assert_false(ch_json_eq(&tok, "models"));
	assert_false(ch_json_eq(&tok, ""));
	tok = only("\"model\\u0000x\"");
	assert_false(ch_json_eq(&tok, "model"));
	tok = only("\"\\ud83d\\uDE00\\/\"");
	assert_true(ch_json_eq(&tok, "\xf0\x9f\x98\x80/"));
	tok = only("\"\"");
	assert_true(ch_json_eq(&tok, ""));
	tok = only("12");
	assert_false(ch_json_eq(&tok, "12"));
}

static void escapes_decode_to_utf8(void **state)
{
	struct ch_json_tok tok = only("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\\u0041\\u00e9\\u65E5\\ud83d\\ude00\\uffff\\u07ff\\u0800\"");
	static const char want[] = "a\"\\/\b\f\n\r\tzA\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80";
	char *out = malloc(tok.len);

	(void)state;
	assert_non_null(out);
	assert_true(tok.escaped);
	assert_int_equal(ch_json_unescape(&tok, out), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	free(out);
	tok = only("\"\"");
	assert_int_equal(ch_json_unescape(&tok, NULL), 0);
}

static void an_escaped_nul_is_allowed_and_decodes_to_one(void **state)
{
	struct ch_json_tok tok = only("\"a\\u0000b\"");
	char out[8];

	(void)state;
	assert_int_equal(tok.len, 8);
	assert_int_equal(ch_json_unescape(&tok, out), 3);
	assert_memory_equal(out, "a\0b", 3);
	refused_at(TEXT("\"a\0b\""), 2, "control");
}

static bool as_int(const char *s, int64_t *v)
{
	struct ch_json_tok tok = only(s);

	return ch_json_int(&tok, INT64_MIN, INT64_MAX, v);
}

static void integers_are_exact(void **state)
{
	static const struct { const char *s; int64_t v; } yes[] = {
		{ "0", 0 }, { "-0", 0 }, { "-0.0e5", 0 }, { "1.0", 1 }, { "1e3", 1000 }, { "10e-1", 1 }, { "1.5e1", 15 }, { "-2.50e+2", -250 },
		{ "0.001e3", 1 }, { "0e99999999999999999999", 0 }, { "0.000e-99999999999999999999", 0 }, { "100000000000000000000e-19", 10 },
		{ "9007199254740993", 9007199254740993 }, { "-9007199254740993", -9007199254740993 }, { "9.007199254740993e15", 9007199254740993 },
		{ "9223372036854775807", INT64_MAX }, { "-9223372036854775808", INT64_MIN }, { "9223372036854775807.000", INT64_MAX },
		{ "9.223372036854775807E18", INT64_MAX }, { "0.9223372036854775807e19", INT64_MAX }, { "1000e-3", 1 },
	};
	static const char *const no[] = {
		"1.5", "1e-1", "0.1", "10e-2", "15e-1", "9223372036854775808", "-9223372036854775809", "1e19", "1e308", "1e999",
		"-1e99999999999999999999",
		"18446744073709551616", "1e-99999999999999999999", "9223372036854775807.5", "9.2233720368547758075e18", "100000000000000000000",
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		v = -1;
		if (!as_int(yes[i].s, &v) || v != yes[i].v)
			fail_msg("%s gives %lld", yes[i].s, (long long)v);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (as_int(no[i], &v))
			fail_msg("%s gives %lld", no[i], (long long)v);
}

static void an_integer_is_checked_against_its_range(void **state)
{
	struct ch_json_tok tok = only("-1");
	int64_t v = 7;

	(void)state;
	assert_false(ch_json_int(&tok, 0, 10, &v));
	assert_int_equal(v, 7);
	assert_true(ch_json_int(&tok, -1, 10, &v));
	assert_int_equal(v, -1);
	tok = only("11");
	assert_false(ch_json_int(&tok, 0, 10, &v));
	tok = only("1e9");
	assert_false(ch_json_int(&tok, 0, 999999999, &v));
	assert_true(ch_json_int(&tok, 0, 1000000000, &v));
	tok = only("\"1\"");
	assert_false(ch_json_int(&tok, 0, 10, &v));
	tok = only("true");
	assert_false(ch_json_int(&tok, 0, 10, &v));
}

static bool as_double(const char *s, double *v)
{
	struct ch_json_tok tok = only(s);

	return ch_json_double(&tok, v);
}

static void doubles_read_to_the_nearest(void **state)
{
	double v;

	(void)state;
	assert_true(as_double("0.1", &v) && v == 0.1);
	assert_true(as_double("-2.5e3", &v) && v == -2500);
	assert_true(as_double("-0", &v) && v == 0 && signbit(v));
	assert_true(as_double("9007199254740993", &v) && v == 9007199254740992.0);
	assert_true(as_double("1.7976931348623157e308", &v) && v == DBL_MAX);
	assert_true(as_double("5e-324", &v) && v == 0x1p-1074);
	assert_true(as_double("1e-999", &v) && v == 0);
	assert_true(as_double("1e-99999999999999999999", &v) && v == 0);
	struct ch_json_tok tok = only("\"1\"");
	assert_false(ch_json_double(&tok, &v));
}

static void a_number_beyond_double_is_a_token_but_no_double(void **state)
{
	double v = 7;

	(void)state;
	accepted("[1e999]");
	assert_false(as_double("1e999", &v));
	assert_false(as_double("-1e999", &v));
	assert_false(as_double("1.8e308", &v));
	assert_false(as_double("1e99999999999999999999", &v));
	assert_true(v == 7);
	assert_true(as_double("1e308", &v) && v == 1e308);
}

static void numbers_longer_than_any_double_are_read_right(void **state)
{
	static char s[200000];
	double v;
	int n;

	(void)state;
	/* 1 and 5000 zeros, brought back by the exponent. */
	n = sprintf(s, "1%0*d", 5000, 0);
	assert_false(as_double(s, &v));
	sprintf(s + n, "e-5000");
	assert_true(as_double(s, &v) && v == 1);
	/* 0.000...01 */
	n = sprintf(s, "-0.%0*d1", 100000, 0);
	assert_true(as_double(s, &v) && v == 0 && signbit(v));
	sprintf(s + n, "e+100003");
	assert_true(as_double(s, &v) && v == -100);
	sprintf(s, "0.%0*de9", 150000, 0);
	assert_true(as_double(s, &v) && v == 0);
	/* Halfway between 2^53 and its neighbour: down to even, unless a digit far behind says more. */
	n = sprintf(s, "9007199254740993.%0*d", 5000, 0);
	assert_true(as_double(s, &v) && v == 9007199254740992.0);
	sprintf(s + n, "1");
	assert_true(as_double(s, &v) && v == 9007199254740994.0);
	/* Half of the smallest double has 751 digits and rounds to 0; anything more rounds up. */
	n = sprintf(s, "%.1075f", 0x1p-1074);
	for (char *p = s + n - 1, carry = 0; p > s; p--)
		if (*p != '.') {
			/* s = s * 5 / 10: the exact half */
			int d = (*p - '0') * 5 + carry;

			*p = (char)('0' + d % 10);
			carry = (char)(d / 10);
		}
	strcpy(s + n, "e-1");
	assert_true(as_double(s, &v) && v == 0);
	sprintf(s + n, "%0*d1e-1", 3000, 0);
	assert_true(as_double(s, &v) && v == 0x1p-1074);
}

/* ---- writer ---- */

static void *grow_heap(void *arg, void *old, size_t used, size_t want)
{
	(void)used;
	++*(int *)arg;
	return realloc(old, want);
}

static void *grow_never(void *arg, void *old, size_t used, size_t want)
{
	(void)old;
	(void)used;
	(void)want;
	++*(int *)arg;
	return NULL;
}

static char buf[4096];

static struct ch_jw writer(void)
{
	struct ch_jw w;

	ch_jw_init(&w, buf, sizeof(buf));
	return w;
}

static void wrote(const struct ch_jw *w, const char *want)
{
	assert_false(w->failed);
	if (w->len != strlen(want) || memcmp(w->buf, want, w->len))
		fail_msg("wrote %.*s, not %s", (int)w->len, w->buf, want);
}

static void all_kinds(struct ch_jw *w)
{
	ch_jw_object(w);
	ch_jw_key(w, "a");
	ch_jw_array(w);
	ch_jw_int(w, INT64_MIN);
	ch_jw_uint(w, UINT64_MAX);
	ch_jw_double(w, 0.1);
	ch_jw_bool(w, true);
	ch_jw_bool(w, false);
	ch_jw_null(w);
	ch_jw_array(w);
	ch_jw_array_end(w);
	ch_jw_object(w);
	ch_jw_object_end(w);
	ch_jw_array_end(w);
	ch_jw_key(w, "b\n");
	ch_jw_cstr(w, NULL);
	ch_jw_key(w, "");
	ch_jw_cstr(w, "x");
	ch_jw_key(w, "raw");
	ch_jw_raw(w, TEXT("[1, 2]"));
	ch_jw_key(w, "o");
	ch_jw_object(w);
	ch_jw_key(w, "p");
	ch_jw_int(w, 0);
	ch_jw_object_end(w);
	ch_jw_object_end(w);
}

static const char all_kinds_text[] = "{\"a\":[-9223372036854775808,18446744073709551615,0.1,true,false,null,[],{}],\"b\\n\":null,"
	"\"\":\"x\",\"raw\":[1, 2],\"o\":{\"p\":0}}";

static void commas_and_colons_stand_where_they_must(void **state)
{
	struct ch_jw w = writer();

	(void)state;
	all_kinds(&w);
	wrote(&w, all_kinds_text);
	assert_true(valid(w.buf, w.len));
}

static void integers_are_written_whole(void **state)
{
	struct ch_jw w = writer();

	(void)state;
	ch_jw_array(&w);
	ch_jw_int(&w, 0);
	ch_jw_int(&w, -1);
	ch_jw_int(&w, INT64_MAX);
	ch_jw_int(&w, INT64_MIN);
	ch_jw_uint(&w, 9007199254740993);
	ch_jw_uint(&w, 10);
	ch_jw_array_end(&w);
	wrote(&w, "[0,-1,9223372036854775807,-9223372036854775808,9007199254740993,10]");
}

static void written_text_is_one_line_of_valid_json(void **state)
{
	struct ch_jw w = writer();
	struct ch_json_tok tok;
	struct ch_json j;
	char all[256], back[256 * 3];
	size_t n;

	(void)state;
	ch_jw_string(&w, TEXT("\"\\/\b\f\n\r\t\0\x1f\x7f\xc3\xa9\xf0\x9f\x98\x80"));
	wrote(&w, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\xc3\xa9\xf0\x9f\x98\x80\"");

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	w = writer();
	ch_jw_string(&w, all, sizeof(all));
	assert_true(valid(w.buf, w.len));
	for (size_t i = 0; i < w.len; i++)
		assert_true((unsigned char)w.buf[i] >= 0x20);
	ch_json_init(&j, w.buf, w.len, 0, 0);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_STRING);
	n = ch_json_unescape(&tok, back);
	assert_int_equal(n, 128 + 128 * 3);
	assert_memory_equal(back, all, 128);
}

static void each_byte_of_invalid_utf8_becomes_a_replacement_character(void **state)
{
	struct ch_jw w = writer();

	(void)state;
	ch_jw_array(&w);
	ch_jw_string(&w, TEXT("a\xff" "b"));
	ch_jw_string(&w, TEXT("\xed\xa0\x80"));
	ch_jw_string(&w, TEXT("\xe6\x97"));
	ch_jw_string(&w, TEXT("0123456789abcdef\xc3"));
	ch_jw_array_end(&w);
	wrote(&w, "[\"a\xef\xbf\xbd" "b\","
		"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"\xef\xbf\xbd\xef\xbf\xbd\",\"0123456789abcdef\xef\xbf\xbd\"]");
}

static void doubles_are_written_short_and_read_back_equal(void **state)
{
	static const struct { double v; const char *s; } want[] = {
		{ 0.1, "0.1" }, { 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { -2.5, "-2.5" }, { 1e21, "1e+21" }, { 5e-324, "5e-324" }, { 0.3, "0.3" },
		{ 0.1 + 0.2, "0.30000000000000004" }, { 1e-7, "1e-07" }, { 123456789, "123456789" }, { 1.0 / 3, "0.3333333333333333" },
		{ DBL_MAX, "1.7976931348623157e+308" }, { DBL_MIN, "2.2250738585072014e-308" }, { 1e-310, "1e-310" },
		{ 9007199254740993.0, "9007199254740992" },
		{ NAN, "null" }, { INFINITY, "null" }, { -INFINITY, "null" },
	};
	uint64_t seed = 88172645463325252;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct ch_jw w = writer();

		ch_jw_double(&w, want[i].v);
		wrote(&w, want[i].s);
	}
	for (int i = 0; i < 20000; i++) {
		struct ch_jw w = writer();
		double v, back;

		/* xorshift: any bits, the same ones at each run */
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		memcpy(&v, &seed, sizeof(v));
		if (!isfinite(v))
			continue;
		ch_jw_double(&w, v);
		buf[w.len] = 0;
		assert_true(as_double(buf, &back));
		assert_memory_equal(&back, &v, sizeof(v));
	}
}

static void full_room_fails_at_every_size_and_writes_nothing_behind(void **state)
{
	size_t full = sizeof(all_kinds_text) - 1;

	(void)state;
	for (size_t cap = 0; cap <= full; cap++) {
		struct ch_jw w;
		char *p = malloc(cap ? cap : 1);

		assert_non_null(p);
		ch_jw_init(&w, p, cap);
		all_kinds(&w);
		assert_int_equal(w.failed, cap < full);
		assert_true(w.len <= cap);
		assert_memory_equal(p, all_kinds_text, w.len);
		free(p);
	}
}

static void the_buffer_grows(void **state)
{
	struct ch_jw w;
	int calls = 0;

	(void)state;
	ch_jw_init(&w, NULL, 0);
	w.grow = grow_heap;
	w.arg = &calls;
	ch_jw_array(&w);
	for (int i = 0; i < 10000; i++)
		all_kinds(&w);
	ch_jw_array_end(&w);
	assert_false(w.failed);
	assert_int_equal(w.len, 10000 * sizeof(all_kinds_text) + 1);
	assert_true(calls < 20);
	assert_true(valid(w.buf, w.len));
	free(w.buf);
}

static void a_failure_is_final(void **state)
{
	struct ch_jw w;
	char small[8];
	int calls = 0;

	(void)state;
	ch_jw_init(&w, small, sizeof(small));
	w.grow = grow_never;
	w.arg = &calls;
	all_kinds(&w);
	assert_true(w.failed);
	assert_int_equal(calls, 1);
	w.grow = grow_heap;
	w.len = 0;
	ch_jw_null(&w);
	assert_int_equal(w.len, 0);
	assert_int_equal(calls, 1);
}

static void misuse_of_the_writer_fails(void **state)
{
	struct ch_jw w = writer();

	(void)state;
	ch_jw_object_end(&w);
	assert_true(w.failed);
	w = writer();
	ch_jw_key(&w, "a");
	assert_true(w.failed);
	w = writer();
	ch_jw_object(&w);
	ch_jw_key(&w, "a");
	ch_jw_key(&w, "b");
	assert_true(w.failed);
	w = writer();
	ch_jw_object(&w);
	ch_jw_key(&w, "a");
	ch_jw_object_end(&w);
	assert_true(w.failed);
}

static void the_writer_nests_as_deep_as_the_scanner(void **state)
{
	struct ch_jw w = writer();

	(void)state;
	for (int i = 0; i < CH_JSON_DEPTH_MAX; i++) {
		ch_jw_array(&w);
		ch_jw_int(&w, i);
	}
	for (int i = 0; i < CH_JSON_DEPTH_MAX; i++) {
		ch_jw_int(&w, i);
		ch_jw_array_end(&w);
	}
	assert_false(w.failed);
	assert_true(valid(w.buf, w.len));
	w = writer();
	for (int i = 0; i <= CH_JSON_DEPTH_MAX; i++)
		ch_jw_array(&w);
	assert_true(w.failed);
}

/* Copies a document token by token. */
static void rewrite(const char *s, size_t n, struct ch_jw *w)
{
	struct ch_json j;
	struct ch_json_tok tok;
	char text[256];

	ch_json_init(&j, s, n, 0, 0);
	for (;;) {
		switch (ch_json_next(&j, &tok)) {
		case CH_JSON_OBJECT: ch_jw_object(w); break;
		case CH_JSON_OBJECT_END: ch_jw_object_end(w); break;
		case CH_JSON_ARRAY: ch_jw_array(w); break;
		case CH_JSON_ARRAY_END: ch_jw_array_end(w); break;
		case CH_JSON_KEY:
			assert_true(tok.len < sizeof(text));
			text[ch_json_unescape(&tok, text)] = 0;
			ch_jw_key(w, text);
			break;
		case CH_JSON_STRING:
			assert_true(tok.len < sizeof(text));
			ch_jw_string(w, text, ch_json_unescape(&tok, text));
			break;
		case CH_JSON_NUMBER: ch_jw_raw(w, tok.s, tok.len); break;
		case CH_JSON_TRUE: ch_jw_bool(w, true); break;
		case CH_JSON_FALSE: ch_jw_bool(w, false); break;
		case CH_JSON_NULL: ch_jw_null(w); break;
		default:
			assert_int_equal(tok.type, CH_JSON_END);
			return;
		}
	}
}

static void a_document_survives_scanner_and_writer(void **state)
{
	static const char doc[] = "{\"model\":\"a\\\"b\\u0001\","
		"\"messages\":[{\"role\":\"user\",\"content\":\"\xe6\x97\xa5\xe6\x9c\xac \\n\"},[],{}],"
		"\"n\":-1.5e3,\"t\":true,\"f\":false,\"z\":null}";
	static const char spaced[] = " {\"model\" :\"a\\u0022b\\u0001\", "
		"\"m\\u0065ssages\":[ {\"role\":\"user\",\"content\":\"\\u65e5\\u672c \\u000a\"},"
		"[ ], { } ],\n\"n\":-1.5e3, \"t\":true,\"f\":false,\"z\":null } ";
	struct ch_jw w = writer();

	(void)state;
	rewrite(TEXT(doc), &w);
	wrote(&w, doc);
	w = writer();
	rewrite(TEXT(spaced), &w);
	wrote(&w, doc);
}

static void the_locale_does_not_matter(void **state)
{
	static const char *const commas[] = { "de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8", "pl_PL.UTF-8", "ru_RU.UTF-8" };
	const char *set = NULL;
	struct ch_jw w = writer();
	double v;

	(void)state;
	for (size_t i = 0; i < sizeof(commas) / sizeof(*commas) && !set; i++)
		set = setlocale(LC_NUMERIC, commas[i]);
	if (!set) {
		print_message("skipped: no locale with a decimal comma at hand\n");
		skip();
	}
	assert_string_equal(localeconv()->decimal_point, ",");
	assert_true(as_double("1.5e1", &v) && v == 15);
	ch_jw_double(&w, -2.25);
	setlocale(LC_NUMERIC, "C");
	wrote(&w, "-2.25");
}

static void microseconds_are_written_as_milliseconds_with_three_places(void **state)
{
	static const struct {
		int64_t us;
		const char *ms;
	} rows[] = { { 0, "0.000" }, { 7, "0.007" }, { 1234, "1.234" }, { 1000000, "1000.000" }, { -1500, "-1.500" },
		{ INT64_MAX, "9223372036854775.807" } };
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ch_jw w;

		ch_jw_init(&w, text, sizeof(text) - 1);
		ch_jw_ms(&w, rows[i].us);
		assert_false(w.failed);
		text[w.len] = 0;
		assert_string_equal(text, rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(microseconds_are_written_as_milliseconds_with_three_places),
		cmocka_unit_test(tokens_come_in_order_with_their_bytes),
		cmocka_unit_test(end_and_error_are_final),
		cmocka_unit_test(any_value_may_be_the_document),
		cmocka_unit_test(an_empty_document_is_refused),
		cmocka_unit_test(a_cut_document_is_refused_at_every_byte),
		cmocka_unit_test(hundred_thousand_brackets_end_at_depth_65),
		cmocka_unit_test(depth_64_is_accepted_and_keeps_the_kinds_apart),
		cmocka_unit_test(the_depth_limit_is_the_callers),
		cmocka_unit_test(more_tokens_than_allowed_are_refused),
		cmocka_unit_test(a_million_elements_end_at_the_limit),
		cmocka_unit_test(invalid_utf8_is_refused),
		cmocka_unit_test(valid_utf8_is_accepted_at_every_place),
		cmocka_unit_test(a_control_character_is_refused_at_every_place),
		cmocka_unit_test(a_byte_order_mark_is_refused),
		cmocka_unit_test(lone_surrogate_is_refused),
		cmocka_unit_test(an_unknown_escape_is_refused),
		cmocka_unit_test(words_must_be_exact),
		cmocka_unit_test(trailing_bytes_are_refused),
		cmocka_unit_test(commas_colons_and_brackets_must_fit),
		cmocka_unit_test(number_forms_are_those_of_the_rfc),
		cmocka_unit_test(skip_ends_behind_the_value),
		cmocka_unit_test(skip_reports_an_error_inside),
		cmocka_unit_test(names_compare_with_their_escapes_decoded),
		cmocka_unit_test(escapes_decode_to_utf8),
		cmocka_unit_test(an_escaped_nul_is_allowed_and_decodes_to_one),
		cmocka_unit_test(integers_are_exact),
		cmocka_unit_test(an_integer_is_checked_against_its_range),
		cmocka_unit_test(doubles_read_to_the_nearest),
		cmocka_unit_test(a_number_beyond_double_is_a_token_but_no_double),
		cmocka_unit_test(numbers_longer_than_any_double_are_read_right),
		cmocka_unit_test(commas_and_colons_stand_where_they_must),
		cmocka_unit_test(integers_are_written_whole),
		cmocka_unit_test(written_text_is_one_line_of_valid_json),
		cmocka_unit_test(each_byte_of_invalid_utf8_becomes_a_replacement_character),
		cmocka_unit_test(doubles_are_written_short_and_read_back_equal),
		cmocka_unit_test(full_room_fails_at_every_size_and_writes_nothing_behind),
		cmocka_unit_test(the_buffer_grows),
		cmocka_unit_test(a_failure_is_final),
		cmocka_unit_test(misuse_of_the_writer_fails),
		cmocka_unit_test(the_writer_nests_as_deep_as_the_scanner),
		cmocka_unit_test(a_document_survives_scanner_and_writer),
		cmocka_unit_test(the_locale_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
