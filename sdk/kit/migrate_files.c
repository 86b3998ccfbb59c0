/* SPDX-License-Identifier: MIT */
/* migrate_files.c - a folder of migrations, read and judged before anything is run. See migrate_parts.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate_parts.h"

#define FILE_MAX ((size_t)16 << 20)

#ifndef CHIMERA_MIGRATIONS_DIR
#define CHIMERA_MIGRATIONS_DIR "migrations"
#endif

const char *migrate_dir(const char *option)
{
	return option && *option ? option : CHIMERA_MIGRATIONS_DIR;
}

bool migrate_is_name(const char *s, size_t n, bool letter)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || ((i || !letter) && ((s[i] >= '0' && s[i] <= '9') || s[i] == '_'))))
			return false;
	return n > 0;
}

/* The number of NNNN_what; 0: it is no such name. */
static unsigned number_of(const char *name, size_t n)
{
	unsigned number = 0;

	for (size_t i = 0; i < 4; i++) {
		if (i >= n || name[i] < '0' || name[i] > '9')
			return 0;
		number = number * 10 + (unsigned)(name[i] - '0');
	}
	return n > 5 && n <= 100 && name[4] == '_' && migrate_is_name(name + 5, n - 5, false) ? number : 0;
}

static bool read_file(const char *path, char **text, size_t *n, struct ch_migrate_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t got = 0;

	*text = NULL;
	*n = 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		ch_migrate_fail(error, "%s cannot be read: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || (size_t)st.st_size > FILE_MAX) {
		ch_migrate_fail(error, "%s is no file of at most 16 MiB", path);
	} else if (!(*text = malloc((size_t)st.st_size + 1))) {
		migrate_no_memory(error);
	} else {
		while (*n < (size_t)st.st_size && (got = read(fd, *text + *n, (size_t)st.st_size - *n)) > 0)
			*n += (size_t)got;
		(*text)[*n] = '\0';
		if (got < 0)
			ch_migrate_fail(error, "%s cannot be read: %s", path, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	if (!*text || got < 0) {
		free(*text);
		*text = NULL;
	}
	return *text != NULL;
}

static void hex(const unsigned char *p, char *out)
{
	for (size_t i = 0; i < 32; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

/* Can all of it be run? */
static bool judge(const struct ch_migrate_engine *e, struct migrate_script *f, struct ch_migrate_error *error)
{
	struct migrate_statement st;
	struct migrate_split split;
	const char *what, *nul = memchr(f->text, 0, f->n);
	int rc;

	if (nul)
		return ch_migrate_fail(error, "%s holds a NUL byte, at %zu: a migration is text", f->path, (size_t)(nul - f->text));
	migrate_split_init(&split, e->name, f->text, f->n);
	while ((rc = migrate_split_next(&split, &st, &what)) > 0) {
		f->statements++;
		if (migrate_transacts(e) && migrate_statement_transacts(&st))
			return ch_migrate_fail(error,
				"%s: statement %u (line %u: %.*s) begins or ends a transaction, and each migration is one already",
				f->path, f->statements, st.line, migrate_statement_head(&st), st.p);
	}
	if (rc < 0)
		return ch_migrate_fail(error, "%s: %s that begins in line %u is never closed", f->path, what, split.line);
	return true;
}

static bool script(const struct ch_migrate_engine *e, const char *dir, const char *name, const char *way, struct migrate_script *out,
	struct ch_migrate_error *error)
{
	if (asprintf(&out->path, "%s/%s.%s.sql", dir, name, way) < 0) {
		out->path = NULL;
		return migrate_no_memory(error);
	}
	if (access(out->path, F_OK) < 0 && errno == ENOENT)
		return ch_migrate_fail(error, "%s is missing: each migration has an up and a down file", out->path);
	return read_file(out->path, &out->text, &out->n, error) && judge(e, out, error);
}

static bool load(
	const struct ch_migrate_engine *e, const char *dir, const char *name, struct migrate_file *f, struct ch_migrate_error *error)
{
	unsigned char sum[32];

	if (!(f->name = strdup(name)))
		return migrate_no_memory(error);
	f->number = number_of(name, strlen(name));
	if (!script(e, dir, name, "up", &f->up, error) || !script(e, dir, name, "down", &f->down, error))
		return false;
	if (e->sha256) {
		e->sha256(f->up.text, f->up.n, sum);
		hex(sum, f->checksum);
	}
	return true;
}

/* The migrations whose names are in `names`, sorted. */
static bool load_all(const struct ch_migrate_engine *e, const char *dir, const struct migrate_lines *names, struct migrate_owner *o,
	struct ch_migrate_error *error)
{
	if (names->n && !(o->files = calloc(names->n, sizeof(*o->files))))
		return migrate_no_memory(error);
	for (size_t i = 0; i < names->n; i++) {
		unsigned number = number_of(names->v[i], strlen(names->v[i]));

		if (i && number == o->files[i - 1].number)
			return ch_migrate_fail(error,
				"%s has two migrations of one number, %s and %s: give the newer one the next number that is free", dir,
				o->files[i - 1].name, names->v[i]);
		if (number != i + 1)
			return ch_migrate_fail(error,
				"%s has a migration %s and none with the number %04zu: they count from 0001 without holes", dir,
				names->v[i], i + 1);
		o->nfiles++;
		if (!load(e, dir, names->v[i], &o->files[i], error))
			return false;
	}
	return true;
}

static bool load_schema(const char *dir, struct migrate_owner *o, struct ch_migrate_error *error)
{
	char *path, *text;
	bool ok = true;
	size_t n;

	if (asprintf(&path, "%s/schema.txt", dir) < 0)
		return migrate_no_memory(error);
	if (access(path, F_OK) == 0) {
		ok = read_file(path, &text, &n, error);
		if (ok && !migrate_schema_read(text, n, &o->schema))
			ok = migrate_no_memory(error);
		o->has_schema = ok;
		if (ok)
			free(text);
	}
	free(path);
	return ok;
}

/* The stem of NNNN_what.up.sql or .down.sql; 0: it is none. */
static size_t stem(const char *name)
{
	size_t n = strlen(name);

	n -= n > 7 && !strcmp(name + n - 7, ".up.sql") ? 7 : n > 9 && !strcmp(name + n - 9, ".down.sql") ? 9 : n;
	return number_of(name, n) ? n : 0;
}

static bool is_sql(const char *name)
{
	size_t n = strlen(name);

	return n >= 4 && !strcmp(name + n - 4, ".sql");
}

/* Names of migrations, and folders unless NULL, both sorted. */
static bool list(const char *dir, struct migrate_lines *names, struct migrate_lines *folders, struct ch_migrate_error *error)
{
	DIR *d = opendir(dir);
	bool ok = true;
	struct dirent *e;

	if (!d)
		return ch_migrate_fail(error,
			"the folder of migrations %s cannot be read: %s; set `migrations` (or CHIMERA_MIGRATIONS) to where it is",
			dir, strerror(errno));
	while (ok && (e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		if (stem(e->d_name))
			ok = migrate_lines_add(names, e->d_name, stem(e->d_name)) || migrate_no_memory(error);
		else if (is_sql(e->d_name))
			ok = ch_migrate_fail(error,
				"%s/%s has no name of a migration: NNNN_what.up.sql and NNNN_what.down.sql with a-z, 0-9 and _ are allowed",
				dir, e->d_name);
		else if (folders && fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
			ok = migrate_lines_add(folders, e->d_name, strlen(e->d_name)) || migrate_no_memory(error);
	}
	closedir(d);
	migrate_lines_sort(names);
	if (folders)
		migrate_lines_sort(folders);
	return ok;
}

struct migrate_owner *migrate_owner_find(struct migrate_set *s, const char *name)
{
	for (unsigned i = 0; i < s->nowners; i++)
		if (!strcmp(s->owners[i].name, name))
			return &s->owners[i];
	return NULL;
}

struct migrate_owner *migrate_owner_add(struct migrate_set *s, const char *name)
{
	struct migrate_owner *o = migrate_owner_find(s, name);
	char *copy;

	if (o)
		return o;
	copy = strdup(name);
	o = copy ? realloc(s->owners, (s->nowners + 1) * sizeof(*o)) : NULL;
	if (!o) {
		free(copy);
		return NULL;
	}
	s->owners = o;
	o += s->nowners++;
	*o = (struct migrate_owner){ .name = copy };
	return o;
}

static bool read_owner(const struct ch_migrate_engine *e, struct migrate_set *s, const char *name, const char *dir,
	struct migrate_lines *folders, struct ch_migrate_error *error)
{
	struct migrate_lines names = { 0 };
	bool ok = list(dir, &names, folders, error);

	if (ok && (names.n || folders)) {
		struct migrate_owner *o = migrate_owner_add(s, name);

		ok = o ? load_all(e, dir, &names, o, error) && load_schema(dir, o, error) : migrate_no_memory(error);
	}
	migrate_lines_free(&names);
	return ok;
}

bool migrate_read(const struct ch_migrate_engine *e, const char *dir, struct migrate_set *out, struct ch_migrate_error *error)
{
	struct migrate_lines folders = { 0 };
	bool ok;

	*out = (struct migrate_set){ 0 };
	if (!migrate_known(e->name, error))
		return false;
	if (asprintf(&out->dir, "%s/%s", migrate_dir(dir), e->name) < 0) {
		out->dir = NULL;
		return migrate_no_memory(error);
	}
	ok = read_owner(e, out, MIGRATE_OWN, out->dir, &folders, error);
	for (size_t i = 0; ok && i < folders.n; i++) {
		char *sub;

		if (!strcmp(folders.v[i], MIGRATE_OWN) || !migrate_is_name(folders.v[i], strlen(folders.v[i]), true)) {
			ok = ch_migrate_fail(error,
				"%s/%s is no plugin's folder: a plugin's name has a-z, 0-9 and _, and is not chimera",
				out->dir, folders.v[i]);
		} else if (asprintf(&sub, "%s/%s", out->dir, folders.v[i]) < 0) {
			ok = migrate_no_memory(error);
		} else {
			ok = read_owner(e, out, folders.v[i], sub, NULL, error);
			free(sub);
		}
	}
	migrate_lines_free(&folders);
	if (!ok)
		migrate_free(out);
	return ok;
}

static void free_script(struct migrate_script *s)
{
	free(s->path);
	free(s->text);
}

void migrate_free(struct migrate_set *s)
{
	for (unsigned i = 0; i < s->nowners; i++) {
		struct migrate_owner *o = &s->owners[i];

		for (unsigned k = 0; k < o->nfiles; k++) {
			free_script(&o->files[k].up);
			free_script(&o->files[k].down);
			free(o->files[k].name);
		}
		for (unsigned k = 0; k < o->napplied; k++)
			free(o->applied[k].name);
		free(o->files);
		free(o->applied);
		free(o->name);
		migrate_lines_free(&o->schema);
	}
	free(s->owners);
	free(s->dir);
	*s = (struct migrate_set){ 0 };
}
