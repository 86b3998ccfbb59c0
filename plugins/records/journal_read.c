/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_read.c - readers. Rows are numbered without a gap, so whatever was removed, damaged or never reached the disk is noticed as a gap
 * between two rows, and counted exactly, in this one place.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal_parts.h"

#define ANY UINT64_MAX                     /* of at.row */

/* ---- where it stands ---- */

static void leave(struct journal_reader *r)
{
	if (r->segment)
		r->segment->users--;
	r->segment = NULL;
}

/* The first segment from at.segment on. Notes what was skipped. False: there is none yet. */
static bool find_segment(struct journal_reader *r)
{
	struct journal *j = r->j;
	struct segment *s;

	pthread_mutex_lock(&j->lock);
	leave(r);
	for (s = j->oldest; s && s->number < r->at.segment; s = s->next)
		;
	if (s) {
		if (s->number != r->at.segment) {
			if (r->at.segment <= j->dropped_to)
				r->why = JOURNAL_WHY_FULL;
			r->at.segment = s->number;
			r->at.offset = SEGMENT_PAGE;
		}
		s->users++;
		r->segment = s;
		r->in_segment = s->number;
	}
	pthread_mutex_unlock(&j->lock);
	return s != NULL;
}

/* The segment that it stands in, which still exists; NULL: there is none yet. */
static struct segment *here(struct journal_reader *r)
{
	if (r->segment && r->segment->number == r->at.segment && !atomic_load_explicit(&r->segment->gone, memory_order_acquire))
		return r->segment;
	return find_segment(r) ? r->segment : NULL;
}

/* ---- records ---- */

/* The end of known damage that begins there; 0: none does. */
static size_t known_damage(const struct segment *s, size_t at)
{
	size_t low = 0, high = s->ndamage;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->damage[middle].to <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->ndamage && s->damage[low].from <= at ? s->damage[low].to : 0;
}

/* Damage that came since the journal was opened. Returns where to go on. */
static size_t new_damage(struct journal_reader *r, struct segment *s, size_t at, size_t end)
{
	struct segment_view v = { s->map, s->number, end };
	size_t to = segment_resync(&v, at);

	pthread_mutex_lock(&r->j->lock);
	r->j->status.damaged_stretches++;
	r->j->status.damaged_bytes += to - at;
	pthread_mutex_unlock(&r->j->lock);
	journal_quarantine(r->j, s, at, to, "damaged, no row can be read there; the rest is served");
	return to;
}

static bool decode(struct journal_reader *r, const struct segment_record *rec)
{
	if (!r->table || r->table->id != rec->table) {
		pthread_mutex_lock(&r->j->lock);
		r->table = journal_table_of(r->j, rec->table);
		pthread_mutex_unlock(&r->j->lock);
	}
	return r->table && segment_get_row(rec->payload, rec->length, r->table->relation, r->values);
}

/*
 * Goes to the next ROW record, over all that is none; false: there is none yet. The reader stands at it; `why` says what was skipped.
 */
static bool next_record(struct journal_reader *r, struct segment_record *rec)
{
	struct segment *s;

	while ((s = here(r))) {
		/* Asked before the end: what a rolled segment has then is all of it. */
		bool rolled = atomic_load_explicit(&s->rolled, memory_order_acquire);
		struct segment_view v = segment_view(s);
		size_t at = r->at.offset < SEGMENT_PAGE ? SEGMENT_PAGE : r->at.offset;
		size_t over = atomic_load_explicit(&s->repeated_to, memory_order_acquire), to;

		if (at < over && at >= atomic_load(&s->repeated_from)) {
			r->at.offset = over;
			r->at.row = ANY;
			continue;
		}
		if (at >= v.end) {
			if (!rolled)
				return false;
			r->at.segment++;
			r->at.offset = SEGMENT_PAGE;
			continue;
		}
		to = known_damage(s, at);
		if (!to && segment_get(&v, at, rec)) {
			r->at.offset = rec->kind == SEGMENT_ROW ? at : rec->next;
			if (rec->kind == SEGMENT_ROW)
				return true;
			continue;
		}
		r->why = JOURNAL_WHY_DAMAGED;
		r->at.offset = to ? to : new_damage(r, s, at, v.end);
	}
	return false;
}

