/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/work/arena.h - memory that dies at once. Blocks come from a pool of the loop; what is larger than a quarter block gets memory of
 * its own.
 * The loop's thread only.
 */
#ifndef CHI_ARENA_H
#define CHI_ARENA_H

#include "core/loop/loop.h"

#define CHI_BLOCK 8192               /* bytes of a pooled block */
#define CHI_POOL_MAX 256             /* free blocks a loop keeps */
#define CHI_ARENA_LIMIT (4u << 20)   /* bytes that plugins may put into an arena … */
#define CHI_ARENA_RESERVE (128u << 10) /* … and the core beyond it: a request that has used up its memory still gets an answer */

struct chi_arena {
	struct ch_loop *loop;
	char *at, *end;      /* free room of the newest block */
	void *blocks, *big;  /* chains: the first word of each is the next */
	size_t used;         /* bytes asked for, the limit's measure */
};

/*
 * Makes an arena inside a fresh block and room of `first` zeroed bytes around it: one allocation for an object and its arena. The object
 * must begin with its struct chi_arena, and `first` be well below CHI_BLOCK. NULL: no memory.
 */
void *chi_arena_object(struct ch_loop *l, size_t first);
/* Zeroed, aligned to 16. NULL: no memory or past the limit. */
void *chi_arena_alloc(struct chi_arena *a, size_t n);
/* The same, not zeroed. */
void *chi_arena_raw(struct chi_arena *a, size_t n);
/* A copy of the text; "" without memory. */
char *chi_text_copy(struct chi_arena *a, const char *s);
/* Frees everything, the object too. */
void chi_arena_free(struct chi_arena *a);
/* May a plugin have n bytes more? */
static inline bool chi_arena_has(const struct chi_arena *a, size_t n)
{
	return n <= CHI_ARENA_LIMIT && a->used + n <= CHI_ARENA_LIMIT;
}
/* Gives the loop's pooled blocks back. */
void chi_arena_pool_free(struct ch_loop *l);

#endif
