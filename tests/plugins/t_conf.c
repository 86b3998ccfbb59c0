/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_conf.c - a test plugin: an option of each type, rows, every field of the tables of options, metrics and routes.
 *
 *   GET /conf              all options and rows as JSON
 *   POST /conf/{id}        needs tier "any"; takes 100 bytes; idempotent, with schemas; counts "id" as a label and its body's
 *                          bytes in metrics
 *
 * check refuses a row whose `least` is over its `most`, with ch_config_error at the row's key.
 *
 * Threads and ownership: the config is read only; the state is written at start.
 */
#include <chimera/json.h>

enum { COLOR_RED, COLOR_GREEN };
enum { M_REQUESTS, M_BYTES, M_LAST, M_BY_ID };

struct t_conf_conf {
	const char *str, *path, *data, *secret;
	int64_t integer, duration, size, off;
	bool boolean;
	double rate, share, number;
	int color;
	struct ch_list list;
	const struct ch_svc *service;
	struct ch_svcs services;
	const char *old, *kept;
};

struct t_conf_row {
	int64_t least, most;
};

struct t_conf_state {
	unsigned requests, bytes, last;
};

static void str(struct ch_jw *w, const char *name, const char *value)
{
	ch_jw_key(w, name);
	ch_jw_cstr(w, value);
}

static void number(struct ch_jw *w, const char *name, int64_t value)
{
	ch_jw_key(w, name);
	ch_jw_int(w, value);
}

static void real(struct ch_jw *w, const char *name, double value)
{
	ch_jw_key(w, name);
	ch_jw_double(w, value);
}

static int get_conf(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_conf_conf *conf = self->conf;
	struct ch_jw w;

	ch_jw_ctx(&w, c, 1024);
	ch_jw_object(&w);
	str(&w, "id", self->id);
	str(&w, "plugin", self->plugin->name);
	str(&w, "str", conf->str);
	str(&w, "path", conf->path);
	str(&w, "data", conf->data);
	number(&w, "secret_bytes", (int64_t)strlen(conf->secret));
	number(&w, "integer", conf->integer);
	number(&w, "duration", conf->duration);
	number(&w, "size", conf->size);
	number(&w, "off", conf->off);
	ch_jw_key(&w, "boolean");
	ch_jw_bool(&w, conf->boolean);
	real(&w, "rate", conf->rate);
	real(&w, "share", conf->share);
	real(&w, "number", conf->number);
	number(&w, "color", conf->color);
	ch_jw_key(&w, "list");
	ch_jw_array(&w);
	for (size_t i = 0; i < conf->list.n; i++)
		ch_jw_string(&w, conf->list.v[i].p, conf->list.v[i].n);
	ch_jw_array_end(&w);
	str(&w, "service", conf->service ? conf->service->id : NULL);
	ch_jw_key(&w, "services");
	ch_jw_array(&w);
	for (size_t i = 0; i < conf->services.n; i++)
		ch_jw_cstr(&w, conf->services.v[i]->id);
	ch_jw_array_end(&w);
	str(&w, "old", conf->old);
	str(&w, "kept", conf->kept);
	ch_jw_key(&w, "rows");
	ch_jw_object(&w);
	for (size_t i = 0; i < self->nrows; i++) {
		const struct t_conf_row *row = self->rows[i].conf;

		ch_jw_key(&w, self->rows[i].name);
		ch_jw_array(&w);
		ch_jw_int(&w, row->least);
		ch_jw_int(&w, row->most);
		ch_jw_array_end(&w);
	}
	ch_jw_object_end(&w);
	ch_jw_object_end(&w);
	return w.failed ? CH_ERROR : ch_respond(c, 200, "application/json", w.buf, w.len);
}

static int post_conf(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_conf_state *state = self->state;
	struct ch_str id = ch_param(c, "id"), body = ch_body(c);
	const char *label = ch_dup(c, id.p, id.n);

	if (!label)
		return CH_ERROR;
	ch_add(state->requests, 1);
	ch_observe(state->bytes, (double)body.n);
	ch_set(state->last, (double)body.n);
	/* Never do that with what a client sends: it is what max_series is for. */
	ch_add(ch_series(self, M_BY_ID, (const char *const[]){ "POST", label }), 1);
	return ch_respond(c, 200, "application/json", "{}", 2);
}

static int check(struct ch_self *self)
{
	int rc = CH_OK;

	for (size_t i = 0; i < self->nrows; i++) {
		const struct t_conf_row *row = self->rows[i].conf;

		if (row->least <= row->most)
			continue;
		ch_config_error(self, self->rows[i].name, "least", "is %lld: must not be over most = %lld", (long long)row->least,
			(long long)row->most);
		rc = CH_ERROR;
	}
	return rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_conf_state *state = self->state;

	(void)prev;
	state->requests = ch_series(self, M_REQUESTS, NULL);
	state->bytes = ch_series(self, M_BYTES, NULL);
	state->last = ch_series(self, M_LAST, NULL);
	return CH_OK;
}

