/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - see table.h. */
#include <stdlib.h>

#include "table.h"

#define SHARDS 16u
#define CHAINS 16384u
#define SEEN_MAX (262144u / SHARDS)       /* of a shard: beyond it the one that was seen first is forgotten */

struct list {                             /* newest last */
	struct idem_entry *first, *last;
	size_t n;
};

struct shard {
	pthread_mutex_t lock;
	struct list working, seen;        /* all but SEEN; SEEN */
	struct idem_entry *chains[CHAINS];
};

struct idem_table {
	atomic_uint refs;
	atomic_int busy;
	unsigned char process[IDEM_PROCESS];
	struct idem_queue unwritten;
	struct shard shards[SHARDS];
};

/* ---- lists; all under the shard's lock ---- */

static struct shard *shard_of(struct idem_table *t, const unsigned char *scope)
{
	return &t->shards[scope[0] % SHARDS];
}

/* A SHA-256: any of its bytes spread as well as others. */
static struct idem_entry **chain_of(struct shard *s, const unsigned char *scope)
{
	return &s->chains[(scope[1] | (unsigned)scope[2] << 8) % CHAINS];
}

static void put_last(struct list *l, struct idem_entry *e)
{
	e->newer = NULL;
	e->older = l->last;
	*(l->last ? &l->last->newer : &l->first) = e;
	l->last = e;
	l->n++;
}

static void take_out(struct list *l, struct idem_entry *e)
{
	*(e->older ? &e->older->newer : &l->first) = e->newer;
	*(e->newer ? &e->newer->older : &l->last) = e->older;
	l->n--;
}

static void put_ref(struct idem_entry *e)
{
	if (--e->refs)
		return;
	idem_answer_unref(e->answer);
	free(e);
}

static void drop(struct shard *s, struct idem_entry *e)
{
	struct idem_entry **at = chain_of(s, e->scope);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	take_out(e->state == IDEM_SEEN ? &s->seen : &s->working, e);
	e->listed = false;
	put_ref(e);
}

/*
 * Until when we may be sure that the store has what it said it has until then. Its clock is another one: who believes a moment too long
 * takes an answer that has expired for one that was lost.
 */
static int64_t surely(int64_t expires, int64_t now)
{
	int64_t left = expires - now;

	return expires - 1000000 - (left > 0 ? left / 100 : 0);
}

/* Into the list of those seen, for whom there is room. */
static void see(struct shard *s, struct idem_entry *e, int64_t now)
{
	take_out(&s->working, e);
	e->state = IDEM_SEEN;
	put_last(&s->seen, e);
	while (s->seen.first && (s->seen.n > SEEN_MAX || s->seen.first->expires <= now))
		drop(s, s->seen.first);
}

static struct idem_entry *find(struct shard *s, const unsigned char *scope)
{
	struct idem_entry *e = *chain_of(s, scope);

	while (e && memcmp(e->scope, scope, CH_SHA256) != 0)
		e = e->chain;
	if (e && (e->state == IDEM_SEEN || e->state == IDEM_KEPT) && e->expires <= ch_now()) {
		drop(s, e); /* whoever still writes a kept one has a reference, and finds that it is too late */
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
	for (size_t i = 0; i < SHARDS; i++)
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
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		while (s->working.first)
			drop(s, s->working.first);
		while (s->seen.first)
			drop(s, s->seen.first);
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
	struct shard *s = shard_of(t, e->scope);

	pthread_mutex_lock(&s->lock);
	e->refs++;
	pthread_mutex_unlock(&s->lock);
	return e;
}

void idem_table_put(struct idem_table *t, struct idem_entry *e)
{
	struct shard *s = shard_of(t, e->scope);

	pthread_mutex_lock(&s->lock);
	put_ref(e);
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

/* Takes the first one out, with that verdict, and puts it at *at. */
static struct idem_waiter **pop(struct idem_entry *e, struct idem_waiter **at, int verdict)
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

static bool same_print(const struct idem_entry *e, const struct idem_waiter *w)
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

static int enter_new(struct shard *s, const unsigned char *scope, struct idem_waiter *w)
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

static int enter(struct shard *s, const unsigned char *scope, struct idem_waiter *w)
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
		if (!same_print(e, w))
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
	struct shard *s = shard_of(t, scope);
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
	struct shard *s = shard_of(w->table, e->scope);
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
		put_ref(e);
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
	struct shard *s = shard_of(t, e->scope);
	bool any;

	pthread_mutex_lock(&s->lock);
	any = e->first;
	pthread_mutex_unlock(&s->lock);
	return any;
}

/* ---- the leader ---- */

/* The leader's payload is the right one: those that wait with another one are taken out. */
static struct idem_waiter *take_others(struct idem_entry *e)
{
	struct idem_waiter *differ = NULL, **at = &differ, *rest = NULL, **last = &rest;

	while (e->first) {
		if (same_print(e, e->first))
			last = pop(e, last, 0);
		else
			at = pop(e, at, IDEM_OTHER_PAYLOAD);
	}
	e->first = rest;
	e->last = rest ? last : &e->first;
	return differ;
}

struct idem_waiter *idem_table_run(struct idem_table *t, struct idem_entry *e)
{
	struct shard *s = shard_of(t, e->scope);
	struct idem_waiter *differ;

	pthread_mutex_lock(&s->lock);
	e->state = IDEM_RUNNING;
	e->known = IDEM_UNKNOWN;
	differ = take_others(e);
	pthread_mutex_unlock(&s->lock);
	return differ;
}

struct idem_waiter *idem_table_await(struct idem_table *t, struct idem_entry *e, int64_t expires)
{
	struct shard *s = shard_of(t, e->scope);
	struct idem_waiter *differ;

