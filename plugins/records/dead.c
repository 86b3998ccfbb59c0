/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead.c - the dead letters' file.
 *
 * Threads and ownership: one lock around the file. A list is a copy of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dead.h"

struct dead {
	pthread_mutex_t lock;
	char *dir, *path, *fresh;
	bool failed;                      /* a sync has failed */
};

static const char no_memory[] = "there is no memory for the dead letters";

/* ---- life ---- */

struct dead *dead_open(const char *dir, char *err, size_t cap)
{
	struct dead *d = calloc(1, sizeof(*d));

	if (d && (d->dir = strdup(dir)) && asprintf(&d->path, "%s/dlq.jsonl", dir) > 0 && asprintf(&d->fresh, "%s/dlq.jsonl.new",
		dir) > 0) {
		pthread_mutex_init(&d->lock, NULL);
		unlink(d->fresh); /* of a purge that did not come to its end */
		return d;
	}
	if (d) {
		free(d->path);
		free(d->dir);
	}
	free(d);
	snprintf(err, cap, "%s", no_memory);
	return NULL;
}

void dead_close(struct dead *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&d->lock);
	free(d->dir);
	free(d->path);
	free(d->fresh);
	free(d);
}

/* ---- writing ---- */

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* A name in a folder is on disk when the folder is. */
static bool sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && !fsync(fd);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Does the file end in a line that a crash has torn? Then the next one begins behind a line end. */
static bool torn(int fd, off_t size)
{
	char last = '\n';

	return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static const char *append(struct dead *d, const char *lines, size_t n)
{
	int fd = open(d->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	struct stat st;
	bool ok;

	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return "the file of dead letters cannot be opened";
	}
	ok = (!torn(fd, st.st_size) || write_all(fd, "\n", 1)) && write_all(fd, lines, n);
	if (!ok && ftruncate(fd, st.st_size)) { /* half a line that cannot be taken back is left out by readers */
	}
	if (ok && (fsync(fd) || (!st.st_size && !sync_dir(d->dir)))) {
		d->failed = true;
		ok = false;
	}
	close(fd);
	return ok ? NULL : d->failed ? "the file of dead letters could not be synced" : "the file of dead letters cannot be written";
}

const char *dead_append(struct dead *d, const char *lines, size_t n)
{
	const char *why;

	pthread_mutex_lock(&d->lock);
	why = d->failed ? "the file of dead letters failed a sync: purge it, or start the server anew" : append(d, lines, n);
	pthread_mutex_unlock(&d->lock);
	return why;
}

/* ---- reading ---- */

static char *read_all(const char *path, size_t *n, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *p = NULL;

	*n = 0;
	if (fd < 0) {
		if (errno == ENOENT)
			return calloc(1, 1);
		*why = "the file of dead letters cannot be opened";
		return NULL;
	}
	if (!fstat(fd, &st))
		p = malloc((size_t)st.st_size + 1);
	*why = no_memory;
	while (p && *n < (size_t)st.st_size) {
		ssize_t k = read(fd, p + *n, (size_t)st.st_size - *n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			free(p);
			p = NULL;
			*why = "the file of dead letters cannot be read";
		}
		if (k <= 0)
			break;
		*n += (size_t)k;
	}
	close(fd);
	return p;
}

/* Which letters of a sink's row are there: a table of the newest, by row and sink. */
struct table {
	size_t *at, mask; /* index + 1 of an entry */
};

static uint64_t hash(const struct letter *l)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < 16; i++)
		h = (h ^ l->row_id[i]) * 1099511628211u;
	for (size_t i = 0; i < l->sink.n; i++)
		h = (h ^ (unsigned char)l->sink.p[i]) * 1099511628211u;
	return h ^ h >> 32;
}

static bool same(const struct letter *a, const struct letter *b)
{
	return !memcmp(a->row_id, b->row_id, 16) && a->sink.n == b->sink.n && !memcmp(a->sink.p, b->sink.p, a->sink.n);
}

static size_t *place(const struct table *t, const struct dead_list *list, const struct letter *l)
{
	size_t i = hash(l) & t->mask;

	while (t->at[i] && !same(&list->v[t->at[i] - 1].letter, l))
		i = (i + 1) & t->mask;
	return &t->at[i];
}

