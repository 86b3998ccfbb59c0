/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router.h - what the router's files share: its config, and the way from a question to the backends that may answer it.
 *
 *   table.c     the config's names, read once
 *   resolve.c   which backends may answer, in which order (pure: config and question in, plan out)
 *   backend.c   what is counted of a backend by all loops together: breaker, places, waiting, speed; under its own lock
 *   balance.c   which of several equals is next (pure)
 *   call.c      a question on its way: attempts, retries, fallbacks, the budget of time
 *
 * All counts are of the process. A backend's state outlives a reload: the successor of a router takes over what it finds under the same id.
 */
#ifndef ROUTER_H
#define ROUTER_H

#include <chimera/models.h>

#include "backend.h"

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
	int64_t models_timeout;           /* how long one may take to give it */
};

/* [router.MODEL]: a model's own rules; the row's name is the model, or a pattern. 0, empty, -1: the router's. */
struct router_row {
	struct ch_list backends;          /* "backend" or "backend/model" */
	struct ch_list fallback;
	int64_t timeout, budget;
	int balance;                      /* 0: the router's; else 1 + enum router_balance */
	double price_in, price_out;       /* per million tokens */
};

/* One place where a question may go. */
struct router_entry {
	struct router_backend *backend;
	const char *model;                /* what that backend is asked for; never NULL */
	const struct router_rule *rule;   /* the config's name for it, with its series and price: one of backend->rules; never NULL */
};

/* Where a question may go. In the ctx's arena. */
struct router_plan {
	const struct router_row *row;     /* NULL: the model has no rules of its own */
	struct router_entry *equals;      /* balanced among, at least 1 */
	size_t nequals;
	struct router_entry *fallbacks;   /* one after the other, when the equals have failed */
	size_t nfallbacks;
	int balance;                      /* enum router_balance, the row's or the router's */
	int64_t timeout_ms;               /* the row's; 0: it has none, and a backend's own holds, else the router's */
	int64_t budget_ms;                /* the row's or the router's; 0: none */
};

/* What retries may cost, of the process: shared by an instance and its successors, counted like struct router_state. [any] */
struct router_retry {
	pthread_mutex_t lock;
	atomic_uint refs;
	_Atomic uint64_t requests;        /* questions that the budget was not told of yet: it is when the next retry is due */
	struct ch_retry_budget budget;
};

/* [boot] retry.c. Full at first; NULL: no memory. A successor holds that of the one before, with a share of its own. */
struct router_retry *router_retry_new(double share);
struct router_retry *router_retry_hold(struct router_retry *, double share);
void router_retry_put(struct router_retry *);
/* [any] A question came; may it be asked once more? */
void router_retry_request(struct router_retry *);
bool router_retry_take(struct router_retry *);
/* One that was granted is not made after all. */
void router_retry_put_back(struct router_retry *);

struct router_table;
struct router_models;

/* An instance's state: filled at start by router.c, then read-only. */
struct router {
	struct ch_self *self;
	const struct router_conf *conf;
	struct router_backend *backends;
	size_t nbackends;
	struct router_retry *retry;
	unsigned retry_on;                /* bits 1u << ROUTER_CONNECT, ROUTER_429, ROUTER_5XX */
	unsigned *fallbacks;              /* chimera_fallbacks_total{from,to}: [from->index * nbackends + to->index] */
	unsigned overhead;                /* chimera_gateway_overhead_seconds */
	struct ch_inference_about about;  /* of what it provides */
	struct router_table *table;       /* table.h: the config's names */
	struct router_models *models;     /* models.c's own */
};

/*
 * resolve.c. Fills *plan for the question; false: *out has a code and a sentence that names the nearest names. Pure but for the arena;
 * which backends are disabled or open is not looked at here. [loop]
 */
bool router_resolve(const struct router *, struct ch_ctx *, const struct ch_inference_args *, struct router_plan *plan,
                    struct ch_inference_result *out);

/* May this question go to that backend, by only_backends; be about that model, by only_models? resolve.c. [any] */
bool router_may_ask(const struct ch_inference_args *, const struct router_backend *);
bool router_may_name(const struct ch_inference_args *, struct ch_str model);

/* models.c. CH_I_MODELS, merged from all backends: as submit of struct ch_inference_v1, without a sink, and its cancel. [loop] */
int router_models(struct router *, struct ch_ctx *, const struct ch_inference_args *, struct ch_inference_result *out, ch_ticket);
void router_models_cancel(struct router *, struct ch_ctx *, struct ch_inference_result *out);

#endif
