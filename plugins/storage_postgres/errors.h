/* SPDX-License-Identifier: Apache-2.0 */
/* errors.h - what PostgreSQL's SQLSTATEs mean, for callers and for people. */
#ifndef PG_ERRORS_H
#define PG_ERRORS_H

#include <stdbool.h>
#include <stddef.h>

/* What was answered, cut out of a PGresult; every text may be NULL, and is PostgreSQL's. */
struct pg_said {
	const char *state, *message, *context, *table, *column, *constraint;
};

/* enum ch_sql_error of a five-letter SQLSTATE. */
int pg_error_of(const char *state);
/* The connection is of no use behind it; … */
bool pg_error_ends(const char *state);
/* … and others to the same server are not what we want either: it only reads, or stands by. */
bool pg_error_moved(const char *state);
/* A sentence without values: PostgreSQL's own words only where they cannot hold one. Returns pg_error_of(state). */
int pg_error_tell(const struct pg_said *said, char *text, size_t n);
/* CH_SQL_VALUE: which parameter PostgreSQL names, from 1; 0: none. */
size_t pg_error_parameter(const struct pg_said *said);
/* The row that COPY names, from 1; 0: none. */
size_t pg_error_row(const struct pg_said *said);

/*
 * Why no connection could be made: a sentence that says what to do. `said` is libpq's text in verbose form, of which state gets the
 * SQLSTATE, or "". where: "127.0.0.1:5432".
 */
void pg_error_connect(const char *said, const char *where, const char *user, const char *dbname, char state[6], char *text, size_t n);
/* Is that a refusal which only people can mend, or more of the same makes worse? Then one waits longer. */
bool pg_error_slow(const char *state);

/* Each place in text where the secret stands becomes "***" (or less); an empty or NULL secret stands nowhere. */
void pg_scrub(char *text, const char *secret);

#endif
