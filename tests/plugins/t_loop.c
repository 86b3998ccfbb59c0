/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_loop.c - a test plugin: loops and ctxs.
 *
 *   GET /loop/timer?ms=MS       answers when a timer has fired: "fired N us after" and how often it was set before
 *   GET /loop/post              posts to each loop, each posts back: the loops in order, "0 1 2"
 *   GET /loop/turn?n=N          ch_turn_end N times: the order in which they ran
 *   GET /loop/watch?n=N         N bytes through a pipe that is watched: how many came
 *   GET /loop/clock             "now wall random random"
 *   GET /loop/where             the index of the loop and of the last one
 *   GET /ctx/deadline?ms=MS     brings the deadline nearer, tries to move it away, waits for it: "timeout after N ms"
 *   GET /ctx/memory?n=N         ch_alloc of N bytes: "zeroed", "none" or what was wrong
 *   GET /ctx/facts              "method endpoint client started trusted", and what ch_facts says of code at the end is logged
 *   GET /ctx/code?n=N           ch_code_info: "status name type"
 *   GET /ctx/stream?n=N         N bytes behind ch_length, then ch_abort if &abort=1
 *
 * Threads and ownership: everything on the request's loop, but for posts, which go to each loop and come back.
 */
#include <fcntl.h>
#include <unistd.h>

#include "query.h"

struct wait {
	struct ch_ctx *c;
	struct ch_self *self;
	ch_ticket ticket;
	struct ch_timer *timer;
	struct ch_watch *in, *out;
	int fds[2];
	int64_t began, left, got;
	const char *text;
	unsigned fires;
};

static int tell(struct ch_ctx *c, const char *text)
{
	return text ? ch_respond(c, 200, "text/plain", text, strlen(text)) : ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
}

static struct wait *new_wait(struct ch_self *self, struct ch_ctx *c, ch_resumed fn, int64_t timeout_ms)
{
	struct wait *w = ch_alloc(c, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct wait){ .c = c, .self = self, .fds = { -1, -1 }, .began = ch_now(), .text = "" };
	w->ticket = ch_suspend(c, timeout_ms, fn, w);
	return w->ticket ? w : NULL;
}

static int on_text(struct ch_ctx *c, void *data, int why, void *result)
{
	const struct wait *w = data;

	(void)result;
	return why == CH_READY ? tell(c, w->text) : CH_DONE;
}

/* ---- timers ---- */

static void on_timer(void *data)
{
	struct wait *w = data;

	if (!w->fires++) { /* set anew inside its own function: fires again, once */
		ch_timer_set(w->timer, 1);
		return;
	}
	w->text = ch_print(w->c, "fired %u times, %lld us after", w->fires, (long long)(ch_now() - w->began));
	ch_timer_free(w->timer);
	ch_resume(w->ticket, NULL, NULL);
}

static int get_timer(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *w = new_wait(self, c, on_text, 0);

	if (!w)
		return CH_ERROR;
	w->timer = ch_timer(ch_loop(c), on_timer, w);
	if (!w->timer) {
		ch_unsuspend(w->ticket);
		return CH_ERROR;
	}
	ch_timer_set(w->timer, 60000);
	ch_timer_set(w->timer, -1);
	ch_timer_set(w->timer, query_int(c, "ms", 10)); /* the last word counts */
	return CH_AGAIN;
}

/* ---- posts ---- */

struct errand {
	struct wait *w;
	struct ch_loop *home;
	unsigned index;
};

static void post_next(struct errand *e);

static void on_home(void *data)
{
	struct errand *e = data;

	e->w->text = ch_print(e->w->c, "%s%s%u", e->w->text, *e->w->text ? " " : "", e->index);
	e->index++;
	post_next(e);
}

static void on_there(void *data)
{
	struct errand *e = data;
	struct ch_loop *here = ch_loop_at(e->index);

	if (ch_loop_index(here) == e->index)
		ch_post(e->home, on_home, e);
}

static void post_next(struct errand *e)
{
	struct ch_loop *l = ch_loop_at(e->index);

	if (!l || !ch_post(l, on_there, e))
		ch_resume(e->w->ticket, NULL, NULL);
}

