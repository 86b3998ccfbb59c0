/* SPDX-License-Identifier: MIT */
/*
 * chimera/plugin.h - the plugin interface, version 0.5. Since 0.1 unless a line says otherwise.
 *
 * A plugin is a shared object that exports one function through CH_PLUGIN(). The daemon calls it with a table of host functions
 * and gets back a descriptor: tables of options, metrics, hooks, routes, services, checks, tasks and commands, and a few callbacks. The
 * inline functions in
 * this header are the only way to call the host.
 *
 * Threads. Work happens on loops. A ctx belongs to one loop, and everything that takes a ctx, a timer or a watch is called on that
 * loop's thread. Functions marked [any] may be called from every thread; [start] only inside check and start. No function of
 * the host blocks, and no callback may block: use ch_offload.
 *
 * Memory. What the host gives stays the host's; what you give stays yours. What belongs to a ctx dies with it. Text is UTF-8 or plain
 * bytes, carries its length and may hold no final NUL unless it is a `const char *`.
 */
#ifndef CHIMERA_PLUGIN_H
#define CHIMERA_PLUGIN_H

#include <chimera/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_ABI_MAJOR 0 /* 0.x: host and plugin must agree exactly; from 1.0 on: the same major, minor <= the host's */
#define CH_ABI_MINOR 5

struct ch_host;                           /* the host's functions; reached through the wrappers below */
struct ch_ctx;                            /* a piece of work: an HTTP request or a task */
struct ch_loop;                           /* a thread with an event loop */
struct ch_timer;                          /* a one-shot timer on a loop */
struct ch_watch;                          /* interest in a file descriptor on a loop */
struct ch_thread;                         /* a thread of an instance's own. Since 0.2 */
struct ch_self;
typedef uint64_t ch_ticket;               /* names a suspension, never reused; 0 is none */

struct ch_str {                           /* bytes that someone else owns; p may be NULL when n is 0 */
	const char *p;
	size_t n;
};
#define CH_STR(lit) (CH_LIT_(ch_str){ "" lit, sizeof(lit) - 1 })

/* What hooks, handlers and resumed functions return. HTTP statuses are never among them. */
enum ch_rc {
	CH_OK = 0,                        /* go on with the next hook */
	CH_DONE = 1,                      /* the request is answered (or the task is finished) */
	CH_AGAIN = 2,                     /* suspended: a ticket is out that will be resumed */
	CH_ERROR = -1                     /* this plugin is broken: 500, counted and logged against it */
};

/* ---- options: parsing, --check, --dump-config, man pages and environment names all come from this table ---- */

enum ch_type {                            /* in the config struct: */
	CH_T_STR = 1,                     /* const char *, never NULL */
	CH_T_INT,                         /* int64_t */
	CH_T_BOOL,                        /* bool: yes no true false on off 1 0 */
	CH_T_DURATION,                    /* int64_t milliseconds: 250ms 5s 10m 2h 1d; -1 for "off" with CH_O_OFF */
	CH_T_SIZE,                        /* int64_t bytes: 512 64k 10m 1g */
	CH_T_RATE,                        /* double per second: 100/s 100/min 5/h; -1 for "unlimited" with CH_O_OFF */
	CH_T_SHARE,                       /* double from 0 to 1: 5% */
	CH_T_DOUBLE,                      /* double */
	CH_T_ENUM,                        /* int: index into `values` */
	CH_T_LIST,                        /* struct ch_list: by comma */
	CH_T_PATH,                        /* const char *: relative to the file that names it */
	CH_T_DATA,                        /* const char *: a path relative to state_dir */
	CH_T_SERVICE,                     /* const struct ch_svc *: an instance id or "auto"; NULL only if not REQUIRED */
	CH_T_SERVICES                     /* struct ch_svcs: instance ids by comma, "*", or "none"; one that only `def` names may be absent */
};

struct ch_list { const struct ch_str *v; size_t n; }; /* each ends with a NUL that n does not count */
struct ch_svcs { const struct ch_svc *const *v; size_t n; };

#define CH_O_REQUIRED   1u                /* an empty value is an error */
#define CH_O_SECRET     2u                /* never printed; kept out of dumps */
#define CH_O_RELOAD     4u                /* may change without a new instance, see `reload` of struct ch_plugin */
#define CH_O_DEPRECATED 8u                /* works, and says so once */
#define CH_O_OFF        16u               /* "off", "unlimited" (and "none") are values: -1 */
#define CH_O_RESTART    32u               /* a running server keeps it: a reload that changes it is refused, by its name. Since 0.2 */
#define CH_O_WATCH      64u               /* PATH: when the file it names changes, the config is reloaded. Since 0.2 */

struct ch_option {
	const char *name;                 /* lower snake case */
	int type;                         /* enum ch_type */
	size_t offset;                    /* into the config struct; CH_OPT fills and checks it */
	unsigned flags;                   /* CH_O_* */
	const char *def;                  /* default in the option's own grammar; NULL: empty, 0 or no */
	const char *dev_def;              /* the same in the profiles dev and ci; NULL: def */
	const char *min, *max;            /* bounds in the option's own grammar; NULL: none */
	const char *const *values;        /* ENUM: names, ended by NULL */
	const char *iface;                /* SERVICE(S): "inference/1" */
	const char *env;                  /* more environment names, by comma: "LLM_TIMEOUT_MS:ms" (unit of numbers), "OLD:deprecated" */
	const char *help;                 /* one sentence, without a final stop */
};

