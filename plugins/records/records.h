/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records.h - the usage ledger: END -> journal -> sinks. What its files share.
 *
 * ledger.h has the journal, shipper.h what moves its rows, dead.h what no sink takes, redact.h what texts go through before they are kept.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include <chimera/inspect.h>
#include <chimera/ledger.h>

#include "ledger.h"
#include "redact.h"
#include "shipper.h"

enum { RECORDS_PROCESS, RECORDS_DISK };

struct records_conf {
	struct ch_svcs sinks;
	const char *dir;
	int64_t max_bytes;
	int durability;                   /* RECORDS_PROCESS, RECORDS_DISK */
	int64_t sync_interval;
	int on_full;                      /* enum journal_on_full */
	bool store_content;
	int64_t content_max;
	int64_t retention;                /* ms; -1: rows stay */
};

struct records_rule_conf {
	const char *pattern, *with;
};

struct records_sink {
	struct shipper *shipper;
	const struct ch_svc *svc;
};

enum {
	M_ROWS, M_LOST, M_BYTES, M_FULL, M_LAG_ROWS, M_LAG_SECONDS, M_SHIPPED, M_DEAD, M_BATCHES, M_SYNC_SECONDS, M_SYNC_FAILURES,
		M_QUARANTINED, M_REDACTION, M_LEFT_OUT,
};

struct records { /* ch_self.state */
	struct ledger *ledger;
	struct records_sink *sinks;
	size_t nsinks;
	struct redact_rules rules;
	struct ch_timer *pulse;           /* on the house loop */
	int64_t measured_at;              /* ch_now of the last look at the journal's status */
	unsigned rows, others;            /* series of chimera_ledger_rows_total */
	unsigned lost[8];                 /* by enum journal_rc */
	unsigned bytes, full, sync_seconds, sync_failures, quarantined, redaction_failures, left_out;
};

extern const struct ch_relation records_inference;

/* ---- row.c, content.c: on the request's loop ---- */

struct records_content {
	struct ch_str prompt, answer;     /* p NULL: not kept. In the loop's rooms until their next use */
};
struct records_rooms { /* a loop's */
	struct redact_room *prompt, *answer;
	char *text; /* a prompt's, before it is redacted */
};
int records_on_end(struct ch_self *self, struct ch_ctx *c);
void records_on_answer(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete);
void records_content(struct ch_self *self, struct ch_ctx *c, struct records_content *out);
int records_rooms_new(struct ch_self *self, struct ch_loop *loop);
void records_rooms_free(struct ch_self *self, struct ch_loop *loop);

/* ---- keep.c ---- */

/* A row of inference_records goes to the journal, and the answer waits for the disk if the operator wants that. */
void records_keep(struct ch_self *self, struct ch_ctx *c, const struct ch_value *row);
/* LIMIT, early: refuses what would leave a row that cannot be kept. */
int records_on_limit(struct ch_self *self, struct ch_ctx *c);
extern const struct ch_ledger_v1 records_ledger;

/* ---- pulse.c: the house loop's timer ---- */

int records_pulse_start(struct ch_self *self, struct ch_loop *house);
void records_pulse_stop(struct ch_self *self);
bool records_drained(struct ch_self *self);
int records_on_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out);

/* ---- retention.c, commands ---- */

int records_on_retention(struct ch_self *self, struct ch_ctx *c);
int records_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv);
int records_dlq(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv);
int records_show(struct ch_self *self, struct ch_ctx *c, const char *req_id);
/* replay.c: `id` NULL: all. */
int records_replay(struct ch_self *self, struct ch_ctx *c, const unsigned char *id);

static inline struct ch_loop *records_house(void)
{
	unsigned i = 0;

	while (ch_loop_at(i + 1))
		i++;
	return ch_loop_at(i);
}

#endif
