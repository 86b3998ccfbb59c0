/* SPDX-License-Identifier: MIT */
/* Apart from hash.c, so that who needs these alone does not link libcrypto. */
#include <chimera/kit/hash.h>

void ch_hex(const void *p, size_t n, char *out)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = "0123456789abcdef"[b[i] >> 4];
		*out++ = "0123456789abcdef"[b[i] & 15];
	}
	*out = 0;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool ch_unhex(const char *text, size_t n, void *out)
{
	unsigned char *b = out;

	for (size_t i = 0; i < n; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		b[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

bool ch_same_bytes(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;
	uint64_t differ = 0, u, v;

	for (; n >= sizeof(u); n -= sizeof(u), x += sizeof(u), y += sizeof(u)) {
		memcpy(&u, x, sizeof(u));
		memcpy(&v, y, sizeof(v));
		differ |= u ^ v;
		__asm__ volatile("" : "+r"(differ)); /* or the compiler could stop where it knows enough */
	}
	for (; n; n--) {
		differ |= (uint64_t)(*x++ ^ *y++);
		__asm__ volatile("" : "+r"(differ));
	}
	return !differ;
}
