/* SPDX-License-Identifier: MIT */
/*
 * migrate_table.c - what the engines are asked about the table chimera_migrations, and how two servers keep out of each other's way. See
 * migrate_parts.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate_parts.h"

#define LOCK_MS 60000
#define LOCK_PAUSE_MS 50   /* between two tries; … */
#define LOCK_TOLD_MS 10000 /* … and between two lines that say so */
#define LOCK_STALE_S "600" /* clickhouse: who holds the lock for longer is dead */

/*
 * One engine's way of saying it. Owners, names and checksums are [a-z0-9_]: nothing needs quoting. clickhouse has no transactions and no
 * quick DELETE: there a change is a row, and the one with the highest `change` counts.
 */
struct dialect {
	const char *name;
	const char *begin;                /* NULL: no transactions */
	const char *exists, *make, *read, *has, *add, *remove;
	const char *try_lock, *unlock;    /* try_lock gives a row when it was got; NULL: begin excludes others */
};

/* has: owner, number. add and remove: owner, number, name, checksum, microseconds. */
static const struct dialect dialects[] = {
	{ .name = "sqlite",
		.begin = "BEGIN IMMEDIATE",
		.exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'chimera_migrations'",
		.make = "CREATE TABLE IF NOT EXISTS chimera_migrations (owner TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, "
			"checksum TEXT NOT NULL, applied_at INTEGER NOT NULL, PRIMARY KEY (owner, number)) STRICT",
		.read = "SELECT owner, number, name, checksum FROM chimera_migrations ORDER BY owner, number",
		.has = "SELECT 1 FROM chimera_migrations WHERE owner = '%s' AND number = %u",
		.add = "INSERT INTO chimera_migrations (owner, number, name, checksum, applied_at) "
			"VALUES ('%s', %u, '%s', '%s', %" PRId64 ")",
		.remove = "DELETE FROM chimera_migrations WHERE owner = '%s' AND number = %u" },
	{ .name = "postgresql",
		.begin = "BEGIN",
		.exists = "SELECT 1 WHERE to_regclass('chimera_migrations') IS NOT NULL",
		.make = "CREATE TABLE IF NOT EXISTS chimera_migrations (owner text COLLATE \"C\" NOT NULL, number bigint NOT NULL, "
			"name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL, PRIMARY KEY (owner, number))",
		.read = "SELECT owner, number, name, checksum FROM chimera_migrations ORDER BY owner, number",
		.has = "SELECT 1 FROM chimera_migrations WHERE owner = '%s' AND number = %u",
		.add = "INSERT INTO chimera_migrations (owner, number, name, checksum, applied_at) "
			"VALUES ('%s', %u, '%s', '%s', to_timestamp(%" PRId64 " / 1e6))",
		.remove = "DELETE FROM chimera_migrations WHERE owner = '%s' AND number = %u",
		/* The number is "chimera" in ASCII. */
		.try_lock = "SELECT 1 WHERE pg_try_advisory_lock(27980824710574689)",
		.unlock = "SELECT pg_advisory_unlock(27980824710574689)" },
	{ .name = "clickhouse",
		.exists = "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'chimera_migrations'",
		.make = "CREATE TABLE IF NOT EXISTS chimera_migrations (owner String, number UInt32, name String, checksum String, "
			"applied_at Int64, applied UInt8, change UInt64) ENGINE = ReplacingMergeTree(change) ORDER BY (owner, number)",
		.read = "SELECT owner, number, argMax(name, change), argMax(checksum, change) FROM chimera_migrations "
			"GROUP BY owner, number HAVING argMax(applied, change) = 1 ORDER BY owner, number",
		.has = "SELECT 1 FROM chimera_migrations WHERE owner = '%s' AND number = %u "
			"GROUP BY owner HAVING argMax(applied, change) = 1",
		.add = "INSERT INTO chimera_migrations (owner, number, name, checksum, applied_at, applied, change) "
			"SELECT '%s', %u, '%s', '%s', %" PRId64 ", 1, max(change) + 1 FROM chimera_migrations",
		.remove = "INSERT INTO chimera_migrations (owner, number, name, checksum, applied_at, applied, change) "
			"SELECT '%s', %u, '%s', '%s', %" PRId64 ", 0, max(change) + 1 FROM chimera_migrations",
		.unlock = "DROP TABLE IF EXISTS chimera_migrating" },
};

