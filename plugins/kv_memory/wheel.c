/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.c - a hierarchical timer wheel (Varghese, Lauck). A slot of level L covers 64^L ticks. At a tick that is a multiple of 64^L the
 * slot of that level is emptied into those below; what lies farther ahead than the wheel is long (25 days) goes to its last slot and is
 * moved on from there. Ticks where nothing is due are skipped by the bit maps.
 */
#include "wheel.h"

enum { TICK_BITS = 17, SLOT_BITS = 6 };
#define LONGEST ((UINT32_C(1) << (SLOT_BITS * KM_LEVELS)) - 1)

static uint32_t tick_of(int64_t us)
{
	return (uint32_t)(us >> TICK_BITS);
}

void km_wheel_start(struct km_wheel *w, int64_t now)
{
	w->tick = tick_of(now);
}

static void put(struct km_wheel *w, struct km_entry *e)
{
	uint32_t ahead = e->due - w->tick, at;
	unsigned level = 0, slot;
	struct km_entry **head;

	if (ahead > LONGEST)
		ahead = LONGEST;
	at = w->tick + ahead;
	while (ahead >> (SLOT_BITS * (level + 1)))
		level++;
	slot = at >> (SLOT_BITS * level) & (KM_SLOTS - 1);
	head = &w->slots[level][slot];
	e->next = *head;
	e->at = head;
	if (e->next)
		e->next->at = &e->next;
	*head = e;
	w->filled[level] |= UINT64_C(1) << slot;
}

void km_wheel_add(struct km_wheel *w, struct km_entry *e)
{
	int64_t last = ((int64_t)w->tick + INT32_MAX) << TICK_BITS; /* farther than any TTL */

	e->at = NULL;
	if (!e->expires)
		return;
	e->due = tick_of(e->expires < last ? e->expires : last) + 1;
	if ((int32_t)(e->due - w->tick) < 1)
		e->due = w->tick + 1; /* its tick may be half done */
	put(w, e);
}

void km_wheel_take_out(struct km_entry *e)
{
	if (!e->at)
		return;
	*e->at = e->next;
	if (e->next)
		e->next->at = e->at;
	e->at = NULL;
}

/* The next tick, at most `end`, at which a slot may have something. */
static uint32_t next_tick(const struct km_wheel *w, uint32_t end)
{
	uint32_t tick = w->tick, ahead = end - tick, step;
	unsigned level = 0;

	while (level < KM_LEVELS && !w->filled[level])
		level++;
	if (level == KM_LEVELS)
		return end;
	step = (UINT32_C(1) << (SLOT_BITS * level)) - (tick & ((UINT32_C(1) << (SLOT_BITS * level)) - 1));
	return step < ahead ? tick + step : end;
}

struct km_entry *km_wheel_next(struct km_wheel *w, int64_t now, size_t *steps, size_t most)
{
	uint32_t end = tick_of(now);

	for (;;) {
		for (unsigned level = 0; level < KM_LEVELS && !(w->tick & ((UINT32_C(1) << (SLOT_BITS * level)) - 1)); level++) {
			unsigned slot = w->tick >> (SLOT_BITS * level) & (KM_SLOTS - 1);
			struct km_entry *e;

			while ((e = w->slots[level][slot])) {
				if (*steps >= most)
					return NULL;
				++*steps;
				km_wheel_take_out(e);
				if (e->due == w->tick)
					return e;
				put(w, e);
			}
			w->filled[level] &= ~(UINT64_C(1) << slot);
		}
		if ((int32_t)(end - w->tick) <= 0)
			return NULL;
		w->tick = next_tick(w, end);
	}
}