/* CH_OPT(struct my_conf, field, DURATION, .def = "5s", .help = "…"): the field's C type is checked at compile time. */
#define CH_OPT(conf, field, T, ...) { .name = #field, .type = CH_T_##T, .offset = CH_OFFSET_(conf, field, CH_C_##T), __VA_ARGS__ }
/* The same for an option whose name is no C identifier of yours: CH_OPT_AS(struct my_conf, field, "name", …). */
#define CH_OPT_AS(conf, field, as, T, ...) { .name = as, .type = CH_T_##T, .offset = CH_OFFSET_(conf, field, CH_C_##T), __VA_ARGS__ }

/* ---- metrics, what is declared ---- */

enum ch_metric_kind { CH_COUNTER = 1, CH_GAUGE, CH_HISTOGRAM };

/* Where a label's values come from. Never from a client: an unknown value counts as "other". */
enum ch_label_set {
	CH_L_FIXED = 1,                   /* the names in `values`, ended by NULL */
	CH_L_CONFIG,                      /* whatever ch_series() is called with in start or loop_start */
	CH_L_HOST                         /* the host's own sets: `values` NULL; names "endpoint", "method", "status", "plugin" */
};
struct ch_label { const char *name; int set; const char *const *values; };

struct ch_metric {
	const char *name;                 /* Prometheus rules: base units, _total on counters */
	int kind;                         /* enum ch_metric_kind */
	struct ch_label labels[4];        /* unused ones have no name */
	unsigned max_series;              /* 0: 1,000. Past it a value counts as "other" in every label */
	const double *buckets;            /* HISTOGRAM: upper bounds, ascending; NULL: powers of two by a base-2 exponential histogram */
	size_t nbuckets;
	const char *help;                 /* one sentence */
};

/* ---- hooks ---- */

enum ch_phase {                           /* in this order; each runs once a request, END once whatever happened */
	CH_P_HEADERS = 1,                 /* the head is parsed, no route yet */
	CH_P_AUTH,                        /* who is it; the route is known. Not on the control socket, as is … */
	CH_P_LIMIT,                       /* … may they now */
	CH_P_BODY,                        /* the buffered body is there */
	CH_P_CONTENT,                     /* before the route's own handler; DONE answers in its place */
	CH_P_RESPONSE,                    /* the answer's head is about to leave: ch_status, ch_header_set; OK only */
	CH_P_END,                         /* facts are final; OK only, but see ch_hold; also for tasks. Before the last bytes of the answer leave */
	/* Not of a request but of each question to a service, by ch_call_hooks; the hook finds it by ch_call. Since 0.2 */
	CH_P_CALL,                        /* DONE: the hook has filled the result itself, the service is not asked */
	CH_P_CALL_END                     /* the result is there, whatever happened; OK only; once for each CALL */
};
enum ch_band { CH_NORMAL = 0, CH_EARLY = -1, CH_LATE = 1 };

/* A tap sees the bytes of an answer's body as they go, read-only; `n` 0 at the end, when `complete` tells if all was sent. */
struct ch_hook {
	int phase;                        /* enum ch_phase */
	int band;                         /* enum ch_band; inside a band `after`/`before`, then config order */
	const char *after, *before;       /* plugin names by comma, or NULL */
	int (*fn)(struct ch_self *, struct ch_ctx *);
	int64_t budget_us;                /* a call that takes longer is named in the log and counted; 0: [server] hook_budget. Since 0.2 */
};
struct ch_tap { void (*fn)(struct ch_self *, struct ch_ctx *, const void *p, size_t n, bool complete); };

/* ---- routes: routing, 405, body limits and /openapi.json come from this table ---- */

/*
 * Who may use a route. PUBLIC: whom auth knows, or lets in without a key. OPS: status_listen, loopback peers, admin keys. ADMIN: admin keys
 * only. OPEN: everyone, a key is not asked for: probes and documents. Since 0.5
 */
enum ch_route_class { CH_PUBLIC = 0, CH_OPS, CH_ADMIN, CH_OPEN };
/* NONE: a body is dropped (64 KiB, else the connection ends). BUFFER: it is read whole before BODY. */
enum ch_body_mode { CH_BODY_NONE = 0, CH_BODY_BUFFER };

/* Whose clients call a route. OPENAI: errors, the core's own too, also carry OpenAI's `error` object. Since 0.3 */
enum ch_dialect { CH_D_PLAIN = 0, CH_D_OPENAI };

struct ch_route {
	const char *method;               /* "GET" also answers HEAD; "POST", … */
	const char *pattern;              /* "/v1/models/{id}", "/files/{path...}": the last part may take slashes */
	const char *pattern_option;       /* instead of pattern: the STR option that holds it */
	int cls;                          /* enum ch_route_class */
	int body;                         /* enum ch_body_mode */
	size_t max_body;                  /* bytes; 0: the server's max_body_bytes */
	const char *tier;                 /* the least tier, in the order that auth is told; NULL: any */
	bool idempotent;                  /* a request with an Idempotency-Key is answered once and repeated as often as it is asked for */
	int (*fn)(struct ch_self *, struct ch_ctx *);
	const char *request_schema;       /* JSON Schema text, or NULL */
	const char *response_schema;
	const char *response_type;        /* media type; NULL: application/json */
	const char *summary;              /* one line */
	int64_t budget_us;                /* as in struct ch_hook */
	int dialect;                      /* enum ch_dialect: what an error answer carries beside the problem. Since 0.3 */
	const char *ledger;               /* "inference": each request leaves a row in the usage ledger, whatever comes of it; NULL: none. Since 0.4 */
};

/* ---- services ---- */

struct ch_svc {                           /* a bound service, as SERVICE options hold it; the host's, valid as long as the instance */
	size_t size;
	const void *vt;                   /* the interface's vtable, see its header */
	struct ch_self *self;             /* the providing instance: its own business */
	const char *id;                   /* the provider's instance id */
};
struct ch_provide {
	const char *iface;                /* "inference/1" */
	const void *vt;                   /* begins with size_t size; static storage */
	int rank;                         /* `auto` takes the highest */
};