/* Rows are missing in front of this one? */
static bool loss(struct journal_reader *r, const struct segment_record *rec, struct journal_row *row)
{
	uint64_t expected = r->at.row;

	r->at.row = rec->row;
	if (expected == ANY || expected >= rec->row) {
		r->why = JOURNAL_WHY_MISSING;
		return false;
	}
	*row = (struct journal_row){ .at = r->at, .next = r->at, .rows = rec->row - expected, .why = r->why };
	r->why = JOURNAL_WHY_MISSING;
	return true;
}

int journal_next(struct journal_reader *r, struct journal_row *row)
{
	struct segment_record rec;

	while (next_record(r, &rec)) {
		if (loss(r, &rec, row))
			return JOURNAL_LOST;
		if (decode(r, &rec)) {
			row->at = r->at;
			r->at.offset = rec.next;
			r->at.row++;
			row->next = r->at;
			row->table = r->table->relation;
			row->values = r->values;
			row->rows = 0;
			row->why = 0;
			row->bytes = rec.length;
			return JOURNAL_ROW;
		}
		/* Whole, but its table is not known: that is the damaged part. */
		new_damage(r, r->segment, r->at.offset, rec.next);
		r->why = JOURNAL_WHY_DAMAGED;
		r->at.offset = rec.next;
	}
	return JOURNAL_NONE;
}

int journal_next_loss(struct journal_reader *r, struct journal_row *row)
{
	struct segment_record rec;

	return next_record(r, &rec) && loss(r, &rec, row) ? JOURNAL_LOST : JOURNAL_NONE;
}

void journal_seek(struct journal_reader *r, const struct journal_pos *pos)
{
	pthread_mutex_lock(&r->j->lock);
	leave(r);
	pthread_mutex_unlock(&r->j->lock);
	r->at = *pos;
	r->why = JOURNAL_WHY_MISSING;
}

void journal_tell(const struct journal_reader *r, struct journal_pos *pos)
{
	*pos = r->at;
}

void journal_passed(struct journal_reader *r, const struct journal_pos *pos)
{
	struct journal *j = r->j;

	pthread_mutex_lock(&j->lock);
	r->passed = *pos;
	if (j->oldest && j->oldest != j->current && pos->segment >= j->oldest->number)
		journal_ask_ahead(j);
	pthread_mutex_unlock(&j->lock);
}

/* ---- coming and going ---- */

struct journal_reader *journal_reader(struct journal *j, const char *name, const struct journal_pos *passed)
{
	struct journal_reader *r = calloc(1, sizeof(*r));
	unsigned n = 0;
	uint64_t last;
	bool foreign;

	if (!r)
		return NULL;
	r->j = j;
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->passed = *passed;
	r->why = JOURNAL_WHY_MISSING;
	pthread_mutex_lock(&j->lock);
	last = j->next_number;
	foreign = passed->segment > last;
	if (foreign)
		r->passed = (struct journal_pos){ 0 };
	for (struct journal_reader *other = j->readers; other; other = other->next)
		n++;
	if (n < JOURNAL_CONSUMERS_MAX) {
		r->next = j->readers;
		j->readers = r;
	}
	pthread_mutex_unlock(&j->lock);
	if (n >= JOURNAL_CONSUMERS_MAX) {
		free(r);
		return NULL;
	}
	if (foreign)
		journal_say(j, CH_WARN, "%s is at segment %" PRIu64 " of the journal in %s, which has none after %" PRIu64
			    ": its files were removed; going on with the oldest row there is", name, passed->segment, j->conf.dir, last - 1);
	r->at = r->passed;
	if (!r->at.segment)
		r->at.row = ANY;
	return r;
}

void journal_reader_free(struct journal_reader *r)
{
	struct journal *j = r->j;
	struct journal_reader **at = &j->readers;

	pthread_mutex_lock(&j->lock);
	leave(r);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	journal_ask_ahead(j);
	pthread_mutex_unlock(&j->lock);
	free(r);
}
