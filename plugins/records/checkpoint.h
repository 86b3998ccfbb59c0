/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h - how far a consumer of the journal has come, and which batches it is about to send, in one small file.
 *
 * The file is mapped: what checkpoint_save has stored is there after kill -9, without a system call; after a power loss when
 * checkpoint_sync has returned since. Two slots are written in turn, each with a checksum, so that one of them is always whole.
 * One thread saves; any others may call checkpoint_sync beside it.
 */
#ifndef RECORDS_CHECKPOINT_H
#define RECORDS_CHECKPOINT_H

#include "journal.h"

#define CHECKPOINT_BATCHES_MAX 64          /* halving a batch of CH_SINK_ROWS_MAX down to one row needs 18 */

/* Flags of a batch; the others, up to bit 31, are the caller's. */
#define CHECKPOINT_SENT 1u                 /* it may have been sent: `again` */

/* The rows from the end of the batch before it (or from `passed`) to its own end. */
struct checkpoint_batch {
	struct journal_pos end;
	uint64_t rows;
	unsigned char id[16];
	uint32_t flags;
	uint32_t extra;                   /* the caller's */
};

struct checkpoint_data {
	struct journal_pos passed;        /* all before it is at the sink, or a dead letter */
	uint32_t nbatches;
	struct checkpoint_batch batches[CHECKPOINT_BATCHES_MAX]; /* under way, in order */
};

struct checkpoint;

/*
 * The file NAME.checkpoint in the folder, made if it is not there. *data: what it says; all zero, so from the oldest row on, when it is new
 * or neither slot is whole, which is told by `log` (as struct journal_conf's). The name is [a-z0-9_.-]+. NULL: err is one sentence.
 */
struct checkpoint *checkpoint_open(const char *dir, const char *name, struct checkpoint_data *data,
	void (*log)(void *arg, int level, const char *line), void *arg, char *err, size_t err_size);
/* Stores it. No system call. */
void checkpoint_save(struct checkpoint *c, const struct checkpoint_data *data);
/*
 * Makes durable what was saved before. Blocks. A file whose sync failed is told and not trusted again: another one takes its place. False:
 * nothing is durable, and the next call tries another file again. Any thread; several wait for each other.
 */
bool checkpoint_sync(struct checkpoint *c);
void checkpoint_close(struct checkpoint *c);
/* Removes the file of a consumer that is no more. */
void checkpoint_remove(const char *dir, const char *name);

#endif
