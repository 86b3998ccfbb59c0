/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - entries whose end the store could not be told, in order; each with a reference. Any thread. */
#ifndef IDEM_QUEUE_H
#define IDEM_QUEUE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct idem_entry;

struct idem_queue {                       /* an entry's `next_unwritten` is the queue's while it is in it */
	pthread_mutex_t lock;
	struct idem_entry *first, **last;
	size_t n;
};

void idem_queue_init(struct idem_queue *q);
void idem_queue_put(struct idem_queue *q, struct idem_entry *e);
/* The first one, with its reference; NULL: none. */
struct idem_entry *idem_queue_take(struct idem_queue *q);
/* The same, if it has expired by then. */
struct idem_entry *idem_queue_take_old(struct idem_queue *q, int64_t now);
size_t idem_queue_count(struct idem_queue *q);

#endif
