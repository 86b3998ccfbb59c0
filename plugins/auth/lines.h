/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - the lines of a keys file: [name], key = value, comments; the grammar of chimera.ini without ${…}, @file and include. Pure, no
 * allocation.
 */
#ifndef AUTH_LINES_H
#define AUTH_LINES_H

#include <sys/types.h>

#include <chimera/plugin.h>

enum auth_line_kind { AUTH_L_NOTHING, AUTH_L_SECTION, AUTH_L_KEY, AUTH_L_WRONG };

struct auth_line {
	enum auth_line_kind kind;
	unsigned number;                  /* from 1 */
	size_t at, end;                   /* bytes [at, end) of the text, its line end among them */
	struct ch_str name;               /* of the section, of the key */
	struct ch_str value;              /* of a key, as written: with its quotes, without a comment behind it */
	const char *error;                /* WRONG: what is */
};

/* The line behind *l, which is all zero before the first one. False: that was the last. */
bool auth_line_next(const char *text, size_t n, struct auth_line *l);
/* A value as it is meant, into out, which has value.n + 1 bytes; its length. -1: the quotes are wrong. */
ssize_t auth_line_value(struct ch_str value, char *out);
/* The same back: a text as a value, quoted where need be; into out, which has 2 n + 3 bytes. */
void auth_line_quote(const char *text, char *out);

#endif
