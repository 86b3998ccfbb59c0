/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_hooks.c - for tests/bench alone: HOOKS hooks in one phase that do nothing. NAME is the plugin's; both come from the compiler's command
 * line, since no option can change how many rows a table has.
 */
#include <chimera/plugin.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define ENTRY_(name) CH_PLUGIN(name, plugin)
#define ENTRY(name) ENTRY_(name)

static int nothing(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	(void)c;
	return CH_OK;
}

static const struct ch_hook hooks[HOOKS] = { [0 ... HOOKS - 1] = { .phase = CH_P_LIMIT, .fn = nothing } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = TEXT(NAME),
	.version = "0.1",
	.summary = "Hooks that do nothing, for the benchmark",
	.hooks = CH_TABLE(hooks),
};

ENTRY(NAME)