static const char *const colors[] = { "red", "green", NULL };
static const struct ch_option options[] = {
	CH_OPT(struct t_conf_conf, str, STR, .def = "text", .dev_def = "text in dev", .help = "A text"),
	CH_OPT(struct t_conf_conf, path, PATH, .flags = CH_O_WATCH, .help = "A file beside the config"),
	CH_OPT(struct t_conf_conf, data, DATA, .def = "t_conf.db", .help = "A file in state_dir"),
	CH_OPT(struct t_conf_conf, secret, STR, .flags = CH_O_SECRET, .env = "T_CONF_SECRET", .help = "A secret"),
	CH_OPT(struct t_conf_conf, integer, INT, .def = "5", .min = "1", .max = "10", .help = "A number from 1 to 10"),
	CH_OPT(struct t_conf_conf, duration, DURATION, .def = "1500ms", .env = "T_CONF_DURATION_MS:ms,T_CONF_WAIT:deprecated",
		.help = "A duration"),
	CH_OPT(struct t_conf_conf, size, SIZE, .def = "64k", .help = "A size"),
	CH_OPT(struct t_conf_conf, off, DURATION, .flags = CH_O_OFF, .def = "off", .help = "A duration, or off"),
	CH_OPT(struct t_conf_conf, boolean, BOOL, .def = "yes", .help = "Yes or no"),
	CH_OPT(struct t_conf_conf, rate, RATE, .def = "90/min", .help = "A rate"),
	CH_OPT(struct t_conf_conf, share, SHARE, .def = "5%", .help = "A share"),
	CH_OPT(struct t_conf_conf, number, DOUBLE, .def = "2.5", .help = "A number"),
	CH_OPT(struct t_conf_conf, color, ENUM, .def = "green", .values = colors, .help = "A color"),
	CH_OPT(struct t_conf_conf, list, LIST, .def = "a, b", .flags = CH_O_REQUIRED, .help = "Words"),
	CH_OPT(struct t_conf_conf, service, SERVICE, .def = "auto", .iface = "tsvc/1", .help = "A service"),
	CH_OPT(struct t_conf_conf, services, SERVICES, .def = "*", .iface = "tsvc/1", .help = "All of them"),
	CH_OPT(struct t_conf_conf, old, STR, .flags = CH_O_DEPRECATED, .help = "What nobody should use"),
	CH_OPT_AS(struct t_conf_conf, kept, "for", STR, .flags = CH_O_RESTART,
		.help = "What a running server keeps; its name is no name in C"),
};
static const struct ch_option row_options[] = {
	CH_OPT(struct t_conf_row, least, INT, .def = "0", .help = "The least"),
	CH_OPT(struct t_conf_row, most, INT, .def = "10", .help = "The most"),
};
static const double bounds[] = { 10, 100 };
static const struct ch_metric metrics[] = {
	[M_REQUESTS] = { .name = "t_conf_requests_total", .kind = CH_COUNTER, .help = "Requests." },
	[M_BYTES] = { .name = "t_conf_body_bytes", .kind = CH_HISTOGRAM, .buckets = bounds, .nbuckets = 2, .help = "Bytes of bodies." },
	[M_LAST] = { .name = "t_conf_last_bytes", .kind = CH_GAUGE, .help = "Bytes of the last body." },
	[M_BY_ID] = {
		.name = "t_conf_ids_total",
		.kind = CH_COUNTER,
		.labels = { { .name = "method", .set = CH_L_HOST, .values = NULL }, { .name = "name", .set = CH_L_CONFIG } },
		.max_series = 3,
		.help = "Requests by a name that clients choose.",
	},
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/conf", .cls = CH_PUBLIC, .fn = get_conf, .summary = "All options" },
	{
		.method = "POST",
		.pattern = "/conf/{id}",
		.cls = CH_PUBLIC,
		.body = CH_BODY_BUFFER,
		.max_body = 100,
		.tier = NULL,
		.idempotent = true,
		.fn = post_conf,
		.request_schema = "{\"type\":\"object\"}",
		.response_schema = "{\"type\":\"object\",\"maxProperties\":0}",
		.response_type = "application/json",
		.summary = "Counts",
		.budget_us = 5000,
	},
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_conf",
	.version = "0.1",
	.summary = "Test: options, rows, metrics, routes",
	.conf_size = sizeof(struct t_conf_conf),
	.row_conf_size = sizeof(struct t_conf_row),
	.state_size = sizeof(struct t_conf_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.check = check,
	.start = start,
};

CH_PLUGIN(t_conf, plugin)
