/* SPDX-License-Identifier: MIT */
/*
 * Our HTTP parser against llhttp's fixtures (strict mode): what llhttp refuses we refuse, what it accepts we accept, and where
 * the two differ the table below says why. Each fixture is run as a connection would run it, message after message, with the
 * bytes in one piece, split once at every byte, and one byte at a time; the outcome must be the same.
 *
 * Two things are put right before: many fixtures lost their last line end, and most have no Host, which we require.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chimera/kit/http1.h"
#include "corpus.h"

#define FIELDS 100
#define HOST_LINE "Host: llhttp.test\r\n"

static const struct ch_h1_limits limits = { 8192, 16384, 65536, FIELDS };

static char *file;
static size_t file_len;

/* ---- where we differ ---- */

struct difference {
	const char *title; /* the fixture's own */
	const char *why;
};

/* llhttp accepts, we refuse. */
static const struct difference stricter[] = {
	{ "`Content-Length` with zeroes", "a leading zero in Content-Length" },
	{ "`Content-Length` with follow-up headers", "a leading zero in Content-Length" },
	{ "SOURCE request with ICE", "not HTTP" },
	{ "OPTIONS request with RTSP", "not HTTP" },
	{ "ANNOUNCE request with RTSP", "not HTTP" },
	{ "M-SEARCH request", "* goes with OPTIONS only (RFC 9112, section 3.2.4)" },
	{ "No HTTP version", "HTTP/0.9" },
	{ "POST with `chunked` as last transfer-encoding", "only a single chunked is a coding we know" },
	{ "POST with `chunked` as last transfer-encoding (multiple headers)", "only a single chunked is a coding we know" },
	{ "Quotes in URI", "a backslash in the target" },
	{ "Fragment in URI", "a fragment in the target" },
	{ "`host:port` and basic auth", "userinfo in the target" },
	{ "Host terminated by a query string", "the Host that this test adds is another one" },
	{ "`host:port` terminated by a query string", "the Host that this test adds is another one" },
	{ "`host:port` terminated by a space", "the Host that this test adds is another one" },
	{ "HTTP 304 with Content-Length", "CRLF before a status line: section 2.2 has it before request lines only" },
	{ "HTTP 100 first, then 400", "CRLF before a status line" },
	{ "Response starting with CRLF", "CRLF before a status line" },
	{ "Should parse multiple events", "CRLF before a status line (the fixture of responses)" },
	{ "RTSP response", "not HTTP" },
	{ "ICE response", "not HTTP" },
	{ "HTTP version 0.9", "not HTTP/1.x" },
	{ "`chunked` before other transfer-encoding", "only a single chunked is a coding we know" },
	{ "multiple transfer-encoding where chunked is not the last one", "Transfer-Encoding twice" },
	{ "HTTP 103 first, then 200", "the fixture's body is a byte shorter than its Content-Length" },
	{ "Google 301", "the fixture's bytes go on behind the body" },
	{ "`chunkedchunked` transfer-encoding does not enable chunked enconding", "an unknown coding" },
};

/* llhttp stops with an error, we do not. */
static const struct difference laxer[] = {
	{ "No restart when keep-alive is off (1.0)", "what follows the last message is never read: the core closes" },
	{ "Setting a flag and pausing", "llhttp pauses for an upgrade; we ignore it" },
	{ "HTTP protocol and ANNOUNCE method", "an unknown method is 501, the core's to say" },
	{ "Invalid method", "an unknown method is 501, the core's to say" },
	{ "CONNECT request", "405 is the core's to say" },
	{ "CONNECT request with CAPS", "405 is the core's to say" },
	{ "CONNECT with body", "405 is the core's to say" },
	{ "Underscore in hostname", "CONNECT: 405 is the core's to say" },
	{ "HTTP/1.1 with keep-alive disabled and 204 status", "what follows the last message is never read" },
	{ "HTTP/1.1 with keep-alive disabled, content-length", "what follows the last message is never read" },
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* Which rows were needed. */
static char stricter_met[ROWS(stricter)];
static char laxer_met[ROWS(laxer)];

static int listed(const struct difference *table, char *met, size_t n, const char *title)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(table[i].title, title))
			return met[i] = 1;
	return 0;
}

/* ---- a connection that only reads ---- */

struct connection {
	int response;
	int finished; /* after a message that is the connection's last */
	int in_body;
	uint64_t left; /* of a body with a length */
	struct ch_h1_head head;
	struct ch_h1_field fields[FIELDS];
	struct ch_h1_chunked chunked;
	size_t pos; /* of the next byte, in the fixture */
	/* the outcome */
	const char *error;
	unsigned messages; /* complete ones */
	uint64_t hash;     /* of all that was told */
};

