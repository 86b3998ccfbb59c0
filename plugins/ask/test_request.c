/* SPDX-License-Identifier: Apache-2.0 */
/* test_request.c - what a body of POST /v1/ask may be, and which member is named when it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kit/json.h>

#include "request.h"

/* ---- a host of two functions: an arena that can be exhausted ---- */

static void *blocks[1024];
static size_t nblocks, room;

static void *host_alloc(struct ch_ctx *c, size_t n)
{
	(void)c;
	if (n > room || nblocks == sizeof(blocks) / sizeof(blocks[0]))
		return NULL;
	room -= n;
	blocks[nblocks] = calloc(1, n ? n : 1);
	return blocks[nblocks++];
}

static char *host_vprint(struct ch_ctx *c, const char *fmt, va_list ap)
{
	char text[1024], *copy;
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	copy = host_alloc(c, (size_t)n + 1);
	return copy ? memcpy(copy, text, (size_t)n + 1) : NULL;
}

static const struct ch_host host = { .size = sizeof(host), .alloc = host_alloc, .vprint = host_vprint };
const struct ch_host *ch_host_ = &host;

static int begin(void **state)
{
	(void)state;
	room = 4 << 20;
	return 0;
}

static int end(void **state)
{
	(void)state;
	while (nblocks)
		free(blocks[--nblocks]);
	return 0;
}

/* ---- reading ---- */

static struct ask_request q;
static struct ask_fault fault;

/* The body is copied to its exact size, so that a sanitizer sees each byte read too far; it lives until the end of the test. */
static bool read_n(const char *text, size_t n)
{
	char *body = malloc(n ? n : 1);

	memcpy(body, text, n);
	blocks[nblocks++] = body;
	memset(&fault, 0, sizeof(fault));
	return ask_read(NULL, (struct ch_str){ body, n }, 100, &q, &fault);
}

static bool read(const char *text)
{
	return read_n(text, strlen(text));
}

static void assert_text(struct ch_str s, const char *expected)
{
	assert_int_equal(s.n, strlen(expected));
	assert_memory_equal(s.p, expected, s.n);
}

/* The body is refused with 400, and this member is named (NULL: none). */
static void assert_fault(const char *text, const char *param)
{
	if (read(text))
		fail_msg("accepted: %s", text);
	assert_int_equal(fault.code, CH_E_BAD_REQUEST);
	assert_non_null(fault.detail);
	if (param)
		assert_string_equal(fault.param, param);
	else
		assert_null(fault.param);
}

static void a_prompt_is_one_message_of_the_user(void **state)
{
	(void)state;
	assert_true(read("{\"prompt\":\"Hello\"}"));
	assert_int_equal(q.nmessages, 1);
	assert_text(q.messages[0].role, "user");
	assert_text(q.messages[0].content, "Hello");
	assert_int_equal(q.model.n, 0);
	assert_int_equal(q.max_tokens, 0);
	assert_true(q.temperature == -1);
	assert_false(q.stream);
}

static void all_members_are_read(void **state)
{
	(void)state;
	assert_true(read("{\"stream\":true,\"temperature\":0.5,\"max_tokens\":7,\"model\":\"Qwen/Qwen3-32B:q4\","
	                 "\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"content\":\"\",\"role\":\"tool\"}]}"));
	assert_int_equal(q.nmessages, 2);
	assert_text(q.messages[0].role, "system");
	assert_text(q.messages[0].content, "Be brief.");
	assert_text(q.messages[1].role, "tool");
	assert_text(q.messages[1].content, "");
	assert_text(q.model, "Qwen/Qwen3-32B:q4");
	assert_int_equal(q.max_tokens, 7);
	assert_true(q.temperature == 0.5);
	assert_true(q.stream);
}

static void text_without_escapes_stays_where_it_is(void **state)
{
	(void)state;
	assert_true(read("{\"prompt\":\"Hello\"}"));
	assert_ptr_equal(q.messages[0].content.p, (const char *)blocks[0] + 11);
}

static void escapes_are_decoded_in_text_and_names(void **state)
{
	(void)state;
	assert_true(read("{\"pr\\u006fmpt\":\"a\\n\\u00e9\\ud83d\\ude00\"}"));
	assert_text(q.messages[0].content, "a\n\xc3\xa9\xf0\x9f\x98\x80");
}

static void null_is_not_given(void **state)
{
	(void)state;
	assert_true(read("{\"prompt\":\"x\",\"messages\":null,\"model\":null,\"max_tokens\":null,\"temperature\":null,\"stream\":null}"));
	assert_int_equal(q.max_tokens, 0);
	assert_fault("{\"prompt\":null}", "prompt");
}

