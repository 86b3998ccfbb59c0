/* SPDX-License-Identifier: Apache-2.0 */
/* keys_file.h - the text of a keys file: from it keys, or what is wrong with it. docs/keys.md tells it to people. Pure but for malloc. */
#ifndef AUTH_KEYS_FILE_H
#define AUTH_KEYS_FILE_H

#include "verify.h"

#define AUTH_NAME_MAX 128            /* bytes of an id and of an owner */
#define AUTH_TEXT_MAX 4096           /* of other texts */
#define AUTH_SHOWN 7                 /* characters of a key that are kept, so that people can tell keys apart */

struct auth_row { /* [name] */
	struct auth_entry entry;
	const char *prefix, *note;        /* for people; "" */
	int64_t created;                  /* microseconds since the epoch; 0: not said */
	unsigned line;                    /* of [name] */
};
struct auth_rows {
	struct auth_row *v;
	size_t n;
	char *texts;                      /* what the rows' texts lie in */
};

/* Something is wrong there: one sentence, without the file's name. */
typedef void (*auth_wrong)(void *arg, unsigned line, const char *why);

/*
 * Reads a text. False: wrong was called at least once, and *out is empty. tiers: those that there are.
 */
bool auth_rows_read(const char *text, size_t n, const struct ch_list *tiers, auth_wrong wrong, void *arg, struct auth_rows *out);
void auth_rows_free(struct auth_rows *);

/* 1 to 128 of A-Z a-z 0-9 . _ @ : / - */
bool auth_is_name(const char *s, size_t n);
/*
 * Sets the field of that name by what a file says: a key "hash", "tier", … False: why says what is wrong (at most 511 bytes). The text is
 * kept: it must live as long as the row.
 */
bool auth_row_set(struct auth_row *, const char *name, const char *text, const struct ch_list *tiers, char why[512]);
/* The i-th field's name, in the order that a file is written in; NULL past the last. */
const char *auth_field(size_t i);
/* … and its value in a row as a file has it, in out, which has 2 * AUTH_TEXT_MAX bytes; "": it says nothing that is not so anyway. */
void auth_row_text(const struct auth_row *, size_t field, char *out);

#endif
