/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook.c - AUTH: what a request shows is judged by what is known here, and where that is not enough searched for (search.c).
 *
 * Threads and ownership: on the request's loop. The loop holds the table; what the request needs of a key is copied into its arena.
 */
#include "auth.h"
#include "failures.h"
#include "shown.h"

#define REALM "Bearer realm=\"chimera\""

static const char no_memory[] = "The server has no memory for this request now; try again later.";

/* ---- refusals ---- */

static int refuse_missing(struct ch_self *self, struct ch_ctx *c, const char *why)
{
	auth_count(self->state, AUTH_M_NONE, AUTH_R_MISSING);
	ch_header_set(c, "WWW-Authenticate", REALM);
	return ch_refuse(c, CH_E_UNAUTHORIZED, 0, "%s", why);
}

int auth_refuse_wrong(struct ch_self *self, struct ch_ctx *c, enum auth_method m, enum auth_result result)
{
	const struct auth *a = self->state;

	if (a->failures)
		auth_failures_add(a->failures, ch_facts(c)->client, ch_now());
	auth_count(a, m, result);
	ch_header_set(c, "WWW-Authenticate", REALM ", error=\"invalid_token\"");
	return ch_refuse(c, CH_E_UNAUTHORIZED, 0, "This key is not valid here: check it, or ask the operator for another one.");
}

/* ---- the facts ---- */

static const char *put(char **at, const char *text)
{
	size_t n = strlen(text) + 1;
	char *p = memcpy(*at, text, n);

	*at += n;
	return p;
}

int auth_grant(struct ch_self *self, struct ch_ctx *c, enum auth_method m, const struct ch_key *k)
{
	const struct auth *a = self->state;
	const char *tier = *k->tier ? k->tier : AUTH_CONFIG_KEY, *why;
	struct ch_facts *facts = ch_facts(c);
	char *p = ch_alloc(c, strlen(k->id) + strlen(k->owner) + strlen(tier) + strlen(k->limits) + 4);
	int code;

	if (!p || !auth_restrict(self, c, k->models, k->backends))
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "%s", no_memory);
	facts->key = put(&p, k->id);
	facts->owner = *k->owner ? put(&p, k->owner) : NULL;
	facts->tier = put(&p, tier);
	facts->limits = put(&p, k->limits);
	facts->role = k->role;
	code = auth_allowed(a->conf, c, k, &why);
	if (!code) {
		auth_count(a, m, AUTH_R_OK);
		return CH_OK;
	}
	auth_count(a, m, AUTH_R_FORBIDDEN);
	return ch_refuse(c, code, 0, "%s", why);
}

/* No key was shown. What is for operators the core judges by where it comes from. */
static int without(struct ch_self *self, struct ch_ctx *c, const struct ch_route *route)
{
	static const char wanted[] = "A key is needed: send it in the header Authorization (Bearer), X-Api-Key or Api-Key.";
	const struct auth *a = self->state;
	const struct auth_conf *conf = a->conf;
	struct ch_facts *facts = ch_facts(c);

	if (route->cls == CH_OPS)
		return CH_OK;
	if (route->cls == CH_ADMIN || !conf->anonymous)
		return refuse_missing(self, c, wanted);
	if (route->tier && !auth_is_tier(conf, "anonymous", route->tier))
		return refuse_missing(self, c, "This route wants a key: send it in the header Authorization (Bearer), X-Api-Key or Api-Key.");
	facts->tier = "anonymous";
	facts->role = CH_ROLE_NONE;
	auth_count(a, AUTH_M_NONE, AUTH_R_ANONYMOUS);
	return CH_OK;
}

int auth_on_request(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_route *route = ch_route(c);
	unsigned char sha256[CH_SHA256];
	const struct ch_key *key;
	struct auth_shown shown;
	const char *why;
	int outcome;

	if (!route || route->cls == CH_OPEN)
		return CH_OK;
	why = auth_read_shown(c, &shown);
	if (why) {
		auth_count(self->state, AUTH_M_NONE, AUTH_R_MALFORMED);
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", why);
	}
	if (!shown.any)
		return without(self, c, route);
	outcome = auth_verify(auth_loop(self, ch_loop(c))->table, shown.key, ch_wall(), sha256, &key);
	if (shown.foreign) { /* nobody has a key with that hash */
		memset(sha256, 0, sizeof(sha256));
		outcome = AUTH_UNKNOWN;
	}
	if (outcome == AUTH_GOOD)
		return auth_grant(self, c, AUTH_M_KEY, key);
	return auth_search(self, c, shown.key, shown.bearer, sha256, outcome);
}
