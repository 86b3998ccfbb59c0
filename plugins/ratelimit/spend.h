/* SPDX-License-Identifier: Apache-2.0 */
/* spend.h - the tokens of one question, from what it may need to what it used. */
#ifndef RATELIMIT_SPEND_H
#define RATELIMIT_SPEND_H

#include "ratelimit.h"

struct ratelimit_spend {
	struct ratelimit_request *rq;
	struct ch_inference_call *call;
	struct ratelimit_take *take;
	int64_t prompt, answer;           /* what was reserved for each, as a guess */
	/* spend_stream.c */
	struct ch_inference_sink sink;    /* whom the pieces are for */
	int64_t produced;                 /* tokens of the answer so far, as a guess */
	int64_t charged;                  /* beyond the reservation, in steps */
	int64_t step;                     /* of the charge that is out */
	bool charging, cut, ended;
	ch_ticket ticket;
	struct ch_kv_bucket buckets[PARTS_MAX];
	struct ch_kv_result out;
};

/* Looks on while the answer streams: what it uses beyond its reservation is charged as it flows. */
void ratelimit_stream_watch(struct ratelimit_spend *);
/* Tokens of so many bytes of text, as a guess: one for each four. */
static inline int64_t ratelimit_guess(size_t bytes)
{
	return (int64_t)(bytes / 4 + (bytes % 4 != 0));
}

#endif
