/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_hold.c - a test plugin: answers that END holds, and a server that has something to pass on before it ends.
 *
 *   GET /hold?ms=50&ok=1     its answer waits so long behind END and then leaves, or (ok=0) is cut; ms absent: it does not wait
 *   GET /hold/stream?…       the same for a stream of two pieces; its ledger is "inference", the other's is none
 *   GET /hold/last           what END saw of the newest request: its ledger and cost
 *   [t_hold] drain = 3       so often the server is told that not all is drained
 *
 * Threads and ownership: what waits is the ctx's own; counts are atomic; the text of the newest request is under a lock.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "query.h"

struct hold_conf { int64_t drain; };

static _Atomic int64_t asked;
static struct { pthread_mutex_t lock; char text[128]; } last = { .lock = PTHREAD_MUTEX_INITIALIZER, .text = "" };

struct waiting {
	struct ch_ctx *c;
	struct ch_timer *timer;
	bool ok;
};

static void on_time(void *data)
{
	struct waiting *w = data;

	ch_timer_free(w->timer);
	ch_let_go(w->c, w->ok); /* w is gone by the end of the turn */
}

static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);
	struct waiting *w;
	int64_t ms;

	(void)self;
	if (!ch_is_http(c) || strncmp(f->endpoint, "/hold", 5) || !strcmp(f->endpoint, "/hold/last"))
		return CH_OK;
	pthread_mutex_lock(&last.lock);
	snprintf(last.text, sizeof(last.text), "ledger %s, cost %s", f->ledger ? f->ledger : "none", isnan(f->cost) ? "unknown" : "known");
	pthread_mutex_unlock(&last.lock);
	ms = query_int(c, "ms", -1);
	w = ms >= 0 ? ch_alloc(c, sizeof(*w)) : NULL;
	if (!w)
		return CH_OK;
	*w = (struct waiting){ c, ch_timer(ch_loop(c), on_time, w), query_int(c, "ok", 1) == 1 };
	if (w->timer) {
		ch_hold(c);
		ch_timer_set(w->timer, ms);
	}
	return CH_OK;
}

static int get_hold(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_respond(c, 200, "text/plain", "held", 4);
}

static int get_stream(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	if (ch_begin(c, 200) != CH_OK || ch_write(c, "one", 3, NULL, NULL) == CH_ERROR || ch_write(c, "two", 3, NULL, NULL) == CH_ERROR)
		return CH_DONE;
	ch_end(c);
	return CH_DONE;
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

static bool drained(struct ch_self *self)
{
	const struct hold_conf *conf = self->conf;
	int64_t n = atomic_fetch_add(&asked, 1);

	if (n >= conf->drain)
		ch_log(self, NULL, CH_INFO, "drained after %lld questions", (long long)n);
	return n >= conf->drain;
}

static const struct ch_option options[] = { CH_OPT(struct hold_conf, drain, INT, .def = "0", .help = "How often not all is drained") };
static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = on_end } };
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/hold", .fn = get_hold, .summary = "An answer that waits behind END" },
	{ .method = "GET", .pattern = "/hold/stream", .fn = get_stream, .ledger = "inference", .summary = "A stream whose end waits behind END" },
	{ .method = "GET", .pattern = "/hold/last", .fn = get_last, .summary = "What END saw" },
};

static const struct ch_plugin desc = {
	.size = sizeof(desc),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_hold",
	.version = "1",
	.summary = "Holds answers behind END",
	.conf_size = sizeof(struct hold_conf),
	.options = CH_TABLE(options),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
	.drained = drained,
};

CH_PLUGIN(t_hold, desc)
