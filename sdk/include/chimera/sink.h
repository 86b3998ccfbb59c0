/* SPDX-License-Identifier: MIT */
/*
 * chimera/sink.h - the service "sink/1": rows appended to tables in batches, each row exactly once whatever happens between. Since 0.4.
 *
 * Called on the ctx's loop, answered on the same loop. Nothing is called back inside a call.
 *
 * Exactly once. A row is known by its row_id, a batch by its batch_id, and a batch that is sent again is the same: the same rows with the
 * same values in the same order under the same id, also after a crash of either side. The sink takes care that a row which came twice is
 * there once, by a primary key or by asking for the batch_id first when `again` is set.
 */
#ifndef CHIMERA_SINK_H
#define CHIMERA_SINK_H

#include <chimera/value.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_SINK_ROWS_MAX 100000           /* of a batch */

/* Lives, with all it points to, until the ticket is resumed. */
struct ch_sink_batch {
	size_t size;
	const struct ch_relation *table;
	unsigned char batch_id[16];
	const struct ch_value *values;    /* nrows times the table's number of columns, row by row, each of its column's type */
	size_t nrows;
	bool again;                       /* it may have been sent before, by this process or one before it */
	int64_t timeout_ms;               /* 0: the provider's own; the ctx's deadline holds beside it */
};

enum ch_sink_outcome {                    /* only ever appended to */
	CH_SINK_DONE = 1,                 /* all rows are there, as durable as that database makes them */
	/*
	 * Down, slow, full, or nobody knows: send the same batch again, with `again`, after retry_ms. The next outcome tells; a batch is
	 * never given up by its sink.
	 */
	CH_SINK_RETRY,
	/*
	 * Rows that will never be taken: those in `refused`, and none of the others is there yet: send them as a new batch. `refused` empty:
	 * it cannot be said which: halve the batch, each half under an id of its own.
	 */
	CH_SINK_REFUSED
};
struct ch_sink_refusal { size_t row; const char *why; }; /* ascending; `why` for people, the ctx's or static, without the row's values */

/* What came of it. The caller's memory in the ctx's arena, all zero but `size` when the call is made. */
struct ch_sink_result {
	size_t size;
	int outcome;                      /* enum ch_sink_outcome; find and expire: DONE or RETRY */
	const char *detail;               /* not DONE: a sentence for people, without values and secrets; the ctx's, or static */
	int64_t retry_ms;                 /* RETRY: not before; 0: the caller's own pace */
	struct ch_table refused;          /* REFUSED: of struct ch_sink_refusal */
	uint64_t rows;                    /* append: rows that were new; expire: rows gone, as far as is known; find: rows given */
	void *call;                       /* the provider's own, as long as the call runs */
};
struct ch_sink_about {
	size_t size;
	size_t rows, bytes;               /* a batch that this sink likes: up to so many rows, and bytes of their values … */
	int64_t age_ms;                   /* … sent when its first row is so old */
};
struct ch_sink_find {                     /* rows whose column has that value, newest first; as a batch's for lifetime */
	size_t size;
	const struct ch_relation *table;
	size_t column;                    /* of type TEXT or UUID */
	struct ch_value value;
	size_t limit;                     /* 1 to 1,000 rows */
	int64_t timeout_ms;
	/* On the ctx's loop before the ticket is resumed; `row` has the table's columns in order and holds until the function returns. */
	int (*row)(struct ch_ctx *, void *arg, const struct ch_value *row);
	void *arg;
};

struct ch_sink_v1 {
	size_t size;
	/*
	 * All: CH_OK: *out is filled now and the ticket is untouched. CH_AGAIN: *out will be filled and the ticket resumed (result NULL),
	 * exactly once, within the timeout. CH_ERROR: the provider is broken.
	 */
	int (*append)(const struct ch_svc *, struct ch_ctx *, const struct ch_sink_batch *, struct ch_sink_result *out, ch_ticket);
	/* A row that came twice is given once. For people and tests: it may be slow. */
	int (*find)(const struct ch_svc *, struct ch_ctx *, const struct ch_sink_find *, struct ch_sink_result *out, ch_ticket);
	/*
	 * Takes away rows whose TIME column is before that moment (microseconds since the epoch); whole days of them at least, and some of
	 * them per call at most if `out->rows` says that there may be more.
	 */
	int (*expire)(const struct ch_svc *, struct ch_ctx *, const struct ch_relation *, int64_t before, struct ch_sink_result *out, ch_ticket);
	/* Gives the call up: RETRY; the ticket is resumed soon. Idempotent; nothing when the call has ended. */
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_sink_result *out);
	/* [any] Set out->size. */
	void (*about)(const struct ch_svc *, struct ch_sink_about *out);
};

#ifdef __cplusplus
}
#endif
#endif
