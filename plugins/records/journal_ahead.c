/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_ahead.c - the thread that is ahead of the writers: pages, the next segment, what can be removed.
 *
 * Why pages are faulted in here. A store into a page of a mapped file that is not dirty yet is a page fault, and on ext4 that fault
 * (ext4_page_mkwrite) may wait: for a transaction of the file system's journal, for the writeback of this very page where the device wants
 * its pages to hold still meanwhile (stable pages), or, when too many pages are dirty, for the disk as a whole (balance_dirty_pages). On a
 * slow disk that is seconds. A page that is dirty and mapped writable takes stores without asking anybody. So this thread makes the pages
 * ahead of the writers so, and waits in their place. Two things clean pages again: our own msync, behind whose end the writers therefore
 * go on in a new page (journal_sync.c), and the kernel's own writeback of pages older than 30 s, so those right ahead are faulted in again
 * from time to time. It is done in small steps because older kernels hold the lock of the whole address space for the length of a fault.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "journal_parts.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23             /* Linux 5.14 */
#endif
#define STEP ((size_t)64 << 10)            /* bytes of a step; also what is faulted in again while nothing happens */
#define ACTIVE_US 1000000                  /* between two rounds while rows come … */
#define IDLE_US 5000000                    /* … and while none do */
#define AGAIN_US 1000000                   /* after a failure */

/* ---- pages ---- */

/* For kernels without MADV_POPULATE_WRITE: a store that changes nothing, atomic so that none of a writer's is lost. */
__attribute__((no_sanitize("thread"))) static void store_nothing(unsigned char *from, size_t n, size_t page)
{
	for (size_t at = 0; at < n; at += page)
		__atomic_fetch_or(from + at, 0, __ATOMIC_RELAXED);
}

static void fault_in(struct journal *j, struct segment *s, size_t from, size_t to)
{
	for (size_t n; from < to; from += n) {
		n = to - from < STEP ? to - from : STEP;
		if (madvise(s->map + from, n, MADV_POPULATE_WRITE) && errno == EINVAL)
			store_nothing(s->map + from, n, j->page);
	}
}

/* Bytes of a new segment that are ready: enough until this thread has heard that rows come, and then that the segment is in use. */
static size_t first_pages(const struct journal *j)
{
	return j->window / 4 & ~(j->page - 1);
}

/* Faults in what is not yet, up to `to`, and tells the writers of each step. */
static void go_on(struct journal *j, struct segment *s, size_t ready, size_t to)
{
	while (ready < to) {
		size_t n = to - ready < STEP ? to - ready : STEP;

		fault_in(j, s, ready, ready + n);
		ready += n;
		pthread_mutex_lock(&j->lock);
		if (s->touched < ready)
			s->touched = ready;
		pthread_mutex_unlock(&j->lock);
	}
}

/* Once rows come, the next segment may be in use soon. */
static void touch_spare(struct journal *j)
{
	struct segment *s;
	size_t ready = 0;

	pthread_mutex_lock(&j->lock);
	s = j->spare;
	if (s) {
		s->users++;
		ready = s->touched;
	}
	pthread_mutex_unlock(&j->lock);
	if (!s)
		return;
	go_on(j, s, ready, first_pages(j));
	pthread_mutex_lock(&j->lock);
	s->users--;
	pthread_mutex_unlock(&j->lock);
}

/* Returns whether rows came since the last time. While none do little is kept ready: it is memory that counts as the process's. */
static bool touch(struct journal *j)
{
	size_t end, again, ready, to, recent = 0;
	struct segment *s;

	pthread_mutex_lock(&j->lock);
	s = j->current;
	if (!s) {
		pthread_mutex_unlock(&j->lock);
		return false;
	}
	s->users++;
	end = atomic_load(&s->end);
	recent = s->number == j->seen_in ? end - j->end_seen : end - SEGMENT_PAGE;
	j->seen_in = s->number;
	j->end_seen = end;
	ready = s->touched;
	pthread_mutex_unlock(&j->lock);

	/* As much again as came since the last time, but not what is faulted in for the first time below. */
	end &= ~(j->page - 1);
	again = end + (2 * recent > STEP ? 2 * recent : STEP);
	if (again > ready)
		again = ready;
	if (again > end)
		fault_in(j, s, end, again);
	if (ready < end)
		ready = end;
	to = end + (recent ? j->window : first_pages(j));
	go_on(j, s, ready, to < s->size ? to : s->size);
	pthread_mutex_lock(&j->lock);
	s->users--;
	pthread_mutex_unlock(&j->lock);
	if (recent)
		touch_spare(j);
	return recent > 0;
}

