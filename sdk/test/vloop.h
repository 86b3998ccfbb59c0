/* SPDX-License-Identifier: MIT */
/*
 * sdk/test/vloop.h - the virtual world behind core/loop/loop.h: a clock that stands until it is moved, timers that fire when asked, watches
 * without descriptors. Everything runs on the test's thread; chi_loop_here is whichever loop was entered.
 */
#ifndef CHI_VLOOP_H
#define CHI_VLOOP_H

#include "core/loop/loop.h"

/* Clocks, generator and bookkeeping as new. No loop may live. */
void chi_world_new(void);
/* Moves the clock to `at` (never back), or the wall clock alone by so many microseconds. */
void chi_world_move(int64_t at);
void chi_world_wall(int64_t us);

/* Makes l (NULL: a thread that is no loop) the calling one; the one before is returned. */
struct ch_loop *chi_world_enter(struct ch_loop *l);
/* Runs what is ready on all loops until nothing is left. False: nothing was. */
bool chi_world_settle(void);
/* When the next timer is due; -1: none is set. */
int64_t chi_world_next(void);
/* Fires the timer that is due first, if it is due now, and settles. */
bool chi_world_fire(void);

/*
 * The watches that plugins made: fires those of fd that wait for one of `events`, and settles; false: none does. What is waited for
 * of fd.
 */
bool chi_world_fd(int fd, int events);
int chi_world_watched(int fd);
/* What a watch of the core waits for. Calls its function for `events`, and settles. */
int chi_watch_events(const struct ch_watch *w);
void chi_watch_fire(struct ch_watch *w, int events);

/* Timers and watches of plugins that live now, and what the plugin was called that made the oldest of them. */
size_t chi_world_timers(const char **maker);
size_t chi_world_watches(const char **maker);

/* Sentences about functions that were called on the wrong thread; NULL: none. */
const char *chi_world_misuse(void);

/* Allocations by the core: may this one succeed? Counts it. */
bool chi_world_may_alloc(void);
/* The n-th from now fails, once; 0: none. Returns whether the order before has struck. */
bool chi_world_fail_alloc(unsigned long n);
/* Is an order out, or has one struck that nobody has asked about? */
bool chi_world_failing(void);

#endif
