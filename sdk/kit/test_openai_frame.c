/* SPDX-License-Identifier: MIT */
/* test_openai_frame.c - what is read of an OpenAI server's JSON, and what is cut out of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "openai_frame.h"

static struct openai_frame f;

static bool reads(const char *text)
{
	return openai_frame_read(text, strlen(text), &f);
}

static void is(struct ch_str s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p, want, s.n);
}

static void a_chunk_tells_its_text_and_its_end(void **state)
{
	(void)state;
	assert_true(reads("{\"choices\":[{\"delta\":{\"content\":\"a\\n\"},\"finish_reason\":\"stop\"},{\"delta\":{\"content\":\"b\"}}]}"));
	assert_int_equal(f.nchoices, 2);
	is((struct ch_str){ f.text.s, f.text.len }, "a\\n"); /* of the first */
	assert_true(f.text.escaped);
	is((struct ch_str){ f.finish.s, f.finish.len }, "stop");
	assert_true(f.finished && !f.usage && !f.error.n && !f.cut_n);
	assert_true(reads("{\"choices\":[{\"text\":\"t\"},{\"finish_reason\":\"length\"}]}"));
	is((struct ch_str){ f.text.s, f.text.len }, "t");
	assert_true(f.finished && f.finish.type == CH_JSON_END); /* of the second */
	assert_true(reads("{\"choices\":null}"));
	assert_false(f.choices);
}

static void an_empty_reason_is_no_end(void **state)
{
	static const char *const none[] = { "\"\"", "\"null\"", "null", "0", "false", "\"n\\u0075ll\"" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		snprintf(text, sizeof(text), "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":%s}]}", none[i]);
		assert_true(reads(text));
		assert_true(!f.finished && f.finish.type == CH_JSON_END);
		is((struct ch_str){ f.text.s, f.text.len }, "a");
	}
}

static void both_names_of_the_counts_are_known(void **state)
{
	(void)state;
	assert_true(reads("{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"x\":{\"completion_tokens\":9},\"total_tokens\":3}}"));
	assert_true(f.usage && f.tokens_in == 1 && f.tokens_out == 2);
	assert_true(reads("{\"usage\":{\"input_tokens\":4,\"output_tokens\":5}}"));
	assert_true(f.usage && f.tokens_in == 4 && f.tokens_out == 5);
	assert_true(reads("{\"usage\":{\"input_tokens\":-4,\"output_tokens\":1e99}}"));
	assert_true(f.usage && f.tokens_in == 0 && f.tokens_out == 0);
	assert_true(reads("{\"usage\":null}"));
	assert_false(f.usage);
}

/* By hand: what stands there without the member and one comma. */
static void a_usage_is_cut_with_its_comma(void **state)
{
	static const struct { const char *text, *rest; } rows[] = {
		{ "{\"usage\":null}", "{}" },
		{ "{\"usage\":{\"a\":[1]},\"b\":1}", "{\"b\":1}" },
		{ "{ \"usage\": null,\n \"b\":1}", "{ \"b\":1}" },
		{ "{\"a\":1,\"usage\":null}", "{\"a\":1}" },
		{ "{\"a\": 1, \"usage\": null, \"b\": 2}", "{\"a\": 1, \"b\": 2}" },
		{ "{\"a\":{\"usage\":null}}", NULL },
		{ "{\"us\\u0061ge\":null,\"c\":2}", "{\"c\":2}" },
	};
	char rest[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *p = rows[i].text;

		assert_true(reads(p));
		assert_int_equal(f.cut_n > 0, rows[i].rest != NULL);
		memcpy(rest, p, f.cut_at);
		strcpy(rest + f.cut_at, p + f.cut_at + f.cut_n);
		assert_string_equal(rest, rows[i].rest ? rows[i].rest : p);
	}
}

static void an_error_is_what_says_so(void **state)
{
	static const struct { const char *text, *error; } rows[] = { { "{\"error\":{\"message\":\"x\"}}", "{\"message\":\"x\"}" },
		{ "{\"error\":\"x\"}", "\"x\"" }, { "{\"error\":null}", "" }, { "{\"error\":false}", "" }, { "{\"error\":[]}", "[]" },
		{ "{\"object\":\"error\",\"message\":\"x\"}", "{\"object\":\"error\",\"message\":\"x\"}" },
		{ "{\"choices\":[{\"error\":{\"a\":1}}]}", "" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(reads(rows[i].text));
		is(f.error, rows[i].error);
	}
}

static void what_cannot_be_used_is_named(void **state)
{
	static const struct { const char *text, *why; } rows[] = { { "", "is no valid JSON" }, { "[]", "is no JSON object" },
		{ "\"x\"", "is no JSON object" }, { "{\"a\":1", "is no valid JSON" }, { "{}x", "is no valid JSON" },
		{ "{\"choices\":[{\"delta\":{\"content\":\"\xc3\"}}]}", "is no valid JSON" },
		{ "{\"choices\":{}}", "has `choices` that are no list" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(reads(rows[i].text));
		assert_string_equal(f.why, rows[i].why);
	}
}

static float *vectors(const char *text, size_t *n, size_t *dimensions, const char **why)
{
	assert_true(reads(text));
	return openai_vectors(text, strlen(text), n, dimensions, why);
}

/* 1.0 is 0x3f800000, -2.5 is 0xc0200000; in little-endian order 00 00 80 3f 00 00 20 c0. */
static void vectors_come_of_numbers_and_of_base64(void **state)
{
	static const char *const texts[] = { "{\"data\":[{\"embedding\":[1,-2.5]},{\"embedding\":[1.0e0,-25e-1]}]}",
		"{\"data\":[{\"embedding\":\"AACAPwAAIMA=\"},{\"embedding\":\"AACAPwAAIMA\"}]}" };
	size_t n, dimensions;
	const char *why;

	(void)state;
	for (int i = 0; i < 2; i++) {
		float *v = vectors(texts[i], &n, &dimensions, &why);

		assert_non_null(v);
		assert_true(f.vectors == 2 && f.floats == !i && f.base64 == i);
		assert_int_equal(n, 2);
		assert_int_equal(dimensions, 2);
		for (int k = 0; k < 4; k += 2)
			assert_true(v[k] == 1.0f && v[k + 1] == -2.5f);
		free(v);
	}
	/* bytes 3f 3f ff ff: four of the alphabet's last letters; PHP writes the slash escaped */
	free(vectors("{\"data\":[{\"embedding\":\"Pz\\/\\/\\/w==\"}]}", &n, &dimensions, &why));
	assert_int_equal(dimensions, 1);
	assert_null(vectors("{\"data\":[{\"embedding\":[1]},{\"embedding\":[]}]}", &n, &dimensions, &why));
	assert_string_equal(why, "has embeddings of different lengths, or an empty one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chunk_tells_its_text_and_its_end),
		cmocka_unit_test(an_empty_reason_is_no_end),
		cmocka_unit_test(both_names_of_the_counts_are_known),
		cmocka_unit_test(a_usage_is_cut_with_its_comma),
		cmocka_unit_test(an_error_is_what_says_so),
		cmocka_unit_test(what_cannot_be_used_is_named),
		cmocka_unit_test(vectors_come_of_numbers_and_of_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
