/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/migrate.h - brings a database to the layout that this version expects, takes it back, and tells where it stands. Since 0.4.
 *
 *     DIR/<engine>/NNNN_what.up.sql, .down.sql             chimera's own (owner "chimera"), counted from 0001 without holes
 *     DIR/<engine>/<plugin>/NNNN_what.up.sql, .down.sql    a plugin's own (owner: the folder's name), counted from 0001 too
 *     DIR/<engine>/[<plugin>/]schema.txt                   what the newest of them leaves behind, as `chimeractl schema show` prints it
 *
 * What was applied stands in the database's table chimera_migrations (owner, number, name, checksum, applied_at); the checksum is the
 * SHA-256 of the up file's bytes. Each migration is one transaction where the engine has them (sqlite, postgresql); in clickhouse its
 * statements can be run again (IF NOT EXISTS) and are, when it failed half-way.
 *
 * An adapter gives an engine, which runs SQL, and has the rest: the version table, the lock that makes two servers apply once, the
 * description of a layout, the verbs of chimeractl. Everything in the first part blocks: run it on a thread of your own, or by ch_offload.
 *
 *     struct my_conf { ...; int migrate; const char *migrations; };
 *     static const struct ch_option options[] = { ..., CH_MIGRATE_OPTIONS(struct my_conf, "auto") };
 *     static const struct ch_metric metrics[] = { CH_DB_METRICS, CH_MIGRATE_METRICS };
 *     static const struct ch_command commands[] = { CH_MIGRATE_COMMANDS(on_migrate, on_schema) };
 *
 *     struct ch_migrate_engine e = { .name = "sqlite", .arg = db, .exec = my_exec, .rows = my_rows, .sha256 = my_sha256 };
 *     if (!ch_migrate_ensure(&e, conf->migrations, conf->migrate, &report, &status, &error))     // start-up, on the writer's thread
 *             ch_log(self, NULL, CH_ERR, "%s", error.text);
 *     ch_migrate_tell(self, CH_DB_METRICS_N, &status);                                           // metrics
 *     out->health = ch_migrate_health(&status, out->message, sizeof(out->message));              // a health check
 */
#ifndef CHIMERA_KIT_MIGRATE_H
#define CHIMERA_KIT_MIGRATE_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the engine: one connection, used by one thread at a time ---- */

struct ch_migrate_error { char text[2048]; }; /* a sentence or two, with the engine's own words; cut at whole characters */

/* Fills it; always returns false, so that a function may `return ch_migrate_fail(error, …)`. */
CH_PRINTF_(2, 3) bool ch_migrate_fail(struct ch_migrate_error *error, const char *fmt, ...);

/* A row as text, each column NUL-terminated, NULL for null; holds until the function returns. False: no more rows are wanted. */
typedef bool (*ch_migrate_row)(void *arg, size_t n, const char *const *columns);

/*
 * All on one connection: the lock and the transaction are the session's. false: *error holds the engine's own words, without secrets;
 * whether a statement that failed had any effect is as the engine has it. A connection that is gone is an error, not made anew inside.
 */
struct ch_migrate_engine {
	const char *name;                 /* "sqlite", "postgresql" or "clickhouse": the folder, and how its SQL is read and written */
	void *arg;
	/*
	 * Runs one statement, NUL-terminated, without its semicolon; rows it may give are dropped. It takes as long as it takes, but for
	 * sqlite's BEGIN IMMEDIATE, which waits for another server as long as the connection's busy_timeout is.
	 */
	bool (*exec)(void *arg, const char *sql, struct ch_migrate_error *error);
	/* The same, and hands over the rows. */
	bool (*rows)(void *arg, const char *sql, ch_migrate_row row, void *row_arg, struct ch_migrate_error *error);
	/* The digest: of OpenSSL, say. */
	void (*sha256)(const void *p, size_t n, unsigned char out[32]);
	int64_t lock_ms;                  /* how long to wait for another server that migrates (not sqlite); 0: 60 s */
};

