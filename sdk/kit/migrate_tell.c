/* SPDX-License-Identifier: MIT */
/* migrate_tell.c - a status as metrics. chimera/kit/migrate.h says how it is used. */
#include "migrate_parts.h"

void ch_migrate_tell(struct ch_self *self, unsigned row, const struct ch_migrate_status *s)
{
	const char *current[] = { self->id, "current" }, *expected[] = { self->id, "expected" };

	if (!s->known)
		return;
	ch_set(ch_series(self, row + CH_MIGRATE_REVISION_, current), s->current);
	ch_set(ch_series(self, row + CH_MIGRATE_REVISION_, expected), s->expected);
	ch_set(ch_series(self, row + CH_MIGRATE_DRIFT_, current), s->drift + s->changed + s->unknown);
}
