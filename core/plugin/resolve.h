/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/resolve.h - names to addresses in the offload pool, see ch_resolve. [any] */
#ifndef CHI_RESOLVE_H
#define CHI_RESOLVE_H

#include "core/plugin/gen.h"

int chi_resolve(struct chi_inst *i, const char *host, struct ch_addrs *out, ch_ticket t);

#endif
