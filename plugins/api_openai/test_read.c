/* SPDX-License-Identifier: Apache-2.0 */
/* test_read.c - what a body may be, what is read from it, what it asks of a backend, and which member is named when it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "read.h"

/* ---- a host of three functions: an arena that can be exhausted ---- */

static void *blocks[4096];
static size_t nblocks, room;
static struct {
	ch_fn fn;
	void *data;
} kept[64];
static size_t nkept;

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

static bool host_keep(struct ch_ctx *c, ch_fn fn, void *data)
{
	(void)c;
	if (!room)
		return false;
	kept[nkept].fn = fn;
	kept[nkept++].data = data;
	return true;
}

static const struct ch_host host = { .size = sizeof(host), .alloc = host_alloc, .vprint = host_vprint, .keep = host_keep };
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
	while (nkept) {
		nkept--;
		kept[nkept].fn(kept[nkept].data);
	}
	while (nblocks)
		free(blocks[--nblocks]);
	return 0;
}

/* ---- reading ---- */

static struct api_request q;
static struct api_fault fault;
static const char *text; /* of the body at hand: a copy of its exact size, so that a sanitizer sees each byte read too far */

static bool read_n(int op, const char *body, size_t n)
{
	char *copy = malloc(n ? n : 1);

	memcpy(copy, body, n);
	blocks[nblocks++] = copy;
	text = copy;
	memset(&fault, 0, sizeof(fault));
	memset(&q, 0, sizeof(q));
	return api_read(NULL, op, (struct ch_str){ copy, n }, &q, &fault);
}

static bool read(int op, const char *body)
{
	return read_n(op, body, strlen(body));
}

/* A chat with one message and what is given behind it. */
static const char *chat(const char *members)
{
	static char body[4096];

	snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]%s%s}", *members ? "," : "", members);
	return body;
}

static void assert_text(struct ch_str s, const char *expected)
{
	assert_int_equal(s.n, strlen(expected));
	assert_memory_equal(s.p, expected, s.n);
}

/* The body is refused with 400, and this member is named (NULL: none). */
static void assert_fault(int op, const char *body, const char *param)
{
	if (read(op, body))
		fail_msg("accepted: %s", body);
	assert_int_equal(fault.code, CH_E_BAD_REQUEST);
	assert_non_null(fault.detail);
	if (param && (!fault.param || strcmp(fault.param, param) != 0))
		fail_msg("%s is named for %s", fault.param ? fault.param : "nothing", body);
	if (!param)
		assert_null(fault.param);
}

static void assert_needs(int op, const char *body, unsigned needs)
{
	if (!read(op, body))
		fail_msg("refused: %s: %s", body, fault.detail);
	if (q.args.needs != needs)
		fail_msg("needs %u for %s", q.args.needs, body);
}

/* The body as it is sent on: with the splices taken out. */
static void assert_spliced(int op, const char *body, const char *expected)
{
	char out[1024];
	size_t n = 0, from = 0;

	if (!read(op, body))
		fail_msg("refused: %s: %s", body, fault.detail);
	for (size_t i = 0; i < q.openai.nsplices; i++) {
		const struct ch_splice *s = &q.openai.splices[i];

		assert_true(s->at >= from && s->with.n == 0);
		memcpy(out + n, body + from, s->at - from);
		n += s->at - from;
		from = s->at + s->n;
	}
	memcpy(out + n, body + from, strlen(body) - from + 1);
	assert_string_equal(out, expected);
}

/* ---- chat ---- */

static void a_chat_is_read_without_copies(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT, "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
				    "{\"content\":\"Hi\",\"role\":\"user\",\"name\":\"ann\"}]}"));
	assert_int_equal(q.args.op, CH_I_CHAT);
	assert_text(q.args.model, "gpt-4o");
	assert_int_equal(q.args.nmessages, 2);
	assert_text(q.args.messages[0].role, "system");
	assert_text(q.args.messages[0].content, "Be brief.");
	assert_text(q.args.messages[0].json, "{\"role\":\"system\",\"content\":\"Be brief.\"}");
	assert_text(q.args.messages[1].json, "{\"content\":\"Hi\",\"role\":\"user\",\"name\":\"ann\"}");
	assert_ptr_equal(q.args.model.p, text + 10);
	assert_ptr_equal(q.args.messages[0].content.p, q.args.messages[0].json.p + strlen("{\"role\":\"system\",\"content\":\""));
	assert_int_equal(q.args.needs, 0);
	assert_int_equal(q.args.max_tokens, 0);
	assert_true(q.args.temperature == -1 && q.args.top_p == -1 && !q.args.has_seed && !q.args.nstop);
	assert_false(q.openai.stream);
	assert_false(q.openai.usage);
	assert_int_equal(q.openai.model_at, 9);
	assert_int_equal(q.openai.model_n, 8);
	assert_int_equal(q.openai.nsplices, 0);
	assert_ptr_equal(q.openai.body.p, text);
}

