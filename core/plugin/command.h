/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/command.h - verbs of plugins, see struct ch_command: each runs as a task of its instance on the house loop, whoever asked for it.
 */
#ifndef CHI_COMMAND_H
#define CHI_COMMAND_H

#include "core/plugin/gen.h"

struct chi_command { /* the asker's memory; lives until `ended` */
	const struct ch_command *row;
	struct chi_inst *inst;
	size_t argc;
	const char *const *argv;      /* the asker's, too */
	/* On the house loop: the next piece of output. CH_OK, or CH_DONE: nobody reads any more. */
	int (*out)(struct chi_command *, const char *p, size_t n);
	/* On the house loop: it is over. code: 0; 1 with what it refused in `why`; 70: it is broken; 75: it was never run. */
	void (*ended)(struct chi_command *, int code);
	char why[1024];
	void *arg;                    /* the asker's */
	struct ch_ctx *ctx;           /* while it runs, for chi_ctx_gone: the asker has left */
	int code;
};

/* The row of that verb of the instance, or NULL. */
const struct ch_command *chi_command_find(const struct chi_inst *i, const char *name);
/* [any] False, with a sentence in why: wrong number of arguments, or no memory; `ended` is not called then. */
bool chi_command_run(struct chi_command *cmd);

/* From the host table. */
int chi_command_out(struct ch_ctx *c, const char *p, size_t n);
void chi_command_refuse(struct ch_ctx *c, const char *detail);

#endif
