/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/capability.h - what instances offer by names of their own, told with ch_capability, and whether it can be had now. [any]
 *
 * Shown are the instances of the newest config that has been taken, in its order: one that starts is not there yet, one that has a
 * successor not any more.
 */
#ifndef CHI_CAPABILITY_H
#define CHI_CAPABILITY_H

#include <chimera/inspect.h>

#include "core/plugin/gen.h"

#define CHI_CAPABILITIES 1024 /* names of one instance; further ones are not shown, which the log says once */

void chi_capability(struct ch_self *s, const char *name, bool there);
void chi_capabilities_walk(void (*fn)(void *, const struct ch_capability *), void *data);
/* Its instances are shown from now on, in their order. Boot thread. */
void chi_capabilities_taken(const struct chi_gen *g);
/* The instance is stopped, or did not start: what it told is forgotten. */
void chi_capabilities_forget(const struct chi_inst *i);
/* Everything is forgotten: for the harness, after a test that failed. */
void chi_capabilities_clear(void);

#endif