static void all_canonical_members_are_read(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT,
		chat("\"stream\":true,\"stream_options\":{\"include_obfuscation\":false,\"include_usage\":true},\"temperature\":0.5,"
		     "\"top_p\":0.25,\"seed\":-7,\"max_completion_tokens\":12,\"stop\":[\"a\",\"\",\"\\n\"],\"n\":1")));
	assert_true(q.openai.stream && q.openai.usage);
	assert_memory_equal(
		text + q.openai.stream_options_at, "{\"include_obfuscation\":false,\"include_usage\":true}", q.openai.stream_options_n);
	assert_int_equal(q.openai.stream_options_n, 50);
	assert_true(q.args.temperature == 0.5 && q.args.top_p == 0.25);
	assert_true(q.args.has_seed && q.args.seed == -7);
	assert_int_equal(q.args.max_tokens, 12);
	assert_int_equal(q.args.nstop, 2); /* an empty one would end each answer at once */
	assert_text(q.args.stop[0], "a");
	assert_text(q.args.stop[1], "\n");
	assert_int_equal(q.args.needs, 0);
	assert_true(read(CH_I_CHAT, chat("\"stop\":\"END\",\"max_tokens\":9,\"max_completion_tokens\":5")));
	assert_int_equal(q.args.nstop, 1);
	assert_text(q.args.stop[0], "END");
	assert_int_equal(q.args.max_tokens, 5); /* the less of both */
}

static void usage_is_asked_for_in_streams_alone(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT, chat("\"stream_options\":{\"include_usage\":true}")));
	assert_false(q.openai.usage);
	assert_true(read(CH_I_CHAT, chat("\"stream_options\":{\"include_usage\":false},\"stream\":true")));
	assert_false(q.openai.usage);
	assert_true(read(CH_I_CHAT, chat("\"stream_options\":{\"include_usage\":null},\"stream\":true")));
	assert_false(q.openai.usage);
}

static void null_is_not_given(void **state)
{
	(void)state;
	assert_needs(CH_I_CHAT,
		chat("\"stream\":null,\"temperature\":null,\"top_p\":null,\"seed\":null,\"n\":null,\"stop\":null,\"tools\":null,"
		     "\"tool_choice\":null,\"response_format\":null,\"logprobs\":null,\"top_logprobs\":null,\"logit_bias\":null,"
		     "\"max_tokens\":null,\"max_completion_tokens\":null,\"presence_penalty\":null,\"audio\":null,"
		     "\"modalities\":null,\"prediction\":null,\"functions\":null,\"function_call\":null,\"reasoning_effort\":null"),
		0);
	assert_int_equal(q.openai.tools_n + q.openai.format_n, 0);
	assert_fault(CH_I_CHAT, "{\"messages\":null}", "messages");
}

static void texts_with_escapes_are_decoded(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT, "{\"messa\\u0067es\":[{\"r\\u006fle\":\"us\\u0065r\",\"content\":\"a\\n\\u00e9\\ud83d\\ude00\"}]}"));
	assert_text(q.args.messages[0].role, "user");
	assert_text(q.args.messages[0].content, "a\n\xc3\xa9\xf0\x9f\x98\x80");
}

static void parts_of_text_are_joined_with_line_ends(void **state)
{
	(void)state;
	assert_needs(CH_I_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one\"}]}]}", 0);
	assert_text(q.args.messages[0].content, "one");
	assert_needs(CH_I_CHAT,
		"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"text\":\"o\\u006ee\",\"type\":\"text\"},"
		"{\"type\":\"refusal\",\"refusal\":\"no\"},{\"type\":\"text\",\"text\":\"\",\"x\":[{}]}]}]}",
		0);
	assert_text(q.args.messages[0].content, "one\nno\n");
}

