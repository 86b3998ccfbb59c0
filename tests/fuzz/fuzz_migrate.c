/* SPDX-License-Identifier: MIT */
/*
 * Files of migrations: whatever the bytes, statements come in order, between them is nothing but space, comments and semicolons, each
 * has the line where it stands, and each taken alone is the same one statement again. As a layout, the same bytes never differ from
 * themselves. The first byte chooses the engine.
 */
#include "fuzz.h"
#include "sdk/kit/migrate_parts.h"

static const char *const engines[] = { "sqlite", "postgresql", "clickhouse" };

static unsigned line_at(const char *p, const char *at)
{
	unsigned line = 1;

	while (p < at)
		line += *p++ == '\n';
	return line;
}

/* Nothing is lost: what is between two statements would be none by itself. */
static void check_gap(const char *engine, const char *p, size_t n)
{
	char *copy = fuzz_copy(p, n);
	struct migrate_statement st;
	struct migrate_split s;
	const char *what;

	migrate_split_init(&s, engine, copy, n);
	FUZZ_CHECK(migrate_split_next(&s, &st, &what) == 0);
	free(copy);
}

static void check_alone(const char *engine, const struct migrate_statement *st)
{
	char *copy = fuzz_copy(st->p, st->n);
	struct migrate_statement again;
	struct migrate_split s;
	const char *what;

	FUZZ_CHECK(migrate_statement_head(st) >= 0 && (size_t)migrate_statement_head(st) <= st->n);
	migrate_split_init(&s, engine, copy, st->n);
	FUZZ_CHECK(migrate_split_next(&s, &again, &what) == 1);
	FUZZ_CHECK(again.p == copy && again.n == st->n && again.line == 1);
	FUZZ_CHECK(migrate_statement_transacts(st) == migrate_statement_transacts(&again));
	FUZZ_CHECK(migrate_split_next(&s, &again, &what) == 0);
	free(copy);
}

static void check_split(const char *engine, const char *p, size_t n)
{
	const char *from = p, *what = NULL;
	struct migrate_statement st;
	struct migrate_split s;
	int rc;

	migrate_split_init(&s, engine, p, n);
	while ((rc = migrate_split_next(&s, &st, &what)) > 0) {
		FUZZ_CHECK(st.n && st.p >= from && st.p + st.n <= p + n);
		FUZZ_CHECK(st.line == line_at(p, st.p));
		check_gap(engine, from, (size_t)(st.p - from));
		if (st.n < 3 || memcmp(st.p, "\xef\xbb\xbf", 3) != 0) /* a mark that begins a file is no part of it, elsewhere it is */
			check_alone(engine, &st);
		from = st.p + st.n;
	}
	if (rc < 0)
		FUZZ_CHECK(what && s.line <= line_at(p, p + n));
	else
		check_gap(engine, from, (size_t)(p + n - from));
}

static void check_layout(const char *p, size_t n)
{
	struct migrate_lines a, b, drift;

	FUZZ_CHECK(migrate_schema_read(p, n, &a) && migrate_schema_read(p, n, &b));
	FUZZ_CHECK(a.n == b.n);
	for (size_t i = 1; i < a.n; i++)
		FUZZ_CHECK(strcmp(a.v[i - 1], a.v[i]) < 0);
	migrate_lines_free(&b);
	b = (struct migrate_lines){ 0 };
	FUZZ_CHECK(migrate_compare(&b, &a, &drift) && drift.n == 0); /* of no table is nothing expected */
	FUZZ_CHECK(migrate_compare(&a, &b, &drift) && drift.n <= a.n);
	migrate_lines_free(&drift);
	migrate_lines_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = fuzz_copy(data + 1, size - 1);
	check_split(engines[data[0] % 3], text, size - 1);
	check_layout(text, size - 1);
	free(text);
	return 0;
}
