/* SPDX-License-Identifier: Apache-2.0 */
/* test_write.c - answers and chunks, compared with the forms that OpenAI's API reference documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "write.h"

static char buf[1 << 16];
static struct ch_jw w;

static void begin(void)
{
	ch_jw_init(&w, buf, sizeof(buf) - 1);
}

static void assert_written(const char *expected)
{
	assert_false(w.failed);
	buf[w.len] = 0;
	assert_string_equal(buf, expected);
}

static struct api_stamp stamp_of(bool chat)
{
	struct api_stamp s = { .usage = false };

	api_stamp(&s, chat, 1694268190, 0x0123456789abcdefu, 0xfedcba9876543210u);
	return s;
}

#define ID "0123456789abcdeffedcba9876543210"

static const struct ch_inference_result hello = {
	.size = sizeof(hello),
	.model = "gpt-4o-mini",
	.text = { "Hello!\n\"\xc3\xa9\"", 11 },
	.finish_reason = "stop",
	.tokens_in = 9,
	.tokens_out = 12,
};

static void a_chat_is_a_chat_completion(void **state)
{
	struct api_stamp s = stamp_of(true);

	(void)state;
	begin();
	api_write_answer(&w, &s, &hello);
	assert_written(
		"{\"id\":\"chatcmpl-" ID "\",\"object\":\"chat.completion\",\"created\":1694268190,\"model\":\"gpt-4o-mini\",\"choices\":["
		"{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello!\\n\\\"\xc3\xa9\\\"\",\"refusal\":null},\"logprobs\":"
		"null,"
		"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}");
	assert_true(ch_json_valid(buf, w.len, 0, 0, NULL, NULL));
}

static void calls_stand_in_the_message_whose_content_is_null(void **state)
{
	struct api_stamp s = stamp_of(true);
	struct ch_inference_result r = hello;

	(void)state;
	r.text.n = 0;
	r.tool_calls =
		(struct ch_str)CH_STR("[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]");
	r.finish_reason = "tool_calls";
	begin();
	api_write_answer(&w, &s, &r);
	buf[w.len] = 0;
	assert_non_null(strstr(buf,
		"\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":"
		"\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"logprobs\":null,\"finish_reason\":\"tool_calls\""));
	r.tool_calls.n = 0;
	begin();
	api_write_answer(&w, &s, &r);
	buf[w.len] = 0;
	assert_non_null(strstr(buf, "\"content\":\"\""));
}

static void a_completion_is_a_text_completion(void **state)
{
	struct api_stamp s = stamp_of(false);
	struct ch_inference_result r = hello;

	(void)state;
	r.finish_reason = NULL;
	begin();
	api_write_answer(&w, &s, &r);
	assert_written(
		"{\"id\":\"cmpl-" ID "\",\"object\":\"text_completion\",\"created\":1694268190,\"model\":\"gpt-4o-mini\",\"choices\":["
		"{\"index\":0,\"text\":\"Hello!\\n\\\"\xc3\xa9\\\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}],"
		"\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}");
}

/* ---- embeddings ---- */

static const float vectors[] = { 0.5f, -1.0f, 0.1f, 1e-7f, 0.0f, 16777216.0f };

/* base64 -w0 of the bytes 0000003f 000080bf cdcccc3d, and 95bfd633 00000000 0000804b */
#define FIRST "AAAAPwAAgL/NzMw9"
#define SECOND "lb/WMwAAAAAAAIBL"

