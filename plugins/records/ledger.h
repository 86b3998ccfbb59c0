/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - the open journal, shared by all generations of the instance: its threads, and who waits until rows are on disk.
 */
#ifndef RECORDS_LEDGER_H
#define RECORDS_LEDGER_H

#include <pthread.h>
#include <stdatomic.h>

#include "dead.h"
#include "journal.h"

#define LEDGER_LOOPS 256
#define LEDGER_TABLES 64

struct waiting; /* an answer that waits */

/* A loop's answers that wait for their rows to be on disk, in the order of their rows. The loop's thread's but for the last two. */
struct lane {
	struct ledger *ledger;
	struct ch_loop *loop;
	struct waiting *first, **last;
	atomic_bool waits;                /* `first` is there, or will be at once */
	atomic_bool posted;
};

struct ledger {
	atomic_uint refs;
	unsigned instances;               /* that work with it; the boot thread's */
	struct journal *journal;
	struct dead *dead;
	char *dir;
	pthread_t ahead, sync;            /* not of ch_thread: they outlive the instance that began them */
	bool running;
	pthread_mutex_t lock;             /* of what follows */
	struct ch_self *self;             /* the newest instance, for log lines */
	struct shipper **shippers;        /* all that there are, for checkpoints to be made durable */
	size_t nshippers;
	struct journal_pos synced, failed;/* told last; rows up to `failed` that wait are not promised */
	struct lane lanes[LEDGER_LOOPS];
	_Atomic(const struct ch_relation *) tables[LEDGER_TABLES]; /* seen since the start, for retention */
};

/* Everything an instance says of its journal. */
struct ledger_conf {
	const char *dir;
	int64_t max_bytes, sync_interval_ms;
	int on_full;                      /* enum journal_on_full */
};

/* One reference. NULL: err is one sentence. Blocks. */
struct ledger *ledger_open(struct ch_self *self, const struct ledger_conf *conf, char *err, size_t cap);
/* Starts the journal's threads, behind the first shippers. False: there is none to be had. */
bool ledger_run(struct ledger *l);
/*
 * An instance begins, and ends, to work with it. With the last one its threads end: before readers are freed, or the journal would take
 * their sinks for gone and remove what only they have not passed. Blocks.
 */
void ledger_enter(struct ledger *l);
void ledger_leave(struct ledger *l);
struct ledger *ledger_hold(struct ledger *l);
/* The last one stops the threads and closes the journal: blocks. NULL is fine. */
void ledger_put(struct ledger *l);
/* Whose name log lines bear from now on; `from` NULL or the one until now. */
void ledger_speaks_as(struct ledger *l, struct ch_self *self, const struct ch_self *from);

/* [any] A line for people, for journal.h and checkpoint.h: arg is the ledger. */
void ledger_log(void *arg, int level, const char *line);

void ledger_add(struct ledger *l, struct shipper *s);
void ledger_remove(struct ledger *l, struct shipper *s);

/* [any] As journal_append. */
int ledger_append(struct ledger *l, const struct ch_relation *table, const struct ch_value *row, struct journal_pos *end);
/* [any] Remembers a table for retention. */
void ledger_knows(struct ledger *l, const struct ch_relation *table);

/* House loop: that table where it can stay: rows read from elsewhere are sent under it. NULL: no memory, or too many. */
const struct ch_relation *ledger_table(struct ledger *l, const struct ch_relation *table);

/* In an END hook: the answer waits until what is before `end` is on disk. */
void ledger_wait(struct ledger *l, struct ch_ctx *c, const struct journal_pos *end);

#endif
