/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.h - the tables whose rows are at the sinks, in the file DIR/tables: `retention` and `records show` ask for each of them there. The
 * journal forgets a table with its last row, but rows stay at a sink for longer than any process. docs/journal_format.md has the bytes.
 */
#ifndef RECORDS_TABLES_H
#define RECORDS_TABLES_H

#include "journal.h"

struct tables;

/* What the file says; a file that is not there is empty, one that is damaged is told by `log` and read up to there. NULL: err. Blocks. */
struct tables *tables_open(const char *dir, void (*log)(void *arg, int level, const char *line), void *arg, char *err, size_t cap);
void tables_close(struct tables *t);

/* [any] The i-th of them, from 0; NULL: there are no more. It stays for the life of the process. */
const struct ch_relation *tables_at(struct tables *t, size_t i);
/* [any] One more, or other columns of one that is known. Equal tables are one afterwards. */
void tables_add(struct tables *t, const struct ch_relation *table);
/* Writes the file anew, durably, if it does not say all. A failure is told by `log`, once until it succeeds. Blocks; any thread. */
void tables_save(struct tables *t);

/*
 * [any] An equal table that stays for the life of the process, which providers may remember by its address. NULL: no memory, or too many.
 */
const struct ch_relation *tables_keep(const struct ch_relation *table);

#endif
