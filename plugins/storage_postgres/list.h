/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - doubly linked rings through the things themselves: a thing takes itself out without knowing where it is. */
#ifndef PG_LIST_H
#define PG_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A head, or a place inside of a thing. Alone it points to itself. */
struct pg_link {
	struct pg_link *next, *prev;
};

#define PG_OF(link, type, member) ((type *)((char *)(link) - offsetof(type, member)))

static inline void pg_link_init(struct pg_link *l)
{
	l->next = l->prev = l;
}

static inline bool pg_linked(const struct pg_link *l)
{
	return l->next != l;
}

static inline void pg_link_first(struct pg_link *head, struct pg_link *l)
{
	l->next = head->next;
	l->prev = head;
	head->next->prev = l;
	head->next = l;
}

static inline void pg_link_last(struct pg_link *head, struct pg_link *l)
{
	pg_link_first(head->prev, l);
}

/* Out of whatever ring it is in; nothing when it is in none. */
static inline void pg_unlink(struct pg_link *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	pg_link_init(l);
}

#endif