static void content_that_is_no_text_needs_images(void **state)
{
	static const char *const types[] = { "image_url", "input_audio", "file", "video_url" };
	char body[400];

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		snprintf(body, sizeof(body),
			"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},"
			"{\"type\":\"%s\",\"%s\":{\"url\":\"data:,\"}}]}]}",
			types[i], types[i]);
		assert_needs(CH_I_CHAT, body, CH_I_IMAGES);
		assert_text(q.args.messages[0].content, "what");
	}
}

static void an_assistant_may_have_said_nothing(void **state)
{
	(void)state;
	assert_needs(CH_I_CHAT,
		"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\"}]},"
		"{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"4\"}]}",
		CH_I_TOOLS);
	assert_int_equal(q.args.messages[0].content.n, 0);
	assert_needs(CH_I_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[]}]}", 0);
	assert_fault(CH_I_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages[0].content");
	assert_fault(CH_I_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content");
}

static void what_messages_may_not_be(void **state)
{
	static const struct {
		const char *messages, *param;
	} bad[] = {
		{ "{}", "messages" },
		{ "\"x\"", "messages" },
		{ "[]", "messages" },
		{ "[5]", "messages[0]" },
		{ "[{\"role\":\"user\",\"content\":\"x\"},[]]", "messages[1]" },
		{ "[{}]", "messages[0].role" },
		{ "[{\"content\":\"x\"}]", "messages[0].role" },
		{ "[{\"role\":\"User\",\"content\":\"x\"}]", "messages[0].role" },
		{ "[{\"role\":1,\"content\":\"x\"}]", "messages[0].role" },
		{ "[{\"role\":\"user\",\"content\":5}]", "messages[0].content" },
		{ "[{\"role\":\"user\",\"content\":{}}]", "messages[0].content" },
		{ "[{\"role\":\"user\",\"content\":[]}]", "messages[0].content[0]" },
		{ "[{\"role\":\"user\",\"content\":[\"x\"]}]", "messages[0].content[0]" },
		{ "[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]", "messages[0].content[0].type" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":5}]}]", "messages[0].content[0].type" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\"}]}]",
			"messages[0].content[1].text" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":5}]}]", "messages[0].content[0].text" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"text\":\"b\"}]}]", "messages[0].content[0].text" },
		{ "[{\"role\":\"user\",\"role\":\"user\",\"content\":\"x\"}]", "messages[0].role" },
		{ "[{\"role\":\"user\",\"content\":\"x\",\"c\\u006fntent\":\"x\"}]", "messages[0].content" },
		{ "[{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[0].tool_calls" },
		{ "[{\"role\":\"assistant\",\"tool_calls\":[],\"tool_calls\":[]}]", "messages[0].tool_calls" },
	};
	char body[400];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(body, sizeof(body), "{\"messages\":%s}", bad[i].messages);
		assert_fault(CH_I_CHAT, body, bad[i].param);
	}
	assert_fault(CH_I_CHAT, "{\"model\":\"m\"}", "messages");
}

/* ---- what a request needs ---- */

