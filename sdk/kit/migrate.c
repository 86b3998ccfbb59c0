/* SPDX-License-Identifier: MIT */
/*
 * migrate.c - up and down: what is to be done is worked out from the files and the version table, before the lock and again under it, and
 * then run, one migration after the other. chimera/kit/migrate.h says how it is used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate_parts.h"

struct step { const struct migrate_owner *owner; const struct migrate_file *file; };
struct plan {
	const struct ch_migrate_engine *e;
	const struct ch_migrate_report *report;
	struct ch_migrate_error *error;
	struct migrate_set set;
	const char *owner;                /* NULL: all */
	int to;
	bool down;
	struct step *steps;
	unsigned n, statements, done;
};

static const struct migrate_script *script_of(const struct plan *p, const struct migrate_file *f)
{
	return p->down ? &f->down : &f->up;
}

static const char *revision(const struct migrate_owner *o)
{
	return o->napplied ? o->applied[o->napplied - 1].name : "0, where nothing is applied";
}

/* ---- what is to be done ---- */

static bool add(struct plan *p, const struct migrate_owner *o, const struct migrate_file *f)
{
	struct step *steps = realloc(p->steps, (p->n + 1) * sizeof(*steps));

	if (!steps)
		return migrate_no_memory(p->error);
	if (!script_of(p, f)->statements) {
		p->steps = steps;
		return ch_migrate_fail(p->error, "%s holds no statement: write what it shall do before it is run", script_of(p, f)->path);
	}
	steps[p->n++] = (struct step){ o, f };
	p->steps = steps;
	p->statements += script_of(p, f)->statements;
	return true;
}

/* Is what was applied still what the files say? */
static bool agrees(struct plan *p, const struct migrate_owner *o)
{
	for (unsigned i = 0; i < o->napplied && i < o->nfiles; i++)
		if (strcmp(o->files[i].checksum, o->applied[i].checksum) != 0)
			return ch_migrate_fail(p->error,
				"%s was applied to this database with SHA-256 %s, and the file has %s now: put the file back as it was, "
				"and write what is to change as the next migration",
				o->files[i].up.path, o->applied[i].checksum, o->files[i].checksum);
	return true;
}

static bool plan_up(struct plan *p, const struct migrate_owner *o)
{
	unsigned last = p->to == CH_MIGRATE_ALL ? o->nfiles : (unsigned)p->to;

	if (last > o->nfiles)
		return ch_migrate_fail(
			p->error, "there is no migration %04u of %s: the newest in %s is %u", last, o->name, p->set.dir, o->nfiles);
	if (p->to != CH_MIGRATE_ALL && last < o->napplied)
		return ch_migrate_fail(
			p->error, "%s is at %s, which is past %u: use `migrate down %u` to go back", o->name, revision(o), last, last);
	for (unsigned i = o->napplied; i < last; i++)
		if (!add(p, o, &o->files[i]))
			return false;
	return true;
}

static bool plan_down(struct plan *p, const struct migrate_owner *o)
{
	unsigned left = p->to != CH_MIGRATE_ALL ? (unsigned)p->to : o->napplied ? o->napplied - 1 : 0;

	if (left > o->napplied)
		return ch_migrate_fail(
			p->error, "%s is at %s already, below %u: use `migrate up %u` to go there", o->name, revision(o), left, left);
	if (o->napplied > left && o->napplied > o->nfiles)
		return ch_migrate_fail(p->error,
			"%s of %s was applied, and %s has no files for it: take it back with the version that has them", revision(o),
			o->name, p->set.dir);
	for (unsigned i = o->napplied; i > left; i--)
		if (!add(p, o, &o->files[i - 1]))
			return false;
	return true;
}

/* Reads the version table and fills p->steps anew. */
static bool make_plan(struct plan *p)
{
	free(p->steps);
	p->steps = NULL;
	p->n = p->statements = 0;
	if (!migrate_table_read(p->e, &p->set, p->error))
		return false;
	for (unsigned i = 0; i < p->set.nowners; i++) {
		const struct migrate_owner *o = &p->set.owners[i];

		if (p->owner && strcmp(p->owner, o->name) != 0)
			continue;
		if (!agrees(p, o) || !(p->down ? plan_down(p, o) : plan_up(p, o)))
			return false;
	}
	return true;
}

/* ---- doing it ---- */

static void tell_progress(struct plan *p, const struct step *s)
{
	if (p->report && p->report->progress)
		p->report->progress(p->report->arg, p->done, p->statements, s->file->name);
}

/* What a failure leaves behind. */
static bool failed(struct plan *p, const struct step *s, const struct migrate_statement *st, unsigned at)
{
	const struct migrate_script *f = script_of(p, s->file);
	struct ch_migrate_error why = *p->error;
	size_t n = strlen(why.text);
	char kept[256];

	while (n && strchr(" .\r\n", why.text[n - 1]))
		why.text[--n] = '\0'; /* a full stop follows */

	if (migrate_transacts(p->e))
		snprintf(kept, sizeof(kept), "Nothing of it was kept: the schema is at revision %u of %s, as before",
			p->down ? s->file->number : s->file->number - 1, s->owner->name);
	else if (at == 1)
		snprintf(kept, sizeof(kept), "Nothing of it was applied");
	else
		snprintf(kept, sizeof(kept), "Statement%s 1%s%.0u of its %u stay%s: when the cause is gone, run `migrate %s` again",
			at > 2 ? "s" : "", at > 2 ? " to " : "", at > 2 ? at - 1 : 0, f->statements, at > 2 ? "" : "s",
			p->down ? "down" : "up");
	return ch_migrate_fail(p->error, "%s: statement %u (line %u: %.*s) failed: %s. %s", f->path, at, st->line,
		migrate_statement_head(st), st->p, why.text, kept);
}

