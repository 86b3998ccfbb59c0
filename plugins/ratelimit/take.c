/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take.c - one decision. The store is asked once; if it is away, or does not say what it did, the fallback decides in its place, and nobody
 * asks the store about this again: a request is neither charged twice nor refused because a store is away.
 */
#include "ratelimit.h"
#include "text.h"

static const char *const suffixes[] = { [REQUESTS] = "", [TOKENS] = ":tokens", [CONCURRENT] = ":concurrent" };

struct ratelimit_take *ratelimit_take_new(struct ratelimit_request *rq, int (*then)(struct ratelimit_take *))
{
	struct ratelimit_take *t = ch_alloc(rq->c, sizeof(*t));

	if (t) {
		t->rq = rq;
		t->then = then;
	}
	return t;
}

/* Makes the name that it has inside of places, when the first of them is added. */
static void name_holder(struct ratelimit_take *t)
{
	uint64_t holder[] = { ch_random(), ch_random() };

	for (size_t i = 0; i < t->n; i++)
		if (t->parts[i].unit == CONCURRENT)
			return;
	_Static_assert(sizeof(holder) == sizeof(t->holder), "all of it");
	memcpy(t->holder, holder, sizeof(holder));
}

void ratelimit_take_add(struct ratelimit_take *t, const struct ratelimit_rule *rule, int unit, int64_t cost)
{
	const struct ratelimit_limits *l = rule ? &rule->at[STORE] : NULL;

	if (!l || t->n == PARTS_MAX)
		return;
	if (unit == CONCURRENT && l->concurrent != NO_LIMIT)
		name_holder(t);
	if (unit == CONCURRENT ? l->concurrent != NO_LIMIT : unit == TOKENS ? l->tokens.limited : l->requests.limited)
		t->parts[t->n++] = (struct ratelimit_part){ rule, unit, cost };
}

/* "rate_limit:HASH:TIER", ":RULE" for a row's rule, and the unit. */
static struct ch_str key_of(const struct ratelimit_request *rq, const struct ratelimit_part *part)
{
	bool rule = part->rule != rq->tier;
	const char *suffix = suffixes[part->unit];
	size_t n = rq->prefix.n + (rule ? 1 + part->rule->name.n : 0) + strlen(suffix);
	char *key, *at;

	if (n == rq->prefix.n)
		return rq->prefix;
	key = ch_alloc(rq->c, n);
	if (!key)
		return (struct ch_str){ NULL, 0 };
	at = put_bytes(key, rq->prefix.p, rq->prefix.n);
	if (rule) {
		*at++ = ':';
		at = put_bytes(at, part->rule->name.p, part->rule->name.n);
	}
	put_text(at, suffix);
	return (struct ch_str){ key, n };
}

/* A request that ends by itself before `hold` is over need not be held longer. */
static int64_t hold_of(const struct ratelimit_request *rq)
{
	const struct ratelimit_conf *conf = rq->self->conf;
	int64_t deadline = ch_deadline(rq->c), left;

	if (!deadline)
		return conf->hold;
	left = (deadline - ch_now()) / 1000 + 1000;
	return left < 1000 ? 1000 : left < conf->hold ? left : conf->hold;
}

/* The buckets in the numbers of `at`. False: no memory. */
static bool fill(struct ratelimit_take *t, int at)
{
	for (size_t i = 0; i < t->n; i++) {
		struct ratelimit_part *part = &t->parts[i];
		const struct ratelimit_limits *l = &part->rule->at[at];
		struct ch_kv_bucket *b = &t->buckets[i];

		if (!b->key.n && !(b->key = key_of(t->rq, part)).n)
			return false;
		if (part->unit == CONCURRENT) {
			b->kind = CH_KV_HOLDERS;
			b->burst = l->concurrent;
			b->holder = (struct ch_str){ t->holder, sizeof(t->holder) };
			b->hold_ms = hold_of(t->rq);
			continue;
		}
		const struct ratelimit_shape *s = part->unit == TOKENS ? &l->tokens : &l->requests;

		b->burst = s->burst;
		b->count = s->count;
		b->period_ms = s->period_ms;
		/* What fits into the limit must not fail because a smaller one stands in for it. */
		b->cost = at == FALLBACK && part->cost > s->burst ? s->burst : part->cost;
	}
	return true;
}

static const struct ch_svc *service(const struct ratelimit_take *t, int at)
{
	const struct ratelimit_state *state = t->rq->self->state;

	return state->stores[at];
}

static int ask(struct ratelimit_take *t, int at);

/* ---- the store's health, as the host is told ---- */

#define TELL_AGAIN_US 250000

static void store_is_back(struct ch_self *self)
{
	struct ratelimit_state *state = self->state;

	if (atomic_load_explicit(&state->down, memory_order_relaxed)) {
		atomic_store(&state->down, 0);
		ch_degraded(self, "store", false, "the store decides again");
	}
}

/* `down` is set behind ch_degraded, so that whoever finds the store well after that says so again, whatever overlaps. */
static void store_is_away(struct ch_self *self, const char *detail)
{
	const struct ratelimit_conf *conf = self->conf;
	struct ratelimit_state *state = self->state;
	const char *why = detail ? detail : "no reason was given";
	int64_t now = ch_now(), told = atomic_load(&state->down);

	if (told && now - told < TELL_AGAIN_US)
		return;
	if (state->stores[FALLBACK])
		ch_degraded(self, "store", true, "%s is away; each server decides by itself with %s, to %.0f%% of the limits: %s",
			conf->store->id, state->stores[FALLBACK]->id, conf->fallback_share * 100, why);
	else
		ch_degraded(self, "store", true, "%s is away and there is no fallback; requests are %s: %s", conf->store->id,
			conf->on_store_down == DOWN_PASS ? "not limited" : "refused", why);
	atomic_store(&state->down, now);
}

