/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/report.h - the problems that a load (or the wiring, or a plugin's check) found, all of them at once.
 *
 * Not thread safe. Every text is copied; control characters are written as \xNN, so that no config can draw on a terminal or split a
 * log line.
 */
#ifndef CHI_CONF_REPORT_H
#define CHI_CONF_REPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum chi_report_level { CHI_R_ERROR = 0, CHI_R_WARNING, CHI_R_NOTE };

struct chi_report;
struct chi_problem {
	int level;                        /* enum chi_report_level */
	const char *file;                 /* or "environment NAME", "command line"; NULL: the whole */
	int line;                         /* 0: none */
	const char *section;              /* without brackets; NULL: none */
	const char *key;                  /* NULL: none */
	const char *value;                /* what was found, "***" for a secret; NULL: not worth showing */
	const char *text;                 /* the sentence */
	struct chi_problem *next;
};

/* An empty report, or NULL without memory; every function takes NULL for a report that nobody keeps (it counts nothing). */
struct chi_report *chi_report_new(void);
void chi_report_free(struct chi_report *r);

/* One sentence about a place in a file (NULL, 0: none). */
void chi_report_add(struct chi_report *r, int level, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* The same about a key. The sentence goes on after "[section] key = value: ". */
void chi_report_key(struct chi_report *r, int level, const char *file, int line, const char *section, const char *key, const char *value,
		    const char *fmt, ...) __attribute__((format(printf, 8, 9)));
void chi_report_vkey(struct chi_report *r, int level, const char *file, int line, const char *section, const char *key, const char *value,
		     const char *fmt, va_list ap);

/* How many there are, also of those that were not kept (more than 500, or no memory). */
size_t chi_report_errors(const struct chi_report *r);
size_t chi_report_warnings(const struct chi_report *r);
/* In the order found: for (p = chi_report_first(r); p; p = p->next). The report owns them. */
const struct chi_problem *chi_report_first(const struct chi_report *r);
/* "error" | "warning" | "note". */
const char *chi_report_level_name(int level);
/* Writes one problem as "file:line: error: [section] key = value: sentence", cut at cap, without a newline; returns as snprintf does. */
int chi_report_format(const struct chi_problem *p, char *buf, size_t cap);
/* All of them, one a line; json: one array of objects with level, file, line, section, key, value, message. */
void chi_report_print(const struct chi_report *r, FILE *out, bool json);

#endif
