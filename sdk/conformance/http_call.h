/* SPDX-License-Identifier: MIT */
/*
 * http_call.h - one call of the provider under test, and the run it belongs to. Everything on the loop of the run.
 *
 * Each call has a ctx of its own, a task, as it would have in a plugin that uses the provider. A `struct call` outlives its ctx, so that
 * what comes too late is seen, and goes with the run.
 */
#ifndef CONFORM_HTTP_CALL_H
#define CONFORM_HTTP_CALL_H

#include "http_cases.h"
#include "tap.h"

enum { TEXT = 4096, NOTES = 4096 };

struct conform_conf {
	const struct ch_svc *target;
	const char *server;
	int64_t slack;
	bool trusted;
};

struct run;
struct call;
typedef void (*next_fn)(struct run *, struct call *);

struct call {
	struct call *older;
	struct run *run;
	const struct row *row;            /* what it must come to; the run's own, or one of bookkeeping */
	char *url;
	size_t url_len;
	next_fn next;

	struct ch_ctx *c;
	struct ch_http_result *out;       /* in the ctx, as long as the call runs */
	ch_ticket ticket;
	struct ch_timer *go_on_timer, *cancel_timer;
	int64_t began, took;              /* microseconds */
	int64_t bytes;                    /* delivered */
	unsigned heads, pauses;
	int why;                          /* of the resume; 0: request has filled *out itself */
	int status;
	bool inside;                      /* a function of the provider */
	bool paused, cancelled;
	bool over;                        /* resumed, or never to be */
	bool wrong;                       /* a byte of the body: said once */
	bool watching;                    /* whether a cancel is over within its turn */
	char text[TEXT + 1];              /* the body's beginning */
};

/* A run over the cases. */
struct run {
	struct ch_self *self;
	struct ch_loop *loop;
	struct tap tap;
	ch_ticket ticket;                 /* of the request that gets the report */
	const char *filter;
	struct call *calls;
	bool gone;                        /* nobody reads the report any more, or the server stops */
	const char *bail;                 /* why the run cannot go on */
	bool broken;                      /* a ticket was never resumed: the provider may still hold what was given to it */

	/* the case that runs now */
	const struct row *row;
	struct ch_timer *timer;           /* between two calls */
	next_fn after_gap;
	int port, tries;
	bool failed;
	size_t noted;
	char found[400], notes[NOTES];
};

static inline const struct conform_conf *conf_of(const struct run *r)
{
	return r->self->conf;
}

static inline const struct ch_http_v1 *http_of(const struct run *r)
{
	return conf_of(r)->target->vt;
}

/*
 * Makes a call of `row`; next(run, call) follows when it is over and judged, call NULL: it could not be made, or the run is gone.
 * `url` is copied.
 */
void call_make(struct run *r, const struct row *row, const char *url, size_t len, next_fn next);

/* The case has failed: a line of notes that says why. */
CH_PRINTF_(3, 4) void complain(struct run *r, const struct call *k, const char *fmt, ...);

/* `text` with {port} replaced, with a final NUL; cut at n. Returns the length. */
size_t expand(struct ch_str text, int port, char *out, size_t n);

/* The next bytes of the body: counted, compared with the pattern if the row knows how many there are, the first ones kept. */
void take(struct call *k, const char *p, size_t n);

/* Compares what came of a call with its row and with what holds for every call, while its ctx is there. rc: what request returned. */
void judge(struct call *k, int rc);

#endif
