/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys_values.h - what a field of a key may hold, as a keys file, a command or a store has it. Pure. Each returns false where the text is
 * none of its kind, and `why` is a sentence then, which names the field and what is allowed. The texts are not kept.
 */
#ifndef AUTH_KEYS_VALUES_H
#define AUTH_KEYS_VALUES_H

#include "verify.h"

enum auth_list_of { AUTH_L_NAMES, AUTH_L_ROUTES, AUTH_L_NETWORKS };

/* "sha256:" and 64 hexadecimal digits, and not the hash of nothing. */
bool auth_read_hash(const char *text, unsigned char to[CH_SHA256], char why[512]);
/* A date or a time in microseconds since the epoch; 0: "never". */
bool auth_read_time(const char *name, const char *text, int64_t *to, char why[512]);
/* enum ch_role, and back. */
const char *auth_role_name(int role);
bool auth_read_role(const char *text, int *to, char why[512]);
bool auth_read_yes(const char *name, const char *text, bool *to, char why[512]);
/* Items by comma, at least one, none of them empty. */
bool auth_list_good(const char *name, const char *text, enum auth_list_of of, char why[512]);
/* A key's own limits, as ratelimit reads them. */
bool auth_limits_good(const char *text, char why[512]);
/* One of those; why names the nearest. */
bool auth_tier_good(const char *text, const struct ch_list *tiers, char why[512]);

#endif