/* ---- health checks: run on the house loop, results cached ---- */

enum ch_health { CH_HEALTHY = 0, CH_DEGRADED, CH_UNHEALTHY };
struct ch_check_result { size_t size; int health; char message[160]; };
struct ch_check {
	const char *name;                 /* shown as instance.name, or instance alone if equal */
	int critical;                     /* 1: unhealthy means not ready, if an enabled route needs this instance; 0: degraded */
	int timeout_ms;                   /* 0: startup_check_timeout */
	/* Fill *out and return OK, or AGAIN (suspended; the resumed function fills it and returns OK). `out` lives as long as the ctx. */
	int (*fn)(struct ch_self *, struct ch_ctx *, struct ch_check_result *out);
};

/* ---- tasks by the clock, commands, seams. Since 0.2 ---- */

struct ch_cron {
	const char *name;                 /* of the task: a label in metrics */
	const char *when;                 /* "5m": so long after its last end, or the start of the instance; "30 3 * * 1-5": minute hour day month weekday, UTC */
	const char *when_option;          /* instead: the STR option that holds it; an empty value: never */
	int64_t timeout_ms;               /* 0: none */
	int (*fn)(struct ch_self *, struct ch_ctx *); /* a task on the house loop, never twice at once */
};

/* EACH, beside the others: `chimeractl NAME` runs it in every instance that has it, in config order, and fails if one does. Since 0.4 */
enum { CH_LIVE = 1, CH_OFFLINE = 2, CH_EACH = 4 };
struct ch_command {                       /* chimeractl run INSTANCE NAME [ARGUMENT…] */
	const char *name;
	int modes;                        /* LIVE: in the running server; OFFLINE: in a process with this instance and what it uses; both; EACH */
	const char *args;                 /* for the help: "KEY [VALUE]"; NULL: none */
	size_t min_args, max_args;
	const char *summary;
	/*
	 * On the house loop; writes with ch_out. OK or DONE: exit code 0; ch_refuse: its detail on stderr and 1. The arguments live
	 * as long as ctx.
	 */
	int (*fn)(struct ch_self *, struct ch_ctx *, size_t argc, const char *const *argv);
};

/* Where a plugin may act as if a dependency had failed: providers ask ch_fault there. One instance at most fills each. */
enum ch_seam_name { CH_S_VENDOR = 0, CH_S_STORAGE, CH_S_VECTOR_STORE, CH_S_QUEUE, CH_S_KV, CH_S_SCHEDULER, CH_S_TOKEN_CLEANUP, CH_SEAMS };
struct ch_fault { size_t size; int64_t delay_ms; bool fail; const char *kind; }; /* wait so long; then fail as the dependency would */
struct ch_seam {
	int seam;                         /* enum ch_seam_name */
	bool (*fn)(struct ch_self *, struct ch_ctx *, struct ch_fault *out); /* false: nothing happens this time */
};

/* ---- the descriptor ---- */

struct ch_table { const void *rows; size_t n; size_t row_size; };
#define CH_TABLE(array) { (array), sizeof(array) / sizeof((array)[0]), sizeof((array)[0]) }

struct ch_row { const char *name; const void *conf; }; /* [plugin.name] */

/*
 * One instance: the host's; read it, write only *state. A reload keeps an instance whose section, watched files and providers are the same:
 * self, state, timers and threads go on. A changed one gets a successor, with a state of its own: start(successor, old), and when all have
 * started adopt(successor, old); on each loop loop_start and loop_adopt; then retire(old). The old one serves what it has begun and is
 * stopped after that. A provider that is replaced replaces its users too, so what an option is bound to lives as long as the instance.
 */
struct ch_self {
	size_t size;
	const char *id;                   /* "openai", "vllm" */
	const void *conf;                 /* your config struct, filled; never changes */
	void *state;                      /* state_size zeroed bytes of yours */
	const struct ch_row *rows;        /* rows in config order */
	size_t nrows;
	const struct ch_plugin *plugin;
};

struct ch_plugin {
	size_t size;                      /* sizeof(struct ch_plugin) */
	unsigned abi_major, abi_minor;    /* CH_ABI_MAJOR, CH_ABI_MINOR */
	const char *name;                 /* lower snake case: folder, .so, config section */
	const char *version;
	const char *summary;              /* one line */
	size_t conf_size, row_conf_size, state_size;
	struct ch_table options, row_options, metrics, hooks, taps, routes, provides, checks, crons, commands, seams;
	/*
	 * All optional; NULL: nothing to do. On the boot thread, one at a time, unless said otherwise. `prev`: the one to succeed,
	 * or NULL.
	 */
	int (*check)(struct ch_self *);   /* pure; report with ch_config_error and return CH_ERROR */
	/*
	 * CH_OK, or CH_ERROR after ch_log, and then `stop` is not called. Takes nothing from prev: it goes on if the reload fails. A
	 * dependency that is down is degraded, not an error.
	 */
	int (*start)(struct ch_self *, const struct ch_self *prev);
	/*
	 * The reload is decided: take over what prev shares. prev still works on the loops: share under a lock, or count references.
	 * Since 0.2
	 */
	void (*adopt)(struct ch_self *, struct ch_self *prev);
	/*
	 * Only RELOAD options differ: no new instance. `fresh` holds them, and rows, during the call; the loops run: use atomics or
	 * ch_post. Since 0.2
	 */
	void (*reload)(struct ch_self *, const struct ch_self *fresh);
	void (*retire)(struct ch_self *); /* no new work comes any more; before or after loop_stop. Since 0.2 */
	void (*stop)(struct ch_self *);   /* no ctx, timer or watch of this instance is left; join its threads here */
	/*
	 * Once a loop, on its thread, after start. Loops take a new config one by one: a worker that has may call a service of yours before the
	 * house loop's loop_start, and loop_stop comes loop by loop, too.
	 */
	int (*loop_start)(struct ch_self *, struct ch_loop *);
	/*
	 * Behind loop_start, on the loop's thread: take prev's per-loop state (warm connections); prev runs nowhere else on this
	 * loop. Since 0.2
	 */
	void (*loop_adopt)(struct ch_self *, struct ch_self *prev, struct ch_loop *);
	void (*loop_stop)(struct ch_self *, struct ch_loop *); /* the same, before stop: free timers and watches here */
	/*
	 * [any] The server ends, and its last connection is closed: is all done that you want done before your tasks hear GONE and the
	 * loops stop? Asked again and again until it says true, or until drain_timeout. For what was taken in and is still to be passed on;
	 * do not wait for what is down. Since 0.4
	 */
	bool (*drained)(struct ch_self *);
};