static void what_changes_the_answer_is_needed_and_the_rest_is_not(void **state)
{
	static const struct {
		const char *members;
		unsigned needs;
	} rows[] = {
		{ "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", CH_I_TOOLS },
		{ "\"tools\":[]", 0 },
		{ "\"functions\":[{\"name\":\"f\"}]", CH_I_TOOLS },
		{ "\"tool_choice\":\"auto\"", 0 },
		{ "\"tool_choice\":\"none\"", 0 },
		{ "\"tool_choice\":\"required\"", CH_I_TOOLS },
		{ "\"tool_choice\":{\"type\":\"function\"}", CH_I_TOOLS },
		{ "\"function_call\":\"auto\"", 0 },
		{ "\"function_call\":{\"name\":\"f\"}", CH_I_TOOLS },
		{ "\"response_format\":{\"type\":\"text\"}", 0 },
		{ "\"response_format\":{\"type\":\"json_object\"}", CH_I_FORMAT },
		{ "\"response_format\":{\"json_schema\":{\"schema\":{}},\"type\":\"json_schema\"}", CH_I_FORMAT },
		{ "\"logprobs\":false", 0 },
		{ "\"logprobs\":true", CH_I_LOGPROBS },
		{ "\"top_logprobs\":0", 0 },
		{ "\"top_logprobs\":2", CH_I_LOGPROBS },
		{ "\"n\":1", 0 },
		{ "\"n\":2", CH_I_MANY },
		{ "\"presence_penalty\":0", 0 },
		{ "\"presence_penalty\":-0.5", CH_I_OTHER },
		{ "\"frequency_penalty\":0.0", 0 },
		{ "\"frequency_penalty\":2", CH_I_OTHER },
		{ "\"logit_bias\":{ }", 0 },
		{ "\"logit_bias\":{\"50256\":-100}", CH_I_OTHER },
		{ "\"modalities\":[\"text\"]", 0 },
		{ "\"modalities\":[\"text\",\"audio\"]", CH_I_OTHER },
		{ "\"audio\":{\"voice\":\"alloy\"}", CH_I_OTHER },
		{ "\"prediction\":{\"type\":\"content\"}", CH_I_OTHER },
		{ "\"web_search_options\":{}", CH_I_OTHER },
		{ "\"reasoning_effort\":\"low\"", CH_I_OTHER },
		{ "\"verbosity\":\"low\"", CH_I_OTHER },
		{ "\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"store\":false,\"service_tier\":\"auto\",\"parallel_tool_calls\":true", 0 },
		{ "\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\",\"top_k\":40,\"min_p\":[0.1,{\"x\":[]}]", 0 },
		{ "\"n\":2,\"logprobs\":true,\"tools\":[{}],\"logit_bias\":{\"1\":1}",
			CH_I_MANY | CH_I_LOGPROBS | CH_I_TOOLS | CH_I_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_needs(CH_I_CHAT, chat(rows[i].members), rows[i].needs);
}

static void the_first_member_that_only_openais_dialect_has_is_told(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT, chat("\"presence_penalty\":1,\"logit_bias\":{\"1\":1}")));
	assert_string_equal(q.args.other, "presence_penalty");
	assert_true(read(CH_I_EMBEDDINGS, "{\"input\":[1]}"));
	assert_string_equal(q.args.other, "token ids in place of text");
	assert_true(read(CH_I_CHAT, chat("\"presence_penalty\":0,\"tools\":[{}]")));
	assert_null(q.args.other);
}

static void ranges_lead_to_the_values(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT, chat("\"tools\": [ {} ] ,\"response_format\" : {\"type\":\"text\"}")));
	assert_memory_equal(text + q.openai.tools_at, "[ {} ]", 6);
	assert_int_equal(q.openai.tools_n, 6);
	assert_memory_equal(text + q.openai.format_at, "{\"type\":\"text\"}", 15);
	assert_int_equal(q.openai.format_n, 15);
	assert_int_equal(q.openai.model_n, 0);
}

/* ---- wrong values ---- */

