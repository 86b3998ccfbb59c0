/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - a record on the heap that several requests share: it is made by one, then nobody changes it. Counted references; the bytes
 * of all of them are counted too, and bounded.
 */
#ifndef IDEM_ANSWER_H
#define IDEM_ANSWER_H

#include <stdatomic.h>

#include "record.h"

struct idem_answer {
	atomic_uint refs;
	size_t n, cap;                    /* bytes of the record, and the room for them */
	char bytes[];
};

/* The series of the gauge of all bytes held, once at start. */
void idem_answer_gauge(unsigned series);
/* One with room for cap bytes, as long as all together hold no more than max. NULL: no memory, or over it. */
struct idem_answer *idem_answer_new(size_t cap, int64_t max);
/* Appends; what was there may have moved. NULL: as above, and the old one is gone. For whoever made it, before others see it. */
struct idem_answer *idem_answer_add(struct idem_answer *a, const void *p, size_t n, int64_t max);
/* [any] */
struct idem_answer *idem_answer_ref(struct idem_answer *a);
/* [any] NULL is fine. Its shape is that of a ch_fn. */
void idem_answer_unref(void *a);
static inline struct ch_str idem_answer_text(const struct idem_answer *a) { return (struct ch_str){ a->bytes, a->n }; }

#endif
