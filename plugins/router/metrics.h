/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - the router's metrics: their table, and the series of each backend and of each name for models, all made at start. */
#ifndef ROUTER_METRICS_H
#define ROUTER_METRICS_H

#include "router.h"

enum router_metric {
	M_REQUESTS, M_ERRORS, M_LATENCY, M_LLM_REQUESTS, M_LLM_DURATION, M_LLM_TOKENS, M_FIRST_TOKEN, M_BETWEEN, M_COST, M_RETRIES,
	M_FALLBACKS, M_OVERHEAD, M_BREAKER, M_IN_FLIGHT, M_WAITING, ROUTER_METRICS
};
extern const struct ch_metric router_metrics[ROUTER_METRICS];

/* [boot] Finds or makes all series: behind router_table_make. False: no memory. r->fallbacks is from malloc. */
bool router_metrics_start(struct router *r);

#endif