static void a_wrong_value_names_its_member(void **state)
{
	static const struct {
		const char *members, *param;
	} bad[] = {
		{ "\"model\":5", "model" },
		{ "\"model\":\"\"", "model" },
		{ "\"model\":\"a b\"", "model" },
		{ "\"model\":\"a\\u0000b\"", "model" },
		{ "\"model\":\"a\\r\\nHost: b\"", "model" },
		{ "\"model\":\"m\xc3\xb6\"", "model" },
		{ "\"model\":{}", "model" },
		{ "\"backend\":5", "backend" },
		{ "\"backend\":\"\"", "backend" },
		{ "\"backend\":[]", "backend" },
		{ "\"stream\":1", "stream" },
		{ "\"stream\":\"true\"", "stream" },
		{ "\"stream_options\":true", "stream_options" },
		{ "\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage" },
		{ "\"temperature\":\"1\"", "temperature" },
		{ "\"temperature\":-0.1", "temperature" },
		{ "\"temperature\":2.1", "temperature" },
		{ "\"temperature\":1e999", "temperature" },
		{ "\"top_p\":1.01", "top_p" },
		{ "\"top_p\":[]", "top_p" },
		{ "\"max_tokens\":0", "max_tokens" },
		{ "\"max_tokens\":-1", "max_tokens" },
		{ "\"max_tokens\":1.5", "max_tokens" },
		{ "\"max_tokens\":2147483648", "max_tokens" },
		{ "\"max_completion_tokens\":\"5\"", "max_completion_tokens" },
		{ "\"seed\":1.5", "seed" },
		{ "\"seed\":9223372036854775808", "seed" },
		{ "\"n\":0", "n" },
		{ "\"n\":129", "n" },
		{ "\"n\":1e9", "n" },
		{ "\"stop\":5", "stop" },
		{ "\"stop\":[\"a\",null]", "stop[1]" },
		{ "\"stop\":{}", "stop" },
		{ "\"presence_penalty\":-2.1", "presence_penalty" },
		{ "\"frequency_penalty\":true", "frequency_penalty" },
		{ "\"logit_bias\":[]", "logit_bias" },
		{ "\"logprobs\":1", "logprobs" },
		{ "\"top_logprobs\":-1", "top_logprobs" },
		{ "\"tools\":{}", "tools" },
		{ "\"tools\":[{},\"f\"]", "tools[1]" },
		{ "\"functions\":[1]", "functions[0]" },
		{ "\"tool_choice\":true", "tool_choice" },
		{ "\"function_call\":[]", "function_call" },
		{ "\"response_format\":\"json\"", "response_format" },
		{ "\"response_format\":{}", "response_format.type" },
		{ "\"response_format\":{\"type\":1}", "response_format.type" },
		{ "\"response_format\":{\"type\":\"text\",\"type\":\"json_object\"}", "response_format.type" },
		{ "\"modalities\":\"text\"", "modalities" },
		{ "\"modalities\":[1]", "modalities" },
		{ "\"audio\":[]", "audio" },
		{ "\"prediction\":1", "prediction" },
		{ "\"reasoning_effort\":3", "reasoning_effort" },
		{ "\"verbosity\":{}", "verbosity" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_fault(CH_I_CHAT, chat(bad[i].members), bad[i].param);
}

static void a_known_member_that_comes_twice_is_refused(void **state)
{
	(void)state;
	assert_fault(CH_I_CHAT, chat("\"model\":\"a\",\"model\":\"a\""), "model");
	assert_fault(CH_I_CHAT, chat("\"model\":null,\"mod\\u0065l\":\"a\""), "model");
	assert_fault(CH_I_CHAT, chat("\"messages\":[]"), "messages");
	assert_fault(CH_I_CHAT, chat("\"backend\":\"a\",\"backend\":\"b\""), "backend");
	assert_fault(CH_I_CHAT, chat("\"n\":1,\"n\":1"), "n");
	assert_fault(CH_I_CHAT, chat("\"stream_options\":{\"include_usage\":true,\"include_usage\":null}"), "stream_options.include_usage");
	assert_true(read(CH_I_CHAT, chat("\"user\":\"a\",\"user\":\"b\""))); /* not ours to judge */
}

static void members_of_another_operation_pass(void **state)
{
	(void)state;
	assert_needs(CH_I_CHAT, chat("\"prompt\":5,\"input\":5,\"suffix\":5,\"echo\":5,\"best_of\":5"), 0);
	assert_needs(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"stream\":5,\"messages\":5,\"n\":5,\"temperature\":\"hot\"}", 0);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"tools\":5,\"max_completion_tokens\":\"x\"}", 0);
}

static void a_name_has_up_to_128_bytes(void **state)
{
	char members[400];

	(void)state;
	snprintf(members, sizeof(members), "\"model\":\"%0128d\"", 1);
	assert_true(read(CH_I_CHAT, chat(members)));
	snprintf(members, sizeof(members), "\"model\":\"%0129d\"", 1);
	assert_fault(CH_I_CHAT, chat(members), "model");
}

/* ---- completions and embeddings ---- */

static void prompts_and_inputs_have_four_forms(void **state)
{
	static const struct {
		const char *value;
		size_t n;
		unsigned completion, embeddings;
	} rows[] = {
		{ "\"one\"", 1, 0, 0 },
		{ "[\"one\"]", 1, 0, 0 },
		{ "[\"one\",\"tw\\u006f\"]", 2, CH_I_MANY, 0 },
		{ "[1,2,0]", 1, CH_I_OTHER, CH_I_OTHER },
		{ "[[1],[2,3]]", 2, CH_I_MANY | CH_I_OTHER, CH_I_OTHER },
	};
	char body[200];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(body, sizeof(body), "{\"prompt\":%s}", rows[i].value);
		assert_needs(CH_I_COMPLETION, body, rows[i].completion);
		assert_int_equal(q.args.nmessages, rows[i].n);
		snprintf(body, sizeof(body), "{\"input\":%s}", rows[i].value);
		assert_needs(CH_I_EMBEDDINGS, body, rows[i].embeddings);
		assert_int_equal(q.args.nmessages, rows[i].n);
	}
	assert_text(q.args.messages[1].json, "[2,3]");
	assert_int_equal(q.args.messages[1].content.n, 0);
	assert_int_equal(q.args.messages[1].role.n, 0);
	assert_true(read(CH_I_EMBEDDINGS, "{\"input\":[ 1, 2 ]}"));
	assert_text(q.args.messages[0].json, "[ 1, 2 ]");
	assert_true(read(CH_I_EMBEDDINGS, "{\"input\":[\"one\",\"tw\\u006f\"]}"));
	assert_text(q.args.messages[1].content, "two");
}

