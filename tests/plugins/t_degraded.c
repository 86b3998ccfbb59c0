/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_degraded.c - a test plugin: degradation, checks, and what the host tells about itself.
 *
 *   GET /degraded?what=kv&down=1&why=text   tells it, times= so often; &thread=1: from the pool
 *   GET /degraded/list                      what ch_degraded_walk tells, a line each: instance what up|down why
 *   GET /degraded/health?is=0|1|2           what its check says from now on
 *   GET /capability?name=NAME&there=0|1    tells that it offers that, or can no more
 *   GET /capability/list                  what ch_capabilities_walk tells, a line each: instance name yes|no
 *   GET /inspect/server, /inspect/instances, /inspect/checks    what the functions of chimera/inspect.h tell, a line each
 *   GET /inspect/metrics?name=NAME          the series of that family, a line each: its labels and its value; read in the pool
 *
 * Threads and ownership: `health` is atomic; all else on the request's loop, or in the pool on memory of a suspended ctx.
 */
#include <stdatomic.h>
#include <stdio.h>

#include <chimera/inspect.h>

#include "query.h"

struct t_degraded_conf {
	int64_t check_interval;
};

struct t_degraded_state {
	atomic_int health;
};

static const char no_room[] = "the list does not fit into the request's memory";

struct list {
	struct ch_ctx *c;
	const char *text;
};

__attribute__((format(printf, 2, 3))) static void add(struct list *l, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (l->text)
		l->text = ch_print(l->c, "%s%s\n", l->text, line);
}

static int tell(struct list *l)
{
	return l->text ? ch_respond(l->c, 200, "text/plain", l->text, strlen(l->text)) : ch_refuse(l->c, CH_E_OVERLOADED, 0, no_room);
}

/* ---- degradation ---- */

struct telling {
	struct ch_self *self;
	const char *what, *why;
	bool down;
	int64_t times;
	ch_ticket ticket;
};

static void *tell_it(void *data)
{
	struct telling *t = data;

	for (int64_t i = 0; i < t->times; i++)
		ch_degraded(t->self, t->what, t->down, "%s", t->why);
	return NULL;
}

static int on_told(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", "told", 4) : CH_DONE;
}

static const char *word(struct ch_ctx *c, const char *name, const char *def)
{
	struct ch_str v = query_text(c, name);

	return v.n ? ch_dup(c, v.p, v.n) : def;
}

static int get_degraded(struct ch_self *self, struct ch_ctx *c)
{
	struct telling *t = ch_alloc(c, sizeof(*t));

	if (!t)
		return CH_ERROR;
	t->self = self;
	t->what = word(c, "what", "kv");
	t->why = word(c, "why", "no reason");
	t->down = query_int(c, "down", 1) == 1;
	t->times = query_int(c, "times", 1);
	if (!t->what || !t->why)
		return CH_ERROR;
	if (query_int(c, "thread", 0) == 1) {
		t->ticket = ch_suspend(c, 0, on_told, t);
		if (t->ticket && ch_offload(self, tell_it, t, t->ticket, NULL))
			return CH_AGAIN;
		ch_unsuspend(t->ticket);
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool is full; try again");
	}
	tell_it(t);
	return on_told(c, t, CH_READY, NULL);
}

static void add_degradation(void *data, const struct ch_degradation *d)
{
	add(data, "%s %s %s %s %lld", d->instance, d->what, d->down ? "down" : "up", d->why, (long long)((ch_now() - d->since) / 1000000));
}

static int get_list(struct ch_self *self, struct ch_ctx *c)
{
	struct list l = { c, "" };

	(void)self;
	ch_degraded_walk(add_degradation, &l);
	return tell(&l);
}

/* ---- capabilities ---- */

static int get_capability(struct ch_self *self, struct ch_ctx *c)
{
	const char *name = word(c, "name", "model");

	if (!name)
		return CH_ERROR;
	ch_capability(self, name, query_int(c, "there", 1) == 1);
	return ch_respond(c, 200, "text/plain", "told", 4);
}

static void add_capability(void *data, const struct ch_capability *a)
{
	add(data, "%s %s %s", a->instance, a->name, a->there ? "yes" : "no");
}

static int get_capabilities(struct ch_self *self, struct ch_ctx *c)
{
	struct list l = { c, "" };

	(void)self;
	ch_capabilities_walk(add_capability, &l);
	return tell(&l);
}

/* ---- the check ---- */

static int check_health(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct t_degraded_state *state = self->state;

	(void)c;
	out->health = atomic_load(&state->health);
	snprintf(out->message, sizeof(out->message), "it was told to be %d", out->health);
	return CH_OK;
}

static int get_health(struct ch_self *self, struct ch_ctx *c)
{
	struct t_degraded_state *state = self->state;

	atomic_store(&state->health, (int)query_int(c, "is", CH_HEALTHY));
	return ch_respond(c, 200, "text/plain", "", 0);
}

/* ---- what the host tells ---- */

