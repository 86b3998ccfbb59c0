/* SPDX-License-Identifier: MIT */
/*
 * chimera/sql.h - the service "sql/1": statements to a relational database that several parts of a server, or several servers, share.
 * Since 0.4.
 *
 * Called on the ctx's loop, answered on the same loop. Nothing is called back inside a call. No transaction outlives a call: what belongs
 * together is one batch, and a condition on what was read is part of the statement that writes, or a row count that it demands.
 *
 * The dialect is what SQLite (3.35) and PostgreSQL (12) have in common:
 *  - SELECT, INSERT, UPDATE, DELETE, WITH before them, and nothing else (BEGIN or COMMIT is CH_SQL_BAD_REQUEST); one statement a text, no
 *    semicolon; joins, subqueries, CASE, COALESCE, COUNT, SUM, MIN, MAX, LIKE (letter case counts); INSERT … ON CONFLICT (…) DO NOTHING or
 *    DO UPDATE SET … excluded.…; RETURNING; ORDER BY, LIMIT, OFFSET;
 *  - parameters $1 … $99, which may repeat and come in any order; no literals from outside ever, lists of values by several parameters;
 *  - no functions of time or chance: pass ch_wall() and ids as parameters; whole-number division and comparison of text are by bytes;
 *  - tables and indexes are made by migrations (kit/migrate.h), written for each engine, never by statements here.
 * Where the result of an expression has no column type, PostgreSQL takes the parameter's own: write CAST($1 AS BIGINT) when it complains.
 */
#ifndef CHIMERA_SQL_H
#define CHIMERA_SQL_H

#include <chimera/value.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_SQL_TEXT_MAX ((size_t)16 << 10)   /* bytes of a statement's text */
#define CH_SQL_VALUES_MAX 99                 /* parameters of a statement */
#define CH_SQL_STATEMENTS_MAX 1000           /* of a batch */
#define CH_SQL_ANY (-1)

enum ch_sql_error {                       /* only ever appended to */
	CH_SQL_OK = 0,
	CH_SQL_BAD_REQUEST,               /* the args or the statement are wrong: a bug of the caller. What follows but UNKNOWN did not happen */
	CH_SQL_VALUE,                     /* the database cannot hold a value: `at` and `value` say which */
	CH_SQL_SCHEMA,                    /* no such table or column: a migration is missing */
	CH_SQL_CONSTRAINT,                /* unique, foreign key, not null, check: `constraint` names it where the engine does */
	CH_SQL_COUNT,                     /* a demanded row count was not met: `at` */
	CH_SQL_CONFLICT,                  /* others were quicker (serialization, deadlock, busy): the caller may try it anew at once */
	CH_SQL_FULL,                      /* the disk is full, or the database read-only */
	CH_SQL_TOO_LARGE,                 /* the result is over max_bytes */
	CH_SQL_NO_MEMORY,                 /* of the ctx */
	CH_SQL_BUSY,                      /* no connection came free in time, or too many wait */
	CH_SQL_UNAVAILABLE,               /* the database cannot be reached, refuses us, or is too slow */
	CH_SQL_UNKNOWN,                   /* the same behind the point of no return: it may have happened, or may happen yet */
	CH_SQL_CANCELLED
};

/* One statement. Lives, with all it points to, until the ticket is resumed. */
struct ch_sql_statement {
	const char *text;                 /* the same bytes each time: prepared once a connection, known by its text */
	const struct ch_value *values;    /* of $1, $2, …: their types are the statement's and stay the same each time */
	size_t nvalues;
	int64_t want;                     /* rows that must be changed or returned, else CH_SQL_COUNT; CH_SQL_ANY */
};
struct ch_sql_args {                      /* as its statements: until the ticket is resumed */
	size_t size;
	struct ch_table statements;       /* CH_TABLE of struct ch_sql_statement; several: all of them or none, in order */
	int64_t timeout_ms;               /* waiting for a connection included; 0: the provider's own. The ctx's deadline holds beside it */
	size_t max_bytes;                 /* of all rows; 0: 8 MiB */
	/*
	 * Each row of SELECT and RETURNING, in order, on the ctx's loop before the ticket is resumed, only when all of the call went well;
	 * `row` holds until the function returns. Types are what the database has: read with ch_v_as_*. OK: the next; DONE: enough. NULL:
	 * rows are not wanted, only counted.
	 */
	int (*row)(struct ch_ctx *, void *arg, size_t statement, const struct ch_value *row, size_t n);
	void *arg;
};
/* What came of it. The caller's memory in the ctx's arena, all zero but `size` when the call is made. */
struct ch_sql_result {
	size_t size;
	int error;                        /* enum ch_sql_error */
	const char *detail;               /* with error: a sentence for people, without values and secrets; the ctx's, or static */
	size_t at;                        /* with error: which statement, from 0, … */
	size_t value;                     /* … CH_SQL_VALUE: and which of its values, from 1; 0: not known */
	const char *constraint;           /* CH_SQL_CONSTRAINT: its name, or "table.column"; NULL: not known */
	const uint64_t *counts;           /* rows changed or returned, by statement; NULL with error */
	void *call;                       /* the provider's own, as long as the call runs */
};
struct ch_sql_about {
	size_t size;
	const char *engine;               /* "sqlite", "postgresql": the folder of its migrations */
	bool up;                          /* it can be reached and its schema is what this version expects, as far as is known now */
};

struct ch_sql_v1 {
	size_t size;
	/*
	 * CH_OK: *out is filled now, no row was given (with an error), and the ticket is untouched. CH_AGAIN: *out will be filled and the
	 * ticket resumed (result NULL), exactly once, within the timeout. CH_ERROR: the provider is broken. Nothing is tried twice that may
	 * have happened.
	 */
	int (*run)(const struct ch_svc *, struct ch_ctx *, const struct ch_sql_args *, struct ch_sql_result *out, ch_ticket);
	/*
	 * Gives up the call that fills *out: no more rows; CH_SQL_CANCELLED or CH_SQL_UNKNOWN; the ticket is resumed soon, whatever the
	 * database does. Idempotent; nothing when the call has ended.
	 */
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_sql_result *out);
	/* [any] Set out->size. */
	void (*about)(const struct ch_svc *, struct ch_sql_about *out);
};

/* CH_SQL(statements, n): how many of an array a call runs. */
#define CH_SQL(array, n) { (array), (n), sizeof((array)[0]) }

#ifdef __cplusplus
}
#endif
#endif
