/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client.h - what the files of this plugin share: a pool of connections on each loop, the calls that use them.
 *
 *   http_client.c  options, metrics, life; http/1's functions
 *   call.c         a call's way from its beginning to its one end: timeouts, sink, pause, cancel
 *   pool.c         idle connections, places and the calls that wait for one, the one timer
 *   host.c         what is known of a scheme, host and port
 *   lookup.c       names to addresses, once for all dials of a host
 *   dial.c         a connection made by libcurl        (address.c: which it must not make)
 *   conn.c         HTTP/1.1 over a connection          (request.c: bytes to send; reply.c: bytes that came)
 *   h2.c           HTTP/2: a call as a transfer of libcurl's (h2_request.c: what it is told)
 *   hub.c          libcurl's multi handle on a loop    (memory.c, tls.c: what libcurl needs, and does not tell)
 *
 * Threads and ownership: all of it lives on one loop, but for struct hc_state, whose numbers the boot thread may change. A pool belongs to
 * the instances that use it (a successor takes it over, see loop_adopt) and is freed with the last. A call lies in its ctx's arena and is
 * never touched after its ticket was resumed. No function of a caller's (sink) is called from inside libcurl or from inside http/1's
 * functions.
 */
#ifndef HC_HTTP_CLIENT_H
#define HC_HTTP_CLIENT_H

#include <stdatomic.h>

#include <curl/curl.h>

#include <chimera/http.h>

#include "list.h"
#include "reply.h"
#include "request.h"

#define HC_SCRATCH 65536         /* bytes that one recv takes at most */
#define HC_GATHER_MAX (4u << 20) /* a gathered body lies in the ctx's arena, which holds no more */
#define HC_FIELDS_MAX 1000       /* the most that max_header_fields may be */
#define HC_BLOCKED "%s is a link-local address, which must not be reached; allow_link_local = yes lets it be."

/* ---- of an instance ---- */

struct hc_conf {
	const char *ca_file, *client_cert_file, *client_key_file, *proxy;
	int tls_min, http2;
	bool allow_link_local;
	int64_t connect_timeout, first_byte_timeout, idle_timeout, total_timeout, keepalive_timeout;
	int64_t max_connections_per_host, max_idle_connections, max_waiting;
	int64_t max_header_bytes, max_header_line, max_header_fields, max_body;
};
enum { HC_HTTP2_AUTO, HC_HTTP2_ALWAYS, HC_HTTP2_OFF };

/* Options that change under a running instance: indices of hc_state.set. */
enum hc_setting {
	HC_CONNECT_TIMEOUT, HC_FIRST_BYTE_TIMEOUT, HC_IDLE_TIMEOUT, HC_TOTAL_TIMEOUT, HC_KEEPALIVE_TIMEOUT,
	HC_MAX_CONNECTIONS_PER_HOST, HC_MAX_IDLE_CONNECTIONS, HC_MAX_WAITING,
	HC_MAX_HEADER_BYTES, HC_MAX_HEADER_LINE, HC_MAX_HEADER_FIELDS, HC_MAX_BODY,
	HC_SETTINGS
};

#define HC_ERRORS (CH_HTTP_CANCELLED + 1)
enum {
	HC_DIALED_OK, HC_DIALED_RESOLVE, HC_DIALED_CONNECT, HC_DIALED_TLS, HC_DIALED_TIMEOUT, HC_DIALED_BLOCKED, HC_DIALED_GIVEN_UP,
	HC_DIALS
};

struct hc_series {
	unsigned requests[HC_ERRORS], dials[HC_DIALS];
	unsigned reused, repeated, open, idle, waiting, running, connect_seconds, first_byte_seconds;
};

struct hc_state {
	_Atomic int64_t set[HC_SETTINGS];
	struct hc_series m;
	unsigned loops;
	struct hc_url proxy;         /* host_n 0: none */
	char proxy_url[HC_HOST_MAX + 16]; /* "http://host:port", or "" */
	uint64_t files;              /* a digest of what stands in ca_file, client_cert_file, client_key_file */
};

/* ---- of a loop ---- */

struct hc_pool;
struct hc_host;
struct hc_call;
struct hc_conn;
struct hc_hub;
struct hc_lookup;

/* Something that libcurl works on; `done` is told when it is ready or has failed. Never called inside a function of the hub's. */
struct hc_job {
	CURL *easy;
	struct hc_hub *hub;          /* NULL: in none */
	void (*done)(struct hc_job *, CURLcode);
	void (*moved)(struct hc_job *); /* something has come for it; NULL: nothing to do */
	struct hc_link link;         /* in hub->all */
	struct hc_link moved_link;   /* in hub->moved */
};

