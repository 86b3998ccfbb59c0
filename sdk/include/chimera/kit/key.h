/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/key.h - new API keys and ids of the system's random bytes. Any thread, no allocation. Whoever uses ch_key_make links libcrypto.
 * Since 0.5.
 */
#ifndef CHIMERA_KIT_KEY_H
#define CHIMERA_KIT_KEY_H

#include <chimera/kit/hash.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_KEY_CHARS 46                   /* "ck_" and 256 random bits as 43 characters of base64url */
#define CH_ID_CHARS 32                    /* room for an id with its NUL */

/* The prefix (at most 9 bytes: "key_") and 128 random bits as base64url. False: the system gives no random bytes. */
bool ch_id_make(char id[CH_ID_CHARS], const char *prefix);
/* A key, a NUL behind it, its SHA-256, and an id "key_…". The same; wipe the key when it was shown. */
bool ch_key_make(char key[CH_KEY_CHARS + 1], unsigned char sha256[CH_SHA256], char id[CH_ID_CHARS]);

#ifdef __cplusplus
}
#endif
#endif
