/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - the table's lists, its life, and who comes and waits. See table.h; what leaders and writers do is in lead.c. */
#include <stdlib.h>

#include "table_parts.h"

/* ---- lists; all under the shard's lock ---- */

/* A SHA-256: any of its bytes spread as well as others. */
static struct idem_entry **chain_of(struct idem_shard *s, const unsigned char *scope)
{
	return &s->chains[(scope[1] | (unsigned)scope[2] << 8) % IDEM_CHAINS];
}

static void put_last(struct idem_list *l, struct idem_entry *e)
{
	e->newer = NULL;
	e->older = l->last;
	*(l->last ? &l->last->newer : &l->first) = e;
	l->last = e;
	l->n++;
}

static void take_out(struct idem_list *l, struct idem_entry *e)
{
	*(e->older ? &e->older->newer : &l->first) = e->newer;
	*(e->newer ? &e->newer->older : &l->last) = e->older;
	l->n--;
}

void idem_unref(struct idem_entry *e)
{
	if (--e->refs)
		return;
	idem_answer_unref(e->answer);
	free(e);
}

void idem_drop(struct idem_shard *s, struct idem_entry *e)
{
	struct idem_entry **at = chain_of(s, e->scope);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	take_out(e->state == IDEM_SEEN ? &s->seen : &s->working, e);
	e->listed = false;
	idem_unref(e);
}

int64_t idem_surely(int64_t expires, int64_t now)
{
	int64_t left = expires - now;

	return expires - 1000000 - (left > 0 ? left / 100 : 0);
}

void idem_see(struct idem_shard *s, struct idem_entry *e, int64_t now)
{
	take_out(&s->working, e);
	e->state = IDEM_SEEN;
	put_last(&s->seen, e);
	while (s->seen.first && (s->seen.n > IDEM_SEEN_MAX || s->seen.first->expires <= now))
		idem_drop(s, s->seen.first);
}

static struct idem_entry *find(struct idem_shard *s, const unsigned char *scope)
{
	struct idem_entry *e = *chain_of(s, scope);

	while (e && memcmp(e->scope, scope, CH_SHA256) != 0)
		e = e->chain;
	if (e && (e->state == IDEM_SEEN || e->state == IDEM_KEPT) && e->expires <= ch_now()) {
		idem_drop(s, e); /* whoever still writes a kept one has a reference, and finds that it is too late */
		e = NULL;
	}
	return e;
}

/* ---- life ---- */

