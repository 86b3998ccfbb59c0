/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c - see errors.h. The numbers are those of ClickHouse's ErrorCodes, which never change their meaning. */
#include <string.h>

#include "errors.h"

struct known {
	unsigned code;
	int kind;
	const char *name, *advice;
};

#define ADVICE_ROW "look at the row among the dead letters, and at the DEFAULT, MATERIALIZED and CONSTRAINT expressions of the table"
#define ADVICE_LOGIN "look at the options user and password, and at the user's networks in ClickHouse; it is tried again by itself"
#define ADVICE_RIGHTS "give the user INSERT, SELECT and ALTER on the database, and SELECT on its tables in the database system"
#define ADVICE_MIGRATE "run `chimeractl migrate up`, or set migrate = auto; it is tried again by itself"
#define ADVICE_LIMIT "lower batch_rows, or raise this limit in the profile of the user"

static const struct known known[] = {
	{ 6, CLICK_ROW, "CANNOT_PARSE_TEXT", ADVICE_ROW },
	{ 8, CLICK_SCHEMA, "THERE_IS_NO_COLUMN", ADVICE_MIGRATE },
	{ 16, CLICK_SCHEMA, "NO_SUCH_COLUMN_IN_TABLE", ADVICE_MIGRATE },
	{ 26, CLICK_ROW, "CANNOT_PARSE_QUOTED_STRING", ADVICE_ROW },
	{ 27, CLICK_ROW, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", ADVICE_ROW },
	{ 32, CLICK_ROW, "ATTEMPT_TO_READ_AFTER_EOF", ADVICE_ROW },
	{ 33, CLICK_ROW, "CANNOT_READ_ALL_DATA", ADVICE_ROW },
	{ 38, CLICK_ROW, "CANNOT_PARSE_DATE", ADVICE_ROW },
	{ 41, CLICK_ROW, "CANNOT_PARSE_DATETIME", ADVICE_ROW },
	{ 47, CLICK_SCHEMA, "UNKNOWN_IDENTIFIER", ADVICE_MIGRATE },
	{ 53, CLICK_ROW, "TYPE_MISMATCH", ADVICE_ROW },
	{ 60, CLICK_SCHEMA, "UNKNOWN_TABLE", ADVICE_MIGRATE },
	{ 69, CLICK_ROW, "ARGUMENT_OUT_OF_BOUND", ADVICE_ROW },
	{ 70, CLICK_ROW, "CANNOT_CONVERT_TYPE", ADVICE_ROW },
	{ 72, CLICK_ROW, "CANNOT_PARSE_NUMBER", ADVICE_ROW },
	{ 81, CLICK_SCHEMA, "UNKNOWN_DATABASE",
		"make the database (CREATE DATABASE), or correct the option database; it is tried again by itself" },
	{ 117, CLICK_ROW, "INCORRECT_DATA", ADVICE_ROW },
	{ 128, CLICK_ROW, "TOO_LARGE_ARRAY_SIZE", ADVICE_ROW },
	{ 131, CLICK_ROW, "TOO_LARGE_STRING_SIZE", ADVICE_ROW },
	{ 153, CLICK_ROW, "ILLEGAL_DIVISION", ADVICE_ROW },
	{ 158, CLICK_BUSY, "TOO_MANY_ROWS", ADVICE_LIMIT },
	{ 159, CLICK_BUSY, "TIMEOUT_EXCEEDED", "see what else the server does (system.processes), or raise the option timeout" },
	{ 160, CLICK_BUSY, "TOO_SLOW", "see what else the server does (system.processes)" },
	{ 164, CLICK_FULL, "READONLY", "give the user a profile that may write (readonly = 0)" },
	{ 192, CLICK_AUTH, "UNKNOWN_USER", ADVICE_LOGIN },
	{ 193, CLICK_AUTH, "WRONG_PASSWORD", ADVICE_LOGIN },
	{ 194, CLICK_AUTH, "REQUIRED_PASSWORD", ADVICE_LOGIN },
	{ 195, CLICK_AUTH, "IP_ADDRESS_NOT_ALLOWED", ADVICE_LOGIN },
	{ 201, CLICK_BUSY, "QUOTA_EXPIRED", "raise the quota of the user" },
	{ 202, CLICK_BUSY, "TOO_MANY_SIMULTANEOUS_QUERIES", "raise max_concurrent_queries of the server, or ask it less" },
	{ 203, CLICK_BUSY, "NO_FREE_CONNECTION", "see which of its own servers ClickHouse cannot reach" },
	{ 209, CLICK_BUSY, "SOCKET_TIMEOUT", "see whether the way to the server is slow" },
	{ 210, CLICK_BUSY, "NETWORK_ERROR", "see which of its own servers ClickHouse cannot reach" },
	{ 216, CLICK_RUNNING, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", "wait: the batch is on its way already" },
	{ 218, CLICK_SCHEMA, "TABLE_IS_DROPPED", ADVICE_MIGRATE },
	{ 241, CLICK_BUSY, "MEMORY_LIMIT_EXCEEDED", "lower batch_rows, or raise max_memory_usage in the profile of the user" },
	{ 242, CLICK_FULL, "TABLE_IS_READ_ONLY", "see why the table is read-only (system.replicas)" },
	{ 243, CLICK_FULL, "NOT_ENOUGH_SPACE", "make room on the disk of the server, or shorten retention" },
	{ 252, CLICK_BUSY, "TOO_MANY_PARTS", "raise batch_rows and batch_age so that fewer and larger parts come, and see system.merges" },
	{ 291, CLICK_AUTH, "DATABASE_ACCESS_DENIED", ADVICE_RIGHTS },
	{ 307, CLICK_BUSY, "TOO_MANY_BYTES", ADVICE_LIMIT },
	{ 319, CLICK_UNKNOWN, "UNKNOWN_STATUS_OF_INSERT", "wait: what is missing is sent again" },
	{ 321, CLICK_ROW, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", ADVICE_ROW },
	{ 349, CLICK_ROW, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", ADVICE_ROW },
	{ 354, CLICK_UNKNOWN, "ZLIB_INFLATE_FAILED",
		"see what between us and the server changes or cuts requests; compress = off may help" },
	{ 359, CLICK_FULL, "TABLE_SIZE_EXCEEDS_MAX_DROP_SIZE_LIMIT",
		"raise max_partition_size_to_drop of the server, or drop that day by hand" },
	{ 376, CLICK_ROW, "CANNOT_PARSE_UUID", ADVICE_ROW },
	{ 394, CLICK_UNKNOWN, "QUERY_WAS_CANCELLED", "see who kills queries on the server" },
	{ 395, CLICK_ROW, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", ADVICE_ROW },
	{ 396, CLICK_BUSY, "TOO_MANY_ROWS_OR_BYTES", ADVICE_LIMIT },
	{ 407, CLICK_ROW, "DECIMAL_OVERFLOW", ADVICE_ROW },
	{ 469, CLICK_ROW, "VIOLATED_CONSTRAINT", ADVICE_ROW },
	{ 497, CLICK_AUTH, "ACCESS_DENIED", ADVICE_RIGHTS },
	{ 516, CLICK_AUTH, "AUTHENTICATION_FAILED", ADVICE_LOGIN },
};

/* ---- the text ---- */

static const char *after(const char *text, size_t n, const char *word)
{
	const char *p = memmem(text, n, word, strlen(word));

	return p ? p + strlen(word) : NULL;
}

/* Digits from p on; 0: there is none. */
static size_t number(const char *p, const char *end)
{
	size_t v = 0;

	for (; p < end && *p >= '0' && *p <= '9' && v < 100000000; p++)
		v = v * 10 + (size_t)(*p - '0');
	return v;
}

/* "(at row 4)" of 18.16 and later; "Row 4:" stands in the excerpt that newer ones print for text formats. */
static size_t row_of(const char *text, size_t n)
{
	const char *p = after(text, n, "at row ");

	return p ? number(p, text + n) : 0;
}

static void unknown(struct click_error *e, int kind)
{
	e->kind = kind;
	e->advice = "look for that code in the log of the server";
}

bool click_error_read(const char *text, size_t n, struct click_error *e)
{
	const char *p = after(text, n, "Code: ");
	size_t code = p ? number(p, text + n) : 0;

	memset(e, 0, sizeof(*e));
	unknown(e, CLICK_OTHER);
	if (!code || !memmem(p, (size_t)(text + n - p), "DB::", 4))
		return false;
	e->code = (unsigned)code;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].code == code) {
			e->kind = known[i].kind;
			e->name = known[i].name;
			e->advice = known[i].advice;
			break;
		}
	if (e->kind == CLICK_ROW)
		e->row = row_of(p, (size_t)(text + n - p));
	return true;
}

void click_error_of_status(int status, struct click_error *e)
{
	memset(e, 0, sizeof(*e));
	switch (status) {
	case 401: case 403:
		e->kind = CLICK_AUTH;
		e->advice = ADVICE_LOGIN;
		break;
	case 413:
		e->kind = CLICK_BUSY;
		e->advice = "something between us and the server takes no bodies of that size: lower batch_rows, or set compress = on";
		break;
	case 408: case 429: case 502: case 503: case 504:
		e->kind = CLICK_BUSY;
		e->advice = "something between us and the server cannot reach it, or has too much to do";
		break;
	default:
		unknown(e, CLICK_OTHER);
		e->advice = "see whether the option url points to the HTTP port of ClickHouse";
	}
}
