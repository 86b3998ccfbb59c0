/* SPDX-License-Identifier: MIT */
/*
 * Message heads, chunked bodies and targets: one test for each fact, in the order of the rows H1-H18 of FAULTS.md, then
 * responses. Every verdict is asked for with the bytes whole, with every prefix, and in two parts split at every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chimera/kit/http1.h"

#define FIELDS 100
#define HOST "Host: a\r\n"

static const struct ch_h1_limits limits = { 8192, 16384, 65536, FIELDS };

struct reply {
	struct ch_h1_field fields[FIELDS];
	struct ch_h1_head head;
	enum ch_h1_rc rc;
};

#define NO_METHOD (-1) /* parse a request */

/* The bytes stand in a block of their own, so that a sanitizer sees any read behind them. */
static void parse_once(struct reply *r, int request_method, const struct ch_h1_limits *l, const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	memset(r, 0x5a, sizeof(*r));
	r->head.fields = r->fields;
	r->head.fields_cap = FIELDS;
	memcpy(copy, p, n);
	if (request_method == NO_METHOD)
		r->rc = ch_h1_parse_request(&r->head, l, copy, n);
	else
		r->rc = ch_h1_parse_response(&r->head, l, request_method, copy, n);
	free(copy);
}

/* The verdict over all bytes; every shorter prefix must say the same or ask for more. */
static void parse(struct reply *r, int request_method, const struct ch_h1_limits *l, const char *p, size_t n)
{
	struct reply early;

	parse_once(r, request_method, l, p, n);
	for (size_t k = 0; k < n; k++) {
		parse_once(&early, request_method, l, p, k);
		if (early.rc == CH_H1_MORE)
			continue;
		assert_int_equal(early.rc, r->rc);
		assert_int_equal(early.head.status, r->head.status);
		assert_ptr_equal(early.head.error, r->head.error);
		if (early.rc == CH_H1_DONE) {
			assert_true(k >= r->head.head_len);
			assert_memory_equal(early.fields, r->fields, r->head.nfields * sizeof(r->fields[0]));
			assert_memory_equal(&early.head.nfields, &r->head.nfields, sizeof(r->head) - offsetof(struct ch_h1_head, nfields));
		}
	}
}

static void request_bytes(struct reply *r, const char *p, size_t n)
{
	parse(r, NO_METHOD, &limits, p, n);
}

static void accept_request(struct reply *r, const char *text)
{
	request_bytes(r, text, strlen(text));
	if (r->rc != CH_H1_DONE)
		print_message("not accepted: %s\n%s\n", r->rc == CH_H1_ERROR ? r->head.error : "incomplete", text);
	assert_int_equal(r->rc, CH_H1_DONE);
}

static void refuse_bytes(int status, const char *p, size_t n)
{
	struct reply r;

	request_bytes(&r, p, n);
	if (r.rc != CH_H1_ERROR || r.head.status != status)
		print_message("rc %d status %d, expected %d: %.*s\n", r.rc, r.head.status, status, (int)n, p);
	assert_int_equal(r.rc, CH_H1_ERROR);
	assert_int_equal(r.head.status, status);
	assert_non_null(r.head.error);
}

static void refuse(int status, const char *text)
{
	refuse_bytes(status, text, strlen(text));
}

#define REFUSE_BYTES(status, literal) refuse_bytes(status, literal, sizeof(literal) - 1)

/* One field line behind a valid POST with Host. */
static void refuse_field(int status, const char *line)
{
	char text[512];

	assert_true(strlen(line) < 400);
	strcpy(text, "POST / HTTP/1.1\r\n" HOST);
	strcat(text, line);
	strcat(text, "\r\n\r\n");
	refuse(status, text);
}

static void accept_field(struct reply *r, const char *line)
{
	char text[512];

	strcpy(text, "POST / HTTP/1.1\r\n" HOST);
	strcat(text, line);
	strcat(text, "\r\n\r\n");
	accept_request(r, text);
}

static void assert_span(const char *text, struct ch_h1_span s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(text + s.off, expected, s.len);
}

/* ---- what a good request gives ---- */

static void a_request_is_told_as_spans(void **state)
{
	static const char text[] = "POST /v1/x?y=1 HTTP/1.1\r\nHost: api.example:8080\r\nX-Empty:\r\n"
				   "Accept:\t a/b \t \r\nContent-Length: 5\r\n\r\nhello";
	struct reply r;

	(void)state;
	accept_request(&r, text);
	assert_int_equal(r.head.method, CH_H1_POST);
	assert_int_equal(r.head.minor, 1);
	assert_int_equal(r.head.body, CH_H1_BODY_LENGTH);
	assert_int_equal(r.head.content_length, 5);
	assert_int_equal(r.head.keep_alive, 1);
	assert_int_equal(r.head.expect_continue, 0);
	assert_int_equal(r.head.head_len, sizeof(text) - 1 - 5);
	assert_int_equal(r.head.nfields, 4);
	assert_span(text, r.head.method_name, "POST");
	assert_span(text, r.head.target, "/v1/x?y=1");
	assert_span(text, r.head.host, "api.example:8080");
	assert_span(text, r.fields[1].name, "X-Empty");
	assert_span(text, r.fields[1].value, "");
	assert_span(text, r.fields[2].value, "a/b");
	assert_ptr_equal(ch_h1_find(&r.head, text, "ACCEPT", 6), &r.fields[2]);
	assert_null(ch_h1_find(&r.head, text, "Accep", 5));
}

static void methods_are_told_apart_and_are_case_sensitive(void **state)
{
	static const struct {
		const char *name;
		int method;
	} rows[] = { { "GET", CH_H1_GET }, { "HEAD", CH_H1_HEAD }, { "POST", CH_H1_POST }, { "PUT", CH_H1_PUT },
		     { "DELETE", CH_H1_DELETE }, { "PATCH", CH_H1_PATCH }, { "OPTIONS", CH_H1_OPTIONS }, { "TRACE", CH_H1_TRACE },
		     { "get", CH_H1_OTHER }, { "Post", CH_H1_OTHER }, { "BREW", CH_H1_OTHER }, { "M-SEARCH", CH_H1_OTHER } };
	struct reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[64];

		strcpy(text, rows[i].name);
		strcat(text, " / HTTP/1.1\r\n" HOST "\r\n");
		accept_request(&r, text);
		assert_int_equal(r.head.method, rows[i].method);
	}
}

