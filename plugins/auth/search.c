/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.c - a key that is not good by what is known here: a token's judge is asked, then one store after the other, until one knows a good
 * key. What stores said is remembered for a while (cache.c). Whatever a key lacks, it goes this whole way.
 *
 * Threads and ownership: a search lies in its request's arena, on its loop. While it asks a store, others of the loop that want the same of
 * the same store join it and are resumed when it has the answer, or go on by themselves if its client leaves.
 */
#include "auth.h"
#include "cache.h"
#include "failures.h"
#include "keys_values.h"

#define RETRY_MS 1000
#define TELL_US 60000000                  /* between two lines about tiers that there are not */

struct auth_search {
	struct ch_self *self;
	struct ch_ctx *c;
	struct auth_loop *l;
	struct ch_str shown;
	unsigned char sha256[CH_SHA256];
	enum auth_method method;
	int outcome;                      /* enum auth_outcome: the first that was more than UNKNOWN, else that */
	bool away;                        /* somebody who might know cannot be asked */
	const char *why;                  /* … and says this */
	size_t next;                      /* 0: tokens; else the store before it is next */
	ch_ticket ticket;                 /* of what is waited for */
	struct ch_keys_result *r;         /* of whom is asked now */
	bool asks;                        /* in loop->searches */
	struct auth_search *others;       /* the next in loop->searches, or in `joined` of the one that this one has joined */
	struct auth_search *joined;       /* those that wait for our answer */
	struct auth_search *leader;       /* the one that is waited for */
	int told;                         /* by it: 0: look again; else enum ch_keys_error */
};

static int go_on(struct auth_search *s);

static const struct auth *state(const struct auth_search *s)
{
	return s->self->state;
}

/* ---- the end ---- */

static int nobody(struct auth_search *s)
{
	uint32_t wrong = (uint32_t)(s->outcome != AUTH_UNKNOWN) | (uint32_t)!s->away;

	__asm__ volatile("" : "+r"(wrong)); /* or a compiler may look at `away` for unknown keys alone: all take the same instructions */
	if (wrong)
		return auth_refuse_wrong(s->self, s->c, s->method, (enum auth_result)s->outcome);
	auth_count(state(s), s->method, AUTH_R_UNAVAILABLE);
	return ch_refuse(s->c, CH_E_UNAVAILABLE, RETRY_MS, "%s", s->why ? s->why : "The store of keys cannot be reached now; try again later.");
}

static int limited(struct auth_search *s, int64_t wait_us)
{
	int64_t ms = wait_us / 1000 < 3600000 ? wait_us / 1000 + 1 : 3600000;

	auth_count(state(s), s->method, AUTH_R_LIMITED);
	return ch_refuse(s->c, CH_E_RATE_LIMITED, ms,
		"Too many wrong keys have come from this address, so for now only keys that are known to be good pass: try again later.");
}

/* What somebody says of a key that they know. True: it is good, and nothing else was said of it before. */
static bool judge(struct auth_search *s, const struct ch_key *k)
{
	int outcome = auth_judge(k, ch_wall());

	if (s->outcome != AUTH_UNKNOWN)
		return false;
	s->outcome = outcome == AUTH_GOOD ? AUTH_UNKNOWN : outcome;
	return outcome == AUTH_GOOD;
}

static int grant(struct auth_search *s, const struct ch_key *k)
{
	return auth_grant(s->self, s->c, s->method, k);
}

static void set_away(struct auth_search *s, const char *why)
{
	s->away = true;
	s->why = s->why ? s->why : why;
}

/* ---- tokens ---- */

static int on_token(struct ch_ctx *c, void *data, int why, void *result)
{
	struct auth_search *s = data;

	(void)result;
	if (why == CH_READY) {
		if (s->r->error == CH_KEYS_OK && judge(s, &s->r->key))
			return grant(s, &s->r->key);
		if (s->r->error == CH_KEYS_UNAVAILABLE)
			set_away(s, s->r->detail);
		return go_on(s);
	}
	auth_jwt_cancel(state(s)->jwt, c, s->r);
	if (why == CH_GONE)
		return CH_DONE;
	set_away(s, "The issuer of this token could not be asked in time; try again later.");
	return go_on(s);
}

/* Zeroed memory for an answer, and a ticket. False: none can be had. */
static bool prepare(struct auth_search *s, int64_t timeout_ms, ch_resumed fn)
{
	s->r = ch_alloc(s->c, sizeof(*s->r));
	s->ticket = s->r ? ch_suspend(s->c, timeout_ms, fn, s) : 0;
	if (!s->ticket) {
		set_away(s, "The server has no memory for this request now; try again later.");
		return false;
	}
	s->r->size = sizeof(*s->r);
	s->r->key.size = sizeof(s->r->key);
	return true;
}

