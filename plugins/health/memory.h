/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - how much of the memory that we may have is used: of the cgroup's limit (v2, v1), else of the machine's. What can be given back
 * at once (inactive file pages) does not count as used.
 *
 * The parsers are pure; memory_read reads files and may block for a moment: a pool thread's work.
 */
#ifndef HEALTH_MEMORY_H
#define HEALTH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_PATH_MAX 1024

struct memory_use {
	const char *of; /* "cgroup" or "machine" */
	uint64_t used, limit; /* bytes; limit > 0 */
};

/*
 * From the text of /proc/self/cgroup: the path of the memory controller in version 1 ("5:memory:/x"), else that of version 2 ("0::/x").
 * Returns the version, 0 for neither. A path that leads out of the namespace ("/../x") becomes "/".
 */
int cgroup_path(const char *text, char out[CGROUP_PATH_MAX]);

/* A line "123\n" as a number; false for "max" and what is none. */
bool memory_number(const char *text, uint64_t *out);

/* The number behind `key` and blanks (and a colon, if the key has it) at the start of a line: memory.stat, /proc/meminfo. */
bool memory_field(const char *text, const char *key, uint64_t *out);

/* From the text of /proc/meminfo. False: it lacks MemTotal or MemAvailable. */
bool memory_of_machine(const char *text, struct memory_use *out);

/* `root` stands in front of /proc and /sys: "" but in tests. The cgroup, or the one above it, that is nearest to its limit. */
bool memory_read(const char *root, struct memory_use *out);

#endif
