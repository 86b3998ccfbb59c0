/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - see state.h. Everything is small: files of some megabytes, thousands of events. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

#define PAGE 4096
#define SECTOR 512
#define SECTORS (PAGE / SECTOR)
#define NAMES_MAX 1024

static void *must(void *p, const char *what)
{
	if (!p) {
		perror(what);
		exit(2);
	}
	return p;
}

uint64_t crash_random(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* low to high, both included. */
static size_t between(uint64_t *seed, size_t low, size_t high)
{
	return low + (size_t)(crash_random(seed) % (high - low + 1));
}

/* ---- the trace ---- */

void trace_load(struct trace *t, const char *path)
{
	FILE *f = must(fopen(path, "rb"), path);
	size_t size, at = 0;

	memset(t, 0, sizeof(*t));
	fseek(f, 0, SEEK_END);
	size = (size_t)ftell(f);
	rewind(f);
	t->all = must(malloc(size + 1), path);
	if (fread(t->all, 1, size, f) != size)
		must(NULL, path);
	fclose(f);
	while (size - at >= sizeof(struct trace_event)) {
		struct trace_event e;

		memcpy(&e, t->all + at, sizeof(e));
		at += sizeof(e);
		if (e.n > size - at)
			break;
		if (t->n % 1024 == 0) {
			t->events = must(realloc(t->events, (t->n + 1024) * sizeof(e)), path);
			t->bytes = must(realloc(t->bytes, (t->n + 1024) * sizeof(t->bytes[0])), path);
		}
		t->events[t->n] = e;
		t->bytes[t->n++] = t->all + at;
		at += e.n;
		if (e.op == TRACE_NAME && e.file > t->files)
			t->files = e.file;
	}
}

void trace_free(struct trace *t)
{
	free(t->events);
	free(t->bytes);
	free(t->all);
}

/* ---- one file ---- */

struct file {
	size_t pages;
	size_t size;
	/* By page: writes before this event are on disk; and before which event a sync of it failed. */
	size_t *durable, *failed, *written;
	size_t durable_size;              /* the same for the size */
	/* By sector: writes before this event are in the state. */
	size_t *limit;
	unsigned char *content;
};

static bool is_of(const struct trace_event *e, uint32_t file)
{
	return e->file == file && (e->op == TRACE_WRITE || e->op == TRACE_SIZE || e->op == TRACE_SYNCED || e->op == TRACE_SYNC_FAILED);
}

static void count_pages(struct file *f, const struct trace *t, uint32_t file, size_t until)
{
	for (size_t i = 0; i < until; i++) {
		const struct trace_event *e = &t->events[i];
		size_t end = (size_t)(e->at + (e->op == TRACE_WRITE ? e->n : 0));

		if (e->file == file && (e->op == TRACE_WRITE || e->op == TRACE_SIZE) && end > f->pages * PAGE)
			f->pages = (end + PAGE - 1) / PAGE;
	}
}

/* The pages of an event: [*from, *to). */
static void pages_of(const struct file *f, const struct trace_event *e, size_t *from, size_t *to)
{
	size_t end = e->op == TRACE_WRITE ? (size_t)(e->at + e->n) :
		e->length == UINT64_MAX ? f->pages * PAGE : (size_t)(e->at + e->length);

	*from = (size_t)e->at / PAGE;
	*to = (end + PAGE - 1) / PAGE;
	if (e->op == TRACE_SIZE) /* what it cuts off is zeros afterwards */
		*to = f->pages;
	if (*to > f->pages)
		*to = f->pages;
}

/* What is on disk for certain. */
static void find_durable(struct file *f, const struct trace *t, uint32_t file, size_t until)
{
	size_t from, to;

	for (size_t i = 0; i < until; i++) {
		const struct trace_event *e = &t->events[i];

		if (!is_of(e, file))
			continue;
		if (e->op == TRACE_WRITE || e->op == TRACE_SIZE) {
			pages_of(f, e, &from, &to);
			for (size_t p = from; p < to; p++)
				f->written[p] = i + 1;
			continue;
		}
		pages_of(f, &t->events[e->at], &from, &to);
		for (size_t p = from; p < to; p++) {
			if (e->op == TRACE_SYNC_FAILED)
				f->failed[p] = (size_t)e->at + 1;
			else if (!f->failed[p] || (f->written[p] > f->failed[p] && f->written[p] <= (size_t)e->at))
				f->durable[p] = (size_t)e->at;
		}
		if (e->op == TRACE_SYNCED)
			f->durable_size = (size_t)e->at;
	}
}

/*
 * A file that was cut has new blocks behind the cut, in the order of the file system's own journal: with the cut nothing of what was there
 * before it comes back, without it nothing is there of what came later. *from: the last cut that is in the state; *to: the first that is
 * not.
 */
static void find_cuts(const struct trace *t, uint32_t file, size_t until, size_t size_until, size_t *from, size_t *to)
{
	uint64_t size = 0;

	*from = 0;
	*to = until;
	for (size_t i = 0; i < until; i++) {
		const struct trace_event *e = &t->events[i];

		if (e->file != file)
			continue;
		if (e->op == TRACE_WRITE && e->at + e->n > size)
			size = e->at + e->n;
		if (e->op != TRACE_SIZE)
			continue;
		if (e->at < size && i < size_until)
			*from = i + 1;
		else if (e->at < size && *to == until)
			*to = i;
		size = e->at;
	}
}

static size_t clamp(size_t v, size_t from, size_t to)
{
	return v < from ? from : v > to ? to : v;
}

/* How much of what is not certain is there. */
static void choose(struct file *f, enum state_mode mode, size_t moment, size_t until, size_t from, size_t to, uint64_t *seed)
{
	for (size_t p = 0; p < f->pages; p++) {
		size_t low = f->durable[p], high = low, torn = SECTORS;

		if (mode == STATE_ALL)
			high = until;
		else if (mode == STATE_PREFIX && moment > low)
			high = moment;
		else if (mode == STATE_PAGES)
			high = crash_random(seed) % 3 ? crash_random(seed) % 2 ? until : low : between(seed, low, until);
		if (mode == STATE_PAGES || mode == STATE_PREFIX)
			torn = crash_random(seed) % 8 ? SECTORS : between(seed, 0, SECTORS);
		for (size_t s = 0; s < SECTORS; s++)
			f->limit[p * SECTORS + s] = clamp(s < torn ? high : low, from, to);
	}
}

static void put(struct file *f, size_t event, size_t at, const unsigned char *p, size_t n)
{
	while (n) {
		size_t in = SECTOR - at % SECTOR < n ? SECTOR - at % SECTOR : n;

		if (at >= f->pages * PAGE)
			return;
		if (event < f->limit[at / SECTOR]) {
			if (p)
				memcpy(f->content + at, p, in);
			else
				memset(f->content + at, 0, in);
		}
		at += in;
		p = p ? p + in : NULL;
		n -= in;
	}
}

static void apply(struct file *f, const struct trace *t, uint32_t file, size_t until, size_t size_until)
{
	for (size_t i = 0; i < until; i++) {
		const struct trace_event *e = &t->events[i];

		if (e->file != file)
			continue;
		if (e->op == TRACE_WRITE) {
			put(f, i, (size_t)e->at, t->bytes[i], (size_t)e->n);
			if (i < size_until && e->at + e->n > f->size)
				f->size = (size_t)(e->at + e->n);
		} else if (e->op == TRACE_SIZE) {
			put(f, i, (size_t)e->at, NULL, f->pages * PAGE - (size_t)e->at);
			if (i < size_until)
				f->size = (size_t)e->at;
		}
	}
}

static void write_file(const char *folder, const char *name, const struct file *f)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0700);
		*slash = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, f->content, f->size) != (ssize_t)f->size) {
		perror(path);
		exit(2);
	}
	close(fd);
}

