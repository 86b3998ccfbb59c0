/* SPDX-License-Identifier: MIT */
/* migrate_tell.c - a status as metrics and as a health check's words. chimera/kit/migrate.h says how it is used. */
#include <stdio.h>
#include <string.h>

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

int ch_migrate_health(const struct ch_migrate_status *s, char *text, size_t n)
{
	char all[400];

	if (!s->known) {
		if (n)
			*text = '\0';
		return CH_HEALTHY;
	}
	if (ch_migrate_good(s))
		snprintf(all, sizeof(all), "schema revision %u", s->current);
	else if (s->pending)
		snprintf(all, sizeof(all), "schema revision %u of %u: run chimeractl migrate up", s->current, s->expected);
	else
		snprintf(all, sizeof(all), "schema revision %u of %u, see chimeractl schema status: %s", s->current, s->expected, s->first);
	if (n)
		snprintf(text, n, "%.*s", (int)migrate_whole(all, strlen(all), n - 1), all);
	return ch_migrate_good(s) ? CH_HEALTHY : s->pending ? CH_UNHEALTHY : CH_DEGRADED;
}
