/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static bool parse_unix(const char *path, struct chi_listen_addr *a, char *why, size_t cap)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&a->sa;
	if (!*path || strlen(path) >= sizeof un->sun_path) {
		snprintf(why, cap, "a unix socket's path must have 1 to %zu bytes", sizeof un->sun_path - 1);
		return false;
	}
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	a->len = sizeof *un;
	snprintf(a->text, sizeof a->text, "unix:%s", path);
	return true;
}

void chi_address_name(struct chi_listen_addr *a)
{
	char ip[INET6_ADDRSTRLEN];
	if (a->sa.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a->sa;
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		snprintf(a->text, sizeof a->text, "%s:%u", ip, ntohs(in->sin_port));
	} else if (a->sa.ss_family == AF_INET6) {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)(void *)&a->sa;
		inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof ip);
		snprintf(a->text, sizeof a->text, "[%s]:%u", ip, ntohs(in->sin6_port));
	}
}

bool chi_listen_parse(const char *text, struct chi_listen_addr *a, char *why, size_t cap)
{
	memset(&a->sa, 0, sizeof a->sa);
	if (!strncmp(text, "unix:", 5))
		return parse_unix(text + 5, a, why, cap);
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2], *end;
	size_t n = colon ? (size_t)(colon - text) : 0;
	unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 65536;
	if (!colon || n >= sizeof host || port > 65535 || *end) {
		snprintf(why, cap, "an address is IP:PORT, [IPv6]:PORT, *:PORT or unix:/path, with a port from 0 to 65535");
		return false;
	}
	memcpy(host, text, n);
	host[n] = 0;
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&a->sa;
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		a->len = sizeof *in6;
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			n = (size_t)-1;
	} else {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		a->len = sizeof *in;
		if (!strcmp(host, "localhost"))
			strcpy(host, "127.0.0.1");
		if (!strcmp(host, "*"))
			strcpy(host, "0.0.0.0");
		if (n && inet_pton(AF_INET, host, &in->sin_addr) != 1)
			n = (size_t)-1;
	}
	if (n == (size_t)-1) {
		snprintf(why, cap, "the host part must be a numeric address (names are not looked up here), or * for all addresses");
		return false;
	}
	chi_address_name(a);
	return true;
}

/* ---- single addresses and networks ---- */
