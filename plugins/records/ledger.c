/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - one journal for all generations; answers that wait for the disk.
 *
 * Threads and ownership: the ledger is counted. Its two threads are the journal's: a ch_thread belongs to an instance and cannot be handed
 * to its successor, but the journal goes on over a reload. A loop's lane is that loop's; the sync thread posts to it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger.h"
#include "shipper.h"

struct waiting { /* in the ctx */
	struct waiting *next;
	struct ch_ctx *c;
	struct journal_pos end;
};

/* ---- log ---- */

void ledger_log(void *arg, int level, const char *line)
{
	struct ledger *l = arg;

	pthread_mutex_lock(&l->lock);
	ch_log(l->self, NULL, (enum ch_level)level, "%s", line);
	pthread_mutex_unlock(&l->lock);
}

void ledger_speaks_as(struct ledger *l, struct ch_self *self, const struct ch_self *from)
{
	pthread_mutex_lock(&l->lock);
	if (!from || l->self == from)
		l->self = self;
	pthread_mutex_unlock(&l->lock);
}

/* ---- waiting for the disk ---- */

/* Lets go whoever's row is on disk, or cannot be promised to be. */
static void let_go(struct lane *lane)
{
	struct ledger *l = lane->ledger;
	struct journal_pos synced, failed;

	pthread_mutex_lock(&l->lock);
	synced = l->synced;
	failed = l->failed;
	pthread_mutex_unlock(&l->lock);
	while (lane->first) {
		struct waiting *w = lane->first;
		bool ok = journal_pos_cmp(&w->end, &synced) <= 0;

		if (!ok && journal_pos_cmp(&w->end, &failed) > 0)
			break;
		lane->first = w->next;
		if (!lane->first)
			lane->last = &lane->first;
		ch_let_go(w->c, ok);
	}
	atomic_store(&lane->waits, lane->first != NULL);
}

static void on_told(void *data)
{
	struct lane *lane = data;
	struct ledger *l = lane->ledger;

	atomic_store(&lane->posted, false); /* before the look: what is told from now on posts anew */
	let_go(lane);
	ledger_put(l);
}

/* The last sync comes when nobody holds the ledger any more: then nobody waits. */
static bool hold_living(struct ledger *l)
{
	unsigned refs = atomic_load(&l->refs);

	while (refs && !atomic_compare_exchange_weak(&l->refs, &refs, refs + 1))
		;
	return refs;
}

static void on_sync(void *arg, const struct journal_pos *upto, bool ok)
{
	struct ledger *l = arg;
	struct journal_pos *told = ok ? &l->synced : &l->failed;

	pthread_mutex_lock(&l->lock);
	if (journal_pos_cmp(upto, told) > 0)
		*told = *upto;
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < LEDGER_LOOPS && l->lanes[i].loop; i++) {
		struct lane *lane = &l->lanes[i];

		if (!atomic_load(&lane->waits) || atomic_exchange(&lane->posted, true))
			continue;
		if (!hold_living(l))
			return;
		if (ch_post(lane->loop, on_told, lane))
			continue;
		/* no memory, and the next sync tries again; or the loop has ended, and nobody waits there */
		atomic_store(&lane->posted, false);
		atomic_fetch_sub(&l->refs, 1);
	}
}

void ledger_wait(struct ledger *l, struct ch_ctx *c, const struct journal_pos *end)
{
	struct lane *lane = &l->lanes[ch_loop_index(ch_loop(c))];
	struct waiting *w;

	if (journal_is_synced(l->journal, end))
		return;
	ch_hold(c);
	w = ch_alloc(c, sizeof(*w));
	if (!w) { /* it is not sent on a promise that nobody keeps */
		ch_let_go(c, false);
		return;
	}
	w->c = c;
	w->end = *end;
	*lane->last = w;
	lane->last = &w->next;
	if (!atomic_exchange(&lane->waits, true))
		let_go(lane); /* what was told before `waits` was seen */
	if (lane->first)
		journal_want_sync(l->journal);
}

/* ---- appending ---- */

int ledger_append(struct ledger *l, const struct ch_relation *table, const struct ch_value *row, struct journal_pos *end)
{
	return journal_append(l->journal, table, row, end);
}

/* ---- life ---- */

