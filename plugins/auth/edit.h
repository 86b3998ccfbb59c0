/* SPDX-License-Identifier: Apache-2.0 */
/* edit.h - changes of a keys file's text that leave all else as it is: order, comments, blanks. Pure but for malloc. */
#ifndef AUTH_EDIT_H
#define AUTH_EDIT_H

#include "keys_file.h"

/* The text with one more section at its end. *n: its length, before and after. NULL: no memory. */
char *auth_edit_add(const char *text, size_t *n, const struct auth_row *row);
/* Is there a section of that name? */
bool auth_edit_has(const char *text, size_t n, const char *id);
/* The text with another value (as lines.h quotes it) of that key in that section, which is there. The same. */
char *auth_edit_set(const char *text, size_t *n, const char *id, const char *key, const char *value);

#endif
