/* SPDX-License-Identifier: MIT */
/* Unit tests of the event stream splitter. Each is named after the fact it states; what is expected follows WHATWG HTML 9.2.6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/sse.h"

#define TEXT(s) (s), sizeof(s) - 1

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	size_t *largest = arg;
	char *p = malloc(want); /* another place each time, so that an old pointer shows */

	assert_non_null(p);
	memcpy(p, old ? old : "", old ? used : 0);
	free(old);
	if (largest && want > *largest)
		*largest = want;
	return p;
}

static void start(struct ch_sse *s, size_t max_event)
{
	ch_sse_init(s, NULL, 0, max_event);
	s->grow = grow;
}

static void copy(char *out, const char *s, size_t n)
{
	assert_true(n < 4096);
	memcpy(out, s, n);
	out[n] = 0;
}

/* One event as text: [name|data|id|retry], with - for what is not there and ~ for a line end in the data. */
static void print(char *out, const struct ch_sse_event *ev)
{
	char data[4096] = "-", name[4096], id[4096] = "-";

	if (ev->data)
		copy(data, ev->data, ev->data_len);
	copy(name, ev->name, ev->name_len);
	if (ev->id)
		copy(id, ev->id, ev->id_len);
	for (char *c = data; *c; c++)
		if (*c == '\n')
			*c = '~';
	sprintf(out + strlen(out), "[%s|%s|%s|%lld]", name, data, id, (long long)ev->retry_ms);
}

/* The events of a stream that comes in pieces of `step` bytes, each in memory that is gone afterwards; behind them " open" or " error". */
static const char *events(const char *stream, size_t n, size_t step, size_t max_event)
{
	static char out[16384];
	struct ch_sse s;
	struct ch_sse_event ev;
	enum ch_sse_rc rc = CH_SSE_MORE;
	size_t used;

	start(&s, max_event);
	*out = 0;
	for (size_t at = 0; at < n && rc != CH_SSE_ERROR; at += step) {
		size_t len = n - at < step ? n - at : step, i = 0;
		char *piece = malloc(len);

		assert_non_null(piece);
		memcpy(piece, stream + at, len);
		while ((rc = ch_sse_next(&s, piece + i, len - i, &used, &ev)) == CH_SSE_EVENT) {
			print(out, &ev);
			assert_true(used > 0 && used <= len - i);
			i += used;
		}
		assert_int_equal(used, rc == CH_SSE_MORE ? len - i : 0);
		free(piece);
	}
	if (rc == CH_SSE_ERROR)
		strcat(out, " error");
	else if (ch_sse_end(&s, NULL))
		strcat(out, " open");
	free(s.buf);
	return out;
}

static void gives_within(const char *stream, size_t n, size_t max_event, const char *want)
{
	for (size_t step = 1; step <= n; step++) {
		const char *got = events(stream, n, step, max_event);

		if (strcmp(got, want))
			fail_msg("in pieces of %zu: \"%s\", not \"%s\"", step, got, want);
	}
}

/* The stream gives these events however it is cut. */
#define GIVES(stream, want) gives_within(TEXT(stream), 0, want)

/* ---- the standard's own examples ---- */

static void data_lines_are_joined_by_line_feeds(void **state)
{
	(void)state;
	GIVES("data: YHOO\ndata: +2\ndata: 10\n\n", "[|YHOO~+2~10|-|-1]");
}

static void comments_ids_and_a_final_block_without_an_empty_line(void **state)
{
	(void)state;
	GIVES(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
		"[|first event|1|-1][|second event||-1] open");
}

static void empty_data_lines_make_an_empty_message_and_a_line_feed(void **state)
{
	(void)state;
	GIVES("data\n\ndata\ndata\n\ndata:", "[||-|-1][|~|-|-1] open");
}

static void one_blank_behind_the_colon_does_not_matter(void **state)
{
	(void)state;
	GIVES("data:test\n\ndata: test\n\n", "[|test|-|-1][|test|-|-1]");
}

/* ---- lines ---- */

static void every_line_end_counts_and_they_may_be_mixed(void **state)
{
	(void)state;
	GIVES("data: a\r\ndata: b\r\n\r\ndata: c\rdata: d\r\rdata: e\ndata: f\n\n", "[|a~b|-|-1][|c~d|-|-1][|e~f|-|-1]");
	GIVES("data: a\n\rdata: b\r\n\rdata: c\r\n\n", "[|a|-|-1][|b|-|-1][|c|-|-1]");
	GIVES("\r\n\r\n\n\r\r\ndata: a\r\r", "[|a|-|-1]");
}

