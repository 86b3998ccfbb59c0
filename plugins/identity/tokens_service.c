/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens_service.c - tokens/1. A call is one or two data accesses, each with a ticket of ours; between them a step function looks at
 * what came.
 * Secrets lie in the ctx's arena and are wiped with it; the cache and the database hold them encrypted.
 */
#include <openssl/evp.h>

#include "fields.h"
#include "identity.h"

#define FRESH_MS 1000 /* a cached token is given out if the database said so late that nothing had changed: revoke_family promises a second */

struct job {
	struct ch_self *self;
	struct ch_ctx *c;
	struct ch_tokens_result *out;
	ch_ticket outer;
	void (*step)(struct job *); /* when r is there */
	struct id_result r;
	struct id_token token;      /* what is written, or was read */
	const char *old;            /* rotate: the token that is spent */
	struct ch_token fresh;
	unsigned char hash[ID_SHA]; /* current: the cache's key */
	uint64_t epoch;
	bool over, again;
};

/* ---- ends ---- */

static int fail(struct ch_tokens_result *out, int error, const char *detail)
{
	out->error = error;
	out->detail = detail;
	return CH_OK;
}

static void finish(struct job *j)
{
	if (j->over)
		return;
	j->over = true;
	j->out->call = NULL;
	ch_resume(j->outer, NULL, NULL);
}

static void refuse(struct job *j, int error, const char *detail)
{
	fail(j->out, error, detail);
	finish(j);
}

/* What a data access could not do. write: it may have happened all the same. */
static void refuse_for(struct job *j, bool write)
{
	if (j->r.error == ID_NONE)
		refuse(j, CH_TOKENS_NONE, "There is no such token.");
	else if (j->r.error == ID_UNSURE && write)
		refuse(j, CH_TOKENS_UNKNOWN, j->r.detail);
	else
		refuse(j, CH_TOKENS_UNAVAILABLE, j->r.detail);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;

	(void)c, (void)result;
	if (j->over)
		return CH_AGAIN;
	if (why == CH_READY) {
		j->step(j);
		return CH_AGAIN;
	}
	id_cancel(&j->r);
	refuse(j, CH_TOKENS_UNKNOWN, "It was given up before the store had answered.");
	return CH_AGAIN;
}

/* The ticket for the next data access; 0: the call was ended. */
static ch_ticket next(struct job *j, void (*step)(struct job *))
{
	ch_ticket t = ch_suspend(j->c, 0, on_resumed, j);

	j->step = step;
	memset(&j->r, 0, sizeof(j->r));
	if (!t)
		refuse(j, CH_TOKENS_UNAVAILABLE, "The server has no memory for this now; try again later.");
	return t;
}

/* NULL: out has an error, and the ticket is untouched. */
static struct job *begin(const struct ch_svc *svc, struct ch_ctx *c, struct ch_tokens_result *out, ch_ticket ticket)
{
	const struct identity_state *s = svc->self->state;
	struct job *j = s->ring ? ch_alloc(c, sizeof(*j)) : NULL;

	if (!s->ring)
		fail(out, CH_TOKENS_UNAVAILABLE, "This server keeps no tokens: its operator must set encryption_key of [identity].");
	else if (!j)
		fail(out, CH_TOKENS_UNAVAILABLE, "The server has no memory for this now; try again later.");
	if (!j)
		return NULL;
	j->self = svc->self;
	j->c = c;
	j->out = out;
	j->outer = ticket;
	out->call = j;
	return j;
}

/* ---- secrets ---- */

static void wipe(void *data)
{
	struct ch_str *s = data;

	explicit_bzero((char *)(uintptr_t)s->p, s->n);
}

static struct id_belongs belongs(const struct id_token *t, const char *which)
{
	return (struct id_belongs){ t->id, t->user, t->provider, which };
}

/* Plain bytes in the arena, with a NUL behind, wiped with it. A CH_TOKENS_… */
static int open_one(struct ch_self *self, struct ch_ctx *c, const struct id_token *t, const char *which, struct ch_str sealed,
	struct ch_str *out)
{
	const struct identity_state *s = self->state;
	struct id_belongs b = belongs(t, which);
	struct ch_str *kept;
	char *p;

