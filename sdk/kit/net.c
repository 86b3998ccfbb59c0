/* SPDX-License-Identifier: MIT */
#include <chimera/kit/net.h>

#include <arpa/inet.h>
#include <string.h>

bool ch_addr_read(const char *p, size_t n, struct in6_addr *a)
{
	char text[INET6_ADDRSTRLEN];
	if (n >= sizeof text)
		return false;
	memcpy(text, p, n);
	text[n] = 0;
	struct in_addr four;
	if (inet_pton(AF_INET, text, &four) == 1) {
		memset(a, 0, sizeof *a);
		a->s6_addr[10] = a->s6_addr[11] = 0xff;
		memcpy(a->s6_addr + 12, &four, 4);
		return true;
	}
	return inet_pton(AF_INET6, text, a) == 1;
}

void ch_addr_text(const struct in6_addr *a, char *out)
{
	if (IN6_IS_ADDR_V4MAPPED(a))
		inet_ntop(AF_INET, a->s6_addr + 12, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a, out, INET6_ADDRSTRLEN);
}

bool ch_net_read(const char *text, size_t n, struct ch_net *net)
{
	const char *slash = memchr(text, '/', n);
	size_t host = slash ? (size_t)(slash - text) : n;
	if (!ch_addr_read(text, host, &net->addr))
		return false;
	bool four = IN6_IS_ADDR_V4MAPPED(&net->addr);
	net->bits = 128;
	if (!slash)
		return true;
	unsigned bits = 0;
	if (host + 1 == n || n - host > 4)
		return false;
	for (size_t i = host + 1; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		bits = bits * 10 + (unsigned)(text[i] - '0');
	}
	if (bits > (four ? 32u : 128u))
		return false;
	net->bits = bits + (four ? 96 : 0);
	return true;
}

bool ch_nets_have(const struct ch_net *v, size_t n, const struct in6_addr *a)
{
	for (size_t i = 0; i < n; i++) {
		unsigned bytes = v[i].bits / 8, rest = v[i].bits % 8;
		unsigned char mask = (unsigned char)(0xff00 >> rest);
		if (!memcmp(v[i].addr.s6_addr, a->s6_addr, bytes) &&
		    (!rest || !((v[i].addr.s6_addr[bytes] ^ a->s6_addr[bytes]) & mask)))
			return true;
	}
	return false;
}
