/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship.c - one task for one batch: read, fix, send, and what its outcome asks for.
 *
 * Threads and ownership: on the house loop. The task holds its instance, and that its shipper. What blocks (syncs) runs in the pool; the
 * rows are the shipper's and stay until the batch is passed. When the server stops, a batch that is at the sink may still end there: then
 * its outcome is looked at as the task's memory goes.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/backoff.h>
#include <chimera/kit/uuid.h>

#include "records.h"

#define SLICE 500                         /* rows read in one go: some hundred microseconds */
#define OLD 5.0                           /* seconds: younger rows are not looked for on the disk */
#define AHEAD_MOST ((size_t)32 << 20)     /* bytes of the journal that a batch may have */
#define WAIT_FIRST 100000                 /* between attempts, µs … */
#define WAIT_MOST 10000000                /* … and at most; jitter spreads servers that share a sink */

struct shipment { /* in the task */
	struct shipper *s;
	struct ch_self *self;
	const struct ch_svc *svc;
	struct ch_ctx *c;
	struct ch_sink_batch batch;
	struct ch_sink_result result;
	bool sent;                        /* the sink has the batch, and its outcome was not looked at */
	bool again;                       /* begin the next at once */
	bool gone;                        /* the server ends: begin none */
	struct ch_sink_refusal last;      /* a batch of one row that the sink does not name */
	struct ch_table named;            /* rows that are to be dead letters, of struct ch_sink_refusal */
	size_t at;
	unsigned char (*dead)[16];        /* rows that are, of a batch without them */
	size_t ndead;
	const char *why;
	struct journal_pos from;          /* the stretch of the journal that the batch will need … */
	size_t ahead;                     /* … in bytes */
};

/* ---- outcomes ---- */

static void say_error(struct shipper *s, const char *detail)
{
	snprintf(s->last_error, sizeof(s->last_error), "%s", detail ? detail : "it does not say why");
	s->last_error_at = ch_wall();
}

/* batches[0] is at the sink, or dead. */
static void pass(struct shipper *s)
{
	struct checkpoint_data *d = &s->data;
	size_t n = rows_before(&s->rows, &d->batches[0].end);

	d->passed = d->batches[0].end;
	memmove(d->batches, d->batches + 1, --d->nbatches * sizeof(d->batches[0]));
	memset(&d->batches[d->nbatches], 0, sizeof(d->batches[0]));
	s->rows.first += n;
	checkpoint_save(s->checkpoint, d);
	journal_passed(s->reader, &d->passed);
	atomic_store(&s->passed_row, d->passed.row);
	s->pending_since = d->nbatches ? s->pending_since : 0;
	atomic_store(&s->oldest, rows_left(&s->rows) ? rows_at(&s->rows, 0)[1].u.i : 0);
}

static void done(struct shipment *t)
{
	struct shipper *s = t->s;

	s->shipped += t->batch.nrows;
	s->attempts = 0;
	s->wait_us = s->due = 0;
	atomic_store(&s->down, false);
	ch_add(s->series.shipped, (double)t->batch.nrows);
	ch_add(s->series.batches[SHIPPED_DONE], 1);
	ch_degraded(t->self, s->what, false, "rows arrive at %s", s->id);
	pass(s);
	t->again = true;
}

static void retry(struct shipment *t, int64_t retry_ms, const char *detail)
{
	struct shipper *s = t->s;

	s->wait_us = ch_backoff_decorrelated(WAIT_FIRST, WAIT_MOST, s->wait_us, ch_random());
	if (retry_ms > 0)
		s->wait_us = retry_ms * 1000;
	s->due = ch_now() + s->wait_us;
	s->attempts++;
	atomic_store(&s->down, true);
	say_error(s, detail);
	ch_add(s->series.batches[SHIPPED_RETRY], 1);
	ch_degraded(t->self, s->what, true, "rows wait in the journal for %s: %s", s->id, s->last_error);
}

/* Tasks hear that the server ends: a new one would not, and would hold the end up. The rows are sent after the next start. */
static int gone(struct shipment *t)
{
	t->gone = true;
	t->s->due = INT64_MAX;
	return CH_DONE;
}

/* ---- refused rows ---- */

static int go(struct shipment *t);

