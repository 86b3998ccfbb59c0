/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_text.h - the text of a body, made of its bytes as they come: what patterns shall see. Escapes hide nothing, and a stream's frames
 * cut nothing.
 *
 * What a body is its first byte says that is no blank:
 *
 *   { or [                          JSON, whole or cut, valid or not. Escapes become the characters they stand for, but for \" and \\ in
 *                                   strings. Control characters inside of strings are thus raw, and those between tokens are left out:
 *                                   redact() writes those that it sees as escapes again.
 *   : data: event: id: retry:       an event stream: the strings named content, delta and text of its frames that are JSON objects, one
 *                                   behind the other. Of several choices the first
 *   else                            text, as it came
 *
 * It does not matter where pieces end. Pure functions over the caller's memory; one thread at a time.
 */
#ifndef RECORDS_CONTENT_TEXT_H
#define RECORDS_CONTENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <chimera/kit/sse.h>

#define CONTENT_FRAME_MAX ((size_t)256 << 10) /* a frame that is longer ends what is gathered of its stream */

enum content_kind { CONTENT_UNKNOWN, CONTENT_JSON, CONTENT_EVENTS, CONTENT_PLAIN };

struct content_text {
	char *p;          /* the text; the caller's to free */
	size_t n, cap, most;
	void *(*grow)(void *arg, void *old, size_t used, size_t want); /* as struct ch_sse has it; NULL: `cap` bytes must do */
	void *arg;
	bool events;      /* it may be an event stream */
	int kind;         /* enum content_kind */
	bool full;        /* nothing more is taken: `most` bytes, or no memory, or a stream that cannot be read */
	bool in_string;
	char held[12];    /* an escape that is not complete */
	size_t nheld;
	struct ch_sse sse;
};

/* At most `most` bytes are gathered. p[0 .. cap) may be NULL and 0. `events`: it may be an event stream; else that is text too. */
void content_text_init(struct content_text *t, char *p, size_t cap, size_t most, bool events);
void content_text_add(struct content_text *t, const char *p, size_t n);
/* The body is over, or was cut: what was begun is text now. */
void content_text_end(struct content_text *t);

#endif
