/* SPDX-License-Identifier: Apache-2.0 */
/* core/conf/value.h - numbers with their units, words, and what is said about them. Pure, locale-free; any thread. */
#ifndef CHI_CONF_VALUE_H
#define CHI_CONF_VALUE_H

#include "core/chi.h"

struct chi_value { int64_t i; double d; bool b; }; /* i: INT, DURATION ms, SIZE bytes, ENUM index; d: RATE, SHARE, DOUBLE; b: BOOL */

/* yes no true false on off 1 0, in any letter case: 1, 0; anything else: -1. */
int chi_value_bool(const char *s);
/*
 * Reads the text of an INT, BOOL, DURATION, SIZE, RATE, SHARE, DOUBLE or ENUM option and checks its bounds. Beyond plugin.h:
 * decimals are fine where the
 * result is exact ("1.5s"); "0" needs no unit; a SHARE may be a fraction with a point ("0.05"); an ENUM that knows both "off" and
 * "on" takes
 * the words of a BOOL for them. False: `why` is a sentence that goes on after "key = value: " and says what is allowed.
 */
bool chi_value_read(const struct ch_option *o, const char *text, struct chi_value *out, char *why, size_t cap);
/* "a duration such as 250ms, 5s, 10m, 2h or 1d from 1s to 1h, or off": what the option takes, for messages and books. */
void chi_value_allowed(const struct ch_option *o, char *buf, size_t cap);
/* "duration", "list", …: the type's name. */
const char *chi_value_type(const struct ch_option *o);
/* The bytes that the type takes in a config struct; 0: there is no such type. */
size_t chi_value_size(const struct ch_option *o);

#endif