/* What every plugin's source has once: CH_PLUGIN(name, descriptor). */
#define CH_PLUGIN(name, desc) \
	CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_; \
	CH_EXTERN_C_ __attribute__((visibility("default"))) const struct ch_plugin *CH_ENTRY_(name)(const struct ch_host *host); \
	const struct ch_plugin *CH_ENTRY_(name)(const struct ch_host *host) { ch_host_ = host; return &(desc); }
typedef const struct ch_plugin *(*ch_plugin_entry)(const struct ch_host *);

/* ---- facts: everybody reads; the named owner writes ---- */

enum ch_role { CH_ROLE_NONE = 0, CH_ROLE_USER, CH_ROLE_ADMIN };
struct ch_facts {
	size_t size;
	const char *client;               /* core: the client's address as text, behind trusted proxies */
	const char *method;               /* core: "GET", or "other" */
	const char *endpoint;             /* core: the route's pattern; "" before routing; "none" for no route */
	int status;                       /* core: the answer's status; 0 before; 499 for a client that left before the head */
	const char *code;                 /* core: the error code of ch_refuse, or NULL; the content handler: of the error that ended its stream */
	uint64_t bytes_in, bytes_out;     /* core: body bytes */
	int64_t started;                  /* core: ch_now at the request's first byte, microseconds */
	int64_t first_byte;               /* core: the same at the answer's head; 0 before */
	bool aborted;                     /* core: the answer was cut */
	const char *req_id;               /* trace */
	char trace_id[33], span_id[17];   /* trace: lower hex; empty without a trace */
	bool sampled;                     /* trace */
	const char *owner, *tier;         /* auth: NULL before */
	int role;                         /* auth: enum ch_role */
	const char *backend, *model;      /* the content handler or router: what really answered */
	uint64_t tokens_in, tokens_out;   /* the content handler or router */
	char parent_id[17];               /* trace: the caller's span, lower hex; empty when the trace began here */
	const char *tracestate;           /* trace: the caller's, to be passed on with trace_id; NULL: none */
	const char *asked;                /* ch_infer: the model that the client named; NULL: none. Since 0.3 */
	const char *ledger;               /* core: that of the route; NULL: none, or no route yet. Since 0.4 */
	double cost;                      /* router: what it cost, in the money of its prices; NAN: not priced. Since 0.4 */
	const char *key;                  /* auth: the id of the API key, or of the token; not secret; NULL: none was shown. Since 0.5 */
	const char *limits;               /* auth: the key's own limits, as in struct ch_key; NULL or "": its tier's. Since 0.5 */
};

/* ---- errors to clients ---- */

enum ch_code {                            /* one table in the core gives status, type, title; only ever appended to */
	CH_E_BAD_REQUEST = 1, CH_E_UNAUTHORIZED, CH_E_FORBIDDEN, CH_E_NOT_FOUND, CH_E_METHOD_NOT_ALLOWED, CH_E_REQUEST_TIMEOUT,
	CH_E_CONFLICT, CH_E_TOO_LARGE, CH_E_URI_TOO_LONG, CH_E_UNSUPPORTED_MEDIA, CH_E_EXPECTATION, CH_E_UNPROCESSABLE,
	CH_E_RATE_LIMITED, CH_E_HEADERS_TOO_LARGE, CH_E_INTERNAL, CH_E_NOT_IMPLEMENTED, CH_E_VERSION, CH_E_OVERLOADED,
	CH_E_DRAINING, CH_E_UNAVAILABLE, CH_E_UPSTREAM_AUTH, CH_E_UPSTREAM_RATE_LIMITED, CH_E_UPSTREAM_ERROR,
	CH_E_UPSTREAM_INVALID, CH_E_UPSTREAM_TIMEOUT, CH_E_UPSTREAM_UNAVAILABLE, CH_E_UPSTREAM_BUSY, CH_E_MODEL_NOT_FOUND,
	/* Since 0.5, of an Idempotency-Key: 422 it came with another payload; 409 its first request still runs; … */
	CH_E_IDEMPOTENCY_REUSED, CH_E_IDEMPOTENCY_IN_PROGRESS,
	CH_E_IDEMPOTENCY_NOT_REPLAYABLE,  /* … 409 it was answered, and the answer was not kept; … */
	CH_E_IDEMPOTENCY_INDETERMINATE    /* … 409 whoever worked on it died: nobody knows how far it came */
};

struct ch_code_info {                     /* a row of that table; static storage */
	size_t size;
	int status;                       /* 503 */
	const char *name;                 /* `code` in an answer: "upstream_timeout" */
	const char *type;                 /* OpenAI's `type`: "server_error" */
};

/* ---- callbacks ---- */

