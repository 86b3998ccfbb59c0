/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.c - a refused batch becomes several: runs of good rows between dead ones, or two halves. Each has an id of its own, because it is
 * another batch for the sink; all are fixed in the checkpoint at once, so that a crash between them changes nothing.
 *
 * A batch that is halved to the end has at most 17 pieces beside the one that is tried. So a cut leaves room for that.
 */
#include <chimera/kit/uuid.h>

#include "shipper.h"

#define PIECES_MAX 40

static void add(struct checkpoint_data *to, const struct journal_pos *end, uint64_t rows, uint32_t flags)
{
	struct checkpoint_batch *b = &to->batches[to->nbatches++];

	*b = (struct checkpoint_batch){ .end = *end, .rows = rows, .flags = flags };
	ch_uuid7(b->id, ch_wall(), ch_random(), ch_random());
}

/* Where the i-th row of the batch under way ends. */
static const struct journal_pos *end_of(const struct shipper *s, size_t i)
{
	return &s->rows.next[s->rows.first + i];
}

static void begin(const struct shipper *s, struct checkpoint_data *to)
{
	memset(to, 0, sizeof(*to));
	to->passed = s->data.passed;
}

static void add_others(const struct shipper *s, struct checkpoint_data *to)
{
	for (uint32_t i = 1; i < s->data.nbatches; i++)
		to->batches[to->nbatches++] = s->data.batches[i];
}

size_t shipper_cut(const struct shipper *s, const struct ch_table *refused, struct checkpoint_data *to)
{
	const struct checkpoint_batch *b = &s->data.batches[0];
	size_t n = rows_before(&s->rows, &b->end), at = 0, named = 0;
	uint32_t others = s->data.nbatches - 1;

	begin(s, to);
	while (named < refused->n && (!named || to->nbatches + others + 3 <= PIECES_MAX)) {
		const struct ch_sink_refusal *r =
			(const void *)((const char *)refused->rows + named * refused->row_size);

		if (r->row < at || r->row >= n)
			break; /* not ascending, or not of the batch: a bug of the sink */
		if (r->row > at)
			add(to, end_of(s, r->row - 1), r->row - at, 0);
		if (to->nbatches && to->batches[to->nbatches - 1].flags & SHIPPER_DEAD) {
			to->batches[to->nbatches - 1].end = *end_of(s, r->row);
			to->batches[to->nbatches - 1].rows++;
		} else {
			add(to, end_of(s, r->row), 1, SHIPPER_DEAD);
		}
		at = r->row + 1;
		named++;
	}
	if (at < n)
		add(to, &b->end, n - at, 0);
	else if (to->nbatches)
		to->batches[to->nbatches - 1].end = b->end;
	add_others(s, to);
	return named;
}

void shipper_halve(const struct shipper *s, struct checkpoint_data *to)
{
	const struct checkpoint_batch *b = &s->data.batches[0];
	size_t n = rows_before(&s->rows, &b->end);

	begin(s, to);
	add(to, end_of(s, n / 2 - 1), n / 2, 0);
	add(to, &b->end, n - n / 2, 0);
	add_others(s, to);
}
