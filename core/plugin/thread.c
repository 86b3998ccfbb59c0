/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct ch_thread {
	pthread_t id;
	char name[16];
	ch_fn fn;
	void *data;
};

static void *run(void *arg)
{
	struct ch_thread *t = arg;
	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->data);
	return NULL;
}

struct ch_thread *chi_thread_new(const char *name, ch_fn fn, void *data)
{
	struct ch_thread *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	snprintf(t->name, sizeof t->name, "%.15s", name);
	t->fn = fn;
	t->data = data;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
	int rc = pthread_create(&t->id, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		return t;
	free(t);
	return NULL;
}

void chi_thread_join(struct ch_thread *t)
{
	if (!t)
		return;
	pthread_join(t->id, NULL);
	free(t);
}
