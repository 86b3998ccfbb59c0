/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/build.h - what the files that build a generation share while they do. Boot thread. */
#ifndef CHI_BUILD_H
#define CHI_BUILD_H

#include "core/plugin/gen.h"

struct chi_build {
	struct chi_gen *gen;
	struct chi_report *report;
	bool *used;               /* by index: something is bound to it, or it has routes, hooks, taps or checks */
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
/* Has the instance's option of that name (NULL: none) CH_O_RELOAD? */
bool chi_build_reloadable(const struct chi_inst *i, const char *option);
/* Memory of malloc that is freed with the instance. */
void chi_inst_keep(struct chi_inst *i, void *p);
struct chi_inst *chi_inst_new(struct chi_build *b, struct chi_conf_inst *conf);
void chi_inst_free(struct chi_inst *i);

/* wiring.c: binds the options of one instance, or of all and finds the order of starting, and who needs whom. */
void chi_wire_one(struct chi_build *b, struct chi_inst *i);
void chi_wire(struct chi_build *b);
void chi_wire_needed(struct chi_build *b);
/* carry.c: puts the running generation's instances in the place of those that are the same. */
void chi_carry(struct chi_build *b, struct chi_gen *prev);
/*
 * suggest.c: the sections to add, "[dryrun], [llama]", of plugins that are there: those that provide the service, or that stand before many
 * that do. False: none is known.
 */
bool chi_suggest_provider(const char *iface, char *out, size_t cap);
bool chi_suggest_before_many(const char *iface, char *out, size_t cap);
void chi_order_hooks(struct chi_build *b);  /* order.c */
const char *chi_phase_name(int phase);

#endif
