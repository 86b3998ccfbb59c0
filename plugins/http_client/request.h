/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - what a caller asks for, checked and laid out as HTTP/1.1. */
#ifndef HC_REQUEST_H
#define HC_REQUEST_H

#include <chimera/http.h>

#include "url.h"

#define HC_INLINE_BODY 32768 /* bytes of a body that are laid behind the head, so that both leave in one call */

struct hc_request {
	const char *method;          /* ends with a NUL */
	int kind;                    /* enum ch_h1_method */
	bool idempotent;
	struct ch_str head;          /* request line, fields, empty line and, if it is short, the body; HTTP/1.1 only */
	struct ch_str body;          /* what is not in `head` */
};

/* NULL, or what is wrong with the method or a field: a whole sentence, in the arena of c. *r gets method, kind, idempotent. */
const char *hc_request_check(struct hc_request *r, struct ch_ctx *c, const struct ch_http_args *a);
/* Lays the request out in the arena of c. False: no memory. */
bool hc_request_write(struct hc_request *r, struct ch_ctx *c, const struct ch_http_args *a, const struct hc_url *u);
/* Wipes what was laid out of the fields, which may be a key; nothing if nothing was. */
void hc_request_wipe(const struct hc_request *r, const struct ch_http_args *a);
/* Does a request of that method say "Content-Length: 0" when it has no body? */
bool hc_request_says_empty(const struct hc_request *r);
/* "host" or "host:port" as Host has it, into out (HC_HOST_MAX + 9 bytes). Returns its length; with_port: the usual one too. */
size_t hc_request_authority(char *out, const struct hc_url *u, bool with_port);

#endif
