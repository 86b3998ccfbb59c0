/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - see checkpoint.h; docs/journal_format.md has the bytes. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "checkpoint.h"

#define SLOT ((size_t)4096)
#define SLOTS 2
#define FILE_BYTES (SLOTS * SLOT)
#define SUMMED 16                          /* the checksum is behind the magic, and covers what is behind itself */

static const char magic[8] = "CHCKPT1\n";

struct checkpoint {
	int dir;
	char name[128];
	unsigned char *map;
	unsigned char *next;              /* the file that is about to take its place: what is saved goes into both */
	uint64_t sequence;                /* of the newest slot */
	unsigned slot;                    /* the one to be written next */
	pthread_mutex_t lock;             /* the mapping changes when its file failed a sync */
	pthread_mutex_t syncing;          /* who syncs, or replaces the file; taken before `lock` */
	bool failed;                      /* the file failed a sync: the kernel says so once, what it says from then on is worth nothing */
	void (*log)(void *arg, int level, const char *line);
	void *arg;
};

CH_PRINTF_(3, 4) static void say(struct checkpoint *c, int level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (c->log)
		c->log(c->arg, level, line);
}

/* ---- a slot ---- */

static unsigned char *put(unsigned char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
	return p + 8;
}

static const unsigned char *get(const unsigned char *p, uint64_t *v)
{
	memcpy(v, p, 8);
	*v = le64toh(*v);
	return p + 8;
}

static unsigned char *put_pos(unsigned char *p, const struct journal_pos *pos)
{
	return put(put(put(p, pos->segment), pos->offset), pos->row);
}

static const unsigned char *get_pos(const unsigned char *p, struct journal_pos *pos)
{
	return get(get(get(p, &pos->segment), &pos->offset), &pos->row);
}

static void write_slot(unsigned char *slot, uint64_t sequence, const struct checkpoint_data *d)
{
	unsigned char *p = put(slot + SUMMED, sequence);

	p = put_pos(p, &d->passed);
	p = put(p, d->nbatches);
	for (uint32_t i = 0; i < d->nbatches; i++) {
		const struct checkpoint_batch *b = &d->batches[i];

		p = put(put_pos(p, &b->end), b->rows);
		memcpy(p, b->id, 16);
		p = put(p + 16, (uint64_t)b->extra << 32 | b->flags);
	}
	memcpy(slot, magic, sizeof(magic));
	put(slot + 8, XXH3_64bits(slot + SUMMED, (size_t)(p - slot) - SUMMED));
}

static bool read_slot(const unsigned char *slot, uint64_t *sequence, struct checkpoint_data *d)
{
	const unsigned char *p = get(slot + SUMMED, sequence);
	uint64_t n, sum, bits;

	memset(d, 0, sizeof(*d));
	p = get(get_pos(p, &d->passed), &n);
	get(slot + 8, &sum);
	if (memcmp(slot, magic, sizeof(magic)) || n > CHECKPOINT_BATCHES_MAX)
		return false;
	d->nbatches = (uint32_t)n;
	for (uint32_t i = 0; i < d->nbatches; i++) {
		struct checkpoint_batch *b = &d->batches[i];

		p = get(get_pos(p, &b->end), &b->rows);
		memcpy(b->id, p, 16);
		p = get(p + 16, &bits);
		b->flags = (uint32_t)bits;
		b->extra = (uint32_t)(bits >> 32);
	}
	return sum == XXH3_64bits(slot + SUMMED, (size_t)(p - slot) - SUMMED);
}

static bool is_empty(const unsigned char *p, size_t n)
{
	while (n && !p[n - 1])
		n--;
	return !n;
}

/* ---- the file ---- */

/* Mapped whole, made and with room on the disk for it; NULL: errno. */
static unsigned char *map_file(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600), error = 0;
	unsigned char *map = MAP_FAILED;

	if (fd < 0)
		return NULL;
	error = posix_fallocate(fd, 0, FILE_BYTES);
	if (!error) {
		map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		error = errno;
	}
	close(fd);
	errno = error;
	return map == MAP_FAILED ? NULL : map;
}

