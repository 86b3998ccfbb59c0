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
#include "tables.h"

#define LEDGER_LOOPS 256

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
	struct tables *tables;            /* that have rows at the sinks */
	pthread_mutex_t lock;             /* of the next three; loops take it, nobody waits for the disk under it */
	struct ch_self *self;             /* the newest instance, for log lines */
	struct journal_pos synced, failed;/* told last; rows up to `failed` that wait are not promised */
	pthread_mutex_t settling;         /* of the next two; held while the disk is waited for: never for a request, or with `lock` */
	struct shipper **shippers;        /* all that there are, for checkpoints to be made durable */
	size_t nshippers;
	struct lane lanes[LEDGER_LOOPS];
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

/* Boot thread; they may wait for the disk. */
void ledger_add(struct ledger *l, struct shipper *s);
void ledger_remove(struct ledger *l, struct shipper *s);

/* [any] As journal_append. */
int ledger_append(struct ledger *l, const struct ch_relation *table, const struct ch_value *row, struct journal_pos *end);
/* In an END hook: the answer waits until what is before `end` is on disk. */
void ledger_wait(struct ledger *l, struct ch_ctx *c, const struct journal_pos *end);

#endif
