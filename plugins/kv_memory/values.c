/* SPDX-License-Identifier: Apache-2.0 */
/* values.c - values and counters. A value's bytes are copied before the shard is locked, and read after it is unlocked. */
#include <stdlib.h>

#include "ops.h"

int km_fault(struct km_told *told, int error, const char *detail)
{
	*told = (struct km_told){ .detail = detail };
	return error;
}

int km_full(struct km_told *told)
{
	return km_fault(told, CH_KV_FULL, "The store has no room for it; raise max_bytes of its section.");
}

int km_wrong_kind(struct km_told *told)
{
	return km_fault(told, CH_KV_WRONG_KIND, "The key holds something of another kind.");
}

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

/* An operation on one key. */
struct op {
	struct km_store *s;
	struct km_id id;
	struct km_shard *h;
	struct km_entry *e;
	int64_t t;
	size_t hand;                      /* bytes that are reserved and not used up */
};

static struct op op_of(struct km_store *s, const struct ch_kv_args *a)
{
	struct op o = { .s = s, .id = km_ident(s->secret, a->key.p, a->key.n) };

	o.h = &s->shards[km_shard_of(o.id)];
	return o;
}

static void open(struct op *o, int64_t now)
{
	pthread_mutex_lock(&o->h->lock);
	o->t = km_time(o->h, now);
	o->e = km_find(o->s, o->h, o->id);
}

static int close(struct op *o, int error)
{
	pthread_mutex_unlock(&o->h->lock);
	km_give_back(o->s, o->hand);
	return error;
}

/* So many bytes in hand. False: there is no room; the shard is unlocked and locked meanwhile, and must be looked at again if *again. */
static bool have(struct op *o, size_t bytes, int64_t now, bool *again)
{
	size_t more = bytes > o->hand ? bytes - o->hand : 0;

	*again = false;
	if (!km_reserve_quick(o->s, more)) {
		pthread_mutex_unlock(&o->h->lock);
		*again = km_reserve(o->s, more, &o->id, 1);
		open(o, now);
		if (!*again)
			return false;
	}
	o->hand += more;
	return true;
}

static int64_t ttl_of(const struct op *o)
{
	return o->e && o->e->expires ? km_ms(o->e->expires - o->t) : 0;
}

static void tell(const struct op *o, struct km_told *told)
{
	if (!o->e)
		return;
	told->value = o->e->blob;
	atomic_fetch_add_explicit(&told->value->users, 1, memory_order_relaxed);
	told->version = o->e->version;
	told->ttl_ms = ttl_of(o);
}

static bool forbidden(const struct ch_kv_args *a, const struct km_entry *e)
{
	return a->when == CH_KV_IF_ABSENT ? e != NULL : a->when == CH_KV_IF_VERSION && (!e || e->version != a->version);
}

/* A new entry of that kind, paid from what is in hand. False: no memory. */
static bool make(struct op *o, int kind, int64_t ttl_ms)
{
	struct km_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return false;
	e->id = o->id;
	e->kind = (uint8_t)kind;
	e->expires = ttl_ms ? o->t + ttl_ms * 1000 : 0;
	km_insert(o->h, e);
	o->e = e;
	o->hand -= km_cost(sizeof(*e));
	km_sweep(o->s, o->h, 4); /* so that what expires goes as fast as new comes */
	return true;
}

int km_get(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told)
{
	const char *fault = args_fault(a);
	struct op o;

	if (fault)
		return km_fault(told, CH_KV_BAD_REQUEST, fault);
	*told = (struct km_told){ 0 };
	o = op_of(s, a);
	open(&o, now);
	if (o.e && o.e->kind != KM_VALUE)
		return close(&o, km_wrong_kind(told));
	tell(&o, told);
	told->done = o.e;
	*(o.e ? &o.h->hits : &o.h->misses) += 1;
	return close(&o, 0);
}