static void fields_longer_than_a_vector_are_scanned_whole(void **state)
{
	char text[512];
	struct reply r;

	(void)state;
	for (int at = 0; at < 70; at++) { /* a bad byte at every place of a long name, value and target */
		char filler[71];

		memset(filler, 'a', 70);
		filler[70] = 0;
		strcpy(text, "GET /");
		strcat(text, filler);
		strcat(text, " HTTP/1.1\r\n" HOST);
		strcat(text, filler);
		strcat(text, ": ");
		strcat(text, filler);
		strcat(text, "\r\n\r\n");
		accept_request(&r, text);
		for (size_t start = 5; start < 180; start += start == 5 ? 70 + 11 + 9 : 72) {
			char good = text[start + (size_t)at];

			text[start + (size_t)at] = 0x7f;
			refuse(400, text);
			text[start + (size_t)at] = 0x01;
			refuse(400, text);
			text[start + (size_t)at] = good;
		}
	}
}

static void one_crlf_before_the_request_line_is_skipped(void **state)
{
	static const char text[] = "\r\nGET / HTTP/1.1\r\n" HOST "\r\n";
	struct reply r;

	(void)state;
	accept_request(&r, text);
	assert_int_equal(r.head.head_len, sizeof(text) - 1);
	assert_span(text, r.head.target, "/");
	refuse(400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "\nGET / HTTP/1.1\r\n" HOST "\r\n");
}

static void a_head_ends_at_its_empty_line(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n";
	struct reply r;

	(void)state;
	accept_request(&r, text);
	assert_int_equal(r.head.head_len, strlen("GET /a HTTP/1.1\r\n" HOST "\r\n"));
}

static void the_same_result_comes_from_every_split(void **state)
{
	static const char *const good[] = {
		"GET / HTTP/1.1\r\n" HOST "\r\n",
		"\r\nGET /p?q HTTP/1.0\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nConnection: close, Upgrade\r\n\r\n",
		"OPTIONS * HTTP/1.2\r\nHost: h\r\nAccept: */*\r\nUser-Agent: a long enough value \xc3\xa9 to fill vectors\r\n\r\n",
		"GET https://host.example/x HTTP/1.1\r\nHost: HOST.example\r\n\r\n",
		"CONNECT host.example:443 HTTP/1.1\r\nHost: host.example:443\r\n\r\n",
	};
	struct reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		accept_request(&r, good[i]); /* looks at every prefix */
		parse_once(&r, NO_METHOD, &limits, good[i], strlen(good[i]) - 1);
		assert_int_equal(r.rc, CH_H1_MORE);
	}
}

