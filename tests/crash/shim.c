/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim.c - preloaded into a program, writes down what it does to the files below CRASH_FOLDER into the file CRASH_TRACE (see trace.h).
 *
 *   CRASH_SKIP=mapped|file|folder   such syncs are left out: they succeed, and nothing was synced. Shows that the tests can fail.
 *   CRASH_FAIL=N                    the N-th sync of a file (from 1) fails with EIO, once
 *
 * Pages of a shared mapping that changed since the last look are writes of this moment; it looks before each event. System calls are made
 * directly, so nothing here calls itself. One lock, so the trace has one order.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "trace.h"

#define EXPORT __attribute__((visibility("default")))
#define NAMES_MAX 1024
#define FDS_MAX 1024
#define MAPS_MAX 256
#define PAGE 4096
#define FOLDER UINT32_MAX           /* the file number of an open folder */

struct name {
	char path[256];
	uint32_t file;
};
struct mapping {
	char *at, *seen;
	size_t length;
	off_t offset;
	uint32_t file;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_length;
static int trace = -1;
static const char *skip;
static long fail_at, syncs;
static uint64_t events;
static uint32_t files;
static struct name names[NAMES_MAX];
static uint32_t fds[FDS_MAX];       /* file of a descriptor; 0: none of ours */
static struct mapping maps[MAPS_MAX];

static void die(const char *what)
{
	dprintf(2, "crash shim: %s\n", what);
	_exit(99);
}

static void emit(uint32_t op, uint32_t file, uint64_t at, uint64_t length, const void *p, size_t n)
{
	struct trace_event e = { op, file, at, length, n };
	struct iovec io[2] = { { &e, sizeof(e) }, { (void *)(uintptr_t)p, n } };

	if (syscall(SYS_writev, trace, io, 2) != (long)(sizeof(e) + n))
		die("the trace cannot be written");
	events++;
}

/* Notes what was stored into mappings. Locked. */
static void look(void)
{
	for (size_t i = 0; i < MAPS_MAX; i++)
		for (size_t at = 0; maps[i].at && at < maps[i].length; at += PAGE) {
			size_t n = maps[i].length - at < PAGE ? maps[i].length - at : PAGE;

			if (!memcmp(maps[i].at + at, maps[i].seen + at, n))
				continue;
			memcpy(maps[i].seen + at, maps[i].at + at, n);
			emit(TRACE_WRITE, maps[i].file, (uint64_t)maps[i].offset + at, 0, maps[i].seen + at, n);
		}
}

/* Reads the environment once; false: nothing is recorded. Locks. */
static bool begin(void)
{
	static bool ready;

	pthread_mutex_lock(&lock);
	if (!ready) {
		const char *where = getenv("CRASH_FOLDER"), *into = getenv("CRASH_TRACE"), *fail = getenv("CRASH_FAIL");

		ready = true;
		skip = getenv("CRASH_SKIP");
		fail_at = fail ? atol(fail) : 0;
		if (where && into && realpath(where, folder)) {
			folder_length = strlen(folder);
			trace = (int)syscall(SYS_openat, AT_FDCWD, into, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		}
	}
	if (trace >= 0) {
		look();
		return true;
	}
	pthread_mutex_unlock(&lock);
	return false;
}

static void end(void)
{
	int error = errno;

	pthread_mutex_unlock(&lock);
	errno = error;
}

/* ---- names ---- */

/* The path below the folder; NULL: it is somewhere else. "": the folder itself. */
static const char *below(const char *path)
{
	if (strncmp(path, folder, folder_length) || (path[folder_length] && path[folder_length] != '/'))
		return NULL;
	return path[folder_length] ? path + folder_length + 1 : "";
}

/* Of a path relative to a descriptor. */
static const char *resolve(int dir, const char *path, char out[PATH_MAX])
{
	char link[64], base[PATH_MAX];
	ssize_t n;

	if (path[0] == '/') {
		snprintf(out, PATH_MAX, "%s", path);
		return below(out);
	}
	if (dir == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/self/cwd");
	else
		snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof(base) - 1);
	if (n < 0 || (size_t)n + strlen(path) + 2 > PATH_MAX)
		return NULL;
	base[n] = 0;
	memcpy(out, base, (size_t)n);
	out[n] = '/';
	strcpy(out + n + 1, path);
	return below(out);
}

static struct name *find(const char *path)
{
	for (size_t i = 0; i < NAMES_MAX; i++)
		if (names[i].file && !strcmp(names[i].path, path))
			return &names[i];
	return NULL;
}

static void add_name(const char *path, uint32_t file)
{
	struct name *n = find(path);

	for (size_t i = 0; !n && i < NAMES_MAX; i++)
		if (!names[i].file)
			n = &names[i];
	if (!n || strlen(path) >= sizeof(n->path))
		die("too many names, or too long a one");
	strcpy(n->path, path);
	n->file = file;
	emit(TRACE_NAME, file, 0, 0, path, strlen(path));
}

static void drop_name(const char *path)
{
	struct name *n = find(path);

	if (n)
		n->file = 0;
	emit(TRACE_UNNAME, 0, 0, 0, path, strlen(path));
}

/* ---- opening and closing ---- */

/* The file of a name that was just opened. */
static uint32_t opened(const char *name, int flags)
{
	struct name *n = find(name);

	if (!n) {
		add_name(name, ++files);
		return files;
	}
	if (flags & O_TRUNC)
		emit(TRACE_SIZE, n->file, 0, 0, NULL, 0);
	return n->file;
}

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
	char full[PATH_MAX];
	const char *name;
	struct stat st;
	int fd;

	if (!begin())
		return (int)syscall(SYS_openat, dir, path, flags, mode);
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (fd >= FDS_MAX)
		die("too many descriptors");
	if (fd >= 0) {
		fds[fd] = 0;
		name = resolve(dir, path, full);
		if (name && !fstat(fd, &st))
			fds[fd] = S_ISDIR(st.st_mode) ? FOLDER : opened(name, flags);
	}
	end();
	return fd;
}

#define OPEN(name, parameters, dir) \
	EXPORT int name parameters; \
	EXPORT int name parameters \
	{ \
		va_list ap; \
		mode_t mode; \
		va_start(ap, flags); \
		mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0; \
		va_end(ap); \
		return do_open(dir, path, flags, mode); \
	}
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int at, const char *path, int flags, ...), at)
OPEN(openat64, (int at, const char *path, int flags, ...), at)

