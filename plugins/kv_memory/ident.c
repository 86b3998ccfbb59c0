/* SPDX-License-Identifier: Apache-2.0 */
/* ident.c - SipHash-1-3 with 128 bits of output (Aumasson, Bernstein; words are little-endian). */
#include <endian.h>
#include <string.h>

#include "ident.h"

struct state {
	uint64_t a, b, c, d;
};

static inline uint64_t turn(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void mix(struct state *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = turn(s->b, 13) ^ s->a;
	s->d = turn(s->d, 16) ^ s->c;
	s->a = turn(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = turn(s->b, 17) ^ s->c;
	s->d = turn(s->d, 21) ^ s->a;
	s->c = turn(s->c, 32);
}

static inline void eat(struct state *s, uint64_t word)
{
	s->d ^= word;
	mix(s);
	s->a ^= word;
}

static inline uint64_t end(struct state *s)
{
	mix(s);
	mix(s);
	mix(s);
	return s->a ^ s->b ^ s->c ^ s->d;
}

struct km_id km_ident(const uint64_t secret[2], const char *p, size_t n)
{
	struct state s = { secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d ^ 0xee, secret[0] ^ 0x6c7967656e657261,
		secret[1] ^ 0x7465646279746573 };
	uint64_t word, last = (uint64_t)n << 56;
	struct km_id id;
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		memcpy(&word, p + i, 8);
		eat(&s, le64toh(word));
	}
	for (unsigned bits = 0; i < n; i++, bits += 8)
		last |= (uint64_t)(unsigned char)p[i] << bits;
	eat(&s, last);
	s.c ^= 0xee;
	id.lo = end(&s);
	s.b ^= 0xdd;
	id.hi = end(&s);
	return id;
}
