/* SPDX-License-Identifier: MIT */
/* Fuzzes the JSON scanner and writer: any bytes in, these promises out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x) ((x) ? (void)0 : broken(#x, __LINE__))

static void broken(const char *what, int line)
{
	fprintf(stderr, "fuzz_json.c:%d: %s does not hold\n", line, what);
	abort();
}

/* All memory is of the exact size, so that a sanitizer sees each byte too far. */
static void *exact(size_t n)
{
	void *p = malloc(n);

	CHECK(p || !n);
	return p;
}

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	void *p = realloc(old, want);

	(void)arg;
	(void)used;
	CHECK(p);
	return p;
}

/* A check of UTF-8 that shares no idea with the scanner's: decodes and looks at the number. */
static bool is_utf8(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
		unsigned char c = (unsigned char)s[i++];
		uint32_t u = c, more = 0;

		if (c >= 0x80) {
			more = c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 0;
			if (!more || n - i < more)
				return false;
			u = c & (0x3fu >> more);
		}
		for (uint32_t k = 0; k < more; k++) {
			if (((unsigned char)s[i] & 0xc0) != 0x80)
				return false;
			u = u << 6 | ((unsigned char)s[i++] & 0x3f);
		}
		if (more && (u < least[more + 1] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000)))
			return false;
	}
	return true;
}

/* The text of a key or string in memory of its own, with a final NUL. */
static char *text(const struct ch_json_tok *tok, size_t *n)
{
	char *raw = exact(tok->len), *s;

	*n = ch_json_unescape(tok, raw);
	CHECK(*n <= tok->len);
	CHECK(tok->escaped || *n == tok->len);
	s = exact(*n + 1);
	memcpy(s, raw, *n);
	s[*n] = 0;
	free(raw);
	CHECK(is_utf8(s, *n));
	CHECK(ch_json_eq(tok, s) == (strlen(s) == *n));
	return s;
}

static void write_number(struct ch_jw *w, const struct ch_json_tok *tok)
{
	int64_t v, again;
	double d;
	bool is_double = ch_json_double(tok, &d), is_int = ch_json_int(tok, INT64_MIN, INT64_MAX, &v);

	CHECK(!is_double || isfinite(d));
	if (is_int) {
		CHECK(is_double && d == (double)v);
		CHECK(!ch_json_int(tok, INT64_MIN, v - (v != INT64_MIN), &again) || v == INT64_MIN);
		ch_jw_int(w, v);
	} else if (is_double) {
		ch_jw_double(w, d);
	} else {
		ch_jw_raw(w, tok->s, tok->len);
	}
}

/* Walks a valid document to its end, checks each token and writes it again. */
static void rewrite(const char *p, size_t n, struct ch_jw *w)
{
	char open[CH_JSON_DEPTH_MAX];
	size_t depth = 0, behind = 0, len;
	struct ch_json j;
	struct ch_json_tok tok;
	char *s;

	ch_json_init(&j, p, n, 0, 0);
	while (ch_json_next(&j, &tok) != CH_JSON_END) {
		bool quoted = tok.type == CH_JSON_KEY || tok.type == CH_JSON_STRING;

		CHECK(tok.type > CH_JSON_END);
		CHECK(tok.start >= behind && tok.start < tok.end && tok.end <= j.pos && j.pos <= n);
		CHECK(tok.s == p + tok.start + quoted && tok.len + 2 * quoted == tok.end - tok.start);
		behind = tok.end;
		switch (tok.type) {
		case CH_JSON_OBJECT:
		case CH_JSON_ARRAY:
			CHECK(depth < CH_JSON_DEPTH_MAX);
			open[depth++] = *tok.s;
			if (tok.type == CH_JSON_OBJECT)
				ch_jw_object(w);
			else
				ch_jw_array(w);
			break;
		case CH_JSON_OBJECT_END:
			CHECK(depth && open[--depth] == '{' && *tok.s == '}');
			ch_jw_object_end(w);
			break;
		case CH_JSON_ARRAY_END:
			CHECK(depth && open[--depth] == '[' && *tok.s == ']');
			ch_jw_array_end(w);
			break;
		case CH_JSON_KEY:
			CHECK(depth && open[depth - 1] == '{');
			s = text(&tok, &len);
			ch_jw_key(w, s); /* only up to the first NUL */
			free(s);
			break;
		case CH_JSON_STRING:
			s = text(&tok, &len);
			ch_jw_string(w, s, len);
			free(s);
			break;
		case CH_JSON_NUMBER:
			write_number(w, &tok);
			break;
		case CH_JSON_TRUE:
		case CH_JSON_FALSE:
			ch_jw_bool(w, tok.type == CH_JSON_TRUE);
			break;
		default:
			CHECK(tok.type == CH_JSON_NULL);
			ch_jw_null(w);
		}
		CHECK(j.depth == depth);
	}
	CHECK(depth == 0 && j.pos == n);
	CHECK(ch_json_next(&j, &tok) == CH_JSON_END);
}

