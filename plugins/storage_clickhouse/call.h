/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h - a call to sink/1, from its beginning to its one end.
 *
 *     begin -> fault -> breaker -> what the table looks like -> its own steps (append, find, expire) -> over
 *
 * The caller's ticket is the outer one. Whatever the call waits for (time, the server, a pool thread) has a ticket of ours, one at a time.
 * click_call_over is the only end. It lives in the ctx's arena, on the ctx's loop.
 */
#ifndef CLICK_CALL_H
#define CLICK_CALL_H

#include "query.h"

enum click_blame {                        /* what an outcome says about the server */
	CLICK_B_NONE,                     /* nothing: it was given up, or we have no memory */
	CLICK_B_WELL,
	CLICK_B_UNFIT,                    /* it answers, and cannot do this: a right, a table, room is missing. It is asked on */
	CLICK_B_ILL                       /* it is away, slow or has too much to do: after some of these it is left alone */
};

struct click_call {
	struct click *k;
	struct ch_ctx *c;
	struct ch_sink_result *out;
	ch_ticket outer;
	const struct ch_relation *table;
	void (*steps)(struct click_call *);   /* its own, when the layout is known */
	void (*clean)(struct click_call *);   /* frees what it holds; NULL: nothing */
	struct click_query q;
	struct click_shape shape;
	struct ch_db_statement series;
	struct ch_fault fault;
	ch_ticket pause;
	uint32_t pass;                        /* the breaker's; 0: not asked yet */
	int op;                               /* which of struct click_table's statements: enum click_op */
	bool async, over, cancelled;
	void (*cancel)(struct click_call *);  /* instead of giving up the question: something else is under way; NULL: nothing is */
};

enum click_op { CLICK_APPEND, CLICK_FIND, CLICK_EXPIRE };

/* A call of so many bytes, which begin with a struct click_call. NULL: no memory, *out is filled: return CH_OK. */
void *click_call_new(size_t size, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_relation *table, int64_t timeout_ms,
	struct ch_sink_result *out, ch_ticket outer);
/* Starts it; what the vtable's function returns. */
int click_call_begin(struct click_call *call);
/* Asks what the table looks like, again if `anew`; then `then`, or the call is over. */
void click_call_shape(struct click_call *call, bool anew, void (*then)(struct click_call *));
/* The end. detail: a sentence, the ctx's or static; NULL with DONE. */
void click_call_over(struct click_call *call, int outcome, const char *detail, enum click_blame blame);
/* The end of one whose question failed: RETRY, and what it says about the server. */
void click_call_failed(struct click_call *call);
/* The layout is asked anew by the next call: something about it was wrong. */
void click_call_forget(struct click_call *call);
/* The end of one whose ctx is gone, but for what `clean` would free: that is yours. The breaker has been told by unpass. */
void click_call_abandon(struct click_call *call);
/* The breaker hears nothing of it any more. */
void click_call_unpass(struct click_call *call);
/* For RETRY where memory ran out. */
void click_call_no_memory(struct click_call *call);
void click_call_cancel(struct click_call *call);

int click_append(const struct ch_svc *, struct ch_ctx *, const struct ch_sink_batch *, struct ch_sink_result *, ch_ticket);
int click_find(const struct ch_svc *, struct ch_ctx *, const struct ch_sink_find *, struct ch_sink_result *, ch_ticket);
int click_expire(const struct ch_svc *, struct ch_ctx *, const struct ch_relation *, int64_t before, struct ch_sink_result *, ch_ticket);

#endif
