/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/degraded.h - what works worse than it should, told by plugins with ch_degraded: in one place, with hysteresis. [any]
 *
 * Down counts at once. Up counts 2 s after it was told, if down was not told since: chi_degraded_tick, called by the house loop, looks at
 * that. Each change is one log line and one step of the gauge chimera_degraded{plugin}, the number of things of that instance that are
 * down.
 */
#ifndef CHI_DEGRADED_H
#define CHI_DEGRADED_H

#include <chimera/inspect.h>

#include "core/plugin/gen.h"

void chi_degraded(struct ch_self *s, const char *what, bool down, const char *fmt, va_list ap);
void chi_degraded_walk(void (*fn)(void *, const struct ch_degradation *), void *data);
void chi_degraded_tick(void);
/* The instance is retired: what it told holds until its successor says otherwise, or it is stopped. Boot thread. */
void chi_degraded_retire(const struct chi_inst *i);
/* Everything is forgotten: for the harness, after a test that failed. */
void chi_degraded_clear(void);
/* It is stopped: what it told is forgotten. */
void chi_degraded_forget(const struct chi_inst *i);

#endif
