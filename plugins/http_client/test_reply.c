/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply.c - answers read from bytes: the same events however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reply.h"

static const struct ch_h1_limits limits = { .max_line = 200, .max_field = 200, .max_head = 600, .max_fields = 5 };

/* What came of an answer, as text: "head 200 1 field; data abc; end +2", "… more", "… bad: why". */
struct seen {
	char text[4096];
	size_t n;
	struct ch_h1_field fields[16];
	struct hc_reply r;
};

static void say(struct seen *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s->n += (size_t)vsnprintf(s->text + s->n, sizeof(s->text) - s->n, fmt, ap);
	va_end(ap);
	assert_true(s->n < sizeof(s->text));
}

/* Gives one piece. False: nothing more can come. */
static bool piece(struct seen *s, char *p, size_t n, bool *in_data)
{
	for (;;) {
		switch (hc_reply_next(&s->r, &p, &n)) {
		case HC_R_HEAD:
			say(s, "head %u %u; ", s->r.head.status, s->r.head.nfields);
			break;
		case HC_R_DATA:
			assert_true(s->r.data_n > 0);
			say(s, "%s%.*s", *in_data ? "" : "data ", (int)s->r.data_n, s->r.data);
			*in_data = true;
			break;
		case HC_R_MORE:
			assert_int_equal(n, 0);
			return true;
		case HC_R_END:
			say(s, "%send +%zu", *in_data ? "; " : "", n);
			return false;
		case HC_R_BAD:
			say(s, "%sbad%s: %s", *in_data ? "; " : "", s->r.too_large ? " (large)" : "", s->r.error);
			return false;
		}
	}
}

/* All of text in pieces of `step` bytes. */
static const char *read_all(struct seen *s, int method, const char *text, size_t step)
{
	size_t n = strlen(text);
	bool in_data = false;

	memset(s, 0, sizeof(*s));
	hc_reply_init(&s->r, method, true, &limits);
	s->r.head.fields = s->fields;
	s->r.head.fields_cap = 16;
	for (size_t at = 0; at < n;) {
		size_t take = n - at < step ? n - at : step;
		char *copy = malloc(take);
		bool more;

		memcpy(copy, text + at, take);
		more = piece(s, copy, take, &in_data);
		free(copy);
		at += take;
		if (!more) {
			hc_reply_free(&s->r);
			return s->text;
		}
	}
	say(s, "%s%s", in_data ? "; " : "", hc_reply_ends_by_close(&s->r) ? "till close" : "more");
	hc_reply_free(&s->r);
	return s->text;
}

/* However it is cut, the answer reads the same, but for the bytes behind it that have not come yet. */
static void reads_as(int method, const char *text, const char *want)
{
	struct seen s;
	size_t stem = strstr(want, "end +") ? (size_t)(strstr(want, "end +") - want) + 4 : strlen(want);

	assert_string_equal(read_all(&s, method, text, strlen(text)), want);
	for (size_t step = 1; step < strlen(text); step++) {
		read_all(&s, method, text, step);
		if (strncmp(s.text, want, stem) != 0)
			fail_msg("cut at %zu: %s, expected %s", step, s.text, want);
	}
}

#define HEAD "HTTP/1.1 200 OK\r\n"

static void bodies_end_as_their_heads_say(void **state)
{
	(void)state;
	reads_as(CH_H1_GET, HEAD "Content-Length: 3\r\n\r\nabc", "head 200 1; data abc; end +0");
	reads_as(CH_H1_GET, HEAD "Content-Length: 0\r\n\r\n", "head 200 1; end +0");
	reads_as(CH_H1_GET, HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\n",
		"head 200 1; data abcde; end +0");
	reads_as(CH_H1_GET, HEAD "\r\nabc", "head 200 0; data abc; till close");
	reads_as(CH_H1_GET, HEAD "\r\n", "head 200 0; till close");
	reads_as(CH_H1_HEAD, HEAD "Content-Length: 3\r\n\r\n", "head 200 1; end +0");
	reads_as(CH_H1_GET, "HTTP/1.1 204 No\r\n\r\n", "head 204 0; end +0");
	reads_as(CH_H1_GET, "HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", "head 304 1; end +0");
}