static void an_unknown_member_is_named_with_those_allowed(void **state)
{
	(void)state;
	assert_fault("{\"prompt\":\"x\",\"max_token\":5}", "max_token");
	assert_non_null(strstr(fault.detail, "max_token\""));
	assert_non_null(strstr(fault.detail, "max_tokens"));
	assert_fault("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"rolle\":\"user\"}]}", "messages[1]");
	assert_non_null(strstr(fault.detail, "rolle"));
}

static void a_long_unknown_name_is_cut_at_a_whole_character(void **state)
{
	char body[200] = "{\"";
	size_t n = 2;

	(void)state;
	memset(body + n, 'a', 63);
	memcpy(body + n + 63, "\xc3\xa9zzz\":1}", 10);
	assert_false(read_n(body, n + 72));
	assert_int_equal(strlen(fault.param), 63);
}

static void a_member_that_comes_twice_is_refused(void **state)
{
	(void)state;
	assert_fault("{\"prompt\":\"x\",\"prompt\":\"y\"}", "prompt");
	assert_fault("{\"model\":null,\"prompt\":\"x\",\"model\":\"m\"}", "model");
	assert_fault("{\"prompt\":\"x\",\"str\\u0065am\":true,\"stream\":true}", "stream");
	assert_fault("{\"messages\":[{\"role\":\"user\",\"role\":\"user\",\"content\":\"x\"}]}", "messages[0].role");
	assert_fault("{\"messages\":[{\"content\":\"x\",\"content\":\"x\"}]}", "messages[0].content");
}

