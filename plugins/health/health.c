/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.c - probes for load balancers, kubelets and people: is the process alive, has it started, may it have traffic.
 *
 * Threads and ownership: probes run on any loop and only read: the host's snapshot and the cached results of checks, so that no probe waits
 * for a dependency. Each report lies in the ctx's arena. Checks run on the house loop (checks.c).
 */
#include "probes.h"
#include "report.h"

#define INSTANCES_MAX 256     /* shown as capabilities … */
#define CAPABILITIES_MAX 1000 /* … with so many of what they offer */

/* A report that grows in the arena. */
struct building {
	struct ch_self *self;
	struct ch_ctx *c;
	struct health_component *v;
	size_t n, room;
	struct health_instance *instances;
	size_t ninstances;
	struct health_capability *capabilities;
	size_t ncapabilities;
};

/* ---- building a report ---- */

static void add(struct building *b, struct health_component component)
{
	if (b->n == b->room) {
		size_t room = b->room ? 2 * b->room : 16;
		struct health_component *more = ch_alloc(b->c, room * sizeof(*more));

		if (!more)
			return;
		if (b->n)
			memcpy(more, b->v, b->n * sizeof(*more));
		b->v = more;
		b->room = room;
	}
	b->v[b->n++] = component;
}

/* Does this id of ready_requires mean the check? "kv" means "kv" and "kv.ping". */
static bool means(struct ch_str id, const char *check)
{
	return !strncmp(check, id.p, id.n) && (!check[id.n] || check[id.n] == '.');
}

static bool required(const struct health_conf *conf, const struct ch_check_state *check)
{
	for (size_t i = 0; i < conf->ready_requires.n; i++)
		if (means(conf->ready_requires.v[i], check->name))
			return true;
	return !conf->ready_requires.n && check->critical;
}

/* Is something kept in it? */
static bool is_storage(const struct ch_instance *i)
{
	for (size_t k = 0; k < i->provides.n; k++) {
		const struct ch_provide *p = (const void *)((const char *)i->provides.rows + k * i->provides.row_size);
		if (!strcmp(p->iface, "sql/1") || !strcmp(p->iface, "sink/1"))
			return true;
	}
	return false;
}

static void on_instance(void *data, const struct ch_instance *i)
{
	struct building *b = data;
	const char *id = ch_dup(b->c, i->id, strlen(i->id));

	if (id && b->ninstances < INSTANCES_MAX)
		b->instances[b->ninstances++] = (struct health_instance){ id, is_storage(i) };
}

static void on_capability(void *data, const struct ch_capability *cap)
{
	struct building *b = data;
	const char *name = b->ncapabilities < CAPABILITIES_MAX ? ch_print(b->c, "%s.%s", cap->instance, cap->name) : NULL;

	if (name && !b->capabilities)
		b->capabilities = ch_alloc(b->c, CAPABILITIES_MAX * sizeof(*b->capabilities));
	if (name && b->capabilities)
		b->capabilities[b->ncapabilities++] = (struct health_capability){ name, cap->there };
}

static void on_check(void *data, const struct ch_check_state *check)
{
	struct building *b = data;
	struct health_component component = {
		.name = ch_dup(b->c, check->name, strlen(check->name)),
		.health = check->health,
		.required = required(b->self->conf, check),
		.message = check->message ? ch_dup(b->c, check->message, strlen(check->message)) : "",
		.duration_ms = check->duration_ms,
	};

	if (check->age < 0) {
		component.health = component.required ? CH_UNHEALTHY : CH_DEGRADED;
		component.message = "not checked yet";
	}
	if (component.name && component.message)
		add(b, component);
}

/* What a plugin says works worse than it should is no reason to take no traffic: that is what checks are for. */
static void on_degradation(void *data, const struct ch_degradation *d)
{
	struct building *b = data;
	char *name = d->down ? ch_print(b->c, "%s.%s", d->instance, d->what) : NULL;
	char *why = name ? ch_dup(b->c, d->why, strlen(d->why)) : NULL;

	if (why)
		add(b, (struct health_component){ .name = name, .health = CH_DEGRADED, .message = why });
}

/* "id.check" without such a check would otherwise be a requirement that is never looked at. An instance without checks cannot fail. */
static void add_missing(struct building *b)
{
	const struct health_conf *conf = b->self->conf;
	size_t checks = b->n;

	for (size_t i = 0; i < conf->ready_requires.n; i++) {
		struct ch_str id = conf->ready_requires.v[i];
		bool found = !memchr(id.p, '.', id.n);

		for (size_t k = 0; k < checks && !found; k++)
			found = means(id, b->v[k].name);
		if (!found)
			add(b, (struct health_component){ .name = id.p,
				       .health = CH_UNHEALTHY,
				       .required = true,
				       .message = "no check has this name: correct ready_requires in the configuration" });
	}
}