static void embeddings_are_little_endian_floats_in_base64(void **state)
{
	struct ch_inference_result r = { .size = sizeof(r), .vectors = vectors, .nvectors = 2, .dimensions = 3, .tokens_in = 5 };

	(void)state;
	begin();
	api_write_embeddings(&w, &r, (struct ch_str)CH_STR("asked"), true);
	assert_written("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":\"" FIRST "\"},"
		       "{\"object\":\"embedding\",\"index\":1,\"embedding\":\"" SECOND "\"}],\"model\":\"asked\","
		       "\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}");
	r.nvectors = 1;
	r.dimensions = 1;
	r.model = "m";
	begin();
	api_write_embeddings(&w, &r, (struct ch_str)CH_STR("asked"), true);
	buf[w.len] = 0;
	assert_non_null(strstr(buf, "\"embedding\":\"AAAAPw==\"}],\"model\":\"m\""));
	r.dimensions = 2;
	begin();
	api_write_embeddings(&w, &r, (struct ch_str)CH_STR("asked"), true);
	buf[w.len] = 0;
	assert_non_null(strstr(buf, "\"embedding\":\"AAAAPwAAgL8=\"}"));
}

static void embeddings_are_numbers_when_asked_for(void **state)
{
	struct ch_inference_result r = { .size = sizeof(r), .model = "m", .vectors = vectors, .nvectors = 2, .dimensions = 3 };

	(void)state;
	begin();
	api_write_embeddings(&w, &r, (struct ch_str)CH_STR("asked"), false);
	assert_written("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.5,-1,0.100000001]},"
		       "{\"object\":\"embedding\",\"index\":1,\"embedding\":[1.00000001e-07,0,16777216]}],\"model\":\"m\","
		       "\"usage\":{\"prompt_tokens\":0,\"total_tokens\":0}}");
}

static void long_vectors_are_written_group_by_group(void **state)
{
	static float v[4000];
	struct ch_inference_result r = { .size = sizeof(r), .model = "m", .vectors = v, .nvectors = 1, .dimensions = 4000 };
	const char *at;

	(void)state;
	for (size_t i = 0; i < 4000; i++)
		v[i] = (float)i / 4000;
	begin();
	api_write_embeddings(&w, &r, (struct ch_str){ NULL, 0 }, true);
	buf[w.len] = 0;
	at = strstr(buf, "\"embedding\":\"");
	assert_non_null(at);
	/* 16,000 bytes are 5,333 times 4 characters and one byte more. */
	assert_int_equal(strcspn(at + 13, "\""), 21336);
	assert_memory_equal(at + 13 + 21334, "==", 2);
	begin();
	api_write_embeddings(&w, &r, (struct ch_str){ NULL, 0 }, false);
	buf[w.len] = 0;
	at = strchr(strchr(buf, '[') + 1, '[') + 1;
	for (size_t i = 0; i < 4000; i++) {
		char *end;

		assert_true(strtof(at, &end) == v[i]);
		assert_true(*end == (i < 3999 ? ',' : ']'));
		at = end + 1;
	}
}

static void floats_read_back_equal(void **state)
{
	uint64_t x = 88172645463325252u;
	char text[32];

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		uint32_t bits;
		float v;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		bits = (uint32_t)(x >> 20);
		memcpy(&v, &bits, 4);
		if (i % 2)
			v = (float)((double)bits / 4294967296.0 - 0.5);
		if (v != v || v - v != 0)
			continue;
		text[api_float(text, v)] = 0;
		assert_true(strtof(text, NULL) == v);
	}
	memcpy(text, "xxxx", 5);
	assert_int_equal(api_float(text, 0.0f / (float)strlen("")), 4);
	assert_memory_equal(text, "null", 4);
}

/* ---- models ---- */

static void models_are_a_list(void **state)
{
	const struct ch_model models[] = {
		{ .id = CH_STR("gpt-4o"), .owned_by = CH_STR("openai"), .created = 1715367049 },
		{ .id = CH_STR("gemma3:latest"), .owned_by = CH_STR("llama"), .context = 8192 },
	};

	(void)state;
	begin();
	api_write_models(&w, models, 2);
	assert_written(
		"{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1715367049,\"owned_by\":\"openai\"},"
		"{\"id\":\"gemma3:latest\",\"object\":\"model\",\"created\":0,\"owned_by\":\"llama\",\"context_length\":8192}]}");
	begin();
	api_write_models(&w, models, 0);
	assert_written("{\"object\":\"list\",\"data\":[]}");
}

/* ---- chunks ---- */

#define HEAD "{\"id\":\"chatcmpl-" ID "\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"m\",\"choices\":["

