/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.c - options, and a token's way: known already, or read, held against the rules and verified, or waiting for a new set of keys. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "jwks_source.h"
#include "jwt.h"
#include "jwt_cache.h"

struct auth_jwt {
	struct ch_self *self;
	const struct auth_jwt_conf *conf;
	struct jwt_rules rules;
	int algs;
	struct jwks_source *source;
	struct jwt_cache *cache; /* NULL: none is wanted */
};

/* ---- options ---- */

static bool is_on(const struct auth_jwt_conf *conf)
{
	return conf->jwks[0] || conf->jwks_file[0];
}

static int algs_of(const struct auth_jwt_conf *conf)
{
	int algs = 0;

	for (size_t i = 0; i < conf->algorithms.n; i++) {
		int alg = jwt_alg_read(conf->algorithms.v[i].p, conf->algorithms.v[i].n);

		if (!alg)
			return 0;
		algs |= alg;
	}
	return algs;
}

/* On the way to another machine somebody could change what is not protected. */
static bool check_url(struct ch_self *self, const struct auth_jwt_conf *conf)
{
	bool https = !strncasecmp(conf->jwks, "https://", 8), plain = !strncasecmp(conf->jwks, "http://", 7);
	const char *host = conf->jwks + (https ? 8 : plain ? 7 : 0);
	size_t n = strcspn(host, "/?#");

	if (!(https || plain) || !n || memchr(host, '@', n)) {
		ch_config_error(self, NULL, "jwks", "\"%s\" is no URL of a key set: write it as https://issuer.example/keys", conf->jwks);
		return false;
	}
	if (https)
		return true;
	n = strcspn(host, ":/?#");
	if (conf->insecure || (n > 4 && n == strspn(host, "0123456789.") && !strncmp(host, "127.", 4)) || !strncmp(host, "[::1]", 5) ||
		(n == 9 && !strncasecmp(host, "localhost", 9)))
		return true;
	ch_config_error(self, NULL, "jwks", "\"%s\" is http: whoever is on the way could put in keys of their own; use https, or say "
		"jwks_insecure = yes", conf->jwks);
	return false;
}

/* NULL: it was reported. */
static struct jwks *read_file(struct ch_self *self, const struct auth_jwt_conf *conf, int algs, char *why, size_t cap)
{
	FILE *f = fopen(conf->jwks_file, "rbe");
	char *text = f ? malloc(JWKS_MAX + 1) : NULL;
	size_t n = text ? fread(text, 1, JWKS_MAX + 1, f) : 0;
	struct jwks *set = NULL;

	if (!text || ferror(f))
		ch_config_error(self, NULL, "jwks_file", "%s cannot be read: %m", conf->jwks_file);
	else if (!(set = jwks_read(text, n, algs, why, cap)))
		ch_config_error(self, NULL, "jwks_file", "%s is no set of keys that can be used: %s", conf->jwks_file, why);
	free(text);
	if (f)
		fclose(f);
	return set;
}

#define PREFIX_MAX 64

static bool is_prefix(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/-");

	return !text[n] && n <= PREFIX_MAX;
}

static bool has_tier(const struct ch_list *tiers, const char *name)
{
	for (size_t i = 0; i < tiers->n; i++)
		if (!strcmp(tiers->v[i].p, name))
			return true;
	return false;
}

bool auth_jwt_check(struct ch_self *self, const struct auth_jwt_conf *conf, const struct ch_list *tiers)
{
	int algs = algs_of(conf);
	bool ok = true;

	if (!algs) {
		ch_config_error(self, NULL, "jwt_algorithms", "it must hold some of RS256, ES256 and EdDSA, and nothing else");
		ok = false;
	}
	if (!is_on(conf))
		return ok;
	if (conf->jwks[0] && conf->jwks_file[0]) {
		ch_config_error(self, NULL, "jwks_file", "jwks is set too: keep one of both");
		ok = false;
	}
	if (!conf->issuer[0]) {
		ch_config_error(self, NULL, "jwt_issuer", "it is empty: without it a token of any issuer with these keys would do");
		ok = false;
	}
	if (!conf->audiences.n) {
		ch_config_error(self, NULL, "jwt_audiences", "it is empty: without it a token that was made for another service would do");
		ok = false;
	}
	if (!has_tier(tiers, conf->tier)) {
		ch_config_error(self, NULL, "jwt_tier", "\"%s\" is none of tiers", conf->tier);
		ok = false;
	}
	if (!is_prefix(conf->owner_prefix)) {
		ch_config_error(self, NULL, "jwt_owner_prefix", "it must be at most %d of the characters A-Z a-z 0-9 . _ @ : / -",
			PREFIX_MAX);
		ok = false;
	}
	if (conf->jwks[0] && !conf->http) {
		ch_config_error(self, NULL, "jwks_http", "jwks needs somebody who speaks HTTP: add a section [http_client]");
		ok = false;
	}
	if (conf->jwks[0])
		ok &= check_url(self, conf);
	if (conf->jwks_file[0] && algs) {
		char why[200];
		struct jwks *set = read_file(self, conf, algs, why, sizeof(why));

		ok &= set != NULL;
		jwks_let(set);
	}
	return ok;
}

