/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ndjson.h - splits a stream of JSON values, one a line, into its lines. Bounded, without I/O. One thread at a time.
 *
 * A line that lies whole in the bytes at hand is told where it is; only one that was cut is copied. What comes out does not depend on where
 * the stream was cut. Lines end with \n or \r\n; empty ones are left out. Whether a line is JSON is the reader's business.
 */
#ifndef LLAMA_NDJSON_H
#define LLAMA_NDJSON_H

#include <stddef.h>

enum ndjson_rc {
	NDJSON_NO_MEMORY = -2, /* `grow` gave none */
	NDJSON_TOO_LONG = -1,  /* a line of more than max_line bytes: the sender's fault */
	NDJSON_MORE = 0,       /* all bytes were taken */
	NDJSON_LINE = 1        /* a line is complete; there may be more behind *used */
};

struct ndjson {
	/* The caller's: `grow` gives memory of at least `want` bytes that holds the `used` bytes of `old` (realloc's job), or NULL. */
	void *(*grow)(void *arg, void *old, size_t used, size_t want);
	void *arg;
	size_t max_line; /* bytes, line end not counted; exactly so many pass */
	/* The splitter's; `buf` is the caller's to free. All zero at first. */
	char *buf;
	size_t len, cap;
};

/* A line without its end; valid until the next call with the same struct ndjson, and as long as the bytes given stay where they are. */
struct ndjson_line {
	const char *p;
	size_t n;
};

/* Takes bytes of p[0..n) up to the end of the next line, and sets *used to how many. After an error it must not be called again. */
enum ndjson_rc ndjson_next(struct ndjson *s, const char *p, size_t n, size_t *used, struct ndjson_line *line);

/* The stream has ended: NDJSON_LINE if its last line had no end, else NDJSON_MORE. */
enum ndjson_rc ndjson_end(struct ndjson *s, struct ndjson_line *line);

#endif
