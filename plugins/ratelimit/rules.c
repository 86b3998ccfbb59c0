/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - the rows of the config: what they mean, and which of them holds. */
#include <stdlib.h>

#include <chimera/backend.h>
#include <chimera/kit/near.h>

#include "ratelimit.h"

/* ---- making them ---- */

static const struct { const char *name; double requests; } built_in[TIERS_BUILT_IN] = {
	{ "anonymous", 100.0 / 60 }, { "api_key", 1000.0 / 60 }, { "premium", 5000.0 / 60 }, { "admin", NO_LIMIT }
};

static bool is_rule(const struct ratelimit_row_conf *row)
{
	return row->endpoint.n || row->model.n;
}

static bool named(struct ch_str name, const char *text)
{
	return name.n == strlen(text) && !memcmp(name.p, text, name.n);
}

static bool wrong(struct ch_self *self, const char *row, const char *key, const char *what)
{
	ch_config_error(self, row, key, "%s", what);
	return false;
}

/* A row's name is part of keys and of header fields. */
static bool check_name(struct ch_self *self, const struct ch_row *row, bool rule)
{
	bool ok = strlen(row->name) <= NAME_LIMIT && !strpbrk(row->name, "\":\\");

	for (const char *p = row->name; *p; p++)
		ok = ok && *p > 32 && *p < 127;
	if (!ok)
		return wrong(self, row->name, NULL, "the name of a row has at most 64 visible ASCII characters, and none of : \" \\");
	if (rule && (!strcmp(row->name, "requests") || !strcmp(row->name, "tokens") || !strcmp(row->name, "concurrent")))
		return wrong(self, row->name, NULL, "this name stands for the tier's own limit: give the rule another one");
	return true;
}

/* An endpoint is a route's pattern, so one that begins otherwise matches none. */
static bool check_endpoints(struct ch_self *self, const struct ch_row *row)
{
	const struct ratelimit_row_conf *r = row->conf;

	for (size_t i = 0; i < r->endpoint.n; i++)
		if (*r->endpoint.v[i].p != '/' && strcmp(r->endpoint.v[i].p, "*")) {
			ch_config_error(self, row->name, "endpoint",
				"\"%.128s\" matches no route, since each begins with /: did you mean /%.128s?",
				r->endpoint.v[i].p, r->endpoint.v[i].p);
			return false;
		}
	return true;
}

static bool check_row(struct ch_self *self, const struct ch_row *row)
{
	const struct ratelimit_row_conf *r = row->conf;

	if (!check_name(self, row, is_rule(r)))
		return false;
	if (r->endpoint.n && r->model.n)
		return wrong(self, row->name, "model", "a rule is for endpoints or for models: make it two rows");
	if (r->tiers.n && !is_rule(r))
		return wrong(self, row->name, "tiers",
			"says for whom a rule holds, and this row is a tier: give it an endpoint or a model, or leave it out");
	if (r->burst && r->requests < 0)
		return wrong(self, row->name, "burst", "limits nothing while requests is unlimited: set requests, or leave it out");
	if (r->token_burst && r->tokens < 0)
		return wrong(self, row->name, "token_burst", "limits nothing while tokens is unlimited: set tokens, or leave it out");
	if (is_rule(r) && r->requests < 0 && r->tokens < 0 && r->concurrent < 0)
		return wrong(self, row->name, NULL, "this rule limits nothing: set requests, tokens or concurrent, or take the row away");
	return check_endpoints(self, row);
}

