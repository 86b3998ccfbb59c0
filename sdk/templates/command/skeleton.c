/* SPDX-License-Identifier: MIT */
/*
 * skeleton.c - counts requests by status, and has commands for operators:
 *
 *     chimeractl run skeleton show        how many there were
 *     chimeractl run skeleton set 5xx 0   begin again
 *
 *     [skeleton]
 *     ignore = /health, /metrics
 *
 * A command runs in the server, over its control socket (LIVE), or in a process of its own that starts this instance alone (OFFLINE).
 *
 * Threads and ownership: the hook runs on the request's loop, of which there are several, and commands on the house loop; so the counts
 * are atomic.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include <chimera/plugin.h>

enum { CLASSES = 5 }; /* 1xx to 5xx */

/* [skeleton]. The host fills it from the table of options below; CH_OPT checks each field's type when this is compiled. */
struct skeleton_conf {
	struct ch_list ignore;
};

/* `state` of the instance: zeroed memory of the host's. Global variables would be shared by all instances, old ones and new ones. */
struct skeleton_state {
	atomic_llong count[CLASSES];
};

/* ---- counting ---- */

static bool is_ignored(const struct skeleton_conf *conf, struct ch_str path)
{
	for (size_t i = 0; i < conf->ignore.n; i++)
		if (conf->ignore.v[i].n == path.n && !memcmp(conf->ignore.v[i].p, path.p, path.n))
			return true;
	return false;
}

/* END runs once a request, whatever happened; CH_OK is the only answer. */
static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	struct skeleton_state *state = self->state;
	int class = ch_status(c) / 100;

	if (ch_is_http(c) && class >= 1 && class <= CLASSES && !is_ignored(self->conf, ch_path(c)))
		atomic_fetch_add(&state->count[class - 1], 1);
	return CH_OK;
}

/* ---- commands ---- */

static int on_show(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	struct skeleton_state *state = self->state;

	(void)argc;
	(void)argv;
	for (int i = 0; i < CLASSES; i++)
		ch_out(c, "%dxx %lld\n", i + 1, atomic_load(&state->count[i]));
	return CH_OK;
}

/* "5xx": its index, or -1. */
static int class_of(const char *word)
{
	return *word >= '1' && *word <= '0' + CLASSES && !strcmp(word + 1, "xx") ? *word - '1' : -1;
}

/* What was typed wrongly is refused by a sentence that says what is allowed: it comes out on stderr, with exit code 1. */
static int on_set(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	struct skeleton_state *state = self->state;
	int class = class_of(argv[0]);
	char *end;
	long long n = strtoll(argv[1], &end, 10);

	(void)argc; /* the host has seen to it that there are two: min_args and max_args */
	if (class < 0)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "\"%.20s\" is no class of statuses: write one of 1xx, 2xx, 3xx, 4xx, 5xx.", argv[0]);
	if (end == argv[1] || *end || n < 0)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "\"%.20s\" is no number: write one from 0 on.", argv[1]);
	atomic_store(&state->count[class], n);
	return CH_OK;
}

/* ---- life ---- */

/* The reload is decided: go on counting. Requests that `prev` still answers are not counted any more. */
static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct skeleton_state *state = self->state, *old = prev->state;

	for (int i = 0; i < CLASSES; i++)
		atomic_store(&state->count[i], atomic_load(&old->count[i]));
}

/* ---- tables: the host reads them ---- */

static const struct ch_option options[] = {
	CH_OPT(struct skeleton_conf, ignore, LIST, .help = "Paths that are not counted"),
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_END, .fn = on_end },
};

static const struct ch_command commands[] = {
	{ .name = "show", .modes = CH_LIVE | CH_OFFLINE, .summary = "Show how many requests there were, by class of status", .fn = on_show },
	{ .name = "set", .modes = CH_LIVE, .args = "CLASS NUMBER", .min_args = 2, .max_args = 2,
		.summary = "Set the count of a class of statuses, such as 5xx", .fn = on_set },
};

static const struct ch_plugin skeleton_plugin = {
	.size = sizeof(skeleton_plugin), /* how the host knows what this plugin was built with */
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "skeleton",
	.version = "0.1.0",
	.summary = "Counts requests by status, and shows them by command",
	.conf_size = sizeof(struct skeleton_conf),
	.state_size = sizeof(struct skeleton_state),
	.options = CH_TABLE(options),
	.hooks = CH_TABLE(hooks),
	.commands = CH_TABLE(commands),
	.adopt = adopt,
};

/* The one exported symbol. */
CH_PLUGIN(skeleton, skeleton_plugin)