	pthread_mutex_lock(&s->lock);
	e->state = IDEM_AWAITED;
	e->known = IDEM_ELSEWHERE;
	e->expires = expires;
	differ = take_others(e);
	pthread_mutex_unlock(&s->lock);
	return differ;
}

/* The first waiter leads: under our claim, if there is one, which is for its payload then, too. */
static struct idem_waiter *pass(struct idem_entry *e)
{
	struct idem_waiter *list = NULL;

	if (!e->first)
		return NULL;
	pop(e, &list, IDEM_LEAD);
	if (e->hold != IDEM_HELD) {
		e->state = IDEM_OPEN;
		memcpy(e->print, list->print, CH_SHA256);
	}
	return list;
}

struct idem_waiter *idem_table_answer(struct idem_table *t, struct idem_entry *e, struct idem_answer *answer, bool keep, int64_t expires)
{
	struct shard *s = shard_of(t, e->scope);
	struct idem_waiter *list = NULL, **at = &list;
	int64_t now = keep ? 0 : ch_now();

	pthread_mutex_lock(&s->lock);
	e->known = IDEM_DONE;
	e->expires = keep ? expires : surely(expires, now);
	while (answer && e->first) {
		e->first->answer = idem_answer_ref(answer);
		at = pop(e, at, IDEM_ANSWERED);
	}
	if (keep) {
		e->state = IDEM_KEPT;
		e->answer = idem_answer_ref(answer);
	} else if (e->first) {
		list = pass(e);
	} else if (e->listed) {
		see(s, e, now);
	}
	pthread_mutex_unlock(&s->lock);
	return list;
}

/* Its claim as an entry of its own, which is in no table. NULL: no memory; the claim stays, and the next leader takes it over. */
static struct idem_entry *claim_of(const struct idem_entry *e)
{
	struct idem_entry *claim = calloc(1, sizeof(*claim));

	if (!claim)
		return NULL;
	memcpy(claim->scope, e->scope, CH_SHA256);
	memcpy(claim->print, e->print, CH_SHA256);
	claim->refs = 1;
	claim->last = &claim->first;
	claim->hold = e->hold;
	claim->version = e->version;
	claim->nonce = e->nonce;
	return claim;
}

/* Nobody leads it any more. What is known of the key stays known: its claim's release must not take that along. Returns the claim. */
static struct idem_entry *end_lead(struct shard *s, struct idem_entry *e)
{
	struct idem_entry *claim = e->hold ? e : NULL;

	e->state = IDEM_OPEN;
	if (e->listed && e->known) {
		claim = e->hold ? claim_of(e) : NULL;
		see(s, e, ch_now());
	} else if (e->listed) {
		drop(s, e);
	}
	return claim;
}

struct idem_waiter *idem_table_pass(struct idem_table *t, struct idem_entry *e, struct idem_entry **claim)
{
	struct shard *s = shard_of(t, e->scope);
	struct idem_waiter *list;

	pthread_mutex_lock(&s->lock);
	list = pass(e);
	*claim = list ? NULL : end_lead(s, e);
	if (*claim != e)
		put_ref(e);
	pthread_mutex_unlock(&s->lock);
	return list;
}

void idem_table_abdicate(struct idem_table *t, struct idem_entry *e, int64_t until)
{
	struct idem_entry *claim;
	struct idem_waiter *list = idem_table_pass(t, e, &claim);

	if (claim) {
		claim->expires = until;
		idem_table_later(t, claim);
	}
	idem_wake(list);
}

struct idem_waiter *idem_table_away(struct idem_table *t, struct idem_entry *e)
{
	struct shard *s = shard_of(t, e->scope);
	struct idem_waiter *list = NULL, **at = &list;

	pthread_mutex_lock(&s->lock);
	while (e->first)
		at = pop(e, at, IDEM_STORE_AWAY);
	pthread_mutex_unlock(&s->lock);
	return list;
}

/* ---- writing ---- */

void idem_table_later(struct idem_table *t, struct idem_entry *e)
{
	if (!e->answer && idem_queue_count(&t->unwritten) >= IDEM_UNWRITTEN_MAX)
		idem_table_put(t, e);
	else
		idem_queue_put(&t->unwritten, e);
}

void idem_table_written(struct idem_table *t, struct idem_entry *e)
{
	struct shard *s = shard_of(t, e->scope);
	int64_t now = ch_now();

	pthread_mutex_lock(&s->lock);
	idem_answer_unref(e->answer);
	e->answer = NULL;
	e->expires = surely(e->expires, now);
	if (e->listed)
		see(s, e, now);
	pthread_mutex_unlock(&s->lock);
}

struct idem_entry *idem_table_old_claim(struct idem_table *t, unsigned *shard, int64_t before)
{
	for (; *shard < SHARDS; ++*shard) {
		struct shard *s = &t->shards[*shard];
		struct idem_entry *e;

		pthread_mutex_lock(&s->lock);
		for (e = s->working.first; e; e = e->newer)
			if (e->state == IDEM_RUNNING && e->hold == IDEM_HELD && e->claimed < before)
				break;
		if (e) {
			e->claimed = ch_now();
			e->refs++;
		}
		pthread_mutex_unlock(&s->lock);
		if (e)
			return e;
	}
	return NULL;
}

void idem_table_prolonged(struct idem_table *t, struct idem_entry *e, uint64_t version)
{
	struct shard *s = shard_of(t, e->scope);

	pthread_mutex_lock(&s->lock);
	if (e->state == IDEM_RUNNING)
		e->version = version;
	pthread_mutex_unlock(&s->lock);
}
