/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h - a batch as the body of an INSERT: looked at, written as RowBinary, and compressed. It takes milliseconds for thousands of rows,
 * so it is made for a pool thread: it reads the batch, which lives until its call has ended, and writes only memory of its own.
 */
#ifndef CLICK_BODY_H
#define CLICK_BODY_H

#include <chimera/sink.h>
#include <stdatomic.h>

#include "shape.h"

#define CLICK_REFUSALS_MAX 100            /* bad rows named at once; the others are found when the batch comes without these */

struct click_bad {
	size_t row, column;
	const char *why;                  /* ch_value_fault's words, or that it may not be null */
};

struct click_body {
	/* what is asked */
	const struct ch_sink_batch *batch;
	struct click_shape shape;
	bool gzip;
	char *present;                    /* row_ids that are there already, as RowBinary; sorted here. Yours: freed with the body */
	size_t npresent;
	atomic_bool stop;                 /* set it: nobody wants it any more */
	/* what came of it */
	bool failed;                      /* no memory, or stopped */
	struct click_bad *bad;            /* NULL: all rows can be sent */
	size_t nbad;
	char *p;                          /* the bytes */
	size_t n;
	size_t rows;                      /* that are in them */
	size_t *sent;                     /* which ones, if not all; NULL: all */
};

/* Is it worth a thread? */
bool click_body_is_large(const struct ch_sink_batch *b);
void click_body_make(struct click_body *b);
/* Frees what it holds, not itself. */
void click_body_free(struct click_body *b);

#endif
