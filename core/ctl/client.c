/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/client.h"

#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"

#include <chimera/kit/json.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A connected socket, or -1 and errno; ENAMETOOLONG: the path. */
static int dial(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&un, sizeof(un)))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool means_nobody(int error)
{
	return error == ENOENT || error == ECONNREFUSED || error == ENOTDIR;
}

bool ctl_nobody(const char *path)
{
	int fd = dial(path), error = errno;

	if (fd >= 0)
		close(fd);
	return fd < 0 && means_nobody(error);
}

static int unreachable(const char *path, int error)
{
	if (error == ENAMETOOLONG)
		return ctl_fail(CHI_EXIT_CONFIG, "the control socket's path has %zu bytes and may have %zu: %s", strlen(path),
			sizeof(((struct sockaddr_un *)0)->sun_path) - 1, path);
	if (means_nobody(error))
		return ctl_fail(CHI_EXIT_UNAVAILABLE,
			"no server listens on %s: it does not run, or its config is another one (-c FILE, --socket PATH)", path);
	if (error == EACCES || error == EPERM)
		return ctl_fail(CHI_EXIT_NOPERM, "%s is not for this user: run chimeractl as the user of the server, or as root", path);
	if (error == EAGAIN)
		return ctl_fail(CHI_EXIT_UNAVAILABLE, "the server behind %s takes no more connections: it is busy or hangs", path);
	return ctl_fail(CHI_EXIT_UNAVAILABLE, "%s cannot be reached: %s", path, strerror(error));
}

/* False: errno says why, 0 that the time is over. */
static bool send_all(int fd, const char *p, size_t n, int64_t deadline)
{
	struct pollfd v = { fd, POLLOUT, 0 };

	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		int64_t left = deadline - ctl_clock();
		if (k < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		p += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
		if (n && k < 0 && !poll(&v, 1, left > 0 ? (int)left : 0)) {
			errno = 0;
			return false;
		}
	}
	return true;
}

struct question {
	const char *method, *target, *body;
	bool patient; /* the answer may take as long as it takes */
	ctl_line line;
	void *arg;
};

/* 0 and an answer of any status. */
static int talk(const char *path, const struct question *q, struct ctl_answer *out)
{
	int64_t deadline = ctl_clock() + CTL_PATIENCE_MS;
	int code = 0, fd = dial(path);
	size_t nbody = q->body ? strlen(q->body) : 0;
	char head[1024], why[256];

	*out = (struct ctl_answer){ 0 };
	if (fd < 0)
		return unreachable(path, errno);
	int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: chimera\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
		q->method, q->target, nbody);
	if (n >= (int)sizeof(head) || !send_all(fd, head, (size_t)n, deadline) || !send_all(fd, q->body, nbody, deadline))
		code = ctl_fail(
			CHI_EXIT_UNAVAILABLE, "what listens on %s takes no question: %s", path, errno ? strerror(errno) : "it hangs");
	else if (!ctl_read_lines(fd, q->patient ? -1 : deadline, q->line, q->arg, out, why, sizeof(why)))
		code = ctl_fail(CHI_EXIT_UNAVAILABLE, "what listens on %s %s", path, why);
	close(fd);
	return code;
}

char *ctl_detail(const struct ctl_answer *a)
{
	char *detail =
		ch_json_valid(a->body, a->n, 0, 0, NULL, NULL) ? ctl_text(ctl_member((struct ch_str){ a->body, a->n }, "detail")) : NULL;

	if (detail && *detail)
		return detail;
	free(detail);
	return NULL;
}

static int refused(const char *path, const struct ctl_answer *a)
{
	char *detail = ctl_detail(a);
	int code;

	if (!detail)
		code = ctl_fail(CHI_EXIT_UNAVAILABLE,
			"what answers on %s says %d to this: it is no chimera server, or one of another version", path, a->status);
	else
		code = ctl_fail(a->status == 400 ? CHI_EXIT_USAGE : CHI_EXIT_UNAVAILABLE, "the server refuses (%d): %s", a->status, detail);
	free(detail);
	return code;
}

static int ask(const char *path, const struct question *q, struct ctl_answer *out)
{
	int code = talk(path, q, out);

	if (!code && out->status != 200)
		code = refused(path, out);
	else if (!code && !ch_json_valid(out->body, out->n, 0, 0, NULL, NULL))
		code = ctl_fail(CHI_EXIT_UNAVAILABLE, "what answers on %s is no chimera server: its answer is no JSON", path);
	if (code) {
		free(out->body);
		out->body = NULL;
	}
	return code;
}

int ctl_ask(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out)
{
	return ask(path, &(struct question){ .method = method, .target = target, .body = body }, out);
}

int ctl_ask_patiently(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out)
{
	int code = ctl_ask(path, "GET", "/control/status", NULL, out);

	if (code)
		return code;
	free(out->body);
	return ask(path, &(struct question){ .method = method, .target = target, .body = body, .patient = true }, out);
}

int ctl_post_for_lines(const char *path, const char *target, const char *body, ctl_line line, void *arg, struct ctl_answer *out)
{
	return talk(path, &(struct question){ .method = "POST", .target = target, .body = body, .line = line, .arg = arg }, out);
}
