/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_redis.h - "kv/1" over Redis: what the parts share.
 *
 *   kv_redis.c   options, metrics, life, health
 *   ops.c        the operations: arguments into a command
 *   buckets.c    … of take and settle
 *   call.c       a call: its command, its time, its end
 *   lane.c       a connection: calls are written to it in order and answered in order; its circuit breaker
 *   hand.c       … how it is made: login, database, role, a trial
 *   adapter.c    hiredis on the loop of the host
 *   sentinel.c   who the master is
 *   lookup.c     the addresses of a host name
 *   script.c     the Lua scripts
 *   reply.c, url.c   readers; secret.c   the AUTH command
 *
 * Threads. Each loop has two lanes of its own, one for what is small and one for what is over KR_SMALL bytes, so that nothing here is
 * shared but the counters of struct kr_state, which are atomic. Instances that succeed one another share a loop's lanes if they name the
 * same server.
 *
 * Ownership. A call belongs to its loop. While its command lies with hiredis it stays, even when nobody waits for it any more: the answers
 * come in the order of the commands. What it fills belongs to the ctx, and is not touched after the ticket was resumed.
 */
#ifndef KV_REDIS_H
#define KV_REDIS_H

#include <stdatomic.h>

#include <hiredis/async.h>

#include <chimera/kit/breaker.h>
#include <chimera/kv.h>

#include "list.h"
#include "reply.h"
#include "script.h"
#include "url.h"

enum { KR_SMALL = 16384 };                /* as script.c has it: a longer value goes over the big lane */
enum { KR_ROOM = 65536 };                 /* what an answer may have beside a value, and what is read at a time */
enum { KR_PREFIX_MAX = 128, KR_WHY_MAX = 320, KR_TEXT_ROOM = 640, KR_FREE_MAX = 256 };
enum { KR_CALLS_MAX = 20000 };            /* of a loop at a time */
#define KR_BYTES_MAX ((size_t)64 << 20)   /* of their commands */

struct kr_conf {
	const char *url, *user, *password, *key_prefix, *master, *sentinel_password;
	struct ch_list sentinels;
	int64_t timeout, value_timeout, connect_timeout;
};

struct kr_series {
	unsigned latency[KR_OPS], errors[KR_TROUBLES], hits, misses, calls, open[2], connects[2]; /* connects: failed, ok */
};

/* Of an instance. */
struct kr_state {
	struct kr_url url;
	struct kr_secret auth, sentinel_auth; /* AUTH commands, ready to be sent; n 0: none */
	struct kr_series series;
	atomic_int down;                  /* lanes that are */
	atomic_int calls;                 /* that have not ended */
};

/* ---- calls ---- */

struct kr_lane;
struct kr_loop;

struct kr_call {
	struct kr_link link;              /* of the lane's queue, or free */
	struct kr_link due;               /* of the loop's calls, by deadline; unlinked: it has ended, its answer is still to come */
	struct kr_loop *l;
	struct kr_lane *lane;
	struct ch_ctx *ctx;               /* NULL: nobody waits */
	struct ch_kv_result *out;
	ch_ticket ticket;
	int op;                           /* enum kr_op */
	int script;                       /* enum kr_script_id */
	bool inside;                      /* the operation has not returned yet: the ticket is not to be resumed */
	bool sent;                        /* it lies with hiredis */
	bool bare;                        /* add of 0: it only looks */
	bool again;                       /* Redis did not know the script, and got its text */
	uint32_t pass;                    /* of the lane's breaker */
	int64_t began, deadline;
	int64_t patience, limit;          /* by its timeout; by the ctx's own deadline, or INT64_MAX */
	uint64_t begins;                  /* where its command begins in all that was given to the lane's connection */
	uint64_t version;                 /* set: the new one */
	int64_t ttl_ms;                   /* set */
	struct ch_kv_level *levels;       /* take, settle: in the ctx's arena */
	size_t nlevels;
	int64_t wakes;                    /* an injected fault: it waits until then, 0: not at all … */
	bool struck;                      /* … and fails */

