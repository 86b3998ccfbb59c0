/* SPDX-License-Identifier: Apache-2.0 */
/* ids.c - see ids.h. */
#include <endian.h>
#include <string.h>

#include "ids.h"

bool req_id_ok(const char *p, size_t n)
{
	if (!n || n > REQ_ID_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = p[i], lower = (char)(c | 0x20);

		if ((lower < 'a' || lower > 'z') && (c < '0' || c > '9') && (!c || !strchr("._:/+=@-", c)))
			return false;
	}
	return true;
}

/* Eight digits at once, the lowest in the lowest byte. */
static uint64_t digits(uint64_t v)
{
	const uint64_t ones = 0x0101010101010101u;

	v = (v | v << 16) & 0x0000ffff0000ffffu;
	v = (v | v << 8) & 0x00ff00ff00ff00ffu;
	v = (v | v << 4) & 0x0f0f0f0f0f0f0f0fu;
	/* 6 more carries into the next half byte from 10 on: those are letters. */
	return v + ones * '0' + ((v + ones * 6) >> 4 & ones) * ('a' - '0' - 10);
}

void hex64(char out[16], uint64_t v)
{
	uint64_t high = htobe64(digits(v >> 32)), low = htobe64(digits(v & 0xffffffffu));

	memcpy(out, &high, 8);
	memcpy(out + 8, &low, 8);
}

void uuid7(char out[UUID_LEN + 1], uint64_t ms, uint64_t a, uint64_t b)
{
	char high[16], low[16];

	hex64(high, ms << 16 | 0x7000 | (a & 0xfff));
	hex64(low, UINT64_C(2) << 62 | b >> 2);
	memcpy(out, high, 8);
	out[8] = '-';
	memcpy(out + 9, high + 8, 4);
	out[13] = '-';
	memcpy(out + 14, high + 12, 4);
	out[18] = '-';
	memcpy(out + 19, low, 4);
	out[23] = '-';
	memcpy(out + 24, low + 4, 12);
	out[36] = 0;
}
