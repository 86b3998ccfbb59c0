/* SPDX-License-Identifier: MIT */
/* json.c - the JSON pull scanner; the writer is in json_write.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strtod_l */
#endif

#include <float.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/json.h"
#include "json_text.h"

enum {
	ST_VALUE, /* a value must come: at the start, after a colon */
	ST_FIRST, /* behind an opening bracket: an element or the closing bracket */
	ST_NEXT,  /* behind a value: a comma, the closing bracket or, outside of all containers, the end */
	ST_END,   /* this and what follows is final */
	ST_ERROR
};

/*
 * Out of line, for speed: with these paths inlined gcc 12 reads n and pos of a scanner in one load of 16 bytes, which has to wait for
 * the store of pos just before (measured: a chat body takes twice the time).
 */
#define COLD __attribute__((cold, noinline))

static const char TOO_SHORT[] = "the document ends too early";

void ch_json_init(struct ch_json *j, const char *p, size_t n, uint32_t max_depth, uint64_t max_tokens)
{
	memset(j, 0, sizeof(*j));
	j->p = n ? p : ""; /* never NULL: offsets are added to it */
	j->n = n;
	j->max_depth = max_depth && max_depth < CH_JSON_DEPTH_MAX ? max_depth : CH_JSON_DEPTH_MAX;
	j->tokens_left = max_tokens ? max_tokens : UINT64_MAX;
	j->state = ST_VALUE;
}

static int token(const struct ch_json *j, struct ch_json_tok *tok, int type, size_t start, size_t end)
{
	*tok = (struct ch_json_tok){ .type = type, .start = start, .end = end, .s = j->p + start, .len = end - start };
	return type;
}

/* The end or an error, now and at every further call. */
static COLD int final(struct ch_json *j, struct ch_json_tok *tok)
{
	return token(j, tok, j->state == ST_END ? CH_JSON_END : CH_JSON_ERROR, j->pos, j->pos);
}

static COLD int fail(struct ch_json *j, struct ch_json_tok *tok, size_t pos, const char *why)
{
	j->pos = pos;
	j->error = why;
	j->state = ST_ERROR;
	return final(j, tok);
}

