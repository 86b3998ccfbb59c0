/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/answer.h"
#include "core/ctl/bar.h"
#include "core/ctl/doc.h"
#include "core/ctl/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- doc ---- */

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

static void assert_text(struct ch_str value, const char *want)
{
	char *text = ctl_text(value);

	assert_string_equal(text, want);
	free(text);
}

static void a_member_is_found_behind_nested_ones_of_the_same_name(void **state)
{
	struct ch_str doc = str("{\"a\":{\"b\":1},\"c\":[{\"b\":2}],\"b\":\"three\"}");

	(void)state;
	assert_text(ctl_member(doc, "b"), "three");
	assert_int_equal(ctl_member(doc, "x").n, 0);
	assert_int_equal(ctl_member(str("[1]"), "b").n, 0);
	assert_int_equal(ctl_member((struct ch_str){ NULL, 0 }, "b").n, 0);
}

static void elements_and_members_come_in_order_and_once(void **state)
{
	struct ch_str doc = str("[1,[2,3],{\"x\":4}]"), object = str("{\"p\":[\"a\"],\"q\":2}"), key, v;
	size_t at = 0;

	(void)state;
	assert_true(ctl_each(doc, &at, NULL, &v));
	assert_text(v, "1");
	assert_true(ctl_each(doc, &at, NULL, &v));
	assert_text(v, "2, 3");
	assert_true(ctl_each(doc, &at, NULL, &v));
	assert_text(v, "{\"x\":4}");
	assert_false(ctl_each(doc, &at, NULL, &v));
	at = 0;
	assert_true(ctl_each(object, &at, &key, &v));
	assert_memory_equal(key.p, "p", key.n);
	assert_true(ctl_each(object, &at, &key, &v));
	assert_memory_equal(key.p, "q", key.n);
	assert_text(v, "2");
	assert_false(ctl_each(object, &at, &key, &v));
	at = 0;
	assert_false(ctl_each(str("7"), &at, NULL, &v));
	assert_false(ctl_each(str("[]"), &at, NULL, &v));
}

static void text_of_values_is_decoded_joined_and_harmless_to_a_terminal(void **state)
{
	(void)state;
	assert_text(str("\"a\\u00e4\\n\\u001b[31m\\u007f\""), "a\xc3\xa4??[31m?");
	assert_text(str("[\"x\",\"y\",\"z\"]"), "x, y, z");
	assert_text(str("[\"\",\"\"]"), "");
	assert_text(str("[]"), "");
	assert_text(str("null"), "");
	assert_text(str("true"), "true");
	assert_text((struct ch_str){ NULL, 0 }, "");
	assert_true(ctl_number(str("2.5")) == 2.5);
	assert_true(ctl_number(str("\"2.5\"")) == 0);
	assert_true(ctl_number((struct ch_str){ NULL, 0 }) == 0);
}

static void texts_of_one_letter_are_joined_within_the_room(void **state)
{
	(void)state;
	assert_text(str("[1,2,3,4,5,6,7,8]"), "1, 2, 3, 4, 5, 6, 7, 8");
}

/* ---- table ---- */

static void columns_are_as_wide_as_their_widest_cell_in_characters(void **state)
{
	struct ctl_table t = { .columns = 3 };
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	ctl_table_row(&t, (const char *const[]){ "id", "name", "x" });
	ctl_table_row(&t, (const char *const[]){ "1", "m\xc3\xbcller", "last" });
	ctl_table_row(&t, (const char *const[]){ "long", NULL, NULL });
	ctl_table_print(&t, f, false);
	fclose(f);
	assert_string_equal(text, "id    name    x\n"
				  "1     m\xc3\xbcller  last\n"
				  "long\n");
	free(text);
}

static void the_heading_alone_is_bold(void **state)
{
	struct ctl_table t = { .columns = 1 };
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	ctl_table_row(&t, (const char *const[]){ "id" });
	ctl_table_row(&t, (const char *const[]){ "1" });
	ctl_table_print(&t, f, true);
	fclose(f);
	assert_string_equal(text, "\033[1mid\033[0m\n1\n");
	free(text);
}

static void the_same_rows_are_objects_named_by_the_heading(void **state)
{
	struct ctl_table t = { .columns = 2 };
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	ctl_table_row(&t, (const char *const[]){ "id", "x" });
	ctl_table_row(&t, (const char *const[]){ "a\"b", NULL });
	ctl_table_row(&t, (const char *const[]){ "c", "d" });
	ctl_table_json(&t, f);
	fclose(f);
	assert_string_equal(text, "[{\"id\":\"a\\\"b\",\"x\":null},{\"id\":\"c\",\"x\":\"d\"}]\n");
	free(text);
}

/* ---- bar ---- */

