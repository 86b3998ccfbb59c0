/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/table.h"

#include <chimera/kit/json.h>

#include <stdlib.h>
#include <string.h>

/* Characters, not bytes: UTF-8's continuation bytes do not count. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

static const char *cell(const struct ctl_table *t, size_t row, size_t column)
{
	return t->rows[row][column] ? t->rows[row][column] : "";
}

void ctl_table_take(struct ctl_table *t, char *const *cells)
{
	char *(*rows)[CTL_COLUMNS] = realloc(t->rows, (t->nrows + 1) * sizeof(*rows));

	if (!rows)
		abort(); /* a tool that has no memory for a table has nothing to show */
	t->rows = rows;
	memcpy(rows[t->nrows++], cells, t->columns * sizeof(char *));
}

void ctl_table_row(struct ctl_table *t, const char *const *cells)
{
	char *copies[CTL_COLUMNS];

	for (size_t i = 0; i < t->columns; i++)
		copies[i] = cells[i] ? strdup(cells[i]) : NULL;
	ctl_table_take(t, copies);
}

static void forget(struct ctl_table *t)
{
	for (size_t r = 0; r < t->nrows; r++)
		for (size_t c = 0; c < t->columns; c++)
			free(t->rows[r][c]);
	free(t->rows);
	t->rows = NULL;
	t->nrows = 0;
}

void ctl_table_print(struct ctl_table *t, FILE *out, bool colour)
{
	size_t widest[CTL_COLUMNS] = { 0 };

	for (size_t r = 0; r < t->nrows; r++)
		for (size_t c = 0; c < t->columns; c++)
			if (width(cell(t, r, c)) > widest[c])
				widest[c] = width(cell(t, r, c));
	for (size_t r = 0; r < t->nrows; r++) {
		bool bold = colour && !r && !t->headless;
		size_t last = t->columns - 1;

		while (last && !*cell(t, r, last))
			last--; /* no blanks at the end of a line */
		fputs(bold ? "\033[1m" : "", out);
		for (size_t c = 0; c <= last; c++)
			fprintf(out, "%s%*s", cell(t, r, c), c < last ? (int)(widest[c] - width(cell(t, r, c)) + 2) : 0, "");
		fputs(bold ? "\033[0m\n" : "\n", out);
	}
	forget(t);
}

void ctl_table_json(struct ctl_table *t, FILE *out)
{
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_array(&w);
	for (size_t r = 1; r < t->nrows; r++) {
		ch_jw_object(&w);
		for (size_t c = 0; c < t->columns; c++) {
			ch_jw_key(&w, cell(t, 0, c));
			ch_jw_cstr(&w, t->rows[r][c]);
		}
		ch_jw_object_end(&w);
	}
	ch_jw_array_end(&w);
	fprintf(out, "%.*s\n", w.failed ? 4 : (int)w.len, w.failed ? "null" : w.buf);
	free(w.buf);
	forget(t);
}
