/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - `chimeractl dlq replay`: dead letters go to the sink that refused them, once more.
 *
 * They go in batches whose id is made of their rows' ids, always with `again`: so a replay that was cut short, by whatever, sends the same
 * batches when it is run again, and no row is there twice. What a batch has brought is marked in the file before the next one is sent.
 * Between two batches is a pause as long as the batch took, so that fresh rows find the sink half idle at least.
 *
 * Threads and ownership: on the house loop. Each batch is sent by a task of its own, because what a sink needs for it lives as long as the
 * task.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/backoff.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "records.h"

#define BATCH 500
#define ATTEMPTS 8                        /* of a batch: about ten seconds; who replays is there to try again later */

enum { OPEN, TAKEN, REFUSED };            /* what became of a letter */

struct replay { /* in the command */
	struct ch_self *self;
	struct ch_ctx *c;
	bool one, gone;
	unsigned char id[16];
	struct dead_list *list;
	unsigned char *state;             /* of each letter */
	const char *why;
	size_t at, total, taken, refused, damaged, homeless;
	size_t limit;                     /* rows of the next batch; less while a poison row is looked for */
	unsigned attempts;
	int64_t began;
	ch_ticket ticket;
	/* The batch under way. */
	size_t members[BATCH], n;
	struct letter_row *rows[BATCH];
	const struct ch_svc *svc;
	struct ch_value *values;
	struct ch_sink_batch batch;
	struct ch_sink_result result;
	char detail[200];
	struct ch_jw marks;
};

static int go(struct replay *r);

static void forget_batch(struct replay *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->rows[i]);
	free(r->values);
	free(r->marks.buf);
	r->marks.buf = NULL;
	r->values = NULL;
	r->n = 0;
}

static void release(void *data)
{
	struct replay *r = data;

	forget_batch(r);
	free(r->state);
	dead_list_free(r->list);
}

static int no_memory(struct replay *r)
{
	return ch_refuse(r->c, CH_E_OVERLOADED, 1000,
		"there is no memory, or no thread of the pool, for this now; %zu %s replayed: run it again",
		r->taken, r->taken == 1 ? "row was" : "rows were");
}

/* ---- the end ---- */

static int finish(struct replay *r, const char *stopped)
{
	if (r->one && !r->total)
		return ch_refuse(r->c, CH_E_NOT_FOUND, 0, "there is no dead letter of that row");
	ch_out(r->c, "%zu of %zu %s replayed", r->taken, r->total, r->total == 1 ? "row was" : "rows were");
	if (r->refused)
		ch_out(r->c, ", %zu refused again", r->refused);
	if (r->damaged)
		ch_out(r->c, ", %zu cannot be read", r->damaged);
	if (r->homeless)
		ch_out(r->c, ", %zu are for sinks that are not among `sinks`", r->homeless);
	ch_out(r->c, "\n");
	if (stopped)
		return ch_refuse(r->c, CH_E_UNAVAILABLE, 0, "%s; what is left stays a dead letter: run it again", stopped);
	return r->refused || r->damaged || r->homeless ? ch_refuse(r->c, CH_E_CONFLICT, 0, "not all rows could be replayed%s%s",
		*r->detail ? ": " : "",
								 r->detail) : CH_DONE;
}

/* ---- waiting ---- */

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	struct replay *r = data;

	(void)c;
	(void)result;
	if (why != CH_READY)
		ch_unsuspend(r->ticket);
	r->ticket = 0;
	return why == CH_GONE ? CH_DONE : go(r);
}

/* Under a millisecond is only a turn of the loop. */
static int wait(struct replay *r, int64_t us)
{
	r->ticket = ch_suspend(r->c, us / 1000, on_waited, r);
	if (!r->ticket)
		return no_memory(r);
	if (us < 1000)
		ch_resume(r->ticket, NULL, NULL);
	return CH_AGAIN;
}

/* ---- after a batch ---- */

static void *write_marks(void *data)
{
	struct replay *r = data;

	return (void *)dead_append(((const struct records *)r->self->state)->ledger->dead, r->marks.buf, r->marks.len);
}

