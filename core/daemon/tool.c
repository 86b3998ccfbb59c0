/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One command in a process of its own: the instance that has it and those that it uses, one loop (it is the house loop), the offload pool;
 * no listeners, no checks, no tasks by the clock. The main thread starts and stops all that and waits, for the end or a signal.
 */
#include "core/daemon/daemon.h"

#include "core/log/log.h"
#include "core/plugin/command.h"
#include "core/plugin/cron.h"
#include "core/plugin/host.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif

static struct {
	struct chi_gen *gen;
	struct ch_loop *loop;
	pthread_t thread;
	bool runs;        /* there is a thread */
	struct chi_command cmd;
	size_t argc;
	const char *const *argv;
	bool json;
	chi_tool_bar bar; /* or NULL */
	int wake;         /* eventfd: something for the main thread to look at */
	int cut;          /* eventfd, readable from the first signal on: no output waits for its reader any more */
	atomic_int signals;
	atomic_bool ended;
	atomic_bool left; /* the loop has let the generation go */
	int code;
	int unwritten;    /* errno of what stdout could not take */
} tool;

static void wake(int fd)
{
	if (eventfd_write(fd, 1))
		return; /* its counter is full: it is readable as it is */
}

/* ---- output, on the loop ---- */

/* Waits for whoever reads: this process has nothing else to do. False: nobody does. */
static bool write_all(const char *p, size_t n)
{
	while (n) {
		struct pollfd v[2] = { { STDOUT_FILENO, POLLOUT, 0 }, { tool.cut, POLLIN, 0 } };
		if (poll(v, 2, -1) < 0)
			continue; /* a signal, which makes the second one readable */
		if (v[1].revents)
			return false;
		ssize_t k = write(STDOUT_FILENO, p, n < PIPE_BUF ? n : PIPE_BUF); /* a pipe with any room takes that without waiting */
		if (k < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (k < 0) {
			tool.unwritten = errno;
			return false;
		}
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static struct ch_jw writer(void)
{
	struct ch_jw w;
	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	return w;
}

static bool write_json(struct ch_jw *w)
{
	bool ok = !w->failed && write_all(w->buf, w->len);
	free(w->buf);
	return ok;
}

static void take_bar_away(void)
{
	if (tool.bar)
		tool.bar(0, 0, NULL);
}

static int on_out(struct chi_command *cmd, const char *p, size_t n)
{
	struct ch_jw w = writer();
	(void)cmd;
	take_bar_away();
	if (!tool.json)
		return write_all(p, n) ? CH_OK : CH_DONE;
	chi_command_line(&w, p, n);
	return write_json(&w) ? CH_OK : CH_DONE;
}

static void on_progress(struct chi_command *cmd, uint64_t done, uint64_t total, const char *what)
{
	struct ch_jw w = writer();
	(void)cmd;
	if (tool.json) {
		chi_command_far(&w, done, total, what);
		write_json(&w); /* if nobody reads, the next piece of output finds it out, or the end does */
	} else if (tool.bar) {
		tool.bar(done, total, what);
	}
}

static void on_ended(struct chi_command *cmd, int code)
{
	(void)cmd;
	take_bar_away();
	tool.code = code;
	atomic_store(&tool.ended, true);
	wake(tool.wake);
}

/* ---- errands to the loop ---- */

struct errand {
	ch_fn fn;
	sem_t done;
};

static void on_errand(void *data)
{
	struct errand *e = data;
	e->fn(NULL);
	sem_post(&e->done);
}

static void on_loop(ch_fn fn)
{
	struct errand e = { .fn = fn };
	sem_init(&e.done, 0, 0);
	if (!chi_loop_post(tool.loop, on_errand, &e))
		abort();
	while (sem_wait(&e.done))
		; /* a signal */
	sem_destroy(&e.done);
}

static void enter(void *data)
{
	(void)data;
	chi_gen_enter(tool.loop, tool.gen);
	for (size_t k = 0; k < tool.gen->ninsts; k++)
		chi_crons_stop(tool.gen->insts[k]); /* who types a command has not asked for these */
}

static void begin(void *data)
{
	(void)data;
	chi_command_run(&tool.cmd, tool.loop, tool.gen, tool.argc, tool.argv);
}

static void give_up(void *data)
{
	(void)data;
	if (!atomic_load(&tool.ended))
		chi_command_gone(&tool.cmd);
}

static void tasks_gone(void *data)
{
	(void)data;
	chi_tasks_gone(tool.loop);
}

static void leave(void *data)
{
	(void)data;
	chi_gen_leave(tool.loop);
}

/* ---- the process around it ---- */

static void server_info(struct ch_server *s)
{
	s->version = CHIMERA_VERSION;
	s->profile = chi_profile_name(chi_daemon.profile);
	s->state_dir = chi_daemon.state_dir;
	s->started_wall = chi_daemon.started_wall;
	s->uptime = (double)(chi_clock() - chi_daemon.started) / 1e6;
	s->vendor_pings = chi_daemon.vendor_pings;
	s->check_timeout_ms = chi_daemon.check_timeout;
}

static void on_left(struct chi_gen *g)
{
	(void)g;
	atomic_store(&tool.left, true);
	wake(tool.wake);
}

static void on_signal(int sig)
{
	(void)sig;
	if (atomic_fetch_add(&tool.signals, 1))
		_exit(CHI_EXIT_SIGNAL); /* the second time: whatever hangs */
	int was = errno;
	wake(tool.cut);
	wake(tool.wake);
	errno = was;
}

static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

static void pause_ms(int ms)
{
	struct pollfd v = { tool.wake, POLLIN, 0 };
	eventfd_t n;
	if (poll(&v, 1, ms) > 0 && eventfd_read(tool.wake, &n))
		return; /* somebody was faster */
}

static void *run_loop(void *arg)
{
	pthread_setname_np(pthread_self(), "house");
	chi_loop_run(arg);
	return NULL;
}

static bool start_loop(char *why, size_t cap)
{
	tool.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	tool.cut = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	tool.loop = chi_loop_new(0, "house");
	if (tool.wake < 0 || tool.cut < 0 || !tool.loop || !chi_slots_new(tool.loop)) {
		snprintf(why, cap, "there are no descriptors or no memory for a loop");
		return false;
	}
	chi_around.loops[chi_around.nloops++] = tool.loop;
	chi_around.offload = chi_offload;
	chi_around.server = server_info;
	chi_around.checks_walk = chi_checks_walk;
	chi_gen_retired = on_left;
	int rc = pthread_create(&tool.thread, NULL, run_loop, tool.loop);
	if (rc)
		snprintf(why, cap, "no thread for the loop: %s", strerror(rc));
	tool.runs = !rc;
	return tool.runs;
}

static int start(char *why, size_t cap)
{
	const struct chi_server_conf *s = tool.gen->conf->server;
	chi_daemon.profile = s->profile;
	chi_daemon.check_timeout = s->startup_check_timeout;
	chi_daemon.state_dir = strdup(s->state_dir);
	prctl(PR_SET_DUMPABLE, s->core_dumps); /* as in the daemon */
	if (!chi_state_dir_make(s, why, cap))
		return CHI_EXIT_UNAVAILABLE;
	if (!chi_offload_start((unsigned)s->offload_threads) || !start_loop(why, cap))
		return CHI_EXIT_OSERR;
	if (!chi_become(s->user, why, cap)) /* what it makes must be the server's own */
		return CHI_EXIT_UNAVAILABLE;
	prctl(PR_SET_DUMPABLE, s->core_dumps); /* as in the daemon; the system takes it back from who becomes another user */
	if (!chi_gen_start(tool.gen, NULL, chi_step, why, cap))
		return CHI_EXIT_UNAVAILABLE;
	chi_step(NULL);
	tool.gen->id = 1;
	chi_gen_swap(tool.gen, NULL);
	atomic_store(&tool.gen->loops_left, 1);
	on_loop(enter);
	chi_gen_swapped(tool.gen, NULL);
	return 0;
}

static void run(void)
{
	bool told = false;
	tool.cmd.out = on_out;
	tool.cmd.progress = on_progress;
	tool.cmd.ended = on_ended;
	catch_signals();
	on_loop(begin);
	while (!atomic_load(&tool.ended)) {
		pause_ms(-1);
		if (atomic_load(&tool.signals) && !told) {
			told = true;
			on_loop(give_up);
		}
	}
}

/* What the loop has entered leaves it and stops. False: not within drain_timeout. */
static bool stop_gen(void)
{
	int64_t ms = tool.gen->conf->server->drain_timeout, end = chi_clock() + (ms > 1000 ? ms : 1000) * 1000;
	on_loop(tasks_gone);
	on_loop(leave);
	while (!atomic_load(&tool.left) || !chi_gen_stop(tool.gen)) {
		if (chi_clock() >= end)
			return false;
		pause_ms(5);
	}
	return true;
}

static bool stop(void)
{
	chi_offload_stop();
	if (tool.loop && tool.loop->gen && !stop_gen())
		return false;
	if (tool.runs) {
		chi_loop_stop(tool.loop);
		pthread_join(tool.thread, NULL);
	}
	chi_gen_free(tool.gen);
	if (tool.loop && tool.loop->slots)
		chi_slots_free(tool.loop);
	if (tool.loop)
		chi_arena_pool_free(tool.loop);
	chi_loop_free(tool.loop);
	free(chi_daemon.state_dir);
	chi_daemon.state_dir = NULL;
	return true;
}

/* ---- what is asked for ---- */

static int find(const char *instance, const char *command, char *why, size_t cap)
{
	struct chi_report *report = chi_report_new();
	struct chi_conf *conf = chi_config_load(report);
	bool known = conf && chi_conf_find(conf, instance);
	if (known)
		tool.gen = chi_gen_build(conf, NULL, instance, report);
	else
		chi_conf_free(conf);
	bool good = tool.gen && chi_gen_check(tool.gen, report);
	chi_report_print(report, stderr, false);
	chi_report_free(report);
	if (conf && !known) {
		snprintf(why, cap, "no enabled section has the id '%.80s': chimeractl run lists what there is", instance);
		return CHI_EXIT_USAGE;
	}
	if (!good)
		return CHI_EXIT_CONFIG;
	tool.cmd.inst = chi_gen_find(tool.gen, instance);
	tool.cmd.row = chi_command_find(tool.cmd.inst, command, why, cap);
	if (!tool.cmd.row || !chi_command_fits(tool.cmd.row, tool.argc, why, cap))
		return CHI_EXIT_USAGE;
	if (tool.cmd.row->modes & CH_OFFLINE)
		return 0;
	snprintf(why, cap, "'%s' needs the running server: start it first", command);
	return CHI_EXIT_UNAVAILABLE;
}

/* The last line. False: it could not be written. */
static bool write_last(void)
{
	struct ch_jw w = writer();
	chi_command_last(&w, tool.code, tool.cmd.why);
	return write_json(&w);
}

static void outcome(char *why, size_t cap)
{
	if (atomic_load(&tool.signals))
		tool.code = CHI_EXIT_SIGNAL;
	else if (tool.json && !write_last() && !tool.unwritten)
		tool.unwritten = ENOMEM;
	if (tool.unwritten && tool.unwritten != EPIPE) {
		tool.code = CHI_EXIT_OSERR;
		snprintf(why, cap, "the output cannot be written: %s", strerror(tool.unwritten));
	} else if (tool.code && tool.code != CHI_EXIT_SIGNAL && !tool.json) {
		snprintf(why, cap, "%s", tool.cmd.why);
	}
}

int chi_tool_run(const char *instance, const char *command, size_t argc, const char *const *argv, bool json, chi_tool_bar bar, char *why,
		 size_t cap)
{
	tool.argc = argc;
	tool.argv = argv;
	tool.json = json;
	tool.bar = bar;
	chi_daemon.started = chi_clock();
	chi_daemon.started_wall = chi_wall() / 1000000;
	*why = 0;
	tool.code = find(instance, command, why, cap);
	if (tool.code) {
		chi_gen_free(tool.gen);
		return tool.code;
	}
	signal(SIGPIPE, SIG_IGN); /* as in the daemon: sockets and stdout say it by EPIPE */
	tool.code = start(why, cap);
	if (!tool.code) {
		run();
		outcome(why, cap);
	}
	if (stop())
		return tool.code;
	if (*why)
		chi_log(CH_ERR, NULL, "%s", why);
	chi_log(CH_ERR, NULL, "[%s] or one that it uses does not stop within drain_timeout: it is left as it is", instance);
	_exit(tool.code); /* its threads still run: nothing may be freed */
}
