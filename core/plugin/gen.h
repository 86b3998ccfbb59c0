/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/gen.h - a config generation: the instances of one config, bound to each other, with their chains and routes packed.
 *
 * gen.c builds, carry.c decides which instances of the running generation go on in the new one, life.c calls their life's functions.
 *
 * Built and started on the boot thread, then given to the loops one by one. A loop counts the ctxs that hold a generation in a cell
 * of its own; when a newer one has taken its place and the cell is 0 the loop lets go, and when all have, the boot thread stops the
 * instances that no other generation names. An instance that is carried over belongs to several generations and keeps everything it has.
 */
#ifndef CHI_GEN_H
#define CHI_GEN_H

#include "core/conf/conf.h"
#include "core/http/route.h"
#include "core/work/work.h"

struct chi_family;
struct ch_net;

struct chi_early;
struct chi_cron;

struct chi_inst {
	struct ch_self self; /* first */
	unsigned slot;                        /* of a ctx's slots; its own as long as it lives */
	unsigned index;                       /* in the generation that is being built; boot thread */
	const struct chi_conf_inst *conf;     /* of the config it was made for, which it holds: */
	struct chi_conf *home;
	struct chi_gen *born;                 /* the generation it was made for; only while that is built and started */
	struct ch_svc *provides;              /* one per row of plugin->provides */
	struct chi_inst **bound;              /* whom its options are bound to, in the order of the options */
	size_t nbound;
	const struct chi_family **families;  /* one per row of plugin->metrics */
	struct chi_hook task;                 /* how its tasks are called and accounted */
	void **kept;                          /* memory that goes with it */
	size_t nkept;
	void *loop_state[CHI_MAX_LOOPS];
	unsigned entered[CHI_MAX_LOOPS];      /* generations with it that the loop has taken; the loop's thread */
	unsigned refs;                        /* generations that name it; boot thread */
	atomic_uint tasks;                    /* on their way to a loop */
	atomic_bool live;                     /* its tasks may run; until then they wait in `early` */
	struct chi_cron *crons;               /* one per row of plugin->crons */
	struct chi_early *early;              /* see work/task.c */
	int64_t checks_interval;              /* asked for, milliseconds; 0: not */
	bool started;
	atomic_bool retired;
};

struct chi_tap {
	void (*fn)(struct ch_self *, struct ch_ctx *, const void *, size_t, bool);
	struct chi_inst *inst;
};

struct chi_gen {
	uint64_t id; /* which config of this process it is, from 1; set when it is taken */
	struct chi_conf *conf;
	struct chi_inst **insts; /* config order */
	struct chi_inst **fresh; /* for each that is carried over with new RELOAD keys: how the new config looks; else NULL. Until the swap */
	bool *needed;            /* for each: has a route for clients, or provides to one that is needed */
	size_t ninsts;
	unsigned nslots;         /* slots that a ctx of it has */
	struct chi_inst **order; /* providers before their users: the order of starting */
	struct chi_chain phases[CH_P_CALL_END + 1];
	struct chi_tap *taps;
	size_t ntaps;
	struct {
		bool (*fn)(struct ch_self *, struct ch_ctx *, struct ch_fault *);
		struct chi_inst *inst;
	} seams[CH_SEAMS];
	struct chi_routes *routes;
	struct ch_net *trusted;            /* trusted_proxies */
	size_t ntrusted;
	void *checks;                       /* what the daemon's checks.c keeps for those that still run */
	char *openapi;                      /* made from the routes, see openapi.c */
	size_t openapi_len;
	struct {
		_Alignas(64) uint64_t held; /* by ctxs of that loop; its thread only, as is … */
		bool left;                  /* … whether it let the generation go, and … */
		struct chi_gen *next;       /* … the next older one that it has not let go */
	} loops[CHI_MAX_LOOPS];
	atomic_uint loops_left;             /* loops that have not let go yet */
};

/*
 * Builds: instances, services, chains, routes, everything that can be wrong without starting. NULL with errors in the report. Takes the
 * conf. `prev`: the generation that runs, whose unchanged instances are carried over; NULL: none. `only`: an instance id, to build it and
 * what it uses alone; NULL: all.
 */
struct chi_gen *chi_gen_build(struct chi_conf *conf, struct chi_gen *prev, const char *only, struct chi_report *report);
/* Calls check of every instance that is new or has new RELOAD keys; false with errors in the report. */
bool chi_gen_check(struct chi_gen *g, struct chi_report *report);
/*
 * Starts the new instances in order of their services; step(name) is told before each. False: one sentence in why, and what had started is
 * stopped again.
 */
bool chi_gen_start(struct chi_gen *g, struct chi_gen *prev, void (*step)(const char *name), char *why, size_t why_cap);
/*
 * The reload is decided: adopt and reload are called. After it the loops enter g, then chi_gen_swapped lets early tasks run and
 * retires the rest.
 */
void chi_gen_swap(struct chi_gen *g, struct chi_gen *prev);
void chi_gen_swapped(struct chi_gen *g, struct chi_gen *prev);
/*
 * Stops, in reverse, what is started and named by no other generation. No loop may hold g. False: a task of it is on its way: again
 * later.
 */
bool chi_gen_stop(struct chi_gen *g);
/* After chi_gen_stop, or never started. */
void chi_gen_free(struct chi_gen *g);
struct chi_inst *chi_gen_find(const struct chi_gen *g, const char *id);
/* The loop's newest generation with the instance; NULL: it has none any more. The loop's thread. */
struct chi_gen *chi_gen_of(const struct ch_loop *l, const struct chi_inst *i);
bool chi_gen_has(const struct chi_gen *g, const struct chi_inst *i);
bool chi_gen_needed(const struct chi_gen *g, const struct chi_inst *i);
/* How often checks run, milliseconds, as an instance has asked; 0: none has. */
int64_t chi_gen_checks_interval(const struct chi_gen *g);

/*
 * On a loop: takes g as its current generation (runs loop_start of each new instance; an error is logged), and lets the old one go when it
 * is free.
 */
void chi_gen_enter(struct ch_loop *l, struct chi_gen *g);
/* On a loop that ends: lets its generation go. No ctx is left. */
void chi_gen_leave(struct ch_loop *l);
/* Called on whatever loop was the last to let a generation go; the daemon then stops and frees it on the boot thread. */
extern void (*chi_gen_retired)(struct chi_gen *g);
/* On a loop: one ctx less. */
void chi_gen_release(struct ch_loop *l, struct chi_gen *g);

static inline struct chi_inst *chi_inst_of(struct ch_self *s)
{
	return (struct chi_inst *)s;
}

#endif
