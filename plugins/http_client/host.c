/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - what is known of a scheme, host and port: found by its name, kept for a while when nothing refers to it any more.
 */
#include <stdlib.h>

#include "http_client.h"

static struct hc_link *bucket(struct hc_pool *p, const char *host, size_t n, unsigned port)
{
	uint64_t h = 0xcbf29ce484222325u ^ port;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)host[i]) * 0x100000001b3u;
	return &p->hosts[(h ^ h >> 32) % (sizeof(p->hosts) / sizeof(p->hosts[0]))];
}

static struct hc_host *host_new(struct hc_pool *p, const struct hc_url *u)
{
	size_t room = HC_HOST_MAX + 9;
	struct hc_host *h = calloc(1, sizeof(*h) + room + u->host_n + 1);
	char *name;

	if (!h)
		return NULL;
	name = (char *)(h + 1);
	hc_request_authority(name, u, true);
	h->name = name;
	h->host = memcpy(name + room, u->host, u->host_n);
	h->pool = p;
	h->tls = u->tls;
	h->numeric = u->numeric;
	h->port = u->port;
	hc_link_init(&h->idle);
	hc_link_init(&h->waiting);
	hc_link_init(&h->serve);
	hc_link_init(&h->lookers);
	hc_link_init(&h->kept);
	return h;
}

struct hc_host *hc_host_get(struct hc_pool *p, const struct hc_url *u)
{
	struct hc_link *b = bucket(p, u->host, u->host_n, u->port);
	struct hc_host *h;

	for (struct hc_link *l = b->next; l != b; l = l->next) {
		h = HC_OF(l, struct hc_host, link);
		if (h->tls == u->tls && h->port == u->port && !strcmp(h->host, u->host)) {
			hc_unlink(&h->kept);
			h->refs++;
			return h;
		}
	}
	h = host_new(p, u);
	if (!h)
		return NULL;
	h->refs = 1;
	hc_link_after(b, &h->link);
	return h;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Until when there is something to remember: its addresses, which HTTP it speaks, its HTTP/2 connections. */
static int64_t memory(const struct hc_host *h)
{
	int64_t until = later(hc_lookup_until(h), h->known_until);

	return h->h2 ? later(until, h->h2->until) : until;
}

static void host_free(struct hc_host *h)
{
	hc_unlink(&h->link);
	hc_unlink(&h->kept);
	hc_unlink(&h->serve);
	hc_hub_free(h->h2);
	hc_lookup_forget(h);
	free(h);
}

void hc_host_put(struct hc_host *h)
{
	if (--h->refs)
		return;
	if (h->pool->retired || memory(h) <= h->pool->now) {
		host_free(h);
		return;
	}
	hc_link_last(&h->pool->kept, &h->kept);
	hc_pool_due(h->pool, memory(h));
}

int64_t hc_hosts_forget(struct hc_pool *p, int64_t now)
{
	int64_t first = INT64_MAX;

	for (struct hc_link *l = p->kept.next, *next; l != &p->kept; l = next) {
		struct hc_host *h = HC_OF(l, struct hc_host, kept);

		next = l->next;
		if (memory(h) <= now)
			host_free(h);
		else
			first = memory(h) < first ? memory(h) : first;
	}
	return first;
}
