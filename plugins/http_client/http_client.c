/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client.c - "http/1", the daemon's requests to other HTTP servers: options, metrics, life. http_client.h tells where the rest is.
 *
 * Threads and ownership: see http_client.h.
 */
#include <errno.h>
#include <unistd.h>

#include "http_client.h"
#include "memory.h"

enum { M_REQUESTS, M_DIALS, M_REUSED, M_REPEATED, M_OPEN, M_IDLE, M_WAITING, M_RUNNING, M_CONNECT_SECONDS, M_FIRST_BYTE_SECONDS };

static const char *const dial_results[HC_DIALS + 1] = { "ok", "resolve", "connect", "tls", "timeout", "blocked", "given_up", NULL };

/* ---- http/1 ---- */

static int request(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *args, const struct ch_http_sink *sink,
                   struct ch_http_result *out, ch_ticket ticket)
{
	return hc_call_begin(svc, c, args, sink, out, ticket);
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	struct hc_call *call = out->call;

	(void)svc;
	(void)c;
	if (call && call->paused)
		hc_pool_again(call);
	else if (call)
		call->went_on = call->in_sink;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	struct hc_call *call = out->call;

	(void)svc;
	(void)c;
	if (!call)
		return;
	hc_clock(call->pool);
	if (call->in_sink)
		call->give_up = true;
	else
		hc_call_cancel(call);
}

/* ---- options that change ---- */

static void load(struct hc_state *s, const struct hc_conf *conf)
{
	const int64_t v[HC_SETTINGS] = {
		[HC_CONNECT_TIMEOUT] = conf->connect_timeout,
		[HC_FIRST_BYTE_TIMEOUT] = conf->first_byte_timeout,
		[HC_IDLE_TIMEOUT] = conf->idle_timeout,
		[HC_TOTAL_TIMEOUT] = conf->total_timeout,
		[HC_KEEPALIVE_TIMEOUT] = conf->keepalive_timeout,
		[HC_MAX_CONNECTIONS_PER_HOST] = conf->max_connections_per_host,
		[HC_MAX_IDLE_CONNECTIONS] = conf->max_idle_connections,
		[HC_MAX_WAITING] = conf->max_waiting,
		[HC_MAX_HEADER_BYTES] = conf->max_header_bytes,
		[HC_MAX_HEADER_LINE] = conf->max_header_line,
		[HC_MAX_HEADER_FIELDS] = conf->max_header_fields,
		[HC_MAX_BODY] = conf->max_body,
	};

	for (int i = 0; i < HC_SETTINGS; i++)
		atomic_store_explicit(&s->set[i], v[i], memory_order_relaxed);
}

static void reload(struct ch_self *self, const struct ch_self *fresh)
{
	load(self->state, fresh->conf);
}

/* ---- check ---- */

static bool check_proxy(struct ch_self *self, struct hc_url *u)
{
	const struct hc_conf *conf = self->conf;
	bool foreign;
	const char *why;

	if (!*conf->proxy)
		return true;
	why = hc_url_parse(u, conf->proxy, strlen(conf->proxy), &foreign);
	if (!why && (u->tls || u->target_n > 1 || (u->target_n && u->slash)))
		why = "a proxy is spoken to by http, and has no path";
	if (why)
		ch_config_error(self, NULL, "proxy", "%s; write http://HOST:PORT", why);
	return !why;
}

static bool check_file(struct ch_self *self, const char *key, const char *path)
{
	if (!*path || access(path, R_OK) == 0)
		return true;
	ch_config_error(self, NULL, key, "%s cannot be read: %s; name a PEM file, or leave the key out", path, strerror(errno));
	return false;
}

static int check(struct ch_self *self)
{
	const struct hc_conf *conf = self->conf;
	struct hc_url u;
	bool ok = check_proxy(self, &u);

	ok &= check_file(self, "ca_file", conf->ca_file);
	ok &= check_file(self, "client_cert_file", conf->client_cert_file);
	ok &= check_file(self, "client_key_file", conf->client_key_file);
	if (*conf->client_key_file && !*conf->client_cert_file) {
		ch_config_error(self, NULL, "client_key_file", "a key goes with a certificate: set client_cert_file too");
		ok = false;
	}
	return ok ? CH_OK : CH_ERROR;
}

/* ---- life ---- */

