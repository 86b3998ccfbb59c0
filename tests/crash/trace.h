/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - what shim.c writes down while a program runs and state.c plays again: everything that the files below one folder go through, in
 * order. Records of this header and `n` bytes behind each.
 */
#ifndef CHIMERA_TESTS_CRASH_TRACE_H
#define CHIMERA_TESTS_CRASH_TRACE_H

#include <stdint.h>

enum trace_op {
	TRACE_NAME = 1,     /* the file `file` has the name in the bytes, from now on too */
	TRACE_UNNAME,       /* nothing has the name in the bytes any more */
	TRACE_RENAME,       /* bytes: the old name, a NUL, the new name */
	TRACE_WRITE,        /* the bytes at `at` */
	TRACE_SIZE,         /* the file is `at` bytes long: cut, or grown with zeros */
	TRACE_SYNC,         /* a sync of [at, at + length) begins; length UINT64_MAX: of all of the file */
	TRACE_SYNCED,       /* the one that began at event `at` has succeeded … */
	TRACE_SYNC_FAILED,  /* … or not */
	TRACE_FOLDER_SYNC,  /* the same for the names */
	TRACE_FOLDER_SYNCED,
	TRACE_MARK          /* the program said so: what it will do and what it has acknowledged, a kind in `file` and a number in `at` */
};
enum trace_mark {
	TRACE_TRIES = 1,    /* from now on a row with this number, and those below, may be there */
	TRACE_HAS,          /* rows up to this number, without it, must be there */
	TRACE_PASSES        /* rows below this number may have gone: their consumer has them */
};

struct trace_event {
	uint32_t op, file;
	uint64_t at, length;
	uint64_t n;
};

/* In the program that is recorded: there when the shim is. */
extern void crash_mark(int kind, uint64_t number) __attribute__((weak));
static inline void mark(int kind, uint64_t number)
{
	if (crash_mark)
		crash_mark(kind, number);
}

#endif