static void exclude(struct building *b, struct ch_str query)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++)
		if (!health_excluded(query, b->v[i].name))
			b->v[kept++] = b->v[i];
	b->n = kept;
}

/* The process itself; last, so that it cannot be excluded. */
static void add_server(struct building *b, const struct ch_server *s, bool drain_counts)
{
	struct health_component component = { .name = "server", .required = true, .message = "serving" };

	if (!s->ready) {
		component.health = CH_UNHEALTHY;
		component.message = "starting";
	} else if (s->draining && drain_counts) {
		component.health = CH_UNHEALTHY;
		component.message = "draining: open requests are finished, new ones belong elsewhere";
	}
	add(b, component);
}

static void add_loops(struct building *b, const struct ch_server *s)
{
	struct health_component component = { .name = "loops", .required = true, .message = "all loops answer" };

	if (s->stalled) {
		const char *text = ch_print(b->c, "%u stalled; the log names the plugin and the hook", s->stalled);

		component.health = CH_UNHEALTHY;
		component.message = text ? text : "stalled";
	}
	add(b, component);
}

/* ---- answering ---- */

static int respond(struct ch_ctx *c, int status, const char *type, const struct ch_jw *w)
{
	if (w->failed)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "No memory is left for this answer; try again.");
	ch_header_set(c, "Cache-Control", "no-store");
	return ch_respond(c, status, type, w->buf, w->len);
}

static struct ch_jw writer(struct ch_ctx *c)
{
	struct ch_jw w;

	ch_jw_ctx(&w, c, 2048);
	return w;
}

static struct health_report report(const struct building *b, const struct ch_server *s)
{
	return (struct health_report){ .version = s->version, .uptime = s->uptime, .v = b->v, .n = b->n,
		.instances = b->instances, .ninstances = b->ninstances,
		.capabilities = b->capabilities, .ncapabilities = b->ncapabilities };
}

static int answer(const struct building *b, const struct ch_server *s, const char *probe)
{
	struct health_report r = report(b, s);
	struct ch_jw w = writer(b->c);
	int status = health_judge(&r) == CH_UNHEALTHY ? 503 : 200;

	if (health_wants_draft(ch_header(b->c, "Accept"))) {
		health_write_draft(&w, &r, false);
		return respond(b->c, status, "application/health+json", &w);
	}
	if (health_query_has(ch_query(b->c), "verbose")) {
		health_write_lines(&w, &r, probe);
		return respond(b->c, status, "text/plain; charset=utf-8", &w);
	}
	health_write(&w, &r);
	return respond(b->c, status, "application/json", &w);
}

/* Checks, what is missing of them and the server itself. */
static struct building everything(struct ch_self *self, struct ch_ctx *c, struct ch_server *s)
{
	struct building b = { .self = self, .c = c };

	ch_server(s);
	ch_checks_walk(on_check, &b);
	add_missing(&b);
	ch_degraded_walk(on_degradation, &b);
	exclude(&b, ch_query(c));
	return b;
}

static int on_ready(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_server s = { .size = sizeof(s) };
	struct building b = everything(self, c, &s);

	add_server(&b, &s, true);
	return answer(&b, &s, "ready");
}

static int on_live(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_server s = { .size = sizeof(s) };
	struct building b = { .self = self, .c = c };

	ch_server(&s);
	add_loops(&b, &s);
	return answer(&b, &s, "live");
}

static int on_startup(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_server s = { .size = sizeof(s) };
	struct building b = { .self = self, .c = c };

	ch_server(&s);
	add_server(&b, &s, false);
	return answer(&b, &s, "startup");
}

/* For people and dashboards: 200 as long as the process can answer, so nothing here can fail a probe. */
static int on_health(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_server s = { .size = sizeof(s) };
	struct building b = everything(self, c, &s);
	struct gpu_list gpus;
	struct health_report r;
	struct ch_jw w = writer(c);

	if (health_wants_draft(ch_header(c, "Accept"))) {
		add_server(&b, &s, true);
		r = report(&b, &s);
		health_write_draft(&w, &r, true);
		return respond(c, 200, "application/health+json", &w);
	}
	b.instances = ch_alloc(c, INSTANCES_MAX * sizeof(*b.instances));
	if (b.instances)
		ch_instances_walk(self, on_instance, &b);
	ch_capabilities_walk(on_capability, &b);
	r = report(&b, &s);
	health_write_summary(&w, &r, health_gpus(self, &gpus) ? &gpus : NULL);
	return respond(c, 200, "application/json", &w);
}

