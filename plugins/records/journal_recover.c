/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_recover.c - what is in the folder when a journal is opened: every record of every segment is looked at once. What is damaged in
 * the middle is quarantined and the rest served; what the newest segment has behind its last whole record, with nothing behind it, was
 * being written when the process or the machine stopped, and is cut off.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal_parts.h"

#define TOLD_ABOVE ((uint64_t)128 << 20)   /* bytes; less is read before anybody asks */

/* What a REPEATED record says. */
struct repeated {
	uint64_t v[3];
};
struct found {
	uint64_t *numbers;
	size_t n;
	struct repeated *repeated;
	size_t nrepeated;
	uint64_t first_row;               /* of the journal; UINT64_MAX: no record */
	struct segment *last;             /* the newest segment with a record */
};

static bool number_of(const char *name, uint64_t *number)
{
	char own[JOURNAL_NAME];
	size_t digits = 0;

	*number = 0;
	for (; isdigit((unsigned char)name[digits]); digits++)
		if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, (uint64_t)(name[digits] - '0'), number))
			return false;
	journal_file_name(own, *number);
	return *number && *number < UINT64_MAX / 2 && !strcmp(name, own);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool list(struct journal *j, struct found *f)
{
	DIR *dir = opendir(j->conf.dir);
	struct dirent *e;
	uint64_t number;

	if (!dir)
		return false;
	while ((e = readdir(dir))) {
		uint64_t *more;

		if (!number_of(e->d_name, &number))
			continue;
		more = realloc(f->numbers, (f->n + 1) * sizeof(*more));
		if (!more) {
			closedir(dir);
			return false;
		}
		f->numbers = more;
		f->numbers[f->n++] = number;
	}
	closedir(dir);
	if (f->n)
		qsort(f->numbers, f->n, sizeof(f->numbers[0]), ascending);
	return true;
}

/* ---- one segment ---- */

static bool add_stretch(struct segment *s, size_t from, size_t to)
{
	struct stretch *more = realloc(s->damage, (s->ndamage + 1) * sizeof(*more));

	if (!more)
		return false;
	s->damage = more;
	s->damage[s->ndamage++] = (struct stretch){ from, to };
	return true;
}

static bool take_record(struct journal *j, struct found *f, const struct segment_record *r)
{
	if (f->first_row == UINT64_MAX)
		f->first_row = r->row;
	if (r->row + (r->kind == SEGMENT_ROW) > j->next_row)
		j->next_row = r->row + (r->kind == SEGMENT_ROW);
	if (r->kind == SEGMENT_TABLE && segment_table_id(r->payload, r->length) == r->table)
		journal_learn(j, r->payload, r->length);
	if (r->kind == SEGMENT_REPEATED) {
		struct repeated *more = realloc(f->repeated, (f->nrepeated + 1) * sizeof(*more));

		if (!more)
			return false;
		f->repeated = more;
		segment_get_repeated(r->payload, more[f->nrepeated++].v);
	}
	return true;
}

/* All records; s->end is behind the last byte that is not zero, s->damage what is no record between the header and there. */
static bool scan(struct journal *j, struct found *f, struct segment *s)
{
	struct segment_view v = { s->map, s->number, s->size }, written = { s->map, s->number, s->data };
	size_t at = SEGMENT_PAGE, content = s->data > at ? segment_content_end(&written, at) : at;
	struct segment_record r;

	while (at < content) {
		size_t to;

		if (segment_get(&v, at, &r)) {
			if (!take_record(j, f, &r))
				return false;
			f->last = s;
			at = r.next;
			continue;
		}
		to = segment_resync(&v, at);
		if (to > content)
			to = content;
		if (!add_stretch(s, at, to))
			return false;
		at = to;
	}
	s->synced = at;
	atomic_store(&s->end, at);
	return true;
}

/* Is what the last stretch has also the end of the segment? */
static bool has_tail(const struct segment *s)
{
	return s->ndamage && s->damage[s->ndamage - 1].to == atomic_load(&s->end);
}

/* ---- all of them ---- */

/* Drops the damage that lies in [from, to): what was there counts elsewhere. */
static void forget_damage(struct segment *s, size_t from, size_t to)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->ndamage; i++)
		if (s->damage[i].from < from || s->damage[i].from >= to)
			s->damage[kept++] = s->damage[i];
	s->ndamage = kept;
}

static void apply_repeated(struct journal *j, const struct found *f)
{
	for (size_t i = 0; i < f->nrepeated; i++)
		for (struct segment *s = j->oldest; s; s = s->next) {
			const uint64_t *v = f->repeated[i].v;

			if (s->number != v[0] || v[1] < SEGMENT_PAGE || v[1] >= v[2] || v[2] > SIZE_MAX / 2)
				continue;
			atomic_store(&s->repeated_from, (size_t)v[1]);
			atomic_store(&s->repeated_to, (size_t)v[2]);
			forget_damage(s, (size_t)v[1], (size_t)v[2]);
		}
}

