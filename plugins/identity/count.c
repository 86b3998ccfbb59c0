/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count.c - requests by owner. Each loop counts in a table of its own, without a lock; a flush asks every loop for its table, and when the last
 * has answered, what came goes to the database in batches. What could not be written waits for the next flush.
 */
#include <stdlib.h>

#include "identity.h"

enum {
	SLOTS = 8192,                /* of a loop's table; a power of two */
	OWNERS_MOST = SLOTS / 2,     /* whom a loop counts between two flushes */
	PENDING_MOST = 4 * SLOTS,    /* whom a process keeps while the database is away */
	BATCH = 200                  /* statements */
};

struct count {
	char *owner;                 /* malloc'd; NULL: an empty slot */
	int64_t requests, first, last;
};
struct table {
	size_t n;
	struct count slots[SLOTS];
};
struct on_loop {                     /* a loop's own */
	struct table *table;         /* NULL: nobody was counted yet */
};
struct id_counts {                   /* state->pending: an array, in no order */
	struct count c;
};

/* ---- counting ---- */

static uint64_t hash_of(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h ^ h >> 29;
}

/* The owner's slot, or an empty one. */
static struct count *slot_of(struct table *t, const char *owner)
{
	size_t i = hash_of(owner) & (SLOTS - 1);

	while (t->slots[i].owner && strcmp(t->slots[i].owner, owner))
		i = (i + 1) & (SLOTS - 1);
	return &t->slots[i];
}

/* False: it is one too many, or no memory. */
static bool count(struct table *t, const char *owner, int64_t requests, int64_t first, int64_t last)
{
	struct count *s = slot_of(t, owner);

	if (!s->owner) {
		s->owner = t->n < OWNERS_MOST ? strdup(owner) : NULL;
		if (!s->owner)
			return false;
		s->first = first;
		t->n++;
	}
	s->requests += requests;
	s->first = first < s->first ? first : s->first;
	s->last = last > s->last ? last : s->last;
	return true;
}

int id_count(struct ch_self *self, struct ch_ctx *c)
{
	const struct identity_state *s = self->state;
	const char *owner = ch_facts(c)->owner;
	struct on_loop *l;
	int64_t now;

	if (!owner || !*owner || !ch_is_http(c))
		return CH_OK;
	l = *ch_loop_state(self, ch_loop(c));
	if (l && !l->table)
		l->table = calloc(1, sizeof(*l->table));
	now = ch_wall();
	if (!l || !l->table || !count(l->table, owner, 1, now, now))
		ch_add(s->uncounted, 1);
	return CH_OK;
}

/* ---- from the loops to what is pending ---- */

static void forget(struct count *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].owner);
}

/* They are counted as not counted. */
static void lose(const struct identity_state *s, const struct count *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ch_add(s->uncounted, (double)v[i].requests);
		free(v[i].owner);
	}
}

static int by_owner(const void *a, const void *b)
{
	return strcmp(((const struct count *)a)->owner, ((const struct count *)b)->owner);
}

/* Puts them beside what is pending, each owner once. The owners are the list's from now on. */
static void keep(struct identity_state *s, const struct count *v, size_t n)
{
	struct id_counts *more;
	size_t kept = 0;

	pthread_mutex_lock(&s->lock);
	more = n ? realloc(s->pending, (s->npending + n) * sizeof(*more)) : NULL;
	if (more) {
		s->pending = more;
		memcpy(more + s->npending, v, n * sizeof(*v));
		s->npending += n;
		qsort(more, s->npending, sizeof(*more), by_owner);
		for (size_t i = 0; i < s->npending; i++) {
			struct count *to = kept ? &more[kept - 1].c : NULL, *from = &more[i].c;

			if (!to || strcmp(to->owner, from->owner)) {
				more[kept++].c = *from;
				continue;
			}
			to->requests += from->requests;
			to->first = from->first < to->first ? from->first : to->first;
			to->last = from->last > to->last ? from->last : to->last;
			free(from->owner);
		}
		s->npending = kept;
	}
	for (; s->npending > PENDING_MOST; s->npending--)
		lose(s, &s->pending[s->npending - 1].c, 1);
	pthread_mutex_unlock(&s->lock);
	if (!more)
		lose(s, v, n);
}

/* On the table's loop. */
static void hand_over(struct identity_state *s, struct on_loop *l)
{
	struct table *t = l ? l->table : NULL;
	size_t n = 0;

	if (!t)
		return;
	l->table = NULL;
	for (size_t i = 0; i < SLOTS; i++)
		if (t->slots[i].owner)
			t->slots[n++] = t->slots[i];
	keep(s, t->slots, n);
	free(t);
}

/* ---- a flush ---- */

