/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets. A slot's state is one word: generation << 3 | what. Whoever moves it from ARMED by compare-and-swap owns the outcome, so a
 * resume from
 * another thread, a timeout and a client that leaves can race and exactly one wins.
 *
 *   FREE -> ARMED -> READY (resumed, to be delivered) -> FREE
 *             \----> SPENT (timeout or gone was delivered; its holder has not confirmed) -> CONFIRMED -> FREE
 *
 * Slots live in chunks that never move and are never freed while the loop lives: a stale ticket may always be looked up.
 */
#include "core/work/work.h"

#include "core/log/log.h"
#include "core/plugin/misuse.h"

#include <stdlib.h>

enum { FREE, ARMED, READY, SPENT, CONFIRMED };

#define CHUNK 256
#define CHUNKS 4096

struct chi_slot {
	struct chi_msg msg; /* READY and CONFIRMED travel to the loop by it */
	_Atomic uint64_t state;
	uint32_t index;
	struct ch_ctx *ctx;
	const struct chi_hook *hook; /* whose it is; NULL: made outside of a hook */
	uint32_t wait;               /* the ctx's, when it was made */
	struct chi_slot *newer, *older; /* the ctx's tickets; `older` also chains free slots */
	ch_resumed fn;
	void *data;
	void *result;
	ch_fn drop;
	struct ch_timer timer;
};

struct chi_slots {
	_Atomic(struct chi_slot *) chunks[CHUNKS];
	unsigned nchunks;
	struct chi_slot *free;
	size_t used;
};

static struct ch_loop *loops[CHI_MAX_LOOPS];

static uint64_t word(uint64_t generation, unsigned what)
{
	return generation << 3 | what;
}

static ch_ticket ticket_of(const struct ch_loop *l, const struct chi_slot *s, uint64_t generation)
{
	return generation << 32 | (uint64_t)(s->index + 1) << 8 | l->index;
}

static struct chi_slot *slot_of(ch_ticket t, struct ch_loop **l)
{
	unsigned index = t & 255;
	uint32_t slot = (uint32_t)(t >> 8 & 0xffffff) - 1;
	if (!t || index >= CHI_MAX_LOOPS || !loops[index] || slot >= CHUNK * CHUNKS)
		return NULL;
	*l = loops[index];
	struct chi_slot *chunk = atomic_load_explicit(&(*l)->slots->chunks[slot / CHUNK], memory_order_acquire);
	return chunk ? &chunk[slot % CHUNK] : NULL;
}

bool chi_slots_new(struct ch_loop *l)
{
	l->slots = calloc(1, sizeof *l->slots);
	loops[l->index] = l;
	return l->slots != NULL;
}

void chi_slots_free(struct ch_loop *l)
{
	for (unsigned i = 0; i < l->slots->nchunks; i++)
		free(atomic_load(&l->slots->chunks[i]));
	free(l->slots);
	loops[l->index] = NULL;
}

size_t chi_slots_used(struct ch_loop *l)
{
	return l->slots->used;
}

static struct chi_slot *slot_get(struct ch_loop *l)
{
	struct chi_slots *v = l->slots;
	if (!v->free) {
		if (v->nchunks == CHUNKS)
			return NULL;
		struct chi_slot *chunk = calloc(CHUNK, sizeof *chunk);
		if (!chunk)
			return NULL;
		for (unsigned i = CHUNK; i-- > 0;) {
			chunk[i].index = v->nchunks * CHUNK + i;
			atomic_init(&chunk[i].state, word(1, FREE));
			chunk[i].older = v->free;
			v->free = &chunk[i];
		}
		atomic_store_explicit(&v->chunks[v->nchunks++], chunk, memory_order_release);
	}
	struct chi_slot *s = v->free;
	v->free = s->older;
	v->used++;
	return s;
}

