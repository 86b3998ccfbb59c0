/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pings.c - startup_vendor_pings. Each backend is asked by a task of its own on the house loop, within startup_check_timeout. The start
 * does not wait for them, and the circuits hear nothing of it: this is for people who read the log.
 *
 * Threads and ownership: what a task is told lies in the instance's config and state; the question lies in the task's ctx.
 */
#include <chimera/inspect.h>

#include "pings.h"

struct ping {
	struct router_backend *backend;
	struct ch_inference_args args;
	struct ch_inference_result out;
	int64_t began;
};

static void tell(struct ch_ctx *c, const struct ping *p)
{
	const struct router_backend *b = p->backend;
	double ms = (double)(ch_now() - p->began) / 1000;

	if (!p->out.code)
		ch_log(b->self, c, CH_INFO, "startup ping: %s lives, it answered in %.0f ms", b->id, ms);
	else
		ch_log(b->self, c, CH_WARN, "startup ping: %s does not answer well (%s): %s", b->id,
			ch_code_info((enum ch_code)p->out.code)->name, p->out.reason ? p->out.reason : p->out.detail ? p->out.detail : "it does not say why");
}

static int on_ping(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ping *p = data;

	(void)result;
	if (why != CH_READY)
		p->backend->vt->cancel(p->backend->svc, c, &p->out);
	if (why == CH_TIMEOUT)
		ch_backend_refuse(&p->out, CH_E_UPSTREAM_TIMEOUT, 0, "there was no answer within startup_check_timeout");
	if (why != CH_GONE)
		tell(c, p);
	return CH_DONE;
}

static int ping(struct ch_ctx *c, void *data)
{
	struct router_backend *b = data;
	struct ch_server server = { .size = sizeof(server) };
	struct ping *p = ch_alloc(c, sizeof(*p));
	ch_ticket ticket;
	int rc;

	ch_server(&server);
	ticket = p ? ch_suspend(c, server.check_timeout_ms, on_ping, p) : 0;
	if (!ticket)
		return CH_DONE;
	p->backend = b;
	p->began = ch_now();
	p->args = (struct ch_inference_args){ .size = sizeof(p->args), .op = CH_I_PROBE, .temperature = -1, .top_p = -1,
		.timeout_ms = server.check_timeout_ms };
	p->out.size = sizeof(p->out);
	rc = b->vt->submit(b->svc, c, &p->args, NULL, &p->out, ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	if (rc != CH_OK)
		ch_backend_refuse(&p->out, CH_E_UPSTREAM_ERROR, 0, "its plugin is broken");
	tell(c, p);
	return CH_DONE;
}

void router_ping_all(struct router *r)
{
	struct ch_server server = { .size = sizeof(server) };

	ch_server(&server);
	for (size_t i = 0; server.vendor_pings && i < r->nbackends; i++)
		if (r->backends[i].about->ops & 1u << CH_I_PROBE)
			ch_task(r->self, NULL, 0, ping, &r->backends[i], NULL);
}
