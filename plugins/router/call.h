/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - a question's way through the router: the vtable of the "inference/1" that it provides. call.c. */
#ifndef ROUTER_CALL_H
#define ROUTER_CALL_H

#include <chimera/inference.h>

/*
 * struct router is svc->self's state. CH_I_MODELS goes to router_models (models.c), CH_I_PROBE is answered here; the others are resolved
 * and asked. about: struct router's.
 */
extern const struct ch_inference_v1 router_inference;

/* An END hook: what the gateway itself took of the request's time, chimera_gateway_overhead_seconds. */
int router_on_end(struct ch_self *, struct ch_ctx *);

#endif
