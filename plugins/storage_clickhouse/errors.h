/* SPDX-License-Identifier: Apache-2.0 */
/* errors.h - what an exception of ClickHouse means for the rows, and for whoever runs the server. Pure. */
#ifndef CLICK_ERRORS_H
#define CLICK_ERRORS_H

#include <stdbool.h>
#include <stddef.h>

enum click_kind {
	CLICK_FINE = 0,
	CLICK_AWAY,                       /* nothing was sent: no connection, no such host */
	CLICK_UNKNOWN,                    /* sent, and no answer that can be read: it may have happened, or may happen yet */
	CLICK_BUSY,                       /* it has too much to do, or took too long */
	CLICK_FULL,                       /* no disk, or read-only */
	CLICK_AUTH,                       /* it does not let us in, or not do this */
	CLICK_SCHEMA,                     /* no such database, table or column */
	CLICK_RUNNING,                    /* a query of that id runs already */
	CLICK_ROW,                        /* a row that it cannot take */
	CLICK_OTHER,
	CLICK_CANCELLED,
	CLICK_KINDS
};

struct click_error {
	int kind;                         /* enum click_kind */
	unsigned code;                    /* ClickHouse's own; 0: none was found */
	const char *name;                 /* "UNKNOWN_TABLE"; NULL: not one that we know */
	const char *advice;               /* what to do, a clause without a final stop; never NULL */
	size_t row;                       /* ROW: which one of those that were sent, from 1; 0: it does not say */
};

/*
 * Reads the text of an exception: "Code: 60, e.displayText() = …" of old servers, "Code: 60. DB::Exception: … (UNKNOWN_TABLE)" of newer
 * ones. The text itself is never shown to anyone: it may hold values of rows. False: it is none.
 */
bool click_error_read(const char *text, size_t n, struct click_error *e);
/* The same for an answer whose body says nothing that we can read. */
void click_error_of_status(int status, struct click_error *e);

#endif
