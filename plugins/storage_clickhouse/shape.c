/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c - see shape.h. */
#include <stdio.h>

#include "shape.h"

static const char *const types[] = { [CH_V_INT] = "Int64", [CH_V_REAL] = "Float64", [CH_V_BOOL] = "UInt8", [CH_V_TEXT] = "String",
	[CH_V_BLOB] = "String", [CH_V_TIME] = "Int64", [CH_V_UUID] = "UUID" };

static bool is(struct ch_str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

/* Takes "outer(" … ")" away; false: it is not there. */
static bool unwrap(struct ch_str *s, const char *outer)
{
	size_t n = strlen(outer);

	if (s->n < n + 2 || memcmp(s->p, outer, n) || s->p[n] != '(' || s->p[s->n - 1] != ')')
		return false;
	s->p += n + 1;
	s->n -= n + 2;
	return true;
}

/* Do bytes of that type fit? A dictionary (LowCardinality) and newer servers' Bool look the same in RowBinary. */
static bool fits(struct ch_str type, int want, bool *nullable)
{
	unwrap(&type, "LowCardinality");
	*nullable = unwrap(&type, "Nullable");
	return is(type, types[want]) || (want == CH_V_BOOL && is(type, "Bool"));
}

/* The type of a column, in lines "name TAB type"; n 0: there is none of that name. */
static struct ch_str type_of(const char *text, size_t n, const char *name)
{
	const char *end = text + n;
	size_t len = strlen(name);

	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));
		size_t line = (size_t)((eol ? eol : end) - text);

		if (line > len && text[len] == '\t' && !memcmp(text, name, len))
			return (struct ch_str){ text + len + 1, line - len - 1 };
		text += line + 1;
	}
	return (struct ch_str){ NULL, 0 };
}

/* One column; false: why[] says what is wrong. */
static bool column(const struct ch_relation *r, const char *name, int type, unsigned flags, struct ch_str has, bool *nullable, char *why,
	size_t size)
{
	if (!has.n) {
		snprintf(why, size, "The table %s has no column %s: run `chimeractl migrate up`.", r->name, name);
		return false;
	}
	if (!fits(has, type, nullable)) {
		snprintf(why, size, "The column %s of the table %s is %.*s, it should be %s: see `chimeractl schema status`.", name,
			r->name, (int)(has.n < 80 ? has.n : 80), has.p, types[type]);
		return false;
	}
	if ((flags & CH_COLUMN_NULL) && !*nullable) {
		snprintf(why, size, "The column %s of the table %s is %.*s and takes no nulls, it should be Nullable(%s): see "
			"`chimeractl schema status`.", name, r->name, (int)(has.n < 80 ? has.n : 80), has.p, types[type]);
		return false;
	}
	return true;
}

bool click_shape_read(const struct ch_relation *r, const char *text, size_t n, struct click_shape *out, char *why, size_t size)
{
	bool batch;

	memset(out, 0, sizeof(*out));
	if (r->columns.n > CLICK_COLUMNS_MAX) {
		snprintf(why, size, "The table %s has more than %d columns.", r->name, CLICK_COLUMNS_MAX);
		return false;
	}
	if (!type_of(text, n, "row_id").n) {
		snprintf(why, size, "There is no table %s in the database: run `chimeractl migrate up`, or set migrate = auto.", r->name);
		return false;
	}
	if (!column(r, "batch_id", CH_V_UUID, 0, type_of(text, n, "batch_id"), &batch, why, size))
		return false;
	if (batch) {
		snprintf(why, size, "The column batch_id of the table %s may be null, it must not: see `chimeractl schema status`.",
			r->name);
		return false;
	}
	for (size_t i = 0; i < r->columns.n; i++) {
		const struct ch_column *c = ch_column_at(r, i);

		if (!column(r, c->name, c->type, c->flags, type_of(text, n, c->name), &out->nullable[i], why, size))
			return false;
	}
	out->token = type_of(text, n, "@insert_deduplication_token").n;
	out->partitions = type_of(text, n, "@max_partitions_per_insert_block").n;
	out->async = type_of(text, n, "@async_insert").n;
	return true;
}
