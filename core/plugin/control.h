/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/control.h - the core's own routes, as an instance "core" that every generation has: GET /openapi.json for everybody, and
 * on the control socket alone GET /control/status, GET /control/plugins, GET and POST /control/log-level, POST /control/reload, and in
 * control_run.c GET /control/commands and POST /control/run/{instance}/{command}. chimeractl is their client.
 */
#ifndef CHI_CONTROL_H
#define CHI_CONTROL_H

#include "core/conf/conf.h"
#include "core/plugin/gen.h"

#include <chimera/kit/json.h>

struct chi_costs;

extern struct chi_conf_inst chi_control_inst;

/*
 * What `chimeractl plugins` shows, with or without a running server: instances with version, hooks in chain order, services, routes; and
 * what hooks have cost (NULL: without that).
 */
void chi_plugins_json(const struct chi_gen *g, const struct chi_costs *costs, struct ch_jw *w);

/* control_run.c */
int chi_control_commands(struct ch_self *self, struct ch_ctx *c);
int chi_control_run(struct ch_self *self, struct ch_ctx *c);

#endif
