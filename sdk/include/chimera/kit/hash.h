/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/hash.h - SHA-256 (FIPS 180-4) and comparing what is secret. Pure functions, any thread, no allocation. Whoever uses
 * ch_sha256 links libcrypto. Since 0.5.
 */
#ifndef CHIMERA_KIT_HASH_H
#define CHIMERA_KIT_HASH_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_SHA256 32                      /* bytes of a SHA-256 */

/* The SHA-256 of n parts, one behind the other. What it worked with is wiped. */
void ch_sha256(const struct ch_str *parts, size_t n, unsigned char out[CH_SHA256]);
/* Lower-case hex and a NUL: 2 n + 1 bytes. */
void ch_hex(const void *p, size_t n, char *out);
/* 2 n digits of either case back into n bytes. False: there is something else; out is undefined. */
bool ch_unhex(const char *text, size_t n, void *out);
/* Are the n bytes the same? Takes the same instructions whatever they are, and wherever they differ. */
bool ch_same_bytes(const void *a, const void *b, size_t n);

#ifdef __cplusplus
}
#endif
#endif