	/* The commands: a SET of a large value (upload: its end; 0: none); EVALSHA and its name; from `words` on what is the same for EVAL. */
	char *text;
	size_t n, cap, upload, words, key, key_end; /* key: the word in it */
	int nwords;
	bool no_memory;
	bool fetches;                     /* the value comes beside the script's answer, and not through Lua */
	enum kr_trouble uploaded;         /* what came of the upload */
	char room[KR_TEXT_ROOM];
};

/* A new call of an operation; NULL: too many, or no memory. */
struct kr_call *kr_call_new(struct kr_loop *l, int op);
/* First of all: puts a large value there, so that the script finds it. */
void kr_upload(struct kr_call *call, struct ch_str prefix, struct ch_str there, struct ch_str head, struct ch_str value);
/* Begins its command with so many keys and arguments; then kr_word for each, the keys first. */
void kr_command(struct kr_call *call, int script, int nkeys, int nargs);
void kr_word(struct kr_call *call, const char *p, size_t n);
void kr_word_of_two(struct kr_call *call, struct ch_str a, struct ch_str b);
void kr_word_number(struct kr_call *call, int64_t v);
/* Lets it go; what an operation returns. */
int kr_call_begin(struct kr_call *call, struct ch_ctx *ctx, struct ch_kv_result *out, ch_ticket ticket, int64_t timeout_ms, bool big);
/* Its answer has come; the call is gone, or waits for another one. */
void kr_call_answered(struct kr_call *call, const redisReply *r);
/* It ends by that trouble; detail NULL: the trouble's own. The call is gone for whoever asks. */
void kr_call_fail(struct kr_call *call, enum kr_trouble t, const char *detail);
/* The connection that it was given to is gone; written: a part of it may have been sent. The call is gone. */
void kr_call_lost(struct kr_call *call, bool written);
/* One that was not begun, or that nobody knows any more. */
void kr_call_free(struct kr_call *call);
/* The loop's timer for all calls. */
void kr_calls_due(void *data);

/* An operation ends before it is a call. */
int kr_refuse(struct ch_self *self, struct ch_kv_result *out, enum kr_trouble t, const char *detail);

/* ---- lanes ---- */

enum kr_lane_state { KR_IDLE = 0, KR_CONNECTING, KR_READY, KR_DOWN_NOW };

/* A connection of hiredis on the loop. */
struct kr_wire {
	struct ch_loop *loop;
	redisAsyncContext *ac;            /* NULL: none */
	struct ch_watch *watch;
	int events;
	bool inside;                      /* hiredis is at work: what frees ac waits */
	bool doomed, flush_due, flushing;
	uint64_t given, offered;          /* bytes that hiredis was given; of these it has tried to write so many, or at least a part */
	size_t most;                      /* bytes that may wait to be an answer */
	enum kr_trouble said;             /* LOST or GARBAGE: why hiredis gives it up */
	void (*lost)(struct kr_wire *, enum kr_trouble); /* it has given it up; or there is too much, and ac is still there */
};

struct kr_lookup;

struct kr_lane {
	struct kr_wire wire;
	struct kr_loop *l;
	bool big, told;                   /* told: as one that is down */
	int state;                        /* enum kr_lane_state */
	struct kr_link queue;             /* calls that wait for the connection */
	struct ch_timer *timer;           /* CONNECTING: the end of patience; DOWN: when it is tried again */
	struct ch_breaker breaker;
	uint32_t probe;                   /* the pass of an attempt to connect */
	bool loaded[KR_SCRIPTS];          /* by this connection */
	int64_t ready_at;
	unsigned tries;                   /* of several addresses each gets its turn */
	int port;
	char address[KR_PATH_MAX + 1];    /* where it is connected to, or a socket's path */
	char why[KR_WHY_MAX];             /* it fell */
	struct kr_lookup *lookup;
	struct kr_wire asks;              /* to a Sentinel */
	struct ch_timer *patience;        /* with that Sentinel */
	unsigned asked, sentinel;         /* how many in this attempt; which one */
	bool asks_next;                   /* as soon as patience fires */
};

