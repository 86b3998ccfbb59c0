/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - API keys and tokens: options, metrics, life. auth.h says where the rest is.
 *
 * Threads and ownership: a table of keys never changes. The newest lies in struct auth, under its lock; each loop holds one of its own and
 * takes the newest when it sees that the revision is another. Who publishes is the boot thread or the one that watches the file.
 */
#include <stdlib.h>

#include <chimera/inspect.h>

#include "auth.h"
#include "cache.h"
#include "failures.h"
#include "file.h"

/* ---- options ---- */

static const struct ch_option options[] = {
	CH_OPT(struct auth_conf, anonymous, BOOL, .def = "no", .dev_def = "yes",
		.help = "Let in requests without a key, as tier anonymous; one with a wrong key is refused either way"),
	CH_OPT(struct auth_conf, api_key, STR, .flags = CH_O_SECRET, .env = "BANTER_API_KEY:deprecated",
		.help = "One key of tier api_key, where one is enough; empty: there is none"),
	CH_OPT(struct auth_conf, keys_file, PATH,
		.help = "File of keys, hashed, which chimeractl keys writes; it is read again by itself when it changes"),
	CH_OPT(struct auth_conf, stores, SERVICES, .def = "*", .iface = "keys/1",
		.help = "Who else knows keys, asked in this order for what is in neither of the two above"),
	CH_OPT(struct auth_conf, tiers, LIST, .def = "anonymous, api_key, premium, admin",
		.help = "All tiers, the least one first: a route that wants a tier is open to those behind it, too"),
	CH_OPT(struct auth_conf, failures, RATE, .flags = CH_O_OFF, .def = "20/min",
		.help = "Wrong keys that one address (of IPv6 one /64) may show; beyond that, what is not known to be good is 429"),
	CH_OPT(struct auth_conf, failures_burst, INT, .def = "20", .min = "1", .max = "1000000",
		.help = "So many of them at once"),
	CH_OPT(struct auth_conf, store_timeout, DURATION, .def = "2s", .min = "1ms", .max = "1m",
		.help = "How long a store may take to find a key; then it is 503"),
	CH_OPT(struct auth_conf, cache_ttl, DURATION, .def = "5s", .min = "100ms", .max = "1h",
		.help = "How long a store's answer is believed at most; if it says that something has changed, it is asked again at once"),
	CH_OPT(struct auth_conf, cache_keys, INT, .def = "10000", .min = "1", .max = "10000000",
		.help = "Keys of stores in memory, and as many that are known not to be there"),
	AUTH_JWT_OPTIONS(struct auth_conf, jwt),
};

/* ---- metrics ---- */

enum { M_REQUESTS = AUTH_JWT_METRICS_N, M_HITS, M_MISSES, M_KEYS, M_FILE_ERRORS };

static const char *const methods[] = { [AUTH_M_NONE] = "none", [AUTH_M_KEY] = "key", [AUTH_M_JWT] = "jwt", NULL };
static const char *const results[] = {
	[AUTH_R_OK] = "ok", [AUTH_R_UNKNOWN] = "unknown", [AUTH_R_DISABLED] = "disabled", [AUTH_R_EXPIRED] = "expired",
	[AUTH_R_ANONYMOUS] = "anonymous", [AUTH_R_MISSING] = "missing", [AUTH_R_MALFORMED] = "malformed", [AUTH_R_FORBIDDEN] = "forbidden",
	[AUTH_R_LIMITED] = "limited", [AUTH_R_UNAVAILABLE] = "unavailable", NULL
};

static const struct ch_metric metrics[] = {
	AUTH_JWT_METRICS,
	[M_REQUESTS] = { .name = "chimera_auth_requests_total", .kind = CH_COUNTER,
		.labels = { { "method", CH_L_FIXED, methods }, { "outcome", CH_L_FIXED, results } },
		.help = "Requests by what they showed and what became of it" },
	[M_HITS] = { .name = "chimera_auth_cache_hits_total", .kind = CH_COUNTER, .help = "Questions to stores that were answered from memory" },
	[M_MISSES] = { .name = "chimera_auth_cache_misses_total", .kind = CH_COUNTER, .help = "Questions to stores that were not" },
	[M_KEYS] = { .name = "chimera_auth_keys", .kind = CH_GAUGE, .help = "Keys of the config and the keys file" },
	[M_FILE_ERRORS] = { .name = "chimera_auth_keys_file_errors_total", .kind = CH_COUNTER,
		.help = "Changes of the keys file that were not taken, because it could not be read or is wrong" },
};