static void what_lies_behind_an_answer_is_told(void **state)
{
	(void)state;
	reads_as(CH_H1_GET, HEAD "Content-Length: 3\r\n\r\nabcHTTP", "head 200 1; data abc; end +4");
	reads_as(CH_H1_GET, HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX", "head 200 1; data a; end +1");
	reads_as(CH_H1_HEAD, HEAD "Content-Length: 3\r\n\r\nabc", "head 200 1; end +3");
}

static void half_an_answer_is_none(void **state)
{
	(void)state;
	reads_as(CH_H1_GET, HEAD "Content-Length: 3\r\n\r\nab", "head 200 1; data ab; more");
	reads_as(CH_H1_GET, HEAD "Content-Length: 3\r\n", "more");
	reads_as(CH_H1_GET, HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "head 200 1; data abc; more");
	reads_as(CH_H1_GET, HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "head 200 1; data abc; more");
}

static void interim_heads_are_skipped(void **state)
{
	(void)state;
	reads_as(CH_H1_GET, "HTTP/1.1 100 Continue\r\n\r\n" HEAD "Content-Length: 1\r\n\r\na", "head 200 1; data a; end +0");
	reads_as(CH_H1_GET, "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 103 Early\r\n\r\n" HEAD "Content-Length: 1\r\n\r\na",
		"head 200 1; data a; end +0");
	reads_as(CH_H1_GET, "HTTP/1.1 101 Switch\r\n\r\n", "bad: it switches protocols (101), which was not asked for");
}

static void a_byte_a_chunk_is_a_body(void **state)
{
	enum { BYTES = 20000 };
	char *text = malloc(100 + 6 * BYTES), *p = text + sprintf(text, HEAD "Transfer-Encoding: chunked\r\n\r\n");
	struct ch_h1_field fields[4];
	struct hc_reply r;
	size_t n, got = 0;
	enum hc_reply_rc rc;

	(void)state;
	for (int i = 0; i < BYTES; i++)
		p += sprintf(p, "1\r\nx\r\n");
	p += sprintf(p, "0\r\n\r\n");
	hc_reply_init(&r, CH_H1_GET, true, &limits);
	r.head.fields = fields;
	r.head.fields_cap = 4;
	n = (size_t)(p - text);
	p = text;
	while ((rc = hc_reply_next(&r, &p, &n)) == HC_R_HEAD || rc == HC_R_DATA)
		got += rc == HC_R_DATA ? r.data_n : 0;
	assert_int_equal(rc, HC_R_END);
	assert_int_equal(got, BYTES);
	hc_reply_free(&r);
	free(text);
}

/* The kit says of an answer over a limit what it says of any fault, 502; the sentence tells. */
static void what_is_over_a_limit_is_too_large(void **state)
{
	char text[2000];
	struct seen s;

	(void)state;
	sprintf(text, "HTTP/1.1 200 %0300d\r\n\r\n", 0);
	assert_non_null(strstr(read_all(&s, CH_H1_GET, text, 4096), "bad (large): the status line is over the limit"));
	sprintf(text, HEAD "A: %0300d\r\n\r\n", 0);
	assert_non_null(strstr(read_all(&s, CH_H1_GET, text, 4096), "bad (large): a header line is over the limit"));
	sprintf(text, HEAD "A: %0180d\r\nB: %0180d\r\nC: %0180d\r\nD: %0180d\r\n\r\n", 0, 0, 0, 0);
	assert_non_null(strstr(read_all(&s, CH_H1_GET, text, 4096), "bad (large): the head is over the limit"));
	assert_non_null(strstr(read_all(&s, CH_H1_GET, text, 7), "bad (large): the head is over the limit"));
	assert_non_null(strstr(read_all(&s, CH_H1_GET, HEAD "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n\r\n", 4096),
		"bad (large): there are more header fields than the limit"));
	text[0] = 0;
	for (int i = 0; i < 40; i++)
		strcat(text, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_non_null(strstr(read_all(&s, CH_H1_GET, text, 4096), "bad (large): its interim answers"));
}

static void what_is_no_http_is_bad(void **state)
{
	struct seen s;

	(void)state;
	assert_non_null(strstr(read_all(&s, CH_H1_GET, "SSH-2.0-OpenSSH\r\n", 100), "bad: "));
	assert_non_null(strstr(read_all(&s, CH_H1_GET, HEAD "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 100), "bad: "));
	assert_non_null(strstr(read_all(&s, CH_H1_GET, HEAD "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 100), "head 200 1; bad: "));
}

static void bytes_that_are_held_come_later(void **state)
{
	static const char *const texts[] = { HEAD "Content-Length: 3\r\n\r\nabc", HEAD "Content-Length: 3\r\n\r\na" };

	(void)state;
	for (size_t step = 1; step < 60; step++) {
		for (int i = 0; i < 2; i++) {
			struct ch_h1_field fields[4];
			struct hc_reply r;
			char got[8] = "", buf[64];
			size_t total = strlen(texts[i]);

			hc_reply_init(&r, CH_H1_GET, true, &limits);
			r.head.fields = fields;
			r.head.fields_cap = 4;
			for (size_t at = 0; at < total; at += step) {
				char *p = buf;
				size_t n = total - at < step ? total - at : step;

				memcpy(buf, texts[i] + at, n);
				for (enum hc_reply_rc rc; (rc = hc_reply_next(&r, &p, &n)) != HC_R_MORE && rc != HC_R_END;) {
					assert_true(rc == HC_R_HEAD || rc == HC_R_DATA);
					if (rc == HC_R_DATA)
						strncat(got, r.data, r.data_n);
					if (rc == HC_R_HEAD && n) { /* the sink has no room */
						assert_true(hc_reply_hold(&r, p, n));
						memset(buf, '!', sizeof(buf));
						hc_reply_held(&r, &p, &n);
					}
				}
			}
			assert_string_equal(got, i ? "a" : "abc");
			hc_reply_free(&r);
		}
	}
}

static void bytes_that_somebody_else_unframes_are_passed_on(void **state)
{
	char text[] = HEAD "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n", plain[] = HEAD "Content-Length: 9\r\n\r\nab";
	struct ch_h1_field fields[4];
	struct hc_reply r;
	char *p = text;
	size_t n = strlen(text);

	(void)state;
	hc_reply_init(&r, CH_H1_GET, false, &limits);
	r.head.fields = fields;
	r.head.fields_cap = 4;
	assert_int_equal(hc_reply_next(&r, &p, &n), HC_R_BAD); /* no less strict */
	hc_reply_init(&r, CH_H1_GET, false, &limits);
	r.head.fields = fields;
	r.head.fields_cap = 4;
	p = plain;
	n = strlen(plain);
	assert_int_equal(hc_reply_next(&r, &p, &n), HC_R_HEAD);
	assert_int_equal(hc_reply_next(&r, &p, &n), HC_R_DATA);
	assert_int_equal(r.data_n, 2);
	assert_int_equal(hc_reply_next(&r, &p, &n), HC_R_MORE);
	hc_reply_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_end_as_their_heads_say),
		cmocka_unit_test(what_lies_behind_an_answer_is_told),
		cmocka_unit_test(half_an_answer_is_none),
		cmocka_unit_test(interim_heads_are_skipped),
		cmocka_unit_test(a_byte_a_chunk_is_a_body),
		cmocka_unit_test(what_is_over_a_limit_is_too_large),
		cmocka_unit_test(what_is_no_http_is_bad),
		cmocka_unit_test(bytes_that_are_held_come_later),
		cmocka_unit_test(bytes_that_somebody_else_unframes_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
