/* SPDX-License-Identifier: MIT */
/*
 * greeting.h - the part of skeleton that knows nothing of the host.
 *
 * Keep what can be computed from plain values in files of its own: it is tested as a plain function, without a server.
 */
#ifndef SKELETON_GREETING_H
#define SKELETON_GREETING_H

#include <stdbool.h>
#include <stddef.h>

#include <chimera/kit/json.h>

#define GREETING_NAME_MAX 64

/* May the n bytes be a name? 1 to 64 letters, digits, '_' and '-'. */
bool greeting_name_ok(const char *name, size_t n);

/* Appends {"greeting":"<words>, <name>","times":<times>}. Look at w->failed afterwards. */
void greeting_write(struct ch_jw *w, const char *words, const char *name, size_t n, long long times);

#endif
