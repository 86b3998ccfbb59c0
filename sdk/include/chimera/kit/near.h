/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/near.h - the name that somebody meant: for messages about a name that there is not. Pure functions, any thread, no allocation.
 * Since 0.3.
 *
 *   struct ch_near near;
 *
 *   ch_near_init(&near, "opnai");
 *   ch_near_offer(&near, "openai");
 *   ch_near_offer(&near, "otel");
 *   if (*near.best)
 *           say("did you mean %s?", near.best);             // openai
 */
#ifndef CHIMERA_KIT_NEAR_H
#define CHIMERA_KIT_NEAR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Edits (insert, delete, replace, swap of neighbours) between two names, letter case not counted; names over 128 bytes: a large number. */
unsigned ch_near_edits(const char *a, const char *b);

/* Looks for the nearest of the names offered, as long as it is near enough to be what was meant. */
struct ch_near {
	const char *wanted;
	char best[136];                   /* empty: none is near */
	unsigned edits;
};
void ch_near_init(struct ch_near *n, const char *wanted);
/* [a callback's shape] Offers a name; `near` is a struct ch_near. */
void ch_near_offer(void *near, const char *name);

#ifdef __cplusplus
}
#endif
#endif
