/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_thread.c - a test plugin: a thread of its own, names to addresses, secrets.
 *
 *   GET /thread           asks the thread, which answers by ch_resume; what it says: how many it has answered
 *   GET /thread/post      the thread posts to the loop, and the loop answers
 *   GET /resolve?host=X   the addresses, a line each, or "error: …"; &full=1 never waits
 *   GET /secret           "kept" if the secret of the config is where it was put at start
 *
 * Threads and ownership: one thread from start to stop; its queue is under a lock. It ends when retire or stop says so, and answers what
 * waits before; what comes after retire is answered by the loop. The secret belongs to the instance.
 */
#include <pthread.h>
#include <stdlib.h>

#include "query.h"

struct t_thread_conf {
	const char *key;
};

struct job {
	struct job *next;
	ch_ticket ticket;
	struct ch_loop *post_to; /* NULL: the thread resumes itself */
};

struct t_thread_state {
	struct ch_thread *thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *jobs, **last;
	bool ending;
	unsigned answered;
	char *secret;
};

/* ---- the thread ---- */

static void on_post(void *data)
{
	struct job *j = data;

	ch_resume(j->ticket, "posted", NULL);
	free(j);
}

static void answer(struct t_thread_state *s, struct job *j)
{
	s->answered++;
	if (j->post_to && ch_post(j->post_to, on_post, j))
		return;
	ch_resume(j->ticket, "resumed", NULL);
	free(j);
}

static void run(void *data)
{
	struct t_thread_state *s = data;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct job *j = s->jobs;

		if (j) {
			s->jobs = j->next;
			if (!s->jobs)
				s->last = &s->jobs;
			answer(s, j);
		} else if (s->ending) {
			break;
		} else {
			pthread_cond_wait(&s->wake, &s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
}

static bool put(struct t_thread_state *s, ch_ticket t, struct ch_loop *post_to)
{
	struct job *j = malloc(sizeof(*j));

	if (!j)
		return false;
	*j = (struct job){ NULL, t, post_to };
	pthread_mutex_lock(&s->lock);
	if (s->ending) {
		answer(s, j);
	} else {
		*s->last = j;
		s->last = &j->next;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return true;
}

static void end_thread(struct t_thread_state *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

/* ---- requests ---- */

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	const char *text = result;

	(void)data;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", text, strlen(text)) : CH_DONE;
}

static int ask(struct ch_self *self, struct ch_ctx *c, struct ch_loop *post_to)
{
	ch_ticket t = ch_suspend(c, 0, on_answer, self);

	if (!t)
		return CH_ERROR;
	if (put(self->state, t, post_to))
		return CH_AGAIN;
	ch_unsuspend(t);
	return CH_ERROR;
}

static int get_thread(struct ch_self *self, struct ch_ctx *c)
{
	return ask(self, c, NULL);
}

static int get_post(struct ch_self *self, struct ch_ctx *c)
{
	return ask(self, c, ch_loop(c));
}

static int tell_addresses(struct ch_ctx *c, const struct ch_addrs *a)
{
	const char *text = a->error ? ch_print(c, "error: %s\n", a->error) : "";

	for (size_t i = 0; i < a->n && text; i++)
		text = ch_print(c, "%s%s\n", text, a->v[i]);
	return text ? ch_respond(c, 200, "text/plain", text, strlen(text)) : CH_ERROR;
}

static int on_resolved(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)result;
	return why == CH_READY ? tell_addresses(c, data) : CH_DONE;
}

static int get_resolve(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str host = query_text(c, "host");
	struct ch_addrs *a = ch_alloc(c, sizeof(*a));
	const char *name = ch_dup(c, host.p, host.n);
	ch_ticket t = a && name ? ch_suspend(c, 0, on_resolved, a) : 0;
	int rc;

	if (!t)
		return CH_ERROR;
	a->size = sizeof(*a);
	rc = ch_resolve(self, name, a, t);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	return rc == CH_OK ? tell_addresses(c, a) : ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool for names is full; try again");
}

static int get_secret(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_thread_conf *conf = self->conf;
	const struct t_thread_state *state = self->state;
	bool kept = !strcmp(state->secret, conf->key);

	return ch_respond(c, 200, "text/plain", kept ? "kept" : "lost", 4);
}

/* ---- life ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct t_thread_conf *conf = self->conf;
	struct t_thread_state *s = self->state;

	(void)prev;
	s->last = &s->jobs;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	s->secret = ch_secret_alloc(strlen(conf->key) + 1);
	s->thread = s->secret ? ch_thread(self, "t_thread_worker_of_this_instance", run, s) : NULL;
	if (!s->thread) {
		ch_secret_free(s->secret);
		ch_log(self, NULL, CH_ERR, "there is no memory for a secret, or no thread");
		return CH_ERROR;
	}
	strcpy(s->secret, conf->key);
	return CH_OK;
}

static void retire(struct ch_self *self)
{
	end_thread(self->state);
}

static void stop(struct ch_self *self)
{
	struct t_thread_state *s = self->state;

	end_thread(s);
	ch_thread_join(s->thread);
	ch_secret_free(s->secret);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_thread_conf, key, STR, .flags = CH_O_SECRET, .def = "hush", .help = "The secret"),
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/thread", .fn = get_thread, .response_type = "text/plain", .summary = "Asks the thread" },
	{ .method = "GET", .pattern = "/thread/post", .fn = get_post, .response_type = "text/plain", .summary = "The thread posts" },
	{ .method = "GET", .pattern = "/resolve", .fn = get_resolve, .response_type = "text/plain", .summary = "Addresses" },
	{ .method = "GET", .pattern = "/secret", .fn = get_secret, .response_type = "text/plain", .summary = "Is it kept" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_thread",
	.version = "0.1",
	.summary = "Test: a thread, names, secrets",
	.conf_size = sizeof(struct t_thread_conf),
	.state_size = sizeof(struct t_thread_state),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.start = start,
	.retire = retire,
	.stop = stop,
};

CH_PLUGIN(t_thread, plugin)
