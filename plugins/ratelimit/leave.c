/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leave.c - places that were given back to a store over a network while nobody could wait for its answer. Each is noted and given back
 * once more, in batches and by a task that does wait, until the store has said that it is done: so a store that was away when a request
 * ended does not count that request until `hold` is over. To give a place back twice harms nobody, because a holder's name is never used
 * again.
 *
 * A ring of fixed size: when it is full the oldest note is forgotten, and that place is free after `hold`; the second half of it is kept
 * for those whose store is known to be away. After a reload the new instance goes on with it, and the old one notes what ends there.
 */
#include <pthread.h>
#include <stdlib.h>

#include "ratelimit.h"
#include "text.h"

#define NOTES 4096
#define QUESTIONS 128                     /* most of a round: so many a second are no burden to a store */
#define KEY_ROOM 256                      /* a longer key, of a tier with a name of its length, is not noted */

struct note {
	int64_t until;                    /* ch_now when it is free by itself */
	int64_t burst, hold_ms;
	uint16_t nkey;
	char key[KEY_ROOM];
	char holder[HOLDER_BYTES];
};

struct ratelimit_leaves {
	atomic_uint users;                /* instances */
	pthread_mutex_t lock;
	uint64_t first, end;              /* numbers of notes: those from first on and before end are there */
	struct note v[NOTES];             /* note n is at n % NOTES */
};

struct ratelimit_leaves *ratelimit_leaves_new(void)
{
	struct ratelimit_leaves *l = calloc(1, sizeof(*l));

	if (l) {
		atomic_init(&l->users, 1);
		pthread_mutex_init(&l->lock, NULL);
	}
	return l;
}

struct ratelimit_leaves *ratelimit_leaves_share(struct ratelimit_leaves *l)
{
	atomic_fetch_add(&l->users, 1);
	return l;
}