static uint32_t file_of(int fd)
{
	return fd >= 0 && fd < FDS_MAX ? fds[fd] : 0;
}

EXPORT int close(int fd)
{
	if (begin()) {
		if (fd >= 0 && fd < FDS_MAX)
			fds[fd] = 0;
		end();
	}
	return (int)syscall(SYS_close, fd);
}

/* ---- writing ---- */

static ssize_t do_write(int fd, const void *p, size_t n, off_t at, bool here)
{
	uint32_t file;
	ssize_t done;

	if (!begin())
		return here ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at);
	file = file_of(fd);
	if (file && here)
		at = syscall(SYS_lseek, fd, 0, SEEK_CUR);
	done = here ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at);
	if (file && done > 0)
		emit(TRACE_WRITE, file, (uint64_t)at, 0, p, (size_t)done);
	end();
	return done;
}

EXPORT ssize_t write(int fd, const void *p, size_t n) { return do_write(fd, p, n, 0, true); }
EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { return do_write(fd, p, n, at, false); }
EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) { return do_write(fd, p, n, at, false); }

static int do_truncate(int fd, off_t size)
{
	int rc = (int)syscall(SYS_ftruncate, fd, size);

	if (!begin())
		return rc;
	if (!rc && file_of(fd))
		emit(TRACE_SIZE, file_of(fd), (uint64_t)size, 0, NULL, 0);
	end();
	return rc;
}

EXPORT int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }
EXPORT int ftruncate64(int fd, off_t size) { return do_truncate(fd, size); }

static int do_allocate(int fd, off_t at, off_t n)
{
	int rc = syscall(SYS_fallocate, fd, 0, at, n) ? errno : 0;
	struct stat st;

	if (!begin())
		return rc;
	if (!rc && file_of(fd) && !fstat(fd, &st))
		emit(TRACE_SIZE, file_of(fd), (uint64_t)st.st_size, 0, NULL, 0);
	end();
	return rc;
}

EXPORT int posix_fallocate(int fd, off_t at, off_t n) { return do_allocate(fd, at, n); }
EXPORT int posix_fallocate64(int fd, off_t at, off_t n) { return do_allocate(fd, at, n); }

/* ---- syncing ---- */

/* Around a sync; returns whether it is to be done: 1, left out: 0, fails: -1. *event: to be named in the end. */
static int sync_begins(const char *kind, uint32_t file, uint64_t at, uint64_t length, uint64_t *event)
{
	int verdict = 1;

	if (skip && !strcmp(skip, kind))
		return 0;
	if (file != FOLDER && fail_at && ++syncs == fail_at)
		verdict = -1;
	*event = events;
	emit(file == FOLDER ? TRACE_FOLDER_SYNC : TRACE_SYNC, file, at, length, NULL, 0);
	return verdict;
}

static void sync_ends(uint32_t file, uint64_t event, bool good)
{
	if (!begin())
		return;
	emit(file == FOLDER ? TRACE_FOLDER_SYNCED : good ? TRACE_SYNCED : TRACE_SYNC_FAILED, file, event, 0, NULL, 0);
	end();
}

static int do_sync(int fd)
{
	uint64_t event;
	uint32_t file;
	int verdict;

	if (!begin())
		return (int)syscall(SYS_fsync, fd);
	file = file_of(fd);
	verdict = file ? sync_begins(file == FOLDER ? "folder" : "file", file, 0, UINT64_MAX, &event) : 1;
	end();
	/* The recorded folder is no disk: nothing need be synced really, and the replay decides what would have been. */
	if (file && verdict)
		sync_ends(file, event, verdict > 0);
	errno = EIO;
	return !file ? (int)syscall(SYS_fsync, fd) : verdict < 0 ? -1 : 0;
}

