/* SPDX-License-Identifier: MIT */
#include "sdk/test/harness.h"

#include "core/log/log.h"
#include "core/plugin/capability.h"
#include "core/plugin/degraded.h"
#include "core/plugin/host.h"
#include "sdk/test/vlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 1000000             /* turns without an end: something calls itself */
#define PATIENCE 86400000000       /* microseconds that ch_test_free waits for suspended work */
#define SHOWN "test.ini"

__attribute__((weak)) const struct ch_host *ch_host_ = &chi_host; /* for tests that hold no plugin themselves */
struct ch_test *chi_test;
static void (*on_failure)(const char *);

/* ---- small things ---- */

void chi_test_fail(const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (on_failure) {
		on_failure(text);
		return;
	}
	fprintf(stderr, "ch_test: %s\n", text);
	abort();
}

bool chi_test_fails_hard(void)
{
	return !on_failure;
}

void ch_test_on_failure(void (*fn)(const char *sentence))
{
	on_failure = fn;
}

void *chi_test_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	if (!p)
		abort();
	return p;
}

char *chi_test_copy(const char *s)
{
	return memcpy(chi_test_alloc(strlen(s) + 1), s, strlen(s) + 1);
}

static size_t room_of(size_t n)
{
	size_t room = 64;
	while (room < n)
		room *= 2;
	return room;
}

void chi_test_append(char **text, size_t *n, const void *bytes, size_t more)
{
	size_t room = room_of(*n + more + 1);
	if (!*n || room > room_of(*n + 1))
		*text = realloc(*text, room);
	if (!*text)
		abort();
	if (more)
		memcpy(*text + *n, bytes, more);
	*n += more;
	(*text)[*n] = 0;
}

/* ---- the turn ---- */

static void reap(struct ch_test *t)
{
	for (size_t i = 0; i < t->ngens;) {
		struct chi_gen *g = t->gens[i];
		if (atomic_load(&g->loops_left) || !chi_gen_stop(g)) {
			i++;
			continue;
		}
		t->gens[i] = t->gens[--t->ngens];
		if (t->gen == g)
			t->gen = NULL;
		while (chi_world_settle()) { /* what its instances have posted looks at their memory */
		}
		chi_gen_free(g);
	}
}

void chi_test_run(struct ch_test *t)
{
	if (t->running || chi_loop_here()) {
		chi_test_fail("a function of the harness was called from inside a callback of the core: call it from the test");
		return;
	}
	t->running = true;
	unsigned left = ROUNDS;
	do {
		chi_peers_read(t);
		reap(t);
	} while (--left && (chi_world_settle() || chi_peers_run(t) || chi_world_fire() || (t->pool == CH_TEST_AUTO && chi_jobs_run(t))));
	t->running = false;
	if (!left)
		chi_test_fail(
			"%d turns at one moment of the clock and no end: something posts to itself, or sets a timer of 0 ms, for ever",
			ROUNDS);
}

static void advance_again(struct ch_test *t, void *arg)
{
	ch_test_advance(t, *(int64_t *)arg);
}

void ch_test_advance(struct ch_test *t, int64_t ms)
{
	int64_t until = chi_clock() + ms * 1000, next = chi_world_next();
	if (next >= 0 && next <= until)
		chi_sweep(t, advance_again, &ms, "what %lld ms brought", (long long)ms);
	chi_test_run(t);
	while ((next = chi_world_next()) >= 0 && next <= until) {
		chi_world_move(next);
		chi_test_run(t);
	}
	chi_world_move(until);
	chi_degraded_tick(); /* the daemon's house loop does it twice a second */
}

void ch_test_wall(struct ch_test *t, int64_t ms)
{
	(void)t;
	chi_world_wall(ms * 1000);
}

bool ch_test_fd_ready(struct ch_test *t, int fd, int events)
{
	bool any = chi_world_fd(fd, events);
	chi_test_run(t);
	return any;
}

int ch_test_fd_watched(struct ch_test *t, int fd)
{
	(void)t;
	return chi_world_watched(fd);
}

