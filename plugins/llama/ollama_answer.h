/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_answer.h - reads what Ollama's native API answers. Untrusted bytes: whatever they are, these functions end, in time that is
 * linear in their length, and read nothing else. Any thread; nothing is kept.
 */
#ifndef OLLAMA_ANSWER_H
#define OLLAMA_ANSWER_H

#include <chimera/inference.h>
#include <chimera/kit/json.h>

/* One object of an answer: a line of a stream, or the whole. Pointers lead into its text. */
struct ollama_piece {
	struct ch_json_tok text;     /* message.content or response: a CH_JSON_STRING; type 0: there was none */
	struct ch_str calls;         /* message.tool_calls, an array as it stands; n 0: none */
	struct ch_str error;         /* the value of `error`; n 0: none */
	bool done;
	const char *finish_reason;   /* in OpenAI's words, static; with done */
	int64_t tokens_in, tokens_out; /* -1: not said */
};

/* False: the text is no JSON object, or a member that is read has another type than it must have; *why is a static sentence. */
bool ollama_read(const char *p, size_t n, struct ollama_piece *out, const char **why);

/*
 * Writes Ollama's array of calls as OpenAI writes it: one array. stream: with `index`, as in a delta. *ncalls counts on over the pieces of
 * an answer; a call without an id gets one from `salt` and its number. False: the array is not what it must be; w may have part of it.
 */
bool ollama_write_calls(struct ch_jw *w, struct ch_str calls, bool stream, uint64_t salt, size_t *ncalls);

/* Where vectors go, in order: false stops. */
typedef bool (*ollama_float)(void *arg, float v);

/*
 * Reads the answer of /api/embed. Every number goes to `put`. *nvectors and *dimensions are set (all vectors have as many), *tokens to
 * prompt_eval_count or -1. False: it is not such an answer (*why says so), or `put` said no (*why NULL).
 */
bool ollama_read_vectors(const char *p, size_t n, ollama_float put, void *arg, size_t *nvectors, size_t *dimensions, int64_t *tokens,
	const char **why);

/* One model of /api/tags. */
struct ollama_model {
	struct ch_json_tok name;     /* a CH_JSON_STRING */
	int64_t created;             /* seconds since the epoch; 0: not known */
};
typedef bool (*ollama_model_fn)(void *arg, const struct ollama_model *);

/* Reads the answer of /api/tags, model by model. False: it is no such answer (*why says so), or `fn` said no (*why NULL). */
bool ollama_read_tags(const char *p, size_t n, ollama_model_fn fn, void *arg, const char **why);

/* A moment as RFC 3339 writes it ("2023-11-04T14:56:49.27-07:00") in seconds since the epoch; 0: it is none. */
int64_t ollama_time(const char *p, size_t n);

#endif
