/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlq.c - `chimeractl dlq`: dead letters listed, shown, purged; replay.c has the replay.
 *
 * Threads and ownership: on the house loop; the file is read and written in the pool.
 */
#include <stdio.h>

#include <chimera/kit/uuid.h>

#include "records.h"

#define PIECE 500 /* lines written in one go */

struct dlq { /* in the command */
	struct ch_self *self;
	struct ch_ctx *c;
	bool one;                         /* `id` names a row */
	unsigned char id[16];
	struct dead_list *list;
	const char *why;
	size_t at, shown, gone;
	ch_ticket ticket;                 /* it waits for the reader */
	bool (*purges)(void *arg, const struct letter *);
};

static int busy(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory, or no thread of the pool, for this command now: try again");
}

static void release(void *data)
{
	dead_list_free(((struct dlq *)data)->list);
}

static bool wanted(const struct dlq *q, const struct letter *l)
{
	return !q->one || !memcmp(l->row_id, q->id, 16);
}

/* ---- list and show ---- */

static int go(struct dlq *q);

static int on_turn(struct ch_ctx *c, void *data, int why, void *result)
{
	struct dlq *q = data;

	(void)c;
	(void)result;
	q->ticket = 0;
	return why == CH_READY ? go(q) : CH_DONE;
}

static void on_writable(void *data)
{
	struct dlq *q = data;
	ch_ticket ticket = q->ticket;

	q->ticket = 0;
	if (ticket)
		ch_resume(ticket, NULL, NULL);
}

static int write_line(struct dlq *q, const struct letter *l)
{
	char id[CH_UUID_TEXT];

	ch_uuid_text(l->row_id, id);
	if (!q->shown++)
		ch_out(q->c, "%-27s  %-36s  %-20s  %-20s  %s\n", "TIME", "ROW_ID", "SINK", "TABLE", "REASON");
	return ch_out(q->c, "%-27.*s  %s  %-20.*s  %-20.*s  %.*s\n", (int)l->time.n, l->time.p, id, (int)l->sink.n, l->sink.p,
		(int)l->table.n,
		l->table.p, (int)l->reason.n, l->reason.p);
}

static int write_all(struct dlq *q, const struct letter *l)
{
	q->shown++;
	return ch_out(q->c, "%.*s, refused by %.*s, for %.*s:\n%.*s\n%.*s\n\n", (int)l->time.n, l->time.p, (int)l->sink.n, l->sink.p,
		(int)l->table.n,
		l->table.p, (int)l->reason.n, l->reason.p, (int)l->payload.n, l->payload.p);
}

static int finish(struct dlq *q)
{
	char id[CH_UUID_TEXT];

	if (q->one && !q->shown) {
		ch_uuid_text(q->id, id);
		return ch_refuse(q->c, CH_E_NOT_FOUND, 0, "there is no dead letter of the row %s", id);
	}
	if (q->one)
		return CH_DONE;
	ch_out(q->c, "%zu dead %s, %zu replayed%s\n", q->shown, q->shown == 1 ? "letter" : "letters", q->list->replayed,
		q->list->bad_lines ? ", and lines that are none" : "");
	return CH_DONE;
}

/* Some lines, then the loop does other things. */
static int go(struct dlq *q)
{
	int rc = CH_OK;

	for (size_t i = 0; i < PIECE && q->at < q->list->n && rc == CH_OK; i++) {
		const struct letter *l = &q->list->v[q->at++].letter;

		if (wanted(q, l))
			rc = q->one ? write_all(q, l) : write_line(q, l);
	}
	if (rc == CH_DONE || rc == CH_ERROR)
		return CH_DONE;
	if (q->at == q->list->n)
		return finish(q);
	q->ticket = ch_suspend(q->c, 0, on_turn, q);
	if (!q->ticket)
		return busy(q->c);
	if (rc == CH_OK)
		on_writable(q);
	return CH_AGAIN;
}

static void *read_file(void *data)
{
	struct dlq *q = data;

	q->list = dead_read(((const struct records *)q->self->state)->ledger->dead, &q->why);
	return NULL;
}

static int on_read(struct ch_ctx *c, void *data, int why, void *result)
{
	struct dlq *q = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (!q->list)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "%s", q->why);
	ch_on_writable(c, on_writable, q);
	return go(q);
}

/* ---- purge ---- */

static bool is_gone(void *arg, const struct letter *l)
{
	return wanted(arg, l);
}

static void *purge_file(void *data)
{
	struct dlq *q = data;

	q->why = dead_purge(((const struct records *)q->self->state)->ledger->dead, q->purges, q, &q->gone);
	return NULL;
}

static int on_purged(struct ch_ctx *c, void *data, int why, void *result)
{
	struct dlq *q = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (q->why)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "%s", q->why);
	if (q->one && !q->gone)
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "there is no dead letter of that row");
	if (q->purges)
		ch_out(c, "%zu dead %s gone for good, and those that were replayed\n", q->gone, q->gone == 1 ? "letter is" : "letters are");
	else
		ch_out(c, "letters that were replayed are gone; `dlq purge all` takes the others too\n");
	return CH_DONE;
}

/* ---- the command ---- */

static int begin(struct dlq *q, void *(*work)(void *), ch_resumed fn)
{
	ch_ticket ticket = ch_suspend(q->c, 0, fn, q);

	if (ticket && ch_offload(q->self, work, q, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return busy(q->c);
}

int records_dlq(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	bool list = !strcmp(argv[0], "list"), show = !strcmp(argv[0], "show"), replay = !strcmp(argv[0], "replay");
	struct dlq *q = ch_alloc(c, sizeof(*q));

	if (!list && !show && !replay && strcmp(argv[0], "purge"))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "\"%.80s\" is neither list, show, replay nor purge", argv[0]);
	if (!q || !ch_keep(c, release, q))
		return busy(c);
	q->self = self;
	q->c = c;
	q->one = argc > 1 && (show || strcmp(argv[1], "all"));
	if (q->one && !ch_uuid_parse(argv[1], strlen(argv[1]), q->id))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "\"%.80s\" is no row's id: `dlq list` shows them", argv[1]);
	if (show && !q->one)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "which row? Write: dlq show ROW_ID; `dlq list` shows them");
	if (list && argc > 1)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "`dlq list` takes no arguments; `dlq show ROW_ID` shows one letter");
	if (replay)
		return records_replay(self, c, q->one ? q->id : NULL);
	if (list || show)
		return begin(q, read_file, on_read);
	q->purges = argc > 1 ? is_gone : NULL;
	return begin(q, purge_file, on_purged);
}