static void series(struct ch_self *self)
{
	struct auth *a = self->state;

	for (size_t m = 0; m < AUTH_METHODS; m++)
		for (size_t r = 0; r < AUTH_RESULTS; r++)
			if ((m == AUTH_M_NONE) == (r >= AUTH_R_ANONYMOUS && r <= AUTH_R_MALFORMED)) /* of others there is never one */
				a->results[m][r] = ch_series(self, M_REQUESTS, (const char *const[]){ methods[m], results[r] });
	a->hits = ch_series(self, M_HITS, NULL);
	a->misses = ch_series(self, M_MISSES, NULL);
	a->keys = ch_series(self, M_KEYS, NULL);
	a->file_errors = ch_series(self, M_FILE_ERRORS, NULL);
}

/* ---- the table ---- */

void auth_publish(struct ch_self *self, struct auth_table *t)
{
	struct auth *a = self->state;
	struct auth_table *was;

	pthread_mutex_lock(&a->lock);
	was = a->table;
	a->table = t;
	atomic_fetch_add(&a->revision, 1);
	pthread_mutex_unlock(&a->lock);
	ch_set(a->keys, (double)auth_table_count(t));
	auth_table_put(was);
}

static void refresh(struct auth *a, struct auth_loop *l)
{
	auth_table_put(l->table);
	pthread_mutex_lock(&a->lock);
	l->table = auth_table_hold(a->table);
	l->revision = atomic_load(&a->revision);
	pthread_mutex_unlock(&a->lock);
}

struct auth_loop *auth_loop(struct ch_self *self, struct ch_loop *loop)
{
	struct auth *a = self->state;
	struct auth_loop *l = *ch_loop_state(self, loop);

	if (l->revision != atomic_load_explicit(&a->revision, memory_order_acquire))
		refresh(a, l);
	return l;
}

/* ---- check ---- */

static void count_auths(void *data, const struct ch_instance *i)
{
	*(size_t *)data += !strcmp(i->plugin, "auth");
}

static bool check_tiers(struct ch_self *self, const struct ch_list *tiers)
{
	bool ok = true;

	for (size_t i = 0; i < tiers->n; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(tiers->v[i].p, tiers->v[k].p)) {
				ch_config_error(self, NULL, "tiers", "'%s' is there twice: each tier has one place in the order", tiers->v[i].p);
				ok = false;
			}
	return ok;
}

static bool check_api_key(struct ch_self *self, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < n; i++)
		if (key[i] <= ' ' || key[i] > '~') {
			ch_config_error(self, NULL, "api_key", "byte %zu is none that a header carries well: use visible ASCII characters, no blanks",
				i + 1);
			return false;
		}
	return true;
}

static int check(struct ch_self *self)
{
	const struct auth_conf *conf = self->conf;
	size_t auths = 0;
	bool ok = check_tiers(self, &conf->tiers);

	ch_instances_walk(self, count_auths, &auths);
	if (auths > 1) {
		ch_config_error(self, NULL, NULL, "there are %zu instances of auth, and a request can be judged by one alone: leave one", auths);
		ok = false;
	}
	ok = check_api_key(self, conf->api_key) && ok;
	ok = auth_file_check(self) && ok;
	ok = auth_jwt_check(self, &conf->jwt, &conf->tiers) && ok;
	return ok ? CH_OK : CH_ERROR;
}

/* ---- life ---- */

