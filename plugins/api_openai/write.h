/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.h - answers in OpenAI's dialect, made of what a backend of another dialect said. Pure functions over the kit's writer: look at
 * w->failed at the end.
 */
#ifndef API_OPENAI_WRITE_H
#define API_OPENAI_WRITE_H

#include <chimera/inference.h>
#include <chimera/kit/json.h>

#define API_ID_MAX 48

/* What stands in an answer beside what the result says. */
struct api_stamp {
	bool chat; /* a chat, else a completion */
	bool usage; /* of a stream: each chunk has a member `usage` */
	char id[API_ID_MAX];
	int64_t created; /* seconds since the epoch */
};

/* A fresh id: "chatcmpl-" or "cmpl-" and 32 random hex digits. */
void api_stamp(struct api_stamp *, bool chat, int64_t created, uint64_t random1, uint64_t random2);

/* ---- whole answers ---- */

void api_write_answer(struct ch_jw *w, const struct api_stamp *, const struct ch_inference_result *);
/* base64 of little-endian floats, or numbers. Which model, if the result says none: `model`. */
void api_write_embeddings(struct ch_jw *w, const struct ch_inference_result *, struct ch_str model, bool base64);
void api_write_model(struct ch_jw *w, const struct ch_model *);
void api_write_models(struct ch_jw *w, const struct ch_model *, size_t n);

/* ---- chunks of a stream: without `data: ` and the blank line ---- */

/* The beginning that all chunks of a stream share; kept by the caller. */
void api_write_head(struct ch_jw *w, const struct api_stamp *, const char *model);
/* tool_calls n 0: none. first: with the role. */
void api_write_delta(
	struct ch_jw *w, const struct api_stamp *, struct ch_str head, bool first, struct ch_str text, struct ch_str tool_calls);
void api_write_finish(struct ch_jw *w, const struct api_stamp *, struct ch_str head, bool first, const char *reason);
void api_write_usage(struct ch_jw *w, struct ch_str head, const struct ch_inference_result *);

/* ---- exposed for its test ---- */

/* A float in nine significant digits or less, which read back equal; out has 24 bytes. Returns the length. "null" for what is no number. */
size_t api_float(char *out, float v);

#endif
