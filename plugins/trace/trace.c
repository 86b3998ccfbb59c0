/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - who is this request: its id, and its place in a trace (W3C Trace Context).
 *
 * Threads and ownership: hooks on the request's loop, no state. What they write into the facts lies in the ctx. The first runs on every
 * request, so the client's fields are read in one pass and ids are formatted by hand; the second has something to do only where spans are.
 */
#include <stdio.h>
#include <strings.h>

#include <chimera/inspect.h>
#include <chimera/kit/json.h>

#include "ids.h"
#include "traceparent.h"

struct trace_conf {
	int trust_incoming;
	bool server_timing;
};

/* What the client sent; p NULL: nothing. */
struct incoming {
	struct ch_str req_id, parent, state;
	unsigned parents, states;
};

enum { TRUST_ALWAYS, TRUST_PROXIES, TRUST_NEVER };
static const char *const trust_names[] = { "always", "proxies", "never", NULL };

static bool is(struct ch_str s, const char *name)
{
	return s.n == strlen(name) && !strncasecmp(s.p, name, s.n);
}

static void read_incoming(struct ch_ctx *c, struct incoming *in)
{
	struct ch_str name, value;

	for (size_t i = 0; ch_header_at(c, i, &name, &value); i++) {
		if (is(name, "traceparent")) {
			in->parent = value;
			in->parents++;
		} else if (is(name, "tracestate")) {
			in->state = value;
			in->states++;
		} else if (!in->req_id.p && is(name, "x-request-id")) {
			in->req_id = value;
		}
	}
}

/* The client's id or a new one, in the arena; NULL: no memory, and the request goes on without. */
static const char *request_id(struct ch_ctx *c, struct ch_str theirs)
{
	char *id;

	if (theirs.p && req_id_ok(theirs.p, theirs.n))
		return ch_dup(c, theirs.p, theirs.n);
	id = ch_alloc(c, UUID_LEN + 1);
	if (id)
		uuid7(id, (uint64_t)ch_wall() / 1000, ch_random(), ch_random());
	return id;
}

/* Goes on with the client's trace. False: there is none to go on with. Two traceparent fields are none (W3C 3.2.1). */
static bool join(struct ch_ctx *c, const struct incoming *in, struct ch_facts *f)
{
	struct traceparent tp;

	if (in->parents != 1 || !traceparent_parse(in->parent.p, in->parent.n, &tp))
		return false;
	memcpy(f->trace_id, tp.trace_id, sizeof(f->trace_id));
	memcpy(f->parent_id, tp.parent_id, sizeof(f->parent_id));
	f->sampled = tp.sampled;
	/* Passing it on is a favour (W3C 3.3.1.5), so a state in several fields is let go rather than joined. */
	if (in->states == 1 && tracestate_ok(in->state.p, in->state.n))
		f->tracestate = ch_dup(c, in->state.p, in->state.n);
	return true;
}

static void begin(struct ch_facts *f)
{
	uint64_t low = ch_random();

	hex64(f->trace_id, ch_random());
	hex64(f->trace_id + 16, low ? low : 1); /* all zero is no id */
	f->trace_id[32] = 0;
	f->sampled = true;
}

static int on_headers(struct ch_self *self, struct ch_ctx *c)
{
	const struct trace_conf *conf = self->conf;
	struct ch_facts *f = ch_facts(c);
	struct incoming in = { 0 };
	uint64_t span = ch_random();
	char parent[TRACEPARENT_LEN + 1];

	if (conf->trust_incoming == TRUST_ALWAYS || (conf->trust_incoming == TRUST_PROXIES && ch_peer_trusted(c)))
		read_incoming(c, &in);
	f->req_id = request_id(c, in.req_id);
	if (!join(c, &in, f))
		begin(f);
	hex64(f->span_id, span ? span : 1);
	f->span_id[16] = 0;
	traceparent_format(parent, f->trace_id, f->span_id, f->sampled);
	if (f->req_id)
		ch_header_set(c, "X-Request-Id", f->req_id);
	ch_header_set(c, "traceparent", parent);
	return CH_OK;
}

/* Server-Timing (W3C): one metric a span that has ended before the head leaves, in milliseconds; a name is a token there. */
static const bool token_char[256] = { ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['_'] = true };

struct timing {
	char text[512];
	size_t n;
};

static void on_span(void *data, const struct ch_span *s)
{
	struct timing *t = data;
	struct ch_jw w; /* for numbers only */
	size_t n = t->n;

	if (!s->end || n > sizeof(t->text) - 96)
		return;
	if (n) {
		memcpy(t->text + n, ", ", 2);
		n += 2;
	}
	for (const char *p = s->name; *p && p < s->name + 47; p++)
		t->text[n++] = token_char[(unsigned char)*p] ? *p : '-';
	memcpy(t->text + n, ";dur=", 5);
	n += 5;
	ch_jw_init(&w, t->text + n, sizeof(t->text) - 1 - n);
	ch_jw_ms(&w, s->end - s->begin);
	t->n = n + w.len;
}

static int on_response(struct ch_self *self, struct ch_ctx *c)
{
	const struct trace_conf *conf = self->conf;
	struct timing t;

	if (!conf->server_timing)
		return CH_OK;
	t.n = 0;
	ch_spans_walk(c, on_span, &t);
	t.text[t.n] = 0;
	if (t.n)
		ch_header_set(c, "Server-Timing", t.text);
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct trace_conf, trust_incoming, ENUM, .def = "proxies", .values = trust_names,
	       .help = "Whose X-Request-Id and traceparent are taken over: everybody's, those of trusted_proxies, or nobody's"),
	CH_OPT(struct trace_conf, server_timing, BOOL, .def = "yes",
	       .help = "Tell clients by Server-Timing how long the parts of a request took that plugins have measured"),
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_HEADERS, .band = CH_EARLY, .fn = on_headers },
	{ .phase = CH_P_RESPONSE, .band = CH_LATE, .fn = on_response },
};

static const struct ch_plugin trace = {
	.size = sizeof(trace),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "trace",
	.version = "0.1",
	.summary = "Request ids and W3C trace context",
	.conf_size = sizeof(struct trace_conf),
	.options = CH_TABLE(options),
	.hooks = CH_TABLE(hooks),
};

CH_PLUGIN(trace, trace)
