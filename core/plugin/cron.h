/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/cron.h - tasks by the clock, see struct ch_cron: on the house loop, from when it takes an instance until a newer
 * config has none.
 */
#ifndef CHI_CRON_H
#define CHI_CRON_H

#include "core/plugin/build.h"

/* Reads the table; what is wrong goes into the report. Boot thread. */
void chi_crons_new(struct chi_build *b, struct chi_inst *i);
void chi_crons_free(struct chi_inst *i);
/* The house loop has taken the instance, or lets it go. */
void chi_crons_start(struct chi_inst *i, struct ch_loop *house);
void chi_crons_stop(struct chi_inst *i);

#endif
