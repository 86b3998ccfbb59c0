/* SPDX-License-Identifier: MIT */
/* migrate_status.c - where a database stands, and what a server does about it when it starts. chimera/kit/migrate.h says how it is used. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate_parts.h"

struct looking {
	const struct ch_migrate_report *report;
	struct ch_migrate_status *out;
};

/* Something is not right. */
CH_PRINTF_(2, 3) static void finding(struct looking *l, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (!*l->out->first)
		snprintf(
			l->out->first, sizeof(l->out->first), "%.*s", (int)migrate_whole(text, (size_t)n, sizeof(l->out->first) - 1), text);
	migrate_say(l->report, "  %s", text);
	free(text);
}

/* The numbers of one owner. True: its layout can be compared. */
static bool look_at(struct looking *l, const struct migrate_owner *o)
{
	unsigned common = o->napplied < o->nfiles ? o->napplied : o->nfiles;

	if (!strcmp(o->name, MIGRATE_OWN)) {
		l->out->current = o->napplied;
		l->out->expected = o->nfiles;
	}
	migrate_say(l->report, "%s: revision %u of %u%s%s%s", o->name, o->napplied, o->nfiles, o->napplied ? " (" : "",
		o->napplied ? o->applied[o->napplied - 1].name : "", o->napplied ? ")" : "");
	for (unsigned i = 0; i < common; i++) {
		const struct migrate_file *f = &o->files[i];

		if (!strcmp(f->checksum, o->applied[i].checksum))
			continue;
		l->out->changed++;
		finding(l, "changed %s: it was applied as %s with SHA-256 %s, and the file has %s now", f->up.path, o->applied[i].name,
			o->applied[i].checksum, f->checksum);
	}
	for (unsigned i = o->nfiles; i < o->napplied; i++) {
		l->out->unknown++;
		finding(l, "unknown %s of %s: it was applied by a newer version, or its plugin is not installed any more",
			o->applied[i].name, o->name);
	}
	for (unsigned i = o->napplied; i < o->nfiles; i++) {
		l->out->pending++;
		finding(l, "pending %s of %s", o->files[i].name, o->name);
	}
	return o->nfiles && o->napplied == o->nfiles && o->has_schema;
}

static bool add_all(struct migrate_lines *to, const struct migrate_lines *from)
{
	for (size_t i = 0; i < from->n; i++)
		if (!migrate_lines_add(to, from->v[i], strlen(from->v[i])))
			return false;
	return true;
}

static bool look_for_drift(
	const struct ch_migrate_engine *e, struct looking *l, const struct migrate_lines *expected, struct ch_migrate_error *error)
{
	struct migrate_lines found, drift;

	if (!expected->n)
		return true;
	if (!migrate_describe(e, &found, error))
		return false;
	if (!migrate_compare(expected, &found, &drift)) {
		migrate_lines_free(&found);
		return migrate_no_memory(error);
	}
	l->out->drift = (unsigned)drift.n;
	for (size_t i = 0; i < drift.n; i++)
		finding(l, "drift: %s", drift.v[i]);
	migrate_lines_free(&found);
	migrate_lines_free(&drift);
	return true;
}

bool ch_migrate_status(const struct ch_migrate_engine *e, const char *dir, const struct ch_migrate_report *report,
	struct ch_migrate_status *out, struct ch_migrate_error *error)
{
	struct looking l = { .report = report, .out = out };
	struct migrate_lines expected = { 0 };
	struct migrate_set set;
	bool ok;

	*out = (struct ch_migrate_status){ 0 };
	if (!migrate_read(e, dir, &set, error))
		return false;
	ok = migrate_table_read(e, &set, error);
	for (unsigned i = 0; ok && i < set.nowners; i++)
		if (look_at(&l, &set.owners[i]) && !add_all(&expected, &set.owners[i].schema))
			ok = migrate_no_memory(error);
	migrate_lines_sort(&expected);
	ok = ok && look_for_drift(e, &l, &expected, error);
	migrate_lines_free(&expected);
	migrate_free(&set);
	if (!ok)
		*out = (struct ch_migrate_status){ 0 };
	out->known = ok;
	return ok;
}

bool ch_migrate_show(const struct ch_migrate_engine *e, const struct ch_migrate_report *report, struct ch_migrate_error *error)
{
	struct migrate_lines found;

	if (!migrate_known(e->name, error) || !migrate_describe(e, &found, error))
		return false;
	for (size_t i = 0; i < found.n; i++)
		if (!migrate_say(report, "%s", found.v[i]))
			break;
	migrate_lines_free(&found);
	return true;
}

bool ch_migrate_ensure(const struct ch_migrate_engine *e, const char *dir, int mode, const struct ch_migrate_report *report,
	struct ch_migrate_status *out, struct ch_migrate_error *error)
{
	struct ch_migrate_error later;
	bool ok;

	*out = (struct ch_migrate_status){ 0 };
	if (mode == CH_MIGRATE_OFF)
		return true;
	ok = mode != CH_MIGRATE_AUTO || ch_migrate_up(e, dir, NULL, CH_MIGRATE_ALL, 0, report, error);
	return ch_migrate_status(e, dir, NULL, out, ok ? error : &later) && ok;
}

int ch_migrate_health(const struct ch_migrate_status *s, char *text, size_t n)
{
	char all[sizeof(s->first) + 100];

	if (!s->known) {
		if (n)
			*text = '\0';
		return CH_HEALTHY;
	}
	if (ch_migrate_good(s))
		snprintf(all, sizeof(all), "schema revision %u of %u", s->current, s->expected);
	else if (s->pending)
		snprintf(all, sizeof(all), "schema revision %u of %u: run chimeractl migrate up", s->current, s->expected);
	else
		snprintf(all, sizeof(all), "schema revision %u of %u, see chimeractl schema status: %s", s->current, s->expected, s->first);
	if (n)
		snprintf(text, n, "%.*s", (int)migrate_whole(all, strlen(all), n - 1), all);
	return ch_migrate_good(s) ? CH_HEALTHY : s->pending ? CH_UNHEALTHY : CH_DEGRADED;
}