struct flush {                       /* in the arena of the task */
	struct ch_self *self;
	struct ch_ctx *c;
	ch_ticket outer, collected;
	atomic_uint left;            /* loops that have not answered; 1 more while they are asked */
	struct id_result out;
	struct id_stat stats[BATCH];
	struct count *batch;         /* what is being written, BATCH at most; malloc'd */
	size_t n;
};
struct ask { struct flush *f; struct ch_loop *l; };

static void write_batch(struct flush *f);

static void over(struct flush *f)
{
	ch_resume(f->outer, NULL, NULL);
}

/* [any] One loop has answered, or cannot. */
static void one_less(struct flush *f)
{
	if (atomic_fetch_sub(&f->left, 1) == 1)
		ch_resume(f->collected, NULL, NULL);
}

static void on_asked(void *data)
{
	struct ask *a = data;
	struct flush *f = a->f;

	hand_over(f->self->state, *ch_loop_state(f->self, a->l));
	one_less(f);
}

static int on_written(struct ch_ctx *c, void *data, int why, void *result)
{
	struct flush *f = data;
	struct identity_state *s = f->self->state;

	(void)c, (void)result;
	if (why != CH_READY) {
		id_cancel(&f->out);
		f->out.error = ID_UNSURE;
	}
	if (f->out.error == ID_AWAY) /* it did not happen: once more with the next flush. What may have happened is not counted twice */
		keep(s, f->batch, f->n);
	else
		forget(f->batch, f->n);
	free(f->batch);
	f->batch = NULL;
	if (f->out.error)
		over(f);
	else
		write_batch(f);
	return CH_AGAIN;
}

/* The first of what is pending. */
static void write_batch(struct flush *f)
{
	struct identity_state *s = f->self->state;
	ch_ticket t;

	pthread_mutex_lock(&s->lock);
	f->n = s->npending < BATCH ? s->npending : BATCH;
	f->batch = f->n ? malloc(f->n * sizeof(*f->batch)) : NULL;
	if (f->batch) {
		memcpy(f->batch, s->pending, f->n * sizeof(*f->batch));
		s->npending -= f->n;
		memmove(s->pending, s->pending + f->n, s->npending * sizeof(*s->pending));
	}
	pthread_mutex_unlock(&s->lock);
	t = f->batch ? ch_suspend(f->c, 0, on_written, f) : 0;
	if (!t) {
		if (f->batch)
			keep(s, f->batch, f->n);
		free(f->batch);
		over(f);
		return;
	}
	for (size_t i = 0; i < f->n; i++)
		f->stats[i] = (struct id_stat){ f->batch[i].owner, f->batch[i].requests, f->batch[i].first, f->batch[i].last };
	memset(&f->out, 0, sizeof(f->out));
	id_stats_add(f->self, f->c, f->stats, f->n, &f->out, t);
}

static int on_collected(struct ch_ctx *c, void *data, int why, void *result)
{
	struct flush *f = data;

	(void)c, (void)result;
	if (why == CH_READY)
		write_batch(f);
	else
		over(f); /* the loops still answer, and confirm the ticket */
	return CH_AGAIN;
}

void id_flush(struct ch_self *self, struct ch_ctx *c, ch_ticket outer)
{
	struct flush *f = ch_alloc(c, sizeof(*f));
	unsigned n = 0;
	struct ask *asks;

	while (ch_loop_at(n))
		n++;
	asks = ch_alloc(c, n * sizeof(*asks));
	if (f && asks) {
		f->self = self;
		f->c = c;
		f->outer = outer;
		f->collected = ch_suspend(c, 0, on_collected, f);
	}
	if (!f || !asks || !f->collected) {
		ch_resume(outer, NULL, NULL);
		return;
	}
	atomic_store(&f->left, n + 1);
	for (unsigned i = 0; i < n; i++) {
		asks[i] = (struct ask){ f, ch_loop_at(i) };
		if (!ch_post(asks[i].l, on_asked, &asks[i]))
			one_less(f);
	}
	one_less(f);
}

/* ---- life ---- */

int id_count_start(struct ch_self *self, struct ch_loop *loop)
{
	*ch_loop_state(self, loop) = calloc(1, sizeof(struct on_loop));
	return *ch_loop_state(self, loop) ? CH_OK : CH_ERROR;
}

void id_count_stop(struct ch_self *self, struct ch_loop *loop)
{
	void **l = ch_loop_state(self, loop);

	hand_over(self->state, *l);
	free(*l);
	*l = NULL;
}

void id_count_adopt(struct ch_self *self, struct ch_self *prev)
{
	struct identity_state *was = prev->state;
	struct id_counts *v;
	size_t n;

	pthread_mutex_lock(&was->lock);
	v = was->pending;
	n = was->npending;
	was->pending = NULL;
	was->npending = 0;
	pthread_mutex_unlock(&was->lock);
	keep(self->state, (struct count *)v, n);
	free(v);
}

void id_count_free(struct identity_state *s)
{
	lose(s, (struct count *)s->pending, s->npending);
	free(s->pending);
	s->pending = NULL;
	s->npending = 0;
}
