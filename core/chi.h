/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/chi.h - what every file of the daemon may use: nothing but a few words about the house.
 *
 * core/conf     text to typed config: INI, environment, origins, errors, dump
 * core/metrics  the registry: cells per thread, walked by exporters
 * core/log      lines into a ring, written by a thread of its own
 * core/loop     a libev loop: timers, watches, posts, turn ends
 * core/work     the unit of work: arena, ctx, tickets, phases, chains
 * core/http     connections, requests, routes, answers
 * core/plugin   loading, wiring, generations, the host table
 * core/daemon   boot, workers, house loop, signals, drain, control
 */
#ifndef CHI_H
#define CHI_H

#include <chimera/plugin.h>

#define CHI_MAX_LOOPS 65 /* 64 workers and the house loop */

#endif
