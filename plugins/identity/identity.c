/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c - users, API keys (keys/1) and provider tokens (tokens/1) in a database that several servers share.
 *
 *     [identity]
 *     store = storage_postgres
 *     encryption_key = @/run/secrets/chimera-identity
 *
 * Threads and ownership: a call lives on its ctx's loop, in its memory. The caches are for all loops, with locks of their own; the counts
 * are each loop's until a flush takes them; the revision is asked for on the house loop. docs/identity.md says what it is for.
 */
#include <stdlib.h>

#include "identity.h"

enum { M_HITS, M_MISSES, M_EVICTIONS, M_ENTRIES, M_AGE, M_CLEANED, M_REKEYED, M_STORE, M_UNCOUNTED };

/* ---- keys of the encryption ---- */

#define MAKE_ONE "make one with: openssl rand -hex 32"

static bool read_key(struct ch_self *self, const char *option, struct ch_str text, unsigned char key[ID_KEY_BYTES])
{
	if (id_crypt_key(text, key))
		return true;
	ch_config_error(self, NULL, option, "%zu characters that are not 32 bytes as 64 hexadecimal digits or as base64: " MAKE_ONE,
		text.n);
	return false;
}

/* All keys, the first first: NULL and *n 0: there are none. malloc'd; the caller wipes and frees. */
static unsigned char (*read_keys(struct ch_self *self, size_t *n, bool *ok))[ID_KEY_BYTES]
{
	const struct identity_conf *conf = self->conf;
	const struct ch_list *old = &conf->encryption_keys_old;
	unsigned char (*keys)[ID_KEY_BYTES] = calloc(old->n + 1, sizeof(*keys));

	*n = 0;
	*ok = keys;
	if (!keys)
		return NULL;
	if (conf->encryption_key[0])
		*ok = read_key(self, "encryption_key", (struct ch_str){ conf->encryption_key, strlen(conf->encryption_key) }, keys[(*n)++]);
	for (size_t i = 0; i < old->n; i++)
		*ok &= read_key(self, "encryption_keys_old", old->v[i], keys[(*n)++]);
	return keys;
}

static void forget_keys(unsigned char (*keys)[ID_KEY_BYTES], size_t n)
{
	if (keys)
		explicit_bzero(keys, n * sizeof(*keys));
	free(keys);
}

static int check(struct ch_self *self)
{
	const struct identity_conf *conf = self->conf;
	bool ok;
	size_t n;
	unsigned char (*keys)[ID_KEY_BYTES] = read_keys(self, &n, &ok);

	forget_keys(keys, n);
	if (!conf->encryption_key[0] && conf->encryption_keys_old.n) {
		ch_config_error(self, NULL, "encryption_keys_old", "there are old keys and no new one: set encryption_key, too; " MAKE_ONE);
		ok = false;
	}
	return ok ? CH_OK : CH_ERROR;
}

/* ---- life ---- */

static void free_state(struct identity_state *s)
{
	id_cache_free(s->keys);
	id_cache_free(s->tokens);
	id_ring_free(s->ring);
	id_count_free(s);
	pthread_mutex_destroy(&s->lock);
}

static void stop(struct ch_self *self)
{
	free_state(self->state);
}

static void make_series(struct ch_self *self)
{
	static const char *const kinds[] = { "keys", "tokens" }, *const errors[] = { "unavailable", "unknown" };
	struct identity_state *s = self->state;

	for (size_t i = 0; i < 2; i++) {
		s->hits[i] = ch_series(self, M_HITS, &kinds[i]);
		s->misses[i] = ch_series(self, M_MISSES, &kinds[i]);
		s->evictions[i] = ch_series(self, M_EVICTIONS, &kinds[i]);
		s->entries[i] = ch_series(self, M_ENTRIES, &kinds[i]);
		s->store_errors[i] = ch_series(self, M_STORE, &errors[i]);
	}
	s->age = ch_series(self, M_AGE, NULL);
	s->cleaned = ch_series(self, M_CLEANED, NULL);
	s->rekeyed = ch_series(self, M_REKEYED, NULL);
	s->uncounted = ch_series(self, M_UNCOUNTED, NULL);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct identity_conf *conf = self->conf;
	struct identity_state *s = self->state;
	size_t n;
	bool ok;
	unsigned char (*keys)[ID_KEY_BYTES] = read_keys(self, &n, &ok);

	(void)prev;
	pthread_mutex_init(&s->lock, NULL);
	s->revision[0] = s->revision[1] = -1;
	/* Not from 1: whoever holds an epoch of an instance before this one must see that it is another. */
	atomic_store(&s->key_epoch, ch_random() | 1);
	atomic_store(&s->token_epoch, ch_random() | 1);
	atomic_store(&s->seen, ch_now());
	make_series(self);
	s->keys = id_cache_new((size_t)conf->cache_keys);
	s->tokens = id_cache_new((size_t)conf->cache_tokens);
	if (ok && n)
		s->ring = id_ring_new((const unsigned char (*)[ID_KEY_BYTES])keys, n);
	forget_keys(keys, n);
	ok = ok && s->keys && s->tokens && (!n || s->ring) && id_count_new(s);
	if (ok)
		return CH_OK;
	ch_log(self, NULL, CH_ERR, "no memory is left to start with");
	free_state(s);
	return CH_ERROR;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	id_count_adopt(self->state, prev->state);
}