/* A header that is not whole on a segment without a row: the process ended while it made the file, which nobody knows yet. */
static void remove_unfinished(struct journal *j, struct found *f)
{
	while (f->n && (!f->last || f->last->number != f->numbers[f->n - 1])) {
		struct segment **at = &j->oldest;
		struct segment_header h;

		while ((*at)->next)
			at = &(*at)->next;
		if (atomic_load(&(*at)->end) > SEGMENT_PAGE || ((*at)->map && segment_get_header((*at)->map, (*at)->size, &h)))
			return;
		journal_unlink(j, (*at)->number);
		journal_unmap(*at);
		*at = NULL;
		f->n--;
	}
}

static void check_header(struct journal *j, struct segment *s)
{
	struct segment_header h;

	if (s->map && segment_get_header(s->map, s->size, &h) && h.number == s->number)
		return;
	if (atomic_load(&s->end) > SEGMENT_PAGE)
		journal_say(j, CH_ERR, "segment %" PRIu64 " of the journal: its header is damaged; its rows are read all the same", s->number);
	j->status.damaged_stretches++;
	j->status.damaged_bytes += s->size < SEGMENT_PAGE ? s->size : SEGMENT_PAGE;
}

static void quarantine(struct journal *j, const struct found *f, struct segment *s)
{
	size_t last = has_tail(s) && s->number >= (f->last ? f->last->number : 0) ? s->ndamage - 1 : s->ndamage;

	for (size_t i = 0; i < last; i++) {
		j->status.damaged_stretches++;
		j->status.damaged_bytes += s->damage[i].to - s->damage[i].from;
		journal_quarantine(j, s, s->damage[i].from, s->damage[i].to, "damaged, no row can be read there; the rest is served");
	}
	if (last < s->ndamage) {
		j->status.torn_bytes += s->damage[last].to - s->damage[last].from;
		journal_quarantine(j, s, s->damage[last].from, s->damage[last].to, "a row was not finished when the server stopped; cut off");
		atomic_store(&s->end, s->damage[last].from);
		s->ndamage--;
	}
}

/* What newer segments do not need: the unused room of the one that was written, and of the spare. */
static void shorten(struct journal *j, const struct found *f, struct segment *s)
{
	size_t end = atomic_load(&s->end);

	if (s->number >= (f->last ? f->last->number : 0) && s->size > end && journal_truncate(j, s, end))
		s->size = end;
}

static void tell_missing(struct journal *j, const struct found *f)
{
	for (size_t i = 1; i < f->n; i++) {
		uint64_t missing = f->numbers[i] - f->numbers[i - 1] - 1;

		if (!missing)
			continue;
		j->status.missing_segments += missing;
		journal_say(j, CH_ERR, "%" PRIu64 " segments of the journal in %s, from number %" PRIu64 " on, are missing: their rows are lost",
			    missing, j->conf.dir, f->numbers[i - 1] + 1);
	}
}

static bool load_all(struct journal *j, struct found *f, char *err, size_t err_size)
{
	struct segment **last = &j->oldest;
	uint64_t bytes = 0, told = TOLD_ABOVE;

	for (size_t i = 0; i < f->n; i++) {
		struct segment *s = journal_load(j, f->numbers[i]);

		if (!s) {
			snprintf(err, err_size, "segment %" PRIu64 " of the journal in %s cannot be read: %s", f->numbers[i], j->conf.dir,
				 strerror(errno));
			return false;
		}
		*last = s;
		last = &s->next;
		if (!scan(j, f, s)) {
			snprintf(err, err_size, "there is no memory to read the journal in %s", j->conf.dir);
			return false;
		}
		bytes += s->size;
		if (bytes >= told) {
			journal_say(j, CH_INFO, "reading the journal in %s: %zu of %zu segments, %" PRIu64 " MiB so far", j->conf.dir, i + 1,
				    f->n, bytes >> 20);
			told += TOLD_ABOVE;
		}
	}
	return true;
}

bool journal_recover(struct journal *j, char *err, size_t err_size)
{
	struct found f = { .first_row = UINT64_MAX };
	bool good = false;

	if (!list(j, &f)) {
		snprintf(err, err_size, "the folder %s of the journal cannot be read: %s", j->conf.dir, strerror(errno));
		goto out;
	}
	if (!load_all(j, &f, err, err_size))
		goto out;
	remove_unfinished(j, &f);
	tell_missing(j, &f);
	apply_repeated(j, &f);
	for (struct segment *s = j->oldest; s; s = s->next) {
		check_header(j, s);
		quarantine(j, &f, s);
		shorten(j, &f, s);
		j->file_bytes += s->size;
	}
	if (f.n)
		j->next_number = f.numbers[f.n - 1] + 1;
	if (f.n && f.first_row != UINT64_MAX)
		journal_say(j, CH_INFO, "the journal in %s has %zu segments with up to %" PRIu64 " rows", j->conf.dir, f.n,
			    j->next_row - f.first_row);
	good = true;
out:
	free(f.numbers);
	free(f.repeated);
	return good;
}