void ratelimit_leaves_free(struct ratelimit_leaves *l)
{
	if (!l || atomic_fetch_sub(&l->users, 1) > 1)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void ratelimit_leaves_note(struct ratelimit_leaves *l, const struct ch_kv_bucket *b, bool away)
{
	struct note *note;

	if (b->key.n > KEY_ROOM || b->holder.n != HOLDER_BYTES)
		return;
	pthread_mutex_lock(&l->lock);
	if (!away && l->end - l->first >= NOTES / 2) {
		pthread_mutex_unlock(&l->lock);
		return;
	}
	note = &l->v[l->end++ % NOTES];
	if (l->end - l->first > NOTES)
		l->first = l->end - NOTES;
	note->until = ch_now() + b->hold_ms * 1000;
	note->burst = b->burst;
	note->hold_ms = b->hold_ms;
	note->nkey = (uint16_t)b->key.n;
	put_bytes(note->key, b->key.p, b->key.n);
	put_bytes(note->holder, b->holder.p, HOLDER_BYTES);
	pthread_mutex_unlock(&l->lock);
}

/* ---- the task ---- */

struct round {
	struct ch_self *self;
	struct ch_ctx *c;
	unsigned asked;
	uint64_t last;                    /* notes of this number and later ones are another round's */
	uint64_t next;                    /* the first that is not asked now */
	struct note notes[CH_KV_BUCKETS_MAX];
	struct ch_kv_bucket buckets[CH_KV_BUCKETS_MAX];
	struct ch_kv_result out;
	ch_ticket ticket;
};

static struct ratelimit_state *state_of(const struct round *r)
{
	return r->self->state;
}

/* The same place twice in a settle would be the same key twice: of one owner there is one a batch. */
static bool stands_in(const struct round *r, size_t n, const struct note *note)
{
	for (size_t i = 0; i < n; i++)
		if (r->notes[i].nkey == note->nkey && !memcmp(r->notes[i].key, note->key, note->nkey))
			return true;
	return false;
}

/* Copies the oldest notes: as many as one question takes, up to the first whose key is among them. What is free by itself is left out. */
static size_t batch(struct round *r)
{
	struct ratelimit_leaves *l = state_of(r)->leaves;
	int64_t now = ch_now();
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	for (r->next = l->first; r->next < l->end && r->next < r->last && n < CH_KV_BUCKETS_MAX; r->next++) {
		const struct note *note = &l->v[r->next % NOTES];

		if (note->until <= now)
			continue;
		if (stands_in(r, n, note))
			break;
		r->notes[n++] = *note;
	}
	if (!n)
		l->first = r->next;
	pthread_mutex_unlock(&l->lock);
	return n;
}

/* Forgets what was asked; what is first may have moved on meanwhile. */
static void forget(struct round *r)
{
	struct ratelimit_leaves *l = state_of(r)->leaves;

	pthread_mutex_lock(&l->lock);
	if (l->first < r->next)
		l->first = r->next;
	pthread_mutex_unlock(&l->lock);
}

/* Errors after which the same question may go well. After others it never will. */
static bool try_again(int error)
{
	return error == CH_KV_UNAVAILABLE || error == CH_KV_UNKNOWN || error == CH_KV_CANCELLED || error == CH_KV_NO_MEMORY;
}

static int on_settled(struct ch_ctx *c, void *data, int why, void *result);

static int settle(struct round *r, size_t n)
{
	const struct ch_svc *svc = state_of(r)->stores[STORE];
	struct ch_kv_take_args args = { .size = sizeof(args), .buckets = { r->buckets, n, sizeof(r->buckets[0]) } };
	int rc;

	for (size_t i = 0; i < n; i++)
		r->buckets[i] = (struct ch_kv_bucket){
			.key = { r->notes[i].key, r->notes[i].nkey },
			.kind = CH_KV_HOLDERS,
			.burst = r->notes[i].burst,
			.holder = { r->notes[i].holder, HOLDER_BYTES },
			.hold_ms = r->notes[i].hold_ms,
		};
	r->out = (struct ch_kv_result){ .size = sizeof(r->out) };
	r->ticket = ch_suspend(r->c, 0, on_settled, r);
	if (!r->ticket)
		return CH_ERROR; /* no memory: the next round tries again */
	rc = ((const struct ch_kv_v1 *)svc->vt)->settle(svc, r->c, &args, &r->out, r->ticket);
	if (rc != CH_AGAIN)
		ch_unsuspend(r->ticket);
	return rc;
}

/* One batch after the other, no further than to the first failure. */
static int go_on(struct round *r)
{
	size_t n;

	while (r->asked++ < QUESTIONS && (n = batch(r))) {
		int rc = settle(r, n);

		if (rc == CH_AGAIN)
			return CH_AGAIN;
		if (rc != CH_OK || try_again(r->out.error))
			break;
		forget(r);
	}
	return CH_DONE;
}

static int on_settled(struct ch_ctx *c, void *data, int why, void *result)
{
	struct round *r = data;
	const struct ch_svc *svc = state_of(r)->stores[STORE];

	(void)result;
	if (why != CH_READY) {
		((const struct ch_kv_v1 *)svc->vt)->cancel(svc, c, &r->out);
		return CH_DONE;
	}
	if (try_again(r->out.error))
		return CH_DONE;
	forget(r);
	return go_on(r);
}

int ratelimit_on_leaves(struct ch_self *self, struct ch_ctx *c)
{
	const struct ratelimit_state *state = self->state;
	struct ratelimit_leaves *l = state->leaves;
	struct round *r;
	uint64_t first, end;

	pthread_mutex_lock(&l->lock);
	first = l->first;
	end = l->end;
	pthread_mutex_unlock(&l->lock);
	r = first < end ? ch_alloc(c, sizeof(*r)) : NULL;
	if (!r)
		return CH_DONE;
	r->self = self;
	r->c = c;
	r->last = end;
	return go_on(r);
}
