/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.h - records a writer, makes states of its files as a power loss leaves them, and has each judged.
 *
 * A test program is its own writer: started again with the words `write`, a folder, a seed and more, with the shim preloaded. See
 * README.md.
 */
#ifndef CHIMERA_TESTS_CRASH_H
#define CHIMERA_TESTS_CRASH_H

#include "state.h"

/* What the marks before the moment of the power loss say (see trace.h). */
struct crash_known {
	uint64_t tries, has, passes;
};
/*
 * Opens what is in the folder as a restarted server would. flipped: bits of it were changed, so that a loss is no failure if it is
 * detected. False, and why: a promise is broken.
 */
typedef bool (*crash_judge)(const char *folder, const struct crash_known *known, bool flipped, char *why, size_t why_size);

struct crash_plan {
	const char *word;                 /* for the writer: what to do; its argv[4] */
	const char *skip;                 /* NULL, or a kind of sync that is left out (CRASH_SKIP) */
	unsigned fail;                    /* the sync that fails, from 1; 0: none */
	unsigned flips;                   /* of a hundred states so many get flipped bits … */
	const char *flip_in;              /* … in files whose name has this in it */
	unsigned states;                  /* 0: as CHIMERA_CRASH_STATES says, else 150 */
	crash_judge judge;
};
struct crash_result {
	unsigned states, bad, flipped;
	size_t events, synced;            /* of the trace; syncs that succeeded */
	uint64_t acknowledged;
	char first[512];                  /* why the first bad one is bad */
};
/* Prints the seed. Ends the program when the writer fails. */
struct crash_result crash_run(const struct crash_plan *plan);

/* The seed of this run: CHIMERA_SEED, or the time. */
uint64_t crash_seed(void);
/* Can a program run with the shim preloaded? Not under the thread sanitizer. */
bool crash_possible(void);
/* Removes a folder and all in it. */
void crash_remove(const char *folder);

#endif
