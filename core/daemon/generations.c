/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which generations live: taken by the loops on the boot thread, let go by the last loop, stopped and freed on the boot thread
 * again.
 */
#include "core/daemon/daemon.h"

#include "core/plugin/account.h"

#include <pthread.h>
#include <sys/eventfd.h>

static pthread_mutex_t retire_lock = PTHREAD_MUTEX_INITIALIZER;
static struct chi_gen *retired[CHI_GENERATIONS + 1]; /* no more live at once, see chi_generations */
static unsigned nretired, living;

void chi_retired(struct chi_gen *g)
{
	pthread_mutex_lock(&retire_lock);
	retired[nretired++] = g;
	pthread_mutex_unlock(&retire_lock);
	if (eventfd_write(chi_daemon.wake, 1))
		return; /* main looks again anyway */
}

bool chi_reap_due(void)
{
	pthread_mutex_lock(&retire_lock);
	bool due = nretired > 0;
	pthread_mutex_unlock(&retire_lock);
	return due;
}

bool chi_reap(void)
{
	pthread_mutex_lock(&retire_lock);
	for (unsigned i = 0; i < nretired;) {
		struct chi_gen *g = retired[i];
		pthread_mutex_unlock(&retire_lock);
		bool stopped = chi_gen_stop(g);
		pthread_mutex_lock(&retire_lock);
		if (!stopped) { /* a task of it is on its way to a loop, which looks at it once more */
			i++;
			continue;
		}
		for (i = 0; retired[i] != g; i++)
			;
		retired[i] = retired[--nretired];
		living--;
		pthread_mutex_unlock(&retire_lock);
		chi_loops_flush(); /* what its instances have posted looks at their memory */
		chi_gen_free(g);
		pthread_mutex_lock(&retire_lock);
		i = 0;
	}
	bool none = !living;
	pthread_mutex_unlock(&retire_lock);
	return none;
}

unsigned chi_generations(void)
{
	pthread_mutex_lock(&retire_lock);
	unsigned n = living;
	pthread_mutex_unlock(&retire_lock);
	return n;
}

void chi_take(struct chi_gen *g)
{
	pthread_mutex_lock(&retire_lock);
	living++;
	pthread_mutex_unlock(&retire_lock);
	static uint64_t taken;
	struct chi_gen *prev = chi_daemon.gen;
	g->id = ++taken;
	chi_gen_swap(g, prev);
	atomic_store(&chi_daemon.generation, g->id);
	chi_daemon.gen = g;
	chi_daemon.step_timeout = g->conf->server->startup_step_timeout;
	chi_loops_enter(g);
	chi_gen_swapped(g, prev);
	chi_reload_taken(g->conf);
	atomic_store(&chi_hook_budget, g->conf->server->hook_budget * 1000);
}
