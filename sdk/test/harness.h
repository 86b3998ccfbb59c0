/* SPDX-License-Identifier: MIT */
/*
 * sdk/test/harness.h - what the files of the harness share, and what the core's own unit tests use beside chimera/test.h:
 * connections byte by byte. The test's thread.
 *
 *   harness.c  life: config, start, the turn, failure
 *   peer.c     connections in memory, requests, answers
 *   inside.c   services, tasks, checks, pool
 *   command.c  commands
 *   sweep.c    the same once more, with failing allocations
 *   look.c     metrics and log
 */
#ifndef CHI_HARNESS_H
#define CHI_HARNESS_H

#include <chimera/inspect.h>
#include <chimera/test.h>

#include "core/http/http.h"
#include "core/plugin/gen.h"
#include "sdk/test/vloop.h"

/* ---- connections ---- */

/* A client's end. Everything may be changed between two calls. */
struct chi_peer {
	struct chi_peer *next;
	struct ch_test *t;
	struct chi_conn *conn;  /* the server's end; NULL: it has closed */
	char *sent;             /* by the client … */
	size_t nsent, taken;    /* … and how much of it the server has taken */
	char *got;              /* by the client */
	size_t ngot;
	size_t read_at;         /* where the next answer begins */
	size_t most_in, most_out; /* bytes that one recv gives, one send takes; 0: all */
	bool unread;            /* what the server sends must wait */
	bool fin, reset;        /* the client ended its half, or tore everything down */
	bool finished;          /* the server ended its half */
	bool polite;            /* closes as soon as its answer is whole or the server has finished */
};

/* Connects to a listener of the class (enum chi_listen_class). NULL: the core has no room. */
struct chi_peer *chi_peer_new(struct ch_test *t, int cls);
/* The client sends; nothing runs until ch_test_advance. */
void chi_peer_send(struct chi_peer *p, const void *bytes, size_t n);
/* The next answer on the connection to a request of that method: whole, or (done false) as far as it came, then it grows. */
struct ch_test_answer *chi_peer_answer(struct chi_peer *p, const char *method);
/* Its connection. */
struct chi_peer *chi_peer_of(const struct ch_test_answer *a);

/* ---- between the files ---- */

struct chi_answer;
struct chi_job;
struct chi_base;
struct chi_checked;
struct chi_ran;

struct chi_known { /* a plugin by its entry, or a service of the test's */
	struct chi_known *next;
	const struct ch_plugin *plugin;
	char *override;            /* "id.enabled=yes"; NULL: the config decides */
	struct ch_plugin desc;     /* of a service */
	struct ch_provide provide;
	void *data;
};

struct ch_test {
	struct ch_loop *worker, *house;
	struct chi_http_shared shared;
	struct chi_known *known;
	char *ini;
	char **env;
	size_t nenv;
	char *errors;
	struct chi_gen *gen;       /* the current one */
	struct chi_gen *gens[8];   /* all that live, it among them; those without loops_left are stopped and freed after the turn */
	size_t ngens;
	struct ch_server server;
	struct sockaddr_storage from;
	struct chi_peer *peers;
	struct chi_answer *answers;
	int pool;
	struct chi_job *jobs, **jobs_tail;
	struct chi_checked *checked;
	uint64_t checked_gen;      /* whose they are */
	struct chi_base *base;
	struct chi_ran *ran;       /* commands */
	bool running, misuse_expected;
	bool sweep_off;            /* here no step is tried with failing allocations */
	struct ch_test *abandoned; /* by a test that failed: kept, so that it is no leak */
};
extern struct ch_test *chi_test;

/* Ends the test with a sentence. */
void chi_test_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Does a failure end the process, as it does unless the test has said otherwise? */
bool chi_test_fails_hard(void);
/* malloc and friends that do not fail. */
void *chi_test_alloc(size_t n);
char *chi_test_copy(const char *s);
/* Adds `more` bytes to the *n of *text, and a NUL behind them. The room is a power of two, so that nobody keeps its size; only this grows it. */
void chi_test_append(char **text, size_t *n, const void *bytes, size_t more);
/* Everything that is ready, until nothing is. */
void chi_test_run(struct ch_test *t);
/* Is a request or a task under way? */
bool chi_test_busy(const struct ch_test *t);

/* peer.c: does something for the connections that are ready; the answers' progress; frees all. */
bool chi_peers_run(struct ch_test *t);
void chi_peers_read(struct ch_test *t);
void chi_peers_free(struct ch_test *t);
/* inside.c */
void chi_inside_start(struct ch_test *t);
bool chi_jobs_run(struct ch_test *t);
void chi_inside_free(struct ch_test *t);
/* command.c */
void chi_commands_free(struct ch_test *t);
/*
 * sweep.c: see ch_test_sweep_off. step(t, arg) is what the caller is about to do, by the same function of the harness, which comes here again and
 * finds nothing to do. The format names it: "GET /v1/x".
 */
void chi_sweep(struct ch_test *t, void (*step)(struct ch_test *t, void *arg), void *arg, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* look.c: remembers where the metrics stand. */
void chi_look_start(struct ch_test *t);
void chi_look_free(struct ch_test *t);

#endif