struct idem_table *idem_table_new(void)
{
	struct idem_table *t = calloc(1, sizeof(*t));
	uint64_t name[2] = { ch_random(), ch_random() };

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	memcpy(t->process, name, sizeof(t->process));
	idem_queue_init(&t->unwritten);
	for (size_t i = 0; i < IDEM_SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	return t;
}

struct idem_table *idem_table_ref(struct idem_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void idem_table_unref(struct idem_table *t)
{
	struct idem_entry *e;

	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	while ((e = idem_queue_take(&t->unwritten)))
		idem_table_put(t, e);
	for (size_t i = 0; i < IDEM_SHARDS; i++) {
		struct idem_shard *s = &t->shards[i];

		while (s->working.first)
			idem_drop(s, s->working.first);
		while (s->seen.first)
			idem_drop(s, s->seen.first);
		pthread_mutex_destroy(&s->lock);
	}
	pthread_mutex_destroy(&t->unwritten.lock);
	free(t);
}

void idem_table_busy(struct idem_table *t, int more)
{
	atomic_fetch_add(&t->busy, more);
}

bool idem_table_idle(const struct idem_table *t)
{
	return !atomic_load(&t->busy);
}

struct idem_queue *idem_table_unwritten(struct idem_table *t)
{
	return &t->unwritten;
}

const unsigned char *idem_table_process(const struct idem_table *t)
{
	return t->process;
}

struct idem_entry *idem_table_hold(struct idem_table *t, struct idem_entry *e)
{
	struct idem_shard *s = idem_shard_of(t, e->scope);

	pthread_mutex_lock(&s->lock);
	e->refs++;
	pthread_mutex_unlock(&s->lock);
	return e;
}

void idem_table_put(struct idem_table *t, struct idem_entry *e)
{
	struct idem_shard *s = idem_shard_of(t, e->scope);

	pthread_mutex_lock(&s->lock);
	idem_unref(e);
	pthread_mutex_unlock(&s->lock);
}

/* ---- waiting ---- */

static void join(struct idem_entry *e, struct idem_waiter *w)
{
	w->next = NULL;
	w->entry = e;
	e->refs++;
	*e->last = w;
	e->last = &w->next;
}

struct idem_waiter **idem_pop(struct idem_entry *e, struct idem_waiter **at, int verdict)
{
	struct idem_waiter *w = e->first;

	e->first = w->next;
	if (!e->first)
		e->last = &e->first;
	w->next = NULL;
	w->verdict = verdict;
	*at = w;
	return &w->next;
}

bool idem_same_print(const struct idem_entry *e, const struct idem_waiter *w)
{
	return !memcmp(e->print, w->print, CH_SHA256);
}

static int lead(struct idem_entry *e, struct idem_waiter *w)
{
	memcpy(e->print, w->print, CH_SHA256);
	e->state = IDEM_OPEN;
	e->hold = IDEM_NOT_HELD;
	e->version = 0;
	e->nonce = ch_random();
	e->refs++;
	w->entry = e;
	return IDEM_LEADS;
}

static int enter_new(struct idem_shard *s, const unsigned char *scope, struct idem_waiter *w)
{
	struct idem_entry *e = calloc(1, sizeof(*e)), **at = chain_of(s, scope);

	if (!e)
		return IDEM_NO_MEMORY;
	memcpy(e->scope, scope, CH_SHA256);
	e->refs = 1;
	e->listed = true;
	e->last = &e->first;
	e->chain = *at;
	*at = e;
	put_last(&s->working, e);
	return lead(e, w);
}

static int enter(struct idem_shard *s, const unsigned char *scope, struct idem_waiter *w)
{
	struct idem_entry *e = find(s, scope);

	if (!e)
		return enter_new(s, scope, w);
	switch (e->state) {
	case IDEM_SEEN:
		take_out(&s->seen, e);
		put_last(&s->working, e);
		return lead(e, w);
	case IDEM_KEPT:
		w->answer = idem_answer_ref(e->answer);
		return IDEM_HAS_ANSWER;
	case IDEM_AWAITED:
	case IDEM_RUNNING:
		if (!idem_same_print(e, w))
			return IDEM_DIFFERS;
		break;
	default: /* whose payload is the right one is not known yet */
		break;
	}
	if (!w->ticket)
		return IDEM_NEEDS_TICKET;
	join(e, w);
	return IDEM_WAITS;
}

int idem_table_enter(struct idem_table *t, const unsigned char scope[CH_SHA256], struct idem_waiter *w)
{
	struct idem_shard *s = idem_shard_of(t, scope);
	int rc;

	w->table = t;
	pthread_mutex_lock(&s->lock);
	rc = enter(s, scope, w);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

bool idem_table_leave(struct idem_waiter *w)
{
	struct idem_entry *e = w->entry;
	struct idem_shard *s = idem_shard_of(w->table, e->scope);
	struct idem_waiter **at = &e->first;
	bool found;

	pthread_mutex_lock(&s->lock);
	while (*at && *at != w)
		at = &(*at)->next;
	found = *at == w;
	if (found) {
		*at = w->next;
		if (!w->next)
			e->last = at;
		idem_unref(e);
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* The waiter is gone, and what it was told is lost on it. */
static void unheard(void *data)
{
	struct idem_waiter *w = data;

	if (w->verdict == IDEM_ANSWERED)
		idem_answer_unref(w->answer);
	if (w->verdict != IDEM_LEAD) {
		idem_table_put(w->table, w->entry);
		return;
	}
	idem_table_abdicate(w->table, w->entry, ch_now() + w->ttl_ms * 1000);
}

void idem_wake(struct idem_waiter *list)
{
	while (list) {
		struct idem_waiter *w = list;

		list = w->next; /* its memory may go as soon as it is resumed */
		ch_resume(w->ticket, w, unheard);
	}
}

bool idem_table_waited(struct idem_table *t, struct idem_entry *e)
{
	struct idem_shard *s = idem_shard_of(t, e->scope);
	bool any;

	pthread_mutex_lock(&s->lock);
	any = e->first;
	pthread_mutex_unlock(&s->lock);
	return any;
}
