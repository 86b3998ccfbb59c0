/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/command.h"

#include "core/plugin/build.h"
#include "core/plugin/host.h"

#include <stdio.h>

enum { REFUSED = 1, BROKEN = 70, NOT_RUN = 75 };

const struct ch_command *chi_command_find(const struct chi_inst *i, const char *name)
{
	for (size_t k = 0; k < i->self.plugin->commands.n; k++) {
		const struct ch_command *row = chi_row(&i->self.plugin->commands, k);
		if (row->name && !strcmp(row->name, name))
			return row;
	}
	return NULL;
}

int chi_command_out(struct ch_ctx *c, const char *p, size_t n)
{
	return c->command ? c->command->out(c->command, p, n) : CH_ERROR;
}

void chi_command_refuse(struct ch_ctx *c, const char *detail)
{
	snprintf(c->command->why, sizeof c->command->why, "%s", detail);
	c->command->code = REFUSED;
}

static int call(struct ch_ctx *c, void *data)
{
	struct chi_command *cmd = data;
	c->command = cmd;
	cmd->ctx = c;
	cmd->code = 0;
	int rc = cmd->row->fn(&cmd->inst->self, c, cmd->argc, cmd->argv);
	if (rc == CH_ERROR)
		cmd->code = BROKEN;
	return rc;
}

static void dropped(void *data)
{
	struct chi_command *cmd = data;
	snprintf(cmd->why, sizeof cmd->why, "the config was replaced before it could run: try again");
	cmd->ended(cmd, NOT_RUN);
}

static void ended(void *data)
{
	struct chi_command *cmd = data;
	cmd->ctx = NULL;
	cmd->ended(cmd, cmd->code);
}

bool chi_command_run(struct chi_command *cmd)
{
	const struct ch_command *r = cmd->row;
	if (cmd->argc < r->min_args || cmd->argc > r->max_args) {
		snprintf(cmd->why, sizeof cmd->why, "'%s' takes %s%s; %zu %s given", r->name, r->args ? "the arguments " : "no arguments",
		         r->args ? r->args : "", cmd->argc, cmd->argc == 1 ? "was" : "were");
		return false;
	}
	if (chi_task_begin(cmd->inst, chi_around.loops[chi_around.nloops - 1], 0, call, cmd, dropped, ended))
		return true;
	snprintf(cmd->why, sizeof cmd->why, "there is no memory for it, or the server is stopping");
	return false;
}
