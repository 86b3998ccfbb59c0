/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/costs.h - what hooks have cost since the process began, and who blocks a loop now, for people: the numbers of account.c. */
#ifndef CHI_COSTS_H
#define CHI_COSTS_H

#include "core/plugin/gen.h"

#include <chimera/kit/json.h>

struct chi_costs;

/* [any] Reads the metrics, which takes its time: not on a loop. NULL: no memory. */
struct chi_costs *chi_costs_take(void);
void chi_costs_free(void *costs); /* NULL is fine */
/*
 * Writes an array: {id, hook, calls, errors, timed, mean_seconds, worst_seconds, over_budget, stalled: ["worker-0"]} for each hook of the
 * generation's instances. Not each call is timed: mean and worst (the upper bound of its bucket) are of those that were, null if none was.
 */
void chi_costs_json(const struct chi_costs *costs, const struct chi_gen *g, struct ch_jw *w);

#endif
