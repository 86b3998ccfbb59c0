/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_parts.h - what the files journal*.c share.
 *
 * One mutex guards everything but what is atomic. It is never held over anything that may wait for the disk, except that a writer whose
 * page was not faulted in meets the fault under it (journal_ahead.c says how that is avoided).
 */
#ifndef RECORDS_JOURNAL_PARTS_H
#define RECORDS_JOURNAL_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "segment.h"

#define JOURNAL_TABLES_MAX 64

/* Bytes between two records that are none. */
struct stretch {
	size_t from, to;
};

struct segment {
	struct segment *next;             /* the newer one */
	uint64_t number;
	unsigned char *map;
	size_t size;                      /* bytes of the file; the mapping may be longer: */
	size_t mapped;
	size_t data;                      /* when it was loaded: behind it the file was never written, and reads as zeros */
	_Atomic size_t end;               /* behind the last whole record */
	atomic_bool rolled;               /* nothing is appended any more */
	atomic_bool gone;                 /* removed, for those who still stand in it */
	_Atomic size_t repeated_from;     /* rows from there … */
	_Atomic size_t repeated_to;       /* … to there were repeated behind, for a sync failed; 0: none. Grows */
	uint64_t row_end;                 /* row number behind it, once it is rolled */
	bool failed;                      /* a sync failed: never synced again */
	size_t synced;                    /* up to here it is on disk */
	size_t touched;                   /* up to here the pages were faulted in */
	unsigned users;                   /* threads that use the mapping without the lock */
	struct stretch *damage;           /* found at open, ascending; constant */
	size_t ndamage;
};

/* A table that rows of this journal have. Known by its id; never freed before the journal. */
struct table {
	struct table *next;
	uint32_t id;
	struct ch_relation *relation;
	uint64_t in_segment;              /* the newest that its description stands in */
	size_t n;
	unsigned char description[];
};
/* The same by the address of the caller's. */
struct table_key {
	const struct ch_relation *key;
	struct table *table;
};

struct journal_reader {
	struct journal_reader *next;
	struct journal *j;
	char name[64];
	struct journal_pos passed;        /* under the lock */
	uint64_t in_segment;              /* the number of `at`, under the lock */
	/* The reader's thread's own. */
	struct segment *segment;          /* a user of it; NULL: look for it by at.segment */
	struct journal_pos at;            /* at.row: of the row that is expected there; UINT64_MAX: any */
	int why;                          /* what was skipped since the last row */
	struct table *table;              /* of the last row */
	struct ch_value values[JOURNAL_COLUMNS_MAX];
};

struct journal {
	struct journal_conf conf;
	size_t page;                      /* of the system, at least SEGMENT_PAGE */
	size_t segment_bytes, window;     /* window: bytes that are kept faulted in ahead of the writers */
	int dir, lock_file;
	pthread_mutex_t lock;
	pthread_cond_t ahead, sync;

	struct segment *oldest, *current, *spare; /* a list from oldest to current; the spare is not in it */
	struct segment *ghosts;           /* removed, but a reader has values of it */
	uint64_t next_number, next_row;
	uint64_t dropped_to;              /* the newest that was dropped for on_full */
	uint64_t file_bytes;              /* of all segments, the spare too */
	struct table *tables;
	struct table_key keys[JOURNAL_TABLES_MAX];
	unsigned nkeys;
	struct journal_reader *readers;

	bool stop;
	bool ahead_asked;
	bool sync_asked, sync_idle;
	struct journal_pos hold;          /* before rows up to here are synced none is told so: they repeat older ones */
	bool sync_broken, make_broken, no_room;
	size_t end_seen;                  /* journal_ahead.c: `end` of the last round … */
	uint64_t seen_in;                 /* … and its segment */
	int64_t make_again;               /* not before, monotonic microseconds */
	struct journal_status status;     /* counters, error and synced */
};

/* ---- journal.c ---- */

CH_PRINTF_(3, 4) void journal_say(struct journal *j, int level, const char *fmt, ...);
/* Monotonic microseconds. */
int64_t journal_now(void);
/* Waits on a condition of the journal, locked; us below 0: without an end. */
void journal_wait(struct journal *j, pthread_cond_t *c, int64_t us);
/* Behind the last record. Locked. */
struct journal_pos journal_end_of(struct journal *j);
/* Notes a failure for the status. Locked. */
CH_PRINTF_(2, 3) void journal_note(struct journal *j, const char *fmt, ...);
/* The table with this id, NULL: unknown. Locked. */
struct table *journal_table_of(struct journal *j, uint32_t id);
/* The table that these bytes describe, made if need be; NULL: they do not, or no memory. Locked. */
struct table *journal_learn(struct journal *j, const unsigned char *description, size_t n);
/* The spare becomes the current segment. False: there is none. Locked. */
bool journal_roll(struct journal *j);
/* Makes room for a record of that many bytes of payload, with the table's description (may be NULL); an enum journal_rc. Locked. */
int journal_room(struct journal *j, struct table *t, size_t length);
/* A record behind the last; there is room. payload NULL: it is there already. Locked. */
void journal_put(struct journal *j, int kind, uint32_t table, const void *payload, size_t length);
void journal_ask_ahead(struct journal *j);

/* ---- journal_file.c ---- */

#define JOURNAL_NAME 64
void journal_file_name(char out[JOURNAL_NAME], uint64_t number);
/* A new segment on disk and mapped; NULL: errno. Blocks. */
struct segment *journal_make(struct journal *j, uint64_t number, size_t size);
/* One that is there, mapped to be read; what cannot be read from the disk is mapped as zeros. NULL: errno. */
struct segment *journal_load(struct journal *j, uint64_t number);
void journal_unlink(struct journal *j, uint64_t number);
/* Ends the file there, durably. */
bool journal_truncate(struct journal *j, struct segment *s, size_t end);
/* Copies bytes of a segment into quarantine/; told and counted. Not locked. */
void journal_quarantine(struct journal *j, struct segment *s, size_t from, size_t to, const char *what);
void journal_unmap(struct segment *s);

/* ---- journal_recover.c ---- */

/* Reads all segments of the folder. */
bool journal_recover(struct journal *j, char *err, size_t err_size);

static inline struct segment_view segment_view(const struct segment *s)
{
	return (struct segment_view){ s->map, s->number, atomic_load_explicit(&s->end, memory_order_acquire) };
}

#endif
