/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt.h - JSON Web Tokens as the second kind of key: what auth asks, and the answer, in the shape of keys/1 (chimera/keys.h).
 *
 *     token -> jwt_read -> jwt_claims -> key of the set (jwks) -> signature -> struct ch_keys_result
 *                |                              ^
 *                +-- cache, by SHA-256          +-- jwks_file, or fetched from the issuer by http/1 (jwks_source)
 *
 * RFC 7515, 7517, 7518, 7519, 8037, and the advice of RFC 8725: three signatures and no others, an alg that must fit the key, no `crit`, no
 * key that the token brings itself.
 *
 * Threads: find and cancel on any loop, with its ctx; the rest as the functions of struct ch_plugin that they are named after.
 */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include <chimera/keys.h>

struct auth_jwt_conf {                    /* a member of auth's config; its options are AUTH_JWT_OPTIONS */
	const struct ch_svc *http;
	const char *jwks, *jwks_file, *issuer;
	struct ch_list audiences, algorithms;
	int64_t leeway;
	const char *owner_claim, *owner_prefix, *tier_claim, *role_claim, *models_claim, *tier;
	bool admin, insecure;
	int64_t refresh, retry, wait, keep, cache;
};

/* Rows of auth's table of options: f is the struct auth_jwt_conf in its config struct. */
#define AUTH_JWT_OPTIONS(conf, f) \
	CH_OPT_AS(conf, f.jwks, "jwks", STR, .help = "URL of the key set of whoever issues JSON Web Tokens; empty: none is fetched"), \
	CH_OPT_AS(conf, f.jwks_file, "jwks_file", PATH, .flags = CH_O_WATCH, \
		.help = "File of that key set, in place of jwks; read anew when it changes"), \
	CH_OPT_AS(conf, f.issuer, "jwt_issuer", STR, .help = "What a token's iss must be, to the byte; needed with jwks and jwks_file"), \
	CH_OPT_AS(conf, f.audiences, "jwt_audiences", LIST, \
		.help = "Names of this server: a token's aud must hold one of them; needed with jwks and jwks_file"), \
	CH_OPT_AS(conf, f.algorithms, "jwt_algorithms", LIST, .def = "RS256, ES256, EdDSA", \
		.help = "Signatures that count; there are no others than these three"), \
	CH_OPT_AS(conf, f.leeway, "jwt_leeway", DURATION, .def = "30s", .min = "0s", .max = "10m", \
		.help = "How far the issuer's clock may be off, in exp, nbf and iat"), \
	CH_OPT_AS(conf, f.owner_claim, "jwt_owner_claim", STR, .def = "sub", .flags = CH_O_REQUIRED, \
		.help = "The claim whose text is the owner; a token without it is refused"), \
	CH_OPT_AS(conf, f.owner_prefix, "jwt_owner_prefix", STR, .def = "jwt:", \
		.help = "What stands before that text in the owner's name, so that no issuer can name an owner of keys; empty: nothing"), \
	CH_OPT_AS(conf, f.tier_claim, "jwt_tier_claim", STR, .def = "tier", \
		.help = "The claim that names the tier; empty: none does, and all have jwt_tier"), \
	CH_OPT_AS(conf, f.role_claim, "jwt_role_claim", STR, .def = "role", \
		.help = "The claim that may say admin, as a text or in a list; see jwt_admin"), \
	CH_OPT_AS(conf, f.models_claim, "jwt_models_claim", STR, .def = "models", \
		.help = "The claim that names the models a token may use, as a text by comma or a list; without it: all"), \
	CH_OPT_AS(conf, f.tier, "jwt_tier", STR, .def = "api_key", .help = "The tier of a token that names none"), \
	CH_OPT_AS(conf, f.admin, "jwt_admin", BOOL, .def = "no", \
		.help = "Let the issuer make admins: a token whose role claim says admin has that role; no: nobody has it by a token"), \
	CH_OPT_AS(conf, f.http, "jwks_http", SERVICE, .def = "auto", .iface = "http/1", .help = "Who fetches jwks"), \
	CH_OPT_AS(conf, f.insecure, "jwks_insecure", BOOL, .def = "no", \
		.help = "Allow a jwks of http:// that is not on this machine: whoever is on the way can then put in keys of their own"), \
	CH_OPT_AS(conf, f.refresh, "jwks_refresh", DURATION, .def = "1h", .min = "1s", .max = "1d", \
		.help = "The key set is fetched again after this time, or sooner if its Cache-Control says so, but not within a minute"), \
	CH_OPT_AS(conf, f.retry, "jwks_retry", DURATION, .def = "30s", .min = "1s", .max = "1h", \
		.help = "A token of an unknown key has the set fetched at once, but at most this often"), \
	CH_OPT_AS(conf, f.wait, "jwks_wait", DURATION, .def = "3s", .min = "1ms", .max = "1m", \
		.help = "How long a request waits for that; then it is 503"), \
	CH_OPT_AS(conf, f.keep, "jwks_keep", DURATION, .def = "1d", .min = "1m", .max = "30d", \
		.help = "How long the last keys are good while their issuer cannot be reached"), \
	CH_OPT_AS(conf, f.cache, "jwt_cache", INT, .def = "10000", .min = "0", .max = "1000000", \
		.help = "Tokens that are known to be good, until their exp; 0: each is verified each time")

