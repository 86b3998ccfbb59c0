/* SPDX-License-Identifier: MIT */
/* chimera/json.h - the kit's JSON writer on the memory of a ctx. Since 0.1. */
#ifndef CHIMERA_JSON_H
#define CHIMERA_JSON_H

#include <chimera/kit/json.h>
#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline void *ch_jw_grow_(void *ctx, void *old, size_t used, size_t want)
{
	void *p = ch_alloc((struct ch_ctx *)ctx, want);
	if (p && used)
		memcpy(p, old, used);
	return p;
}

/*
 * A writer whose buffer lies in the ctx: `first` bytes, then more as needed. It dies with the ctx; past the arena's limit w->failed is
 * set.
 */
static inline void ch_jw_ctx(struct ch_jw *w, struct ch_ctx *c, size_t first)
{
	ch_jw_init(w, (char *)ch_alloc(c, first), first);
	w->grow = ch_jw_grow_;
	w->arg = c;
}

#ifdef __cplusplus
}
#endif
#endif