/* ---- removal ---- */

/* The oldest segment that the reader may come back to. */
static uint64_t needs(const struct journal_reader *r, const struct segment *oldest)
{
	const struct segment *s = oldest;

	while (s && s->number < r->passed.segment)
		s = s->next;
	/* All of this one it has. */
	if (s && s->number == r->passed.segment && atomic_load(&s->rolled) && r->passed.offset >= atomic_load(&s->end))
		return s->number + 1;
	return r->passed.segment;
}

/* Segments below this number are needed by nobody. Locked. */
static uint64_t first_needed(struct journal *j)
{
	uint64_t first = j->readers ? UINT64_MAX : 0;

	for (struct journal_reader *r = j->readers; r; r = r->next) {
		uint64_t n = needs(r, j->oldest);

		if (n < first)
			first = n;
	}
	return first;
}

/* Takes the oldest segment out of the list. Locked. */
static struct segment *take_oldest(struct journal *j)
{
	struct segment *s = j->oldest;

	j->oldest = s->next;
	s->next = j->ghosts;
	j->ghosts = s;
	atomic_store_explicit(&s->gone, true, memory_order_release);
	return s;
}

/* A reader has values of a removed segment only between what it passed and where it is. */
static bool is_used(struct journal *j, const struct segment *s)
{
	if (s->users)
		return true;
	for (struct journal_reader *r = j->readers; r; r = r->next)
		if (r->passed.segment <= s->number && s->number <= r->in_segment)
			return true;
	return false;
}

