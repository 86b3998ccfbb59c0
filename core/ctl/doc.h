/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/ctl/doc.h - reading a JSON document of a few kilobytes: a value is the slice of text that it stands in. Pure; any thread. The
 * document must be valid (ch_json_valid) and stays the caller's.
 */
#ifndef CTL_DOC_H
#define CTL_DOC_H

#include <chimera/plugin.h>

/* The value of a member of the object `doc`; n 0: there is none, or doc is no object. */
struct ch_str ctl_member(struct ch_str doc, const char *name);
/*
 * Walks the elements of an array, or the members of an object (then *key gets the name's text between its quotes; key may be NULL). *at
 * is 0 at the start. False: there are no more.
 */
bool ctl_each(struct ch_str doc, size_t *at, struct ch_str *key, struct ch_str *value);
/*
 * A value as text for people, malloc'd: strings decoded, arrays of strings joined by ", ", everything else as it stands; nothing is "".
 * Control characters become '?'. NULL without memory.
 */
char *ctl_text(struct ch_str value);
/* A number; 0 if it is none. */
double ctl_number(struct ch_str value);

#endif
