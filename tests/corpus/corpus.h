/* SPDX-License-Identifier: MIT */
/*
 * corpus.h - what the tests that run on public test data share: find the folder, read a file, walk its JSON lines, decode base64.
 *
 * The data is not part of the project. A test calls corpus_read() first and, when that gives NULL, returns corpus_absent() from main:
 * automake shows exit code 77 as SKIP. The lines are read with the kit's own scanner (link sdk/kit/json.c).
 *
 *	char *file = corpus_read("jsontestsuite.jsonl", &n);
 *	const char *p = file, *line;
 *	while (corpus_line(&p, file + n, &line, &len))
 *		if (corpus_member(line, len, "b64", &tok))
 *			doc = corpus_base64(tok.s, tok.len, &doc_len);
 *
 * Running out of memory and broken lines abort: a test has no better answer. What a function returns the caller frees.
 */
#ifndef CHIMERA_TESTS_CORPUS_H
#define CHIMERA_TESTS_CORPUS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/json.h"

static inline void *corpus_alloc(size_t n)
{
	void *p = malloc(n);

	if (!p)
		abort();
	return p;
}

/* The whole file `name` of the corpus folder ($CHIMERA_CORPUS, else $srcdir/../shared/corpus), or NULL when it is not at hand. */
static inline char *corpus_read(const char *name, size_t *n)
{
	const char *dir = getenv("CHIMERA_CORPUS"), *src = getenv("srcdir");
	char path[4096], *buf;
	FILE *f;
	long size;

	if (dir && *dir)
		snprintf(path, sizeof(path), "%s/%s", dir, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/corpus/%s", src && *src ? src : ".", name);
	f = fopen(path, "rb");
	if (!f)
		return NULL;
	if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		abort();
	buf = corpus_alloc((size_t)size + 1);
	*n = fread(buf, 1, (size_t)size, f);
	buf[*n] = 0;
	fclose(f);
	return buf;
}

/* Says that the data is missing; returns the exit code for main. */
static inline int corpus_absent(void)
{
	puts("skipped: corpus not at hand");
	return 77;
}

/* The next line that is not empty, without its end. Moves *p behind it; false at the end. */
static inline bool corpus_line(const char **p, const char *end, const char **line, size_t *n)
{
	while (*p < end) {
		const char *nl = memchr(*p, '\n', (size_t)(end - *p));

		*line = *p;
		*n = (size_t)((nl ? nl : end) - *p);
		*p = nl ? nl + 1 : end;
		if (*n)
			return true;
	}
	return false;
}

/*
 * The value of the member `name` of the object on this line: its first token, and tok->end behind the whole value
 * (line[tok->start .. tok->end) is the value, which may be scanned again). False: no such member.
 */
static inline bool corpus_member(const char *line, size_t n, const char *name, struct ch_json_tok *tok)
{
	struct ch_json j;

	ch_json_init(&j, line, n, 0, 0);
	if (ch_json_next(&j, tok) != CH_JSON_OBJECT)
		abort();
	while (ch_json_next(&j, tok) == CH_JSON_KEY) {
		bool hit = ch_json_eq(tok, name);

		if (ch_json_next(&j, tok) < 0 || ch_json_skip(&j, tok) < 0)
			abort();
		if (hit)
			return true;
	}
	if (tok->type != CH_JSON_OBJECT_END)
		abort();
	return false;
}

/* A string token's text, decoded and with a final NUL; *n (may be NULL) gets its length, as the text may hold NUL bytes. */
static inline char *corpus_text(const struct ch_json_tok *tok, size_t *n)
{
	char *s = corpus_alloc(tok->len + 1);
	size_t len = ch_json_unescape(tok, s);

	s[len] = 0;
	if (n)
		*n = len;
	return s;
}

/* Decodes base64 into memory of exactly the decoded size (at least one byte), so that a sanitizer sees a read past its end. */
static inline char *corpus_base64(const char *s, size_t n, size_t *len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned int acc = 0, bits = 0;
	char *out;

	while (n && s[n - 1] == '=')
		n--;
	out = corpus_alloc(n / 4 * 3 + n % 4 * 6 / 8 + !n);
	*len = 0;
	for (size_t i = 0; i < n; i++) {
		const char *d = s[i] ? strchr(digits, s[i]) : NULL;

		if (!d)
			abort();
		acc = acc << 6 | (unsigned int)(d - digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[(*len)++] = (char)(acc >> bits);
		}
	}
	return out;
}

#endif
