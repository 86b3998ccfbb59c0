/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - see path.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "path.h"

#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

bool registry_is_name(const char *name)
{
	size_t n = strlen(name);

	return n && n <= REGISTRY_NAME_MAX && strspn(name, PLAIN ":/") == n;
}

void registry_sanitise(char *out, const char *name)
{
	for (size_t i = 0; (out[i] = name[i]); i++)
		if (!strchr(PLAIN, name[i]) || (!i && name[i] == '.'))
			out[i] = '_';
}

/* The length of the path's next part, without the slash behind it. */
static size_t part(const char *path)
{
	return strcspn(path, "/");
}

const char *registry_path_wrong(const char *path)
{
	if (*path == '/')
		return "must not be absolute";
	if (strlen(path) >= PATH_MAX)
		return "must not be so long";
	for (const char *p = path;; p++) {
		size_t n = part(p);

		if (!n)
			return "must not have an empty part: write it as a/b/c";
		if (n == 2 && !memcmp(p, "..", 2))
			return "must not have a part \"..\"";
		if (n == 1 && *p == '.')
			return "must not have a part \".\"";
		if (n > NAME_MAX)
			return "must not have a part of more than 255 bytes";
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
				return "must not have control characters";
		p += n;
		if (!*p)
			return NULL;
	}
}

/* Opens one part. O_NOFOLLOW makes a link an error in the same step, so that there is no moment between looking and opening. */
static int open_part(int at, const char *p, size_t n, bool last)
{
	char name[NAME_MAX + 1];
	int fd;

	if (n > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, p, n);
	name[n] = 0;
	/* O_NONBLOCK: a FIFO without a writer must not hold us. */
	fd = openat(at, name, O_NOFOLLOW | O_CLOEXEC | (last ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH | O_DIRECTORY));
	if (fd < 0 && errno == ENOTDIR) { /* also what O_DIRECTORY makes of a link */
		struct stat st;

		errno = !fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
	}
	return fd;
}

static const char *reason(int error)
{
	switch (error) {
	case ENOENT:
		return "there is no such file";
	case ELOOP:
		return "a symbolic link is on the way, which is not followed";
	case ENOTDIR:
		return "a part of the path is no folder";
	case EACCES:
		return "this user may not read it";
	default:
		return strerrordesc_np(error);
	}
}

static int walk(const char *dir, const char *path)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (const char *p = path; fd >= 0; p++) {
		size_t n = part(p);
		int next = open_part(fd, p, n, !p[n]), error = errno;

		close(fd);
		errno = error;
		fd = next;
		p += n;
		if (!*p)
			break;
	}
	return fd;
}

int registry_open(const char *dir, const char *path, struct stat *st, const char **why)
{
	*why = registry_path_wrong(path);
	if (*why) {
		errno = EINVAL;
		return -1;
	}
	int fd = walk(dir, path);

	if (fd >= 0 && !fstat(fd, st) && S_ISREG(st->st_mode))
		return fd;
	if (fd < 0) {
		*why = reason(errno);
	} else {
		close(fd);
		*why = "it is no regular file";
		errno = EISDIR;
	}
	return -1;
}
