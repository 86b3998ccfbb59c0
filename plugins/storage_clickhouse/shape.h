/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape.h - how a table in the database takes the rows of a relation. RowBinary has no names and no types: a column that is another one
 * there would make nonsense of every byte behind it, so the server is asked before the first rows are sent, and after every doubt. Pure.
 */
#ifndef CLICK_SHAPE_H
#define CLICK_SHAPE_H

#include <chimera/value.h>

#include "rowbinary.h"

struct click_shape {
	bool nullable[CLICK_COLUMNS_MAX]; /* in the table, by the relation's column */
	/* settings that the server knows; 18.16 knows none of them */
	bool token;                       /* insert_deduplication_token */
	bool partitions;                  /* max_partitions_per_insert_block */
	bool async;                       /* async_insert */
};

/*
 * Reads the answer to click_sql_shape: lines "name TAB type", settings as "@name". False: why[] says, in a sentence, what does not fit; or
 * that there is no such table.
 */
bool click_shape_read(const struct ch_relation *r, const char *text, size_t n, struct click_shape *out, char *why, size_t size);

#endif
