/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/net.h - addresses and networks as text (RFC 4291, RFC 4632). Pure functions, any thread. Since 0.5.
 *
 * An IPv4 address is held as the IPv6 one that maps it, ::ffff:a.b.c.d, so that all addresses are of one kind.
 */
#ifndef CHIMERA_KIT_NET_H
#define CHIMERA_KIT_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ch_net {                           /* all addresses that share the first `bits` bits with addr */
	struct in6_addr addr;
	unsigned bits;                    /* 0 to 128; those of an IPv4 prefix and 96 */
};

/* "192.168.1.7", "::1"; p need not end with a NUL. False: it is no address, *a is undefined. */
bool ch_addr_read(const char *p, size_t n, struct in6_addr *a);
/* The shortest text, of IPv4 the four numbers; out has INET6_ADDRSTRLEN bytes. */
void ch_addr_text(const struct in6_addr *a, char *out);
/* "10.0.0.0/8", or an address alone, a network of one. False: it is none, *net is undefined. */
bool ch_net_read(const char *text, size_t n, struct ch_net *net);
/* Is the address in one of the n networks? */
bool ch_nets_have(const struct ch_net *v, size_t n, const struct in6_addr *a);

#ifdef __cplusplus
}
#endif
#endif
