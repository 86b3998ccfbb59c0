/* SPDX-License-Identifier: Apache-2.0 */
/* chimerad: arguments, then signals. All work is done by the boot thread, the loops and the pools. */
#include "core/daemon/daemon.h"

#include "core/log/log.h"
#include "core/plugin/misuse.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif
#define STEP_DEFAULT_MS 10000
#define REAP_MS 20
#define WAIT_US 5000000 /* that a reload waits for older configs to end before it says so */

static const char *overrides[256];

static void usage(FILE *out)
{
	fputs("usage: chimerad [-c FILE] [-o SECTION.KEY=VALUE]... [-t | -T] [-V]\n"
	      "  -c, --config FILE   read FILE (default: " CHI_DEFAULT_CONF ")\n"
	      "  -o, --option S.K=V  set a key; stronger than environment and file\n"
	      "  -t, --check         check the config, tell all its errors, exit (78 if there are any)\n"
	      "  -T, --dump-config   print the effective config with the origin of each value, exit\n"
	      "      --strict        for authors of plugins: stop at once when a plugin breaks a rule of the SDK\n"
	      "  -V, --version       print the version, exit\n"
	      "  -h, --help          this text\n", out);
}

/* Descriptors 0 to 2 must be somebody's, or the first socket becomes stdout. */
static void sane_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			_exit(CHI_EXIT_OSERR);
}

/*
 * Variables may be secrets, and the stack, where they lie, is part of a core file and of /proc/PID/environ. They move to pages that are neither;
 * a reload reads them there.
 */
static void hide_environment(void)
{
	size_t n = 0, bytes = 0;
	for (; environ[n]; n++)
		bytes += strlen(environ[n]) + 1;
	char **list = calloc(n + 1, sizeof *list);
	char *text = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!list || text == MAP_FAILED)
		return; /* the start will find that there is no memory */
	madvise(text, bytes + 1, MADV_DONTDUMP);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(environ[i]) + 1;
		list[i] = memcpy(text, environ[i], len);
		explicit_bzero(environ[i], len);
		text += len;
	}
	environ = list;
}

static void stop_on_misuse(const char *plugin, const char *sentence)
{
	chi_log_flush(200);
	fprintf(stderr, "chimerad: stopped (--strict) by a bug in a plugin (%s): %s\n", plugin, sentence);
	abort();
}

static int check_only(bool dump)
{
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);
	chi_report_print(report, stderr, false);
	if (g && dump)
		chi_conf_dump(g->conf, stdout, false);
	else if (g)
		fprintf(stderr, "%s: ok\n", chi_daemon.file ? chi_daemon.file : "environment");
	int code = g ? 0 : CHI_EXIT_CONFIG;
	chi_gen_free(g);
	chi_report_free(report);
	return code;
}

/* ---- work beside the main thread ---- */

enum job { JOB_NONE, JOB_BOOT, JOB_RELOAD, JOB_REAP, JOB_LOOK, JOB_DRAIN };

static struct {
	pthread_t thread;
	enum job job;
	atomic_bool done;
	bool told;  /* that it hangs */
	bool stale; /* a look has found a watched file that changed */
	int code;
} worker;

static int64_t drain_deadline, reap_at;

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* Is nobody left who has something to pass on? Else why it takes so long: who. */
static bool drained(const char **who)
{
	const struct chi_gen *g = chi_daemon.gen;
	*who = NULL;
	for (size_t i = 0; i < g->ninsts && !*who; i++) {
		struct ch_self *self = &g->insts[i]->self;
		if (self->plugin->drained && !self->plugin->drained(self))
			*who = self->id;
	}
	return !*who;
}

/* Not ready any more, still serving; then no new connections; then the last ones end, and what is to be passed on; then everything. */
static void drain(void)
{
	const char *who;
	const struct chi_server_conf *s = chi_daemon.gen->conf->server;
	int64_t begin = chi_clock(), end = begin + s->drain_timeout * 1000;
	/* drain_timeout is the whole of it: the last part is kept for stopping what was cut. */
	int64_t margin = s->drain_timeout / 5 < 1000 ? s->drain_timeout / 5 : 1000, cut = end - margin * 1000;
	pause_ms((int)s->drain_delay);
	chi_log(CH_INFO, NULL, "draining: no new connections, %zu are open", chi_loops_busy());
	chi_loops_listen_stop();
	while (chi_loops_busy() && chi_clock() < cut) {
		pause_ms(10);
		chi_loops_listen_stop(); /* those whose answer promised to keep the connection are idle by and by */
	}
	size_t left = chi_loops_busy();
	if (left)
		chi_log(CH_WARN, NULL, "drain_timeout is nearly over: %zu connections are cut", left);
	while (!drained(&who) && chi_clock() < cut)
		pause_ms(5);
	if (who)
		chi_log(CH_WARN, NULL, "drain_timeout is nearly over: %s has not passed on all that it has", who);
	chi_offload_stop();
	chi_loops_empty();
	while (!chi_reap() && chi_clock() < end) /* the loops still run: who holds a ticket resumes it there */
		pause_ms(5);
	chi_loops_stop();
	chi_listeners_unlink();
}

