/* SPDX-License-Identifier: MIT */
/*
 * skeleton.c - a plugin to copy. It greets those whom the configuration names:
 *
 *     [skeleton]
 *     words = Good morning
 *     [skeleton.ada]
 *     limit = 3
 *
 *     GET /v1/skeleton/ada   ->   {"greeting":"Good morning, ada","times":1}
 *
 * Every file reads in the same order: includes, constants, structs, functions from leaf to entry, tables, descriptor last.
 *
 * Threads and ownership. Say this on top of each plugin. Here: the hook and the handler run on the request's loop, of which there are
 * several, each with a thread of its own; so what they share (the counts) is atomic. Everything else is written in start and only read
 * after.
 */
#include <stdatomic.h>

#include <chimera/plugin.h>

#include "greeting.h"

/* ---- structs: what the configuration fills, and what an instance keeps ---- */

/* [skeleton]. The host fills it from the table of options below; CH_OPT checks each field's type when this is compiled. */
struct skeleton_conf {
	const char *words;
};

/* [skeleton.NAME]: rows are for things an operator adds and names: tiers, models, people. */
struct skeleton_row {
	int64_t limit;
};

/* How often one row was greeted. */
struct greeted {
	atomic_llong times;
	unsigned series; /* a metric's series is looked up once, in start, and used by number on the request's way */
};

#define ROWS_MAX 64

/*
 * `state` of the instance: zeroed memory of the host's, of the size that the descriptor names. Global variables would be shared by all
 * instances.
 */
struct skeleton_state {
	struct greeted rows[ROWS_MAX];
};

enum { M_GREETINGS }; /* rows of the table of metrics, for ch_series */

/* ---- the route ---- */

/* The row that the request names, or NULL. Rows are few; many would deserve a hash table built in start. */
static const struct ch_row *find_row(const struct ch_self *self, struct ch_str name, size_t *index)
{
	for (size_t i = 0; i < self->nrows; i++) {
		if (strlen(self->rows[i].name) == name.n && !memcmp(self->rows[i].name, name.p, name.n)) {
			*index = i;
			return &self->rows[i];
		}
	}
	return NULL;
}

static int on_greet(struct ch_self *self, struct ch_ctx *c)
{
	const struct skeleton_conf *conf = self->conf;
	struct skeleton_state *state = self->state;
	struct ch_str name = ch_param(c, "name");
	const struct skeleton_row *limits;
	const struct ch_row *row;
	const size_t cap = 1024;
	long long times;
	struct ch_jw w;
	size_t i;

	/*
	 * What a client sends wrongly is refused by name, with what is allowed. Statuses are never returned: a code says what happened, and
	 * one table in the core gives it its status, so that all plugins answer alike.
	 */
	if (!greeting_name_ok(name.p, name.n))
		return ch_refuse_param(c, CH_E_BAD_REQUEST, "name", "A name is 1 to %d letters, digits, _ and -.", GREETING_NAME_MAX);
	row = find_row(self, name, &i);
	if (!row)
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "Nobody here is called \"%.*s\"; add a section [%s.%.*s] to the configuration.",
			(int)name.n, name.p, self->id, (int)name.n, name.p);
	limits = row->conf;
	times = atomic_fetch_add(&state->rows[i].times, 1) + 1;
	if (limits->limit >= 0 && times > limits->limit)
		return ch_refuse(c, CH_E_RATE_LIMITED, 0, "%s was greeted %lld times, which is the `limit` of its section.", row->name,
			(long long)limits->limit);
	ch_add(state->rows[i].series, 1);

	/* Memory of a request comes from its arena: nothing is freed by hand, and NULL (the arena's limit) is answered, not ignored. */
	ch_jw_init(&w, ch_alloc(c, cap), cap);
	greeting_write(&w, conf->words, name.p, name.n, times);
	if (w.failed)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "No memory is left for this answer; try again.");
	return ch_respond(c, 200, "application/json", w.buf, w.len);
}

