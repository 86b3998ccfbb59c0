/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/host.h"
#include "core/plugin/loader.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif
#if __has_include("core/commit.h")
#include "core/commit.h" /* made by the build */
#endif
#ifndef CHIMERA_COMMIT
#define CHIMERA_COMMIT "unknown"
#endif

extern char **environ;
struct chi_daemon chi_daemon = { .wake = -1 };

/* ---- config ---- */

static void on_server(void *arg, const struct chi_server_conf *s)
{
	(void)arg;
	chi_loader_folder(s->plugin_dir, s->profile == CHI_PROFILE_PROD);
}

static const struct ch_plugin *find_plugin(void *arg, const char *name, char *why, size_t cap)
{
	(void)arg;
	return chi_loader_find(name, why, cap);
}

static void list_plugins(void *arg, void (*fn)(void *, const char *), void *fn_arg)
{
	(void)arg;
	chi_loader_list(fn, fn_arg);
}

struct plugin_walk {
	void (*fn)(void *, const struct ch_plugin *);
	void *arg;
};

static void on_plugin_name(void *arg, const char *name)
{
	const struct plugin_walk *w = arg;
	char why[256];
	const struct ch_plugin *p = chi_loader_find(name, why, sizeof why);
	if (p)
		w->fn(w->arg, p);
}

/* A running server loads nothing that it was not told to. */
static void walk_plugins(void (*fn)(void *, const struct ch_plugin *), void *arg)
{
	if (!chi_daemon.gen)
		chi_loader_list(on_plugin_name, &(struct plugin_walk){ fn, arg });
}

bool chi_config_default(const char *program)
{
	if (!chi_daemon.file && !access(CHI_DEFAULT_CONF, F_OK))
		chi_daemon.file = CHI_DEFAULT_CONF;
	if (!chi_daemon.file && program)
		fprintf(stderr, "%s: there is no %s: name a config file with -c FILE\n", program, CHI_DEFAULT_CONF);
	return chi_daemon.file;
}

struct chi_conf *chi_config_load(struct chi_report *report)
{
	return chi_conf_load(&(struct chi_conf_args){ .file = chi_daemon.file,
				     .overrides = chi_daemon.overrides,
				     .env = environ,
				     .on_server = on_server,
				     .find_plugin = find_plugin,
				     .list_plugins = list_plugins },
		report);
}

struct chi_gen *chi_config_build(struct chi_report *report)
{
	struct chi_conf *conf = chi_config_load(report);
	chi_around.plugins = walk_plugins;
	struct chi_gen *g = conf ? chi_gen_build(conf, chi_daemon.gen, NULL, report) : NULL;
	if (!g)
		return NULL;
	chi_protect(g, report);
	chi_gen_check(g, report);
	if (!chi_report_errors(report))
		return g;
	chi_gen_free(g);
	return NULL;
}

/* ---- steps ---- */

void chi_step(const char *name)
{
	static char text[80];
	int64_t now = chi_clock();
	const char *was = atomic_load(&chi_daemon.step);
	if (was) {
		struct chi_log_kv kv[] = {
			{ .key = "step", .type = CHI_LOG_STR, .s = { was, strlen(was) } },
			{ .key = "duration_s", .type = CHI_LOG_DOUBLE, .d = (double)(now - atomic_load(&chi_daemon.step_since)) / 1e6 },
		};
		chi_log(CH_DEBUG, &(struct chi_log_fields){ .kv = kv, .nkv = 2 }, "startup step done");
	}
	atomic_store(&chi_daemon.step, NULL);
	if (name)
		snprintf(text, sizeof text, "%s", name);
	atomic_store(&chi_daemon.step_since, now);
	atomic_store(&chi_daemon.step, name ? text : NULL);
}

/* ---- what health sees ---- */

static void server_info(struct ch_server *s)
{
	s->version = CHIMERA_VERSION;
	s->profile = chi_profile_name(chi_daemon.profile);
	s->state_dir = chi_daemon.state_dir;
	s->started_wall = chi_daemon.started_wall;
	s->uptime = (double)(chi_clock() - chi_daemon.started) / 1e6;
	s->vendor_pings = chi_daemon.vendor_pings;
	s->check_timeout_ms = chi_daemon.check_timeout;
	s->ready = atomic_load(&chi_daemon.ready);
	s->draining = atomic_load(&chi_daemon.draining);
	s->workers = chi_daemon.nworkers;
	s->stalled = chi_loops_stalled();
	s->loop_lag = chi_loops_lag();
	s->connections = (uint64_t)atomic_load(&chi_daemon.shared.connections);
	s->requests = atomic_load(&chi_daemon.shared.requests);
	s->generation = atomic_load(&chi_daemon.generation);
}

/* ---- the start ---- */

