/* SPDX-License-Identifier: Apache-2.0 */
/* The text of bodies, wherever their pieces end. Each test is named after the fact it states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kit/json.h>

#include "content_text.h"
#include "redact.h"

#define MOST 4096

static void begin(struct content_text *t, size_t most, bool events)
{
	content_text_init(t, NULL, 0, most, events);
	t->grow = ch_jw_heap;
}

static void over(struct content_text *t)
{
	free(t->p);
	free(t->sse.buf);
}

static void is(const struct content_text *t, const char *want, size_t first, size_t second)
{
	if (t->n != strlen(want) || memcmp(t->p ? t->p : "", want, t->n))
		fail_msg("cut at %zu and %zu it is \"%.*s\", not \"%s\"", first, second, (int)t->n, t->p, want);
}

/* Each piece is memory of its own, so that a sanitizer sees who reads on. */
static void piece(struct content_text *t, const char *p, size_t n)
{
	char *own = malloc(n + !n);

	memcpy(own, p, n);
	content_text_add(t, own, n);
	free(own);
}

/* In three pieces with every pair of cuts, and byte by byte. */
static void becomes_as(const char *from, const char *want, bool events)
{
	size_t n = strlen(from);
	struct content_text t;

	for (size_t i = 0; i <= n; i++)
		for (size_t k = i; k <= n; k += 1 + n / 64) {
			begin(&t, MOST, events);
			piece(&t, from, i);
			piece(&t, from + i, k - i);
			piece(&t, from + k, n - k);
			content_text_end(&t);
			is(&t, want, i, k);
			over(&t);
		}
	begin(&t, MOST, events);
	for (size_t i = 0; i < n; i++)
		piece(&t, from + i, 1);
	content_text_end(&t);
	is(&t, want, 1, 1);
	over(&t);
}

static void becomes(const char *from, const char *want)
{
	becomes_as(from, want, true);
}

static void json_without_escapes_stays(void **state)
{
	(void)state;
	becomes("{\"prompt\": \"h\xC3\xA4llo \xF0\x9F\x98\x80\", \"n\": [1, true]}",
		"{\"prompt\": \"h\xC3\xA4llo \xF0\x9F\x98\x80\", \"n\": [1, true]}");
}

static void escapes_become_their_characters(void **state)
{
	(void)state;
	becomes("{\"a\":\"joe\\u0040example.org \\u00e4\\u20AC\\ud83d\\uDE00\\/\"}",
		"{\"a\":\"joe@example.org \xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80/\"}");
	becomes("{\"\\u0061\":\"\\n\\t\\u0001\\r\\b\\f\"}", "{\"a\":\"\n\t\001\r\b\f\"}");
}

static void a_quote_and_a_backslash_stay_escaped(void **state)
{
	(void)state;
	becomes("{\"a\":\"\\\"x\\u0022 \\\\u0040 \\u005cn\"}", "{\"a\":\"\\\"x\\\" \\\\u0040 \\\\n\"}");
}

static void line_ends_between_tokens_go(void **state)
{
	(void)state;
	becomes("\r\n{\n\t\"a\": \"b\",\r\n  \"c\": 1\n}\n", "{\"a\": \"b\",  \"c\": 1}");
}

static void an_escaped_nul_goes(void **state)
{
	(void)state;
	becomes("{\"a\":\"sk-\\u0000abc\"}", "{\"a\":\"sk-abc\"}");
}

static void wrong_escapes_stay_and_hide_nothing(void **state)
{
	(void)state;
	becomes("{\"a\":\"\\q\\u00g0\\ud83d\\ud83d\\ude00\\udc00\\ud83dx\\u0040\"}",
		"{\"a\":\"\\q\\u00g0\\ud83d\xF0\x9F\x98\x80\\udc00\\ud83dx@\"}");
	becomes("{\"a\":\"\\u00\", \"b\":\"\\u0040\"}", "{\"a\":\"\\u00\", \"b\":\"@\"}");
	becomes("{\"a\":\"\\ud83d\\\"\\u0040\"}", "{\"a\":\"\\ud83d\\\"@\"}");
}

