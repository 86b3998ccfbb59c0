/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ratelimit.c - how much of the server everybody may use: requests, requests at a time, and model tokens, by tier, endpoint and model, in
 * buckets of any kv/1. docs/limits.md says what operators and clients see; ratelimit.h says who does what.
 *
 * Buckets live in the store, so an instance and its successor need not know of one another: a reload loses nothing, and with other
 * numbers a bucket keeps what it lacks.
 */
#include "ratelimit.h"

enum { M_REQUESTS, M_DENIALS, M_STORE_AWAY, M_TOKENS, METRICS };

static const char *const downs[] = { "pass", "refuse", NULL };
static const char *const outcomes[] = { "fallback", "pass", "refuse", NULL };
static const char *const kinds[] = { "reserved", "more", "returned", NULL };

#define TIER { "tier", CH_L_CONFIG, NULL }

static const struct ch_metric metrics[METRICS] = {
	[M_REQUESTS] = { .name = "rate_limiter_requests_total", .kind = CH_COUNTER, .labels = { TIER },
		.help = "Requests that were looked at, by the tier whose limits they have" },
	[M_DENIALS] = { .name = "rate_limiter_denials_total", .kind = CH_COUNTER, .labels = { TIER },
		.help = "Requests and questions that were refused, by the tier whose limits they have" },
	[M_STORE_AWAY] = { .name = "chimera_ratelimit_store_away_total", .kind = CH_COUNTER,
		.labels = { { "outcome", CH_L_FIXED, outcomes } },
		.help = "Decisions for which the store was away, by who decided: the fallback, or on_store_down" },
	[M_TOKENS] = { .name = "chimera_ratelimit_tokens_total", .kind = CH_COUNTER, .labels = { TIER, { "kind", CH_L_FIXED, kinds } },
		.help = "Model tokens that were reserved, and afterwards charged beyond that, or returned" },
};

/* Where kv_memory is the store there is no fallback by default. */
#define DEFAULT_FALLBACK "kv_memory"

#define OPT(name, T, ...) CH_OPT(struct ratelimit_conf, name, T, __VA_ARGS__)
static const struct ch_option options[] = {
	OPT(store, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "kv/1",
		.help = "Where the buckets live; of several servers the same one"),
	OPT(fallback, SERVICES, .def = DEFAULT_FALLBACK, .iface = "kv/1",
		.help = "Who decides while the store is away: another kv; by default kv_memory if that is enabled; none is nobody"),
	OPT(fallback_share, SHARE, .def = "50%", .min = "1%", .help = "Part of each limit that one server allows by itself then"),
	OPT(on_store_down, ENUM, .def = "pass", .values = downs,
		.help = "What happens when nobody can decide: requests pass, or are refused with 503"),
	OPT(default_tier, STR, .flags = CH_O_REQUIRED, .def = "api_key", .help = "The tier whose limits hold for a tier that has no row"),
	OPT(requests, RATE, .flags = CH_O_OFF, .def = "1000/min", .env = "BANTER_RATE_LIMIT_MAX:/min:deprecated",
		.help = "Requests of the default tier, if it has no row"),
	OPT(assume_output, INT, .def = "512", .min = "0", .max = "1000000",
		.help = "Tokens that are reserved for an answer whose length the client does not bound"),
	OPT(stream_overshoot, INT, .def = "1024", .min = "0", .max = "1000000000",
		.help = "Tokens by which a stream may exceed its reservation while its limit is overdrawn"),
	OPT(hold, DURATION, .def = "30m", .min = "1s", .max = "1d",
		.help = "How long a request counts as running at the longest; after a server died its places are free by then"),
};