/* Do two valid documents hold the same tokens with the same values? */
static void same(const char *a, size_t an, const char *b, size_t bn)
{
	struct ch_json ja, jb;
	struct ch_json_tok ta, tb;

	ch_json_init(&ja, a, an, 0, 0);
	ch_json_init(&jb, b, bn, 0, 0);
	do {
		CHECK(ch_json_next(&ja, &ta) == ch_json_next(&jb, &tb));
		if (ta.type == CH_JSON_STRING || ta.type == CH_JSON_KEY) {
			size_t na, nb;
			char *sa = text(&ta, &na), *sb = text(&tb, &nb);

			if (ta.type == CH_JSON_KEY)
				na = strlen(sa);
			CHECK(na == nb && !memcmp(sa, sb, na));
			free(sa);
			free(sb);
		} else if (ta.type == CH_JSON_NUMBER) {
			double da = 0, db = 0;

			CHECK(ch_json_double(&ta, &da) == ch_json_double(&tb, &db) && da == db);
		}
	} while (ta.type != CH_JSON_END);
}

/* Bytes of any kind, written as one string, are valid JSON of one line; what was UTF-8 before comes back. */
static void as_string(const char *p, size_t n)
{
	struct ch_jw w;
	struct ch_json j;
	struct ch_json_tok tok;
	size_t len;
	char *doc, *s;

	ch_jw_init(&w, NULL, 0);
	w.grow = grow;
	ch_jw_string(&w, p, n);
	CHECK(!w.failed && w.len <= w.cap);
	for (size_t i = 0; i < w.len; i++)
		CHECK((unsigned char)w.buf[i] >= 0x20);
	doc = exact(w.len);
	memcpy(doc, w.buf, w.len);
	ch_json_init(&j, doc, w.len, 0, 0);
	CHECK(ch_json_next(&j, &tok) == CH_JSON_STRING);
	s = text(&tok, &len);
	CHECK((len == n && (!n || !memcmp(s, p, n))) == is_utf8(p, n));
	CHECK(ch_json_next(&j, &tok) == CH_JSON_END);
	free(s);
	free(doc);
	free(w.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p = exact(size);
	const char *error = NULL;
	size_t pos = size + 1;
	struct ch_json j;
	struct ch_json_tok tok;
	int first;
	bool ok;

	if (size)
		memcpy(p, data, size);
	ok = ch_json_valid(p, size, 0, 0, &pos, &error);
	CHECK(ok == !error && (ok || pos <= size));
	CHECK(ok || !ch_json_valid(p, size, 3, 9, NULL, NULL)); /* limits let nothing in */

	ch_json_init(&j, p, size, 0, 0);
	first = ch_json_next(&j, &tok);
	if (first > CH_JSON_END && ch_json_skip(&j, &tok) == 0)
		CHECK((ch_json_next(&j, &tok) == CH_JSON_END) == ok);
	else
		CHECK(!ok && j.pos == pos && j.error == error);

	if (ok) {
		struct ch_jw w;
		char *copy;

		CHECK(is_utf8(p, size));
		ch_jw_init(&w, NULL, 0);
		w.grow = grow;
		rewrite(p, size, &w);
		CHECK(!w.failed && w.len <= w.cap && w.depth == 0);
		copy = exact(w.len);
		memcpy(copy, w.buf, w.len);
		CHECK(ch_json_valid(copy, w.len, 0, 0, NULL, NULL));
		same(p, size, copy, w.len);
		free(copy);
		free(w.buf);
	}
	as_string(p, size);
	free(p);
	return 0;
}