/* CH_AGAIN: it is being judged; CH_DONE: *s->r has the answer; CH_OK: there is none. */
static int ask_token(struct auth_search *s)
{
	int rc;

	if (s->method != AUTH_M_JWT || !prepare(s, 0, on_token))
		return CH_OK;
	rc = auth_jwt_find(state(s)->jwt, s->c, s->shown, s->r, s->ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(s->ticket);
	if (rc != CH_OK || s->r->error == CH_KEYS_UNAVAILABLE)
		set_away(s, rc == CH_OK ? s->r->detail : NULL);
	return rc == CH_OK && s->r->error == CH_KEYS_OK ? CH_DONE : CH_OK;
}

/* ---- stores ---- */

static const struct ch_svc *store_at(const struct auth_search *s, size_t i)
{
	return state(s)->conf->stores.v[i];
}

static const struct ch_keys_v1 *vt(const struct ch_svc *svc)
{
	return svc->vt;
}

/* What that store said, if it holds still. */
static enum auth_cached remembered(const struct auth_search *s, size_t i, const struct ch_key **key)
{
	const struct ch_svc *svc = store_at(s, i);

	return auth_cache_get(s->l->cache, s->sha256, i, vt(svc)->revision(svc), ch_now(), key);
}

static void remember(struct auth_search *s, size_t i)
{
	if (s->r->error != CH_KEYS_UNAVAILABLE)
		auth_cache_put(s->l->cache, s->sha256, i, s->r->revision, ch_now() + state(s)->conf->cache_ttl * 1000,
			s->r->error == CH_KEYS_OK ? &s->r->key : NULL);
}

/* Others need not wait for this one any more: told 0, each looks again. */
static void part(struct auth_search *s, int told)
{
	struct auth_search **at = &s->l->searches, *j;

	while (*at && *at != s)
		at = &(*at)->others;
	if (*at)
		*at = s->others;
	s->asks = false;
	while ((j = s->joined)) {
		s->joined = j->others;
		j->leader = NULL;
		j->told = told;
		ch_resume(j->ticket, NULL, NULL);
	}
}

/*
 * A store does not know which tiers there are, so it takes any; such a key works, and is less than it was meant to be. Whoever made it is to
 * find out. At most once a minute: there may be many.
 */
static void look_at_tier(struct auth_search *s)
{
	struct auth *a = s->self->state;
	const struct ch_key *k = &s->r->key;
	int64_t now = ch_now(), told = atomic_load(&a->tier_told);
	char why[512];

	if (!*k->tier || (told && now - told < TELL_US) || auth_tier_good(k->tier, &a->conf->tiers, why) ||
	    !atomic_compare_exchange_strong(&a->tier_told, &told, now))
		return;
	ch_log(s->self, s->c, CH_WARN, "key %s of %s ranks below all tiers: its %s", k->id, store_at(s, s->next - 2)->id, why);
}

/* The store before s->next has answered into *s->r. True: with a good key. */
static bool took(struct auth_search *s)
{
	bool good;

	remember(s, s->next - 2);
	if (s->r->error == CH_KEYS_UNAVAILABLE)
		set_away(s, s->r->detail ? ch_print(s->c, "%s", s->r->detail) : NULL);
	good = s->r->error == CH_KEYS_OK && judge(s, &s->r->key);
	if (good)
		look_at_tier(s);
	return good;
}

static int on_store(struct ch_ctx *c, void *data, int why, void *result)
{
	struct auth_search *s = data;
	const struct ch_svc *svc = store_at(s, s->next - 2);
	bool good;

	(void)result;
	if (why == CH_READY) {
		good = took(s);
		part(s, s->r->error == CH_KEYS_UNAVAILABLE ? CH_KEYS_UNAVAILABLE : 0);
		return good ? grant(s, &s->r->key) : go_on(s);
	}
	part(s, why == CH_TIMEOUT ? CH_KEYS_UNAVAILABLE : 0);
	vt(svc)->cancel(svc, c, s->r);
	if (why == CH_GONE)
		return CH_DONE;
	set_away(s, "The store of keys did not answer in time; try again later.");
	return go_on(s);
}

static int on_joined(struct ch_ctx *c, void *data, int why, void *result)
{
	struct auth_search *s = data;

	(void)c, (void)result;
	if (why != CH_READY && s->leader) {
		struct auth_search **at = &s->leader->joined;

		while (*at != s)
			at = &(*at)->others;
		*at = s->others;
		s->leader = NULL;
		ch_unsuspend(s->ticket);
	}
	if (why == CH_GONE)
		return CH_DONE;
	if (why == CH_TIMEOUT || s->told == CH_KEYS_UNAVAILABLE)
		set_away(s, "The store of keys cannot be reached now; try again later.");
	else
		s->next--; /* by now it is remembered, or this one asks itself */
	return go_on(s);
}

static struct auth_search *leader(const struct auth_search *s)
{
	struct auth_search *o = s->l->searches;

	while (o && (o->next != s->next || !ch_same_bytes(o->sha256, s->sha256, CH_SHA256)))
		o = o->others;
	return o;
}

/* CH_AGAIN: it is being asked; CH_DONE: *key is good; CH_OK: it has none. s->next is behind the store already. */
static int ask_store(struct auth_search *s, size_t i, const struct ch_key **key)
{
	const struct ch_svc *svc = store_at(s, i);
	const struct auth *a = state(s);
	struct auth_search *first;
	int rc;

	switch (remembered(s, i, key)) {
	case AUTH_C_FOUND:
		ch_add(a->hits, 1);
		return judge(s, *key) ? CH_DONE : CH_OK;
	case AUTH_C_ABSENT:
		ch_add(a->hits, 1);
		return CH_OK;
	case AUTH_C_MISS:
		break;
	}
	ch_add(a->misses, 1);
	first = leader(s);
	if (!prepare(s, a->conf->store_timeout, first ? on_joined : on_store))
		return CH_OK;
	if (first) {
		s->leader = first;
		s->others = first->joined;
		first->joined = s;
		return CH_AGAIN;
	}
	rc = vt(svc)->find(svc, s->c, s->sha256, s->r, s->ticket);
	if (rc == CH_AGAIN) {
		s->asks = true;
		s->others = s->l->searches;
		s->l->searches = s;
		return CH_AGAIN;
	}
	ch_unsuspend(s->ticket);
	if (rc != CH_OK) {
		set_away(s, "The store of keys is broken; see the server's log.");
		return CH_OK;
	}
	*key = &s->r->key;
	return took(s) ? CH_DONE : CH_OK;
}

/* ---- the way ---- */

static int go_on(struct auth_search *s)
{
	const struct ch_key *key = NULL;
	int rc;

	while (s->next <= state(s)->conf->stores.n) {
		size_t i = s->next++;

		if (i) {
			rc = ask_store(s, i - 1, &key);
		} else {
			rc = ask_token(s);
			key = rc == CH_DONE ? &s->r->key : NULL;
			rc = key && !judge(s, key) ? CH_OK : rc;
		}
		if (rc == CH_AGAIN)
			return rc;
		if (rc == CH_DONE)
			return grant(s, key);
	}
	return nobody(s);
}

/*
 * Was it good when somebody was asked last? Of an address that has failed too often nothing else is asked for; but this goes the whole way,
 * however old the answer is, or a neighbour's mistakes would shut it out. There are no more of these than the caches hold, and nobody can
 * make one who has no good key.
 */
static bool was_good(const struct auth_search *s)
{
	const struct ch_key *key;

	if (s->outcome != AUTH_UNKNOWN)
		return false;
	if (s->method == AUTH_M_JWT && auth_jwt_knew(state(s)->jwt, s->sha256))
		return true;
	for (size_t i = 0; i < state(s)->conf->stores.n; i++) {
		key = auth_cache_last(s->l->cache, s->sha256, i);
		if (key && auth_judge(key, ch_wall()) == AUTH_GOOD)
			return true;
	}
	return false;
}

int auth_search(struct ch_self *self, struct ch_ctx *c, struct ch_str shown, bool bearer, const unsigned char sha256[CH_SHA256], int local)
{
	const struct auth *a = self->state;
	struct auth_search *s = ch_alloc(c, sizeof(*s));
	int64_t wait = a->failures ? auth_failures_wait(a->failures, ch_facts(c)->client, ch_now()) : 0;

	if (!s)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "The server has no memory for this request now; try again later.");
	s->self = self;
	s->c = c;
	s->l = auth_loop(self, ch_loop(c));
	s->shown = shown;
	memcpy(s->sha256, sha256, CH_SHA256);
	s->method = bearer && auth_jwt_shaped(a->jwt, shown) ? AUTH_M_JWT : AUTH_M_KEY;
	s->outcome = local;
	return wait && !was_good(s) ? limited(s, wait) : go_on(s);
}