static void connection_says_whether_the_connection_stays(void **state)
{
	struct reply r;

	(void)state;
	accept_request(&r, "GET / HTTP/1.0\r\n\r\n");
	assert_false(r.head.keep_alive);
	accept_request(&r, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
	assert_true(r.head.keep_alive);
	accept_request(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n");
	assert_false(r.head.keep_alive);
	accept_field(&r, "Connection: x, CLOSE ,y");
	assert_false(r.head.keep_alive);
	accept_field(&r, "Connection: closed, not-close");
	assert_true(r.head.keep_alive);
	accept_field(&r, "Connection: keep-alive, Upgrade");
	assert_true(r.head.keep_alive);
	assert_true(r.head.has_upgrade);
}

static void list_members_are_found_in_any_case(void **state)
{
	(void)state;
	assert_true(ch_h1_list_has("a, Bc\t,d", 8, "bC"));
	assert_true(ch_h1_list_has("d", 1, "d"));
	assert_false(ch_h1_list_has("a, bcd", 6, "bc"));
	assert_false(ch_h1_list_has("", 0, "a"));
	assert_false(ch_h1_list_has(",,", 2, "a"));
	assert_false(ch_h1_list_has("abc", 2, "abc"));
}

/* ---- H1-H5: framing fields ---- */

static void two_content_lengths_are_refused(void **state)
{
	(void)state;
	refuse_field(400, "Content-Length: 5\r\nContent-Length: 5");
	refuse_field(400, "Content-Length: 5\r\ncontent-length: 6");
	refuse_field(400, "Content-Length: 5, 5");
	refuse_field(400, "Content-Length: 5,6");
}

static void content_length_beside_transfer_encoding_is_refused(void **state)
{
	(void)state;
	refuse_field(400, "Content-Length: 5\r\nTransfer-Encoding: chunked");
	refuse_field(400, "Transfer-Encoding: chunked\r\nContent-Length: 5");
}

static void a_content_length_that_is_no_plain_number_is_refused(void **state)
{
	static const char *const bad[] = {
		"+5", "-0", "-1", "0x5", "0o5", "1_0", "1 0", "", "00", "005", "0200", "abc", "5;", "5.0", "\"5\"",
		"9223372036854775808", "18446744073709551616", "99999999999999999999",
		"1000000000000000000000000000000000000000000"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[128] = "Content-Length: ";

		refuse_field(400, strcat(line, bad[i]));
	}
}

static void content_lengths_up_to_the_largest_are_read(void **state)
{
	struct reply r;

	(void)state;
	accept_field(&r, "Content-Length: 0");
	assert_int_equal(r.head.body, CH_H1_BODY_LENGTH);
	assert_true(r.head.content_length == 0);
	accept_field(&r, "CONTENT-length:\t 9223372036854775807 ");
	assert_true(r.head.content_length == INT64_MAX);
}

static void a_transfer_encoding_other_than_chunked_is_refused(void **state)
{
	static const char *const bad[] = {
		"xchunked", "identity", "chunked, chunked", "gzip, chunked", "chunked, gzip", ", chunked", "chunked,", "", "gzip",
		"chunked;a=b", "chunkedchunked", "chunke", "\x0b" "chunked", "\x0c" "chunked", "\"chunked\""
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[128] = "Transfer-Encoding: ";

		refuse_field(400, strcat(line, bad[i]));
	}
	refuse_field(400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked");
	refuse_field(400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity");
	refuse_field(400, "Transfer-Encoding:\r\n chunked");
	REFUSE_BYTES(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\0\r\n\r\n");
	refuse(400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
}

static void chunked_is_accepted_in_any_case(void **state)
{
	struct reply r;

	(void)state;
	accept_field(&r, "Transfer-Encoding: chunked");
	assert_int_equal(r.head.body, CH_H1_BODY_CHUNKED);
	accept_field(&r, "TRANSFER-ENCODING:\tChunKED \t");
	assert_int_equal(r.head.body, CH_H1_BODY_CHUNKED);
}

static void framing_names_with_an_underscore_are_refused(void **state)
{
	struct reply r;

	(void)state;
	refuse_field(400, "Content_Length: 5");
	refuse_field(400, "CONTENT_LENGTH: 5");
	refuse_field(400, "Transfer_Encoding: chunked");
	refuse_field(400, "transfer_encodinG: chunked");
	accept_field(&r, "Content.Length: 5"); /* a token like any other */
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	accept_field(&r, "X_Request_Id: 5");
}

/* ---- H6-H9: chunked bodies ---- */

/* Decodes text in pieces of `step` bytes into out; returns the last outcome, *taken how far it came. */
static enum ch_h1_rc dechunk(const char *text, size_t n, size_t step, char *out, size_t *out_len, size_t *taken)
{
	struct ch_h1_chunked c = { 0 };
	enum ch_h1_rc rc = CH_H1_MORE;
	size_t at = 0;

	*out_len = 0;
	while (at < n && rc == CH_H1_MORE) {
		size_t part = n - at < step ? n - at : step;
		char *copy = malloc(part);
		const char *data;
		size_t used;
		size_t len;

		memcpy(copy, text + at, part);
		rc = ch_h1_chunked_next(&c, copy, part, &used, &data, &len);
		if (rc != CH_H1_ERROR) {
			assert_true(data >= copy && data + len <= copy + part);
			memcpy(out + *out_len, data, len);
			*out_len += len;
			at += used;
		} else {
			assert_non_null(c.error);
		}
		free(copy);
	}
	*taken = at;
	return rc;
}

static enum ch_h1_rc dechunk_all_ways(const char *text, size_t n, char *out, size_t *out_len, size_t *taken)
{
	enum ch_h1_rc rc = dechunk(text, n, n, out, out_len, taken);
	char *other = malloc(n);

	for (size_t step = 1; step < (n < 40 ? n : 40); step++) {
		size_t other_len;
		size_t other_taken;

		assert_int_equal(dechunk(text, n, step, other, &other_len, &other_taken), rc);
		assert_int_equal(other_len, *out_len);
		assert_memory_equal(other, out, other_len);
		if (rc == CH_H1_DONE)
			assert_int_equal(other_taken, *taken);
	}
	free(other);
	return rc;
}

static void accept_chunks(const char *text, const char *body, size_t left_over)
{
	char out[256];
	size_t len;
	size_t taken;

	assert_int_equal(dechunk_all_ways(text, strlen(text), out, &len, &taken), CH_H1_DONE);
	assert_int_equal(len, strlen(body));
	assert_memory_equal(out, body, len);
	assert_int_equal(strlen(text) - taken, left_over);
}

static void refuse_chunk_bytes(const char *text, size_t n)
{
	char *out = malloc(n);
	size_t len;
	size_t taken;
	enum ch_h1_rc rc = dechunk_all_ways(text, n, out, &len, &taken);

	if (rc != CH_H1_ERROR)
		print_message("accepted: %.*s\n", (int)(n < 80 ? n : 80), text);
	free(out);
	assert_int_equal(rc, CH_H1_ERROR);
}

static void refuse_chunks(const char *text)
{
	refuse_chunk_bytes(text, strlen(text));
}

static void chunks_give_their_data_and_nothing_else(void **state)
{
	(void)state;
	accept_chunks("5\r\nhello\r\n0\r\n\r\n", "hello", 0);
	accept_chunks("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\nGET /", "hello world", 5);
	accept_chunks("A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij", 0);
	accept_chunks("0\r\n\r\n", "", 0);
	accept_chunks("0000000000000001\r\nx\r\n0\r\n\r\n", "x", 0);
	accept_chunks("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", 0);
}

static void chunk_extensions_are_dropped(void **state)
{
	(void)state;
	accept_chunks("5;ext=value\r\nhello\r\n0;last\r\n\r\n", "hello", 0);
	accept_chunks("5;a;b=c;d=\"x; \\\"y\\\\ \t\";e\r\nhello\r\n0\r\n\r\n", "hello", 0);
}

static void malformed_chunk_sizes_are_refused(void **state)
{
	static const char *const bad[] = {
		"FFFFFFFFFFFFFFFF0\r\n", "10000000000000000\r\n", "8000000000000000\r\n", "00000000000000005\r\nhello\r\n",
		"0x5\r\nhello\r\n", "+5\r\nhello\r\n", "-1\r\nhello\r\n", "1_0\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n",
		"5\t\r\nhello\r\n", "\r\nhello\r\n", ";a\r\n", "g\r\n", "5\nhello\r\n", "5\rhello\r\n", "5\r\r\n", "\n"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_chunks(bad[i]);
}

static void malformed_chunk_extensions_are_refused(void **state)
{
	static const char nul[] = "5;\0ext\r\nhello\r\n0\r\n\r\n";
	static const char *const bad[] = {
		"5;\r\nhello\r\n", "5;bad[=x\r\nhello\r\n", "5;;a\r\nhello\r\n", "5;a=\r\nhello\r\n", "5;a=\"b\r\n",
		"5;a=\"b\"c\r\n", "5; a\r\nhello\r\n", "5 ;a\r\nhello\r\n", "5;a =b\r\n", "5;a\rX\r\nhello\r\n", "5;a\nhello\r\n",
		"5;a=\"\\\n\"\r\n", "5;a=\x01\r\n", "2 erfrferferf\r\naa\r\n"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_chunks(bad[i]);
	refuse_chunk_bytes(nul, sizeof(nul) - 1);
}

static void a_long_chunk_extension_is_refused(void **state)
{
	char *text = malloc(70000);

	(void)state;
	memset(text, 'a', 70000);
	memcpy(text, "5;ext=", 6);
	refuse_chunk_bytes(text, 70000);
	refuse_chunk_bytes(text, 8194); /* told without its line end: 8193 bytes behind the size */
	free(text);
}

static void framing_bytes_are_paid_for_by_body_bytes(void **state)
{
	size_t n = 6 * 20000;
	char *text = malloc(n + 5);
	char *out = malloc(n);
	size_t len;
	size_t taken;

	(void)state;
	for (size_t i = 0; i < n; i += 6) /* five framing bytes for one of body: the account is empty after 4096 chunks */
		memcpy(text + i, "1\r\nx\r\n", 6);
	assert_int_equal(dechunk(text, n, n, out, &len, &taken), CH_H1_ERROR);
	assert_in_range(len, 4000, 4097);
	assert_int_equal(dechunk(text, n, 7, out, &len, &taken), CH_H1_ERROR);
	assert_in_range(len, 4000, 4097);
	memcpy(text + 6 * 3000, "0\r\n\r\n", 5);
	assert_int_equal(dechunk(text, 6 * 3000 + 5, n, out, &len, &taken), CH_H1_DONE);
	assert_int_equal(len, 3000);
	free(text);
	free(out);
}

static void chunk_data_that_is_not_of_its_size_is_refused(void **state)
{
	(void)state;
	refuse_chunks("5\r\nhello!!\r\n0\r\n\r\n");
	refuse_chunks("5\r\nhello0\r\n\r\n");
	refuse_chunks("5\r\nhell\r\n0\r\n\r\n");
	refuse_chunks("5\r\nhello\n0\r\n\r\n");
	refuse_chunks("5\r\nhello\r0\r\n\r\n");
	refuse_chunks("3\r\nfoo\r\n\r\n");
}

static void trailers_are_checked_and_dropped(void **state)
{
	(void)state;
	accept_chunks("5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: x\r\n\r\n",
		      "hello", 0);
	accept_chunks("0\r\nX-Empty:\r\n\r\nGET", "", 3);
	refuse_chunks("0\r\n\n");
	refuse_chunks("0\r\n x: y\r\n\r\n");
	refuse_chunks("0\r\nx : y\r\n\r\n");
	refuse_chunks("0\r\n: y\r\n\r\n");
	refuse_chunks("0\r\nno colon\r\n\r\n");
	refuse_chunks("0\r\nx: a\nb: c\r\n\r\n");
	refuse_chunks("0\r\nx: a\x01\r\n\r\n");
	refuse_chunks("0\r\nx: a\r\r\n\r\n");
	refuse_chunks("0\r\n\rX");
}

static void long_trailers_are_refused(void **state)
{
	char text[9000];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "0\r\nX: ", 6);
	refuse_chunk_bytes(text, sizeof(text));
	for (size_t i = 3; i + 6 <= sizeof(text); i += 6)
		memcpy(text + i, "a: b\r\n", 6);
	refuse_chunk_bytes(text, sizeof(text));
}

static void a_finished_or_failed_decoder_stays_so(void **state)
{
	struct ch_h1_chunked c = { 0 };
	const char *data;
	size_t used;
	size_t len;

	(void)state;
	assert_int_equal(ch_h1_chunked_next(&c, "0\r\n\r\nX", 6, &used, &data, &len), CH_H1_DONE);
	assert_int_equal(used, 5);
	assert_int_equal(ch_h1_chunked_next(&c, "X", 1, &used, &data, &len), CH_H1_DONE);
	assert_int_equal(used, 0);
	memset(&c, 0, sizeof(c));
	assert_int_equal(ch_h1_chunked_next(&c, "z", 1, &used, &data, &len), CH_H1_ERROR);
	assert_int_equal(ch_h1_chunked_next(&c, "0\r\n\r\n", 5, &used, &data, &len), CH_H1_ERROR);
}

/* ---- H10-H12: lines and fields ---- */

static void line_ends_other_than_crlf_are_refused(void **state)
{
	(void)state;
	refuse(400, "GET / HTTP/1.1\nHost: a\r\n\r\n");
	refuse(400, "GET / HTTP/1.1\rHost: a\r\n\r\n");
	refuse(400, "GET / HTTP/1.1\r\nHost: a\n\r\n");
	refuse(400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
	refuse(400, "GET / HTTP/1.1\r\nHost: a\r\n\rX");
	refuse(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n");
	refuse(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n");
	refuse(400, "GET / HTTP/1.1\r\nHost: a\r\nX:\nTransfer-Encoding: chunked\r\n\r\n");
}

static void obsolete_folding_is_refused(void **state)
{
	(void)state;
	refuse_field(400, "X: a\r\n b");
	refuse_field(400, "X: a\r\n\tb");
	refuse(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
	refuse(400, "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n");
}

static void control_characters_are_refused_everywhere(void **state)
{
	static const char head[] = "GET /target HTTP/1.1\r\nHost: a\r\nName: some value\r\n\r\n";
	static const size_t places[] = { 1, 6, 16, 28, 33, 42 }; /* method, target, version, value of Host, name, value */

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (int c = 0; c < 256; c++) {
			char text[sizeof(head)];

			if ((c >= 0x20 && c != 0x7f) || c == '\t')
				continue;
			memcpy(text, head, sizeof(head));
			text[places[i]] = (char)c;
			refuse_bytes(400, text, sizeof(head) - 1);
		}
	}
}

static void values_may_hold_tabs_and_high_bytes(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: D\xfcssel\tdorf \x80\xff\r\n\r\n";
	struct reply r;

	(void)state;
	accept_request(&r, text);
	assert_span(text, r.fields[1].value, "D\xfcssel\tdorf \x80\xff");
}

static void malformed_field_lines_are_refused(void **state)
{
	static const char *const bad[] = {
		"X : a", "X\t: a", ": a", "NoColonHere", "X Y: a", "Bad[Name: a", "X-T\xc3\xabst: a", "Fo@: a", " X: a", "\"X\": a"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_field(400, bad[i]);
}

static void every_token_character_may_stand_in_a_name(void **state)
{
	struct reply r;

	(void)state;
	accept_field(&r, "!#$%&'*+-.^_`|~09azAZ: x");
}

static void two_content_types_are_accepted(void **state)
{
	struct reply r;

	(void)state;
	accept_field(&r, "Content-Type: text/plain\r\nContent-Type: text/html");
	assert_int_equal(r.head.nfields, 3);
}

/* ---- H13, H14: Host and absolute targets ---- */

static void a_missing_host_is_refused_in_1_1_only(void **state)
{
	struct reply r;

	(void)state;
	refuse(400, "GET / HTTP/1.1\r\n\r\n");
	refuse(400, "GET http://a/ HTTP/1.1\r\n\r\n");
	accept_request(&r, "GET / HTTP/1.0\r\n\r\n");
	assert_int_equal(r.head.host.len, 0);
}

static void malformed_hosts_are_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "a, b", "a,b", "user@a", "a/path", "a b", "a:80:80", "a:http", "a:99999", "a:123456", ":80", "[::1",
		"[::1]x", "[]", "[:]", "[g::1]", "[::1%25eth0]", "a?b", "a#b", "a\\b", "<a>", "\"a\"", "a\x80", "http://a",
		"a%2fb", "[1.2.3.4]"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128] = "GET / HTTP/1.1\r\nHost: ";

		strcat(text, bad[i]);
		strcat(text, "\r\n\r\n");
		refuse(400, text);
		memcpy(strstr(text, "1.1"), "1.0", 3); /* not needed there, but then right */
		refuse(400, text);
	}
	refuse(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
	refuse(400, "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n");
}

static void hosts_of_all_kinds_are_accepted(void **state)
{
	static const char *const good[] = {
		"a", "a:80", "a:", "A.example.:65535", "127.0.0.1", "[::1]", "[::1]:8080", "[2001:db8::1.2.3.4]:1", "_srv-x.~y",
		"a;b=c!$&'()*+"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char text[128] = "GET / HTTP/1.1\r\nHost: ";
		struct reply r;

		strcat(text, good[i]);
		strcat(text, "\r\n\r\n");
		accept_request(&r, text);
		assert_span(text, r.head.host, good[i]);
	}
}

static void the_host_of_an_absolute_target_counts(void **state)
{
	static const char text[] = "GET HTTP://Example.com:80/x?y HTTP/1.1\r\nHost: example.COM:80\r\n\r\n";
	static const char old[] = "GET https://example.com?q HTTP/1.0\r\n\r\n";
	struct reply r;

	(void)state;
	accept_request(&r, text);
	assert_span(text, r.head.host, "Example.com:80");
	assert_span(text, r.head.target, "HTTP://Example.com:80/x?y");
	accept_request(&r, old);
	assert_span(old, r.head.host, "example.com");
}

static void an_absolute_target_that_differs_from_host_is_refused(void **state)
{
	(void)state;
	refuse(400, "GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n");
	refuse(400, "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n");
	refuse(400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n");
	refuse(400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n");
	refuse(400, "GET http:/a/x HTTP/1.1\r\nHost: a\r\n\r\n");
	refuse(400, "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n");
}

/* ---- H15-H18: request lines ---- */

static void a_star_goes_with_options_only(void **state)
{
	struct reply r;

	(void)state;
	accept_request(&r, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "GET * HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "OPTIONS ** HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "OPTIONS *?a HTTP/1.1\r\n" HOST "\r\n");
}

static void connect_takes_a_host_and_a_port(void **state)
{
	static const char text[] = "CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n";
	struct reply r;

	(void)state;
	accept_request(&r, text);
	assert_int_equal(r.head.method, CH_H1_CONNECT);
	assert_span(text, r.head.target, "h.example:443");
	refuse(400, "CONNECT / HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "CONNECT a HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "CONNECT a: HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "GET a:80 HTTP/1.1\r\n" HOST "\r\n");
}

static void a_method_over_32_bytes_is_refused_at_once(void **state)
{
	struct reply r;

	(void)state;
	accept_request(&r, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST "\r\n");
	refuse(400, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG");
	refuse(400, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n");
}

static void malformed_request_lines_are_refused(void **state)
{
	static const char *const bad[] = {
		"GET  / HTTP/1.1\r\n", "GET\t/ HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", " GET / HTTP/1.1\r\n",
		"GET HTTP/1.1\r\n", "GET /pa th HTTP/1.1\r\n", "G@T / HTTP/1.1\r\n", "GET path HTTP/1.1\r\n",
		"GET ?q HTTP/1.1\r\n", "   \r\n", "G\xc3\x8bT / HTTP/1.1\r\n", ": / HTTP/1.1\r\n"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse(400, bad[i]);
}

static void targets_with_forbidden_bytes_are_refused(void **state)
{
	static const char *const bad[] = { "/path#frag", "/a\\b", "/caf\xc3\xa9", "/\xc0\xaf", "/a\tb", "/a\x7f" };
	struct reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128] = "GET ";

		strcat(text, bad[i]);
		strcat(text, " HTTP/1.1\r\n" HOST "\r\n");
		refuse(400, text);
	}
	REFUSE_BYTES(400, "GET /\0 HTTP/1.1\r\n" HOST "\r\n");
	accept_request(&r, "GET /\"<>[]^`{|}%zz?? HTTP/1.1\r\n" HOST "\r\n"); /* printable; ch_h1_target judges escapes */
}

static void http_0_9_is_refused_at_its_line_end(void **state)
{
	(void)state;
	refuse(400, "GET /\r");
	refuse(400, "GET /\r\n");
	refuse(400, "GET /\n");
}

static void malformed_versions_are_400(void **state)
{
	static const char *const bad[] = {
		"HTTP/1", "HTTP/1.", "http/1.1", "Http/1.1", "HTTP/01.1", "HTTP/1.01", "HTTP/01.01", "HTTP/ 1.1", "HTTP/11.1",
		"HTTP/1.10", "HTTP/1,1", "HTTP/a.b", "HTTP", "ICE/1.0", "RTSP/1.0", "HTTPS/1.1", "HTTP/+1.1"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128] = "GET / ";

		strcat(text, bad[i]);
		strcat(text, "\r\n" HOST "\r\n");
		refuse(400, text);
	}
}

static void other_major_versions_are_505(void **state)
{
	(void)state;
	refuse(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	refuse(505, "GET / HTTP/2.0\r\n" HOST "\r\n");
	refuse(505, "GET / HTTP/9.9\r\n" HOST "\r\n");
	refuse(505, "GET / HTTP/0.9\r\n" HOST "\r\n");
}

static void http_1_2_counts_as_1_1(void **state)
{
	struct reply r;

	(void)state;
	accept_request(&r, "GET / HTTP/1.2\r\n" HOST "\r\n");
	assert_int_equal(r.head.minor, 1);
	assert_true(r.head.keep_alive);
}

/* ---- H19, H20, H25 ---- */

static void limits_are_inclusive_and_told_without_a_line_end(void **state)
{
	static const struct ch_h1_limits small = { 20, 10, 60, 3 };
	static const struct {
		int status; /* 0: accepted */
		const char *text;
	} rows[] = {
		{ 0, "GET /567890 HTTP/1.1\r\nHost: a\r\n\r\n" },
		{ 414, "GET /5678901 HTTP/1.1\r\nHost: a\r\n\r\n" },
		{ 414, "GET /5678901 " },
		{ 414, "GET /5678901234567890" },
		{ 414, "GET /56789012345678901234567890" },
		{ 0, "GET / HTTP/1.1\r\nHost: a\r\nX: 4567890\r\n\r\n" },
		{ 431, "GET / HTTP/1.1\r\nHost: a\r\nX: 45678901\r\n\r\n" },
		{ 431, "GET / HTTP/1.1\r\nHost: a\r\nX: 45678901" },
		{ 431, "GET / HTTP/1.1\r\nHost: a\r\nX456789012Y" },
		{ 431, "GET / HTTP/1.1\r\nHost: a\r\nX:         " },
		{ 0, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n" },
		{ 431, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC" },
		{ 0, "GET /567890 HTTP/1.1\r\nHost: abcd\r\nA: 4567890\r\nB: 4567890\r\n\r\n" },
		{ 431, "GET /567890 HTTP/1.1\r\nHost: abcd\r\nA: 4567890\r\nB: 4567890\r\nC" },
	};
	struct ch_h1_limits head = small;
	struct reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		parse(&r, NO_METHOD, &small, rows[i].text, strlen(rows[i].text));
		head.max_head = 60;
		if (rows[i].status == 0) { /* the head's own length is the smallest limit that it passes */
			assert_int_equal(r.rc, CH_H1_DONE);
			head.max_head = r.head.head_len;
			parse(&r, NO_METHOD, &head, rows[i].text, strlen(rows[i].text));
			assert_int_equal(r.rc, CH_H1_DONE);
			head.max_head--;
			parse(&r, NO_METHOD, &head, rows[i].text, strlen(rows[i].text));
			assert_int_equal(r.rc, CH_H1_ERROR);
			assert_int_equal(r.head.status, 431);
		} else {
			assert_int_equal(r.rc, CH_H1_ERROR);
			assert_int_equal(r.head.status, rows[i].status);
		}
	}
}

static void the_callers_room_bounds_the_number_of_fields(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n";
	struct ch_h1_field one[1];
	struct ch_h1_head head = { .fields = one, .fields_cap = 1 };

	(void)state;
	assert_int_equal(ch_h1_parse_request(&head, &limits, text, sizeof(text) - 1), CH_H1_ERROR);
	assert_int_equal(head.status, 431);
}

static void expect_takes_100_continue_only(void **state)
{
	struct reply r;

	(void)state;
	accept_field(&r, "Expect: 100-Continue");
	assert_true(r.head.expect_continue);
	refuse_field(417, "Expect: 200-ok");
	refuse_field(417, "Expect: 100-continue, x");
	refuse_field(417, "Expect:");
	accept_request(&r, "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
	assert_false(r.head.expect_continue);
	accept_request(&r, "POST / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n");
}

static void garbage_is_refused_at_once(void **state)
{
	(void)state;
	REFUSE_BYTES(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
	REFUSE_BYTES(400, "\x16");
	REFUSE_BYTES(400, "\0");
	REFUSE_BYTES(400, "\x89\x89\x1cod?");
	REFUSE_BYTES(400, "{\"a\":1}");
	REFUSE_BYTES(400, "SSH-2.0-OpenSSH_9.2\r\n");
}

/* ---- H16, H17: targets as routes see them ---- */

static void expect_path(const char *target, const char *path, const char *query)
{
	size_t n = strlen(target);
	char *copy = malloc(n);
	char *out = malloc(n);
	struct ch_h1_span q;
	const char *error = NULL;
	size_t len;

	memcpy(copy, target, n);
	if (ch_h1_target(copy, n, out, &len, &q, &error) != 0)
		fail_msg("%s: %s", target, error);
	assert_int_equal(len, strlen(path));
	assert_memory_equal(out, path, len);
	assert_int_equal(q.len, strlen(query));
	assert_memory_equal(target + q.off, query, q.len);
	free(copy);
	free(out);
}

static void refuse_target(const char *target)
{
	size_t n = strlen(target);
	char out[256];
	struct ch_h1_span q;
	const char *error = NULL;
	size_t len;

	if (ch_h1_target(target, n, out, &len, &q, &error) != -1)
		fail_msg("accepted: %s", target);
	assert_non_null(error);
}

static void a_target_is_split_into_path_and_query(void **state)
{
	(void)state;
	expect_path("/", "/", "");
	expect_path("/a/b?c=%41&d", "/a/b", "c=%41&d");
	expect_path("/a?", "/a", "");
	expect_path("/a?b?c", "/a", "b?c");
	expect_path("*", "*", "");
	expect_path("http://h:1/a?b", "/a", "b");
	expect_path("HTTPS://h/%7Ea", "/~a", "");
	expect_path("http://h", "/", "");
	expect_path("http://h?q", "/", "q");
	refuse_target("");
	refuse_target("a");
	refuse_target("?q");
	refuse_target("h:80");
}

static void escapes_are_decoded_once(void **state)
{
	(void)state;
	expect_path("/%61%2Fb%2f", "/a/b/", "");
	expect_path("/%2561", "/%61", "");
	expect_path("/%252e%252e/x", "/%2e%2e/x", "");
	expect_path("/%c3%a9%E2%82%AC%F0%9F%98%80", "/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "");
	expect_path("/a%3Fb%23%20c", "/a?b# c", "");
}

static void bad_escapes_are_refused(void **state)
{
	static const char *const bad[] = {
		"/%", "/%4", "/%zz", "/%4g", "/%00", "/%0d%0a", "/%1f", "/%7f", "/%c0%af", "/%e0%80%af", "/%f0%80%80%af",
		"/%ed%a0%80", "/%f4%90%80%80", "/%80", "/%c3", "/%c3/", "/%e2%82", "/%ff", "/%c3%28", "/%c3/..", "%2"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_target(bad[i]);
}

static void dot_segments_and_double_slashes_are_removed(void **state)
{
	(void)state;
	expect_path("/a/b/c/./../../g", "/a/g", ""); /* RFC 3986, section 5.2.4 */
	expect_path("/../../etc/passwd", "/etc/passwd", "");
	expect_path("/a/..", "/", "");
	expect_path("/a/b/..", "/a/", "");
	expect_path("/a/.", "/a/", "");
	expect_path("/.", "/", "");
	expect_path("/..", "/", "");
	expect_path("/a/%2e%2E/b", "/b", "");
	expect_path("/a%2f..%2fb", "/b", "");
	expect_path("//a///b//", "/a/b/", "");
	expect_path("/a//../b", "/a/b", "");
	expect_path("/...", "/...", "");
	expect_path("/.a/..b/c.", "/.a/..b/c.", "");
	expect_path("/a?/../b", "/a", "/../b");
}

/* ---- responses ---- */

static void accept_response(struct reply *r, int method, const char *text)
{
	parse(r, method, &limits, text, strlen(text));
	if (r->rc != CH_H1_DONE)
		print_message("not accepted: %s\n%s\n", r->rc == CH_H1_ERROR ? r->head.error : "incomplete", text);
	assert_int_equal(r->rc, CH_H1_DONE);
}

static void refuse_response(const char *text)
{
	struct reply r;

	parse(&r, CH_H1_GET, &limits, text, strlen(text));
	if (r.rc != CH_H1_ERROR)
		print_message("accepted: %s\n", text);
	assert_int_equal(r.rc, CH_H1_ERROR);
	assert_int_equal(r.head.status, 502);
	assert_non_null(r.head.error);
}

static void a_response_is_told_as_spans(void **state)
{
	static const char text[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
	struct reply r;

	(void)state;
	accept_response(&r, CH_H1_GET, text);
	assert_int_equal(r.head.status, 404);
	assert_span(text, r.head.reason, "Not Found");
	assert_int_equal(r.head.body, CH_H1_BODY_LENGTH);
	assert_int_equal(r.head.content_length, 3);
	assert_int_equal(r.head.head_len, sizeof(text) - 1 - 3);
	assert_true(r.head.keep_alive);
}

static void a_reason_may_be_missing(void **state)
{
	struct reply r;

	(void)state;
	accept_response(&r, CH_H1_GET, "HTTP/1.1 200\r\n\r\n");
	assert_int_equal(r.head.reason.len, 0);
	accept_response(&r, CH_H1_GET, "HTTP/1.1 200 \r\n\r\n");
	assert_int_equal(r.head.reason.len, 0);
	accept_response(&r, CH_H1_GET, "HTTP/1.1 500 Ori\xebntatie\tprobleem\r\n\r\n");
}

static void malformed_status_lines_are_refused(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.1 2 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 099 X",
		"HTTP/1.1 600 X", "HTTP/1.1 999 X", "HTTP/1.1 20x X", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/01.1 200 OK",
		"HTP/1.1 200 OK", "ICY 200 OK", "http/1.1 200 OK", " HTTP/1.1 200 OK", "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 O\rK",
		"HTTP/1.1 200\tOK", "HTTP/1.1", "<html>"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128];

		strcpy(text, bad[i]);
		refuse_response(strcat(text, "\r\n\r\n"));
	}
	refuse_response("HTTP/1.1 200 OK\n\n");
	refuse_response("\r\nHTTP/1.1 200 OK\r\n\r\n");
	refuse_response("220 smtp.example ESMTP\r\n");
}

static void ambiguous_response_framing_is_refused(void **state)
{
	(void)state;
	refuse_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n");
	refuse_response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	refuse_response("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n");
	refuse_response("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n");
	refuse_response("HTTP/1.1 200 OK\r\nX : a\r\n\r\n");
}

static void the_body_of_a_response_follows_rfc_9112_6_3(void **state)
{
	struct reply r;

	(void)state;
	accept_response(&r, CH_H1_GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_CHUNKED);
	accept_response(&r, CH_H1_GET, "HTTP/1.1 200 OK\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_CLOSE);
	assert_false(r.head.keep_alive);
	accept_response(&r, CH_H1_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	assert_true(r.head.keep_alive);
	accept_response(&r, CH_H1_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	accept_response(&r, CH_H1_GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	accept_response(&r, CH_H1_GET, "HTTP/1.1 204 No Content\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	accept_response(&r, CH_H1_CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	accept_response(&r, CH_H1_CONNECT, "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(r.head.body, CH_H1_BODY_LENGTH);
}

static void a_1xx_head_is_returned_like_any_other(void **state)
{
	static const char text[] = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
	struct reply r;

	(void)state;
	accept_response(&r, CH_H1_GET, text);
	assert_int_equal(r.head.status, 103);
	assert_int_equal(r.head.body, CH_H1_BODY_NONE);
	assert_int_equal(r.head.head_len, strstr(text, "HTTP/1.1 200") - text);
}

static void a_response_of_1_0_closes_unless_it_says_otherwise(void **state)
{
	struct reply r;

	(void)state;
	accept_response(&r, CH_H1_GET, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_false(r.head.keep_alive);
	accept_response(&r, CH_H1_GET, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
	assert_true(r.head.keep_alive);
	accept_response(&r, CH_H1_GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	assert_false(r.head.keep_alive);
}

static void response_limits_are_502(void **state)
{
	static const struct ch_h1_limits small = { 15, 10, 40, 2 };
	static const char *const bad[] = {
		"HTTP/1.1 200 OKx\r\n\r\n", "HTTP/1.1 200 OKx", "HTTP/1.1 200 OK\r\nX: 45678901",
		"HTTP/1.1 200 OK\r\nA:\r\nB:\r\nC:\r\n\r\n", "HTTP/1.1 200 OK\r\nA: 4567890\r\nB: 4567890\r"
	};
	struct reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		parse(&r, CH_H1_GET, &small, bad[i], strlen(bad[i]));
		assert_int_equal(r.rc, CH_H1_ERROR);
		assert_int_equal(r.head.status, 502);
	}
	parse(&r, CH_H1_GET, &small, "HTTP/1.1 200 OK\r\nX: 4567890\r\n\r\n", 31);
	assert_int_equal(r.rc, CH_H1_DONE);
}

/* RFC 9110, sections 5.5 and 5.6.2, byte by byte. */
static int is_tchar(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int is_value_byte(int c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* Texts of letters with one other byte, at every place: of every length, as they are looked at in blocks that overlap. */
static void whole_tokens_and_values_are_judged_by_every_byte(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 50; n++) {
		for (size_t at = 0; at < n; at++) {
			char *text = malloc(n); /* its end is the end of the block, for sanitizers */

			for (size_t i = 0; i < n; i++)
				text[i] = "aZ-"[i % 3];
			for (int c = 0; c < 256; c++) {
				text[at] = (char)c;
				assert_int_equal(ch_h1_token(text, n), !!is_tchar(c));
				assert_int_equal(ch_h1_value(text, n), !!is_value_byte(c));
			}
			free(text);
		}
	}
	assert_false(ch_h1_token("", 0));
	assert_true(ch_h1_value("", 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_told_as_spans),
		cmocka_unit_test(methods_are_told_apart_and_are_case_sensitive),
		cmocka_unit_test(fields_longer_than_a_vector_are_scanned_whole),
		cmocka_unit_test(one_crlf_before_the_request_line_is_skipped),
		cmocka_unit_test(a_head_ends_at_its_empty_line),
		cmocka_unit_test(the_same_result_comes_from_every_split),
		cmocka_unit_test(connection_says_whether_the_connection_stays),
		cmocka_unit_test(list_members_are_found_in_any_case),
		cmocka_unit_test(two_content_lengths_are_refused),
		cmocka_unit_test(content_length_beside_transfer_encoding_is_refused),
		cmocka_unit_test(a_content_length_that_is_no_plain_number_is_refused),
		cmocka_unit_test(content_lengths_up_to_the_largest_are_read),
		cmocka_unit_test(a_transfer_encoding_other_than_chunked_is_refused),
		cmocka_unit_test(chunked_is_accepted_in_any_case),
		cmocka_unit_test(framing_names_with_an_underscore_are_refused),
		cmocka_unit_test(chunks_give_their_data_and_nothing_else),
		cmocka_unit_test(chunk_extensions_are_dropped),
		cmocka_unit_test(malformed_chunk_sizes_are_refused),
		cmocka_unit_test(malformed_chunk_extensions_are_refused),
		cmocka_unit_test(a_long_chunk_extension_is_refused),
		cmocka_unit_test(framing_bytes_are_paid_for_by_body_bytes),
		cmocka_unit_test(chunk_data_that_is_not_of_its_size_is_refused),
		cmocka_unit_test(trailers_are_checked_and_dropped),
		cmocka_unit_test(long_trailers_are_refused),
		cmocka_unit_test(a_finished_or_failed_decoder_stays_so),
		cmocka_unit_test(line_ends_other_than_crlf_are_refused),
		cmocka_unit_test(obsolete_folding_is_refused),
		cmocka_unit_test(control_characters_are_refused_everywhere),
		cmocka_unit_test(values_may_hold_tabs_and_high_bytes),
		cmocka_unit_test(malformed_field_lines_are_refused),
		cmocka_unit_test(every_token_character_may_stand_in_a_name),
		cmocka_unit_test(whole_tokens_and_values_are_judged_by_every_byte),
		cmocka_unit_test(two_content_types_are_accepted),
		cmocka_unit_test(a_missing_host_is_refused_in_1_1_only),
		cmocka_unit_test(malformed_hosts_are_refused),
		cmocka_unit_test(hosts_of_all_kinds_are_accepted),
		cmocka_unit_test(the_host_of_an_absolute_target_counts),
		cmocka_unit_test(an_absolute_target_that_differs_from_host_is_refused),
		cmocka_unit_test(a_star_goes_with_options_only),
		cmocka_unit_test(connect_takes_a_host_and_a_port),
		cmocka_unit_test(a_method_over_32_bytes_is_refused_at_once),
		cmocka_unit_test(malformed_request_lines_are_refused),
		cmocka_unit_test(targets_with_forbidden_bytes_are_refused),
		cmocka_unit_test(http_0_9_is_refused_at_its_line_end),
		cmocka_unit_test(malformed_versions_are_400),
		cmocka_unit_test(other_major_versions_are_505),
		cmocka_unit_test(http_1_2_counts_as_1_1),
		cmocka_unit_test(limits_are_inclusive_and_told_without_a_line_end),
		cmocka_unit_test(the_callers_room_bounds_the_number_of_fields),
		cmocka_unit_test(expect_takes_100_continue_only),
		cmocka_unit_test(garbage_is_refused_at_once),
		cmocka_unit_test(a_target_is_split_into_path_and_query),
		cmocka_unit_test(escapes_are_decoded_once),
		cmocka_unit_test(bad_escapes_are_refused),
		cmocka_unit_test(dot_segments_and_double_slashes_are_removed),
		cmocka_unit_test(a_response_is_told_as_spans),
		cmocka_unit_test(a_reason_may_be_missing),
		cmocka_unit_test(malformed_status_lines_are_refused),
		cmocka_unit_test(ambiguous_response_framing_is_refused),
		cmocka_unit_test(the_body_of_a_response_follows_rfc_9112_6_3),
		cmocka_unit_test(a_1xx_head_is_returned_like_any_other),
		cmocka_unit_test(a_response_of_1_0_closes_unless_it_says_otherwise),
		cmocka_unit_test(response_limits_are_502),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
