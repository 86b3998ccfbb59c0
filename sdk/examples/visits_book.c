/* SPDX-License-Identifier: MIT */
/* visits_book.c - see visits_book.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "visits_book.h"

struct book {
	pthread_mutex_t lock; /* held for moments only */
	unsigned users;
	struct page *pages;
};

struct page *page_new(const char *name, size_t n)
{
	struct page *p = calloc(1, sizeof(*p) + n + 1);

	if (p)
		p->name = memcpy(p + 1, name, n);
	return p;
}

struct page *book_put(struct book *b, struct page *p)
{
	struct page *there;

	pthread_mutex_lock(&b->lock);
	for (there = b->pages; there && strcmp(there->name, p->name); there = there->next)
		;
	if (!there) {
		p->next = b->pages;
		b->pages = p;
	}
	pthread_mutex_unlock(&b->lock);
	if (there)
		free(p);
	return there ? there : p;
}

void book_use(struct book *b)
{
	pthread_mutex_lock(&b->lock);
	b->users++;
	pthread_mutex_unlock(&b->lock);
}

bool book_leave(struct book *b)
{
	unsigned left;

	pthread_mutex_lock(&b->lock);
	left = --b->users;
	pthread_mutex_unlock(&b->lock);
	return !left;
}

void book_free(struct book *b)
{
	while (b->pages) {
		struct page *p = b->pages;

		b->pages = p->next;
		free(p);
	}
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* ---- the file ---- */

/* "home 17" */
static struct page *read_line(char *line, size_t n)
{
	char *blank = memrchr(line, ' ', n), *end;
	struct page *p;
	long long visits;

	if (!blank || blank == line || blank[1] < '0' || blank[1] > '9')
		return NULL;
	errno = 0;
	visits = strtoll(blank + 1, &end, 10);
	if (errno || end != line + n || memchr(line, 0, n))
		return NULL;
	p = page_new(line, (size_t)(blank - line));
	if (p)
		atomic_init(&p->visits, visits);
	return p;
}

static void read_lines(struct book *b, FILE *f, char *why, size_t cap)
{
	unsigned number = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while (!*why && (n = getline(&line, &room, f)) > 0) {
		struct page *p;

		number++;
		if (line[n - 1] == '\n')
			line[--n] = 0;
		p = read_line(line, (size_t)n);
		if (p)
			book_put(b, p);
		else
			snprintf(why, cap, "line %u is no name and count, such as \"home 17\"", number);
	}
	if (ferror(f))
		snprintf(why, cap, "%s", strerror(errno));
	free(line);
}

struct book *book_open(const char *path, char *why, size_t cap)
{
	struct book *b = calloc(1, sizeof(*b));
	FILE *f = fopen(path, "re");

	*why = 0;
	if (!b || (!f && errno != ENOENT))
		snprintf(why, cap, "%s", strerror(b ? errno : ENOMEM));
	if (b) {
		pthread_mutex_init(&b->lock, NULL);
		b->users = 1;
	}
	if (f && b)
		read_lines(b, f, why, cap);
	if (f)
		fclose(f);
	if (!*why)
		return b;
	if (b)
		book_free(b);
	return NULL;
}

size_t book_size(struct book *b)
{
	size_t n = 1;

	pthread_mutex_lock(&b->lock);
	for (struct page *p = b->pages; p; p = p->next)
		n += strlen(p->name) + sizeof(" 9223372036854775807\n");
	pthread_mutex_unlock(&b->lock);
	return n;
}

size_t book_text(struct book *b, char *text, size_t cap)
{
	size_t n = 0;

	pthread_mutex_lock(&b->lock);
	for (struct page *p = b->pages; p && n + strlen(p->name) + sizeof(" 9223372036854775807\n") <= cap; p = p->next)
		n += (size_t)sprintf(text + n, "%s %lld\n", p->name, (long long)atomic_load(&p->visits));
	pthread_mutex_unlock(&b->lock);
	return n;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno;
		p += k;
		n -= (size_t)k;
	}
	return fsync(fd) ? errno : 0;
}

int book_write(const char *path, const char *text, size_t n)
{
	char beside[4096]; /* never into the file itself: a full disk would leave half of it */
	int fd, error;

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return ENAMETOOLONG;
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return errno;
	error = write_all(fd, text, n);
	if (close(fd) && !error)
		error = errno;
	if (!error && rename(beside, path))
		error = errno;
	if (error)
		unlink(beside); /* what it took of the disk is free again */
	return error;
}