static void json_that_is_cut_or_wrong_is_read_as_far(void **state)
{
	(void)state;
	becomes("{\"a\":\"joe\\u0040ex", "{\"a\":\"joe@ex");
	becomes("{\"a\":\"joe\\u0040ex\\u00", "{\"a\":\"joe@ex\\u00");
	becomes("[\"joe\\u0040ex\",]} \\u0040", "[\"joe@ex\",]} @");
}

static void text_stays(void **state)
{
	(void)state;
	becomes("not \\u0040 JSON\n", "not \\u0040 JSON\n");
	becomes("", "");
	becomes_as("data: {\"delta\":\"x\"}\n\n", "data: {\"delta\":\"x\"}\n\n", false);
}

static void the_frames_of_ask_are_one_text(void **state)
{
	(void)state;
	becomes(": ping\n\n"
		"data: {\"delta\":\"joe\\u0040ex\"}\n\n"
		"data: {\"delta\":\"ample.org \\\"\\n\\ud83d\\ude00\\\\\"}\n\n"
		"data: {\"backend\":\"dryrun\",\"model\":\"m\",\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":1}}\n\n"
		"data: [DONE]\n\n", "joe@example.org \"\n\xF0\x9F\x98\x80\\");
}

static void the_frames_of_chat_are_one_text(void **state)
{
	(void)state;
	becomes("data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"sk-\"},\"finish_reason\":null}]}\r\n\r\n"
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abc\"}}]}\n\n"
		"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
		"data: [DONE]\n\n", "sk-abc");
}

static void the_frames_of_completions_are_one_text(void **state)
{
	(void)state;
	becomes("data: {\"choices\":[{\"text\":\"sk-\",\"index\":0}]}\n\ndata: {\"choices\":[{\"text\":\"abc\",\"index\":0}]}\n\n", "sk-abc");
}

static void of_several_choices_the_first_is_kept(void **state)
{
	(void)state;
	becomes("data: {\"choices\":[{\"text\":\"sk-\",\"index\":0}]}\n\ndata: {\"choices\":[{\"text\":\"zzz\",\"index\":1}]}\n\n"
		"data: {\"choices\":[{\"text\":\"abc\",\"index\":0}]}\n\n", "sk-abc");
}

static void frames_that_are_no_object_are_left_out(void **state)
{
	(void)state;
	becomes("data: \"delta\"\n\ndata: [{\"delta\":\"a\"}]\n\ndata: {\"delta\":\"b\"\n\n"
		"event: x\ndata: {\"delta\":7,\"x\":\"delta\",\"text\":\"c\"}\n\n", "c");
}

static void a_stream_that_is_cut_is_read_as_far(void **state)
{
	(void)state;
	becomes("data: {\"delta\":\"a\"}\n\ndata: {\"delta\":\"b\"}\n", "ab");
	becomes("data: {\"delta\":\"a\"}\n\ndata: {\"del", "a");
}

static void no_more_than_the_most_is_gathered(void **state)
{
	static const char stream[] = "data: {\"delta\":\"0123456789\"}\n\n", json[] = "{\"a\":\"\\u0030\\u0031\\u0032\\u0033\\u0034\\u0035\"}";
	struct content_text t;

	(void)state;
	for (size_t most = 1; most <= 30; most++) {
		char want[31];

		begin(&t, most, true);
		for (int i = 0; i < 100; i++)
			piece(&t, stream, sizeof(stream) - 1);
		content_text_end(&t);
		snprintf(want, sizeof(want), "%.*s", (int)most, "012345678901234567890123456789");
		is(&t, want, most, most);
		assert_true(t.cap <= most);
		over(&t);
	}
	begin(&t, 9, true);
	piece(&t, json, sizeof(json) - 1);
	content_text_end(&t);
	is(&t, "{\"a\":\"012", 0, 0);
	over(&t);
}

static void a_frame_without_end_costs_no_more_than_a_frame_may(void **state)
{
	static char x[4096];
	struct content_text t;

	(void)state;
	memset(x, 'x', sizeof(x));
	begin(&t, 1 << 20, true);
	piece(&t, "data: {\"delta\":\"a\"}\n\ndata: {\"delta\":\"", 37);
	for (size_t i = 0; i < 2 * CONTENT_FRAME_MAX; i += sizeof(x))
		piece(&t, x, sizeof(x));
	content_text_end(&t);
	is(&t, "a", 0, 0);
	assert_true(t.full && t.sse.cap <= CONTENT_FRAME_MAX);
	over(&t);
}

