/* SPDX-License-Identifier: MIT */
/*
 * kv_table.c - what this one teaches: providing a service, here kv/1 (chimera/kv.h) out of the memory of the process.
 *
 *     [kv_table]
 *     max_bytes = 64m
 *
 * A provider gives a table of functions by its `provides` row. Users get it by an option of type SERVICE; they never know who it is. Each
 * operation here is answered at once: it fills *out, returns CH_OK and leaves the ticket alone. One that needs time would keep the ticket,
 * return CH_AGAIN, and resume the ticket exactly once, also after a cancel.
 *
 * Threads and ownership: operations run on the loops of whoever asks, several at a time, so the store has one lock, held for the time of
 * one operation. What is given back is copied into the memory of the ctx that asked. Instances that succeed one another share the store, so
 * that a reload forgets nothing.
 */
#include <stdlib.h>

#include "kv_table.h"

enum { M_BYTES, M_FORGOTTEN };

/* ---- answering ---- */

int kv_fail(struct ch_kv_result *out, int error, const char *detail)
{
	if (out) { /* else nobody waits for the answer */
		out->error = error;
		out->detail = detail;
	}
	return CH_OK;
}

int kv_bad(struct ch_kv_result *out, const char *detail)
{
	return kv_fail(out, CH_KV_BAD_REQUEST, detail);
}

int kv_wrong_kind(struct ch_kv_result *out)
{
	return kv_fail(out, CH_KV_WRONG_KIND, "The key holds something of another kind.");
}

int kv_full(struct ch_kv_result *out)
{
	return kv_fail(out, CH_KV_FULL, "The table is full; raise max_bytes of its section.");
}

int64_t kv_ms(int64_t us)
{
	return us > INT64_MAX - 999 ? INT64_MAX / 1000 : (us + 999) / 1000;
}

struct kv_store *kv_lock(const struct ch_svc *svc)
{
	struct table_state *state = svc->self->state;

	pthread_mutex_lock(&state->store->lock);
	return state->store;
}

int kv_unlock(const struct ch_svc *svc, int rc)
{
	struct table_state *state = svc->self->state;
	uint64_t forgotten = state->store->forgotten;

	ch_set(state->bytes, (double)state->store->used);
	state->store->forgotten = 0;
	pthread_mutex_unlock(&state->store->lock);
	if (forgotten)
		ch_add(state->forgotten, (double)forgotten);
	return rc;
}

/* Tells what stands there. False: the ctx has no memory for it. */
static bool tell(struct ch_ctx *c, struct ch_kv_result *out, const struct kv_entry *e, int64_t now)
{
	char *copy;

	if (!out || !e)
		return true;
	copy = ch_dup(c, e->bytes + e->nkey, e->nvalue);
	if (!copy)
		return false;
	out->value = (struct ch_str){ copy, e->nvalue };
	out->version = e->version;
	out->ttl_ms = e->expires ? kv_ms(e->expires - now) : 0;
	return true;
}

/* ---- values and counters ---- */

static const char *args_fault(const struct ch_kv_args *a)
{
	if (!a->key.n || a->key.n > CH_KV_KEY_MAX)
		return "A key has 1 to 512 bytes.";
	if (a->value.n > CH_KV_VALUE_MAX)
		return "A value has at most 2 MiB.";
	if (a->ttl_ms < 0 || a->ttl_ms > CH_KV_MS_MAX)
		return "A TTL is at most 366 days, and 0 for none.";
	if (a->when < CH_KV_ALWAYS || a->when > CH_KV_IF_VERSION || (a->when == CH_KV_IF_VERSION && !a->version))
		return "The condition is none that there is.";
	return NULL;
}

static int get(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const char *fault = args_fault(a);
	int64_t now = ch_now();
	struct kv_entry *e;
	int rc = CH_OK;

	(void)t;
	if (fault)
		return kv_bad(out, fault);
	e = kv_find(kv_lock(svc), a->key.p, a->key.n, now);
	if (e && e->kind != KV_VALUE)
		rc = kv_wrong_kind(out);
	else if (!tell(c, out, e, now))
		rc = kv_fail(out, CH_KV_NO_MEMORY, "The request has no memory left for the value.");
	else if (out)
		out->done = e;
	return kv_unlock(svc, rc);
}

/* Does `when` forbid it? */
static bool forbidden(const struct ch_kv_args *a, const struct kv_entry *e)
{
	return a->when == CH_KV_IF_ABSENT ? e != NULL : a->when == CH_KV_IF_VERSION && (!e || e->version != a->version);
}

static int refused(struct ch_ctx *c, struct ch_kv_result *out, const struct kv_entry *e, int64_t now)
{
	return tell(c, out, e, now) ? CH_OK : kv_fail(out, CH_KV_NO_MEMORY, "The request has no memory left for what stands there.");
}

