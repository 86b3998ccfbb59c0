/* SPDX-License-Identifier: MIT */
/* uuid.c - see chimera/kit/uuid.h. RFC 9562, figure 11: 48 bits of time, 4 of version, 12 random ones, 2 of variant, 62 random ones. */
#include <string.h>

#include "chimera/kit/uuid.h"

#define MS_MAX ((UINT64_C(1) << 48) - 1)
#define LOW_MAX ((UINT64_C(1) << 62) - 1)

/* The parts of an id of version 7 as numbers. */
struct parts {
	uint64_t ms;   /* 48 bits */
	uint64_t high; /* 12 bits, rand_a */
	uint64_t low;  /* 62 bits, rand_b */
};

static void put(unsigned char *out, uint64_t v, size_t n)
{
	while (n--) {
		out[n] = (unsigned char)v;
		v >>= 8;
	}
}

static uint64_t get(const unsigned char *in, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *in++;
	return v;
}

static void join(unsigned char id[16], const struct parts *p)
{
	put(id, p->ms, 6);
	put(id + 6, 0x7000 | p->high, 2);
	put(id + 8, UINT64_C(2) << 62 | p->low, 8);
}

static struct parts split(const unsigned char id[16])
{
	return (struct parts){ get(id, 6), get(id + 6, 2) & 0xfff, get(id + 8, 8) & LOW_MAX };
}

static struct parts made_of(int64_t wall_us, uint64_t random1, uint64_t random2)
{
	uint64_t ms = wall_us > 0 ? (uint64_t)wall_us / 1000 : 0;

	return (struct parts){ ms & MS_MAX, random1 & 0xfff, random2 & LOW_MAX };
}

void ch_uuid7(unsigned char id[16], int64_t wall_us, uint64_t random1, uint64_t random2)
{
	struct parts p = made_of(wall_us, random1, random2);

	join(id, &p);
}

void ch_uuid7_next(struct ch_uuid7 *state, unsigned char id[16], int64_t wall_us, uint64_t random1, uint64_t random2)
{
	struct parts p = made_of(wall_us, random1, random2), last = split(state->last);

	if (p.ms <= last.ms) {
		last.low += (random2 & UINT32_MAX) + 1;
		if (last.low > LOW_MAX) {
			last.low &= LOW_MAX;
			last.high++;
		}
		if (last.high > 0xfff) {
			last.high = 0;
			last.ms++;
		}
		p = last;
	}
	join(id, &p);
	memcpy(state->last, id, 16);
}

int64_t ch_uuid7_ms(const unsigned char id[16])
{
	return (int64_t)get(id, 6);
}

/* ---- text ---- */

/* A hyphen stands before these bytes. */
static int hyphen_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void ch_uuid_text(const unsigned char id[16], char text[CH_UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 16; i++) {
		if (hyphen_before(i))
			*text++ = '-';
		*text++ = digits[id[i] >> 4];
		*text++ = digits[id[i] & 15];
	}
	*text = 0;
}

bool ch_uuid_parse(const char *s, size_t n, unsigned char id[16])
{
	unsigned char out[16];

	if (n != CH_UUID_TEXT - 1)
		return false;
	for (size_t i = 0; i < 16; i++) {
		int high, low;

		if (hyphen_before(i) && *s++ != '-')
			return false;
		high = digit(s[0]);
		low = digit(s[1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
		s += 2;
	}
	memcpy(id, out, 16);
	return true;
}