/* The numbers; and what a question without max_tokens reserves must fit into a bucket of tokens. */
static bool make_limits(struct ch_self *self, struct ratelimit_rule *rule, const char *row)
{
	const struct ratelimit_conf *conf = self->conf;
	const char *key = ratelimit_limits_make(&rule->spec, conf->fallback_share, rule->at);
	const struct ratelimit_shape *tokens = &rule->at[STORE].tokens;

	if (key) {
		ch_config_error(self, row, key, "this rate, or its burst, is too large or too slow for a bucket: write at least one in a "
			"year, and a burst that fills within some thousand years");
		return false;
	}
	if (tokens->limited && tokens->burst && conf->assume_output > tokens->burst) {
		ch_config_error(self, row, "token_burst", "lets %lld tokens through at once, fewer than the assume_output of %lld that a "
			"request without max_tokens reserves: such a request would never pass, so raise token_burst or lower assume_output",
			(long long)tokens->burst, (long long)conf->assume_output);
		return false;
	}
	return true;
}

static bool make_row(struct ch_self *self, struct ratelimit_state *state, const struct ch_row *row)
{
	const struct ratelimit_row_conf *r = row->conf;
	struct ratelimit_rule *rule;

	if (!check_row(self, row))
		return false;
	rule = is_rule(r) ? &state->rules[state->nrules++] : &state->tiers[state->ntiers++];
	*rule = (struct ratelimit_rule){
		.name = { row->name, strlen(row->name) },
		.row = r,
		.spec = { r->requests, r->tokens, r->burst, r->token_burst, r->concurrent },
	};
	return make_limits(self, rule, row->name);
}

static const struct ratelimit_rule *tier_of(const struct ratelimit_state *state, const char *name)
{
	for (size_t i = 0; i < state->ntiers; i++)
		if (named(state->tiers[i].name, name))
			return &state->tiers[i];
	return NULL;
}

static bool make_built_in(struct ch_self *self, struct ratelimit_state *state, const char *name, double requests)
{
	struct ratelimit_rule *rule = &state->tiers[state->ntiers];

	if (tier_of(state, name))
		return true;
	state->ntiers++;
	*rule = (struct ratelimit_rule){ .name = { name, strlen(name) }, .spec = { requests, NO_LIMIT, 0, 0, NO_LIMIT } };
	return make_limits(self, rule, NULL);
}

/* ---- names that look like another one ---- */

static bool has_row(const struct ch_self *self, const char *name)
{
	for (size_t i = 0; i < self->nrows; i++)
		if (!strcmp(self->rows[i].name, name))
			return true;
	return false;
}

static bool is_built_in(const char *name)
{
	for (size_t i = 0; i < TIERS_BUILT_IN; i++)
		if (!strcmp(built_in[i].name, name))
			return true;
	return false;
}

/*
 * Tiers are whatever an authenticator says, so a strange name is no error; but one that is nearly a known one is said. A row is for a
 * built-in tier that has none, other names are for any tier that is known.
 */
static void look_at(struct ch_self *self, const struct ratelimit_state *state, const char *row, const char *key, const char *name)
{
	struct ch_near near;

	ch_near_init(&near, name);
	for (size_t i = 0; i < TIERS_BUILT_IN; i++)
		if (key || !has_row(self, built_in[i].name))
			ch_near_offer(&near, built_in[i].name);
	for (size_t i = 0; key && i < state->ntiers; i++)
		if (state->tiers[i].row)
			ch_near_offer(&near, state->tiers[i].name.p);
	if (*near.best)
		ch_log(self, NULL, CH_WARN, "[%s%s%s]%s%s: no tier \"%.64s\" is known; did you mean \"%s\"?", self->id, row ? "." : "",
			row ? row : "", key ? " " : "", key ? key : "", name, near.best);
}

void ratelimit_rules_look(struct ch_self *self, const struct ratelimit_state *state)
{
	const struct ratelimit_conf *conf = self->conf;

	if (!is_built_in(conf->default_tier) && !has_row(self, conf->default_tier))
		look_at(self, state, NULL, "default_tier", conf->default_tier);
	for (size_t i = 0; i < state->ntiers; i++)
		if (state->tiers[i].row && !is_built_in(state->tiers[i].name.p) && strcmp(state->tiers[i].name.p, conf->default_tier))
			look_at(self, state, state->tiers[i].name.p, NULL, state->tiers[i].name.p);
	for (size_t i = 0; i < state->nrules; i++)
		for (size_t k = 0; k < state->rules[i].row->tiers.n; k++) {
			const char *name = state->rules[i].row->tiers.v[k].p;

			if (!is_built_in(name) && !has_row(self, name) && strcmp(name, conf->default_tier))
				look_at(self, state, state->rules[i].name.p, "tiers", name);
		}
}

