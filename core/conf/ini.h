/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/ini.h - the lines of an INI text: sections, keys, raw values. Knows no files, no options and no plugins. Pure; any thread.
 *
 * A line is empty, a comment, "[section]" or "key = value". ';' and '#' begin a comment at the line's start or after a blank, except
 * in a quoted text: a '"' that opens the value or, behind a comma, a member of it. Line ends are LF or CR LF; a BOM at the very start
 * is skipped. A line over 64 KiB, a NUL byte, another CR and bytes that are no UTF-8 are errors of their line. Keys are what stands
 * before the first '=', less blanks.
 */
#ifndef CHI_CONF_INI_H
#define CHI_CONF_INI_H

#include <stdbool.h>

#include "core/chi.h"

#define CHI_INI_LINE_MAX 65536

/*
 * The parts of a section's name. The first ':' or '.' decides: "plugin", "plugin:id", "plugin.row", "plugin:id.row" (the row begins at
 * the first '.' behind the ':'). A row's name is verbatim. id.p, row.p NULL: not there.
 */
struct chi_ini_name { struct ch_str plugin, id, row; };
/* Splits the text between the brackets. False: *why is a sentence (static) that goes on after the name. */
bool chi_ini_name(struct ch_str text, struct chi_ini_name *out, const char **why);
/* Is this a name that an instance may have: 1 to 64 of A-Z a-z 0-9 _ -? */
bool chi_ini_is_id(const char *s, size_t n);
/* Are these bytes UTF-8 (RFC 3629)? */
bool chi_ini_is_utf8(const char *s, size_t n);

/* What a text holds, in its order. Texts are slices of the text given; `raw` is trimmed and without its comment, quotes are kept. */
struct chi_ini_ops {
	void (*section)(void *arg, int line, const struct chi_ini_name *name);
	void (*key)(void *arg, int line, struct ch_str key, struct ch_str raw); /* in the section told last */
	void (*problem)(void *arg, int line, const char *sentence); /* the line is skipped; behind a wrong section line its keys too */
};
void chi_ini_parse(const char *text, size_t n, const struct chi_ini_ops *ops, void *arg);

#endif
