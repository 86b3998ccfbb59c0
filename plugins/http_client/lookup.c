/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - a host's addresses, asked for off the loop (ch_resolve) so that libcurl never resolves by itself. One question at a time
 * serves all calls that dial the host; its answer is used for a few seconds, or until a connection fails.
 *
 * The question runs in a task of its own: a resolver that hangs must not hold the ctx of a call that has given up.
 */
#include <stdlib.h>

#include "http_client.h"

#define FRESH 10000000 /* microseconds that an answer counts */

struct hc_lookup {
	struct hc_host *host;
	struct ch_self *self;
	struct ch_addrs *addrs;      /* in the task's arena */
};

static const char *asked_host(const struct hc_host *h, unsigned *port, bool *numeric)
{
	const struct hc_url *proxy = &hc_state(h->pool)->proxy;

	*port = proxy->host_n ? proxy->port : h->port;
	*numeric = proxy->host_n ? proxy->numeric : h->numeric;
	return proxy->host_n ? proxy->host : h->host;
}

int64_t hc_lookup_until(const struct hc_host *h)
{
	return h->resolve ? h->resolved + FRESH : 0;
}

void hc_lookup_forget(struct hc_host *h)
{
	free(h->resolve);
	h->resolve = NULL;
}

/* "+host:port:address,address": the plus lets libcurl forget it in time. False: no memory. */
static bool remember(struct hc_host *h, const struct ch_addrs *a)
{
	unsigned port;
	bool numeric;
	const char *host = asked_host(h, &port, &numeric);
	size_t room = strlen(host) + 16 + a->n * (sizeof(a->v[0]) + 3);
	char *text = malloc(room);
	size_t n = 0;

	if (!text)
		return false;
	n = (size_t)snprintf(text, room, "+%s:%u:", host, port);
	for (size_t i = 0; i < a->n; i++)
		n += (size_t)snprintf(text + n, room - n, strchr(a->v[i], ':') ? "%s[%s]" : "%s%s", i ? "," : "", a->v[i]);
	hc_lookup_forget(h);
	h->resolve = text;
	h->resolved = h->pool->now;
	return true;
}

/* The end of the question: all that wait for it go on. error: 0, or of enum ch_http_error with why, static text. */
static void answered(struct hc_lookup *lk, int error, const char *why)
{
	struct hc_host *h = lk->host;
	struct hc_link waiting;

	hc_clock(h->pool);
	h->lookup = NULL;
	if (!error && !remember(h, lk->addrs)) {
		error = CH_HTTP_BUSY;
		why = "no memory is left";
	}
	free(lk);
	hc_link_init(&waiting);
	hc_link_move_all(&waiting, &h->lookers);
	while (hc_linked(&waiting)) {
		struct hc_call *call = HC_OF(waiting.next, struct hc_call, look_link);

		hc_unlink(&call->look_link);
		if (call->transfer)
			hc_h2_resolved(call, error, why);
		else
			hc_dial_resolved(call, error, why);
	}
	hc_host_put(h);
}

static void found(struct hc_lookup *lk)
{
	const struct ch_addrs *a = lk->addrs;

	answered(lk, a->error || !a->n ? CH_HTTP_RESOLVE : 0, a->error ? a->error : "it has no address");
}

static const char stopping[] = "the server is about to stop";

static int on_resolved(struct ch_ctx *c, void *data, int why, void *result)
{
	struct hc_lookup *lk = data;

	(void)c;
	(void)result;
	if (why == CH_READY)
		found(lk);
	else
		answered(lk, CH_HTTP_BUSY, stopping);
	return CH_DONE;
}

static int ask(struct ch_ctx *c, void *data)
{
	struct hc_lookup *lk = data;
	ch_ticket ticket = ch_suspend(c, 0, on_resolved, lk);
	unsigned port;
	bool numeric;
	int rc = CH_ERROR;

	lk->addrs = ticket ? ch_alloc(c, sizeof(*lk->addrs)) : NULL;
	if (lk->addrs) {
		lk->addrs->size = sizeof(*lk->addrs);
		rc = ch_resolve(lk->self, asked_host(lk->host, &port, &numeric), lk->addrs, ticket);
	}
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	if (rc == CH_OK)
		found(lk);
	else
		answered(lk, CH_HTTP_BUSY, "the pool that asks for names is full");
	return CH_DONE;
}

static void dropped(void *data)
{
	answered(data, CH_HTTP_BUSY, stopping);
}

int hc_lookup(struct hc_call *call)
{
	struct hc_host *h = call->host;
	struct hc_lookup *lk;
	unsigned port;
	bool numeric;

	asked_host(h, &port, &numeric);
	if (numeric || hc_lookup_until(h) > h->pool->now)
		return CH_OK;
	if (!h->lookup) {
		lk = malloc(sizeof(*lk));
		if (!lk)
			return CH_ERROR;
		*lk = (struct hc_lookup){ .host = h, .self = call->self };
		if (!ch_task(call->self, h->pool->loop, 0, ask, lk, dropped)) {
			free(lk);
			return CH_ERROR;
		}
		h->lookup = lk;
		h->refs++;
	}
	hc_link_last(&h->lookers, &call->look_link);
	return CH_AGAIN;
}
