/* SPDX-License-Identifier: Apache-2.0 */
/* pings.h - [server] startup_vendor_pings: does each backend live, asked once at start. pings.c. */
#ifndef ROUTER_PINGS_H
#define ROUTER_PINGS_H

#include "router.h"

/* [boot] Begins a task for each backend, if the server is to ask; what comes of it is a line in the log, and never fails the start. */
void router_ping_all(struct router *r);

#endif