static int on_marked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct replay *r = data;
	int64_t took = ch_now() - r->began;

	(void)c;
	if (why != CH_READY)
		return CH_DONE;
	if (result)
		return finish(r, result);
	for (size_t i = 0; i < r->n; i++)
		r->state[r->members[i]] = TAKEN;
	r->taken += r->n;
	forget_batch(r);
	r->limit = BATCH;
	r->attempts = 0;
	ch_progress(r->c, r->taken + r->refused, r->total, "rows");
	return wait(r, took < 1000000 ? took : 1000000);
}

static int mark(struct replay *r)
{
	ch_ticket ticket;

	ch_jw_init(&r->marks, NULL, 0);
	r->marks.grow = ch_jw_heap;
	for (size_t i = 0; i < r->n; i++)
		letter_write_mark(&r->marks, ch_wall(), r->svc->id, r->list->v[r->members[i]].letter.row_id);
	ticket = r->marks.failed ? 0 : ch_suspend(r->c, 0, on_marked, r);
	if (ticket && ch_offload(r->self, write_marks, r, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return no_memory(r);
}

static void give_up(struct replay *r, size_t i)
{
	r->state[r->members[i]] = REFUSED;
	r->refused++;
}

static int refused(struct replay *r)
{
	const struct ch_table *named = &r->result.refused;

	for (size_t i = 0; i < named->n; i++) {
		const struct ch_sink_refusal *it = (const void *)((const char *)named->rows + i * named->row_size);

		if (it->row < r->n && r->state[r->members[it->row]] == OPEN)
			give_up(r, it->row);
	}
	if (!named->n && r->n == 1)
		give_up(r, 0);
	else if (!named->n)
		r->limit = r->n / 2;
	forget_batch(r);
	return go(r);
}

static int look(struct replay *r)
{
	snprintf(r->detail, sizeof(r->detail), "%s", r->result.detail ? r->result.detail : "");
	if (r->result.outcome == CH_SINK_DONE)
		return mark(r);
	if (r->result.outcome == CH_SINK_REFUSED)
		return refused(r);
	if (++r->attempts < ATTEMPTS) {
		int64_t us = r->result.retry_ms ? r->result.retry_ms * 1000 : ch_backoff_full(200000, 5000000, r->attempts, ch_random());

		forget_batch(r);
		return wait(r, us);
	}
	return finish(r, ch_print(r->c, "%s does not take rows now: %s", r->svc->id, r->detail));
}

static int on_sent(struct ch_ctx *c, void *data, int why, void *result)
{
	struct replay *r = data;

	(void)c;
	(void)result;
	if (why != CH_READY) {
		r->gone = true; /* the task goes on to its end, and then our memory goes */
		return CH_DONE;
	}
	return look(r);
}

/* ---- the task that sends ---- */

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct replay *r = data;

	(void)result;
	if (why != CH_READY)
		((const struct ch_sink_v1 *)r->svc->vt)->cancel(r->svc, c, &r->result);
	return CH_DONE;
}

static void on_over(void *data)
{
	struct replay *r = data;

	ch_resume(r->ticket, NULL, NULL);
}

static int send(struct ch_ctx *c, void *data)
{
	struct replay *r = data;
	ch_ticket ticket;

	r->result = (struct ch_sink_result){ .size = sizeof(r->result), .outcome = CH_SINK_RETRY, .detail = "there is no memory" };
	if (!ch_keep(c, on_over, r)) {
		on_over(r);
		return CH_DONE;
	}
	ticket = ch_suspend(c, 0, on_answer, r);
	if (!ticket)
		return CH_DONE;
	r->result = (struct ch_sink_result){ .size = sizeof(r->result) };
	if (((const struct ch_sink_v1 *)r->svc->vt)->append(r->svc, c, &r->batch, &r->result, ticket) == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return CH_DONE;
}

/* ---- making a batch ---- */

static const struct ch_svc *sink_of(const struct replay *r, struct ch_str id)
{
	const struct records *state = r->self->state;

	for (size_t i = 0; i < state->nsinks; i++)
		if (strlen(state->sinks[i].shipper->id) == id.n && !memcmp(state->sinks[i].shipper->id, id.p, id.n))
			return state->sinks[i].svc;
	return NULL;
}

static bool equal(struct ch_str a, struct ch_str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* Letters of one sink and table from r->at on. False: there is none. */
static bool collect(struct replay *r)
{
	const struct letter *first = NULL;

	for (; r->at < r->list->n && !first; r->at++)
		if (r->state[r->at] == OPEN)
			first = &r->list->v[r->at].letter;
	if (!first)
		return false;
	r->at--;
	r->svc = sink_of(r, first->sink);
	for (size_t i = r->at; i < r->list->n && r->n < r->limit; i++) {
		const struct letter *l = &r->list->v[i].letter;

		if (r->state[i] != OPEN)
			continue;
		if (!equal(l->sink, first->sink) || !equal(l->table, first->table) || !equal(l->types, first->types))
			break;
		r->rows[r->n] = r->svc ? letter_row(l) : NULL;
		if (!r->rows[r->n]) {
			r->state[i] = REFUSED;
			++*(r->svc ? &r->damaged : &r->homeless);
			continue;
		}
		r->members[r->n++] = i;
	}
	return true;
}

/* The same rows for the same sink: the same id (RFC 9562, version 8). */
static void name_batch(struct replay *r)
{
	unsigned char link[32]; /* what came so far, and the next row; XXH3's own state wants an alignment that ASan's stack does not have */
	XXH128_canonical_t id;

	XXH128_canonicalFromHash(&id, XXH3_128bits(r->svc->id, strlen(r->svc->id)));
	for (size_t i = 0; i < r->n; i++) {
		memcpy(link, id.digest, 16);
		memcpy(link + 16, r->list->v[r->members[i]].letter.row_id, 16);
		XXH128_canonicalFromHash(&id, XXH3_128bits(link, sizeof(link)));
	}
	memcpy(r->batch.batch_id, id.digest, 16);
	r->batch.batch_id[6] = (unsigned char)((r->batch.batch_id[6] & 0x0F) | 0x80);
	r->batch.batch_id[8] = (unsigned char)((r->batch.batch_id[8] & 0x3F) | 0x80);
}

static bool fill(struct replay *r)
{
	size_t columns = r->rows[0]->table.columns.n;

	r->values = malloc(r->n * columns * sizeof(*r->values));
	for (size_t i = 0; r->values && i < r->n; i++)
		memcpy(r->values + i * columns, r->rows[i]->values, columns * sizeof(*r->values));
	r->batch = (struct ch_sink_batch){
		.size = sizeof(r->batch),
		.table = tables_keep(&r->rows[0]->table),
		.values = r->values,
		.nrows = r->n,
		.again = true,
	};
	name_batch(r);
	return r->values && r->batch.table;
}

static int go(struct replay *r)
{
	for (;;) {
		if (!collect(r))
			return finish(r, NULL);
		if (r->n)
			break;
	}
	if (!fill(r))
		return no_memory(r);
	r->began = ch_now();
	r->ticket = ch_suspend(r->c, 0, on_sent, r);
	if (r->ticket && ch_task(r->self, NULL, 0, send, r, on_over))
		return CH_AGAIN;
	ch_unsuspend(r->ticket);
	return no_memory(r);
}

/* ---- the command ---- */

static void *read_file(void *data)
{
	struct replay *r = data;

	r->list = dead_read(((const struct records *)r->self->state)->ledger->dead, &r->why);
	r->state = r->list ? calloc(r->list->n + 1, 1) : NULL;
	return NULL;
}

static int on_read(struct ch_ctx *c, void *data, int why, void *result)
{
	struct replay *r = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (!r->list)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "%s", r->why);
	if (!r->state)
		return no_memory(r);
	for (size_t i = 0; i < r->list->n; i++) {
		r->state[i] = !r->one || !memcmp(r->list->v[i].letter.row_id, r->id, 16) ? OPEN : REFUSED;
		r->total += r->state[i] == OPEN;
	}
	return go(r);
}

int records_replay(struct ch_self *self, struct ch_ctx *c, const unsigned char *id)
{
	struct replay *r = ch_alloc(c, sizeof(*r));
	ch_ticket ticket = r && ch_keep(c, release, r) ? ch_suspend(c, 0, on_read, r) : 0;

	if (!ticket)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this command now");
	r->self = self;
	r->c = c;
	r->limit = BATCH;
	r->one = id != NULL;
	if (id)
		memcpy(r->id, id, 16);
	if (ch_offload(self, read_file, r, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return no_memory(r);
}