static void bury(struct journal *j)
{
	struct segment **at, *dead = NULL;

	pthread_mutex_lock(&j->lock);
	for (at = &j->ghosts; *at;) {
		struct segment *s = *at;

		if (is_used(j, s)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		s->next = dead;
		dead = s;
	}
	pthread_mutex_unlock(&j->lock);
	while (dead) {
		struct segment *next = dead->next;

		journal_unmap(dead);
		dead = next;
	}
}

static void remove_file(struct journal *j, uint64_t number, size_t size)
{
	journal_unlink(j, number);
	pthread_mutex_lock(&j->lock);
	j->file_bytes -= size;
	pthread_mutex_unlock(&j->lock);
}

/* Removes what all consumers have passed. */
static void reap(struct journal *j)
{
	uint64_t below;
	bool any;

	pthread_mutex_lock(&j->lock);
	below = first_needed(j);
	any = j->oldest && j->oldest != j->current && j->oldest->number < below;
	pthread_mutex_unlock(&j->lock);
	if (any && (!j->conf.settle || j->conf.settle(j->conf.arg)))
		for (;;) {
			struct segment *s;
			uint64_t number;
			size_t size;

			pthread_mutex_lock(&j->lock);
			if (!j->oldest || j->oldest == j->current || j->oldest->number >= below) {
				pthread_mutex_unlock(&j->lock);
				break;
			}
			s = take_oldest(j);
			number = s->number;
			size = s->size;
			pthread_mutex_unlock(&j->lock);
			remove_file(j, number, size);
		}
	bury(j);
}

/* Removes the oldest segment though somebody may need it. False: there is none but the current one. */
static bool drop_oldest(struct journal *j, const char *why)
{
	struct segment *s;
	uint64_t number;
	size_t size;

	pthread_mutex_lock(&j->lock);
	if (!j->oldest || j->oldest == j->current) {
		pthread_mutex_unlock(&j->lock);
		return false;
	}
	s = take_oldest(j);
	number = s->number;
	size = s->size;
	j->dropped_to = number;
	j->status.dropped_segments++;
	pthread_mutex_unlock(&j->lock);
	remove_file(j, number, size);
	journal_say(j, CH_WARN, "%s: segment %" PRIu64 " of the journal in %s, the oldest, was dropped for new rows (on_full = drop_oldest)",
		    why, number, j->conf.dir);
	bury(j);
	return true;
}

/* ---- the next segment ---- */

/* Room for one more below max_bytes, or made so. */
static bool has_room(struct journal *j)
{
	for (;;) {
		bool room;

		pthread_mutex_lock(&j->lock);
		room = j->file_bytes + j->segment_bytes <= (uint64_t)j->conf.max_bytes;
		pthread_mutex_unlock(&j->lock);
		if (room)
			return true;
		if (j->conf.on_full != JOURNAL_DROP_OLDEST || !drop_oldest(j, "max_bytes is reached"))
			return false;
	}
}

static void failed(struct journal *j, int error)
{
	bool no_room = error == ENOSPC || error == EDQUOT, before;

	pthread_mutex_lock(&j->lock);
	before = no_room ? j->no_room : j->make_broken;
	if (no_room)
		j->no_room = true;
	else
		j->make_broken = true;
	j->make_again = journal_now() + AGAIN_US;
	journal_note(j, "a segment of %zu bytes cannot be made in %s: %s", j->segment_bytes, j->conf.dir, strerror(error));
	pthread_mutex_unlock(&j->lock);
	if (!before)
		journal_say(j, CH_ERR, "a segment of %zu bytes for the journal cannot be made in %s: %s; it is tried again each second",
			    j->segment_bytes, j->conf.dir, strerror(error));
}

static void taken(struct journal *j, struct segment *s)
{
	bool before;

	pthread_mutex_lock(&j->lock);
	before = j->no_room || j->make_broken;
	j->no_room = j->make_broken = false;
	j->make_again = 0;
	j->spare = s;
	j->next_number++;
	j->file_bytes += s->size;
	if (!j->current)
		journal_roll(j);
	if (j->sync_broken) { /* the sync thread may need it */
		j->sync_asked = true;
		pthread_cond_signal(&j->sync);
	}
	pthread_mutex_unlock(&j->lock);
	if (before)
		journal_say(j, CH_INFO, "the journal in %s goes on: a segment could be made", j->conf.dir);
}

/* busy: rows come, so it may be in use soon; else touch_spare makes its pages ready when they do. False: it could not be made. */
static bool prepare(struct journal *j, bool busy)
{
	struct segment *s;
	uint64_t number;
	bool wanted, soon;

	pthread_mutex_lock(&j->lock);
	wanted = !j->spare && journal_now() >= j->make_again;
	number = j->next_number;
	soon = busy || !j->current;
	pthread_mutex_unlock(&j->lock);
	if (!wanted || !has_room(j))
		return true;
	while (!(s = journal_make(j, number, j->segment_bytes))) {
		int error = errno;

		failed(j, error);
		if ((error != ENOSPC && error != EDQUOT) || j->conf.on_full != JOURNAL_DROP_OLDEST || !drop_oldest(j, "the disk is full"))
			return false;
	}
	if (soon) {
		s->touched = first_pages(j);
		fault_in(j, s, 0, s->touched);
	}
	taken(j, s);
	return true;
}

bool journal_step_ahead(struct journal *j)
{
	bool busy = touch(j);

	reap(j);
	return prepare(j, busy);
}

void journal_run_ahead(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	while (!j->stop) {
		bool busy, good;

		j->ahead_asked = false;
		pthread_mutex_unlock(&j->lock);
		busy = touch(j);
		reap(j);
		good = prepare(j, busy);
		pthread_mutex_lock(&j->lock);
		if (j->stop)
			break;
		if (!good)
			j->ahead_asked = true; /* nobody's signal ends this pause: there is nothing to be done before it is over */
		if (!good || !j->ahead_asked)
			journal_wait(j, &j->ahead, j->no_room || j->make_broken ? AGAIN_US : busy ? ACTIVE_US : IDLE_US);
	}
	pthread_mutex_unlock(&j->lock);
}