static void exactly_one_of_prompt_and_messages_is_needed(void **state)
{
	(void)state;
	assert_fault("{}", "prompt");
	assert_fault("{\"prompt\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "messages");
	assert_fault("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt\":\"x\"}", "prompt");
}

static void an_empty_question_is_refused(void **state)
{
	(void)state;
	assert_fault("{\"prompt\":\"\"}", "prompt");
	assert_fault("{\"messages\":[]}", "messages");
}

static void a_wrong_type_names_the_member(void **state)
{
	(void)state;
	assert_fault("{\"prompt\":5}", "prompt");
	assert_fault("{\"prompt\":[[[]]]}", "prompt");
	assert_fault("{\"messages\":\"x\"}", "messages");
	assert_fault("{\"messages\":[5]}", "messages[0]");
	assert_fault("{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "messages[0].content");
	assert_fault("{\"messages\":[{\"role\":1,\"content\":\"x\"}]}", "messages[0].role");
	assert_fault("{\"messages\":[{\"role\":null,\"content\":\"x\"}]}", "messages[0].role");
	assert_fault("{\"prompt\":\"x\",\"model\":1}", "model");
	assert_fault("{\"prompt\":\"x\",\"stream\":1}", "stream");
	assert_fault("{\"prompt\":\"x\",\"stream\":\"true\"}", "stream");
	assert_fault("{\"prompt\":\"x\",\"temperature\":\"1\"}", "temperature");
	assert_fault("{\"prompt\":\"x\",\"max_tokens\":\"1\"}", "max_tokens");
}

static void a_role_that_nobody_plays_is_refused(void **state)
{
	(void)state;
	assert_fault("{\"messages\":[{\"role\":\"User\",\"content\":\"x\"}]}", "messages[0].role");
	assert_fault("{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role");
	assert_fault("{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content");
}

static void max_tokens_is_an_integer_from_1_to_2147483647(void **state)
{
	static const char *const bad[] = { "0", "-1", "-0", "1.5", "1e308", "1e400", "2147483648", "9007199254740993" };
	char body[100];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(body, sizeof(body), "{\"prompt\":\"x\",\"max_tokens\":%s}", bad[i]);
		assert_fault(body, "max_tokens");
	}
	assert_true(read("{\"prompt\":\"x\",\"max_tokens\":2147483647}"));
	assert_int_equal(q.max_tokens, 2147483647);
}

static void temperature_is_a_number_from_0_to_2(void **state)
{
	(void)state;
	assert_fault("{\"prompt\":\"x\",\"temperature\":-0.1}", "temperature");
	assert_fault("{\"prompt\":\"x\",\"temperature\":2.1}", "temperature");
	assert_fault("{\"prompt\":\"x\",\"temperature\":1e999}", "temperature");
	assert_true(read("{\"prompt\":\"x\",\"temperature\":2}"));
	assert_true(read("{\"prompt\":\"x\",\"temperature\":0}"));
	assert_true(q.temperature == 0);
}

static void a_model_is_a_name_of_printable_ascii(void **state)
{
	char body[300];

	(void)state;
	assert_fault("{\"prompt\":\"x\",\"model\":\"\"}", "model");
	assert_fault("{\"prompt\":\"x\",\"model\":\"a\\u0000b\"}", "model");
	assert_fault("{\"prompt\":\"x\",\"model\":\"a\\r\\nHost: b\"}", "model");
	assert_fault("{\"prompt\":\"x\",\"model\":\"m\xc3\xb6\"}", "model");
	snprintf(body, sizeof(body), "{\"prompt\":\"x\",\"model\":\"%0128d\"}", 1);
	assert_true(read(body));
	snprintf(body, sizeof(body), "{\"prompt\":\"x\",\"model\":\"%0129d\"}", 1);
	assert_fault(body, "model");
}

static void what_is_no_json_object_is_refused_as_a_whole(void **state)
{
	static const char *const bad[] = {
		"",
		" ", "[]", "\"x\"", "null", "{", "{\"prompt\":\"x\"", "{\"prompt\":\"x\"} x", "{\"prompt\":\"x\"}{}", "{\"prompt\":\"x\",}",
		"{\"prompt\":\"\xff\"}", "{\"prompt\":\"\\ud800\"}", "\xef\xbb\xbf{\"prompt\":\"x\"}",
		"{\"prompt\":\"x\",\"temperature\":NaN}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_fault(bad[i], NULL);
}

static void a_nul_byte_in_the_text_is_text(void **state)
{
	(void)state;
	assert_true(read("{\"prompt\":\"a\\u0000b\"}"));
	assert_int_equal(q.messages[0].content.n, 3);
	assert_memory_equal(q.messages[0].content.p, "a\0b", 3);
	assert_false(read_n("{\"prompt\":\"a\0b\"}", 16)); /* raw it is no JSON */
}

static void a_hundred_thousand_brackets_are_refused(void **state)
{
	const size_t n = 100000;
	char *body = malloc(n + 1);

	(void)state;
	memset(body, '[', n);
	body[n] = 0;
	assert_fault(body, NULL);
	memcpy(body, "{\"messages\":", 12);
	assert_fault(body, "messages[0]");
	free(body);
}

/* {"messages":[ and n times {"role":"user","content":"x"}, */
static char *many(size_t n)
{
	static const char one[] = "{\"role\":\"user\",\"content\":\"x\"},";
	const size_t len = sizeof(one) - 1;
	char *body = malloc(13 + n * len + 2);

	memcpy(body, "{\"messages\":[", 13);
	for (size_t i = 0; i < n; i++)
		memcpy(body + 13 + i * len, one, len);
	memcpy(body + 13 + n * len - 1, "]}", 3);
	return body;
}

static void messages_are_counted(void **state)
{
	char *body = many(100);

	(void)state;
	assert_true(read(body));
	assert_int_equal(q.nmessages, 100);
	for (size_t i = 0; i < 100; i++)
		assert_text(q.messages[i].content, "x");
	free(body);
	body = many(101);
	assert_fault(body, "messages");
	free(body);
	body = many(1000000);
	assert_fault(body, "messages");
	free(body);
}

static void an_exhausted_arena_is_a_refusal_at_every_step(void **state)
{
	char *body = many(20);

	(void)state;
	body[strlen(body) - 3] = ','; /* }]} -> ,]}: broken at the end, so that a refusal with text is among the steps */
	for (size_t i = 0; i < 4000; i += 8) {
		room = i;
		assert_false(read(body));
		assert_non_null(fault.detail);
		end(NULL);
	}
	free(body);
}

static void the_schemas_are_json(void **state)
{
	(void)state;
	assert_true(ch_json_valid(ask_request_schema, strlen(ask_request_schema), 0, 0, NULL, NULL));
	assert_true(ch_json_valid(ask_response_schema, strlen(ask_response_schema), 0, 0, NULL, NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_prompt_is_one_message_of_the_user),
		TEST(all_members_are_read),
		TEST(text_without_escapes_stays_where_it_is),
		TEST(escapes_are_decoded_in_text_and_names),
		TEST(null_is_not_given),
		TEST(an_unknown_member_is_named_with_those_allowed),
		TEST(a_long_unknown_name_is_cut_at_a_whole_character),
		TEST(a_member_that_comes_twice_is_refused),
		TEST(exactly_one_of_prompt_and_messages_is_needed),
		TEST(an_empty_question_is_refused),
		TEST(a_wrong_type_names_the_member),
		TEST(a_role_that_nobody_plays_is_refused),
		TEST(max_tokens_is_an_integer_from_1_to_2147483647),
		TEST(temperature_is_a_number_from_0_to_2),
		TEST(a_model_is_a_name_of_printable_ascii),
		TEST(what_is_no_json_object_is_refused_as_a_whole),
		TEST(a_nul_byte_in_the_text_is_text),
		TEST(a_hundred_thousand_brackets_are_refused),
		TEST(messages_are_counted),
		TEST(an_exhausted_arena_is_a_refusal_at_every_step),
		TEST(the_schemas_are_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
