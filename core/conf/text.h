/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/text.h - from the text that stands in a file to the text that is meant, and back. No files; all results in memory of `m`.
 *
 * "…"            a value, or a member of a list, that begins with a double quote is quoted: \" \\ \n \t are its escapes, nothing
 * may follow the closing quote
 * ${VAR}         the environment's VAR; unset: an error
 * ${VAR:-text}   the same, or `text` where VAR is unset or empty; `text` ends at the first '}' and holds no ${}
 * $$             one '$'; a '$' before anything else stands for itself
 * a, b, "c, d"   members of a list: blanks around them are cut, empty ones left out, quoted ones hold commas. What an unquoted
 * ${VAR} gives is split too.
 */
#ifndef CHI_CONF_TEXT_H
#define CHI_CONF_TEXT_H

#include "core/chi.h"
#include "core/conf/mem.h"

/* The value of a variable, or NULL. env may be NULL: no environment. */
const char *chi_text_getenv(char *const *env, const char *name, size_t n);
/*
 * Functions that may fail return NULL (false) and set *why to a sentence that goes on after "key = value: " and holds nothing of
 * the value.
 */
const char *chi_text_unquote(struct chi_mem *m, const char *s, size_t n, const char **why);
const char *chi_text_expand(struct chi_mem *m, const char *s, char *const *env, const char **why);
/* Is there a ${ in it? */
bool chi_text_has_var(const char *s);
/* expand false: '$' is an ordinary character. */
bool chi_text_members(struct chi_mem *m, const char *s, bool expand, char *const *env, struct ch_list *out, const char **why);
/* Members as one text that chi_text_members (without expand) splits into the same members again. */
const char *chi_text_join(struct chi_mem *m, const struct ch_list *l);
/*
 * The text as it has to stand behind "key = " in a file. is_list: s is the result of chi_text_join; otherwise it is quoted if need be.
 * Either way '$' and a leading '@' are doubled where they would mean something.
 */
const char *chi_text_written(struct chi_mem *m, const char *s, bool is_list);

#endif
