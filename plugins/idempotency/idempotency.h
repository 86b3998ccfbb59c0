/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idempotency.h - a request that comes twice is worked on once.
 *
 *   key.c          the field Idempotency-Key
 *   record.c       what stands in the store
 *   answer.c       a record that several requests share
 *   table.c        the keys of this process: leaders and those that wait
 *   lead.c         what a leader does to them, and whoever writes for it
 *   queue.c        those of them whose end the store does not know yet
 *   enter.c        a request comes with a key: does it lead, wait, or get an answer
 *   claim.c        the leader asks the store: is the key ours
 *   run.c          the leader works: capture of what it answers, and what becomes of the key at its end
 *   client.c       work whose client has left
 *   write.c        claims and answers go to the store, now or later
 *   keep.c         every two seconds: we live, long claims are prolonged, what could not be written is tried again
 *   replay.c       answers: stored ones, and refusals
 *   idempotency.c  options, metrics, hooks
 *
 * Threads and ownership: a request is its loop's alone; what requests share is in the table, under its locks. Whoever writes to the store
 * does it in a task of the loop where the answer was made, so that no client waits for it.
 */
#ifndef IDEMPOTENCY_H
#define IDEMPOTENCY_H

#include <chimera/inference.h>
#include <chimera/kv.h>

#include "table.h"

#define IDEM_ALIVE_MS 6000                /* a process is called dead when it has not said for so long that it lives, … */
#define IDEM_KEEP "2s"                    /* … which it does that often */
#define IDEM_ABSENT_MS 3000               /* … and still has not when someone has looked again for so long */
#define IDEM_KEEP_US 1000000              /* it works no longer than that at a time, or it would be late to say so */
#define IDEM_LOOK_MS 1000                 /* how often it is looked who waits for work without a client */
#define IDEM_WANTED_MS 4000               /* how long a look of somebody who waits elsewhere counts */
#define IDEM_RETRY_MS 2000                /* Retry-After */

enum { IDEM_PASS, IDEM_REFUSE };          /* on_store_down */
enum { IDEM_LOST_REFUSE, IDEM_LOST_RETRY }; /* on_owner_lost */

struct idem_conf {
	const struct ch_svc *store;
	int64_t ttl, wait_timeout, max_response_bytes, max_held_bytes;
	int on_store_down, on_owner_lost;
};

enum idem_conflict {
	IDEM_C_MALFORMED, IDEM_C_REUSED, IDEM_C_IN_PROGRESS, IDEM_C_NOT_REPLAYABLE, IDEM_C_INDETERMINATE, IDEM_C_STORE_DOWN,
	IDEM_C_OVERLOADED, IDEM_CONFLICTS
};
enum idem_fate { IDEM_STORED, IDEM_RELEASED, IDEM_NOT_KEPT, IDEM_FATES }; /* of what a leader has made */
enum idem_store_op { IDEM_O_CLAIM, IDEM_O_LOOK, IDEM_O_WRITE, IDEM_O_ALIVE, IDEM_OPS };

struct idem_state {
	struct idem_table *table;
	unsigned hits, waits, first, lost, stored_bytes, in_flight, clientless, unwritten;
	unsigned conflicts[IDEM_CONFLICTS], fates[IDEM_FATES], errors[IDEM_OPS];
	atomic_bool away;                 /* the store's last answer was none */
};

#define IDEM_NAME_MAX 128
#define IDEM_FIELDS_BEFORE 32

/* A request with a key; in its arena. */
struct idem_request {
	struct idem_waiter w;             /* w.entry: what it leads or waits for, with a reference */
	struct ch_self *self;
	struct ch_ctx *c;
	unsigned char scope[CH_SHA256];
	int64_t arrived;
	bool waited;                      /* counted as one that waits */

	/* claim.c */
	struct ch_kv_result out;
	char name[IDEM_NAME_MAX];         /* in the store */
	unsigned tries;
	bool elsewhere;                   /* somebody else works on it, … */
	unsigned char process[IDEM_PROCESS]; /* … this one, … */
	uint64_t theirs;                  /* … under a claim of that version, … */
	int64_t absent;                   /* … and since then it is not seen alive; 0: it is */
	int64_t marked;                   /* when the owner was told last that someone waits */
	int64_t pause;
	ch_ticket sleep;

