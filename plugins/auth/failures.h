/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failures.h - failed attempts by address: a bucket each, of IPv6 one for each /64. A bounded table of the process; where it is full, who
 * has failed the least goes. All functions [any].
 */
#ifndef AUTH_FAILURES_H
#define AUTH_FAILURES_H

#include <chimera/plugin.h>

struct auth_failures;

/* per_second as CH_T_RATE. NULL: no memory, or numbers that are too large. */
struct auth_failures *auth_failures_new(double per_second, uint64_t burst, uint64_t seed);
void auth_failures_free(struct auth_failures *);
/*
 * Has that address failed too often by now? Microseconds until it may try again; 0: it may. client: as in the facts; whatever is no address
 * counts as one.
 */
int64_t auth_failures_wait(struct auth_failures *, const char *client, int64_t now);
/* One attempt of it has failed. */
void auth_failures_add(struct auth_failures *, const char *client, int64_t now);

#endif