/* Takes the slot out of its ctx, gives it back, and lets the ctx go if it only waited for this. */
static void slot_put(struct chi_slot *s)
{
	struct ch_ctx *c = s->ctx;
	struct ch_loop *l = c->loop;
	chi_timer_set(&s->timer, -1);
	if (s->newer)
		s->newer->older = s->older;
	else
		c->tickets = s->older;
	if (s->older)
		s->older->newer = s->newer;
	else
		c->oldest = s->newer;
	uint64_t generation = (atomic_load_explicit(&s->state, memory_order_relaxed) >> 3) + 1;
	if (generation >> 32)
		generation = 1;
	s->ctx = NULL;
	atomic_store_explicit(&s->state, word(generation, FREE), memory_order_release);
	s->older = l->slots->free;
	l->slots->free = s;
	l->slots->used--;
	chi_ctx_unpin(c);
}

/* A timeout, or the client left: the function hears it, the slot waits for its holder's word. */
static void spend(struct chi_slot *s, int why)
{
	uint64_t w = atomic_load_explicit(&s->state, memory_order_relaxed);
	if ((w & 7) != ARMED)
		return;
	if (!atomic_compare_exchange_strong(&s->state, &w, (w & ~(uint64_t)7) | SPENT))
		return; /* a resume was faster: it will be delivered */
	struct ch_ctx *c = s->ctx;
	chi_timer_set(&s->timer, -1);
	c->armed--;
	c->pins++; /* fn may take this very ticket back */
	const struct chi_hook *hook = s->hook;
	uint32_t wait = s->wait;
	int rc = chi_ctx_call(c, hook, wait, s->fn, s->data, why, NULL);
	chi_ctx_resumed(c, wait, rc);
	chi_ctx_unpin(c);
}

static void on_timeout(void *data)
{
	spend(data, CH_TIMEOUT);
}

/* Has somebody who was told of a timeout, or of a client that left, not confirmed yet? */
static bool owed(const struct ch_ctx *c)
{
	for (const struct chi_slot *s = c->tickets; s; s = s->older)
		if ((atomic_load_explicit(&s->state, memory_order_relaxed) & 7) == SPENT)
			return true;
	return false;
}

static void on_delivery(struct ch_loop *l, struct chi_msg *m)
{
	(void)l;
	struct chi_slot *s = (struct chi_slot *)m;
	struct ch_ctx *c = s->ctx;
	bool ready = (atomic_load_explicit(&s->state, memory_order_relaxed) & 7) == READY;
	/* Behind an ended ctx only a provider still waits, for another one, that owes somebody a word: it has to hear of it, by drop or else by fn. */
	bool late = c->ended && (s->drop || !owed(c));
	if (!ready || late || !s->fn) {
		if (ready) {
			c->armed--;
			if (s->drop)
				s->drop(s->result);
		}
		c->pins++;
		slot_put(s);
		chi_ctx_stuck(c);
		chi_ctx_unpin(c);
		return;
	}
	ch_resumed fn = s->fn;
	void *data = s->data, *result = s->result;
	const struct chi_hook *hook = s->hook;
	uint32_t wait = s->wait;
	c->armed--;
	c->pins++; /* the ctx must outlive the call */
	slot_put(s);
	int rc = chi_ctx_call(c, hook, wait, fn, data, c->ended ? CH_GONE : CH_READY, c->ended ? NULL : result);
	chi_ctx_resumed(c, wait, rc);
	chi_ctx_unpin(c);
}

ch_ticket chi_ticket_timeless(struct ch_ctx *c, ch_resumed fn, void *data)
{
	struct ch_loop *l = c->loop;
	struct chi_slot *s = c->ended ? NULL : slot_get(l);
	if (!s)
		return 0;
	uint64_t generation = atomic_load_explicit(&s->state, memory_order_relaxed) >> 3;
	s->ctx = c;
	s->hook = c->busy || c->suspended ? c->hook : NULL;
	s->wait = c->wait;
	s->fn = fn;
	s->data = data;
	s->drop = NULL;
	s->newer = NULL;
	s->older = c->tickets;
	if (c->tickets)
		c->tickets->newer = s;
	else
		c->oldest = s;
	c->tickets = s;
	c->pins++;
	c->armed++;
	chi_timer_init(&s->timer, l, on_timeout, s);
	atomic_store_explicit(&s->state, word(generation, ARMED), memory_order_release);
	return ticket_of(l, s, generation);
}