/* ---- all of it ---- */

bool ratelimit_rules_make(struct ch_self *self, struct ratelimit_state *state)
{
	const struct ratelimit_conf *conf = self->conf;
	bool ok = true;

	state->tiers = calloc(self->nrows + TIERS_BUILT_IN + 1, sizeof(*state->tiers));
	state->rules = calloc(self->nrows + 1, sizeof(*state->rules));
	if (!state->tiers || !state->rules)
		return false;
	for (size_t i = 0; i < self->nrows; i++)
		ok = make_row(self, state, &self->rows[i]) && ok;
	ok = make_built_in(self, state, conf->default_tier, conf->requests) && ok;
	for (size_t i = 0; i < TIERS_BUILT_IN; i++)
		ok = make_built_in(self, state, built_in[i].name, built_in[i].requests) && ok;
	state->standard = tier_of(state, conf->default_tier);
	return ok;
}

void ratelimit_rules_free(struct ratelimit_state *state)
{
	free(state->tiers);
	free(state->rules);
}

/* ---- which one holds ---- */

bool ratelimit_news(struct ratelimit_state *state, const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325), bit;

	while (*text)
		h = (h ^ (unsigned char)*text++) * UINT64_C(0x100000001b3);
	bit = UINT64_C(1) << (h >> 58);
	return !(atomic_fetch_or(&state->told, bit) & bit);
}

const struct ratelimit_rule *ratelimit_tier(struct ch_self *self, struct ch_ctx *c, const char *name)
{
	struct ratelimit_state *state = self->state;
	const struct ratelimit_rule *tier;

	/* Without an authenticator nobody is known: all are anonymous. */
	if (!name || !*name)
		name = ch_facts(c)->key || ch_facts(c)->owner ? state->standard->name.p : built_in[0].name;
	tier = tier_of(state, name);
	if (tier)
		return tier;
	if (ratelimit_news(state, name))
		ch_log(self, c, CH_WARN, "tier \"%.64s\" has no limits of its own and has those of \"%s\"; give it a row: [%s.%.64s]", name,
			state->standard->name.p, self->id, name);
	return state->standard;
}

static bool holds_for(const struct ch_list *tiers, struct ch_str tier)
{
	for (size_t i = 0; i < tiers->n; i++)
		if (tiers->v[i].n == tier.n && !memcmp(tiers->v[i].p, tier.p, tier.n))
			return true;
	return !tiers->n;
}

static bool matches(const struct ch_list *list, struct ch_str text)
{
	for (size_t i = 0; i < list->n; i++)
		if (ch_model_matches(list->v[i], text))
			return true;
	return false;
}

const struct ratelimit_rule *ratelimit_rule_by_endpoint(const struct ratelimit_state *state, const char *endpoint, struct ch_str tier)
{
	struct ch_str text = { endpoint, strlen(endpoint) };

	for (size_t i = 0; i < state->nrules; i++)
		if (matches(&state->rules[i].row->endpoint, text) && holds_for(&state->rules[i].row->tiers, tier))
			return &state->rules[i];
	return NULL;
}

const struct ratelimit_rule *ratelimit_rule_by_model(const struct ratelimit_state *state, struct ch_str model, struct ch_str tier)
{
	for (size_t i = 0; i < state->nrules; i++)
		if (matches(&state->rules[i].row->model, model) && holds_for(&state->rules[i].row->tiers, tier))
			return &state->rules[i];
	return NULL;
}