/* The first rows of auth's table of metrics. */
enum { AUTH_JWKS_M_FETCHES, AUTH_JWKS_M_TIME, AUTH_JWT_METRICS_N };
extern const char *const auth_jwks_results[]; /* ended by NULL */
#define AUTH_JWT_METRICS \
	[AUTH_JWKS_M_FETCHES] = { .name = "chimera_auth_jwks_fetches_total", .kind = CH_COUNTER, \
		.labels = { { "result", CH_L_FIXED, auth_jwks_results } }, \
		.help = "Fetches of the issuer's key set: ok, away (no answer), status (one that is not 200), invalid (no set of keys)" }, \
	[AUTH_JWKS_M_TIME] = { .name = "chimera_auth_jwks_timestamp_seconds", .kind = CH_GAUGE, \
		.help = "When the issuer's keys that are in use were fetched or read, since the Unix epoch; 0: there are none" }

struct auth_jwt;                          /* one instance's */

/* In check: are the options good? Reports with ch_config_error. True also if neither jwks nor jwks_file is set. tiers: auth's option. */
bool auth_jwt_check(struct ch_self *, const struct auth_jwt_conf *, const struct ch_list *tiers);
/*
 * In start. CH_OK, or CH_ERROR after it was said why. *out is NULL if neither jwks nor jwks_file is set; the others below do nothing with
 * NULL. conf and tiers must outlive it.
 */
int auth_jwt_start(struct ch_self *, const struct auth_jwt_conf *, const struct ch_list *tiers, struct auth_jwt **out);
/* In adopt: a successor has the keys that its predecessor fetched from the same place. */
void auth_jwt_adopt(struct auth_jwt *, struct auth_jwt *prev);
/* In loop_start and loop_stop, for each loop; only the house loop counts. */
int auth_jwt_loop_start(struct auth_jwt *, struct ch_loop *);
void auth_jwt_loop_stop(struct auth_jwt *, struct ch_loop *);
/* In stop, or after a start that failed later. */
void auth_jwt_free(struct auth_jwt *);

/* Could that be a token, rather than a key? Two dots, and a header in front. False with NULL. */
bool auth_jwt_shaped(const struct auth_jwt *, struct ch_str token);

/*
 * Whose token is it? As find of keys/1: CH_OK: *out is filled now, the ticket is untouched; CH_AGAIN: it will be, and the ticket resumed,
 * exactly once, on this loop; CH_ERROR: no memory. The token and *out live as long as the ctx. What is good is CH_KEYS_OK, with
 * key.id "jwt:" and 16 digits of the token's hash; key.expires is exp and the leeway. All that is wrong with a token is CH_KEYS_UNKNOWN, with
 * the reason in detail, for the log and never for the client. UNAVAILABLE: no key is known, and the issuer cannot be asked.
 * There is no need to cache: this does.
 */
int auth_jwt_find(struct auth_jwt *, struct ch_ctx *, struct ch_str token, struct ch_keys_result *out, ch_ticket);
/* Is the token of that hash one that was good by some keys of the issuer, and has not expired? False with NULL. */
bool auth_jwt_knew(struct auth_jwt *, const unsigned char sha256[32]);
/* Gives up: the ticket is resumed within this turn, or has been. Nothing after that; safe at any time. */
void auth_jwt_cancel(struct auth_jwt *, struct ch_ctx *, struct ch_keys_result *out);

#endif
