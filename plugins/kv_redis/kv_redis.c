/* SPDX-License-Identifier: Apache-2.0 */
/* kv_redis.c - options, metrics, life and health of "kv/1" over Redis. kv_redis.h tells where the rest is. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv_redis.h"

enum { M_LATENCY, M_HITS, M_MISSES, M_ERRORS, M_CALLS, M_OPEN, M_CONNECTS };

static const char *const op_names[] = { "get", "set", "del", "add", "take", "settle", NULL };
static const char *const lane_names[] = { "small", "large", NULL };
static const char *const results[] = { "failed", "ok", NULL };

/* ---- config ---- */

static bool is_text(const char *p)
{
	for (; *p; p++)
		if (*p < ' ' || *p > '~')
			return false;
	return true;
}

static int fault(struct ch_self *self, const char *key, const char *text)
{
	ch_config_error(self, NULL, key, "%s", text);
	return CH_ERROR;
}

static int check_sentinels(struct ch_self *self, const struct kr_conf *conf)
{
	char host[KR_HOST_MAX + 1];
	int port, rc = CH_OK;

	for (size_t i = 0; i < conf->sentinels.n; i++) {
		const struct ch_str *s = &conf->sentinels.v[i];
		const char *why = kr_place_read(s->p, s->n, 26379, host, &port);

		if (why) {
			ch_config_error(self, NULL, "sentinels", "\"%s\" %s; write host:port, several by comma", s->p, why);
			rc = CH_ERROR;
		}
	}
	if (conf->sentinels.n && !*conf->master)
		rc = fault(self, "master", "sentinels are named and the master is not: give the name that Sentinel knows it by, such as mymaster");
	if (!conf->sentinels.n && *conf->master)
		rc = fault(self, "sentinels", "a master is named and no Sentinel to ask for it: list host:port of them, or leave master out");
	if (strlen(conf->master) > 256 || !is_text(conf->master))
		rc = fault(self, "master", "the name of a master has at most 256 printable characters");
	return rc;
}

static int check(struct ch_self *self)
{
	const struct kr_conf *conf = self->conf;
	struct ch_str user, password;
	struct kr_url url;
	const char *why = kr_url_read(conf->url, &url, &user, &password);
	int rc = CH_OK;

	if (why) {
		ch_config_error(self, NULL, "url", "it %s", why);
		rc = CH_ERROR;
	}
	if (password.n && *conf->password)
		rc = fault(self, "password", "url has a password, too: keep one of them, best this one, as @FILE");
	if (user.n && *conf->user)
		rc = fault(self, "user", "url has a user, too: keep one of them");
	if (*conf->user && !*conf->password && !password.n)
		rc = fault(self, "user", "a user needs a password: set password, or leave user out for the default user");
	if (strlen(conf->password) > KR_WORD_MAX || strlen(conf->user) > KR_WORD_MAX || strlen(conf->sentinel_password) > KR_WORD_MAX)
		rc = fault(self, "password", "user and passwords have at most 512 bytes");
	if (strlen(conf->key_prefix) > KR_PREFIX_MAX)
		rc = fault(self, "key_prefix", "it has at most 128 bytes");
	return check_sentinels(self, conf) || rc ? CH_ERROR : CH_OK;
}

/* ---- life ---- */