struct hc_hub {
	struct hc_link link;         /* in pool->hubs */
	struct hc_pool *pool;
	struct hc_host *host;        /* whose HTTP/2 transfers it has; NULL: it has dials and TLS connections */
	CURLM *multi;
	struct ch_timer *timer;
	struct hc_link all, moved;   /* jobs; moved: see hc_hub_moved */
	unsigned jobs;
	int64_t until;               /* ch_now; how long it is kept without jobs */
	bool closed;                 /* libcurl has given up a socket, see hub.c */
	bool reset;                  /* a stream was, see h2.c: without jobs it is not kept */
};

struct hc_user {                 /* an instance that uses a pool */
	struct hc_user *next;
	struct ch_self *self;
};

struct hc_pool {
	struct hc_user *users;       /* newest first: its options hold */
	struct ch_loop *loop;
	struct ch_timer *timer;      /* one for all timeouts: it is late at most by a millisecond, never early */
	int64_t next_due;            /* when it fires; INT64_MAX: it is not set */
	int64_t now;                 /* ch_now, read where somebody calls in, see hc_clock */
	struct hc_link calls;        /* all that run */
	struct hc_link idle;         /* connections, oldest first */
	struct hc_link hubs;
	struct hc_link kept;         /* hosts that nothing refers to, but that remember something */
	struct hc_link again;        /* calls that go on, at the end of the turn … */
	struct hc_link serve;        /* … and hosts whose waiting calls may have a place */
	struct hc_link hosts[64];
	size_t nidle, nwaiting;
	CURLSH *share;               /* TLS sessions */
	char *scratch;               /* HC_SCRATCH bytes */
	struct ch_h1_field fields[HC_FIELDS_MAX];
	struct hc_url url;           /* of the call that began last */
	bool later;                  /* the end of this turn is ours */
	bool retired;                /* nothing is kept any more */
};

/* A scheme, host and port. Lives as long as something refers to it, or there is something to remember. */
struct hc_host {
	struct hc_link link;         /* in its bucket of pool->hosts */
	struct hc_link kept;         /* in pool->kept */
	struct hc_pool *pool;
	unsigned refs;               /* calls, connections, lookups */
	bool tls, numeric;
	uint16_t port;
	const char *name;            /* for people, and for libcurl: "api.example.com:443", "[::1]:8080" */
	const char *host;            /* "api.example.com", "::1" */
	unsigned nconns;             /* being made, busy and idle */
	unsigned nwaiting;
	struct hc_link idle;         /* connections, youngest first */
	struct hc_link waiting;      /* calls, oldest first */
	struct hc_link serve;        /* in pool->serve */
	/* addresses, see lookup.c */
	struct hc_link lookers;      /* calls that wait for them */
	struct hc_lookup *lookup;
	char *resolve;               /* as CURLOPT_RESOLVE has it; NULL: none are known */
	int64_t resolved;            /* ch_now */
	/* HTTP/2, see h2.c */
	int64_t known_until;         /* ch_now; until then speaks_h2 is known */
	bool speaks_h2;
	struct hc_conn *probe;       /* the connection that finds it out; NULL: none does */
	struct hc_hub *h2;           /* its transfers; NULL: none yet */
};

struct hc_conn {
	struct hc_link link;         /* in pool->idle */
	struct hc_link host_link;    /* in host->idle */
	struct hc_pool *pool;
	struct hc_host *host;
	struct hc_call *call;        /* that uses it, or that it is made for; NULL: idle */
	struct hc_job job;           /* while it is made, and with TLS as long as it lives */
	struct curl_slist *resolve;
	char *errors;                /* libcurl's text */
	struct ch_watch *watch;
	int64_t parked, expires;     /* ch_now; of an idle one: since when, until when */
	int64_t keep_ms;             /* how long the server says it keeps it; 0: it does not say */
	int fd;                      /* -1: not yet */
	bool tls, used, blocked;
	bool probe;                  /* HTTP/2 is offered to the server */
	bool mute;                   /* what is sent does not arrive any more; what came may still be read */
};

enum hc_phase {
	HC_WAITING,                  /* for a place */
	HC_CONNECTING,
	HC_SENDING,
	HC_HEAD,                     /* waiting for it */
	HC_BODY,
	HC_WHOLE                     /* all of the answer was read, but the sink has said AGAIN */
};

