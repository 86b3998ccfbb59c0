/* SPDX-License-Identifier: Apache-2.0 */
/* journal_touch.c - rows that were written long ago, brought back into memory by whoever may wait for the disk. */
#include <errno.h>
#include <sys/mman.h>

#include "journal_parts.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22              /* Linux 5.14 */
#endif
#define STEP ((size_t)256 << 10)           /* older kernels hold the lock of the whole address space while they read */

/* The oldest segment from that number on, which cannot be unmapped until release; NULL: there is none. */
static struct segment *hold(struct journal *j, uint64_t number)
{
	struct segment *s;

	pthread_mutex_lock(&j->lock);
	for (s = j->oldest; s && s->number < number; s = s->next)
		;
	if (s)
		s->users++;
	pthread_mutex_unlock(&j->lock);
	return s;
}

static void release(struct journal *j, struct segment *s)
{
	pthread_mutex_lock(&j->lock);
	s->users--;
	pthread_mutex_unlock(&j->lock);
}

/* Writers may be at it: what is read here is nothing to anybody. */
__attribute__((no_sanitize("thread"))) static void look(const unsigned char *from, size_t n, size_t page)
{
	for (size_t at = 0; at < n; at += page)
		(void)__atomic_load_n(from + at, __ATOMIC_RELAXED);
}

static void touch(struct journal *j, struct segment *s, size_t from, size_t to)
{
	for (size_t n; from < to; from += n) {
		n = to - from < STEP ? to - from : STEP;
		if (madvise(s->map + from, n, MADV_POPULATE_READ) && errno == EINVAL)
			look(s->map + from, n, j->page);
	}
}

void journal_touch(struct journal *j, const struct journal_pos *from, size_t bytes)
{
	struct segment *s = hold(j, from->segment);
	size_t at = s && s->number == from->segment ? from->offset & ~(j->page - 1) : 0;

	while (s) {
		size_t end = atomic_load(&s->end), n = end > at ? end - at : 0;
		uint64_t next = s->number + 1;

		if (n > bytes)
			n = bytes;
		touch(j, s, at, at + n);
		release(j, s);
		bytes -= n;
		at = 0;
		s = bytes ? hold(j, next) : NULL;
	}
}
