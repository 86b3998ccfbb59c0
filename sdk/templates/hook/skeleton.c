/* SPDX-License-Identifier: MIT */
/*
 * skeleton.c - looks at every request before it is routed, and at every answer before it leaves:
 *
 *     [skeleton]
 *     deny = /internal, /debug
 *     mark = berlin-2
 *
 *     GET /internal/x   ->   403
 *     anything          ->   x-served-by: berlin-2
 *
 * Hooks run for every request, other plugins' and errors too, so they cost every request: do little. Each names its phase; inside one,
 * `band`, `after` and `before` order it among other plugins' (`chimeractl plugins` shows the result).
 *
 * Threads and ownership: hooks run on the request's loop, of which there are several. All that they share is written before them: the
 * configuration by the host, the series' number in start.
 */
#include <chimera/plugin.h>

/* [skeleton]. The host fills it from the table of options below; CH_OPT checks each field's type when this is compiled. */
struct skeleton_conf {
	struct ch_list deny;
	const char *mark;
};

/* `state` of the instance: zeroed memory of the host's. Global variables would be shared by all instances, old ones and new ones. */
struct skeleton_state {
	unsigned denied; /* a metric's series: looked up once, in start, and used by number on the request's way */
};

enum { M_DENIED }; /* rows of the table of metrics, for ch_series */

/* ---- hooks ---- */

/* Is `path` `prefix`, or below it? "/debug" is above "/debug/x", and not above "/debugger". */
static bool is_below(struct ch_str path, struct ch_str prefix)
{
	if (!prefix.n || path.n < prefix.n || memcmp(path.p, prefix.p, prefix.n))
		return false;
	return path.n == prefix.n || prefix.p[prefix.n - 1] == '/' || path.p[prefix.n] == '/';
}

/*
 * HEADERS: the head is there, nobody has routed it. CH_OK passes the request on; a refusal answers it, and no later hook but RESPONSE
 * and END sees it. CH_ERROR would mean that this plugin is broken.
 */
static int on_headers(struct ch_self *self, struct ch_ctx *c)
{
	const struct skeleton_conf *conf = self->conf;
	const struct skeleton_state *state = self->state;
	struct ch_str path = ch_path(c); /* decoded and normalised: /a/../debug comes as /debug */

	for (size_t i = 0; i < conf->deny.n; i++) {
		if (!is_below(path, conf->deny.v[i]))
			continue;
		ch_add(state->denied, 1);
		return ch_refuse(c, CH_E_FORBIDDEN, 0, "%s and what is below it cannot be reached from here.", conf->deny.v[i].p);
	}
	return CH_OK;
}

/* RESPONSE: the head is about to leave. It may be changed, and nothing else; CH_OK is the only answer. */
static int on_response(struct ch_self *self, struct ch_ctx *c)
{
	const struct skeleton_conf *conf = self->conf;

	if (*conf->mark)
		ch_header_set(c, "x-served-by", conf->mark);
	return CH_OK;
}

/* ---- life ---- */

/*
 * Pure: it is also run by `chimerad --check`, which starts nothing. What the table of options can say (types, ranges) is checked before
 * this.
 */
static int check(struct ch_self *self)
{
	const struct skeleton_conf *conf = self->conf;
	int rc = CH_OK;

	for (size_t i = 0; i < conf->deny.n; i++) {
		if (conf->deny.v[i].p[0] == '/')
			continue;
		ch_config_error(self, NULL, "deny", "'%s' begins with no /: write paths, such as /internal", conf->deny.v[i].p);
		rc = CH_ERROR;
	}
	return rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct skeleton_state *state = self->state;

	(void)prev; /* the instance that this one succeeds after a reload: there is nothing to take over */
	state->denied = ch_series(self, M_DENIED, NULL);
	return CH_OK;
}

/* ---- tables: the host reads them for parsing, --check, --dump-config, the man page, /metrics ---- */

static const struct ch_option options[] = {
	CH_OPT(struct skeleton_conf, deny, LIST, .help = "Paths that nobody may reach, with all that is below them"),
	CH_OPT(struct skeleton_conf, mark, STR, .help = "What stands in x-served-by of each answer; empty is no such header"),
};

static const struct ch_metric metrics[] = {
	[M_DENIED] = { .name = "skeleton_denied_total", .kind = CH_COUNTER, .help = "Requests for denied paths." },
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_HEADERS, .fn = on_headers },
	{ .phase = CH_P_RESPONSE, .fn = on_response },
};

static const struct ch_plugin skeleton_plugin = {
	.size = sizeof(skeleton_plugin), /* how the host knows what this plugin was built with */
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "skeleton",
	.version = "0.1.0",
	.summary = "Denies paths and marks answers",
	.conf_size = sizeof(struct skeleton_conf),
	.state_size = sizeof(struct skeleton_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.check = check,
	.start = start,
};

/* The one exported symbol. */
CH_PLUGIN(skeleton, skeleton_plugin)