static const struct ch_sink_refusal *named(const struct shipment *t, size_t i)
{
	return (const void *)((const char *)t->named.rows + i * t->named.row_size);
}

/* In the pool: the rows stay as they are meanwhile, and what they point to. */
static void *write_letters(void *data)
{
	struct shipment *t = data;
	struct ch_jw w;
	const char *why;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	for (size_t i = 0; i < t->named.n; i++)
		letter_write(&w, ch_wall(), t->s->id, t->batch.table, rows_at(&t->s->rows, named(t, i)->row),
			named(t, i)->why ? named(t, i)->why : t->result.detail);
	why = w.failed ? "there is no memory for a dead letter" : dead_append(t->s->ledger->dead, w.buf, w.len);
	free(w.buf);
	return (void *)why;
}

static bool is_named(void *arg, size_t i)
{
	struct shipment *t = arg;

	if (t->at == t->named.n || named(t, t->at)->row != i)
		return false;
	t->at++;
	return true;
}

/* The letters are on disk: the checkpoint may say so. */
static int on_letters(struct ch_ctx *c, void *data, int why, void *result)
{
	struct shipment *t = data;
	struct shipper *s = t->s;
	size_t n = t->named.n;

	(void)c;
	if (why != CH_READY)
		return gone(t);
	if (result) {
		retry(t, 0, result);
		return CH_DONE;
	}
	rows_take_out(&s->rows, t->batch.nrows, is_named, t);
	s->less = true;
	shipper_leave_out(s);
	s->dead += n;
	s->dead_at = ch_now();
	ch_add(s->series.dead, (double)n);
	shipper_tell_dead(s, false);
	t->again = true;
	return CH_DONE;
}

/* Ascending, and of the batch: all else is a bug of the sink, and what follows it does not count. */
static size_t valid(const struct shipment *t)
{
	size_t i = 0;

	while (i < t->named.n && named(t, i)->row < t->batch.nrows && (!i || named(t, i)->row > named(t, i - 1)->row))
		i++;
	return i;
}

