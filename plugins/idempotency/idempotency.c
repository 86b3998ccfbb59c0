/* SPDX-License-Identifier: Apache-2.0 */
/* idempotency.c - a request that comes twice is worked on once. See idempotency.h. */
#include <strings.h>

#include "idempotency.h"
#include "key.h"

/* ---- a request ---- */

static bool comes_twice(struct ch_ctx *c)
{
	struct ch_str name, value;
	unsigned n = 0;

	for (size_t i = 0; ch_header_at(c, i, &name, &value); i++)
		n += name.n == 15 && !strncasecmp(name.p, "Idempotency-Key", 15);
	return n > 1;
}

/* The SHA-256 of the parts and of where each ends. */
static void hash(struct ch_str *parts, size_t n, unsigned char out[CH_SHA256])
{
	unsigned char lengths[48];

	for (size_t i = 1; i < n; i++)
		for (size_t b = 0; b < 8; b++)
			lengths[(i - 1) * 8 + b] = (unsigned char)((uint64_t)parts[i].n >> (8 * b));
	parts[0] = (struct ch_str){ (const char *)lengths, (n - 1) * 8 };
	ch_sha256(parts, n, out);
}

static struct ch_str text(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

/* Whose key it is: nobody gets to see, by any key, what another one was answered. False: there was no memory to know who it is. */
static bool name_request(struct idem_request *k, struct ch_str key)
{
	const struct ch_facts *f = ch_facts(k->c);
	const char *kind = f->owner ? "owner" : f->key ? "key" : "address", *who = f->owner ? f->owner : f->key ? f->key : f->client;
	struct ch_str scope[] = { { NULL, 0 }, text(f->method), ch_path(k->c), key, text(kind), text(who), text(k->self->id) };
	struct ch_str payload[] = { { NULL, 0 }, ch_body(k->c), ch_query(k->c), ch_header(k->c, "Content-Type") };

	hash(scope, sizeof(scope) / sizeof(scope[0]), k->scope);
	hash(payload, sizeof(payload) / sizeof(payload[0]), k->w.print);
	k->w.ttl_ms = idem_conf(k->self)->ttl;
	k->arrived = f->started;
	return *who;
}

static int on_request(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_route *route = ch_route(c);
	struct idem_request *k;
	char key[IDEM_KEY_MAX];
	const char *wrong;
	struct ch_str value;
	size_t n;

	if (!route || !route->idempotent)
		return CH_OK;
	value = ch_header(c, "Idempotency-Key");
	if (!value.p || !strcmp(ch_facts(c)->method, "GET") || !strcmp(ch_facts(c)->method, "HEAD"))
		return CH_OK;
	wrong = comes_twice(c) ? "comes more than once" : idem_key_read(value, key, &n);
	if (wrong)
		return idem_refuse_key(self, c, wrong);
	k = ch_alloc(c, sizeof(*k));
	if (!k)
		return idem_refuse_in(self, c, IDEM_C_OVERLOADED);
	k->self = self;
	k->c = c;
	return name_request(k, (struct ch_str){ key, n }) ? idem_enter(k) : idem_refuse(k, IDEM_C_OVERLOADED);
}

/* ---- life ---- */

enum {
	M_HITS, M_WAITS, M_FIRST, M_CONFLICTS, M_RESULTS, M_STORED_BYTES, M_HELD_BYTES, M_IN_FLIGHT, M_CLIENTLESS, M_UNWRITTEN, M_LOST,
	M_ERRORS
};

static const char *const conflicts[] = { /* enum idem_conflict */
	"malformed", "reused", "in_progress", "not_replayable", "indeterminate", "store_down", "overloaded", NULL
};
static const char *const fates[] = { "stored", "released", "not_kept", NULL };
static const char *const operations[] = { "claim", "look", "write", "alive", NULL };

static void series_of(struct ch_self *self, unsigned metric, const char *const *values, unsigned *out)
{
	for (size_t i = 0; values[i]; i++)
		out[i] = ch_series(self, metric, &values[i]);
}

/* At once: a claim of a process that nobody has heard of would look like a dead one's. */
static int say_alive(struct ch_ctx *c, void *self)
{
	return idem_keep(self, c);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct idem_state *state = self->state;

	state->hits = ch_series(self, M_HITS, NULL);
	state->waits = ch_series(self, M_WAITS, NULL);
	state->first = ch_series(self, M_FIRST, NULL);
	state->stored_bytes = ch_series(self, M_STORED_BYTES, NULL);
	state->in_flight = ch_series(self, M_IN_FLIGHT, NULL);
	state->clientless = ch_series(self, M_CLIENTLESS, NULL);
	state->unwritten = ch_series(self, M_UNWRITTEN, NULL);
	state->lost = ch_series(self, M_LOST, NULL);
	series_of(self, M_CONFLICTS, conflicts, state->conflicts);
	series_of(self, M_RESULTS, fates, state->fates);
	series_of(self, M_ERRORS, operations, state->errors);
	idem_answer_gauge(ch_series(self, M_HELD_BYTES, NULL));
	if (prev)
		return CH_OK; /* see adopt */
	state->table = idem_table_new();
	if (!state->table) {
		ch_log(self, NULL, CH_ERR, "no memory for the table of keys");
		return CH_ERROR;
	}
	ch_task(self, NULL, 0, say_alive, self, NULL);
	return CH_OK;
}

/* One table over all reloads: what runs under the old config is waited for under the new one. */
static void adopt(struct ch_self *self, struct ch_self *prev)
{
	idem_state(self)->table = idem_table_ref(idem_state(prev)->table);
}

static void stop(struct ch_self *self)
{
	idem_table_unref(idem_state(self)->table);
}

static bool drained(struct ch_self *self)
{
	const struct idem_state *state = idem_state(self);

	return idem_table_idle(state->table) && (atomic_load(&state->away) || !idem_queue_count(idem_table_unwritten(state->table)));
}

/* ---- the descriptor ---- */

static const char *const on_down[] = { "pass", "refuse", NULL };
static const char *const on_lost[] = { "refuse", "retry", NULL };

static const struct ch_option options[] = {
	CH_OPT(struct idem_conf, store, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "kv/1",
		.help = "Where answers are kept; one that all servers share, if there are several"),
	CH_OPT(struct idem_conf, ttl, DURATION, .def = "5m", .min = "10s", .max = "7d", .help = "How long a key is remembered"),
	CH_OPT(struct idem_conf, max_response_bytes, SIZE, .def = "1m", .min = "0", .max = "2m",
		.help = "Answers up to this size are kept; one above it is served, and its key stays spent"),
	CH_OPT(struct idem_conf, max_held_bytes, SIZE, .def = "64m", .min = "64k", .max = "16g",
		.help = "What answers may take up in this process until they are stored and sent; one that finds no room is not kept"),
	CH_OPT(struct idem_conf, wait_timeout, DURATION, .def = "10s", .min = "0s", .max = "10m",
		.help = "How long a repeated request waits for one that another server works on, before 409"),
	CH_OPT(struct idem_conf, on_store_down, ENUM, .def = "pass", .values = on_down,
		.help = "New keys while the store is away: pass: worked on, remembered by this server alone; refuse: 503"),
	CH_OPT(struct idem_conf, on_owner_lost, ENUM, .def = "refuse", .values = on_lost,
		.help = "The server that worked on a key has died: refuse: 409 until the key expires; retry: the work is done again, and "
			"perhaps billed twice"),
};

static const struct ch_metric metrics[] = {
	[M_HITS] = { .name = "chimera_idempotency_hits_total", .kind = CH_COUNTER, .help = "Requests answered by a replay" },
	[M_WAITS] = { .name = "chimera_idempotency_waits_total", .kind = CH_COUNTER,
		.help = "Requests that began to wait for another one with the same key" },
	[M_FIRST] = { .name = "chimera_idempotency_first_total", .kind = CH_COUNTER, .help = "Requests with a key that were worked on" },
	[M_CONFLICTS] = { .name = "chimera_idempotency_conflicts_total", .kind = CH_COUNTER,
		.labels = { { "kind", CH_L_FIXED, conflicts } }, .help = "Requests that were refused because of their key" },
	[M_RESULTS] = { .name = "chimera_idempotency_results_total", .kind = CH_COUNTER, .labels = { { "fate", CH_L_FIXED, fates } },
		.help = "Work with a key that has ended: its answer is kept, its key is free again, or its answer was too large or found "
			"no room" },
	[M_STORED_BYTES] = { .name = "chimera_idempotency_stored_bytes_total", .kind = CH_COUNTER,
		.help = "Bytes of answers written to the store" },
	[M_HELD_BYTES] = { .name = "chimera_idempotency_held_bytes", .kind = CH_GAUGE,
		.help = "Bytes of answers in this process: captured, to be stored, or on their way to clients" },
	[M_IN_FLIGHT] = { .name = "chimera_idempotency_in_flight", .kind = CH_GAUGE, .help = "Requests with a key that are worked on" },
	[M_CLIENTLESS] = { .name = "chimera_idempotency_clientless", .kind = CH_GAUGE, .help = "Those of them whose client has left" },
	[M_UNWRITTEN] = { .name = "chimera_idempotency_unwritten", .kind = CH_GAUGE,
		.help = "Keys whose end the store has not been told yet" },
	[M_LOST] = { .name = "chimera_idempotency_owners_lost_total", .kind = CH_COUNTER,
		.help = "Requests that found that the server which worked on their key has died" },
	[M_ERRORS] = { .name = "chimera_idempotency_store_errors_total", .kind = CH_COUNTER,
		.labels = { { "operation", CH_L_FIXED, operations } }, .help = "Operations that the store did not do" },
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_BODY, .fn = on_request },
	{ .phase = CH_P_RESPONSE, .band = CH_EARLY, .fn = idem_on_response },
	{ .phase = CH_P_CALL_END, .fn = idem_on_call_end },
	{ .phase = CH_P_END, .fn = idem_on_end },
};
static const struct ch_tap taps[] = { { .fn = idem_on_body } };
static const struct ch_cron crons[] = { { .name = "keep", .when = IDEM_KEEP, .fn = idem_keep } };

static const struct ch_plugin idempotency = {
	.size = sizeof(idempotency),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "idempotency",
	.version = "0.1",
	.summary = "Idempotency-Key: a request that comes twice is worked on once",
	.conf_size = sizeof(struct idem_conf),
	.state_size = sizeof(struct idem_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.taps = CH_TABLE(taps),
	.crons = CH_TABLE(crons),
	.start = start,
	.adopt = adopt,
	.stop = stop,
	.drained = drained,
};

CH_PLUGIN(idempotency, idempotency)
