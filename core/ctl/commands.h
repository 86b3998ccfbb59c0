/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/commands.h - which commands plugins have: of the running server (ctl->socket), else of what the config makes. One thread. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "core/ctl/ctl.h"

/* Prints those of all instances, or of one. An exit code. */
int ctl_commands_list(const struct ctl *ctl, const char *instance);
/* Prints how one is used. An exit code. */
int ctl_commands_explain(const struct ctl *ctl, const char *instance, const char *command);
/*
 * The id, malloc'd, of the one instance that has a command of that name. *instance NULL: none has, and *near was offered all names. An exit
 * code: 64 if several have it, told on stderr.
 */
int ctl_commands_owner(const struct ctl *ctl, const char *command, char **instance, struct ch_near *near);

#endif