static void reap(void)
{
	chi_step("stop what a reload has replaced");
	chi_reap();
	chi_step(NULL);
}

/* Not on the main thread: a file may lie on a network drive that does not answer. */
static void look(void)
{
	chi_step("look at watched files");
	const char *path = chi_reload_stale();
	chi_step(NULL);
	if (!path)
		return;
	chi_log(CH_INFO, NULL, "a watched file has changed: %s: reloading", path);
	worker.stale = true;
}

static void *run_job(void *arg)
{
	(void)arg;
	if (worker.job == JOB_BOOT)
		worker.code = chi_boot();
	else if (worker.job == JOB_RELOAD)
		chi_reload();
	else if (worker.job == JOB_REAP)
		reap();
	else if (worker.job == JOB_LOOK)
		look();
	else
		drain();
	atomic_store(&worker.done, true);
	if (eventfd_write(chi_daemon.wake, 1))
		abort();
	return NULL;
}

static void begin_job(enum job job)
{
	worker.job = job;
	worker.told = false;
	atomic_store(&worker.done, false);
	int rc = pthread_create(&worker.thread, NULL, run_job, NULL);
	if (rc) {
		chi_log(CH_ERR, NULL, "no thread for start, reload or drain: %s", strerror(rc));
		_exit(CHI_EXIT_OSERR);
	}
}

struct pending {
	bool stop, reload;
	int64_t waits_since; /* the reload, for older configs to end; 0: it does not */
};

/* A step that hangs cannot be ended, so the process is: during the start at once, during a reload when it is to stop anyway. */
static void check_step(const struct pending *p)
{
	const char *step = atomic_load(&chi_daemon.step);
	int64_t limit = atomic_load(&chi_daemon.step_timeout);
	limit = limit ? limit : STEP_DEFAULT_MS;
	if (!step || chi_clock() - atomic_load(&chi_daemon.step_since) < limit * 1000)
		return;
	if (worker.job == JOB_BOOT) {
		fprintf(stderr, "chimerad: the startup step '%s' is not done after %lld ms: see [server] startup_step_timeout\n", step,
		        (long long)limit);
		_exit(CHI_EXIT_UNAVAILABLE);
	}
	bool reloads = worker.job == JOB_RELOAD || worker.job == JOB_REAP || worker.job == JOB_LOOK;
	if (reloads && !worker.told) {
		worker.told = true;
		chi_log(CH_ERR, NULL, "the reload's step '%s' is not done after %lld ms: the server goes on, and only a restart ends this", step,
		        (long long)limit);
	}
	if (reloads && p->stop) {
		chi_log(CH_WARN, NULL, "stopping without a drain: the reload hangs");
		chi_log_flush(200);
		chi_listeners_unlink();
		_exit(0);
	}
}

static void begin_drain(void)
{
	const struct chi_server_conf *s = chi_daemon.gen->conf->server;
	drain_deadline = chi_clock() + s->drain_timeout * 1000 + 2000000;
	atomic_store(&chi_daemon.draining, true);
	atomic_store(&chi_daemon.shared.draining, 1);
	chi_notify("STOPPING=1\nSTATUS=draining");
	chi_log(CH_INFO, NULL, "stopping: not ready any more, serving on for drain_delay");
	chi_reload_never();
	begin_job(JOB_DRAIN);
}

static void on_signal(int sig, struct pending *p)
{
	if (sig == SIGHUP) {
		chi_log_reopen();
		p->reload = true;
		return;
	}
	if (p->stop || !atomic_load(&chi_daemon.ready)) { /* the second time, or during the start: at once */
		chi_log_flush(200);
		chi_listeners_unlink();
		_exit(0);
	}
	p->stop = true;
}

/* Milliseconds between two looks at the watched files; 0: there are none, or they are not to be looked at. */
static int64_t watch_interval(void)
{
	const struct chi_conf *conf = chi_daemon.gen ? chi_daemon.gen->conf : NULL;
	return conf && conf->server->watch_interval > 0 && chi_conf_watches(conf) ? conf->server->watch_interval : 0;
}

static int idle_ms(void)
{
	int64_t ms = chi_reap_due() ? REAP_MS : watch_interval();
	return ms && ms < 500 ? (int)ms : 500;
}

static bool watch_due(void)
{
	static int64_t next;
	int64_t now = chi_clock(), ms = watch_interval();
	if (!ms || now < next)
		return false;
	next = now + ms * 1000;
	return true;
}

