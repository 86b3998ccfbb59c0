/* SPDX-License-Identifier: Apache-2.0 */
/* core/conf/address.h - addresses as text: what can be listened on. Pure functions, any thread. */
#ifndef CHI_ADDRESS_H
#define CHI_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct chi_listen_addr { /* a socket address and its text; filled by chi_listen_parse */
	struct sockaddr_storage sa;
	socklen_t len;
	char text[160];
	int cls; /* enum chi_listen_class; the caller's */
};
/* "127.0.0.1:8080", "localhost:8080", "[::1]:0", "*:8080" or ":8080" (all IPv4 addresses), "unix:/path". False: one sentence in why. */
bool chi_listen_parse(const char *text, struct chi_listen_addr *a, char *why, size_t why_cap);
/* Writes a->text from a->sa, when the kernel has chosen the port. */
void chi_address_name(struct chi_listen_addr *a);

#endif