EXPORT int fsync(int fd) { return do_sync(fd); }
EXPORT int fdatasync(int fd) { return do_sync(fd); }

EXPORT int msync(void *p, size_t n, int flags)
{
	uint64_t event, at = 0;
	uint32_t file = 0;
	int verdict = 1;

	if (!begin())
		return (int)syscall(SYS_msync, p, n, flags);
	for (size_t i = 0; i < MAPS_MAX && !file; i++)
		if (maps[i].at && (char *)p >= maps[i].at && (char *)p < maps[i].at + maps[i].length) {
			file = maps[i].file;
			at = (uint64_t)maps[i].offset + (uint64_t)((char *)p - maps[i].at);
		}
	verdict = file ? sync_begins("mapped", file, at, n, &event) : 1;
	end();
	if (file && verdict)
		sync_ends(file, event, verdict > 0);
	errno = EIO;
	return verdict < 0 ? -1 : 0;
}

/* ---- mapping ---- */

static void *do_map(void *want, size_t n, int prot, int flags, int fd, off_t at)
{
	void *p = (void *)syscall(SYS_mmap, want, n, prot, flags, fd, at);

	if (fd < 0 || !(flags & MAP_SHARED) || !(prot & PROT_WRITE) || p == MAP_FAILED || !begin())
		return p;
	if (file_of(fd) && file_of(fd) != FOLDER) {
		size_t i = 0;

		while (i < MAPS_MAX && maps[i].at)
			i++;
		if (i == MAPS_MAX)
			die("too many mappings");
		maps[i] = (struct mapping){ p, malloc(n), n, at, file_of(fd) };
		if (!maps[i].seen)
			die("no memory");
		memcpy(maps[i].seen, p, n);
	}
	end();
	return p;
}

EXPORT void *mmap(void *want, size_t n, int prot, int flags, int fd, off_t at) { return do_map(want, n, prot, flags, fd, at); }
EXPORT void *mmap64(void *want, size_t n, int prot, int flags, int fd, off_t at) { return do_map(want, n, prot, flags, fd, at); }

EXPORT int munmap(void *p, size_t n)
{
	/* Not begin(): malloc and free come here, also from within. The mappings that are recorded are never its own. */
	bool ours = false;

	for (size_t i = 0; i < MAPS_MAX; i++)
		ours |= maps[i].at == p;
	if (ours && begin()) {
		for (size_t i = 0; i < MAPS_MAX; i++)
			if (maps[i].at == p) {
				char *seen = maps[i].seen;

				maps[i] = (struct mapping){ 0 };
				free(seen);
			}
		end();
	}
	return (int)syscall(SYS_munmap, p, n);
}

/* ---- names that go and change ---- */

static int do_unlink(int dir, const char *path, int flags)
{
	char full[PATH_MAX];
	const char *name;
	int rc;

	if (!begin())
		return (int)syscall(SYS_unlinkat, dir, path, flags);
	name = resolve(dir, path, full);
	rc = (int)syscall(SYS_unlinkat, dir, path, flags);
	if (!rc && name)
		drop_name(name);
	end();
	return rc;
}

EXPORT int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
EXPORT int unlinkat(int dir, const char *path, int flags) { return do_unlink(dir, path, flags); }

static int do_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	char full_from[PATH_MAX], full_to[PATH_MAX];
	const char *name_from, *name_to;
	int rc;

	if (!begin())
		return (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
	name_from = resolve(from_dir, from, full_from);
	name_to = resolve(to_dir, to, full_to);
	rc = (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
	if (!rc && name_from && name_to && find(name_from)) {
		struct name *over = find(name_to), *n = find(name_from);
		char both[2 * PATH_MAX];
		size_t length = (size_t)snprintf(both, sizeof(both), "%s%c%s", name_from, 0, name_to);

		if (strlen(name_to) >= sizeof(n->path))
			die("too long a name");
		if (over)
			over->file = 0;
		strcpy(n->path, name_to);
		emit(TRACE_RENAME, n->file, 0, 0, both, length);
	}
	end();
	return rc;
}

EXPORT int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to); }
EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to) { return do_rename(from_dir, from, to_dir, to); }

EXPORT int link(const char *from, const char *to)
{
	char full[PATH_MAX];
	int rc = (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);

	if (begin()) {
		const char *name = resolve(AT_FDCWD, from, full);
		struct name *n = name ? find(name) : NULL;

		name = resolve(AT_FDCWD, to, full);
		if (!rc && n && name)
			add_name(name, n->file);
		end();
	}
	return rc;
}

/* ---- what the program says ---- */

EXPORT void crash_mark(int kind, uint64_t number)
{
	if (!begin())
		return;
	emit(TRACE_MARK, (uint32_t)kind, number, 0, NULL, 0);
	end();
}