/* Who forgot to make a key would find out by 401s alone. */
static void warn(struct ch_self *self)
{
	const struct auth *a = self->state;
	const struct auth_conf *conf = a->conf;

	if (*conf->api_key && strlen(conf->api_key) < 20)
		ch_log(self, NULL, CH_WARN, "api_key has %zu characters, which can be guessed: use a random one of 32 or more",
			strlen(conf->api_key));
	if (!conf->anonymous && !auth_table_count(a->table) && !conf->stores.n && !a->jwt)
		ch_log(self, NULL, CH_WARN, "no key is known, so nobody comes in: %s", *conf->keys_file
			? "make one by `chimeractl keys create OWNER`"
			: "set api_key or keys_file, or enable a store of keys, such as [identity]");
}

static void stop(struct ch_self *self)
{
	struct auth *a = self->state;

	auth_file_free(a->file);
	auth_failures_free(a->failures);
	auth_jwt_free(a->jwt);
	auth_table_put(a->table);
	pthread_mutex_destroy(&a->lock);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct auth *a = self->state;
	const struct auth_conf *conf = self->conf;

	(void)prev;
	a->conf = conf;
	pthread_mutex_init(&a->lock, NULL);
	series(self);
	if (conf->failures >= 0)
		a->failures = auth_failures_new(conf->failures, (uint64_t)conf->failures_burst, ch_random());
	if (conf->failures >= 0 && !a->failures)
		ch_log(self, NULL, CH_ERR, "failures and failures_burst are too large together, or there is no memory");
	else if (auth_jwt_start(self, &conf->jwt, &conf->tiers, &a->jwt) == CH_OK && auth_file_start(self)) {
		warn(self);
		return CH_OK;
	}
	stop(self);
	return CH_ERROR;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct auth *a = self->state;
	const struct auth *was = prev->state;

	auth_jwt_adopt(a->jwt, was->jwt);
	ch_set(a->keys, (double)auth_table_count(a->table));
}

static void retire(struct ch_self *self)
{
	auth_file_end(((struct auth *)self->state)->file);
}

static int loop_start(struct ch_self *self, struct ch_loop *loop)
{
	struct auth *a = self->state;
	struct auth_loop *l = calloc(1, sizeof(*l));
	size_t loops = 0;

	while (ch_loop_at((unsigned)loops))
		loops++;
	if (l && a->conf->stores.n)
		l->cache = auth_cache_new((size_t)a->conf->cache_keys / (loops ? loops : 1) + 1);
	if (!l || (a->conf->stores.n && !l->cache)) {
		free(l);
		return CH_ERROR;
	}
	refresh(a, l);
	*ch_loop_state(self, loop) = l;
	return auth_jwt_loop_start(a->jwt, loop);
}

static void loop_stop(struct ch_self *self, struct ch_loop *loop)
{
	struct auth *a = self->state;
	struct auth_loop *l = *ch_loop_state(self, loop);

	auth_jwt_loop_stop(a->jwt, loop);
	if (!l)
		return;
	auth_cache_free(l->cache);
	auth_table_put(l->table);
	free(l);
	*ch_loop_state(self, loop) = NULL;
}

/* ---- tables ---- */

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_AUTH, .fn = auth_on_request },
	{ .phase = CH_P_CALL, .band = CH_EARLY, .fn = auth_on_call },
	{ .phase = CH_P_CALL_END, .band = CH_LATE, .fn = auth_on_call_end },
};
static const struct ch_provide provides[] = { { .iface = "keys/1", .vt = &auth_keys_service, .rank = 5 } };
static const struct ch_command commands[] = {
	{ .name = "keys", .modes = CH_LIVE | CH_OFFLINE, .min_args = 1, .max_args = 17, .fn = auth_command,
	  .args = "list [owner=…] | create OWNER [tier=…] [role=…] [expires=30d] [models=…] … | revoke|rotate ID",
	  .summary = "The keys of keys_file: a new one is shown once" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "auth",
	.version = "0.1",
	.summary = "Who may in: API keys of the config, a file and stores, JSON Web Tokens, tiers and roles",
	.conf_size = sizeof(struct auth_conf),
	.state_size = sizeof(struct auth),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.provides = CH_TABLE(provides),
	.commands = CH_TABLE(commands),
	.check = check,
	.start = start,
	.adopt = adopt,
	.retire = retire,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
};

CH_PLUGIN(auth, plugin)