/* Who is told, on the calling thread, as it comes; a NULL function is told nothing, a NULL report too. */
struct ch_migrate_report {
	void *arg;
	/* A line without its end. False: stop before the next migration; what was done stays done. */
	bool (*line)(void *arg, const char *text);
	/* So many statements of all. */
	void (*progress)(void *arg, unsigned done, unsigned total, const char *what);
};

/* ---- where it stands ---- */

struct ch_migrate_status {
	bool known;                       /* false: not asked (off), or the database did not answer; then all else is 0 */
	unsigned current, expected;       /* chimera's own revision in the database, and the newest of the files */
	unsigned pending;                 /* migrations that are not applied, of all owners; … */
	unsigned unknown;                 /* … applied ones that have no file here: a newer version was at work; … */
	unsigned changed;                 /* … applied ones whose up file is another one now */
	unsigned drift;                   /* objects that are not as schema.txt says; looked at only where nothing is pending or unknown */
	char first[400];                  /* the first line of what is not right; empty: all is */
};
/* All of it is as this version expects. */
static inline bool ch_migrate_good(const struct ch_migrate_status *s)
{
	return s->known && !s->pending && !s->unknown && !s->changed && !s->drift;
}
/* This version can work with it: nothing is missing. What is newer, changed or drifted is for people to judge. */
static inline bool ch_migrate_usable(const struct ch_migrate_status *s) { return s->known && !s->pending; }

/*
 * Compares the database with the files; changes nothing. Reports a line an owner, and one for each thing that is not right. dir: as the
 * option says; "" or NULL: the installed ones. True with findings too: look at *out.
 */
bool ch_migrate_status(const struct ch_migrate_engine *e, const char *dir, const struct ch_migrate_report *report,
	struct ch_migrate_status *out, struct ch_migrate_error *error);

/* ---- going there ---- */

#define CH_MIGRATE_DRY_RUN 1u             /* tell the statements, run none */
#define CH_MIGRATE_ALL (-1)

/*
 * Applies what is missing, under the lock. owner NULL and to CH_MIGRATE_ALL: of all owners, chimera's first; else that owner's (NULL:
 * chimera's) up to and with the number `to`. An applied migration whose file has changed is an error before anything is run. A migration
 * that fails ends it: those before it stay, it itself leaves nothing behind where the engine has transactions, and the error says which
 * statement (number, line in the file, its first line) and the engine's own words.
 */
bool ch_migrate_up(const struct ch_migrate_engine *e, const char *dir, const char *owner, int to, unsigned flags,
	const struct ch_migrate_report *report, struct ch_migrate_error *error);
/*
 * Takes back the owner's (NULL: chimera's) migrations, newest first, until `to` is the newest that is left (0: none); CH_MIGRATE_ALL: one
 * only. Destroys what is in the tables. An applied one without a file cannot be taken back: an error before anything is run.
 */
bool ch_migrate_down(const struct ch_migrate_engine *e, const char *dir, const char *owner, int to, unsigned flags,
	const struct ch_migrate_report *report, struct ch_migrate_error *error);
/* Writes an empty pair of files with the owner's next number; `what`: [a-z0-9_]+. Asks no database: of *e only the name is used. */
bool ch_migrate_new(const struct ch_migrate_engine *e, const char *dir, const char *owner, const char *what,
	const struct ch_migrate_report *report, struct ch_migrate_error *error);
/* Reports the layout of all tables in the database (the connection's current schema), sorted: the lines of a schema.txt. */
bool ch_migrate_show(const struct ch_migrate_engine *e, const struct ch_migrate_report *report, struct ch_migrate_error *error);

/* What a server does when it starts: the option `migrate`. */
enum ch_migrate_mode {
	CH_MIGRATE_AUTO,                  /* up, then status */
	CH_MIGRATE_CHECK,                 /* status alone */
	CH_MIGRATE_OFF                    /* nothing: *out is not known */
};
static const char *const ch_migrate_modes_[] __attribute__((unused)) = { "auto", "check", "off", NULL };

/* False: the database could not be asked, or `up` failed; then *out is the status after it, if that can be had. */
bool ch_migrate_ensure(const struct ch_migrate_engine *e, const char *dir, int mode, const struct ch_migrate_report *report,
	struct ch_migrate_status *out, struct ch_migrate_error *error);

