/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's protocols by hand (sd_notify, sd_listen_fds, sd_watchdog_enabled): a datagram and three variables. */
#include "core/daemon/daemon.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

static int inherited[64];
static unsigned ninherited;

void chi_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof un.sun_path)
		return;
	memcpy(un.sun_path, path, strlen(path));
	if (*path == '@')
		un.sun_path[0] = 0; /* abstract */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&un, len) < 0)
		fprintf(stderr, "chimerad: the service manager does not take \"%s\"\n", text);
	close(fd);
}

int64_t chi_watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (!usec || (pid && atol(pid) != (long)getpid()))
		return 0;
	return atoll(usec) / 2; /* twice as often as it is asked for */
}

void chi_inherited_init(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	if (!pid || !fds || atol(pid) != (long)getpid())
		return;
	int n = atoi(fds);
	for (int fd = FIRST_FD; fd < FIRST_FD + n && ninherited < 64; fd++) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		inherited[ninherited++] = fd;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

unsigned chi_inherited_left(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ninherited; i++)
		n += inherited[i] >= 0;
	return n;
}

static bool same_address(int fd, const struct chi_listen_addr *a)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	memset(&sa, 0, sizeof sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) || sa.ss_family != a->sa.ss_family)
		return false;
	if (sa.ss_family == AF_INET) {
		const struct sockaddr_in *x = (const void *)&sa, *y = (const void *)&a->sa;
		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	}
	if (sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *x = (const void *)&sa, *y = (const void *)&a->sa;
		return x->sin6_port == y->sin6_port && !memcmp(&x->sin6_addr, &y->sin6_addr, 16);
	}
	const struct sockaddr_un *x = (const void *)&sa, *y = (const void *)&a->sa;
	return sa.ss_family == AF_UNIX && !strcmp(x->sun_path, y->sun_path);
}

int chi_inherited_take(const struct chi_listen_addr *a)
{
	for (unsigned i = 0; i < ninherited; i++)
		if (inherited[i] >= 0 && same_address(inherited[i], a)) {
			int fd = inherited[i];
			inherited[i] = -1;
			return fd;
		}
	return -1;
}
