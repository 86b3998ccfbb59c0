/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead.h - dlq.jsonl: rows that a sink will never take, as letter.h writes them. Lines are appended; only a purge writes the file anew.
 *
 * All but dead_count block: call them in the offload pool. Any thread.
 */
#ifndef RECORDS_DEAD_H
#define RECORDS_DEAD_H

#include "letter.h"

struct dead;

/* The file in that folder, made when the first line comes. NULL: err is one sentence. */
struct dead *dead_open(const char *dir, char *err, size_t cap);
void dead_close(struct dead *d);

/*
 * Appends lines and syncs them: NULL, or why they are not there, static text. After a failed sync nothing more is appended until the file
 * was purged or the server starts anew: what the disk holds of it is not known.
 */
const char *dead_append(struct dead *d, const char *lines, size_t n);

/* One letter that is neither replayed nor purged. Rows that came twice (after a crash) are one letter: the newest. */
struct dead_entry {
	struct letter letter;             /* points into the list's copy of the file */
	const char *line;
	size_t n;
};
/* The file as it was at one moment; dead_list_free. */
struct dead_list {
	struct dead_entry *v;             /* in the file's order */
	size_t n;
	size_t replayed;
	size_t bad_lines;                 /* neither letters nor marks: told, and left out */
	char *text;
	size_t ntext;
};
/* NULL: why, static text. */
struct dead_list *dead_read(struct dead *d, const char **why);
void dead_list_free(void *list);

/* The rows that ever were letters of that sink, as far as they are not purged, in ascending order; free() it. NULL: why. */
unsigned char (*dead_rows(struct dead *d, const char *sink, size_t *n, const char **why))[16];

/*
 * Writes the file anew without letters that were replayed, and without those that `gone` says; *n: how many of the latter there were. NULL:
 * gone is nothing but the former. The result as of dead_append.
 */
const char *dead_purge(struct dead *d, bool (*gone)(void *arg, const struct letter *), void *arg, size_t *n);

#endif
