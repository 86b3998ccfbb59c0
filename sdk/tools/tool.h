/* SPDX-License-Identifier: MIT */
/*
 * sdk/tools/tool.h - chimera-plugin: what its verbs share. One thread; what loads a plugin is a process of its own.
 *
 *   main.c      arguments, help, the table of verbs
 *   check.c     check: a child loads the plugin, this process hears what it finds, also that it crashed or hangs
 *   tables.c    what the tables of a descriptor say, in sentences
 *   options.c   the same for options and metrics
 *   elf.c       what the file shows to the dynamic linker
 *   run.c       run: a server with the plugin, built and started anew at each save
 *   server.c    its chimerad: config, start, end
 *   watch.c     folders in which somebody saves
 *   test.c      test: unit tests under sanitizers
 *   process.c   programs: where they are, running them
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <chimera/plugin.h>

enum { TOOL_OK = 0, TOOL_WRONG = 1, TOOL_USAGE = 64, TOOL_OSERR = 71 };

/* Verbs: exit codes. argv: what stands behind the verb, NULL-ended. */
int tool_check(int argc, char **argv);
int tool_run(int argc, char **argv);
int tool_test(int argc, char **argv);

/* "chimera-plugin: …" and a newline on stderr; returns code. */
int tool_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* printf into malloc'd memory; without memory the process ends. */
char *tool_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- check.c ---- */

/*
 * Checks a plugin's file, telling what is wrong or unwise on stdout, one sentence a line: "FILE: wrong: …". The exit code of `check`.
 * routes NULL: what is well is told too; else *routes (NULL at first) gets "GET /v1/x" and, behind a tab, the summary, a line a route;
 * malloc'd.
 */
int tool_check_file(const char *path, int timeout_ms, char **routes);

/* ---- what the child finds: [child] one sentence each, without a final stop ---- */

void find_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void find_unwise(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A route that is well. */
void find_route(const char *method, const char *pattern, const char *summary);
/* What is being done now, for the sentence about a crash: "while its table of routes was read". */
void find_stage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* tables.c: all tables and callbacks. */
void check_tables(const struct ch_plugin *p);
/* "a_b2": lower snake case of at most `most` bytes? */
bool is_snake(const char *s, size_t most);
/*
 * Can the rows be walked? What is wrong with the table itself is told. `what`: "options"; `ours`: the size of a row here.
 */
bool check_rows(const char *what, const struct ch_table *t, size_t ours);
/* Copies row i to `row`, of `ours` bytes; what it does not have is zero. */
void take_row(const struct ch_table *t, size_t i, void *row, size_t ours);
/* options.c */
void check_options(const struct ch_plugin *p);
void check_metrics(const struct ch_plugin *p);
/* The option of that name: what it is if it is an STR, or NULL. */
bool find_str_option(const struct ch_plugin *p, const char *name, struct ch_option *out);

/* elf.c: what its symbols and flags say. handle: of dlopen. */
void check_elf(const char *path, void *handle);

/* ---- process.c ---- */

/* The folder that this program lies in; "" if it cannot be known. */
const char *tool_folder(void);
/*
 * A program of chimera: that of the environment variable, else beside this one (in a build), else ../sbin or ../bin, else `name`, for
 * PATH; malloc'd.
 */
char *tool_program(const char *variable, const char *name);
/* Starts argv in dir (NULL: here), as a group of its own that ends with us if `group`. -1: told. */
pid_t tool_spawn(char *const *argv, const char *dir, bool group);
/* The same, to its end. Its exit code; 128 + signal. */
int tool_wait(pid_t pid);
int tool_call(char *const *argv, const char *dir);
bool tool_exists(const char *dir, const char *name);
/* Are we in a build folder of chimera, and which is its source folder? NULL: no. */
const char *tool_build_source(void);

/* ---- watch.c ---- */

struct watch;
/* Of a folder and those below it that hold sources (not build, .git and their kin). NULL: told. */
struct watch *watch_new(const char *dir);
int watch_fd(const struct watch *w);
/* What has been saved since the last call: bits. */
enum { SAVED_SOURCE = 1, SAVED_CONFIG = 2, SAVED_SO = 4 };
int watch_read(struct watch *w);
void watch_free(struct watch *w);

#endif
