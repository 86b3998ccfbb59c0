/* SPDX-License-Identifier: Apache-2.0 */
/* balance.h - which of several equals is next. Pure functions. balance.c. */
#ifndef ROUTER_BALANCE_H
#define ROUTER_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of the equals as it is now. */
struct router_candidate {
	int64_t weight;     /* 1 or more */
	int64_t latency;    /* microseconds, as router_latency_now says; 0: never measured */
	unsigned in_flight;
	bool out;           /* not to be chosen */
};

/*
 * The one to be asked next, by enum router_balance; n: all are out. WEIGHTED: each as often as its weight says; `random`: 64 random bits.
 * LEAST_IN_FLIGHT: the fewest calls for its weight. EWMA: the least time, times the calls that it would have then, for its weight; one that
 * was never measured is tried, with one call. Among the same: the one that `random` says, so that nobody is preferred. IN_ORDER: the first.
 */
size_t router_choose(int balance, const struct router_candidate *v, size_t n, uint64_t random);

/*
 * A moving average of latencies, microseconds, that is then the peak at once and comes down over some seconds: what is measured `age` after
 * the average before. avg 0: there is none yet.
 */
int64_t router_latency_add(int64_t avg, int64_t age, int64_t measured);
/* What an average that is so old is worth now: it fades, so that one that was slow once is tried again. Never 0 if avg is not. */
int64_t router_latency_now(int64_t avg, int64_t age);

#endif
