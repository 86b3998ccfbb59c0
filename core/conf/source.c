/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - config files: reading, includes, sections of settings. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf/load.h"
#include "core/conf/text.h"

#define DEPTH_MAX 8

/* One reading of one file, with those that include it above. */
struct reading {
	struct load *l;
	struct reading *up;
	int depth;
	unsigned number;                  /* tells "twice in one file" from "in two files" */
	struct chi_file *file;
	dev_t dev;
	ino_t ino;
	struct chi_sect *sect;            /* where keys go; NULL: nowhere */
};

static bool read_file(struct load *l, struct reading *up, const char *path, const char **why);

const char *chi_source_join(struct load *l, const char *dir, const char *path)
{
	if (*path == '/' || !*dir)
		return path;
	return chi_mem_print(&l->scratch, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

/* The folder part of a path as it is written, "" for none; in scratch. */
static const char *folder(struct load *l, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? chi_mem_dup(&l->scratch, path, slash == path ? 1 : (size_t)(slash - path)) : "";
}

/* Reads up to cap bytes; returns how many, or -1. */
static ssize_t read_all(int fd, char *p, size_t cap)
{
	size_t n = 0;
	ssize_t k;

	while (n < cap && (k = read(fd, p + n, cap - n)) != 0) {
		if (k > 0)
			n += (size_t)k;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)n;
}

char *chi_source_slurp(struct load *l, const char *path, size_t max, bool any, size_t *n, mode_t *mode, const char **why)
{
	struct stat st;
	size_t cap;
	ssize_t got = -1;
	char *p;
	int fd;

	/* memory first: nothing may be open while it is asked for */
	if (stat(path, &st)) {
		*why = strerror(errno);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) && (!any || S_ISDIR(st.st_mode))) {
		*why = "not a regular file";
		return NULL;
	}
	if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max) {
		*why = chi_mem_print(&l->scratch, "larger than %zu KiB", max / 1024);
		return NULL;
	}
	cap = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : max;
	p = chi_mem_alloc(&l->scratch, cap + 2);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (any ? 0 : O_NONBLOCK));
	if (fd >= 0) {
		got = read_all(fd, p, cap + 1);
		if (got >= 0 && fstat(fd, &st))
			got = -1;
	}
	*why = got < 0 ? strerror(errno) : "changing while it is read, or too large: load again";
	if (fd >= 0)
		close(fd);
	if (got < 0 || (size_t)got > cap)
		return NULL;
	p[got] = '\0';
	*n = (size_t)got;
	*mode = st.st_mode;
	return p;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int glob_failed(const char *path, int err)
{
	(void)path;
	return err != ENOENT && err != ENOTDIR; /* what is not there matches nothing; what cannot be looked at is an error */
}

/* The paths that a pattern names, sorted bytewise, in scratch; NULL and why: something stands in the way of looking. */
static const char **match(struct load *l, const char *dir, const char *pattern, size_t *n, const char **why)
{
	const char **paths;
	char *full, *at;
	size_t i;
	int rc;

	/* the folder's own name is no pattern */
	at = full = chi_mem_alloc(&l->scratch, 2 * strlen(dir) + strlen(pattern) + 2);
	if (*pattern != '/' && *dir) {
		for (; *dir; dir++) {
			if (strchr("*?[]\\", *dir))
				*at++ = '\\';
			*at++ = *dir;
		}
		if (at[-1] != '/')
			*at++ = '/';
	}
	strcpy(at, pattern);
	rc = glob(full, GLOB_NOSORT, glob_failed, &l->glob);
	if (rc == GLOB_NOSPACE)
		longjmp(l->oom, 1);
	*why = strerror(errno);
	*n = rc ? 0 : l->glob.gl_pathc;
	paths = chi_mem_alloc(&l->scratch, (*n + 1) * sizeof(*paths));
	for (i = 0; i < *n; i++)
		paths[i] = chi_mem_dup(&l->scratch, l->glob.gl_pathv[i], strlen(l->glob.gl_pathv[i]));
	globfree(&l->glob);
	memset(&l->glob, 0, sizeof(l->glob));
	qsort(paths, *n, sizeof(*paths), by_name);
	return rc && rc != GLOB_NOMATCH ? NULL : paths;
}

/* `include = …` where it stands. */
static void include(struct reading *r, const struct chi_setting *set)
{
	struct load *l = r->l;
	const char *dir = folder(l, r->file->path), **paths, *one[1], *why = "";
	struct ch_list list;
	size_t i, k, n;

	if (!chi_text_members(&l->scratch, set->raw, true, l->args->env, &list, &why)) {
		chi_load_problem(l, CHI_R_ERROR, set, set->raw, "%s", why);
		return;
	}
	for (i = 0; i < list.n; i++) {
		if (strpbrk(list.v[i].p, "*?[")) {
			paths = match(l, dir, list.v[i].p, &n, &why);
		} else {
			one[0] = chi_source_join(l, dir, list.v[i].p);
			paths = one;
			n = 1;
		}
		if (!paths)
			chi_load_problem(l, CHI_R_ERROR, set, list.v[i].p, "cannot be looked up: %s", why);
		for (k = 0; paths && k < n; k++)
			if (!read_file(l, r, paths[k], &why))
				chi_load_problem(l, CHI_R_ERROR, set, list.v[i].p, "cannot include %s: %s", paths[k], why);
	}
}