static const struct dialect *dialect(const struct ch_migrate_engine *e)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		if (!strcmp(dialects[i].name, e->name))
			return &dialects[i];
	return NULL;
}

bool migrate_known(const char *engine, struct ch_migrate_error *error)
{
	const struct ch_migrate_engine e = { .name = engine };

	return dialect(&e) ||
	       ch_migrate_fail(error, "there is no engine \"%s\": sqlite, postgresql and clickhouse can be migrated", engine);
}

bool migrate_transacts(const struct ch_migrate_engine *e)
{
	return dialect(e)->begin != NULL;
}

static bool on_any(void *arg, size_t n, const char *const *columns)
{
	(void)n;
	(void)columns;
	*(bool *)arg = true;
	return false;
}

static bool any(const struct ch_migrate_engine *e, const char *sql, bool *found, struct ch_migrate_error *error)
{
	*found = false;
	return e->rows(e->arg, sql, on_any, found, error);
}

struct reading { struct migrate_set *set; const char *wrong; };

static bool on_applied(void *arg, size_t n, const char *const *v)
{
	struct reading *r = arg;
	struct migrate_applied *a;
	struct migrate_owner *o;
	unsigned long number;

	if (n < 4 || !v[0] || !v[1] || !v[2] || !v[3] || strlen(v[3]) >= sizeof(a->checksum)) {
		r->wrong = "a row that no chimera has written";
		return false;
	}
	o = migrate_owner_add(r->set, v[0]);
	number = strtoul(v[1], NULL, 10);
	if (!o || !(a = realloc(o->applied, (o->napplied + 1) * sizeof(*a)))) {
		r->wrong = "more rows than there is memory";
		return false;
	}
	o->applied = a;
	a += o->napplied;
	*a = (struct migrate_applied){ .number = (unsigned)number, .name = strdup(v[2]) };
	strcpy(a->checksum, v[3]);
	if (!a->name)
		r->wrong = "more rows than there is memory";
	else if (number != ++o->napplied)
		r->wrong = "a hole: of each owner the numbers count from 1";
	return !r->wrong;
}

bool migrate_table_read(const struct ch_migrate_engine *e, struct migrate_set *s, struct ch_migrate_error *error)
{
	struct reading r = { .set = s };
	bool there;

	for (unsigned i = 0; i < s->nowners; i++) {
		struct migrate_owner *o = &s->owners[i];

		while (o->napplied)
			free(o->applied[--o->napplied].name);
	}
	if (!any(e, dialect(e)->exists, &there, error))
		return false;
	if (there && !e->rows(e->arg, dialect(e)->read, on_applied, &r, error))
		return false;
	return !r.wrong ||
	       ch_migrate_fail(error,
		       "the table chimera_migrations has %s; restore it from a backup, or put right what was changed by hand", r.wrong);
}

