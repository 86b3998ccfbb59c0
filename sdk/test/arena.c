/* SPDX-License-Identifier: MIT */
/*
 * sdk/test/arena.c - the core's own arena, with a tap: chi_world_fail_alloc makes one allocation fail. Production links
 * core/work/arena.c as it is; here its functions get other names, and those below stand in front of them.
 */
#define chi_arena_object arena_object
#define chi_arena_alloc arena_alloc
#define chi_arena_raw arena_raw
#define chi_text_copy text_copy
#include "core/work/arena.c"
#undef chi_arena_object
#undef chi_arena_alloc
#undef chi_arena_raw
#undef chi_text_copy

#include "sdk/test/vloop.h"

void *chi_arena_object(struct ch_loop *l, size_t first);
void *chi_arena_alloc(struct chi_arena *a, size_t n);
void *chi_arena_raw(struct chi_arena *a, size_t n);
char *chi_text_copy(struct chi_arena *a, const char *s);

void *chi_arena_object(struct ch_loop *l, size_t first)
{
	return chi_world_may_alloc() ? arena_object(l, first) : NULL;
}

void *chi_arena_alloc(struct chi_arena *a, size_t n)
{
	return chi_world_may_alloc() ? arena_alloc(a, n) : NULL;
}

void *chi_arena_raw(struct chi_arena *a, size_t n)
{
	return chi_world_may_alloc() ? arena_raw(a, n) : NULL;
}

char *chi_text_copy(struct chi_arena *a, const char *s)
{
	return chi_world_may_alloc() ? text_copy(a, s) : "";
}
