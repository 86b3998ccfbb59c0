/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target.c - where lines end up. No write may block the writer for good, or the daemon could not end: a pipe or terminal is opened anew
 * so that O_NONBLOCK is ours alone (on the inherited descriptor it would fall on the shell, too); where that is refused, poll and writes of
 * PIPE_BUF do.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log/target.h"

#define FILE_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* Does JOURNAL_STREAM (device:inode) name the file behind fd? */
static bool is_journal(const struct stat *st)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char *end;
	unsigned long long device;

	if (!stream)
		return false;
	device = strtoull(stream, &end, 10);
	return *end == ':' && device == st->st_dev && strtoull(end + 1, &end, 10) == st->st_ino && !*end;
}

/* True if there is a journal to talk to; otherwise stderr stays a stream, which the journal reads as well. */
static bool open_journal(struct chi_target *t, const char *path)
{
	int fd;

	if (strlen(path) >= sizeof(t->to.sun_path) || access(path, W_OK))
		return false;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	t->to.sun_family = AF_UNIX;
	strcpy(t->to.sun_path, path);
	t->fd = fd;
	t->journal = t->socket = true;
	return true;
}

static void open_stream(struct chi_target *t, int std, const char *journal)
{
	char path[32];
	struct stat st;

	if (fstat(std, &st))
		return;
	if (std == STDERR_FILENO && is_journal(&st) && open_journal(t, journal ? journal : "/run/systemd/journal/socket"))
		return;
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", std);
		t->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (t->fd >= 0)
			return;
		t->most = PIPE_BUF;
	}
	t->socket = S_ISSOCK(st.st_mode);
	t->fd = fcntl(std, F_DUPFD_CLOEXEC, 3);
}

bool chi_target_open(struct chi_target *t, const struct chi_log_setup *conf, char *err, size_t nerr)
{
	memset(t, 0, sizeof(*t));
	t->fd = -1;
	if (!strcmp(conf->target, "stderr") || !strcmp(conf->target, "stdout")) {
		open_stream(t, conf->target[3] == 'e' ? STDERR_FILENO : STDOUT_FILENO, conf->journal);
		return true;
	}
	t->path = strdup(conf->target);
	t->fd = t->path ? open(t->path, FILE_FLAGS, 0640) : -1;
	if (t->fd >= 0)
		return true;
	snprintf(err, nerr, "log target \"%s\" cannot be opened for writing: %s; name stderr, stdout or a file in a folder "
		"that the daemon may write to", conf->target, strerror(errno));
	free(t->path);
	t->path = NULL;
	return false;
}

bool chi_target_reopen(struct chi_target *t)
{
	int fd;

	if (!t->path)
		return true;
	fd = open(t->path, FILE_FLAGS, 0640);
	if (fd < 0)
		return false;
	close(t->fd);
	t->fd = fd;
	return true;
}

ssize_t chi_target_write(struct chi_target *t, const char *p, size_t n)
{
	ssize_t got;

	if (t->most) {
		struct pollfd ready = { .fd = t->fd, .events = POLLOUT };

		if (poll(&ready, 1, 0) == 0) {
			errno = EAGAIN;
			return -1;
		}
		if (n > t->most)
			n = t->most;
	}
	do {
		if (t->journal)
			got = sendto(t->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&t->to, sizeof(t->to));
		else if (t->socket)
			got = send(t->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			got = write(t->fd, p, n);
	} while (got < 0 && errno == EINTR);
	return got;
}

void chi_target_close(struct chi_target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->path);
	t->fd = -1;
	t->path = NULL;
}
