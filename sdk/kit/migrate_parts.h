/* SPDX-License-Identifier: MIT */
/*
 * migrate_parts.h - what the files of the migration engine have of each other. chimera/kit/migrate.h says what it is for. All of it blocks
 * and allocates; nothing calls the host. Private to the kit.
 */
#ifndef CHIMERA_KIT_MIGRATE_PARTS_H
#define CHIMERA_KIT_MIGRATE_PARTS_H

#include <chimera/kit/migrate.h>

#define MIGRATE_OWN "chimera" /* the owner of the files that lie in the engine's folder itself */

/* ---- migrate_text.c: lists of lines, and telling ---- */

struct migrate_lines { char **v; size_t n, cap; };

/* Adds a copy. False: no memory. */
bool migrate_lines_add(struct migrate_lines *l, const char *text, size_t n);
void migrate_lines_sort(struct migrate_lines *l); /* by bytes; the same line twice is one */
void migrate_lines_free(struct migrate_lines *l);
/* False: stop. */
CH_PRINTF_(2, 3) bool migrate_say(const struct ch_migrate_report *r, const char *fmt, ...);
/* How many of the n bytes can be shown in so much room without cutting a character. */
size_t migrate_whole(const char *p, size_t n, size_t room);
bool migrate_no_memory(struct ch_migrate_error *error); /* false */

/* ---- migrate_split.c: a file's statements ---- */

struct migrate_statement {
	const char *p;                    /* into the file; without leading comments and its semicolon */
	size_t n;
	unsigned line;                    /* of its first byte, from 1 */
};
struct migrate_split {
	const char *p, *end;
	unsigned line;
	bool backslash;                   /* in '…' a backslash takes the next byte (clickhouse) */
	bool brackets;                    /* […] is a name (sqlite) */
	bool dollars;                     /* $tag$…$tag$ is text, E'…' has backslashes, comments nest (postgresql) */
};
void migrate_split_init(struct migrate_split *s, const char *engine, const char *p, size_t n);
/* 1: *out is the next; 0: there is none; -1: something is not closed: `line` is where it begins, *what says what it is. */
int migrate_split_next(struct migrate_split *s, struct migrate_statement *out, const char **what);
/* How much of the statement's first line is shown in a message. */
int migrate_statement_head(const struct migrate_statement *s);
/* Is it one that begins or ends a transaction? */
bool migrate_statement_transacts(const struct migrate_statement *s);

/* ---- migrate_files.c: a folder ---- */

struct migrate_script { char *path, *text; size_t n; unsigned statements; };
struct migrate_file {
	unsigned number;
	char *name;                       /* "0001_initial" */
	struct migrate_script up, down;
	char checksum[65];                /* SHA-256 of up, lower hex; empty when no digest was asked for */
};
struct migrate_applied { unsigned number; char *name, checksum[65]; };
struct migrate_owner {
	char *name;
	struct migrate_file *files;       /* number 1 at 0, and so on */
	unsigned nfiles;
	struct migrate_lines schema;      /* sorted; of schema.txt */
	bool has_schema;
	struct migrate_applied *applied;  /* number 1 at 0, and so on: migrate_table.c */
	unsigned napplied;
};
struct migrate_set {
	char *dir;                        /* DIR/<engine> */
	struct migrate_owner *owners;     /* chimera first, the others by name */
	unsigned nowners;
};
/* Reads the folder; each file's statements are counted, and one that cannot be run is an error. False: *out is empty. */
bool migrate_read(const struct ch_migrate_engine *e, const char *dir, struct migrate_set *out, struct ch_migrate_error *error);
void migrate_free(struct migrate_set *s);
/* Makes it, without files, when there is none. NULL: no memory. */
struct migrate_owner *migrate_owner_add(struct migrate_set *s, const char *name);
struct migrate_owner *migrate_owner_find(struct migrate_set *s, const char *name);
/* The folder that an option means: itself, or the installed one. */
const char *migrate_dir(const char *option);
/* [a-z0-9_]+, and a letter first if that is asked. */
bool migrate_is_name(const char *s, size_t n, bool letter);

/* ---- migrate_table.c: the version table, the lock, transactions ---- */

/* Is `name` one of the engines? */
bool migrate_known(const char *engine, struct ch_migrate_error *error);
bool migrate_transacts(const struct ch_migrate_engine *e);
/* Fills `applied` of each owner (one without a folder is added). No table: nothing was applied. */
bool migrate_table_read(const struct ch_migrate_engine *e, struct migrate_set *s, struct ch_migrate_error *error);
bool migrate_table_make(const struct ch_migrate_engine *e, struct ch_migrate_error *error);
/* *there: does the table name this migration? For a look inside of its transaction. */
bool migrate_table_has(const struct ch_migrate_engine *e, const char *owner, unsigned number, bool *there, struct ch_migrate_error *error);
bool migrate_table_add(const struct ch_migrate_engine *e, const char *owner, const struct migrate_file *f, struct ch_migrate_error *error);
bool migrate_table_remove(
	const struct ch_migrate_engine *e, const char *owner, const struct migrate_file *f, struct ch_migrate_error *error);
bool migrate_lock(const struct ch_migrate_engine *e, const struct ch_migrate_report *r, struct ch_migrate_error *error);
void migrate_unlock(const struct ch_migrate_engine *e);
bool migrate_begin(const struct ch_migrate_engine *e, struct ch_migrate_error *error);
bool migrate_commit(const struct ch_migrate_engine *e, struct ch_migrate_error *error);
void migrate_rollback(const struct ch_migrate_engine *e);

/* ---- migrate_describe.c, migrate_drift.c: the layout ---- */

/* What the database has, sorted. */
bool migrate_describe(const struct ch_migrate_engine *e, struct migrate_lines *out, struct ch_migrate_error *error);
/* The lines of a schema.txt: empty ones and those that begin with '#' are left out. Sorted. False: no memory. */
bool migrate_schema_read(const char *p, size_t n, struct migrate_lines *out);
/* What differs in the tables that `expected` names, a line each. Both sorted. False: no memory. */
bool migrate_compare(const struct migrate_lines *expected, const struct migrate_lines *found, struct migrate_lines *out);

#endif
