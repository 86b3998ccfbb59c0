/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/client.h"

#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"

#include <chimera/kit/json.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int reach(const char *path, int *code)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = -1;

	if (strlen(path) >= sizeof(un.sun_path)) {
		*code = ctl_fail(CHI_EXIT_CONFIG, "the control socket's path has %zu bytes and may have %zu: %s", strlen(path),
			sizeof(un.sun_path) - 1, path);
		return -1;
	}
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&un, sizeof(un)))
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
		*code = ctl_fail(CHI_EXIT_UNAVAILABLE,
			"no server listens on %s: it does not run, or its config is another one (-c FILE, --socket PATH)", path);
	else if (errno == EACCES || errno == EPERM)
		*code = ctl_fail(CHI_EXIT_NOPERM, "%s is not for this user: run chimeractl as the user of the server, or as root", path);
	else if (errno == EAGAIN)
		*code = ctl_fail(CHI_EXIT_UNAVAILABLE, "the server behind %s takes no more connections: it is busy or hangs", path);
	else
		*code = ctl_fail(CHI_EXIT_UNAVAILABLE, "%s cannot be reached: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int refused(const char *path, const struct ctl_answer *a)
{
	char *detail =
		ch_json_valid(a->body, a->n, 0, 0, NULL, NULL) ? ctl_text(ctl_member((struct ch_str){ a->body, a->n }, "detail")) : NULL;
	int code;

	if (!detail || !*detail)
		code = ctl_fail(CHI_EXIT_UNAVAILABLE,
			"what answers on %s says %d to this: it is no chimera server, or one of another version", path, a->status);
	else
		code = ctl_fail(a->status == 400 ? CHI_EXIT_USAGE : CHI_EXIT_UNAVAILABLE, "the server refuses (%d): %s", a->status, detail);
	free(detail);
	return code;
}

int ctl_ask(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out)
{
	char request[512], why[256];
	int code = 0, fd = reach(path, &code);

	if (fd < 0)
		return code;
	int n = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: chimera\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
		method, target, body ? strlen(body) : 0, body ? body : "");
	*out = (struct ctl_answer){ 0 };
	if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n) /* a fresh socket has room for this */
		code = ctl_fail(CHI_EXIT_UNAVAILABLE, "what listens on %s takes no question: %s", path, strerror(errno));
	else if (!ctl_read_answer(fd, ctl_clock() + CTL_PATIENCE_MS, out, why, sizeof(why)))
		code = ctl_fail(CHI_EXIT_UNAVAILABLE, "what listens on %s %s", path, why);
	else if (out->status != 200)
		code = refused(path, out);
	else if (!ch_json_valid(out->body, out->n, 0, 0, NULL, NULL))
		code = ctl_fail(CHI_EXIT_UNAVAILABLE, "what answers on %s is no chimera server: its answer is no JSON", path);
	close(fd);
	if (code) {
		free(out->body);
		out->body = NULL;
	}
	return code;
}
