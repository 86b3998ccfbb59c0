/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.h - the text of an answer, made up from the prompt. Pure functions, any thread, no allocation.
 *
 * The counting rule: a token is a word, that is a run of bytes other than blanks (space, tab, CR, LF). It holds for the prompt and for the
 * answer. The same on every machine: the numbers do not depend on byte order or word size.
 */
#ifndef DRYRUN_WORDS_H
#define DRYRUN_WORDS_H

#include <stddef.h>
#include <stdint.h>

#define DRYRUN_WORD_MAX 10 /* bytes of the longest word with the blank in front of it */

/* The words of an answer, one after the other; starts from a digest. */
struct dryrun_words {
	uint64_t digest;
	uint64_t random;
	uint64_t made;     /* words so far */
};

/* Takes the n bytes and their number into the digest h: "ab","c" and "a","bc" differ. */
uint64_t dryrun_mix(uint64_t h, const char *p, size_t n);

uint64_t dryrun_count(const char *p, size_t n);

void dryrun_words_init(struct dryrun_words *w, uint64_t digest);

/* The next number of a splitmix64 generator. */
uint64_t dryrun_next(uint64_t *state);

/* A random number as one from 0 up to, but not, 1. */
double dryrun_share(uint64_t random);

/* A word of two or three syllables, 4 to 6 letters, without NUL. Returns its length. */
size_t dryrun_pseudo_word(char *out, uint64_t random);

/* A vector of length 1 in a direction that the digest gives. */
void dryrun_vector(uint64_t digest, float *v, size_t n);

/*
 * Writes the next word, with a blank in front unless it is the first, without NUL. Returns its length. The first is "dryrun:", the second 8
 * hex digits of the digest.
 */
size_t dryrun_word(struct dryrun_words *w, char out[DRYRUN_WORD_MAX]);

#endif
