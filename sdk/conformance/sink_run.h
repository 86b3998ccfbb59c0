/* SPDX-License-Identifier: MIT */
/* sink_run.h - what the parts of the conformance suite of "sink/1" share. */
#ifndef CONFORM_SINK_RUN_H
#define CONFORM_SINK_RUN_H

#include "sink_cases.h"
#include "store_run.h"

#define DAY INT64_C(86400000000)          /* microseconds */
#define FIRST_DAY (INT64_C(19783) * DAY)  /* 2024-03-01: day 0 of the cases */

/* store_run.own. */
struct sink_own {
	const struct sink_step *steps;    /* of the case that runs */
	char missing[400];                /* what the provider said of the table before the first case; empty: it is there */
};

static inline struct sink_own *own_of(const struct store_run *r)
{
	return r->own;
}
static inline const struct ch_sink_v1 *sink_of(const struct store_run *r)
{
	return conf_of(r)->target->vt;
}

/* ---- sink_rows.c ---- */

const struct ch_relation *sink_table(int table);

/* The tag of the case that runs: 40 bytes at most, NUL-terminated. */
void sink_tag(const struct store_run *, char *out, size_t cap);
void sink_batch_id(const struct store_run *, int batch, unsigned char *out);
void sink_row_id(const struct store_run *, unsigned number, unsigned char *out);
/* The number of the row of that id; false: it is none of the case that runs. */
bool sink_row_number(const struct store_run *, const struct ch_value *row_id, unsigned *number);
/* The row of a number: COLUMNS or NOTES_COLUMNS values. Its bytes live as long as the program, but for the tag, which is yours. */
void sink_row(const struct store_run *, int table, unsigned number, const char *tag, struct ch_value *row);
/* The time of a row of day 0. */
int64_t sink_time(unsigned number);
/* What is wrong with it is put into a row of EVENTS. */
void sink_make_odd(struct ch_value *row, int odd);

/* ---- sink_step.c: makes the calls of a step and judges them ---- */

void sink_step(struct store_run *, const struct sink_step *, void (*over)(struct store_run *));

#endif
