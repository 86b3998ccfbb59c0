/* SPDX-License-Identifier: MIT */
/*
 * chimera/test.h - the harness for unit tests of plugins. Since 0.1.
 *
 * The harness is the real core (config engine, ctx, tickets, chains, HTTP, metrics) over loops that have neither a thread, nor a
 * file descriptor, nor time of their own: a clock that only the test moves, connections that lie in memory, offloaded work that
 * runs when the test lets it. So a test needs no server, no socket and no sleep, and runs the same way every time.
 *
 *     struct ch_test *t = ch_test_new();
 *     ch_test_plugin(t, CH_TEST_ENTRY(my_plugin));
 *     ch_test_config(t, "[my_plugin]\nwords = Hello\n");
 *     assert_true(ch_test_start(t));
 *     struct ch_test_answer *a = ch_test_request(t, "GET", "/v1/hello", NULL, NULL, 0);
 *     assert_int_equal(a->status, 200);
 *     ch_test_free(t);
 *
 * Compile the plugin's sources with -DCHIMERA_PRELOADED into the test program (CH_TEST_PLUGIN declares the entry), or load its .so and
 * pass what dlsym gives for ch_plugin_v1. Link with libchimera-test.a, libchimera-kit.a, -lm and -lpthread.
 *
 * There are two loops, a worker (requests) and the house loop (checks, tasks), both on the test's thread. One harness at a time.
 * No function here may be called from inside a callback of the core, but for the ones that say so. All texts and answers that are
 * returned belong to the harness and live until ch_test_free.
 */
#ifndef CHIMERA_TEST_H
#define CHIMERA_TEST_H

#include <chimera/inspect.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ch_test;

/* A plugin's entry where its sources are compiled with -DCHIMERA_PRELOADED: CH_TEST_PLUGIN(ask); ch_test_plugin(t, CH_TEST_ENTRY(ask)); */
#define CH_TEST_PLUGIN(name) CH_EXTERN_C_ const struct ch_plugin *name##_LTX_ch_plugin_v1(const struct ch_host *)
#define CH_TEST_ENTRY(name) name##_LTX_ch_plugin_v1

/* ---- life ---- */

/*
 * A harness: clock at 1,000 s, wall clock at 2026-01-01T00:00:00Z, seed 1, nothing configured. One that a failed test has not freed
 * is left as it is.
 */
struct ch_test *ch_test_new(void);
/*
 * Lets clients leave and tells tasks GONE, lets time pass until suspended work has heard it (a day at most), stops the plugins, and frees
 * everything. It fails
 * (see ch_test_on_failure), each time with a sentence, if
 *  - a ctx is left, because a ticket was neither resumed nor taken back,
 *  - a timer or a watch of a plugin is left after stop,
 *  - a plugin broke a rule of plugin.h: a hook counted in chimera_hook_errors_total, a loop's function called off its loop; unless
 *    ch_test_expect_misuse was called.
 */
void ch_test_free(struct ch_test *t);
/* This test breaks rules on purpose. */
void ch_test_expect_misuse(struct ch_test *t);
/* What happens on failure: fn(sentence). At first: the sentence goes to stderr and the program aborts. NULL: that again. */
void ch_test_on_failure(void (*fn)(const char *sentence));

/* ---- before the start ---- */

/* Makes a plugin known by its entry; it runs if the config has a section for it. */
void ch_test_plugin(struct ch_test *t, ch_plugin_entry entry);
/*
 * A provider written by the test: an instance `id` that provides `iface` by `vtable` (static storage, begins with size_t size),
 * with rank 0. It is enabled without a section. `data` is given back by ch_test_data.
 */
void ch_test_service(struct ch_test *t, const char *id, const char *iface, const void *vtable, void *data);
/* Inside such a vtable's functions, too: the `data` of its ch_test_service. */
void *ch_test_data(const struct ch_svc *svc);
/* The config, as it would stand in chimera.ini; read by the real engine. Messages call it "test.ini". */
void ch_test_config(struct ch_test *t, const char *ini);
/* A variable of the environment, "NAME=value"; the process's own are not seen. */
void ch_test_env(struct ch_test *t, const char *variable);
/*
 * Loads, wires, checks and starts. False: ch_test_errors says why. A second call is a reload: a new generation, after a change of
 * config.
 */
bool ch_test_start(struct ch_test *t);
/* What was wrong with the config, one line each as chimerad --check prints it, warnings included; "" if nothing. */
const char *ch_test_errors(struct ch_test *t);

/* ---- requests ---- */

struct ch_test_answer {                   /* read it, do not write; grows as the answer comes */
	bool done;                        /* nothing more will come: complete or cut */
	bool complete;                    /* head and body came whole */
	int status;                       /* 0: no head yet */
	const char *body;                 /* what came of the body, unframed, with a final NUL that n does not count; never NULL */
	size_t n;
	bool continued;                   /* 100 Continue came before */
	bool closed;                      /* the server has closed the connection or its half of it */
};

/*
 * Sends a request over a connection of its own and runs until nothing is ready. headers: lines, each ended by \n or \r\n, or NULL;
 * Host is added, and Content-Length if there is a body. body NULL: none.
 */
struct ch_test_answer *ch_test_request(
	struct ch_test *t, const char *method, const char *target, const char *headers, const void *body, size_t n);
