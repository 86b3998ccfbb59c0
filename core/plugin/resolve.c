/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/resolve.h"

#include "core/plugin/host.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

#define MOST (sizeof((struct ch_addrs *)0)->v / sizeof((struct ch_addrs *)0)->v[0])

struct question {
	struct ch_addrs *out;
	char host[];
};

static void add(struct ch_addrs *out, const struct addrinfo *a)
{
	const void *p = a->ai_family == AF_INET ? (const void *)&((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr
		                                : (const void *)&((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr;
	if (out->n < MOST && (a->ai_family == AF_INET || a->ai_family == AF_INET6) && inet_ntop(a->ai_family, p, out->v[out->n], sizeof out->v[0]))
		out->n++;
}

/* In the pool; the asker's ctx, whose memory *out is, waits for us. */
static void *ask(void *data)
{
	struct question *q = data;
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
	int rc = getaddrinfo(q->host, NULL, &hints, &list);
	for (struct addrinfo *a = rc ? NULL : list; a; a = a->ai_next)
		add(q->out, a);
	if (!rc)
		freeaddrinfo(list);
	if (!q->out->n)
		q->out->error = rc ? gai_strerror(rc) : "the name has no address";
	free(q);
	return NULL;
}

static bool numeric(const char *host, struct ch_addrs *out)
{
	unsigned char bytes[16];
	size_t n = strlen(host);
	if (n >= sizeof out->v[0] || (inet_pton(AF_INET, host, bytes) != 1 && inet_pton(AF_INET6, host, bytes) != 1))
		return false;
	memcpy(out->v[0], host, n + 1);
	out->n = 1;
	return true;
}

int chi_resolve(struct chi_inst *i, const char *host, struct ch_addrs *out, ch_ticket t)
{
	out->n = 0;
	out->error = NULL;
	if (numeric(host, out))
		return CH_OK;
	size_t n = strlen(host);
	if (!n || n > 253) {
		out->error = "a host name has 1 to 253 bytes";
		return CH_OK;
	}
	struct question *q = malloc(sizeof *q + n + 1);
	if (!q)
		return CH_ERROR;
	q->out = out;
	memcpy(q->host, host, n + 1);
	if (chi_around.offload(i, ask, q, t, NULL))
		return CH_AGAIN;
	free(q);
	return CH_ERROR;
}