enum ch_why { CH_READY = 1, CH_TIMEOUT, CH_GONE };
typedef int (*ch_resumed)(struct ch_ctx *, void *data, int why, void *result);
typedef void (*ch_fn)(void *data);                       /* timers, posts, releases, drops */
typedef void (*ch_watch_fn)(void *data, int events);
typedef int (*ch_task_fn)(struct ch_ctx *, void *data);
enum { CH_READ = 1, CH_WRITE = 2 };
enum ch_level { CH_DEBUG = 0, CH_INFO, CH_WARN, CH_ERR };

struct ch_addrs {                         /* what ch_resolve found. Since 0.2 */
	size_t size;
	const char *error;                /* static text; NULL: none */
	size_t n;
	char v[16][46];                   /* numeric addresses, the system's order of preference */
};

#include <chimera/host.h> /* the table of host functions; the wrappers below say what each does */

/* ---- a ctx ---- */

/* Memory that dies with the ctx, zeroed, aligned for any type. NULL past the arena's limit (4 MiB beside the body). */
static inline void *ch_alloc(struct ch_ctx *c, size_t n) { return ch_host_->alloc(c, n); }
/* A copy in the arena with a final NUL behind the n bytes, or NULL. */
static inline char *ch_dup(struct ch_ctx *c, const char *p, size_t n)
{
	char *d = (char *)ch_host_->alloc(c, n + 1);
	if (d && n)
		memcpy(d, p, n);
	return d;
}
/*
 * fn(data) when the ctx's memory goes, after END and when all tickets are confirmed; the last one kept goes first. For what a ctx holds
 * outside of its arena. False: no memory, fn was not and will not be called. Loop thread, where fn runs too. Since 0.3
 */
static inline bool ch_keep(struct ch_ctx *c, ch_fn fn, void *data) { return ch_host_->keep(c, fn, data); }
/*
 * Inside an END hook: what has not left of the answer (all of it, or a stream's end) waits until ch_let_go was called as often as ch_hold. ok
 * false, once: it is cut instead, because a promise that stands behind it cannot be kept. The ctx lives on meanwhile; nobody else puts an end
 * to the wait, so let go within seconds. Both on the loop's thread, ch_let_go from any callback there. Since 0.4
 */
static inline void ch_hold(struct ch_ctx *c) { ch_host_->hold(c); }
static inline void ch_let_go(struct ch_ctx *c, bool ok) { ch_host_->let_go(c, ok); }
/* The same as ch_print, for functions that take a format themselves. Since 0.3 */
static inline char *ch_vprint(struct ch_ctx *c, const char *fmt, va_list ap) { return ch_host_->vprint(c, fmt, ap); }
/* printf into the arena; NULL past its limit. */
CH_PRINTF_(2, 3) static inline char *ch_print(struct ch_ctx *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *s = ch_host_->vprint(c, fmt, ap);
	va_end(ap);
	return s;
}
/* The facts. Read all; write only the fields whose owner you are. Text must live as long as the ctx. */
static inline struct ch_facts *ch_facts(struct ch_ctx *c) { return ch_host_->facts(c); }
/* This instance's own pointer in the ctx, NULL at first. */
static inline void **ch_slot(struct ch_self *s, struct ch_ctx *c) { return ch_host_->slot(s, c); }
static inline struct ch_loop *ch_loop(struct ch_ctx *c) { return ch_host_->loop(c); }
/* The ctx's deadline on the clock of ch_now, microseconds; 0: none. Setting it only brings it nearer. */
static inline int64_t ch_deadline(struct ch_ctx *c) { return ch_host_->deadline(c); }
static inline void ch_deadline_set(struct ch_ctx *c, int64_t at) { ch_host_->deadline_set(c, at); }

/* ---- waiting ---- */

/*
 * Makes a ticket for something that will happen later; then return CH_AGAIN. `fn` runs once, on the ctx's loop, never inside ch_resume:
 * READY with the result; TIMEOUT after timeout_ms (0: only the ctx's deadline); GONE when the client left. What fn returns continues the
 * hook that
 * returned AGAIN: OK, DONE or ERROR ends its suspension, AGAIN goes on waiting for another ticket.
 *
 * Of several tickets that are out each is told its own outcome, also after the ctx went on by another; what it returns then does not count.
 * After READY the ticket is spent. After TIMEOUT and GONE the operation may still be running: tell it to stop (a service's `cancel`), and
 * the arena is kept until its holder confirms with ch_resume (which returns false then) or ch_unsuspend. So the rule for whoever
 * was handed a ticket is simple: call ch_resume exactly once, whatever happened. After GONE return DONE. Nothing here ever runs inside a
 * call of
 * yours, ch_write and ch_begin included. Returns 0 when no ticket can be had.
 */
static inline ch_ticket ch_suspend(struct ch_ctx *c, int64_t timeout_ms, ch_resumed fn, void *data)
{
	return ch_host_->suspend(c, timeout_ms, fn, data);
}
/*
 * Takes a ticket back that nobody will resume: a service that answered at once, an operation confirmed as cancelled. Loop thread; 0 is
 * ignored.
 */
static inline void ch_unsuspend(ch_ticket t) { ch_host_->unsuspend(t); }
/*
 * [any] Resumes. True: fn will see `result`, or drop will if the ctx ends first; where drop is NULL and another ticket of the ctx is not
 * confirmed yet, fn hears GONE then, so that a provider that waits for another one can confirm. False: too late; drop(result) was called
 * (drop may be NULL).
 */
static inline bool ch_resume(ch_ticket t, void *result, ch_fn drop) { return ch_host_->resume(t, result, drop); }

