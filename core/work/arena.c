/* SPDX-License-Identifier: Apache-2.0 */
#include "core/work/arena.h"

#include <stdlib.h>

struct block {
	struct block *next;
	void *pad; /* keeps what follows aligned to 16 */
};

static struct block *block_get(struct ch_loop *l)
{
	struct block *b = l->blocks;
	if (!b)
		return malloc(CHI_BLOCK);
	l->blocks = b->next;
	l->nblocks--;
	return b;
}

static void block_put(struct ch_loop *l, struct block *b)
{
	if (l->nblocks >= CHI_POOL_MAX) {
		free(b);
		return;
	}
	b->next = l->blocks;
	l->blocks = b;
	l->nblocks++;
}

static size_t round16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

void *chi_arena_object(struct ch_loop *l, size_t first)
{
	struct block *b = block_get(l);
	if (!b)
		return NULL;
	b->next = NULL;
	struct chi_arena *a = (struct chi_arena *)(b + 1);
	memset(a, 0, first);
	a->loop = l;
	a->blocks = b;
	a->at = (char *)a + round16(first);
	a->end = (char *)b + CHI_BLOCK;
	a->used = first;
	return a;
}

/* What the newest block has no room for. Out of line, so that what it has room for costs next to nothing. */
static __attribute__((noinline)) void *from_new_block(struct chi_arena *a, size_t want)
{
	bool big = want > CHI_BLOCK / 4;
	struct block *b = big ? malloc(sizeof *b + want) : block_get(a->loop);
	if (!b)
		return NULL;
	a->used += want;
	if (big) {
		b->next = a->big;
		a->big = b;
		return b + 1;
	}
	b->next = a->blocks;
	a->blocks = b;
	a->at = (char *)(b + 1) + want;
	a->end = (char *)b + CHI_BLOCK;
	return b + 1;
}

void *chi_arena_raw(struct chi_arena *a, size_t n)
{
	size_t want = round16(n ? n : 1);
	if (want < n || a->used + want > CHI_ARENA_LIMIT + CHI_ARENA_RESERVE)
		return NULL;
	if (want > (size_t)(a->end - a->at))
		return from_new_block(a, want);
	void *p = a->at;
	a->at += want;
	a->used += want;
	return p;
}

void *chi_arena_alloc(struct chi_arena *a, size_t n)
{
	void *p = chi_arena_raw(a, n);
	if (p)
		memset(p, 0, n);
	return p;
}

void chi_arena_free(struct chi_arena *a)
{
	struct ch_loop *l = a->loop;
	struct block *blocks = a->blocks, *big = a->big;
	/* `a` itself lies in the oldest block: read nothing from it below. */
	while (big) {
		struct block *next = big->next;
		free(big);
		big = next;
	}
	while (blocks) {
		struct block *next = blocks->next;
		block_put(l, blocks);
		blocks = next;
	}
}

void chi_arena_pool_free(struct ch_loop *l)
{
	while (l->blocks) {
		struct block *b = l->blocks;
		l->blocks = b->next;
		free(b);
	}
	l->nblocks = 0;
}

char *chi_text_copy(struct chi_arena *a, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = chi_arena_raw(a, n);
	return p ? memcpy(p, s, n) : "";
}
