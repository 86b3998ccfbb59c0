/* SPDX-License-Identifier: MIT */
/*
 * migrate_drift.c - how a layout differs from the one that is expected. Both are lines as migrate_describe.c has them; nothing is known of
 * SQL here but where the names stand. See migrate_parts.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate_parts.h"

struct name { const char *p; size_t n; };

static struct name word(const char *line, unsigned which)
{
	while (which--) {
		line += strcspn(line, " ");
		line += *line == ' ';
	}
	return (struct name){ line, strcspn(line, " ") };
}

static bool is(struct name w, const char *text)
{
	return w.n == strlen(text) && !memcmp(w.p, text, w.n);
}

static bool same(struct name a, struct name b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* The table that a line is about. */
static struct name table_of(const char *line)
{
	struct name second = word(line, 1);
	const char *dot;

	if (is(word(line, 2), "on"))
		return word(line, 3);
	if (is(word(line, 0), "column") && (dot = memchr(second.p, '.', second.n)))
		second.n = (size_t)(dot - second.p);
	return second;
}

/* The part of a line that names its object: two words, or all where a table has several of that kind without names. */
static struct name object_of(const char *line)
{
	struct name second = word(line, 1);

	if (is(word(line, 0), "unique") || is(word(line, 0), "reference"))
		return (struct name){ line, strlen(line) };
	return (struct name){ line, (size_t)(second.p - line) + second.n };
}

static const char *find_object(const struct migrate_lines *l, struct name object)
{
	for (size_t i = 0; i < l->n; i++)
		if (same(object_of(l->v[i]), object))
			return l->v[i];
	return NULL;
}

static bool has_table(const struct migrate_lines *l, struct name table)
{
	for (size_t i = 0; i < l->n; i++)
		if (is(word(l->v[i], 0), "table") && same(word(l->v[i], 1), table))
			return true;
	return false;
}

static bool tell(struct migrate_lines *out, const char *how, struct name object, const char *expected, const char *found)
{
	char *text = NULL;
	bool ok;

	if (expected && found) {
		expected += object.n;
		found += object.n;
		ok = asprintf(&text, "changed %.*s: expected \"%s\", found \"%s\"", (int)object.n, object.p, expected + (*expected == ' '),
			found + (*found == ' ')) >= 0;
	} else {
		ok = asprintf(&text, "%s %s", how, expected ? expected : found) >= 0;
	}
	ok = ok && migrate_lines_add(out, text, strlen(text));
	free(ok || text ? text : NULL);
	return ok;
}

bool migrate_schema_read(const char *p, size_t n, struct migrate_lines *out)
{
	const char *end = p + n;

	for (*out = (struct migrate_lines){ 0 }; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
		size_t len = (size_t)(stop - p);

		while (len && (p[len - 1] == '\r' || p[len - 1] == ' ' || p[len - 1] == '\t'))
			len--;
		if (len && *p != '#' && !migrate_lines_add(out, p, len)) {
			migrate_lines_free(out);
			return false;
		}
		p = nl ? nl + 1 : end;
	}
	migrate_lines_sort(out);
	return true;
}

bool migrate_compare(const struct migrate_lines *expected, const struct migrate_lines *found, struct migrate_lines *out)
{
	bool ok = true;

	*out = (struct migrate_lines){ 0 };
	for (size_t i = 0; ok && i < expected->n; i++) {
		const char *line = expected->v[i], *there = find_object(found, object_of(line));

		/* Of a table that is gone it is told once, not for each of its columns. */
		if (!there && (is(word(line, 0), "table") || has_table(found, table_of(line))))
			ok = tell(out, "missing", object_of(line), line, NULL);
		else if (there && strcmp(line, there) != 0)
			ok = tell(out, "changed", object_of(line), line, there);
	}
	for (size_t i = 0; ok && i < found->n; i++) {
		const char *line = found->v[i];

		if (has_table(expected, table_of(line)) && !find_object(expected, object_of(line)))
			ok = tell(out, "extra", object_of(line), NULL, line);
	}
	if (!ok)
		migrate_lines_free(out);
	return ok;
}
