/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/thread.h"

#include "core/plugin/misuse.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct ch_thread {
	struct ch_thread *next; /* of all that were not joined */
	const struct ch_self *owner; /* compared, never followed … but by join, which an instance calls while it lives */
	pthread_t id;
	char name[16];
	ch_fn fn;
	void *data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ch_thread *threads;

static void *run(void *arg)
{
	struct ch_thread *t = arg;
	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->data);
	return NULL;
}

static void list(struct ch_thread *t)
{
	pthread_mutex_lock(&lock);
	t->next = threads;
	threads = t;
	pthread_mutex_unlock(&lock);
}

static void unlist(struct ch_thread *t)
{
	pthread_mutex_lock(&lock);
	struct ch_thread **p = &threads;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	pthread_mutex_unlock(&lock);
}

struct ch_thread *chi_thread_new(const struct ch_self *owner, const char *name, ch_fn fn, void *data)
{
	struct ch_thread *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	snprintf(t->name, sizeof t->name, "%.15s", name);
	t->owner = owner;
	t->fn = fn;
	t->data = data;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
	int rc = pthread_create(&t->id, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc) {
		list(t);
		return t;
	}
	free(t);
	return NULL;
}

void chi_thread_join(struct ch_thread *t)
{
	if (!t)
		return;
	if (pthread_equal(t->id, pthread_self())) {
		chi_misuse(t->owner->id, NULL, "its thread %s joined itself: stop joins it", t->name);
		return;
	}
	pthread_join(t->id, NULL);
	unlist(t);
	free(t);
}

size_t chi_threads_of(const struct ch_self *owner)
{
	size_t n = 0;
	pthread_mutex_lock(&lock);
	for (const struct ch_thread *t = threads; t; t = t->next)
		n += t->owner == owner;
	pthread_mutex_unlock(&lock);
	return n;
}
