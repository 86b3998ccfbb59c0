/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypt.h - AES-256-GCM over secrets that are kept in a database, and the keys for it.
 *
 * A sealed secret is its nonce (12 random bytes), the encrypted bytes, and the tag (16). What it belongs to is authenticated with it,
 * so one
 * that was copied to another row does not open. [any]
 */
#ifndef IDENTITY_CRYPT_H
#define IDENTITY_CRYPT_H

#include <chimera/plugin.h>

#define ID_KEY_BYTES 32
#define ID_KEY_ID 17             /* 16 hexadecimal digits and a NUL: of a hash of the key */
#define ID_SEAL_MORE (12 + 16)   /* bytes that a sealed secret has more */

/* 32 bytes as 64 hexadecimal digits or as base64 or base64url (43 characters, and '=' or not). False: they are not. */
bool id_crypt_key(struct ch_str text, unsigned char key[ID_KEY_BYTES]);

struct id_ring;
/* The keys, in memory for secrets; the first one seals. NULL: no memory, or OpenSSL cannot. */
struct id_ring *id_ring_new(const unsigned char (*keys)[ID_KEY_BYTES], size_t n);
void id_ring_free(struct id_ring *);
/* The id of the key that seals. */
const char *id_ring_first(const struct id_ring *);
bool id_ring_has(const struct id_ring *, const char *key_id);

/* To what a secret belongs. `which`: "access" or "refresh". Texts without NUL. */
struct id_belongs { const char *id, *user, *provider, *which; };

/* plain.n + ID_SEAL_MORE bytes to `out`. False: no random bytes, or OpenSSL cannot. */
bool id_seal(const struct id_ring *, const struct id_belongs *, struct ch_str plain, unsigned char *out);
/* sealed.n - ID_SEAL_MORE bytes to `out`. False: no such key, or it was changed, or it belongs elsewhere; out is wiped then. */
bool id_open(const struct id_ring *, const char *key_id, const struct id_belongs *, struct ch_str sealed, unsigned char *out);

/* The cipher alone, for tests with a standard's vectors. */
bool id_gcm(bool seal, const unsigned char key[ID_KEY_BYTES], const unsigned char nonce[12], struct ch_str aad, struct ch_str in,
	unsigned char *out, unsigned char tag[16]);

#endif
