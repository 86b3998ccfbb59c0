/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "rows.h"

void rows_clear(struct rows *r)
{
	r->table = NULL;
	r->n = r->first = r->bytes = 0;
}

void rows_free(struct rows *r)
{
	free(r->values);
	free(r->next);
	memset(r, 0, sizeof(*r));
}

static bool room(void **p, size_t *cap, size_t want, size_t size)
{
	size_t more = *cap ? *cap : 64;
	void *v;

	if (want <= *cap)
		return true;
	while (more < want)
		more *= 2;
	v = realloc(*p, more * size);
	if (!v)
		return false;
	*p = v;
	*cap = more;
	return true;
}

static bool add(struct rows *r, const struct journal_row *row)
{
	size_t columns = row->table->columns.n;

	if (!room((void **)&r->values, &r->values_cap, (r->n + 1) * columns, sizeof(*r->values)) ||
	    !room((void **)&r->next, &r->next_cap, r->n + 1, sizeof(*r->next)))
		return false;
	r->table = row->table;
	memcpy(r->values + r->n * columns, row->values, columns * sizeof(*r->values));
	r->next[r->n++] = row->next;
	r->bytes += row->bytes;
	return true;
}

/* Does the row belong to what is read now? */
static bool fits(const struct rows *r, const struct rows_limit *limit, const struct journal_row *row)
{
	if (limit->until)
		return journal_pos_cmp(&row->at, limit->until) < 0;
	return !r->n || (row->table == r->table && r->n < limit->rows && r->bytes + row->bytes <= limit->bytes);
}

int rows_read(struct rows *r, struct journal_reader *reader, const struct rows_limit *limit, size_t slice)
{
	struct journal_row row;
	struct journal_pos at;

	for (size_t i = 0; i < slice; i++) {
		if (limit->until) {
			journal_tell(reader, &at);
			if (journal_pos_cmp(&at, limit->until) >= 0)
				return ROWS_DONE;
		} else if (r->n >= limit->rows || r->bytes >= limit->bytes) {
			return ROWS_DONE;
		}
		int found = journal_next(reader, &row);
		if (found == JOURNAL_NONE)
			return ROWS_DONE;
		if (found == JOURNAL_LOST) {
			r->lost[row.why] += row.rows;
			continue;
		}
		/* After a change of the journal by hand a batch may meet another table: what is of the first one goes. */
		if (!fits(r, limit, &row) || (r->n && row.table != r->table)) {
			journal_seek(reader, &row.at);
			return ROWS_DONE;
		}
		if (!add(r, &row)) {
			journal_seek(reader, &row.at);
			return ROWS_NO_MEMORY;
		}
	}
	return ROWS_MORE;
}

size_t rows_before(const struct rows *r, const struct journal_pos *pos)
{
	size_t low = r->first, high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (journal_pos_cmp(&r->next[middle], pos) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low - r->first;
}

size_t rows_take_out(struct rows *r, size_t n, bool (*gone)(void *arg, size_t i), void *arg)
{
	size_t columns = r->table ? r->table->columns.n : 0, to = r->first;

	for (size_t i = r->first; i < r->n; i++) {
		if (i - r->first < n && gone(arg, i - r->first))
			continue;
		if (to != i) {
			memcpy(r->values + to * columns, r->values + i * columns, columns * sizeof(*r->values));
			r->next[to] = r->next[i];
		}
		to++;
	}
	n = r->n - to;
	r->n = to;
	return n;
}