static int get_post(struct ch_self *self, struct ch_ctx *c)
{
	struct errand *e = ch_alloc(c, sizeof(*e));
	struct wait *w = e ? new_wait(self, c, on_text, 0) : NULL;

	if (!w)
		return CH_ERROR;
	*e = (struct errand){ w, ch_loop(c), 0 };
	post_next(e);
	return CH_AGAIN;
}

/* ---- the end of the turn ---- */

struct turn {
	struct wait *w;
	int64_t number;
};

static void on_turn_end(void *data)
{
	struct turn *t = data;

	t->w->text = ch_print(t->w->c, "%s%s%lld", t->w->text, *t->w->text ? " " : "", (long long)t->number);
	if (!--t->w->left)
		ch_resume(t->w->ticket, NULL, NULL);
}

static int get_turn(struct ch_self *self, struct ch_ctx *c)
{
	int64_t n = query_int(c, "n", 3);
	struct turn *t = n > 0 && n < 1000 ? ch_alloc(c, (size_t)n * sizeof(*t)) : NULL;
	struct wait *w = t ? new_wait(self, c, on_text, 0) : NULL;

	if (!w)
		return CH_ERROR;
	w->left = n;
	for (int64_t i = 0; i < n; i++) {
		t[i] = (struct turn){ w, i };
		ch_turn_end(ch_loop(c), on_turn_end, &t[i]);
	}
	return CH_AGAIN;
}

/* ---- watches ---- */

static void done(struct wait *w)
{
	ch_watch_free(w->in);
	ch_watch_free(w->out);
	close(w->fds[0]);
	close(w->fds[1]);
	w->text = ch_print(w->c, "%lld", (long long)w->got);
	ch_resume(w->ticket, NULL, NULL);
}

static void on_readable(void *data, int events)
{
	struct wait *w = data;
	char buf[4096];
	ssize_t n = events & CH_READ ? read(w->fds[0], buf, sizeof(buf)) : 0;

	if (n > 0)
		w->got += n;
	if (n == 0 || (n > 0 && !w->left && w->got >= query_int(w->c, "n", 100000)))
		done(w);
}

static void on_writable(void *data, int events)
{
	struct wait *w = data;
	static const char bytes[1000];
	ssize_t n = events & CH_WRITE ? write(w->fds[1], bytes, w->left < 1000 ? (size_t)w->left : sizeof(bytes)) : 0;

	if (n > 0)
		w->left -= n;
	if (!w->left)
		ch_watch_set(w->out, 0); /* nothing more is wanted */
}

static int get_watch(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *w = new_wait(self, c, on_text, 0);

	if (!w)
		return CH_ERROR;
	w->left = query_int(c, "n", 100000);
	if (pipe2(w->fds, O_NONBLOCK | O_CLOEXEC)) {
		ch_unsuspend(w->ticket);
		return CH_ERROR;
	}
	w->in = ch_watch(ch_loop(c), w->fds[0], CH_READ, on_readable, w);
	w->out = ch_watch(ch_loop(c), w->fds[1], 0, on_writable, w);
	if (!w->in || !w->out) {
		done(w);
		return CH_AGAIN;
	}
	ch_watch_set(w->out, CH_WRITE);
	return CH_AGAIN;
}

/* ---- clocks, loops ---- */

static int get_clock(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return tell(c, ch_print(c, "%lld %lld %llu %llu", (long long)ch_now(), (long long)ch_wall(), (unsigned long long)ch_random(),
			(unsigned long long)ch_random()));
}

static int get_where(struct ch_self *self, struct ch_ctx *c)
{
	unsigned last = 0;

	while (ch_loop_at(last + 1))
		last++;
	return tell(c, ch_print(c, "%u of %u%s", ch_loop_index(ch_loop(c)), last, *ch_loop_state(self, ch_loop(c)) ? ", known" : ""));
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	*ch_loop_state(self, l) = self;
	return CH_OK;
}

/* ---- the ctx ---- */

static int on_deadline(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;

	(void)result;
	ch_unsuspend(w->ticket);
	return why == CH_TIMEOUT ? tell(c, ch_print(c, "timeout after %lld ms", (long long)((ch_now() - w->began) / 1000))) : CH_DONE;
}

static int get_deadline(struct ch_self *self, struct ch_ctx *c)
{
	int64_t at = ch_now() + query_int(c, "ms", 20) * 1000;

	ch_deadline_set(c, at);
	ch_deadline_set(c, at + 60000000); /* only ever nearer */
	if (ch_deadline(c) != at)
		return CH_ERROR;
	return new_wait(self, c, on_deadline, 60000) ? CH_AGAIN : CH_ERROR;
}