static void add(struct dead_list *list, struct table *t, const char *p, size_t n)
{
	struct letter l;
	size_t *at;

	if (!letter_read(p, n, &l)) {
		list->bad_lines++;
		return;
	}
	at = place(t, list, &l);
	if (*at) { /* the older one has had its day */
		list->replayed += l.replayed && list->v[*at - 1].line;
		list->v[*at - 1].line = NULL;
	}
	if (l.replayed && !*at)
		return;
	list->v[list->n++] = (struct dead_entry){ l, l.replayed ? NULL : p, n };
	*at = list->n;
}

/* Leaves only what has a line. */
static void close_up(struct dead_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].line)
			list->v[n++] = list->v[i];
	list->n = n;
}

static struct dead_list *read_list(struct dead *d, const char **why)
{
	struct dead_list *list = calloc(1, sizeof(*list));
	struct table t = { NULL, 15 };
	size_t lines = 1;

	*why = no_memory;
	if (!list)
		return NULL;
	list->text = read_all(d->path, &list->ntext, why);
	if (!list->text)
		goto failed;
	*why = no_memory;
	for (const char *p = list->text; (p = memchr(p, '\n', list->ntext - (size_t)(p - list->text))); p++)
		lines++;
	while (t.mask < lines * 2)
		t.mask = t.mask * 2 + 1;
	t.at = calloc(t.mask + 1, sizeof(*t.at));
	list->v = calloc(lines, sizeof(*list->v));
	if (!t.at || !list->v)
		goto failed;
	for (const char *p = list->text, *end = p + list->ntext; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);

		if (n)
			add(list, &t, p, n);
		p += n + 1;
	}
	close_up(list);
	free(t.at);
	return list;
failed:
	free(t.at);
	dead_list_free(list);
	return NULL;
}

struct dead_list *dead_read(struct dead *d, const char **why)
{
	struct dead_list *list;

	pthread_mutex_lock(&d->lock);
	list = read_list(d, why);
	pthread_mutex_unlock(&d->lock);
	return list;
}

void dead_list_free(void *list)
{
	struct dead_list *l = list;

	if (!l)
		return;
	free(l->v);
	free(l->text);
	free(l);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

unsigned char (*dead_rows(struct dead *d, const char *sink, size_t *n, const char **why))[16]
{
	unsigned char (*ids)[16] = NULL;
	size_t len, lines = 1;
	char *text;

	*n = 0;
	pthread_mutex_lock(&d->lock);
	text = read_all(d->path, &len, why);
	pthread_mutex_unlock(&d->lock);
	for (const char *p = text; text && (p = memchr(p, '\n', len - (size_t)(p - text))); p++)
		lines++;
	if (text && !(ids = calloc(lines, sizeof(*ids))))
		*why = no_memory;
	for (const char *p = text; ids && p < text + len;) {
		const char *nl = memchr(p, '\n', len - (size_t)(p - text));
		size_t line = (size_t)((nl ? nl : text + len) - p);
		struct letter l;

		if (letter_read(p, line, &l) && l.sink.n == strlen(sink) && !memcmp(l.sink.p, sink, l.sink.n))
			memcpy(ids[(*n)++], l.row_id, 16);
		p += line + 1;
	}
	if (ids)
		qsort(ids, *n, sizeof(*ids), compare);
	free(text);
	return ids;
}

/* ---- purging ---- */

static const char *rewrite(struct dead *d, const struct dead_list *list)
{
	int fd = open(d->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0;

	for (size_t i = 0; ok && i < list->n; i++)
		if (list->v[i].line)
			ok = write_all(fd, list->v[i].line, list->v[i].n) && write_all(fd, "\n", 1);
	ok = ok && !fsync(fd);
	if (fd >= 0)
		close(fd);
	if (ok && !rename(d->fresh, d->path) && sync_dir(d->dir)) {
		d->failed = false;
		return NULL;
	}
	unlink(d->fresh);
	return "the file of dead letters cannot be written anew";
}

const char *dead_purge(struct dead *d, bool (*gone)(void *arg, const struct letter *), void *arg, size_t *n)
{
	const char *why = NULL;
	struct dead_list *list;

	*n = 0;
	pthread_mutex_lock(&d->lock);
	list = read_list(d, &why);
	if (list) {
		for (size_t i = 0; i < list->n; i++)
			if (gone && gone(arg, &list->v[i].letter)) {
				list->v[i].line = NULL;
				++*n;
			}
		why = rewrite(d, list);
	}
	pthread_mutex_unlock(&d->lock);
	dead_list_free(list);
	return why;
}
