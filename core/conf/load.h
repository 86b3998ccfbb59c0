/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/load.h - what the files of a load share; private to core/conf.
 *
 * A load runs in this order: source.c reads the files into sections of settings; env.c puts the command line and the environment over
 * them; conf.c finds the plugins of the sections that are on; fill.c turns settings into structs and has watch.c remember the files whose
 * content is part of a value. One struct load lives as long as that; the struct chi_sect and chi_watched stay, for queries, dumps,
 * comparisons (diff.c) and chi_conf_stale.
 */
#ifndef CHI_CONF_LOAD_H
#define CHI_CONF_LOAD_H

#include <glob.h>
#include <sys/types.h>
#include <time.h>

#include "core/conf/conf.h"
#include "core/conf/ini.h"
#include "core/conf/mem.h"

#define CHI_FILES_MAX 1000
#define CHI_FILE_BYTES (1024 * 1024)
#define CHI_SECRET_BYTES (64 * 1024)

enum chi_origin { CHI_O_DEFAULT = 0, CHI_O_PROFILE, CHI_O_FILE, CHI_O_ALIAS, CHI_O_ENV, CHI_O_CLI }; /* ascending strength */

struct chi_file {                         /* a config file that was read */
	const char *path;                 /* as shown */
	const char *dir;                  /* absolute */
	mode_t mode;
	bool warned;                      /* about secrets in it */
};

struct chi_seen {                         /* a reading of a file (from 1) that sets a key, and the line */
	struct chi_seen *next;
	unsigned reading;
	int line;
};

struct chi_setting {                      /* one key as it was written; lives in scratch */
	struct chi_sect *sect;
	struct chi_setting *next;         /* in the section, in the order of first mention */
	const char *key, *raw;
	int origin;                       /* enum chi_origin */
	struct chi_file *file;            /* FILE only */
	int line;
	struct chi_seen *seen;            /* where files set it */
	const char *place;                /* the file's path, "environment NAME" or "command line" */
	const char *unit;                 /* ALIAS: of bare numbers; or NULL */
};

struct chi_sig {                          /* what stat says of a file, behind all symbolic links */
	bool there, regular;              /* not there: all else is zero */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtim, ctim;
};

struct chi_watched {                      /* a file whose content is part of a value */
	struct chi_watched *next;         /* in the order of first look */
	const char *path;                 /* absolute */
	const char *shown;                /* the same, or "***" */
	struct chi_sig sig;               /* from before the first reading */
	bool young;                       /* was changed just before: one more change may leave the same sig */
	uint64_t content;                 /* a number of the bytes; 0: not looked at */
};

struct chi_val {                          /* the effective value of an option */
	const char *text;
	const struct chi_watched *at;     /* the file that it was read from by @; or NULL */
	uint64_t content;                 /* CH_O_WATCH: of the file that it names; 0: none is watched */
	int origin;
	bool hidden;                      /* SECRET, or read by @ */
	const char *place;                /* the file's path, "environment NAME", "command line", "profile dev" or "default" */
	int line;
};

struct chi_sect {                         /* [plugin:id] or one of its rows; lives in the config's memory */
	const char *plugin, *id, *row;    /* row NULL: the instance itself */
	const char *name;                 /* between the brackets, shortest form */
	const char *place;                /* of the first mention */
	int line;
	struct chi_sect *parent;          /* of a row */
	struct chi_sect *rows, **last_row, *next; /* in order of first mention: an instance's rows; the next sibling */
	bool enabled;
	const struct ch_plugin *desc;     /* NULL until found */
	const struct ch_option *opts;     /* the table, copied to this daemon's row size */
	size_t nopts;
	struct chi_val *vals;             /* one an option */
	void *conf;
	struct chi_setting *settings, **last_setting; /* NULL after the load */
};

struct chi_conf_priv {
	struct chi_mem mem, secret;
	struct chi_sect *server, *log, *first; /* first: the instances, also those that are off */
	const char *files[CHI_FILES_MAX];
	struct chi_conf_inst **insts;
	struct chi_watched *watched;
	unsigned owners;
	struct chi_conf conf;
};

