/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys_service.c - keys/1: keys by their hash, from the cache as long as nothing has changed, else from the database.
 *
 * While the store is away the revision stands still. Then keys that are known are served on for key_cache_grace, and about all others
 * nobody knows anything, also of those that were not there a moment ago.
 */
#include "identity.h"

static struct identity_state *state_of(const struct ch_svc *svc)
{
	return svc->self->state;
}

/* ---- a row as it is kept ---- */

enum { EXPIRES, ROLE, DISABLED };
enum { ID, OWNER, TIER, MODELS, ROUTES, BACKENDS, NETWORKS, LIMITS };

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

static struct id_pack pack(const struct id_key *k)
{
	return (struct id_pack){
		.number = { [EXPIRES] = k->expires, [ROLE] = k->role, [DISABLED] = k->disabled || k->owner_disabled },
		.text = { [ID] = str(k->id), [OWNER] = str(k->owner), [TIER] = str(k->tier), [MODELS] = str(k->models),
			[ROUTES] = str(k->routes), [BACKENDS] = str(k->backends), [NETWORKS] = str(k->networks),
			[LIMITS] = str(k->limits) },
	};
}

static int fill(struct ch_keys_result *out, uint64_t epoch, const struct id_pack *p)
{
	struct ch_key *k = &out->key;

	out->error = CH_KEYS_OK;
	out->revision = epoch;
	k->id = p->text[ID].p;
	k->owner = p->text[OWNER].p;
	k->tier = p->text[TIER].p;
	k->role = (int)p->number[ROLE];
	k->expires = p->number[EXPIRES];
	k->disabled = p->number[DISABLED];
	k->models = p->text[MODELS].p;
	k->routes = p->text[ROUTES].p;
	k->backends = p->text[BACKENDS].p;
	k->networks = p->text[NETWORKS].p;
	k->limits = p->text[LIMITS].p;
	return CH_OK;
}

static int fail(struct ch_keys_result *out, int error, uint64_t epoch, const char *detail)
{
	out->error = error;
	out->revision = epoch;
	out->detail = detail;
	return CH_OK;
}

/* ---- the database ---- */

struct find {
	struct ch_self *self;
	struct ch_ctx *c;
	struct ch_keys_result *out;
	ch_ticket outer;
	uint64_t epoch; /* of before the question: an answer may be older than what changed meanwhile */
	unsigned char sha256[ID_SHA];
	struct id_result r;
	bool over;
};

static void finish(struct find *f)
{
	f->over = true;
	f->out->call = NULL;
	ch_resume(f->outer, NULL, NULL);
}

static void judge(struct find *f)
{
	struct identity_state *s = f->self->state;
	struct id_pack p;
	unsigned driven = 0;

	if (!f->r.error) {
		p = pack(f->r.rows);
		driven = id_cache_put(s->keys, f->sha256, f->epoch, &p);
		fill(f->out, f->epoch, &p);
	} else if (f->r.error == ID_NONE) {
		driven = id_cache_put(s->keys, f->sha256, f->epoch, NULL);
		fail(f->out, CH_KEYS_UNKNOWN, f->epoch, NULL);
	} else {
		fail(f->out, CH_KEYS_UNAVAILABLE, f->epoch, f->r.detail);
	}
	if (driven)
		ch_add(s->evictions[ID_KEYS], driven);
}

static int on_found(struct ch_ctx *c, void *data, int why, void *result)
{
	struct find *f = data;

	(void)c, (void)result;
	if (f->over)
		return CH_AGAIN;
	if (why == CH_READY) {
		judge(f);
	} else {
		id_cancel(&f->r);
		fail(f->out, CH_KEYS_UNAVAILABLE, f->epoch, "The store of keys did not answer in time; try again later.");
	}
	finish(f);
	return CH_AGAIN;
}

static int ask(const struct ch_svc *svc, struct ch_ctx *c, const unsigned char sha256[32], uint64_t epoch, struct ch_keys_result *out,
	ch_ticket outer)
{
	struct find *f = ch_alloc(c, sizeof(*f));
	ch_ticket own = f ? ch_suspend(c, 0, on_found, f) : 0;

	if (!own)
		return fail(out, CH_KEYS_UNAVAILABLE, epoch, "The server has no memory for this now; try again later.");
	f->self = svc->self;
	f->c = c;
	f->out = out;
	f->outer = outer;
	f->epoch = epoch;
	memcpy(f->sha256, sha256, ID_SHA);
	out->call = f;
	id_key_find(svc->self, c, f->sha256, &f->r, own);
	return CH_AGAIN;
}

/* ---- keys/1 ---- */

static int find(const struct ch_svc *svc, struct ch_ctx *c, const unsigned char sha256[32], struct ch_keys_result *out, ch_ticket ticket)
{
	const struct identity_conf *conf = svc->self->conf;
	struct identity_state *s = state_of(svc);
	uint64_t epoch = atomic_load(&s->key_epoch);
	bool away = atomic_load(&s->away), stale = id_revision_age(svc->self) > conf->key_cache_grace;
	struct id_pack p;
	enum id_cached cached = stale ? ID_MISS : id_cache_get(s->keys, c, sha256, epoch, &p);

	if (cached == ID_FOUND || (cached == ID_ABSENT && !away)) {
		ch_add(s->hits[ID_KEYS], 1);
		return cached == ID_FOUND ? fill(out, epoch, &p) : fail(out, CH_KEYS_UNKNOWN, epoch, NULL);
	}
	ch_add(s->misses[ID_KEYS], 1);
	if (away)
		return fail(out, CH_KEYS_UNAVAILABLE, epoch, "The store of keys cannot be reached now; try again later.");
	return ask(svc, c, sha256, epoch, out, ticket);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_keys_result *out)
{
	struct find *f = out->call;

	(void)svc, (void)c;
	if (!f || f->over)
		return;
	fail(out, CH_KEYS_UNAVAILABLE, f->epoch, "It was given up.");
	finish(f);
	id_cancel(&f->r);
}

static uint64_t revision(const struct ch_svc *svc)
{
	return atomic_load_explicit(&state_of(svc)->key_epoch, memory_order_relaxed);
}

const struct ch_keys_v1 id_keys_service = { sizeof(id_keys_service), find, cancel, revision };
