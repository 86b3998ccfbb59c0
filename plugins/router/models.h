/* SPDX-License-Identifier: Apache-2.0 */
/* models.h - the models that can be asked for, of all backends together: what the config names and what backends report. models.c. */
#ifndef ROUTER_MODELS_H
#define ROUTER_MODELS_H

#include "router.h"

/* [boot] What is remembered of the backends' own lists; NULL: no memory. Behind router_table_make. */
struct router_models *router_models_new(const struct router *r);
void router_models_free(struct router_models *); /* NULL is fine */

#endif