/* ---- with redaction ---- */

static void kept(const char *from, const char *pattern, size_t most, const char *want)
{
	struct redact_rule rule = { NULL, "#", 1 };
	struct redact_rules rules = { &rule, 1 };
	struct redact_room *room = redact_room_new(most);
	struct content_text t;
	struct ch_str got;
	unsigned failed = 0;
	char why[200];

	assert_null(redact_compile(pattern, &rule.code, why, sizeof(why)));
	for (size_t i = 0, n = strlen(from); i <= n; i++) {
		begin(&t, most + REDACT_MORE, true);
		piece(&t, from, i);
		piece(&t, from + i, n - i);
		content_text_end(&t);
		got = redact(room, &rules, (struct ch_str){ t.p, t.n }, t.kind == CONTENT_JSON, &failed);
		if (got.n != strlen(want) || memcmp(got.p, want, got.n))
			fail_msg("cut at %zu: \"%.*s\", not \"%s\"", i, (int)got.n, got.p, want);
		over(&t);
	}
	assert_int_equal(failed, 0);
	redact_free(rule.code);
	redact_room_free(room);
}

static void a_secret_is_found_behind_escapes_and_over_frames(void **state)
{
	(void)state;
	kept("{\"prompt\":\"I am joe\\u0040example.org\"}", "[a-z]+@[a-z.]+", 64, "{\"prompt\":\"I am #\"}");
	kept("data: {\"delta\":\"dryrun:\"}\n\ndata: {\"delta\":\" f9a8\"}\n\n", "dryrun: [0-9a-f]+", 64, "#");
}

static void a_word_begins_behind_a_line_end(void **state)
{
	(void)state;
	kept("{\"prompt\":\"card:\\n4111 1111\\n\\u0001\\\"\"}", "\\b\\d{4} \\d{4}\\b", 64, "{\"prompt\":\"card:\\n#\\n\\u0001\\\"\"}");
}

static void escapes_are_written_whole_or_not(void **state)
{
	(void)state;
	kept("[\"123\\n\"]", "x", 5, "[\"123");
	kept("[\"123\\n\"]", "x", 6, "[\"123"); /* two bytes do not fit into one */
	kept("[\"123\\n\"]", "x", 7, "[\"123\\n");
	kept("[\"\\u0001\\u20ac\"]", "x", 10, "[\"\\u0001"); /* 2 + 6 bytes, and three do not fit into two */
	kept("[\"\\u0001\\u20ac\"]", "x", 11, "[\"\\u0001\xE2\x82\xAC");
}

/* The secret is bytes 12 to 24: with the cut inside of it, it is found; behind it what follows is kept up to the cut. */
static void a_secret_across_the_cut_is_gone_whole(void **state)
{
	static const char from[] = "[\"123456789 secret\\u002ds\\u0065cret\"]";

	(void)state;
	for (size_t most = 13; most <= 25; most++)
		kept(from, "secret-secret", most, "[\"123456789 #");
	kept(from, "secret-secret", 12, "[\"123456789 ");
	kept(from, "secret-secret", 26, "[\"123456789 #\"");
	kept(from, "secret-secret", 27, "[\"123456789 #\"]");
}

#define T(name) cmocka_unit_test(name)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(json_without_escapes_stays),
		T(escapes_become_their_characters),
		T(a_quote_and_a_backslash_stay_escaped),
		T(line_ends_between_tokens_go),
		T(an_escaped_nul_goes),
		T(wrong_escapes_stay_and_hide_nothing),
		T(json_that_is_cut_or_wrong_is_read_as_far),
		T(text_stays),
		T(the_frames_of_ask_are_one_text),
		T(the_frames_of_chat_are_one_text),
		T(the_frames_of_completions_are_one_text),
		T(of_several_choices_the_first_is_kept),
		T(frames_that_are_no_object_are_left_out),
		T(a_stream_that_is_cut_is_read_as_far),
		T(no_more_than_the_most_is_gathered),
		T(a_frame_without_end_costs_no_more_than_a_frame_may),
		T(a_secret_is_found_behind_escapes_and_over_frames),
		T(a_word_begins_behind_a_line_end),
		T(escapes_are_written_whole_or_not),
		T(a_secret_across_the_cut_is_gone_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
