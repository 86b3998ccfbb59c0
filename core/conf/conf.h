/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/conf.h - from INI files, environment and command line to filled config structs.
 *
 * The grammar is told in ini.h (lines), text.h (values) and value.h (types). What is decided here:
 *  - Strength of a key: -o on the command line, CHIMERA__<ID>__<KEY>, an alias, file, profile default, default. Of two files the one
 *    read later wins; an include is read where it stands, so keys behind it are read later than the files it names.
 *  - `include` may only stand in [server] of a file. Depth 8, 1,000 files, 1 MiB each.
 *  - [openai] and [openai:openai] are the same section. A row's section enables its plugin as well; `enabled = no` in it takes the row
 *    away. What stands in a section that is off is not looked at beyond its syntax, and its plugin is not loaded.
 *  - "-o section.key=value": section as in brackets, or an instance id alone; the key is what stands behind the last '.' before the
 *    first '='. It may add a row to an instance, but enables one only by "-o plugin.enabled=yes" (or plugin:id.enabled).
 *  - Text from the environment and from -o is taken as it is: no quotes, comments or ${}; lists by comma, and "@/path" and "@@", hold
 *    there too. Text of an alias is wholly literal, and an empty one counts as unset.
 *  - An alias of a plugin's option counts for the instance whose id is the plugin's name. In ch_option.env "NAME:unit:deprecated"
 *    (both parts may be left out, in any order) marks one that gives a warning when used; the unit is put behind bare numbers.
 *  - ${} also works in defaults. A value read by @ is hidden like a secret.
 *
 * Watched files: those read by @, and those that a PATH option with CH_O_WATCH names; not the config files themselves. They are regular
 * files: an @ that names a pipe or a device is refused (it could not be read again at the next reload), and a PATH that names one, or a
 * folder, is left alone, not opened and not watched, with a warning.
 *
 * Threads: a load and the struct chi_conf it gives belong to one thread at a time; after that everything but chi_conf_hold, chi_conf_free
 * and chi_conf_stale is read-only, any thread.
 */
#ifndef CHI_CONF_H
#define CHI_CONF_H

#include <stdio.h>

#include "core/conf/report.h"
#include "core/conf/server_conf.h"

/*
 * All pointers are the caller's and are used only during the load, but the descriptors that find_plugin returns: those must outlive
 * the config.
 */
struct chi_conf_args {
	const char *file;                 /* main config file; NULL: none */
	const char *const *overrides;     /* "section.key=value" of each -o, NULL-ended; NULL: none */
	char *const *env;                 /* like environ; NULL: no environment */
	/*
	 * Called once, when [server] is known (it may hold errors elsewhere) and before the first find_plugin; its plugin_dir is what
	 * they need. Optional.
	 */
	void (*on_server)(void *arg, const struct chi_server_conf *server);
	/*
	 * The plugin of that name (already checked to be a well-formed one), loaded on demand; NULL, and a sentence in why. Called
	 * once a name.
	 */
	const struct ch_plugin *(*find_plugin)(void *arg, const char *name, char *why, size_t why_cap);
	/* Calls fn(fn_arg, name) for each plugin that exists, for "did you mean". Optional. */
	void (*list_plugins)(void *arg, void (*fn)(void *fn_arg, const char *name), void *fn_arg);
	void *arg;                        /* of the three */
};

struct chi_conf_priv;
struct chi_conf_inst {                    /* an enabled instance; owned by its chi_conf */
	const char *id;
	const struct ch_plugin *plugin;
	void *conf;                       /* plugin->conf_size bytes, filled; SERVICE(S) fields are zero: the wiring writes them */
	const struct ch_row *rows;        /* in config order; each conf has plugin->row_conf_size bytes, filled the same way */
	size_t nrows;
	const char *file;                 /* where it is mentioned first; an "environment NAME" or "command line" has line 0 */
	int line;
	struct chi_sect *sect;            /* private */
};
struct chi_conf {
	const struct chi_server_conf *server;
	const struct chi_log_conf *log;
	struct chi_conf_inst **insts;     /* in config order of first mention */
	size_t ninsts;
	const char *const *files;         /* every config file read, the main one first */
	size_t nfiles;
	struct chi_conf_priv *priv;
};

/* Loads all. Every problem goes into the report, never only the first. NULL if there was an error in this load; warnings leave a config. */
struct chi_conf *chi_conf_load(const struct chi_conf_args *args, struct chi_report *report);
/*
 * One owner more: whoever loaded it is the first. Each owner frees it once; NULL is fine. The last one wipes the secrets, and nothing of
 * the config may be used afterwards. The count has no lock: boot or worker thread only, one at a time.
 */
void chi_conf_hold(struct chi_conf *conf);
void chi_conf_free(struct chi_conf *conf);

/* The instance of that id, or NULL. */
struct chi_conf_inst *chi_conf_find(const struct chi_conf *conf, const char *id);

/*
 * The effective text of an option; lists as members by ", ", paths absolute, secrets in clear (never show them). NULL: no such option
 * or row. row NULL: the instance's own options.
 */
const char *chi_conf_text(const struct chi_conf_inst *inst, const char *key);
const char *chi_conf_row_text(const struct chi_conf_inst *inst, const char *row, const char *key);

