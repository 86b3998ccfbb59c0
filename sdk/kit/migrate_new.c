/* SPDX-License-Identifier: MIT */
/* migrate_new.c - an empty pair of files with the next number. chimera/kit/migrate.h says how it is used. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate_parts.h"

static bool write_file(const char *path, const char *text, const struct ch_migrate_report *r, struct ch_migrate_error *error)
{
	FILE *f = fopen(path, "wxe"); /* x: what is there is never overwritten */
	bool ok;

	if (!f)
		return ch_migrate_fail(error, "%s cannot be made: %s", path, strerror(errno));
	ok = fputs(text, f) >= 0;
	ok = fclose(f) == 0 && ok;
	if (!ok)
		return ch_migrate_fail(error, "%s cannot be written: %s", path, strerror(errno));
	migrate_say(r, "%s", path);
	return true;
}

static bool write_pair(
	const char *dir, unsigned number, const char *what, const struct ch_migrate_report *r, struct ch_migrate_error *error)
{
	char *up = NULL, *down = NULL;
	bool ok;

	if (asprintf(&up, "%s/%04u_%s.up.sql", dir, number, what) < 0 || asprintf(&down, "%s/%04u_%s.down.sql", dir, number, what) < 0) {
		ok = migrate_no_memory(error);
	} else {
		ok = write_file(up, "-- What it does, and why.\n", r, error) && write_file(down, "-- Takes it back.\n", r, error);
		if (!ok && access(down, F_OK) < 0)
			unlink(up);
	}
	free(up);
	free(down);
	return ok;
}

bool ch_migrate_new(const struct ch_migrate_engine *e, const char *dir, const char *owner, const char *what,
	const struct ch_migrate_report *report, struct ch_migrate_error *error)
{
	const struct ch_migrate_engine named = { .name = e->name };
	const struct migrate_owner *o;
	struct migrate_set set;
	char *folder = NULL;
	bool ok;

	if (!migrate_is_name(what, strlen(what), false) || strlen(what) > 90)
		return ch_migrate_fail(error, "\"%s\" is no name of a migration: up to 90 of a-z, 0-9 and _ are allowed", what);
	if (owner && !migrate_is_name(owner, strlen(owner), true))
		return ch_migrate_fail(error, "\"%s\" is no plugin's name: a-z, 0-9 and _ are allowed, a letter first", owner);
	if (!migrate_read(&named, dir, &set, error))
		return false;
	o = migrate_owner_find(&set, owner ? owner : MIGRATE_OWN);
	if (o && o->nfiles >= 9999)
		ok = ch_migrate_fail(error, "%s has used up its numbers: 9999 is the last", o->name);
	else if (asprintf(&folder, "%s%s%s", set.dir, owner ? "/" : "", owner ? owner : "") < 0)
		ok = migrate_no_memory(error);
	else if (owner && mkdir(folder, 0777) < 0 && errno != EEXIST)
		ok = ch_migrate_fail(error, "%s cannot be made: %s", folder, strerror(errno));
	else
		ok = write_pair(folder, (o ? o->nfiles : 0) + 1, what, report, error);
	free(folder);
	migrate_free(&set);
	return ok;
}
