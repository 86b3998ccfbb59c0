/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.c - asks the database every revision_interval whether anything has changed, and lets the counts go there every flush_interval.
 *
 * It is a task that sleeps, does its work and begins its successor. A timer would not do: only a task hears that the server stops while it
 * can still reach the database, and so the last counts are written.
 */
#include <stdio.h>

#include "identity.h"

#define LATE_MS 2000     /* since the last good poll: then the store counts as slow */
#define WATCHDOG_MS 1000

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
	if (atomic_load(&s->away) || age > LATE_MS) {
		out->health = CH_DEGRADED;
		snprintf(out->message, sizeof(out->message), "the store was last heard of %lld.%lld s ago: keys that are known are served on for "
			"key_cache_grace", (long long)(age / 1000), (long long)(age / 100 % 10));
	}
	return CH_OK;
}

/* ---- the task ---- */

struct keeper {
	struct ch_self *self;
	struct ch_ctx *c;
	ch_ticket ticket;
	struct id_result out;
	int64_t asked;
	bool last; /* the server stops */
};

static void begin(struct ch_self *self);

static int end(struct keeper *k)
{
	struct identity_state *s = k->self->state;

	if (!k->last && !atomic_load(&s->retired))
		begin(k->self);
	return CH_DONE;
}

static int on_flushed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct keeper *k = data;

	(void)c, (void)result;
	k->last = k->last || why == CH_GONE;
	return end(k);
}

static int flush_if_due(struct keeper *k)
{
	const struct identity_conf *conf = k->self->conf;
	struct identity_state *s = k->self->state;
	int64_t now = ch_now();
	ch_ticket t;

	if (!k->last && !atomic_load(&s->retired) && now - s->flushed < conf->flush_interval * 1000)
		return end(k);
	s->flushed = now;
	t = ch_suspend(k->c, 0, on_flushed, k);
	if (!t)
		return end(k);
	id_flush(k->self, k->c, t);
	return CH_AGAIN;
}

static void judge(struct keeper *k)
{
	struct identity_state *s = k->self->state;
	const int64_t *row = k->out.rows;
	bool good = !k->out.error && k->out.n == 1;

	if (good)
		id_revision_seen(k->self, row[0], row[1], k->asked);
	atomic_store(&s->away, !good);
	ch_degraded(k->self, "store", !good, "%s", good ? "" : k->out.detail ? k->out.detail : "the table identity_revision is empty");
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
	} else {
		id_cancel(&k->out);
		k->last = why == CH_GONE;
	}
	return flush_if_due(k);
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

static int on_time(struct ch_ctx *c, void *data, int why, void *result)
{
	struct keeper *k = data;

	(void)c, (void)result;
	ch_unsuspend(k->ticket); /* nobody else has it */
	if (why != CH_GONE)
		return poll(k);
	k->last = true;
	return flush_if_due(k);
}

static int work(struct ch_ctx *c, void *data)
{
	struct ch_self *self = data;
	const struct identity_conf *conf = self->conf;
	struct identity_state *s = self->state;
	struct keeper *k = ch_alloc(c, sizeof(*k));

	if (!k) {
		atomic_store(&s->keeper_lives, false);
		return CH_DONE;
	}
	k->self = self;
	k->c = c;
	if (!s->flushed) { /* the first one does not wait */
		s->flushed = ch_now();
		return poll(k);
	}
	k->ticket = ch_suspend(c, conf->revision_interval, on_time, k);
	return k->ticket ? CH_AGAIN : end(k);
}

static void on_drop(void *data)
{
	struct ch_self *self = data;
	struct identity_state *s = self->state;

	atomic_store(&s->keeper_lives, false);
}

static void begin(struct ch_self *self)
{
	struct identity_state *s = self->state;

	atomic_store(&s->keeper_lives, true);
	if (!ch_task(self, NULL, 0, work, self, on_drop))
		atomic_store(&s->keeper_lives, false);
}

/* ---- life ---- */

static void on_watchdog(void *data)
{
	struct ch_self *self = data;
	struct identity_state *s = self->state;

	if (!atomic_load(&s->keeper_lives) && !atomic_load(&s->retired))
		begin(self);
	ch_timer_set(s->watchdog, WATCHDOG_MS);
}

int id_keeper_start(struct ch_self *self, struct ch_loop *house)
{
	struct identity_state *s = self->state;

	s->watchdog = ch_timer(house, on_watchdog, self);
	if (!s->watchdog)
		return CH_ERROR;
	ch_timer_set(s->watchdog, WATCHDOG_MS);
	begin(self);
	return CH_OK;
}

void id_keeper_stop(struct ch_self *self)
{
	struct identity_state *s = self->state;

	if (s->watchdog)
		ch_timer_free(s->watchdog);
	s->watchdog = NULL;
}