static void assert_bar(size_t width, uint64_t done, uint64_t total, const char *what, const char *want)
{
	char text[4 * 100 + 1];

	ctl_bar_text(text, 4 * width + 1, width, done, total, what);
	assert_string_equal(text, want);
}

static void a_bar_shows_the_share_that_is_done(void **state)
{
	(void)state;
	assert_bar(40, 0, 8, "a.gguf", "a.gguf  [--------------------]   0%");
	assert_bar(40, 3, 8, "a.gguf", "a.gguf  [#######-------------]  37%"); /* 37.5 % of 20 is 7.5 */
	assert_bar(40, 8, 8, "a.gguf", "a.gguf  [####################] 100%");
	assert_bar(40, 9, 8, "a.gguf", "a.gguf  [####################] 100%");
	assert_bar(40, UINT64_MAX - 1, UINT64_MAX, "", "[####################] 100%");
	assert_bar(100, 1, 2, "x", "x  [####################--------------------]  50%");
	assert_bar(40, 1234, 0, "lines", "lines  1234");
}

static void a_bar_is_never_wider_than_its_terminal(void **state)
{
	(void)state;
	assert_bar(40, 1, 1, "a-very-long-name-of-a-file.gguf", "a-very-long  [####################] 100%"); /* 27 and two blanks */
	assert_bar(40, 1, 1, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
		"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac  [####################] 100%");
	assert_bar(12, 1, 2, "abcdefghijkl", "abcdefg  50%");
	assert_bar(4, 1, 2, "abc", "50%");
}

static void what_a_bar_says_is_harmless_to_a_terminal(void **state)
{
	(void)state;
	assert_bar(40, 1, 0, "a\033[2Jb\n\x7f\xff\xc2\x9b", "a?[2Jb?????  1");
}

/* ---- answers ---- */

struct given {
	bool ok;
	struct ctl_answer a;
	char why[256];
};

