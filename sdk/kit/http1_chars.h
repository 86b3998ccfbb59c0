/* SPDX-License-Identifier: MIT */
/* What the three http1*.c files share: which byte may stand where. Internal to the kit, not installed. */
#ifndef CHIMERA_KIT_HTTP1_CHARS_H
#define CHIMERA_KIT_HTTP1_CHARS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	CH_H1_C_TOKEN = 1,  /* RFC 9110 tchar: methods, field names, chunk extension names */
	CH_H1_C_VALUE = 2,  /* field values and reasons: HTAB, SP, VCHAR, obs-text */
	CH_H1_C_TARGET = 4, /* request targets: VCHAR without '#' and '\\' */
	CH_H1_C_HOST = 8    /* RFC 3986 reg-name without ',' and percent escapes */
};

extern const uint8_t ch_h1_class[256];

static inline int ch_h1_is(char c, int class)
{
	return ch_h1_class[(unsigned char)c] & class;
}

static inline char ch_h1_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Equal but for the case of ASCII letters. strncasecmp depends on the locale and stops at NUL. */
static inline int ch_h1_same(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ch_h1_lower(a[i]) != ch_h1_lower(b[i]))
			return 0;
	return 1;
}

static inline uint64_t ch_h1_load(const char *s, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, s, n);
	return v;
}

/*
 * Is the text `lower` but for the case of letters? `lower` is a literal of 4 to 16 small letters, digits and bytes below '@',
 * so that setting bit 5 makes only capitals equal to it, given that the text holds no control characters (whoever calls this
 * has scanned it). Two compares of words that may overlap; the recognition of fields costs most of a parse otherwise.
 */
__attribute__((always_inline)) static inline int ch_h1_text_is(const char *text, const char *lower, size_t n)
{
	size_t word = n >= 8 ? 8 : 4;
	uint64_t bit5 = n >= 8 ? 0x2020202020202020 : 0x20202020;
	uint64_t first = (ch_h1_load(text, word) | bit5) ^ ch_h1_load(lower, word);
	uint64_t last = (ch_h1_load(text + n - word, word) | bit5) ^ ch_h1_load(lower + n - word, word);

	return (first | last) == 0;
}

/* -1 if it is no hexadecimal digit. */
static inline int ch_h1_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
