/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/secret.h - memory for secrets, see ch_secret_alloc. [any] */
#ifndef CHI_SECRET_H
#define CHI_SECRET_H

#include <stddef.h>

void *chi_secret_alloc(size_t n);
void chi_secret_free(void *p); /* NULL is fine */

#endif