/* ---- life ---- */

void auth_jwt_free(struct auth_jwt *jwt)
{
	if (!jwt)
		return;
	jwks_source_free(jwt->source);
	jwt_cache_free(jwt->cache);
	free(jwt);
}

static bool use_file(struct ch_self *self, struct auth_jwt *jwt)
{
	char why[200] = "";
	struct jwks *set = read_file(self, jwt->conf, jwt->algs, why, sizeof(why));

	if (!set)
		return false;
	if (why[0])
		ch_log(self, NULL, CH_WARN, "jwks_file: %s", why);
	jwks_source_put(jwt->source, set);
	return true;
}

int auth_jwt_start(struct ch_self *self, const struct auth_jwt_conf *conf, const struct ch_list *tiers, struct auth_jwt **out)
{
	struct auth_jwt *jwt;

	*out = NULL;
	if (!is_on(conf))
		return CH_OK;
	jwt = calloc(1, sizeof(*jwt));
	if (!jwt)
		return CH_ERROR;
	jwt->self = self;
	jwt->conf = conf;
	jwt->algs = algs_of(conf);
	jwt->rules = (struct jwt_rules){ .issuer = conf->issuer, .audiences = conf->audiences, .tiers = *tiers, .tier = conf->tier,
		.owner_claim = conf->owner_claim, .tier_claim = conf->tier_claim, .role_claim = conf->role_claim,
		.models_claim = conf->models_claim, .admin = conf->admin, .leeway = conf->leeway * 1000 };
	jwt->source = jwks_source_new(self, conf, jwt->algs);
	jwt->cache = conf->cache ? jwt_cache_new((size_t)conf->cache) : NULL;
	if (!jwt->source || (conf->cache && !jwt->cache) || (conf->jwks_file[0] && !use_file(self, jwt))) {
		auth_jwt_free(jwt);
		return CH_ERROR;
	}
	*out = jwt;
	return CH_OK;
}

void auth_jwt_adopt(struct auth_jwt *jwt, struct auth_jwt *prev)
{
	if (jwt && prev)
		jwks_source_adopt(jwt->source, prev->source);
}

static bool is_house(struct ch_loop *loop)
{
	return !ch_loop_at(ch_loop_index(loop) + 1);
}

int auth_jwt_loop_start(struct auth_jwt *jwt, struct ch_loop *loop)
{
	return jwt && is_house(loop) ? jwks_source_start(jwt->source, loop) : CH_OK;
}

void auth_jwt_loop_stop(struct auth_jwt *jwt, struct ch_loop *loop)
{
	if (jwt && is_house(loop))
		jwks_source_stop(jwt->source);
}

/* ---- a token ---- */

bool auth_jwt_shaped(const struct auth_jwt *jwt, struct ch_str token)
{
	size_t dots = 0, at[2] = { 0 };

	if (!jwt)
		return false;
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] != '.')
			continue;
		if (dots == 2)
			return false;
		at[dots++] = i;
	}
	/* Each JSON object that is written without blanks begins with eyJ in base64, and a header always is. */
	return dots == 2 && at[0] >= 3 && !memcmp(token.p, "eyJ", 3) && at[1] > at[0] + 1 && at[1] + 1 < token.n;
}

struct find {                             /* one that waits for keys, or might */
	struct auth_jwt *jwt;
	struct ch_ctx *c;
	struct ch_str token;
	struct ch_keys_result *out;
	ch_ticket outer;                  /* 0: it is over */
	struct jwks_waiter waiter;
	unsigned char hash[CH_SHA256];
};

static int say(struct ch_keys_result *out, int error, const char *detail)
{
	out->error = error;
	out->detail = detail;
	return CH_OK;
}

/* The client is told nothing of why. */
static int refuse(const struct find *f, const char *why)
{
	ch_log(f->jwt->self, f->c, CH_DEBUG, "a token is refused: %s", why);
	return say(f->out, CH_KEYS_UNKNOWN, why);
}

/* Texts that belong to the ctx, in one piece. */
static int fill(struct ch_ctx *c, const char *prefix, const unsigned char hash[CH_SHA256], const struct jwt_who *who,
	struct ch_keys_result *out)
{
	size_t before = strlen(prefix), owner = before + strlen(who->owner) + 1, models = strlen(who->models) + 1;
	char *text = ch_alloc(c, 4 + 16 + 1 + owner + models);

	if (!text)
		return CH_ERROR;
	memcpy(text, "jwt:", 4);
	ch_hex(hash, 8, text + 4);
	memcpy(text + 21, prefix, before);
	memcpy(text + 21 + before, who->owner, owner - before);
	memcpy(text + 21 + owner, who->models, models);
	out->error = CH_KEYS_OK;
	out->key = (struct ch_key){ .size = out->key.size, .id = text, .owner = text + 21, .models = text + 21 + owner, .tier = who->tier,
		.role = who->role, .expires = who->expires, .routes = "", .backends = "", .networks = "", .limits = "" };
	return CH_OK;
}