/*
 * Where a value comes from, for messages. *file and *line are the key's place if it stands in a file, else the section's (file NULL,
 * line 0 if that is none either); *origin is "file", "environment NAME", "command line", "profile dev" or "default". key NULL: the
 * section's place. Each out may be NULL. False: no such row or key.
 */
bool chi_conf_where(const struct chi_conf_inst *inst, const char *row, const char *key, const char **file, int *line, const char **origin);
/*
 * The same as a finished problem: "file:line: error: [section] key = value: sentence", secrets as ***. For ch_config_error and the
 * wiring.
 */
void chi_conf_problem(
	const struct chi_conf_inst *inst, const char *row, const char *key, struct chi_report *r, int level, const char *fmt, va_list ap);

/* ---- two configs ---- */

/*
 * What a reload does with an instance, least first. A value is the same if its effective text is ("5s" and "5000ms" are two), secrets
 * included, and if the file of a CH_O_WATCH path holds the same bytes (beyond 64 MiB: has the same size, times and inode); where a value
 * comes from does not count.
 */
enum chi_conf_verdict {
	CHI_CONF_SAME = 0,
	/*
	 * Only CH_O_RELOAD options differ, of the instance or its rows; rows that came, went or stand in another order only if all row
	 * options of the plugin are CH_O_RELOAD.
	 */
	CHI_CONF_RELOAD,
	CHI_CONF_CHANGED                  /* anything else; another id or plugin too */
};
int chi_conf_compare(const struct chi_conf_inst *was, const struct chi_conf_inst *now);
/* chi_conf_compare says SAME. */
bool chi_conf_equal(const struct chi_conf_inst *a, const struct chi_conf_inst *b);

/* A difference. All pointers are the two configs' or static. */
struct chi_conf_change {
	const char *id;                   /* "server", "log" or an instance's */
	const char *row;                  /* NULL: not in a row */
	const char *key;                  /* NULL: the section or row as a whole: it came, went, moved or is another plugin's now */
	const char *was, *now;            /* texts, or without a key "plugin:id.row"; "***" where hidden; NULL: was not, is not there */
	const char *note;                 /* what was and now do not show, "the file has changed"; NULL: nothing */
	unsigned flags;                   /* CH_O_* of the option; 0 without a key */
	/*
	 * Somebody wrote the key, in one of the configs at least (file, environment, command line). False: a default, which is another one
	 * now because of another key.
	 */
	bool written;
};
/*
 * Tells all that differs: [server], [log], the instances, each in the order of `now`: keys in the order of their table, then the rows;
 * rows that went come behind their instance's others, instances that went come last. What came or went is one change, without its keys.
 * Of a new order of the same instances, or of an instance's rows, the first that stands elsewhere is told.
 * A secret that was set, taken away or replaced is told, an empty one as empty.
 * The key to name when a reload is refused: the first change with CH_O_RESTART that is `written`, else the first with CH_O_RESTART.
 * `profile` changes the defaults of other keys only, and `state_dir` stands before the keys that are relative to it, so that finds the
 * cause and not what follows from it.
 */
void chi_conf_diff(const struct chi_conf *was, const struct chi_conf *now, void (*fn)(void *arg, const struct chi_conf_change *change),
		   void *arg);

/*
 * The path of the first watched file that is not as it was just before the load read it, or as it was when this function spoke of it last:
 * every change, whatever file it is of, is told once, so that a reload that fails is tried again at the next change and not at every
 * look. NULL: there is none. A hidden path is "***"; the config owns it.
 * It compares what stat says of the file behind all symbolic links (device, inode, size, mtime, ctime, or that there is none): a file that
 * vanished, one put in its place and a swapped folder link (Kubernetes) show, and so does one that was only touched; the reload then finds
 * SAME. For two seconds after a change, in which another may leave the same times, it reads the file too. A file is read whatever its
 * writer has done so far: a half-written one is a change, and the rest of it is the next.
 * Ask the config that was taken last, also when a reload found everything SAME, on the thread that loads: it calls stat, open and read,
 * which may block, and remembers what it told.
 */
const char *chi_conf_stale(const struct chi_conf *conf);
/* Is there a watched file at all? */
bool chi_conf_watches(const struct chi_conf *conf);

/*
 * A number for showing which config runs: equal configs have equal numbers on every machine. Secrets and the content of watched paths are
 * left out, so use chi_conf_compare to compare.
 */
uint64_t chi_conf_hash(const struct chi_conf *conf);

/*
 * The effective config: INI text that loads again to the same values, its origin as a comment behind each value, secrets as ***; or
 * JSON.
 */
void chi_conf_dump(const struct chi_conf *conf, FILE *out, bool json);
/* What a plugin (or &chi_server_section, &chi_log_section) can be told: a table of its options and of its rows' options; or JSON. */
void chi_conf_options(const struct ch_plugin *plugin, FILE *out, bool json);
/* The generated part of chimera.ini(5), man(7) macros: [server], [log], then the plugins given. */
void chi_conf_man(const struct ch_plugin *const *plugins, size_t n, FILE *out);

#endif