static void told(struct connection *c, const void *p, size_t n)
{
	const unsigned char *s = p;

	for (size_t i = 0; i < n; i++)
		c->hash = (c->hash ^ s[i]) * 0x100000001b3u;
}

static void tell_head(struct connection *c)
{
	told(c, &c->head.nfields, sizeof(c->head) - offsetof(struct ch_h1_head, nfields));
	told(c, c->fields, c->head.nfields * sizeof(c->fields[0]));
}

static void end_message(struct connection *c)
{
	c->messages++;
	c->in_body = 0;
	c->finished = !c->head.keep_alive && !(c->response && c->head.status < 200);
}

/* Returns 0 when the bytes up to `end` say no more. */
static int read_head(struct connection *c, const char *p, size_t end)
{
	char *copy = corpus_alloc(end - c->pos); /* a block of its own: a sanitizer sees reads behind it */
	enum ch_h1_rc rc;

	memset(&c->head, 0, sizeof(c->head));
	c->head.fields = c->fields;
	c->head.fields_cap = FIELDS;
	memcpy(copy, p + c->pos, end - c->pos);
	if (c->response)
		rc = ch_h1_parse_response(&c->head, &limits, CH_H1_GET, copy, end - c->pos);
	else
		rc = ch_h1_parse_request(&c->head, &limits, copy, end - c->pos);
	free(copy);
	if (rc == CH_H1_ERROR)
		c->error = c->head.error;
	if (rc != CH_H1_DONE)
		return 0;
	tell_head(c);
	c->pos += c->head.head_len;
	c->left = c->head.content_length;
	memset(&c->chunked, 0, sizeof(c->chunked));
	c->in_body = c->head.body != CH_H1_BODY_NONE;
	if (!c->in_body)
		end_message(c);
	return 1;
}

static int read_chunks(struct connection *c, const char *p, size_t end)
{
	const char *data;
	size_t used;
	size_t len;
	enum ch_h1_rc rc = ch_h1_chunked_next(&c->chunked, p + c->pos, end - c->pos, &used, &data, &len);

	if (rc == CH_H1_ERROR) {
		c->error = c->chunked.error;
		return 0;
	}
	told(c, data, len);
	c->pos += used;
	if (rc == CH_H1_DONE)
		end_message(c);
	return rc == CH_H1_DONE || c->pos < end;
}

static int read_body(struct connection *c, const char *p, size_t end)
{
	size_t n = end - c->pos;

	if (c->head.body == CH_H1_BODY_CHUNKED)
		return read_chunks(c, p, end);
	if (c->head.body == CH_H1_BODY_LENGTH && n > c->left)
		n = (size_t)c->left;
	told(c, p + c->pos, n);
	c->pos += n;
	c->left -= n;
	if (c->head.body == CH_H1_BODY_CLOSE || c->left)
		return 0;
	end_message(c);
	return 1;
}

static void feed(struct connection *c, const char *p, size_t end)
{
	while (!c->error && !c->finished && (c->in_body ? read_body(c, p, end) : c->pos < end && read_head(c, p, end)))
		;
}

static struct connection connect_as(int response)
{
	return (struct connection){ .response = response, .hash = 0xcbf29ce484222325u };
}

static int same(const struct connection *a, const struct connection *b)
{
	return a->error == b->error && a->messages == b->messages && a->hash == b->hash && a->finished == b->finished &&
	       (a->error || (a->pos == b->pos && a->in_body == b->in_body));
}

/* The outcome of all bytes at once, after making sure that no split changes it. */
static struct connection outcome(const char *title, int response, const char *p, size_t n)
{
	struct connection whole = connect_as(response);
	struct connection bytes = connect_as(response);

	feed(&whole, p, n);
	for (size_t split = 1; split < n; split++) {
		struct connection parts = connect_as(response);

		feed(&parts, p, split);
		feed(&parts, p, n);
		if (!same(&whole, &parts))
			fail_msg("%s: split at byte %zu: another outcome", title, split);
		feed(&bytes, p, split);
	}
	feed(&bytes, p, n);
	if (!same(&whole, &bytes))
		fail_msg("%s: byte by byte: another outcome", title);
	return whole;
}

/* ---- fixtures ---- */

static int mentions_host(const char *p, size_t n)
{
	for (size_t i = 0; i + 7 <= n; i++)
		if (!memcmp(p + i, "\r\n", 2) && (p[i + 2] | 0x20) == 'h' && (p[i + 3] | 0x20) == 'o' && (p[i + 4] | 0x20) == 's' &&
		    (p[i + 5] | 0x20) == 't' && p[i + 6] == ':')
			return 1;
	return 0;
}

