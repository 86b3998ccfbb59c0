/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - see queue.h. */
#include "queue.h"

#include "table.h"

void idem_queue_init(struct idem_queue *q)
{
	pthread_mutex_init(&q->lock, NULL);
	q->first = NULL;
	q->last = &q->first;
	q->n = 0;
}

void idem_queue_put(struct idem_queue *q, struct idem_entry *e)
{
	pthread_mutex_lock(&q->lock);
	e->next_unwritten = NULL;
	*q->last = e;
	q->last = &e->next_unwritten;
	q->n++;
	pthread_mutex_unlock(&q->lock);
}

struct idem_entry *idem_queue_take_old(struct idem_queue *q, int64_t now)
{
	struct idem_entry *e;

	pthread_mutex_lock(&q->lock);
	e = q->first;
	if (e && e->expires > now)
		e = NULL;
	if (e) {
		q->first = e->next_unwritten;
		if (!q->first)
			q->last = &q->first;
		q->n--;
	}
	pthread_mutex_unlock(&q->lock);
	return e;
}

struct idem_entry *idem_queue_take(struct idem_queue *q)
{
	return idem_queue_take_old(q, INT64_MAX);
}

size_t idem_queue_count(struct idem_queue *q)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = q->n;
	pthread_mutex_unlock(&q->lock);
	return n;
}