/* FNV-1a over the file's bytes, to see whether a successor's are the same. */
static uint64_t digest(uint64_t h, const char *path)
{
	FILE *f = *path ? fopen(path, "re") : NULL;
	int c;

	while (f && (c = getc_unlocked(f)) != EOF)
		h = (h ^ (unsigned)c) * 0x100000001b3u;
	if (f)
		fclose(f);
	return h * 0x100000001b3u;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct hc_conf *conf = self->conf;
	struct hc_state *s = self->state;

	(void)prev;
	if (!hc_memory_init()) {
		ch_log(self, NULL, CH_ERR, "libcurl cannot be initialised: is its library whole?");
		return CH_ERROR;
	}
	load(s, conf);
	check_proxy(self, &s->proxy);
	if (s->proxy.host_n) {
		memcpy(s->proxy_url, "http://", 7);
		hc_request_authority(s->proxy_url + 7, &s->proxy, true);
	}
	s->files = digest(digest(digest(0xcbf29ce484222325u, conf->ca_file), conf->client_cert_file), conf->client_key_file);
	while (ch_loop_at(s->loops))
		s->loops++;
	for (int i = 0; i < HC_ERRORS; i++)
		s->m.requests[i] = ch_series(self, M_REQUESTS, &hc_error_names[i]);
	for (int i = 0; i < HC_DIALS; i++)
		s->m.dials[i] = ch_series(self, M_DIALS, &dial_results[i]);
	s->m.reused = ch_series(self, M_REUSED, NULL);
	s->m.repeated = ch_series(self, M_REPEATED, NULL);
	s->m.open = ch_series(self, M_OPEN, NULL);
	s->m.idle = ch_series(self, M_IDLE, NULL);
	s->m.waiting = ch_series(self, M_WAITING, NULL);
	s->m.running = ch_series(self, M_RUNNING, NULL);
	s->m.connect_seconds = ch_series(self, M_CONNECT_SECONDS, NULL);
	s->m.first_byte_seconds = ch_series(self, M_FIRST_BYTE_SECONDS, NULL);
	return CH_OK;
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct hc_pool *p = hc_pool_new(self, l);

	*ch_loop_state(self, l) = p;
	return p ? CH_OK : CH_ERROR;
}

/* Would a connection of one be as good for the other? */
static bool same_transport(const struct ch_self *a, const struct ch_self *b)
{
	const struct hc_conf *x = a->conf, *y = b->conf;
	const struct hc_state *s = a->state, *t = b->state;

	return !strcmp(x->ca_file, y->ca_file) && !strcmp(x->client_cert_file, y->client_cert_file) &&
	       !strcmp(x->client_key_file, y->client_key_file) && !strcmp(x->proxy, y->proxy) && x->tls_min == y->tls_min &&
	       x->http2 == y->http2 && x->allow_link_local == y->allow_link_local && s->files == t->files;
}

static void loop_adopt(struct ch_self *self, struct ch_self *prev, struct ch_loop *l)
{
	struct hc_pool **own = (struct hc_pool **)ch_loop_state(self, l), *was = *ch_loop_state(prev, l);

	if (!was)
		return;
	if (!same_transport(self, prev)) {
		hc_pool_retire(was); /* what runs there goes on, and is closed when it ends */
		return;
	}
	if (!hc_pool_join(was, self))
		return;
	if (*own)
		hc_pool_leave(*own, self);
	*own = was;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	struct hc_pool *p = *ch_loop_state(self, l);

	if (p)
		hc_pool_leave(p, self);
	*ch_loop_state(self, l) = NULL;
}

/* ---- tables ---- */

static const char *const http2_values[] = { "auto", "always", "off", NULL };
static const char *const tls_values[] = { "1.2", "1.3", NULL };

#define OPT(name, T, ...) CH_OPT(struct hc_conf, name, T, __VA_ARGS__)
#define TIME .flags = CH_O_RELOAD, .min = "1ms", .max = "1d"