/* Mostly it is a matter of milliseconds. */
static void wait_for_generations(struct pending *p)
{
	int64_t now = chi_clock();
	if (!p->waits_since)
		p->waits_since = now;
	if (p->waits_since < 0 || now - p->waits_since < WAIT_US)
		return;
	p->waits_since = -1; /* said once */
	chi_log(CH_WARN, NULL, "the reload waits: %u older configs are still alive, because streams or tasks that began under them have not ended",
	        chi_generations() - 1);
	chi_reload_later();
}

/* Returns the exit code when there is one, else -1. */
static int after_job(struct pending *p)
{
	enum job job = worker.job;
	if (job != JOB_NONE && !atomic_load(&worker.done))
		return -1;
	if (job != JOB_NONE) {
		pthread_join(worker.thread, NULL);
		worker.job = JOB_NONE;
	}
	if (job == JOB_DRAIN)
		return 0;
	if (job == JOB_BOOT && worker.code)
		return worker.code;
	if (job == JOB_RELOAD)
		chi_notify("READY=1\nSTATUS=serving");
	if (job == JOB_LOOK && worker.stale) {
		worker.stale = false;
		p->reload = true;
	}
	if (p->stop) {
		begin_drain();
	} else if (p->reload && chi_generations() < CHI_GENERATIONS) {
		p->reload = false; /* however many SIGHUPs came meanwhile, they are one reload */
		p->waits_since = 0;
		char text[64];
		snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)chi_clock());
		chi_notify(text);
		begin_job(JOB_RELOAD);
	} else if (chi_reap_due() && chi_clock() >= reap_at) {
		reap_at = chi_clock() + REAP_MS * 1000; /* one that cannot be stopped yet is looked at again */
		begin_job(JOB_REAP);
	} else if (p->reload) {
		wait_for_generations(p);
	} else if (watch_due()) {
		begin_job(JOB_LOOK);
	}
	return -1;
}

static int serve(int signals)
{
	struct pending p = { false, false, 0 };
	begin_job(JOB_BOOT);
	for (;;) {
		struct pollfd v[2] = { { signals, POLLIN, 0 }, { chi_daemon.wake, POLLIN, 0 } };
		poll(v, 2, worker.job == JOB_NONE ? idle_ms() : 50);
		struct signalfd_siginfo si;
		eventfd_t n;
		while (read(signals, &si, sizeof si) == (ssize_t)sizeof si)
			on_signal((int)si.ssi_signo, &p);
		while (!eventfd_read(chi_daemon.wake, &n))
			;
		chi_loops_watch_house();
		p.reload |= chi_reload_wanted();
		if (p.stop && p.reload)
			chi_reload_never();
		int code = after_job(&p);
		if (code >= 0)
			return code;
		check_step(&p);
		if (drain_deadline && chi_clock() > drain_deadline) {
			chi_log(CH_WARN, NULL, "the drain does not end: something blocks; exiting");
			chi_log_flush(200);
			_exit(0);
		}
	}
}

static int parse(int argc, char **argv, char *mode)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "option", required_argument, NULL, 'o' }, { "check", no_argument, NULL, 't' },
		{ "strict", no_argument, NULL, 's' },
		{ "dump-config", no_argument, NULL, 'T' }, { "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	int opt, n = 0;
	while ((opt = getopt_long(argc, argv, "c:o:tTVh", longs, NULL)) != -1) {
		if (opt == 'c')
			chi_daemon.file = optarg;
		else if (opt == 'o' && n < 255)
			overrides[n++] = optarg;
		else if (opt == 's')
			chi_strict = stop_on_misuse;
		else if (opt == 't' || opt == 'T')
			*mode = (char)opt;
		else if (opt == 'V' || opt == 'h')
			*mode = (char)opt;
		else
			return CHI_EXIT_USAGE;
	}
	if (optind < argc) {
		fprintf(stderr, "chimerad: '%s' is no option\n", argv[optind]);
		return CHI_EXIT_USAGE;
	}
	chi_daemon.overrides = overrides;
	return 0;
}

int main(int argc, char **argv)
{
	char mode = 0;
	sane_descriptors();
	int code = parse(argc, argv, &mode);
	if (code || mode == 'h') {
		usage(code ? stderr : stdout);
		return code;
	}
	if (mode == 'V') {
		puts("chimerad " CHIMERA_VERSION);
		return 0;
	}
	if (!chi_config_default("chimerad"))
		return CHI_EXIT_CONFIG;
	if (mode)
		return check_only(mode == 'T');
	hide_environment();
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	chi_daemon.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (signals < 0 || chi_daemon.wake < 0) {
		fprintf(stderr, "chimerad: no descriptors: %s\n", strerror(errno));
		return CHI_EXIT_OSERR;
	}
	chi_inherited_init();
	code = serve(signals);
	chi_listeners_unlink();
	if (!code)
		chi_log(CH_INFO, NULL, "stopped");
	chi_log_stop(1000);
	return code;
}