static int put(struct op *o, const struct ch_kv_args *a, int64_t now, struct km_blob **blob, struct km_told *told)
{
	size_t was, need;
	struct km_blob *old;
	bool again;

	do {
		if (o->e && o->e->kind != KM_VALUE)
			return km_wrong_kind(told);
		if (forbidden(a, o->e)) {
			tell(o, told);
			return 0;
		}
		was = o->e ? km_blob_cost(o->e->blob->n) : 0;
		need = km_blob_cost(a->value.n) + (o->e ? 0 : km_cost(sizeof(*o->e)));
		if (!have(o, need > was ? need - was : 0, now, &again))
			return km_full(told);
	} while (again);
	if (!o->e && !make(o, KM_VALUE, a->ttl_ms))
		return km_full(told);
	if (was)
		km_expires(o->h, o->e, a->ttl_ms ? o->t + a->ttl_ms * 1000 : 0);
	o->hand = o->hand + was - km_blob_cost(a->value.n);
	old = o->e->blob;
	o->e->blob = *blob;
	o->e->version = o->h->version += KM_SHARDS;
	*blob = old;
	told->done = true;
	told->version = o->e->version;
	told->ttl_ms = a->ttl_ms;
	return 0;
}

int km_set(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told)
{
	const char *fault = args_fault(a);
	struct km_blob *blob;
	struct op o;
	int error;

	if (fault)
		return km_fault(told, CH_KV_BAD_REQUEST, fault);
	*told = (struct km_told){ 0 };
	o = op_of(s, a);
	blob = km_blob_new(a->value.p, a->value.n);
	if (!blob)
		return km_full(told);
	open(&o, now);
	error = put(&o, a, now, &blob, told);
	close(&o, 0);
	if (blob)
		km_blob_drop(blob); /* what stood there, or what was not set */
	return error;
}

int km_del(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told)
{
	const char *fault = a->when == CH_KV_IF_ABSENT ? "What is absent cannot be deleted." : args_fault(a);
	struct op o;

	if (fault)
		return km_fault(told, CH_KV_BAD_REQUEST, fault);
	*told = (struct km_told){ 0 };
	o = op_of(s, a);
	open(&o, now);
	if (o.e && o.e->kind != KM_VALUE && a->when == CH_KV_IF_VERSION)
		return close(&o, km_wrong_kind(told));
	if (forbidden(a, o.e)) {
		tell(&o, told);
		return close(&o, 0);
	}
	told->done = o.e;
	if (o.e)
		km_remove(s, o.h, o.e);
	return close(&o, 0);
}

int km_add(struct km_store *s, const struct ch_kv_args *a, int64_t now, struct km_told *told)
{
	const char *fault = args_fault(a);
	int64_t number;
	struct op o;
	bool again;

	if (fault || a->delta > CH_KV_NUMBER_MAX || a->delta < -CH_KV_NUMBER_MAX)
		return km_fault(told, CH_KV_BAD_REQUEST, fault ? fault : "What is added is 2^53 at most, in both directions.");
	*told = (struct km_told){ 0 };
	o = op_of(s, a);
	open(&o, now);
	do {
		again = false;
		if (o.e && o.e->kind != KM_COUNTER)
			return close(&o, km_wrong_kind(told));
		if (!o.e && a->delta && !have(&o, km_cost(sizeof(*o.e)), now, &again))
			return close(&o, km_full(told));
	} while (again);
	number = (o.e ? o.e->number : 0) + a->delta;
	if (number > CH_KV_NUMBER_MAX || number < -CH_KV_NUMBER_MAX)
		return close(&o, km_fault(told, CH_KV_RANGE, "A counter is 2^53 at most, in both directions."));
	if (!o.e && a->delta && !make(&o, KM_COUNTER, a->ttl_ms))
		return close(&o, km_full(told));
	if (o.e)
		o.e->number = number;
	told->done = true;
	told->number = number;
	told->ttl_ms = ttl_of(&o);
	return close(&o, 0);
}