bool ch_test_fail_alloc(struct ch_test *t, unsigned long n)
{
	(void)t;
	return chi_world_fail_alloc(n);
}

/* ---- life ---- */

static struct ch_loop *new_loop(struct ch_test *t, const char *name)
{
	struct ch_loop *l = chi_loop_new(chi_around.nloops, name);
	if (!chi_slots_new(l) || !chi_http_new(l, &t->shared))
		abort();
	chi_around.loops[chi_around.nloops++] = l;
	return l;
}

struct ch_test *ch_test_new(void)
{
	char why[256];
	struct ch_test *t = chi_test_alloc(sizeof *t);
	t->abandoned = chi_test;
	chi_test = t;
	chi_world_new();
	chi_vlog_clear();
	chi_degraded_clear();
	chi_capabilities_clear();
	if (!chi_stats_init(why, sizeof why))
		abort();
	chi_around = (struct chi_surroundings){ 0 };
	t->worker = new_loop(t, "worker-0");
	t->house = new_loop(t, "house");
	t->jobs_tail = &t->jobs;
	t->ini = chi_test_copy("");
	t->errors = chi_test_copy("");
	chi_gen_retired = NULL; /* reap looks for itself */
	t->server = (struct ch_server){ .size = sizeof t->server, .version = "0.0.0", .profile = "dev", .state_dir = "/", .workers = 1,
		.check_timeout_ms = 5000, .ready = true, .started_wall = chi_wall() / 1000000 };
	ch_test_peer(t, "127.0.0.1");
	chi_inside_start(t);
	chi_look_start(t);
	return t;
}

void ch_test_expect_misuse(struct ch_test *t)
{
	t->misuse_expected = true;
}

static struct chi_known *add_known(struct ch_test *t)
{
	struct chi_known *k = chi_test_alloc(sizeof *k), **at = &t->known;
	while (*at)
		at = &(*at)->next;
	return *at = k;
}

void ch_test_plugin(struct ch_test *t, ch_plugin_entry entry)
{
	const struct ch_plugin *p = entry(&chi_host);
	if (!p || p->size != sizeof *p || p->abi_major != CH_ABI_MAJOR || p->abi_minor != CH_ABI_MINOR || !p->name) {
		chi_test_fail("the entry returned no descriptor of plugin interface %d.%d: compile the plugin with this chimera's headers",
			CH_ABI_MAJOR, CH_ABI_MINOR);
		return;
	}
	add_known(t)->plugin = p;
}

void ch_test_service(struct ch_test *t, const char *id, const char *iface, const void *vtable, void *data)
{
	struct chi_known *k = add_known(t);
	char text[128];
	snprintf(text, sizeof text, "%s.enabled=yes", id);
	k->override = chi_test_copy(text);
	k->data = data;
	k->provide = (struct ch_provide){ .iface = iface, .vt = vtable };
	k->desc = (struct ch_plugin){ .size = sizeof k->desc, .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = id,
		.version = "test", .summary = "A provider of the test's", .provides = { &k->provide, 1, sizeof k->provide } };
	k->plugin = &k->desc;
}

void *ch_test_data(const struct ch_svc *svc)
{
	for (const struct chi_known *k = chi_test->known; k; k = k->next)
		if (k->plugin == svc->self->plugin)
			return k->data;
	return NULL;
}

void ch_test_config(struct ch_test *t, const char *ini)
{
	free(t->ini);
	t->ini = chi_test_copy(ini);
}

void ch_test_env(struct ch_test *t, const char *variable)
{
	char **v = realloc(t->env, (t->nenv + 2) * sizeof *v);
	if (!v)
		abort();
	t->env = v;
	v[t->nenv++] = chi_test_copy(variable);
	v[t->nenv] = NULL;
}

const char *ch_test_errors(struct ch_test *t)
{
	return t->errors;
}

struct ch_server *ch_test_server(struct ch_test *t)
{
	return &t->server;
}

/* ---- start ---- */