static int get_server(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_server s = { .size = sizeof(s) };
	struct list l = { c, "" };

	(void)self;
	ch_server(&s);
	add(&l, "size %zu", s.size);
	add(&l, "version %s", s.version);
	add(&l, "profile %s", s.profile);
	add(&l, "state_dir %s", s.state_dir);
	add(&l, "started_wall %lld", (long long)s.started_wall);
	add(&l, "uptime %.3f", s.uptime);
	add(&l, "ready %d", s.ready);
	add(&l, "draining %d", s.draining);
	add(&l, "workers %u", s.workers);
	add(&l, "stalled %u", s.stalled);
	add(&l, "loop_lag %.6f", s.loop_lag);
	add(&l, "connections %llu", (unsigned long long)s.connections);
	add(&l, "requests %llu", (unsigned long long)s.requests);
	add(&l, "generation %llu", (unsigned long long)s.generation);
	add(&l, "vendor_pings %d", s.vendor_pings);
	add(&l, "check_timeout_ms %lld", (long long)s.check_timeout_ms);
	return tell(&l);
}

static void add_instance(void *data, const struct ch_instance *i)
{
	const struct ch_provide *first = i->provides.rows;

	add(data, "%s %s %s %s", i->id, i->plugin, i->needed ? "needed" : "-", i->provides.n ? first->iface : "-");
}

static int get_instances(struct ch_self *self, struct ch_ctx *c)
{
	struct list l = { c, "" };

	ch_instances_walk(self, add_instance, &l);
	return tell(&l);
}

static void add_check(void *data, const struct ch_check_state *s)
{
	add(data, "%s %d %d %.3f %.3f %s", s->name, s->health, s->critical, s->duration_ms, s->age, s->message);
}

static int get_checks(struct ch_self *self, struct ch_ctx *c)
{
	struct list l = { c, "" };

	(void)self;
	ch_checks_walk(add_check, &l);
	return tell(&l);
}

/* Read in the pool: into a buffer of the ctx, which nobody else touches until the ticket is resumed. */
struct reading {
	const char *name;
	size_t n;
	char text[8192];
};

static void add_sample(void *data, const struct ch_sample *s)
{
	struct reading *r = data;

	if (strcmp(s->family->name, r->name) || r->n > sizeof(r->text) - 512)
		return;
	if (s->first)
		r->n += (size_t)sprintf(r->text + r->n, "# %s\n", s->family->help);
	for (int i = 0; i < 4 && s->family->labels[i].name; i++)
		r->n += (size_t)sprintf(r->text + r->n, "%s=%.100s ", s->family->labels[i].name, s->labels[i]);
	if (s->family->kind == CH_HISTOGRAM && s->nbounds)
		r->n += (size_t)sprintf(r->text + r->n, "%llu %g %zu %g %llu\n", (unsigned long long)s->count, s->sum, s->nbounds,
			s->bounds[0], (unsigned long long)s->counts[0]);
	else
		r->n += (size_t)sprintf(r->text + r->n, "%g\n", s->value);
}

static void *read_metrics(void *data)
{
	ch_metrics_walk(add_sample, data);
	return NULL;
}

static int on_read(struct ch_ctx *c, void *data, int why, void *result)
{
	const struct reading *r = data;

	(void)result;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", r->text, r->n) : CH_DONE;
}

static int get_metrics(struct ch_self *self, struct ch_ctx *c)
{
	struct reading *r = ch_alloc(c, sizeof(*r));
	ch_ticket t = r ? ch_suspend(c, 0, on_read, r) : 0;

	if (!t)
		return CH_ERROR;
	r->name = word(c, "name", "");
	if (ch_offload(self, read_metrics, r, t, NULL))
		return CH_AGAIN;
	ch_unsuspend(t);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool is full; try again");
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct t_degraded_conf *conf = self->conf;

	(void)prev;
	if (conf->check_interval > 0)
		ch_checks_interval(self, conf->check_interval);
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_degraded_conf, check_interval, DURATION, .flags = CH_O_OFF, .def = "off", .dev_def = "100ms",
		.help = "How often checks run"),
};
static const struct ch_check checks[] = {
	{ .name = "t_degraded", .critical = 0, .timeout_ms = 1000, .fn = check_health },
};
#define TEXT .response_type = "text/plain"
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/degraded", .fn = get_degraded, TEXT, .summary = "Tells" },
	{ .method = "GET", .pattern = "/degraded/list", .fn = get_list, TEXT, .summary = "What was told" },
	{ .method = "GET", .pattern = "/capability", .fn = get_capability, TEXT, .summary = "Tells a capability" },
	{ .method = "GET", .pattern = "/capability/list", .fn = get_capabilities, TEXT, .summary = "Tells all capabilities" },
	{ .method = "GET", .pattern = "/degraded/health", .fn = get_health, TEXT, .summary = "What the check says" },
	{ .method = "GET", .pattern = "/inspect/server", .cls = CH_OPS, .fn = get_server, TEXT, .summary = "The server" },
	{ .method = "GET", .pattern = "/inspect/instances", .cls = CH_OPS, .fn = get_instances, TEXT, .summary = "Instances" },
	{ .method = "GET", .pattern = "/inspect/checks", .cls = CH_OPS, .fn = get_checks, TEXT, .summary = "Checks" },
	{ .method = "GET", .pattern = "/inspect/metrics", .cls = CH_OPS, .fn = get_metrics, TEXT, .summary = "A metric" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_degraded",
	.version = "0.1",
	.summary = "Test: degradation, checks, inspection",
	.conf_size = sizeof(struct t_degraded_conf),
	.state_size = sizeof(struct t_degraded_state),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.checks = CH_TABLE(checks),
	.start = start,
};

CH_PLUGIN(t_degraded, plugin)