static void on_section(void *arg, int line, const struct chi_ini_name *name)
{
	struct reading *r = arg;

	r->sect = chi_load_sect(r->l, name, r->file->path, line);
}

/* The line of this reading that has the key already; 0: none. Else it is noted. */
static int seen_before(struct load *l, struct chi_setting *set, unsigned reading, int line)
{
	struct chi_seen *seen;

	for (seen = set->seen; seen; seen = seen->next)
		if (seen->reading == reading)
			return seen->line;
	seen = chi_mem_alloc(&l->scratch, sizeof(*seen));
	*seen = (struct chi_seen){ set->seen, reading, line };
	set->seen = seen;
	return 0;
}

static void on_key(void *arg, int line, struct ch_str key, struct ch_str raw)
{
	struct reading *r = arg;
	struct load *l = r->l;
	struct chi_setting *set, here;
	const char *name, *text;
	int first;

	if (!r->sect)
		return;
	name = chi_mem_dup(&l->scratch, key.p, key.n);
	text = chi_mem_dup(&l->scratch, raw.p, raw.n);
	set = chi_load_get(l, r->sect, name);
	first = set ? seen_before(l, set, r->number, line) : 0;
	if (first) {
		chi_report_key(l->report, CHI_R_ERROR, r->file->path, line, r->sect->name, name, NULL,
			       "stands in this file a second time, line %d has it already: keep one of the two lines", first);
		return;
	}
	set = chi_load_put(l, r->sect, name, text, CHI_O_FILE, r->file->path, line);
	set->file = r->file;
	if (!set->seen)
		seen_before(l, set, r->number, line);
	here = *set; /* an included file may set the same key */
	if (r->sect == l->priv->server && !strcmp(name, "include"))
		include(r, &here);
}

static void on_problem(void *arg, int line, const char *sentence)
{
	struct reading *r = arg;

	chi_report_add(r->l->report, CHI_R_ERROR, r->file->path, line, "this line %s", sentence);
}

/* Is this file one of those being read? */
static bool is_open(const struct reading *r, const struct stat *st)
{
	for (; r; r = r->up)
		if (r->dev == st->st_dev && r->ino == st->st_ino)
			return true;
	return false;
}

static bool read_file(struct load *l, struct reading *up, const char *path, const char **why)
{
	static const struct chi_ini_ops ops = { on_section, on_key, on_problem };
	struct reading r = { .l = l, .up = up, .depth = up ? up->depth + 1 : 0 };
	char dir[PATH_MAX];
	const char *shown;
	struct stat st;
	size_t n;
	char *text;

	if (!stat(path, &st)) {
		r.dev = st.st_dev;
		r.ino = st.st_ino;
		if (is_open(up, &st)) {
			*why = "it includes itself, directly or through others; take one of the includes away";
			return false;
		}
	}
	if (r.depth > DEPTH_MAX) {
		*why = "includes are nested more than 8 deep";
		return false;
	}
	if (l->readings >= CHI_FILES_MAX) {
		*why = "more than 1000 files are included";
		return false;
	}
	r.file = chi_mem_alloc(&l->scratch, sizeof(*r.file));
	text = chi_source_slurp(l, path, CHI_FILE_BYTES, !up, &n, &r.file->mode, why);
	if (!text)
		return false;
	if (!realpath(*folder(l, path) ? folder(l, path) : ".", dir)) {
		*why = strerror(errno);
		return false;
	}
	shown = chi_mem_dup(l->mem, path, strlen(path));
	r.file->path = shown;
	r.file->dir = chi_mem_dup(&l->scratch, dir, strlen(dir));
	if (!up)
		l->main_dir = r.file->dir;
	l->priv->files[l->readings++] = shown;
	r.number = l->readings;
	chi_ini_parse(text, n, &ops, &r);
	return true;
}

void chi_source_read(struct load *l)
{
	char dir[PATH_MAX];
	const char *why = "";

	if (!l->args->file) {
		l->main_dir = getcwd(dir, sizeof(dir)) ? chi_mem_dup(&l->scratch, dir, strlen(dir)) : "/";
		return;
	}
	if (!read_file(l, NULL, l->args->file, &why))
		chi_report_add(l->report, CHI_R_ERROR, l->args->file, 0,
			"the config file cannot be read (%s): correct its path or its rights, or name another with -c", why);
}