/*
 * Runs the CALL hooks over `call`, a struct that the service's header defines and that begins with size_t size and const char *iface; it
 * must live as long as the ctx. OK: none, or all have passed at once; DONE: one has filled the result; AGAIN: one waits, and fn gets READY
 * with the outcome as its result: (void *)(intptr_t)CH_OK, CH_DONE or CH_ERROR; or GONE. No other ticket of this ctx may be out: CH_ERROR.
 * ch_call_end runs CALL_END, once, always. ch_infer of the kit does all of this. Since 0.2
 */
static inline int ch_call_hooks(struct ch_ctx *c, void *call, ch_resumed fn, void *data) { return ch_host_->call_hooks(c, call, fn, data); }
static inline void ch_call_end(struct ch_ctx *c) { ch_host_->call_end(c); }
/* The call that a CALL or CALL_END hook is about; NULL outside. Since 0.2 */
static inline void *ch_call(struct ch_ctx *c) { return ch_host_->call(c); }
/* [NULL test when nothing fills the seam] Does a fault strike here? Set out->size. Since 0.2 */
static inline bool ch_fault(struct ch_ctx *c, enum ch_seam_name seam, struct ch_fault *out) { return ch_host_->fault(c, seam, out); }
/*
 * A span: a named stretch of the ctx's time, for traces and Server-Timing; its parent is the youngest that is still open. `name` must live
 * as long as the ctx. 0: none was made (64 a ctx); 0 is fine for the others. Notes are copied. Since 0.2
 */
static inline unsigned ch_span_begin(struct ch_ctx *c, const char *name) { return ch_host_->span_begin(c, name); }
static inline void ch_span_note(struct ch_ctx *c, unsigned span, const char *key, const char *value)
{
	ch_host_->span_note(c, span, key, value);
}
static inline void ch_span_end(struct ch_ctx *c, unsigned span, bool ok) { ch_host_->span_end(c, span, ok); }
/*
 * In a command: UTF-8 text, whole characters in each call, for whoever typed it. OK; AGAIN, only after ch_on_writable: taken, but more than
 * stream_high bytes wait, go on when that calls; DONE: nobody reads any more, or 8 MiB waited unread; ERROR: not a command. Offline it waits
 * for the reader. Since 0.2
 */
CH_PRINTF_(2, 3) static inline int ch_out(struct ch_ctx *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = ch_host_->vout(c, fmt, ap);
	va_end(ap);
	return rc;
}

/*
 * In a command: so much of `what` is done, in any unit; total 0: not known. Say it as often as you like: whoever typed the command sees a
 * bar if the output is a terminal. Since 0.3
 */
static inline void ch_progress(struct ch_ctx *c, uint64_t done, uint64_t total, const char *what) { ch_host_->progress(c, done, total, what); }

/* ---- the request; on a ctx that is a task all of these give nothing. What they give lives as long as the ctx ---- */

static inline bool ch_is_http(struct ch_ctx *c) { return ch_host_->is_http(c); }
/* The path, decoded and normalised once, and the raw query without '?'. */
static inline struct ch_str ch_path(struct ch_ctx *c) { return ch_host_->path(c); }
static inline struct ch_str ch_query(struct ch_ctx *c) { return ch_host_->query(c); }
/* The value of {name} in the route's pattern; p NULL: no such part. */
static inline struct ch_str ch_param(struct ch_ctx *c, const char *name) { return ch_host_->param(c, name); }
/* The first header field of that name (any letter case); p NULL: absent. */
static inline struct ch_str ch_header(struct ch_ctx *c, const char *name) { return ch_host_->header(c, name, strlen(name)); }
/* The i-th header field; false past the last. */
static inline bool ch_header_at(struct ch_ctx *c, size_t i, struct ch_str *name, struct ch_str *value)
{
	return ch_host_->header_at(c, i, name, value);
}
/* The route that was found, as its plugin declared it; NULL: none, not yet, or a task. Since 0.5 */
static inline const struct ch_route *ch_route(struct ch_ctx *c) { return ch_host_->route(c); }
/* The buffered body, from BODY on. */
static inline struct ch_str ch_body(struct ch_ctx *c) { return ch_host_->body(c); }
/* Is the peer itself one of trusted_proxies? */
static inline bool ch_peer_trusted(struct ch_ctx *c) { return ch_host_->peer_trusted(c); }

/* ---- the answer ---- */

/* The answer's status; 0 before it is known. */
static inline int ch_status(struct ch_ctx *c) { return ch_host_->status(c); }
/*
 * Sets a header field of the answer, replacing one of that name; an empty value takes it away. Both are copied. Until the head has left, in
 * RESPONSE too. CH_ERROR: too late, or a byte that would split the answer, or a field that the core owns (Connection, Content-Length,
 * Transfer-Encoding, Date).
 */
static inline int ch_header_set(struct ch_ctx *c, const char *name, const char *value)
{
	return ch_host_->header_set(c, name, strlen(name), value, strlen(value));
}
/*
 * The i-th header field of the answer as plugins have set it, Content-Type among them; false past the last. What the core adds itself
 * (Date, Content-Length, …) is not there. In RESPONSE and behind it: all of them. Since 0.5
 */
static inline bool ch_answer_header_at(struct ch_ctx *c, size_t i, struct ch_str *name, struct ch_str *value)
{
	return ch_host_->answer_header_at(c, i, name, value);
}
/*
 * The work is worth more than its client: when the client leaves before the answer is complete, wanted(data) is asked, once, on the loop,
 * perhaps inside a ch_write of the handler: it looks, and calls nothing of this ctx. True: the work goes on without a client. Nobody hears GONE,
 * ch_begin, ch_write and ch_end go on, what is written goes to the taps alone, and the facts say aborted. Later ch_forsake says that
 * nobody wants it any more, and it is as if the client left then; nothing if a client is there, or it has ended. Set it again to change it;
 * NULL takes it away. When the server stops, such work hears GONE with its last loop. Loop thread. Since 0.5
 */
