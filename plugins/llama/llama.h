/* SPDX-License-Identifier: Apache-2.0 */
/* llama.h - what the operator said; shared by the plugin's files. */
#ifndef LLAMA_H
#define LLAMA_H

#include <chimera/backend.h>

enum llama_dialect { LLAMA_OLLAMA = 0, LLAMA_OPENAI };

struct llama_conf {
	struct ch_backend_conf backend;
	int dialect;            /* enum llama_dialect */
	const char *base_url;   /* "": the dialect's own */
	const char *api_key;    /* "": none */
	const struct ch_svc *http;
	int64_t num_ctx;        /* tokens; 0: the model's own */
	const char *keep_alive; /* "5m", "0", "forever"; "": the server's own */
};

/* One instance: filled at start, then read-only. */
struct llama {
	const struct llama_conf *conf;
	char *base;                     /* without a slash at its end; dialect openai: with /v1 */
	struct ch_http_field *extra;    /* extra_headers */
	struct ch_http_field *fields;   /* of each request of Ollama's dialect: Content-Type, Authorization, extra_headers */
	size_t nfields;
	char *authorization;            /* a secret */
	struct ch_inference_about about;
	struct ch_openai_upstream openai;
};

#endif
