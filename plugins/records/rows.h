/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - rows read from the journal for a sink: consecutive ones of one table, as a batch wants them. One thread at a time.
 */
#ifndef RECORDS_ROWS_H
#define RECORDS_ROWS_H

#include "journal.h"

struct rows {
	const struct ch_relation *table;
	struct ch_value *values;          /* n times the table's columns; what they point to lies in the journal until it was passed */
	struct journal_pos *next;         /* behind each row */
	size_t n, first;                  /* those before `first` are at the sink */
	size_t bytes;
	size_t values_cap, next_cap;
	uint64_t lost[3];                 /* rows that were not there, by enum journal_why; the reader of it sets them to 0 */
};

struct rows_limit {
	size_t rows, bytes;               /* of a new batch */
	const struct journal_pos *until;  /* of one that was fixed before: all up to there; NULL: a new one */
};

enum rows_state { ROWS_MORE, ROWS_DONE, ROWS_NO_MEMORY };

/* Forgets all. */
void rows_clear(struct rows *r);
void rows_free(struct rows *r);
/* Reads on, `slice` rows at most. DONE: the limit, another table, or no more for now. */
int rows_read(struct rows *r, struct journal_reader *reader, const struct rows_limit *limit, size_t slice);
/* How many rows, from the first that is not at the sink yet, lie before that position. */
size_t rows_before(const struct rows *r, const struct journal_pos *pos);

/* Takes out each of the first n that are left for which gone(arg, i) says so, i counted from the first that is left; how many. */
size_t rows_take_out(struct rows *r, size_t n, bool (*gone)(void *arg, size_t i), void *arg);

static inline size_t rows_left(const struct rows *r)
{
	return r->n - r->first;
}
static inline const struct ch_value *rows_at(const struct rows *r, size_t i) /* the i-th that is not at the sink yet */
{
	return r->values + (r->first + i) * r->table->columns.n;
}

#endif