static void only_a_leading_byte_order_mark_is_skipped(void **state)
{
	(void)state;
	GIVES("\xef\xbb\xbf" "data: a\n\n", "[|a|-|-1]");
	GIVES("\xef\xbb\xbf\n\xef\xbb\xbf" "data: a\n\n", "");
	GIVES("\xef\xbb\xbf\xef\xbb\xbf" "data: a\n\n", "");
	GIVES("\xef\xbb" "data: a\n\ndata: b\n\n", "[|b|-|-1]");
	GIVES("\n\xef\xbb\xbf" "data: a\n\n", "");
	GIVES("\xef\xbb\xbf: a comment", "");
	GIVES("\xef\xbb\xbf", "");
	GIVES("\xef\xbb", " open");
}

static void an_event_is_told_with_the_first_byte_of_its_last_line_end(void **state)
{
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	start(&s, 0);
	assert_int_equal(ch_sse_next(&s, TEXT("data: a\r\n\r"), &used, &ev), CH_SSE_EVENT);
	assert_int_equal(used, 10);
	assert_int_equal(ch_sse_next(&s, TEXT("\n"), &used, &ev), CH_SSE_MORE);
	assert_int_equal(used, 1);
	assert_false(ch_sse_end(&s, NULL));
	free(s.buf);
}

static void a_nul_and_invalid_utf8_pass_through(void **state)
{
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	start(&s, 0);
	assert_int_equal(ch_sse_next(&s, TEXT("data: a\0b\xff\n\n"), &used, &ev), CH_SSE_EVENT);
	assert_int_equal(ev.data_len, 4);
	assert_memory_equal(ev.data, "a\0b\xff", 4);
	free(s.buf);
}

/* ---- fields ---- */

static void comments_and_unknown_fields_are_ignored(void **state)
{
	(void)state;
	GIVES(":\n: ping\n\n:data: x\n\nfoo: bar\nfoo\ndata: a\n:data: b\n\n", "[|a|-|-1]");
}

static void names_of_fields_are_exact(void **state)
{
	(void)state;
	GIVES("Data: x\nDATA: x\n data: x\ndata : x\ndatas: x\ndat: x\nevents: x\nids: x\nretrys: 1\n\n", "");
	GIVES("data\n: x\n\n", "[||-|-1]");
}

static void the_value_begins_behind_the_first_colon(void **state)
{
	(void)state;
	GIVES("data::a: b\ndata: : c\ndata:  d\ndata:\te\n\n", "[|:a: b~: c~ d~\te|-|-1]");
}

static void the_last_name_of_a_block_counts_and_is_forgotten_behind_it(void **state)
{
	(void)state;
	GIVES("event: one\ndata: a\nevent: two\n\ndata: b\n\nevent: x\n\ndata: c\n\nevent: y\nevent\ndata: d\n\n",
		"[two|a|-|-1][|b|-|-1][|c|-|-1][|d|-|-1]");
}

static void an_id_with_a_nul_is_ignored(void **state)
{
	(void)state;
	GIVES("id: 1\nid: 2\0\ndata: a\n\nid: 3\0\ndata: b\n\n", "[|a|1|-1][|b|-|-1]");
}

static void an_empty_id_is_told_apart_from_none(void **state)
{
	(void)state;
	GIVES("id:\ndata: a\n\nid: \n\ndata: b\n\n", "[|a||-1][|-||-1][|b|-|-1]");
}

static void retry_takes_digits_only(void **state)
{
	(void)state;
	GIVES("retry: 1500\ndata: a\n\n", "[|a|-|1500]");
	GIVES("retry: 1500x\nretry: -1\nretry: +1\nretry: 1 \nretry:  1\nretry: 1.5\nretry:\nretry\ndata: a\n\n", "[|a|-|-1]");
	GIVES("retry: 5\nretry: x\ndata: a\n\n", "[|a|-|5]");
	GIVES("retry: 0\n\nretry: 9223372036854775807\n\nretry: 9223372036854775808\n\nretry: 99999999999999999999999\n\n",
		"[|-|-|0][|-|-|9223372036854775807][|-|-|9223372036854775807][|-|-|9223372036854775807]");
}

static void a_block_without_data_is_told_only_for_its_id_or_retry(void **state)
{
	(void)state;
	GIVES("id: 7\n\nretry: 20\n\nevent: x\n\n: c\n\n\n\ndata: a\n\n", "[|-|7|-1][|-|-|20][|a|-|-1]");
}

