/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - the problems that a load found. */

#include <stdlib.h>
#include <string.h>

#include <chimera/kit/json.h>

#include "core/conf/report.h"

#define KEPT 500       /* a hostile file may hold a problem a line: the rest is counted */
#define SHOWN_VALUE 120

struct chi_report {
	struct chi_problem *first, **last;
	size_t kept, count[3];
};

struct chi_report *chi_report_new(void)
{
	struct chi_report *r = calloc(1, sizeof(*r));

	if (r)
		r->last = &r->first;
	return r;
}

void chi_report_free(struct chi_report *r)
{
	struct chi_problem *p, *next;

	for (p = r ? r->first : NULL; p; p = next) {
		next = p->next;
		free(p);
	}
	free(r);
}

/* The bytes that `clean` writes for s, at most `max` of s; "…" stands for the rest. */
static size_t clean(char *out, const char *s, size_t max)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0, i;

	for (i = 0; s[i]; i++) {
		unsigned char c = (unsigned char)s[i];

		if (i >= max && (c & 0xC0) != 0x80) { /* never inside of a character */
			memcpy(out + n, "…", 3);
			n += 3;
			break;
		}
		if (c < 0x20 || c == 0x7F) {
			memcpy(out + n, "\\x", 2);
			out[n + 2] = hex[c >> 4];
			out[n + 3] = hex[c & 15];
			n += 4;
		} else {
			out[n++] = (char)c;
		}
	}
	out[n++] = '\0';
	return n;
}

static size_t room(const char *s)
{
	return s ? 4 * strlen(s) + 4 : 0;
}

static const char *keep(char **at, const char *s, size_t max)
{
	const char *start = *at;

	if (!s)
		return NULL;
	*at += clean(*at, s, max);
	return start;
}

void chi_report_vkey(struct chi_report *r, int level, const char *file, int line, const char *section, const char *key, const char *value,
		     const char *fmt, va_list ap)
{
	struct chi_problem *p;
	char *text, *at;

	if (!r)
		return;
	r->count[level]++;
	if (r->kept >= KEPT || vasprintf(&text, fmt, ap) < 0)
		return;
	p = malloc(sizeof(*p) + room(file) + room(section) + room(key) + room(value) + room(text));
	if (p) {
		at = (char *)(p + 1);
		p->level = level;
		p->line = line;
		p->file = keep(&at, file, 4096);
		p->section = keep(&at, section, 512);
		p->key = keep(&at, key, SHOWN_VALUE);
		p->value = keep(&at, value, SHOWN_VALUE);
		p->text = keep(&at, text, 2048);
		p->next = NULL;
		*r->last = p;
		r->last = &p->next;
		r->kept++;
	}
	free(text);
}

void chi_report_key(struct chi_report *r, int level, const char *file, int line, const char *section, const char *key, const char *value,
		    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	chi_report_vkey(r, level, file, line, section, key, value, fmt, ap);
	va_end(ap);
}

void chi_report_add(struct chi_report *r, int level, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	chi_report_vkey(r, level, file, line, NULL, NULL, NULL, fmt, ap);
	va_end(ap);
}

size_t chi_report_errors(const struct chi_report *r)
{
	return r ? r->count[CHI_R_ERROR] : 0;
}

size_t chi_report_warnings(const struct chi_report *r)
{
	return r ? r->count[CHI_R_WARNING] : 0;
}

const struct chi_problem *chi_report_first(const struct chi_report *r)
{
	return r ? r->first : NULL;
}

const char *chi_report_level_name(int level)
{
	return level == CHI_R_ERROR ? "error" : level == CHI_R_WARNING ? "warning" : "note";
}

int chi_report_format(const struct chi_problem *p, char *buf, size_t cap)
{
	char line[16] = "";

	if (p->line)
		snprintf(line, sizeof(line), ":%d", p->line);
	return snprintf(buf, cap, "%s%s%s%s: %s%s%s%s%s%s%s%s%s", p->file ? p->file : "", line, p->file ? ": " : "",
			chi_report_level_name(p->level), p->section ? "[" : "", p->section ? p->section : "", p->section ? "]" : "",
			p->section && p->key ? " " : "", p->key ? p->key : "", p->key && p->value ? " = " : "",
			p->key && p->value ? p->value : "", p->section || p->key ? ": " : "", p->text);
}

static void print_json(const struct chi_report *r, FILE *out)
{
	const struct chi_problem *p;
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_array(&w);
	for (p = chi_report_first(r); p; p = p->next) {
		ch_jw_object(&w);
		ch_jw_key(&w, "level");
		ch_jw_cstr(&w, chi_report_level_name(p->level));
		ch_jw_key(&w, "file");
		ch_jw_cstr(&w, p->file);
		ch_jw_key(&w, "line");
		ch_jw_int(&w, p->line);
		ch_jw_key(&w, "section");
		ch_jw_cstr(&w, p->section);
		ch_jw_key(&w, "key");
		ch_jw_cstr(&w, p->key);
		ch_jw_key(&w, "value");
		ch_jw_cstr(&w, p->value);
		ch_jw_key(&w, "message");
		ch_jw_cstr(&w, p->text);
		ch_jw_object_end(&w);
	}
	ch_jw_array_end(&w);
	if (!w.failed) {
		fwrite(w.buf, 1, w.len, out);
		fputc('\n', out);
	}
	free(w.buf);
}

void chi_report_print(const struct chi_report *r, FILE *out, bool json)
{
	const struct chi_problem *p;
	size_t all;
	char line[8192];

	if (json) {
		print_json(r, out);
		return;
	}
	for (p = chi_report_first(r); p; p = p->next) {
		chi_report_format(p, line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
	all = r ? r->count[0] + r->count[1] + r->count[2] : 0;
	if (r && all > r->kept)
		fprintf(out, "%zu further problems are not shown: correct these first\n", all - r->kept);
}
