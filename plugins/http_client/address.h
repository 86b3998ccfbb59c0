/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - which addresses no call may reach: link-local ones, where clouds keep their instances' credentials. Pure. */
#ifndef HC_ADDRESS_H
#define HC_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* 169.254.0.0/16 and fe80::/10; the former also as an IPv6 address that stands for it: ::ffff:a.b.c.d, ::a.b.c.d, 64:ff9b::a.b.c.d. */
bool hc_link_local(const struct sockaddr *a);
/* The same for an address as text; false if it is none. */
bool hc_link_local_text(const char *text);

#endif
