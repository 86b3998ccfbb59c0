/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/gen.h - a config generation: the instances of one config, bound to each other, with their chains and routes packed.
 *
 * Built and started on the boot thread, then given to the loops one by one. A loop counts the ctxs that hold a generation in a cell
 * of its own; when a newer one has taken its place and the cell is 0 the loop lets go, and when all have, the boot thread stops the
 * instances.
 */
#ifndef CHI_GEN_H
#define CHI_GEN_H

#include "core/conf/conf.h"
#include "core/http/route.h"
#include "core/work/work.h"

struct chi_family;
struct chi_net;

struct chi_inst {
	struct ch_self self; /* first */
	unsigned index;
	const struct chi_conf_inst *conf;
	struct chi_gen *gen;
	struct ch_svc *provides;              /* one per row of plugin->provides */
	const struct chi_family **families;  /* one per row of plugin->metrics */
	struct chi_hook task;                 /* how its tasks are called and accounted */
	void *loop_state[CHI_MAX_LOOPS];
	bool started;
	bool needed; /* has a route for clients, or provides to one that is needed */
	bool used; /* something is bound to it, or it has routes, hooks, taps or checks */
};

struct chi_tap {
	void (*fn)(struct ch_self *, struct ch_ctx *, const void *, size_t, bool);
	struct chi_inst *inst;
};

struct chi_gen {
	uint64_t id; /* which config of this process it is, from 1; set when it is taken */
	struct chi_conf *conf;
	struct chi_inst **insts; /* config order */
	size_t ninsts;
	struct chi_inst **order; /* providers before their users: the order of starting */
	void **kept;             /* memory that goes with the generation */
	size_t nkept;
	struct chi_chain phases[CH_P_END + 1];
	struct chi_tap *taps;
	size_t ntaps;
	struct chi_routes *routes;
	int64_t checks_interval;            /* milliseconds, asked for by a plugin; 0: the core's own */
	struct chi_net *trusted;            /* trusted_proxies */
	size_t ntrusted;
	char *openapi;                      /* made from the routes, see openapi.c */
	size_t openapi_len;
	struct {
		_Alignas(64) uint64_t held; /* by ctxs of that loop; its thread only, as is … */
		bool left;                  /* … whether it let the generation go */
	} loops[CHI_MAX_LOOPS];
	atomic_uint loops_left;             /* loops that have not let go yet */
	atomic_uint tasks;                  /* on their way to a loop */
};

/*
 * Builds: instances, services, chains, routes, everything that can be wrong without starting. NULL with errors in the report. Takes the
 * conf.
 */
struct chi_gen *chi_gen_build(struct chi_conf *conf, struct chi_report *report);
/* Calls check of every instance; false with errors in the report. */
bool chi_gen_check(struct chi_gen *g, struct chi_report *report);
/*
 * Starts the instances in order of their services; step(name) is told before each. False: one sentence in why, and what had started is
 * stopped again.
 */
bool chi_gen_start(struct chi_gen *g, void (*step)(const char *name), char *why, size_t why_cap);
/* Stops what is started, in reverse. No loop may hold it. */
void chi_gen_stop(struct chi_gen *g);
void chi_gen_free(struct chi_gen *g);
struct chi_inst *chi_gen_find(const struct chi_gen *g, const char *id);

/*
 * On a loop: takes g as its current generation (runs loop_start of each instance; an error is logged), and lets the old one go when it is
 * free.
 */
void chi_gen_enter(struct ch_loop *l, struct chi_gen *g);
/* On a loop that ends: lets its generation go. No ctx is left. */
void chi_gen_leave(struct ch_loop *l);
/* Called on whatever loop was the last to let a generation go; the daemon then stops and frees it on the main thread. */
extern void (*chi_gen_retired)(struct chi_gen *g);
/* On a loop: one ctx less. */
void chi_gen_release(struct ch_loop *l, struct chi_gen *g);

static inline struct chi_inst *chi_inst_of(struct ch_self *s)
{
	return (struct chi_inst *)s;
}

#endif
