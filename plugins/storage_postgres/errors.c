/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errors.c - what PostgreSQL's SQLSTATEs mean. Its messages of the classes 22 and 23 hold values of rows, and are not passed on: names of
 * tables, columns and constraints come in fields of their own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chimera/sql.h>

#include "errors.h"

/* A state, or the two letters of its class; the first row that fits holds. */
static const struct { const char *state; int error; } rows[] = {
	{ "0A000", CH_SQL_CONFLICT }, /* "cached plan must not change result type": prepared anew, it goes */
	{ "26", CH_SQL_CONFLICT }, { "42P05", CH_SQL_CONFLICT }, /* a pooler in between has another connection for us */
	{ "21", CH_SQL_BAD_REQUEST },
	{ "22", CH_SQL_VALUE }, { "54", CH_SQL_VALUE },
	{ "23", CH_SQL_CONSTRAINT }, { "40002", CH_SQL_CONSTRAINT }, { "44", CH_SQL_CONSTRAINT }, { "P0", CH_SQL_CONSTRAINT },
	{ "25006", CH_SQL_FULL }, { "53100", CH_SQL_FULL }, { "53200", CH_SQL_FULL }, { "53300", CH_SQL_BUSY },
	{ "40003", CH_SQL_UNKNOWN }, { "40", CH_SQL_CONFLICT }, { "55P03", CH_SQL_CONFLICT },
	{ "42P01", CH_SQL_SCHEMA }, { "42703", CH_SQL_SCHEMA }, { "3F", CH_SQL_SCHEMA },
	{ "42501", CH_SQL_UNAVAILABLE }, { "42", CH_SQL_BAD_REQUEST }, { "08P01", CH_SQL_BAD_REQUEST },
};

static bool is(const char *state, const char *row)
{
	return state && !strncmp(state, row, strlen(row));
}

int pg_error_of(const char *state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (is(state, rows[i].state))
			return rows[i].error;
	return CH_SQL_UNAVAILABLE;
}

bool pg_error_ends(const char *state)
{
	return is(state, "57P") || is(state, "08") || is(state, "25") || is(state, "26") || is(state, "42P05") || is(state, "0A000") ||
	       is(state, "XX");
}

bool pg_error_moved(const char *state)
{
	return is(state, "25006");
}

bool pg_error_slow(const char *state)
{
	return is(state, "53") || is(state, "28") || is(state, "3D") || is(state, "42") || is(state, "SSL");
}

/* ---- what a statement met ---- */