static const struct ch_option options[] = {
	OPT(ca_file, PATH, .flags = CH_O_WATCH,
		.help = "PEM file of the authorities that servers' certificates are checked against; empty: the system's"),
	OPT(client_cert_file, PATH, .flags = CH_O_WATCH, .help = "PEM file of the certificate shown to servers that ask for one"),
	OPT(client_key_file, PATH, .flags = CH_O_WATCH, .help = "PEM file of its key; empty: it stands in client_cert_file"),
	OPT(tls_min, ENUM, .def = "1.2", .values = tls_values, .help = "The least version of TLS"),
	OPT(proxy, STR, .help = "http://HOST:PORT of a proxy that all requests go through, by CONNECT; the environment's is never used"),
	OPT(http2, ENUM, .def = "auto", .values = http2_values,
		.help = "HTTP/2 with servers that offer it over TLS; auto: not for streamed answers if libcurl is older than 8.2"),
	OPT(allow_link_local, BOOL, .def = "no", .help = "Whether link-local addresses (169.254.0.0/16, fe80::/10) may be reached"),
	OPT(connect_timeout, DURATION, TIME, .def = "5s",
		.help = "Name, connection and TLS together, and waiting for a place; a call may set its own, as with the next three"),
	OPT(first_byte_timeout, DURATION, TIME, .def = "60s", .help = "From the last byte sent to the head of the answer"),
	OPT(idle_timeout, DURATION, TIME, .def = "60s", .help = "Between two bytes of an answer's body"),
	OPT(total_timeout, DURATION, TIME, .def = "10m", .help = "The whole of a request"),
	OPT(keepalive_timeout, DURATION, TIME, .def = "60s", .help = "How long an idle connection is kept; less if the server says so"),
	OPT(max_connections_per_host, INT, .flags = CH_O_RELOAD, .def = "8192", .min = "1", .max = "65536",
		.help = "Connections to one scheme, host and port, of the process: each worker has its share, at least one"),
	OPT(max_idle_connections, INT, .flags = CH_O_RELOAD, .def = "256", .min = "1", .max = "65536",
		.help = "Idle connections of the process; past it the oldest is closed"),
	OPT(max_waiting, INT, .flags = CH_O_RELOAD, .def = "1024", .min = "1", .max = "1000000",
		.help = "Requests of the process that may wait for a connection to become free; further ones fail at once"),
	OPT(max_header_bytes, SIZE, .flags = CH_O_RELOAD, .def = "64k", .min = "1k", .max = "1m", .help = "Largest head of an answer"),
	OPT(max_header_line, SIZE, .flags = CH_O_RELOAD, .def = "16k", .min = "256", .max = "1m", .help = "Longest line of it"),
	OPT(max_header_fields, INT, .flags = CH_O_RELOAD, .def = "100", .min = "1", .max = "1000", .help = "Most fields of it"),
	OPT(max_body, SIZE, .flags = CH_O_RELOAD, .def = "64m", .min = "1", .max = "1024g",
		.help = "Largest body of an answer, unless the caller says another number"),
};

static const double seconds[] = { .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60 };
#define NAME(n) .name = "chimera_http_client_" n
#define SECONDS .kind = CH_HISTOGRAM, .buckets = seconds, .nbuckets = sizeof(seconds) / sizeof(seconds[0])

static const struct ch_metric metrics[] = {
	[M_REQUESTS] = { NAME("requests_total"), .kind = CH_COUNTER, .labels = { { "error", CH_L_FIXED, hc_error_names } },
		.help = "Requests that ended, by what went wrong; none: an answer came, whatever its status" },
	[M_DIALS] = { NAME("connects_total"), .kind = CH_COUNTER, .labels = { { "result", CH_L_FIXED, dial_results } },
		.help = "Attempts to make a connection, by what came of them; given_up: their request ended before" },
	[M_REUSED] = { NAME("reused_total"), .kind = CH_COUNTER, .help = "Requests sent over a connection that was there" },
	[M_REPEATED] = { NAME("repeated_total"), .kind = CH_COUNTER,
		.help = "Requests sent again because the connection that was there turned out to be closed" },
	[M_OPEN] = { NAME("connections"), .kind = CH_GAUGE,
		.help = "Connections to other servers, those being made included; HTTP/1.1 only" },
	[M_IDLE] = { NAME("idle_connections"), .kind = CH_GAUGE, .help = "Those of them that no request uses" },
	[M_WAITING] = { NAME("waiting"), .kind = CH_GAUGE, .help = "Requests that wait for a connection to become free" },
	[M_RUNNING] = { NAME("running"), .kind = CH_GAUGE, .help = "Requests under way" },
	[M_CONNECT_SECONDS] = { NAME("connect_seconds"), SECONDS, .help = "Time to make a connection: name, connection and TLS" },
	[M_FIRST_BYTE_SECONDS] = { NAME("first_byte_seconds"), SECONDS,
		.help = "Time from a request's beginning to the first byte of its answer" },
};

static const struct ch_http_v1 http = { .size = sizeof(http), .request = request, .go_on = go_on, .cancel = cancel };
static const struct ch_provide provides[] = { { .iface = "http/1", .vt = &http } };

static const struct ch_plugin http_client = {
	.size = sizeof(http_client),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "http_client",
	.version = "0.1",
	.summary = "Requests to other HTTP servers: warm connections, TLS, time limits",
	.conf_size = sizeof(struct hc_conf),
	.state_size = sizeof(struct hc_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.check = check,
	.start = start,
	.reload = reload,
	.loop_start = loop_start,
	.loop_adopt = loop_adopt,
	.loop_stop = loop_stop,
};

CH_PLUGIN(http_client, http_client)
