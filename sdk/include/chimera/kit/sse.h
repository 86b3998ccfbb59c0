/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/sse.h - splits text/event-stream into events (WHATWG HTML, section 9.2.6). Since 0.2.
 *
 * Fed with the bytes of a stream as they come, in any pieces; what comes out does not depend on where they were cut. Lines end with
 * \n, \r\n or \r, a byte order mark in front of the stream is skipped, comments (`: ping`) and unknown fields are ignored. Pure
 * functions over the caller's memory: no socket, no allocation but through `grow`, no global state. One thread at a time.
 *
 *   static void *grow(void *arg, void *old, size_t used, size_t want)   // ours is on the heap
 *   {
 *           return realloc(old, want);
 *   }
 *
 *   struct ch_sse sse;
 *   struct ch_sse_event ev;
 *   enum ch_sse_rc rc;
 *   size_t used;
 *
 *   ch_sse_init(&sse, NULL, 0, 0);            // no buffer yet, CH_SSE_EVENT_MAX bytes an event
 *   sse.grow = grow;
 *
 *   // on each read of p[0..n):
 *   while ((rc = ch_sse_next(&sse, p, n, &used, &ev)) == CH_SSE_EVENT) {
 *           if (ev.data)
 *                   on_message(ev.data, ev.data_len);
 *           p += used;
 *           n -= used;
 *   }
 *   if (rc == CH_SSE_ERROR)
 *           fail("the backend's stream cannot be read: %s", sse.error);
 *
 *   // at the end of the stream:
 *   if (ch_sse_end(&sse, NULL))
 *           log("the backend ended its stream inside of an event");
 *   free(sse.buf);
 *
 * Copying. What lies in the piece just given is not copied: an event that begins and ends in one piece and has one data line costs no
 * byte of the buffer. Else its data (several lines joined by \n), name and id are gathered there. At the end of a piece the fields of the
 * event that is still open are copied, so the caller may reuse the memory of a piece as soon as ch_sse_next has returned CH_SSE_MORE
 * for it. The buffer never needs more than max_event bytes.
 *
 * What is not done: bytes are not checked to be UTF-8 and NUL bytes pass through in data and names (the standard would put U+FFFD for
 * bad bytes); whoever parses the data decides about that.
 */
#ifndef CHIMERA_KIT_SSE_H
#define CHIMERA_KIT_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_SSE_EVENT_MAX ((size_t)1 << 20) /* max_event where a caller gives none: 1 MiB */

enum ch_sse_rc {
	CH_SSE_ERROR = -1, /* the stream cannot be read on: fault and error of struct ch_sse say why */
	CH_SSE_MORE = 0,   /* all bytes were taken and end inside of an event, or between two */
	CH_SSE_EVENT = 1   /* an event is complete; there may be more in the bytes behind `used` */
};

enum ch_sse_fault {
	CH_SSE_NO_FAULT,
	CH_SSE_TOO_LONG, /* an event, or a line without an end, is over max_event: the sender's fault */
	CH_SSE_NO_MEMORY /* `grow` returned NULL, or there is none and the buffer is too small: ours */
};

/*
 * An event. The pointers lead into the piece given to the call that returned the event, or into the buffer: they are valid until the next
 * call with the same struct ch_sse, and as long as the caller leaves the piece where it is. Nothing ends with a NUL.
 */
struct ch_sse_event {
	const char *data; /* NULL: no data line, so by the standard nothing to dispatch: the block held an id or retry only */
	size_t data_len;  /* 0 with data not NULL: an empty message */
	const char *name; /* of the event field; never NULL. Empty: there was none, which means "message" */
	size_t name_len;
	const char *id;   /* NULL: no id line. Empty: the last event id is to be forgotten. An id with a NUL byte counts as none */
	size_t id_len;
	int64_t retry_ms; /* -1: no retry line with digits only; INT64_MAX: what it said, or more */
};

/* A value of the event that is still open. */
struct ch_sse_value {
	const char *at; /* in the piece at hand; NULL: in the buffer */
	size_t len;
	size_t back;    /* in the buffer: distance of its first byte from the buffer's end */
	bool set;
};

/*
 * The splitter. The caller sets `grow` and `arg` after ch_sse_init and frees `buf` in the end; it may look at fault and error, and leaves
 * the rest alone. `grow` (may be NULL: the first buffer must do then) is asked for a larger buffer: it returns memory of at least `want`
 * bytes that holds the `used` bytes of `old` (realloc's job), or NULL. The buffer belongs to the caller, also a grown one.
 */
struct ch_sse {
	char *buf; /* from the front: data, then the line that is not complete; from the back: names and ids */
	size_t cap;
	void *(*grow)(void *arg, void *old, size_t used, size_t want);
	void *arg;
	size_t max_event;
	size_t kept; /* bytes of the open event's data, event and id lines */
	size_t line; /* bytes of the incomplete line, behind the data in the buffer */
	size_t back; /* bytes taken at the buffer's end */
	struct ch_sse_value data, name, id;
	int64_t retry_ms;
	bool begun;   /* the stream's first line is over: no byte order mark any more */
	bool skip_lf; /* the last byte was \r: an \n now belongs to it */
	uint8_t fault;     /* enum ch_sse_fault */
	const char *error; /* after CH_SSE_ERROR: one sentence, static storage */
};

/*
 * Begins a stream. buf[0..cap) may be NULL and 0. max_event (0: CH_SSE_EVENT_MAX) bounds one event and with it the buffer: the bytes of
 * its data, event and id lines without line ends, and of the line that is being read, whatever it is. Exactly max_event bytes pass.
 */
void ch_sse_init(struct ch_sse *s, char *buf, size_t cap, size_t max_event);

/*
 * Takes bytes of p[0..n) up to the next event or to their end, and sets *used to how many. CH_SSE_EVENT: *ev is filled; call again with
 * the bytes behind *used, at once or later, until CH_SSE_MORE says that none is left. After CH_SSE_ERROR *used is 0, and every further
 * call returns the same. An event is told with the first byte of the line end that completes it, never one byte later.
 */
enum ch_sse_rc ch_sse_next(struct ch_sse *s, const char *p, size_t n, size_t *used, struct ch_sse_event *ev);

/*
 * The stream has ended. Returns true if it ended inside of an event, which by the standard is dropped: fields came and no empty line, or
 * a line that is no comment has no end. *ev (may be NULL) then holds what the complete lines said, for a message or for a caller who wants
 * to be lenient, valid as above. False: it ended between two events. The splitter is then as after ch_sse_init, with the same buffer.
 */
bool ch_sse_end(struct ch_sse *s, struct ch_sse_event *ev);

#ifdef __cplusplus
}
#endif
#endif