struct kr_loop {
	struct ch_self *self;             /* the youngest instance that shares it; NULL: it has ended */
	struct ch_loop *loop;
	struct kr_series series;
	unsigned users;
	struct kr_lane lanes[2];          /* small, big */
	struct kr_link due;               /* all calls, by deadline */
	struct ch_timer *timer;
	int64_t timer_at;                 /* when it fires; INT64_MAX: it does not */
	struct kr_link free;
	size_t nfree, ncalls, bytes;
};

static inline struct kr_state *kr_state_of(const struct kr_loop *l)
{
	return l->self->state;
}

static inline const struct kr_conf *kr_conf_of(const struct kr_loop *l)
{
	return l->self->conf;
}

/* False: no memory. */
bool kr_lane_init(struct kr_lane *lane, struct kr_loop *l, bool big);
/* Its timer and its connection go; calls that were out end. Nothing begins behind it. */
void kr_lane_end(struct kr_lane *lane);
/* Connects, if it does not already. */
void kr_lane_wake(struct kr_lane *lane);
/* Takes a call: written, or kept until there is a connection. A trouble: it was not taken. */
enum kr_trouble kr_lane_take(struct kr_lane *lane, struct kr_call *call);
/* Writes a call of it once more, by EVAL. A trouble: it was not written. */
enum kr_trouble kr_lane_again(struct kr_lane *lane, struct kr_call *call);
/* A call has ended so. */
void kr_lane_report(struct kr_lane *lane, uint32_t pass, enum kr_trouble t);
/* The connection is of no use, or cannot be had: why says so, for people. */
void kr_lane_fall(struct kr_lane *lane, enum kr_trouble t, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The handshake is over: calls may go. */
void kr_lane_ready(struct kr_lane *lane);

/* Gives a command to the lane's connection; fn hears its answer, or NULL. False: it takes none. */
bool kr_lane_give(struct kr_lane *lane, redisCallbackFn *fn, void *data, const char *p, size_t n);

/* hand.c: connects to that address (NULL: the unix socket) and shakes hands; then kr_lane_ready or kr_lane_fall. */
void kr_hand_dial(struct kr_lane *lane, const char *address, int port);
void kr_hand_found(struct kr_lane *lane, const char *address, int port, const char *fault);

/* adapter.c: once, before any connection. False: no memory. */
bool kr_guard_init(void);
/* Puts hiredis' context onto the loop. False: no memory. */
bool kr_adapt(struct kr_wire *w, redisAsyncContext *ac);
/* Frees the context, now or as soon as hiredis has returned; the calls that lay with it end. */
void kr_drop(struct kr_wire *w);

/* sentinel.c: asks one Sentinel after the other for the master, then kr_hand_dial or kr_lane_fall. */
void kr_sentinel_ask(struct kr_lane *lane);
void kr_sentinel_forget(struct kr_lane *lane);

/* lookup.c: finds the address of a host (NULL: none, for the reason `fault`); forget: it is not wanted any more. False: no memory. */
typedef void kr_found(struct kr_lane *lane, const char *address, int port, const char *fault);
bool kr_lookup(struct kr_lane *lane, const char *host, int port, kr_found *found);
void kr_lookup_forget(struct kr_lane *lane);

/* buckets.c: the words of take and settle. NULL: the call has its command and nlevels; else why not. */
const char *kr_buckets(struct kr_call *call, struct ch_str prefix, const struct ch_kv_take_args *args, bool settles);

/* ops.c */
extern const struct ch_kv_v1 kr_vt;

#endif