static void make_series(struct ch_self *self, struct kr_series *s)
{
	for (int i = 0; i < KR_OPS; i++)
		s->latency[i] = ch_series(self, M_LATENCY, (const char *const[]){ self->id, op_names[i] });
	for (int i = 1; i < KR_TROUBLES; i++)
		s->errors[i] = ch_series(self, M_ERRORS, (const char *const[]){ self->id, kr_troubles[i].reason });
	for (int i = 0; i < 2; i++) {
		s->open[i] = ch_series(self, M_OPEN, (const char *const[]){ self->id, lane_names[i] });
		s->connects[i] = ch_series(self, M_CONNECTS, (const char *const[]){ self->id, results[i] });
	}
	s->hits = ch_series(self, M_HITS, &self->id);
	s->misses = ch_series(self, M_MISSES, &self->id);
	s->calls = ch_series(self, M_CALLS, &self->id);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool usable;

static void begin_process(void)
{
	usable = kr_guard_init() && kr_scripts_init();
}

/* What stands in the url, or else in the option. */
static struct kr_word word_of(struct ch_str in_url, const char *option)
{
	return in_url.n ? (struct kr_word){ in_url, true } : (struct kr_word){ { option, strlen(option) }, false };
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct kr_conf *conf = self->conf;
	struct kr_state *s = self->state;
	struct ch_str user, password, none = { NULL, 0 };

	(void)prev;
	pthread_once(&once, begin_process);
	if (!usable) {
		ch_log(self, NULL, CH_ERR, "OpenSSL has no SHA-1, by which Redis names scripts; give this process a configuration of OpenSSL that has "
			"it");
		return CH_ERROR;
	}
	kr_url_read(conf->url, &s->url, &user, &password);
	if (!kr_auth_make(&s->auth, word_of(user, conf->user), word_of(password, conf->password)) ||
	    !kr_auth_make(&s->sentinel_auth, word_of(none, ""), word_of(none, conf->sentinel_password))) {
		kr_secret_free(&s->auth);
		ch_log(self, NULL, CH_ERR, "No memory is left for passwords");
		return CH_ERROR;
	}
	make_series(self, &s->series);
	return CH_OK;
}

static void stop(struct ch_self *self)
{
	struct kr_state *s = self->state;

	kr_secret_free(&s->auth);
	kr_secret_free(&s->sentinel_auth);
}

static int loop_start(struct ch_self *self, struct ch_loop *loop)
{
	struct kr_state *s = self->state;
	struct kr_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return CH_ERROR;
	l->self = self;
	l->loop = loop;
	l->series = s->series;
	l->users = 1;
	l->timer_at = INT64_MAX;
	kr_link_init(&l->due);
	kr_link_init(&l->free);
	l->timer = ch_timer(loop, kr_calls_due, l);
	*ch_loop_state(self, loop) = l;
	if (!l->timer || !kr_lane_init(&l->lanes[0], l, false) || !kr_lane_init(&l->lanes[1], l, true))
		return CH_ERROR; /* and loop_stop follows */
	ch_timer_set(l->lanes[0].timer, 0); /* it connects in the next turn, unless loop_adopt brings a connection */
	return CH_OK;
}

static void free_loop(void *data)
{
	struct kr_loop *l = data;

	while (kr_linked(&l->free)) {
		struct kr_link *link = l->free.next;

		kr_unlink(link);
		free(KR_OF(link, struct kr_call, link));
	}
	free(l);
}

/* Nobody of an instance asks any more. The lanes go with the youngest that shares them. */
static void leave(struct ch_self *self, struct kr_loop *l)
{
	if (l->self == self) {
		for (int i = 0; i < 2; i++)
			kr_lane_end(&l->lanes[i]);
		while (kr_linked(&l->due))
			kr_call_fail(KR_OF(l->due.next, struct kr_call, due), KR_CANCELLED, NULL);
		ch_timer_free(l->timer);
		l->timer = NULL;
		l->self = NULL;
	}
	if (--l->users)
		return;
	if (l->lanes[0].wire.flush_due || l->lanes[1].wire.flush_due)
		ch_turn_end(l->loop, free_loop, l); /* behind the flush */
	else
		free_loop(l);
}

static bool same(const struct ch_self *a, const struct ch_self *b)
{
	const struct kr_state *s = a->state, *t = b->state;
	const struct kr_conf *ca = a->conf, *cb = b->conf;

	if (memcmp(&s->url, &t->url, sizeof(s->url)) || s->auth.n != t->auth.n || (s->auth.n && memcmp(s->auth.p, t->auth.p, s->auth.n)) ||
	    ca->sentinels.n != cb->sentinels.n || strcmp(ca->master, cb->master) || strcmp(ca->sentinel_password, cb->sentinel_password))
		return false;
	for (size_t i = 0; i < ca->sentinels.n; i++)
		if (strcmp(ca->sentinels.v[i].p, cb->sentinels.v[i].p))
			return false;
	return true;
}

/* The connections, with what is under way on them, go to the successor if it names the same server. */
static void loop_adopt(struct ch_self *self, struct ch_self *prev, struct ch_loop *loop)
{
	struct kr_state *s = self->state, *t = prev->state;
	struct kr_loop *l = *ch_loop_state(prev, loop), *fresh = *ch_loop_state(self, loop);
	int calls = 0, down;

	if (!l || !l->self || !same(self, prev))
		return;
	*ch_loop_state(self, loop) = l;
	leave(self, fresh);
	for (struct kr_link *at = l->due.next; at != &l->due; at = at->next)
		calls++;
	atomic_fetch_sub(&t->calls, calls);
	atomic_fetch_add(&s->calls, calls);
	down = l->lanes[0].told + l->lanes[1].told;
	atomic_fetch_sub(&t->down, down);
	atomic_fetch_add(&s->down, down);
	l->self = self;
	l->users++;
	if (down)
		ch_degraded(self, "redis", true, "%s", l->lanes[!l->lanes[0].told].why);
}

static void loop_stop(struct ch_self *self, struct ch_loop *loop)
{
	struct kr_loop *l = *ch_loop_state(self, loop);

	*ch_loop_state(self, loop) = NULL;
	if (l)
		leave(self, l);
}

static bool drained(struct ch_self *self)
{
	return !atomic_load(&((struct kr_state *)self->state)->calls);
}

/* ---- health ---- */

struct probe {
	struct ch_svc own;
	struct ch_kv_args args;
	struct ch_kv_result out;
	struct ch_check_result *result;
	const struct kr_lane *lane;
	int64_t began;
};

static void judge(struct probe *p)
{
	p->result->health = p->out.error ? CH_UNHEALTHY : CH_HEALTHY;
	if (p->out.error)
		snprintf(p->result->message, sizeof(p->result->message), "%s", p->lane->told ? p->lane->why : p->out.detail);
	else
		snprintf(p->result->message, sizeof(p->result->message), "a get took %.1f ms", (double)(ch_now() - p->began) / 1000);
}

static int on_probed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct probe *p = data;

	(void)result;
	if (why != CH_READY)
		kr_vt.cancel(&p->own, c, &p->out);
	judge(p);
	return CH_OK;
}

