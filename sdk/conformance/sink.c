/* SPDX-License-Identifier: MIT */
/*
 * sink.c - the conformance suite of "sink/1" as a plugin, conform_sink: makes the provider that [conform_sink] target names go through all
 * cases and judges what comes of it.
 *
 *   POST /conform/sink               all cases, one after the other; the answer is a report in TAP, written as the cases end
 *   POST /conform/sink?case=a,b      only those whose name begins with a or b: "again/", "find/limit"
 *
 * The cases stand in sink_cases.c, rows in sink_rows.c; the tables in migrations/<engine>/conform. Each case has rows of its own, by their
 * tag and ids; expire/ takes those of all cases away, also of other runs. What holds for every call is checked for each: it returns OK or
 * AGAIN; the ticket is resumed once, with NULL, in time, and not inside a call; rows come on the loop's thread, newest first, before the
 * ticket is resumed, and only when all went well; outcome, detail, refused and retry_ms fit to each other, and nothing that is said shows
 * a value; a cancel is over soon, and does nothing before the beginning and behind the end; what was handed over is not looked at behind
 * the end (AddressSanitizer sees that).
 *
 * What cannot be seen from outside: a second ch_resume of a ticket, which the host ignores. What is not tried: a database that is full,
 * goes away or is killed: each provider tests that for itself.
 */
#include <stdlib.h>

#include "sink_run.h"

static void next_step(struct store_run *r)
{
	struct sink_own *own = own_of(r);
	const struct sink_step *s = r->step < SINK_STEPS ? &own->steps[r->step] : NULL;

	if (store_given_up(r) || !s || s->op == SINK_END) { /* what comes behind a step that failed says nothing */
		store_case_over(r);
		return;
	}
	r->step++;
	sink_step(r, s, next_step);
}

static const char *name_of_case(size_t i)
{
	return sink_cases[i].name;
}

static void begin_case(struct store_run *r, size_t i)
{
	own_of(r)->steps = sink_cases[i].steps;
	next_step(r);
}

static void on_looked(struct store_run *r)
{
	store_prepared(r, own_of(r)->missing[0] ? own_of(r)->missing : NULL);
}

/* Is the table there? */
static void look(struct store_run *r)
{
	static const struct sink_step nothing = { .op = FIND, .rows = ROWS(0), .timeout = 5000 };

	sink_step(r, &nothing, on_looked);
}

static struct store_suite suite = { .name = name_of_case, .begin = begin_case, .prepare = look };

static int post_conform(struct ch_self *self, struct ch_ctx *c)
{
	return store_conform(self, c, &suite, calloc(1, sizeof(struct sink_own)));
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)self, (void)prev;
	suite.n = sink_ncases;
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct store_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "sink/1", .help = "The provider under test"),
	CH_OPT(struct store_conf, slack, DURATION, .def = "500ms", .help = "How much later than its time an event may come"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/conform/sink", .fn = post_conform, .response_type = "text/plain; charset=utf-8",
		.summary = "Runs the conformance suite of sink/1", .budget_us = 1000000 },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "conform_sink",
	.version = "0.1",
	.summary = "The conformance suite of sink/1",
	.conf_size = sizeof(struct store_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(conform_sink, plugin)
