/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - what the seam "kv" does to an operation: it fails as if the store could not be reached, or its answer comes late. Without a
 * fault nothing ever waits here. What comes late has happened already, as in a store behind a slow network.
 */
#include "kv_memory.h"

enum { OWN_TIMEOUT = 1000 };

struct late {
	struct ch_timer *timer;
	struct ch_kv_result *out;
	ch_ticket ticket;
};

struct km_fate km_fate(struct ch_ctx *c, int64_t timeout_ms, bool waits)
{
	struct ch_fault fault = { .size = sizeof(fault) };
	struct km_fate fate = { 0 };

	if (!ch_fault(c, CH_S_KV, &fault))
		return fate;
	if (timeout_ms <= 0)
		timeout_ms = OWN_TIMEOUT;
	fate.fails = fault.fail || fault.delay_ms > timeout_ms; /* too slow is down */
	if (waits && fault.delay_ms > 0)
		fate.delay_ms = fault.delay_ms < timeout_ms ? fault.delay_ms : timeout_ms;
	return fate;
}

static void end(struct late *late)
{
	ch_timer_free(late->timer);
	late->out->call = NULL;
	ch_resume(late->ticket, NULL, NULL);
}

static void on_time(void *data)
{
	end(data);
}

int km_later(struct ch_ctx *c, struct ch_kv_result *out, ch_ticket t, int64_t delay_ms)
{
	struct late *late = ch_alloc(c, sizeof(*late));

	if (!late)
		return CH_OK;
	*late = (struct late){ ch_timer(ch_loop(c), on_time, late), out, t };
	if (!late->timer)
		return CH_OK;
	out->call = late;
	ch_timer_set(late->timer, delay_ms);
	return CH_AGAIN;
}

void km_cancel(struct ch_kv_result *out)
{
	struct late *late = out->call;
	bool happened = out->error == CH_KV_OK;

	if (!late)
		return;
	*out = (struct ch_kv_result){ .size = out->size, .error = happened ? CH_KV_UNKNOWN : CH_KV_CANCELLED,
		.detail = "The operation was given up." };
	end(late);
}
