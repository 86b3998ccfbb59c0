/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/build.h - what the files that build a generation share while they do. Boot thread. */
#ifndef CHI_BUILD_H
#define CHI_BUILD_H

#include "core/plugin/gen.h"

struct chi_build {
	struct chi_gen *gen;
	struct chi_report *report;
	bool *edges;              /* [user * ninsts + provider] */
	struct chi_inst **order;  /* providers before their users: the order of starting; the generation keeps it */
};

/* A row of a table, of whatever size it was compiled with. NULL past the end. */
static inline const void *chi_row(const struct ch_table *t, size_t i)
{
	return i < t->n ? (const char *)t->rows + i * t->row_size : NULL;
}

/* An error about a key of an instance (row, key may be NULL), a warning about an instance. */
void chi_build_error(const struct chi_build *b, const struct chi_inst *i, const char *row, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void chi_build_warn(const struct chi_build *b, const struct chi_inst *i, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Memory of malloc that is freed with the generation. */
void chi_build_keep(struct chi_build *b, void *p);

void chi_wire(struct chi_build *b);         /* wiring.c */
void chi_order_hooks(struct chi_build *b);  /* order.c */
const char *chi_phase_name(int phase);

#endif