static void load(struct checkpoint *c, struct checkpoint_data *data)
{
	static const char *const which[] = { "first", "second" };
	struct checkpoint_data d;
	bool whole[SLOTS], any = false;
	uint64_t sequence;

	memset(data, 0, sizeof(*data));
	for (unsigned i = 0; i < SLOTS; i++) {
		whole[i] = read_slot(c->map + i * SLOT, &sequence, &d);
		if (!whole[i] || (any && sequence < c->sequence))
			continue;
		any = true;
		c->sequence = sequence;
		c->slot = (i + 1) % SLOTS;
		*data = d;
	}
	if (!any && !is_empty(c->map, FILE_BYTES)) {
		say(c, CH_ERR, "%s is damaged: its sink goes on with the oldest row of the journal, and knows the rows that it has", c->name);
		return;
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (any && !whole[i] && !is_empty(c->map + i * SLOT, SLOT))
			say(c, CH_WARN, "%s: the %s slot is damaged, the other one is used", c->name, which[i]);
}

/* "NAME.checkpoint"; false: no name for a file. */
static bool file_name(char *out, size_t size, const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-");

	return n && !name[n] && name[0] != '.' && (size_t)snprintf(out, size, "%s.checkpoint", name) < size;
}

struct checkpoint *checkpoint_open(const char *dir, const char *name, struct checkpoint_data *data,
	void (*log)(void *arg, int level, const char *line), void *arg, char *err, size_t err_size)
{
	struct checkpoint *c = calloc(1, sizeof(*c));

	if (!c) {
		snprintf(err, err_size, "there is no memory for the checkpoint of %s", name);
		return NULL;
	}
	c->log = log;
	c->arg = arg;
	c->dir = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->syncing, NULL);
	if (!file_name(c->name, sizeof(c->name), name)) {
		snprintf(err, err_size, "\"%s\" is no name of a checkpoint", name);
	} else if ((c->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || !(c->map = map_file(c->dir, c->name, 0)) ||
		   fsync(c->dir)) {
		snprintf(err, err_size, "%s/%s cannot be used: %s", dir, c->name, strerror(errno));
	} else {
		load(c, data);
		return c;
	}
	checkpoint_close(c);
	return NULL;
}

void checkpoint_save(struct checkpoint *c, const struct checkpoint_data *data)
{
	pthread_mutex_lock(&c->lock);
	write_slot(c->map + c->slot * SLOT, ++c->sequence, data);
	if (c->next)
		memcpy(c->next + c->slot * SLOT, c->map + c->slot * SLOT, SLOT);
	c->slot = (c->slot + 1) % SLOTS;
	pthread_mutex_unlock(&c->lock);
}

/*
 * Its file failed a sync: the same bytes go into another one, which is durable before it takes the name. What is saved meanwhile goes into
 * both, so that kill -9 finds it at any moment; the one that saves never waits for the disk.
 */
static bool replace(struct checkpoint *c)
{
	char name[sizeof(c->name) + 8];
	unsigned char *map, *old;
	bool took;

	snprintf(name, sizeof(name), "%s.new", c->name);
	map = map_file(c->dir, name, O_TRUNC);
	if (!map)
		return false;
	pthread_mutex_lock(&c->lock);
	memcpy(map, c->map, FILE_BYTES);
	c->next = map;
	pthread_mutex_unlock(&c->lock);
	took = !msync(map, FILE_BYTES, MS_SYNC) && !renameat(c->dir, name, c->dir, c->name);
	pthread_mutex_lock(&c->lock);
	old = took ? c->map : map;
	if (took)
		c->map = map;
	c->next = NULL;
	pthread_mutex_unlock(&c->lock);
	munmap(old, FILE_BYTES);
	return took && !msync(map, FILE_BYTES, MS_SYNC) && !fsync(c->dir);
}

bool checkpoint_sync(struct checkpoint *c)
{
	bool durable;

	pthread_mutex_lock(&c->syncing);
	if (!c->failed && msync(c->map, FILE_BYTES, MS_SYNC)) {
		c->failed = true;
		say(c, CH_ERR, "%s cannot be made durable: %s; another file takes its place", c->name, strerror(errno));
	}
	if (c->failed && replace(c))
		c->failed = false;
	else if (c->failed)
		say(c, CH_ERR, "%s cannot be replaced: %s", c->name, strerror(errno));
	durable = !c->failed;
	pthread_mutex_unlock(&c->syncing);
	return durable;
}

void checkpoint_close(struct checkpoint *c)
{
	if (c->map)
		munmap(c->map, FILE_BYTES);
	if (c->dir >= 0)
		close(c->dir);
	pthread_mutex_destroy(&c->syncing);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void checkpoint_remove(const char *dir, const char *name)
{
	char file[128];
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (file_name(file, sizeof(file), name))
		unlinkat(fd, file, 0);
	close(fd);
}
