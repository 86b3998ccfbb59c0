/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - keys/1 over the config's key and the keys file: all of it is in memory, so a question is answered at once. */
#include "auth.h"

static const char *copy(struct ch_ctx *c, const char *s, bool *ok)
{
	char *p = *s ? ch_dup(c, s, strlen(s)) : NULL;

	*ok = *ok && (p || !*s);
	return p ? p : "";
}

static int find(const struct ch_svc *svc, struct ch_ctx *c, const unsigned char sha256[32], struct ch_keys_result *out, ch_ticket ticket)
{
	struct auth *a = svc->self->state;
	struct auth_table *t;
	const struct ch_key *k;
	bool ok = true;

	(void)ticket;
	out->revision = atomic_load(&a->revision);
	pthread_mutex_lock(&a->lock);
	t = auth_table_hold(a->table);
	pthread_mutex_unlock(&a->lock);
	k = auth_find(t, sha256);
	out->error = k ? CH_KEYS_OK : CH_KEYS_UNKNOWN;
	if (k) {
		out->key.id = copy(c, k->id, &ok);
		out->key.owner = copy(c, k->owner, &ok);
		out->key.tier = copy(c, k->tier, &ok);
		out->key.role = k->role;
		out->key.expires = k->expires;
		out->key.disabled = k->disabled;
		out->key.models = copy(c, k->models, &ok);
		out->key.routes = copy(c, k->routes, &ok);
		out->key.backends = copy(c, k->backends, &ok);
		out->key.networks = copy(c, k->networks, &ok);
		out->key.limits = copy(c, k->limits, &ok);
	}
	auth_table_put(t);
	if (!ok) {
		out->error = CH_KEYS_UNAVAILABLE;
		out->detail = "The server has no memory for this now; try again later.";
	}
	return CH_OK;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_keys_result *out)
{
	(void)svc, (void)c, (void)out; /* nothing ever runs */
}

static uint64_t revision(const struct ch_svc *svc)
{
	return atomic_load_explicit(&((struct auth *)svc->self->state)->revision, memory_order_relaxed);
}

const struct ch_keys_v1 auth_keys_service = { sizeof(auth_keys_service), find, cancel, revision };
