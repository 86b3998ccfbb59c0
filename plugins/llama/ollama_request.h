/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_request.h - a question as Ollama's native API takes it. On the ctx's loop. */
#ifndef OLLAMA_REQUEST_H
#define OLLAMA_REQUEST_H

#include "llama.h"

/* The path behind base_url that answers this op, for POST; NULL: none does. */
const char *ollama_path(int op);

/* Is that a keep_alive that Ollama takes? */
bool ollama_keep_alive_ok(const char *text);

/*
 * The JSON of CHAT, COMPLETION or EMBEDDINGS. The text belongs to the ctx. p NULL: *out has a code, because Ollama cannot do what was
 * asked, or there is no memory.
 */
struct ch_str ollama_request(struct ch_ctx *c, const struct llama_conf *conf, const struct ch_inference_args *args, const char *model,
	bool stream, struct ch_inference_result *out);

#endif
