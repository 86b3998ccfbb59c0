/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - a resolver of the tests' own, put before libc's by LD_PRELOAD: names that end in .test carry their answer.
 *
 *   a127-0-0-9.a127-0-0-1.test   two addresses, in this order
 *   slow500.a127-0-0-1.test      … after half a second
 *   held.a127-0-0-1.test         … when there is a file whose name is that of NAMES and ".go"
 *   again.test                   a server of names that cannot be reached
 *   flip.a127-0-0-1.a169-254-1-1.test   the first address at the first question, the second at all later ones
 *
 * Each question is appended to the file that NAMES names. Other names are libc's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static resolver *libc;

__attribute__((constructor)) static void find(void)
{
	libc = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
}

static void note(const char *name)
{
	const char *path = getenv("NAMES");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	char line[300];
	int n = snprintf(line, sizeof(line), "%s\n", name);

	if (fd >= 0 && write(fd, line, (size_t)n) < 0)
		abort();
	close(fd);
}

static void hold(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.go", getenv("NAMES"));
	while (access(path, F_OK))
		usleep(1000);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	static atomic_int flips;
	struct addrinfo numeric = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, **end = out;
	size_t n = name ? strlen(name) : 0;
	char text[256], *at = text, *label;
	int skip = -1;

	if (n < 5 || n > 255 || strcmp(name + n - 5, ".test"))
		return libc(name, service, hints, out);
	note(name);
	*out = NULL;
	memcpy(text, name, n + 1);
	while ((label = strsep(&at, "."))) {
		if (!strcmp(label, "again"))
			return EAI_AGAIN;
		if (!strcmp(label, "flip"))
			skip = atomic_fetch_add(&flips, 1) ? 1 : 0;
		if (!strcmp(label, "held"))
			hold();
		if (!strncmp(label, "slow", 4))
			usleep((useconds_t)atoi(label + 4) * 1000);
		if (*label != 'a')
			continue;
		for (char *p = label; *p; p++)
			*p = *p == '-' ? '.' : *p;
		if (skip > 0) {
			skip--;
			continue;
		}
		if (!libc(label + 1, NULL, &numeric, end))
			end = &(*end)->ai_next;
		if (skip == 0)
			break;
	}
	return *out ? 0 : EAI_NONAME;
}
