/* SPDX-License-Identifier: Apache-2.0 */
/*
 * letter.h - a row as a line of dlq.jsonl, and back. Pure functions, any thread.
 *
 *     {"time":"2026-01-02T03:04:05.000006Z","sink":"storage_postgres","table":"inference_records","row_id":"…","reason":"…",
 *      "types":"utsss…","payload":{"row_id":"…","time":"…",…}}
 *     {"time":"…","sink":"storage_postgres","row_id":"…","replayed":true}
 *
 * `types` has a letter for each column of the payload: i INT, r REAL, b BOOL, s TEXT, x BLOB (as hex), t TIME, u UUID. So the row can be
 * read back by a server that knows nothing of the table.
 */
#ifndef RECORDS_LETTER_H
#define RECORDS_LETTER_H

#include <chimera/kit/json.h>
#include <chimera/value.h>

#define LETTER_TIME 28 /* a time as text, with its NUL */

/* What a line says. Texts lie in the line, escapes and all, and end where `n` says. */
struct letter {
	struct ch_str time, sink, table, reason, types, payload;
	unsigned char row_id[16];
	bool replayed;                    /* a mark: that letter of that sink was taken after all */
};

/* A row that has been read back; one malloc, free() it. */
struct letter_row {
	struct ch_relation table;
	struct ch_column columns[64];
	struct ch_value values[64];
	char *text;                       /* behind it: names and values */
};

/* RFC 3339 in UTC with microseconds. */
const char *letter_time(char out[LETTER_TIME], int64_t us);
bool letter_time_read(struct ch_str s, int64_t *us);

/* As a value of the payload. */
void letter_value(struct ch_jw *w, const struct ch_value *v);
void letter_write(struct ch_jw *w, int64_t now, const char *sink, const struct ch_relation *table, const struct ch_value *row,
	const char *reason);
void letter_write_mark(struct ch_jw *w, int64_t now, const char *sink, const unsigned char row_id[16]);

/* False: it is neither a letter nor a mark. */
bool letter_read(const char *p, size_t n, struct letter *out);
/* NULL: the payload is damaged, or no memory. */
struct letter_row *letter_row(const struct letter *l);

#endif