/* CH_AGAIN: only a newer set of keys can tell. */
static int judge(struct find *f)
{
	struct auth_jwt *jwt = f->jwt;
	char *room = ch_alloc(f->c, f->token.n + 1);
	int64_t now = ch_wall();
	uint64_t generation;
	struct jwt_who who;
	struct jwks *set;
	struct jwt t;
	const char *why;
	int rc = JWKS_UNKNOWN_KID;

	if (!room)
		return CH_ERROR;
	why = jwt_read(f->token, room, &t);
	if (!why && !(jwt->algs & t.alg))
		why = "its alg is none of jwt_algorithms";
	if (!why)
		why = jwt_claims(t.claims, &jwt->rules, now, &who);
	if (why)
		return refuse(f, why);
	set = jwks_source_hold(jwt->source, &generation);
	if (set)
		rc = jwks_verify(set, &t, &why);
	jwks_let(set);
	if (rc == JWKS_UNKNOWN_KID)
		return CH_AGAIN;
	if (rc == JWKS_BAD)
		return refuse(f, why);
	if (jwt->cache)
		jwt_cache_put(jwt->cache, f->hash, generation, &who, now);
	return fill(f->c, jwt->conf->owner_prefix, f->hash, &who, f->out);
}

static const char away[] = "The keys of the tokens' issuer cannot be had now; try again later.";

/* No newer set is to be had. Without any, nobody knows whether the token is good. */
static int give_up(struct find *f, bool answered)
{
	return answered && jwks_source_generation(f->jwt->source) ? refuse(f, "its kid is not known")
		: say(f->out, CH_KEYS_UNAVAILABLE, away);
}

static void finish(struct find *f)
{
	ch_ticket outer = f->outer;

	f->outer = 0;
	f->out->call = NULL;
	ch_resume(outer, NULL, NULL);
}

static int on_keys(struct ch_ctx *c, void *data, int why, void *result)
{
	struct find *f = data;
	int rc;

	(void)c, (void)result;
	if (!f->outer)
		return CH_AGAIN; /* given up */
	if (why != CH_READY && jwks_source_forget(f->jwt->source, &f->waiter))
		ch_unsuspend(f->waiter.ticket);
	rc = why == CH_READY ? judge(f) : CH_ERROR;
	if (rc == CH_AGAIN)
		give_up(f, jwks_source_answered(f->jwt->source));
	else if (rc == CH_ERROR)
		say(f->out, CH_KEYS_UNAVAILABLE, away);
	finish(f);
	return CH_AGAIN;
}

static int wait(struct find *f, ch_ticket outer)
{
	int rc;

	f->waiter.ticket = ch_suspend(f->c, f->jwt->conf->wait, on_keys, f);
	if (!f->waiter.ticket)
		return say(f->out, CH_KEYS_UNAVAILABLE, "The server has no memory for this now; try again later.");
	f->outer = outer;
	f->out->call = f;
	rc = jwks_source_ask(f->jwt->source, &f->waiter);
	if (rc == JWKS_WAIT)
		return CH_AGAIN;
	ch_unsuspend(f->waiter.ticket);
	f->out->call = NULL;
	return give_up(f, rc == JWKS_FRESH);
}

int auth_jwt_find(struct auth_jwt *jwt, struct ch_ctx *c, struct ch_str token, struct ch_keys_result *out, ch_ticket ticket)
{
	uint64_t generation = jwks_source_generation(jwt->source);
	unsigned char hash[CH_SHA256];
	struct jwt_who who;
	struct find *f;
	int rc;

	ch_sha256(&token, 1, hash);
	if (jwt->cache && generation && jwt_cache_get(jwt->cache, hash, generation, ch_wall(), &who))
		return fill(c, jwt->conf->owner_prefix, hash, &who, out);
	f = ch_alloc(c, sizeof(*f));
	if (!f)
		return CH_ERROR;
	f->jwt = jwt;
	f->c = c;
	f->token = token;
	f->out = out;
	memcpy(f->hash, hash, sizeof(hash));
	rc = judge(f);
	return rc == CH_AGAIN ? wait(f, ticket) : rc;
}

bool auth_jwt_knew(struct auth_jwt *jwt, const unsigned char sha256[CH_SHA256])
{
	return jwt && jwt->cache && jwt_cache_knows(jwt->cache, sha256, ch_wall());
}

void auth_jwt_cancel(struct auth_jwt *jwt, struct ch_ctx *c, struct ch_keys_result *out)
{
	struct find *f = out->call;

	(void)c;
	if (!f || !f->outer)
		return;
	if (jwks_source_forget(jwt->source, &f->waiter))
		ch_unsuspend(f->waiter.ticket);
	say(out, CH_KEYS_UNAVAILABLE, away);
	finish(f);
}