static int get_memory(struct ch_self *self, struct ch_ctx *c)
{
	size_t n = (size_t)query_int(c, "n", 1000);
	const unsigned char *p = ch_alloc(c, n);

	(void)self;
	for (size_t i = 0; p && i < n; i++)
		if (p[i])
			return tell(c, "not zeroed");
	return tell(c, !p ? "none" : (uintptr_t)p % _Alignof(max_align_t) ? "not aligned" : "zeroed");
}

static int get_facts(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);

	*ch_slot(self, c) = self;
	return tell(c, ch_print(c, "%s %s %s %d %d %d %llu %llu", f->method, f->endpoint, f->client,
			f->started > 0 && f->started <= ch_now(), f->status, ch_peer_trusted(c), (unsigned long long)f->bytes_in,
			(unsigned long long)f->bytes_out));
}

static const char *dash(const char *text)
{
	return text ? text : "-";
}

/* What is known when the answer is on its way. */
static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);

	if (*ch_slot(self, c) != self)
		return CH_OK;
	ch_log(self, c, CH_INFO,
		"facts: status %d code %s bytes %llu aborted %d first_byte %d req_id %s role %d owner %s tier %s backend %s model %s "
		"tokens %llu+%llu trace %s/%s/%s %d %s",
		f->status, dash(f->code), (unsigned long long)f->bytes_out, f->aborted, f->first_byte >= f->started, dash(f->req_id),
		f->role, dash(f->owner), dash(f->tier), dash(f->backend), dash(f->model), (unsigned long long)f->tokens_in,
		(unsigned long long)f->tokens_out, f->trace_id, f->span_id, f->parent_id, f->sampled, dash(f->tracestate));
	return CH_OK;
}

static int get_code(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_code_info *i = ch_code_info((enum ch_code)query_int(c, "n", CH_E_INTERNAL));

	(void)self;
	return tell(c, ch_print(c, "%d %s %s", i->status, i->name, i->type ? i->type : "-"));
}

static int get_stream(struct ch_self *self, struct ch_ctx *c)
{
	int64_t n = query_int(c, "n", 10);

	(void)self;
	ch_header_set(c, "Content-Type", "text/plain");
	ch_length(c, (uint64_t)n);
	if (ch_begin(c, 200) != CH_OK || ch_status(c) != 200)
		return CH_DONE;
	for (int64_t i = 0; i < n; i++)
		ch_write(c, "x", 1, NULL, NULL);
	ch_on_writable(c, NULL, NULL);
	if (query_int(c, "abort", 0) == 1)
		ch_abort(c);
	else
		ch_end(c);
	return CH_DONE;
}

static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = on_end } };

#define TEXT .response_type = "text/plain"
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/loop/timer", .fn = get_timer, TEXT, .summary = "A timer" },
	{ .method = "GET", .pattern = "/loop/post", .fn = get_post, TEXT, .summary = "Posts" },
	{ .method = "GET", .pattern = "/loop/turn", .fn = get_turn, TEXT, .summary = "Ends of a turn" },
	{ .method = "GET", .pattern = "/loop/watch", .fn = get_watch, TEXT, .summary = "Watches" },
	{ .method = "GET", .pattern = "/loop/clock", .fn = get_clock, TEXT, .summary = "Clocks" },
	{ .method = "GET", .pattern = "/loop/where", .fn = get_where, TEXT, .summary = "Loops" },
	{ .method = "GET", .pattern = "/ctx/deadline", .fn = get_deadline, TEXT, .summary = "The deadline" },
	{ .method = "GET", .pattern = "/ctx/memory", .fn = get_memory, TEXT, .summary = "Memory" },
	{ .method = "GET", .pattern = "/ctx/facts", .fn = get_facts, TEXT, .summary = "Facts" },
	{ .method = "GET", .pattern = "/ctx/code", .fn = get_code, TEXT, .summary = "Codes" },
	{ .method = "GET", .pattern = "/ctx/stream", .fn = get_stream, TEXT, .summary = "A stream of known length" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_loop",
	.version = "0.1",
	.summary = "Test: loops and ctxs",
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
	.loop_start = loop_start,
};

CH_PLUGIN(t_loop, plugin)
