/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c - every two seconds, on the house loop: the store is told that this process lives; claims of work that takes long are prolonged;
 * what could not be written is tried again. One after the other, for a second at most, and no further than to the first failure.
 */
#include "idempotency.h"

struct keep {
	struct idem_write w;              /* first */
	unsigned shard;
	int64_t began;
	size_t left;                      /* of what is unwritten, as many as there were */
};

static struct idem_entry *next(struct keep *k, int *job)
{
	struct ch_self *self = k->w.self;
	struct idem_table *t = idem_state(self)->table;
	struct idem_entry *e = idem_table_old_claim(t, &k->shard, ch_now() - idem_conf(self)->ttl * 1000 / 3);

	*job = e ? IDEM_J_PROLONG : IDEM_J_SETTLE;
	if (!e && k->left) {
		k->left--;
		e = idem_queue_take(idem_table_unwritten(t));
	}
	return e;
}

static void finish(struct keep *k, int wrote)
{
	struct ch_self *self = k->w.self;
	struct idem_table *t = idem_state(self)->table;
	struct idem_entry *e = k->w.e;

	if (k->w.job == IDEM_J_SETTLE)
		idem_settled(self, e, wrote);
	if (k->w.job != IDEM_J_PROLONG)
		return;
	if (wrote == IDEM_W_DONE)
		idem_table_prolonged(t, e, k->w.version);
	idem_table_put(t, e);
}

/* What the store is not told in time needs not to be told. */
static void give_up_old(struct ch_self *self)
{
	struct idem_entry *e;

	while ((e = idem_queue_take_old(idem_table_unwritten(idem_state(self)->table), ch_now())))
		idem_settled(self, e, IDEM_W_LOST);
}

static int end(struct keep *k)
{
	struct idem_state *state = idem_state(k->w.self);

	give_up_old(k->w.self);
	ch_set(state->unwritten, (double)idem_queue_count(idem_table_unwritten(state->table)));
	return CH_DONE;
}

static int on_written(struct idem_write *w, int wrote)
{
	struct keep *k = (struct keep *)w;

	while (wrote != IDEM_W_WAITS) {
		struct idem_entry *e = NULL;
		int job;

		finish(k, wrote);
		if (wrote != IDEM_W_FAILED && ch_now() - k->began < IDEM_KEEP_US)
			e = next(k, &job);
		if (!e)
			return end(k);
		wrote = idem_write(w, job, e);
	}
	return CH_AGAIN;
}

int idem_keep(struct ch_self *self, struct ch_ctx *c)
{
	struct keep *k = ch_alloc(c, sizeof(*k));

	if (!k)
		return CH_DONE;
	k->w = (struct idem_write){ .self = self, .c = c, .then = on_written };
	k->began = ch_now();
	k->left = idem_queue_count(idem_table_unwritten(idem_state(self)->table));
	return on_written(&k->w, idem_write(&k->w, IDEM_J_ALIVE, NULL));
}
