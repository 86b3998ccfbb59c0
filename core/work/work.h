/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/work/work.h - the unit of work: a ctx on its loop, its phases, its suspensions.
 *
 * A ctx is driven by its owner (an HTTP request or a task): the owner asks for a phase or a single function, and is told by
 * `owner->came(ctx, rc)` what came of it - at once or after any number of suspensions. rc is CH_OK, CH_DONE or CH_ERROR, never CH_AGAIN.
 * chi_ctx_end runs END once and frees the ctx when its last ticket is confirmed.
 *
 * The loop's thread only, but for chi_ticket_resume.
 */
#ifndef CHI_WORK_H
#define CHI_WORK_H

#include "core/work/arena.h"

struct chi_inst;
struct chi_gen;
struct chi_slot;
struct chi_spans;
struct chi_command;
struct chi_kept;

/* One hook in a packed chain. */
struct chi_hook {
	int (*fn)(struct ch_self *, struct ch_ctx *);
	struct chi_inst *inst;
	const char *phase;                         /* "auth", for logs and the heartbeat */
	int64_t budget;                            /* microseconds; 0: the config's */
	unsigned calls, errors, seconds, bytes, over; /* metric series, see plugin/account.c */
};

struct chi_chain {
	struct chi_hook *hooks;
	size_t n;
};

struct chi_owner {
	void (*came)(struct ch_ctx *, int rc);      /* the asked phase or function has ended */
	void (*freed)(struct ch_ctx *);             /* the ctx's memory is about to go; may be NULL */
	void (*let_go)(struct ch_ctx *, bool ok);   /* the last hold is gone: what waited for END goes on, see chi_ctx_held; may be NULL */
};

/* An inner chain, see call.c. */
struct chi_frame {
	const struct chi_hook *hook, *end; /* running or suspended; behind the last */
	uint32_t wait;                     /* c->wait while it is called */
	bool waiting;
	ch_ticket ticket;                  /* of the hook that asked */
};

struct ch_ctx {
	struct chi_arena arena; /* first: the ctx lies in it */
	struct ch_loop *loop;
	struct chi_gen *gen;
	const struct chi_owner *owner;
	struct chi_req *req;    /* HTTP, or NULL */
	void **slots;           /* one pointer per instance */
	int64_t deadline;       /* 0: none */
	struct chi_slot *tickets; /* out, newest first */
	struct chi_slot *oldest;
	unsigned pins;          /* tickets out, confirmed or not: the arena waits for them */
	const struct chi_hook *hook; /* running or suspended */
	const struct chi_hook *hook_end; /* behind the last of the chain */
	unsigned armed;         /* tickets that can still resume this ctx */
	bool busy;              /* a hook's code is on the stack */
	bool suspended;
	bool gone;              /* the client left, or the task's time is over; … */
	bool gone_told;         /* … a ticket has heard it */
	bool ended;
	const struct chi_hook *running; /* whose code is on the stack; NULL: nobody's, or not known */
	uint32_t wait, waits;   /* which call of a hook this is: a ticket of another one does not count; the last number given */
	struct chi_frame *frame, frame_room; /* an inner chain runs (NULL: none); … */
	bool frame_runs;         /* … one of its hooks does */
	void *call;             /* the question that hooks look at */
	bool call_ending;       /* CALL_END runs */
	bool ending;            /* END runs */
	bool cut;               /* a hold was let go with false */
	unsigned holds;         /* see ch_hold; each pins */
	struct chi_msg left;    /* the last hold is gone */
	struct chi_spans *spans; /* see span.c */
	struct chi_command *command; /* it is one, see plugin/command.h */
	struct chi_kept *kept;  /* what goes with it, newest first */
	int64_t sampled_at;
	size_t sampled_used;
	struct ch_facts facts;
};

/* A ctx of that generation, which it holds until it is freed. NULL: no memory. `extra` zeroed bytes lie right behind it. */
struct ch_ctx *chi_ctx_new(struct ch_loop *l, struct chi_gen *g, const struct chi_owner *owner, size_t extra);
/* Runs the chain; owner->came is called when it has ended, perhaps before this returns. */
void chi_ctx_run(struct ch_ctx *c, const struct chi_chain *chain);
/* The same for one function of an instance; `hook` must live as long as the ctx's generation or arena. */
void chi_ctx_run_one(struct ch_ctx *c, const struct chi_hook *hook);
/* The client has left (or the time is over): a suspended hook hears GONE, at once. */
void chi_ctx_gone(struct ch_ctx *c);
/* Runs END and lets go. The ctx must not be suspended. */
void chi_ctx_end(struct ch_ctx *c);
/* fn(data) when its memory goes, see ch_keep. */
bool chi_ctx_keep(struct ch_ctx *c, ch_fn fn, void *data);
void chi_ctx_end_hooks(struct ch_ctx *c); /* END now, once; chi_ctx_end does not repeat it */
/*
 * Behind END: does an END hook hold what comes next? Then owner->let_go is called when it goes on, in a turn of its own. Else go on, and mind
 * `cut`.
 */
