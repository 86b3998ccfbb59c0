/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - rings of links inside of structs: a list is a link of its own. */
#ifndef KR_LIST_H
#define KR_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct kr_link { struct kr_link *next, *prev; };

#define KR_OF(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

static inline void kr_link_init(struct kr_link *l)
{
	l->next = l->prev = l;
}

static inline bool kr_linked(const struct kr_link *l)
{
	return l->next != l;
}

/* Puts l behind `at`: at the list's begin, or with its prev at the end. */
static inline void kr_link_behind(struct kr_link *l, struct kr_link *at)
{
	l->prev = at;
	l->next = at->next;
	at->next->prev = l;
	at->next = l;
}

static inline void kr_unlink(struct kr_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	kr_link_init(l);
}

#endif
