/* SPDX-License-Identifier: MIT */
/* sql_run.h - what the parts of the conformance suite of "sql/1" share. */
#ifndef CONFORM_SQL_RUN_H
#define CONFORM_SQL_RUN_H

#include "sql_cases.h"
#include "store_run.h"

#define SQL_MANY 2000                     /* rows of conform_many */

/* store_run.own. */
struct sql_own {
	const struct sql_step *steps;     /* of the case that runs */
	struct sql_step made[SQL_STEPS];  /* they, of a value's case … */
	char texts[SQL_STEPS][100];       /* … and their statements */
	char bytes[(1 << 20) + 1];        /* its value, where the case repeats it */
	int error;                        /* of the step before; UNKNOWN too if it was given up and had ended by itself */
	char detail[400];                 /* of it, too */
	uint64_t total;                   /* rounds of the last race */
};

static inline struct sql_own *own_of(const struct store_run *r)
{
	return r->own;
}
static inline const struct ch_sql_v1 *sql_of(const struct store_run *r)
{
	return conf_of(r)->target->vt;
}
static inline size_t sql_count_values(const struct ch_value *v)
{
	size_t n = 0;

	while (n < SQL_VALUES && v[n].type)
		n++;
	return n;
}

/* sql_step.c: makes one call and judges it. */
void sql_step(struct store_run *, const struct sql_step *, void (*over)(struct store_run *));
const char *sql_error_name(int error);

/* sql_judge.c: what a call came to. */
struct sql_seen {                         /* of the rows */
	uint64_t rows;                    /* given so far */
	bool enough;                      /* DONE was said */
	size_t statement;                 /* of the last one */
	int64_t first;                    /* its first value */
};
void sql_judge_row(struct store_run *, const struct sql_step *, struct sql_seen *, size_t statement, const struct ch_value *row, size_t n);
/* What holds for every result; `statements` are those that were handed over. */
void sql_judge_all(struct store_run *, const struct ch_sql_result *, const struct ch_sql_statement *statements, size_t n,
	const struct sql_seen *);
/* The step's own claims. */
void sql_judge(struct store_run *, const struct sql_step *, const struct ch_sql_result *, const struct sql_seen *);

/* sql_race.c: the race of a step; `over` follows. */
void sql_race(struct store_run *, const struct sql_step *, void (*over)(struct store_run *));

#endif
