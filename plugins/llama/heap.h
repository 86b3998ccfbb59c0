/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h - a growing buffer outside of a ctx's arena, for what may be larger than that; it goes with the ctx. */
#ifndef LLAMA_HEAP_H
#define LLAMA_HEAP_H

#include <stdlib.h>

#include <chimera/plugin.h>

struct heap {
	char *p;
	size_t cap;
};

static inline void heap_drop(void *heap)
{
	free(((struct heap *)heap)->p);
	*(struct heap *)heap = (struct heap){ 0 };
}

/* Empty, in memory of the ctx; freed with it, or before by heap_drop. NULL: no memory. */
static inline struct heap *heap_new(struct ch_ctx *c)
{
	struct heap *h = ch_alloc(c, sizeof(*h));

	return h && ch_keep(c, heap_drop, h) ? h : NULL;
}

/* Room for `want` bytes, what was there stays. `arg`: the struct heap; as `grow` of the kit's writers, too. NULL: no memory. */
static inline void *heap_grow(void *arg, void *old, size_t used, size_t want)
{
	struct heap *h = arg;
	char *p;

	(void)old;
	(void)used;
	if (want <= h->cap)
		return h->p;
	p = realloc(h->p, want);
	if (!p)
		return NULL;
	h->p = p;
	h->cap = want;
	return p;
}

#endif
