/* SPDX-License-Identifier: MIT */
/*
 * header_filter.c - what this one teaches: hooks, rows, a key that changes without a new instance, a metric.
 *
 * Rules over header fields, each a row that an operator adds and names. A rule with `contains` refuses requests; one with `answer` sets a
 * field of all answers, or takes it away where `answer` is empty:
 *
 *     [header_filter]
 *     enforce = no                    ; try the rules first: they count, and refuse nobody
 *     [header_filter.scrapers]
 *     header = User-Agent
 *     contains = scrapy
 *     [header_filter.embedding]
 *     header = X-Frame-Options
 *     answer = DENY
 *
 * Threads and ownership: hooks run on the request's loop, of which there are several. The rules are read in start and never change after
 * that: a reload that changes a row makes a new instance. `enforce` is all that a running instance changes, so it is atomic.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

#include <chimera/plugin.h>

struct filter_conf {
	bool enforce;
};

struct rule_conf {
	const char *header;
	const char *contains; /* "": it is about answers */
	const char *answer;
};

struct filter_state {
	atomic_bool enforce;
	unsigned *matches; /* a series for each rule, in the order of the rows */
};

enum { M_MATCHES };

/* ---- requests ---- */

/* A field's value is bytes of somebody's request: it has a length and no NUL behind it. */
static bool contains(struct ch_str value, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= value.n; i++)
		if (!strncasecmp(value.p + i, word, n))
			return true;
	return false;
}

/* The first rule that the request matches. A header may come more than once, so all are looked at. */
static const struct ch_row *find_rule(const struct ch_self *self, struct ch_ctx *c, size_t *index)
{
	struct ch_str name, value;

	for (size_t i = 0; ch_header_at(c, i, &name, &value); i++) {
		for (size_t k = 0; k < self->nrows; k++) {
			const struct rule_conf *rule = self->rows[k].conf;

			if (!*rule->contains || strlen(rule->header) != name.n || strncasecmp(rule->header, name.p, name.n))
				continue;
			if (contains(value, rule->contains)) {
				*index = k;
				return &self->rows[k];
			}
		}
	}
	return NULL;
}

/* HEADERS comes before the route, authentication and the body: what is refused here costs least. It runs for every request: do little. */
static int on_headers(struct ch_self *self, struct ch_ctx *c)
{
	struct filter_state *state = self->state;
	size_t index;
	const struct ch_row *rule = find_rule(self, c, &index);

	if (!rule)
		return CH_OK;
	ch_add(state->matches[index], 1);
	if (atomic_load_explicit(&state->enforce, memory_order_relaxed))
		return ch_refuse(c, CH_E_FORBIDDEN, 0, "The server's rule \"%s\" refuses this request; ask its operator.", rule->name);
	*ch_slot(self, c) = (void *)rule->name; /* for our hook in RESPONSE: each instance has a pointer of its own in each request */
	return CH_OK;
}

/* ---- answers ---- */

/* RESPONSE sees the head of every answer, errors and other plugins' answers among them. It returns CH_OK and cannot wait. */
static int on_response(struct ch_self *self, struct ch_ctx *c)
{
	const char *matched = *ch_slot(self, c);

	if (matched)
		ch_header_set(c, "X-Header-Filter", matched);
	for (size_t i = 0; i < self->nrows; i++) {
		const struct rule_conf *rule = self->rows[i].conf;

		if (!*rule->contains)
			ch_header_set(c, rule->header, rule->answer);
	}
	return CH_OK;
}

/* ---- life ---- */

static int check(struct ch_self *self)
{
	int rc = CH_OK;

	for (size_t i = 0; i < self->nrows; i++) {
		const struct rule_conf *rule = self->rows[i].conf;

		if (*rule->contains && *rule->answer) {
			ch_config_error(self, self->rows[i].name, "answer",
				"stands beside `contains`: a rule is about requests or about answers; take one of them out");
			rc = CH_ERROR;
		}
	}
	return rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct filter_conf *conf = self->conf;
	struct filter_state *state = self->state;

	(void)prev; /* nothing is taken over: counts of metrics go on by themselves, they belong to the name */
	atomic_init(&state->enforce, conf->enforce);
	state->matches = calloc(self->nrows + 1, sizeof(*state->matches));
	if (!state->matches)
		return CH_ERROR;
	/* The label's values are the rows' names: from the operator, never from a client, who could make as many as he likes. */
	for (size_t i = 0; i < self->nrows; i++)
		state->matches[i] = ch_series(self, M_MATCHES, &self->rows[i].name);
	return CH_OK;
}

/*
 * Called in place of a new instance when nothing but RELOAD keys has changed. The loops are running: what they read must be atomic, or be
 * handed to each of them by ch_post. `fresh` and what it points to are gone afterwards; self->conf stays as it was at the start.
 */
static void reload(struct ch_self *self, const struct ch_self *fresh)
{
	struct filter_state *state = self->state;
	const struct filter_conf *conf = fresh->conf;

	atomic_store_explicit(&state->enforce, conf->enforce, memory_order_relaxed);
}

/* No request is left that could look at it. Not called after a start of ours that failed: what that had made, it frees itself. */
static void stop(struct ch_self *self)
{
	struct filter_state *state = self->state;

	free(state->matches);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct filter_conf, enforce, BOOL, .def = "yes", .flags = CH_O_RELOAD, .help = "Refuse what a rule matches; no: count it"),
};

static const struct ch_option row_options[] = {
	CH_OPT(struct rule_conf, header, STR, .flags = CH_O_REQUIRED, .help = "Name of the header field"),
	CH_OPT(struct rule_conf, contains, STR, .help = "A request is refused if its field holds this, in any letter case"),
	CH_OPT(struct rule_conf, answer, STR, .help = "What the field of all answers becomes; empty: it is taken away"),
};

static const struct ch_metric metrics[] = {
	[M_MATCHES] = {
		.name = "header_filter_matches_total",
		.kind = CH_COUNTER,
		.labels = { { "rule", CH_L_CONFIG, NULL } },
		.help = "Requests that matched a rule, refused or not.",
	},
};

/* LATE: other hooks may set a field in RESPONSE, and a rule that takes it away should come behind them. */
static const struct ch_hook hooks[] = {
	{ .phase = CH_P_HEADERS, .fn = on_headers },
	{ .phase = CH_P_RESPONSE, .band = CH_LATE, .fn = on_response },
};

static const struct ch_plugin header_filter = {
	.size = sizeof(header_filter),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "header_filter",
	.version = "0.1",
	.summary = "Refuses requests and changes answers by rules over header fields",
	.conf_size = sizeof(struct filter_conf),
	.row_conf_size = sizeof(struct rule_conf),
	.state_size = sizeof(struct filter_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.check = check,
	.start = start,
	.reload = reload,
	.stop = stop,
};

CH_PLUGIN(header_filter, header_filter)