static void what_prompts_and_inputs_may_not_be(void **state)
{
	static const struct {
		const char *value, *param;
	} bad[] = {
		{ "5", "input" },
		{ "{}", "input" },
		{ "[]", "input" },
		{ "[{}]", "input[0]" },
		{ "[null]", "input[0]" },
		{ "[\"a\",1]", "input[1]" },
		{ "[1,\"a\"]", "input" },
		{ "[-1]", "input" },
		{ "[1.5]", "input" },
		{ "[[]]", "input[0]" },
		{ "[[1],2]", "input[1]" },
		{ "[[1],[\"a\"]]", "input" },
		{ "[[[1]]]", "input" },
		{ "null", "input" },
		{ "true", "input" },
	};
	char body[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(body, sizeof(body), "{\"input\":%s}", bad[i].value);
		assert_fault(CH_I_EMBEDDINGS, body, bad[i].param);
	}
	assert_fault(CH_I_COMPLETION, "{}", "prompt");
	assert_fault(CH_I_EMBEDDINGS, "{\"model\":\"m\"}", "input");
}

static void completions_have_members_of_their_own(void **state)
{
	(void)state;
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"echo\":true}", CH_I_OTHER);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"echo\":false,\"suffix\":\"\",\"best_of\":1}", 0);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"suffix\":\"s\"}", CH_I_OTHER);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"best_of\":2}", CH_I_MANY);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"logprobs\":0}", CH_I_LOGPROBS);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"max_tokens\":0}", CH_I_OTHER);
	assert_needs(CH_I_COMPLETION, "{\"prompt\":\"x\",\"max_tokens\":5}", 0);
	assert_fault(CH_I_COMPLETION, "{\"prompt\":\"x\",\"logprobs\":true}", "logprobs");
	assert_fault(CH_I_COMPLETION, "{\"prompt\":\"x\",\"echo\":1}", "echo");
	assert_fault(CH_I_COMPLETION, "{\"prompt\":\"x\",\"suffix\":1}", "suffix");
	assert_fault(CH_I_COMPLETION, "{\"prompt\":\"x\",\"best_of\":0}", "best_of");
}

static void embeddings_have_members_of_their_own(void **state)
{
	(void)state;
	assert_true(read(CH_I_EMBEDDINGS, "{\"input\":\"x\"}"));
	assert_false(q.args.base64);
	assert_true(read(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"encoding_format\":\"base64\"}"));
	assert_true(q.args.base64);
	assert_true(read(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"encoding_format\":\"float\"}"));
	assert_false(q.args.base64);
	assert_fault(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"encoding_format\":\"int8\"}", "encoding_format");
	assert_fault(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"encoding_format\":1}", "encoding_format");
	assert_needs(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"dimensions\":256}", CH_I_OTHER);
	assert_fault(CH_I_EMBEDDINGS, "{\"input\":\"x\",\"dimensions\":0}", "dimensions");
}

/* ---- passing on ---- */

