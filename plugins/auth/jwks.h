/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwks.h - a set of public keys (RFC 7517) and signatures held against it. A set is read once and never changes: who holds one counts as a
 * reader, on any thread.
 */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include <openssl/types.h>

#include "jwt_read.h"

#define JWKS_MAX 262144                   /* longest document, bytes */
#define JWKS_KEYS 100                     /* most keys that are read of one */

struct jwks;

/*
 * Reads a document; algs: those of enum jwt_alg that count. A key that cannot be used (another kind, a private or weak one, for encryption) is
 * left out, as RFC 7517 has it; without one that can, it is a bad document: NULL. why says in a sentence what was bad, or what was left out;
 * "" if nothing was.
 */
struct jwks *jwks_read(const char *p, size_t n, int algs, char *why, size_t cap);
/* One holder more; NULL gives NULL. And one less: the last one frees it. */
struct jwks *jwks_hold(struct jwks *);
void jwks_let(struct jwks *);
/* Were they read from the same bytes, and the same keys taken? */
bool jwks_same(const struct jwks *, const struct jwks *);
size_t jwks_count(const struct jwks *);

enum jwks_rc { JWKS_GOOD = 0, JWKS_UNKNOWN_KID, JWKS_BAD };
/* Is the token signed by a key of the set? *why: the reason if not. The kid chooses; without one there must be one key that fits alg. */
int jwks_verify(const struct jwks *, const struct jwt *, const char **why);

/* ---- one key: jwks_key.c ---- */

struct jwks_numbers {                     /* of a JWK, base64url; which of them is told by the kind */
	int alg;                          /* RS256: n and e; ES256: x and y; EdDSA: x */
	struct ch_str n, e, x, y;
};
/* NULL: it is no key of that kind; *why is a sentence. */
EVP_PKEY *jwks_key_read(const struct jwks_numbers *, const char **why);
/* Is it the key's signature of those bytes? alg is the key's. */
bool jwks_key_verify(EVP_PKEY *, int alg, struct ch_str said, const unsigned char *signature, size_t n);

#endif
