/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/http/http.h - HTTP/1.1 on a loop: listeners, connections, requests.
 *
 *   listen.c    sockets, accept, what to do when the process is full
 *   conn.c      a connection: bytes in, bytes out, its timeouts, its end
 *   request.c   a request's way: head, phases, route, body, answer, END
 *   response.c  the answer: header fields, one piece or streamed
 *   problem.c   error answers, one table
 *   proxy.c     trusted proxies and the client's address
 *   perip.c     connections per address
 *   stats.c     metrics and the access log
 *
 * A connection has one request at a time; what is pipelined behind it waits as bytes. A request lives in its ctx (extra room), the
 * connection in a slab; each knows the other and forgets it when it ends. Everything here is the loop's own thread, unless marked [any].
 */
#ifndef CHI_HTTP_H
#define CHI_HTTP_H

#include "core/conf/address.h"
#include "core/conf/server_conf.h"
#include "core/http/route.h"
#include "core/work/work.h"

#include <chimera/kit/http1.h>
#include <chimera/kit/net.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define CHI_DISCARD (64u << 10)  /* bytes of an unread body that are read and dropped to keep a connection */
#define CHI_LINGER_MS 1000       /* how long a closing connection drains what the client still sends */
#define CHI_IDLE_GRACE_US 100000 /* how long a connection must have been idle to be closed by a drain */
#define CHI_HEADERS 32           /* fields of an answer that plugins may set */

enum chi_listen_class { CHI_L_PUBLIC, CHI_L_STATUS, CHI_L_ADMIN, CHI_L_CONTROL };

/* What all loops share. */
struct chi_http_shared {
	atomic_int draining;           /* answers say Connection: close */
	_Atomic int64_t connections;
	_Atomic int64_t buffered;      /* bytes of request bodies */
	_Atomic uint64_t requests;
};

struct chi_listener {
	struct chi_listener *next;
	struct chi_http *http;
	struct ch_watch watch;
	struct ch_timer pause; /* accepting pauses when descriptors ran out */
	int fd;
	int cls;               /* enum chi_listen_class */
	bool is_unix;
	bool inherited;        /* the service manager has it too */
};

/* Connections wait in lists of equal patience, so the first of each is the next to time out. */
enum chi_wait { CHI_W_NONE = -1, CHI_W_HEAD, CHI_W_BODY, CHI_W_IDLE, CHI_W_WRITE, CHI_W_HALF, CHI_W_LINGER, CHI_W_COUNT };

struct chi_waitlist {
	struct chi_conn *first, *last;
	int64_t patience; /* microseconds; < 0: for ever */
};

struct chi_http {
	struct ch_loop *loop;
	struct chi_http_shared *shared;
	const struct chi_server_conf *conf; /* of the loop's generation, as are … */
	const struct ch_net *trusted;      /* … these */
	size_t ntrusted;
	struct chi_req *orphans;
	bool closed;                        /* all is being closed: no work outlives its client any more */
	int access;                         /* enum chi_log_access */
	struct chi_listener *listeners;
	struct chi_conn *free;  /* slab */
	void *slabs;
	struct chi_conn *conns; /* all that live */
	_Atomic size_t nconns;  /* [any] reads */
	struct chi_waitlist waits[CHI_W_COUNT];
	struct ch_timer sweep;
	int64_t sweep_at;       /* when it fires; 0: not set */
	struct ch_h1_field *fields; /* scratch for parsing */
	struct ch_h1_limits limits;
	int spare_fd;           /* given up to answer 503 when descriptors run out */
	int64_t garbage_logged; /* second of the last line about garbage */
};

/* How bytes reach the peer: plain sockets here, memory in the harness, TLS later. recv and send as the system's, with errno. */
struct chi_transport {
	ssize_t (*recv)(struct chi_conn *, void *, size_t);
	ssize_t (*send)(struct chi_conn *, const struct iovec *, int);
	void (*finish)(struct chi_conn *); /* no more bytes will be sent */
	void (*close)(struct chi_conn *);
};
extern const struct chi_transport chi_plain;

struct chi_out { /* bytes that wait for the socket */
	struct chi_out *next;
	const char *p;
	size_t n;
	ch_fn release;
	void *arg;
};

enum chi_conn_state { CHI_C_HEAD, CHI_C_BODY, CHI_C_BUSY, CHI_C_DISCARD, CHI_C_LINGER };

