/* SPDX-License-Identifier: Apache-2.0 */
/* words.c - see words.h. */
#include <endian.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "words.h"

/* Steele, Lea, Flood: splitmix64. */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t scramble(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t dryrun_next(uint64_t *state)
{
	return scramble(*state += GOLDEN);
}

double dryrun_share(uint64_t random)
{
	return (double)(random >> 11) * 0x1p-53;
}

void dryrun_vector(uint64_t digest, float *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		v[i] = (float)(2 * dryrun_share(dryrun_next(&digest)) - 1);
		sum += (double)v[i] * (double)v[i];
	}
	if (sum <= 0) { /* no direction at all */
		v[0] = 1;
		return;
	}
	for (size_t i = 0; i < n; i++)
		v[i] = (float)((double)v[i] / sqrt(sum));
}

/* Up to eight bytes, the first one lowest. */
static uint64_t load(const char *p, size_t n)
{
	uint64_t v = 0;

	if (n == 8) {
		memcpy(&v, p, 8);
		return le64toh(v);
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)p[i] << 8 * i;
	return v;
}

/* Eight bytes a round: a prompt may be long, and this runs on a loop. */
uint64_t dryrun_mix(uint64_t h, const char *p, size_t n)
{
	size_t i = 0;

	h = scramble(h + GOLDEN + n);
	for (; n - i >= 8; i += 8)
		h = scramble(h ^ load(p + i, 8));
	return n - i ? scramble(h ^ load(p + i, n - i)) : h;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

uint64_t dryrun_count(const char *p, size_t n)
{
	uint64_t words = 0;
	bool before = true;

	for (size_t i = 0; i < n; i++) {
		bool now = blank(p[i]);

		words += before & !now;
		before = now;
	}
	return words;
}

void dryrun_words_init(struct dryrun_words *w, uint64_t digest)
{
	*w = (struct dryrun_words){ .digest = digest, .random = digest };
}

static size_t put_digest(char *out, uint64_t digest)
{
	for (int i = 0; i < 8; i++)
		out[i] = "0123456789abcdef"[digest >> (60 - 4 * i) & 15];
	return 8;
}

/* Syllables of a consonant and a vowel. */
size_t dryrun_pseudo_word(char *out, uint64_t r)
{
	size_t n = 4 + 2 * (r & 1);

	r >>= 1;
	for (size_t i = 0; i < n; i += 2) {
		out[i] = "bdfghjklmnprstvz"[r & 15];
		out[i + 1] = "aeiou"[(r >> 4 & 255) % 5];
		r >>= 12;
	}
	return n;
}

size_t dryrun_word(struct dryrun_words *w, char out[DRYRUN_WORD_MAX])
{
	uint64_t i = w->made++;

	if (i == 0) {
		memcpy(out, "dryrun:", 7);
		return 7;
	}
	out[0] = ' ';
	if (i == 1)
		return 1 + put_digest(out + 1, w->digest);
	return 1 + dryrun_pseudo_word(out + 1, dryrun_next(&w->random));
}
