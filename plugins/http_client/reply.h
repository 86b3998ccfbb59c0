/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - an HTTP/1.x answer out of the bytes of a connection: interim heads are skipped, the body is unframed in place. No socket, no
 * clock.
 *
 *   while (p, n) switch (hc_reply_next(&r, &p, &n)) {
 *   case HC_R_HEAD:  r.head over r.head_p is the final head; both are valid until the next call
 *   case HC_R_DATA:  r.data, r.data_n are the body's next bytes, valid until the next call
 *   case HC_R_MORE:  all n bytes were taken
 *   case HC_R_END:   the answer is whole; n bytes lie behind it
 *   case HC_R_BAD:   r.error is the end of a sentence; r.too_large tells which error it is
 *   }
 */
#ifndef HC_REPLY_H
#define HC_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include <chimera/kit/http1.h>

enum hc_reply_rc { HC_R_BAD = -1, HC_R_MORE, HC_R_HEAD, HC_R_DATA, HC_R_END };

struct hc_reply {
	struct ch_h1_head head;      /* head.fields is the caller's memory: set it, and fields_cap, before each call */
	struct ch_h1_limits limits;  /* the caller's choice */
	const char *head_p;
	char *data;
	size_t data_n;
	const char *error;
	bool too_large;
	bool framed;                 /* false: whoever gives the bytes has unframed them (HTTP/2), and says himself when they end */
	/* its own from here on */
	struct ch_h1_chunked chunked;
	char *kept;                  /* bytes that wait: of a head that is not whole, or held */
	size_t kept_n, kept_cap, seen, interim, at;
	uint64_t left;
	int method;                  /* enum ch_h1_method of the request */
	unsigned char state;
};

/* For an answer to a request of that method (enum ch_h1_method). */
void hc_reply_init(struct hc_reply *r, int method, bool framed, const struct ch_h1_limits *limits);
/* The next event of the bytes *p[0..*n), which are changed; *p and *n go on behind what was taken. n may be 0. */
enum hc_reply_rc hc_reply_next(struct hc_reply *r, char **p, size_t *n);
/* Keeps p[0..n), that hc_reply_next has not taken, for hc_reply_held. False: no memory. */
bool hc_reply_hold(struct hc_reply *r, const char *p, size_t n);
/* The bytes that were held, to be given to hc_reply_next before any other; valid until hc_reply_hold or hc_reply_free. */
void hc_reply_held(struct hc_reply *r, char **p, size_t *n);
/* The peer has closed: is the answer whole by that? */
bool hc_reply_ends_by_close(const struct hc_reply *r);
/* Has the final head come? */
bool hc_reply_has_head(const struct hc_reply *r);
/* Frees what waits. */
void hc_reply_free(struct hc_reply *r);

#endif
