/* SPDX-License-Identifier: Apache-2.0 */
/* core/conf/options.h - reading option tables; private to core/conf. Pure; any thread. */
#ifndef CHI_CONF_OPTIONS_H
#define CHI_CONF_OPTIONS_H

#include "core/chi.h"

/* The i-th row of a table, whose rows may be shorter or longer than this daemon's: what is not there is zero. */
struct ch_option chi_option_at(const struct ch_table *t, size_t i);

/* One of ch_option.env: "NAME", "NAME:unit", "NAME:deprecated", "NAME:unit:deprecated". */
struct chi_alias {
	struct ch_str name, unit;         /* unit.n 0: none; slices of env */
	bool deprecated;
};
/* The alias at *p (start with env), and moves *p behind it; false: there is none any more. */
bool chi_option_alias(const char **p, struct chi_alias *out);

/* "CHIMERA__<ID>__<ROW>__<KEY>" in capitals, '_' for what is no letter or digit; row NULL: none. */
void chi_option_variable(const char *id, const char *row, const char *key, char *buf, size_t cap);

#endif