static inline void ch_outlive(struct ch_ctx *c, bool (*wanted)(void *data), void *data) { ch_host_->outlive(c, wanted, data); }
static inline void ch_forsake(struct ch_ctx *c) { ch_host_->forsake(c); }
/*
 * A whole answer: head, body (copied) and end. type NULL: no Content-Type. Returns CH_DONE; CH_ERROR: answered already, or past the arena's
 * limit: stream what may be large.
 */
static inline int ch_respond(struct ch_ctx *c, int status, const char *type, const void *body, size_t n)
{
	return ch_host_->respond(c, status, type, body, n);
}
/*
 * An error answer of the one shape (RFC 9457); the format is its `detail`: say what to do. retry_after_ms 0: no Retry-After. Returns
 * CH_DONE.
 */
CH_PRINTF_(4, 5) static inline int ch_refuse(struct ch_ctx *c, enum ch_code code, int64_t retry_after_ms, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = ch_host_->vrefuse(c, code, retry_after_ms, NULL, fmt, ap);
	va_end(ap);
	return rc;
}
/* The same for a member of the request that is wrong: "messages[2].role" stands in `param`. */
CH_PRINTF_(4, 5) static inline int ch_refuse_param(struct ch_ctx *c, enum ch_code code, const char *param, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = ch_host_->vrefuse(c, code, 0, param, fmt, ap);
	va_end(ap);
	return rc;
}
/*
 * The same with all that an error answer can say. `error` (n 0: made of the rest) is what a route of that dialect shows as OpenAI's `error`:
 * a JSON object, valid and without secrets. Since 0.3
 */
struct ch_refusal {
	size_t size;
	int code;                         /* enum ch_code */
	int64_t retry_after_ms;           /* 0: none */
	const char *param;                /* NULL: none */
	const char *detail;               /* one sentence; NULL: the code's title */
	struct ch_str error;
	const char *type;                 /* the problem's type, a URI of a registry; NULL: urn:chimera:problem: and the code. Since 0.5 */
	struct ch_str more;               /* further members: `"a":1,"b":2`, valid JSON, none that is there already; n 0: none. Since 0.5 */
};
static inline int ch_refuse_as(struct ch_ctx *c, const struct ch_refusal *r) { return ch_host_->refuse_as(c, r); }
/*
 * A streamed answer: ch_begin once, ch_write any number of times, ch_end or ch_abort once; from the handler or, while it is suspended, from
 * any callback on its loop. A length known before may be set by ch_length before ch_begin; otherwise the body is chunked.
 * ch_write takes the bytes unless it returns CH_DONE or CH_ERROR: copied if `release` is NULL, else used in place until release(arg), which
 * is called exactly once, in those cases too. CH_AGAIN: taken, but more than stream_high bytes wait: go on when on_writable calls.
 * CH_DONE: the client is gone. CH_ERROR: not begun, or ended. ch_abort cuts the connection so that the client sees an incomplete answer.
 */
static inline int ch_length(struct ch_ctx *c, uint64_t n) { return ch_host_->length(c, n); }
static inline int ch_begin(struct ch_ctx *c, int status) { return ch_host_->begin(c, status); }
static inline int ch_write(struct ch_ctx *c, const void *p, size_t n, ch_fn release, void *arg)
{
	return ch_host_->write(c, p, n, release, arg);
}
static inline int ch_end(struct ch_ctx *c) { return ch_host_->end(c); }
static inline void ch_abort(struct ch_ctx *c) { ch_host_->abort_(c); }
/* fn(data) each time the waiting bytes fall to stream_low; one function a ctx, NULL takes it away; in a command, too. */
static inline void ch_on_writable(struct ch_ctx *c, ch_fn fn, void *data) { ch_host_->on_writable(c, fn, data); }

/* ---- loops ---- */

/* Watches fd for READ | WRITE. Loop thread. The fd stays yours and must outlive the watch. NULL: no memory. */
static inline struct ch_watch *ch_watch(struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data)
{
	return ch_host_->watch(l, fd, events, fn, data);
}
static inline void ch_watch_set(struct ch_watch *w, int events) { ch_host_->watch_set(w, events); }
static inline void ch_watch_free(struct ch_watch *w) { ch_host_->watch_free(w); }
/*
 * A timer, not started. ch_timer_set starts it anew (ms from now; < 0 stops it). It fires once a start; free it inside its function if
 * you like.
 */
static inline struct ch_timer *ch_timer(struct ch_loop *l, ch_fn fn, void *data) { return ch_host_->timer(l, fn, data); }
static inline void ch_timer_set(struct ch_timer *t, int64_t ms) { ch_host_->timer_set(t, ms); }
static inline void ch_timer_free(struct ch_timer *t) { ch_host_->timer_free(t); }
/* [any] Runs fn(data) on the loop, in the order posted. False: no memory, or the loop has ended. */
static inline bool ch_post(struct ch_loop *l, ch_fn fn, void *data) { return ch_host_->post(l, fn, data); }
/* Runs fn(data) once at the end of this turn of the loop. Loop thread. */
static inline void ch_turn_end(struct ch_loop *l, ch_fn fn, void *data) { ch_host_->turn_end(l, fn, data); }
/* [any] Monotonic and wall clock (since the epoch), microseconds. */
static inline int64_t ch_now(void) { return ch_host_->now(); }
static inline int64_t ch_wall(void) { return ch_host_->wall(); }
/* [any] 64 random bits from a fast generator seeded by the system: for ids, never for secrets. */
static inline uint64_t ch_random(void) { return ch_host_->random(); }
/* [any] The i-th loop, NULL past the last: workers first, the house loop last. */
static inline struct ch_loop *ch_loop_at(unsigned i) { return ch_host_->loop_at(i); }
static inline unsigned ch_loop_index(struct ch_loop *l) { return ch_host_->loop_index(l); }
/* This instance's own pointer on the loop, NULL at first. Loop thread. */
static inline void **ch_loop_state(struct ch_self *s, struct ch_loop *l) { return ch_host_->loop_state(s, l); }
/*
 * [any] Runs work(data) on a pool thread, then ch_resume(ticket, its result, drop). work may block and may use memory of the suspended
 * ctx; it calls
 * only functions marked [any]. False: the pool's queue is full; nothing was or will be called, take the ticket back.
 */
