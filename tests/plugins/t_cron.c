/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_cron.c - a test plugin: tasks by the clock.
 *
 *   often     20 ms after its last end; waits 5 ms in between
 *   line      a line of crontab, or what `line` says; empty: never
 *   endless   begins after 10 ms and waits until its timeout of 50 ms, again and again
 *
 *   GET /cron   "often N line N endless N gone N overlaps N"
 *
 * Threads and ownership: the tasks run on the house loop; the numbers are atomic.
 */
#include <stdatomic.h>

#include <chimera/plugin.h>

struct t_cron_conf {
	const char *line;
};

struct t_cron_state {
	atomic_uint often, line, endless, gone, overlaps;
	atomic_bool running;
};

struct wait {
	struct t_cron_state *state;
	ch_ticket ticket;
	bool endless;
};

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;

	(void)c;
	(void)result;
	ch_unsuspend(w->ticket);
	atomic_fetch_add(why == CH_GONE ? &w->state->gone : w->endless ? &w->state->endless : &w->state->often, 1);
	if (!w->endless)
		atomic_store(&w->state->running, false);
	return CH_DONE;
}

static int wait(struct ch_self *self, struct ch_ctx *c, int64_t ms, bool endless)
{
	struct wait *w = ch_alloc(c, sizeof(*w));

	if (!w)
		return CH_ERROR;
	*w = (struct wait){ self->state, ch_suspend(c, ms, on_over, w), endless };
	return w->ticket ? CH_AGAIN : CH_ERROR;
}

static int on_often(struct ch_self *self, struct ch_ctx *c)
{
	struct t_cron_state *state = self->state;

	if (atomic_exchange(&state->running, true))
		atomic_fetch_add(&state->overlaps, 1);
	return wait(self, c, 5, false);
}

static int on_line(struct ch_self *self, struct ch_ctx *c)
{
	struct t_cron_state *state = self->state;

	ch_log(self, c, CH_INFO, "the line of crontab is due");
	atomic_fetch_add(&state->line, 1);
	return CH_OK;
}

static int on_endless(struct ch_self *self, struct ch_ctx *c)
{
	return wait(self, c, 0, true);
}

static int get_cron(struct ch_self *self, struct ch_ctx *c)
{
	struct t_cron_state *s = self->state;
	const char *text = ch_print(c, "often %u line %u endless %u gone %u overlaps %u", s->often, s->line, s->endless, s->gone,
		s->overlaps);

	return text ? ch_respond(c, 200, "text/plain", text, strlen(text)) : CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_cron_conf, line, STR, .def = "* * * * *", .help = "When the second task is due"),
};
static const struct ch_cron crons[] = {
	{ .name = "often", .when = "20ms", .fn = on_often },
	{ .name = "line", .when_option = "line", .fn = on_line },
	{ .name = "endless", .when = "10ms", .timeout_ms = 50, .fn = on_endless },
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/cron", .fn = get_cron, .response_type = "text/plain", .summary = "How often they ran" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_cron",
	.version = "0.1",
	.summary = "Test: tasks by the clock",
	.conf_size = sizeof(struct t_cron_conf),
	.state_size = sizeof(struct t_cron_state),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.crons = CH_TABLE(crons),
};

CH_PLUGIN(t_cron, plugin)