static struct ch_str head_of(const struct api_stamp *s)
{
	static char head[300];
	struct ch_jw h;

	ch_jw_init(&h, head, sizeof(head));
	api_write_head(&h, s, "m");
	assert_false(h.failed);
	return (struct ch_str){ head, h.len };
}

static void chunks_of_a_chat_carry_deltas(void **state)
{
	const struct ch_str none = { NULL, 0 };
	struct api_stamp s = stamp_of(true);
	struct ch_str head = head_of(&s);

	(void)state;
	begin();
	api_write_delta(&w, &s, head, true, (struct ch_str)CH_STR("Hel\n"), none);
	assert_written(
		HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\\n\"},\"logprobs\":null,\"finish_reason\":null}]}");
	begin();
	api_write_delta(&w, &s, head, false, (struct ch_str)CH_STR("lo"), none);
	assert_written(HEAD "{\"index\":0,\"delta\":{\"content\":\"lo\"},\"logprobs\":null,\"finish_reason\":null}]}");
	begin();
	api_write_delta(&w, &s, head, true, none, (struct ch_str)CH_STR("[{\"index\":0}]"));
	assert_written(HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0}]},\"logprobs\":null,\"finish_"
			    "reason\":null}]}");
	begin();
	api_write_delta(&w, &s, head, false, (struct ch_str)CH_STR("x"), (struct ch_str)CH_STR("[]"));
	assert_written(HEAD "{\"index\":0,\"delta\":{\"content\":\"x\",\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":null}]}");
	begin();
	api_write_finish(&w, &s, head, false, "length");
	assert_written(HEAD "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]}");
	begin();
	api_write_finish(&w, &s, head, true, NULL);
	assert_written(HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
}

static void usage_is_null_in_all_chunks_but_its_own(void **state)
{
	struct api_stamp s = stamp_of(true);
	struct ch_str head = head_of(&s);

	(void)state;
	s.usage = true;
	begin();
	api_write_delta(&w, &s, head, false, (struct ch_str)CH_STR("lo"), (struct ch_str){ NULL, 0 });
	assert_written(HEAD "{\"index\":0,\"delta\":{\"content\":\"lo\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}");
	begin();
	api_write_finish(&w, &s, head, false, "stop");
	assert_written(HEAD "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}");
	begin();
	api_write_usage(&w, head, &hello);
	assert_written(HEAD "],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}");
}

static void chunks_of_a_completion_carry_text(void **state)
{
	const struct ch_str none = { NULL, 0 };
	struct api_stamp s = stamp_of(false);
	struct ch_str head = head_of(&s);

	(void)state;
	begin();
	api_write_delta(&w, &s, head, true, (struct ch_str)CH_STR("Hi"), none);
	assert_written("{\"id\":\"cmpl-" ID "\",\"object\":\"text_completion\",\"created\":1694268190,\"model\":\"m\",\"choices\":["
		       "{\"index\":0,\"text\":\"Hi\",\"logprobs\":null,\"finish_reason\":null}]}");
	begin();
	api_write_finish(&w, &s, head, false, "stop");
	assert_written("{\"id\":\"cmpl-" ID "\",\"object\":\"text_completion\",\"created\":1694268190,\"model\":\"m\",\"choices\":["
		       "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chat_is_a_chat_completion),
		cmocka_unit_test(calls_stand_in_the_message_whose_content_is_null),
		cmocka_unit_test(a_completion_is_a_text_completion),
		cmocka_unit_test(embeddings_are_little_endian_floats_in_base64),
		cmocka_unit_test(embeddings_are_numbers_when_asked_for),
		cmocka_unit_test(long_vectors_are_written_group_by_group),
		cmocka_unit_test(floats_read_back_equal),
		cmocka_unit_test(models_are_a_list),
		cmocka_unit_test(chunks_of_a_chat_carry_deltas),
		cmocka_unit_test(usage_is_null_in_all_chunks_but_its_own),
		cmocka_unit_test(chunks_of_a_completion_carry_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
