/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/misuse.h - a plugin broke a rule of the SDK. [any]
 *
 * The production host says so, counts it (chimera_misuse_total) and goes on as harmlessly as it can. The debug host (chimerad --strict,
 * the test harness) stops on it: an author should see his mistake where he made it.
 */
#ifndef CHI_MISUSE_H
#define CHI_MISUSE_H

#include "core/chi.h"

/* The sentence goes on after "plugin X: "; plugin, c NULL: not known. */
void chi_misuse(const char *plugin, struct ch_ctx *c, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What the debug host does instead, with the sentence; it does not return. NULL: the production host. Set once, before the loops start. */
extern void (*chi_strict)(const char *plugin, const char *sentence);

#endif