/* The first field of that name, any letter case; NULL: absent. */
const char *ch_test_header(const struct ch_test_answer *a, const char *name);
/* The client is gone: reset, so that the server sees it at once. */
void ch_test_leave(struct ch_test_answer *a);
/* The client sends no more and still reads: FIN. */
void ch_test_half_close(struct ch_test_answer *a);
/* unread: the client stops reading, and bytes that the server sends wait there. Else it reads all and goes on doing so. */
void ch_test_unread(struct ch_test_answer *a, bool unread);
/* The address that later requests come from; "127.0.0.1" at first. Numeric, IPv4 or IPv6. */
void ch_test_peer(struct ch_test *t, const char *address);

/* ---- time, descriptors, pool ---- */

/* Moves the clock, firing timers in the order of their times, and runs until nothing is ready. 0: only runs. */
void ch_test_advance(struct ch_test *t, int64_t ms);
/* Jumps the wall clock alone, as ntpd does. */
void ch_test_wall(struct ch_test *t, int64_t ms);
/* Fires the watches of that descriptor that wait for `events`; false: none does. The descriptor need not exist. */
bool ch_test_fd_ready(struct ch_test *t, int fd, int events);
/* What is watched of that descriptor now: CH_READ | CH_WRITE. */
int ch_test_fd_watched(struct ch_test *t, int fd);
/* How offloaded work runs. AUTO, at first: at the end of the turn. MANUAL: in ch_test_offload_run. FULL: the pool takes none. */
enum ch_test_pool { CH_TEST_AUTO = 0, CH_TEST_MANUAL, CH_TEST_FULL };
void ch_test_offload(struct ch_test *t, int pool);
/* Runs what is queued, then until nothing is ready; how many there were. */
size_t ch_test_offload_run(struct ch_test *t);

/* ---- inside ---- */

/* The instance of that id; NULL: there is none. Valid until the next start. */
struct ch_self *ch_test_self(struct ch_test *t, const char *id);
/* What that instance provides under `iface`, for calling a provider from a task. NULL: nothing. */
const struct ch_svc *ch_test_provided(struct ch_test *t, const char *id, const char *iface);
/*
 * Runs fn(ctx, data) as a task of instance `id` (NULL: the core's own) on the worker loop, until nothing is ready.
 * False: the core did not take it. The task may still be suspended then.
 */
bool ch_test_task(struct ch_test *t, const char *id, int64_t timeout_ms, ch_task_fn fn, void *data);
/* Runs fn(data) on the worker loop, as a timer's function would run, then until nothing is ready. */
void ch_test_on_loop(struct ch_test *t, ch_fn fn, void *data);
/*
 * Runs a command of instance `id` as `chimeractl run` would in the running server: words of its arguments follow, NULL ends them. Its exit
 * code: 0, 1 refused, 64 no such command or not so many arguments, 70 CH_ERROR, 75 no memory; -1: it is not over. *text (may be NULL):
 * what it wrote, or why it did not go well. Since 0.2
 */
int ch_test_command(struct ch_test *t, const char **text, const char *id, const char *name, ...) __attribute__((sentinel));
/*
 * Runs the check "health.disk" (or "kv", named like its instance) and keeps its result for ch_checks_walk. False: no such check, or
 * it still runs.
 */
bool ch_test_check(struct ch_test *t, const char *name, struct ch_check_result *out);
/* What ch_checks_interval asked for last, milliseconds; 0: nothing. */
int64_t ch_test_checks_interval(struct ch_test *t);
/* What ch_server tells: change it as you like. `draining` also makes answers say Connection: close. */
struct ch_server *ch_test_server(struct ch_test *t);

/* ---- looking ---- */

/* All log lines since ch_test_new, one a line: "WARN  ask: text key=value". [log] level holds; access lines are among them. */
const char *ch_test_log(struct ch_test *t);
/* Does a line hold that text? */
bool ch_test_logged(struct ch_test *t, const char *text);
/*
 * A metric since ch_test_new (a gauge: now; a histogram: its count), summed over the series whose first labels have the values
 * that follow; NULL ends them. No such series: 0.
 */
double ch_test_metric(struct ch_test *t, const char *name, ...) __attribute__((sentinel));
/* The same for a histogram's sum of observations. */
double ch_test_metric_sum(struct ch_test *t, const char *name, ...) __attribute__((sentinel));

/* ---- no memory ---- */

/*
 * The n-th allocation from now on that the core makes for a ctx or a plugin (arena memory, timers, watches, posts) gives NULL,
 * once; 0: none. Returns whether the order before this one has struck. A sweep over all of them:
 *     for (n = 1, struck = true; struck; n++) {
 *             ch_test_fail_alloc(t, n);
 *             a = ch_test_request(…);
 *             struck = ch_test_fail_alloc(t, 0);
 *             … a is whole, or a 503, or cut (status 0, or not complete) …
 *     }
 */
bool ch_test_fail_alloc(struct ch_test *t, unsigned long n);
/*
 * The same without a loop of one's own: if the environment has CH_TEST_SWEEP (`chimera-plugin test` sets it), each ch_test_request,
 * ch_test_command, ch_test_check and ch_test_advance is first tried in copies of the process: in the n-th of them the n-th allocation
 * fails, time goes on until all is answered, and ch_test_free judges what is left; up to the 64th one by one, then in growing steps. The
 * test itself sees nothing of it, unless one of them crashes or breaks a rule: then it fails with a sentence. Left out: tests that break
 * rules on purpose, have set ch_test_on_failure, or order failing allocations themselves. off: left out from now on. Since 0.2
 */
void ch_test_sweep_off(struct ch_test *t);

#ifdef __cplusplus
}
#endif
#endif
