/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.c - asks the database every revision_interval whether anything has changed, and lets the counts go there every flush_interval, and
 * once more when the server ends. A timer on the house loop begins a task for it; one at a time.
 */
#include <stdio.h>

#include "identity.h"

#define LATE_MS 2000     /* since the last good poll: then the store counts as slow */
enum { NOT_ASKED, ASKED, FLUSHED }; /* state->drain */

/* ---- the revision ---- */

void id_revision_seen(struct ch_self *self, int64_t keys, int64_t tokens, int64_t asked)
{
	struct identity_state *s = self->state;
	const int64_t fresh[2] = { keys, tokens };
	_Atomic uint64_t *const epochs[2] = { &s->key_epoch, &s->token_epoch };

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < 2; i++)
		if (s->revision[i] != fresh[i]) {
			s->revision[i] = fresh[i];
			atomic_fetch_add(epochs[i], 1); /* never back, whatever the database does: a backup may have been restored */
		}
	if (asked)
		atomic_store(&s->seen, asked);
	pthread_mutex_unlock(&s->lock);
}

int64_t id_revision_age(struct ch_self *self)
{
	const struct identity_state *s = self->state;

	return (ch_now() - atomic_load(&s->seen)) / 1000;
}

void id_store_failed(struct ch_self *self, int error)
{
	const struct identity_state *s = self->state;

	ch_add(s->store_errors[error == ID_UNSURE], 1);
}

int id_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	const struct identity_state *s = self->state;
	int64_t age = id_revision_age(self);

	(void)c;
	out->health = CH_HEALTHY;
	out->message[0] = 0;
	if (atomic_load(&s->away) || age > LATE_MS) {
		out->health = CH_DEGRADED;
		snprintf(out->message, sizeof(out->message),
			"the store was last heard of %lld.%lld s ago: keys that are known are served on for "
			"key_cache_grace", (long long)(age / 1000), (long long)(age / 100 % 10));
		return CH_OK;
	}
	id_unread_why(self, out->message);
	if (out->message[0])
		out->health = CH_DEGRADED;
	return CH_OK;
}

/* ---- the task ---- */

struct keeper {
	struct ch_self *self;
	struct ch_ctx *c;
	struct id_result out;
	int64_t asked;
	bool last; /* the server ends */
};

static int end(void *data)
{
	struct keeper *k = data;
	struct identity_state *s = k->self->state;

	if (k->last)
		atomic_store(&s->drain, FLUSHED);
	atomic_store(&s->keeps, false);
	return CH_DONE;
}

static int flush_if_due(struct keeper *k)
{
	const struct identity_conf *conf = k->self->conf;
	struct identity_state *s = k->self->state;
	int64_t now = ch_now();

	if (!k->last && now - s->flushed < conf->flush_interval * 1000)
		return end(k);
	s->flushed = now;
	return id_flush(k->self, k->c, end, k);
}

static void judge(struct keeper *k)
{
	struct identity_state *s = k->self->state;
	const int64_t *row = k->out.rows;
	bool good = !k->out.error && k->out.n == 1;

	if (good)
		id_revision_seen(k->self, row[0], row[1], k->asked);
	if (good && !s->looked)
		id_unread_begin(k->self);
	s->looked = s->looked || good;
	atomic_store(&s->away, !good);
	ch_degraded(k->self, "store", !good, "%s", good ? "" : k->out.detail ? k->out.detail : ID_NO_REVISION);
	ch_set(s->age, (double)(ch_now() - atomic_load(&s->seen)) / 1e6);
	ch_set(s->entries[ID_KEYS], (double)id_cache_entries(s->keys));
	ch_set(s->entries[ID_TOKENS], (double)id_cache_entries(s->tokens));
}

static int on_polled(struct ch_ctx *c, void *data, int why, void *result)
{
	struct keeper *k = data;

	(void)c, (void)result;
	if (why == CH_READY) {
		judge(k);
		return flush_if_due(k);
	}
	id_cancel(&k->out);
	return CH_DONE; /* the server ends: `keeps` stays, since a task that begins now would hear nothing of it and hold the end up */
}

static bool read_row(struct id_call *call, void *to, const struct ch_value *row, size_t n)
{
	int64_t *v = to;

	(void)call;
	for (size_t i = 0; i < 2 && i < n; i++)
		v[i] = ch_v_as_int(&row[i]);
	return true;
}

static int poll(struct keeper *k)
{
	ch_ticket t = ch_suspend(k->c, 0, on_polled, k);
	struct id_call *call = t ? id_call(k->self, k->c, sizeof(*call), 1, 0, &k->out, t) : NULL;

	if (!t)
		return end(k);
	if (!call)
		return CH_AGAIN; /* the ticket was resumed */
	call->row = read_row;
	call->row_size = 2 * sizeof(int64_t);
	k->asked = ch_now();
	id_add(call, "SELECT keys, tokens FROM identity_revision WHERE id = 1", CH_SQL_ANY, NULL, 0);
	id_run(call, id_end);
	return CH_AGAIN;
}

static int work(struct ch_ctx *c, void *data)
{
	struct ch_self *self = data;
	struct identity_state *s = self->state;
	struct keeper *k = ch_alloc(c, sizeof(*k));

	if (!k) {
		atomic_store(&s->keeps, false);
		return CH_DONE;
	}
	k->self = self;
	k->c = c;
	k->last = atomic_load(&s->drain) == ASKED;
	return k->last ? flush_if_due(k) : poll(k);
}

static void on_drop(void *data)
{
	struct ch_self *self = data;
	struct identity_state *s = self->state;

	atomic_store(&s->keeps, false);
}

/* House loop. */
static void begin(void *data)
{
	struct ch_self *self = data;
	struct identity_state *s = self->state;

	if (!atomic_exchange(&s->keeps, true) && !ch_task(self, NULL, 0, work, self, on_drop))
		atomic_store(&s->keeps, false);
}

/* ---- life ---- */

static void on_tick(void *data)
{
	struct ch_self *self = data;
	const struct identity_conf *conf = self->conf;
	struct identity_state *s = self->state;

	begin(self);
	ch_timer_set(s->tick, conf->revision_interval);
}

int id_keeper_start(struct ch_self *self, struct ch_loop *house)
{
	struct identity_state *s = self->state;

	s->tick = ch_timer(house, on_tick, self);
	if (!s->tick)
		return CH_ERROR;
	s->flushed = ch_now();
	ch_timer_set(s->tick, 0);
	return CH_OK;
}

void id_keeper_stop(struct ch_self *self)
{
	struct identity_state *s = self->state;

	if (s->tick)
		ch_timer_free(s->tick);
	s->tick = NULL;
}

bool id_keeper_drained(struct ch_self *self)
{
	struct identity_state *s = self->state;
	int was = NOT_ASKED;

	if (atomic_load(&s->away))
		return true; /* what is down is not waited for */
	if (atomic_compare_exchange_strong(&s->drain, &was, ASKED)) {
		unsigned n = 0;

		while (ch_loop_at(n + 1))
			n++;
		ch_post(ch_loop_at(n), begin, self); /* if a task is out, the next tick's does it */
	}
	return was == FLUSHED;
}
