/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include "core/metrics/metrics.h"

#include <pthread.h>
#include <stdlib.h>

#define QUEUE_MAX 4096 /* jobs that may wait */

struct job {
	struct job *next;
	void *(*work)(void *);
	void *data;
	ch_ticket ticket;
	ch_fn drop;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct job *first, **last = &first;
static unsigned waiting, nthreads;
static bool ending;
static pthread_t threads[64];
static unsigned depth_series, refused_series;

static void *run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (!first && !ending)
			pthread_cond_wait(&more, &lock);
		struct job *j = first;
		if (!j)
			break; /* ending, and nothing is left to do */
		first = j->next;
		if (!first)
			last = &first;
		waiting--;
		pthread_mutex_unlock(&lock);
		chi_metrics_add(depth_series, -1);
		chi_ticket_resume(j->ticket, j->work(j->data), j->drop);
		free(j);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

bool chi_offload_start(unsigned n)
{
	static const struct ch_metric table[] = {
		{ .name = "chimera_offload_waiting", .kind = CH_GAUGE, .help = "Work that waits for a thread of the offload pool" },
		{ .name = "chimera_offload_refused_total",
			.kind = CH_COUNTER,
			.help = "Work refused because the offload pool's queue was full" },
	};
	char err[200];
	depth_series = chi_metrics_series(chi_metrics_family(&table[0], err, sizeof err), NULL);
	refused_series = chi_metrics_series(chi_metrics_family(&table[1], err, sizeof err), NULL);
	for (; nthreads < n && nthreads < 64; nthreads++)
		if (pthread_create(&threads[nthreads], NULL, run, NULL))
			return nthreads > 0;
	return true;
}

bool chi_offload(struct chi_inst *i, void *(*work)(void *), void *data, ch_ticket t, ch_fn drop)
{
	(void)i;
	struct job *j = malloc(sizeof *j);
	if (!j)
		return false;
	*j = (struct job){ .work = work, .data = data, .ticket = t, .drop = drop };
	pthread_mutex_lock(&lock);
	bool ok = waiting < QUEUE_MAX && !ending;
	if (ok) {
		*last = j;
		last = &j->next;
		waiting++;
		pthread_cond_signal(&more);
	}
	pthread_mutex_unlock(&lock);
	chi_metrics_add(ok ? depth_series : refused_series, 1);
	if (!ok)
		free(j);
	return ok;
}

void chi_offload_stop(void)
{
	pthread_mutex_lock(&lock);
	ending = true;
	pthread_cond_broadcast(&more);
	pthread_mutex_unlock(&lock);
	while (nthreads)
		pthread_join(threads[--nthreads], NULL);
}