struct chi_conn {
	struct ch_watch watch; /* first */
	struct chi_http *http;
	const struct chi_transport *transport;
	struct chi_conn *next, **self; /* among all */
	struct chi_conn *wait_next, *wait_prev;
	int64_t since;      /* when it began to wait */
	struct chi_req *req;
	char *in;           /* bytes that came and are not used yet */
	uint32_t in_len, in_cap;
	struct chi_out *out, **out_tail;
	size_t out_bytes;
	struct ch_h1_chunked chunked; /* the body's framing: it outlives the request when a body is dropped unread */
	uint64_t body_left; /* Content-Length: still to come */
	uint64_t body_got;  /* bytes of the body so far, since … */
	int64_t body_since; /* … then: for the least rate */
	struct in6_addr addr;
	char peer[INET6_ADDRSTRLEN];
	uint8_t state, wait, cls;
	uint8_t framing;    /* enum ch_h1_body of the body still to come; NONE when it is whole */
	uint32_t drop;      /* CHI_C_DISCARD, CHI_C_LINGER: bytes that may still be dropped */
	bool served : 1;    /* a request was answered before: keep-alive */
	bool consuming : 1; /* conn_consume is on the stack */
	bool more : 1;      /* … and has more bytes: answers may be gathered */
	bool fin : 1;       /* the peer sends no more */
	bool closing : 1;   /* after the last byte is out: linger */
	bool paused : 1;    /* not reading: too much waits */
	bool want_drain : 1; /* on_writable is owed */
	bool is_unix : 1;
	bool counted : 1;   /* in perip.c */
	bool dead : 1;      /* closed while consuming: freed when it unwinds */
};

/* ---- the request ---- */

enum chi_stage {
	CHI_S_HEADERS,
	CHI_S_AUTH,
	CHI_S_LIMIT,
	CHI_S_BODY_WAIT,
	CHI_S_BODY,
	CHI_S_CONTENT,
	CHI_S_HANDLER,
	CHI_S_ANSWERED,
	CHI_S_OVER
};

struct chi_header {
	const char *line; /* "Name: value\r\n", in the arena */
	uint32_t name_len, value_len;
};

struct chi_req {
	struct ch_ctx *ctx;
	struct chi_conn *conn; /* NULL: gone */
	struct chi_http *http;
	const char *raw;       /* the head's bytes, in the arena */
	struct ch_h1_head head;
	const char *path;
	size_t path_len;
	const char *bad_target; /* why the target cannot be routed */
	struct ch_str query;
	struct chi_route_match match;
	const struct chi_route *route;
	uint8_t stage; /* enum chi_stage */
	uint8_t cls;

	/* body */
	char *body;
	size_t body_len, body_cap, max_body;
	bool body_heap;     /* body is malloc's and counted */
	bool continued;     /* 100 was sent */

	/* answer */
	struct chi_header *headers; /* CHI_HEADERS, in the arena; NULL: none was set yet */
	uint64_t lengths;           /* of the names among them, a bit for each (of 64): most new names need no search */
	uint32_t nheaders;
	int status;
	bool answered;   /* ch_respond or ch_refuse gave a whole answer */
	bool begun, ended, aborted;
	bool head_sent;  /* handed to the connection */
	bool keep;       /* connection survives */
	bool chunked_out, no_body;
	bool has_length;
	uint64_t length, sent; /* declared; body bytes taken by ch_write */
	const char *type;
	const char *whole;     /* body of a whole answer */
	size_t whole_len;
	char *pending;   /* head built and not sent yet */
	size_t pending_len;
	struct chi_out *held; /* last bytes of a declared length: sent after END */
	ch_fn on_writable;
	void *on_writable_data;
	bool tapped;        /* taps heard the end */
	bool orphan;        /* the client left and the work goes on, see ch_outlive: conn is NULL, and it is in … */
	struct chi_req *next_orphan, **self_orphan; /* … the list of its loop */
	bool paused;        /* ch_write said AGAIN when the client left */
	bool (*outlive)(void *);
	void *outlive_data;
	int64_t begun_at;   /* the turn in which the head was made */
};

/* listen.c */
/*
 * Is nobody listening there? SO_REUSEPORT lets a second server of the same user take half of our connections without a word, so the
 * address is bound once without it: then the kernel says that it is in use. False: sentence in why.
 */
bool chi_listen_unused(const struct chi_listen_addr *a, char *why, size_t why_cap);
/* A socket that is bound; with port 0 the address is filled in with the one the kernel chose. reuse: SO_REUSEPORT. -1: sentence in why. */
int chi_listen_bind(struct chi_listen_addr *a, bool reuse, char *why, size_t why_cap);
/* From now on it takes connections. */
bool chi_listen_begin(int fd, const struct chi_listen_addr *a, char *why, size_t why_cap);
/* Takes the fd and accepts on it until chi_http_close_listeners. inherited: it then stays open until the end of the process, see there. */
bool chi_http_listen(struct chi_http *h, int fd, int cls, bool is_unix, bool inherited);
void chi_http_close_listeners(struct chi_http *h);

/* The loop's HTTP. */
struct chi_http *chi_http_new(struct ch_loop *l, struct chi_http_shared *shared);
/* Takes limits, timeouts and trusted proxies of a generation. Before the first connection, and at each new one. */
void chi_http_configure(struct chi_http *h, const struct chi_gen *g);
/* Closes the connections that have had no request for CHI_IDLE_GRACE_US, after a last look whether one has come; and all of them. */
void chi_http_close_idle(struct chi_http *h);
void chi_http_close_all(struct chi_http *h);
void chi_http_free(struct chi_http *h);

