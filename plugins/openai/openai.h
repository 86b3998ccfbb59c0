/* SPDX-License-Identifier: Apache-2.0 */
/* openai.h - what openai.c and caller.c share. */
#ifndef OPENAI_H
#define OPENAI_H

#include <chimera/backend.h>
#include <chimera/tokens.h>

struct openai_conf {
	const struct ch_svc *http;
	struct ch_svcs caller_tokens; /* one at most: a SERVICE that is empty would be any */
	const char *base_url, *query, *api_key, *organization, *project, *probe, *caller_provider;
	bool inject_usage, caller_tokens_only;
	int max_tokens_as;
	struct ch_backend_conf backend;
};

struct openai_state {
	struct ch_openai_upstream up;
	struct ch_backend_conf conf; /* the section's, but for a default_model that is OpenAI's and not this server's */
	struct ch_inference_about about;
	struct ch_http_field *fields;
	char *base_url;       /* without slashes at its end */
	const char *provider; /* what this server is called among the callers' tokens */
};

/* As submit of inference/1, where there is a store of callers' tokens: whoever asks does so with a token of his own, if he has one. */
int openai_submit_for_caller(const struct ch_svc *, struct ch_ctx *, const struct ch_inference_args *, const struct ch_inference_sink *,
	struct ch_inference_result *out, ch_ticket);
/* As cancel, for a call that still waits for its caller's token. False: it is none. */
bool openai_cancel_for_caller(const struct ch_svc *, struct ch_ctx *, struct ch_inference_result *out);

#endif
