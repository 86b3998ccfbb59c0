/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router.h - what the router's files share: its config, a backend's shared state, the way from a question to the backends that may answer it.
 *
 *   resolve.c   which backends may answer, in which order (pure: config and question in, plan out)
 *   backend.c   what is counted of a backend by all loops together: breaker, places, waiting, speed; under its own lock
 *   call.c      a question on its way: attempts, retries, fallbacks, the budget of time
 *
 * All counts are of the process. A backend's state outlives a reload: the successor of a router takes over what it finds under the same id.
 */
#ifndef ROUTER_H
#define ROUTER_H

#include <pthread.h>
#include <stdatomic.h>

#include <chimera/backend.h>
#include <chimera/inference.h>
#include <chimera/kit/backoff.h>
#include <chimera/kit/breaker.h>
#include <chimera/models.h>

enum router_balance { ROUTER_WEIGHTED, ROUTER_LEAST_IN_FLIGHT, ROUTER_EWMA, ROUTER_IN_ORDER };

/* Durations in milliseconds. */
struct router_conf {
	struct ch_svcs backends;          /* inference/1; default * */
	const struct ch_svc *registry;    /* models/1, or NULL */
	const char *def;                  /* "backend" or "backend/model"; "": none. Option "default", PROMPT_BACKEND */
	struct ch_list fallback;          /* the same, in this order */
	int64_t connect_timeout, timeout, budget, first_token_timeout, idle_timeout;
	int64_t retries;
	struct ch_list retry_on;          /* connect, 429, 5xx */
	double retry_budget;
	int balance;                      /* enum router_balance */
	int64_t breaker_failures, breaker_min_requests, breaker_slow, breaker_cooldown;
	double breaker_error_rate;
	bool allow_backend_header, allow_backend_member;
	int64_t models_ttl;               /* how long an upstream's list of models is believed */
};

/* [router.MODEL]: a model's own rules; the row's name is the model, or a pattern. 0, empty, -1: the router's. */
struct router_row {
	struct ch_list backends;          /* "backend" or "backend/model" */
	struct ch_list fallback;
	int64_t timeout, budget;
	int balance;                      /* -1 + … see options.c */
	double price_in, price_out;       /* per million tokens */
};

/* One place where a question may go. */
struct router_entry {
	struct router_backend *backend;
	const char *model;                /* what that backend is asked for; never NULL */
	const char *rule;                 /* the config's name for it, for metrics: an entry of models, a row's name */
};

/* Where a question may go. In the ctx's arena. */
struct router_plan {
	const struct router_row *row;     /* NULL: the model has no rules of its own */
	struct router_entry *equals;      /* balanced among, at least 1 */
	size_t nequals;
	struct router_entry *fallbacks;   /* one after the other, when the equals have failed */
	size_t nfallbacks;
	int balance;                      /* enum router_balance, the row's or the router's */
	int64_t timeout_ms, budget_ms;    /* the same */
};

struct router;                            /* an instance's state: router.c */

/*
 * resolve.c. Fills *plan for the question; false: *out has a code and a sentence that names the nearest names. Pure but for the arena; which
 * backends are disabled or open is not looked at here. [loop]
 */
bool router_resolve(const struct router *, struct ch_ctx *, const struct ch_inference_args *, struct router_plan *plan, struct ch_inference_result *out);

#endif