/* conn.c */
struct chi_conn *chi_conn_new(struct chi_http *h, const struct chi_transport *t, int fd, int cls, const struct sockaddr *sa, socklen_t len);
void chi_conn_bytes(struct chi_conn *c, const char *p, size_t n); /* bytes came */
void chi_conn_fin(struct chi_conn *c);                            /* the peer sends no more */
void chi_conn_lost(struct chi_conn *c);                           /* broken: a request hears GONE */
/* Sends or queues. What must wait is copied, but for part `own` (-1: none): that one is used in place until release(arg). */
void chi_conn_send(struct chi_conn *c, const struct iovec *v, int n, int own, ch_fn release, void *arg);
void chi_conn_writable(struct chi_conn *c);
/* The request is over and its answer handed over. */
void chi_conn_next(struct chi_conn *c, bool keep);
void chi_conn_want_body(struct chi_conn *c);

/* request.c */
void chi_req_start(struct chi_conn *c, const struct ch_h1_head *head, const char *raw);
/* An error before there is a request: answers it and closes. */
void chi_req_reject(struct chi_conn *c, int status, const char *detail);
/* Body bytes, unframed; then its end; or what is wrong with it (a status and a sentence). Each may end the request. */
void chi_req_data(struct chi_req *r, const char *p, size_t n);
void chi_req_data_end(struct chi_req *r);
void chi_req_data_bad(struct chi_req *r, const char *why);
void chi_req_timeout(struct chi_req *r);
void chi_req_gone(struct chi_req *r);
void chi_req_forsake(struct chi_req *r); /* see ch_forsake */
void chi_req_end(struct chi_req *r); /* END hooks, metrics, access log; once */
void chi_req_forget(struct ch_ctx *c);
struct ch_str chi_req_param(const struct chi_req *r, const char *name);
extern const struct chi_owner chi_req_owner;

/* response.c */
int chi_resp_header(struct chi_req *r, const char *name, size_t nn, const char *value, size_t vn);
bool chi_resp_header_at(const struct chi_req *r, size_t i, struct ch_str *name, struct ch_str *value); /* see ch_answer_header_at */
int chi_resp_whole(struct chi_req *r, int status, const char *type, const void *body, size_t n);
int chi_resp_length(struct chi_req *r, uint64_t n);
int chi_resp_begin(struct chi_req *r, int status);
int chi_resp_write(struct chi_req *r, const void *p, size_t n, ch_fn release, void *arg);
int chi_resp_end(struct chi_req *r);
void chi_resp_abort(struct chi_req *r);
/* After the hooks: the head of a whole answer is made, and END runs. Then, at once or when what END holds was let go, the last bytes: */
void chi_resp_finish(struct chi_req *r);
void chi_resp_leave(struct chi_req *r);
void chi_resp_cut(struct chi_req *r);  /* taps hear that a begun answer ended incomplete, if they heard no end yet */
void chi_resp_drop(struct chi_req *r); /* what was held and will not be sent */
const char *chi_resp_date(struct ch_loop *l); /* "Date: …\r\n", CHI_DATE_LEN bytes, made once a second and loop */
#define CHI_DATE_LEN 37

/* problem.c */
const struct ch_code_info *chi_problem_info(int code);
int chi_problem_status(int code);
const char *chi_problem_name(int code);
int chi_problem(struct chi_req *r, int code, int64_t retry_after_ms, const char *param, const char *detail);
/* The same with all that a refusal can say; on routes of OpenAI's dialect with its `error`. */
int chi_problem_as(struct chi_req *r, const struct ch_refusal *what);
struct ch_jw;
/* The object of every error answer; param and req_id may be NULL. */
void chi_problem_body(struct ch_jw *w, int code, const char *param, const char *req_id, const char *detail);
const char *chi_status_text(int status);

/* proxy.c */
bool ch_nets_have(const struct ch_net *v, size_t n, const struct in6_addr *a);
bool chi_proxy_trusted(const struct chi_conn *c);
const char *chi_proxy_client(struct chi_req *r); /* the client's address as text */

/* perip.c [any] */
int64_t chi_perip_add(const struct in6_addr *a); /* how many that address has now; 0: no memory, not counted */
void chi_perip_remove(const struct in6_addr *a);

/* stats.c */
bool chi_stats_init(char *why, size_t cap);
void chi_stats_conn(int delta);
void chi_stats_begin(void);
void chi_stats_end(struct chi_req *r);  /* at END */
void chi_stats_reject(struct chi_http *h, int code, const char *detail, const char *peer);
void chi_stats_route(struct chi_route *route);

#endif
