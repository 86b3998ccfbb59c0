/* SPDX-License-Identifier: MIT */
/*
 * sql_cases.h - a case of the conformance suite of "sql/1": calls one after the other, with what each must come to. What is left out is not
 * looked at, but for the rules that hold for every call (see sql.c). Each case begins with empty tables, see migrations/.
 */
#ifndef CONFORM_SQL_CASES_H
#define CONFORM_SQL_CASES_H

#include <chimera/sql.h>

enum { SQL_STATEMENTS = 4, SQL_VALUES = 9, SQL_ROWS = 4, SQL_STEPS = 9 };

/* Numbers of rows, so that 0 is "not looked at". */
#define ROWS(number) ((number) + 1)

struct sql_say {
	const char *text;                 /* NULL: no more statements */
	struct ch_value v[SQL_VALUES];    /* $1, $2, …, until one of type 0 */
	int64_t want;                     /* ROWS(n): demanded; 0: CH_SQL_ANY */
	int64_t count;                    /* ROWS(n): what `counts` must say */
};
struct sql_found { struct ch_value v[SQL_VALUES]; }; /* a row, until one of type 0 */

/* Calls that no struct sql_say can say. */
enum sql_odd {
	ODD_NONE = 0,
	NO_STATEMENTS,                    /* a batch of none */
	NO_TEXT,
	PADDED_TEXT,                      /* blanks behind it, up to CH_SQL_TEXT_MAX bytes, … */
	LONG_TEXT,                        /* … and one more */
	MANY_VALUES,                      /* the first value 99 times, … */
	TOO_MANY_VALUES,                  /* … and once more */
	BAD_TYPE                          /* the first value's */
};

/* Many callers at a time, see sql_race.c. */
enum sql_race { RACE_NONE = 0, RACE_INSERT, RACE_ADD, RACE_SWAP, RACE_ONCE, RACE_MOVE, RACE_OWN, RACE_BURST };

struct sql_step {
	struct sql_say say[SQL_STATEMENTS];
	/* How it is asked. */
	size_t copies;                    /* the first statement so often, each with the next number as $1; 0: as they stand */
	int odd;                          /* enum sql_odd: the first statement is changed into that */
	int race;                         /* enum sql_race: nothing is said; `racers` a loop (BURST: on one), each `rounds` times */
	unsigned racers, rounds;
	int64_t timeout, deadline;        /* milliseconds; 0: PATIENCE, none */
	size_t max_bytes;
	int cancel;                       /* CANCEL_*, LATER after 100 ms */
	bool uncounted;                   /* without a function for rows */
	size_t stop;                      /* the function says DONE to the row of that number, from 1 */
	bool if_known;                    /* only if the step before did not end with UNKNOWN */
	/* What must come of it. */
	int error;                        /* enum ch_sql_error */
	unsigned also;                    /* E(error) | …: these are right too; then nothing else is looked at */
	int at;                           /* with error: the statement, from 1; 0: not looked at */
	int value;                        /* with error: the value */
	const char *constraint;           /* words of which one stands in a constraint's name, if there is a name: "a|b" */
	struct sql_found rows[SQL_ROWS];  /* all rows of the call in order, until one without values */
	int64_t nrows;                    /* ROWS(n): so many; 0: as many as `rows` has, if it has any */
	bool counting;                    /* the first value of each row is one more than that of the row before */
	bool total;                       /* the first value of the first row is the number of all rounds of the last race */
};

struct sql_case {
	const char *name;                 /* group/case */
	struct sql_step steps[SQL_STEPS]; /* until one that says nothing */
};
extern const struct sql_case sql_cases[];
extern const size_t sql_ncases;

/* A value that must come back as it was, from each kind of statement; or be refused. */
struct sql_value_case {
	const char *name;
	const char *column;               /* of conform_values, of that type */
	struct ch_value v;
	size_t bytes;                     /* TEXT and BLOB: v's bytes again and again, up to so many; 0: once */
	bool refused;                     /* CH_SQL_VALUE */
};
extern const struct sql_value_case sql_value_cases[];
extern const size_t sql_nvalue_cases;

#define E(error) (1u << CH_SQL_##error)

#define INT(number) { .type = CH_V_INT, .u.i = (number) }
#define BOOLEAN(number) { .type = CH_V_BOOL, .u.i = (number) }
#define TIME(us) { .type = CH_V_TIME, .u.i = (us) }
#define REAL(number) { .type = CH_V_REAL, .u.d = (number) }
#define TEXT(lit) { .type = CH_V_TEXT, .u.s = { "" lit, sizeof(lit) - 1 } }
#define BLOB(lit) { .type = CH_V_BLOB, .u.s = { "" lit, sizeof(lit) - 1 } }
#define UUID(...) { .type = CH_V_UUID, .u.uuid = { __VA_ARGS__ } }
#define NIL(t) { .type = CH_V_##t, .null = 1 }

#endif
