/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/account.h"

#include "core/metrics/metrics.h"
#include "core/plugin/gen.h"

#define SAMPLE 64 /* each so-many-th call is timed: a clock costs more than most hooks */

static const char *const hooks[] = { "headers", "auth", "limit", "body", "content", "response", "end", "task", "check", NULL };
static const struct ch_metric table[] = {
	{ .name = "chimera_hook_calls_total",
		.kind = CH_COUNTER,
		.labels = { { "plugin", CH_L_HOST, NULL }, { "hook", CH_L_FIXED, hooks } },
		.help = "Calls into plugins, by instance and hook" },
	{ .name = "chimera_hook_errors_total",
		.kind = CH_COUNTER,
		.labels = { { "plugin", CH_L_HOST, NULL }, { "hook", CH_L_FIXED, hooks } },
		.help = "Calls that ended with ERROR or broke the rules of the SDK" },
	{ .name = "chimera_hook_seconds",
		.kind = CH_HISTOGRAM,
		.labels = { { "plugin", CH_L_HOST, NULL }, { "hook", CH_L_FIXED, hooks } },
		.help = "Time in a call, of every 64th call" },
	{ .name = "chimera_hook_arena_bytes_total",
		.kind = CH_COUNTER,
		.labels = { { "plugin", CH_L_HOST, NULL }, { "hook", CH_L_FIXED, hooks } },
		.help = "Bytes that calls took from arenas" },
};
enum { CALLS, ERRORS, SECONDS, BYTES };

static unsigned series(int which, const struct chi_hook *h)
{
	char err[200];
	const struct chi_family *f = chi_metrics_family(&table[which], err, sizeof err);
	return chi_metrics_series(f, (const char *const[]){ h->inst->self.id, h->phase });
}

void chi_account_init(struct chi_hook *h)
{
	chi_metrics_host_value("plugin", h->inst->self.id);
	h->calls = series(CALLS, h);
	h->errors = series(ERRORS, h);
	h->seconds = series(SECONDS, h);
	h->bytes = series(BYTES, h);
}

void chi_account_enter(struct ch_ctx *c, const struct chi_hook *h)
{
	static __thread uint32_t count;
	atomic_store_explicit(&c->loop->busy_plugin, h->inst->self.id, memory_order_relaxed);
	atomic_store_explicit(&c->loop->busy_hook, h->phase, memory_order_relaxed);
	c->sampled_used = c->arena.used;
	c->sampled_at = ++count % SAMPLE ? 0 : chi_clock();
	chi_metrics_add(h->calls, 1);
}

void chi_account_leave(struct ch_ctx *c, const struct chi_hook *h)
{
	atomic_store_explicit(&c->loop->busy_plugin, NULL, memory_order_relaxed);
	if (c->arena.used != c->sampled_used)
		chi_metrics_add(h->bytes, (double)(c->arena.used - c->sampled_used));
	if (c->sampled_at)
		chi_metrics_observe(h->seconds, (double)(chi_clock() - c->sampled_at) / 1e6);
}

void chi_account_error(const struct chi_hook *h)
{
	chi_metrics_add(h->errors, 1);
}
