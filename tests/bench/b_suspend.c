/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_suspend.c - for tests/bench alone: routes that suspend and are resumed `times` times before they answer: at the end of the turn
 * (/turn), by a function posted to their own loop (/post), from a thread of the pool (/offload); /none answers at once.
 *
 * Threads and ownership: a trip lies in its ctx's arena. Whoever has its ticket resumes it exactly once, also when the client left before,
 * and until then the host keeps the arena.
 */
#include <chimera/plugin.h>

struct suspend_conf {
	int64_t times;
};

struct trip {
	struct ch_self *self;
	struct ch_ctx *c;
	bool (*begin)(struct trip *);
	ch_ticket ticket;
	int64_t left;
};

static int answer(struct ch_ctx *c)
{
	return ch_respond(c, 200, "text/plain", "back", 4);
}

static void resume(void *data)
{
	struct trip *t = data;

	ch_resume(t->ticket, NULL, NULL);
}

static void *work(void *data)
{
	(void)data;
	return NULL;
}

static bool begin_turn(struct trip *t)
{
	ch_turn_end(ch_loop(t->c), resume, t);
	return true;
}

static bool begin_post(struct trip *t)
{
	return ch_post(ch_loop(t->c), resume, t);
}

static bool begin_offload(struct trip *t)
{
	return ch_offload(t->self, work, NULL, t->ticket, NULL);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result);

static int next(struct trip *t)
{
	t->ticket = ch_suspend(t->c, 0, on_resumed, t);
	if (!t->ticket)
		return CH_ERROR;
	if (t->begin(t))
		return CH_AGAIN;
	ch_unsuspend(t->ticket);
	return CH_ERROR;
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct trip *t = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	return --t->left > 0 ? next(t) : answer(c);
}

static int begin(struct ch_self *self, struct ch_ctx *c, bool (*how)(struct trip *))
{
	const struct suspend_conf *conf = self->conf;
	struct trip *t = ch_alloc(c, sizeof(*t));

	if (!t)
		return CH_ERROR;
	*t = (struct trip){ .self = self, .c = c, .begin = how, .left = conf->times };
	return next(t);
}

static int get_none(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return answer(c);
}

static int get_turn(struct ch_self *self, struct ch_ctx *c) { return begin(self, c, begin_turn); }
static int get_post(struct ch_self *self, struct ch_ctx *c) { return begin(self, c, begin_post); }
static int get_offload(struct ch_self *self, struct ch_ctx *c) { return begin(self, c, begin_offload); }

static const struct ch_option options[] = {
	CH_OPT(struct suspend_conf, times, INT, .def = "1", .min = "1", .max = "1000", .help = "Round trips before the answer"),
};

#define ROUTE(path, func) \
	{ .method = "GET", .pattern = path, .cls = CH_PUBLIC, .body = CH_BODY_NONE, .fn = func, .response_type = "text/plain", \
	  .summary = "Round trips" }

static const struct ch_route routes[] = {
	ROUTE("/none", get_none), ROUTE("/turn", get_turn), ROUTE("/post", get_post), ROUTE("/offload", get_offload),
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "b_suspend",
	.version = "0.1",
	.summary = "Suspended round trips, for the benchmark",
	.conf_size = sizeof(struct suspend_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(b_suspend, plugin)