static void chat_completions_come_out(void **state)
{
	(void)state;
	GIVES("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\n: ping\n\n"
		"data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\r\n\r\ndata: [DONE]\n\n",
		"[|{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}|-|-1]"
		"[|{\"choices\":[],\"usage\":{\"total_tokens\":3}}|-|-1][|[DONE]|-|-1]");
}

static void fields_keep_their_values_in_any_order_and_any_length(void **state)
{
	char stream[4096], want[4096], *s = stream;

	(void)state;
	/* Names that replace each other, ids and data that grow, all in turn. */
	*want = 0;
	strcat(want, "[n19|");
	for (int i = 0; i < 20; i++) {
		s += sprintf(s, "event: n%d\ndata: %.*s\nid: %.*s\n", i, i, "aaaaaaaaaaaaaaaaaaaa", i, "zzzzzzzzzzzzzzzzzzzz");
		sprintf(want + strlen(want), "%.*s%s", i, "aaaaaaaaaaaaaaaaaaaa", i < 19 ? "~" : "");
	}
	strcat(want, "|zzzzzzzzzzzzzzzzzzz|-1]");
	s += sprintf(s, "\n");
	gives_within(stream, (size_t)(s - stream), 0, want);
}

/* ---- memory ---- */

static void an_event_in_one_piece_is_not_copied(void **state)
{
	static const char stream[] = "event: e\nid: 7\ndata: abc\n\ndata: second\n\n";
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used, at;

	(void)state;
	ch_sse_init(&s, NULL, 0, 0); /* no buffer and no way to get one */
	assert_int_equal(ch_sse_next(&s, TEXT(stream), &used, &ev), CH_SSE_EVENT);
	assert_ptr_equal(ev.data, strstr(stream, "abc"));
	assert_ptr_equal(ev.name, stream + 7);
	assert_ptr_equal(ev.id, strstr(stream, "7"));
	at = used;
	assert_int_equal(ch_sse_next(&s, stream + at, sizeof(stream) - 1 - at, &used, &ev), CH_SSE_EVENT);
	assert_ptr_equal(ev.data, strstr(stream, "second"));
	at += used;
	assert_int_equal(at, sizeof(stream) - 1);
	assert_int_equal(ch_sse_next(&s, stream + at, 0, &used, &ev), CH_SSE_MORE);
	assert_null(s.buf);
}

static void a_data_line_in_one_piece_is_not_copied_though_its_name_was_cut(void **state)
{
	static const char second[] = "e\ndata: abc\n\n";
	char room[16];
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	ch_sse_init(&s, room, sizeof(room), 0);
	assert_int_equal(ch_sse_next(&s, TEXT("event: on"), &used, &ev), CH_SSE_MORE);
	assert_int_equal(ch_sse_next(&s, TEXT(second), &used, &ev), CH_SSE_EVENT);
	assert_ptr_equal(ev.data, second + 8);
	assert_int_equal(ev.name_len, 3);
	assert_memory_equal(ev.name, "one", 3);
	assert_true(ev.name >= room && ev.name < room + sizeof(room));
}

static void an_event_of_exactly_the_cap_passes_and_one_byte_more_does_not(void **state)
{
	(void)state;
	gives_within(TEXT("data: abcd\n\n"), 10, "[|abcd|-|-1]");
	gives_within(TEXT("data: abcde\n\n"), 10, " error");
	/* Lines add up; the next event begins at nothing. */
	gives_within(TEXT("data: ab\r\nid: 4\r\n\r\ndata: cd\nid: 5\n\n"), 13, "[|ab|4|-1][|cd|5|-1]");
	gives_within(TEXT("data: ab\n\ndata: ab\nid: 44\n\n"), 13, "[|ab|-|-1] error");
	/* A comment counts only while it is read. */
	gives_within(TEXT("data: ab\n: 34567890\n:\n:\n:\nfoo: bar\n\n"), 18, "[|ab|-|-1]");
	gives_within(TEXT("data: ab\n: 345678901\n\n"), 18, " error");
}

static void a_line_without_an_end_stops_at_the_cap_with_bounded_memory(void **state)
{
	static char piece[65536];
	size_t largest = 0, taken = 0, used;
	struct ch_sse s;
	struct ch_sse_event ev;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	memcpy(piece, "data:", 5);
	start(&s, 0);
	s.arg = &largest;
	while (ch_sse_next(&s, piece, sizeof(piece), &used, &ev) == CH_SSE_MORE)
		taken += used;
	assert_int_equal(taken, 1 << 20);
	assert_int_equal(s.fault, CH_SSE_TOO_LONG);
	assert_non_null(s.error);
	assert_true(largest <= 1 << 20);
	/* The same from then on, whatever comes. */
	assert_int_equal(ch_sse_next(&s, TEXT("\n\n"), &used, &ev), CH_SSE_ERROR);
	assert_int_equal(used, 0);
	free(s.buf);
}

