/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/loop/loop.h - a thread with a libev loop: watches, timers, posts, turn ends, a clock read once a turn.
 *
 * All functions are for the loop's own thread unless marked [any]. The test harness links a virtual loop in the place of loop.c: same
 * header,
 * no thread, a clock that tests move.
 *
 * A turn: libev polls, callbacks run, then everything that became ready meanwhile (posts, resumed tickets, turn ends) runs until nothing is
 * left, then the next poll. So nothing is ever called back inside a call, and what became ready is done before the loop sleeps.
 */
#ifndef CHI_LOOP_H
#define CHI_LOOP_H

#include "core/chi.h"

#include <ev.h>
#include <stdatomic.h>

#define CHI_SCRATCH 65536 /* bytes of read scratch per loop */

/* Intrusive node of a loop's message queue; lies inside what is posted, so that posting allocates nothing. */
struct chi_msg {
	struct chi_msg *next;
	void (*fn)(struct ch_loop *, struct chi_msg *);
};

struct ch_watch {
	ev_io io; /* io.data is the callback's data */
	struct ch_loop *loop;
	ch_watch_fn fn;
};

struct ch_timer {
	ev_timer ev; /* ev.data is the callback's data */
	struct ch_loop *loop;
	ch_fn fn;
};

struct chi_turn_fn {
	ch_fn fn;
	void *data;
};

struct ch_loop {
	struct ev_loop *ev;
	unsigned index;
	char name[16]; /* "worker-0", "house" */
	int64_t now;   /* microseconds, monotonic; read once a turn */

	ev_prepare prepare;
	ev_check check;
	ev_async async;
	_Atomic(struct chi_msg *) inbox; /* [any] pushes; newest first */
	atomic_bool ended;               /* [any] no more posts are taken */

	struct chi_msg *ready, **ready_tail; /* resumed tickets of this loop */
	struct chi_turn_fn *turn;
	size_t nturn, turn_cap;

	/* Heartbeat, read by the house loop: when the turn began that is still running (0: polling), and what runs in it. */
	_Atomic int64_t busy_since;
	_Atomic(const char *) busy_plugin;
	_Atomic(const char *) busy_hook;
	int64_t slowest_turn;   /* microseconds, since account.c looked; how long the turn that ended took */
	unsigned timed_closely; /* calls that account.c times yet */
	_Atomic int64_t lag; /* microseconds: how late the last heartbeat post was served */

	void *blocks; /* free arena blocks, see arena.c */
	unsigned nblocks;
	struct chi_slots *slots; /* ticket slots, see ticket.c */
	struct chi_gen *gen;     /* the generation new work gets */
	struct chi_gen *gens;    /* all that it has not let go, newest first */
	struct ch_ctx *tasks;    /* background tasks, see task.c */
	void *http;              /* the loop's struct chi_http */
	char *scratch;           /* CHI_SCRATCH bytes */
	char date[40];           /* "Date: …\r\n" */
	int64_t date_at;         /* second that `date` shows */
};

/* A loop, not running. NULL: no memory. */
struct ch_loop *chi_loop_new(unsigned index, const char *name);
/* Runs on the calling thread until chi_loop_stop. */
void chi_loop_run(struct ch_loop *l);
/* [any] Ends chi_loop_run after the running turn. */
void chi_loop_stop(struct ch_loop *l);
/* After chi_loop_run has returned. Posts that were not served are dropped. */
void chi_loop_free(struct ch_loop *l);
/* [any] The calling thread's loop, or NULL. */
struct ch_loop *chi_loop_here(void);

/* [any] Queues m; m->fn runs on the loop. False: the loop has ended, m is the caller's. */
bool chi_loop_send(struct ch_loop *l, struct chi_msg *m);
/* Queues m for the end of this turn, behind what is there. */
void chi_loop_ready(struct ch_loop *l, struct chi_msg *m);
/* Runs what is ready until nothing is left. For the loop itself and the harness. */
void chi_loop_settle(struct ch_loop *l);

/* The public ones, on memory of the caller. */
void chi_watch_init(struct ch_watch *w, struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data);
void chi_watch_set(struct ch_watch *w, int events);
void chi_timer_init(struct ch_timer *t, struct ch_loop *l, ch_fn fn, void *data);
void chi_timer_set(struct ch_timer *t, int64_t ms);

struct ch_watch *chi_watch_new(struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data);
void chi_watch_free(struct ch_watch *w);
struct ch_timer *chi_timer_new(struct ch_loop *l, ch_fn fn, void *data);
void chi_timer_free(struct ch_timer *t);
bool chi_loop_post(struct ch_loop *l, ch_fn fn, void *data);
void chi_loop_turn_end(struct ch_loop *l, ch_fn fn, void *data);

/* [any] Clocks in microseconds: monotonic, and since the epoch. */
int64_t chi_clock(void);
int64_t chi_wall(void);
/* [any] See ch_random. */
uint64_t chi_random(void);

#endif