/* What is made of these bytes; `ends`: the other side closes then, else it goes on to be silent. */
static struct given read_bytes(const char *bytes, bool ends)
{
	struct given g = { .ok = false };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(write(fds[1], bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	if (ends)
		shutdown(fds[1], SHUT_WR);
	g.ok = ctl_read_answer(fds[0], ctl_clock() + (ends ? 60000 : 30), &g.a, g.why, sizeof(g.why));
	close(fds[0]);
	close(fds[1]);
	return g;
}

static void assert_answer(const char *bytes, bool ends, int status, const char *body)
{
	struct given g = read_bytes(bytes, ends);

	assert_true(g.ok);
	assert_int_equal(g.a.status, status);
	assert_string_equal(g.a.body, body);
	assert_int_equal(g.a.n, strlen(body));
	free(g.a.body);
}

static void assert_no_answer(const char *bytes, bool ends, const char *why)
{
	struct given g = read_bytes(bytes, ends);

	assert_false(g.ok);
	assert_non_null(strstr(g.why, why));
}

static void answers_are_read_by_length_chunked_and_to_the_end(void **state)
{
	(void)state;
	assert_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello");
	assert_answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", false, 200, "he");
	assert_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", false, 200, "hello");
	assert_answer("HTTP/1.1 500 No\r\n\r\nhello", true, 500, "hello");
	assert_answer("HTTP/1.1 204 No Content\r\n\r\n", false, 204, "");
	assert_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false, 200, "x");
}

static void a_long_answer_that_comes_in_pieces_is_whole(void **state)
{
	enum { CHUNKS = 3000, BYTES = 17 };
	struct given g = { .ok = false };
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid_t child = fork();
	if (!child) {
		dprintf(fds[1], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (int i = 0; i < CHUNKS; i++)
			dprintf(fds[1], "%x\r\n%017d\r\n", BYTES, i);
		dprintf(fds[1], "0\r\n\r\n");
		_exit(0);
	}
	close(fds[1]);
	g.ok = ctl_read_answer(fds[0], ctl_clock() + 60000, &g.a, g.why, sizeof(g.why));
	close(fds[0]);
	assert_true(g.ok);
	assert_int_equal(g.a.n, CHUNKS * BYTES);
	for (int i = 0; i < CHUNKS; i++)
		assert_int_equal(strtol(strndupa(g.a.body + i * BYTES, BYTES), NULL, 10), i);
	free(g.a.body);
}

static void what_is_no_whole_answer_is_said_to_be_none(void **state)
{
	(void)state;
	assert_no_answer("", false, "does not answer within");
	assert_no_answer("", true, "before its answer is whole");
	assert_no_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", true, "before its answer is whole");
	assert_no_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel", true, "before its answer is whole");
	assert_no_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", false, "no HTTP");
	assert_no_answer("220 mail.example.org ESMTP\r\n", false, "no HTTP");
	assert_no_answer("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx", false, "does not answer within");
}

/* ---- lines ---- */

struct lines {
	char text[256]; /* each line with a '|' behind it */
	size_t most; /* how many are wanted */
	size_t n;
	int to; /* a descriptor that is written to at each line: what is sent behind it was not waited for */
};

static bool on_line(void *arg, const char *p, size_t n)
{
	struct lines *l = arg;

	strncat(l->text, p, n);
	strcat(l->text, "|");
	if (l->to && dprintf(l->to, "%zx\r\nnext %zu\n\r\n", strlen("next 1\n"), l->n) < 0)
		return false;
	return ++l->n < l->most;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static struct given read_line_by_line(const char *bytes, struct lines *l, bool ends, bool goes_on)
{
	struct given g = { .ok = false };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(write(fds[1], bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	if (ends)
		shutdown(fds[1], SHUT_WR);
	l->to = goes_on ? fds[1] : 0;
	g.ok = ctl_read_lines(fds[0], ctl_clock() + (ends ? 60000 : 30), on_line, l, &g.a, g.why, sizeof(g.why));
	close(fds[0]);
	close(fds[1]);
	return g;
}

static void lines_are_given_away_whole_and_in_order(void **state)
{
	struct lines l = { .most = 99 };
	struct given g = read_line_by_line(CHUNKED "4\r\none\n\r\n2\r\ntw\r\n9\r\no\nthree\nf\r\n0\r\n\r\n", &l, true, false);

	(void)state;
	assert_true(g.ok);
	assert_int_equal(g.a.status, 200);
	assert_string_equal(l.text, "one|two|three|");
	assert_string_equal(g.a.body, "f");
	free(g.a.body);
}

static void a_line_is_given_before_the_next_is_sent(void **state)
{
	struct lines l = { .most = 3 };
	struct given g = read_line_by_line(CHUNKED "6\r\nfirst\n\r\n", &l, false, true);

	(void)state;
	assert_true(g.ok);
	assert_string_equal(l.text, "first|next 0|next 1|");
	free(g.a.body);
}

static void reading_ends_with_the_last_line_that_is_wanted(void **state)
{
	struct lines l = { .most = 2 };
	struct given g = read_line_by_line(CHUNKED "8\r\na\nb\nc\nd\n\r\n", &l, false, false);

	(void)state;
	assert_true(g.ok);
	assert_string_equal(l.text, "a|b|");
	free(g.a.body);
}

static void another_answer_is_no_lines(void **state)
{
	struct lines l = { .most = 99 };
	struct given g = read_line_by_line(
		"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nb\n\r\n0\r\n\r\n", &l, false, false);

	(void)state;
	assert_true(g.ok);
	assert_int_equal(g.a.status, 404);
	assert_string_equal(l.text, "");
	assert_string_equal(g.a.body, "a\nb\n");
	free(g.a.body);
}

static void an_answer_that_is_cut_is_not_taken_for_a_whole_one(void **state)
{
	struct lines l = { .most = 99 };
	struct given g = read_line_by_line(CHUNKED "2\r\na\n\r\n", &l, true, false);

	(void)state;
	assert_false(g.ok);
	assert_string_equal(l.text, "a|");
	assert_non_null(strstr(g.why, "cuts its answer"));
	g = read_line_by_line(CHUNKED, &(struct lines){ .most = 99 }, false, false);
	assert_false(g.ok);
	assert_non_null(strstr(g.why, "does not answer within"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_is_found_behind_nested_ones_of_the_same_name),
		cmocka_unit_test(elements_and_members_come_in_order_and_once),
		cmocka_unit_test(text_of_values_is_decoded_joined_and_harmless_to_a_terminal),
		cmocka_unit_test(texts_of_one_letter_are_joined_within_the_room),
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell_in_characters),
		cmocka_unit_test(the_heading_alone_is_bold),
		cmocka_unit_test(the_same_rows_are_objects_named_by_the_heading),
		cmocka_unit_test(a_bar_shows_the_share_that_is_done),
		cmocka_unit_test(a_bar_is_never_wider_than_its_terminal),
		cmocka_unit_test(what_a_bar_says_is_harmless_to_a_terminal),
		cmocka_unit_test(answers_are_read_by_length_chunked_and_to_the_end),
		cmocka_unit_test(a_long_answer_that_comes_in_pieces_is_whole),
		cmocka_unit_test(what_is_no_whole_answer_is_said_to_be_none),
		cmocka_unit_test(lines_are_given_away_whole_and_in_order),
		cmocka_unit_test(a_line_is_given_before_the_next_is_sent),
		cmocka_unit_test(reading_ends_with_the_last_line_that_is_wanted),
		cmocka_unit_test(another_answer_is_no_lines),
		cmocka_unit_test(an_answer_that_is_cut_is_not_taken_for_a_whole_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
