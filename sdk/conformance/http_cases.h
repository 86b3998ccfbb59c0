/* SPDX-License-Identifier: MIT */
/*
 * http_cases.h - a case of the conformance suite of "http/1": what is sent, to which kind of port of misbehave.py (--list there tells what
 * the paths do), what the caller does meanwhile, and what must come of it. What is left out is not looked at, but for the rules that hold
 * for every call (see http.c).
 */
#ifndef CONFORM_HTTP_CASES_H
#define CONFORM_HTTP_CASES_H

#include <chimera/http.h>

enum { NEVER = 0, AT_ONCE, IN_HEAD, IN_DATA, LATER };
enum { GATHER = 0, SINK, DEAF_SINK };     /* DEAF_SINK: its `head` is NULL */
enum { YES = 1, NO = -1, NONE = -1 };

struct row {
	/* What is sent. */
	const char *name;                 /* group/case */
	struct ch_str url;                /* "/path" on a port of its own, or a whole URL in which {port} stands for it */
	const char *port;                 /* its kind; NULL: "http"; "-": the case needs none */
	const char *method;               /* NULL: GET */
	struct ch_http_field fields[2];   /* until one without a name; `odd_field`: the first, whatever its name is */
	bool odd_field;
	int64_t body;                     /* bytes of the request's body; there is a body of any bytes, "x" */
	int64_t connect, first, idle, total; /* milliseconds; 0: 2,000 each, 4,000 in total */
	uint64_t max_body;
	int64_t deadline;                 /* of the ctx, milliseconds from the call; 0: none */
	const char *warm;                 /* a path on the same port that is asked before, and answered well */
	int64_t gap;                      /* milliseconds before the call behind `warm`; without `warm`, before the call that follows */

	/* What the caller does. */
	int sink;                         /* GATHER, … */
	int pause;                        /* IN_HEAD, IN_DATA: the sink answers AGAIN there, once; `every`: each time */
	bool every;
	int64_t go_on;                    /* milliseconds from the AGAIN to go_on; 0: never */
	int done;                         /* IN_HEAD, IN_DATA: the sink answers DONE */
	int cancel;                       /* AT_ONCE: behind request; IN_HEAD, IN_DATA: inside the sink; LATER: `after` milliseconds */
	int64_t after;
	bool twice;                       /* cancel is called once more behind it */

	/* What must come of it. */
	unsigned error;                   /* the allowed ones, as bits: IS(CLOSED) */
	int64_t ms;                       /* when an error must come, as soon as the slack allows and not before; 0: within 1,000 */
	int status;                       /* NONE: no head */
	const char *text;                 /* the answer's body */
	int64_t bytes;                    /* the same, so many of misbehave.py's pattern */
	const char *seen, *unseen;        /* in the body, any letter case: what /echo got and did not get; in lines */
	const char *has;                  /* fields of the answer in this order: "Name: value" lines */
	const char *hasnt;                /* a field's name that must not be there */
	int sent, reused;                 /* YES, NO */
	int version;
	const char *host;                 /* what `detail` must name; NULL: 127.0.0.1; "": nothing */

	/* What the server must see. */
	int requests, connections;        /* on this port, the warm one too; NONE: not one */
	int64_t at_most;                  /* bytes that it could send */
	bool closed;                      /* the connection is closed soon */
	bool trusted;                     /* needs option `trusted` */
	bool alone;                       /* no further call follows (else one does: it must be answered, and by the right answer) */
};

#define IS(error) (1u << CH_HTTP_##error)
#define URL(text) .url = { "" text, sizeof(text) - 1 }
#define Q "?q=s3cret"                     /* in each URL; no `detail` may show it */
#define HOME "http://127.0.0.1:{port}"

extern const struct row rows[];
extern const size_t nrows;

#endif
