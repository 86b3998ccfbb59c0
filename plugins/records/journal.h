/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - rows that are kept from now on: an append-only journal in a folder, below the usage ledger. docs/journal_format.md describes
 * the files.
 *
 * What is appended lies in mapped, preallocated segments: it costs no system call, is there after kill -9 when journal_append has
 * returned, and after a power loss when the position that it returned is synced.
 *
 * Threads. Two of the caller's run journal_run_ahead (makes segments, faults pages in ahead of the writers, removes what is no longer
 * needed) and journal_run_sync (makes durable); all that may wait for the disk is done by them. Any number append. Each consumer has a
 * reader, used by one thread at a time. Nothing here calls the host; log lines and news go to the caller's functions.
 */
#ifndef RECORDS_JOURNAL_H
#define RECORDS_JOURNAL_H

#include <chimera/value.h>

#define JOURNAL_ROW_MAX ((size_t)1 << 20)  /* bytes of a row as it is stored */
#define JOURNAL_TAKEN_MAX (JOURNAL_ROW_MAX / 4) /* of one that finds room while journal_takes is true */
#define JOURNAL_COLUMNS_MAX 64
#define JOURNAL_CONSUMERS_MAX 64

struct journal;
struct journal_reader;

/* Between two rows. Ordered by segment, then offset; `row` counts the rows ever appended before it, so differences of it are a lag. */
struct journal_pos {
	uint64_t segment;                 /* number of the segment; 0: before everything */
	uint64_t offset;                  /* bytes from its beginning */
	uint64_t row;
};
/* Below 0, 0, above 0: a is before, at, behind b. */
static inline int journal_pos_cmp(const struct journal_pos *a, const struct journal_pos *b)
{
	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

enum journal_on_full {
	JOURNAL_DROP_OLDEST,              /* the oldest segment makes room, also when a consumer still needs it */
	JOURNAL_DROP_NEW,                 /* append fails with JOURNAL_FULL */
	JOURNAL_REFUSE                    /* the same, and journal_takes is false early enough that work can be refused before it is done */
};

struct journal_conf {
	const char *dir;                  /* made with mode 0700 if it is not there (its parent must be) */
	int64_t max_bytes;                /* of all segments; at least four of them */
	int64_t segment_bytes;            /* 0: a 16th of max_bytes, 2 MiB to 16 MiB; tests: from 64 KiB */
	int64_t sync_interval_us;         /* what was appended is on disk so much later; above 0 */
	/*
	 * JOURNAL_REFUSE: journal_takes is false when less is free, counted in what rows can have: less than a whole segment below
	 * max_bytes does not count. 0: a 16th of max_bytes.
	 */
	int64_t reserve_bytes;
	int on_full;                      /* enum journal_on_full */
	/* [any] A line for people; level as enum ch_level. */
	void (*log)(void *arg, int level, const char *line);
	/*
	 * On the thread of journal_run_sync. ok: all rows up to there are on disk. Not ok: the rows up to there that were not told yet were
	 * not made durable, and it is not known when they will be (they are read and shipped nevertheless). May be NULL.
	 */
	void (*synced)(void *arg, const struct journal_pos *upto, bool ok);
	/*
	 * On the thread of journal_run_ahead, before segments that all consumers have passed are removed: make the checkpoints durable that
	 * say so (checkpoint_sync). False: they stay for now. May be NULL.
	 */
	bool (*settle)(void *arg);
	void *arg;
};

/*
 * Opens the folder, locks it against other processes, reads all that is there (it may take seconds for a GiB and blocks: never on a loop)
 * and begins a new segment. What is damaged is copied into the folder quarantine/ in it, told by `log` and counted. NULL: err is one
 * sentence, without a full stop.
 */
struct journal *journal_open(const struct journal_conf *conf, char *err, size_t err_size);
/* After both run functions have returned and the readers are gone. What was appended is not synced by it: journal_stop is. */
void journal_close(struct journal *j);

/* Run until journal_stop; the latter syncs all before it returns. One thread each, started after the first consumers have been added. */
void journal_run_ahead(struct journal *j);
void journal_run_sync(struct journal *j);
/* One round of each without waiting, for tests and tools; false: something failed (and was told). Not while the run functions run. */
bool journal_step_ahead(struct journal *j);
bool journal_step_sync(struct journal *j);
/* [any] Ends both run functions. */
void journal_stop(struct journal *j);

/* ---- appending ---- */

enum journal_rc {
	JOURNAL_OK,
	JOURNAL_FULL,                     /* max_bytes reached, or no room on the disk, or the disk is too slow to make room */
	JOURNAL_FAILED,                   /* the folder cannot be written */
	JOURNAL_TOO_LARGE,                /* over JOURNAL_ROW_MAX */
	JOURNAL_BAD_TABLE,                /* the table breaks the rules of struct ch_relation */
	JOURNAL_BAD_ROW                   /* a value's type is not its column's, or null where it may not be */
};
/* For people and for labels of metrics: "full", "failed", "too_large", … */
const char *journal_rc_name(int rc);

/*
 * [any] One row: as many values as the table has columns; copied. No system call but a futex when another thread is just appending, or when
 * the journal's threads must be woken. What a value holds (UTF-8, finite numbers) is not checked. *end, if not NULL: the position behind
 * the row. The table is static storage and is known by its address.
 */
int journal_append(struct journal *j, const struct ch_relation *table, const struct ch_value *row, struct journal_pos *end);
/*
 * [any] False: JOURNAL_REFUSE, and the reserve has been reached, or nothing can be written, or the next segment is late. As long as it is
 * true the next row of up to JOURNAL_TAKEN_MAX bytes (a quarter of a segment, if that is less) is not answered with JOURNAL_FULL.
 */
bool journal_takes(struct journal *j);
/* [any] Sync now rather than at the end of the interval: someone waits. */
void journal_want_sync(struct journal *j);
/* [any] Is all before it on disk? */
bool journal_is_synced(struct journal *j, const struct journal_pos *pos);
/* [any] Behind the last row. */
void journal_end(struct journal *j, struct journal_pos *end);

/* ---- reading ---- */

/*
 * A consumer that has rows up to `passed` (all zero: from the oldest). A position that this journal cannot have given (its segments
 * were removed by hand) is told and becomes the oldest. The reader stands at `passed`. NULL: no memory, or too many.
 */
struct journal_reader *journal_reader(struct journal *j, const char *name, const struct journal_pos *passed);
/* The consumer is no more: what only it needed is removed. */
void journal_reader_free(struct journal_reader *r);

enum journal_found {
	JOURNAL_NONE,                     /* nothing yet */
	JOURNAL_ROW,
	JOURNAL_LOST                      /* rows that this consumer will not get: `rows` and `why`; told once, go on reading */
};
enum journal_why {
	JOURNAL_WHY_FULL,                 /* dropped for on_full = drop_oldest */
	JOURNAL_WHY_DAMAGED,              /* their bytes could not be read; what was there is in quarantine/ */
	JOURNAL_WHY_MISSING               /* their segment is not there, or a power loss came before they were on disk */
};
struct journal_row {
	struct journal_pos at, next;      /* its own position, and the one behind it */
	const struct ch_relation *table;  /* as it was when the row was written; one pointer for equal tables, until journal_close */
	/*
	 * By the table's columns; the array holds until the reader's next call, the bytes that it points to until journal_passed has gone
	 * beyond the row.
	 */
	const struct ch_value *values;
	uint64_t rows;                    /* JOURNAL_LOST */
	int why;                          /* JOURNAL_LOST: enum journal_why */
	size_t bytes;                     /* JOURNAL_ROW: as stored */
};
/*
 * The next row, enum journal_found. Rows come in the order in which they were appended, except that those of a file that failed a sync come
 * again behind newer ones: a consumer that has them knows each by its row_id, and has the newer ones too. No system call but when damage
 * is met that was not there when the journal was opened.
 */
int journal_next(struct journal_reader *r, struct journal_row *row);
/* Only the loss: JOURNAL_LOST or JOURNAL_NONE. For a consumer that is stuck, so that what it loses meanwhile is counted. */
int journal_next_loss(struct journal_reader *r, struct journal_row *row);
/* Reads on from there: the beginning of a batch, to build it again; between `passed` and what was read. */
void journal_seek(struct journal_reader *r, const struct journal_pos *pos);
/* Where it reads now. */
void journal_tell(const struct journal_reader *r, struct journal_pos *pos);
/* [any] Reads from disk what is not in memory of the so many bytes from there on, so that journal_next need not wait for it. Blocks. */
void journal_touch(struct journal *j, const struct journal_pos *from, size_t bytes);
/* The consumer has what is before it and asks never again. */
void journal_passed(struct journal_reader *r, const struct journal_pos *pos);

/* ---- how it is ---- */

struct journal_status {
	uint64_t used_bytes, max_bytes;   /* the level is used / max; what is prepared and not written does not count */
	uint64_t segments;
	struct journal_pos end, synced;
	bool no_room;                     /* the disk is full: no further segment could be made */
	bool failed;                      /* the last sync or segment failed: rows are not durable, or not taken */
	char error[256];                  /* the last failure; "" at first. It stays when `failed` ends */
	/* Since journal_open, recovery included. */
	uint64_t syncs, sync_us;          /* that went well; how long the last one took */
	uint64_t sync_failures;
	uint64_t repeated_rows;           /* appended anew because their file failed a sync */
	uint64_t dropped_segments;        /* for drop_oldest */
	uint64_t damaged_stretches, damaged_bytes; /* quarantined */
	uint64_t torn_bytes;              /* cut off the end at journal_open */
	uint64_t missing_segments;
	uint64_t page_waits;              /* appends that found a page not yet faulted in: the thread of journal_run_ahead was late */
};
/* [any] */
void journal_status(struct journal *j, struct journal_status *out);

#endif