static size_t skip_blanks(const char *p, size_t i, size_t n)
{
	while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t'))
		i++;
	return i;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_digits(const char *p, size_t i, size_t n)
{
	while (i < n && is_digit(p[i]))
		i++;
	return i;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hexadecimal digits at p[i]; -1 with *bad at the byte that is none (or at n). */
static int hex4(const char *p, size_t i, size_t n, size_t *bad)
{
	int v = 0;

	for (size_t k = i; k < i + 4; k++) {
		int d = k < n ? hex_digit(p[k]) : -1;

		if (d < 0) {
			*bad = k;
			return -1;
		}
		v = v << 4 | d;
	}
	return v;
}

/* Checks the escape whose backslash is p[i]. Returns the offset behind it; with *error set, of the byte at fault. */
static size_t escape_end(const char *p, size_t i, size_t n, const char **error)
{
	size_t bad = 0;
	int u;

	if (i + 1 == n) {
		*error = TOO_SHORT;
		return n;
	}
	switch (p[i + 1]) {
	case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
		return i + 2;
	case 'u':
		break;
	default:
		*error = "unknown escape in a string";
		return i + 1;
	}
	u = hex4(p, i + 2, n, &bad);
	if (u >= 0 && (u & 0xf800) != 0xd800)
		return i + 6;
	if (u >= 0 && u < 0xdc00 && n - i >= 8 && p[i + 6] == '\\' && p[i + 7] == 'u') {
		int low = hex4(p, i + 8, n, &bad);

		if (low >= 0 && (low & 0xfc00) == 0xdc00)
			return i + 12;
		if (low < 0)
			u = low;
	}
	if (u < 0) {
		*error = bad == n ? TOO_SHORT : "\\u needs four hexadecimal digits";
		return bad;
	}
	*error = "lone surrogate in an escape";
	return i;
}

/* Checks the string whose text starts at p[i]. Returns the offset of the closing quote; with *error set, of the byte at fault. */
static size_t string_end(const char *p, size_t i, size_t n, bool *escaped, const char **error)
{
	for (;;) {
		i += json_plain(p + i, n - i);
		if (i == n) {
			*error = TOO_SHORT;
			return n;
		}
		if (p[i] == '"')
			return i;
		if (p[i] == '\\') {
			*escaped = true;
			i = escape_end(p, i, n, error);
			if (*error)
				return i;
		} else if ((unsigned char)p[i] < 0x20) {
			*error = "control character in a string (it must be escaped)";
			return i;
		} else {
			/* Text outside of ASCII comes in runs: stay here while it lasts. */
			do {
				size_t len = json_utf8(p + i, n - i);

				if (!len) {
					*error = "invalid UTF-8 in a string";
					return i;
				}
				i += len;
			} while (i < n && (unsigned char)p[i] >= 0x80);
		}
	}
}

/* Checks the number at p[i]. Returns the offset behind it; with *error set, of the byte at fault. */
static size_t number_end(const char *p, size_t i, size_t n, const char **error)
{
	if (p[i] == '-')
		i++;
	if (i < n && p[i] == '0') {
		i++;
		if (i < n && is_digit(p[i])) {
			*error = "leading zero in a number";
			return i;
		}
	} else {
		if (i == n || !is_digit(p[i]))
			goto no_digit;
		i = skip_digits(p, i, n);
	}
	if (i < n && p[i] == '.') {
		i++;
		if (i == n || !is_digit(p[i]))
			goto no_digit;
		i = skip_digits(p, i, n);
	}
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		i++;
		if (i < n && (p[i] == '+' || p[i] == '-'))
			i++;
		if (i == n || !is_digit(p[i]))
			goto no_digit;
		i = skip_digits(p, i, n);
	}
	return i;
no_digit:
	*error = i == n ? TOO_SHORT : "a digit is missing in a number";
	return i;
}

/* A token of one of the four brackets. */
static int bracket(struct ch_json *j, struct ch_json_tok *tok, size_t i, int type)
{
	if (type == CH_JSON_OBJECT || type == CH_JSON_ARRAY) {
		if (j->depth == j->max_depth)
			return fail(j, tok, i, "nested deeper than allowed");
		j->depth++;
		j->stack = j->stack << 1 | (type == CH_JSON_OBJECT);
		j->state = ST_FIRST;
	} else {
		j->depth--;
		j->stack >>= 1;
		j->state = ST_NEXT;
	}
	j->pos = i + 1;
	return token(j, tok, type, i, i + 1);
}

/* A word or a number, checked already. */
static int scalar(struct ch_json *j, struct ch_json_tok *tok, size_t i, size_t end, int type)
{
	j->pos = end;
	j->state = ST_NEXT;
	return token(j, tok, type, i, end);
}

static int string(struct ch_json *j, struct ch_json_tok *tok, size_t i, int type)
{
	const char *error = NULL;
	bool escaped = false;
	size_t quote = string_end(j->p, i + 1, j->n, &escaped, &error), after = quote + 1;

	if (error)
		return fail(j, tok, quote, error);
	j->state = ST_NEXT;
	if (type == CH_JSON_KEY) {
		after = skip_blanks(j->p, after, j->n);
		if (after == j->n)
			return fail(j, tok, after, TOO_SHORT);
		if (j->p[after] != ':')
			return fail(j, tok, after, "a colon must follow a member's name");
		after++;
		j->state = ST_VALUE;
	}
	j->pos = after;
	token(j, tok, type, i, quote + 1);
	tok->escaped = escaped;
	tok->s++;
	tok->len -= 2;
	return type;
}

/* What a byte means that starts no value: the cases that senders get wrong most have their own sentence. */
static const char *no_value(const struct ch_json *j, size_t i)
{
	if (i == 0 && j->n >= 3 && !memcmp(j->p, "\xef\xbb\xbf", 3))
		return "byte order mark in front of the document";
	if (j->p[i] == ']' || j->p[i] == '}' || j->p[i] == ',')
		return "a value is missing";
	return "this is no JSON value";
}

int ch_json_next(struct ch_json *j, struct ch_json_tok *tok)
{
	const char *p = j->p, *error = NULL;
	size_t i, n = j->n, end;
	bool object = j->stack & 1; /* only asked inside a container */

	if (j->state >= ST_END)
		return final(j, tok);
	i = skip_blanks(p, j->pos, n);
	if (i == n) {
		if (j->state != ST_NEXT || j->depth)
			return fail(j, tok, i, TOO_SHORT);
		j->pos = i;
		j->state = ST_END;
		return final(j, tok);
	}
	if (j->state == ST_NEXT && !j->depth)
		return fail(j, tok, i, "bytes behind the end of the document");
	if (!j->tokens_left)
		return fail(j, tok, i, "more tokens than allowed");
	j->tokens_left--;
	if (j->state != ST_VALUE) {
		if (p[i] == (object ? '}' : ']'))
			return bracket(j, tok, i, object ? CH_JSON_OBJECT_END : CH_JSON_ARRAY_END);
		if (j->state == ST_NEXT) {
			if (p[i] != ',')
				return fail(j, tok, i, object ? "a comma or '}' must follow a member" : "a comma or ']' must follow an element");
			i = skip_blanks(p, i + 1, n);
			if (i == n)
				return fail(j, tok, i, TOO_SHORT);
		}
		if (object)
			return p[i] == '"' ? string(j, tok, i, CH_JSON_KEY) : fail(j, tok, i, "a member's name in quotes is missing");
	}
	switch (p[i]) {
	case '"':
		return string(j, tok, i, CH_JSON_STRING);
	case '{':
		return bracket(j, tok, i, CH_JSON_OBJECT);
	case '[':
		return bracket(j, tok, i, CH_JSON_ARRAY);
	case 't':
		if (n - i >= 4 && !memcmp(p + i, "true", 4))
			return scalar(j, tok, i, i + 4, CH_JSON_TRUE);
		break;
	case 'f':
		if (n - i >= 5 && !memcmp(p + i, "false", 5))
			return scalar(j, tok, i, i + 5, CH_JSON_FALSE);
		break;
	case 'n':
		if (n - i >= 4 && !memcmp(p + i, "null", 4))
			return scalar(j, tok, i, i + 4, CH_JSON_NULL);
		break;
	case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
		end = number_end(p, i, n, &error);
		return error ? fail(j, tok, end, error) : scalar(j, tok, i, end, CH_JSON_NUMBER);
	}
	return fail(j, tok, i, no_value(j, i));
}

int ch_json_skip(struct ch_json *j, struct ch_json_tok *tok)
{
	struct ch_json_tok t;
	uint32_t outside = j->depth - 1;

	if (tok->type == CH_JSON_ERROR)
		return -1;
	if (tok->type != CH_JSON_OBJECT && tok->type != CH_JSON_ARRAY)
		return 0;
	do {
		if (ch_json_next(j, &t) <= CH_JSON_END)
			return -1;
	} while (j->depth != outside);
	tok->end = t.end;
	return 0;
}

bool ch_json_valid(const char *p, size_t n, uint32_t max_depth, uint64_t max_tokens, size_t *pos, const char **error)
{
	struct ch_json j;
	struct ch_json_tok tok;
	int type;

	ch_json_init(&j, p, n, max_depth, max_tokens);
	do {
		type = ch_json_next(&j, &tok);
	} while (type > CH_JSON_END);
	if (type == CH_JSON_END)
		return true;
	if (pos)
		*pos = j.pos;
	if (error)
		*error = j.error;
	return false;
}

/* Decodes the escape at *s (checked by the scanner) into out and moves *s behind it. Returns the number of bytes, at most 4. */
static size_t decode_escape(const char **s, char *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p = *s, *simple;
	size_t bad;
	uint32_t u;

	*s += 2;
	if (p[1] != 'u') {
		simple = strchr(from, p[1]);
		*out = simple ? to[simple - from] : p[1];
		return 1;
	}
	*s += 4;
	u = (uint32_t)hex4(p, 2, 6, &bad);
	if ((u & 0xf800) == 0xd800) {
		*s += 6;
		u = 0x10000 + ((u & 0x3ff) << 10) + ((uint32_t)hex4(p, 8, 12, &bad) & 0x3ff);
	}
	if (u < 0x80) {
		out[0] = (char)u;
		return 1;
	}
	if (u < 0x800) {
		out[0] = (char)(0xc0 | u >> 6);
		out[1] = (char)(0x80 | (u & 0x3f));
		return 2;
	}
	if (u < 0x10000) {
		out[0] = (char)(0xe0 | u >> 12);
		out[1] = (char)(0x80 | (u >> 6 & 0x3f));
		out[2] = (char)(0x80 | (u & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | u >> 18);
	out[1] = (char)(0x80 | (u >> 12 & 0x3f));
	out[2] = (char)(0x80 | (u >> 6 & 0x3f));
	out[3] = (char)(0x80 | (u & 0x3f));
	return 4;
}

bool ch_json_eq(const struct ch_json_tok *tok, const char *name)
{
	const char *s = tok->s, *end = s + tok->len;
	size_t left = strlen(name);

	if (tok->type != CH_JSON_KEY && tok->type != CH_JSON_STRING)
		return false;
	if (!tok->escaped)
		return left == tok->len && !memcmp(s, name, left);
	while (s < end) {
		char c[4];
		size_t n = 1;

		if (*s == '\\')
			n = decode_escape(&s, c);
		else
			c[0] = *s++;
		if (n > left || memcmp(c, name, n))
			return false;
		name += n;
		left -= n;
	}
	return !left;
}

size_t ch_json_unescape(const struct ch_json_tok *tok, char *out)
{
	const char *s = tok->s, *end = s + tok->len;
	char *o = out;

	while (s < end) {
		const char *stop = tok->escaped ? memchr(s, '\\', (size_t)(end - s)) : NULL;
		size_t run = (size_t)((stop ? stop : end) - s);

		memcpy(o, s, run);
		o += run;
		s += run;
		if (stop)
			o += decode_escape(&s, o);
	}
	return (size_t)(o - out);
}

/* A number token taken apart: its digits, between which one '.' may stand, with the decimal point behind the first `point` of them. */
struct decimal {
	bool minus;
	const char *s, *end;
	int64_t point;
};

static struct decimal take_apart(const struct ch_json_tok *tok)
{
	const int64_t far = INT64_C(1) << 60; /* more than any document has digits; sums of two do not overflow */
	const char *end = tok->s + tok->len, *p;
	struct decimal d = { .s = tok->s };
	int64_t e = 0;

	if (*d.s == '-') {
		d.minus = true;
		d.s++;
	}
	for (p = d.s; p < end && is_digit(*p); p++)
		d.point++;
	while (p < end && (is_digit(*p) || *p == '.'))
		p++;
	d.end = p;
	if (p < end) {
		bool down = *++p == '-';

		if (!is_digit(*p))
			p++;
		for (; p < end; p++)
			e = e < far / 16 ? e * 10 + (*p - '0') : far;
		d.point += down ? -e : e;
	}
	return d;
}

bool ch_json_int(const struct ch_json_tok *tok, int64_t min, int64_t max, int64_t *out)
{
	struct decimal d;
	uint64_t v = 0;
	int64_t r;

	if (tok->type != CH_JSON_NUMBER)
		return false;
	d = take_apart(tok);
	for (const char *p = d.s; p < d.end; p++) {
		if (*p == '.')
			continue;
		if (d.point-- <= 0) {
			if (*p != '0')
				return false;
		} else if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
			return false;
		}
	}
	/* Zeros that the exponent still asks for. Ends after 20 rounds at most: 0 needs none and anything else overflows. */
	for (; v && d.point > 0; d.point--)
		if (__builtin_mul_overflow(v, 10, &v))
			return false;
	if (v > (uint64_t)INT64_MAX + d.minus)
		return false;
	r = d.minus ? (int64_t)-v : (int64_t)v;
	if (r < min || r > max)
		return false;
	*out = r;
	return true;
}

/*
 * No double and no midpoint of two has more than 768 significant digits: behind that many it only matters whether anything but zeros
 * follows, and one digit says so. Writes such a number of the same double, with a NUL; out has room for DIGITS + 32 bytes.
 */
#define DIGITS 768

static void shorten(const struct ch_json_tok *tok, char *out)
{
	struct decimal d = take_apart(tok);
	size_t n = 0;
	bool more = false;

	if (d.minus)
		*out++ = '-';
	*out++ = '0';
	for (const char *p = d.s; p < d.end; p++) {
		if (*p == '.')
			continue;
		if (n == 0 && *p == '0') {
			d.point--;
		} else if (n < DIGITS) {
			out[n++] = *p;
		} else if (*p != '0') {
			more = true;
			break;
		}
	}
	if (more)
		out[n++] = '1';
	sprintf(out + n, "e%lld", (long long)(d.point - (int64_t)n));
}

bool ch_json_double(const struct ch_json_tok *tok, double *out)
{
	char text[DIGITS + 32];
	locale_t c;
	double v;

	if (tok->type != CH_JSON_NUMBER)
		return false;
	if (tok->len < sizeof(text)) {
		memcpy(text, tok->s, tok->len);
		text[tok->len] = 0;
	} else {
		shorten(tok, text);
	}
	/* In glibc and musl this is a constant: nothing is allocated and nothing can fail. */
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c)
		return false;
	v = strtod_l(text, NULL, c);
	freelocale(c);
	if (v > DBL_MAX || v < -DBL_MAX)
		return false;
	*out = v;
	return true;
}
