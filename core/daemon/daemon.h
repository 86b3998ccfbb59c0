/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/daemon/daemon.h - the process: what main starts, watches, reloads and drains.
 *
 *   main.c     arguments, signals: the main thread does nothing else
 *   boot.c     named steps on the boot thread, from config to ready
 *   reload.c   the second half of it again for a running server, its report, watched files
 *   generations.c  which configs live, who stops them
 *   loops.c    workers and the house loop: threads, heartbeats, who takes a generation when
 *   offload.c  the pool for work that blocks
 *   checks.c   health checks on the house loop, their results cached
 *   notify.c   service manager: readiness, watchdog, inherited sockets
 *   limits.c   cores, users, descriptors
 *   state_dir.c  the folder of our data
 *   tool.c     one command without a server, for chimeractl
 */
#ifndef CHI_DAEMON_H
#define CHI_DAEMON_H

#include <chimera/inspect.h>

#include "core/conf/conf.h"
#include "core/http/http.h"
#include "core/plugin/gen.h"

#ifndef CHIMERA_CONF_DIR
#define CHIMERA_CONF_DIR "/etc/chimera"
#endif
#define CHI_DEFAULT_CONF CHIMERA_CONF_DIR "/chimera.ini"

enum { CHI_EXIT_OK = 0, CHI_EXIT_USAGE = 64, CHI_EXIT_UNAVAILABLE = 69, CHI_EXIT_SOFTWARE = 70, CHI_EXIT_OSERR = 71, CHI_EXIT_NOPERM = 77,
       CHI_EXIT_CONFIG = 78, CHI_EXIT_SIGNAL = 130 };

struct chi_daemon {
	const char *file;               /* -c */
	const char *const *overrides;   /* -o, NULL-ended */
	struct chi_http_shared shared;
	struct chi_gen *gen;            /* current; main and boot thread */
	int64_t started;                /* chi_clock */
	int64_t started_wall;
	unsigned nworkers;
	int profile;                    /* enum chi_profile */
	bool vendor_pings;
	int64_t check_timeout;          /* milliseconds */
	char *state_dir;
	_Atomic int64_t step_timeout;   /* milliseconds; 0: not known yet */
	atomic_bool ready, draining;
	_Atomic(const char *) step;     /* the startup step that runs; NULL when there is none */
	_Atomic int64_t step_since;
	_Atomic uint64_t generation;
	int wake;                       /* eventfd: something for the main thread to look at */
};
extern struct chi_daemon chi_daemon;

/* boot.c */
/* Loads, builds and checks. NULL: errors are in the report. */
struct chi_gen *chi_config_build(struct chi_report *report);
struct chi_conf *chi_config_load(struct chi_report *report);
/* Makes chi_daemon.file the default file if -c named none. False: there is none, which stderr has heard (program NULL: it has not). */
bool chi_config_default(const char *program);
/* The whole start, on the boot thread. An exit code; 0 when ready. */
int chi_boot(void);
void chi_step(const char *name);

/* reload.c */
void chi_reload_init(void);
/* Runs one, on the boot thread; who asked for it before hears its report. */
void chi_reload(void);
void chi_report_log(const struct chi_report *r);
/* [any] Wants a reload; the ticket is resumed with its report, JSON of malloc, or NULL when there will be none. False: no memory. */
bool chi_reload_ask(ch_ticket t);
/* Main thread: was one asked for since the last call? */
bool chi_reload_wanted(void);
/* It cannot be done yet, see CHI_GENERATIONS: who waits is told so. */
void chi_reload_later(void);
/* The server ends: who still waits is told so. */
void chi_reload_never(void);
/* Boot thread, may block: a watched file that has changed, told once; or NULL. */
const char *chi_reload_stale(void);
void chi_reload_taken(const struct chi_conf *conf);