/*
 * Checkpoints that say a segment is not needed are made durable before it goes. On the journal's thread, which may wait for the disk, and
 * with it who adds or removes a shipper: the boot thread.
 */
static bool on_settle(void *arg)
{
	struct ledger *l = arg;
	bool ok = true;

	pthread_mutex_lock(&l->settling);
	for (size_t i = 0; i < l->nshippers; i++)
		ok &= checkpoint_sync(l->shippers[i]->checkpoint);
	pthread_mutex_unlock(&l->settling);
	return ok;
}

void ledger_add(struct ledger *l, struct shipper *s)
{
	struct shipper **v;

	pthread_mutex_lock(&l->settling);
	v = realloc(l->shippers, (l->nshippers + 1) * sizeof(*v));
	if (!v)
		abort();
	l->shippers = v;
	v[l->nshippers++] = s;
	pthread_mutex_unlock(&l->settling);
}

void ledger_remove(struct ledger *l, struct shipper *s)
{
	pthread_mutex_lock(&l->settling);
	for (size_t i = 0; i < l->nshippers; i++)
		if (l->shippers[i] == s) {
			l->shippers[i] = l->shippers[--l->nshippers];
			break;
		}
	pthread_mutex_unlock(&l->settling);
}

static void *run_ahead(void *arg)
{
	journal_run_ahead(((struct ledger *)arg)->journal);
	return NULL;
}

static void *run_sync(void *arg)
{
	journal_run_sync(((struct ledger *)arg)->journal);
	return NULL;
}

static bool thread(pthread_t *t, const char *name, void *(*fn)(void *), struct ledger *l)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(t, NULL, fn, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc)
		pthread_setname_np(*t, name);
	return !rc;
}

bool ledger_run(struct ledger *l)
{
	if (!thread(&l->ahead, "ledger-ahead", run_ahead, l))
		return false;
	if (!thread(&l->sync, "ledger-sync", run_sync, l)) {
		journal_stop(l->journal);
		pthread_join(l->ahead, NULL);
		return false;
	}
	l->running = true;
	return true;
}

struct ledger *ledger_hold(struct ledger *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void ledger_enter(struct ledger *l)
{
	l->instances++;
}

void ledger_leave(struct ledger *l)
{
	if (--l->instances || !l->running)
		return;
	journal_stop(l->journal);
	pthread_join(l->ahead, NULL);
	pthread_join(l->sync, NULL);
	l->running = false;
}

static void ledger_free(struct ledger *l)
{
	if (l->journal)
		journal_close(l->journal);
	tables_close(l->tables);
	dead_close(l->dead);
	pthread_mutex_destroy(&l->settling);
	pthread_mutex_destroy(&l->lock);
	free(l->shippers);
	free(l->dir);
	free(l);
}

void ledger_put(struct ledger *l)
{
	if (l && atomic_fetch_sub(&l->refs, 1) == 1)
		ledger_free(l);
}

struct ledger *ledger_open(struct ch_self *self, const struct ledger_conf *conf, char *err, size_t cap)
{
	struct ledger *l = calloc(1, sizeof(*l));
	struct journal_conf j = {
		.dir = conf->dir,
		.max_bytes = conf->max_bytes,
		.sync_interval_us = conf->sync_interval_ms * 1000,
		.on_full = conf->on_full,
		.log = ledger_log,
		.synced = on_sync,
		.settle = on_settle,
		.arg = l,
	};

	if (!l || !(l->dir = strdup(conf->dir))) {
		free(l);
		snprintf(err, cap, "there is no memory for the ledger");
		return NULL;
	}
	l->refs = 1;
	l->self = self;
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->settling, NULL);
	for (unsigned i = 0; i < LEDGER_LOOPS; i++) {
		l->lanes[i].ledger = l;
		l->lanes[i].loop = ch_loop_at(i);
		l->lanes[i].last = &l->lanes[i].first;
		if (!l->lanes[i].loop)
			break;
	}
	l->journal = journal_open(&j, err, cap);
	if (l->journal)
		l->dead = dead_open(conf->dir, err, cap);
	if (l->dead)
		l->tables = tables_open(conf->dir, ledger_log, l, err, cap);
	if (l->tables)
		return l;
	ledger_free(l);
	return NULL;
}
