/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.h - one question to the server over http/1, and what its answer means.
 *
 * It lives in its ctx's arena, on its loop, with at most one question under way; the same struct asks one after the other. The answer's
 * text is gathered outside of the arena, since it may be large, and is gone with click_query_free, or the next question.
 */
#ifndef CLICK_QUERY_H
#define CLICK_QUERY_H

#include "errors.h"
#include "sql.h"
#include "storage_clickhouse.h"

#define CLICK_ANSWER_SMALL ((size_t)256 << 10)

struct click_query {
	struct click *k;
	struct ch_ctx *c;
	/* When it has ended, also when it has before click_query_run returns; what a resumed function returns. */
	int (*done)(struct click_query *);
	void *arg;
	int64_t due;                      /* ch_now by which it must have ended */
	size_t max;                       /* bytes of an answer; more is an error */
	/* what came of it */
	struct click_error error;         /* kind CLICK_FINE: text holds the answer */
	const char *detail;               /* else: a sentence; the ctx's, or static */
	char *text;
	size_t n;
	int64_t took;                     /* microseconds */
	/* its own */
	size_t cap;
	struct click_text url;
	struct ch_http_field fields[3];
	struct ch_http_args args;
	struct ch_http_result out;
	ch_ticket ticket;
	int64_t began;
	bool running, overflow;
};

/* Zeroed memory of the ctx's; k, c, done, arg and due are set. */

/* A statement that reads: it may be asked twice by the way there. */
int click_query_read(struct click_query *q, const struct click_text *sql);
/* A statement that changes something, whose rows nobody wants. */
int click_query_write(struct click_query *q, const struct click_text *sql);
/* An INSERT whose rows are `body`, which must live until `done`; `more`: further parameters, "&name=value" each, or NULL. */
int click_query_insert(struct click_query *q, const struct click_text *sql, const char *query_id, const char *more, struct ch_str body,
	bool gzip);
/* Gives the question up: `done` is not called any more. Nothing when there is none. */
void click_query_cancel(struct click_query *q);
void click_query_free(struct click_query *q);

#endif
