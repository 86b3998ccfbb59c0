/* SPDX-License-Identifier: Apache-2.0 */
/* lead.c - what a key's leader says of it, and who writes for him; see table.h. */
#include <stdlib.h>

#include "table_parts.h"

/* ---- the leader ---- */

/* The leader's payload is the right one: those that wait with another one are taken out. */
static struct idem_waiter *take_others(struct idem_entry *e)
{
	struct idem_waiter *differ = NULL, **at = &differ, *rest = NULL, **last = &rest;

	while (e->first) {
		if (idem_same_print(e, e->first))
			last = idem_pop(e, last, 0);
		else
			at = idem_pop(e, at, IDEM_OTHER_PAYLOAD);
	}
	e->first = rest;
	e->last = rest ? last : &e->first;
	return differ;
}

struct idem_waiter *idem_table_run(struct idem_table *t, struct idem_entry *e)
{
	struct idem_shard *s = idem_shard_of(t, e->scope);
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
	struct idem_shard *s = idem_shard_of(t, e->scope);
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
	idem_pop(e, &list, IDEM_LEAD);
	if (e->hold != IDEM_HELD) {
		e->state = IDEM_OPEN;
		memcpy(e->print, list->print, CH_SHA256);
	}
	return list;
}

struct idem_waiter *idem_table_answer(struct idem_table *t, struct idem_entry *e, struct idem_answer *answer, bool keep, int64_t expires)
{
	struct idem_shard *s = idem_shard_of(t, e->scope);
	struct idem_waiter *list = NULL, **at = &list;
	int64_t now = keep ? 0 : ch_now();

	pthread_mutex_lock(&s->lock);
	e->known = IDEM_DONE;
	e->expires = keep ? expires : idem_surely(expires, now);
	while (answer && e->first) {
		e->first->answer = idem_answer_ref(answer);
		at = idem_pop(e, at, IDEM_ANSWERED);
	}
	if (keep) {
		e->state = IDEM_KEPT;
		e->answer = idem_answer_ref(answer);
	} else if (e->first) {
		list = pass(e);
	} else if (e->listed) {
		idem_see(s, e, now);
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
static struct idem_entry *end_lead(struct idem_shard *s, struct idem_entry *e)
{
	struct idem_entry *claim = e->hold ? e : NULL;

	e->state = IDEM_OPEN;
	if (e->listed && e->known) {
		claim = e->hold ? claim_of(e) : NULL;
		idem_see(s, e, ch_now());
	} else if (e->listed) {
		idem_drop(s, e);
	}
	return claim;
}

struct idem_waiter *idem_table_pass(struct idem_table *t, struct idem_entry *e, struct idem_entry **claim)
{
	struct idem_shard *s = idem_shard_of(t, e->scope);
	struct idem_waiter *list;

	pthread_mutex_lock(&s->lock);
	list = pass(e);
	*claim = list ? NULL : end_lead(s, e);
	if (*claim != e)
		idem_unref(e);
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
	struct idem_shard *s = idem_shard_of(t, e->scope);
	struct idem_waiter *list = NULL, **at = &list;

	pthread_mutex_lock(&s->lock);
	while (e->first)
		at = idem_pop(e, at, IDEM_STORE_AWAY);
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
	struct idem_shard *s = idem_shard_of(t, e->scope);
	int64_t now = ch_now();

	pthread_mutex_lock(&s->lock);
	idem_answer_unref(e->answer);
	e->answer = NULL;
	e->expires = idem_surely(e->expires, now);
	if (e->listed)
		idem_see(s, e, now);
	pthread_mutex_unlock(&s->lock);
}

struct idem_entry *idem_table_old_claim(struct idem_table *t, unsigned *shard, int64_t before)
{
	for (; *shard < IDEM_SHARDS; ++*shard) {
		struct idem_shard *s = &t->shards[*shard];
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
	struct idem_shard *s = idem_shard_of(t, e->scope);

	pthread_mutex_lock(&s->lock);
	if (e->state == IDEM_RUNNING)
		e->version = version;
	pthread_mutex_unlock(&s->lock);
}
