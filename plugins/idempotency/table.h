/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - the keys that this process works on, waits for, or has seen not long ago.
 *
 * A key has one leader at a time: the request that asks the store about it, and then does the work. Who comes with the same key meanwhile
 * waits by a ticket, and is told what came of it: the leader's answer; that the store is away; or that the lead is now its own, because
 * the leader has left without an answer. What is answered stays here until it stands in the store, and is remembered by its name alone
 * after that.
 *
 * Any thread; a shard's lock is held for the time of a look. Lists of waiters that are given back are handed to idem_wake outside of it. An
 * entry lives as long as someone has a reference to it; its leader has one, each waiter has one, the table has one.
 */
#ifndef IDEM_TABLE_H
#define IDEM_TABLE_H

#include "answer.h"
#include "queue.h"

enum idem_stage {
	IDEM_OPEN,                        /* its leader asks the store */
	IDEM_AWAITED,                     /* another process works on its leader's payload, and its leader waits for that */
	IDEM_RUNNING,                     /* its leader works */
	IDEM_KEPT,                        /* it is answered, and the answer is here: the store has not got it yet */
	IDEM_SEEN                         /* the store has the answer, as far as we know */
};
enum idem_hold {                          /* of our claim in the store */
	IDEM_NOT_HELD,
	IDEM_HELD,
	IDEM_UNSURE                       /* it may stand there */
};
enum idem_known {                         /* what was seen of the key in the store */
	IDEM_UNKNOWN,
	IDEM_ELSEWHERE,                   /* somebody else works on it */
	IDEM_DONE                         /* it is answered: whoever finds nothing there now knows that the store has forgotten it */
};
enum idem_verdict { IDEM_LEAD = 1, IDEM_ANSWERED, IDEM_OTHER_PAYLOAD, IDEM_STORE_AWAY };

#define IDEM_UNWRITTEN_MAX 65536          /* ends that the store has not been told: with more of them new keys are refused */

struct idem_table;
struct idem_entry;

struct idem_waiter {                      /* in the memory of its ctx */
	struct idem_waiter *next;
	struct idem_table *table;
	struct idem_entry *entry;         /* with a reference */
	ch_ticket ticket;
	unsigned char print[CH_SHA256];
	int64_t ttl_ms;                   /* how long a claim of its stands at most */
	int verdict;                      /* enum idem_verdict, when its ticket is resumed */
	struct idem_answer *answer;       /* ANSWERED: with a reference */
};

struct idem_entry {
	struct idem_entry *chain;         /* of the same hash; all up to `answer`, and claimed, under the shard's lock */
	struct idem_entry *newer, *older; /* in its shard's list: of those in work, or of those seen */
	unsigned refs;
	int state;                        /* enum idem_stage */
	bool listed;                      /* it is in the table */
	unsigned char scope[CH_SHA256], print[CH_SHA256];
	struct idem_waiter *first, **last;
	struct idem_answer *answer;       /* KEPT */
	int64_t expires;                  /* KEPT: when the answer does, by ch_now; SEEN: until when we count on it */
	int64_t claimed;                  /* HELD: when, by ch_now */

	/* Its leader's, then whoever writes to the store for it; `version` and `hold` under the lock while it is in work. */
	int hold;                         /* enum idem_hold */
	int known;                        /* enum idem_known */
	uint64_t version, nonce;
	struct ch_self *self;             /* whoever writes: for which instance */
	struct idem_entry *next_unwritten;
};

/* NULL: no memory. One reference. */
struct idem_table *idem_table_new(void);
struct idem_table *idem_table_ref(struct idem_table *t);
void idem_table_unref(struct idem_table *t);
/* Work without a client and writes that are under way, in all instances that share the table: what the end of the server waits for. */
void idem_table_busy(struct idem_table *t, int more);
bool idem_table_idle(const struct idem_table *t);
/* What could not be written. */
struct idem_queue *idem_table_unwritten(struct idem_table *t);
/* The process's name in claims. */
const unsigned char *idem_table_process(const struct idem_table *t);

/* What a request finds that comes with a key. w->print is set. */
enum idem_entered {
	IDEM_LEADS = 1,                   /* w->entry is its own to lead */
	IDEM_NEEDS_TICKET,                /* it must wait: come again with w->ticket */
	IDEM_WAITS,                       /* the ticket will be resumed with w, whatever happens */
	IDEM_HAS_ANSWER,                  /* w->answer */
	IDEM_DIFFERS,                     /* somebody works on another payload under that key */
	IDEM_NO_MEMORY
};
int idem_table_enter(struct idem_table *t, const unsigned char scope[CH_SHA256], struct idem_waiter *w);
/* A waiter goes. True: its ticket will not be resumed and its reference is gone; false: it is being resumed, which sees to all. */
bool idem_table_leave(struct idem_waiter *w);
/* Resumes them, each with itself as the result. */
void idem_wake(struct idem_waiter *list);
bool idem_table_waited(struct idem_table *t, struct idem_entry *e);

/* ---- by the leader ---- */

/* Its claim holds, or it does without: it works. Returns those that wait with another payload. */
struct idem_waiter *idem_table_run(struct idem_table *t, struct idem_entry *e);
/* Another process works on its payload, as the store says, for `expires` at most. The same. */
struct idem_waiter *idem_table_await(struct idem_table *t, struct idem_entry *e, int64_t expires);
/*
 * It is answered. keep: the answer stays here until it is written, for `expires`; else the store has it, and `answer` may be NULL if
 * there is none to share: then the first waiter gets the lead.
 */
struct idem_waiter *idem_table_answer(struct idem_table *t, struct idem_entry *e, struct idem_answer *answer, bool keep, int64_t expires);
/*
 * The leader goes without an answer, and its reference with it: the first waiter leads. NULL: there is none, and the key is free again, or
 * as it was. *claim: what is to be released in the store, with a reference of its own; NULL: nothing.
 */
struct idem_waiter *idem_table_pass(struct idem_table *t, struct idem_entry *e, struct idem_entry **claim);
/*
 * The same from where nothing can be written: the waiter is resumed, and a claim is released later. until: when that has no point any
 * more, by ch_now.
 */
void idem_table_abdicate(struct idem_table *t, struct idem_entry *e, int64_t until);
/* All that wait hear that the store is away. */
struct idem_waiter *idem_table_away(struct idem_table *t, struct idem_entry *e);

/* ---- by whoever writes ---- */

struct idem_entry *idem_table_hold(struct idem_table *t, struct idem_entry *e); /* one more reference */
void idem_table_put(struct idem_table *t, struct idem_entry *e);                /* one less */
/* Its end could not be written: it waits among the unwritten. With too many there a claim is left to its ttl. Takes the reference. */
void idem_table_later(struct idem_table *t, struct idem_entry *e);
/* KEPT -> SEEN: the store has the answer. */
void idem_table_written(struct idem_table *t, struct idem_entry *e);
/* A claim that was made or prolonged before that moment; counts as prolonged now. With a reference; NULL: none. *shard begins with 0. */
struct idem_entry *idem_table_old_claim(struct idem_table *t, unsigned *shard, int64_t before);
/* What it was prolonged to. */
void idem_table_prolonged(struct idem_table *t, struct idem_entry *e, uint64_t version);

#endif