static bool run_statements(struct plan *p, const struct step *s)
{
	const struct migrate_script *f = script_of(p, s->file);
	struct migrate_statement st;
	struct migrate_split split;
	const char *what;
	unsigned at = 0;

	migrate_split_init(&split, p->e->name, f->text, f->n);
	while (migrate_split_next(&split, &st, &what) > 0) {
		char *sql = strndup(st.p, st.n);
		bool ok;

		if (!sql)
			return migrate_no_memory(p->error);
		tell_progress(p, s);
		ok = p->e->exec(p->e->arg, sql, p->error);
		free(sql);
		at++;
		if (!ok)
			return failed(p, s, &st, at);
		p->done++;
	}
	return true;
}

static bool record(struct plan *p, const struct step *s)
{
	struct ch_migrate_error why;

	if (p->down ? migrate_table_remove(p->e, s->owner->name, s->file, &why) : migrate_table_add(p->e, s->owner->name, s->file, &why))
		return true;
	return ch_migrate_fail(p->error, "%s was run, and could not be recorded in chimera_migrations: %s. %s", script_of(p, s->file)->path,
		why.text, migrate_transacts(p->e) ? "Nothing of it was kept" : "When the cause is gone, run it again");
}

/* One migration: all of it or nothing where the engine can. *ran false: another server has done it meanwhile. */
static bool run_step(struct plan *p, const struct step *s, bool *ran)
{
	bool there;

	if (!migrate_begin(p->e, p->error))
		return false;
	*ran = false;
	if (!migrate_table_has(p->e, s->owner->name, s->file->number, &there, p->error)) {
		migrate_rollback(p->e);
		return false;
	}
	if (there != p->down) {
		migrate_rollback(p->e);
		return true;
	}
	if (!run_statements(p, s) || !record(p, s) || !migrate_commit(p->e, p->error)) {
		migrate_rollback(p->e);
		return false;
	}
	*ran = true;
	return true;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool run_all(struct plan *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct step *s = &p->steps[i];
		unsigned count = script_of(p, s->file)->statements;
		int64_t began = now_ms();
		bool ran;

		if (!migrate_say(p->report, "%s %s of %s", p->down ? "taking back" : "applying", s->file->name, s->owner->name))
			return ch_migrate_fail(
				p->error, "stopped before %s of %s; what was done before it stays", s->file->name, s->owner->name);
		if (!run_step(p, s, &ran))
			return false;
		migrate_say(p->report, ran ? "  done: %u statement%s in %lld ms" : "  another server has done it meanwhile", count,
			count == 1 ? "" : "s", (long long)(now_ms() - began));
	}
	if (p->n && p->report && p->report->progress)
		p->report->progress(p->report->arg, p->statements, p->statements, "done");
	return true;
}

static bool tell_statements(struct plan *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct migrate_script *f = script_of(p, p->steps[i].file);
		struct migrate_statement st;
		struct migrate_split split;
		const char *what;

		migrate_say(p->report, "-- %s", f->path);
		migrate_split_init(&split, p->e->name, f->text, f->n);
		while (migrate_split_next(&split, &st, &what) > 0)
			if (!migrate_say(p->report, "%.*s;", (int)st.n, st.p))
				return ch_migrate_fail(p->error, "stopped");
	}
	return migrate_say(p->report, "-- a dry run: nothing was changed") || ch_migrate_fail(p->error, "stopped");
}

static bool run_locked(struct plan *p)
{
	bool ok;

	if (!migrate_lock(p->e, p->report, p->error))
		return false;
	ok = migrate_table_make(p->e, p->error) && make_plan(p);
	if (ok && !p->n)
		migrate_say(p->report, "another server has done it meanwhile");
	ok = ok && run_all(p);
	migrate_unlock(p->e);
	return ok;
}

/* ---- the two ways ---- */

static bool go(struct plan *p, const char *dir, unsigned flags)
{
	bool ok;

	if (!migrate_read(p->e, dir, &p->set, p->error))
		return false;
	if (p->owner && !migrate_owner_find(&p->set, p->owner))
		ok = ch_migrate_fail(p->error, "there are no migrations of %s: %s has no folder of that name", p->owner, p->set.dir);
	else
		ok = make_plan(p);
	if (ok && !p->n)
		migrate_say(p->report, "nothing to do: %s is at revision %u", p->owner ? p->owner : MIGRATE_OWN,
			migrate_owner_find(&p->set, p->owner ? p->owner : MIGRATE_OWN)->napplied);
	else if (ok)
		ok = flags & CH_MIGRATE_DRY_RUN ? tell_statements(p) : run_locked(p);
	free(p->steps);
	migrate_free(&p->set);
	return ok;
}

bool ch_migrate_up(const struct ch_migrate_engine *e, const char *dir, const char *owner, int to, unsigned flags,
	const struct ch_migrate_report *report, struct ch_migrate_error *error)
{
	struct plan p = { .e = e, .report = report, .error = error, .to = to };

	p.owner = owner ? owner : to == CH_MIGRATE_ALL ? NULL : MIGRATE_OWN;
	return go(&p, dir, flags);
}

bool ch_migrate_down(const struct ch_migrate_engine *e, const char *dir, const char *owner, int to, unsigned flags,
	const struct ch_migrate_report *report, struct ch_migrate_error *error)
{
	struct plan p = { .e = e, .report = report, .error = error, .to = to, .down = true };

	p.owner = owner ? owner : MIGRATE_OWN;
	return go(&p, dir, flags);
}
