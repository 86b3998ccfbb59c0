/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_refuse.c - a test plugin: refusals on routes of both dialects, and what is kept until a ctx goes.
 *
 *   GET /refuse/plain, /refuse/openai?code=&retry=&param=&detail=&error=1    ch_refuse_as; error: with an object of the upstream's own,
 *                                more: with a type and members of its own
 *   GET /keep?n=3&wait=1     keeps 1 to n, and answers; wait: 5 ms later
 *   GET /keep/let-go         what was let go since it was last asked, in that order: "3 2 1"
 *
 * Threads and ownership: what was let go is a text under a lock, shared by all loops; the rest is the request's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "query.h"

static struct { pthread_mutex_t lock; char text[512]; } gone = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- refusing ---- */

static const char *word(struct ch_ctx *c, const char *name)
{
	struct ch_str v = query_text(c, name);

	return v.n ? ch_dup(c, v.p, v.n) : NULL;
}

static int get_refuse(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_refusal r = {
		.size = sizeof(r),
		.code = (int)query_int(c, "code", CH_E_UPSTREAM_ERROR),
		.retry_after_ms = query_int(c, "retry", 0),
		.param = word(c, "param"),
		.detail = word(c, "detail"),
	};

	(void)self;
	if (query_int(c, "error", 0) == 1)
		r.error = (struct ch_str)CH_STR("{\"message\":\"theirs\",\"type\":\"their_type\",\"param\":null,\"code\":\"their_code\"}");
	if (query_int(c, "more", 0) == 1) {
		r.type = "https://iana.org/assignments/http-problem-types#quota-exceeded";
		r.more = (struct ch_str)CH_STR("\"violated-policies\":[\"requests\"],\"left\":0");
	}
	return ch_refuse_as(c, &r);
}

/* ---- keeping ---- */

struct kept {
	int64_t number;
};

static void let_go(void *data)
{
	struct kept *k = data;
	size_t n;

	pthread_mutex_lock(&gone.lock);
	n = strlen(gone.text);
	snprintf(gone.text + n, sizeof(gone.text) - n, "%s%lld", n ? " " : "", (long long)k->number);
	pthread_mutex_unlock(&gone.lock);
	free(k);
}

struct wait {
	struct ch_timer *timer;
	ch_ticket ticket;
};

static void on_time(void *data)
{
	ch_resume(((struct wait *)data)->ticket, NULL, NULL);
}

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;

	(void)result;
	ch_timer_free(w->timer);
	if (why == CH_READY)
		return ch_respond(c, 200, "text/plain", "kept", 4);
	ch_unsuspend(w->ticket);
	return CH_DONE;
}

static int get_keep(struct ch_self *self, struct ch_ctx *c)
{
	int64_t n = query_int(c, "n", 1);
	struct wait *w = ch_alloc(c, sizeof(*w));

	(void)self;
	for (int64_t i = 1; i <= n; i++) {
		struct kept *k = malloc(sizeof(*k));

		if (k)
			k->number = i;
		if (!k || !ch_keep(c, let_go, k)) {
			free(k);
			return ch_refuse(c, CH_E_OVERLOADED, 0, "there is no memory to keep anything");
		}
	}
	if (query_int(c, "wait", 0) != 1)
		return ch_respond(c, 200, "text/plain", "kept", 4);
	if (!w)
		return CH_ERROR;
	w->timer = ch_timer(ch_loop(c), on_time, w);
	w->ticket = ch_suspend(c, 0, on_waited, w);
	if (!w->timer || !w->ticket) {
		ch_timer_free(w->timer);
		ch_unsuspend(w->ticket);
		return CH_ERROR;
	}
	ch_timer_set(w->timer, 5);
	return CH_AGAIN;
}

static int get_let_go(struct ch_self *self, struct ch_ctx *c)
{
	char text[sizeof(gone.text)];

	(void)self;
	pthread_mutex_lock(&gone.lock);
	memcpy(text, gone.text, sizeof(text));
	gone.text[0] = 0;
	pthread_mutex_unlock(&gone.lock);
	return ch_respond(c, 200, "text/plain", text, strlen(text));
}

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/refuse/plain", .fn = get_refuse, .summary = "Refuses" },
	{ .method = "GET", .pattern = "/refuse/openai", .fn = get_refuse, .dialect = CH_D_OPENAI, .summary = "Refuses OpenAI's clients" },
	{ .method = "GET", .pattern = "/keep", .fn = get_keep, .response_type = "text/plain", .summary = "Keeps some things" },
	{ .method = "GET", .pattern = "/keep/let-go", .fn = get_let_go, .response_type = "text/plain", .summary = "Tells what was let go" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_refuse",
	.version = "0.1",
	.summary = "Test: refusals, and what is kept",
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_refuse, plugin)