/* ---- what an adapter shows ---- */

/* Two options, without a final comma: fields `int migrate` and `const char *migrations`; def: "auto" or "check"; auto in dev and ci. */
#define CH_MIGRATE_OPTIONS(conf, def_) \
	CH_OPT(conf, migrate, ENUM, .values = ch_migrate_modes_, .def = def_, .dev_def = "auto", \
		.help = "At start: auto brings the schema up to date, check only compares it, off does neither"), \
	CH_OPT(conf, migrations, PATH, .env = "CHIMERA_MIGRATIONS", .help = "The folder of migrations; empty: the installed ones")

static const char *const ch_migrate_kinds_[] __attribute__((unused)) = { "current", "expected", NULL };
enum { CH_MIGRATE_REVISION_, CH_MIGRATE_DRIFT_, CH_MIGRATE_METRICS_N };

/* Two rows, without a final comma, one behind the other. */
#define CH_MIGRATE_METRICS \
	{ .name = "chimera_schema_revision", .kind = CH_GAUGE, \
		.labels = { { "instance", CH_L_CONFIG, NULL }, { "kind", CH_L_FIXED, ch_migrate_kinds_ } }, \
		.help = "The revision that a database's schema has, and the one that this version expects" }, \
	{ .name = "chimera_schema_drift", .kind = CH_GAUGE, .labels = { { "instance", CH_L_CONFIG, NULL } }, \
		.help = "What in a database's schema is not as its revision says: objects that differ, migrations changed or unknown" }

/* [any] Sets them; `row`: of CH_MIGRATE_METRICS' first in your table. A status that is not known changes nothing. */
void ch_migrate_tell(struct ch_self *self, unsigned row, const struct ch_migrate_status *s);
/*
 * [any] For a health check: HEALTHY "schema revision 2 of 2", or DEGRADED, or UNHEALTHY when something is pending, and what to do. Not
 * known: HEALTHY and an empty text: that the database cannot be reached is the check's own to say.
 */
int ch_migrate_health(const struct ch_migrate_status *s, char *text, size_t n);

/* ---- chimeractl migrate, chimeractl schema ---- */

/* What the verbs need of an adapter. Static storage. */
struct ch_migrate_adapter {
	const char *engine;               /* as in struct ch_migrate_engine */
	/*
	 * [pool thread] Fills *out but its name, with a connection of its own (not the one that requests wait for); it may block until it
	 * has one. False: *error says why, and close is not called.
	 */
	bool (*open)(struct ch_self *self, struct ch_migrate_engine *out, struct ch_migrate_error *error);
	void (*close)(struct ch_self *self, struct ch_migrate_engine *e); /* [the same thread] */
	const char *(*dir)(struct ch_self *self); /* [any] the option `migrations` */
	/* [the same thread] The status after a verb that asked for it or changed something: for metrics, checks, about.up. May be NULL. */
	void (*changed)(struct ch_self *self, const struct ch_migrate_status *s);
};

/* [command] The verbs: `return ch_migrate_command(self, ctx, argc, argv, &adapter)`. */
int ch_migrate_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv, const struct ch_migrate_adapter *a);
int ch_schema_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv, const struct ch_migrate_adapter *a);

/* Two rows, without a final comma, of functions of yours that call the two above. */
#define CH_MIGRATE_COMMANDS(migrate_fn, schema_fn) \
	{ .name = "migrate", .modes = CH_LIVE | CH_OFFLINE | CH_EACH, .min_args = 1, .max_args = 6, .fn = migrate_fn, \
		.args = "status|up [N]|down [N] [--yes]|new NAME [--owner PLUGIN] [--dry-run]", \
		.summary = "Show, apply, take back or begin migrations; N: the revision to end at" }, \
	{ .name = "schema", .modes = CH_LIVE | CH_OFFLINE | CH_EACH, .min_args = 1, .max_args = 1, .fn = schema_fn, \
		.args = "status|show", .summary = "Compare the database's layout with what this version expects, or print it" }

#ifdef __cplusplus
}
#endif
#endif
