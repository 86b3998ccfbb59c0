/* SPDX-License-Identifier: MIT */
/* json_write.c - the JSON writer; the scanner is in json.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* uselocale */
#endif

#include <float.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimera/kit/json.h"
#include "json_text.h"

void *ch_jw_heap(void *arg, void *old, size_t used, size_t want)
{
	(void)arg;
	(void)used;
	return realloc(old, want);
}

void ch_jw_init(struct ch_jw *w, char *buf, size_t cap)
{
	memset(w, 0, sizeof(*w));
	w->buf = buf;
	w->cap = buf ? cap : 0;
}

/* Makes room for n more bytes. At least doubles, so that a long document costs few calls of grow. */
static bool room(struct ch_jw *w, size_t n)
{
	size_t want;
	void *buf;

	if (w->failed)
		return false;
	if (w->cap - w->len >= n)
		return true;
	w->failed = true;
	if (!w->grow || __builtin_add_overflow(w->len, n, &want))
		return false;
	if (want < 64)
		want = 64;
	if (want < w->cap * 2 && w->cap <= SIZE_MAX / 2)
		want = w->cap * 2;
	buf = w->grow(w->arg, w->buf, w->len, want);
	if (!buf)
		return false;
	w->buf = buf;
	w->cap = want;
	w->failed = false;
	return true;
}

static void put(struct ch_jw *w, const char *s, size_t n)
{
	if (n && room(w, n)) {
		memcpy(w->buf + w->len, s, n);
		w->len += n;
	}
}

/* One byte, which is what most calls write. */
static inline void put1(struct ch_jw *w, char c)
{
	if (w->len < w->cap && !w->failed)
		w->buf[w->len++] = c;
	else
		put(w, &c, 1);
}

/* What stands in front of a value or a name: a comma, if it is not the first and not the value of the name just written. */
static void lead(struct ch_jw *w)
{
	if (w->after_key)
		w->after_key = false;
	else if (w->stack & 1)
		put1(w, ',');
	else if (w->depth)
		w->stack |= 1;
}

static void value(struct ch_jw *w, const char *s, size_t n)
{
	lead(w);
	put(w, s, n);
}

static void begin(struct ch_jw *w, const char *bracket)
{
	value(w, bracket, 1);
	if (w->depth == CH_JSON_DEPTH_MAX) {
		w->failed = true;
		return;
	}
	w->depth++;
	w->stack <<= 1;
}

static void end(struct ch_jw *w, const char *bracket)
{
	if (!w->depth || w->after_key) {
		w->failed = true;
		return;
	}
	put1(w, *bracket);
	w->depth--;
	w->stack >>= 1;
}

void ch_jw_object(struct ch_jw *w)
{
	begin(w, "{");
}

void ch_jw_object_end(struct ch_jw *w)
{
	end(w, "}");
}

void ch_jw_array(struct ch_jw *w)
{
	begin(w, "[");
}

void ch_jw_array_end(struct ch_jw *w)
{
	end(w, "]");
}

/* The control character, quote or backslash c, escaped. */
static void put_escape(struct ch_jw *w, unsigned char c)
{
	static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
	const char *name = c ? strchr(names, c) : NULL;

	if (name)
		put(w, (char[]){ '\\', letters[name - names] }, 2);
	else
		put(w, (char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
}

static void put_text(struct ch_jw *w, const char *s, size_t n)
{
	put1(w, '"');
	for (size_t i = 0; i < n && !w->failed;) {
		size_t start = i, len = 1;

		/* As much as can be copied in one go: plain bytes and whole UTF-8 sequences. */
		while (i < n && len) {
			i += json_plain(s + i, n - i);
			len = i < n ? json_utf8(s + i, n - i) : 0;
			i += len;
		}
		put(w, s + start, i - start);
		if (i == n)
			break;
		if ((unsigned char)s[i] < 0x80)
			put_escape(w, (unsigned char)s[i]);
		else
			put(w, "\xef\xbf\xbd", 3);
		i++;
	}
	put1(w, '"');
}

void ch_jw_key(struct ch_jw *w, const char *name)
{
	if (!w->depth || w->after_key) {
		w->failed = true;
		return;
	}
	lead(w);
	put_text(w, name, strlen(name));
	put1(w, ':');
	w->after_key = true;
}

void ch_jw_string(struct ch_jw *w, const char *s, size_t n)
{
	lead(w);
	put_text(w, s, n);
}

void ch_jw_cstr(struct ch_jw *w, const char *s)
{
	if (s)
		ch_jw_string(w, s, strlen(s));
	else
		ch_jw_null(w);
}

static void put_number(struct ch_jw *w, bool minus, uint64_t v)
{
	char text[24], *p = text + sizeof(text);

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	if (minus)
		*--p = '-';
	value(w, p, (size_t)(text + sizeof(text) - p));
}

void ch_jw_int(struct ch_jw *w, int64_t v)
{
	put_number(w, v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void ch_jw_uint(struct ch_jw *w, uint64_t v)
{
	put_number(w, false, v);
}

void ch_jw_ms(struct ch_jw *w, int64_t us)
{
	char text[32], *p = text + sizeof(text);
	uint64_t v = us < 0 ? -(uint64_t)us : (uint64_t)us;

	for (int i = 0; i < 4 || v; i++, v /= 10) {
		if (i == 3)
			*--p = '.';
		*--p = (char)('0' + v % 10);
	}
	if (us < 0)
		*--p = '-';
	value(w, p, (size_t)(text + sizeof(text) - p));
}

void ch_jw_double(struct ch_jw *w, double v)
{
	char text[40];
	locale_t c, old;
	/* 15 digits always survive a double, so that less need not be tried; numbers next to zero hold fewer. 17 are always enough. */
	int digits = v < DBL_MIN && v > -DBL_MIN ? 1 : 15, n;

	if (!(v <= DBL_MAX && v >= -DBL_MAX)) {
		ch_jw_null(w);
		return;
	}
	/* printf and strtod take their decimal point from the locale. For "C" newlocale allocates nothing (see ch_json_double). */
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c) {
		w->failed = true;
		return;
	}
	old = uselocale(c);
	do {
		n = snprintf(text, sizeof(text), "%.*g", digits, v);
	} while (digits++ < 17 && strtod(text, NULL) != v);
	uselocale(old);
	freelocale(c);
	value(w, text, (size_t)n);
}

void ch_jw_bool(struct ch_jw *w, bool v)
{
	if (v)
		value(w, "true", 4);
	else
		value(w, "false", 5);
}

void ch_jw_null(struct ch_jw *w)
{
	value(w, "null", 4);
}

void ch_jw_raw(struct ch_jw *w, const char *json, size_t n)
{
	value(w, json, n);
}