static const char *value_fault(const char *state)
{
	static const struct { const char *state, *what; } faults[] = {
		{ "22001", "is too long" }, { "22003", "is out of range" }, { "22021", "is not in the database's encoding" },
		{ "22007", "is no time" }, { "22008", "is a time out of range" }, { "22012", "is divided by zero" },
		{ "22P02", "has the wrong form" }, { "22P03", "is of another type" }, { "54000", "is too large" },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (is(state, faults[i].state))
			return faults[i].what;
	return "was refused";
}

static const char *constraint_fault(const char *state)
{
	return is(state, "23505") ? "a row with the same key is there already" :
	       is(state, "23503") ? "the row that is pointed to is missing, or is pointed to" :
	       is(state, "23502") ? "a value is missing" :
	       is(state, "23514") ? "a check was not passed" : "the database's own rules refuse it";
}

int pg_error_tell(const struct pg_said *said, char *text, size_t n)
{
	const char *state = said->state ? said->state : "", *message = said->message ? said->message : "no reason was given";
	int error = pg_error_of(state);

	switch (error) {
	case CH_SQL_VALUE:
		snprintf(text, n, "A value %s%s%s%s%s (SQLSTATE %s).", value_fault(state), said->column ? ": column " : "",
		         said->column ? said->column : "", said->table ? " of " : "", said->table ? said->table : "", state);
		break;
	case CH_SQL_CONSTRAINT:
		snprintf(text, n, "PostgreSQL says that %s%s%s%s%s (SQLSTATE %s).", constraint_fault(state),
		         said->constraint || said->column ? ": " : "", said->constraint ? said->constraint :
		         said->column ? said->column : "",
		         said->table ? " of table " : "", said->table ? said->table : "", state);
		break;
	case CH_SQL_SCHEMA:
		snprintf(text, n, "PostgreSQL says: %s; `chimeractl schema status` shows how the schema is not what this version expects.",
			message);
		break;
	case CH_SQL_CONFLICT:
		snprintf(text, n, "Others were quicker (PostgreSQL says: %s; SQLSTATE %s); try again.", message, state);
		break;
	case CH_SQL_FULL:
		snprintf(text, n, is(state, "25006") ?
		         "The database only reads (%s): it is a standby, or default_transaction_read_only is set; "
		         "name the writing server in dsn, or all of them with target_session_attrs=read-write." :
		         is(state, "53100") ? "The database's disk is full (%s); make room there." :
		         "The database has no memory left (%s).", message);
		break;
	case CH_SQL_BUSY:
		snprintf(text, n, "PostgreSQL has no connection left for us (%s).", message);
		break;
	case CH_SQL_BAD_REQUEST:
		snprintf(text, n, "PostgreSQL does not take the statement: %s (SQLSTATE %s).", message, state);
		break;
	default:
		snprintf(text, n, is(state, "57014") ? "PostgreSQL gave the statement up (%s): it took longer than statement_timeout." :
		         is(state, "42501") ? "PostgreSQL refuses us: %s; grant it to the role of dsn." :
		         "PostgreSQL could not do it: %s (SQLSTATE %s).", message, state);
	}
	return error;
}

/* The number behind the last `word` of the context; 0: none. */
static size_t number_behind(const char *context, const char *word)
{
	const char *p = context ? strstr(context, word) : NULL;

	return p ? strtoul(p + strlen(word), NULL, 10) : 0;
}

size_t pg_error_parameter(const struct pg_said *said)
{
	return number_behind(said->context, "parameter $");
}

size_t pg_error_row(const struct pg_said *said)
{
	const char *p = said->context ? strstr(said->context, "COPY ") : NULL;

	/* In any language of the server's: the first number behind the table's name. */
	p = p ? strchr(p, ',') : NULL;
	p = p ? p + strcspn(p, "0123456789\n") : NULL;
	return p ? strtoul(p, NULL, 10) : 0;
}

/* ---- what a connection met ---- */

void pg_scrub(char *text, const char *secret)
{
	size_t n = secret ? strlen(secret) : 0;
	const size_t most = sizeof("***") - 1;

	if (!n)
		return;
	for (char *p = text; (p = strstr(p, secret));) {
		size_t stars = n < most ? n : most;

		memset(p, '*', stars);
		memmove(p + stars, p + n, strlen(p + n) + 1);
		p += stars;
	}
}

/* Behind `connection to server at "127.0.0.1", port 5432 failed: `, which our own sentences say better. */
static const char *own_words(const char *said)
{
	static const char before[] = " failed: ";
	const char *p = strncmp(said, "connection to server", 20) ? NULL : strstr(said, before);

	return p ? p + sizeof(before) - 1 : said;
}

/* "FATAL:  28P01: …" has the state behind two blanks, in any language. */
static const char *find_state(const char *said, char state[6])
{
	*state = 0;
	for (const char *p = said; (p = strstr(p, ":  ")); p += 3) {
		const char *s = p + 3;

		if (strspn(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && s[5] == ':') {
			memcpy(state, s, 5);
			state[5] = 0;
			s += 6;
			return s + strspn(s, " ");
		}
	}
	return own_words(said);
}

static bool says(const char *said, const char *a, const char *b)
{
	return strstr(said, a) || strstr(said, b);
}

void pg_error_connect(const char *said, const char *where, const char *user, const char *dbname, char state[6], char *text, size_t n)
{
	static const char silent[] = "it did not answer in time"; /* libpq knows of nothing wrong */
	const char *line = find_state(said, state);
	int len = (int)strcspn(line, "\n");

	if (is(state, "28P01"))
		snprintf(text, n, "PostgreSQL at %s refuses the password of user %s; correct password (or its file), or the role's.",
			where, user);
	else if (is(state, "28"))
		snprintf(text, n, "PostgreSQL at %s refuses user %s; correct dsn, or the server's pg_hba.conf and roles (%.*s).", where,
			user, len, line);
	else if (is(state, "3D000"))
		snprintf(text, n, "PostgreSQL at %s has no database %s; create it (createdb -O %s %s), or correct dbname in dsn.", where,
			dbname, user, dbname);
	else if (is(state, "53300"))
		snprintf(text, n, "PostgreSQL at %s has no connection left for us; lower pool_size and max_overflow, or raise its "
			"max_connections (%.*s).", where, len, line);
	else if (is(state, "57P"))
		snprintf(text, n, "PostgreSQL at %s is not ready (%.*s).", where, len, line);
	else if (*state)
		snprintf(text, n, "PostgreSQL at %s refuses us: %.*s (SQLSTATE %s).", where, len, line, state);
	else if (strstr(said, "no password supplied"))
		snprintf(text, n, "PostgreSQL at %s wants a password for user %s; set password.", where, user);
	else if (says(said, "SSL", "certificate")) {
		snprintf(text, n, "TLS with PostgreSQL at %s failed; correct tls_mode and tls_ca, or the dsn's own (%.*s).", where,
			len, line);
		memcpy(state, "SSL", 4); /* no SQLSTATE, for pg_error_slow */
	} else if (says(said, "refused", "No such file"))
		snprintf(text, n, "Nobody listens at %s; start PostgreSQL, or correct host and port in dsn.", where);
	else
		snprintf(text, n, "PostgreSQL at %s cannot be reached: %.*s.", where, len ? len : (int)sizeof(silent) - 1,
			len ? line : silent);
}