static void alternating_fields_cost_no_more_than_the_cap(void **state)
{
	static const char lines[] = "event: aaaaaaaa\ndata: b\nid: cccccccccccc\n";
	size_t largest = 0, used, bytes = 0;
	struct ch_sse s;
	struct ch_sse_event ev;

	(void)state;
	start(&s, 0);
	s.arg = &largest;
	while (ch_sse_next(&s, TEXT(lines), &used, &ev) == CH_SSE_MORE)
		bytes += used;
	assert_int_equal(s.fault, CH_SSE_TOO_LONG);
	assert_true(bytes > 1000000);
	assert_true(largest <= 1 << 20);
	free(s.buf);
}

static void comments_for_ever_cost_nothing(void **state)
{
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	ch_sse_init(&s, NULL, 0, 16);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(ch_sse_next(&s, TEXT(": ping\nretry: 1\n"), &used, &ev), CH_SSE_MORE);
	assert_null(s.buf);
}

static void a_buffer_that_cannot_grow_is_our_fault(void **state)
{
	char room[8];
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	ch_sse_init(&s, room, sizeof(room), 0);
	assert_int_equal(ch_sse_next(&s, TEXT("data: ab"), &used, &ev), CH_SSE_MORE);
	assert_int_equal(ch_sse_next(&s, TEXT("c"), &used, &ev), CH_SSE_ERROR);
	assert_int_equal(s.fault, CH_SSE_NO_MEMORY);
	ch_sse_init(&s, room, 2, 0);
	assert_int_equal(ch_sse_next(&s, TEXT("data: a\ndata: b\n\n"), &used, &ev), CH_SSE_ERROR);
	ch_sse_init(&s, room, 3, 0);
	assert_int_equal(ch_sse_next(&s, TEXT("data: a\ndata: b\n\n"), &used, &ev), CH_SSE_EVENT);
	assert_memory_equal(ev.data, "a\nb", 3);
}

/* Two pieces of every length, a buffer of every size, and memory of exactly that size. */
static void a_buffer_of_any_size_is_enough_or_an_error(void **state)
{
	static const char stream[] = "event: long name\ndata: abc\nid: 12345\ndata: defg\nevent: n\ndata\n\n";
	const size_t n = sizeof(stream) - 1;
	unsigned int good = 0, bad = 0;

	(void)state;
	for (size_t cap = 0; cap <= n; cap++) {
		for (size_t cut = 1; cut < n; cut++) {
			char *buf = malloc(cap ? cap : 1), *one = malloc(cut), *two = malloc(n - cut), out[256] = "";
			struct ch_sse s;
			struct ch_sse_event ev;
			size_t used;
			int rc;

			memcpy(one, stream, cut);
			memcpy(two, stream + cut, n - cut);
			ch_sse_init(&s, buf, cap, 0);
			rc = ch_sse_next(&s, one, cut, &used, &ev);
			free(one);
			if (rc == CH_SSE_MORE)
				rc = ch_sse_next(&s, two, n - cut, &used, &ev);
			if (rc == CH_SSE_EVENT) {
				print(out, &ev);
				assert_string_equal(out, "[n|abc~defg~|12345|-1]");
				good++;
			} else {
				assert_int_equal(rc, CH_SSE_ERROR);
				assert_int_equal(s.fault, CH_SSE_NO_MEMORY);
				assert_true(cap < n);
				bad++;
			}
			free(two);
			free(buf);
		}
	}
	assert_true(good > n && bad > n);
}

static unsigned int times_grown;

static void *counting_grow(void *arg, void *old, size_t used, size_t want)
{
	times_grown++;
	return grow(arg, old, used, want);
}

static void the_buffer_grows_in_few_steps(void **state)
{
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	start(&s, 0);
	s.grow = counting_grow;
	for (size_t i = 0; i < 1 << 20; i++)
		assert_int_equal(ch_sse_next(&s, "x", 1, &used, &ev), CH_SSE_MORE);
	/* 256 bytes, 512, …, 1 MiB */
	assert_int_equal(times_grown, 13);
	free(s.buf);
}

/* ---- the end ---- */