ch_ticket chi_ticket_new(struct ch_ctx *c, int64_t timeout_ms, ch_resumed fn, void *data)
{
	ch_ticket t = chi_ticket_timeless(c, fn, data);
	if (!t)
		return 0;
	if (c->deadline) {
		int64_t left = (c->deadline - chi_clock()) / 1000;
		left = left < 0 ? 0 : left;
		if (timeout_ms <= 0 || left < timeout_ms)
			timeout_ms = left ? left : 1;
	}
	if (timeout_ms > 0)
		chi_timer_set(&c->tickets->timer, timeout_ms);
	return t;
}

bool chi_ticket_resume(ch_ticket t, void *result, ch_fn drop)
{
	struct ch_loop *l;
	struct chi_slot *s = slot_of(t, &l);
	uint64_t generation = t >> 32, w = word(generation, ARMED);
	bool alive = s && atomic_compare_exchange_strong(&s->state, &w, word(generation, READY));
	if (alive) {
		s->result = result;
		s->drop = drop;
	} else {
		w = word(generation, SPENT);
		bool confirms = s && atomic_compare_exchange_strong(&s->state, &w, word(generation, CONFIRMED));
		if (drop)
			drop(result);
		if (!confirms) {
			chi_misuse(NULL, NULL, "a ticket was resumed twice, or after it was taken back: resume each exactly once");
			return false;
		}
	}
	s->msg.fn = on_delivery;
	if (chi_loop_here() == l)
		chi_loop_ready(l, &s->msg);
	else
		chi_loop_send(l, &s->msg);
	return alive;
}

static void look_if_stuck(void *data)
{
	struct ch_ctx *c = data;
	chi_ctx_stuck(c);
	chi_ctx_unpin(c);
}

void chi_ticket_take_back(ch_ticket t)
{
	struct ch_loop *l;
	struct chi_slot *s = slot_of(t, &l);
	if (!s)
		return;
	uint64_t generation = t >> 32, w = word(generation, ARMED);
	if (atomic_compare_exchange_strong(&s->state, &w, word(generation, CONFIRMED))) {
		struct ch_ctx *c = s->ctx;
		c->armed--;
		if (c->suspended && !c->busy) { /* from a timer, say: look, later, whether that was its last */
			c->pins++;
			chi_loop_turn_end(l, look_if_stuck, c);
		}
		slot_put(s);
		return;
	}
	w = word(generation, SPENT);
	if (atomic_compare_exchange_strong(&s->state, &w, word(generation, CONFIRMED))) {
		slot_put(s);
		return;
	}
	if (w == word(generation, READY))
		s->fn = NULL; /* resumed already, on its way: delivery drops the result */
}

bool chi_tickets_out(const struct ch_ctx *c, uint32_t wait)
{
	for (const struct chi_slot *s = c->tickets; s; s = s->older) {
		unsigned what = atomic_load_explicit(&s->state, memory_order_relaxed) & 7;
		if (s->wait == wait && s->fn && (what == ARMED || what == READY))
			return true;
	}
	return false;
}

bool chi_ticket_gone(struct ch_ctx *c)
{
	uint32_t wait = chi_call_wait(c);
	for (struct chi_slot *s = c->oldest; s; s = s->newer)
		if (s->wait == wait && (atomic_load_explicit(&s->state, memory_order_relaxed) & 7) == ARMED) {
			spend(s, CH_GONE);
			return true;
		}
	return false;
}

void chi_ticket_end(ch_ticket t, bool gone, void *result)
{
	struct ch_loop *l;
	struct chi_slot *s = slot_of(t, &l);
	if (!gone) {
		chi_ticket_resume(t, result, NULL);
		return;
	}
	struct ch_ctx *c = s->ctx;
	c->pins++;
	spend(s, CH_GONE);
	chi_ticket_take_back(t);
	chi_ctx_unpin(c);
}
