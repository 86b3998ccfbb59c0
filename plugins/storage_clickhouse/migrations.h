/* SPDX-License-Identifier: Apache-2.0 */
/* migrations.h - the schema: brought up to date or compared by a thread, since kit/migrate.h blocks; shown by chimeractl. */
#ifndef CLICK_MIGRATIONS_H
#define CLICK_MIGRATIONS_H

#include "storage_clickhouse.h"

/*
 * House loop. Begins to care for the schema as the option `migrate` says, once: a thread that tries until the server answers and looks
 * again from time to time. Called by the health check, which runs in a server only, not in `chimeractl run --offline`.
 */
void click_migrations_begin(struct click *k);
/* In retire, and join in stop. */
void click_migrations_end(struct click *k);
void click_migrations_join(struct click *k);

int click_on_migrate(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv);
int click_on_schema(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv);

#endif
