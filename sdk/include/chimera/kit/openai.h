/* SPDX-License-Identifier: MIT */
/* chimera/kit/openai.h - what OpenAI's protocol looks like, for whoever writes it. Since 0.3. Any thread, no allocation of its own. */
#ifndef CHIMERA_KIT_OPENAI_H
#define CHIMERA_KIT_OPENAI_H

#include <chimera/kit/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An error object (API reference, "Error object"): message, type, param (NULL: null), code. Clients look into all four. */
void ch_openai_error(struct ch_jw *w, const char *message, const char *type, const char *param, const char *code);

#ifdef __cplusplus
}
#endif
#endif
