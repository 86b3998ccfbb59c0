/* SPDX-License-Identifier: Apache-2.0 */
/* shown.h - the key that a request shows: where it may be, and what is too much. */
#ifndef AUTH_SHOWN_H
#define AUTH_SHOWN_H

#include <chimera/plugin.h>

struct auth_shown {
	bool any;                         /* a key was shown, were it empty */
	bool bearer;                      /* it stands behind "Bearer" */
	bool foreign;                     /* it has no or another scheme, so it is no key, whatever it reads like */
	struct ch_str key;                /* the ctx's; as it came, any bytes that a header may hold */
};

/*
 * Reads Authorization, X-Api-Key and Api-Key. NULL, or a sentence: the request contradicts itself, or shows a key where it must not.
 */
const char *auth_read_shown(struct ch_ctx *, struct auth_shown *out);

#endif