	*out = (struct ch_str){ NULL, 0 };
	if (!sealed.n)
		return CH_TOKENS_OK;
	if (sealed.n < ID_SEAL_MORE)
		return CH_TOKENS_UNREADABLE;
	p = ch_alloc(c, sealed.n - ID_SEAL_MORE + 1);
	kept = ch_alloc(c, sizeof(*kept));
	if (!p || !kept)
		return CH_TOKENS_UNAVAILABLE;
	*kept = (struct ch_str){ p, sealed.n - ID_SEAL_MORE };
	if (!ch_keep(c, wipe, kept))
		return CH_TOKENS_UNAVAILABLE;
	if (!id_open(s->ring, t->key_id, &b, sealed, (unsigned char *)p))
		return CH_TOKENS_UNREADABLE;
	*out = *kept;
	return CH_TOKENS_OK;
}

/* All of *out from a row. */
static int give(struct ch_self *self, struct ch_ctx *c, const struct id_token *t, struct ch_tokens_result *out)
{
	const struct identity_state *s = self->state;
	struct ch_token *to = &out->token;
	int error = open_one(self, c, t, "access", t->access, &to->access);

	if (!error)
		error = open_one(self, c, t, "refresh", t->refresh, &to->refresh);
	if (error == CH_TOKENS_UNREADABLE)
		return fail(out, error, id_ring_has(s->ring, t->key_id)
			? "The token does not open: its row was changed in the database, or belongs to another user."
			: "The token was encrypted with a key that this server does not have: put that into encryption_keys_old of [identity].");
	if (error)
		return fail(out, error, "The server has no memory for this now; try again later.");
	to->id = t->id;
	to->family = t->family;
	to->user = t->user;
	to->provider = t->provider;
	to->expires = t->expires;
	to->revoked = t->spent || t->revoked;
	return fail(out, CH_TOKENS_OK, NULL);
}

static bool seal_one(struct ch_self *self, struct ch_ctx *c, const struct id_token *t, const char *which, struct ch_str *s)
{
	const struct identity_state *state = self->state;
	struct id_belongs b = belongs(t, which);
	struct ch_str plain = *s;
	unsigned char *p = plain.n ? ch_alloc(c, plain.n + ID_SEAL_MORE) : NULL;

	if (!plain.n)
		return true;
	*s = (struct ch_str){ (char *)p, plain.n + ID_SEAL_MORE };
	return p && id_seal(state->ring, &b, plain, p);
}

const char *id_token_seal(struct ch_self *self, struct ch_ctx *c, struct id_token *t)
{
	const struct identity_state *s = self->state;
	char *id = ch_alloc(c, 32), *family = ch_alloc(c, 32);

	if (!id || !family || !ch_id_make(id, "tok_") || !ch_id_make(family, "fam_"))
		return "The server has no memory or no random bytes for this now; try again later.";
	t->id = id;
	t->family = t->family ? t->family : family;
	t->key_id = id_ring_first(s->ring);
	t->created = ch_wall();
	if (!seal_one(self, c, t, "access", &t->access) || !seal_one(self, c, t, "refresh", &t->refresh))
		return "The server could not encrypt the token; try again later.";
	return NULL;
}

/* ---- what a caller gave ---- */

static const char *wrong_in(const struct ch_token *t, bool whole)
{
	if (whole && (!t->user || !id_is_name(t->user, strlen(t->user))))
		return "user must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -";
	if (whole && (!t->provider || !id_is_name(t->provider, strlen(t->provider))))
		return "provider must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -";
	if (whole && t->family && !id_is_name(t->family, strlen(t->family)))
		return "family must be one that a result told";
	if (!t->access.n || t->access.n > ID_SECRET_MAX)
		return "access must have 1 byte to 16 KiB";
	if (t->refresh.n > ID_SECRET_MAX)
		return "refresh must have at most 16 KiB";
	return t->expires < 0 ? "expires must not be negative" : NULL;
}

/* ---- persist ---- */

static void on_persisted(struct job *j)
{
	if (j->r.error == ID_NONE)
		refuse(j, CH_TOKENS_NONE, "There is no such family of this user at this provider, or it was revoked.");
	else if (j->r.error)
		refuse_for(j, true);
	else {
		j->out->token.id = j->token.id;
		j->out->token.family = j->token.family;
		finish(j);
	}
}

static int persist(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_token *t, struct ch_tokens_result *out, ch_ticket ticket)
{
	const char *wrong = wrong_in(t, true);
	struct job *j = wrong ? NULL : begin(svc, c, out, ticket);
	ch_ticket own;

	if (wrong)
		return fail(out, CH_TOKENS_BAD_REQUEST, wrong);
	if (!j)
		return CH_OK;
	j->token = (struct id_token){ .family = t->family, .user = t->user, .provider = t->provider, .access = t->access,
		.refresh = t->refresh,
		.expires = t->expires };
	wrong = id_token_seal(svc->self, c, &j->token);
	if (wrong) {
		out->call = NULL;
		return fail(out, CH_TOKENS_UNAVAILABLE, wrong);
	}
	own = next(j, on_persisted);
	if (own)
		id_token_add(svc->self, c, &j->token, t->family, &j->r, own);
	return CH_AGAIN;
}