static bool is_house(struct ch_loop *l)
{
	return !ch_loop_at(ch_loop_index(l) + 1);
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	if (id_count_start(self, l) != CH_OK)
		return CH_ERROR;
	return is_house(l) ? id_keeper_start(self, l) : CH_OK;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	if (is_house(l))
		id_keeper_stop(self);
	id_count_stop(self, l);
}

/* ---- tables ---- */

#define OPT(name, T, ...) CH_OPT(struct identity_conf, name, T, __VA_ARGS__)

static const struct ch_option options[] = {
	OPT(store, SERVICE, .def = "auto", .flags = CH_O_REQUIRED, .iface = "sql/1",
		.help = "The database that holds users, keys and tokens"),
	OPT(encryption_key, STR, .flags = CH_O_SECRET,
		.help = "32 bytes in hex or base64 that encrypt provider tokens; empty: no tokens are kept"),
	OPT(encryption_keys_old, LIST, .flags = CH_O_SECRET,
		.help = "Former keys, by comma: what they have encrypted is read, and encrypted anew by and by"),
	OPT(revision_interval, DURATION, .def = "500ms", .min = "50ms", .max = "1s",
		.help = "How often the database is asked whether a key or token has changed"),
	OPT(key_cache_grace, DURATION, .def = "5m", .min = "0s", .max = "1d",
		.help = "How long keys that are known are served while the database is away"),
	OPT(cache_keys, INT, .def = "10000", .min = "16", .max = "10000000", .help = "Keys that are kept in memory"),
	OPT(cache_tokens, INT, .def = "10000", .min = "16", .max = "10000000",
	.help = "Provider tokens that are kept in memory, encrypted"),
	OPT(flush_interval, DURATION, .def = "10s", .min = "100ms", .max = "1h", .help = "How often counted requests go to the database"),
	OPT(login_gap, DURATION, .def = "30m", .min = "1s", .max = "30d",
	.help = "A request behind such a silence of its owner counts as a login"),
	OPT(token_keep, DURATION, .def = "30d", .min = "0s", .max = "3650d",
		.help = "How long tokens that are spent, revoked or expired and can be refreshed are kept"),
	OPT(cleanup, STR, .def = "10m",
	.help = "When old tokens are removed: a time to wait in between, or minute hour day month weekday in UTC"),
	OPT(store_timeout, DURATION, .def = "3s", .min = "50ms", .max = "1m", .help = "How long a question to the database may take"),
};

static const char *const kinds[] = { "keys", "tokens", NULL }, *const store_errors[] = { "unavailable", "unknown", NULL };

#define KIND .labels = { { "kind", CH_L_FIXED, kinds } }

static const struct ch_metric metrics[] = {
	[M_HITS] = { .name = "chimera_identity_cache_hits_total", .kind = CH_COUNTER, KIND,
		.help = "Questions that were answered from memory" },
	[M_MISSES] = { .name = "chimera_identity_cache_misses_total", .kind = CH_COUNTER, KIND, .help = "Questions that were not" },
	[M_EVICTIONS] = { .name = "chimera_identity_cache_evictions_total", .kind = CH_COUNTER, KIND,
		.help = "What was driven out of memory because there was no room" },
	[M_ENTRIES] = { .name = "chimera_identity_cache_entries", .kind = CH_GAUGE, KIND,
	.help = "What is in memory, found or known not to be there" },
	[M_AGE] = { .name = "chimera_identity_revision_age_seconds", .kind = CH_GAUGE,
	.help = "Since the database last said whether anything had changed" },
	[M_CLEANED] = { .name = "chimera_identity_tokens_cleaned_total", .kind = CH_COUNTER,
	.help = "Provider tokens that were over and have been removed" },
	[M_REKEYED] = { .name = "chimera_identity_tokens_rekeyed_total", .kind = CH_COUNTER,
	.help = "Provider tokens that were encrypted anew with the newest key" },
	[M_STORE] = { .name = "chimera_identity_store_errors_total", .kind = CH_COUNTER, .labels = { { "error", CH_L_FIXED,
	store_errors } },
		.help = "Questions to the database that it did not answer; unknown: a change may have happened" },
	[M_UNCOUNTED] = { .name = "chimera_identity_uncounted_total", .kind = CH_COUNTER,
		.help = "Requests that stand in no user's count: too many owners at once, or the database was away for too long" },
};

static const struct ch_hook hooks[] = { { .phase = CH_P_END, .band = CH_LATE, .fn = id_count } };
static const struct ch_provide provides[] = { { .iface = "keys/1", .vt = &id_keys_service, .rank = 10 }, { .iface = "tokens/1",
	.vt = &id_tokens_service } };
static const struct ch_check checks[] = { { .name = "identity", .critical = 0, .fn = id_check } };
static const struct ch_cron crons[] = { { .name = "tokens", .when_option = "cleanup", .timeout_ms = 60000, .fn = id_cleanup } };

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "identity",
	.version = CHIMERA_VERSION,
	.summary = "Users, API keys and provider tokens in a database",
	.conf_size = sizeof(struct identity_conf),
	.state_size = sizeof(struct identity_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(id_routes),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.crons = CH_TABLE(crons),
	.commands = CH_TABLE(id_commands),
	.check = check,
	.start = start,
	.adopt = adopt,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
	.drained = id_keeper_drained,
};

CH_PLUGIN(identity, plugin)
