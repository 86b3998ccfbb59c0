/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - see address.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "address.h"

static bool link_local_4(const unsigned char *b)
{
	return b[0] == 169 && b[1] == 254;
}

static bool link_local_6(const unsigned char *b)
{
	static const unsigned char carriers[3][12] = { { [10] = 0xff, [11] = 0xff }, { 0 }, { 0, 0x64, 0xff, 0x9b } };

	if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return true;
	for (int i = 0; i < 3; i++)
		if (!memcmp(b, carriers[i], 12))
			return link_local_4(b + 12);
	return false;
}

bool hc_link_local(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return link_local_4((const unsigned char *)&((const struct sockaddr_in *)(const void *)a)->sin_addr);
	return a->sa_family == AF_INET6 && link_local_6(((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr);
}

bool hc_link_local_text(const char *text)
{
	unsigned char b[16];

	if (inet_pton(AF_INET, text, b) == 1)
		return link_local_4(b);
	return inet_pton(AF_INET6, text, b) == 1 && link_local_6(b);
}
