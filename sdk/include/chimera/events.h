/* SPDX-License-Identifier: MIT */
/*
 * chimera/events.h - an answer to a client as server-sent events (WHATWG HTML, section 9.2.6), for plugins with routes. In libchimera-kit.
 * Since 0.3.
 *
 *   struct ch_events e;                                  // in the ctx's memory
 *   ch_events_init(&e, c, ping_ms, go_on, call);
 *   if (!e.begun)                                        // with the first piece: a failure before it is a plain refusal
 *           ch_events_begin(&e, NULL);
 *   return ch_events_frame(&e, json, n);                 // what a sink returns: CH_OK, or CH_AGAIN until go_on(call)
 *   …
 *   return ch_events_done(&e);                           // data: [DONE], the end
 *   return ch_events_fail(&e, code, detail, error);      // or one error frame and no [DONE]
 *
 * A stream ends in one way: done, fail, or the client leaves. While nothing comes, `: ping` goes out at times, between frames only, so that
 * proxies and clients with a timeout between bytes hold on. All on the ctx's loop.
 */
#ifndef CHIMERA_EVENTS_H
#define CHIMERA_EVENTS_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_EVENTS_TYPE "text/event-stream"

struct ch_events {
	struct ch_ctx *c;
	bool begun;                       /* the head is on its way */
	bool paused;                      /* the last piece made it AGAIN; go_on will be called */
	bool events_;                     /* it is an event stream, not another type's bytes */
	bool ended_;
	bool lost_;
	char tail_[4];                    /* the last bytes sent: do they end a frame? */
	int status;                       /* of the head: 200; change it before the head leaves */
	int64_t ping_ms;
	int64_t last_;                    /* ch_now of the last bytes */
	struct ch_timer *timer_;
	ch_fn go_on;
	void *arg;
};

/* ping_ms: after so much silence a comment is sent; 0: none. go_on(arg): the client has read again. Nothing is sent yet. */
void ch_events_init(struct ch_events *, struct ch_ctx *, int64_t ping_ms, ch_fn go_on, void *arg);
/*
 * The head: of that type (NULL: text/event-stream; of any other type the bytes are simply passed on), not to be cached or held back by
 * proxies. Set header fields of your own before. False: the client is gone, or it was begun already.
 */
bool ch_events_begin(struct ch_events *, const char *type);
/*
 * A frame of one line of data; line ends in it, which JSON has between its values only, become blanks. CH_OK; CH_AGAIN: taken, send no more
 * until go_on, or, if the client is gone, at all: its ticket is about to say so.
 */
int ch_events_frame(struct ch_events *, const char *data, size_t n);
/* Bytes as they are: whole frames with their blank lines, or the next bytes of a stream that is passed on. release as in ch_write. */
int ch_events_write(struct ch_events *, const void *p, size_t n, ch_fn release, void *arg);
/* A piece of the stream was lost for want of memory: nothing more is sent, and at its end the stream is cut. Returns CH_OK, for a sink. */
int ch_events_lost(struct ch_events *);
/* `data: [DONE]` and the end. CH_DONE. */
int ch_events_done(struct ch_events *);
/* The end of bytes that are passed on: nothing is added. CH_DONE. */
int ch_events_end(struct ch_events *);
/*
 * A failure after the head: one frame {"error":{message,type,param,code}} and the end; where no frame can be told from what went before (in
 * the middle of a frame, another type) the connection is cut. detail NULL: the code's name; error: a JSON object to be shown instead, n 0:
 * none. CH_DONE.
 */
int ch_events_fail(struct ch_events *, enum ch_code code, const char *detail, struct ch_str error);

/* [any] Is a Content-Type of this value JSON (application/json, any parameters and letter case)? */
bool ch_type_is_json(struct ch_str content_type);

#ifdef __cplusplus
}
#endif
#endif
