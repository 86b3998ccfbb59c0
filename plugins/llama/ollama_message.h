/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_message.h - the messages of a question as Ollama takes them, and what writing them shares with the rest of a request. */
#ifndef OLLAMA_MESSAGE_H
#define OLLAMA_MESSAGE_H

#include <chimera/backend.h>
#include <chimera/kit/json.h>

#define OLLAMA_CALLS 64 /* how many calls of tools are remembered to name the one that a "tool" message answers */

/* A request being written. */
struct request {
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct ch_inference_result *out; /* gets a code if it cannot be done */
	struct ch_heap *text;            /* of a text that was decoded */
	struct ch_jw w;
	size_t i;                        /* the message at hand */
	struct ch_str ids[OLLAMA_CALLS], names[OLLAMA_CALLS]; /* of calls that were seen, as they stand between their quotes */
	size_t ncalls;
};

/* The first reason is the one that is told. */
static inline bool refuse(struct request *r, const char *detail)
{
	if (!r->out->code)
		ch_backend_refuse(r->out, CH_E_BAD_REQUEST, 0, detail);
	return false;
}

/* A value as it stands in the document; the token must be past ch_json_skip. null: n 0. */
static inline struct ch_str raw(const struct ch_json *j, const struct ch_json_tok *t)
{
	struct ch_str s = { j->p + t->start, t->end - t->start };

	return t->type == CH_JSON_NULL ? (struct ch_str){ NULL, 0 } : s;
}

static inline void put(struct request *r, const char *key, struct ch_str json)
{
	ch_jw_key(&r->w, key);
	ch_jw_raw(&r->w, json.p, json.n);
}

/* Writes the member `messages`. False: *out has a code. */
bool ollama_put_messages(struct request *r);

#endif
