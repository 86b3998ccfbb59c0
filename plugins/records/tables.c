/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c - see tables.h.
 *
 * Threads and ownership: a lock around the list, held for no longer than a look at it, and one around the file, held while it is written.
 * Copies are the process's and are never freed: they are few.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segment.h"
#include "tables.h"

#define TABLES_MAX 64
#define HEAD 8 /* bytes before a description: its length and its id, u32 each */
#define FILE_MAX (TABLES_MAX * (HEAD + SEGMENT_TABLE_MAX))

struct tables {
	int dir;
	pthread_mutex_t lock;             /* of the next three */
	const struct ch_relation *v[TABLES_MAX];
	size_t n;
	unsigned version;                 /* grows with each change */
	pthread_mutex_t saving;           /* of what follows; taken before `lock` */
	unsigned saved;                   /* the version that the file has */
	bool told;
	void (*log)(void *arg, int level, const char *line);
	void *arg;
};

/* ---- copies ---- */

static bool equal(const struct ch_relation *a, const struct ch_relation *b)
{
	if (strcmp(a->name, b->name) || a->columns.n != b->columns.n)
		return false;
	for (size_t i = 0; i < a->columns.n; i++)
		if (strcmp(ch_column_at(a, i)->name, ch_column_at(b, i)->name) || ch_column_at(a, i)->type != ch_column_at(b, i)->type)
			return false;
	return true;
}

const struct ch_relation *tables_keep(const struct ch_relation *table)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static const struct ch_relation *copies[TABLES_MAX];
	unsigned char description[SEGMENT_TABLE_MAX];
	const struct ch_relation *found = NULL;
	size_t i = 0;

	pthread_mutex_lock(&lock);
	while (i < TABLES_MAX && copies[i] && !equal(copies[i], table))
		i++;
	if (i < TABLES_MAX) {
		if (!copies[i] && !segment_table_error(table))
			copies[i] = segment_get_table(description, segment_put_table(description, table));
		found = copies[i];
	}
	pthread_mutex_unlock(&lock);
	return found;
}

/* ---- the list ---- */

const struct ch_relation *tables_at(struct tables *t, size_t i)
{
	const struct ch_relation *r;

	pthread_mutex_lock(&t->lock);
	r = i < t->n ? t->v[i] : NULL;
	pthread_mutex_unlock(&t->lock);
	return r;
}

void tables_add(struct tables *t, const struct ch_relation *table)
{
	const struct ch_relation *copy = tables_keep(table);
	size_t i = 0;

	if (!copy)
		return;
	pthread_mutex_lock(&t->lock);
	while (i < t->n && strcmp(t->v[i]->name, copy->name))
		i++;
	if (i < TABLES_MAX && (i == t->n || t->v[i] != copy)) {
		t->v[i] = copy;
		t->n += i == t->n;
		t->version++;
	}
	pthread_mutex_unlock(&t->lock);
}

/* ---- the file ---- */

static unsigned char *put32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
	return p + 4;
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

CH_PRINTF_(2, 3) static void say(const struct tables *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (t->log)
		t->log(t->arg, CH_WARN, line);
}

/* Returns how many bytes made sense. */
static size_t parse(struct tables *t, const unsigned char *p, size_t n)
{
	size_t at = 0;

	while (n - at > HEAD) {
		uint32_t len = get32(p + at);
		struct ch_relation *r;

		if (len > n - at - HEAD || get32(p + at + 4) != segment_table_id(p + at + HEAD, len))
			break;
		r = segment_get_table(p + at + HEAD, len);
		if (!r)
			break;
		tables_add(t, r);
		free(r);
		at += HEAD + len;
	}
	return at;
}

static bool load(struct tables *t)
{
	int fd = openat(t->dir, "tables", O_RDONLY | O_CLOEXEC);
	unsigned char *p = malloc(FILE_MAX);
	ssize_t n = 0;

	if (fd >= 0 && p)
		n = read(fd, p, FILE_MAX);
	if (fd >= 0)
		close(fd);
	else if (errno != ENOENT)
		n = -1;
	if (n < 0 || (p && parse(t, p, (size_t)n) < (size_t)n))
		say(t, "the file `tables` is damaged or cannot be read: rows of tables that it named are found and expire again when "
			"the next one of such a table was passed on");
	else
		t->saved = t->version;
	free(p);
	return p != NULL;
}

struct tables *tables_open(const char *dir, void (*log)(void *arg, int level, const char *line), void *arg, char *err, size_t cap)
{
	struct tables *t = calloc(1, sizeof(*t));

	if (!t) {
		snprintf(err, cap, "there is no memory for the ledger's tables");
		return NULL;
	}
	t->log = log;
	t->arg = arg;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->saving, NULL);
	t->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir >= 0 && load(t))
		return t;
	snprintf(err, cap, "%s/tables cannot be read: %s", dir, strerror(errno));
	tables_close(t);
	return NULL;
}

void tables_close(struct tables *t)
{
	if (!t)
		return;
	if (t->dir >= 0)
		close(t->dir);
	pthread_mutex_destroy(&t->saving);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool write_file(struct tables *t, const unsigned char *p, size_t n)
{
	int fd = openat(t->dir, "tables.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, p, n) == (ssize_t)n && !fsync(fd);
	close(fd);
	return ok && !renameat(t->dir, "tables.new", t->dir, "tables") && !fsync(t->dir);
}

/* All of them as the file has them, from malloc. */
static unsigned char *print(struct tables *t, size_t *n, unsigned *version)
{
	unsigned char *text = malloc(FILE_MAX), *p = text;

	if (!text)
		return NULL;
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++) {
		size_t len = segment_put_table(p + HEAD, t->v[i]);

		put32(put32(p, (uint32_t)len), segment_table_id(p + HEAD, len));
		p += HEAD + len;
	}
	*version = t->version;
	pthread_mutex_unlock(&t->lock);
	*n = (size_t)(p - text);
	return text;
}

static bool is_saved(struct tables *t)
{
	bool yes;

	pthread_mutex_lock(&t->lock);
	yes = t->version == t->saved;
	pthread_mutex_unlock(&t->lock);
	return yes;
}

void tables_save(struct tables *t)
{
	unsigned char *text;
	unsigned version;
	size_t n;

	pthread_mutex_lock(&t->saving);
	if (!is_saved(t)) {
		errno = ENOMEM;
		text = print(t, &n, &version);
		if (text && write_file(t, text, n)) {
			t->saved = version;
			t->told = false;
		} else if (!t->told) {
			t->told = true;
			say(t, "the file `tables` cannot be written (%s): after a restart rows of new tables neither expire nor are found "
				"until the next one of such a table was passed on", strerror(errno));
		}
		free(text);
	}
	pthread_mutex_unlock(&t->saving);
}