/* generations.c */
void chi_take(struct chi_gen *g);    /* the loops take it; the one before is retired. Boot thread */
void chi_retired(struct chi_gen *g); /* from the last loop that let it go */
#define CHI_GENERATIONS 8 /* of the config, alive at once: a reload waits for the streams of old ones */
unsigned chi_generations(void);
bool chi_reap_due(void); /* is there one that no loop holds any more? */
/* Stops and frees those. True: none is left. Plugins' stop may take its time: not on the main thread. */
bool chi_reap(void);

/* loops.c */
bool chi_loops_start(const struct chi_conf *conf, char *why, size_t cap);
void chi_loops_enter(struct chi_gen *g); /* every loop takes it; returns when all have */
void chi_loops_flush(void);              /* returns when all that was posted before has run */
void chi_loops_listen_stop(void);        /* listeners close, idle connections too; returns when done; again for those that became idle */
size_t chi_loops_busy(void);             /* connections that are still open */
void chi_loops_empty(void);              /* no connection is left, and the loops let go of their generation */
void chi_loops_stop(void);               /* ends the loops and joins their threads */
/* Main thread: names who blocks the house loop, which watches all others. */
void chi_loops_watch_house(void);
unsigned chi_loops_stalled(void);
double chi_loops_lag(void);
bool chi_loops_add_listener(int fd, unsigned loop, int cls, bool is_unix, bool inherited);

/* listen: opens what the config names, or takes what was inherited. False: sentence in why. */
bool chi_listeners_bind(const struct chi_conf *conf, char *why, size_t cap); /* as root, where ports and folders want it; … */
bool chi_listeners_open(char *why, size_t cap);                             /* … and from now on clients are heard */
void chi_listeners_unlink(void); /* removes unix socket files that we made */

/* offload.c */
bool chi_offload_start(unsigned threads);
bool chi_offload(struct chi_inst *i, void *(*work)(void *), void *data, ch_ticket t, ch_fn drop);
void chi_offload_stop(void);

/* checks.c */
void chi_checks_start(struct ch_loop *house);
void chi_checks_walk(void (*fn)(void *, const struct ch_check_state *), void *data);
void chi_checks_generation(struct chi_gen *g); /* house loop: a new generation is there */
void chi_checks_stop(void);

/* notify.c */
void chi_notify(const char *text);                    /* "READY=1"; nothing without NOTIFY_SOCKET */
int64_t chi_watchdog_interval(void);                  /* microseconds between signs of life; 0: none wanted */
int chi_inherited_take(const struct chi_listen_addr *a); /* the inherited fd of that address, or -1 */
void chi_inherited_init(void);
unsigned chi_inherited_left(void);                    /* inherited sockets that no key names */

/* limits.c */
unsigned chi_cores(void); /* least of affinity and cgroup quota, at least 1 */
bool chi_become(const char *user, char *why, size_t cap);
void chi_raise_descriptors(int64_t want);

/* state_dir.c */
/*
 * The folder of our data, with its parents: a fresh checkout boots without a mkdir. Root gives it to [server] user. False: sentence
 * in why.
 */
bool chi_state_dir_make(const struct chi_server_conf *s, char *why, size_t cap);

/* tool.c */
/* Shows how far it is, until `what` is NULL: then what was shown goes away again. */
typedef void (*chi_tool_bar)(uint64_t done, uint64_t total, const char *what);
/*
 * Runs a command of an instance in this process, once: starts that instance and what it uses, and no listener; prints what it says, in
 * pieces as they come, to stdout (json: as the control socket does), the log to stderr. bar NULL: nobody looks on; else it is called
 * on the loop's thread, before each piece of output too. SIGINT and SIGTERM: the command hears GONE; a
 * second one ends the process at once. Gives the exit code and, if there is something to say that nobody has heard, a sentence in why: the
 * command's own, or 64 no such command, 69 it cannot run or start, 71 the system, 78 the config (its report went to stderr), 130 a signal.
 * Main thread; everything is stopped and freed after it.
 */
int chi_tool_run(const char *instance, const char *command, size_t argc, const char *const *argv, bool json, chi_tool_bar bar, char *why,
		 size_t cap);

/* protect.c */
void chi_protect(const struct chi_gen *g, struct chi_report *report); /* protected mode */

#endif
