/* SPDX-License-Identifier: MIT */
/* migrate_text.c - lists of lines, and the words in which the migration engine tells. See migrate_parts.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate_parts.h"

size_t migrate_whole(const char *p, size_t n, size_t room)
{
	if (n <= room)
		return n;
	for (n = room; n && ((unsigned char)p[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

bool ch_migrate_fail(struct ch_migrate_error *error, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		error->text[0] = '\0';
		return false;
	}
	n = (int)migrate_whole(text, (size_t)n, sizeof(error->text) - 1);
	memcpy(error->text, text, (size_t)n);
	error->text[n] = '\0';
	free(text);
	return false;
}

bool migrate_no_memory(struct ch_migrate_error *error)
{
	return ch_migrate_fail(error, "there is not enough memory");
}

bool migrate_say(const struct ch_migrate_report *r, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	bool on;
	int n;

	if (!r || !r->line)
		return true;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	on = n < 0 || r->line(r->arg, text);
	if (n >= 0)
		free(text);
	return on;
}

bool migrate_lines_add(struct migrate_lines *l, const char *text, size_t n)
{
	char *copy;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		char **v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return false;
		l->v = v;
		l->cap = cap;
	}
	copy = malloc(n + 1); /* not strndup: the text need not end with a NUL, which AddressSanitizer's wants to see */
	if (!copy)
		return false;
	memcpy(copy, text, n);
	copy[n] = 0;
	l->v[l->n++] = copy;
	return true;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void migrate_lines_sort(struct migrate_lines *l)
{
	size_t kept = 0;

	if (!l->n)
		return;
	qsort(l->v, l->n, sizeof(*l->v), by_bytes);
	for (size_t i = 1; i < l->n; i++)
		if (strcmp(l->v[kept], l->v[i]))
			l->v[++kept] = l->v[i];
		else
			free(l->v[i]);
	l->n = kept + 1;
}

void migrate_lines_free(struct migrate_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct migrate_lines){ 0 };
}
