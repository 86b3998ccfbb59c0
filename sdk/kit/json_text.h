/* SPDX-License-Identifier: MIT */
/* json_text.h - what the JSON scanner and the writer both ask of text. Not installed. */
#ifndef CHIMERA_KIT_JSON_TEXT_H
#define CHIMERA_KIT_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How many bytes from s on may stand in a JSON string as they are: ASCII, no control character, no quote, no backslash. Reads s[0..n). */
static inline size_t json_plain(const char *s, size_t n)
{
	size_t i = 0;

#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), blank = _mm_set1_epi8(' ');

	for (; n - i >= 16; i += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
		/* The comparison is signed: below the blank are the control characters and all bytes from 0x80 on. */
		__m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)), _mm_cmplt_epi8(x, blank));
		unsigned int bits = (unsigned int)_mm_movemask_epi8(odd);

		if (bits)
			return i + (size_t)__builtin_ctz(bits);
	}
#else
	const uint64_t ones = 0x0101010101010101u, high = ones << 7;

	for (; n - i >= 8; i += 8) {
		uint64_t x, q, b;

		memcpy(&x, s + i, sizeof(x));
		q = x ^ ones * '"';
		b = x ^ ones * '\\';
		/* "Some byte is zero", twice, and "some byte is less than a blank": each says whether, not where. */
		if ((((q - ones) & ~q) | ((b - ones) & ~b) | ((x - ones * ' ') & ~x) | x) & high)
			break;
	}
#endif
	while (i < n && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x80 && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

/* The length of the well-formed UTF-8 sequence of two to four bytes at s, or 0 if there is none. n must not be 0. */
static inline size_t json_utf8(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned int lo = 0x80, hi = 0xbf; /* what the second byte may be (Unicode table 3-7) */
	size_t len;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0; /* less is an overlong form */
	else if (p[0] == 0xed)
		hi = 0x9f; /* more is a surrogate */
	else if (p[0] == 0xf0)
		lo = 0x90; /* overlong */
	else if (p[0] == 0xf4)
		hi = 0x8f; /* above U+10FFFF */
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

#endif