struct chi_var {                          /* a CHIMERA__ variable */
	const char *name, *value;
	struct chi_sect *sect;            /* what it was put to, and its key there */
	const char *key;
	bool done;                        /* nothing is left to say about it */
};

struct load {
	jmp_buf oom;
	const struct chi_conf_args *args;
	struct chi_report *report;
	struct chi_conf_priv *priv;
	struct chi_mem *mem, *secret;     /* of priv */
	struct chi_mem scratch;           /* secret too: it holds the files' text */
	void *sects, *keys, *found;       /* tsearch trees: sections by id and row, settings by section and key, plugins by name */
	void *watched;                    /* the same: watched files by path */
	struct chi_watched **last_watched;
	struct chi_sect **last;           /* where the next instance goes */
	const char *main_dir, *state_dir; /* absolute */
	const char *profile;              /* "profile dev" or "profile ci": dev_def holds; NULL: prod */
	unsigned readings;
	glob_t glob;                      /* freed whatever happens */
	const char **known;               /* what list_plugins tells, with "server" and "log" */
	size_t nknown;
	struct chi_var *vars;
	size_t nvars;
};

/* ---- conf.c ---- */

/*
 * The section of that name, made if it is not there (place, line: its first mention). A row makes its instance too. NULL after an
 * error: the id is another's.
 */
struct chi_sect *chi_load_sect(struct load *l, const struct chi_ini_name *name, const char *place, int line);
/* The instance (or [server], [log]) of that id, or NULL. */
struct chi_sect *chi_load_by_id(struct load *l, const char *id, size_t n);
/* The setting of a key, or NULL. */
struct chi_setting *chi_load_get(struct load *l, struct chi_sect *s, const char *key);
/* Puts a setting if none that is stronger is there. `raw` and `place` are kept, `key` too. Same origin: the later one wins. */
struct chi_setting *chi_load_put(
	struct load *l, struct chi_sect *s, const char *key, const char *raw, int origin, const char *place, int line);
/* A problem of a setting, its value shown as found (NULL: not). */
void chi_load_problem(struct load *l, int level, const struct chi_setting *s, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- source.c ---- */

/* Reads the main file and what it includes. */
void chi_source_read(struct load *l);
/* The text of a file of at most max bytes into scratch: NULL and a sentence in *why. A pipe only if `any`. */
char *chi_source_slurp(struct load *l, const char *path, size_t max, bool any, size_t *n, mode_t *mode, const char **why);
/* `path` if it is absolute, else dir/path; in scratch. */
const char *chi_source_join(struct load *l, const char *dir, const char *path);

/* ---- watch.c ---- */

/*
 * The file as it is now, or not there, to be called before it is read; a second call for a path gives what the first saw. NULL: it is no
 * regular file, and nothing is remembered. `hidden`: the path is not to be shown.
 */
struct chi_watched *chi_watch_look(struct load *l, const char *path, bool hidden);
/* The number of what was just read from it, or (p NULL) of what is read now, which may block. */
void chi_watch_content(struct chi_watched *w, const char *p, size_t n);

/* ---- env.c ---- */

/* -o: all of them. */
void chi_env_overrides(struct load *l);
/* Collects the CHIMERA__ variables and puts those that enable or disable an instance. */
void chi_env_enabled(struct load *l);
/* Puts the variables and aliases of one instance and its rows; needs their tables. */
void chi_env_apply(struct load *l, struct chi_sect *s);
/* Warns about those that belong to nothing. */
void chi_env_leftovers(struct load *l);

/* ---- fill.c ---- */

/* Sets s->opts from its descriptor. False after an error: the table is broken. */
bool chi_fill_describe(struct load *l, struct chi_sect *s);
/* The text of a setting, fit for "yes" and "dev": quotes and variables done. NULL: it is wrong; what is wrong is reported if `tell`. */
const char *chi_fill_peek(struct load *l, const struct chi_setting *set, bool tell);
/* Is the section on: its `enabled`, or yes. */
bool chi_fill_enabled(struct load *l, struct chi_sect *s);
/* Fills s->conf and s->vals, and reports settings that belong to no option. */
void chi_fill(struct load *l, struct chi_sect *s);
/* The option of that name, or NULL. */
const struct ch_option *chi_fill_option(const struct chi_sect *s, const char *key);

#endif
