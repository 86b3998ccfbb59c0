/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "records.h"

#define TELL_US 10000000                  /* between two lines about dead letters */
#define PATIENCE_US 5000000               /* a batch takes a sink that works far less */

/* ---- life ---- */

/*
 * One that is new begins at the oldest row that is there, and says so: from a beginning that bears no row's number a loss could not be
 * told.
 */
static void begin(struct shipper *s)
{
	struct journal_pos end;
	struct journal_row row;

	journal_end(s->ledger->journal, &end);
	s->data.passed = journal_next(s->reader, &row) == JOURNAL_ROW ? row.at : end;
	journal_seek(s->reader, &s->data.passed);
	checkpoint_save(s->checkpoint, &s->data);
	journal_passed(s->reader, &s->data.passed);
}

static bool open_files(struct shipper *s, char *err, size_t cap)
{
	s->checkpoint = checkpoint_open(s->ledger->dir, s->id, &s->data, ledger_log, s->ledger, err, cap);
	if (!s->checkpoint)
		return false;
	/* The journal may know better where a checkpoint stands whose segments are gone: the reader tells. */
	s->reader = journal_reader(s->ledger->journal, s->id, &s->data.passed);
	if (!s->reader) {
		snprintf(err, cap, "the sink %s cannot be given the journal: there is no memory, or there are more than %d sinks", s->id,
			JOURNAL_CONSUMERS_MAX);
		return false;
	}
	if (!s->data.passed.segment && !s->data.nbatches)
		begin(s);
	atomic_store(&s->passed_row, s->data.passed.row);
	return true;
}

static void shipper_free(struct shipper *s)
{
	if (s->reader)
		journal_reader_free(s->reader);
	if (s->checkpoint)
		checkpoint_close(s->checkpoint);
	rows_free(&s->rows);
	free(s->id);
	free(s->what);
	free(s);
}

struct shipper *shipper_new(struct ledger *l, const char *id, char *err, size_t cap)
{
	struct shipper *s = calloc(1, sizeof(*s));

	if (!s || !(s->id = strdup(id)) || asprintf(&s->what, "sink %s", id) < 0) {
		if (s)
			free(s->id);
		free(s);
		snprintf(err, cap, "there is no memory for the sink %s", id);
		return NULL;
	}
	s->refs = 1;
	s->ledger = l;
	if (!open_files(s, err, cap)) {
		shipper_free(s);
		return NULL;
	}
	ledger_add(l, s);
	return s;
}

struct shipper *shipper_hold(struct shipper *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void shipper_put(struct shipper *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	ledger_remove(s->ledger, s);
	shipper_free(s);
}

/* ---- how far it is ---- */

void shipper_tell_dead(struct shipper *s, bool last)
{
	uint64_t n = s->dead - s->dead_told;
	int64_t now = ch_now();

	if (!n || !s->owner || (!last && s->dead_told_at && now - s->dead_told_at < TELL_US))
		return;
	ch_log(s->owner, NULL, CH_WARN,
		"%llu %s refused by %s and kept in dlq.jsonl; look with `chimeractl dlq list`, correct what is wrong, then "
		"`chimeractl dlq replay`. The last reason: %s",
		(unsigned long long)n, n == 1 ? "row was" : "rows were", s->id, s->last_error);
	s->dead_told = s->dead;
	s->dead_told_at = now;
}

uint64_t shipper_lag(const struct shipper *s)
{
	struct journal_pos end;
	uint64_t passed = atomic_load(&s->passed_row);

	journal_end(s->ledger->journal, &end);
	return end.row > passed ? end.row - passed : 0;
}

double shipper_age(const struct shipper *s)
{
	int64_t oldest = atomic_load(&s->oldest), now = ch_wall();

	return oldest && shipper_lag(s) && now > oldest ? (double)(now - oldest) / 1e6 : 0;
}

bool shipper_hopes(const struct shipper *s)
{
	int64_t asked = atomic_load(&s->asked);

	return shipper_lag(s) && !atomic_load(&s->down) && (!asked || ch_now() - asked < PATIENCE_US);
}

void shipper_measure(struct shipper *s)
{
	struct journal_row row;

	while (journal_next_loss(s->reader, &row) == JOURNAL_LOST)
		s->rows.lost[row.why] += row.rows;
	for (size_t i = 0; i < 3; i++) {
		if (s->rows.lost[i])
			ch_add(s->series.lost[i], (double)s->rows.lost[i]);
		s->rows.lost[i] = 0;
	}
	shipper_tell_dead(s, false);
	ch_set(s->series.lag_rows, (double)shipper_lag(s));
	ch_set(s->series.lag_seconds, shipper_age(s));
}

/* ---- when ---- */

/* Is a new batch worth while: so many rows or bytes as the sink likes, or the first of them is old enough? */
static bool due(const struct shipper *s, int64_t now)
{
	struct ch_sink_about about = { .size = sizeof(about) };
	struct ch_server server = { .size = sizeof(server) };
	struct journal_pos from, end;

	((const struct ch_sink_v1 *)s->svc->vt)->about(s->svc, &about);
	if (now - s->pending_since >= about.age_ms * 1000 || shipper_lag(s) >= about.rows)
		return true;
	journal_tell(s->reader, &from);
	journal_end(s->ledger->journal, &end);
	if (end.segment != from.segment || end.offset - from.offset >= about.bytes)
		return true;
	ch_server(&server);
	return server.draining;
}

/* Since when does the first row wait? */
static void look(struct shipper *s)
{
	struct journal_row row;
	int found;

	while ((found = journal_next(s->reader, &row)) == JOURNAL_LOST)
		s->rows.lost[row.why] += row.rows;
	if (found != JOURNAL_ROW)
		return;
	atomic_store(&s->oldest, row.values[1].u.i);
	journal_seek(s->reader, &row.at);
}

static void dropped(void *data)
{
	((struct shipper *)data)->busy = false;
}

void shipper_poll(struct shipper *s)
{
	int64_t now = ch_now();

	if (!s->owner || s->busy || now < s->due)
		return;
	if (!s->data.nbatches) {
		if (!shipper_lag(s)) {
			s->pending_since = 0;
			atomic_store(&s->oldest, 0);
			return;
		}
		if (!s->pending_since && !rows_left(&s->rows))
			look(s);
		if (!s->pending_since)
			s->pending_since = now;
		if (!due(s, now))
			return;
	}
	s->busy = true;
	if (!ch_task(s->owner, NULL, 0, shipper_task, s, dropped))
		s->busy = false;
}
