/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h - a backend as the router sees it, and what is counted of it.
 *
 * A struct router_backend belongs to one instance of the router: filled at start, read-only while the loops run. Behind it stands a
 * struct router_state, which all loops share under its own lock and which a successor takes over by the backend's id: a reload forgets
 * neither an open circuit nor a call that still runs.
 */
#ifndef ROUTER_BACKEND_H
#define ROUTER_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>

#include <chimera/backend.h>
#include <chimera/kit/backoff.h>
#include <chimera/kit/breaker.h>

/* ---- series, all resolved at start ---- */

enum router_status { ROUTER_DONE, ROUTER_FAILED, ROUTER_CANCELLED, ROUTER_STATUSES }; /* "ok", "error", "cancelled" */

/* Why a question went on to another attempt: "connect", "429", "5xx", "timeout", "auth". */
enum router_reason { ROUTER_CONNECT, ROUTER_429, ROUTER_5XX, ROUTER_TIMED_OUT, ROUTER_AUTH, ROUTER_REASONS };

extern const char *const router_status_names[ROUTER_STATUSES + 1], *const router_reason_names[ROUTER_REASONS + 1];

/* Of one backend and one name for models. */
struct router_rule_series {
	unsigned requests[ROUTER_STATUSES];     /* inference_requests_total{backend,model,status}: questions, at the backend asked last */
	unsigned latency;                       /* inference_latency_seconds{backend,model}: the same, waiting and retries included */
	unsigned llm_requests[ROUTER_STATUSES]; /* llm_requests_total{provider,model,status}: attempts */
	unsigned llm_duration;                  /* llm_request_duration_seconds{provider,model}: the same, those that were answered */
	unsigned tokens_in, tokens_out;         /* llm_tokens_used_total{provider,model,kind} */
	unsigned first_token;                   /* chimera_time_to_first_token_seconds{backend,model} */
	unsigned between;                       /* chimera_time_between_tokens_seconds{backend,model} */
	unsigned cost;                          /* chimera_cost_total{backend,model} */
};

/* The config's name for models of one backend: an entry of its `models`, its default_model, or a row's name. */
struct router_rule {
	const char *name;
	double price_in, price_out;             /* per million tokens; 0: not known */
	struct router_rule_series series;
};

/* Of one backend. errors: by enum ch_code, so that no name is looked up on a question's way. */
#define ROUTER_CODES (CH_E_MODEL_NOT_FOUND + 1)
struct router_backend_series {
	unsigned errors[ROUTER_CODES];          /* inference_errors_total{backend,error_type}: ch_code_info(code)->name */
	unsigned retries[ROUTER_REASONS];       /* chimera_retries_total{backend,reason}: the backend that did not answer */
	unsigned breaker;                       /* chimera_breaker_state{backend}: 0 closed, 1 open, 2 half open */
	unsigned in_flight, waiting;            /* chimera_backend_in_flight{backend}, …_waiting: gauges */
};

/* ---- what is counted ---- */

/* A question that waits for a place; in its ctx's arena. */
struct router_waiter {
	struct router_waiter *next, *prev;      /* in the queue, under the lock */
	struct router_state *state;
	ch_ticket ticket;
	bool queued;                            /* under the lock: who takes it out of the queue resumes the ticket, or takes it back */
	uint32_t pass;                          /* when the ticket is resumed: the breaker's, and a place; 0: no place, go elsewhere */
};

/* Of a member that is read without the lock. */
#define ROUTER_GET(member) atomic_load_explicit(&(member), memory_order_relaxed)
#define ROUTER_SET(member, value) atomic_store_explicit(&(member), value, memory_order_relaxed)

