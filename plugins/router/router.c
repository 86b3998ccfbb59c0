/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router.c - "inference/1" in front of other "inference/1": life and tables. router.h says where the rest is.
 *
 * Threads and ownership: struct router is filled on the boot thread and read-only while the loops run. What changes lies behind it, under
 * locks of its own: a backend's struct router_state, the budget of retries, the lists of models. The first two are handed to a successor.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/inspect.h>

#include "call.h"
#include "command.h"
#include "metrics.h"
#include "models.h"
#include "options.h"
#include "pings.h"
#include "table.h"

/* ---- start ---- */

static struct ch_breaker_conf breaker_conf(const struct router_conf *conf)
{
	return (struct ch_breaker_conf){
		.failures = (uint32_t)conf->breaker_failures,
		.error_rate = conf->breaker_error_rate,
		.min_requests = (uint32_t)conf->breaker_min_requests,
		.slow_us = conf->breaker_slow * 1000,
		.cooldown_us = conf->breaker_cooldown * 1000,
		.jitter = 0.1,
	};
}

/* What it can do is what at least one of its backends can. */
static void about(struct router *r)
{
	r->about.size = sizeof(r->about);
	r->about.provider = "router";
	r->about.ops = 1u << CH_I_MODELS | 1u << CH_I_PROBE;
	for (size_t i = 0; i < r->nbackends; i++) {
		r->about.ops |= r->backends[i].about->ops;
		r->about.can |= r->backends[i].about->can;
	}
}

/* What is no mistake, and yet hardly what was meant. */
static void warn(const struct router *r)
{
	const struct router_conf *conf = r->conf;

	if (conf->budget && conf->budget < conf->timeout)
		ch_log(r->self, NULL, CH_WARN, "budget is shorter than timeout: it ends an attempt before its own time is over");
	for (size_t i = 0; i < r->table->nrows; i++) {
		const struct router_named *row = &r->table->rows[i];

		if (!row->backends.n && row->name.p[row->name.n - 1] != '*')
			ch_log(r->self, NULL, CH_WARN,
				"[%s.%s]: no backend lists this model: name it in the `models` of one, or set `backends` in this section",
				r->self->id, row->name.p);
	}
}

static bool new_states(struct router *r)
{
	for (size_t i = 0; i < r->nbackends; i++) {
		struct router_backend *b = &r->backends[i];

		b->self = r->self;
		b->state = router_state_new(b->id);
		if (!b->state)
			return false;
	}
	return true;
}

static void settle(struct router *r)
{
	const struct ch_breaker_conf breaker = breaker_conf(r->conf);

	for (size_t i = 0; i < r->nbackends; i++)
		router_backend_settle(&r->backends[i], &breaker);
}

static void stop(struct ch_self *self)
{
	struct router *r = self->state;

	for (size_t i = 0; i < r->nbackends; i++)
		router_backend_release(&r->backends[i]);
	router_retry_put(r->retry);
	router_models_free(r->models);
	router_table_free(r);
	free(r->fallbacks);
	memset(r, 0, sizeof(*r));
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct router *r = self->state;

	r->self = self;
	r->conf = self->conf;
	r->retry_on = router_retry_bits(&r->conf->retry_on);
	if (!router_table_make(r, true)) { /* it has said why */
		stop(self);
		return CH_ERROR;
	}
	r->retry = router_retry_new(r->conf->retry_budget);
	r->models = router_models_new(r);
	if (!r->retry || !r->models || !router_metrics_start(r) || !new_states(r)) {
		ch_log(self, NULL, CH_ERR, "there is no memory for its state");
		stop(self);
		return CH_ERROR;
	}
	about(r);
	warn(r);
	if (prev)
		return CH_OK; /* gauges and circuits are still prev's: adopt is next, if the reload goes well */
	settle(r);
	router_ping_all(r);
	return CH_OK;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct router *r = self->state;
	const struct router *was = prev->state;

	for (size_t i = 0; i < r->nbackends; i++) {
		struct router_backend *b = &r->backends[i];
		const struct router_backend *before = router_backend_find(was, (struct ch_str){ b->id, strlen(b->id) });

		if (before)
			router_backend_adopt(b, before);
	}
	settle(r);
	router_retry_put(r->retry);
	r->retry = router_retry_hold(was->retry, r->conf->retry_budget);
}

/* ---- health ---- */

/* Degraded, and no worse: others may serve what this backend cannot, and a client is told when none does. */
static int health(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	const struct router *r = self->state;
	size_t at = 0;

	(void)c;
	out->health = CH_HEALTHY;
	for (size_t i = 0; i < r->nbackends; i++) {
		const struct router_backend *b = &r->backends[i];
		bool disabled = atomic_load(&b->state->disabled);
		int circuit = atomic_load(&b->state->circuit);

		if (!disabled && circuit == CH_BREAKER_CLOSED)
			continue;
		out->health = CH_DEGRADED;
		if (at < sizeof(out->message))
			at += (size_t)snprintf(out->message + at, sizeof(out->message) - at, "%s%s: %s", at ? ", " : "", b->id,
				disabled ? "disabled by command" : circuit == CH_BREAKER_OPEN ? "circuit open" : "circuit half open");
	}
	if (!at)
		snprintf(out->message, sizeof(out->message), "%zu backend%s", r->nbackends, r->nbackends == 1 ? "" : "s");
	return CH_OK;
}

/* ---- tables ---- */

static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = router_on_end } };
static const struct ch_provide provides[] = { { .iface = "inference/1", .vt = &router_inference, .rank = 100 } };
static const struct ch_check checks[] = { { .name = "backends", .fn = health } };
static const struct ch_command commands[] = {
	{ .name = "backends", .modes = CH_LIVE, .args = "[disable|enable|reset BACKEND]", .max_args = 2, .fn = router_command,
	  .summary = "Shows the backends; takes one out until the next restart (disable, enable), closes its circuit (reset)" },
};

static const struct ch_plugin router = {
	.size = sizeof(router),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "router",
	.version = "0.1",
	.summary = "Chooses a backend for each question: models, balance, retries, fallbacks, circuits, budgets of time",
	.conf_size = sizeof(struct router_conf),
	.row_conf_size = sizeof(struct router_row),
	.state_size = sizeof(struct router),
	.options = { router_options, ROUTER_OPTIONS, sizeof(struct ch_option) },
	.row_options = { router_row_options, ROUTER_ROW_OPTIONS, sizeof(struct ch_option) },
	.metrics = { router_metrics, ROUTER_METRICS, sizeof(struct ch_metric) },
	.hooks = CH_TABLE(hooks),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.commands = CH_TABLE(commands),
	.check = router_check,
	.start = start,
	.adopt = adopt,
	.stop = stop,
};

CH_PLUGIN(router, router)
