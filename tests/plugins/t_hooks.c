/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_hooks.c - a test plugin: a hook in every phase and a tap. The answer's field X-Order lists what ran, as instance:phase, of all
 * instances together. Fields of the request make one phase misbehave: X-Fail, X-Refuse, X-Wait with a phase's name ("limit"), or
 * instance:phase.
 *
 * Threads and ownership: a record a ctx lies in its arena; the instances of one ctx find it through a list of the thread.
 */
#include <chimera/plugin.h>

enum { M_RUN, M_TAPS, M_TAP_BYTES };

struct t_hooks_state {
	unsigned run[CH_P_END + 1], taps[2], tap_bytes;
};

/* What ran for a ctx. */
struct record {
	struct record *next;
	struct ch_ctx *c;
	size_t n;
	char text[1024];
};

static _Thread_local struct record *records;
static const char *const phases[] = { "none", "headers", "auth", "limit", "body", "content", "response", "end", NULL };

static struct record *record_of(struct ch_ctx *c)
{
	struct record *r = records;

	while (r && r->c != c)
		r = r->next;
	if (!r && (r = ch_alloc(c, sizeof(*r)))) {
		*r = (struct record){ .next = records, .c = c };
		records = r;
	}
	return r;
}

static void forget(struct record *gone)
{
	struct record **at = &records;

	while (*at && *at != gone)
		at = &(*at)->next;
	if (*at)
		*at = gone->next;
}

static void put(struct record *r, const char *s)
{
	size_t n = strlen(s);

	if (r->n + n >= sizeof(r->text))
		return;
	memcpy(r->text + r->n, s, n + 1);
	r->n += n;
}

/* Does the request's field name this phase, or this instance's? */
static bool named(struct ch_self *self, struct ch_ctx *c, const char *field, const char *phase)
{
	struct ch_str v = ch_header(c, field);
	size_t id = strlen(self->id);

	if (v.n > id + 1 && !memcmp(v.p, self->id, id) && v.p[id] == ':') {
		v.p += id + 1;
		v.n -= id + 1;
	}
	return v.n == strlen(phase) && !memcmp(v.p, phase, v.n);
}

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	const ch_ticket *ticket = data;

	(void)c;
	(void)result;
	ch_unsuspend(*ticket);
	return why == CH_TIMEOUT ? CH_OK : CH_DONE;
}

static int hook(struct ch_self *self, struct ch_ctx *c, int phase)
{
	struct t_hooks_state *state = self->state;
	struct record *r;
	ch_ticket *ticket;

	if (!ch_is_http(c)) /* tasks have an END too, and some come by the clock */
		return CH_OK;
	ch_add(state->run[phase], 1);
	r = record_of(c);
	if (!r)
		return CH_ERROR;
	if (phase == CH_P_END) {
		forget(r);
		return CH_OK;
	}
	if (r->n)
		put(r, " ");
	put(r, self->id);
	put(r, ":");
	put(r, phases[phase]);
	if (phase == CH_P_RESPONSE)
		ch_header_set(c, "X-Order", r->text);
	if (named(self, c, "X-Fail", phases[phase]))
		return CH_ERROR;
	if (phase == CH_P_RESPONSE)
		return CH_OK;
	if (named(self, c, "X-Refuse", phases[phase]))
		return ch_refuse(c, CH_E_FORBIDDEN, 0, "the phase %s was asked to refuse", phases[phase]);
	if (!named(self, c, "X-Wait", phases[phase]))
		return CH_OK;
	ticket = ch_alloc(c, sizeof(*ticket));
	if (!ticket)
		return CH_ERROR;
	*ticket = ch_suspend(c, 5, on_waited, ticket);
	return *ticket ? CH_AGAIN : CH_ERROR;
}

#define HOOK(name, phase) \
	static int name(struct ch_self *self, struct ch_ctx *c) \
	{ \
		return hook(self, c, phase); \
	}
HOOK(on_headers, CH_P_HEADERS)
HOOK(on_auth, CH_P_AUTH)
HOOK(on_limit, CH_P_LIMIT)
HOOK(on_body, CH_P_BODY)
HOOK(on_content, CH_P_CONTENT)
HOOK(on_response, CH_P_RESPONSE)
HOOK(on_end, CH_P_END)

static void on_tap(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete)
{
	struct t_hooks_state *state = self->state;

	(void)c;
	(void)p;
	ch_add(state->tap_bytes, (double)n);
	if (!n)
		ch_add(state->taps[complete], 1);
}

static const char *const tap_ends[] = { "cut", "complete", NULL };

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_hooks_state *state = self->state;

	(void)prev;
	for (int i = CH_P_HEADERS; i <= CH_P_END; i++)
		state->run[i] = ch_series(self, M_RUN, (const char *const[]){ self->id, phases[i] });
	for (int i = 0; i < 2; i++)
		state->taps[i] = ch_series(self, M_TAPS, (const char *const[]){ self->id, tap_ends[i] });
	state->tap_bytes = ch_series(self, M_TAP_BYTES, (const char *const[]){ self->id });
	return CH_OK;
}

static const struct ch_metric metrics[] = {
	[M_RUN] = {
		.name = "t_hooks_run_total",
		.kind = CH_COUNTER,
		.labels = { { "instance", CH_L_CONFIG, NULL }, { "phase", CH_L_FIXED, phases } },
		.help = "Hooks run.",
	},
	[M_TAPS] = {
		.name = "t_hooks_taps_total",
		.kind = CH_COUNTER,
		.labels = { { "instance", CH_L_CONFIG, NULL }, { "end", CH_L_FIXED, tap_ends } },
		.help = "Answers whose end the tap saw.",
	},
	[M_TAP_BYTES] = {
		.name = "t_hooks_tap_bytes_total",
		.kind = CH_COUNTER,
		.labels = { { "instance", CH_L_CONFIG, NULL } },
		.help = "Bytes that the tap saw.",
	},
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_HEADERS, .fn = on_headers },
	{ .phase = CH_P_AUTH, .fn = on_auth },
	{ .phase = CH_P_LIMIT, .fn = on_limit },
	{ .phase = CH_P_BODY, .fn = on_body },
	{ .phase = CH_P_CONTENT, .fn = on_content },
	{ .phase = CH_P_RESPONSE, .fn = on_response },
	{ .phase = CH_P_END, .fn = on_end },
};
static const struct ch_tap taps[] = { { on_tap } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_hooks",
	.version = "0.1",
	.summary = "Test: a hook in every phase",
	.state_size = sizeof(struct t_hooks_state),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.taps = CH_TABLE(taps),
	.start = start,
};

CH_PLUGIN(t_hooks, plugin)
