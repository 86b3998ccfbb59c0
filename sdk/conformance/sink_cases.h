/* SPDX-License-Identifier: MIT */
/*
 * sink_cases.h - a case of the conformance suite of "sink/1": calls one after the other, with what each must come to. Rows are known by
 * their numbers: sink_rows.c makes a row of a number, the same each time, with ids and a tag that no other case and no other run has. What
 * is left out is not looked at, but for the rules that hold for every call (see sink.c).
 */
#ifndef CONFORM_SINK_CASES_H
#define CONFORM_SINK_CASES_H

#include <chimera/sink.h>

enum { SINK_STEPS = 10 };

enum sink_op { SINK_END = 0, APPEND, FIND, EXPIRE, ABOUT };
enum sink_table { EVENTS = 0, NOTES, NOWHERE }; /* NOWHERE: a table that the database has not */
/* Columns of EVENTS; NOTES has the first three and `n`. */
enum sink_column { C_ROW_ID, C_TIME, C_TAG, C_I, C_R, C_B, C_T, C_X, C_AT, C_U, COLUMNS, C_N = C_I, NOTES_COLUMNS };

/* What is wrong with the rows `odd_row` and `odd_too` of a batch, or (ALL_NULL) with all. */
enum sink_odd {
	ODD_NONE = 0, NAN_REAL, INFINITE_REAL, NUL_IN_TEXT, NO_UTF8, NULL_TAG, TIME_TOO_EARLY, TIME_TOO_LATE, AT_TOO_LATE, NULL_ROW_ID,
	NULL_TIME,
	ALL_NULL                          /* each column that may be null: nothing is wrong with that */
};

/* Numbers of rows, so that 0 is "not looked at". */
#define ROWS(number) ((number) + 1)

struct sink_step {
	int op;                           /* enum sink_op */
	int table;                        /* enum sink_table */
	/* How it is asked. */
	int64_t timeout, deadline;        /* milliseconds; 0: PATIENCE, none */
	int cancel;                       /* CANCEL_* */
	int batch;                        /* APPEND: the number that its id is made of */
	unsigned from, n;                 /* APPEND: rows from that number on, so many */
	unsigned without, without_too;    /* APPEND: ROWS(number) of rows that are left out */
	int64_t day;                      /* APPEND: their day; 0: 2024-03-01; EXPIRE: the moment is the beginning of that day … */
	int64_t plus;                     /* EXPIRE: … and so many milliseconds more */
	unsigned next_day;                /* APPEND: rows from that number on are of the day after; 0: none */
	bool again;                       /* APPEND */
	int odd;                          /* APPEND: enum sink_odd */
	unsigned odd_row, odd_too;        /* ROWS(index) in the batch, from 0 */
	unsigned calls;                   /* APPEND: so many at once, on all loops: the same batch … */
	bool each_its_own;                /* … or the next rows and the next batch number each */
	bool patient;                     /* RETRY: the same once more, with `again`, until it is done; EXPIRE: until no row went */
	int column;                       /* FIND: enum sink_column; 0: the case's tag; TEXT: `text`, UUID: of row `from` */
	bool by_row_id;                   /* FIND: the row_id of row `from` */
	const char *text;                 /* FIND */
	size_t limit;                     /* FIND; 0: 1000 */
	unsigned stop;                    /* FIND: the function says DONE to the row of that number, from 1 */
	/* What must come of it. */
	int outcome;                      /* enum ch_sink_outcome; 0: DONE */
	unsigned also;                    /* O(outcome) | …: these are right too; then nothing else is looked at */
	int64_t rows;                     /* ROWS(n): `rows`; of FIND: what was given, too */
	int64_t newest;                   /* FIND: ROWS(number) of the first row given; the others follow without a gap */
	int64_t least;                    /* FIND: ROWS(n): at least so many rows are given */
	const char *why;                  /* APPEND, REFUSED: the column's name, which each `why` holds */
};

struct sink_case {
	const char *name;                 /* group/case */
	struct sink_step steps[SINK_STEPS]; /* until SINK_END */
};
extern const struct sink_case sink_cases[];
extern const size_t sink_ncases;

#define O(outcome) (1u << CH_SINK_##outcome)

#endif
