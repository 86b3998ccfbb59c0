/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.h - the keys that this process knows itself (the config's, the keys file's) and the judgement over what a client shows.
 *
 * A table is made once and never changes. Whatever is shown is hashed, whatever its form; two buckets of four places are compared in full,
 * and what was found or not is judged by arithmetic: a key that is unknown, malformed, expired, disabled or right, if it is as long as the
 * other, takes the same instructions.
 *
 * Pure: no host is called, any thread, so that a program without a daemon may link it (with libchimera-kit.a and libcrypto).
 */
#ifndef AUTH_VERIFY_H
#define AUTH_VERIFY_H

#include <chimera/keys.h>
#include <chimera/kit/hash.h>

enum auth_outcome { AUTH_GOOD = 0, AUTH_UNKNOWN, AUTH_DISABLED, AUTH_EXPIRED };

struct auth_entry {
	unsigned char sha256[CH_SHA256];
	struct ch_key key;                /* texts: whoever makes the table keeps them as long as it */
};

struct auth_table;

/*
 * A table of those n entries, which are copied; n 0: one that knows nobody. Of two with one hash the first counts. NULL: no memory. The
 * texts of the keys stay the caller's, unless `texts` (from malloc, may be NULL) holds them: that is freed with the table.
 */
struct auth_table *auth_table_new(const struct auth_entry *v, size_t n, void *texts);
/* One holder more; one less, the last one frees it. [any] */
struct auth_table *auth_table_hold(struct auth_table *);
void auth_table_put(struct auth_table *);
size_t auth_table_count(const struct auth_table *);

/* The key with that hash as it stands there, not judged; NULL: none. The same instructions for either. */
const struct ch_key *auth_find(const struct auth_table *, const unsigned char sha256[CH_SHA256]);

/*
 * What is known of a key that was shown at that time (microseconds since the epoch). Returns enum auth_outcome and fills sha256. *key is
 * never NULL; it is to be trusted with AUTH_GOOD alone.
 */
int auth_verify(const struct auth_table *, struct ch_str shown, int64_t now, unsigned char sha256[CH_SHA256], const struct ch_key **key);
/* The judgement alone, of a key that came from elsewhere. */
int auth_judge(const struct ch_key *, int64_t now);

#endif
