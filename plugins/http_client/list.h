/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - doubly linked rings through the things themselves: a thing takes itself out without knowing where it is. */
#ifndef HC_LIST_H
#define HC_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A head, or a place inside of a thing. Alone it points to itself. */
struct hc_link {
	struct hc_link *next, *prev;
};

#define HC_OF(link, type, member) ((type *)((char *)(link) - offsetof(type, member)))

static inline void hc_link_init(struct hc_link *l)
{
	l->next = l->prev = l;
}

static inline bool hc_linked(const struct hc_link *l)
{
	return l->next != l;
}

/* Behind `at`: of a head, the first. */
static inline void hc_link_after(struct hc_link *at, struct hc_link *l)
{
	l->next = at->next;
	l->prev = at;
	at->next->prev = l;
	at->next = l;
}

/* The last of the ring of `head`. */
static inline void hc_link_last(struct hc_link *head, struct hc_link *l)
{
	hc_link_after(head->prev, l);
}

/* Out of whatever ring it is in; nothing when it is in none. */
static inline void hc_unlink(struct hc_link *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	hc_link_init(l);
}

/* All that is in `from` goes to the end of `to`. */
static inline void hc_link_move_all(struct hc_link *to, struct hc_link *from)
{
	while (hc_linked(from)) {
		struct hc_link *l = from->next;

		hc_unlink(l);
		hc_link_last(to, l);
	}
}

#endif