static inline bool ch_offload(struct ch_self *s, void *(*work)(void *), void *data, ch_ticket t, ch_fn drop)
{
	return ch_host_->offload(s, work, data, t, drop);
}
/*
 * [any] Starts a task: a ctx without HTTP on the loop (NULL: the house loop), with a deadline (timeout_ms, 0: none). fn returns like a
 * hook; a task that waits hears GONE when the server stops. If the config is replaced or memory runs out before fn was called, drop(data)
 * is called instead (drop may be NULL), on any thread. False: neither will be called. A task must end: while it runs its config stays
 * alive, and 8 configs are the most. Work without an end is a timer, a cron or a ch_thread.
 */
static inline bool ch_task(struct ch_self *s, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop)
{
	return ch_host_->task(s, l, timeout_ms, fn, data, drop);
}

/*
 * [any] A thread for work that blocks for long (a writer, a consumer): fn(data) runs until it returns; end it in retire or stop and join
 * it in stop: it is this instance's and cannot be handed to a successor. Signals are blocked in it; it calls only functions marked [any].
 * The name (15 bytes) is shown by ps. NULL: none can be had. Since 0.2
 */
static inline struct ch_thread *ch_thread(struct ch_self *s, const char *name, ch_fn fn, void *data)
{
	return ch_host_->thread(s, name, fn, data);
}
static inline void ch_thread_join(struct ch_thread *t) { ch_host_->thread_join(t); }
/*
 * The addresses of a host name, found in the pool by the system's resolver. OK: *out is filled now (numeric, or an error); AGAIN: *out will be
 * filled and the ticket resumed (it must live as long as the ctx); ERROR: the pool is full. Set out->size. Since 0.2
 */
static inline int ch_resolve(struct ch_self *s, const char *host, struct ch_addrs *out, ch_ticket t)
{
	return ch_host_->resolve(s, host, out, t);
}
/* [any] Memory for secrets: zeroed, kept out of dumps and swap where the system can; wiped when freed. NULL: none. Since 0.2 */
static inline void *ch_secret_alloc(size_t n) { return ch_host_->secret_alloc(n); }
static inline void ch_secret_free(void *p) { ch_host_->secret_free(p); }

/* ---- metrics ---- */

/*
 * [any] The series of metric `index` (row of your table) with these label values, in order; NULL when it has no labels. Finds or makes
 * it: do it
 * once, in start or loop_start, and keep the number. The number stays valid for the life of the process; a metric of the same name keeps
 * its count over reloads.
 */
static inline unsigned ch_series(struct ch_self *s, unsigned index, const char *const *values)
{
	return ch_host_->series(s, index, values);
}
/* [any] Counter: += v >= 0. Gauge: += v. */
static inline void ch_add(unsigned series, double v) { ch_host_->add(series, v); }
/* [any] Gauge: = v. Use either set or add on a gauge, not both. */
static inline void ch_set(unsigned series, double v) { ch_host_->set(series, v); }
static inline void ch_observe(unsigned series, double v) { ch_host_->observe(series, v); }

/* ---- telling ---- */

/* [any] One log line. The ctx (or NULL) gives it req_id and trace_id. Never blocks; lines that do not fit are dropped and counted. */
CH_PRINTF_(4, 5) static inline void ch_log(struct ch_self *s, struct ch_ctx *c, enum ch_level level, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	ch_host_->vlog(s, c, level, fmt, ap);
	va_end(ap);
}
/*
 * [start] An error about a key of this instance, or of its row of that name (NULL: none); key NULL: the section itself. Say what was found
 * and what is allowed. In check it is shown with file and line and refuses the config; in start it is a log line.
 */
CH_PRINTF_(4, 5) static inline void ch_config_error(struct ch_self *s, const char *row, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	ch_host_->vconfig_error(s, row, key, fmt, ap);
	va_end(ap);
}
/*
 * [any] `what` (a dependency, a mode; static or in your state) works worse than it should, or (down false) does again. Say it as often
 * as you
 * like: the host logs changes once, waits 2 s without trouble before it believes a recovery, and keeps the metric and /ready?verbose.
 * The format says why, for people. Since 0.2
 */
CH_PRINTF_(4, 5) static inline void ch_degraded(struct ch_self *s, const char *what, bool down, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	ch_host_->vdegraded(s, what, down, fmt, ap);
	va_end(ap);
}
/*
 * [any] Something that this instance offers, by a name of its own ("gemma3:latest"), and whether it can be had now: shown among /health's
 * capabilities as "INSTANCE.NAME". Copied; forgotten with the instance, which may have 1,024. Since 0.3
 */
static inline void ch_capability(struct ch_self *s, const char *name, bool there) { ch_host_->capability(s, name, there); }
/*
 * [any] What the core's table says of a code: for error frames in a stream, where ch_refuse comes too late. An unknown code gives
 * CH_E_INTERNAL's row.
 */
static inline const struct ch_code_info *ch_code_info(enum ch_code code) { return ch_host_->code_info(code); }

#ifdef __cplusplus
}
#endif
#endif