static void make_file(const struct trace *t, uint32_t file, const char *name, size_t until, enum state_mode mode, size_t moment,
	uint64_t *seed, const char *folder)
{
	struct file f = { 0 };
	size_t size_until, from, to;

	count_pages(&f, t, file, until);
	f.durable = must(calloc(f.pages + 1, sizeof(size_t)), "memory");
	f.failed = must(calloc(f.pages + 1, sizeof(size_t)), "memory");
	f.written = must(calloc(f.pages + 1, sizeof(size_t)), "memory");
	f.limit = must(calloc((f.pages + 1) * SECTORS, sizeof(size_t)), "memory");
	f.content = must(calloc(f.pages + 1, PAGE), "memory");
	find_durable(&f, t, file, until);
	size_until = mode == STATE_LEAST ? f.durable_size : mode == STATE_ALL ? until :
		mode == STATE_PREFIX ? (moment > f.durable_size ? moment : f.durable_size) : between(seed, f.durable_size, until);
	find_cuts(t, file, until, size_until, &from, &to);
	choose(&f, mode, moment, until, from, to, seed);
	apply(&f, t, file, until, size_until);
	write_file(folder, name, &f);
	free(f.durable);
	free(f.failed);
	free(f.written);
	free(f.limit);
	free(f.content);
}

/* ---- the folder ---- */

struct entry {
	const char *name;                 /* n bytes, no NUL */
	size_t n;
	uint32_t file;
};

static struct entry *entry_of(struct entry *entries, const char *name, size_t n)
{
	struct entry *unused = NULL;

	for (size_t i = 0; i < NAMES_MAX; i++) {
		if (entries[i].file && entries[i].n == n && !memcmp(entries[i].name, name, n))
			return &entries[i];
		if (!entries[i].file && !unused)
			unused = &entries[i];
	}
	return must(unused, "too many names");
}

static void name_event(struct entry *entries, const struct trace_event *e, const unsigned char *bytes)
{
	const char *name = (const char *)bytes;
	size_t n = (size_t)e->n;

	if (e->op == TRACE_UNNAME) {
		entry_of(entries, name, n)->file = 0;
	} else if (e->op == TRACE_RENAME) {
		size_t old = strlen(name);

		entry_of(entries, name, old)->file = 0;
		*entry_of(entries, name + old + 1, n - old - 1) = (struct entry){ name + old + 1, n - old - 1, e->file };
	} else if (e->op == TRACE_NAME) {
		*entry_of(entries, name, n) = (struct entry){ name, n, e->file };
	}
}

void state_make(const struct trace *t, size_t until, enum state_mode mode, uint64_t *seed, const char *folder)
{
	struct entry *entries = must(calloc(NAMES_MAX, sizeof(*entries)), "memory");
	size_t certain = 0, moment, names;

	for (size_t i = 0; i < until; i++)
		if (t->events[i].op == TRACE_FOLDER_SYNCED)
			certain = (size_t)t->events[i].at;
	moment = between(seed, 0, until);
	names = mode == STATE_LEAST ? certain : mode == STATE_ALL ? until : mode == STATE_PREFIX ? (moment > certain ? moment : certain) :
		between(seed, certain, until);
	for (size_t i = 0; i < names; i++)
		name_event(entries, &t->events[i], t->bytes[i]);
	for (size_t i = 0; i < NAMES_MAX; i++) {
		char name[256];

		if (!entries[i].file)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)entries[i].n, entries[i].name);
		make_file(t, entries[i].file, name, until, mode, moment, seed, folder);
	}
	free(entries);
}