/* ---- get_by_id ---- */

static void on_got(struct job *j)
{
	if (j->r.error)
		refuse_for(j, false);
	else {
		give(j->self, j->c, j->r.rows, j->out);
		finish(j);
	}
}

static int get_by_id(const struct ch_svc *svc, struct ch_ctx *c, const char *id, struct ch_tokens_result *out, ch_ticket ticket)
{
	bool known = id_is_name(id, strlen(id));
	struct job *j = known ? begin(svc, c, out, ticket) : NULL;
	ch_ticket own = j ? next(j, on_got) : 0;

	if (!known)
		return fail(out, CH_TOKENS_NONE, "There is no such token.");
	if (own)
		id_token_get(svc->self, c, id, &j->r, own);
	return j ? CH_AGAIN : CH_OK;
}

/* ---- current ---- */

enum { EXPIRES, CREATED };
enum { ID, FAMILY, USER, PROVIDER, ACCESS, REFRESH, KEY_ID };

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

static struct id_pack pack(const struct id_token *t)
{
	return (struct id_pack){
		.number = { [EXPIRES] = t->expires, [CREATED] = t->created },
		.text = { [ID] = str(t->id), [FAMILY] = str(t->family), [USER] = str(t->user), [PROVIDER] = str(t->provider),
		[ACCESS] = t->access,
			[REFRESH] = t->refresh, [KEY_ID] = str(t->key_id) },
	};
}

static struct id_token unpack(const struct id_pack *p)
{
	return (struct id_token){ .id = p->text[ID].p, .family = p->text[FAMILY].p, .user = p->text[USER].p,
		.provider = p->text[PROVIDER].p,
		.access = p->text[ACCESS], .refresh = p->text[REFRESH], .key_id = p->text[KEY_ID].p, .expires = p->number[EXPIRES],
		.created = p->number[CREATED] };
}

static bool hash(const char *user, const char *provider, unsigned char out[ID_SHA])
{
	char both[2 * (ID_NAME_MAX + 1)];
	size_t u = strlen(user), p = strlen(provider);

	memcpy(both, user, u + 1);
	memcpy(both + u + 1, provider, p + 1);
	return EVP_Digest(both, u + p + 2, out, NULL, EVP_sha256(), NULL) == 1;
}

static void on_current(struct job *j)
{
	struct identity_state *s = j->self->state;
	struct id_pack p;
	unsigned driven = 0;

	if (j->r.error == ID_NONE) {
		driven = id_cache_put(s->tokens, j->hash, j->epoch, NULL);
		fail(j->out, CH_TOKENS_NONE, "This user has no token of this provider.");
	} else if (!j->r.error) {
		p = pack(j->r.rows);
		driven = id_cache_put(s->tokens, j->hash, j->epoch, &p);
		give(j->self, j->c, j->r.rows, j->out);
	}
	if (driven)
		ch_add(s->evictions[ID_TOKENS], driven);
	if (j->r.error && j->r.error != ID_NONE)
		refuse_for(j, false);
	finish(j);
}

static int current(const struct ch_svc *svc, struct ch_ctx *c, const char *user, const char *provider, struct ch_tokens_result *out,
	ch_ticket ticket)
{
	struct identity_state *s = svc->self->state;
	uint64_t epoch = atomic_load(&s->token_epoch);
	bool fresh = id_revision_age(svc->self) <= FRESH_MS;
	enum id_cached cached = ID_MISS;
	unsigned char key[ID_SHA];
	struct id_token t;
	struct id_pack p;
	struct job *j;
	ch_ticket own;

	if (!id_is_name(user, strlen(user)) || !id_is_name(provider, strlen(provider)) || !hash(user, provider, key))
		return fail(out, CH_TOKENS_NONE, "No user or provider has such a name.");
	if (fresh && s->ring)
		cached = id_cache_get(s->tokens, c, key, epoch, &p);
	if (cached == ID_FOUND && p.number[EXPIRES] && p.number[EXPIRES] <= ch_wall())
		cached = ID_MISS; /* there may be another one that is older and lives longer */
	ch_add(cached ? s->hits[ID_TOKENS] : s->misses[ID_TOKENS], 1);
	if (cached == ID_ABSENT)
		return fail(out, CH_TOKENS_NONE, "This user has no token of this provider.");
	if (cached == ID_FOUND) {
		t = unpack(&p);
		return give(svc->self, c, &t, out);
	}
	if (atomic_load(&s->away) && s->ring)
		return fail(out, CH_TOKENS_UNAVAILABLE, "The store of tokens cannot be reached now; try again later.");
	j = begin(svc, c, out, ticket);
	if (!j)
		return CH_OK;
	memcpy(j->hash, key, ID_SHA);
	j->epoch = epoch;
	own = next(j, on_current);
	if (own)
		id_token_current(svc->self, c, user, provider, &j->r, own);
	return CH_AGAIN;
}

