/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_memory.c - the service "kv/1" out of the memory of the process. Every operation is answered at once.
 *
 * Threads and ownership: operations run on the loops of whoever asks and lock the shards of their keys. Instances that succeed one another
 * share the store, so that a reload forgets nothing; the last one frees it. A value that was read is not copied: the ctx keeps a reference.
 * A timer of the house loop lets go what has expired where nothing new comes, and brings the metrics up to date: so operations count with
 * plain numbers under locks that they hold anyway.
 */
#include <errno.h>
#include <sys/random.h>

#include "kv_memory.h"

enum { M_HITS, M_MISSES, M_BYTES, M_ITEMS, M_BUCKETS, M_GONE, M_FAILURES };
enum { TURN_MS = 1000, TURN_MORE_MS = 10, SWEEP = 256, SWEEPS = 64 };

/* ---- operations ---- */

static void drop_blob(void *blob)
{
	km_blob_drop(blob);
}

/* Fills *out, if somebody waits for it. An error that came of it, or the one that there was. */
static int fill(struct ch_ctx *c, struct ch_kv_result *out, int error, struct km_told *told)
{
	if (told->value && (!out || !ch_keep(c, drop_blob, told->value))) {
		km_blob_drop(told->value);
		told->value = NULL;
		if (out)
			error = km_fault(told, CH_KV_NO_MEMORY, "The request has no memory left for the value.");
	}
	if (!out)
		return error;
	out->error = error;
	out->detail = told->detail;
	out->done = told->done;
	out->version = told->version;
	if (told->value)
		out->value = (struct ch_str){ told->value->bytes, told->value->n };
	out->ttl_ms = told->ttl_ms;
	out->number = told->number;
	return error;
}

static int answer(const struct ch_svc *svc, struct ch_ctx *c, struct ch_kv_result *out, ch_ticket t, struct km_fate fate, int error)
{
	const struct km_state *state = svc->self->state;

	if (error)
		ch_add(state->failures[error], 1);
	return fate.delay_ms && out ? km_later(c, out, t, fate.delay_ms) : CH_OK;
}

static int injected(struct km_told *told)
{
	return km_fault(told, CH_KV_UNAVAILABLE, "The store does not work: a fault was injected.");
}

typedef int (*op_fn)(struct km_store *, const struct ch_kv_args *, int64_t, struct km_told *);

static int on_key(op_fn fn, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const struct km_state *state = svc->self->state;
	struct km_fate fate = km_fate(c, a->timeout_ms, t != 0);
	struct km_told told;
	int error = fate.fails ? injected(&told) : fn(state->store, a, ch_now(), &told);

	return answer(svc, c, out, t, fate, fill(c, out, error, &told));
}

static int get(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return on_key(km_get, svc, c, a, out, t);
}

static int set(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return on_key(km_set, svc, c, a, out, t);
}

static int del(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return on_key(km_del, svc, c, a, out, t);
}

static int add(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return on_key(km_add, svc, c, a, out, t);
}

static int on_buckets(bool settles, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out,
	ch_ticket t)
{
	const struct km_state *state = svc->self->state;
	struct km_fate fate = km_fate(c, a->timeout_ms, t != 0);
	size_t n = a->buckets.n <= CH_KV_BUCKETS_MAX ? a->buckets.n : 0; /* else it is refused */
	struct ch_kv_level *levels = out && n ? ch_alloc(c, n * sizeof(*levels)) : NULL;
	struct km_told told;
	int error;

	if (fate.fails)
		error = injected(&told);
	else if (out && n && !levels)
		error = km_fault(&told, CH_KV_NO_MEMORY, "The request has no memory left for the answer.");
	else
		error = km_take(state->store, a, settles, ch_now(), levels, &told);
	fill(c, out, error, &told);
	if (out && !error)
		out->levels = (struct ch_table){ levels, n, sizeof(*levels) };
	return answer(svc, c, out, t, fate, error);
}

static int take(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return on_buckets(false, svc, c, a, out, t);
}

static int settle(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return on_buckets(true, svc, c, a, out, t);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_kv_result *out)
{
	(void)svc, (void)c;
	km_cancel(out);
}

/* ---- the house loop's turns ---- */

/* Takes out what a shard has counted since it was asked last. */
static void count(const struct km_state *state, struct km_shard *h)
{
	uint64_t hits = h->hits, misses = h->misses, gone[KM_REASONS];

	h->hits = h->misses = 0;
	for (int i = 0; i < KM_REASONS; i++) {
		gone[i] = h->gone[i];
		h->gone[i] = 0;
	}
	if (hits)
		ch_add(state->hits, (double)hits);
	if (misses)
		ch_add(state->misses, (double)misses);
	for (int i = 0; i < KM_REASONS; i++)
		if (gone[i])
			ch_add(state->gone[i], (double)gone[i]);
}

/* False: there is more to be swept. */
static bool turn(const struct km_state *state)
{
	struct km_store *s = state->store;
	size_t items = 0, buckets = 0, sweeps = 0;
	bool all = true;

	for (unsigned i = 0; i < KM_SHARDS; i++) {
		struct km_shard *h = &s->shards[i];
		bool more = true;

		while (more && sweeps < SWEEPS) {
			pthread_mutex_lock(&h->lock);
			km_time(h, ch_now());
			more = km_sweep(s, h, SWEEP) == SWEEP;
			pthread_mutex_unlock(&h->lock);
			sweeps += more;
		}
		all = all && !more;
		pthread_mutex_lock(&h->lock);
		count(state, h);
		items += h->items;
		buckets += h->buckets;
		pthread_mutex_unlock(&h->lock);
	}
	ch_set(state->bytes, (double)atomic_load(&s->used));
	ch_set(state->items, (double)items);
	ch_set(state->buckets, (double)buckets);
	return all;
}