static int refused(struct shipment *t)
{
	struct shipper *s = t->s;
	ch_ticket ticket;

	ch_add(s->series.batches[SHIPPED_REFUSED], 1);
	say_error(s, t->result.detail);
	t->named = t->result.refused;
	if (!t->named.n && t->batch.nrows > 1) {
		shipper_halve(s);
		t->again = true;
		return CH_DONE;
	}
	if (!t->named.n)
		t->named = (struct ch_table){ &t->last, 1, sizeof(t->last) };
	t->named.n = valid(t);
	if (!t->named.n) {
		retry(t, 0, "it refused rows that are not in the batch, which is a bug of that sink");
		return CH_DONE;
	}
	ticket = ch_suspend(t->c, 0, on_letters, t);
	if (ticket && ch_offload(t->self, write_letters, t, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	retry(t, 0, "the pool of threads takes no more work now");
	return CH_DONE;
}

static int outcome(struct shipment *t)
{
	t->sent = false;
	atomic_store(&t->s->asked, 0);
	if (t->result.outcome == CH_SINK_REFUSED)
		return refused(t);
	if (t->result.outcome == CH_SINK_DONE)
		done(t);
	else
		retry(t, t->result.retry_ms, t->result.detail);
	return CH_DONE;
}

/* ---- sending ---- */

static int on_sent(struct ch_ctx *c, void *data, int why, void *result)
{
	struct shipment *t = data;

	(void)result;
	if (why == CH_READY)
		return outcome(t);
	((const struct ch_sink_v1 *)t->svc->vt)->cancel(t->svc, c, &t->result); /* on_over looks at what comes of it */
	return gone(t);
}

static int send(struct shipment *t)
{
	struct shipper *s = t->s;
	const struct checkpoint_batch *b = &s->data.batches[0];
	ch_ticket ticket = ch_suspend(t->c, 0, on_sent, t);
	int rc;

	if (!ticket) {
		retry(t, 0, "there is no memory for a ticket");
		return CH_DONE;
	}
	memcpy(t->batch.batch_id, b->id, sizeof(b->id));
	t->batch.table = s->rows.table;
	t->batch.values = rows_at(&s->rows, 0);
	t->batch.nrows = rows_before(&s->rows, &b->end);
	t->sent = true;
	atomic_store(&s->asked, ch_now());
	rc = ((const struct ch_sink_v1 *)t->svc->vt)->append(t->svc, t->c, &t->batch, &t->result, ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	if (rc == CH_OK)
		return outcome(t);
	t->sent = false;
	atomic_store(&s->asked, 0);
	retry(t, 0, "it is broken (it returned CH_ERROR)");
	return CH_DONE;
}

/* ---- fixing ---- */

static void *sync_checkpoint(void *data)
{
	struct shipper *s = data;

	tables_save(s->ledger->tables); /* before a table's first rows are where only its name finds them */
	return (void *)(intptr_t)checkpoint_sync(s->checkpoint);
}

static int on_fixed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct shipment *t = data;

	(void)c;
	if (why != CH_READY)
		return gone(t);
	if (!result && !t->s->corrupt) {
		t->s->corrupt = true;
		ch_degraded(t->self, "checkpoint", true,
			"the checkpoint of %s cannot be made durable: after a power loss its rows may be sent "
			"under another batch_id", t->s->id);
	}
	return send(t);
}

/* The batch under way is in the checkpoint; it is made durable before it is sent, so that it stays the same after a power loss too. */
static int fix(struct shipment *t)
{
	struct shipper *s = t->s;
	struct checkpoint_batch *b = &s->data.batches[0];
	ch_ticket ticket;

	t->batch.again = b->flags & CHECKPOINT_SENT;
	if (t->batch.again)
		return send(t);
	b->flags |= CHECKPOINT_SENT;
	tables_add(s->ledger->tables, s->rows.table);
	checkpoint_save(s->checkpoint, &s->data);
	ticket = ch_suspend(t->c, 0, on_fixed, t);
	if (ticket && ch_offload(t->self, sync_checkpoint, s, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return send(t); /* the pool is full, or ends with the server: kill -9 it survives all the same */
}

/* ---- without those that are dead letters ---- */

static bool is_dead(void *arg, size_t i)
{
	struct shipment *t = arg;
	const unsigned char *id = rows_at(&t->s->rows, i)[0].u.uuid;
	size_t low = 0, high = t->ndead;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(t->dead[middle], id, 16);

		if (!order)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void *read_dead(void *data)
{
	struct shipment *t = data;

	t->dead = dead_rows(t->s->ledger->dead, t->s->id, &t->ndead, &t->why);
	return NULL;
}

static int on_dead(struct ch_ctx *c, void *data, int why, void *result)
{
	struct shipment *t = data;

	(void)c;
	(void)result;
	if (why != CH_READY)
		return gone(t);
	if (!t->dead) {
		retry(t, 0, t->why);
		return CH_DONE;
	}
	rows_take_out(&t->s->rows, SIZE_MAX, is_dead, t);
	t->s->less = true;
	return go(t);
}

/* After a restart: the batch was fixed without rows that the file of dead letters names. */
static int leave_out(struct shipment *t)
{
	ch_ticket ticket = ch_suspend(t->c, 0, on_dead, t);

	if (ticket && ch_offload(t->self, read_dead, t, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	retry(t, 0, "the pool of threads takes no more work now");
	return CH_DONE;
}

/* ---- reading ---- */

static int on_pause(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)result;
	return why == CH_READY ? go(data) : gone(data);
}

/* Lets the loop do other things between two slices. */
static int pause_here(struct shipment *t)
{
	ch_ticket ticket = ch_suspend(t->c, 0, on_pause, t);

	if (!ticket)
		return CH_DONE; /* the next poll reads on */
	ch_resume(ticket, NULL, NULL);
	return CH_AGAIN;
}

/* Nothing to send between `passed` and where the reader is: rows that were lost, or are dead letters. */
static void pass_lost(struct shipper *s)
{
	struct checkpoint_data *d = &s->data;

	if (d->nbatches) {
		pass(s);
		return;
	}
	journal_tell(s->reader, &d->passed);
	checkpoint_save(s->checkpoint, d);
	journal_passed(s->reader, &d->passed);
	atomic_store(&s->passed_row, d->passed.row);
	s->pending_since = 0;
}

static void plan(struct shipper *s)
{
	struct checkpoint_batch *b = &s->data.batches[0];

	s->data.nbatches = 1;
	*b = (struct checkpoint_batch){ .end = s->rows.next[s->rows.n - 1], .rows = rows_left(&s->rows) };
	ch_uuid7(b->id, ch_wall(), ch_random(), ch_random());
}

static int go(struct shipment *t)
{
	struct shipper *s = t->s;
	struct ch_sink_about about = { .size = sizeof(about) };
	struct rows_limit limit = { 0 };
	struct journal_pos at;
	int state = ROWS_DONE;

	if (!rows_left(&s->rows)) {
		rows_clear(&s->rows);
		s->less = false;
	}
	((const struct ch_sink_v1 *)t->svc->vt)->about(t->svc, &about);
	limit.rows = about.rows < 1 ? 1 : about.rows > CH_SINK_ROWS_MAX ? CH_SINK_ROWS_MAX : about.rows;
	limit.bytes = about.bytes ? about.bytes : 1;
	limit.until = s->data.nbatches ? &s->data.batches[0].end : NULL;
	journal_tell(s->reader, &at);
	if (!limit.until || journal_pos_cmp(&at, limit.until) < 0)
		state = rows_read(&s->rows, s->reader, &limit, SLICE);
	if (rows_left(&s->rows))
		atomic_store(&s->oldest, rows_at(&s->rows, 0)[1].u.i);
	if (state == ROWS_NO_MEMORY) {
		retry(t, 0, "there is no memory for a batch");
		return CH_DONE;
	}
	if (state == ROWS_MORE)
		return pause_here(t);
	if (s->data.nbatches && s->data.batches[0].flags & SHIPPER_LESS && !s->less && rows_left(&s->rows))
		return leave_out(t);
	if (!(s->data.nbatches ? rows_before(&s->rows, &s->data.batches[0].end) : rows_left(&s->rows))) {
		t->again = s->data.nbatches;
		pass_lost(s);
		return CH_DONE;
	}
	if (!s->data.nbatches)
		plan(s);
	return fix(t);
}

/* ---- rows that have waited ---- */

static void *touch(void *data)
{
	struct shipment *t = data;

	journal_touch(t->s->ledger->journal, &t->from, t->ahead);
	return NULL;
}

static int on_touched(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)result;
	return why == CH_READY ? go(data) : gone(data);
}

/*
 * A backlog may have left the page cache: a thread of the pool waits for the disk then, and not this loop, page by page. What has just been
 * written is there.
 */
static int begin(struct shipment *t)
{
	struct ch_sink_about about = { .size = sizeof(about) };
	struct shipper *s = t->s;
	ch_ticket ticket;

	if (shipper_age(s) < OLD)
		return go(t);
	((const struct ch_sink_v1 *)t->svc->vt)->about(t->svc, &about);
	t->from = s->data.passed;
	t->ahead = (about.bytes < AHEAD_MOST ? about.bytes : AHEAD_MOST) + JOURNAL_ROW_MAX;
	ticket = ch_suspend(t->c, 0, on_touched, t);
	if (ticket && ch_offload(t->self, touch, t, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return go(t);
}

/* ---- the task ---- */

/* The task's memory goes: all tickets are confirmed, nobody works with the rows any more. */
static void on_over(void *data)
{
	struct shipment *t = data;
	struct shipper *s = t->s;

	if (t->sent && t->result.outcome == CH_SINK_DONE)
		done(t);
	if (t->gone)
		gone(t); /* whatever the outcome of that batch has said */
	free(t->dead);
	atomic_store(&s->asked, 0); /* the server ends, or the sink was given up */
	s->busy = false;
	if (t->again && !t->gone)
		shipper_poll(s);
}

int shipper_task(struct ch_ctx *c, void *data)
{
	struct shipper *s = data;
	struct shipment *t = s->owner ? ch_alloc(c, sizeof(*t)) : NULL;

	if (!t || !ch_keep(c, on_over, t)) {
		s->busy = false;
		return CH_DONE;
	}
	t->s = s;
	t->self = s->owner;
	t->svc = s->svc;
	t->c = c;
	t->batch.size = sizeof(t->batch);
	t->result.size = sizeof(t->result);
	return begin(t);
}