static inline bool chi_ctx_held(const struct ch_ctx *c) { return c->holds > 0; }
void chi_ctx_hold(struct ch_ctx *c);
void chi_ctx_let_go(struct ch_ctx *c, bool ok);

/* Tasks. [any] */
bool chi_task_start(struct chi_inst *inst, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop);
/* The same; ended(data) when its last ticket is confirmed and its memory goes. */
bool chi_task_begin(
	struct chi_inst *inst, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop, ch_fn ended);
int chi_task_call(struct ch_self *self, struct ch_ctx *c); /* the hook function of tasks */
/* Each task of the loop that waits hears GONE. */
void chi_tasks_gone(struct ch_loop *l);
/* The loops have taken the instance: what it began before, runs. */
void chi_tasks_live(struct chi_inst *inst);
/* It will never be taken: what it began is dropped. */
void chi_tasks_drop(struct chi_inst *inst);

/* Tickets; see ch_suspend and its kin. */
ch_ticket chi_ticket_new(struct ch_ctx *c, int64_t timeout_ms, ch_resumed fn, void *data);
void chi_ticket_take_back(ch_ticket t);
bool chi_ticket_resume(ch_ticket t, void *result, ch_fn drop); /* [any] */
bool chi_ticket_gone(struct ch_ctx *c);                        /* GONE to the oldest armed ticket; false: there is none now */
ch_ticket chi_ticket_timeless(struct ch_ctx *c, ch_resumed fn, void *data); /* not even the ctx's deadline ends it */
bool chi_tickets_out(const struct ch_ctx *c, uint32_t wait);   /* is one out that was made under that number and can still resume? */
void chi_ticket_end(ch_ticket t, bool gone, void *result);     /* resumes it, or tells it GONE at once and takes it back */
bool chi_slots_new(struct ch_loop *l);
void chi_slots_free(struct ch_loop *l);
size_t chi_slots_used(struct ch_loop *l);

/* call.c: the inner chain of a hook, see ch_call_hooks. While one waits, its hooks hear GONE first. */
int chi_call_hooks(struct ch_ctx *c, void *call, ch_resumed fn, void *data);
void chi_call_end(struct ch_ctx *c);
void *chi_call(struct ch_ctx *c);
void chi_call_abandon(struct ch_ctx *c);                       /* the hook that asked does not wait for the inner chain */
uint32_t chi_call_wait(const struct ch_ctx *c);                /* of the innermost hook that waits */
bool chi_call_waits(const struct ch_ctx *c, uint32_t wait);    /* is it a hook of the inner chain? */
void chi_call_resumed(struct ch_ctx *c, int rc);               /* and it has returned that */

/* span.c, see ch_span_begin. */
unsigned chi_span_begin(struct ch_ctx *c, const char *name);
void chi_span_note(struct ch_ctx *c, unsigned span, const char *key, const char *value);
void chi_span_end(struct ch_ctx *c, unsigned span, bool ok);
void chi_spans_walk(struct ch_ctx *c, void (*fn)(void *, const struct ch_span *), void *data);

/* ticket.c -> ctx.c: a resumed function has returned. */
void chi_ctx_resumed(struct ch_ctx *c, uint32_t wait, int rc); /* wait: c->wait when the ticket was made */
void chi_ctx_unpin(struct ch_ctx *c);
/* Calls a resumed function of that hook, which began to wait under that number. */
int chi_ctx_call(struct ch_ctx *c, const struct chi_hook *hook, uint32_t wait, ch_resumed fn, void *data, int why, void *result);
/* The hook broke a rule: says so, counts it and gives CH_ERROR. */
int chi_ctx_broken(struct ch_ctx *c, const struct chi_hook *hook, const char *what);
/* What the return value of the hook that was called last counts as. */
int chi_ctx_judge(struct ch_ctx *c, const struct chi_hook *hook, int rc);
/* A resumed hook waits on: it hears GONE now if the ticket before was resumed too fast to hear it. */
void chi_ctx_waits_on(struct ch_ctx *c);
/* The instance whose code runs, or NULL. */
const char *chi_ctx_who(const struct ch_ctx *c);
/* Its hook lost its last ticket while it waits, which nothing could end. */
void chi_ctx_stuck(struct ch_ctx *c);
/* Before and after a plugin's code, for heartbeat and accounting; hook NULL: not known whose. */
void chi_ctx_enter(struct ch_ctx *c, const struct chi_hook *hook);
void chi_ctx_leave(struct ch_ctx *c, const struct chi_hook *hook);
/* Back in a hook that called others by way of the host: its own measuring goes on. */
void chi_ctx_enter_again(struct ch_ctx *c, const struct chi_hook *hook, int64_t sampled_at, size_t sampled_used);

#endif
