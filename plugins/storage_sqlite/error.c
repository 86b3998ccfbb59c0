/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - SQLite's result codes as errors of sql/1, with a sentence for people that says what to do. */
#include <stdarg.h>
#include <stdio.h>

#include "sqlite.h"

bool sq_fail(struct sq_error *e, int code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->rc = SQLITE_OK;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return false;
}

bool sq_is_fatal(int rc)
{
	switch (rc) {
	case SQLITE_IOERR_FSYNC:
	case SQLITE_IOERR_DIR_FSYNC:
	case SQLITE_IOERR_TRUNCATE:
	case SQLITE_READONLY_DBMOVED:
		return true;
	default:
		return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
	}
}

/* What stands behind the colon of "UNIQUE constraint failed: users.name": a name, without the words and quotes around it. */
static void constraint_name(const char *said, char *to, size_t cap)
{
	const char *p = strstr(said, ": ");
	size_t n;

	to[0] = 0;
	if (!p)
		return;
	p += 2;
	if (!strncmp(p, "index '", 7))
		p += 7;
	n = strcspn(p, "'");
	if (n < cap) {
		memcpy(to, p, n);
		to[n] = 0;
	}
}

/* SQLITE_ERROR has many meanings; only its text tells a missing table from a wrong statement. */
static int code_of_error(const char *said)
{
	static const char *const missing[] = { "no such table", "no such column", "no such index", "has no column named",
		"ON CONFLICT clause does not match", NULL };
	const char *const *m;

	for (m = missing; *m; m++)
		if (strstr(said, *m))
			return CH_SQL_SCHEMA;
	return CH_SQL_BAD_REQUEST;
}

static bool of_io(struct sq_error *e, int rc, const char *said)
{
	switch (rc) {
	case SQLITE_IOERR_FSYNC:
	case SQLITE_IOERR_DIR_FSYNC:
		return sq_fail(e, CH_SQL_UNKNOWN, "The disk has failed to keep what was written (fsync): the database is opened anew "
			"and checked; see the disk's health.");
	case SQLITE_IOERR_WRITE:
	case SQLITE_IOERR_TRUNCATE:
	case SQLITE_IOERR_SHMSIZE:
		return sq_fail(e, CH_SQL_FULL, "The database cannot be written (%s): look for a full or failing disk, a quota or a "
			"limit of file sizes.",
			said);
	default:
		return sq_fail(e, CH_SQL_UNAVAILABLE, "The disk does not give what is in the database (%s, code %d): see the disk's "
			"health.", said, rc);
	}
}

bool sq_fail_db(struct sq_error *e, sqlite3 *db, int rc)
{
	const char *said = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

	switch (rc & 0xff) {
	case SQLITE_ERROR:
		if (code_of_error(said) == CH_SQL_SCHEMA)
			sq_fail(e, CH_SQL_SCHEMA, "The database has not what the statement names (%s): is a migration missing? See "
				"`chimeractl schema status`.", said);
		else
			sq_fail(e, CH_SQL_BAD_REQUEST, "The statement is wrong: %s.", said);
		break;
	case SQLITE_AUTH:
		sq_fail(e, CH_SQL_BAD_REQUEST, "The statement is none of those that are allowed here: SELECT, INSERT, UPDATE and DELETE.");
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		sq_fail(e, CH_SQL_CONFLICT, "Another process holds the lock of the database file for longer than busy_timeout: end it, "
			"or try again.");
		break;
	case SQLITE_FULL:
		sq_fail(e, CH_SQL_FULL, "The disk is full: make room where the database lies; it goes on by itself then.");
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		if (rc == SQLITE_READONLY_DBMOVED)
			sq_fail(e, CH_SQL_UNAVAILABLE, "The database file was moved or deleted while it was open: it is opened anew.");
		else
			sq_fail(e, CH_SQL_FULL, "The database is read-only (%s): give the server the right to write to the file and its "
				"folder, or mount the file system for writing.", said);
		break;
	case SQLITE_IOERR:
		of_io(e, rc, said);
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		sq_fail(e, CH_SQL_UNAVAILABLE, "The database file is damaged: %s. Nothing was deleted: put a backup in its place, or "
			"move it away and a new one is made.", said);
		break;
	case SQLITE_CANTOPEN:
		sq_fail(e, CH_SQL_UNAVAILABLE, "The database file cannot be opened (%s%s%s): look at the file, its folder and their "
			"rights.", said,
			db && sqlite3_system_errno(db) ? ": " : "", db && sqlite3_system_errno(db) ?
				strerror(sqlite3_system_errno(db)) : "");
		break;
	case SQLITE_CONSTRAINT:
		if (rc == SQLITE_CONSTRAINT_DATATYPE) {
			sq_fail(e, CH_SQL_VALUE, "A column does not take values of that type: %s.", said);
			break;
		}
		sq_fail(e, CH_SQL_CONSTRAINT, "%s.", said);
		constraint_name(said, e->constraint, sizeof(e->constraint));
		break;
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		sq_fail(e, CH_SQL_VALUE, "The database cannot hold a value: %s.", said);
		break;
	case SQLITE_INTERRUPT:
		sq_fail(e, CH_SQL_CANCELLED, "The call was given up.");
		break;
	case SQLITE_RANGE:
	case SQLITE_MISUSE:
		sq_fail(e, CH_SQL_BAD_REQUEST, "The statement cannot be run: %s.", said);
		break;
	case SQLITE_NOMEM:
		sq_fail(e, CH_SQL_UNAVAILABLE, "There is no memory for what the database has to do; try again later.");
		break;
	default:
		sq_fail(e, CH_SQL_UNAVAILABLE, "The database does not work: %s (code %d).", said, rc);
	}
	e->rc = rc;
	return false;
}
