/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql.h - texts of statements. No value of a row ever stands in one as itself: ids are hex digits, texts the hex digits of their bytes
 * within unhex('…'), numbers are numbers. Names come from relations, are [a-z][a-z0-9_]*, and stand in
 * backquotes since some are words of SQL.
 */
#ifndef CLICK_SQL_H
#define CLICK_SQL_H

#include <chimera/value.h>

#include "shape.h"

/* A text that grows in the ctx's arena; `failed`: no memory, and no more of it is kept. Always with a final NUL. */
struct click_text {
	struct ch_ctx *c;
	char *p;
	size_t n, cap;
	bool failed;
};

void click_text_add(struct click_text *t, const char *p, size_t n);
CH_PRINTF_(2, 3) void click_text_print(struct click_text *t, const char *fmt, ...);
/* The same with all that is not [A-Za-z0-9._~-] percent-encoded: for a URL's query. */
void click_text_encode(struct click_text *t, const char *p, size_t n);

/* "00112233-4455-6677-8899-aabbccddeeff" */
void click_uuid_text(const unsigned char id[16], char out[37]);
/* The day of that moment as the table's partitions call it, 20261121; days before 1970 and after 2100 are the first and the last. */
long click_day(int64_t us);

/* Columns and types of a table, and which settings the server has: lines for click_shape_read. */
void click_sql_shape(struct click_text *t, const char *table);
void click_sql_insert(struct click_text *t, const struct ch_relation *r);
/* How many queries of that id run. */
void click_sql_running(struct click_text *t, const char *query_id);
/* The row_ids of a batch, each once, whose rows lie between those moments. */
void click_sql_present(struct click_text *t, const struct ch_relation *r, const unsigned char batch_id[16], int64_t first, int64_t last);
/* The rows whose column has that value (TEXT or UUID), newest first, each once. */
void click_sql_find(struct click_text *t, const struct ch_relation *r, size_t column, const struct ch_value *v, size_t limit);
/* The partitions of whole days before that one: a line "@key TAB 1" if the table is partitioned by days, then lines "20261121 TAB rows". */
void click_sql_days(struct click_text *t, const char *table, long before_day);
void click_sql_drop(struct click_text *t, const char *table, long day);

#endif