/* ---- the hook ---- */

/* RESPONSE sees every answer's head just before it leaves, also errors and other plugins' answers. It costs every request: do little. */
static int on_response(struct ch_self *self, struct ch_ctx *c)
{
	ch_header_set(c, "x-skeleton", self->id);
	return CH_OK;
}

/* ---- the check ---- */

/* Runs every few seconds on the house loop, never for a probe; a check that must wait returns CH_AGAIN (see ch_suspend and ch_offload). */
static int check_rows(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	static const char nobody[] = "there is nobody to greet: add a section [skeleton.NAME]";

	(void)c;
	out->health = CH_HEALTHY;
	if (!self->nrows) {
		out->health = CH_DEGRADED;
		memcpy(out->message, nobody, sizeof(nobody));
	}
	return CH_OK;
}

/* ---- life ---- */

/*
 * Pure: it is also run by `chimerad --check`, which starts nothing. What the table of options can say (types, ranges) is checked before
 * this.
 */
static int check(struct ch_self *self)
{
	int rc = CH_OK;

	if (self->nrows > ROWS_MAX) {
		ch_config_error(self, NULL, "words", "has %zu rows below it, and at most %d are allowed", self->nrows, ROWS_MAX);
		rc = CH_ERROR;
	}
	for (size_t i = 0; i < self->nrows; i++) {
		if (greeting_name_ok(self->rows[i].name, strlen(self->rows[i].name)))
			continue;
		ch_config_error(self, self->rows[i].name, NULL, "a row's name has 1 to %d letters, digits, _ and -", GREETING_NAME_MAX);
		rc = CH_ERROR;
	}
	return rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct skeleton_state *state = self->state;

	(void)prev;
	/* Label values come from the configuration, never from a client: else anybody could fill the memory with series. */
	for (size_t i = 0; i < self->nrows; i++)
		state->rows[i].series = ch_series(self, M_GREETINGS, &self->rows[i].name);
	return CH_OK;
}

/* ---- tables: the host reads them for parsing, --check, --dump-config, the man page, /metrics, /openapi.json ---- */

static const struct ch_option options[] = {
	CH_OPT(struct skeleton_conf, words, STR, .def = "Hello", .help = "What stands before the name"),
};

static const struct ch_option row_options[] = {
	CH_OPT(struct skeleton_row, limit, INT, .def = "-1", .min = "-1", .help = "How often this one is greeted; -1 is always"),
};

static const struct ch_metric metrics[] = {
	[M_GREETINGS] = {
		.name = "skeleton_greetings_total",
		.kind = CH_COUNTER,
		.labels = { { "name", CH_L_CONFIG, NULL } },
		.help = "Greetings given, by row.",
	},
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_RESPONSE, .fn = on_response },
};

static const struct ch_route routes[] = {
	{
		.method = "GET",
		.pattern = "/v1/skeleton/{name}",
		.cls = CH_PUBLIC,
		.fn = on_greet,
		.response_schema = "{\"type\":\"object\",\"required\":[\"greeting\",\"times\"],\"properties\":"
		                   "{\"greeting\":{\"type\":\"string\"},\"times\":{\"type\":\"integer\"}}}",
		.summary = "Greet somebody",
	},
};

static const struct ch_check checks[] = {
	{ .name = "rows", .fn = check_rows }, /* shown as skeleton.rows; not critical: without it we still serve */
};

static const struct ch_plugin skeleton = {
	.size = sizeof(skeleton), /* how the host knows what this plugin was built with */
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "skeleton",
	.version = "0.1",
	.summary = "A plugin to copy",
	.conf_size = sizeof(struct skeleton_conf),
	.row_conf_size = sizeof(struct skeleton_row),
	.state_size = sizeof(struct skeleton_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
	.checks = CH_TABLE(checks),
	.check = check,
	.start = start,
};

/* The one exported symbol. */
CH_PLUGIN(skeleton, skeleton)