static void the_end_tells_what_the_dropped_event_said(void **state)
{
	struct ch_sse s;
	struct ch_sse_event ev;
	size_t used;

	(void)state;
	start(&s, 0);
	assert_int_equal(ch_sse_next(&s, TEXT("event: e\ndata: [DONE]\nid: 4"), &used, &ev), CH_SSE_MORE);
	assert_true(ch_sse_end(&s, &ev));
	assert_int_equal(ev.data_len, 6);
	assert_memory_equal(ev.data, "[DONE]", 6);
	assert_int_equal(ev.name_len, 1);
	assert_null(ev.id); /* the line was not complete */
	/* A new stream may begin, without what the old one left behind: it had a first line, and ends with an error or \r. */
	assert_int_equal(ch_sse_next(&s, TEXT("\xef\xbb\xbf" "data: a\n\n"), &used, &ev), CH_SSE_EVENT);
	assert_int_equal(ev.name_len, 0);
	assert_int_equal(ch_sse_next(&s, TEXT("\r"), &used, &ev), CH_SSE_MORE);
	assert_false(ch_sse_end(&s, &ev));
	assert_false(s.skip_lf);
	s.max_event = 4;
	assert_int_equal(ch_sse_next(&s, TEXT("data:"), &used, &ev), CH_SSE_ERROR);
	assert_false(ch_sse_end(&s, &ev));
	assert_null(s.error);
	assert_int_equal(ch_sse_next(&s, TEXT("data\n\n"), &used, &ev), CH_SSE_EVENT);
	free(s.buf);
}

static void between_two_events_nothing_is_lost(void **state)
{
	(void)state;
	GIVES("data: a\n\n", "[|a|-|-1]");
	GIVES("data: a\r\n\r\n", "[|a|-|-1]");
	GIVES("data: a\n\n: a cut com", "[|a|-|-1]");
	GIVES("data: a\n\n: comment\nfoo: x\n", "[|a|-|-1]");
	GIVES("data: a\n\ndat", "[|a|-|-1] open");
	GIVES("data: a\n\nevent: x\n", "[|a|-|-1] open");
	GIVES("data: a\n\nretry: 0\n", "[|a|-|-1] open");
	GIVES("data: a\n\nid\n", "[|a|-|-1] open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_lines_are_joined_by_line_feeds),
		cmocka_unit_test(comments_ids_and_a_final_block_without_an_empty_line),
		cmocka_unit_test(empty_data_lines_make_an_empty_message_and_a_line_feed),
		cmocka_unit_test(one_blank_behind_the_colon_does_not_matter),
		cmocka_unit_test(every_line_end_counts_and_they_may_be_mixed),
		cmocka_unit_test(only_a_leading_byte_order_mark_is_skipped),
		cmocka_unit_test(an_event_is_told_with_the_first_byte_of_its_last_line_end),
		cmocka_unit_test(a_nul_and_invalid_utf8_pass_through),
		cmocka_unit_test(comments_and_unknown_fields_are_ignored),
		cmocka_unit_test(names_of_fields_are_exact),
		cmocka_unit_test(the_value_begins_behind_the_first_colon),
		cmocka_unit_test(the_last_name_of_a_block_counts_and_is_forgotten_behind_it),
		cmocka_unit_test(an_id_with_a_nul_is_ignored),
		cmocka_unit_test(an_empty_id_is_told_apart_from_none),
		cmocka_unit_test(retry_takes_digits_only),
		cmocka_unit_test(a_block_without_data_is_told_only_for_its_id_or_retry),
		cmocka_unit_test(chat_completions_come_out),
		cmocka_unit_test(fields_keep_their_values_in_any_order_and_any_length),
		cmocka_unit_test(an_event_in_one_piece_is_not_copied),
		cmocka_unit_test(a_data_line_in_one_piece_is_not_copied_though_its_name_was_cut),
		cmocka_unit_test(an_event_of_exactly_the_cap_passes_and_one_byte_more_does_not),
		cmocka_unit_test(a_line_without_an_end_stops_at_the_cap_with_bounded_memory),
		cmocka_unit_test(alternating_fields_cost_no_more_than_the_cap),
		cmocka_unit_test(comments_for_ever_cost_nothing),
		cmocka_unit_test(a_buffer_that_cannot_grow_is_our_fault),
		cmocka_unit_test(a_buffer_of_any_size_is_enough_or_an_error),
		cmocka_unit_test(the_buffer_grows_in_few_steps),
		cmocka_unit_test(the_end_tells_what_the_dropped_event_said),
		cmocka_unit_test(between_two_events_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