/* ---- rotate ---- */

static void read_old(struct job *j);

static void on_family_revoked(struct job *j)
{
	if (j->r.error)
		refuse_for(j, true);
	else
		refuse(j, CH_TOKENS_REUSED,
		"The token was spent already, so somebody else has it: its family is revoked, and its user must sign in anew.");
}

static void on_replaced(struct job *j)
{
	if (j->r.error == ID_NONE && !j->again) { /* somebody was quicker: what is it now? */
		j->again = true;
		read_old(j);
	} else {
		on_persisted(j);
	}
}

static void on_old(struct job *j)
{
	const struct id_token *old = j->r.rows;
	const char *wrong;
	ch_ticket own;

	if (j->r.error) {
		refuse_for(j, false);
		return;
	}
	j->token = (struct id_token){ .family = old->family, .user = old->user, .provider = old->provider, .access = j->fresh.access,
		.refresh = j->fresh.refresh, .expires = j->fresh.expires };
	if (old->spent) {
		ch_log(j->self, j->c, CH_WARN, "token %s was used again after it had been spent: its family %s is revoked", old->id,
			old->family);
		own = next(j, on_family_revoked);
		if (own)
			id_family_revoke(j->self, j->c, j->token.family, &j->r, own);
		return;
	}
	wrong = old->revoked ? "The token was revoked." : id_token_seal(j->self, j->c, &j->token);
	if (wrong) {
		refuse(j, old->revoked ? CH_TOKENS_NONE : CH_TOKENS_UNAVAILABLE, wrong);
		return;
	}
	own = next(j, on_replaced);
	if (own)
		id_token_replace(j->self, j->c, j->old, &j->token, &j->r, own);
}

static void read_old(struct job *j)
{
	ch_ticket own = next(j, on_old);

	if (own)
		id_token_get(j->self, j->c, j->old, &j->r, own);
}

static int rotate(const struct ch_svc *svc, struct ch_ctx *c, const char *id, const struct ch_token *fresh, struct ch_tokens_result *out,
	ch_ticket ticket)
{
	const char *wrong = id_is_name(id, strlen(id)) ? wrong_in(fresh, false) : "id must be one that a result told";
	struct job *j = wrong ? NULL : begin(svc, c, out, ticket);

	if (wrong)
		return fail(out, CH_TOKENS_BAD_REQUEST, wrong);
	if (!j)
		return CH_OK;
	j->old = id;
	j->fresh = *fresh;
	read_old(j);
	return CH_AGAIN;
}

/* ---- revoke_family ---- */

static void on_revoked(struct job *j)
{
	if (j->r.error) {
		refuse_for(j, true);
		return;
	}
	j->out->revoked = j->r.count;
	finish(j);
}

static int revoke_family(const struct ch_svc *svc, struct ch_ctx *c, const char *user, const char *provider, struct ch_tokens_result *out,
	ch_ticket ticket)
{
	bool named = id_is_name(user, strlen(user)) && id_is_name(provider, strlen(provider));
	struct job *j = named ? begin(svc, c, out, ticket) : NULL;
	ch_ticket own = j ? next(j, on_revoked) : 0;

	if (!named)
		return fail(out, CH_TOKENS_BAD_REQUEST, "user and provider must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -");
	if (own)
		id_tokens_revoke(svc->self, c, user, provider, &j->r, own);
	return j ? CH_AGAIN : CH_OK;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_tokens_result *out)
{
	struct job *j = out->call;

	(void)svc, (void)c;
	if (!j || j->over)
		return;
	refuse(j, CH_TOKENS_UNKNOWN, "It was given up.");
	id_cancel(&j->r);
}

const struct ch_tokens_v1 id_tokens_service = { sizeof(id_tokens_service), persist, get_by_id, current, rotate, revoke_family, cancel };