struct hc_call {
	struct hc_link link;         /* in pool->calls, or due */
	struct hc_link wait_link;    /* in host->waiting */
	struct hc_link look_link;    /* in host->lookers */
	struct hc_link again_link;   /* in pool->again */
	struct hc_pool *pool;
	struct hc_host *host;
	struct hc_conn *conn;        /* one of these two, or none yet */
	struct hc_transfer *transfer;
	struct ch_self *self;
	struct ch_ctx *c;
	struct ch_http_result *out;
	struct ch_http_sink sink;
	ch_ticket ticket;
	struct hc_request request;
	const struct ch_http_args *args;
	struct hc_url *url;          /* HTTP/2 only */
	struct hc_reply reply;
	size_t sent;                 /* bytes of head and body */
	int64_t began, phase_due, total_due; /* ch_now */
	int64_t dialed;              /* since when a connection is made for it; 0: none is */
	int64_t connect_ms, first_byte_ms, idle_ms, total_ms; /* as the caller or the options have them */
	uint64_t max_body;
	char *gathered;              /* a body whose length was not known; with room for gathered_cap */
	size_t gathered_cap;
	enum hc_phase phase;
	bool has_sink, in_sink;
	bool paused;                 /* the sink has said AGAIN … */
	bool went_on;                /* … and go_on was called before it did */
	bool give_up;                /* cancelled inside the sink */
	bool holds;                  /* reply holds bytes for the sink */
	bool repeated;
};

/* ---- http_client.c ---- */

static inline struct ch_self *hc_self(const struct hc_pool *p) { return p->users->self; }
static inline struct hc_state *hc_state(const struct hc_pool *p) { return p->users->self->state; }
static inline const struct hc_conf *hc_conf(const struct hc_pool *p) { return p->users->self->conf; }
static inline struct hc_series *hc_m(const struct hc_pool *p) { return &hc_state(p)->m; }
static inline int64_t hc_set(const struct hc_pool *p, enum hc_setting s)
{
	return atomic_load_explicit(&hc_state(p)->set[s], memory_order_relaxed);
}
/* This loop's share of a number that holds for the process; at least 1. */
size_t hc_share(const struct hc_pool *p, enum hc_setting s);

/* ---- pool.c ---- */

struct hc_pool *hc_pool_new(struct ch_self *self, struct ch_loop *l);
/* One more instance uses it from now on, and its options hold. */
bool hc_pool_join(struct hc_pool *p, struct ch_self *self);
/* The instance leaves it; the last one frees it. */
void hc_pool_leave(struct hc_pool *p, struct ch_self *self);
/* Closes what is idle and keeps nothing from now on. */
void hc_pool_retire(struct hc_pool *p);
/* Reads the clock: first thing wherever somebody else calls in. */
static inline int64_t hc_clock(struct hc_pool *p) { return p->now = ch_now(); }
/* The timer fires at `due` (ch_now) or before. */
void hc_pool_due(struct hc_pool *p, int64_t due);
/* pool->again and pool->serve are looked at at the end of this turn. */
void hc_pool_later(struct hc_pool *p);
/* The call goes on at the end of this turn. */
void hc_pool_again(struct hc_call *call);
/* A place has become free. */
void hc_host_serve(struct hc_host *h);
/* Finds a way for the call: a connection that is there, a new one, or a place in the queue. May fail the call. */
void hc_pool_enter(struct hc_call *call);
/* The same for a call that was on a connection, or waited long enough; fresh: none that is there. */
void hc_pool_place(struct hc_call *call, bool fresh);
/* The call waits no more. */
void hc_pool_unwait(struct hc_call *call);
/* A connection in that host's name, with nothing behind it yet. NULL: no memory. */
struct hc_conn *hc_conn_new(struct hc_host *h, struct hc_call *call);
/* Its call is over and it may serve another: it becomes idle, for so long at most (ms). */
void hc_conn_park(struct hc_conn *conn, int64_t ms);
/* Closes and frees it, whatever it is doing; its call (if any) is left alone. */
void hc_conn_free(struct hc_conn *conn);

/* ---- host.c ---- */

/* Finds or makes it; one more reference. NULL: no memory. */
struct hc_host *hc_host_get(struct hc_pool *p, const struct hc_url *u);
void hc_host_put(struct hc_host *h);
/* Frees those that have nothing to remember any more. Returns when to look again. */
int64_t hc_hosts_forget(struct hc_pool *p, int64_t now);

/* ---- lookup.c ---- */

/*
 * The addresses of the call's host, or of the proxy's. OK: host->resolve is filled, or not needed. AGAIN: hc_dial_resolved or
 * hc_h2_resolved will be called, unless the call is over. ERROR: none can be asked for, the pool is full.
 */
