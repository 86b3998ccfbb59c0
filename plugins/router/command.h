/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - chimeractl run router backends [disable|enable|reset BACKEND]. command.c. */
#ifndef ROUTER_COMMAND_H
#define ROUTER_COMMAND_H

#include "router.h"

/* fn of struct ch_command. */
int router_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv);

#endif
