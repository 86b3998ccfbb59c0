/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_sync.c - the thread that makes rows durable.
 *
 * Before a sync the page that is being written is closed with a record of nothing (SEGMENT_PAD), and the writers go on in the next one: no
 * byte of a page is changed after it was handed to the disk, so no writer waits for its writeback and no power loss in a later sync can
 * tear what an earlier one made durable. The disk writes whole pages anyway; what it costs is on average half a page of the journal a sync.
 *
 * A file whose sync failed is never trusted again. Linux reports such a failure once and then takes the pages for clean, so a second
 * sync that succeeds would prove nothing. What the file has since its last good sync is appended again to another one.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "journal_parts.h"

#define AGAIN_US 1000000                   /* after a failure */

/* ---- a failed file ---- */

/* Notes in the journal, and for the readers, that the rows up to there were repeated. Locked. */
static void pass_over(struct journal *j, struct segment *s, size_t to)
{
	unsigned char payload[SEGMENT_REPEATED_BYTES];

	if (!atomic_load(&s->repeated_to))
		atomic_store(&s->repeated_from, s->synced);
	segment_put_repeated(payload, (uint64_t[3]){ s->number, atomic_load(&s->repeated_from), to });
	journal_put(j, SEGMENT_REPEATED, 0, payload, sizeof(payload));
	atomic_store_explicit(&s->repeated_to, to, memory_order_release);
	s->synced = to;
	j->hold = journal_end_of(j);
}

/*
 * Appends the file's unsynced rows to the current one. The writers wait meanwhile, for some milliseconds each MiB at worst, so that the
 * order stays. False: there is no room for all of them yet. Locked.
 */
static bool repeat(struct journal *j, struct segment *s)
{
	struct segment_view v;
	struct segment_record r;
	size_t at = s->synced;

	if (s == j->current && !journal_roll(j)) {
		journal_ask_ahead(j);
		return false;
	}
	v = segment_view(s);
	for (; at < v.end && segment_get(&v, at, &r); at = r.next) {
		if (r.kind != SEGMENT_ROW)
			continue;
		if (journal_room(j, journal_table_of(j, r.table), r.length + segment_room(SEGMENT_REPEATED_BYTES)))
			break;
		journal_put(j, SEGMENT_ROW, r.table, r.payload, r.length);
		j->status.repeated_rows++;
	}
	if (at > s->synced && !journal_room(j, NULL, SEGMENT_REPEATED_BYTES))
		pass_over(j, s, at);
	if (s->synced < v.end)
		journal_ask_ahead(j);
	return s->synced >= v.end;
}

/* ---- syncing ---- */

/* Closes the page that is being written. Locked. */
static void close_page(struct journal *j, struct segment *s)
{
	size_t end = atomic_load(&s->end), next = (end + j->page - 1) & ~(j->page - 1);

	if (end == next)
		return;
	if (next - end < SEGMENT_RECORD)
		next += j->page;
	if (next > s->size)
		next = s->size;
	if (next - end < SEGMENT_RECORD) /* the segment's last bytes: no record goes there */
		return;
	journal_put(j, SEGMENT_PAD, 0, NULL, next - end - SEGMENT_RECORD);
}

/* The oldest segment that is not wholly synced; NULL: there is none. Locked. */
static struct segment *unsynced(struct journal *j)
{
	struct segment *s = j->oldest;

	while (s && s->synced >= atomic_load(&s->end))
		s = s->next;
	return s;
}

static void tell(struct journal *j, const struct journal_pos *upto, bool ok)
{
	if (j->conf.synced)
		j->conf.synced(j->conf.arg, upto, ok);
}

/* Notes a good sync; returns whether it is to be told, as *upto. Locked. */
static bool advance(struct journal *j, struct segment *s, size_t to, uint64_t row, struct journal_pos *upto)
{
	*upto = (struct journal_pos){ s->number, to, row };
	s->synced = to;
	if (journal_pos_cmp(upto, &j->hold) < 0 || journal_pos_cmp(upto, &j->status.synced) <= 0)
		return false;
	j->status.synced = *upto;
	return true;
}

static void sync_failed(struct journal *j, struct segment *s, int error)
{
	uint64_t number = s->number;

	pthread_mutex_lock(&j->lock);
	s->failed = true;
	j->sync_broken = true;
	j->status.sync_failures++;
	journal_note(j, "a sync of segment %" PRIu64 " failed: %s", number, strerror(error));
	pthread_mutex_unlock(&j->lock);
	journal_say(j, CH_ERR, "segment %" PRIu64 " of the journal in %s cannot be made durable: %s; it is not trusted again, and its rows"
		    " since the last good sync are appended to another one", number, j->conf.dir, strerror(error));
}

enum round { DONE, MORE, BROKEN };

/* One file, up to what is written now. */
static enum round sync_one(struct journal *j)
{
	struct journal_pos upto;
	struct segment *s;
	bool told, failed, last;
	size_t from, to;
	uint64_t row;
	int64_t began;
	int error;

	pthread_mutex_lock(&j->lock);
	s = unsynced(j);
	if (!s) {
		pthread_mutex_unlock(&j->lock);
		return DONE;
	}
	if (s->failed) {
		bool mended = repeat(j, s);

		upto = journal_end_of(j);
		pthread_mutex_unlock(&j->lock);
		if (!mended)
			tell(j, &upto, false);
		return mended ? MORE : BROKEN;
	}
	if (s == j->current)
		close_page(j, s);
	last = s == j->current;
	from = s->synced & ~(j->page - 1);
	to = atomic_load(&s->end);
	row = last ? j->next_row : s->row_end;
	s->users++;
	pthread_mutex_unlock(&j->lock);

	began = journal_now();
	failed = msync(s->map + from, to - from, MS_SYNC) != 0;
	error = errno;
	if (failed)
		sync_failed(j, s, error);

	pthread_mutex_lock(&j->lock);
	s->users--;
	if (failed) {
		pthread_mutex_unlock(&j->lock);
		return MORE;
	}
	j->status.syncs++;
	j->status.sync_us = (uint64_t)(journal_now() - began);
	told = advance(j, s, to, row, &upto);
	if (last)
		j->sync_broken = false;
	pthread_mutex_unlock(&j->lock);
	if (told)
		tell(j, &upto, true);
	return last ? DONE : MORE;
}

bool journal_step_sync(struct journal *j)
{
	enum round r;

	while ((r = sync_one(j)) == MORE)
		;
	return r == DONE;
}

void journal_run_sync(struct journal *j)
{
	int64_t next = journal_now();

	pthread_mutex_lock(&j->lock);
	while (!j->stop) {
		int64_t now = journal_now();
		bool good;

		if (!unsynced(j)) {
			j->sync_idle = true;
			journal_wait(j, &j->sync, -1);
			next = journal_now() + j->conf.sync_interval_us;
			continue;
		}
		if (!j->sync_asked && now < next) {
			journal_wait(j, &j->sync, next - now);
			continue;
		}
		j->sync_asked = false;
		pthread_mutex_unlock(&j->lock);
		good = journal_step_sync(j);
		next = journal_now() + (good ? j->conf.sync_interval_us : AGAIN_US);
		pthread_mutex_lock(&j->lock);
		if (!good)
			j->sync_asked = false;
	}
	pthread_mutex_unlock(&j->lock);
	journal_step_sync(j);
}

void journal_want_sync(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	if (!j->sync_asked) {
		j->sync_asked = true;
		pthread_cond_signal(&j->sync);
	}
	pthread_mutex_unlock(&j->lock);
}