static void on_turn(void *data)
{
	const struct km_state *state = data;

	ch_timer_set(state->timer, turn(state) ? TURN_MS : TURN_MORE_MS);
}

static bool is_house(struct ch_loop *l)
{
	return !ch_loop_at(ch_loop_index(l) + 1);
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct km_state *state = self->state;

	if (!is_house(l))
		return CH_OK;
	state->timer = ch_timer(l, on_turn, state);
	if (!state->timer)
		return CH_ERROR;
	on_turn(state);
	return CH_OK;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	struct km_state *state = self->state;

	if (!is_house(l))
		return;
	turn(state);
	ch_timer_free(state->timer);
}

/* ---- life ---- */

static const char *const reasons[] = { "expired", "full", NULL };
static const char *const failures[] = { "bad_request", "wrong_kind", "range", "full", "no_memory", "unavailable", NULL };

static void make_series(struct ch_self *self, struct km_state *state)
{
	state->hits = ch_series(self, M_HITS, &self->id);
	state->misses = ch_series(self, M_MISSES, &self->id);
	state->bytes = ch_series(self, M_BYTES, &self->id);
	state->items = ch_series(self, M_ITEMS, &self->id);
	state->buckets = ch_series(self, M_BUCKETS, &self->id);
	for (int i = 0; i < KM_REASONS; i++)
		state->gone[i] = ch_series(self, M_GONE, (const char *const[]){ self->id, reasons[i] });
	for (int i = 0; failures[i]; i++)
		state->failures[i + 1] = ch_series(self, M_FAILURES, (const char *const[]){ self->id, failures[i] });
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct km_conf *conf = self->conf;
	struct km_state *state = self->state;
	uint64_t secret[2];

	make_series(self, state);
	if (prev)
		return CH_OK; /* its store is taken over in adopt; no operation comes before that */
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)) {
		ch_log(self, NULL, CH_ERR, "kv_memory: the system has no random numbers for it: %s", strerror(errno));
		return CH_ERROR;
	}
	state->store = km_store_new((size_t)conf->max_bytes, secret, ch_now());
	if (!state->store)
		ch_log(self, NULL, CH_ERR, "kv_memory: there is no memory for its table: lower max_bytes, which is %lld",
			(long long)conf->max_bytes);
	return state->store ? CH_OK : CH_ERROR;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	const struct km_conf *conf = self->conf;
	struct km_state *state = self->state;
	const struct km_state *old = prev->state;

	state->store = old->store;
	atomic_fetch_add(&state->store->users, 1);
	km_store_resize(state->store, (size_t)conf->max_bytes);
}

static void stop(struct ch_self *self)
{
	struct km_state *state = self->state;

	if (state->store) /* else never adopted: the reload was refused */
		km_store_drop(state->store);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct km_conf, max_bytes, SIZE, .def = "64m", .min = "1m", .max = "1024g",
		.help = "Memory for keys and what they hold; beyond it what was used least recently is forgotten"),
};

#define CACHE .labels = { { .name = "cache_type", .set = CH_L_CONFIG } }

static const struct ch_metric metrics[] = {
	[M_HITS] = { .name = "cache_hits_total", .kind = CH_COUNTER, CACHE, .help = "Lookups that found something, by instance" },
	[M_MISSES] = { .name = "cache_misses_total", .kind = CH_COUNTER, CACHE, .help = "Lookups that found nothing, by instance" },
	[M_BYTES] = { .name = "cache_size_bytes", .kind = CH_GAUGE, CACHE, .help = "Memory in use, by instance" },
	[M_ITEMS] = { .name = "cache_items", .kind = CH_GAUGE, CACHE, .help = "Keys that are kept, by instance" },
	[M_BUCKETS] = { .name = "rate_limiter_buckets_active", .kind = CH_GAUGE, .labels = { { .name = "store", .set = CH_L_CONFIG } },
		.help = "Limits in memory that lack something or have somebody inside, by instance; one of Redis does not count its keys by kind" },
	[M_GONE] = { .name = "chimera_kv_evictions_total", .kind = CH_COUNTER,
		.labels = { { .name = "store", .set = CH_L_CONFIG }, { .name = "reason", .set = CH_L_FIXED, .values = reasons } },
		.help = "Keys that went by themselves: the TTL was over, or the store was full" },
	[M_FAILURES] = { .name = "chimera_kv_failures_total", .kind = CH_COUNTER,
		.labels = { { .name = "store", .set = CH_L_CONFIG }, { .name = "error", .set = CH_L_FIXED, .values = failures } },
		.help = "Operations of kv/1 in memory that failed" },
};

static const struct ch_kv_v1 kv = {
	.size = sizeof(kv),
	.get = get,
	.set = set,
	.del = del,
	.add = add,
	.take = take,
	.settle = settle,
	.cancel = cancel,
};

static const struct ch_provide provides[] = {
	{ .iface = "kv/1", .vt = &kv },
};

static const struct ch_plugin kv_memory = {
	.size = sizeof(kv_memory),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "kv_memory",
	.version = "0.1",
	.summary = "Keys, counters and limits in the memory of the process",
	.conf_size = sizeof(struct km_conf),
	.state_size = sizeof(struct km_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.start = start,
	.adopt = adopt,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
};

CH_PLUGIN(kv_memory, kv_memory)