#define ROW(name, T, ...) CH_OPT(struct ratelimit_row_conf, name, T, __VA_ARGS__)
static const struct ch_option row_options[] = {
	ROW(requests, RATE, .flags = CH_O_OFF, .def = "unlimited", .help = "Requests that flow in, evenly"),
	ROW(burst, INT, .def = "0", .min = "0", .max = "1000000000", .help = "Requests at once; 0 is as many as flow in within a minute"),
	ROW(tokens, RATE, .flags = CH_O_OFF, .def = "unlimited",
		.help = "Model tokens that flow in, evenly: of prompts and answers together"),
	ROW(token_burst, INT, .def = "0", .min = "0", .max = "1000000000000",
		.help = "Tokens at once; 0 is as many as flow in within a minute"),
	ROW(concurrent, INT, .flags = CH_O_OFF, .def = "unlimited", .min = "0", .max = "1000000", .help = "Requests that run at a time"),
	ROW(endpoint, LIST, .help = "Makes the row a rule for these endpoints, as routes are written; a * at the end stands for anything"),
	ROW(model, LIST, .help = "Makes the row a rule for these models, as clients name them; a * at the end stands for anything"),
	ROW(tiers, LIST, .help = "Of a rule: the tiers that it is for; empty is all"),
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_LIMIT, .fn = ratelimit_on_limit },
	{ .phase = CH_P_CALL, .after = "auth", .fn = ratelimit_on_call },
	{ .phase = CH_P_CALL_END, .fn = ratelimit_on_call_end },
	{ .phase = CH_P_RESPONSE, .band = CH_LATE, .fn = ratelimit_on_response },
	{ .phase = CH_P_END, .fn = ratelimit_on_end },
};

static const struct ch_cron crons[] = { { .name = "places", .when = "1s", .fn = ratelimit_on_leaves } };

/* ---- life ---- */

static int check(struct ch_self *self)
{
	const struct ratelimit_conf *conf = self->conf;
	struct ratelimit_state state = { .ntiers = 0 };
	bool ok = ratelimit_rules_make(self, &state);

	if (ok)
		ratelimit_rules_look(self, &state);
	ratelimit_rules_free(&state);
	if (conf->fallback.n > 1) {
		ch_config_error(self, NULL, "fallback", "names %zu instances: one is enough", conf->fallback.n);
		ok = false;
	} else if (conf->fallback.n && conf->fallback.v[0] == conf->store && strcmp(conf->store->id, DEFAULT_FALLBACK)) {
		ch_config_error(self, NULL, "fallback", "is the store itself, %s: name another kv, or none", conf->store->id);
		ok = false;
	}
	return ok ? CH_OK : CH_ERROR;
}

static void tier_series(struct ch_self *self, struct ratelimit_rule *tier)
{
	const char *labels[3] = { tier->name.p, NULL, NULL };

	tier->requests = ch_series(self, M_REQUESTS, labels);
	tier->denials = ch_series(self, M_DENIALS, labels);
	for (size_t i = 0; kinds[i]; i++) {
		labels[1] = kinds[i];
		tier->spent[i] = ch_series(self, M_TOKENS, labels);
	}
}

static void stop(struct ch_self *self)
{
	struct ratelimit_state *state = self->state;

	ratelimit_rules_free(state);
	ratelimit_leaves_free(state->leaves);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct ratelimit_conf *conf = self->conf;
	const struct ratelimit_state *old = prev ? prev->state : NULL;
	struct ratelimit_state *state = self->state;

	state->stores[STORE] = conf->store;
	state->stores[FALLBACK] = conf->fallback.n && conf->fallback.v[0] != conf->store ? conf->fallback.v[0] : NULL;
	state->leaves = old ? ratelimit_leaves_share(old->leaves) : ratelimit_leaves_new();
	if (!ratelimit_rules_make(self, state) || !state->leaves) {
		ch_log(self, NULL, CH_ERR, "no memory for the limits");
		stop(self);
		return CH_ERROR;
	}
	for (size_t i = 0; i < state->ntiers; i++)
		tier_series(self, &state->tiers[i]);
	for (size_t i = 0; outcomes[i]; i++)
		state->away[i] = ch_series(self, M_STORE_AWAY, (const char *const[]){ outcomes[i], NULL });
	return CH_OK;
}

static const struct ch_plugin ratelimit = {
	.size = sizeof(ratelimit),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "ratelimit",
	.version = "0.1",
	.summary = "Limits requests, model tokens and concurrency, by tier, endpoint and model",
	.conf_size = sizeof(struct ratelimit_conf),
	.row_conf_size = sizeof(struct ratelimit_row_conf),
	.state_size = sizeof(struct ratelimit_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.crons = CH_TABLE(crons),
	.check = check,
	.start = start,
	.stop = stop,
	.loop_start = ratelimit_loop_start,
	.loop_stop = ratelimit_loop_stop,
};

CH_PLUGIN(ratelimit, ratelimit)