static const struct ch_plugin *find_plugin(void *arg, const char *name, char *why, size_t cap)
{
	const struct ch_test *t = arg;
	for (const struct chi_known *k = t->known; k; k = k->next)
		if (!strcmp(k->plugin->name, name))
			return k->plugin;
	snprintf(why, cap, "the test knows no plugin %s: ch_test_plugin makes it known", name);
	return NULL;
}

static void list_plugins(void *arg, void (*fn)(void *, const char *), void *fn_arg)
{
	const struct ch_test *t = arg;
	for (const struct chi_known *k = t->known; k; k = k->next)
		fn(fn_arg, k->plugin->name);
}

/* The config's text as a file, which is what the engine reads. */
static void write_ini(const struct ch_test *t, char *path, size_t cap)
{
	const char *dir = getenv("TMPDIR");
	snprintf(path, cap, "%s/chimera-test-XXXXXX", dir && *dir == '/' ? dir : "/tmp");
	int fd = mkstemp(path);
	size_t n = strlen(t->ini);
	if (fd < 0 || write(fd, t->ini, n) != (ssize_t)n || close(fd))
		chi_test_fail("no temporary file can be written as %s: the config has to pass through one", path);
}

static void keep_errors(struct ch_test *t, const struct chi_report *report, const char *path)
{
	size_t n = 0;
	char line[4096];
	for (const struct chi_problem *p = chi_report_first(report); p; p = p->next) {
		struct chi_problem shown = *p;
		if (shown.file && !strcmp(shown.file, path))
			shown.file = SHOWN;
		chi_report_format(&shown, line, sizeof line);
		chi_test_append(&t->errors, &n, line, strlen(line));
		chi_test_append(&t->errors, &n, "\n", 1);
	}
}

static struct chi_gen *build(struct ch_test *t, struct chi_report *report)
{
	char path[512];
	const char *overrides[64];
	size_t n = 0;
	for (const struct chi_known *k = t->known; k && n < 63; k = k->next)
		if (k->override)
			overrides[n++] = k->override;
	overrides[n] = NULL;
	write_ini(t, path, sizeof path);
	const struct chi_conf_args args = { .file = path, .overrides = overrides, .env = t->env, .find_plugin = find_plugin,
		.list_plugins = list_plugins, .arg = t };
	struct chi_conf *conf = chi_conf_load(&args, report);
	unlink(path);
	struct chi_gen *g = conf ? chi_gen_build(conf, t->gen, NULL, report) : NULL;
	if (g && !chi_gen_check(g, report)) {
		chi_gen_free(g);
		g = NULL;
	}
	keep_errors(t, report, path);
	return g;
}

static void no_step(const char *name)
{
	(void)name;
}

bool ch_test_start(struct ch_test *t)
{
	char why[512];
	free(t->errors);
	t->errors = chi_test_copy("");
	if (t->ngens == sizeof t->gens / sizeof *t->gens) {
		chi_test_fail("%zu generations live at once: let the requests of old ones end before another start", t->ngens);
		return false;
	}
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = build(t, report);
	chi_report_free(report);
	if (!g)
		return false;
	chi_log_level_set(g->conf->log->level);
	if (!chi_gen_start(g, t->gen, no_step, why, sizeof why)) {
		free(t->errors);
		strcat(why, "\n");
		t->errors = chi_test_copy(why);
		chi_gen_free(g);
		return false;
	}
	struct chi_gen *prev = t->gen;
	chi_gen_swap(g, prev);
	atomic_store(&g->loops_left, chi_around.nloops);
	t->gen = t->gens[t->ngens++] = g;
	g->id = ++t->server.generation;
	for (unsigned i = 0; i < chi_around.nloops; i++) {
		struct ch_loop *l = chi_around.loops[i];
		chi_world_enter(l);
		chi_http_configure(l->http, g);
		chi_gen_enter(l, g);
		chi_world_enter(NULL);
	}
	chi_gen_swapped(g, prev);
	chi_test_run(t);
	return true;
}

/* ---- the end ---- */

static uint64_t held(const struct ch_test *t)
{
	uint64_t n = 0;
	for (size_t k = 0; k < t->ngens; k++) {
		for (unsigned i = 0; i < chi_around.nloops; i++)
			n += t->gens[k]->loops[i].held;
		for (size_t i = 0; i < t->gens[k]->ninsts; i++)
			n += atomic_load(&t->gens[k]->insts[i]->tasks);
	}
	return n;
}