/* Shared by all loops, and by an instance and its successors. What is atomic is written under the lock and may be read without it. */
struct router_state {
	pthread_mutex_t lock;
	atomic_uint refs;
	char *id;
	/* settings; a successor brings its own */
	struct ch_breaker_conf breaker_conf;
	int64_t max_in_flight, max_waiting;
	struct ch_self *self;                   /* who tells changes of the circuit, the youngest instance; NULL: it was stopped */
	unsigned breaker_series, in_flight_series, waiting_series;
	/* state */
	struct ch_breaker breaker;
	struct router_waiter *first, *last;     /* waiting, of all loops, in the order they came */
	bool pumping;                           /* somebody hands places out and looks again before he ends */
	_Atomic int64_t refuses_until;          /* ch_now from which the circuit lets a call through; 0: closed; INT64_MAX: who knows */
	atomic_int circuit;                     /* enum ch_breaker_state */
	atomic_bool disabled;                   /* by command */
	atomic_uint in_flight, waiting;
	_Atomic int64_t latency, latency_at;    /* microseconds, as router_latency_add says, and when it was measured; 0: never */
	_Atomic uint64_t calls, failures;       /* since the state was made */
	atomic_int last_code;                   /* enum ch_code of the last failure; 0: none yet */
};

struct router_backend {
	const char *id;                         /* svc->id */
	const struct ch_svc *svc;
	const struct ch_inference_v1 *vt;       /* svc->vt */
	const struct ch_inference_about *about;
	const struct ch_backend_conf *conf;     /* about->conf, or all zero but weight 1 where it is NULL; never NULL */
	struct ch_self *self;                   /* the router's instance */
	size_t index;                           /* in struct router's backends */
	struct router_state *state;
	struct router_backend_series series;
	struct router_rule *rules;              /* each name under which a question may come to it */
	size_t nrules;
};

/* ---- life: [boot] ---- */

/* A state with one reference, closed and empty; NULL: no memory. */
struct router_state *router_state_new(const char *id);
/* Tells the state the settings of b and which series are its: at start, and again when it was adopted. probe_us 0: the cooldown. */
void router_backend_settle(struct router_backend *b, const struct ch_breaker_conf *conf);
/* b, whose state is fresh, takes over that of `prev`, an instance's that still runs; then settle it. */
void router_backend_adopt(struct router_backend *b, const struct router_backend *prev);
/* At stop: b lets its state go; it is freed when no instance holds it. A state NULL is fine. */
void router_backend_release(struct router_backend *b);

/* ---- commands, health: [any] ---- */

/* A backend that is disabled gets no questions; those that wait for a place there go elsewhere. */
void router_backend_disable(struct router_backend *, bool disabled);
/* Closes the circuit and forgets the failures that it counted. */
void router_backend_reset(struct router_backend *);
/* Could it be asked now? Neither disabled nor its circuit open. */
bool router_backend_usable(const struct router_backend *, int64_t now);

/* ---- a question's way: [loop]; now is ch_now ---- */

/* What router_backend_enter says. */
enum router_entered {
	ROUTER_IN,      /* a place, and *pass: give both back by router_backend_leave */
	ROUTER_WAITS,   /* the waiter is queued: its ticket will be resumed, with drop, or taken back by router_backend_unwait */
	ROUTER_FULL,    /* no place, and none may wait */
	ROUTER_REFUSED  /* disabled, or the circuit is open */
};

/*
 * Asks for a place. w NULL: without waiting, FULL in its place. Else w->ticket is a ticket of the ctx, whose function is called READY with
 * w as its result: w->pass is the breaker's pass and the place is the caller's, or 0 and there is none.
 */
enum router_entered router_backend_enter(struct router_backend *, struct router_waiter *w, int64_t now, uint32_t *pass);
/* Takes a waiter back: true: it held nothing, and its ticket is the caller's; false: it is being resumed, its result must be given back. */
bool router_backend_unwait(struct router_waiter *w);
/* Gives back what came to a waiter that does not want it any more: w->pass, if it is not 0. Also the drop of its ticket's result. */
void router_waiter_drop(void *w);

/* How a call went, for the breaker. */
enum router_verdict { ROUTER_V_OK, ROUTER_V_FAILED, ROUTER_V_UNKNOWN };

/* The first piece of a streamed answer is there: a probe has told, so the circuit need not wait for the stream's end. *pass is new. */
void router_backend_first(struct router_backend *, uint32_t *pass, int64_t took_us, int64_t now);
/* Gives a place back. took_us: the time to the answer, of streams to the first delta. code: 0, or why it failed. */
void router_backend_leave(struct router_backend *, uint32_t pass, enum router_verdict, int64_t took_us, int code, int64_t now);

#endif