	/* run.c */
	bool runs;
	struct idem_answer *answer;       /* as far as it has come */
	bool full;                        /* it is more than may be kept */
	bool complete;
	int upstream;                     /* the status of the backend's refusal; 0: it has not refused */
	size_t head;                      /* bytes of it before the body */
	size_t nbefore;
	const char *before[IDEM_FIELDS_BEFORE]; /* values of the answer's fields that stood there before the work began */

	/* client.c */
	bool alone;                       /* its client has left */
	struct ch_timer *timer;
	struct idem_look *look;           /* under way: does someone wait elsewhere */
};

static inline const struct idem_conf *idem_conf(const struct ch_self *self) { return (const struct idem_conf *)self->conf; }
static inline struct idem_state *idem_state(const struct ch_self *self) { return (struct idem_state *)self->state; }

/* enter.c: all of these return what a hook returns. */
int idem_enter(struct idem_request *k);
/* The leader leaves without an answer: the next one leads, or the key is free. */
void idem_abdicate(struct idem_request *k);

/* claim.c */
int idem_claim(struct idem_request *k);

/* run.c */
int idem_run(struct idem_request *k);
int idem_on_response(struct ch_self *self, struct ch_ctx *c);
int idem_on_call_end(struct ch_self *self, struct ch_ctx *c);
int idem_on_end(struct ch_self *self, struct ch_ctx *c);
void idem_on_body(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete);
/*
 * Is that an answer to be kept (FAULTS I7)? code: of the error that it tells of, or NULL; upstream: the status of the backend's refusal,
 * or 0.
 */
bool idem_worth(int status, bool complete, const char *code, int upstream);

/* client.c */
bool idem_wanted(void *request);          /* see ch_outlive */
void idem_alone_no_more(struct idem_request *k); /* it ends; also if it never was */

/* write.c: kv/1, as all of this asks it */
enum idem_ask { IDEM_GET, IDEM_SET, IDEM_DEL };
/*
 * Asks the store. CH_OK: *out is filled, also with an error if the provider is broken or there is no memory; CH_AGAIN: fn will be called.
 */
int idem_ask(
	struct ch_self *self, struct ch_ctx *c, int what, const struct ch_kv_args *a, struct ch_kv_result *out, ch_resumed fn, void *data);
/* fn was called with something else than READY: the operation is given up. */
void idem_give_up(struct ch_self *self, struct ch_ctx *c, struct ch_kv_result *out);
/* Was that a failure of the store? Counts and tells. */
bool idem_failed(struct ch_self *self, int op, const struct ch_kv_result *out);
/* "idempotency:", the bytes as hex, and a suffix. */
struct ch_str idem_name(char out[IDEM_NAME_MAX], const char *kind, const void *bytes, size_t n, const char *suffix);

enum idem_job { IDEM_J_ALIVE, IDEM_J_PROLONG, IDEM_J_SETTLE }; /* SETTLE: the entry's answer is written, or its claim released */
enum idem_wrote { IDEM_W_WAITS, IDEM_W_DONE, IDEM_W_LOST, IDEM_W_FAILED };
struct idem_write {                       /* in the arena of a task */
	struct ch_self *self;
	struct ch_ctx *c;
	int job;
	struct idem_entry *e;             /* not for ALIVE */
	struct ch_kv_result out;
	int64_t left_ms;                  /* SETTLE: as long as it is to stand there */
	uint64_t version;                 /* of what is to be replaced; 0: nothing stands there, as far as we know */
	char name[IDEM_NAME_MAX];
	unsigned char claim[IDEM_CLAIM_SIZE];
	unsigned tries;
	int (*then)(struct idem_write *, int wrote); /* what a resumed function returns */
};
/* WAITS: then() will be called. */
int idem_write(struct idem_write *w, int job, struct idem_entry *e);
/* Settles an entry in a task of its own on that loop; takes the reference. */
void idem_settle(struct ch_self *self, struct ch_loop *l, struct idem_entry *e);
/* Behind a SETTLE: takes the reference. */
void idem_settled(struct ch_self *self, struct idem_entry *e, int wrote);

/* keep.c */
int idem_keep(struct ch_self *self, struct ch_ctx *c);

/* replay.c: CH_DONE */
int idem_refuse(struct idem_request *k, int conflict);
int idem_refuse_in(struct ch_self *self, struct ch_ctx *c, int conflict);
int idem_refuse_key(struct ch_self *self, struct ch_ctx *c, const char *what); /* "is empty" */
/* By its record, with what is to be released when it has left (NULL: it is the ctx's). */
int idem_serve(struct idem_request *k, struct ch_str record, struct idem_answer *owned);

#endif
