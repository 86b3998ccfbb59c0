/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - see answer.h. */
#include <stdlib.h>

#include "answer.h"

/* The process's: a connection may hold an answer longer than its instance lives. */
static _Atomic int64_t held;
static atomic_uint gauge;

void idem_answer_gauge(unsigned series)
{
	atomic_store_explicit(&gauge, series, memory_order_relaxed);
}

static void count(int64_t n)
{
	ch_add(atomic_load_explicit(&gauge, memory_order_relaxed), (double)n);
}

/* Takes so many bytes more. False: there would be too many. */
static bool take(size_t n, int64_t max)
{
	int64_t more = (int64_t)n;

	if (atomic_fetch_add_explicit(&held, more, memory_order_relaxed) + more > max) {
		atomic_fetch_sub_explicit(&held, more, memory_order_relaxed);
		return false;
	}
	count(more);
	return true;
}

static void give(size_t n)
{
	atomic_fetch_sub_explicit(&held, (int64_t)n, memory_order_relaxed);
	count(-(int64_t)n);
}

struct idem_answer *idem_answer_new(size_t cap, int64_t max)
{
	struct idem_answer *a;

	if (!take(cap, max))
		return NULL;
	a = malloc(sizeof(*a) + cap);
	if (!a) {
		give(cap);
		return NULL;
	}
	atomic_init(&a->refs, 1);
	a->n = 0;
	a->cap = cap;
	return a;
}

/* With room for cap bytes. NULL: the same as it was stays. */
static struct idem_answer *grow(struct idem_answer *a, size_t cap, int64_t max)
{
	size_t more = cap - a->cap;
	struct idem_answer *moved;

	if (!take(more, max))
		return NULL;
	moved = realloc(a, sizeof(*a) + cap);
	if (moved)
		moved->cap = cap;
	else
		give(more);
	return moved;
}

struct idem_answer *idem_answer_add(struct idem_answer *a, const void *p, size_t n, int64_t max)
{
	if (n > a->cap - a->n) {
		struct idem_answer *moved = grow(a, n > a->cap ? a->n + n : a->cap * 2, max);

		if (!moved) {
			idem_answer_unref(a);
			return NULL;
		}
		a = moved;
	}
	if (n)
		memcpy(a->bytes + a->n, p, n);
	a->n += n;
	return a;
}

struct idem_answer *idem_answer_ref(struct idem_answer *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void idem_answer_unref(void *data)
{
	struct idem_answer *a = data;

	if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
		return;
	give(a->cap);
	free(a);
}
