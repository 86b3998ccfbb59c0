/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/account.h"

#include "core/metrics/metrics.h"
#include "core/plugin/gen.h"

#define SAMPLE 61 /* each so-many-th call is timed: a clock costs more than most hooks. A prime, so that each hook of a request has its turn */

static const char *const hooks[] = { "headers", "auth", "limit", "body", "content", "response", "end", "call", "call_end", "task", "check", NULL };
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
		.help = "Time in a call; each 61st is timed, and more of them after a slow turn of the loop" },
	{ .name = "chimera_hook_arena_bytes_total",
		.kind = CH_COUNTER,
		.labels = { { "plugin", CH_L_HOST, NULL }, { "hook", CH_L_FIXED, hooks } },
		.help = "Bytes that calls took from arenas" },
	{ .name = "chimera_hook_over_budget_total",
		.kind = CH_COUNTER,
		.labels = { { "plugin", CH_L_HOST, NULL }, { "hook", CH_L_FIXED, hooks } },
		.help = "Timed calls that took longer than the hook's budget" },
};
enum { CALLS, ERRORS, SECONDS, BYTES, OVER };

#define BUDGET_US 5000
#define CLOSELY 256           /* calls that are all timed after a turn of the loop that took longer than a budget */
#define SAY_US 60000000       /* a hook over its budget is named once in so long */

_Atomic int64_t chi_hook_budget = BUDGET_US;

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
	h->over = series(OVER, h);
}

/* Each 61st call is timed, and each one for a while after a slow turn, which says that some hook is slow but not which. */
static bool timed(struct ch_loop *l)
{
	static __thread uint32_t count;
	int64_t budget = atomic_load_explicit(&chi_hook_budget, memory_order_relaxed);
	if (budget && l->slowest_turn > budget) {
		l->slowest_turn = 0;
		l->timed_closely = CLOSELY;
	}
	if (l->timed_closely) {
		l->timed_closely--;
		return true;
	}
	return ++count % SAMPLE == 0;
}

static void over_budget(struct ch_ctx *c, const struct chi_hook *h, int64_t took, int64_t budget)
{
	static __thread struct { const struct chi_hook *hook; int64_t at; } said;
	int64_t now = chi_clock();
	chi_metrics_add(h->over, 1);
	if (said.hook == h && now - said.at < SAY_US)
		return;
	said.hook = h;
	said.at = now;
	chi_log(CH_WARN, &(struct chi_log_fields){ .plugin = h->inst->self.id, .req_id = c->facts.req_id },
	        "its %s hook took %.1f ms on %s, its budget is %.1f ms: everything else on that loop waited; use ch_offload for slow work",
	        h->phase, (double)took / 1e3, c->loop->name, (double)budget / 1e3);
}

void chi_account_enter(struct ch_ctx *c, const struct chi_hook *h)
{
	atomic_store_explicit(&c->loop->busy_plugin, h->inst->self.id, memory_order_relaxed);
	atomic_store_explicit(&c->loop->busy_hook, h->phase, memory_order_relaxed);
	c->sampled_used = c->arena.used;
	c->sampled_at = 0;
	chi_metrics_add(h->calls, 1);
	if (timed(c->loop))
		c->sampled_at = chi_clock(); /* the last thing before the hook runs */
}

void chi_account_again(struct ch_ctx *c, const struct chi_hook *h)
{
	atomic_store_explicit(&c->loop->busy_plugin, h->inst->self.id, memory_order_relaxed);
	atomic_store_explicit(&c->loop->busy_hook, h->phase, memory_order_relaxed);
}

/* Out of line: of 61 calls it is for one, and all would save registers for it. */
static __attribute__((noinline)) void leave_timed(struct ch_ctx *c, const struct chi_hook *h)
{
	int64_t took = chi_clock() - c->sampled_at, all = atomic_load_explicit(&chi_hook_budget, memory_order_relaxed);
	int64_t budget = h->budget ? h->budget : all;
	chi_metrics_observe(h->seconds, (double)took / 1e6);
	if (all && budget && took > budget)
		over_budget(c, h, took, budget);
}

void chi_account_leave(struct ch_ctx *c, const struct chi_hook *h)
{
	atomic_store_explicit(&c->loop->busy_plugin, NULL, memory_order_relaxed);
	if (c->arena.used != c->sampled_used)
		chi_metrics_add(h->bytes, (double)(c->arena.used - c->sampled_used));
	if (c->sampled_at)
		leave_timed(c, h);
}

void chi_account_error(const struct chi_hook *h)
{
	chi_metrics_add(h->errors, 1);
}
