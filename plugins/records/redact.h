/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.h - prompts and answers before they are kept: valid UTF-8 without NUL, without what the operator's patterns find, and not longer
 * than he allows.
 *
 * The cut comes last, and the text that patterns see is REDACT_MORE bytes longer than what is kept, so that a secret which the cut would
 * halve is found while it is whole.
 *
 * Rules are made once and may be read by any thread. A room belongs to one thread.
 */
#ifndef RECORDS_REDACT_H
#define RECORDS_REDACT_H

#include <chimera/plugin.h>

#define REDACT_MORE ((size_t)4 << 10)

struct redact_rule {
	void *code;                       /* of PCRE2 */
	const char *with;                 /* the config's */
	size_t nwith;
};

struct redact_rules {
	struct redact_rule *v;
	size_t n;
};

struct redact_room; /* buffers and what PCRE2 works with */

/* NULL: good, and *code (may be NULL: only a trial) is to be freed by redact_free. Else a sentence in `why`. */
const char *redact_compile(const char *pattern, void **code, char *why, size_t cap);
void redact_free(void *code);

/* For texts of which `most` bytes are kept. NULL: no memory. */
struct redact_room *redact_room_new(size_t most);
void redact_room_free(struct redact_room *room);

/*
 * The text to keep, in the room until its next use. `json`: control characters are written as JSON's escapes, after the patterns and before
 * the cut. A rule that needs too many steps, or too much memory, takes the whole text away: its `with` stands alone then, and *failed
 * counts it.
 */
struct ch_str redact(struct redact_room *room, const struct redact_rules *rules, struct ch_str text, bool json, unsigned *failed);

#endif
