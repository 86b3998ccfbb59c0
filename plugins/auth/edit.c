/* SPDX-License-Identifier: Apache-2.0 */
/* edit.c - bytes are cut out of a text and put into it; its lines say where. */
#include <stdio.h>
#include <stdlib.h>

#include "edit.h"
#include "lines.h"

static bool is(struct ch_str s, const char *text)
{
	return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

/* `put` in place of bytes [at, end). */
static char *splice(const char *text, size_t *n, size_t at, size_t end, const char *put)
{
	size_t more = strlen(put), rest = *n - end;
	char *out = malloc(at + more + rest + 1);

	if (!out)
		return NULL;
	memcpy(out, text, at);
	memcpy(out + at, put, more);
	memcpy(out + at + more, text + end, rest);
	*n = at + more + rest;
	out[*n] = 0;
	return out;
}

char *auth_edit_add(const char *text, size_t *n, const struct auth_row *row)
{
	char *put = NULL, value[2 * AUTH_TEXT_MAX], *out;
	size_t size = 0;
	FILE *f = open_memstream(&put, &size);

	if (!f)
		return NULL;
	if (*n && text[*n - 1] != '\n')
		fputc('\n', f);
	fprintf(f, "%s[%s]\n", *n ? "\n" : "", row->entry.key.id);
	for (size_t i = 0; auth_field(i); i++) {
		auth_row_text(row, i, value);
		if (*value)
			fprintf(f, "%s = %s\n", auth_field(i), value);
	}
	out = fclose(f) ? NULL : splice(text, n, *n, *n, put);
	free(put);
	return out;
}

bool auth_edit_has(const char *text, size_t n, const char *id)
{
	struct auth_line l = { 0 };

	while (auth_line_next(text, n, &l))
		if (l.kind == AUTH_L_SECTION && is(l.name, id))
			return true;
	return false;
}

char *auth_edit_set(const char *text, size_t *n, const char *id, const char *key, const char *value)
{
	struct auth_line l = { 0 };
	bool inside = false;
	size_t end = *n; /* of the section's last line that says something */
	char line[2 * AUTH_TEXT_MAX + 64];

	while (auth_line_next(text, *n, &l)) {
		if (l.kind == AUTH_L_SECTION)
			inside = is(l.name, id);
		if (inside && l.kind == AUTH_L_KEY && is(l.name, key)) {
			size_t at = (size_t)(l.value.p - text);

			return splice(text, n, at, at + l.value.n, value);
		}
		if (inside && l.kind != AUTH_L_NOTHING)
			end = l.end;
	}
	snprintf(line, sizeof(line), "%s%s = %s\n", end && text[end - 1] != '\n' ? "\n" : "", key, value);
	return splice(text, n, end, end, line);
}
