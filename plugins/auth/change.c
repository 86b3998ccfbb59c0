/* SPDX-License-Identifier: Apache-2.0 */
/* change.c - a file is changed by a new one that takes its place, under a lock, so that neither a reader nor a crash sees half of it. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static bool failed(char why[512], const char *path, const char *what)
{
	const char *error = strerror(errno);
	char buffer[1024], id[16];
	struct passwd user, *found = NULL;

	if (errno != EACCES && errno != EPERM && errno != EROFS) {
		snprintf(why, 512, "%.300s cannot be %s: %s", path, what, error);
		return false;
	}
	snprintf(id, sizeof(id), "%u", (unsigned)geteuid());
	getpwuid_r(geteuid(), &user, buffer, sizeof(buffer), &found);
	snprintf(why, 512, "%.200s cannot be changed by the user %.32s, as whom this runs (%s): run `chimeractl --offline keys …` as one "
		"who may, and the server takes the change within a second; or, with [server] user, set keys_file to a folder of that user",
		path, found ? found->pw_name : id, error);
	return false;
}

/*
 * The file's lock is that of the file itself, made if there is none; whoever waited for it may hold one that was replaced meanwhile, and
 * tries again. -1: why.
 */
static int lock(const char *path, struct stat *st, char why[512])
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644); /* hashes of long random keys: no secrets, and the server runs as another user */
		struct stat named;

		if (fd < 0 || flock(fd, LOCK_EX) || fstat(fd, st)) {
			failed(why, path, "locked for a change");
			if (fd >= 0)
				close(fd);
			return -1;
		}
		if (!stat(path, &named) && named.st_dev == st->st_dev && named.st_ino == st->st_ino)
			return fd;
		close(fd);
	}
}

/* Whoever changes it, it stays its owner's: the server must be able to read it. */
static bool write_new(const char *path, const struct stat *st, const char *text, size_t n, char why[512])
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	size_t done = 0;
	bool ok = fd >= 0 && !fchmod(fd, st->st_mode & 0664);

	if (ok && (st->st_uid != geteuid() || st->st_gid != getegid()))
		ok = !fchown(fd, st->st_uid, st->st_gid) || geteuid() != 0;
	while (ok && done < n) {
		ssize_t m = write(fd, text + done, n - done);

		ok = m > 0 || (m < 0 && errno == EINTR);
		done += m > 0 ? (size_t)m : 0;
	}
	ok = ok && !fsync(fd);
	if (!ok)
		failed(why, path, "written");
	if (fd >= 0)
		close(fd);
	return ok;
}

static void sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

static bool replace(const char *path, const struct stat *st, const char *text, size_t n, char why[512])
{
	char temporary[4096];

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary)) {
		errno = ENAMETOOLONG;
		return failed(why, path, "written");
	}
	if (!write_new(temporary, st, text, n, why) || (rename(temporary, path) && !failed(why, path, "replaced"))) {
		unlink(temporary);
		return false;
	}
	sync_folder(path);
	return true;
}

bool auth_file_change(const char *path, char *(*make)(void *arg, const char *text, size_t *n, char why[512]), void *arg, char why[512])
{
	char *real = realpath(path, NULL); /* a link stays one */
	const char *file = real ? real : path;
	struct stat st;
	char *text = NULL, *changed = NULL;
	size_t n = 0;
	bool there, ok = false;
	int fd = lock(file, &st, why);

	if (fd >= 0)
		text = auth_file_text(file, &n, &there, why);
	if (text)
		changed = make(arg, text, &n, why);
	if (changed)
		ok = replace(file, &st, changed, n, why);
	if (fd >= 0)
		close(fd);
	free(text);
	free(changed);
	free(real);
	return ok;
}