static int fail(int code, const char *why)
{
	chi_log(CH_ERR, NULL, "%s", why);
	return code;
}

static int start_loops(struct chi_gen *g, char *why, size_t cap)
{
	const struct chi_conf *conf = g->conf;
	chi_metrics_set_cap((unsigned)conf->server->max_metric_series);
	chi_step("loops");
	chi_raise_descriptors(conf->server->max_connections * 2 + 256);
	if (!chi_stats_init(why, cap) || !chi_offload_start((unsigned)conf->server->offload_threads) || !chi_loops_start(conf, why, cap))
		return CHI_EXIT_OSERR;
	/* Ports may need root, and what plugins make must belong to whom the server becomes. */
	if (!chi_listeners_bind(conf, why, cap) || !chi_become(conf->server->user, why, cap))
		return CHI_EXIT_UNAVAILABLE;
	prctl(PR_SET_DUMPABLE, conf->server->core_dumps); /* again: the system takes it back from who becomes another user */
	chi_step("plugins");
	if (!chi_gen_start(g, NULL, chi_step, why, cap))
		return CHI_EXIT_UNAVAILABLE;
	chi_take(g);
	chi_step("listen");
	if (!chi_listeners_open(why, cap))
		return CHI_EXIT_UNAVAILABLE;
	if (chi_inherited_left())
		chi_log(CH_WARN, NULL, "%u inherited sockets are named by no listen key: they stay unused", chi_inherited_left());
	return 0;
}

int chi_boot(void)
{
	char why[512] = "";
	chi_daemon.started = chi_clock();
	chi_daemon.started_wall = chi_wall() / 1000000;
	chi_gen_retired = chi_retired;
	chi_around.offload = chi_offload;
	chi_around.reload = chi_reload_ask;
	chi_around.server = server_info;
	chi_around.checks_walk = chi_checks_walk;
	chi_metrics_process(CHIMERA_VERSION, CHIMERA_COMMIT);
	chi_reload_init();
	chi_step("config");
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);
	if (!g) {
		chi_report_print(report, stderr, false);
		chi_report_free(report);
		return CHI_EXIT_CONFIG;
	}
	const struct chi_conf *conf = g->conf;
	chi_daemon.profile = conf->server->profile;
	chi_daemon.vendor_pings = conf->server->startup_vendor_pings;
	chi_daemon.check_timeout = conf->server->startup_check_timeout;
	chi_daemon.state_dir = strdup(conf->server->state_dir);
	chi_daemon.step_timeout = conf->server->startup_step_timeout;
	prctl(PR_SET_DUMPABLE, conf->server->core_dumps); /* what is secret so far lies in memory that no core file has */
	chi_step("state_dir");
	if (!chi_state_dir_make(conf->server, why, sizeof why)) {
		chi_report_free(report);
		chi_gen_free(g);
		return fail(CHI_EXIT_UNAVAILABLE, why);
	}
	char target[PATH_MAX];
	bool stream = !strcmp(conf->log->target, "stderr") || !strcmp(conf->log->target, "stdout");
	snprintf(target, sizeof target, "%s%s%s", stream || *conf->log->target == '/' ? "" : conf->server->state_dir,
		stream || *conf->log->target == '/' ? "" : "/", conf->log->target); /* data: below state_dir */
	struct chi_log_setup log = { .level = conf->log->level, .format = conf->log->format, .target = target };
	if (!chi_log_start(&log, why, sizeof why)) {
		chi_report_free(report);
		chi_gen_free(g);
		return fail(CHI_EXIT_UNAVAILABLE, why);
	}
	chi_report_log(report);
	chi_report_free(report);
	if (getuid() == 0 && conf->server->profile == CHI_PROFILE_PROD && !*conf->server->user)
		chi_log(CH_WARN, NULL, "running as root: set [server] user, so that a fault in a plugin is not root's");
	int code = start_loops(g, why, sizeof why);
	if (code) {
		if (chi_daemon.gen != g)
			chi_gen_free(g); /* no loop has it */
		return fail(code, why);
	}
	chi_step(NULL);
	atomic_store(&chi_daemon.ready, true);
	chi_notify("READY=1\nSTATUS=serving");
	struct chi_log_kv kv[] = {
		{ .key = "version", .type = CHI_LOG_STR, .s = { CHIMERA_VERSION, strlen(CHIMERA_VERSION) } },
		{ .key = "workers", .type = CHI_LOG_INT, .i = chi_daemon.nworkers },
		{ .key = "startup_s", .type = CHI_LOG_DOUBLE, .d = (double)(chi_clock() - chi_daemon.started) / 1e6 },
	};
	chi_log(CH_INFO, &(struct chi_log_fields){ .kv = kv, .nkv = 3 }, "ready");
	return 0;
}
