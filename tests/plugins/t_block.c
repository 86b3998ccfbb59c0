/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_block.c - a test plugin: what no plugin may do. GET /block?ms=MS holds up its loop for that long; GET /block?until=FILE, until there is
 * such a file.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "query.h"

static int get_block(struct ch_self *self, struct ch_ctx *c)
{
	int64_t ms = query_int(c, "ms", 2500);
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	struct ch_str until = query_text(c, "until");
	char path[4096];

	(void)self;
	if (until.p) {
		snprintf(path, sizeof(path), "%.*s", (int)until.n, until.p);
		while (access(path, F_OK))
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		return ch_respond(c, 200, "text/plain", "blocked", 7);
	}
	while (nanosleep(&left, &left) && errno == EINTR)
		;
	return ch_respond(c, 200, "text/plain", "blocked", 7);
}

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/block", .fn = get_block, .response_type = "text/plain", .summary = "Blocks the loop" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_block",
	.version = "0.1",
	.summary = "Test: blocks a loop",
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_block, plugin)
