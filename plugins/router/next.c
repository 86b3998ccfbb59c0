/* SPDX-License-Identifier: Apache-2.0 */
/* next.c - where a question goes next: to an equal with a place, into the queue of one, to the same again after a while, to a fallback. */
#include "way.h"

#define BACKOFF_US 100000
#define BACKOFF_MAX_US 400000
/* A backend that asks for more patience than this is not asked again: milliseconds, where somebody else may answer and where nobody can. */
#define PATIENCE_MS 1000
#define PATIENCE_ALONE_MS 10000

int64_t router_sooner(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

int64_t router_left(const struct router_call *k)
{
	int64_t due = router_sooner(k->due, k->impatient);
	if (!due)
		return -1;
	return due > k->now ? (due - k->now) / 1000 : 0;
}

int router_reason(int code)
{
	switch (code) {
	case CH_E_UPSTREAM_UNAVAILABLE:
		return ROUTER_CONNECT;
	case CH_E_UPSTREAM_RATE_LIMITED:
	case CH_E_UPSTREAM_BUSY:
		return ROUTER_429;
	case CH_E_UPSTREAM_ERROR:
	case CH_E_UPSTREAM_INVALID:
		return ROUTER_5XX;
	case CH_E_UPSTREAM_TIMEOUT:
		return ROUTER_TIMED_OUT;
	case CH_E_UPSTREAM_AUTH:
		return ROUTER_AUTH;
	default:
		return -1;
	}
}

/* ---- among the equals ---- */

enum fits { HAS_PLACE, MAY_WAIT, FITS_NOT };

/* What a backend is like now, as far as one can see without its lock. */
static enum fits look(const struct router_backend *b, int64_t now)
{
	const struct ch_backend_conf *conf = b->conf;
	if (!router_backend_usable(b, now))
		return FITS_NOT;
	uint64_t waiting = ROUTER_GET(b->state->waiting);
	if (!conf->max_in_flight || (!waiting && ROUTER_GET(b->state->in_flight) < (uint64_t)conf->max_in_flight))
		return HAS_PLACE;
	return waiting < (uint64_t)conf->max_waiting ? MAY_WAIT : FITS_NOT;
}

/* The best of the equals that were tried or not, and where a place is free or may be waited for; nequals: none. */
static size_t choose(struct router_call *k, bool tried, enum fits fits)
{
	size_t n = k->plan.nequals;
	for (size_t i = 0; i < n; i++) {
		const struct router_backend *b = k->plan.equals[i].backend;
		struct router_candidate *v = &k->equals[i];
		v->out = k->skipped[i] || k->tried[i] != tried || k->banned[b->index] || look(b, k->now) != fits;
		if (v->out)
			continue;
		v->weight = b->conf->weight;
		v->in_flight = ROUTER_GET(b->state->in_flight);
		v->latency = router_latency_now(ROUTER_GET(b->state->latency),
			k->now - ROUTER_GET(b->state->latency_at));
	}
	return router_choose(k->plan.balance, k->equals, n, n > 1 ? ch_random() : 0);
}

/* ---- into a backend ---- */

/* A place at once, or in the queue. False: neither. */
static bool enter(struct router_call *k, const struct router_entry *e, bool may_wait, ch_resumed on_place, enum router_next *next)
{
	struct router_backend *b = e->backend;
	enum router_entered how = router_backend_enter(b, NULL, k->now, &k->pass);

	if (how == ROUTER_FULL && may_wait && b->conf->max_waiting > 0) {
		int64_t left = router_left(k);
		/* One of its own: what hands places out may still look at it when this question has long gone elsewhere. */
		struct router_waiter *w = ch_alloc(k->c, sizeof(*w));
		if (!w || !left || !(w->ticket = ch_suspend(k->c, left > 0 ? left : 0, on_place, k)))
			return false;
		k->waiter = w;
		k->ticket = w->ticket;
		k->entry = e;
		how = router_backend_enter(b, w, k->now, &k->pass);
		if (how != ROUTER_WAITS)
			ch_unsuspend(w->ticket);
	}
	if (how != ROUTER_IN && how != ROUTER_WAITS)
		return false;
	k->entry = e;
	*next = how == ROUTER_IN ? ROUTER_N_ASK : ROUTER_N_WAIT;
	return true;
}

/* Into one of the equals that were tried or not: where a place is free, else where one may be waited for. */
static bool among_equals(struct router_call *k, bool tried, ch_resumed on_place, enum router_next *next)
{
	memset(k->skipped, 0, k->plan.nequals);
	for (enum fits fits = HAS_PLACE; fits <= MAY_WAIT; fits++)
		for (size_t i; (i = choose(k, tried, fits)) < k->plan.nequals;) {
			if (enter(k, &k->plan.equals[i], fits == MAY_WAIT, on_place, next))
				return true;
			k->skipped[i] = true; /* another question was faster */
		}
	return false;
}

/* ---- once more ---- */

/* Will one of the equals that have failed be worth a question in so many milliseconds? */
static bool worth(const struct router_call *k, int64_t ms)
{
	int64_t then = k->now + ms * 1000;
	for (size_t i = 0; i < k->plan.nequals; i++) {
		const struct router_backend *b = k->plan.equals[i].backend;
		if (k->tried[i] && !k->banned[b->index] && router_backend_usable(b, then))
			return true;
	}
	return false;
}

/* How long to wait before the same is asked again: 100, 200, 400 ms, from a half of it to all, or what it asked for; -1: not at all. */
static int64_t back_off_ms(const struct router_call *k)
{
	int64_t half = ch_backoff(BACKOFF_US, BACKOFF_MAX_US, k->waits) / 2, left = router_left(k);
	int64_t ms = (half + ch_backoff_full(half, half, 0, ch_random())) / 1000;
	int64_t patience = k->fallback < k->plan.nfallbacks ? PATIENCE_MS : PATIENCE_ALONE_MS;

	if (k->inner.retry_after_ms > ms)
		ms = k->inner.retry_after_ms;
	return ms > patience || (left >= 0 && ms >= left) || !worth(k, ms) ? -1 : ms;
}

/*
 * Another equal at once, else the same ones in a while. False: neither, or it is not worth it. Only the same again draws on the budget of
 * retries: another one that has not failed yet is asked as freely as a fallback is, or those who meet a dead backend in one burst could
 * not all go on to the living one.
 */
static bool once_more(struct router_call *k, ch_resumed on_place, enum router_next *next, int64_t *ms)
{
	int reason = router_reason(k->last->code);
	bool elsewhere = reason == ROUTER_TIMED_OUT || reason == ROUTER_AUTH; /* … only: those who failed so are banned */

	if (k->on_equals > k->r->conf->retries || !(elsewhere || k->r->retry_on & 1u << reason))
		return false;
	if (among_equals(k, false, on_place, next))
		return true;
	if (k->backed_off)
		return among_equals(k, true, on_place, next);
	if (k->args->retry || (*ms = back_off_ms(k)) < 0 || !router_retry_take(k->r->retry))
		return false;
	k->granted = k->backed_off = true;
	k->waits++;
	*next = ROUTER_N_BACK_OFF;
	return true;
}

/* ---- entry ---- */

enum router_next router_next(struct router_call *k, ch_resumed on_place, int64_t *ms)
{
	enum router_next next;

	if (!router_left(k))
		return ROUTER_N_END;
	if (!k->fallback && (k->on_equals ? once_more(k, on_place, &next, ms) : among_equals(k, false, on_place, &next)))
		return next;
	while (k->fallback < k->plan.nfallbacks) {
		const struct router_entry *e = &k->plan.fallbacks[k->fallback++];
		if (!k->banned[e->backend->index] && enter(k, e, true, on_place, &next))
			return next;
	}
	return ROUTER_N_END;
}