/* ---- life ---- */

struct wanted {
	struct ch_str id;
	bool found;
};

static void on_wanted(void *data, const struct ch_instance *i)
{
	struct wanted *w = data;
	size_t n = strlen(i->id);

	w->found = w->found || (w->id.n >= n && !memcmp(w->id.p, i->id, n) && (w->id.n == n || w->id.p[n] == '.'));
}

static int check(struct ch_self *self)
{
	const struct health_conf *conf = self->conf;
	int rc = CH_OK;

	for (size_t i = 0; i < conf->ready_requires.n; i++) {
		struct wanted w = { .id = conf->ready_requires.v[i] };

		ch_instances_walk(self, on_wanted, &w);
		if (w.found)
			continue;
		ch_config_error(self, NULL, "ready_requires", "\"%s\" is no enabled instance: name ids of sections, or id.check", w.id.p);
		rc = CH_ERROR;
	}

	if (conf->disk_free_critical > conf->disk_free_warn) {
		ch_config_error(self, NULL, "disk_free_critical",
			"is above disk_free_warn: the warning must come first, so set it to the larger share");
		rc = CH_ERROR;
	}
	if (conf->memory_used_critical < conf->memory_used_warn) {
		ch_config_error(self, NULL, "memory_used_critical",
			"is below memory_used_warn: the warning must come first, so set it to the smaller share");
		rc = CH_ERROR;
	}
	return rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct health_conf *conf = self->conf;
	struct health_state *state = self->state;

	(void)prev;
	pthread_mutex_init(&state->lock, NULL);
	ch_checks_interval(self, conf->check_interval);
	return CH_OK;
}

static void stop(struct ch_self *self)
{
	struct health_state *state = self->state;

	nvml_close(&state->nvml);
	pthread_mutex_destroy(&state->lock);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct health_conf, ready_requires, LIST,
		.help = "Instances or checks without which no traffic is taken; empty: those that enabled routes cannot do without"),
	CH_OPT(struct health_conf, check_interval, DURATION, .def = "5s", .min = "100ms", .max = "1h",
		.help = "Time from one round of checks to the next"),
	CH_OPT(struct health_conf, disk_free_warn, SHARE, .def = "10%",
		.help = "Less free disk below state_dir makes health.disk degraded"),
	CH_OPT(struct health_conf, disk_free_critical, SHARE, .def = "5%",
		.help = "Less makes it unhealthy, which takes us out of traffic only if ready_requires names it"),
	CH_OPT(struct health_conf, memory_used_warn, SHARE, .def = "85%",
		.help = "More used memory of the cgroup or machine makes health.memory degraded"),
	CH_OPT(struct health_conf, memory_used_critical, SHARE, .def = "95%",
		.help = "More makes it unhealthy, which takes us out of traffic only if ready_requires names it"),
};

/* Not critical: with a full disk, models still answer; what needs the disk has a check of its own. */
static const struct ch_check checks[] = {
	{ .name = "disk", .fn = health_check_disk },
	{ .name = "memory", .fn = health_check_memory },
};

#define PROBE(path, handler, text) \
	{ .method = "GET", .pattern = path, .cls = CH_OPEN, .fn = handler, .summary = text }

static const struct ch_route routes[] = {
	PROBE("/health", on_health, "State of the server and of what it depends on; always 200"),
	PROBE("/ready", on_ready, "May it have traffic: 200 or 503"),
	PROBE("/health/ready", on_ready, "May it have traffic: 200 or 503"),
	PROBE("/readyz", on_ready, "May it have traffic: 200 or 503"),
	PROBE("/health/live", on_live, "Must it be restarted: 503 if a loop is stalled"),
	PROBE("/livez", on_live, "Must it be restarted: 503 if a loop is stalled"),
	PROBE("/health/startup", on_startup, "Has it started: 200 or 503"),
	PROBE("/startupz", on_startup, "Has it started: 200 or 503"),
};

static const struct ch_plugin health = {
	.size = sizeof(health),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "health",
	.version = "0.1",
	.summary = "Probes: live, ready, startup, health",
	.conf_size = sizeof(struct health_conf),
	.state_size = sizeof(struct health_state),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.checks = CH_TABLE(checks),
	.check = check,
	.start = start,
	.stop = stop,
};

CH_PLUGIN(health, health)