/* The fixture with a Host behind each request line if it has none, and with the last line end if it ends inside a message. */
static char *complete(const char *p, size_t n, int response, size_t *out_n)
{
	static const char line[] = " HTTP/1.1\r\n";
	const size_t line_len = sizeof(line) - 1;
	int add = !response && !mentions_host(p, n);
	char *out = corpus_alloc((n + 2) * 4); /* a Host line is shorter than twice a request line's end */
	struct connection c = connect_as(response);
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		out[len++] = p[i];
		if (add && i + 1 >= line_len && !memcmp(p + i + 1 - line_len, line, line_len)) {
			memcpy(out + len, HOST_LINE, sizeof(HOST_LINE) - 1);
			len += sizeof(HOST_LINE) - 1;
		}
	}
	feed(&c, out, len);
	if (c.in_body || c.pos < len) {
		memcpy(out + len, "\r\n", 2);
		len += 2;
	}
	*out_n = len;
	return out;
}

struct fixture {
	char *title;
	char *bytes;
	size_t n;
	int accepted; /* by llhttp */
};

/* Reads the line if it is a fixture of that type ("request", "response") in default mode. */
static int read_fixture(struct fixture *f, const char *line, size_t len, const char *type)
{
	struct ch_json_tok tok;
	struct ch_json_tok value;
	char *raw;
	size_t n;

	if (!corpus_member(line, len, "kind", &tok) || !ch_json_eq(&tok, "http") || !corpus_member(line, len, "meta", &tok))
		return 0;
	if (!corpus_member(line + tok.start, tok.end - tok.start, "type", &value) || !ch_json_eq(&value, type))
		return 0;
	if (corpus_member(line + tok.start, tok.end - tok.start, "skipBody", &value)) /* bodies that are told not to be there */
		return 0;
	assert_true(corpus_member(line, len, "b64", &tok));
	raw = corpus_base64(tok.s, tok.len, &n);
	f->bytes = complete(raw, n, !strcmp(type, "response"), &f->n);
	free(raw);
	assert_true(corpus_member(line, len, "title", &tok));
	f->title = corpus_text(&tok, NULL);
	assert_true(corpus_member(line, len, "expect", &tok));
	f->accepted = ch_json_eq(&tok, "ok");
	return 1;
}

static int explained(const struct fixture *f)
{
	if (f->accepted)
		return listed(stricter, stricter_met, ROWS(stricter), f->title);
	return listed(laxer, laxer_met, ROWS(laxer), f->title);
}

/* Runs all fixtures of the type; the number of verdicts that no table explains is the failure. */
static void run(const char *type, int wanted)
{
	const char *p = file;
	const char *line;
	size_t len;
	struct fixture f;
	int total = 0, accepted = 0, refused = 0, differ = 0, wrong = 0;

	while (corpus_line(&p, file + file_len, &line, &len)) {
		struct connection c;

		if (!read_fixture(&f, line, len, type))
			continue;
		total++;
		c = outcome(f.title, !strcmp(type, "response"), f.bytes, f.n);
		if ((c.error == NULL) == f.accepted) {
			accepted += f.accepted;
			refused += !f.accepted;
		} else if (explained(&f)) {
			differ++;
		} else {
			wrong++;
			print_error("%s \"%s\": llhttp %s, we: %s\n", type, f.title, f.accepted ? "accepts" : "refuses",
				    c.error ? c.error : "accept");
		}
		free(f.bytes);
		free(f.title);
	}
	print_message("%ss: %d fixtures: %d accepted by both, %d refused by both, %d differ as listed, %d unexplained\n", type, total,
		      accepted, refused, differ, wrong);
	assert_int_equal(wrong, 0);
	assert_int_equal(total, wanted);
}

static void requests_are_judged_as_llhttp_does_or_as_listed(void **state)
{
	(void)state;
	run("request", 130);
}

static void responses_are_judged_as_llhttp_does_or_as_listed(void **state)
{
	(void)state;
	run("response", 74);
}

static int unneeded(const struct difference *table, const char *met, size_t n)
{
	int rows = 0;

	for (size_t i = 0; i < n; i++) {
		if (met[i])
			continue;
		print_error("no fixture needs the row \"%s\": %s\n", table[i].title, table[i].why);
		rows++;
	}
	return rows;
}

/* Runs after the two above. A row that no fixture needs would hide a change. */
static void every_listed_difference_is_needed(void **state)
{
	(void)state;
	assert_int_equal(unneeded(stricter, stricter_met, ROWS(stricter)), 0);
	assert_int_equal(unneeded(laxer, laxer_met, ROWS(laxer)), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_judged_as_llhttp_does_or_as_listed),
		cmocka_unit_test(responses_are_judged_as_llhttp_does_or_as_listed),
		cmocka_unit_test(every_listed_difference_is_needed),
	};
	int rc;

	file = corpus_read("llhttp.jsonl", &file_len);
	if (!file)
		return corpus_absent();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(file);
	return rc;
}
