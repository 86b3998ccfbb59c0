/* SPDX-License-Identifier: MIT */
/*
 * skeleton.c - a task by the clock: measures the free space of a file system.
 *
 *     [skeleton]
 *     path = /var
 *     when = 10m
 *     least = 5g
 *
 * The task runs on the house loop, which must not stand still, and statvfs may (a network's file system): so the work goes to a pool
 * thread by ch_offload, and the task waits by ch_suspend. What is wrong is told by ch_degraded: a log line when it begins and ends, a
 * metric, /ready?verbose.
 *
 * Threads and ownership: `struct look` is the task's memory. The pool thread alone writes it until the ticket is resumed, the house loop
 * alone reads it after that.
 */
#include <errno.h>
#include <sys/statvfs.h>

#include <chimera/plugin.h>

/* [skeleton]. The host fills it from the table of options below; CH_OPT checks each field's type when this is compiled. */
struct skeleton_conf {
	const char *path;
	const char *when;
	int64_t least;
};

/* `state` of the instance: zeroed memory of the host's. Global variables would be shared by all instances, old ones and new ones. */
struct skeleton_state {
	unsigned free_bytes; /* a metric's series: looked up once, in start, and used by number */
};

enum { M_FREE }; /* rows of the table of metrics, for ch_series */

/* One look at the file system. */
struct look {
	struct ch_self *self;
	const char *path;
	double free;
	int error; /* errno */
};

/* ---- the task ---- */

/* On a pool thread: may block, and calls no function of the host that is not marked [any]. What it returns is the ticket's result. */
static void *measure(void *data)
{
	struct look *look = data;
	struct statvfs fs;

	look->error = statvfs(look->path, &fs) ? errno : 0;
	look->free = look->error ? 0 : (double)fs.f_bavail * (double)fs.f_frsize;
	return look;
}

/* Back on the house loop. CH_GONE: the server stops; CH_TIMEOUT: see timeout_ms below. */
static int on_measured(struct ch_ctx *c, void *data, int why, void *result)
{
	struct look *look = data;
	const struct skeleton_conf *conf = look->self->conf;
	const struct skeleton_state *state = look->self->state;

	(void)c;
	(void)result;
	if (why == CH_TIMEOUT)
		ch_degraded(look->self, "disk", true, "%s did not answer in time", conf->path);
	if (why != CH_READY)
		return CH_DONE; /* measure may still run: its memory is kept until it has ended */
	ch_degraded(look->self, "disk", look->error || look->free < (double)conf->least, "%s %s", conf->path,
		look->error ? strerror(look->error) : "has less free space than `least`");
	if (!look->error)
		ch_set(state->free_bytes, look->free);
	return CH_DONE;
}

static int on_time(struct ch_self *self, struct ch_ctx *c)
{
	const struct skeleton_conf *conf = self->conf;
	struct look *look = ch_alloc(c, sizeof(*look));
	ch_ticket t = look ? ch_suspend(c, 0, on_measured, look) : 0;

	/* No memory, or too much work waits for the pool: the next time will do. */
	if (!t)
		return CH_DONE;
	*look = (struct look){ .self = self, .path = conf->path };
	if (!ch_offload(self, measure, look, t, NULL)) {
		ch_unsuspend(t);
		return CH_DONE;
	}
	return CH_AGAIN;
}

/* ---- life ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct skeleton_state *state = self->state;

	(void)prev; /* the instance that this one succeeds after a reload: there is nothing to take over */
	state->free_bytes = ch_series(self, M_FREE, NULL);
	return CH_OK;
}

/* ---- tables: the host reads them for parsing, --check, --dump-config, the man page, /metrics ---- */

static const struct ch_option options[] = {
	CH_OPT(struct skeleton_conf, path, PATH, .flags = CH_O_REQUIRED, .def = "/", .help = "A path on the file system to be measured"),
	CH_OPT(struct skeleton_conf, when, STR, .def = "1m",
		.help = "When: a duration from end to start, or minute hour day month weekday in UTC"),
	CH_OPT(struct skeleton_conf, least, SIZE, .def = "1g", .min = "0", .help = "Less free space than this is told as degraded"),
};

static const struct ch_metric metrics[] = {
	[M_FREE] = { .name = "skeleton_free_bytes", .kind = CH_GAUGE, .help = "Free space of the file system that holds path." },
};

static const struct ch_cron crons[] = {
	{ .name = "measure", .when_option = "when", .timeout_ms = 10000, .fn = on_time },
};

static const struct ch_plugin skeleton_plugin = {
	.size = sizeof(skeleton_plugin), /* how the host knows what this plugin was built with */
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "skeleton",
	.version = "0.1.0",
	.summary = "Measures the free space of a file system",
	.conf_size = sizeof(struct skeleton_conf),
	.state_size = sizeof(struct skeleton_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.crons = CH_TABLE(crons),
	.start = start,
};

/* The one exported symbol. */
CH_PLUGIN(skeleton, skeleton_plugin)
