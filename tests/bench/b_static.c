/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_static.c - for tests/bench alone: /static answers `body_bytes` constant bytes, and `series` makes that many series for /metrics.
 * Threads and ownership: all is written in start and only read after.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/plugin.h>

#define SERIES_MAX 100000

struct static_conf {
	int64_t body_bytes;
	int64_t series;
};

struct static_state {
	char *body;
};

static int get_static(struct ch_self *self, struct ch_ctx *c)
{
	const struct static_conf *conf = self->conf;
	const struct static_state *state = self->state;

	return ch_respond(c, 200, "text/plain", state->body, (size_t)conf->body_bytes);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct static_conf *conf = self->conf;
	struct static_state *state = self->state;

	(void)prev;
	state->body = malloc((size_t)conf->body_bytes + 1);
	if (!state->body)
		return CH_ERROR;
	memset(state->body, 'x', (size_t)conf->body_bytes);
	for (int64_t i = 0; i < conf->series; i++) {
		char shard[24];
		const char *values[] = { shard, i % 2 ? "odd" : "even" };

		snprintf(shard, sizeof(shard), "shard-%05lld", (long long)i);
		ch_add(ch_series(self, 0, values), (double)i + 0.5);
	}
	return CH_OK;
}

static void stop(struct ch_self *self)
{
	struct static_state *state = self->state;

	free(state->body);
}

static const char *const kinds[] = { "even", "odd", NULL };

static const struct ch_option options[] = {
	CH_OPT(struct static_conf, body_bytes, SIZE, .def = "256", .max = "1m", .help = "Bytes of the answer's body"),
	CH_OPT(struct static_conf, series, INT, .def = "0", .min = "0", .max = "100000", .help = "Series to make for /metrics"),
};

static const struct ch_metric metrics[] = {
	{ .name = "bench_series_total", .kind = CH_COUNTER, .labels = { { "shard", CH_L_CONFIG, NULL }, { "kind", CH_L_FIXED, kinds } },
	  .max_series = SERIES_MAX, .help = "Series that stand for those of a large deployment." },
};

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/static", .cls = CH_PUBLIC, .body = CH_BODY_NONE, .idempotent = true, .fn = get_static,
	  .response_type = "text/plain", .summary = "A constant answer" },
	{ .method = "POST", .pattern = "/static", .cls = CH_PUBLIC, .body = CH_BODY_BUFFER, .idempotent = true, .fn = get_static,
	  .response_type = "text/plain", .summary = "The same, whatever is sent" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "b_static",
	.version = "0.1",
	.summary = "A constant answer, for the benchmark",
	.conf_size = sizeof(struct static_conf),
	.state_size = sizeof(struct static_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = start,
	.stop = stop,
};

CH_PLUGIN(b_static, plugin)
