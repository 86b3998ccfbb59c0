/* SPDX-License-Identifier: Apache-2.0 */
/* body.c - see body.h. */
#include <stdlib.h>

#include <chimera/kit/value.h>
#include <zlib.h>

#include "body.h"

enum { ID = 16, LOOK_EVERY = 256 /* rows between two looks at `stop` */, LARGE = 32 << 10 };

static const struct ch_value *row_at(const struct click_body *b, size_t row)
{
	return b->batch->values + row * b->batch->table->columns.n;
}

bool click_body_is_large(const struct ch_sink_batch *b)
{
	size_t values = b->nrows * b->table->columns.n, n = values * sizeof(struct ch_value);

	for (size_t i = 0; i < values && n <= LARGE; i++)
		if (!b->values[i].null && (b->values[i].type == CH_V_TEXT || b->values[i].type == CH_V_BLOB))
			n += b->values[i].u.s.n;
	return n > LARGE;
}

/* ---- what is there already ---- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, ID);
}

static bool is_present(const struct click_body *b, const unsigned char *id)
{
	char key[ID];

	if (!b->npresent)
		return false;
	click_rb_put_uuid(key, id);
	return bsearch(key, b->present, b->npresent, ID, compare);
}

/* ---- looking, and measuring ---- */

static void refuse(struct click_body *b, size_t row, size_t column, const char *why)
{
	if (!b->bad)
		b->bad = calloc(CLICK_REFUSALS_MAX, sizeof(*b->bad));
	if (!b->bad)
		b->failed = true;
	else if (b->nbad < CLICK_REFUSALS_MAX)
		b->bad[b->nbad++] = (struct click_bad){ row, column, why };
}

/* The size of a row; one that cannot be sent is put on the list. */
static size_t measure(struct click_body *b, size_t row)
{
	const struct ch_relation *r = b->batch->table;
	const struct ch_value *v = row_at(b, row);
	size_t n = ID;

	for (size_t i = 0; i < r->columns.n; i++) {
		const struct ch_column *c = ch_column_at(r, i);
		const char *why = ch_value_fault(&v[i], c->type);

		if (!why && v[i].null && !b->shape.nullable[i])
			why = "must not be null";
		if (why) {
			refuse(b, row, i, why);
			return 0;
		}
		n += click_rb_size(&v[i], b->shape.nullable[i]);
	}
	return n;
}

/* The size of all that is to be sent. All rows are looked at, those that are there too: a batch is refused as a whole or not. */
static size_t measure_all(struct click_body *b)
{
	size_t n = 0;

	for (size_t row = 0; row < b->batch->nrows && !b->failed && b->nbad < CLICK_REFUSALS_MAX; row++) {
		size_t size = measure(b, row);

		if (row % LOOK_EVERY == 0 && atomic_load(&b->stop))
			b->failed = true;
		if (is_present(b, row_at(b, row)->u.uuid))
			continue;
		if (b->sent)
			b->sent[b->rows] = row;
		b->rows++;
		n += size;
	}
	return n;
}

/* ---- writing ---- */

static void write_all(struct click_body *b)
{
	size_t ncolumns = b->batch->table->columns.n;
	char *to = b->p;

	for (size_t i = 0; i < b->rows && !b->failed; i++) {
		const struct ch_value *v = row_at(b, b->sent ? b->sent[i] : i);

		if (i % LOOK_EVERY == 0 && atomic_load(&b->stop))
			b->failed = true;
		for (size_t k = 0; k < ncolumns; k++)
			to = click_rb_put(to, &v[k], b->shape.nullable[k]);
		to = click_rb_put_uuid(to, b->batch->batch_id);
	}
}

/* In pieces, so that `stop` is heard between them. */
static void compress_all(struct click_body *b)
{
	const uInt piece = 1 << 20;
	z_stream z = { .next_in = (Bytef *)b->p };
	size_t bound, left = b->n;
	char *out;
	int rc = Z_OK;

	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		b->failed = true;
		return;
	}
	bound = deflateBound(&z, b->n);
	out = bound <= UINT32_MAX ? malloc(bound) : NULL;
	if (!out) { /* it goes uncompressed */
		deflateEnd(&z);
		b->gzip = false;
		return;
	}
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)bound;
	while (rc == Z_OK && !atomic_load(&b->stop)) {
		z.avail_in = left < piece ? (uInt)left : piece;
		left -= z.avail_in;
		rc = deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
	}
	deflateEnd(&z);
	free(b->p);
	b->p = out;
	b->n = z.total_out;
	b->failed |= rc != Z_STREAM_END;
}

void click_body_make(struct click_body *b)
{
	if (b->npresent) {
		qsort(b->present, b->npresent, ID, compare);
		b->sent = malloc(b->batch->nrows * sizeof(*b->sent));
		if (!b->sent) {
			b->failed = true;
			return;
		}
	}
	b->n = measure_all(b);
	if (b->failed || b->nbad || !b->rows)
		return;
	b->p = malloc(b->n);
	if (!b->p) {
		b->failed = true;
		return;
	}
	write_all(b);
	if (b->gzip && !b->failed)
		compress_all(b);
}

void click_body_free(struct click_body *b)
{
	free(b->present);
	free(b->bad);
	free(b->p);
	free(b->sent);
	b->present = b->p = NULL;
	b->bad = NULL;
	b->sent = NULL;
	b->npresent = b->nbad = b->n = b->rows = 0;
}
