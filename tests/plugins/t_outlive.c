/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_outlive.c - a test plugin: work that goes on when its client has left, and what can be read of a route and an answer.
 *
 *   GET /outlive?ms=200&want=1&forsake=MS    answers "done" after ms; want=1: also without its client; after `forsake` ms nobody wants it
 *   GET /outlive/last                        what END saw of the newest: "GET /outlive done 200 aborted 5 bytes Content-Type X-Work"
 *
 * Threads and ownership: what waits is the ctx's own; the text of the newest is under a lock.
 */
#include <pthread.h>
#include <stdio.h>

#include "query.h"

static struct { pthread_mutex_t lock; char text[256]; } last = { .lock = PTHREAD_MUTEX_INITIALIZER, .text = "none" };

struct work {
	struct ch_ctx *c;
	struct ch_timer *done, *forsake;
	ch_ticket ticket;
	bool wanted;
	const char *came;                 /* "running", "done", "given up" */
};

static bool is_wanted(void *data)
{
	return ((struct work *)data)->wanted;
}

static void on_done(void *data)
{
	ch_resume(((struct work *)data)->ticket, NULL, NULL);
}

static void on_forsake(void *data)
{
	ch_forsake(((struct work *)data)->c);
}

static int resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct work *w = data;

	(void)result;
	if (why == CH_READY) {
		w->came = "done";
		ch_header_set(c, "X-Work", "yes");
		return ch_respond(c, 200, "text/plain", "done\n", 5);
	}
	w->came = "given up";
	ch_unsuspend(w->ticket);
	return CH_DONE;
}

static int get_outlive(struct ch_self *self, struct ch_ctx *c)
{
	struct work *w = ch_alloc(c, sizeof(*w));
	int64_t forsake = query_int(c, "forsake", -1);

	if (!w)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory; try again");
	*w = (struct work){ .c = c, .wanted = query_int(c, "want", 0) == 1, .came = "running" };
	*ch_slot(self, c) = w;
	w->done = ch_timer(ch_loop(c), on_done, w);
	w->forsake = ch_timer(ch_loop(c), on_forsake, w);
	w->ticket = w->done && w->forsake ? ch_suspend(c, 0, resumed, w) : 0;
	if (!w->ticket)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no ticket; try again");
	ch_outlive(c, is_wanted, w);
	ch_timer_set(w->done, query_int(c, "ms", 0));
	if (forsake >= 0)
		ch_timer_set(w->forsake, forsake);
	return CH_AGAIN;
}

static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	struct work *w = *ch_slot(self, c);
	const struct ch_facts *f = ch_facts(c);
	struct ch_str name, value;
	size_t n;

	if (!w)
		return CH_OK;
	if (w->done)
		ch_timer_free(w->done);
	if (w->forsake)
		ch_timer_free(w->forsake);
	pthread_mutex_lock(&last.lock);
	n = (size_t)snprintf(last.text, sizeof(last.text), "%s %s %s %d %s %llu bytes", f->method, ch_route(c)->pattern, w->came, f->status,
		f->aborted ? "aborted" : "whole", (unsigned long long)f->bytes_out);
	for (size_t i = 0; ch_answer_header_at(c, i, &name, &value) && n < sizeof(last.text); i++)
		n += (size_t)snprintf(last.text + n, sizeof(last.text) - n, " %.*s", (int)name.n, name.p);
	pthread_mutex_unlock(&last.lock);
	return CH_OK;
}

static int get_last(struct ch_self *self, struct ch_ctx *c)
{
	char text[sizeof(last.text)];

	(void)self;
	pthread_mutex_lock(&last.lock);
	memcpy(text, last.text, sizeof(text));
	pthread_mutex_unlock(&last.lock);
	return ch_respond(c, 200, "text/plain", text, strlen(text));
}

static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = on_end } };
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/outlive", .tier = "anonymous", .fn = get_outlive, .summary = "Work that its client may leave" },
	{ .method = "GET", .pattern = "/outlive/last", .cls = CH_OPEN, .fn = get_last, .summary = "What END saw" },
};

static const struct ch_plugin desc = {
	.size = sizeof(desc),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_outlive",
	.version = "1",
	.summary = "Work that goes on without its client",
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_outlive, desc)
