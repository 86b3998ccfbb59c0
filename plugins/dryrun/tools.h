/* SPDX-License-Identifier: Apache-2.0 */
/* tools.h - which tool is called, and with what. Pure but for memory of the ctx. */
#ifndef DRYRUN_TOOLS_H
#define DRYRUN_TOOLS_H

#include <chimera/inference.h>

struct dryrun_tool {
	struct ch_str name;
	struct ch_str arguments;   /* JSON: an object with a value for each property of the tool's schema */
	char id[32];               /* "call_…" */
};

/*
 * Which of the request's tools is called. tool_choice decides, if the request has it; "auto", or none: `when` (DRYRUN_TOOLS_…) does, and a
 * question that a tool's result ends is answered with words. out->name.n 0: none. False: no memory.
 */
bool dryrun_tool_choose(struct ch_ctx *c, const struct ch_inference_args *args, int when, uint64_t digest, struct dryrun_tool *out);

/* Does the request want a JSON schema kept? */
bool dryrun_wants_schema(const struct ch_inference_args *args);

#endif
