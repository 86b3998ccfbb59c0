/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - watched files: what they were like before they were read, what they hold, and whether that has changed. */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf/load.h"

#define READ_MAX (64 << 20)           /* of a larger file the signature stands for the content */
#define YOUNG 2                       /* seconds: no file system in use keeps coarser times (FAT) */

enum { ABSENT = 1, UNREADABLE };          /* contents that are no number of bytes */

/* FNV-1a, 64 bit. */
#define FNV_BASIS 0xcbf29ce484222325u
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const unsigned char *s = p;

	while (n--)
		h = (h ^ *s++) * 0x100000001b3u;
	return h;
}

/* ---- signatures ---- */

static struct chi_sig signature(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return (struct chi_sig){ .there = false };
	return (struct chi_sig){ true, S_ISREG(st.st_mode), st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_signature(const struct chi_sig *a, const struct chi_sig *b)
{
	return a->there == b->there && a->regular == b->regular && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(&a->mtim, &b->mtim) && same_time(&a->ctim, &b->ctim);
}

/*
 * Times of files go in steps: one that changed in this very step may change again and look the same. `now` is from before the signature
 * was taken.
 */
static bool is_young(const struct chi_sig *sig, time_t now)
{
	return sig->there && sig->ctim.tv_sec >= now - YOUNG;
}

/* ---- content ---- */

static uint64_t content_of_signature(const struct chi_sig *s)
{
	const int64_t parts[] = { (int64_t)s->dev, (int64_t)s->ino, s->size, s->mtim.tv_sec, s->mtim.tv_nsec, s->ctim.tv_sec,
		s->ctim.tv_nsec };

	return mix(FNV_BASIS, parts, sizeof(parts));
}

/* Reads to the end, or to where the file is too large after all. */
static uint64_t content_of_fd(int fd)
{
	char buf[16384];
	uint64_t h = FNV_BASIS;
	size_t total = 0;
	ssize_t n;

	while (total <= READ_MAX && (n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			h = UNREADABLE;
			break;
		}
		h = mix(h, buf, (size_t)n);
		total += (size_t)n;
	}
	explicit_bzero(buf, sizeof(buf)); /* it may have been a secret */
	return h;
}

/* Never waits for a pipe that stands where a file was. */
static uint64_t content(const char *path, const struct chi_sig *sig)
{
	uint64_t h = UNREADABLE;
	struct stat st;
	int fd;

	if (!sig->there)
		return ABSENT;
	if (!sig->regular)
		return UNREADABLE;
	if (sig->size > READ_MAX)
		return content_of_signature(sig);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return h;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		h = content_of_fd(fd);
	close(fd);
	return h;
}

/* ---- during a load ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct chi_watched *)a)->path, ((const struct chi_watched *)b)->path);
}

struct chi_watched *chi_watch_look(struct load *l, const char *path, bool hidden)
{
	struct chi_watched want = { .path = path }, *w, **node = tfind(&want, &l->watched, by_path);
	struct chi_mem *mem = hidden ? l->secret : l->mem;
	time_t now = time(NULL);

	if (node)
		return *node;
	want.sig = signature(path);
	if (want.sig.there && !want.sig.regular)
		return NULL;
	w = chi_mem_alloc(mem, sizeof(*w));
	w->path = chi_mem_dup(mem, path, strlen(path));
	w->shown = hidden ? "***" : w->path;
	w->sig = want.sig;
	w->young = is_young(&w->sig, now);
	if (!tsearch(w, &l->watched, by_path))
		longjmp(l->oom, 1);
	*l->last_watched = w;
	l->last_watched = &w->next;
	return w;
}

void chi_watch_content(struct chi_watched *w, const char *p, size_t n)
{
	if (!w->content)
		w->content = p ? mix(FNV_BASIS, p, n) : content(w->path, &w->sig);
}

/* ---- afterwards ---- */

/* Has it changed since it was looked at? It is looked at anew. */
static bool changed(struct chi_watched *w)
{
	time_t now = time(NULL);
	struct chi_sig sig = signature(w->path);
	bool same = same_signature(&sig, &w->sig);
	uint64_t was = w->content;

	if (same && !w->young)
		return false;
	w->sig = sig;
	w->young = is_young(&sig, now);
	w->content = content(w->path, &sig);
	return !same || w->content != was;
}

const char *chi_conf_stale(const struct chi_conf *conf)
{
	const char *first = NULL;
	struct chi_watched *w;

	for (w = conf->priv->watched; w; w = w->next)
		if (changed(w) && !first)
			first = w->shown; /* the others are told with it: a reload reads them all */
	return first;
}

bool chi_conf_watches(const struct chi_conf *conf)
{
	return conf->priv->watched != NULL;
}
