/* SPDX-License-Identifier: Apache-2.0 */
/* journal_file.c - the files of a journal: made, mapped, cut, removed, quarantined. All of it may wait for the disk. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal_parts.h"

#define QUARANTINE "quarantine"

void journal_file_name(char out[JOURNAL_NAME], uint64_t number)
{
	snprintf(out, JOURNAL_NAME, "%012" PRIu64 ".segment", number);
}

static struct segment *new_segment(uint64_t number, size_t size)
{
	struct segment *s = calloc(1, sizeof(*s));

	if (s) {
		s->number = number;
		s->size = s->mapped = size;
		s->synced = SEGMENT_PAGE;
		atomic_init(&s->end, SEGMENT_PAGE);
	}
	return s;
}

void journal_unmap(struct segment *s)
{
	if (s->map)
		munmap(s->map, s->mapped);
	free(s->damage);
	free(s);
}

/* Room on the disk for all of it, so that a store into the mapping never finds the disk full; and the header. */
static bool fill(struct segment *s, int fd)
{
	struct timespec now;
	int error = posix_fallocate(fd, 0, (off_t)s->size);

	if (error) {
		errno = error;
		return false;
	}
	s->map = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return false;
	}
	/*
	 * No readahead: that also keeps the kernel from making one large folio of many pages here, which a sync of its first page would
	 * clean, and protect against stores, as a whole (journal_ahead.c).
	 */
	madvise(s->map, s->size, MADV_RANDOM);
	clock_gettime(CLOCK_REALTIME, &now);
	segment_put_header(s->map, &(struct segment_header){ s->number, s->size, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 });
	return !fsync(fd);
}

struct segment *journal_make(struct journal *j, uint64_t number, size_t size)
{
	struct segment *s = new_segment(number, size);
	char name[JOURNAL_NAME];
	bool good = false;
	int fd, error;

	if (!s)
		return NULL;
	journal_file_name(name, number);
	fd = openat(j->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		good = fill(s, fd) && !fsync(j->dir);
	error = errno;
	if (fd >= 0)
		close(fd);
	if (!good) {
		if (fd >= 0)
			unlinkat(j->dir, name, 0);
		journal_unmap(s);
		errno = error;
		return NULL;
	}
	return s;
}

/* Where the last written stretch of a file ends: what was only preallocated need not be read. */
static size_t data_end(int fd, size_t size)
{
	off_t end = 0, at;

	while ((at = lseek(fd, end, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end <= at || (size_t)end >= size)
			return size;
	}
	return errno == ENXIO ? (size_t)end : size;
}

/*
 * Reads the file once, so that a page which the disk cannot give is an error here and no SIGBUS later; such pages become zeros in the
 * mapping, which the scan then finds as damage.
 */
static bool can_be_read(struct journal *j, struct segment *s, int fd)
{
	size_t piece = SEGMENT_PAGE * 64, bad = 0;
	char *some = malloc(piece);

	if (!some)
		return false;
	for (size_t at = 0; at < s->data;) {
		ssize_t n = pread(fd, some, piece, (off_t)at);

		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (!n)
			break;
		if (errno == EINTR)
			continue;
		/* Page by page where it fails. */
		if (piece > SEGMENT_PAGE) {
			piece = SEGMENT_PAGE;
			continue;
		}
		if (mmap(s->map + at, SEGMENT_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
			free(some);
			return false;
		}
		at += SEGMENT_PAGE;
		bad += SEGMENT_PAGE;
	}
	free(some);
	if (bad)
		journal_say(j, CH_ERR, "segment %" PRIu64 " of the journal: the disk cannot read %zu bytes of it", s->number, bad);
	return true;
}

struct segment *journal_load(struct journal *j, uint64_t number)
{
	struct segment *s = new_segment(number, 0);
	char name[JOURNAL_NAME];
	struct stat st;
	int fd, error;

	if (!s)
		return NULL;
	journal_file_name(name, number);
	fd = openat(j->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st)) {
		s->size = s->mapped = (size_t)st.st_size;
		s->data = data_end(fd, s->size);
		if (!s->size)
			goto good;
		s->map = mmap(NULL, s->size, PROT_READ, MAP_SHARED, fd, 0);
		if (s->map == MAP_FAILED)
			s->map = NULL;
		else if (can_be_read(j, s, fd))
			goto good;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	journal_unmap(s);
	errno = error;
	return NULL;
good:
	/* After kill -9 it may be in the page cache only. */
	if (fsync(fd))
		journal_say(j, CH_ERR, "segment %" PRIu64 " of the journal in %s cannot be made durable: %s", number, j->conf.dir,
			    strerror(errno));
	close(fd);
	atomic_store(&s->rolled, true);
	return s;
}

void journal_unlink(struct journal *j, uint64_t number)
{
	char name[JOURNAL_NAME];

	journal_file_name(name, number);
	if (unlinkat(j->dir, name, 0) && errno != ENOENT)
		journal_say(j, CH_WARN, "%s/%s cannot be removed: %s", j->conf.dir, name, strerror(errno));
}

bool journal_truncate(struct journal *j, struct segment *s, size_t end)
{
	char name[JOURNAL_NAME];
	bool good;
	int fd;

	if (s->size == end)
		return true;
	journal_file_name(name, s->number);
	fd = openat(j->dir, name, O_RDWR | O_CLOEXEC);
	good = fd >= 0 && !ftruncate(fd, (off_t)end) && !fsync(fd);
	if (!good)
		journal_say(j, CH_WARN, "%s/%s cannot be cut: %s", j->conf.dir, name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good;
}

/* ---- quarantine ---- */

static bool write_all(int fd, const unsigned char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

void journal_quarantine(struct journal *j, struct segment *s, size_t from, size_t to, const char *what)
{
	char name[JOURNAL_NAME * 2];
	int fd;
	bool good;

	snprintf(name, sizeof(name), QUARANTINE "/%012" PRIu64 "_%zu.bytes", s->number, from);
	if (mkdirat(j->dir, QUARANTINE, 0700) && errno != EEXIST)
		fd = -1;
	else
		fd = openat(j->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	good = fd >= 0 && write_all(fd, s->map + from, to - from);
	if (good)
		journal_say(j, CH_ERR, "segment %" PRIu64 " of the journal, bytes %zu to %zu: %s; a copy is in %s/%s", s->number, from, to, what,
			    j->conf.dir, name);
	else
		journal_say(j, CH_ERR, "segment %" PRIu64 " of the journal, bytes %zu to %zu: %s; %s/%s cannot be written: %s", s->number, from,
			    to, what, j->conf.dir, name, strerror(errno));
	if (fd >= 0)
		close(fd);
}
