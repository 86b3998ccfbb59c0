/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.c - a refused batch becomes another one, or two. Each has an id of its own, because it is another batch for the sink; all are fixed
 * in the checkpoint at once, so that a crash between them changes nothing.
 */
#include <stdlib.h>

#include <chimera/kit/uuid.h>

#include "shipper.h"

static void name(struct checkpoint_batch *b)
{
	b->flags &= ~CHECKPOINT_SENT;
	ch_uuid7(b->id, ch_wall(), ch_random(), ch_random());
}

void shipper_halve(struct shipper *s)
{
	struct checkpoint_data *d = &s->data;
	size_t n = rows_before(&s->rows, &d->batches[0].end);

	memmove(d->batches + 1, d->batches, d->nbatches++ * sizeof(d->batches[0])); /* 17 times at most: one is tried, its rest waits */
	d->batches[0].end = s->rows.next[s->rows.first + n / 2 - 1];
	d->batches[0].rows = n / 2;
	d->batches[1].rows = n - n / 2;
	name(&d->batches[0]);
	name(&d->batches[1]);
	checkpoint_save(s->checkpoint, d);
}

void shipper_leave_out(struct shipper *s)
{
	struct checkpoint_batch *b = &s->data.batches[0];

	b->flags |= SHIPPER_LESS;
	b->rows = rows_before(&s->rows, &b->end);
	name(b);
	checkpoint_save(s->checkpoint, &s->data);
}
