/* SPDX-License-Identifier: Apache-2.0 */
/* t_block.c - a test plugin: what no plugin may do. GET /block?ms=MS holds up its loop for that long. */
#include <errno.h>
#include <time.h>

#include "query.h"

static int get_block(struct ch_self *self, struct ch_ctx *c)
{
	int64_t ms = query_int(c, "ms", 2500);
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	(void)self;
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
