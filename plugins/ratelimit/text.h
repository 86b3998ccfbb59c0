/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - text put together by hand, for a request's way. Each function writes at `at` and returns where it ended; the caller has the
 * room.
 */
#ifndef RATELIMIT_TEXT_H
#define RATELIMIT_TEXT_H

#include <stdint.h>
#include <string.h>

#define NUMBER_MAX 20                     /* digits of the longest number */

static inline char *put_bytes(char *at, const void *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

static inline char *put_text(char *at, const char *text)
{
	return put_bytes(at, text, strlen(text));
}

/* A number of at least 0. */
static inline char *put_number(char *at, int64_t v)
{
	char digits[NUMBER_MAX];
	size_t n = sizeof(digits);
	uint64_t left = (uint64_t)v; /* a division of unsigned numbers is half as long */

	do
		digits[--n] = (char)('0' + left % 10);
	while (left /= 10);
	return put_bytes(at, digits + n, sizeof(digits) - n);
}

/* A duration as Go prints it, of milliseconds: "0s", "12ms", "1.5s", "6m0s", "1h0m0.25s". At most 32 bytes. */
char *put_duration(char *at, int64_t ms);

#endif
