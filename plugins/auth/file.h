/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - the keys file and the config's own key: read at the start, and again by a thread when the file has changed; changed by commands.
 * What is wrong with a file leaves the keys of before in force.
 */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include "keys_file.h"

struct auth_file;

/* [boot] In check: what is wrong with the file goes to ch_config_error. A file that is not there yet is none. */
bool auth_file_check(struct ch_self *);
/* [boot] In start: publishes the first table, begins the thread if there is a file. False: it has said why. Sets the state's `file`. */
bool auth_file_start(struct ch_self *);
/* [boot] The thread need look no more; both take NULL. free: waits for its end. */
void auth_file_end(struct auth_file *);
void auth_file_free(struct auth_file *);
/*
 * [may block] The file is another one, as a whole: reads it now, if it is not as it was when it was read. NULL: does nothing.
 */
void auth_file_load(struct auth_file *);
/* [any] One look: reads the file if it is another one than at the last look and the one before. For tests and the thread. */
void auth_file_look(struct auth_file *);

/*
 * [may block] The file's text, malloc'd, with a NUL behind it; "" and *there false where there is no file. NULL: why says what is in the
 * way (at most 511 bytes).
 */
char *auth_file_text(const char *path, size_t *n, bool *there, char why[512]);

/*
 * [may block] Changes the file: under its lock, so that nobody else changes it meanwhile, calls make with its text, and puts what that gives
 * in its place at once (a new file beside it, then a rename). make: the new text, malloc'd, its length in *n; NULL: why says why not.
 * False: nothing has changed, why says why.
 */
bool auth_file_change(const char *path, char *(*make)(void *arg, const char *text, size_t *n, char why[512]), void *arg, char why[512]);

#endif