int hc_lookup(struct hc_call *call);
/* Until when the addresses count; 0: there are none. */
int64_t hc_lookup_until(const struct hc_host *h);
/* Forgets the addresses: they did not work. */
void hc_lookup_forget(struct hc_host *h);

/* ---- dial.c ---- */

/* Makes a connection for the call. May fail the call. */
void hc_dial(struct hc_call *call);
/* The addresses are there (error 0), or not: which error that is, and why. */
void hc_dial_resolved(struct hc_call *call, int error, const char *why);
/* The options that all easy handles of a host have: TLS, proxy, addresses (*resolve is the caller's to free). False: no memory. */
bool hc_dial_options(CURL *easy, struct hc_host *h, struct curl_slist **resolve, char *errors, int64_t connect_ms);
/* Fails the call because there are no addresses. */
void hc_dial_no_address(struct hc_call *call, int error, const char *why);
/* Fails the call as `code` says; errors: libcurl's text. */
void hc_dial_failed(struct hc_call *call, CURL *easy, CURLcode code, const char *errors, bool blocked);
/* Counts how the call's dial ended: HC_DIALED_*, and how long it took. */
void hc_dial_count(struct hc_call *call, int how);

/* ---- conn.c ---- */

/* Sends the call's request over the connection. */
void hc_conn_use(struct hc_conn *conn, struct hc_call *call);
/* Watches the connection's descriptor, for as long as it lives. False: no memory. */
bool hc_conn_watch(struct hc_conn *conn);
/* Has an idle connection's server neither closed it nor sent anything? */
bool hc_conn_is_quiet(struct hc_conn *conn);
/* After a pause: reads on. */
void hc_conn_go_on(struct hc_conn *conn);

/* ---- h2.c ---- */

/* Does it matter to the call whether its host speaks HTTP/2, and is it not known? */
bool hc_h2_unknown(const struct hc_call *call);
/* The connection, over TLS, has been made: now it is known. */
void hc_h2_learn(struct hc_host *h, bool speaks_h2);
/* Should the call be a transfer of libcurl's? */
bool hc_h2_wanted(const struct hc_call *call);
/* Makes it one. May fail the call. */
void hc_h2_begin(struct hc_call *call);
/* As hc_dial_resolved. */
void hc_h2_resolved(struct hc_call *call, int error, const char *why);
/* After a pause. */
void hc_h2_go_on(struct hc_call *call);
/* Ends the transfer: its stream is reset, the others of its connection go on. */
void hc_h2_end(struct hc_call *call);

/* ---- hub.c ---- */

/* One more hub of the pool, for a host's transfers, or (NULL) for dials. Without jobs it is freed after a while. NULL: no memory. */
struct hc_hub *hc_hub_new(struct hc_pool *p, struct hc_host *h);
/* Closes what libcurl keeps in it. It has no jobs. */
void hc_hub_free(struct hc_hub *hub);
/* job->easy begins to run at the next turn. False: no memory. */
bool hc_hub_add(struct hc_hub *hub, struct hc_job *job);
/* Takes it out; libcurl closes what only it used. */
void hc_hub_remove(struct hc_job *job);
/* Inside of libcurl's functions: job->moved will be called when libcurl has returned. */
void hc_hub_moved(struct hc_job *job);
/* After a function of libcurl's that may have called ours: tells the jobs what has come of it. */
void hc_hub_settle(struct hc_hub *hub);

/* ---- call.c ---- */

extern const char *const hc_error_names[HC_ERRORS + 1];

int hc_call_begin(const struct ch_svc *, struct ch_ctx *, const struct ch_http_args *, const struct ch_http_sink *,
                  struct ch_http_result *, ch_ticket);
/* The phase that begins now, and how long it may take, milliseconds. */
void hc_call_phase(struct hc_call *call, enum hc_phase phase, int64_t ms);
/* The ways to end a call; each resumes the ticket, after which the call is not there any more. Its connection is closed. */
CH_PRINTF_(3, 4) void hc_call_fail(struct hc_call *call, int error, const char *fmt, ...);
void hc_call_no_memory(struct hc_call *call);
void hc_call_timeout(struct hc_call *call);
void hc_call_cancel(struct hc_call *call);
/* The answer is whole. The connection was let go before. */
void hc_call_whole(struct hc_call *call);
/* The final head has come (call->reply.head); false: the call is over. */
bool hc_call_head(struct hc_call *call);
/* The body's next bytes; false: the call is over. */
bool hc_call_data(struct hc_call *call, const char *p, size_t n);
/* What a reply that is no answer means. */
void hc_call_bad(struct hc_call *call);
/* At the end of a turn: the sink has room again. */
void hc_call_go_on(struct hc_call *call);

#endif
