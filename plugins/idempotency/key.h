/* SPDX-License-Identifier: Apache-2.0 */
/* key.h - the field Idempotency-Key: a string of RFC 8941 or a bare word (draft-ietf-httpapi-idempotency-key-header-07). Pure. */
#ifndef IDEM_KEY_H
#define IDEM_KEY_H

#include <stddef.h>

#include <chimera/plugin.h>

#define IDEM_KEY_MAX 255

/*
 * The key that the field's value names: quoted or bare, the same characters are the same key. NULL: it is one, and out holds its n bytes.
 * Else what was found, for "The Idempotency-Key …".
 */
const char *idem_key_read(struct ch_str value, char out[IDEM_KEY_MAX], size_t *n);

#endif
