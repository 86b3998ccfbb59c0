/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_span.c - a test plugin: spans.
 *
 *   GET /span            a span with a note, inside of it one that fails, and one that is left open; the answer lists what ch_spans_walk
 *                        tells, a line each: id parent plugin name "open" or microseconds, "failed" if so, notes
 *   GET /span/wait?ms=MS the same, and the outer one lasts so long, over a suspension
 *   GET /span/many?n=N   begins N and tells how many were had
 *
 * Threads and ownership: everything on the request's loop.
 */
#include <chimera/inspect.h>

#include "query.h"

enum { M_SPANS };

struct t_span_state {
	unsigned spans;
};

struct list {
	struct ch_ctx *c;
	const char *text;
	unsigned n;
};

static void add(void *data, const struct ch_span *s)
{
	struct list *l = data;

	l->n++;
	if (!l->text)
		return;
	if (s->end)
		l->text = ch_print(l->c, "%s%u %u %s %s %lld%s", l->text, s->id, s->parent, s->plugin ? s->plugin : "-", s->name,
			(long long)(s->end - s->begin), s->failed ? " failed" : "");
	else
		l->text = ch_print(l->c, "%s%u %u %s %s open", l->text, s->id, s->parent, s->plugin ? s->plugin : "-", s->name);
	for (const char *const *note = s->notes; *note && l->text; note += 2)
		l->text = ch_print(l->c, "%s %s=%s", l->text, note[0], note[1]);
	if (l->text)
		l->text = ch_print(l->c, "%s\n", l->text);
}

static int tell(struct ch_ctx *c)
{
	struct list l = { c, "", 0 };

	ch_spans_walk(c, add, &l);
	return l.text ? ch_respond(c, 200, "text/plain", l.text, strlen(l.text)) : CH_ERROR;
}

static unsigned make(struct ch_ctx *c)
{
	unsigned outer = ch_span_begin(c, "outer"), inner = ch_span_begin(c, "inner");

	ch_span_note(c, outer, "who", "t_span");
	ch_span_end(c, inner, false);
	ch_span_begin(c, "open");
	return outer;
}

static int get_span(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_span_end(c, make(c), true);
	return tell(c);
}

struct wait {
	ch_ticket ticket;
	unsigned span;
};

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;

	(void)result;
	ch_unsuspend(w->ticket);
	ch_span_end(c, w->span, why == CH_TIMEOUT);
	return why == CH_GONE ? CH_DONE : tell(c);
}

static int get_wait(struct ch_self *self, struct ch_ctx *c)
{
	struct wait *w = ch_alloc(c, sizeof(*w));

	(void)self;
	if (!w)
		return CH_ERROR;
	w->span = make(c);
	w->ticket = ch_suspend(c, query_int(c, "ms", 20), on_over, w);
	return w->ticket ? CH_AGAIN : CH_ERROR;
}

static int get_many(struct ch_self *self, struct ch_ctx *c)
{
	unsigned had = 0;
	char *text;

	(void)self;
	for (int64_t i = query_int(c, "n", 100); i > 0; i--) {
		unsigned s = ch_span_begin(c, "one of many");

		had += s != 0;
		ch_span_end(c, s, true);
	}
	text = ch_print(c, "%u", had);
	return text ? ch_respond(c, 200, "text/plain", text, strlen(text)) : CH_ERROR;
}

/* At the end of each request: how many it had. */
static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_span_state *state = self->state;
	struct list l = { c, NULL, 0 };

	ch_spans_walk(c, add, &l);
	ch_add(state->spans, l.n);
	return CH_OK;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_span_state *state = self->state;

	(void)prev;
	state->spans = ch_series(self, M_SPANS, NULL);
	return CH_OK;
}

static const struct ch_metric metrics[] = { [M_SPANS] = { .name = "t_span_spans_total", .kind = CH_COUNTER,
	.help = "Spans seen at the end." } };
static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = on_end } };
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/span", .fn = get_span, .response_type = "text/plain", .summary = "Spans" },
	{ .method = "GET", .pattern = "/span/wait", .fn = get_wait, .response_type = "text/plain", .summary = "A span that lasts" },
	{ .method = "GET", .pattern = "/span/many", .fn = get_many, .response_type = "text/plain", .summary = "Many spans" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_span",
	.version = "0.1",
	.summary = "Test: spans",
	.state_size = sizeof(struct t_span_state),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(t_span, plugin)