static int set(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const char *fault = args_fault(a);
	int64_t now = ch_now();
	struct kv_store *s;
	struct kv_entry *e;

	(void)t;
	if (fault)
		return kv_bad(out, fault);
	s = kv_lock(svc);
	e = kv_find(s, a->key.p, a->key.n, now);
	if (e && e->kind != KV_VALUE)
		return kv_unlock(svc, kv_wrong_kind(out));
	if (forbidden(a, e))
		return kv_unlock(svc, refused(c, out, e, now));
	e = kv_put(s, a->key.p, a->key.n, KV_VALUE, a->value.n, now);
	if (!e)
		return kv_unlock(svc, kv_full(out));
	if (a->value.n)
		memcpy(e->bytes + e->nkey, a->value.p, a->value.n);
	e->version = ++s->versions;
	e->expires = a->ttl_ms ? now + a->ttl_ms * 1000 : 0;
	if (out) {
		out->done = true;
		out->version = e->version;
		out->ttl_ms = a->ttl_ms;
	}
	return kv_unlock(svc, CH_OK);
}

static int del(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const char *fault = a->when == CH_KV_IF_ABSENT ? "What is absent cannot be deleted." : args_fault(a);
	int64_t now = ch_now();
	struct kv_store *s;
	struct kv_entry *e;

	(void)t;
	if (fault)
		return kv_bad(out, fault);
	s = kv_lock(svc);
	e = kv_find(s, a->key.p, a->key.n, now);
	if (e && e->kind != KV_VALUE && a->when == CH_KV_IF_VERSION)
		return kv_unlock(svc, kv_wrong_kind(out));
	if (forbidden(a, e))
		return kv_unlock(svc, refused(c, out, e, now));
	if (e)
		kv_drop(s, e);
	if (out)
		out->done = e;
	return kv_unlock(svc, CH_OK);
}

static int add(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const char *fault = args_fault(a);
	int64_t now = ch_now(), number;
	struct kv_store *s;
	struct kv_entry *e;

	(void)c, (void)t;
	if (fault || a->delta > CH_KV_NUMBER_MAX || a->delta < -CH_KV_NUMBER_MAX)
		return kv_bad(out, fault ? fault : "What is added is 2^53 at most, in both directions.");
	s = kv_lock(svc);
	e = kv_find(s, a->key.p, a->key.n, now);
	if (e && e->kind != KV_COUNTER)
		return kv_unlock(svc, kv_wrong_kind(out));
	number = (e ? e->number : 0) + a->delta;
	if (number > CH_KV_NUMBER_MAX || number < -CH_KV_NUMBER_MAX)
		return kv_unlock(svc, kv_fail(out, CH_KV_RANGE, "A counter is 2^53 at most, in both directions."));
	if (!e && a->delta) {
		e = kv_put(s, a->key.p, a->key.n, KV_COUNTER, 0, now);
		if (!e)
			return kv_unlock(svc, kv_full(out));
		e->expires = a->ttl_ms ? now + a->ttl_ms * 1000 : 0;
	}
	if (e)
		e->number = number;
	if (out) {
		out->done = true;
		out->number = number;
		out->ttl_ms = e && e->expires ? kv_ms(e->expires - now) : 0;
	}
	return kv_unlock(svc, CH_OK);
}

/* ---- buckets: see kv_buckets.c ---- */

static int take(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t)
{
	(void)t;
	return kv_change(svc, c, a, out, false);
}

static int settle(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t)
{
	(void)t;
	return kv_change(svc, c, a, out, true);
}

/* Nothing is ever under way. */
static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_kv_result *out)
{
	(void)svc, (void)c, (void)out;
}

/* ---- life ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct table_conf *conf = self->conf;
	struct table_state *state = self->state;

	state->bytes = ch_series(self, M_BYTES, NULL);
	state->forgotten = ch_series(self, M_FORGOTTEN, NULL);
	/* With a predecessor: its store, in adopt. No operation comes before that. */
	state->store = prev ? NULL : kv_store_new((size_t)conf->max_bytes, ch_random());
	return prev || state->store ? CH_OK : CH_ERROR;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	const struct table_conf *conf = self->conf;
	struct table_state *state = self->state, *old = prev->state;

	state->store = old->store;
	pthread_mutex_lock(&state->store->lock);
	state->store->users++;
	state->store->max = (size_t)conf->max_bytes; /* what is too much goes as soon as something comes */
	pthread_mutex_unlock(&state->store->lock);
}

static void stop(struct ch_self *self)
{
	struct table_state *state = self->state;
	unsigned left;

	if (!state->store)
		return; /* never adopted: the reload was refused */
	pthread_mutex_lock(&state->store->lock);
	left = --state->store->users;
	pthread_mutex_unlock(&state->store->lock);
	if (!left)
		kv_store_free(state->store);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct table_conf, max_bytes, SIZE, .def = "64m", .min = "64k", .help = "Memory for keys and values; what is older goes"),
};

static const struct ch_metric metrics[] = {
	[M_BYTES] = { .name = "kv_table_bytes", .kind = CH_GAUGE, .help = "Memory that keys and values take." },
	[M_FORGOTTEN] = { .name = "kv_table_forgotten_total", .kind = CH_COUNTER, .help = "Keys that went because the table was full." },
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

static const struct ch_plugin kv_table = {
	.size = sizeof(kv_table),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "kv_table",
	.version = "0.1",
	.summary = "Keys and values in memory",
	.conf_size = sizeof(struct table_conf),
	.state_size = sizeof(struct table_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.start = start,
	.adopt = adopt,
	.stop = stop,
};

CH_PLUGIN(kv_table, kv_table)
