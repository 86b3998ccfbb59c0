/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what the files of a recorded program may be after the power failed at a moment of it (see trace.h), as real files in a folder.
 *
 * The model is that of ext4 with data=ordered, made harsher where the standard promises less:
 *  - What a sync covered that had succeeded by then is there: the pages of its range as they were when it began, and the file's size.
 *    A name is there when a sync of the folder covered it, and not because its file was synced.
 *  - Of the rest each page (4 KiB) is as some write since then left it, or as it was; a page may be torn between two of these at a sector
 *    of 512 bytes. Names change in order: a prefix of what was not synced. So do cuts of a file: nothing from before one that is there
 *    comes back.
 *  - Pages whose sync failed are taken for clean by the kernel: a later sync that succeeds does not cover what was written before, unless
 *    the page was written again.
 */
#ifndef CHIMERA_TESTS_CRASH_STATE_H
#define CHIMERA_TESTS_CRASH_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "trace.h"

struct trace {
	struct trace_event *events;
	const unsigned char **bytes;      /* of each event */
	size_t n;
	uint32_t files;                   /* their numbers are 1 to files */
	unsigned char *all;
};
/* Ends the program when the file cannot be read. */
void trace_load(struct trace *t, const char *path);
void trace_free(struct trace *t);

/* splitmix64: the same seed gives the same states. */
uint64_t crash_random(uint64_t *seed);

enum state_mode {
	STATE_LEAST,                      /* only what was synced */
	STATE_PREFIX,                     /* all up to a moment, the last write torn */
	STATE_PAGES,                      /* each page on its own */
	STATE_ALL,                        /* the power did not fail, the program was killed */
	STATE_MODES
};
/* Writes the state after the first `until` events into an empty folder. */
void state_make(const struct trace *t, size_t until, enum state_mode mode, uint64_t *seed, const char *folder);

#endif
