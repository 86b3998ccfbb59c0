/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include "core/log/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPTS 64     /* connections taken in one go */
#define PAUSE_MS 100   /* without descriptors */
#define BACKLOG 4096

/* A socket file that nobody answers on is a leftover of a crash. */
static void remove_stale(const struct chi_listen_addr *a)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&a->sa;
	struct stat st;
	if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&a->sa, a->len) && errno == ECONNREFUSED)
		unlink(un->sun_path);
	if (fd >= 0)
		close(fd);
}

/* A bound socket. */
int chi_listen_bind(struct chi_listen_addr *a, bool reuse, char *why, size_t cap)
{
	int one = 1, family = a->sa.ss_family;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		snprintf(why, cap, "no socket for %s: %s", a->text, strerror(errno));
		return -1;
	}
	if (family == AF_UNIX)
		remove_stale(a);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (reuse && family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	mode_t old = umask(family == AF_UNIX && a->cls == CHI_L_CONTROL ? 0177 : 0111);
	int rc = bind(fd, (struct sockaddr *)&a->sa, a->len);
	int err = errno;
	umask(old);
	if (rc) {
		snprintf(why, cap, "%s cannot be listened on: %s%s", a->text, strerror(err),
			err == EADDRINUSE  ? "; another process uses it: stop that one or choose another address"
			: err == ENOENT    ? "; make its folder, or name another place"
			: err == EACCES    ? "; ports below 1024 and other users' folders need more rights"
			                   : "");
		close(fd);
		return -1;
	}
	socklen_t len = sizeof a->sa;
	if (family != AF_UNIX && !getsockname(fd, (struct sockaddr *)&a->sa, &len))
		chi_address_name(a);
	return fd;
}

bool chi_listen_unused(const struct chi_listen_addr *a, char *why, size_t cap)
{
	struct chi_listen_addr probe = *a;
	int fd = a->sa.ss_family == AF_UNIX ? -1 : chi_listen_bind(&probe, false, why, cap);
	if (fd >= 0)
		close(fd); /* never listened on: nobody could connect and be cut off */
	return fd >= 0 || a->sa.ss_family == AF_UNIX;
}

bool chi_listen_begin(int fd, const struct chi_listen_addr *a, char *why, size_t cap)
{
	if (!listen(fd, BACKLOG))
		return true;
	snprintf(why, cap, "%s cannot be listened on: %s", a->text, strerror(errno));
	return false;
}

/* ---- accepting ---- */

static void say_full(int fd)
{
	static const char answer[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\nRetry-After: 1\r\n"
		"Content-Length: 165\r\n\r\n"
		"{\"type\":\"urn:chimera:problem:overloaded\",\"title\":\"Service Unavailable\",\"status\":503,"
		"\"detail\":\"the server has no room for connections; try again\",\"code\":\"overloaded\"}";
	if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* it was a courtesy */
	shutdown(fd, SHUT_WR);
	char sink[4096];
	while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) == (ssize_t)sizeof sink)
		; /* closing over unread bytes would reset the connection and take the answer along */
}

static void unpause(void *data)
{
	struct chi_listener *ls = data;
	if (ls->http->spare_fd < 0)
		ls->http->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	chi_watch_set(&ls->watch, CH_READ);
}

/* No descriptors: the spare one is given up to tell one client so, then accepting rests a little instead of spinning. */
static void no_descriptors(struct chi_listener *ls)
{
	struct chi_http *h = ls->http;
	chi_stats_reject(h, CH_E_OVERLOADED, "no file descriptors are left: raise LimitNOFILE or lower max_connections", "");
	if (h->spare_fd >= 0) {
		close(h->spare_fd);
		h->spare_fd = -1;
		int fd = accept4(ls->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			say_full(fd);
			close(fd);
		}
		h->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	chi_watch_set(&ls->watch, 0);
	chi_timer_set(&ls->pause, PAUSE_MS);
}

static bool too_many(struct chi_http *h, struct chi_conn *fresh)
{
	if (h->conf->max_connections_per_ip <= 0 || fresh->is_unix)
		return false;
	int64_t n = chi_perip_add(&fresh->addr);
	fresh->counted = n > 0;
	return n > h->conf->max_connections_per_ip;
}

static void take(struct chi_listener *ls, int fd, const struct sockaddr_storage *sa, socklen_t len)
{
	struct chi_http *h = ls->http;
	const struct chi_server_conf *s = h->conf;
	bool client = ls->cls == CHI_L_PUBLIC; /* probes and operators get in however full it is */
	int64_t now = atomic_load_explicit(&h->shared->connections, memory_order_relaxed);
	if (client && now >= s->max_connections * 9 / 10 && h->waits[CHI_W_IDLE].first)
		chi_conn_lost(h->waits[CHI_W_IDLE].first); /* the oldest idle one makes room */
	now = atomic_load_explicit(&h->shared->connections, memory_order_relaxed);
	if (client && now >= s->max_connections) {
		chi_stats_reject(h, CH_E_OVERLOADED, "max_connections are open", "");
		say_full(fd);
		close(fd);
		return;
	}
	if (!ls->is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	struct chi_conn *c = chi_conn_new(h, &chi_plain, fd, ls->cls, ls->is_unix ? NULL : (const struct sockaddr *)sa, len);
	if (!c) {
		close(fd);
		return;
	}
	if (client && too_many(h, c)) {
		chi_stats_reject(h, CH_E_OVERLOADED, "max_connections_per_ip are open from one address", c->peer);
		say_full(fd);
		chi_conn_lost(c);
	}
}

/* False: the queue is empty, or accepting rests. */
static bool accept_some(struct chi_listener *ls)
{
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof sa;
		int fd = accept4(ls->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			take(ls, fd, &sa, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			no_descriptors(ls);
		if (errno != ECONNABORTED && errno != EINTR)
			return false;
	}
	return true;
}

static void on_accept(void *data, int events)
{
	(void)events;
	accept_some(data); /* and more in the next turn: others want to be served too */
}

bool chi_http_listen(struct chi_http *h, int fd, int cls, bool is_unix, bool inherited)
{
	struct chi_listener *ls = calloc(1, sizeof *ls);
	if (!ls)
		return false;
	ls->http = h;
	ls->fd = fd;
	ls->cls = cls;
	ls->is_unix = is_unix;
	ls->inherited = inherited;
	ls->next = h->listeners;
	h->listeners = ls;
	if (h->spare_fd < 0)
		h->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	chi_timer_init(&ls->pause, h->loop, unpause, ls);
	chi_watch_init(&ls->watch, h->loop, fd, CH_READ, on_accept, ls);
	return true;
}

void chi_http_close_listeners(struct chi_http *h)
{
	while (h->listeners) {
		struct chi_listener *ls = h->listeners;
		h->listeners = ls->next;
		while (!ls->inherited && accept_some(ls))
			; /* who is in the queue already is served: closing would reset them. The manager's queue is the next server's. */
		chi_timer_set(&ls->pause, -1);
		chi_watch_set(&ls->watch, 0);
		/*
		 * epoll forgets a descriptor when its file is closed, and the service manager holds this file: if we closed our number,
		 * what gets the number next would be taken for the listener.
		 */
		if (!ls->inherited)
			close(ls->fd);
		free(ls);
	}
}