/* ---- deciding ---- */

static int decided(struct ratelimit_take *t, int at)
{
	const struct ratelimit_conf *conf = t->rq->self->conf;
	const struct ratelimit_state *state = t->rq->self->state;

	t->decided = true;
	t->at = at;
	t->passes = at == NOWHERE ? !t->no_memory && conf->on_store_down == DOWN_PASS : t->out[at].done;
	if (at != STORE && !t->no_memory) {
		t->rq->degraded = true;
		ch_add(state->away[at == FALLBACK ? 0 : t->passes ? 1 : 2], 1);
	}
	for (size_t i = 0; at != NOWHERE && i < t->n; i++)
		t->parts[i].cost = t->buckets[i].cost;
	return t->then(t);
}

static int no_memory(struct ratelimit_take *t)
{
	t->no_memory = true;
	return decided(t, NOWHERE);
}

static int judge(struct ratelimit_take *t, int at)
{
	const struct ch_kv_result *out = &t->out[at];

	if (!out->error) {
		if (at == STORE)
			store_is_back(t->rq->self);
		return decided(t, at);
	}
	if (out->error == CH_KV_NO_MEMORY)
		return no_memory(t);
	t->unsure = t->unsure || (at == STORE && out->error == CH_KV_UNKNOWN);
	if (at == STORE)
		store_is_away(t->rq->self, out->detail);
	return at == STORE && service(t, FALLBACK) ? ask(t, FALLBACK) : decided(t, NOWHERE);
}

static int gone(struct ratelimit_take *t, int at, int why)
{
	const struct ch_svc *svc = service(t, at);
	const struct ch_kv_v1 *kv = svc->vt;

	kv->cancel(svc, t->rq->c, &t->out[at]);
	t->unsure = t->unsure || at == STORE;
	/* The ctx's own time is over: what comes next will say so better than we can. */
	return why == CH_TIMEOUT ? decided(t, NOWHERE) : CH_DONE;
}

static int from_store(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c, (void)result;
	return why == CH_READY ? judge(data, STORE) : gone(data, STORE, why);
}

static int from_fallback(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c, (void)result;
	return why == CH_READY ? judge(data, FALLBACK) : gone(data, FALLBACK, why);
}

static struct ch_kv_take_args args_of(const struct ch_kv_bucket *v, size_t n)
{
	return (struct ch_kv_take_args){ .size = sizeof(struct ch_kv_take_args), .buckets = { v, n, sizeof(*v) } };
}

/* CH_ERROR of a provider is its bug, and no reason to refuse a request. */
static int ask(struct ratelimit_take *t, int at)
{
	const struct ch_svc *svc = service(t, at);
	const struct ch_kv_v1 *kv = svc->vt;
	struct ch_kv_take_args args = args_of(t->buckets, t->n);
	struct ch_kv_result *out = &t->out[at];
	int rc;

	out->size = sizeof(*out);
	t->ticket = fill(t, at) ? ch_suspend(t->rq->c, 0, at == STORE ? from_store : from_fallback, t) : 0;
	if (!t->ticket)
		return no_memory(t);
	rc = kv->take(svc, t->rq->c, &args, out, t->ticket);
	t->later = t->later || (at == STORE && rc == CH_AGAIN);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t->ticket);
	if (rc != CH_OK) {
		out->error = CH_KV_UNAVAILABLE;
		out->detail = "the plugin is broken";
	}
	return judge(t, at);
}

int ratelimit_take_decide(struct ratelimit_take *t)
{
	return ratelimit_name(t->rq) ? ask(t, STORE) : no_memory(t);
}

/* ---- afterwards ---- */

static void settle(struct ratelimit_take *t, int at, const struct ch_kv_bucket *v, size_t n)
{
	const struct ch_svc *svc = service(t, at);
	struct ch_kv_take_args args = args_of(v, n);

	((const struct ch_kv_v1 *)svc->vt)->settle(svc, t->rq->c, &args, NULL, 0);
}

/* A store that answers later may fail after the call; one that was away may have failed in it. */
static void leave_store(struct ratelimit_take *t, const struct ch_kv_bucket *v, size_t n)
{
	struct ratelimit_state *state = t->rq->self->state;
	bool away = t->unsure || atomic_load_explicit(&state->down, memory_order_relaxed);

	settle(t, STORE, v, n);
	for (size_t i = 0; (t->later || away) && i < n; i++)
		ratelimit_leaves_note(state->leaves, &v[i], away);
}

void ratelimit_take_leave(struct ratelimit_take *t)
{
	struct ch_kv_bucket v[PARTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->parts[i].unit == CONCURRENT)
			v[n++] = t->buckets[i];
	if (!n)
		return;
	if (t->unsure || (t->decided && t->at == STORE && t->out[STORE].done))
		leave_store(t, v, n);
	if (t->decided && t->at == FALLBACK && t->out[FALLBACK].done)
		settle(t, FALLBACK, v, n);
}

void ratelimit_take_settle(struct ratelimit_take *t, size_t i, int64_t more)
{
	struct ch_kv_bucket b = t->buckets[i];

	if (!more || !t->decided || t->at == NOWHERE)
		return;
	b.cost = more > CH_KV_COUNT_MAX ? CH_KV_COUNT_MAX : more < -CH_KV_COUNT_MAX ? -CH_KV_COUNT_MAX : more;
	settle(t, t->at, &b, 1);
}
