/* SPDX-License-Identifier: Apache-2.0 */
/* t_service.c - a test plugin: provides "tsvc/1". Everything on the ctx's loop; a call lives in the ctx's arena. */
#include "tsvc.h"

enum { M_CALLS };
enum { AT_ONCE, LATER, CANCELLED };

struct t_service_state {
	unsigned calls[3];
};

struct call {
	struct t_service_state *state;
	struct tsvc_result *out;
	struct ch_timer *timer;
	ch_ticket ticket;
	int64_t number;
};

static void finish(struct call *call, int how)
{
	ch_timer_free(call->timer);
	call->out->number = 2 * call->number;
	call->out->call = NULL;
	ch_add(call->state->calls[how], 1);
	ch_resume(call->ticket, NULL, NULL);
}

static void on_time(void *data)
{
	finish(data, LATER);
}

static int twice(const struct ch_svc *svc, struct ch_ctx *c, int64_t number, int64_t after_ms, struct tsvc_result *out, ch_ticket ticket)
{
	struct t_service_state *state = svc->self->state;
	struct call *call;

	if (after_ms == 0) {
		out->number = 2 * number;
		ch_add(state->calls[AT_ONCE], 1);
		return CH_OK;
	}
	call = ch_alloc(c, sizeof(*call));
	if (!call)
		return CH_ERROR;
	*call = (struct call){ state, out, ch_timer(ch_loop(c), on_time, call), ticket, number };
	if (!call->timer)
		return CH_ERROR;
	out->call = call;
	ch_timer_set(call->timer, after_ms);
	return CH_AGAIN;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct tsvc_result *out)
{
	(void)svc;
	(void)c;
	if (out->call)
		finish(out->call, CANCELLED);
}

static const char *const hows[] = { "at_once", "later", "cancelled", NULL };

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_service_state *state = self->state;

	(void)prev;
	for (int i = 0; hows[i]; i++)
		state->calls[i] = ch_series(self, M_CALLS, &hows[i]);
	return CH_OK;
}

static const struct ch_metric metrics[] = {
	[M_CALLS] = {
		.name = "t_service_calls_total",
		.kind = CH_COUNTER,
		.labels = { { "how", CH_L_FIXED, hows } },
		.help = "Calls answered.",
	},
};
static const struct tsvc_v1 service = { sizeof(service), twice, cancel };
static const struct ch_provide provides[] = { { .iface = "tsvc/1", .vt = &service } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_service",
	.version = "0.1",
	.summary = "Test: a service",
	.state_size = sizeof(struct t_service_state),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.start = start,
};

CH_PLUGIN(t_service, plugin)
