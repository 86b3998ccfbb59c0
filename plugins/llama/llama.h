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

#endif
