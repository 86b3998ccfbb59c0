/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/test_load.h - what the tests of loads share: a folder of its own for each test, files in it, and one load at a time.
 *
 * A program's setup calls begin() and names its plugins in t.plugins; end() is the teardown.
 */
#ifndef CHI_CONF_TEST_LOAD_H
#define CHI_CONF_TEST_LOAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/conf/conf.h"

static struct {
	char dir[64];
	struct chi_report *report;
	struct chi_conf *conf;
	char *said;                       /* the report's text */
	const char *env[16], *over[16];
	int finds;                        /* calls of find_plugin */
	char plugin_dir[128];             /* what on_server saw */
	const struct ch_plugin *plugins[4];
} t;

static inline const struct ch_plugin *find_plugin(void *arg, const char *name, char *why, size_t cap)
{
	size_t i;

	(void)arg;
	t.finds++;
	assert_true(*t.plugin_dir); /* [server] is known by now */
	for (i = 0; i < 4; i++)
		if (t.plugins[i] && t.plugins[i]->name && !strcmp(t.plugins[i]->name, name))
			return t.plugins[i];
	snprintf(why, cap, "%s", !strcmp(name, "broken") ? "broken.so was built for SDK 9.9, rebuild it" : "no such file");
	return NULL;
}

static inline void list_plugins(void *arg, void (*fn)(void *fn_arg, const char *name), void *fn_arg)
{
	(void)arg;
	fn(fn_arg, "broken");
	fn(fn_arg, "demo");
	fn(fn_arg, "picky");
	fn(fn_arg, "plain");
}

static inline void on_server(void *arg, const struct chi_server_conf *server)
{
	(void)arg;
	snprintf(t.plugin_dir, sizeof(t.plugin_dir), "%s", server->plugin_dir);
}

/* A path in the test's folder; the fourth call from here uses the same memory. */
static inline const char *path_of(const char *name)
{
	static char path[4][256];
	static unsigned at;
	char *p = path[at++ % 4];

	snprintf(p, 256, "%s/%s", t.dir, name);
	return p;
}

static inline void write_n(const char *name, const char *text, size_t n, mode_t mode)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path_of(name), mode), 0);
}

static inline void write_file(const char *name, const char *text)
{
	write_n(name, text, strlen(text), 0600);
}

/* The text of what fn writes; the caller frees it. */
static inline char *caught(void (*fn)(FILE *))
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	fn(f);
	fclose(f);
	return text;
}

static inline void print_report(FILE *f)
{
	chi_report_print(t.report, f, false);
}

static inline void drop(void)
{
	chi_conf_free(t.conf);
	chi_report_free(t.report);
	free(t.said);
	t.conf = NULL;
	t.report = NULL;
	t.said = NULL;
}

static inline const struct chi_conf_args *args(const char *file)
{
	static struct chi_conf_args a;

	a = (struct chi_conf_args){ .file = file,
		.overrides = t.over,
		.env = (char *const *)t.env,
		.on_server = on_server,
		.find_plugin = find_plugin,
		.list_plugins = list_plugins };
	return &a;
}

static inline void load_file(const char *file)
{
	drop();
	t.finds = 0;
	t.report = chi_report_new();
	t.conf = chi_conf_load(args(file), t.report);
	t.said = caught(print_report);
}

static inline void load(const char *text)
{
	write_file("main.ini", text);
	load_file(path_of("main.ini"));
}

/* Loads and wants it without a word. */
static inline void load_clean(const char *text)
{
	load(text);
	if (!t.conf || *t.said)
		fail_msg("%s", t.said);
}

/* The last load said this. */
static inline void said(const char *piece)
{
	if (!strstr(t.said, piece))
		fail_msg("\"%s\" is not in: %s", piece, t.said);
}

/* A load that fails and says this. */
static inline void load_wrong(const char *text, const char *piece)
{
	load(text);
	if (t.conf)
		fail_msg("loaded, but should say: %s", piece);
	said(piece);
}

static inline int begin(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/chi_conf_XXXXXX");
	return mkdtemp(t.dir) ? 0 : -1;
}

static inline int end(void **state)
{
	char cmd[128];

	(void)state;
	drop();
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t.dir);
	return system(cmd);
}

#endif
