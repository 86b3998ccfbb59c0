/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count.c - requests by owner. Each loop counts in a table of its own, without a lock; a flush asks every loop for its table, and when
 * the last
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
struct id_counts {                   /* what waits to be written; shared by instances that succeed one another */
	pthread_mutex_t lock;
	unsigned refs;
	size_t n;
	struct count *v;             /* by owner, each once */
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

/* Those of one owner, which lie side by side, become one. How many are left. */
static size_t unite(struct count *v, size_t n)
{
	size_t kept = 0;

	qsort(v, n, sizeof(*v), by_owner);
	for (size_t i = 0; i < n; i++) {
		struct count *to = kept ? &v[kept - 1] : NULL;

		if (!to || strcmp(to->owner, v[i].owner)) {
			v[kept++] = v[i];
			continue;
		}
		to->requests += v[i].requests;
		to->first = v[i].first < to->first ? v[i].first : to->first;
		to->last = v[i].last > to->last ? v[i].last : to->last;
		free(v[i].owner);
	}
	return kept;
}

/* Puts them beside what is pending. The owners are the list's from now on. */
static void keep(const struct identity_state *s, const struct count *v, size_t n)
{
	struct id_counts *p = s->pending;
	struct count *more;

	if (!n)
		return;
	pthread_mutex_lock(&p->lock);
	more = realloc(p->v, (p->n + n) * sizeof(*more));
	if (more) {
		memcpy(more + p->n, v, n * sizeof(*v));
		p->v = more;
		p->n = unite(more, p->n + n);
	} else {
		lose(s, v, n);
	}
	for (; p->n > PENDING_MOST; p->n--)
		lose(s, &p->v[p->n - 1], 1);
	pthread_mutex_unlock(&p->lock);
}

/* On the table's loop. */
static void hand_over(const struct identity_state *s, struct on_loop *l)
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
	int (*done)(void *data);
	void *data;
	ch_ticket collected;
	atomic_uint left;            /* loops that have not answered; 1 more while they are asked */
	struct id_result out;
	struct id_stat stats[BATCH];
	struct count *batch;         /* what is being written, BATCH at most; malloc'd */
	size_t n;
};
struct ask { struct flush *f; struct ch_loop *l; };

static int write_batch(struct flush *f);

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

	(void)c, (void)result;
	if (why != CH_READY)
		id_cancel(&f->out);
	if (f->out.error == ID_AWAY) /* it did not happen: once more with the next flush. What may have happened is not counted twice */
		keep(f->self->state, f->batch, f->n);
	else
		forget(f->batch, f->n);
	free(f->batch);
	f->batch = NULL;
	return f->out.error ? f->done(f->data) : write_batch(f);
}

/* The last of what is pending. */
static int write_batch(struct flush *f)
{
	const struct identity_state *s = f->self->state;
	struct id_counts *p = s->pending;
	ch_ticket t = ch_suspend(f->c, 0, on_written, f);

	pthread_mutex_lock(&p->lock);
	f->n = p->n < BATCH ? p->n : BATCH;
	f->batch = t && f->n ? malloc(f->n * sizeof(*f->batch)) : NULL;
	if (f->batch) {
		p->n -= f->n;
		memcpy(f->batch, p->v + p->n, f->n * sizeof(*f->batch));
	}
	pthread_mutex_unlock(&p->lock);
	if (!f->batch) {
		ch_unsuspend(t);
		return f->done(f->data);
	}
	for (size_t i = 0; i < f->n; i++)
		f->stats[i] = (struct id_stat){ f->batch[i].owner, f->batch[i].requests, f->batch[i].first, f->batch[i].last };
	memset(&f->out, 0, sizeof(f->out));
	id_stats_add(f->self, f->c, f->stats, f->n, &f->out, t);
	return CH_AGAIN;
}

static int on_collected(struct ch_ctx *c, void *data, int why, void *result)
{
	struct flush *f = data;

	(void)c, (void)result;
	return why == CH_READY ? write_batch(f) : f->done(f->data); /* those loops that are late answer into what is pending */
}

int id_flush(struct ch_self *self, struct ch_ctx *c, int (*done)(void *data), void *data)
{
	struct flush *f = ch_alloc(c, sizeof(*f));
	struct ask *asks;
	unsigned n = 0;

	while (ch_loop_at(n))
		n++;
	asks = ch_alloc(c, n * sizeof(*asks));
	if (!f || !asks)
		return done(data);
	f->self = self;
	f->c = c;
	f->done = done;
	f->data = data;
	f->collected = ch_suspend(c, 0, on_collected, f);
	if (!f->collected)
		return done(data);
	atomic_store(&f->left, n + 1);
	for (unsigned i = 0; i < n; i++) {
		asks[i] = (struct ask){ f, ch_loop_at(i) };
		if (!ch_post(asks[i].l, on_asked, &asks[i]))
			one_less(f);
	}
	one_less(f);
	return CH_AGAIN;
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

bool id_count_new(struct identity_state *s)
{
	s->pending = calloc(1, sizeof(*s->pending));
	if (!s->pending)
		return false;
	pthread_mutex_init(&s->pending->lock, NULL);
	s->pending->refs = 1;
	return true;
}

void id_count_adopt(struct identity_state *s, struct identity_state *prev)
{
	id_count_free(s);
	s->pending = prev->pending; /* what prev still counts goes where we write from */
	pthread_mutex_lock(&s->pending->lock);
	s->pending->refs++;
	pthread_mutex_unlock(&s->pending->lock);
}

void id_count_free(struct identity_state *s)
{
	struct id_counts *p = s->pending;
	bool last;

	if (!p)
		return;
	s->pending = NULL;
	pthread_mutex_lock(&p->lock);
	last = --p->refs == 0;
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	lose(s, p->v, p->n);
	pthread_mutex_destroy(&p->lock);
	free(p->v);
	free(p);
}
