/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - the bytes of a segment: its header, its records, tables and rows in them. docs/journal_format.md tells it in words.
 *
 * Functions over memory: no file, no lock, no global state. All numbers are little-endian. Any thread.
 */
#ifndef RECORDS_SEGMENT_H
#define RECORDS_SEGMENT_H

#include "journal.h"

#define SEGMENT_VERSION 1
#define SEGMENT_PAGE ((size_t)4096)        /* the header has the first one; after each sync rows go on in a new one */
#define SEGMENT_ALIGN ((size_t)8)          /* of records */
#define SEGMENT_RECORD ((size_t)32)        /* bytes of a record before its payload */
#define SEGMENT_REPEATED_BYTES ((size_t)24) /* payload of that record */
#define SEGMENT_TABLE_MAX ((size_t)8192)   /* bytes of a table's description: 64 columns of 63 bytes and three each, and its own name */

struct segment_header {
	uint64_t number;
	uint64_t bytes;                   /* of the file when it was made */
	int64_t created;                  /* microseconds since 1970 */
};
/* Writes the header into a zeroed first page. */
void segment_put_header(unsigned char *page, const struct segment_header *h);
/* False: these are not the first n bytes of a segment of this version. */
bool segment_get_header(const unsigned char *p, size_t n, struct segment_header *h);

enum segment_kind {
	SEGMENT_ROW = 1,
	SEGMENT_TABLE,                    /* what the rows of a table consist of: before its first row in each segment */
	SEGMENT_PAD,                      /* nothing, up to the next page: everything before it is being synced */
	/*
	 * A segment failed a sync: its rows in a stretch were repeated in front of this record, and do not count where they were.
	 * Payload: its number, and the offsets from and to, 8 bytes each.
	 */
	SEGMENT_REPEATED
};
struct segment_record {
	int kind;                         /* enum segment_kind */
	uint32_t table;                   /* ROW, TABLE: segment_table_id */
	uint64_t row;                     /* rows ever appended before it */
	const unsigned char *payload;
	size_t length;
	size_t next;                      /* offset behind it */
};

static inline size_t segment_aligned(size_t n) { return (n + SEGMENT_ALIGN - 1) & ~(SEGMENT_ALIGN - 1); }
/* Bytes that a record takes. */
static inline size_t segment_room(size_t length) { return segment_aligned(SEGMENT_RECORD + length); }

/*
 * Completes the record at `at` of segment `number`, whose payload of r->length bytes is already behind the room for its header (PAD: any
 * bytes). The marker comes last, so that a process that is killed leaves either all of it or something without a marker.
 */
void segment_put(unsigned char *base, uint64_t number, size_t at, const struct segment_record *r);

/* A segment as it can be read: its first `end` bytes. */
struct segment_view {
	const unsigned char *base;
	uint64_t number;
	size_t end;
};
/* The record at this offset; false: there is no whole one. */
bool segment_get(const struct segment_view *v, size_t at, struct segment_record *out);
/* The payload of a REPEATED record: number, from, to. */
void segment_put_repeated(unsigned char out[SEGMENT_REPEATED_BYTES], const uint64_t v[3]);
void segment_get_repeated(const unsigned char *payload, uint64_t v[3]);
/* The next offset behind `at` that has a whole record; v->end: none. */
size_t segment_resync(const struct segment_view *v, size_t at);
/* Behind the last byte that is not zero in [at, v->end); `at`: there is none. */
size_t segment_content_end(const struct segment_view *v, size_t at);

/* ---- tables ---- */

/* Why a table breaks the rules of struct ch_relation; NULL: it does not. */
const char *segment_table_error(const struct ch_relation *t);
/* Its description into out[SEGMENT_TABLE_MAX]; returns the bytes. The table has no error. */
size_t segment_put_table(unsigned char *out, const struct ch_relation *t);
/* How rows name their table: a hash of its description. */
uint32_t segment_table_id(const unsigned char *description, size_t n);
/* The table in one block of malloc; NULL: no memory, or these bytes are no description. */
struct ch_relation *segment_get_table(const unsigned char *description, size_t n);

/* ---- rows ---- */

/* Bytes of a row; 0: a value does not fit its column. */
size_t segment_row_size(const struct ch_relation *t, const struct ch_value *row);
/* Writes exactly as many. */
void segment_put_row(unsigned char *out, const struct ch_relation *t, const struct ch_value *row);
/* Into values[JOURNAL_COLUMNS_MAX], pointing into the payload. False: these bytes are no row of that table. */
bool segment_get_row(const unsigned char *payload, size_t n, const struct ch_relation *t, struct ch_value *values);

#endif
