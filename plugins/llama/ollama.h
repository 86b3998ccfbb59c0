/* SPDX-License-Identifier: Apache-2.0 */
/* ollama.h - inference/1 over Ollama's native API. As submit, go_on and cancel of struct ch_inference_v1. */
#ifndef OLLAMA_H
#define OLLAMA_H

#include "llama.h"

/* What it can do: ops and can of struct ch_inference_about. */
#define OLLAMA_OPS ((1u << CH_I_CHAT) | (1u << CH_I_COMPLETION) | (1u << CH_I_EMBEDDINGS) | (1u << CH_I_MODELS) | (1u << CH_I_PROBE))
#define OLLAMA_CAN (CH_I_TOOLS | CH_I_IMAGES | CH_I_FORMAT)

int ollama_submit(const struct llama *llama, const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket);
void ollama_go_on(struct ch_inference_result *out);
void ollama_cancel(struct ch_inference_result *out);

#endif
