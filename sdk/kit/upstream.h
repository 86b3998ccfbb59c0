/* SPDX-License-Identifier: MIT */
/* upstream.h - ch_upstream_failed and ch_upstream_said for a caller who has more than one secret. Private to the kit. */
#ifndef CHIMERA_KIT_UPSTREAM_H
#define CHIMERA_KIT_UPSTREAM_H

#include <chimera/backend.h>

/* What must not be in any text: a key (NULL: none), and the values of header fields. Those of less than 6 bytes are no secrets. */
struct upstream_secrets {
	const char *key;
	const struct ch_http_field *fields;
	size_t nfields;
};

void upstream_failed(struct ch_ctx *, const struct ch_http_result *, struct ch_str body, const struct upstream_secrets *,
                     struct ch_inference_result *out);
void upstream_said(struct ch_ctx *, struct ch_str error, const struct upstream_secrets *, struct ch_inference_result *out);

/* The text without the secrets, in the ctx, with a final NUL; of at most `most` bytes. p NULL: no memory. */
struct ch_str upstream_scrub(struct ch_ctx *, struct ch_str text, const struct upstream_secrets *, size_t most);

#endif
