/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/openapi.h - OpenAPI 3.1 from the route tables, made once a generation. Boot thread. */
#ifndef CHI_OPENAPI_H
#define CHI_OPENAPI_H

#include "core/plugin/gen.h"

/* Routes of this class answer the control socket alone and stand in no description. */
#define CHI_ROUTE_CONTROL (CH_OPEN + 1)

bool chi_openapi_make(struct chi_gen *g); /* fills g->openapi; false: no memory */
void chi_openapi_free(struct chi_gen *g);

#endif