bool chi_test_busy(const struct ch_test *t)
{
	return held(t) > 0;
}

static void close_everything(struct ch_test *t)
{
	for (unsigned i = 0; i < chi_around.nloops; i++) {
		chi_world_enter(chi_around.loops[i]);
		chi_http_close_all(chi_around.loops[i]->http);
		chi_tasks_gone(chi_around.loops[i]);
		chi_world_enter(NULL);
	}
	t->pool = CH_TEST_AUTO;
	chi_test_run(t);
	int64_t until = chi_clock() + PATIENCE, next;
	while (held(t) && (next = chi_world_next()) >= 0 && next <= until) {
		chi_world_move(next);
		chi_test_run(t);
	}
}

static void judge(struct ch_test *t, bool stopped)
{
	const char *maker;
	size_t n;
	if (!stopped)
		return;
	if ((n = chi_world_timers(&maker)))
		chi_test_fail("%zu timers are left after stop, the oldest was made by %s: ch_timer_free them when their work ends, or in "
			      "loop_stop",
			n, maker);
	if ((n = chi_world_watches(&maker)))
		chi_test_fail("%zu watches are left after stop, the oldest was made by %s: ch_watch_free them when their work ends, or in "
			      "loop_stop",
			n, maker);
	if (t->misuse_expected)
		return;
	if (chi_world_misuse())
		chi_test_fail("%s", chi_world_misuse());
	if (ch_test_metric(t, "chimera_misuse_total", NULL) > 0)
		chi_test_fail("a plugin broke %g rules of plugin.h (ch_test_expect_misuse, if that is the test): the log says\n%s",
			ch_test_metric(t, "chimera_misuse_total", NULL), ch_test_log(t));
	if (ch_test_metric(t, "chimera_hook_errors_total", NULL) > 0)
		chi_test_fail(
			"%g calls into plugins ended with ERROR or broke the rules of plugin.h (ch_test_expect_misuse, if that is the "
			"test): the log says\n%s",
			ch_test_metric(t, "chimera_hook_errors_total", NULL), ch_test_log(t));
}

static void free_loops(void)
{
	while (chi_around.nloops) {
		struct ch_loop *l = chi_around.loops[--chi_around.nloops];
		chi_http_free(l->http);
		chi_arena_pool_free(l);
		chi_slots_free(l);
		chi_loop_free(l);
	}
}

static void free_known(struct ch_test *t)
{
	while (t->known) {
		struct chi_known *k = t->known;
		t->known = k->next;
		free(k->override);
		free(k);
	}
	while (t->nenv)
		free(t->env[--t->nenv]);
	free(t->env);
	free(t->ini);
	free(t->errors);
}

void ch_test_free(struct ch_test *t)
{
	if (!t)
		return;
	chi_world_fail_alloc(0);
	close_everything(t);
	if (held(t))
		chi_test_fail(
			"%llu units of work are still suspended, %zu tickets are out: whoever was handed a ticket must call ch_resume "
			"once (or ch_unsuspend), also after GONE and TIMEOUT",
			(unsigned long long)held(t), chi_slots_used(t->worker) + chi_slots_used(t->house));
	chi_test_run(t);
	bool stopped = !held(t);
	for (unsigned i = 0; stopped && i < chi_around.nloops; i++) {
		chi_world_enter(chi_around.loops[i]);
		chi_gen_leave(chi_around.loops[i]);
		chi_world_enter(NULL);
	}
	chi_test_run(t); /* reaps, and again when tasks that were begun on the way out are dropped */
	judge(t, stopped);
	chi_test = t->abandoned;
	if (!stopped)
		return; /* what is suspended may still come back to all this: better a leak than worse */
	chi_peers_free(t);
	chi_inside_free(t);
	chi_commands_free(t);
	chi_look_free(t);
	chi_vlog_clear();
	free_loops();
	free_known(t);
	free(t);
}
