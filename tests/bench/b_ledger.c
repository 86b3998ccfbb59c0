/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_ledger.c - for tests/bench alone: two routes with one answer, of which /with leaves a row in the usage ledger and /without does not.
 * The facts that a row is made of are those of a chat request.
 *
 * Threads and ownership: nothing is kept.
 */
#include <chimera/plugin.h>

static int answer(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_facts *f = ch_facts(c);

	(void)self;
	f->backend = "openai";
	f->model = "gpt-4o-mini";
	f->asked = "gpt-4o-mini";
	f->owner = "team-a";
	f->tier = "api_key";
	f->tokens_in = 120;
	f->tokens_out = 40;
	f->cost = 0.00042;
	return ch_respond(c, 200, "text/plain", "kept", 4);
}

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/with", .fn = answer, .ledger = "inference", .summary = "An answer that leaves a row" },
	{ .method = "GET", .pattern = "/without", .fn = answer, .summary = "The same without a row" },
};
static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "b_ledger",
	.version = "0.1",
	.summary = "A route with and without a ledger, for the benchmark",
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(b_ledger, plugin)