bool migrate_table_make(const struct ch_migrate_engine *e, struct ch_migrate_error *error)
{
	return e->exec(e->arg, dialect(e)->make, error);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the formats are those of the table above */
bool migrate_table_has(const struct ch_migrate_engine *e, const char *owner, unsigned number, bool *there, struct ch_migrate_error *error)
{
	char sql[512];

	snprintf(sql, sizeof(sql), dialect(e)->has, owner, number);
	return any(e, sql, there, error);
}

static bool change(const struct ch_migrate_engine *e, const char *format, const char *owner, const struct migrate_file *f,
	struct ch_migrate_error *error)
{
	struct timespec now;
	char sql[1024];

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(sql, sizeof(sql), format, owner, f->number, f->name, f->checksum, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	return e->exec(e->arg, sql, error);
}
#pragma GCC diagnostic pop

bool migrate_table_add(const struct ch_migrate_engine *e, const char *owner, const struct migrate_file *f, struct ch_migrate_error *error)
{
	return change(e, dialect(e)->add, owner, f, error);
}

bool migrate_table_remove(
	const struct ch_migrate_engine *e, const char *owner, const struct migrate_file *f, struct ch_migrate_error *error)
{
	return change(e, dialect(e)->remove, owner, f, error);
}

/*
 * clickhouse has no locks: the lock is a table, since only one can make it. Who died holding it is found out by the table's age. Two that
 * take a dead one's lock in the same moment may both go on; then both run statements that can be run twice.
 */
static bool lock_by_table(const struct ch_migrate_engine *e, bool *got, unsigned *strange, struct ch_migrate_error *error)
{
	struct ch_migrate_error why;
	bool there, stale;

	*got = e->exec(e->arg, "CREATE TABLE chimera_migrating (x UInt8) ENGINE = Memory", &why);
	if (*got)
		return true;
	if (!any(e, "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'chimera_migrating'", &there, error))
		return false;
	/* It may have been given back between the two questions, but hardly each time. */
	if (!there)
		return ++*strange < 5 || ch_migrate_fail(error, "the lock, a table chimera_migrating, cannot be made: %s", why.text);
	if (!any(e, "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'chimera_migrating' "
		    "AND toUInt32(metadata_modification_time) + " LOCK_STALE_S " < toUInt32(now())", &stale, error))
		return false;
	return !stale || e->exec(e->arg, dialect(e)->unlock, error);
}

static bool lock_timed_out(const struct ch_migrate_engine *e, int64_t ms, struct ch_migrate_error *error)
{
	const char *more = dialect(e)->try_lock ? "" : "; the table chimera_migrating of a dead one is taken over after " LOCK_STALE_S " s";

	return ch_migrate_fail(error, "another server has been migrating this database for over %" PRId64 " s: wait for it, or end it%s",
		ms / 1000, more);
}

bool migrate_lock(const struct ch_migrate_engine *e, const struct ch_migrate_report *r, struct ch_migrate_error *error)
{
	const struct dialect *d = dialect(e);
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000 };
	int64_t most = e->lock_ms ? e->lock_ms : LOCK_MS;
	unsigned strange = 0;
	bool got = false;

	if (!d->unlock)
		return true;
	for (int64_t waited = 0; waited <= most; waited += LOCK_PAUSE_MS) {
		if (d->try_lock ? !any(e, d->try_lock, &got, error) : !lock_by_table(e, &got, &strange, error))
			return false;
		if (got)
			return true;
		/* Said again and again, since whoever listens can only stop it by not listening any more. */
		if (waited % LOCK_TOLD_MS == 0 && !migrate_say(r, "waiting for another server that is migrating this database"))
			return ch_migrate_fail(error, "stopped while waiting for another server that is migrating this database");
		nanosleep(&pause, NULL);
	}
	return lock_timed_out(e, most, error);
}

static bool on_row(void *arg, size_t n, const char *const *columns)
{
	(void)arg;
	(void)n;
	(void)columns;
	return true;
}

void migrate_unlock(const struct ch_migrate_engine *e)
{
	struct ch_migrate_error ignored; /* a connection that is gone has no lock; the table's age does the rest */

	if (dialect(e)->unlock && dialect(e)->try_lock)
		e->rows(e->arg, dialect(e)->unlock, on_row, NULL, &ignored);
	else if (dialect(e)->unlock)
		e->exec(e->arg, dialect(e)->unlock, &ignored);
}

bool migrate_begin(const struct ch_migrate_engine *e, struct ch_migrate_error *error)
{
	return !dialect(e)->begin || e->exec(e->arg, dialect(e)->begin, error);
}

bool migrate_commit(const struct ch_migrate_engine *e, struct ch_migrate_error *error)
{
	return !dialect(e)->begin || e->exec(e->arg, "COMMIT", error);
}

void migrate_rollback(const struct ch_migrate_engine *e)
{
	struct ch_migrate_error ignored; /* the engine may have rolled back itself, or be gone: the same */

	if (dialect(e)->begin)
		e->exec(e->arg, "ROLLBACK", &ignored);
}
