/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - rows that a thread has read and a loop will give: one buffer, each row a head, its values and their bytes. Text is an offset
 * until the row is taken out, since the buffer moves while it grows.
 */
#include <stdlib.h>

#include "sqlite.h"

struct head { size_t size, statement, columns; }; /* size: of the row with its head */

static bool grow(struct sq_rows *r, size_t more)
{
	size_t cap = r->cap ? r->cap : 1024;
	char *p;

	while (cap - r->n < more)
		cap *= 2;
	if (cap == r->cap)
		return true;
	p = realloc(r->p, cap);
	if (!p)
		return false;
	r->p = p;
	r->cap = cap;
	return true;
}

bool sq_rows_add(struct sq_rows *r, size_t statement, sqlite3_stmt *st, int columns)
{
	struct head h = { 0, statement, (size_t)columns };
	size_t values = r->n + sizeof(h), at = values + h.columns * sizeof(struct ch_value);

	if (!grow(r, at - r->n))
		return false;
	for (int i = 0; i < columns; i++) {
		struct ch_value v = sq_column(st, i);

		if (!v.null && (v.type == CH_V_TEXT || v.type == CH_V_BLOB)) {
			struct sq_rows behind = { r->p, at, r->cap, 0 };

			if (!grow(&behind, v.u.s.n + sizeof(max_align_t)))
				return false; /* r is as it was: a realloc that fails moves nothing */
			r->p = behind.p;
			r->cap = behind.cap;
			memcpy(r->p + at, v.u.s.p, v.u.s.n);
			v.u.s.p = (const char *)at;
			at += v.u.s.n;
		}
		memcpy(r->p + values + (size_t)i * sizeof(v), &v, sizeof(v));
	}
	at = (at + 7) & ~(size_t)7;
	if (at > r->cap)
		return false; /* never: there is always room for that behind bytes */
	h.size = at - r->n;
	memcpy(r->p + r->n, &h, sizeof(h));
	r->n = at;
	return true;
}

struct ch_value *sq_rows_next(struct sq_rows *r, size_t *statement, size_t *columns)
{
	struct head h;
	struct ch_value *v;

	if (r->at == r->n)
		return NULL;
	memcpy(&h, r->p + r->at, sizeof(h));
	v = (struct ch_value *)(void *)(r->p + r->at + sizeof(h));
	r->at += h.size;
	*statement = h.statement;
	*columns = h.columns;
	for (size_t i = 0; i < h.columns; i++)
		if (!v[i].null && (v[i].type == CH_V_TEXT || v[i].type == CH_V_BLOB))
			v[i].u.s.p = r->p + (size_t)v[i].u.s.p;
	return v;
}
