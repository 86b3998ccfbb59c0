/* SPDX-License-Identifier: Apache-2.0 */
/* core/conf/near.h - the name that somebody meant. Pure; any thread. */
#ifndef CHI_CONF_NEAR_H
#define CHI_CONF_NEAR_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) between two names, letter case not counted; names over 80 bytes: a large number. */
unsigned chi_near_edits(const char *a, const char *b);

/* Looks for the nearest of the names offered, as long as it is near enough to be what was meant. */
struct chi_near {
	const char *wanted;
	char best[88];                    /* empty: none is near */
	unsigned edits;
};
void chi_near_init(struct chi_near *n, const char *wanted);
/* [a callback's shape] Offers a name; `near` is a struct chi_near. */
void chi_near_offer(void *near, const char *name);

#endif