static void what_is_passed_on_is_looked_at_for_model_backend_and_stream_alone(void **state)
{
	(void)state;
	assert_true(read(CH_I_PASS, "{\"model\":\"gpt-4o\",\"input\":[{\"role\":\"weird\"}],\"stream\":true,\"backend\":\"b\",\"n\":-1}"));
	assert_text(q.args.model, "gpt-4o");
	assert_text(q.args.backend, "b");
	assert_true(q.openai.stream);
	assert_int_equal(q.args.needs, 0);
	assert_int_equal(q.args.nmessages, 0);
	assert_fault(CH_I_PASS, "{}", NULL);
	assert_fault(CH_I_PASS, "{\"backend\":\"b\"}", NULL);
	assert_true(read(CH_I_PASS, "{\"model\":null}"));
	assert_int_equal(q.openai.model_n, 0);
	assert_fault(CH_I_PASS, "{\"model\":7}", "model");
	assert_fault(CH_I_PASS, "[]", NULL);
}

static void chimeras_own_member_is_taken_out_with_one_comma(void **state)
{
	(void)state;
	assert_spliced(CH_I_PASS, "{\"backend\":\"b\",\"x\":1}", "{\"x\":1}");
	assert_text(q.args.backend, "b");
	assert_spliced(CH_I_PASS, "{\"x\":1,\"backend\":\"b\"}", "{\"x\":1}");
	assert_spliced(CH_I_PASS, "{\"x\":1,\"backend\":\"b\",\"y\":2}", "{\"x\":1,\"y\":2}");
	assert_spliced(CH_I_PASS, " { \"backend\" : \"b\" ,\n \"x\" : 1 } ", " { \n \"x\" : 1 } ");
	assert_spliced(CH_I_PASS, "{ \"x\" : 1 ,\n \"backend\" : \"b\" } ", "{ \"x\" : 1  } ");
	assert_spliced(CH_I_PASS, "{\"x\":1,\"b\\u0061ckend\":\"b\"}", "{\"x\":1}");
	assert_spliced(CH_I_PASS, "{\"x\":{\"backend\":\"stays\"}}", "{\"x\":{\"backend\":\"stays\"}}");
	assert_spliced(CH_I_PASS, "{\"backend\":null,\"x\":1}", "{\"x\":1}");
	assert_spliced(CH_I_PASS, "{\"x\":1,\"model\":null,\"stream_options\":null}", "{\"x\":1,\"model\":null,\"stream_options\":null}");
	assert_int_equal(q.args.backend.n, 0);
	assert_int_equal(q.openai.nsplices, 0);
}

static void where_a_null_lies_that_may_get_a_value_is_told(void **state)
{
	(void)state;
	assert_true(read(CH_I_CHAT, chat("\"mod\\u0065l\": null,\"stream_options\":null ")));
	assert_int_equal(q.openai.model_n + q.openai.stream_options_n, 0);
	assert_memory_equal(text + q.openai.model_at - 2, ": null,", 7);
	assert_memory_equal(text + q.openai.stream_options_at - 2, "\":null }", 8);
	assert_true(read(CH_I_CHAT, chat("\"top_p\":null")));
	assert_int_equal(q.openai.model_at + q.openai.stream_options_at, 0);
}

/* ---- limits ---- */

static void what_is_no_json_object_is_refused_as_a_whole(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"[]",
		"\"x\"",
		"null",
		"{",
		"{\"messages\"",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]} x",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}{}",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],}",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}",
		"\xef\xbb\xbf{}",
		"{\"temperature\":NaN}",
		"{\"a\":1e}",
		"{\"x\":[}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_fault(CH_I_CHAT, bad[i], NULL);
	assert_false(read_n(CH_I_CHAT, "{\"user\":\"a\0b\"}", 14)); /* raw it is no JSON */
}

static void a_hundred_thousand_brackets_are_refused(void **state)
{
	const size_t n = 100000;
	char *body = malloc(n + 1);

	(void)state;
	memset(body, '[', n);
	body[n] = 0;
	memcpy(body, "{\"x\":", 5);
	assert_fault(CH_I_CHAT, body, NULL);
	assert_non_null(strstr(fault.detail, "byte"));
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
	char *body = many(API_MESSAGES_MAX);

	(void)state;
	assert_true(read(CH_I_CHAT, body));
	assert_int_equal(q.args.nmessages, API_MESSAGES_MAX);
	assert_text(q.args.messages[API_MESSAGES_MAX - 1].content, "x");
	free(body);
	room = 4 << 20;
	body = many(API_MESSAGES_MAX + 1);
	assert_fault(CH_I_CHAT, body, "messages");
	free(body);
	room = 4 << 20;
	body = many(1000000);
	assert_fault(CH_I_CHAT, body, "messages");
	free(body);
}