static int check_health(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct probe *p = ch_alloc(c, sizeof(*p));
	struct kr_loop *l = *ch_loop_state(self, ch_loop(c));
	ch_ticket ticket = p ? ch_suspend(c, 0, on_probed, p) : 0;
	int rc;

	if (!ticket) {
		out->health = CH_UNHEALTHY;
		snprintf(out->message, sizeof(out->message), "No memory is left to ask Redis.");
		return CH_OK;
	}
	*p = (struct probe){ .own = { .size = sizeof(p->own), .vt = &kr_vt, .self = self, .id = self->id }, .out = { .size = sizeof(p->out) },
		.args = { .size = sizeof(p->args), .key = CH_STR("kv_redis:trial") }, .result = out, .lane = &l->lanes[0], .began = ch_now() };
	rc = kr_vt.get(&p->own, c, &p->args, &p->out, ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	judge(p);
	return rc;
}

/* ---- tables ---- */

#define OPT(name, T, ...) CH_OPT(struct kr_conf, name, T, __VA_ARGS__)

static const struct ch_option options[] = {
	OPT(url, STR, .flags = CH_O_SECRET | CH_O_REQUIRED, .def = "redis://127.0.0.1:6379/0",
		.help = "redis://[[user]:password@]host[:port][/database], or unix:///path[?db=N]"),
	OPT(user, STR, .help = "The ACL user; empty: that of url, or the default user"),
	OPT(password, STR, .flags = CH_O_SECRET, .help = "In place of one in url; @FILE keeps it out of the config"),
	OPT(key_prefix, STR, .def = "chimera:", .help = "What all keys begin with, so that several may share a database"),
	OPT(timeout, DURATION, .def = "20ms", .min = "1ms", .max = "1m", .help = "A call that takes longer has failed: slow counts as down"),
	OPT(value_timeout, DURATION, .def = "250ms", .min = "1ms", .max = "1m",
		.help = "The same for a value of more than 16 KiB, which has a connection of its own"),
	OPT(connect_timeout, DURATION, .def = "500ms", .min = "5ms", .max = "1m", .help = "Name, Sentinel, connection and login together"),
	OPT(sentinels, LIST, .help = "host:port of the Sentinels that know the master; url then says who we are and which database"),
	OPT(master, STR, .help = "The name that Sentinel knows the master by"),
	OPT(sentinel_password, STR, .flags = CH_O_SECRET, .help = "Of the Sentinels; @FILE keeps it out of the config"),
};

static const char *const reasons[] = {
	"noscript", "wrong_kind", "oom", "readonly", "loading", "busy", "masterdown", "cluster", "auth", "denied", "refused", "script", "range",
	"timeout", "lost", "down", "crowded", "garbage", "memory", "cancelled", "fault", "bad_request", NULL
};
static const double bounds[] = { 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1 };
#define STORE { "store", CH_L_CONFIG, NULL }
static const struct ch_metric metrics[] = {
	[M_LATENCY] = { .name = "chimera_kv_latency_seconds", .kind = CH_HISTOGRAM, .labels = { STORE, { "operation", CH_L_FIXED, op_names } },
		.buckets = bounds, .nbuckets = sizeof(bounds) / sizeof(bounds[0]),
		.help = "Time of an operation of kv/1 over the network, as its caller sees it" },
	[M_HITS] = { .name = "cache_hits_total", .kind = CH_COUNTER, .labels = { { "cache_type", CH_L_CONFIG, NULL } },
		.help = "Values that were asked for and found." },
	[M_MISSES] = { .name = "cache_misses_total", .kind = CH_COUNTER, .labels = { { "cache_type", CH_L_CONFIG, NULL } },
		.help = "Values that were asked for and not found." },
	[M_ERRORS] = { .name = "chimera_kv_errors_total", .kind = CH_COUNTER, .labels = { STORE, { "reason", CH_L_FIXED, reasons } },
		.help = "Operations of kv/1 over the network that failed" },
	[M_CALLS] = { .name = "chimera_kv_calls", .kind = CH_GAUGE, .labels = { STORE },
		.help = "Operations of kv/1 over the network that have not ended" },
	[M_OPEN] = { .name = "chimera_kv_breaker_open", .kind = CH_GAUGE, .labels = { STORE, { "connection", CH_L_FIXED, lane_names } },
		.help = "Loops whose circuit to the store is open" },
	[M_CONNECTS] = { .name = "chimera_kv_connects_total", .kind = CH_COUNTER, .labels = { STORE, { "result", CH_L_FIXED, results } },
		.help = "Attempts to connect to the store" },
};

static const struct ch_provide provides[] = { { .iface = "kv/1", .vt = &kr_vt, .rank = 10 } };
static const struct ch_check checks[] = { { .name = "kv_redis", .timeout_ms = 1000, .fn = check_health } };

static const struct ch_plugin kv_redis = {
	.size = sizeof(kv_redis),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "kv_redis",
	.version = "0.1",
	.summary = "kv/1 over Redis: values, counters and limits that several servers share",
	.conf_size = sizeof(struct kr_conf),
	.state_size = sizeof(struct kr_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.check = check,
	.start = start,
	.stop = stop,
	.loop_start = loop_start,
	.loop_adopt = loop_adopt,
	.loop_stop = loop_stop,
	.drained = drained,
};

CH_PLUGIN(kv_redis, kv_redis)
