/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/commands.h - which commands plugins have: of the running server (ctl->socket), else of what the config makes. One thread. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "core/ctl/ctl.h"

/* Prints those of all instances, or of one. An exit code. */
int ctl_commands_list(const struct ctl *ctl, const char *instance);
/* Prints how one is used. An exit code. */
int ctl_commands_explain(const struct ctl *ctl, const char *instance, const char *command);
#define CTL_OWNERS 64
/*
 * The ids, malloc'd, of the instances that have a command of that name, NULL behind the last: one, or several if it is of those that run in
 * EACH. None: *near was offered all names. An exit code: 64 if several have it and it is not, told on stderr.
 */
int ctl_commands_owners(const struct ctl *ctl, const char *command, char *instances[CTL_OWNERS], struct ch_near *near);

#endif