/* Texts that are longer than the arena lie outside of it, be it one or many; joined ones, too. */
static void long_texts_with_escapes_are_read(void **state)
{
	static const char message[] =
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"},{\"type\":\"text\",\"text\":\"b\"}]}%s";
	const size_t each = 50000, count = 120;
	char *long_text = malloc(each + 1), *body = malloc(count * (each + 200)), *at = body;

	(void)state;
	for (size_t i = 0; i < each; i += 2)
		memcpy(long_text + i, "\\n", 3);
	at += sprintf(at, "{\"messages\":[");
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, message, long_text, i + 1 < count ? "," : "]}");
	assert_true(read(CH_I_CHAT, body));
	for (size_t i = 0; i < count; i++) {
		struct ch_str content = q.args.messages[i].content;

		assert_int_equal(content.n, each / 2 + 2);
		assert_memory_equal(content.p + each / 2 - 1, "\n\nb", 3);
	}
	free(long_text);
	free(body);
}

static void an_exhausted_arena_is_a_refusal_at_every_step(void **state)
{
	static const char body[] =
		"{\"model\":\"\\u0061\",\"stop\":[\"\\n\"],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		"\"text\":\"\\n\"},{\"type\":\"text\",\"text\":\"b\"}]}],\"temperature\":7}";

	(void)state;
	for (size_t i = 0; i < 3000; i += 8) {
		room = i;
		assert_false(read(CH_I_CHAT, body));
		assert_non_null(fault.detail);
		end(NULL);
	}
	room = 4 << 20;
	assert_fault(CH_I_CHAT, body, "temperature");
}

static void seconds_are_read_as_the_clients_write_them(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "600", 600000 },
		{ "600.0", 600000 },
		{ "0.25", 250 },
		{ "1.0005", 1000 },
		{ "0", 0 },
		{ "", 0 },
		{ ".5", 0 },
		{ "-1", 0 },
		{ "5s", 0 },
		{ "1e3", 0 },
		{ "None", 0 },
		{ "1.x", 0 },
		{ "7.", 7000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(api_seconds((struct ch_str){ rows[i].text, strlen(rows[i].text) }), rows[i].ms);
	assert_true(api_seconds((struct ch_str)CH_STR("99999999999999999999999999")) >= 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_chat_is_read_without_copies),
		TEST(all_canonical_members_are_read),
		TEST(usage_is_asked_for_in_streams_alone),
		TEST(null_is_not_given),
		TEST(texts_with_escapes_are_decoded),
		TEST(parts_of_text_are_joined_with_line_ends),
		TEST(content_that_is_no_text_needs_images),
		TEST(an_assistant_may_have_said_nothing),
		TEST(what_messages_may_not_be),
		TEST(what_changes_the_answer_is_needed_and_the_rest_is_not),
		TEST(the_first_member_that_only_openais_dialect_has_is_told),
		TEST(ranges_lead_to_the_values),
		TEST(a_wrong_value_names_its_member),
		TEST(a_known_member_that_comes_twice_is_refused),
		TEST(members_of_another_operation_pass),
		TEST(a_name_has_up_to_128_bytes),
		TEST(prompts_and_inputs_have_four_forms),
		TEST(what_prompts_and_inputs_may_not_be),
		TEST(completions_have_members_of_their_own),
		TEST(embeddings_have_members_of_their_own),
		TEST(what_is_passed_on_is_looked_at_for_model_backend_and_stream_alone),
		TEST(chimeras_own_member_is_taken_out_with_one_comma),
		TEST(where_a_null_lies_that_may_get_a_value_is_told),
		TEST(what_is_no_json_object_is_refused_as_a_whole),
		TEST(a_hundred_thousand_brackets_are_refused),
		TEST(messages_are_counted),
		TEST(long_texts_with_escapes_are_read),
		TEST(an_exhausted_arena_is_a_refusal_at_every_step),
		TEST(seconds_are_read_as_the_clients_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
