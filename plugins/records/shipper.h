/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shipper.h - moves the journal's rows to one sink, in batches that are fixed in its checkpoint before they are sent.
 *
 *        journal  ──rows.c──>  batch (id, end) ──checkpoint──>  sink/1 append
 *                                  ^                               │ DONE: `passed` moves behind it
 *                                  │                               │ RETRY: the same again, later
 *                                  └── without them, or halves ────┘ REFUSED: those that it named are dead letters (split.c)
 *
 * Threads. Made and freed on the boot thread; a reload hands it from instance to instance. All else on the house loop, but for what is
 * atomic.
 */
#ifndef RECORDS_SHIPPER_H
#define RECORDS_SHIPPER_H

#include <chimera/sink.h>

#include "checkpoint.h"
#include "ledger.h"
#include "rows.h"

#define SHIPPER_LESS 2u                   /* flag of a batch: without those of its rows that are dead letters of this sink */

enum { SHIPPED_DONE, SHIPPED_RETRY, SHIPPED_REFUSED, SHIPPED_OUTCOMES };

struct shipper_series {
	unsigned lag_rows, lag_seconds, shipped, dead, batches[SHIPPED_OUTCOMES], lost[3];
};

struct shipper {
	atomic_uint refs;
	char *id;                         /* the sink's instance */
	char *what;                       /* for ch_degraded: "sink ID" */
	struct ledger *ledger;
	struct journal_reader *reader;
	struct checkpoint *checkpoint;
	struct checkpoint_data data;
	struct shipper_series series;
	struct rows rows;
	/* Who drives it, and through which binding; NULL: nobody. */
	struct ch_self *owner;
	const struct ch_svc *svc;
	bool busy;                        /* a task of its own is out */
	bool less;                        /* rows has batches[0] without the dead ones already */
	unsigned attempts;                /* of the batch under way that came to nothing */
	int64_t wait_us, due;             /* the last wait; ch_now at its end */
	int64_t pending_since;            /* ch_now when rows were first seen that are not at the sink; 0: none */
	bool corrupt;                     /* its checkpoint cannot be made durable */
	char last_error[512];
	int64_t last_error_at;            /* wall clock; 0: none yet */
	uint64_t shipped, dead;           /* since the start */
	uint64_t dead_told;               /* of those, how many the log has told … */
	int64_t dead_told_at, dead_at;    /* … and when (ch_now); when the last one came. 0: never */
	/* [any] */
	atomic_uint_fast64_t passed_row;  /* data.passed.row */
	atomic_bool down;                 /* its sink took the last batch for a later time */
	_Atomic int64_t asked;            /* ch_now when its sink was given the batch that it has not answered yet; 0: none */
	_Atomic int64_t oldest;           /* wall clock of the first row that is not at the sink; 0: not known */
};

/* One reference. NULL: err is one sentence. Blocks. */
struct shipper *shipper_new(struct ledger *l, const char *id, char *err, size_t cap);
struct shipper *shipper_hold(struct shipper *s);
/* The last one frees it: the journal does not keep rows for it any more. NULL is fine. */
void shipper_put(struct shipper *s);

/* House loop: begins what is to be done now. As often as you like. */
void shipper_poll(struct shipper *s);
/* House loop: one line of the log for the dead letters that it has not told, at most every ten seconds but when it is the `last` chance. */
void shipper_tell_dead(struct shipper *s, bool last);
/* House loop: rows that it has lost meanwhile, and its gauges. */
void shipper_measure(struct shipper *s);
/* [any] Rows that are not at the sink. */
uint64_t shipper_lag(const struct shipper *s);
/* Seconds since the request of the oldest of them; 0: none. [any] */
double shipper_age(const struct shipper *s);

/*
 * [any] The server ends: are there rows that the sink may still take? Not if it is down, or has been silent about a batch for so long that
 * it must be taken to hang: then they wait in the journal for the next start.
 */
bool shipper_hopes(const struct shipper *s);

/* ship.c: the task. */
int shipper_task(struct ch_ctx *c, void *shipper);

/* split.c: batches[0] was refused, and nothing is known of why: two halves. */
void shipper_halve(struct shipper *s);
/* Rows of batches[0] are dead letters, on disk, and no more among s->rows: the others are a new batch. */
void shipper_leave_out(struct shipper *s);

#endif
